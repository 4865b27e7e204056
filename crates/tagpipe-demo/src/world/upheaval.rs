//! What a week treats otherwise: sets, cards and certificates that are away, cards under another name, certificates on
//! the next card. Each week draws anew, so that what is away mostly comes back.

use crate::chance::{Chance, Purpose};

/// The draws of one week; nothing strikes with a share of 0.
#[derive(Debug, Clone, Copy)]
pub(super) struct Upheaval {
    seed: u64,
    epoch: u32,
    /// Of 2^32 draws, how many strike.
    share: u64,
}

/// What a draw is about.
#[derive(Debug, Clone, Copy)]
enum Stroke {
    HideSet,
    HideCard,
    HideCertificate,
    Lend,
    Rename,
}

impl Upheaval {
    pub(super) fn new(seed: u64, epoch: u32, share: f64) -> Self {
        Self {
            seed,
            epoch,
            share: (share.clamp(0.0, 1.0) * f64::from(u32::MAX)) as u64,
        }
    }

    /// Whether this set is not listed, by its position.
    pub(super) fn hides_set(&self, set: u32) -> bool {
        self.strikes(Stroke::HideSet, set, self.epoch)
    }

    /// Whether the last card of this set is not listed.
    pub(super) fn hides_card(&self, set: u32) -> bool {
        self.strikes(Stroke::HideCard, set, self.epoch)
    }

    /// Whether one certificate of this card is not shown.
    pub(super) fn hides_certificate(&self, card: u32) -> bool {
        self.strikes(Stroke::HideCertificate, card, self.epoch)
    }

    /// Whether the first certificate of this card stands on the next one.
    pub(super) fn lends(&self, card: u32) -> bool {
        self.strikes(Stroke::Lend, card, self.epoch)
    }

    /// How often a card was renamed up to now, by the position of its set and its number there.
    pub(super) fn renames(&self, set: u32, group: u32) -> u64 {
        let card = set.wrapping_mul(65_537).wrapping_add(group);
        (1..=self.epoch)
            .filter(|epoch| self.strikes(Stroke::Rename, card, *epoch))
            .count() as u64
    }

    fn strikes(&self, stroke: Stroke, of: u32, epoch: u32) -> bool {
        let draw = Chance::new(self.seed, Purpose::Upheaval)
            .of(stroke as u64)
            .of(u64::from(of))
            .of(u64::from(epoch));
        self.share > 0 && draw.bits() >> 32 < self.share
    }
}
