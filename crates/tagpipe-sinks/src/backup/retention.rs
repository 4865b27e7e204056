//! Which backups are kept, as a rule over their times.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// How many backups are kept: the newest of each of the last days, weeks and so on that have any, and the last ones. Days
/// begin at midnight UTC, weeks on Mondays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retention {
    /// The newest ones.
    pub last: u32,
    /// One a day.
    pub daily: u32,
    /// One a week.
    pub weekly: u32,
    /// One a month.
    pub monthly: u32,
    /// One a year.
    pub yearly: u32,
}

/// A text that says nothing about what to keep.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` does not say which backups to keep; write for instance daily=7,weekly=4,monthly=12,last=3, each once"
)]
pub struct InvalidRetention(String);

impl Retention {
    /// Which of the backups taken at `times`, in any order, are kept. The newest one always is.
    #[must_use]
    pub fn kept(&self, times: &[Timestamp]) -> Vec<bool> {
        let mut newest_first: Vec<usize> = (0..times.len()).collect();
        newest_first.sort_by_key(|at| std::cmp::Reverse((times[*at], *at)));
        let mut kept = vec![false; times.len()];
        for at in newest_first.iter().take(self.last.max(1) as usize) {
            kept[*at] = true;
        }
        for (most, span) in self.spans() {
            let mut seen = HashSet::new();
            for at in &newest_first {
                if seen.len() == most as usize {
                    break;
                }
                if seen.insert(span(times[*at])) {
                    kept[*at] = true;
                }
            }
        }
        kept
    }

    /// Each span with how many of it are kept, and its number.
    fn spans(&self) -> [(u32, SpanOf); 4] {
        [
            (self.daily, |time| {
                let day = date(time);
                (day.year(), day.day_of_year())
            }),
            (self.weekly, |time| {
                let week = date(time).iso_week_date();
                (week.year(), i16::from(week.week()))
            }),
            (self.monthly, |time| {
                let day = date(time);
                (day.year(), i16::from(day.month()))
            }),
            (self.yearly, |time| (date(time).year(), 0)),
        ]
    }
}

/// The year and the number in it of the span that a time lies in.
type SpanOf = fn(Timestamp) -> (i16, i16);

fn date(time: Timestamp) -> jiff::civil::Date {
    TimeZone::UTC.to_datetime(time).date()
}

impl FromStr for Retention {
    type Err = InvalidRetention;

    fn from_str(text: &str) -> Result<Retention, InvalidRetention> {
        let invalid = || InvalidRetention(text.to_owned());
        let mut rule = Retention::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (span, most) = part.split_once('=').ok_or_else(invalid)?;
            let most: u32 = most.trim().parse().map_err(|_| invalid())?;
            let place = match span.trim().to_ascii_lowercase().as_str() {
                "last" => &mut rule.last,
                "daily" => &mut rule.daily,
                "weekly" => &mut rule.weekly,
                "monthly" => &mut rule.monthly,
                "yearly" => &mut rule.yearly,
                _ => return Err(invalid()),
            };
            // Either of the two would be a guess, and what goes by the wrong one is gone.
            if *place > 0 {
                return Err(invalid());
            }
            *place = most;
        }
        if rule == Retention::default() {
            return Err(invalid());
        }
        Ok(rule)
    }
}

