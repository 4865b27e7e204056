//! A runner's seat: its name stays, its processes come and go. What an exit means, how long a dead one is waited
//! with, and when a seat is given up are rules without a clock or a process.

use std::time::Duration;

use tokio::time::Instant;

use super::process::{Exit, RunnerProcess};
use crate::summary::RunEnd;

/// Longest pause before a runner is started again.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// What the end of a runner's process means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It has done its part: the run is read.
    Done,
    /// Its share of the budget is spent.
    BudgetSpent,
    /// It was asked to stop, and did.
    Stopped,
    /// What it met stops the whole run.
    Alarm(RunEnd),
    /// It died; the text says how.
    Died(String),
    /// Starting it again cannot help; the text says why.
    Hopeless(String),
}

/// What is known of a runner when its process has ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Circumstances<'a> {
    /// The runner's own last word; empty if it had none.
    pub(super) why: &'a str,
    /// Whether it was asked to stop.
    pub(super) asked: bool,
    /// Whether the run is read; `None` if that could not be asked.
    pub(super) is_run_over: Option<bool>,
}

/// What the exit of a process means.
pub(super) fn verdict(exit: Exit, known: Circumstances<'_>) -> Verdict {
    let Circumstances {
        why,
        asked,
        is_run_over,
    } = known;
    let or = |otherwise: &str| {
        if why.is_empty() {
            otherwise.to_owned()
        } else {
            why.to_owned()
        }
    };
    match exit {
        // A script that starts the runner may end as it likes.
        Exit::Code(code @ (0 | 3 | 4)) if is_run_over == Some(false) && !asked => Verdict::Died(or(
            &format!("it ended with exit code {code} although the run goes on"),
        )),
        Exit::Code(0 | 3 | 4) => Verdict::Done,
        Exit::Code(5) => Verdict::BudgetSpent,
        Exit::Code(6) => Verdict::Alarm(RunEnd::KeptRefusing(or("the site kept refusing"))),
        Exit::Code(8) => Verdict::Alarm(RunEnd::LayoutChanged(or("the layout no longer fits the profile"))),
        Exit::Code(130 | 143) if asked => Verdict::Stopped,
        Exit::Code(130 | 143) => Verdict::Died("somebody stopped it".to_owned()),
        Exit::Code(2) => Verdict::Hopeless(or("it does not take its settings (exit code 2)")),
        Exit::Code(7) => Verdict::Died(or("its database went away (exit code 7)")),
        Exit::Code(code) => Verdict::Died(or(&format!("it ended with exit code {code}"))),
        Exit::Signal(_) | Exit::Unknown if asked => Verdict::Stopped,
        Exit::Signal(signal) => Verdict::Died(format!("it was killed by signal {signal}")),
        // How it ended is not known, but what it worked on is: done.
        Exit::Unknown if is_run_over == Some(true) => Verdict::Done,
        Exit::Unknown => Verdict::Died(or("its process is gone")),
    }
}

/// How a seat stands.
pub(super) enum SeatState {
    /// A process is to be started then.
    Waiting { until: Instant },
    /// A process is at work.
    Taken {
        process: RunnerProcess,
        since: Instant,
        /// Why it was asked to make room for another one, if it was.
        leaving: Option<String>,
    },
    /// No process is wanted any more.
    Empty(Verdict),
}

pub(super) struct Seat {
    pub(super) runner_id: String,
    pub(super) state: SeatState,
    /// Deaths without a page read in between.
    deaths: u32,
    /// Why the last process ended, in words; empty at first.
    pub(super) last_why: String,
    /// Reads by this runner before this orchestrator began, against its share of the budget.
    pub(super) reads_before: u64,
    /// Whether it is filled again: not if it is left over from a predecessor that kept more runners.
    pub(super) is_kept: bool,
}

impl Seat {
    pub(super) fn new(runner_id: String, now: Instant) -> Seat {
        Seat {
            runner_id,
            state: SeatState::Waiting { until: now },
            deaths: 0,
            last_why: String::new(),
            reads_before: 0,
            is_kept: true,
        }
    }

    /// The seat of a runner that is not wanted any more.
    pub(super) fn left_over(runner_id: String, now: Instant) -> Seat {
        Seat {
            is_kept: false,
            ..Seat::new(runner_id, now)
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        matches!(self.state, SeatState::Empty(_))
    }

    /// The process at work, if one is.
    pub(super) fn process(&self) -> Option<&RunnerProcess> {
        match &self.state {
            SeatState::Taken { process, .. } => Some(process),
            _ => None,
        }
    }

    /// Takes in that its process has ended so. `excused` when the death does not count with those
    /// before it: the process has read something, or nobody could have lived.
    pub(super) fn vacate(&mut self, verdict: Verdict, excused: bool, limits: &Limits, now: Instant) {
        let leaving = match &mut self.state {
            SeatState::Taken { leaving, .. } => leaving.take(),
            _ => None,
        };
        self.state = match verdict {
            Verdict::Died(_) | Verdict::Hopeless(_) if !self.is_kept => SeatState::Empty(Verdict::Stopped),
            Verdict::Died(why) => self.after_death(why, excused, limits, now),
            // It was asked to make room for another one.
            Verdict::Stopped if leaving.is_some() && self.is_kept => {
                self.after_death(leaving.unwrap_or_default(), excused, limits, now)
            }
            Verdict::Hopeless(why) => {
                self.last_why = why.clone();
                SeatState::Empty(Verdict::Hopeless(why))
            }
            other => SeatState::Empty(other),
        };
    }

    fn after_death(&mut self, why: String, excused: bool, limits: &Limits, now: Instant) -> SeatState {
        self.deaths = if excused { 1 } else { self.deaths + 1 };
        self.last_why = why;
        if self.deaths >= limits.deaths_max {
            let why = format!("{} deaths in a row, the last one: {}", self.deaths, self.last_why);
            return SeatState::Empty(Verdict::Hopeless(why));
        }
        SeatState::Waiting {
            until: now + limits.pause_after(self.deaths),
        }
    }
}

/// How patient an orchestrator is with dying runners.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Deaths in a row after which a seat is given up.
    pub(super) deaths_max: u32,
    /// Pause before a runner that died once is started again; it doubles with each further death in a row.
    pub(super) first_pause: Duration,
}

