//! What a channel is told, and when: rules over values. The time is an argument, and so is chance.

use std::str::FromStr;
use std::time::Duration;

use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use tagpipe_core::news::{NewsKind, NewsLevel};

/// What a channel is told, and when.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// The kinds of news it is told; `None` for all.
    pub kinds: Option<Vec<NewsKind>>,
    /// The least level it is told.
    pub level: NewsLevel,
    /// When only what is critical is sent; the rest waits for the end.
    pub quiet_hours: Option<QuietHours>,
    /// News within this time of the first goes out as one message.
    pub digest: Duration,
}

impl Rules {
    /// Whether the channel is told news of this kind and level.
    #[must_use]
    pub fn wants(&self, kind: NewsKind, level: NewsLevel) -> bool {
        level >= self.level && self.kinds.as_ref().is_none_or(|kinds| kinds.contains(&kind))
    }

    /// Whether only what is critical is sent now.
    #[must_use]
    pub fn is_quiet(&self, now: Timestamp) -> bool {
        let hours = self.quiet_hours.as_ref();
        hours.is_some_and(|hours| hours.end_after(now).is_some())
    }
}

/// The same hours of each day, on the clocks of a time zone.
#[derive(Debug, Clone, PartialEq)]
pub struct QuietHours {
    hours: Hours,
    zone: TimeZone,
}

/// From one time of the day to another; past midnight if that is earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hours {
    from: Time,
    until: Time,
}

/// A text that says no hours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no time of the day to another, such as 22:00-07:00")]
pub struct InvalidHours(String);

impl FromStr for Hours {
    type Err = InvalidHours;

    fn from_str(text: &str) -> Result<Hours, InvalidHours> {
        let invalid = || InvalidHours(text.to_owned());
        let time = |text: &str| -> Result<Time, InvalidHours> {
            let (hour, minute) = text.trim().split_once(':').ok_or_else(invalid)?;
            let number = |text: &str| text.parse::<i8>().map_err(|_| invalid());
            Time::new(number(hour)?, number(minute)?, 0, 0).map_err(|_| invalid())
        };
        let (from, until) = text.split_once('-').ok_or_else(invalid)?;
        let hours = Hours {
            from: time(from)?,
            until: time(until)?,
        };
        // All day or never? Nobody knows.
        if hours.from == hours.until {
            return Err(invalid());
        }
        Ok(hours)
    }
}

impl QuietHours {
    /// `hours` on the clocks of `zone`.
    #[must_use]
    pub fn new(hours: Hours, zone: TimeZone) -> QuietHours {
        QuietHours { hours, zone }
    }

    /// When the quiet hours end that `now` is within; `None` if it is within none.
    #[must_use]
    pub fn end_after(&self, now: Timestamp) -> Option<Timestamp> {
        let local = now.to_zoned_datetime(self.zone.clone());
        let (time, Hours { from, until }) = (local.time(), self.hours);
        let is_quiet = match from < until {
            true => from <= time && time < until,
            false => from <= time || time < until,
        };
        if !is_quiet {
            return None;
        }
        let day = match time < until {
            true => local.date(),
            false => local.date().tomorrow().ok()?,
        };
        let end = DateTime::from_parts(day, until)
            .to_zoned_datetime(self.zone.clone())
            .ok()?;
        Some(end.timestamp())
    }
}

/// News that waits for a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// Its number.
    pub id: i64,
    /// How much it matters.
    pub level: NewsLevel,
    /// When it was recorded.
    pub since: Timestamp,
}

/// What is to be done with the news that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    /// None waits.
    Nothing,
    /// All of it waits on, until then at the latest.
    Later(Timestamp),
    /// These pieces go out now, as one message.
    Now(Vec<i64>),
}

/// What is to be sent of `waiting` now. For the last look of a process that no service follows, a digest is over.
#[must_use]
pub fn due(now: Timestamp, waiting: &[Waiting], rules: &Rules, is_last_look: bool) -> Due {
    let Some(oldest) = waiting.iter().map(|one| one.since).min() else {
        return Due::Nothing;
    };
    let is_urgent = |one: &&Waiting| one.level == NewsLevel::Critical;
    if let Some(end) = rules.quiet_hours.as_ref().and_then(|hours| hours.end_after(now)) {
        let urgent: Vec<i64> = waiting.iter().filter(is_urgent).map(|one| one.id).collect();
        return match urgent.is_empty() {
            true => Due::Later(end),
            false => Due::Now(urgent),
        };
    }
    let window = SignedDuration::try_from(rules.digest).unwrap_or(SignedDuration::MAX);
    let digest_ends = oldest.saturating_add(window).unwrap_or(Timestamp::MAX);
    if is_last_look || digest_ends <= now || waiting.iter().any(|one| is_urgent(&one)) {
        return Due::Now(waiting.iter().map(|one| one.id).collect());
    }
    Due::Later(digest_ends)
}

