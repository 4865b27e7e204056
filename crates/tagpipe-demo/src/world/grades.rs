//! The grading scale: codes of the count columns, labels, score bands, and how often each grade is given.

use serde::ser::{Serialize, SerializeMap, Serializer};

/// Number of grade codes: the count columns without `Total`.
pub const GRADES: usize = 20;

const CODES: [&str; GRADES] = [
    "VA", "1", "1.5", "2", "2.5", "3", "3.5", "4", "4.5", "5", "5.5", "6", "6.5", "7", "7.5", "8", "8.5",
    "9", "10", "10P",
];

const LABELS: [&str; GRADES] = [
    "", "POOR", "FAIR", "GOOD", "GOOD+", "VG", "VG+", "VG EX", "VG EX+", "EX", "EX+", "EX MT", "EX MT+",
    "NM", "NM+", "NM MT", "NM MT+", "MINT", "GEM", "PRIS",
];

/// One grade of the scale, worst (`VA`) to best (`10P`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Grade(u8);

impl Grade {
    pub(crate) const VA: Self = Self(0);
    const MINT: u8 = 17;
    const GEM: u8 = 18;

    /// Every grade in the order of the count columns.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..GRADES as u8).map(Self)
    }

    pub(crate) fn from_code(code: &str) -> Option<Self> {
        CODES
            .iter()
            .position(|&known| known == code)
            .map(|index| Self(index as u8))
    }

    /// Position among the count columns, from 0.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// The header of the grade's count column: `8.5`, `10P`, `VA`.
    pub fn code(self) -> &'static str {
        CODES[self.index()]
    }

    /// The words behind the number, as in `NM MT+`; none for `VA`.
    pub fn label(self) -> Option<&'static str> {
        Some(LABELS[self.index()]).filter(|label| !label.is_empty())
    }

    /// The number on the certificate; none for `VA`. `10P` is a 10 as well.
    pub fn number(self) -> Option<f64> {
        match self.0 {
            0 => None,
            index if index < Self::MINT => Some(f64::from(index + 1) / 2.0),
            Self::MINT => Some(9.0),
            _ => Some(10.0),
        }
    }

    /// The number as it is printed: `8.5`, `10`; `VA` for the grade without a number.
    pub(crate) fn printed(self) -> &'static str {
        CODES[self.index().min(usize::from(Self::GEM))]
    }

    /// Least and greatest score of the grade's band, both included.
    pub(crate) fn band(self) -> (u16, u16) {
        match self.0 {
            0 => (0, 0),
            Self::GEM => (950, 989),
            index if index > Self::GEM => (990, 1000),
            index => (50 * (u16::from(index) + 1), 50 * (u16::from(index) + 1) + 49),
        }
    }
}

/// The pieces of a grade as a certificate words it, without a score: `8.5 NM MT+`, `VA`.
pub(crate) fn grade_text(grade: Grade) -> [&'static str; 3] {
    match grade.label() {
        Some(label) => [grade.printed(), " ", label],
        None => [grade.printed(), "", ""],
    }
}

/// How many certificates there are of each grade.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts([u32; GRADES]);

impl Counts {
    pub(crate) fn add(&mut self, grade: Grade) {
        self.0[grade.index()] += 1;
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine += theirs;
        }
    }

    /// The count of one grade.
    pub fn of(&self, grade: Grade) -> u32 {
        self.0[grade.index()]
    }

    /// The sum over all grades: the `Total` column.
    pub fn total(&self) -> u32 {
        self.0.iter().sum()
    }
}

/// As an object from grade code to count, in column order, zeros left out.
impl Serialize for Counts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for grade in Grade::all().filter(|&grade| self.of(grade) > 0) {
            map.serialize_entry(grade.code(), &self.of(grade))?;
        }
        map.end()
    }
}

/// How often each grade is given in one corner of the hobby: one draw of 256 looks its grade up.
#[derive(Debug)]
pub(crate) struct Grading([u8; 256]);

impl Grading {
    /// Four in five are nine and above.
    pub(crate) const MODERN: Self =
        Self::from_shares([1, 0, 0, 0, 0, 1, 0, 1, 0, 1, 1, 2, 2, 5, 5, 12, 17, 86, 116, 6]);
    /// Spread over four to nine.
    pub(crate) const VINTAGE: Self = Self::from_shares([
        4, 4, 3, 5, 4, 8, 6, 14, 12, 18, 16, 24, 20, 28, 24, 26, 18, 16, 5, 1,
    ]);

    /// `shares` of 256, one for each grade.
    const fn from_shares(shares: [u16; GRADES]) -> Self {
        let mut table = [0; 256];
        let mut filled = 0;
        let mut grade = 0;
        while grade < GRADES {
            let mut left = shares[grade];
            while left > 0 {
                table[filled] = grade as u8;
                filled += 1;
                left -= 1;
            }
            grade += 1;
        }
        assert!(filled == 256, "the shares of a grading must add up to 256");
        Self(table)
    }

    /// The grade that the draw `bits` gives.
    pub(crate) fn grade(&self, bits: u8) -> Grade {
        Grade(self.0[usize::from(bits)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_are_fifty_wide_below_gem() {
        let band = |code| Grade::from_code(code).expect("a code of the scale").band();
        assert_eq!(band("10P"), (990, 1000));
        assert_eq!(band("10"), (950, 989));
        assert_eq!(band("9"), (900, 949));
        assert_eq!(band("8.5"), (850, 899));
        assert_eq!(band("1"), (100, 149));
    }

    #[test]
    fn numbers_labels_and_prints_follow_the_code() {
        let grade = |code| Grade::from_code(code).expect("a code of the scale");
        assert_eq!(grade("8.5").number(), Some(8.5));
        assert_eq!(grade("1").number(), Some(1.0));
        assert_eq!(grade("9").number(), Some(9.0));
        assert_eq!(grade("10P").number(), Some(10.0));
        assert_eq!(grade("10P").printed(), "10");
        assert_eq!(grade("8.5").label(), Some("NM MT+"));
        assert_eq!(grade("4.5").label(), Some("VG EX+"));
        assert_eq!((grade("VA").number(), grade("VA").label()), (None, None));
        assert_eq!(Grade::from_code("9.5"), None);
        for grade in Grade::all().skip(1) {
            assert_eq!(grade.printed().parse::<f64>().ok(), grade.number());
        }
    }

    #[test]
    fn modern_grades_are_mostly_nine_and_above_and_vintage_ones_are_not() {
        let high = |grading: &Grading| {
            (0..=255)
                .filter(|&bits| grading.grade(bits).number().is_some_and(|n| n >= 9.0))
                .count()
        };
        assert!((190..220).contains(&high(&Grading::MODERN)));
        assert!(high(&Grading::VINTAGE) < 40);
    }

    #[test]
    fn counts_serialise_without_zeros() {
        let mut counts = Counts::default();
        counts.add(Grade::VA);
        counts.add(Grade(19));
        counts.add(Grade(19));
        assert_eq!(
            serde_json::to_string(&counts).expect("counts are JSON"),
            r#"{"VA":1,"10P":2}"#
        );
        assert_eq!(counts.total(), 3);
    }
}
