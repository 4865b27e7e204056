//! Where a run begins: as a new one, or where an earlier one was left.

use std::time::Duration;

use serde_json::json;
use tagpipe_core::filter::Filters;
use tagpipe_core::lifecycle::{PageState, RunState};
use tagpipe_core::profile::SiteProfile;
use tagpipe_store::contract::RunId;
use tagpipe_store::{
    DatabaseUrl, ReadingOrder, Resumed, RunRecord, RunnerEnd, RunningRunner, Store, StoreError,
};

use super::orchestrated::Entry;
use super::seed::{ensure_something_to_read, seed, seed_due};
use super::{Pipeline, Start};
use crate::error::RunError;
use crate::patience::persistently;
use crate::process::{Presence, host_name, presence};
use crate::settings::{Freshness, Site};

/// The site that a stored run is about: the run's number and the site's origin. `None` if `start` means a new run, or
/// nothing fitting is stored. A database that is away is waited for, for at most `patience`.
///
/// # Errors
/// [`RunError::Opening`] when the database cannot be opened, [`RunError::Store`] when it cannot be read.
pub async fn stored_site(
    database: &DatabaseUrl,
    start: Start,
    patience: Duration,
) -> Result<Option<(RunId, String)>, RunError> {
    if start == Start::New {
        return Ok(None);
    }
    let opened = persistently(patience, "open", || Store::open_read_only(database)).await;
    let store = match opened {
        Ok(Some(store)) => store,
        // Whoever opens it to write brings its schema up to date.
        Ok(None) | Err(StoreError::Schema(_)) => return Ok(None),
        Err(error) => return Err(RunError::Opening(error)),
    };
    let record = match start {
        Start::Resume(Some(run)) | Start::Join(run) => store.run(run).await,
        Start::Resume(None) | Start::New => newest_to_go_on_with(&store).await,
    };
    store.close().await;
    let record = record?;
    Ok(record.and_then(|record| Some((record.id, record.config["site"]["origin"].as_str()?.to_owned()))))
}

/// The newest run that left something to do, and that no later one has made pointless.
async fn newest_to_go_on_with(store: &Store) -> Result<Option<RunRecord>, StoreError> {
    for record in store.unfinished_runs().await? {
        if !is_overtaken(store, &record).await? {
            return Ok(Some(record));
        }
    }
    Ok(None)
}

/// Whether a later run of the same pages came to its end: what this one left is read, and what it would still read is
/// older news than what is stored.
pub(super) async fn is_overtaken(store: &Store, record: &RunRecord) -> Result<bool, StoreError> {
    let later = store.finished_runs_after(record.id).await?;
    Ok(later
        .iter()
        .any(|later| are_of_the_same_pages(&later.config, &record.config)))
}

/// Whether two runs read the same part of the same site, by their stored settings.
fn are_of_the_same_pages(one: &serde_json::Value, other: &serde_json::Value) -> bool {
    ["filters", "start_from"].iter().all(|key| one[key] == other[key])
        && one["site"]["origin"] == other["site"]["origin"]
}

impl Pipeline {
    pub(super) async fn begin(&self, site: &Site, orchestrator: Option<&Entry>) -> Result<RunId, RunError> {
        self.store.set_grade_scale(&stored_scale(&self.profile)).await?;
        let (start_from, filters) = (self.settings.start_from, &self.settings.filters);
        ensure_something_to_read(&self.parents, start_from, filters).await?;
        // The run and its first pages are one transaction: a run that is there has all of them.
        let mut seeding = self.store.begin_run(&self.stored_config(site)).await?;
        if let Some(order) = self.order
            && !seeding.fulfil(order).await?
        {
            return Err(RunError::Usage(format!("order {order} has its run, or is over")));
        }
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
        let order = self.settings.reading_order();
        if order == ReadingOrder::Stalest {
            seed_due(&mut seeding, start_from, filters, freshness).await?;
        }
        seeding.order(order).await?;
        if let Some(Entry {
            identity,
            runners_wanted,
        }) = orchestrator
        {
            let others = seeding.enter_orchestrator(identity, *runners_wanted).await?;
            self.find_left_behind(others).await?;
        }
        let run = seeding.commit().await?;
        tracing::info!(run, pages, start_from = %start_from, "run started");
        Ok(run)
    }

    pub(super) fn stored_config(&self, site: &Site) -> serde_json::Value {
        let mut config = json!({
            "site": site,
            "filters": self.settings.filters,
            "start_from": self.settings.start_from,
            "freshness": self.settings.freshness,
            "keep_documents": self.settings.keep_documents,
        });
        self.write_terms(&mut config);
        config
    }

