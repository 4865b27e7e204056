//! Where a run begins: as a new one, or where an earlier one was left.

use std::time::Duration;

use serde_json::json;
use tagpipe_core::filter::Filters;
use tagpipe_core::lifecycle::{PageState, RunState};
use tagpipe_store::contract::RunId;
use tagpipe_store::{Resumed, RunRecord, RunningRunner, StoreError};

use super::Pipeline;
use super::seed::{ensure_something_to_read, seed};
use crate::error::RunError;
use crate::settings::Site;

impl Pipeline {
    pub(super) async fn begin(&self, site: &Site) -> Result<RunId, RunError> {
        let scale: Vec<_> = self
            .profile
            .scale()
            .iter()
            .map(|entry| {
                (
                    entry.code.to_string(),
                    entry.value.map(|value| value.as_f64()),
                    entry.label.clone(),
                )
            })
            .collect();
        self.store.set_grade_scale(&scale).await?;
        let (start_from, filters) = (self.settings.start_from, &self.settings.filters);
        ensure_something_to_read(&self.parents, start_from, filters).await?;
        // The run and its first pages are one transaction: a run that is there has all of them.
        let mut seeding = self.store.begin_run(&self.stored_config(site)).await?;
        let pages = seed(&mut seeding, &self.parents, &self.profile, start_from, filters).await?;
        let run = seeding.commit().await?;
        tracing::info!(run, pages, start_from = %start_from, "run started");
        Ok(run)
    }

    pub(super) fn stored_config(&self, site: &Site) -> serde_json::Value {
        json!({
            "site": site,
            "filters": self.settings.filters,
            "start_from": self.settings.start_from,
            "concurrency": self.settings.concurrency,
            "delay_s": self.settings.delay.as_secs_f64(),
            "interval_s": self.settings.interval.as_secs_f64(),
            "max_retries": self.settings.retry.max_retries,
            "retry_backoff": self.settings.retry.backoff,
        })
    }

    pub(super) async fn find_run(&self, id: Option<RunId>) -> Result<RunRecord, RunError> {
        let found = match id {
            Some(id) => self.store.run(id).await?,
            None => self.store.newest_unfinished_run().await?,
        };
        let record = found.ok_or_else(|| {
            RunError::NothingToDo(match id {
                Some(id) => format!("there is no run {id} in this database"),
                None => {
                    "no run was left unfinished in this database; start one with `tagpipe run`".to_owned()
                }
            })
        })?;
        if self.store.frontier_counts(record.id).await?.open() == 0 && record.state == RunState::Reconciled {
            return Err(RunError::NothingToDo(format!(
                "run {} is finished ({}): every page has been dealt with; start a new one with `tagpipe run`",
                record.id, record.state
            )));
        }
        Ok(record)
    }

    /// A run keeps its filters and its site: pages found before and after an interruption belong together.
    pub(super) fn adopt_settings(&mut self, record: &RunRecord, site: &Site) -> Result<(), RunError> {
        let damaged = |error| {
            let what = format!("the stored settings of run {} cannot be read: {error}", record.id);
            RunError::Store(StoreError::Bug(what))
        };
        let stored: Site = serde_json::from_value(record.config["site"].clone()).map_err(damaged)?;
        if stored.origin != site.origin {
            return Err(RunError::Usage(format!(
                "run {} reads {}, not {}; give the same --base-url, or start a new run",
                record.id, stored.origin, site.origin
            )));
        }
        // A filter that is lost without a word would read the whole site.
        let filters: Filters = serde_json::from_value(record.config["filters"].clone()).map_err(damaged)?;
        if !self.settings.filters.is_empty() && self.settings.filters != filters {
            return Err(RunError::Usage(format!(
                "run {} was started with other filters; leave them out to resume it, or start a new run",
                record.id
            )));
        }
        self.settings.filters = filters;
        Ok(())
    }

    /// Takes a run up where it was left: pages of processes that are gone become available at once.
    pub(super) async fn take_up(&self, run: RunId) -> Result<Resumed, RunError> {
        let mut taken_back = self.store.rescue_expired(run).await?;
        for runner in self.store.running_runners(run).await? {
            match liveness(&runner, self.settings.lease_term) {
                Liveness::Gone => {
                    taken_back += self.store.take_back(run, &runner.identity.instance).await?;
                    self.store.end_runner(&runner.identity.instance, true).await?;
                }
                Liveness::Here => {
                    return Err(RunError::Usage(format!(
                        "run {run} is being worked on by process {} ({}); stop it first",
                        runner.identity.pid, runner.identity.runner_id
                    )));
                }
                Liveness::Elsewhere => {}
            }
        }
        // A run that came to its end is taken up for what was wrong with it: pages given up, sums that disagreed. One
        // that did not, or whose pages somebody chose with `tagpipe retry`, first goes on with what is open.
        if self.store.frontier_counts(run).await?.open() == 0 {
            taken_back += self.store.reopen_failed(run).await?;
        }
        self.store.allow_verification(run).await?;
        let counts = self.store.frontier_counts(run).await?;
        let resumed = Resumed {
            taken_back,
            ready: counts.in_state(PageState::Available) + counts.in_state(PageState::Retryable),
            completed: counts.in_state(PageState::Completed),
            leased_elsewhere: counts.in_state(PageState::Leased),
        };
        tracing::info!(
            run,
            "resuming: {} pages taken back, {} ready, {} completed",
            resumed.taken_back,
            resumed.ready,
            resumed.completed
        );
        self.store.set_run_state(run, RunState::Running, None).await?;
        Ok(resumed)
    }
}

/// Where the process of a runner is.
enum Liveness {
    Gone,
    Here,
    Elsewhere,
}

fn liveness(runner: &RunningRunner, lease_term: Duration) -> Liveness {
    let RunningRunner { identity, silent_for } = runner;
    if identity.host != host_name() {
        return Liveness::Elsewhere;
    }
    // A container gives its process the same id each time: an entry with our own id is a predecessor's. An id
    // may also have passed to another program, which does not beat.
    let is_predecessor = identity.pid == std::process::id();
    if is_predecessor || *silent_for > lease_term || !is_process_alive(identity.pid) {
        Liveness::Gone
    } else {
        Liveness::Here
    }
}

/// Whether a process with this id runs; one that is dead and not yet collected by its parent does not.
pub(crate) fn is_process_alive(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return false;
    };
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    !matches!(state, Some('Z' | 'X') | None)
}

/// Name of this machine.
pub(crate) fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|name| name.trim().to_owned())
        .or_else(|_| std::env::var("HOSTNAME"))
        .unwrap_or_else(|_| "localhost".to_owned())
}
