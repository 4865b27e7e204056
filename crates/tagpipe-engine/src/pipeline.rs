//! One run from its start, or from where it was left, to its summary.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tagpipe_core::filter::Filters;
use tagpipe_core::lifecycle::{PageState, RunState};
use tagpipe_core::model::PageKind;
use tagpipe_core::profile::SiteProfile;
use tagpipe_fetch::{FetchError, Fetcher, HttpSettings, Robots};
use tagpipe_store::audit::{AuditEntry, AuditKind, AuditLevel, AuditOrigin};
use tagpipe_store::contract::{FrontierCounts, RunId};
use tagpipe_store::{Discrepancy, Resumed, RunRecord, RunnerIdentity, RunningRunner, Store, StoreError};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use crate::error::RunError;
use crate::pacer::Pacer;
use crate::patience::patiently;
use crate::progress::Progress;
use crate::reader::Reader;
use crate::runner::{Halt, Runner, level_without_layout};
use crate::seed::{ensure_something_to_read, seed};
use crate::settings::{RunSettings, Site};
use crate::shutdown::Shutdown;
use crate::summary::{Retries, RunEnd, Summary, level_summaries};

/// Disagreements looked at in one round of verification, of each kind.
const DISAGREEMENTS_MAX: u32 = 10_000;
/// How long a stop at once waits for the leases to be given back.
const ABORT_PATIENCE: Duration = Duration::from_secs(1);
/// Lines of each list in the summary.
const LISTED_MAX: usize = 10;

/// Where a run begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// A new run.
    New,
    /// The given run, or the newest that did not come to its end.
    Resume(Option<RunId>),
}

/// One runner, ready to work on a run.
pub struct Pipeline {
    store: Store,
    /// Where `--start-from` finds its parents: the store itself, except in a dry run.
    parents: Store,
    profile: Arc<SiteProfile>,
    fetcher: Arc<dyn Fetcher>,
    /// How `robots.txt` is asked for.
    http: HttpSettings,
    settings: RunSettings,
    dry_run: bool,
    progress: watch::Sender<Progress>,
}

impl Pipeline {
    /// A runner that keeps what it reads in `store`.
    #[must_use]
    pub fn new(
        store: Store,
        profile: Arc<SiteProfile>,
        fetcher: Arc<dyn Fetcher>,
        http: HttpSettings,
        settings: RunSettings,
    ) -> Pipeline {
        let parents = store.clone();
        let progress = watch::Sender::new(Progress::new());
        Pipeline {
            store,
            parents,
            profile,
            fetcher,
            http,
            settings,
            dry_run: false,
            progress,
        }
    }

    /// Makes this a dry run: the store given to [`Pipeline::new`] is one in memory, and `parents` is only read.
    #[must_use]
    pub fn dry_run(mut self, parents: Option<Store>) -> Pipeline {
        self.dry_run = true;
        self.parents = parents.unwrap_or_else(|| self.store.clone());
        self
    }

    /// How far the run is, while it runs.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Reads until the run is done or something stops it.
    ///
    /// # Errors
    /// When the run could not be started, or the database went away. What was committed stays.
    pub async fn run(&mut self, start: Start, shutdown: &Shutdown) -> Result<Summary, RunError> {
        let started = Instant::now();
        let site = self.site();
        let record = match start {
            Start::New => None,
            Start::Resume(id) => Some(self.find_run(id).await?),
        };
        if let Some(record) = &record {
            self.adopt_settings(record, &site)?;
        }
        let pacer = self.open_pacer(&site, shutdown).await?;
        let robots = match self.read_robots(&pacer, shutdown).await? {
            Ok(robots) => robots,
            Err(refused) => return Ok(refused),
        };
        let (run, resumed) = match record {
            Some(record) => (record.id, Some(self.take_up(record.id).await?)),
            None => (self.begin(&site).await?, None),
        };
        self.work(run, resumed, pacer, robots, shutdown, started).await
    }

    fn site(&self) -> Site {
        Site {
            profile: self.profile.name.clone(),
            version: self.profile.version.clone(),
            origin: self.profile.origin.origin().ascii_serialization(),
        }
    }

    async fn open_pacer(&self, site: &Site, shutdown: &Shutdown) -> Result<Pacer, RunError> {
        Ok(Pacer::open(
            self.store.clone(),
            site,
            self.profile.pace.clone(),
            &self.settings,
            shutdown.clone(),
        )
        .await?)
    }

