//! Where a run begins: as a new one, or where an earlier one was left.

use std::time::Duration;

use serde_json::json;
use tagpipe_core::filter::Filters;
use tagpipe_core::lifecycle::{PageState, RunState};
use tagpipe_core::profile::SiteProfile;
use tagpipe_store::contract::RunId;
use tagpipe_store::{OrchestratorIdentity, Resumed, RunRecord, RunnerEnd, RunningRunner, StoreError};

use super::Pipeline;
use super::seed::{ensure_something_to_read, seed};
use crate::error::RunError;
use crate::process::{Presence, host_name, presence};
use crate::settings::{Freshness, Site};

impl Pipeline {
    pub(super) async fn begin(&self, site: &Site, orchestrator: Option<&Entry>) -> Result<RunId, RunError> {
        self.store.set_grade_scale(&stored_scale(&self.profile)).await?;
        let (start_from, filters) = (self.settings.start_from, &self.settings.filters);
        ensure_something_to_read(&self.parents, start_from, filters).await?;
        // The run and its first pages are one transaction: a run that is there has all of them.
        let mut seeding = self.store.begin_run(&self.stored_config(site)).await?;
        seeding
            .read_with(&site.origin, &site.profile, &site.version)
            .await?;
        let freshness = self.settings.freshness;
        let pages = seed(
            &mut seeding,
            &self.parents,
            &self.profile,
            start_from,
            filters,
            freshness,
        )
        .await?;
        if let Some(Entry {
            identity,
            runners_wanted,
        }) = orchestrator
        {
            seeding.enter_orchestrator(identity, *runners_wanted).await?;
        }
        let run = seeding.commit().await?;
        tracing::info!(run, pages, start_from = %start_from, "run started");
        Ok(run)
    }

