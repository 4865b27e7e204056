//! Since when what is stored of a page has probably been out of date: what a run with a budget reads first.
//!
//! A page changes as a Poisson process does, at a rate of its own. The rate is estimated from its history: how many times
//! it was looked at, how often it showed something else, over how long. Between two looks one change is seen at most,
//! however many there were, so that changes per time would be too few for busy pages. What is estimated is therefore the
//! chance that an interval shows a change, and the rate from that, as in J. Cho and H. Garcia-Molina, *Estimating
//! frequency of change* (ACM TOIT 3, 2003): `-ln(1 - p) / interval`. Where they add half an interval to either side,
//! [`Observations::rate`] adds two that changed as often as those of the page's siblings (a beta prior): a page that was
//! hardly ever looked at is taken to be as busy as its siblings, and its own history outweighs them in time.
//!
//! Pages are not ordered by their rates. Whoever reads what changes most often spends all of a small budget on pages that
//! are out of date again the day after, and leaves the rest to rot (the same authors, *Effective page refresh policies for
//! web crawlers*, ACM TODS 28, 2003: worse than reading all equally often). What a request is worth is the expected change
//! summed over the time for which it has been missing, `∫ P(changed by t) dt` since the last reading: the expected time for
//! which the stored rows have been wrong. [`ReadingHistory::stale_since_us`] is now less that. The page that has been wrong
//! longest is read first; as it waits its worth grows, and who was read just now comes after all who have waited: nothing
//! starves.
//!
//! Times are in microseconds since 1970, durations in microseconds, rates in changes a microsecond. Nothing here knows the
//! clock.

/// Intervals of the siblings' kind that stand for what is known before a page was looked at.
const PRIOR_INTERVALS: f64 = 2.0;
/// What is assumed of pages none of whose siblings was ever looked at twice: one change in thirty days.
const PRIOR_RATE: f64 = 1.0 / (30.0 * 86_400.0 * 1e6);

/// The oldest of all: rows of a page that was never read are missing, which is worse than out of date.
pub const NEVER_READ: i64 = 0;

/// How often something was looked at, and what was seen.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Observations {
    /// Intervals between two looks.
    pub intervals: u64,
    /// Those at whose end it showed something else than at their start.
    pub changed: u64,
    /// Their sum, in microseconds. Of a million pages it is more than an integer holds.
    pub span_us: f64,
}

impl Observations {
    /// The rate at which a page changes, in changes a microsecond: above 0, and finite.
    #[must_use]
    pub fn rate(&self, siblings: &Observations) -> f64 {
        let prior = siblings.rate_with(PRIOR_RATE);
        self.rate_with(prior)
    }

    fn rate_with(&self, prior: f64) -> f64 {
        if self.intervals == 0 || self.span_us <= 0.0 {
            return prior;
        }
        let intervals = self.intervals as f64;
        let mean = self.span_us / intervals;
        // The chance that an interval passes without a change, by the prior. Not quite 0, whose logarithm there is not.
        let same_by_prior = (-prior * mean).exp().max(1e-9);
        let same = (intervals - self.changed.min(self.intervals) as f64 + PRIOR_INTERVALS * same_by_prior)
            / (intervals + PRIOR_INTERVALS);
        // Nor 1, when a rate is too low for the numbers here: everything changes once in an age.
        (-same.ln() / mean).max(f64::MIN_POSITIVE)
    }
}

impl std::ops::AddAssign for Observations {
    fn add_assign(&mut self, more: Observations) {
        self.intervals = self.intervals.saturating_add(more.intervals);
        self.changed = self.changed.saturating_add(more.changed);
        self.span_us += more.span_us;
    }
}

/// What is known of a page's state on the site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signs {
    /// Nothing tells of a change since its last reading. It may have changed all the same.
    Quiet,
    /// Its row, which its parent shows, differs: it was last seen as it was read at `after_us`, and otherwise at `by_us`.
    Changed {
        /// Last time without the change.
        after_us: i64,
        /// First time with it.
        by_us: i64,
    },
    /// Its last reading does not count: it failed, or was in doubt, or was made by another version of the profile.
    Distrusted,
}

/// What is known of a page from earlier readings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReadingHistory {
    /// When it was last read or given up; `None` if it never was. A page that always fails waits its turn again each
    /// time, as if it had been read, so that it takes no other's.
    pub tried_us: Option<i64>,
    /// What is known of its state.
    pub signs: Signs,
    /// How it changed so far.
    pub seen: Observations,
}

