//! Certificates: how many a card has at an epoch, their numbers and grades, and their places on the leaderboard.
//!
//! A card owns a block of serials in one numbering of the whole site, and a bijection turns a serial into a
//! certificate number, so two certificates can never bear the same one. Everything is a function of seed,
//! epoch, card and serial.

use std::fmt;

use serde::ser::{Serialize, Serializer};

use super::calendar::Day;
use super::grades::{Counts, Grade, Grading};
use super::landmarks::{self, KnownCertificate, Landmark, LandmarkCertificates};
use crate::chance::{Chance, Purpose};

const LETTERS: &[u8; 22] = b"CDEFGHJKLMNPQRSTUVWXYZ";
const NUMBERS_PER_LETTER: u64 = 10_000_000;
/// How many certificate numbers there are.
const NUMBERS: u64 = LETTERS.len() as u64 * NUMBERS_PER_LETTER;
/// Serials reserved for one card. No card ever has more certificates.
const SERIALS_PER_CARD: u32 = 1024;
const MOST_FROM_START: u32 = 800;
const FIRST_DAY: Day = Day::from_ymd(2021, 3, 1);
const DAYS_BEFORE_EPOCH_0: u32 = 2000;
const EPOCH_0: Day = FIRST_DAY.plus(DAYS_BEFORE_EPOCH_0);

/// The number of a certificate: a letter of C-Z without I and O, then seven digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CertNumber([u8; 8]);

impl CertNumber {
    fn from_position(position: u64) -> Self {
        let mut digits = position % NUMBERS_PER_LETTER;
        let mut text = [LETTERS[(position / NUMBERS_PER_LETTER) as usize]; 8];
        for place in text[1..].iter_mut().rev() {
            *place = b'0' + (digits % 10) as u8;
            digits /= 10;
        }
        Self(text)
    }

    /// Reads a certificate number; nothing else passes.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; 8] = text.as_bytes().try_into().ok()?;
        let well_formed = LETTERS.contains(&bytes[0]) && bytes[1..].iter().all(u8::is_ascii_digit);
        well_formed.then_some(Self(bytes))
    }

    fn position(self) -> u64 {
        let letter = LETTERS
            .iter()
            .position(|&letter| letter == self.0[0])
            .unwrap_or(0) as u64;
        self.0[1..]
            .iter()
            .fold(letter, |number, digit| number * 10 + u64::from(digit - b'0'))
    }

    /// The number as it is printed.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("a certificate number is made of ASCII letters and digits")
    }
}

impl fmt::Display for CertNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for CertNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for CertNumber {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// The bijection from serials of the whole site to certificate numbers: multiplication by a number that shares
/// no factor with their count, then a shift. Numbers that are fixed in advance are swapped for spare ones.
#[derive(Debug)]
pub(super) struct CertNumbers {
    factor: u64,
    shift: u64,
    swaps: Vec<(u64, u64)>,
}

impl CertNumbers {
    pub(super) fn new(seed: u64) -> Self {
        let chance = Chance::new(seed, Purpose::CertLetters);
        let factor = (0..)
            .map(|attempt| NUMBERS / 3 + u64::from(chance.of(attempt).below(NUMBERS as u32 / 2)))
            .find(|factor| [2, 5, 11].iter().all(|prime| factor % prime != 0))
            .expect("four numbers in eleven share no factor with the count");
        let mut numbers = Self {
            factor,
            shift: u64::from(chance.below(NUMBERS as u32)),
            swaps: Vec::new(),
        };
        numbers.swaps = numbers.swaps_for_known();
        numbers
    }

    /// Pairs every known number with the number of a serial that no card reaches.
    fn swaps_for_known(&self) -> Vec<(u64, u64)> {
        let known: Vec<u64> = landmarks::known_numbers()
            .filter_map(CertNumber::parse)
            .map(CertNumber::position)
            .collect();
        let unreached = (0..NUMBERS).rev().map(|serial| self.scrambled(serial));
        let spares: Vec<u64> = unreached
            .filter(|spare| !known.contains(spare))
            .take(known.len())
            .collect();
        known.into_iter().zip(spares).collect()
    }

    fn scrambled(&self, serial: u64) -> u64 {
        (serial * self.factor + self.shift) % NUMBERS
    }

