//! The times of a schedule: a cron pattern, read on the clock on the wall of a time zone.
//!
//! The pattern is searched on the wall clock, which knows no zone; each time found is then looked up in the zone. So a time
//! that the zone leaves out (clocks put forward) counts once, at the first moment after the gap, and one that comes twice
//! (clocks put back) counts once, the first time.

use std::cmp::Ordering;
use std::fmt;

use croner::errors::CronError;
use croner::{CivilDate, CivilDateTime, CivilTime, Cron, CronDateTime, Resolution, Weekday};
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp, ZonedDateTime};

/// Times looked at before a search is given up: a pattern may have none that the zone has, too.
const SEARCHED_MAX: usize = 1000;

/// When something is to happen.
#[derive(Debug, Clone)]
pub struct Timetable {
    cron: Cron,
    zone: TimeZone,
}

/// Why a timetable cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WrongTimetable {
    /// The pattern is none.
    #[error(
        "`{pattern}` is no cron pattern ({why}); it takes five fields, or six with seconds, such as `0 3 * * SUN`"
    )]
    Pattern {
        /// As it was given.
        pattern: String,
        /// In words.
        why: String,
    },
    /// The zone is unknown.
    #[error("`{0}` is no time zone; it takes an IANA name such as `Europe/Berlin` or `UTC`")]
    Zone(String),
    /// The pattern never comes.
    #[error("`{0}` has no time in the years to come")]
    Never(String),
}

impl Timetable {
    /// The times of `cron`, in five fields or six with seconds, on the clocks of `zone`, an IANA name.
    ///
    /// # Errors
    /// [`WrongTimetable`] says what is wrong, and what would be right.
    pub fn new(cron: &str, zone: &str) -> Result<Timetable, WrongTimetable> {
        let pattern = |why: &dyn fmt::Display| WrongTimetable::Pattern {
            pattern: cron.to_owned(),
            why: why.to_string(),
        };
        let fields = cron.split_whitespace().count();
        if !cron.trim_start().starts_with('@') && !(5..=6).contains(&fields) {
            return Err(pattern(&format!("it has {fields} fields")));
        }
        let timetable = Timetable {
            cron: cron.parse::<Cron>().map_err(|error| pattern(&error))?,
            zone: TimeZone::get(zone).map_err(|_| WrongTimetable::Zone(zone.to_owned()))?,
        };
        match timetable.next(Timestamp::now()) {
            Some(_) => Ok(timetable),
            None => Err(WrongTimetable::Never(cron.to_owned())),
        }
    }

    /// The first time after `after`; `None` if there is none within reach.
    #[must_use]
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let mut wall = Wall(self.zone.to_datetime(after));
        for _ in 0..SEARCHED_MAX {
            wall = self.cron.find_next_occurrence(&wall, false).ok()?;
            let moment = self.moment(wall.0)?;
            if moment > after {
                return Some(moment);
            }
        }
        None
    }

    /// The last time after `after` and not after `until`, and how many came before it.
    #[must_use]
    pub fn latest(&self, after: Timestamp, until: Timestamp) -> Option<(Timestamp, u64)> {
        let mut latest = None;
        let mut moment = after;
        while let Some(next) = self.next(moment).filter(|next| *next <= until) {
            latest = Some((next, latest.map_or(0, |(_, before)| before + 1)));
            moment = next;
        }
        latest
    }

    /// The first `count` times after `after`, on the zone's clocks.
    #[must_use]
    pub fn upcoming(&self, after: Timestamp, count: usize) -> Vec<ZonedDateTime> {
        let first = self.next(after);
        std::iter::successors(first, |moment| self.next(*moment))
            .take(count)
            .map(|moment| moment.to_zoned_datetime(self.zone.clone()))
            .collect()
    }

    /// In words: `At 03:00 AM, only on Sunday.`
    #[must_use]
    pub fn in_words(&self) -> String {
        self.cron.describe()
    }

    /// When the clocks of the zone first show `wall`, or have just gone past it.
    fn moment(&self, wall: DateTime) -> Option<Timestamp> {
        let ambiguous = self.zone.to_ambiguous_timestamp(wall);
        match ambiguous.offset() {
            AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => ambiguous.earlier().ok(),
            AmbiguousOffset::Gap { before, .. } => {
                // With the old offset, the wall's time lies behind the change: that one is the last before it.
                let behind = before.to_timestamp(wall).ok()?;
                let step = SignedDuration::from_nanos(1);
                let change = self.zone.preceding(behind.checked_add(step).ok()?).next()?;
                Some(change.timestamp())
            }
        }
    }
}

