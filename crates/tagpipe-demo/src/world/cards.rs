//! Card rows of a set: number, name and variation of each, and the way back from those to the row.
//!
//! Rows come in blocks of four. A block is split into groups; the rows of a group are variations of one card.
//! The number of a group grows with its first row, so that numbers ascend and a number leads back to its row.

use std::fmt;

use super::landmarks::Landmark;
use super::upheaval::Upheaval;
use super::vocabulary::{Numbering, Vocabulary, Words};
use crate::chance::{Chance, Purpose};

const BLOCK: u32 = 4;

/// For each row of a block, the row at which its group begins. Single cards are the rule.
const SPLITS: [[u32; BLOCK as usize]; 10] = [
    SINGLES,
    SINGLES,
    SINGLES,
    SINGLES,
    [0, 0, 2, 3],
    [0, 1, 1, 3],
    [0, 1, 2, 2],
    [0, 0, 2, 2],
    [0, 1, 1, 1],
    [0, 0, 0, 0],
];
const SINGLES: [u32; BLOCK as usize] = [0, 1, 2, 3];

/// A card number as printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CardNumber {
    numbering: Numbering,
    value: u32,
    total: u32,
}

impl fmt::Display for CardNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            numbering,
            value,
            total,
        } = self;
        match numbering {
            Numbering::Plain => write!(f, "{value}"),
            Numbering::OfTotal => write!(f, "{value}/{total}"),
            Numbering::PaddedOfTotal => write!(f, "{value:03}/{total:03}"),
            Numbering::Prefixed(prefix) => write!(f, "{prefix}{value}"),
        }
    }
}

/// What tells a card row from the others of its set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CardFacts {
    pub(crate) number: CardNumber,
    pub(crate) name: Words,
    pub(crate) variation: &'static str,
}

/// The rules by which the rows of one set are made.
#[derive(Debug, Clone, Copy)]
pub(super) struct CardRules {
    words: &'static Vocabulary,
    rows: u32,
    landmark: Option<&'static Landmark>,
    groups: Chance,
    names: Chance,
    variations: Chance,
    numbering: Numbering,
    first: u32,
    stride: u32,
    total: u32,
    /// Of this week, with the position of the set.
    upheaval: (Upheaval, u32),
}

impl CardRules {
    /// The same in a week that lists `rows` of the cards.
    pub(super) fn at(self, upheaval: Upheaval, rows: u32) -> Self {
        Self {
            rows,
            upheaval: (upheaval, self.upheaval.1),
            ..self
        }
    }

    pub(super) fn new(
        seed: u64,
        set: u32,
        rows: u32,
        words: &'static Vocabulary,
        landmark: Option<&'static Landmark>,
    ) -> Self {
        let of_set = |purpose| Chance::new(seed, purpose).of(u64::from(set));
        let draw = of_set(Purpose::Numbering);
        let stride = 1 + draw.of(1).below(words.widest_stride);
        let style = words.numberings[draw.of(2).below(words.numberings.len() as u32) as usize];
        let first = landmark.map_or(1 + draw.of(3).below(stride * 20), |landmark| landmark.number);
        Self {
            words,
            rows,
            landmark,
            groups: of_set(Purpose::Groups),
            names: of_set(Purpose::CardName),
            variations: of_set(Purpose::Variation),
            numbering: if landmark.is_some() {
                Numbering::Plain
            } else {
                style
            },
            first,
            stride,
            total: first + stride * rows + draw.of(4).below(40),
            upheaval: (Upheaval::new(seed, 0, 0.0), set),
        }
    }

    /// Number, name and variation of a row.
    pub(super) fn facts(&self, row: u32) -> CardFacts {
        let group = self.group_of(row);
        CardFacts {
            number: self.number_of(group),
            name: self.name_of(group),
            variation: self.variation_of(row, group),
        }
    }

    /// The row that bears this number, name and variation.
    pub(super) fn find(&self, number: &str, name: &str, variation: &str) -> Option<u32> {
        let row = self.value_in(number)?.checked_sub(self.first)? / self.stride;
        let block_end = (row / BLOCK + 1) * BLOCK;
        (row..block_end.min(self.rows)).find(|&candidate| {
            let facts = self.facts(candidate);
            facts.variation == variation && facts.name.read(name) && facts.number.to_string() == number
        })
    }

