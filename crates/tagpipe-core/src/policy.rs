//! What each outcome of a read leads to: the one table, and the arithmetic of waiting.

use std::time::Duration;

use crate::outcome::{Cause, Outcome, Witness};

/// How often and how patiently a page is tried again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetryPolicy {
    /// Reads after the first one that a page's own failures may cost (`--max-retries`).
    pub max_retries: u32,
    /// Growth of the pause from one failure to the next (`--retry-backoff`), at least 1.
    pub backoff: f64,
    /// Longest pause before the first retry.
    pub first_pause: Duration,
    /// Longest pause at all.
    pub max_pause: Duration,
    /// How many not-found screens at a calm pace make a page truly not found.
    pub not_found_after: u32,
    /// How many refusals one page may meet before it counts as failed: the bound that keeps a page
    /// which always answers 503 from being asked for ever.
    pub max_refusals: u32,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        RetryPolicy {
            max_retries: 3,
            backoff: 2.0,
            first_pause: Duration::from_secs(2),
            max_pause: Duration::from_secs(300),
            not_found_after: 3,
            max_refusals: 40,
        }
    }
}

/// What is known of a page from its earlier reads in this run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PageHistory {
    /// Reads that failed for the page's own reasons.
    pub failures: u32,
    /// Reads the site refused.
    pub refusals: u32,
    /// Not-found screens seen while the brake was open.
    pub calm_not_founds: u32,
    /// Fingerprint of the rows of the last read that was incomplete or empty.
    pub last_rows_hash: Option<u64>,
}

/// What to do with the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Commit its rows; the page is completed.
    Commit {
        /// Why it deserves a WARNING all the same, if it does.
        warning: Option<String>,
    },
    /// Read it again, not before this pause is over; the worker is free meanwhile.
    Retry {
        /// Pause from now.
        after: Duration,
    },
    /// Give it up; nothing else stops.
    Fail,
    /// Leave it out: robots.
    Skip,
    /// The site asks for a person: give the page back and stop the run.
    StopRun,
}

impl RetryPolicy {
    /// `outcome` in the light of what was seen before: a not-found screen is believed once it came
    /// `not_found_after` times while the brake was open (`calm`).
    #[must_use]
    pub fn interpret(&self, outcome: Outcome, history: &PageHistory, calm: bool) -> Outcome {
        let believed = calm && history.calm_not_founds + 1 >= self.not_found_after;
        match outcome {
            Outcome::SuspectedSoft404 if believed => Outcome::NotFound,
            other => other,
        }
    }

    /// The table of what each outcome leads to.
    ///
    /// `rows_hash` is the fingerprint of what was read this time, `random` is uniform in [0, 1).
    #[must_use]
    pub fn decide(
        &self,
        outcome: &Outcome,
        history: &PageHistory,
        rows_hash: Option<u64>,
        random: f64,
    ) -> Decision {
        let same_twice = rows_hash.is_some() && rows_hash == history.last_rows_hash;
        let retry_or = |otherwise: Decision| {
            if history.failures < self.max_retries {
                Decision::Retry {
                    after: self.pause(history.failures, random),
                }
            } else {
                otherwise
            }
        };
        match outcome {
            Outcome::Complete => Decision::Commit { warning: None },
            // The page's own pager or TOTALS says that it was not ready: no number of equal reads makes a
            // short page whole, so all retries are spent before it is kept with a warning.
            Outcome::Incomplete {
                by: Witness::Page, ..
            } => retry_or(Decision::Commit {
                warning: Some(outcome.to_string()),
            }),
            // The parent may simply be older than the page: the same twice in a row is believed.
            Outcome::Incomplete {
                by: Witness::Parent, ..
            } if same_twice => Decision::Commit {
                warning: Some(outcome.to_string()),
            },
            Outcome::Incomplete {
                by: Witness::Parent, ..
            } => retry_or(Decision::Commit {
                warning: Some(outcome.to_string()),
            }),
            Outcome::Empty if same_twice => Decision::Commit {
                warning: Some(outcome.to_string()),
            },
            Outcome::Empty | Outcome::Timeout { .. } | Outcome::Network { .. } => retry_or(Decision::Fail),
            Outcome::LayoutChanged { .. } => retry_or(Decision::Fail),
            Outcome::NotFound => Decision::Fail,
            Outcome::SuspectedSoft404 | Outcome::RateLimited { .. } | Outcome::Busy { .. } => {
                self.after_refusal(outcome, history, random)
            }
            Outcome::DeniedByRobots => Decision::Skip,
            Outcome::Blocked { .. } => Decision::StopRun,
        }
    }

    fn after_refusal(&self, outcome: &Outcome, history: &PageHistory, random: f64) -> Decision {
        if history.refusals >= self.max_refusals {
            return Decision::Fail;
        }
        let pause = self.pause(history.refusals, random);
        Decision::Retry {
            after: outcome.retry_after().map_or(pause, |asked| asked.max(pause)),
        }
    }

    /// Exponential backoff with full jitter: uniform between zero and
    /// `first_pause * backoff^failures`, at most `max_pause`.
    /// <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>
    #[must_use]
    pub fn pause(&self, failures: u32, random: f64) -> Duration {
        let growth = self.backoff.powi(i32::try_from(failures).unwrap_or(i32::MAX));
        let ceiling = (self.first_pause.as_secs_f64() * growth).min(self.max_pause.as_secs_f64());
        Duration::from_secs_f64(ceiling * random.clamp(0.0, 1.0))
    }
}

