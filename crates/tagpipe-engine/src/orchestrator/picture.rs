//! What an orchestrator shows while it works: the run, and each seat with who sits in it.

use serde::Serialize;
use tokio::time::Instant;

use crate::status::RunStatus;
use crate::summary::RunnerSummary;

/// A picture of a run with its runners.
#[derive(Debug, Clone, Default)]
pub struct Orchestration {
    /// The run, as last seen in the database; `None` until it has been.
    pub status: Option<RunStatus>,
    /// The runners' seats, in order.
    pub seats: Vec<SeatPicture>,
    /// Whether everything is being stopped.
    pub stopping: bool,
}

/// One runner's seat.
#[derive(Debug, Clone, Serialize)]
pub struct SeatPicture {
    /// Its name.
    pub runner_id: String,
    /// `running`, `starting`, `waiting`, `done`, `stopped` or `given up`.
    pub state: &'static str,
    /// Why the last process ended, or the seat is empty, in words; empty if there is nothing to say.
    pub why: String,
    /// What the database knows of it.
    pub summary: Option<RunnerSummary>,
    /// Pages read a second, lately.
    pub pages_per_s: f64,
}

/// How fast something grows, over the last ten seconds or so.
#[derive(Debug, Clone, Copy)]
pub(super) struct Speed {
    earlier: (Instant, u64),
    later: (Instant, u64),
}

impl Speed {
    pub(super) fn new(now: Instant, count: u64) -> Speed {
        Speed {
            earlier: (now, count),
            later: (now, count),
        }
    }

    /// Takes a new count in and tells the growth a second.
    pub(super) fn watch(&mut self, now: Instant, count: u64) -> f64 {
        if (now - self.later.0).as_secs_f64() >= 5.0 {
            (self.earlier, self.later) = (self.later, (now, count));
        }
        let elapsed = (now - self.earlier.0).as_secs_f64();
        if elapsed < 0.5 {
            return 0.0;
        }
        count.saturating_sub(self.earlier.1) as f64 / elapsed
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn speed_follows_what_happens_lately() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut speed = Speed::new(start, 100);
        assert_eq!(speed.watch(at(2), 120), 10.0);
        for second in 3..=10 {
            speed.watch(at(second), 100 + second * 10);
        }
        for second in 11..=30 {
            speed.watch(at(second), 200);
        }
        assert_eq!(speed.watch(at(31), 200), 0.0, "nothing has come for 20 s");
    }
}