/// How often a message is tried before it is given up: for the better part of a day.
pub const ATTEMPTS_MAX: u32 = 24;

/// The first pause, which doubles with each attempt up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(2 * 3600);
/// What the other side may ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(24 * 3600);

/// The pause after the `attempt`th attempt, counted from 1; `None` if it was the last. `chance` is from 0 to 1. A pause that the
/// other side has asked for is kept, and a little more, so that not all come back at once.
#[must_use]
pub fn pause(attempt: u32, asked: Option<Duration>, chance: f64) -> Option<Duration> {
    if attempt >= ATTEMPTS_MAX {
        return None;
    }
    let chance = chance.clamp(0.0, 1.0);
    Some(match asked {
        Some(asked) => asked.min(LONGEST_ASKED) + FIRST_PAUSE.mul_f64(chance),
        None => {
            let doubled = 2u32.saturating_pow(attempt.saturating_sub(1));
            FIRST_PAUSE
                .saturating_mul(doubled)
                .min(LONGEST_PAUSE)
                .mul_f64(chance)
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    fn quiet(text: &str, zone: &str) -> QuietHours {
        let hours = text.parse().expect("hours");
        QuietHours::new(hours, TimeZone::get(zone).expect("a zone"))
    }

    fn rules(digest_s: u64, quiet_hours: Option<QuietHours>) -> Rules {
        Rules {
            kinds: None,
            level: NewsLevel::Info,
            quiet_hours,
            digest: Duration::from_secs(digest_s),
        }
    }

    #[test]
    fn a_channel_wants_its_kinds_from_its_level_up() {
        let some = Rules {
            kinds: Some(vec![NewsKind::RunFailed, NewsKind::WatchChanged]),
            level: NewsLevel::Warning,
            ..rules(0, None)
        };
        assert!(some.wants(NewsKind::RunFailed, NewsLevel::Warning));
        assert!(!some.wants(NewsKind::RunFailed, NewsLevel::Info));
        assert!(!some.wants(NewsKind::RunFinished, NewsLevel::Critical));
        assert!(rules(0, None).wants(NewsKind::RunFinished, NewsLevel::Info));
    }

    #[test]
    fn quiet_hours_are_those_of_the_zones_clocks() {
        for (hours, zone, now, end) in [
            ("22:00-07:00", "UTC", "2026-11-30T21:59:59Z", None),
            (
                "22:00-07:00",
                "UTC",
                "2026-11-30T22:00:00Z",
                Some("2026-12-01T07:00:00Z"),
            ),
            (
                "22:00-07:00",
                "UTC",
                "2026-12-01T06:59:59Z",
                Some("2026-12-01T07:00:00Z"),
            ),
            ("22:00-07:00", "UTC", "2026-12-01T07:00:00Z", None),
            (
                "12:00-13:30",
                "UTC",
                "2026-12-01T13:00:00Z",
                Some("2026-12-01T13:30:00Z"),
            ),
            ("12:00-13:30", "UTC", "2026-12-01T11:00:00Z", None),
            (
                "22:00-07:00",
                "Europe/Berlin",
                "2026-11-30T21:00:00Z",
                Some("2026-12-01T06:00:00Z"),
            ),
            // In the night in which clocks go forward, the hour that is left out ends it.
            (
                "22:00-02:30",
                "Europe/Berlin",
                "2027-03-28T00:30:00Z",
                Some("2027-03-28T01:30:00Z"),
            ),
        ] {
            assert_eq!(
                quiet(hours, zone).end_after(at(now)),
                end.map(at),
                "{hours} {zone} {now}"
            );
        }
        for wrong in [
            "",
            "22-7",
            "22:00",
            "22:00-22:00",
            "24:00-07:00",
            "22:60-07:00",
            "a:b-c:d",
        ] {
            assert!(wrong.parse::<Hours>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_storm_is_one_message_at_the_end_of_its_window() {
        let start = at("2026-11-30T12:00:00Z");
        let storm: Vec<Waiting> = (0..500)
            .map(|id| Waiting {
                id,
                level: NewsLevel::Warning,
                since: start + SignedDuration::from_millis(id * 100),
            })
            .collect();
        let rules = rules(300, None);
        let end = start + SignedDuration::from_secs(300);
        assert_eq!(due(start, &storm, &rules, false), Due::Later(end));
        assert_eq!(due(end, &storm, &rules, false), Due::Now((0..500).collect()));
        assert_eq!(due(start, &storm, &rules, true), Due::Now((0..500).collect()));
    }

    #[test]
    fn what_is_critical_waits_for_nothing() {
        let now = at("2026-11-30T23:00:00Z");
        let waiting = [(1, NewsLevel::Error), (2, NewsLevel::Critical)].map(|(id, level)| Waiting {
            id,
            level,
            since: now,
        });
        let night = rules(300, Some(quiet("22:00-07:00", "UTC")));
        assert_eq!(due(now, &waiting, &night, false), Due::Now(vec![2]));
        assert_eq!(
            due(now, &waiting[..1], &night, true),
            Due::Later(at("2026-12-01T07:00:00Z"))
        );
        assert_eq!(due(now, &waiting, &rules(300, None), false), Due::Now(vec![1, 2]));
        assert_eq!(due(now, &[], &night, true), Due::Nothing);
    }

    #[test]
    fn pauses_grow_are_spread_and_end() {
        let total: Duration = (1..ATTEMPTS_MAX)
            .map(|attempt| pause(attempt, None, 0.5).expect("a pause"))
            .sum();
        let hours = total.as_secs() / 3600;
        assert!((8..24).contains(&hours), "{hours} hours");
        assert_eq!(pause(ATTEMPTS_MAX, None, 0.5), None);
        assert_eq!(pause(3, None, 0.0), Some(Duration::ZERO));
        assert_eq!(pause(3, None, 1.0), Some(Duration::from_secs(8)));
        let asked = Some(Duration::from_secs(90));
        assert_eq!(pause(1, asked, 0.0), asked);
        assert!(pause(1, Some(Duration::MAX), 1.0) <= Some(LONGEST_ASKED + FIRST_PAUSE));
    }

    proptest! {
        /// Whatever comes when, looked at every minute: each piece goes out once, within quiet hours only what is critical, and
        /// outside of them no message before its digest is over unless something is critical, and then all that waits.
        #[test]
        fn every_piece_goes_out_once_and_in_time(
            pieces in proptest::collection::vec((0i64..2880, 0usize..4), 0..60),
            digest_min in 0u64..90,
            from in 0i8..24,
            length in 1i8..20,
        ) {
            let start = at("2026-11-30T00:00:00Z");
            let minute = |minutes: i64| start + SignedDuration::from_mins(minutes);
            let hours = quiet(&format!("{from}:00-{}:00", (from + length) % 24), "UTC");
            let rules = rules(digest_min * 60, Some(hours.clone()));
            let mut waiting: Vec<Waiting> = Vec::new();
            let mut sent = std::collections::BTreeSet::new();
            for now in 0..(2880 + 24 * 60 + 120) {
                for (id, (arrives, level)) in pieces.iter().enumerate() {
                    if *arrives == now {
                        waiting.push(Waiting { id: id as i64, level: NewsLevel::ALL[*level], since: minute(now) });
                    }
                }
                let is_quiet = hours.end_after(minute(now)).is_some();
                match due(minute(now), &waiting, &rules, false) {
                    Due::Nothing => prop_assert!(waiting.is_empty()),
                    Due::Later(until) => {
                        prop_assert!(until > minute(now));
                        prop_assert!(waiting.iter().all(|one| one.level != NewsLevel::Critical));
                    }
                    Due::Now(ids) => {
                        let oldest = waiting.iter().map(|one| one.since).min().expect("something waits");
                        let has_critical = waiting.iter().any(|one| one.level == NewsLevel::Critical);
                        prop_assert!(has_critical || minute(now).duration_since(oldest) >= SignedDuration::from_mins(digest_min as i64));
                        for id in &ids {
                            prop_assert!(sent.insert(*id), "{id} went out twice");
                            let one = waiting.iter().find(|one| one.id == *id).expect("it waits");
                            prop_assert!(!is_quiet || one.level == NewsLevel::Critical);
                        }
                        waiting.retain(|one| !ids.contains(&one.id));
                        prop_assert!(is_quiet || waiting.is_empty());
                    }
                }
            }
            prop_assert_eq!(sent.len(), pieces.len());
        }
    }
}
