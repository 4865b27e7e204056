//! Days of the calendar, as certificates carry them.

use std::fmt;

use serde::ser::{Serialize, Serializer};

/// A day in UTC, counted from 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(i32);

impl Day {
    pub(crate) const fn from_ymd(year: i32, month: u32, day: u32) -> Self {
        let shifted = if month <= 2 { year - 1 } else { year };
        let era = shifted.div_euclid(400);
        let year_of_era = shifted.rem_euclid(400);
        let day_of_year = (153 * ((month as i32 + 9) % 12) + 2) / 5 + day as i32 - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        Self(era * 146_097 + day_of_era - 719_468)
    }

    pub(crate) const fn plus(self, days: u32) -> Self {
        Self(self.0 + days as i32)
    }

    /// Days since 1970-01-01.
    pub fn since_epoch(self) -> i32 {
        self.0
    }

    /// Year, month from 1, day of the month from 1. The Gregorian calendar in integer arithmetic, with the year
    /// taken to begin in March so that the leap day comes last.
    pub fn ymd(self) -> (i32, u32, u32) {
        let shifted = self.0 + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 {
            month_from_march + 3
        } else {
            month_from_march - 9
        };
        let year = year_of_era + era * 400 + i32::from(month <= 2);
        (year, month as u32, day as u32)
    }
}

/// As `2025-08-20`.
impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.ymd();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_dates_agree() {
        assert_eq!(Day::from_ymd(1970, 1, 1).since_epoch(), 0);
        assert_eq!(Day::from_ymd(2000, 3, 1).since_epoch(), 11_017);
        for (year, month, day) in [
            (2023, 11, 21),
            (2024, 2, 29),
            (2024, 12, 31),
            (2025, 8, 20),
            (2026, 1, 1),
        ] {
            assert_eq!(Day::from_ymd(year, month, day).ymd(), (year, month, day));
        }
        assert_eq!(Day::from_ymd(2024, 2, 28).plus(2).to_string(), "2024-03-01");
    }
}