    /// What a command that goes on with a run decides anew: how fast and how patiently it is read, and how much.
    fn write_terms(&self, config: &mut serde_json::Value) {
        let settings = &self.settings;
        let terms = [
            ("concurrency", json!(settings.concurrency)),
            ("delay_s", json!(settings.delay.as_secs_f64())),
            ("interval_s", json!(settings.interval.as_secs_f64())),
            ("max_retries", json!(settings.retry.max_retries)),
            ("retry_backoff", json!(settings.retry.backoff)),
            ("max_pages", json!(settings.budget.max_pages)),
            (
                "max_duration_s",
                json!(settings.budget.max_duration.map(|time| time.as_secs_f64())),
            ),
        ];
        for (name, value) in terms {
            config[name] = value;
        }
    }

    /// Notes the terms of this process's command with a run that it goes on with. Returns whether they were others before.
    async fn renew_terms(&self, record: &RunRecord) -> Result<bool, RunError> {
        let mut config = record.config.clone();
        self.write_terms(&mut config);
        if config == record.config {
            return Ok(false);
        }
        self.store.set_run_config(record.id, &config).await?;
        Ok(true)
    }

    pub(super) async fn find_run(&self, id: Option<RunId>) -> Result<RunRecord, RunError> {
        let found = match id {
            Some(id) => self.store.run(id).await?,
            None => newest_to_go_on_with(&self.store).await?,
        };
        let record = found.ok_or_else(|| {
            RunError::NothingToDo(match id {
                Some(id) => format!("there is no run {id} in this database"),
                None => "no run was left unfinished in this database, or a later one has read the same; start one with \
                         `tagpipe run`"
                    .to_owned(),
            })
        })?;
        refuse_reparse(&record)?;
        if record.state == RunState::Reconciled && self.is_over(&record).await? {
            return Err(RunError::NothingToDo(format!(
                "run {} is finished ({}): every page has been dealt with; start a new one, without --resume",
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
        if stored.profile != site.profile {
            return Err(RunError::Usage(format!(
                "run {} is read with the profile `{}`, not `{}`; give the same --profile, or start a new run",
                record.id, stored.profile, site.profile
            )));
        }
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
        self.settings.freshness = match &record.config["freshness"] {
            serde_json::Value::Null => {
                tracing::info!("run {} is of an earlier version: everything is read", record.id);
                Freshness {
                    full: true,
                    ..Freshness::default()
                }
            }
            stored => serde_json::from_value(stored.clone()).map_err(damaged)?,
        };
        // Runs of earlier versions have none; theirs is what is asked for now.
        if let keep @ serde_json::Value::String(_) = &record.config["keep_documents"] {
            self.settings.keep_documents = serde_json::from_value(keep.clone()).map_err(damaged)?;
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
            if self.settings.interval < interval {
                tracing::info!(
                    "joining at the run's pace, {} s a request: who joins may be slower, but not faster",
                    interval.as_secs_f64()
                );
            }
            self.settings.interval = self.settings.interval.max(interval);
        }
    }

    /// Whether nothing of a run is left to do.
    pub(super) async fn is_over(&self, record: &RunRecord) -> Result<bool, RunError> {
        let is_final = matches!(record.state, RunState::Reconciled | RunState::Disputed);
        Ok(is_final && self.store.frontier_counts(record.id).await?.open() == 0)
    }

    /// Takes a run up beside whoever works on it: the given one, or the newest that did not come to its end.
    pub(crate) async fn take_up_with_others(&mut self, run: Option<RunId>) -> Result<TakenUp, RunError> {
        let record = self.find_run(run).await?;
        self.adopt_settings(&record, &self.site())?;
        let resumed = self.take_up(&record, Others::Welcome).await?;
        Ok(TakenUp {
            run: record.id,
            resumed,
            has_new_terms: self.renew_terms(&record).await?,
        })
    }

    /// Whether a stored run is one that these settings would begin.
    pub(super) fn is_of_the_same_pages(&self, record: &RunRecord) -> bool {
        are_of_the_same_pages(&record.config, &self.stored_config(&self.site()))
    }

    /// Takes a run up alone.
    pub(super) async fn resume(&self, record: &RunRecord) -> Result<Resumed, RunError> {
        let resumed = self.take_up(record, Others::Refused).await?;
        self.renew_terms(record).await?;
        Ok(resumed)
    }

    /// Takes a run up where it was left: pages of processes that are gone become available at once.
    async fn take_up(&self, record: &RunRecord, others: Others) -> Result<Resumed, RunError> {
        let run = record.id;
        self.store.forget_stop(run).await?;
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
            // Time has passed, and the budget may be another one. Beside others at work their order stands.
            self.store.order(run, self.settings.reading_order()).await?;
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

/// A run that is gone on with.
pub(crate) struct TakenUp {
    pub(crate) run: RunId,
    pub(crate) resumed: Resumed,
    /// Whether its runners have been told something else than this process would tell them.
    pub(crate) has_new_terms: bool,
}

/// What is done with runners of this machine that work on the run already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Others {
    /// They are in the way.
    Refused,
    /// They go on.
    Welcome,
}

/// Where the process of a runner is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Liveness {
    Gone,
    Here,
    Elsewhere,
}

pub(super) fn liveness(runner: &RunningRunner, lease_term: Duration) -> Liveness {
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