    /// Reads `robots.txt`, patiently: a site that cannot say what it allows is not read.
    async fn read_robots(
        &mut self,
        pacer: &Pacer,
        shutdown: &Shutdown,
    ) -> Result<Result<Robots, Summary>, RunError> {
        let mut failures = 0;
        loop {
            if pacer.permit(false).await?.is_none() {
                return Ok(Err(self.empty_summary(RunEnd::Interrupted)));
            }
            let error = match Robots::read(&self.http, &self.profile.origin).await {
                Ok(robots) => return Ok(Ok(robots)),
                Err(FetchError::Unavailable(reason)) => return Err(RunError::Fetch(reason)),
                Err(FetchError::Outcome(outcome)) => outcome,
            };
            if failures >= self.settings.retry.max_retries || shutdown.requested() != crate::StopRequest::None
            {
                if error.cause().is_refusal() {
                    let reason = format!("robots.txt could not be read: {error}");
                    return Ok(Err(self.empty_summary(RunEnd::KeptRefusing(reason))));
                }
                let origin = self.profile.origin.as_str();
                return Err(RunError::Fetch(format!(
                    "cannot read {origin}robots.txt: {error}; is the address right and the network up?"
                )));
            }
            tracing::warn!("robots.txt could not be read, trying again: {error}");
            let pause = self.settings.retry.pause(failures, fastrand::f64());
            sleep(error.retry_after().unwrap_or(pause)).await;
            failures += 1;
        }
    }