/// A clock on a wall: it goes through all times, and no zone changes it.
#[derive(Debug, Clone, Copy)]
struct Wall(DateTime);

impl CronDateTime for Wall {
    fn to_civil(&self) -> CivilDateTime {
        const REAL: &str = "jiff's dates and times are real ones";
        let Wall(at) = self;
        let part = |part: i8| u32::from(part.unsigned_abs());
        CivilDateTime::new(
            CivilDate::from_ymd_opt(i32::from(at.year()), part(at.month()), part(at.day())).expect(REAL),
            CivilTime::from_hms_opt(part(at.hour()), part(at.minute()), part(at.second())).expect(REAL),
        )
    }

    fn civil_weekday(&self) -> Weekday {
        Weekday::from_days_from_sunday(u32::from(self.0.weekday().to_sunday_zero_offset().unsigned_abs()))
    }

    fn resolve_civil(&self, civil: CivilDateTime) -> Result<Resolution<Wall>, CronError> {
        let part = |part: u32| i8::try_from(part).map_err(|_| CronError::InvalidTime);
        let at = DateTime::new(
            i16::try_from(civil.year()).map_err(|_| CronError::InvalidDate)?,
            part(civil.month())?,
            part(civil.day())?,
            part(civil.hour())?,
            part(civil.minute())?,
            part(civil.second())?,
            0,
        );
        at.map(|at| Resolution::Single(Wall(at)))
            .map_err(|_| CronError::InvalidDate)
    }

    fn checked_add_seconds(&self, seconds: i64) -> Option<Wall> {
        self.0
            .checked_add(SignedDuration::from_secs(seconds))
            .ok()
            .map(Wall)
    }