    /// The counting part of a printed number.
    fn value_in(&self, number: &str) -> Option<u32> {
        match self.numbering {
            Numbering::Plain => number.parse().ok(),
            Numbering::OfTotal | Numbering::PaddedOfTotal => number.split('/').next()?.parse().ok(),
            Numbering::Prefixed(prefix) => number.strip_prefix(prefix)?.parse().ok(),
        }
    }

    fn split_of(&self, block: u32) -> [u32; BLOCK as usize] {
        if self.landmark.is_some() && block == 0 {
            return SINGLES;
        }
        SPLITS[self.groups.of(u64::from(block)).below(SPLITS.len() as u32) as usize]
    }

    fn group_of(&self, row: u32) -> u32 {
        let block = row / BLOCK;
        block * BLOCK + self.split_of(block)[(row % BLOCK) as usize]
    }

    fn number_of(&self, group: u32) -> CardNumber {
        let jitter = if group == 0 {
            0
        } else {
            self.groups.of(u64::from(group)).of(1).below(self.stride)
        };
        let value = self.first + group * self.stride + jitter;
        CardNumber {
            numbering: self.numbering,
            value,
            total: self.total,
        }
    }

    /// Now and then the second card of a block bears the first one's name under a number of its own.
    fn name_of(&self, group: u32) -> Words {
        if let (0, Some(landmark)) = (group, self.landmark) {
            return Words::one(landmark.name);
        }
        let draw = self.names.of(u64::from(group / BLOCK));
        let repeats = group >= BLOCK && draw.percent(12);
        let named_after = if repeats { group / BLOCK * BLOCK } else { group };
        let (upheaval, set) = self.upheaval;
        self.words.card_name(
            self.names
                .of(u64::from(named_after))
                .of(1 + upheaval.renames(set, group))
                .below(self.words.card_names()),
        )
    }

    /// Most groups begin with the card itself; its variations ascend.
    fn variation_of(&self, row: u32, group: u32) -> &'static str {
        let draw = self.variations.of(u64::from(group));
        let place = (row - group) as usize;
        let plain = self.landmark.is_some() && group == 0 || draw.percent(85);
        if plain && place == 0 {
            return "";
        }
        let start = draw.of(1).below(self.words.variations.len() as u32 + 1 - BLOCK) as usize;
        self.words.variations[start + place]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::vocabulary::{ANIME, COMICS, FANTASY, HOSTILE, POKEMON, SPORT};
    use super::*;

    #[test]
    fn every_row_is_found_by_what_it_shows_and_no_two_are_alike() {
        for words in [&SPORT, &POKEMON, &ANIME, &FANTASY, &COMICS, &HOSTILE] {
            for set in 0..40 {
                let rules = CardRules::new(5, set, 90, words, None);
                let mut seen = BTreeSet::new();
                for row in 0..90 {
                    let facts = rules.facts(row);
                    let (number, name) = (facts.number.to_string(), facts.name.to_string());
                    assert_eq!(
                        rules.find(&number, &name, facts.variation),
                        Some(row),
                        "{number} {name}"
                    );
                    assert!(seen.insert((number, name, facts.variation)));
                }
            }
        }
    }

    #[test]
    fn numbers_never_descend() {
        for set in 0..40 {
            let rules = CardRules::new(6, set, 300, &SPORT, None);
            let values: Vec<u32> = (0..300).map(|row| rules.facts(row).number.value).collect();
            assert!(values.is_sorted());
        }
    }

    #[test]
    fn some_names_stand_under_two_numbers_and_some_numbers_have_variations() {
        let rules = CardRules::new(6, 1, 400, &POKEMON, None);
        let facts: Vec<CardFacts> = (0..400).map(|row| rules.facts(row)).collect();
        let pairs = || facts.windows(2).map(|pair| (pair[0], pair[1]));
        assert!(pairs().any(|(a, b)| a.name == b.name && a.number != b.number));
        assert!(pairs().any(|(a, b)| a.number == b.number && a.variation != b.variation));
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        let rules = CardRules::new(6, 1, 10, &SPORT, None);
        let facts = rules.facts(3);
        let (number, name) = (facts.number.to_string(), facts.name.to_string());
        assert_eq!(rules.find(&format!("{number}0"), &name, facts.variation), None);
        assert_eq!(rules.find(&number, "Nobody", facts.variation), None);
        assert_eq!(rules.find(&number, &name, "No Such Variation"), None);
        assert_eq!(rules.find("", &name, facts.variation), None);
        assert_eq!(rules.find("4294967295", &name, facts.variation), None);
        assert_eq!(rules.find(&format!("0{number}"), &name, facts.variation), None);
    }
}