    fn number(&self, card: u32, serial: u32) -> CertNumber {
        let position = self.scrambled(u64::from(card) * u64::from(SERIALS_PER_CARD) + u64::from(serial));
        let swap = self.swaps.iter().find(|(known, _)| *known == position);
        CertNumber::from_position(swap.map_or(position, |&(_, spare)| spare))
    }
}

/// What a card's certificates depend on besides seed and epoch.
#[derive(Debug, Clone, Copy)]
pub(super) struct CardCondition {
    /// Position of the card among all cards of the site.
    pub(super) card: u32,
    pub(super) chased_per_mille: u32,
    pub(super) modern: bool,
    pub(super) landmark: Option<&'static Landmark>,
    /// Whether its first certificate stands on the next card, if it has another.
    pub(super) lends: bool,
    /// Whether its last certificate is not shown, if it has others.
    pub(super) hides: bool,
}

/// What certificates are drawn from: one for a seed and an epoch.
#[derive(Debug)]
pub(super) struct Registry {
    seed: u64,
    epoch: u32,
    /// Of 2^32 draws, how many move a card's population in a week.
    churn: u64,
    is_uneven: bool,
    numbers: CertNumbers,
}

/// The serials of a card that are in use: `0..issued` without the withdrawn ones.
#[derive(Debug, Default)]
struct Holding {
    issued: u32,
    withdrawn: Vec<u32>,
    /// First serial issued in an epoch, and that epoch.
    additions: Vec<(u32, u32)>,
}

impl Holding {
    fn serials(&self) -> impl Iterator<Item = u32> {
        (0..self.issued).filter(|serial| !self.withdrawn.contains(serial))
    }

    /// The epoch in which `serial` was issued; 0 for those from before.
    fn epoch_of(&self, serial: u32) -> u32 {
        self.additions
            .iter()
            .rev()
            .find(|(first, _)| *first <= serial)
            .map_or(0, |&(_, epoch)| epoch)
    }
}

/// A serial in use, with the epoch in which it was issued.
#[derive(Debug, Clone, Copy)]
struct Issued {
    serial: u32,
    epoch: u32,
}

/// One certificate on a leaderboard. Places are counted from 1; 0 means not given.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Certificate {
    pub(crate) number: CertNumber,
    pub(crate) grade: Grade,
    pub(crate) score: Option<u16>,
    pub(crate) completed: Option<Completion>,
    pub(crate) rank: u32,
    pub(crate) rank_by_grade: u32,
    pub(crate) chronology: u32,
    pub(crate) chron_by_grade: u32,
    /// Draws for how the row is shown.
    pub(crate) presentation: u64,
}

/// When a grading was completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Completion {
    pub(crate) day: Day,
    pub(crate) second: u32,
}

impl Registry {
    pub(super) fn new(seed: u64, epoch: u32, churn: f64, is_uneven: bool) -> Self {
        let churn = (churn.clamp(0.0, 1.0) * f64::from(u32::MAX)) as u64;
        Self {
            seed,
            epoch,
            churn,
            is_uneven,
            numbers: CertNumbers::new(seed),
        }
    }

    /// Adds up a card's certificates by grade, that of the `lender` among them.
    pub(super) fn counts(&self, of: CardCondition, lender: Option<CardCondition>) -> Counts {
        let mut counts = Counts::default();
        if let Some(known) = known_certificates(of) {
            known.iter().for_each(|known| counts.add(known_grade(known)));
            return counts;
        }
        for (of, Issued { serial, .. }) in self.shown(of, lender) {
            let draw = self.draws(of).of(u64::from(serial));
            counts.add(grading(of).grade(draw.bits() as u8));
        }
        counts
    }

    /// All certificates of a card in the order of their rank, that of the `lender` among them.
    pub(super) fn leaderboard(&self, of: CardCondition, lender: Option<CardCondition>) -> Vec<Certificate> {
        let mut board = match known_certificates(of) {
            Some(known) => known
                .iter()
                .map(|known| self.known_certificate(of, known))
                .collect(),
            None => self.drawn_certificates(of, lender),
        };
        give_chronology(&mut board);
        give_ranks(&mut board);
        board
    }

    fn draws(&self, of: CardCondition) -> Chance {
        Chance::new(self.seed, Purpose::Certificate).of(u64::from(of.card))
    }