    fn cmp_instant(&self, other: &Wall) -> Ordering {
        self.0.cmp(&other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The times of `cron` in `zone` after `from`, in UTC.
    #[track_caller]
    fn check(cron: &str, zone: &str, from: &str, expected: &[&str]) {
        let timetable = Timetable::new(cron, zone).expect("a timetable");
        let from: Timestamp = from.parse().expect("a time");
        let times: Vec<_> = timetable
            .upcoming(from, expected.len())
            .iter()
            .map(|time| time.timestamp().to_string())
            .collect();
        assert_eq!(times, expected, "{cron} in {zone}");
    }

    #[test]
    fn a_time_that_does_not_exist_counts_once_at_the_next_one_that_does() {
        // 2026-03-29 in Berlin: 01:59:59 CET is followed by 03:00:00 CEST, 01:00 UTC.
        let before = "2026-03-28T12:00:00Z";
        check(
            "30 2 * * *",
            "Europe/Berlin",
            before,
            &["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"],
        );
        check(
            "*/20 2,3 * * *",
            "Europe/Berlin",
            before,
            &[
                "2026-03-29T01:00:00Z",
                "2026-03-29T01:20:00Z",
                "2026-03-29T01:40:00Z",
                "2026-03-30T00:00:00Z",
            ],
        );
        // 2026-03-08 in New York: 02:00 EST becomes 03:00 EDT, 07:00 UTC.
        check(
            "0 15 2 * * *",
            "America/New_York",
            "2026-03-08T00:00:00Z",
            &["2026-03-08T07:00:00Z", "2026-03-09T06:15:00Z"],
        );
        // Lord Howe Island puts its clocks forward by half an hour, 2026-10-04 02:00 to 02:30.
        check(
            "10 2 * * *",
            "Australia/Lord_Howe",
            "2026-10-03T12:00:00Z",
            &["2026-10-03T15:30:00Z", "2026-10-04T15:10:00Z"],
        );
        // Samoa left out the whole of 2011-12-30.
        check(
            "0 9 * * *",
            "Pacific/Apia",
            "2011-12-29T12:00:00Z",
            &[
                "2011-12-29T19:00:00Z",
                "2011-12-30T10:00:00Z",
                "2011-12-30T19:00:00Z",
            ],
        );
    }

    #[test]
    fn a_time_that_comes_twice_counts_once() {
        // 2026-10-25 in Berlin: 03:00 CEST becomes 02:00 CET, 01:00 UTC.
        let before = "2026-10-24T12:00:00Z";
        check(
            "30 2 * * *",
            "Europe/Berlin",
            before,
            &["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"],
        );
        check(
            "0 * * * *",
            "Europe/Berlin",
            "2026-10-24T23:30:00Z",
            &[
                "2026-10-25T00:00:00Z",
                "2026-10-25T02:00:00Z",
                "2026-10-25T03:00:00Z",
            ],
        );
        // Also for a service that is started between the two.
        check(
            "30 2 * * *",
            "Europe/Berlin",
            "2026-10-25T00:45:00Z",
            &["2026-10-26T01:30:00Z"],
        );
    }

    #[test]
    fn every_time_is_on_the_pattern_or_at_the_end_of_a_gap_and_they_only_go_forward() {
        for zone in [
            "Europe/Berlin",
            "America/New_York",
            "America/St_Johns",
            "Australia/Lord_Howe",
            "Africa/Casablanca",
            "Asia/Tehran",
            "UTC",
        ] {
            let timetable = Timetable::new("15,45 0-4 * * *", zone).expect("a timetable");
            let times = timetable.upcoming("2024-01-01T00:00:00Z".parse().expect("a time"), 8000);
            assert_eq!(times.len(), 8000, "{zone}");
            for pair in times.windows(2) {
                assert!(pair[0].timestamp() < pair[1].timestamp(), "{zone}: {pair:?}");
            }
            let off: Vec<_> = times
                .iter()
                .filter(|time| ![15, 45].contains(&time.minute()))
                .collect();
            for time in &off {
                let change = TimeZone::get(zone).expect("a zone");
                let change = change
                    .preceding(time.timestamp() + SignedDuration::from_nanos(1))
                    .next();
                assert_eq!(
                    change.expect("a change").timestamp(),
                    time.timestamp(),
                    "{zone}: {time}"
                );
            }
            assert!(off.len() < 100, "{zone}: {off:?}");
        }
    }

    #[test]
    fn the_latest_of_several_missed_times_is_found() {
        let timetable = Timetable::new("0 3 * * *", "UTC").expect("a timetable");
        let at = |text: &str| text.parse::<Timestamp>().expect("a time");
        let (after, until) = (at("2026-11-01T12:00:00Z"), at("2026-11-05T03:00:00Z"));
        assert_eq!(
            timetable.latest(after, until),
            Some((at("2026-11-05T03:00:00Z"), 3))
        );
        assert_eq!(timetable.latest(after, at("2026-11-02T02:59:59Z")), None);
    }

    #[test]
    fn what_is_no_timetable_says_why() {
        for (cron, zone, word) in [
            ("", "UTC", "0 fields"),
            ("* * *", "UTC", "3 fields"),
            ("* * * * * * *", "UTC", "7 fields"),
            ("61 * * * *", "UTC", "61 * * * *"),
            ("0 3 * * *", "Mars/Olympus", "Mars/Olympus"),
            ("0 0 30 2 *", "UTC", "no time"),
        ] {
            let wrong = Timetable::new(cron, zone).expect_err(cron).to_string();
            assert!(wrong.contains(word), "{cron}: {wrong}");
        }
    }
}
