//! Rows of a table as values of few kinds, free of who stores them and of how they are written.
//!
//! The store reads [`Row`]s of a [`Table`]; the formats of an export write them. Neither knows the other.

use std::fmt;

use serde::Serialize;

/// One row: a value for each column of its table, in the order of the columns.
pub type Row = Vec<Value>;

/// What a table holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Table {
    /// Its name; also that of its file or sheet.
    pub name: &'static str,
    /// What a row is, in words.
    pub meaning: &'static str,
    /// Its columns, in order.
    pub columns: &'static [Column],
    /// The columns that its rows are ordered by; together they are unique.
    pub order: &'static [&'static str],
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// What its values are.
    pub kind: Kind,
    /// Whether a value may be missing.
    pub nullable: bool,
    /// What a number counts, such as `copies`, if it counts anything.
    pub unit: Option<&'static str>,
    /// What it says, in words.
    pub meaning: &'static str,
}

/// What the values of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A text.
    Text,
    /// A whole number of at most 64 bits.
    Integer,
    /// A number with a fraction.
    Real,
    /// A day.
    Date,
    /// A moment, to the microsecond.
    Timestamp,
    /// A JSON document, as text without spaces and with sorted keys.
    Json,
}

impl Kind {
    /// As it is shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Text => "text",
            Kind::Integer => "integer",
            Kind::Real => "real",
            Kind::Date => "date",
            Kind::Timestamp => "timestamp",
            Kind::Json => "json",
        }
    }
}

/// A value: missing, or of its column's kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Missing.
    Null,
    /// A text.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// A number with a fraction.
    Real(f64),
    /// A day.
    Date(Date),
    /// A moment.
    Timestamp(Timestamp),
    /// A JSON document.
    Json(String),
}

/// A day, as days since 1970-01-01. Shown as `2026-11-24`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date(pub i32);

/// A moment, as microseconds since 1970 in UTC. Shown as `2026-11-24T07:48:09.567000Z`: always six digits, so that texts
/// sort as the moments do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub i64);

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = jiff::civil::date(1970, 1, 1);
        match first.checked_add(jiff::Span::new().days(self.0)) {
            Ok(day) => day.fmt(f),
            // Beyond the year 9999: no calendar's day, and no reason to lose the number.
            Err(_) => write!(f, "day {}", self.0),
        }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(moment) => write!(f, "{moment:.6}"),
            Err(_) => write!(f, "{} µs", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_moments_are_shown_in_one_width() {
        for (days, text) in [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (20_781, "2026-11-24"),
            (-719_162, "0001-01-01"),
        ] {
            assert_eq!(Date(days).to_string(), text);
        }
        for (us, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (1_795_506_489_567_000, "2026-11-24T07:48:09.567000Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(Timestamp(us).to_string(), text);
        }
    }
}