impl ReadingHistory {
    /// Since when the stored rows of the page have been out of date, as far as can be expected: [`NEVER_READ`], or a moment
    /// from its last reading to `now_us`.
    #[must_use]
    pub fn stale_since_us(&self, siblings: &Observations, now_us: i64) -> i64 {
        let Some(tried_us) = self.tried_us else {
            return NEVER_READ;
        };
        // Clocks are set back now and then.
        let now_us = now_us.max(tried_us);
        let rate = self.seen.rate(siblings);
        let since = match self.signs {
            Signs::Distrusted => tried_us,
            Signs::Quiet => after(tried_us, good_time(rate, length(tried_us, now_us))),
            Signs::Changed { after_us, by_us } => {
                after(after_us, first_change(rate, length(after_us, by_us)))
            }
        };
        since.clamp(tried_us, now_us).max(NEVER_READ + 1)
    }
}

/// How much of `time` a page stays as it is, on average: `∫ P(unchanged until t) dt = (1 - exp(-rate time)) / rate`.
fn good_time(rate: f64, time: f64) -> f64 {
    let expected = rate * time;
    if expected < 1e-9 {
        return time;
    }
    -(-expected).exp_m1() / expected * time
}

/// When a page changed first within `time`, on average, if it did: `1 / rate - time / (exp(rate time) - 1)`. A page that
/// hardly ever changes did so in the middle, a busy one at once.
fn first_change(rate: f64, time: f64) -> f64 {
    let expected = rate * time;
    if expected < 1e-4 {
        // Where the difference of two large numbers would be all rounding.
        return (0.5 - expected / 12.0) * time;
    }
    (1.0 / expected - 1.0 / expected.exp_m1()) * time
}

fn length(from_us: i64, to_us: i64) -> f64 {
    to_us.saturating_sub(from_us).max(0) as f64
}

