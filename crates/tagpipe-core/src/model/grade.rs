//! Grades: the codes of the count columns, the value and label of one certificate, populations by code.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

/// Longest grade code in bytes.
pub const GRADE_CODE_MAX: usize = 15;

/// The code of one count column, such as `8.5`, `VA` or `10P`: at most [`GRADE_CODE_MAX`] bytes, kept in
/// place because every count of every row carries one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GradeCode {
    bytes: [u8; GRADE_CODE_MAX],
    len: u8,
}

/// A grade code that is empty or too long.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a grade code: it must have 1 to {GRADE_CODE_MAX} bytes")]
pub struct InvalidGradeCode(String);

impl GradeCode {
    /// The code written as `text`.
    ///
    /// # Errors
    /// When `text` is empty or longer than [`GRADE_CODE_MAX`] bytes.
    pub fn new(text: &str) -> Result<GradeCode, InvalidGradeCode> {
        let len = text.len();
        if len == 0 || len > GRADE_CODE_MAX {
            return Err(InvalidGradeCode(text.to_owned()));
        }
        let mut bytes = [0; GRADE_CODE_MAX];
        bytes[..len].copy_from_slice(text.as_bytes());
        Ok(GradeCode {
            bytes,
            len: len as u8,
        })
    }

    /// The code as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).expect("a code is made from a whole str")
    }
}

impl fmt::Debug for GradeCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for GradeCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for GradeCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// A numeric grade in tenths: `8.5` is 85. Exact, unlike a float.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GradeValue(u16);

impl GradeValue {
    /// The grade of `tenths` tenths.
    #[must_use]
    pub fn from_tenths(tenths: u16) -> GradeValue {
        GradeValue(tenths)
    }

    /// Reads `10`, `8.5`; at most one decimal, `None` otherwise.
    #[must_use]
    pub fn parse(text: &str) -> Option<GradeValue> {
        let (whole, tenth) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str, most: usize| {
            (!part.is_empty() && part.len() <= most && part.bytes().all(|byte| byte.is_ascii_digit()))
                .then(|| part.parse::<u16>().ok())
                .flatten()
        };
        Some(GradeValue(digits(whole, 3)? * 10 + digits(tenth, 1)?))
    }

    /// The value in tenths.
    #[must_use]
    pub fn tenths(self) -> u16 {
        self.0
    }

    /// The value as a number, for storage: every half is exact.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        f64::from(self.0) / 10.0
    }
}

/// What the report says of one certificate's grade, e.g. `8.5 NM MT+ (890)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grade {
    /// The text as shown.
    pub text: String,
    /// The numeric grade; `None` where the code has none (verified authentic).
    pub value: Option<GradeValue>,
    /// The label, e.g. `NM MT+`; empty if none.
    pub label: String,
    /// The score in brackets (0 to 1000), where given.
    pub score: Option<u32>,
    /// The count column this certificate belongs to, by the profile's scale.
    pub code: GradeCode,
}

/// Number of a certificate, unique over the whole site, in the profile's pattern.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CertNumber(String);

impl CertNumber {
    /// Wraps `text`, which the caller has checked against the profile's pattern.
    #[must_use]
    pub fn new_checked(text: String) -> CertNumber {
        CertNumber(text)
    }

    /// The number as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CertNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Population by grade code, non-zero entries only, in the order of the profile's scale.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts(Vec<(GradeCode, u64)>);

impl Counts {
    /// Adds `count` copies at `code`; zero adds nothing.
    pub fn add(&mut self, code: GradeCode, count: u64) {
        if count == 0 {
            return;
        }
        match self.0.iter_mut().find(|(known, _)| *known == code) {
            Some((_, sum)) => *sum = sum.saturating_add(count),
            None => self.0.push((code, count)),
        }
    }

    /// The count at `code`, 0 if none.
    #[must_use]
    pub fn get(&self, code: GradeCode) -> u64 {
        self.0
            .iter()
            .find(|(known, _)| *known == code)
            .map_or(0, |(_, count)| *count)
    }

    /// The non-zero entries.
    pub fn iter(&self) -> impl Iterator<Item = (GradeCode, u64)> + '_ {
        self.0.iter().copied()
    }

    /// Sum over all codes, saturating.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.0
            .iter()
            .fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }
}

impl Serialize for Counts {
    /// As the `counts` column holds it: `{"8.5": 1, "10P": 3}`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grades_are_read_exactly_or_not_at_all() {
        for (text, tenths) in [("10", 100), ("8.5", 85), ("1", 10), ("0", 0)] {
            assert_eq!(
                GradeValue::parse(text).map(GradeValue::tenths),
                Some(tenths),
                "{text}"
            );
        }
        for text in ["", ".", "8.", ".5", "8.55", "-1", "+1", "1e3", "１", "9999"] {
            assert_eq!(GradeValue::parse(text), None, "{text}");
        }
    }

    #[test]
    fn codes_are_bounded() {
        assert_eq!(GradeCode::new("10P").expect("short").as_str(), "10P");
        assert!(GradeCode::new("").is_err());
        assert!(GradeCode::new("a code that is too long").is_err());
    }

    #[test]
    fn counts_hold_no_zeroes_and_never_overflow() {
        let [ten, nine] = ["10", "9"].map(|code| GradeCode::new(code).expect("short"));
        let mut counts = Counts::default();
        counts.add(ten, u64::MAX);
        counts.add(ten, 1);
        counts.add(nine, 0);
        assert_eq!(
            (counts.get(ten), counts.get(nine), counts.iter().count()),
            (u64::MAX, 0, 1)
        );
        assert_eq!(
            serde_json::to_string(&counts).expect("plain map"),
            format!(r#"{{"10":{}}}"#, u64::MAX)
        );
    }
}