impl fmt::Display for Retention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            ("daily", self.daily),
            ("weekly", self.weekly),
            ("monthly", self.monthly),
            ("yearly", self.yearly),
            ("last", self.last),
        ];
        let told: Vec<String> = parts
            .iter()
            .filter(|(_, most)| *most > 0)
            .map(|(span, most)| format!("{span}={most}"))
            .collect();
        f.write_str(&told.join(","))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn times(texts: &[&str]) -> Vec<Timestamp> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn kept(rule: &str, texts: &[&str]) -> Vec<String> {
        let times = times(texts);
        let rule: Retention = rule.parse().unwrap();
        let kept = rule.kept(&times);
        texts
            .iter()
            .zip(kept)
            .filter(|(_, kept)| *kept)
            .map(|(text, _)| text[..13].to_owned())
            .collect()
    }

    #[test]
    fn the_newest_of_each_span_is_kept() {
        let taken = [
            "2026-11-30T02:00:00Z",
            "2026-11-29T14:00:00Z",
            "2026-11-29T02:00:00Z",
            "2026-11-28T02:00:00Z",
            // A gap: the third day that has a backup is in October.
            "2026-10-05T02:00:00Z",
            "2025-12-31T02:00:00Z",
        ];
        assert_eq!(
            kept("daily=3", &taken),
            ["2026-11-30T02", "2026-11-29T14", "2026-11-28T02"]
        );
        assert_eq!(
            kept("daily=4", &taken).last().unwrap(),
            "2026-10-05T02",
            "days without a backup do not count"
        );
        // The 30th is a Monday: a new week.
        assert_eq!(kept("weekly=2", &taken), ["2026-11-30T02", "2026-11-29T14"]);
        assert_eq!(
            kept("monthly=12", &taken),
            ["2026-11-30T02", "2026-10-05T02", "2025-12-31T02"]
        );
        assert_eq!(kept("yearly=5", &taken), ["2026-11-30T02", "2025-12-31T02"]);
        assert_eq!(kept("last=2", &taken), ["2026-11-30T02", "2026-11-29T14"]);
        assert_eq!(kept("daily=1,last=3", &taken).len(), 3);
    }

    #[test]
    fn a_rule_is_read_back_and_nonsense_is_not_a_rule() {
        let rule: Retention = "daily=7, weekly=4,MONTHLY=12,last=3".parse().unwrap();
        assert_eq!(rule.to_string(), "daily=7,weekly=4,monthly=12,last=3");
        assert_eq!(rule.to_string().parse(), Ok(rule));
        for text in [
            "",
            "daily",
            "daily=-1",
            "hourly=3",
            "daily=0",
            "daily=many",
            "7",
            "last=3,last=1",
        ] {
            assert!(text.parse::<Retention>().is_err(), "{text}");
        }
    }

    fn any_times() -> impl Strategy<Value = Vec<Timestamp>> {
        // Three years of seconds, so that spans are shared and crossed.
        prop::collection::vec(1_700_000_000_i64..1_795_000_000, 0..60).prop_map(|seconds| {
            seconds
                .into_iter()
                .map(|second| Timestamp::from_second(second).unwrap())
                .collect()
        })
    }

    fn any_rule() -> impl Strategy<Value = Retention> {
        (0..5_u32, 0..10_u32, 0..6_u32, 0..6_u32, 0..3_u32).prop_map(
            |(last, daily, weekly, monthly, yearly)| Retention {
                last,
                daily,
                weekly,
                monthly,
                yearly,
            },
        )
    }

    fn chosen(times: &[Timestamp], kept: &[bool]) -> Vec<Timestamp> {
        times
            .iter()
            .zip(kept)
            .filter(|(_, kept)| **kept)
            .map(|(time, _)| *time)
            .collect()
    }

    proptest! {
        #[test]
        fn the_newest_is_always_kept(times in any_times(), rule in any_rule()) {
            let kept = chosen(&times, &rule.kept(&times));
            prop_assert_eq!(kept.iter().max(), times.iter().max());
        }

        #[test]
        fn no_more_are_kept_than_the_rule_says(times in any_times(), rule in any_rule()) {
            let most = rule.last.max(1) + rule.daily + rule.weekly + rule.monthly + rule.yearly;
            let kept = rule.kept(&times).into_iter().filter(|kept| *kept).count();
            prop_assert!(kept <= most as usize);
        }

        #[test]
        fn pruning_again_removes_nothing(times in any_times(), rule in any_rule()) {
            let kept = chosen(&times, &rule.kept(&times));
            prop_assert!(rule.kept(&kept).into_iter().all(|kept| kept));
        }

        #[test]
        fn every_day_of_the_last_ones_that_has_a_backup_keeps_one(times in any_times(), daily in 1..8_u32) {
            let rule = Retention { daily, ..Retention::default() };
            let kept = chosen(&times, &rule.kept(&times));
            let days = |times: &[Timestamp]| {
                let mut days: Vec<_> = times.iter().map(|time| date(*time)).collect();
                days.sort();
                days.dedup();
                days.reverse();
                days
            };
            let wanted: Vec<_> = days(&times).into_iter().take(daily as usize).collect();
            prop_assert_eq!(days(&kept), wanted);
        }

        #[test]
        fn a_greater_rule_keeps_all_that_a_smaller_one_keeps(times in any_times(), rule in any_rule()) {
            let greater = Retention { daily: rule.daily + 1, last: rule.last + 1, ..rule };
            let (few, many) = (rule.kept(&times), greater.kept(&times));
            prop_assert!(few.iter().zip(&many).all(|(few, many)| !few || *many));
        }
    }
}