    /// The certificates that a card shows, each with the card that owns it.
    fn shown(&self, of: CardCondition, lender: Option<CardCondition>) -> Vec<(CardCondition, Issued)> {
        let (own, _) = self.kept_and_lent(of);
        let lent = lender.and_then(|lender| Some((lender, self.kept_and_lent(lender).1?)));
        own.into_iter().map(|issued| (of, issued)).chain(lent).collect()
    }

    /// The certificates of a card that stand on it, and the one that stands on the next card.
    fn kept_and_lent(&self, of: CardCondition) -> (Vec<Issued>, Option<Issued>) {
        let holding = self.holding(of);
        let issued = |serial| Issued {
            serial,
            epoch: holding.epoch_of(serial),
        };
        let mut kept: Vec<Issued> = holding.serials().map(issued).collect();
        let lent = (of.lends && kept.len() > 1).then(|| kept.remove(0));
        if of.hides && kept.len() > 1 {
            kept.pop();
        }
        (kept, lent)
    }

    fn drawn_certificates(&self, of: CardCondition, lender: Option<CardCondition>) -> Vec<Certificate> {
        self.shown(of, lender)
            .into_iter()
            .map(|(of, Issued { serial, epoch })| {
                let draw = self.draws(of).of(u64::from(serial));
                let grade = grading(of).grade(draw.bits() as u8);
                Certificate {
                    number: self.numbers.number(of.card, serial),
                    score: score(draw.of(1), grade, of.modern),
                    completed: completion(draw.of(2), epoch),
                    ..Certificate::unplaced(grade, draw.of(3))
                }
            })
            .collect()
    }

    fn known_certificate(&self, of: CardCondition, known: &KnownCertificate) -> Certificate {
        let number = CertNumber::parse(known.number).expect("known certificate numbers are well-formed");
        let draw = self.draws(of).of(number.position());
        Certificate {
            number,
            completed: Some(Completion {
                day: known.completed_on,
                second: 43_200,
            }),
            ..Certificate::unplaced(known_grade(known), draw)
        }
    }

    /// Which serials the card has at this epoch: those from before, moved once for every epoch since.
    fn holding(&self, of: CardCondition) -> Holding {
        let issued = initial_count(self.seed, of);
        let mut holding = Holding {
            issued,
            ..Holding::default()
        };
        let churn = Chance::new(self.seed, Purpose::Churn).of(u64::from(of.card));
        let share = self.churn_of(churn);
        for epoch in 1..=self.epoch {
            let draw = churn.of(u64::from(epoch));
            if draw.bits() >> 32 < share {
                move_population(&mut holding, draw.of(0), epoch);
            }
        }
        holding
    }

    /// Of 2^32 draws, how many move the population of the card with this draw in a week. There is no epoch 0 to draw for.
    fn churn_of(&self, card: Chance) -> u64 {
        match card.of(0).below(10) {
            _ if !self.is_uneven => self.churn,
            0 => self.churn * 6,
            1..=3 => self.churn,
            _ => self.churn / 6,
        }
    }
}

impl Certificate {
    fn unplaced(grade: Grade, presentation: Chance) -> Self {
        Self {
            number: CertNumber([0; 8]),
            grade,
            score: None,
            completed: None,
            rank: 0,
            rank_by_grade: 0,
            chronology: 0,
            chron_by_grade: 0,
            presentation: presentation.bits(),
        }
    }
}

fn known_certificates(of: CardCondition) -> Option<&'static [KnownCertificate]> {
    match of.landmark?.certificates {
        LandmarkCertificates::Known(known) => Some(known),
        LandmarkCertificates::AtLeast(_) => None,
    }
}

fn known_grade(known: &KnownCertificate) -> Grade {
    Grade::from_code(known.grade).expect("known certificates bear grades of the scale")
}

fn grading(of: CardCondition) -> &'static Grading {
    static MODERN: Grading = Grading::MODERN;
    static VINTAGE: Grading = Grading::VINTAGE;
    if of.modern { &MODERN } else { &VINTAGE }
}