fn after(moment_us: i64, time: f64) -> i64 {
    moment_us.saturating_add(time as i64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: i64 = 86_400_000_000;
    const WEEK: i64 = 7 * DAY;

    fn weeks(intervals: u64, changed: u64) -> Observations {
        Observations {
            intervals,
            changed,
            span_us: intervals as f64 * WEEK as f64,
        }
    }

    fn observations() -> impl Strategy<Value = Observations> {
        (0u64..2000, 0u64..2000, 0.0f64..1e25).prop_map(|(intervals, changed, span_us)| Observations {
            intervals,
            changed,
            span_us,
        })
    }

    fn signs() -> impl Strategy<Value = Signs> {
        prop_oneof![
            Just(Signs::Quiet),
            Just(Signs::Distrusted),
            (any::<i64>(), any::<i64>()).prop_map(|(after_us, by_us)| Signs::Changed { after_us, by_us }),
        ]
    }

    proptest! {
        #[test]
        fn a_rate_is_a_number_above_zero(own in observations(), siblings in observations()) {
            let rate = own.rate(&siblings);
            prop_assert!(rate > 0.0 && rate.is_finite(), "{rate}");
        }

        #[test]
        fn more_changes_are_a_higher_rate(intervals in 1u64..500, changed in 0u64..499, siblings in observations()) {
            prop_assume!(changed < intervals);
            let (fewer, more) = (weeks(intervals, changed), weeks(intervals, changed + 1));
            prop_assert!(fewer.rate(&siblings) < more.rate(&siblings));
        }

        #[test]
        fn a_moment_lies_between_the_last_reading_and_now(
            tried_us in 1i64..i64::MAX, waited in 0i64..i64::MAX, signs in signs(),
            seen in observations(), siblings in observations(),
        ) {
            let now_us = tried_us.saturating_add(waited);
            let page = ReadingHistory { tried_us: Some(tried_us), signs, seen };
            let since = page.stale_since_us(&siblings, now_us);
            prop_assert!((tried_us..=now_us).contains(&since), "{since}");
            prop_assert!(since > NEVER_READ);
        }

        /// Nothing starves: what waits is older than what was read meanwhile, as soon as it has waited twice as long as
        /// that, whatever their rates. A change that is known is older than everything read after it was seen.
        #[test]
        fn who_waits_comes_before_who_was_read(
            rate_of_waiting in 0u64..=50, rate_of_read in 0u64..=50, waited in 1i64..100,
        ) {
            let now_us = 1000 * WEEK;
            let seen_us = now_us - waited * WEEK;
            let signs = Signs::Changed { after_us: seen_us - WEEK, by_us: seen_us };
            let known = ReadingHistory { tried_us: Some(1), signs, seen: weeks(50, rate_of_waiting) };
            let read = ReadingHistory {
                tried_us: Some(seen_us), signs: Signs::Quiet, seen: weeks(50, rate_of_read),
            };
            let (siblings, none) = (weeks(500, 100), Observations::default());
            prop_assert!(known.stale_since_us(&siblings, now_us) < read.stale_since_us(&none, now_us));
        }

        /// The formulas against what they are the closed form of.
        #[test]
        fn closed_forms_are_the_integrals(rate in 0.001f64..30.0, time in 0.01f64..10.0) {
            let steps = 20_000;
            let step = time / f64::from(steps);
            let (mut good, mut first) = (0.0, 0.0);
            for n in 0..steps {
                let t = (f64::from(n) + 0.5) * step;
                good += (-rate * t).exp() * step;
                first += t * rate * (-rate * t).exp() * step;
            }
            let changed = 1.0 - (-rate * time).exp();
            prop_assert!((good_time(rate, time) - good).abs() < 1e-3 * time);
            prop_assert!((first_change(rate, time) - first / changed).abs() < 1e-3 * time);
        }
    }

    /// Draws pages of known rates, looks at them weekly, and estimates the rates again.
    #[test]
    fn the_rate_of_a_page_is_found_again_although_changes_hide_each_other() {
        let mut random = fraction();
        for rate_a_week in [0.05, 0.3, 1.0, 2.5] {
            let (mut estimates, pages) = (0.0, 400);
            for _ in 0..pages {
                let changes_a_week = (0..200)
                    .filter(|_| random() < 1.0 - f64::exp(-rate_a_week))
                    .count() as u64;
                let own = weeks(200, changes_a_week);
                estimates += own.rate(&own) * WEEK as f64;
            }
            let mean = estimates / f64::from(pages);
            assert!((mean / rate_a_week - 1.0).abs() < 0.1, "{mean} of {rate_a_week}");
        }
    }

    /// Fractions from 0 to 1, the same each time (splitmix64).
    fn fraction() -> impl FnMut() -> f64 {
        let mut state = 7u64;
        move || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut bits = state;
            bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((bits ^ (bits >> 31)) >> 11) as f64 / (1u64 << 53) as f64
        }
    }

    #[test]
    fn a_page_that_was_hardly_looked_at_is_taken_for_one_of_its_siblings() {
        let (busy, calm) = (weeks(1000, 900), weeks(1000, 10));
        let unknown = Observations::default();
        let ratio = unknown.rate(&busy) / busy.rate(&busy);
        assert!((0.98..1.02).contains(&ratio), "{ratio}");
        assert!(weeks(2, 0).rate(&busy) > 10.0 * weeks(2, 0).rate(&calm));
        // Its own history outweighs them.
        let ratio = weeks(500, 50).rate(&busy) / weeks(500, 50).rate(&calm);
        assert!(ratio < 1.1, "{ratio}");
    }

    #[test]
    fn what_was_never_read_comes_before_all_else() {
        let never = ReadingHistory {
            tried_us: None,
            signs: Signs::Distrusted,
            seen: Observations::default(),
        };
        assert_eq!(never.stale_since_us(&weeks(10, 5), WEEK), NEVER_READ);
    }

    #[test]
    fn a_change_is_placed_between_the_two_looks_and_earlier_on_a_busy_page() {
        let signs = Signs::Changed {
            after_us: 10 * WEEK,
            by_us: 11 * WEEK,
        };
        let page = |changed| ReadingHistory {
            tried_us: Some(WEEK),
            signs,
            seen: weeks(100, changed),
        };
        let since = |changed| page(changed).stale_since_us(&weeks(1000, 10), 20 * WEEK);
        assert!(since(100) < since(50) && since(50) < since(0));
        assert!((10 * WEEK..10 * WEEK + 2 * DAY).contains(&since(100)));
        assert!((10 * WEEK + 3 * DAY..10 * WEEK + 4 * DAY).contains(&since(0)));
    }

    #[test]
    fn a_page_without_signs_is_worth_more_the_busier_it_is_and_the_longer_ago_it_was_read() {
        let page = |changed, ago| ReadingHistory {
            tried_us: Some(100 * WEEK - ago),
            signs: Signs::Quiet,
            seen: weeks(50, changed),
        };
        let since = |changed, ago| page(changed, ago).stale_since_us(&weeks(100, 10), 100 * WEEK);
        assert!(since(45, 2 * WEEK) < since(5, 2 * WEEK));
        assert!(since(5, 8 * WEEK) < since(5, 2 * WEEK));
        // A calm one that was not read for long is worth as much as a busy one read lately.
        assert!(since(5, 20 * WEEK) < since(45, 2 * WEEK));
    }

    #[test]
    fn a_page_that_failed_waits_as_if_it_had_been_read() {
        let page = ReadingHistory {
            tried_us: Some(9 * WEEK),
            signs: Signs::Changed {
                after_us: WEEK,
                by_us: 2 * WEEK,
            },
            seen: weeks(9, 3),
        };
        assert_eq!(page.stale_since_us(&weeks(9, 3), 10 * WEEK), 9 * WEEK);
    }
}