impl Limits {
    fn pause_after(&self, deaths: u32) -> Duration {
        let growth = 2_u32.saturating_pow(deaths.saturating_sub(1).min(16));
        self.first_pause.saturating_mul(growth).min(PAUSE_MAX)
    }
}

/// Seat `number`'s share of a budget for all `seats`: the shares add up to it, and differ by one at most.
pub(super) fn share(budget: u64, number: usize, seats: usize) -> u64 {
    let (number, seats) = (number as u64, seats.max(1) as u64);
    budget / seats + u64::from(number < budget % seats)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        deaths_max: 5,
        first_pause: Duration::from_secs(1),
    };

    fn died() -> Verdict {
        Verdict::Died("killed".into())
    }

    fn pause(seat: &Seat, now: Instant) -> Option<u64> {
        match seat.state {
            SeatState::Waiting { until } => Some((until - now).as_secs()),
            _ => None,
        }
    }

    #[tokio::test]
    async fn a_seat_is_given_up_after_deaths_in_a_row_alone() {
        let now = Instant::now();
        let mut seat = Seat::new("runner_1".into(), now);
        for expected in [1, 2, 4] {
            seat.vacate(died(), false, &LIMITS, now);
            assert_eq!(pause(&seat, now), Some(expected));
        }
        // One that has read something begins anew.
        seat.vacate(died(), true, &LIMITS, now);
        assert_eq!(pause(&seat, now), Some(1));
        for expected in [2, 4, 8] {
            seat.vacate(died(), false, &LIMITS, now);
            assert_eq!(pause(&seat, now), Some(expected));
        }
        seat.vacate(died(), false, &LIMITS, now);
        let SeatState::Empty(Verdict::Hopeless(why)) = &seat.state else {
            panic!("it is given up");
        };
        assert_eq!(why, "5 deaths in a row, the last one: killed");
    }

    #[test]
    fn exits_mean_what_the_exit_codes_say() {
        let known = |asked: bool, is_run_over: Option<bool>| Circumstances {
            why: "own word",
            asked,
            is_run_over,
        };
        for (exit, is_run_over, expected) in [
            (Exit::Code(0), Some(true), Verdict::Done),
            (Exit::Code(0), None, Verdict::Done),
            (Exit::Code(3), Some(false), Verdict::Died("own word".into())),
            (Exit::Unknown, Some(true), Verdict::Done),
            (Exit::Unknown, None, Verdict::Died("own word".into())),
        ] {
            assert_eq!(
                verdict(exit, known(false, is_run_over)),
                expected,
                "{exit:?} {is_run_over:?}"
            );
        }
        for (exit, asked, expected) in [
            (Exit::Code(4), true, Verdict::Done),
            (Exit::Code(5), false, Verdict::BudgetSpent),
            (
                Exit::Code(6),
                false,
                Verdict::Alarm(RunEnd::KeptRefusing("own word".into())),
            ),
            (
                Exit::Code(8),
                true,
                Verdict::Alarm(RunEnd::LayoutChanged("own word".into())),
            ),
            (Exit::Code(143), true, Verdict::Stopped),
            (
                Exit::Code(143),
                false,
                Verdict::Died("somebody stopped it".into()),
            ),
            (Exit::Code(2), false, Verdict::Hopeless("own word".into())),
            (Exit::Code(1), false, Verdict::Died("own word".into())),
            (
                Exit::Signal(9),
                false,
                Verdict::Died("it was killed by signal 9".into()),
            ),
            (Exit::Signal(9), true, Verdict::Stopped),
            (Exit::Unknown, false, Verdict::Died("own word".into())),
        ] {
            assert_eq!(
                verdict(exit, known(asked, Some(false))),
                expected,
                "{exit:?} {asked}"
            );
        }
        let wordless = Circumstances {
            why: "",
            ..known(false, Some(false))
        };
        assert_eq!(
            verdict(Exit::Code(0), wordless),
            Verdict::Died("it ended with exit code 0 although the run goes on".into())
        );
        assert_eq!(
            verdict(Exit::Code(101), wordless),
            Verdict::Died("it ended with exit code 101".into())
        );
    }

    #[test]
    fn shares_add_up_to_the_budget() {
        for (budget, seats) in [(0, 3), (2, 5), (20, 3), (500, 5), (u64::MAX, 7)] {
            let shares: Vec<u64> = (0..seats).map(|number| share(budget, number, seats)).collect();
            assert_eq!(shares.iter().sum::<u64>(), budget);
            assert!(shares[0] - shares[seats - 1] <= 1);
        }
    }

    #[tokio::test]
    async fn a_seat_that_is_left_over_is_not_filled_again() {
        let now = Instant::now();
        for verdict in [died(), Verdict::Stopped, Verdict::Hopeless("no".into())] {
            let mut seat = Seat::left_over("runner_9".into(), now);
            seat.vacate(verdict, false, &LIMITS, now);
            assert!(matches!(seat.state, SeatState::Empty(Verdict::Stopped)));
        }
    }

    #[test]
    fn pauses_grow_to_a_minute() {
        assert_eq!(LIMITS.pause_after(7), Duration::from_secs(60));
        assert_eq!(LIMITS.pause_after(u32::MAX), Duration::from_secs(60));
    }
}
