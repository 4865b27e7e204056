//! The regular look at all runners: what they show is gathered here, and judged by the rules of
//! [`health`](super::super::health).

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::Instant;

use super::super::health::{Complaint, Reads, Signs, Tolerance, examine};
use super::super::process::RunnerProcess;
use super::super::seat::{Seat, SeatState};
use super::{Watched, Watching};
use crate::error::RunError;
use crate::status::{RunStatus, run_status};
use crate::summary::RunnerSummary;

/// Longest time from the start of a process to its entry in the database, which is the first thing that it does.
const START_WITHIN: Duration = Duration::from_secs(60);
/// Longest time with pages in hand and no counter moving, beside what the pace itself takes.
const IDLE_MAX: Duration = Duration::from_secs(300);
/// How long the database must have answered again before a runner's silence is its own.
const SETTLED_AFTER: Duration = Duration::from_secs(15);
/// Checks after which the share of failed reads is counted anew.
const CHECKS_COUNTED: u32 = 6;
/// How long runners may take to end after the run has.
const END_WITHIN: Duration = Duration::from_secs(30);

impl Watching<'_> {
    /// Looks all runners over, and gives up those that hang.
    pub(super) async fn check(&mut self, now: Instant) -> Result<(), RunError> {
        let beat = self.store.report_orchestrator(self.run, &self.instance);
        if self.answers.ask("report", beat).await == Some(false) {
            return Err(RunError::Usage(format!(
                "another process orchestrates run {} now; its runners go on without this one",
                self.run
            )));
        }
        self.sweep("its process is gone").await;
        if let Some(since) = self.run_ended {
            // What is left to do is ending.
            if now - since > END_WITHIN {
                self.seats
                    .iter()
                    .filter_map(Seat::process)
                    .for_each(RunnerProcess::kill);
            }
            return Ok(());
        }
        let status = self
            .answers
            .ask("how the run stands", run_status(&self.store, self.run));
        let Some(Some(status)) = status.await else {
            return Ok(());
        };
        if status.run.is_over() {
            self.run_ended = Some(now);
            return Ok(());
        }
        let owners = self
            .answers
            .ask("who holds pages", self.store.lease_owners(self.run));
        let owners: HashSet<String> = owners.await.unwrap_or_default().into_iter().collect();
        self.checks += 1;
        self.examine_all(&status, &owners, now).await;
        Ok(())
    }

    async fn examine_all(&mut self, status: &RunStatus, owners: &HashSet<String>, now: Instant) {
        let tolerance = self.tolerance(status, now);
        let lately: Vec<Reads> = self
            .seats
            .iter()
            .map(|seat| self.reads_lately(seat, &status.runners))
            .collect();
        let all = lately.iter().fold(Reads::default(), |sum, reads| Reads {
            all: sum.all + reads.all,
            bad: sum.bad + reads.bad,
        });
        let complaints: Vec<(usize, Complaint)> = (0..self.seats.len())
            .filter_map(|number| {
                let others = Reads {
                    all: all.all - lately[number].all,
                    bad: all.bad - lately[number].bad,
                };
                let signs = self.signs(number, status, owners, (lately[number], others), now)?;
                Some((number, examine(&signs, &tolerance)?))
            })
            .collect();
        for (number, complaint) in complaints {
            self.act_on(number, &complaint);
        }
        if self.checks.is_multiple_of(CHECKS_COUNTED) {
            for runner in &status.runners {
                if let Some(watched) = self.watched.get_mut(&runner.runner_id) {
                    watched.counted = Reads::from(runner);
                }
            }
        }
    }

    fn act_on(&mut self, number: usize, complaint: &Complaint) {
        let seat = &mut self.seats[number];
        let SeatState::Taken { process, leaving, .. } = &mut seat.state else {
            return;
        };
        let (Complaint::Hangs(why) | Complaint::Unwell(why)) = complaint;
        tracing::warn!("{} is to be replaced: {why}", seat.runner_id);
        if matches!(complaint, Complaint::Hangs(_)) || leaving.is_some() {
            // Its end by our own hand tells nothing; the reason does.
            leaving.get_or_insert_with(|| why.clone());
            process.kill();
        } else {
            *leaving = Some(why.clone());
            process.ask_to_stop();
        }
    }

    fn tolerance(&self, status: &RunStatus, now: Instant) -> Tolerance {
        let term = self.of.pipeline.settings().lease_term;
        // A silence that began while the database was away is not the runner's: it may take a moment to come back.
        let settled = (term * 2).min(SETTLED_AFTER);
        let answered = self.answers.since().is_some_and(|since| now - since > settled);
        let brake = &status.brake;
        let pace = Duration::try_from_secs_f64(status.interval_s).unwrap_or_default() + brake.extra;
        let turn = pace.saturating_mul(u32::try_from(4 * self.seats.len()).unwrap_or(u32::MAX));
        Tolerance {
            silence: answered.then_some(term),
            start: START_WITHIN,
            idle: brake.blocked_for.is_zero().then(|| IDLE_MAX.saturating_add(turn)),
            memory_bytes: self.of.settings.runner_memory_max,
        }
    }

    /// What the runner in a seat shows; `None` if nobody sits in it, or nothing can be told yet.
    fn signs(
        &mut self,
        number: usize,
        status: &RunStatus,
        owners: &HashSet<String>,
        (lately, others_lately): (Reads, Reads),
        now: Instant,
    ) -> Option<Signs> {
        let seat = &self.seats[number];
        let SeatState::Taken { since, process, .. } = &seat.state else {
            return None;
        };
        let age = now - *since;
        let own = status.processes.iter().rev().find(|own| {
            own.runner_id == seat.runner_id
                && own.state == "running"
                && own.working_s <= own_age_s(process, age)
        });
        let runner = status
            .runners
            .iter()
            .find(|runner| runner.runner_id == seat.runner_id);
        let (pages, count) = runner.map_or((0, 0), |runner| (runner.pages, Reads::from(runner).all));
        let watched = self
            .watched
            .entry(seat.runner_id.clone())
            .or_insert_with(|| Watched::new(now, pages, count));
        if watched.moved.0 != count {
            watched.moved = (count, now);
        }
        Some(Signs {
            silent: own.map(|own| Duration::from_secs_f64(own.silent_s)),
            age,
            idle: (now - watched.moved.1).min(age),
            holds_pages: own.is_some_and(|own| owners.contains(&own.instance)),
            memory_bytes: own.map_or(0, |own| own.memory_bytes),
            lately,
            others_lately,
        })
    }

    fn reads_lately(&self, seat: &Seat, runners: &[RunnerSummary]) -> Reads {
        let runner = runners.iter().find(|runner| runner.runner_id == seat.runner_id);
        let (Some(runner), Some(watched)) = (runner, self.watched.get(&seat.runner_id)) else {
            return Reads::default();
        };
        let now = Reads::from(runner);
        Reads {
            all: now.all.saturating_sub(watched.counted.all),
            bad: now.bad.saturating_sub(watched.counted.bad),
        }
    }
}

/// How long the process in a seat can have been at work, in seconds: an entry older than that is its predecessor's.
fn own_age_s(process: &RunnerProcess, age: Duration) -> f64 {
    match process {
        RunnerProcess::Started { .. } => age.as_secs_f64() + 1.0,
        RunnerProcess::Found { .. } => f64::INFINITY,
    }
}