impl PageHistory {
    /// The history after a read with this outcome that did not complete the page.
    #[must_use]
    pub fn after(&self, cause: Cause, rows_hash: Option<u64>, calm: bool) -> PageHistory {
        PageHistory {
            failures: self.failures + u32::from(!cause.is_refusal()),
            refusals: self.refusals + u32::from(cause.is_refusal()),
            calm_not_founds: self.calm_not_founds + u32::from(cause == Cause::Soft404 && calm),
            last_rows_hash: rows_hash,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const POLICY: RetryPolicy = RetryPolicy {
        max_retries: 3,
        backoff: 2.0,
        first_pause: Duration::from_secs(1),
        max_pause: Duration::from_secs(60),
        not_found_after: 3,
        max_refusals: 5,
    };

    fn short(by: Witness) -> Outcome {
        Outcome::Incomplete { have: 3, want: 7, by }
    }

    fn history(failures: u32) -> PageHistory {
        PageHistory {
            failures,
            ..PageHistory::default()
        }
    }

    #[test]
    fn a_page_that_contradicts_itself_is_read_until_the_retries_are_spent() {
        let seen = PageHistory {
            last_rows_hash: Some(1),
            ..history(1)
        };
        let decide = |history: &PageHistory| POLICY.decide(&short(Witness::Page), history, Some(1), 0.5);
        assert!(matches!(decide(&seen), Decision::Retry { .. }));
        assert!(matches!(
            decide(&history(3)),
            Decision::Commit { warning: Some(_) }
        ));
    }

    #[test]
    fn a_page_that_contradicts_only_its_parent_is_believed_the_second_time() {
        let decide = |history: &PageHistory| POLICY.decide(&short(Witness::Parent), history, Some(1), 0.5);
        assert!(matches!(decide(&history(0)), Decision::Retry { .. }));
        let same = PageHistory {
            last_rows_hash: Some(1),
            ..history(1)
        };
        assert!(matches!(decide(&same), Decision::Commit { warning: Some(_) }));
        let other = PageHistory {
            last_rows_hash: Some(2),
            ..history(1)
        };
        assert!(matches!(decide(&other), Decision::Retry { .. }));
    }

    #[test]
    fn not_found_is_believed_only_repeatedly_and_calmly() {
        let seen = PageHistory {
            calm_not_founds: 2,
            refusals: 2,
            ..PageHistory::default()
        };
        let fresh = PageHistory::default();
        let interpret = |history, calm| POLICY.interpret(Outcome::SuspectedSoft404, history, calm);
        let decide = |outcome| POLICY.decide(&outcome, &seen, None, 0.5);
        assert_eq!(interpret(&fresh, true), Outcome::SuspectedSoft404);
        assert_eq!(interpret(&seen, true), Outcome::NotFound);
        assert_eq!(decide(interpret(&seen, true)), Decision::Fail);
        assert!(matches!(decide(interpret(&seen, false)), Decision::Retry { .. }));
    }

    #[test]
    fn refusals_do_not_use_up_retries_but_are_bounded() {
        let busy = Outcome::Busy {
            status: 503,
            retry_after: Some(Duration::from_secs(30)),
        };
        let refused = |refusals| PageHistory {
            refusals,
            failures: 3,
            ..PageHistory::default()
        };
        assert_eq!(
            POLICY.decide(&busy, &refused(4), None, 0.0),
            Decision::Retry {
                after: Duration::from_secs(30)
            }
        );
        assert_eq!(POLICY.decide(&busy, &refused(5), None, 0.0), Decision::Fail);
    }

    #[test]
    fn robots_skips_and_a_captcha_stops_the_run() {
        let decide = |outcome: &Outcome| POLICY.decide(outcome, &history(0), None, 0.5);
        assert_eq!(decide(&Outcome::DeniedByRobots), Decision::Skip);
        assert_eq!(
            decide(&Outcome::Blocked { by: "captcha".into() }),
            Decision::StopRun
        );
    }

    proptest! {
        #[test]
        fn a_pause_stays_within_its_bounds(failures in 0u32..2000, random in 0.0f64..1.0) {
            let pause = POLICY.pause(failures, random);
            prop_assert!(pause <= POLICY.max_pause);
            let ceiling = 2.0_f64.powi(failures.min(10) as i32).min(60.0);
            prop_assert!(failures > 10 || pause.as_secs_f64() <= ceiling);
        }

        #[test]
        fn every_page_ends(refused in proptest::collection::vec(any::<bool>(), 20)) {
            let mut history = PageHistory::default();
            let mut ended = false;
            for is_refusal in refused {
                let outcome = if is_refusal {
                    Outcome::RateLimited { retry_after: None }
                } else {
                    Outcome::Network { detail: "reset".into() }
                };
                match POLICY.decide(&outcome, &history, None, 0.5) {
                    Decision::Retry { .. } => history = history.after(outcome.cause(), None, true),
                    _ => { ended = true; break; }
                }
            }
            prop_assert!(ended, "20 failures end every page: 3 retries and 5 refusals are less");
        }
    }
}