/// One certificate for 52 cards of a hundred, 85 to 800 for the chased, a long tail between.
fn initial_count(seed: u64, of: CardCondition) -> u32 {
    let draw = Chance::new(seed, Purpose::CertCount).of(u64::from(of.card));
    let tail = draw.of(1).below(1 << 16) + 1;
    let least = match of.landmark.map(|landmark| &landmark.certificates) {
        Some(LandmarkCertificates::AtLeast(least)) => *least,
        _ => 1,
    };
    let drawn = match draw.below(1000) {
        share if share < of.chased_per_mille => ((85 << 16) / tail).min(MOST_FROM_START),
        share if share < 1000 - 520 => ((2 << 16) / tail).min(84),
        _ => 1,
    };
    drawn.max(least)
}

/// One week's change: mostly one to three new certificates, rarely one taken back.
fn move_population(holding: &mut Holding, draw: Chance, epoch: u32) {
    let taken_back = draw.below(12) == 0;
    if taken_back && holding.issued as usize > holding.withdrawn.len() + 1 {
        let serial = draw.of(1).below(holding.issued);
        if !holding.withdrawn.contains(&serial) {
            holding.withdrawn.push(serial);
        }
    } else if holding.issued < SERIALS_PER_CARD - 3 {
        holding.additions.push((holding.issued, epoch));
        holding.issued += 1 + draw.of(2).below(3);
    }
}

/// A score within the grade's band, on some certificates only.
fn score(draw: Chance, grade: Grade, modern: bool) -> Option<u16> {
    let (least, greatest) = grade.band();
    let shown = grade != Grade::VA && draw.percent(if modern { 60 } else { 35 });
    shown.then(|| least + draw.of(1).below(u32::from(greatest - least) + 1) as u16)
}

/// When the certificate was completed; one in a hundred does not say.
fn completion(draw: Chance, epoch: u32) -> Option<Completion> {
    let day = match epoch {
        0 => FIRST_DAY.plus(draw.below(DAYS_BEFORE_EPOCH_0)),
        _ => EPOCH_0.plus(7 * (epoch - 1) + draw.below(7)),
    };
    (!draw.of(1).percent(1)).then(|| Completion {
        day,
        second: draw.of(2).below(86_400),
    })
}

/// Numbers the certificates by time of completion, over all and within each grade.
fn give_chronology(board: &mut [Certificate]) {
    board.sort_unstable_by_key(|certificate| (certificate.completed, certificate.number));
    let mut of_grade = [0; super::grades::GRADES];
    let dated = board
        .iter_mut()
        .filter(|certificate| certificate.completed.is_some());
    for (place, certificate) in dated.enumerate() {
        certificate.chronology = place as u32 + 1;
        of_grade[certificate.grade.index()] += 1;
        let withheld = certificate.presentation.is_multiple_of(25);
        certificate.chron_by_grade = if withheld {
            0
        } else {
            of_grade[certificate.grade.index()]
        };
    }
}

