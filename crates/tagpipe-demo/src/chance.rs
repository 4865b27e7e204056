//! Repeatable chance: every draw is a hash of a seed, a purpose and some ids.
//!
//! Nothing here keeps a state, so two draws with the same ingredients are equal whatever was asked before, and
//! the site can be computed page by page instead of being held in memory. Integer arithmetic only, so that
//! every machine draws the same.

/// What a draw decides. Two purposes never share a draw, so that facts stay independent of each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Purpose {
    Years = 1,
    EmptyYear,
    SetsOfYear,
    Brands,
    EmptySet,
    CardsOfSet,
    Numbering,
    Groups,
    CardName,
    Variation,
    CertCount,
    Certificate,
    Churn,
    CertLetters,
    Presentation,
    DocumentFault,
    DataFault,
    Latency,
    Upheaval,
}

/// The outcome of one draw: 64 well-mixed bits, from which numbers are taken and further draws derived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chance(u64);

impl Chance {
    /// Draws for `purpose` under `seed`.
    pub(crate) const fn new(seed: u64, purpose: Purpose) -> Self {
        Self(mix(seed ^ mix(purpose as u64)))
    }

    /// A further draw, told apart from its siblings by `id`.
    pub(crate) const fn of(self, id: u64) -> Self {
        Self(mix(self.0 ^ id.wrapping_mul(0x9E37_79B9_7F4A_7C15)))
    }

    /// A further draw, told apart by a text.
    pub(crate) fn of_text(self, text: &str) -> Self {
        text.bytes().fold(self.of(text.len() as u64), |chance, byte| {
            Self(mix(chance.0 ^ u64::from(byte)))
        })
    }

    /// All bits of the draw.
    pub(crate) const fn bits(self) -> u64 {
        self.0
    }

    /// A number from 0 to `bound - 1`; 0 when `bound` is 0.
    pub(crate) const fn below(self, bound: u32) -> u32 {
        (((self.0 >> 32) * bound as u64) >> 32) as u32
    }

    /// A number from 0 up to, not including, 1.
    pub(crate) fn unit(self) -> f64 {
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Whether something with `percent` in a hundred happens.
    pub(crate) const fn percent(self, percent: u32) -> bool {
        self.below(100) < percent
    }
}

/// The finaliser of SplitMix64: a bijection of 64 bits in which every input bit moves every output bit.
const fn mix(bits: u64) -> u64 {
    let bits = bits.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_depends_on_every_ingredient() {
        let draw = Chance::new(1, Purpose::Years).of(7);
        assert_eq!(draw, Chance::new(1, Purpose::Years).of(7));
        assert_ne!(draw, Chance::new(2, Purpose::Years).of(7));
        assert_ne!(draw, Chance::new(1, Purpose::Brands).of(7));
        assert_ne!(draw, Chance::new(1, Purpose::Years).of(8));
        assert_ne!(draw.of_text("ab"), draw.of_text("ba"));
    }

    #[test]
    fn numbers_are_spread_evenly_and_stay_below_the_bound() {
        let mut seen = [0_u32; 10];
        for id in 0..10_000 {
            seen[Chance::new(3, Purpose::CardName).of(id).below(10) as usize] += 1;
        }
        assert!(seen.iter().all(|&n| (850..1150).contains(&n)), "{seen:?}");
        assert_eq!(Chance::new(3, Purpose::CardName).below(0), 0);
        assert_eq!(Chance::new(3, Purpose::CardName).below(1), 0);
    }

    #[test]
    fn a_unit_is_from_zero_to_one() {
        let units: Vec<f64> = (0..1000)
            .map(|id| Chance::new(9, Purpose::Churn).of(id).unit())
            .collect();
        assert!(units.iter().all(|unit| (0.0..1.0).contains(unit)));
        let mean = units.iter().sum::<f64>() / 1000.0;
        assert!((0.45..0.55).contains(&mean), "{mean}");
    }
}