    async fn begin(&self, site: &Site) -> Result<RunId, RunError> {
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

    fn stored_config(&self, site: &Site) -> serde_json::Value {
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

    async fn find_run(&self, id: Option<RunId>) -> Result<RunRecord, RunError> {
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
    fn adopt_settings(&mut self, record: &RunRecord, site: &Site) -> Result<(), RunError> {
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
    async fn take_up(&self, run: RunId) -> Result<Resumed, RunError> {
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
        // A run that ended disputed is taken up for what was wrong with it: pages given up, sums that disagreed.
        taken_back += self.store.reopen_failed(run).await?;
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

    async fn work(
        &mut self,
        run: RunId,
        resumed: Option<Resumed>,
        mut pacer: Pacer,
        robots: Robots,
        shutdown: &Shutdown,
        started: Instant,
    ) -> Result<Summary, RunError> {
        if let Some(delay) = robots.crawl_delay() {
            pacer.keep_at_least(delay);
        }
        let interval_s = pacer.least_interval().as_secs_f64();
        let identity = self.register(run).await?;
        self.audit_operation(
            run,
            "run_started",
            "run started",
            self.stored_config(&self.site()),
        )
        .await?;
        let counts = self.store.frontier_counts(run).await?;
        self.progress.send_modify(|progress| {
            progress.count_frontier(&counts);
            progress.phase = "reading";
        });
        let reader = Arc::new(Reader {
            profile: Arc::clone(&self.profile),
            fetcher: Arc::clone(&self.fetcher),
            robots,
            pacer,
            filters: self.settings.filters.clone(),
            retry: self.settings.retry,
            audit_level: self.settings.audit_level,
        });
        let mut runner = Runner {
            store: self.store.clone(),
            run,
            instance: identity.instance.clone(),
            settings: &self.settings,
            reader,
            progress: &self.progress,
            shutdown,
            started,
            begun: 0,
        };
        let (halt, disagreements) = self.drive_and_verify(run, &mut runner).await?;
        if halt == Halt::Aborted {
            // Nobody wants to wait now: what cannot be given back quickly comes back when its lease runs out.
            let _ = timeout(ABORT_PATIENCE, self.store.take_back(run, &identity.instance)).await;
        }
        self.store.end_runner(&identity.instance, false).await?;
        let mut summary = self
            .summarise(run, resumed, halt, &disagreements, started)
            .await?;
        summary.interval_s = interval_s;
        self.close(&summary, &disagreements).await?;
        Ok(summary)
    }

    /// Reads until the frontier is drained, then once more what the sums put in doubt.
    async fn drive_and_verify(
        &self,
        run: RunId,
        runner: &mut Runner<'_>,
    ) -> Result<(Halt, Vec<Discrepancy>), RunError> {
        loop {
            let halt = runner.drive().await?;
            // A budget that was spent on the very last page leaves nothing open: the sums are still to be compared.
            let is_drained = halt == Halt::Drained || self.store.frontier_counts(run).await?.open() == 0;
            if !is_drained || halt == Halt::Interrupted || halt == Halt::Aborted {
                return Ok((halt, Vec::new()));
            }
            let halt = Halt::Drained;
            self.progress
                .send_modify(|progress| progress.phase = "checking sums");
            let disagreements = self
                .patiently("compare sums", || {
                    self.store.disagreements(run, DISAGREEMENTS_MAX)
                })
                .await?;
            if disagreements.is_empty() {
                return Ok((halt, disagreements));
            }
            let again = self
                .patiently("verify sums", || self.store.verify_again(run, &disagreements))
                .await?;
            if again == 0 {
                return Ok((halt, disagreements));
            }
            tracing::info!(
                run,
                pages = again,
                "{} sums disagree: reading their pages once more",
                disagreements.len()
            );
            let counts = self.store.frontier_counts(run).await?;
            self.progress.send_modify(|progress| {
                progress.count_frontier(&counts);
                progress.phase = "verifying";
            });
        }
    }

    async fn patiently<T, F>(&self, what: &str, action: impl FnMut() -> F) -> Result<T, RunError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        Ok(patiently(self.settings.database_patience, what, action).await?)
    }

    async fn register(&self, run: RunId) -> Result<RunnerIdentity, RunError> {
        let identity = RunnerIdentity {
            instance: Uuid::new_v4().to_string(),
            runner_id: self.settings.runner_id.clone(),
            host: host_name(),
            pid: std::process::id(),
        };
        self.store.register_runner(run, &identity).await?;
        Ok(identity)
    }

    async fn summarise(
        &self,
        run: RunId,
        resumed: Option<Resumed>,
        halt: Halt,
        disagreements: &[Discrepancy],
        started: Instant,
    ) -> Result<Summary, RunError> {
        let discrepancies = if halt == Halt::Drained {
            self.patiently("record sums", || {
                self.store.settle_disagreements(run, disagreements)
            })
            .await?
        } else {
            0
        };
        let counts = self.store.frontier_counts(run).await?;
        let failed = self.store.failed_pages(run, 1000).await?;
        let denied = self.store.denied_by_robots(run).await?;
        let totals = self.store.runner_totals(run).await?;
        let end = end_of(halt, &counts, &failed, denied, discrepancies)?;
        let retries = self.store.retry_causes(run).await?;
        let elapsed_s = started.elapsed().as_secs_f64();
        let requests_here = self.progress.borrow().requests;
        Ok(Summary {
            run_id: run,
            runner_id: self.settings.runner_id.clone(),
            end,
            resumed,
            dry_run: self.dry_run,
            levels: level_summaries(&counts),
            rows: totals.rows,
            requests: totals.requests,
            bytes: totals.bytes,
            retries: retries
                .into_iter()
                .map(|(cause, count)| Retries { cause, count })
                .collect(),
            discrepancies,
            denied_by_robots: denied,
            elapsed_s,
            requests_per_s: requests_here as f64 / elapsed_s.max(0.001),
            interval_s: 0.0,
            slowest: self.store.slowest_pages(run, 5).await?,
            failed: failed.into_iter().take(LISTED_MAX).collect(),
            disagreements: disagreements.iter().take(LISTED_MAX).map(in_words).collect(),
            notes: self.unmatched_categories().await?,
        })
    }

    /// Category patterns that fit nothing the site has: probably misspelt.
    async fn unmatched_categories(&self) -> Result<Vec<String>, RunError> {
        let known = self.store.stored_subjects(PageKind::Years, 0, 1000).await?;
        let names: Vec<_> = known
            .iter()
            .map(|subject| subject.identity.category.as_str())
            .collect();
        let unmatched = self.settings.filters.categories.unmatched(&names);
        Ok(unmatched
            .into_iter()
            .map(|pattern| format!("no category matches `{pattern}`; there are {}", names.join(", ")))
            .collect())
    }

    /// Writes the end of the run: its state, its summary, its audit entries; then prunes the trail.
    async fn close(&self, summary: &Summary, disagreements: &[Discrepancy]) -> Result<(), RunError> {
        let entries: Vec<_> = disagreements.iter().map(discrepancy_entry).collect();
        let origin = AuditOrigin {
            run: Some(summary.run_id),
            runner_id: &self.settings.runner_id,
        };
        if self.settings.audit_level <= AuditLevel::Warning && !entries.is_empty() {
            self.store.audit(origin, &entries).await?;
        }
        let stored = serde_json::to_value(summary).expect("own types serialise");
        self.audit_operation(
            summary.run_id,
            "run_ended",
            &format!("run ended: {:?}", summary.end),
            stored.clone(),
        )
        .await?;
        self.store
            .set_run_state(summary.run_id, summary.end.run_state(), Some(&stored))
            .await?;
        self.store.prune_audit(self.settings.audit_retention).await?;
        Ok(())
    }

    async fn audit_operation(
        &self,
        run: RunId,
        operation: &str,
        message: &str,
        context: serde_json::Value,
    ) -> Result<(), RunError> {
        if self.settings.audit_level > AuditLevel::Info {
            return Ok(());
        }
        let entry = AuditEntry {
            level: AuditLevel::Info,
            kind: AuditKind::Operation,
            page_key: None,
            operation: operation.into(),
            message: message.into(),
            context,
        };
        let origin = AuditOrigin {
            run: Some(run),
            runner_id: &self.settings.runner_id,
        };
        Ok(self.store.audit(origin, &[entry]).await?)
    }

    /// The summary of a run that ended before it had a row in the database.
    fn empty_summary(&self, end: RunEnd) -> Summary {
        Summary {
            run_id: 0,
            runner_id: self.settings.runner_id.clone(),
            end,
            resumed: None,
            dry_run: self.dry_run,
            levels: level_summaries(&FrontierCounts::default()),
            rows: Default::default(),
            requests: 0,
            bytes: 0,
            retries: Vec::new(),
            discrepancies: 0,
            denied_by_robots: 0,
            elapsed_s: 0.0,
            requests_per_s: 0.0,
            interval_s: self.settings.interval.as_secs_f64(),
            slowest: Vec::new(),
            failed: Vec::new(),
            disagreements: Vec::new(),
            notes: Vec::new(),
        }
    }
}

fn end_of(
    halt: Halt,
    counts: &FrontierCounts,
    failed: &[tagpipe_store::FailedPage],
    denied: u64,
    discrepancies: u64,
) -> Result<RunEnd, RunError> {
    Ok(match halt {
        Halt::NoFetcher(reason) => return Err(RunError::Fetch(reason)),
        Halt::Interrupted | Halt::Aborted => RunEnd::Interrupted,
        Halt::KeptRefusing(reason) => RunEnd::KeptRefusing(reason),
        Halt::LayoutChanged(reason) => RunEnd::LayoutChanged(reason),
        Halt::BudgetSpent(reason) if counts.open() > 0 => RunEnd::BudgetSpent(reason),
        Halt::BudgetSpent(_) | Halt::Drained => match level_without_layout(counts, failed) {
            Some(level) => RunEnd::LayoutChanged(format!("no {level} page fits the profile")),
            None if !failed.is_empty() || denied > 0 => RunEnd::PagesFailed,
            None if discrepancies > 0 => RunEnd::Disputed,
            None => RunEnd::Reconciled,
        },
    })
}

fn in_words(discrepancy: &Discrepancy) -> String {
    let Discrepancy {
        page_key,
        what,
        expected,
        expected_by,
        found,
        ..
    } = discrepancy;
    format!("{page_key}: {what}: {expected_by} says {expected}, read {found}")
}

fn discrepancy_entry(discrepancy: &Discrepancy) -> AuditEntry {
    AuditEntry {
        level: AuditLevel::Warning,
        kind: AuditKind::Result,
        page_key: Some(discrepancy.page_key.clone()),
        operation: "reconcile".into(),
        message: in_words(discrepancy),
        context: serde_json::to_value(discrepancy).expect("own types serialise"),
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
fn is_process_alive(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return false;
    };
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    !matches!(state, Some('Z' | 'X') | None)
}

fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|name| name.trim().to_owned())
        .or_else(|_| std::env::var("HOSTNAME"))
        .unwrap_or_else(|_| "localhost".to_owned())
}