/// Sorts by grade, score and time, best first, and numbers the places; what has no grade has no rank.
fn give_ranks(board: &mut [Certificate]) {
    board.sort_unstable_by_key(|certificate| {
        let score = certificate.score.unwrap_or(certificate.grade.band().0);
        (
            std::cmp::Reverse((certificate.grade, score)),
            certificate.chronology,
            certificate.number,
        )
    });
    let mut of_grade = [0; super::grades::GRADES];
    let graded = board
        .iter_mut()
        .filter(|certificate| certificate.grade != Grade::VA);
    for (place, certificate) in graded.enumerate() {
        of_grade[certificate.grade.index()] += 1;
        certificate.rank = place as u32 + 1;
        certificate.rank_by_grade = of_grade[certificate.grade.index()];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(card: u32) -> CardCondition {
        CardCondition {
            card,
            chased_per_mille: 8,
            modern: card.is_multiple_of(2),
            landmark: None,
            lends: false,
            hides: false,
        }
    }

    #[test]
    fn numbers_read_back_and_refuse_what_is_not_one() {
        let number = CertNumber::parse("X3032464").expect("a known number");
        assert_eq!(CertNumber::from_position(number.position()), number);
        for wrong in [
            "I3032464",
            "O3032464",
            "A3032464",
            "X303246",
            "X30324645",
            "x3032464",
            "X303246é",
        ] {
            assert_eq!(CertNumber::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn no_serial_yields_a_known_number_and_none_repeats() {
        let numbers = CertNumbers::new(7);
        let known: Vec<CertNumber> = landmarks::known_numbers().filter_map(CertNumber::parse).collect();
        let mut seen = std::collections::HashSet::new();
        for card in 0..300 {
            for serial in 0..SERIALS_PER_CARD {
                let number = numbers.number(card, serial);
                assert!(seen.insert(number), "{number} twice");
                assert!(!known.contains(&number));
            }
        }
        for &(position, spare) in &numbers.swaps {
            assert_ne!(position, spare);
        }
    }

    #[test]
    fn about_half_the_cards_have_one_certificate_and_some_have_many() {
        let counts: Vec<u32> = (0..20_000)
            .map(|card| initial_count(3, condition(card)))
            .collect();
        let ones = counts.iter().filter(|&&count| count == 1).count();
        assert!((10_000..10_800).contains(&ones), "{ones}");
        assert!(counts.iter().any(|&count| count > 200));
        assert!(counts.iter().all(|&count| (1..=MOST_FROM_START).contains(&count)));
        let mean = counts.iter().sum::<u32>() as f64 / 20_000.0;
        assert!((5.0..10.0).contains(&mean), "{mean}");
    }

    #[test]
    fn counts_agree_with_the_leaderboard_at_every_epoch() {
        for epoch in [0, 1, 60] {
            let registry = Registry::new(3, epoch, 0.3, false);
            for card in 0..400 {
                let board = registry.leaderboard(condition(card), None);
                let mut counts = Counts::default();
                board.iter().for_each(|certificate| counts.add(certificate.grade));
                assert_eq!(counts, registry.counts(condition(card), None));
                assert!(!board.is_empty());
            }
        }
    }

    #[test]
    fn places_count_from_one_without_gaps() {
        let registry = Registry::new(3, 0, 0.0, false);
        let board = registry.leaderboard(
            CardCondition {
                chased_per_mille: 1000,
                ..condition(5)
            },
            None,
        );
        let ranks: Vec<u32> = board.iter().map(|it| it.rank).filter(|&rank| rank > 0).collect();
        assert!(ranks.len() > 80);
        assert_eq!(ranks, (1..=ranks.len() as u32).collect::<Vec<_>>());
        let mut times: Vec<u32> = board
            .iter()
            .map(|it| it.chronology)
            .filter(|&place| place > 0)
            .collect();
        times.sort_unstable();
        assert_eq!(times, (1..=times.len() as u32).collect::<Vec<_>>());
    }

    #[test]
    fn scores_lie_in_the_band_of_their_grade() {
        let registry = Registry::new(4, 0, 0.0, false);
        let mut scored = 0;
        for certificate in (0..500).flat_map(|card| registry.leaderboard(condition(card), None)) {
            if let Some(score) = certificate.score {
                let (least, greatest) = certificate.grade.band();
                assert!((least..=greatest).contains(&score));
                scored += 1;
            }
        }
        assert!(scored > 500);
    }

    #[test]
    fn a_week_moves_the_share_of_cards_it_was_told_to() {
        for is_uneven in [false, true] {
            let before = Registry::new(4, 3, 0.02, is_uneven);
            let after = Registry::new(4, 4, 0.02, is_uneven);
            let moved = (0..20_000)
                .filter(|&card| before.counts(condition(card), None) != after.counts(condition(card), None))
                .count();
            assert!((300..500).contains(&moved), "{moved}");
            let fell = (0..20_000)
                .filter(|&card| {
                    before.counts(condition(card), None).total() > after.counts(condition(card), None).total()
                })
                .count();
            assert!((1..60).contains(&fell), "{fell}");
        }
    }

    #[test]
    fn uneven_cards_keep_their_rates_and_the_share_of_all() {
        let weeks: Vec<_> = (0..=20).map(|epoch| Registry::new(4, epoch, 0.1, true)).collect();
        let moves: Vec<usize> = (0..3_000)
            .map(|card| {
                let counts: Vec<_> = weeks
                    .iter()
                    .map(|week| week.counts(condition(card), None))
                    .collect();
                counts.windows(2).filter(|two| two[0] != two[1]).count()
            })
            .collect();
        let (busy, calm) = (
            moves.iter().filter(|&&moves| moves >= 8).count(),
            moves.iter().filter(|&&moves| moves <= 1).count(),
        );
        assert!((200..400).contains(&busy), "{busy}");
        assert!((1500..2400).contains(&calm), "{calm}");
    }
}