    pub(super) fn stored_config(&self, site: &Site) -> serde_json::Value {
        json!({
            "site": site,
            "filters": self.settings.filters,
            "start_from": self.settings.start_from,
            "freshness": self.settings.freshness,
            "keep_documents": self.settings.keep_documents,
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
        refuse_reparse(&record)?;
        if record.state == RunState::Reconciled && self.is_over(&record).await? {
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
        // Runs of earlier versions read everything.
        self.settings.freshness =
            serde_json::from_value(record.config["freshness"].clone()).unwrap_or(Freshness {
                full: true,
                ..Freshness::default()
            });
        if let Ok(keep) = serde_json::from_value(record.config["keep_documents"].clone()) {
            self.settings.keep_documents = keep;
        }
        Ok(())
    }

    /// The run that is joined: one that is under way, or could be.
    pub(super) async fn find_joined(&self, id: RunId) -> Result<RunRecord, RunError> {
        let record = self
            .store
            .run(id)
            .await?
            .ok_or_else(|| RunError::NothingToDo(format!("there is no run {id} in this database")))?;
        refuse_reparse(&record)?;
        Ok(record)
    }

    /// Who works on a run joins it at the pace that it was started with, or at its own if that is slower.
    pub(super) fn adopt_pace(&mut self, record: &RunRecord) {
        if let Some(Ok(interval)) = record.config["interval_s"]
            .as_f64()
            .map(Duration::try_from_secs_f64)
        {
            self.settings.interval = self.settings.interval.max(interval);
        }
    }

    /// Whether nothing of a run is left to do.
    pub(super) async fn is_over(&self, record: &RunRecord) -> Result<bool, RunError> {
        let is_final = matches!(record.state, RunState::Reconciled | RunState::Disputed);
        Ok(is_final && self.store.frontier_counts(record.id).await?.open() == 0)
    }

    /// Takes a run up beside whoever works on it: the given one, or the newest that did not come to its end.
    pub(crate) async fn take_up_with_others(
        &mut self,
        run: Option<RunId>,
    ) -> Result<(RunId, Option<Resumed>), RunError> {
        let record = self.find_run(run).await?;
        self.adopt_settings(&record, &self.site())?;
        let resumed = self.take_up(record.id, Others::Welcome).await?;
        Ok((record.id, Some(resumed)))
    }

    /// Whether a stored run is one that these settings would begin.
    pub(crate) fn is_of_the_same_pages(&self, record: &RunRecord) -> bool {
        let own = self.stored_config(&self.site());
        ["filters", "start_from"]
            .iter()
            .all(|key| record.config[key] == own[key])
            && record.config["site"]["origin"] == own["site"]["origin"]
    }

    /// Takes a run up where it was left: pages of processes that are gone become available at once.
    pub(crate) async fn take_up(&self, run: RunId, others: Others) -> Result<Resumed, RunError> {
        let mut taken_back = self.store.rescue_expired(run).await?;
        let mut at_work = 0;
        for runner in self.store.running_runners(run).await? {
            match liveness(&runner, self.settings.lease_term) {
                Liveness::Gone => {
                    taken_back += self.store.take_back(run, &runner.identity.instance).await?;
                    let why = RunnerEnd::Lost("its process was gone when the run was taken up");
                    self.store.end_runner(&runner.identity.instance, why).await?;
                }
                Liveness::Here if others == Others::Refused => {
                    return Err(RunError::Usage(format!(
                        "run {run} is being worked on by process {} ({}); stop it first, or join it with \
                         `tagpipe run --join {run}`",
                        runner.identity.pid, runner.identity.runner_id
                    )));
                }
                Liveness::Here | Liveness::Elsewhere => at_work += 1,
            }
        }
        if at_work == 0 {
            taken_back += self.reopen(run).await?;
        }
        self.store.set_run_state(run, RunState::Running, None).await?;
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
        Ok(resumed)
    }

    /// A run that came to its end is taken up for what was wrong with it: pages given up, sums that disagreed. One
    /// that did not, or whose pages somebody chose with `tagpipe retry`, first goes on with what is open.
    async fn reopen(&self, run: RunId) -> Result<u64, RunError> {
        let mut reopened = 0;
        if self.store.frontier_counts(run).await?.open() == 0 {
            reopened = self.store.reopen_failed(run).await?;
        }
        self.store.allow_verification(run).await?;
        Ok(reopened)
    }
}

/// Nobody asks the site for the pages of a run that reads kept documents.
fn refuse_reparse(record: &RunRecord) -> Result<(), RunError> {
    if record.config["work"] != "reparse" {
        return Ok(());
    }
    Err(RunError::Usage(format!(
        "run {} has read kept documents again and has no pages to ask the site for; `tagpipe reparse` does it once more, \
         `tagpipe run` reads what is still due",
        record.id
    )))
}

/// The grades of a profile as they are stored.
pub(crate) fn stored_scale(profile: &SiteProfile) -> Vec<(String, Option<f64>, String)> {
    let stored = profile.scale().iter().map(|entry| {
        let value = entry.value.map(|value| value.as_f64());
        (entry.code.to_string(), value, entry.label.clone())
    });
    stored.collect()
}

/// The process that orchestrates a run, as it is entered.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) identity: OrchestratorIdentity,
    pub(crate) runners_wanted: u64,
}

/// What is done with runners of this machine that work on the run already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Others {
    /// They are in the way.
    Refused,
    /// They go on.
    Welcome,
}

/// Where the process of a runner is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Liveness {
    Gone,
    Here,
    Elsewhere,
}

pub(crate) fn liveness(runner: &RunningRunner, lease_term: Duration) -> Liveness {
    let RunningRunner { identity, silent_for } = runner;
    let seen = presence(&identity.host, identity.pid, &identity.process_mark);
    // A container gives its process the same id each time: an entry with our own id is a predecessor's.
    let is_predecessor = identity.host == host_name() && identity.pid == std::process::id();
    match seen {
        // Whoever has not been heard of for a whole term has lost its pages, and will find that out.
        _ if *silent_for > lease_term => Liveness::Gone,
        Presence::Gone => Liveness::Gone,
        Presence::Here => Liveness::Here,
        Presence::Unknown if is_predecessor => Liveness::Gone,
        Presence::Unknown => Liveness::Elsewhere,
    }
}
