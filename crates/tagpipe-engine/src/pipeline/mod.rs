//! One run from its start, or from where it was left, to its summary.

use std::sync::Arc;
use std::time::Duration;

use tagpipe_core::lifecycle::PageState;
use tagpipe_core::model::PageKind;
use tagpipe_core::profile::SiteProfile;
use tagpipe_fetch::{FetchError, Fetcher, HttpSettings, Robots};
use tagpipe_store::contract::{Admission, NewPage, RunId};
use tagpipe_store::{
    Closing, DatabaseUrl, Discrepancy, Resumed, RunnerEnd, RunnerIdentity, Store, StoreError,
};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use url::Url;
use uuid::Uuid;

use crate::config::Config;
use crate::error::RunError;
use crate::heartbeat::{Activity, Heart, Heartbeat};
use crate::pacer::Pacer;
use crate::patience::{patiently, persistently};
use crate::process::{host_name, own_mark};
use crate::progress::Progress;
use crate::reader::{Reader, Rules};
use crate::runner::{Halt, IDLE_LOOK, Runner};
use crate::settings::{RunSettings, Site};
use crate::shutdown::{Shutdown, StopRequest};
use crate::summary::{RunEnd, Summary};
pub(crate) use beginning::stored_scale;
pub use beginning::stored_site;
use beginning::{Liveness, liveness};
pub(crate) use orchestrated::{Entry, orchestrated_already};

mod beginning;
mod closing;
mod orchestrated;
mod seed;

/// Disagreements looked at in one round of verification, of each kind.
const DISAGREEMENTS_MAX: u32 = 10_000;
/// Longer than any run.
const NEVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Where a run begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// A new run.
    New,
    /// The given run, or the newest that did not come to its end.
    Resume(Option<RunId>),
    /// The given run, beside whoever works on it already.
    Join(RunId),
}

/// A run that is ready to be worked on.
pub(crate) struct Prepared {
    pub(crate) run: RunId,
    pub(crate) resumed: Option<Resumed>,
    pacer: Pacer,
    robots: Robots,
    /// Whoever joins a run is entered in it before all else.
    presence: Option<Presence>,
}

/// This process as a runner of a run: entered in the database, and heard of as long as this lives.
struct Presence {
    identity: RunnerIdentity,
    activity: Arc<Activity>,
    /// Asked to stop when others have given this runner up.
    given_up: Shutdown,
    _heartbeat: Heartbeat,
}

/// What comes of preparing a run.
pub(crate) enum Preparation {
    Ready(Box<Prepared>),
    /// There is nothing to work on, and this is why.
    Ended(Box<Summary>),
}

/// This process's part in a run.
pub(crate) struct Part {
    pub(crate) run: RunId,
    pub(crate) instance: String,
    pub(crate) resumed: Option<Resumed>,
    /// Whether others have begun the run.
    pub(crate) joined: bool,
    pub(crate) started: Instant,
    pub(crate) interval_s: f64,
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
    /// The order that a new run carries out.
    order: Option<i64>,
    progress: watch::Sender<Progress>,
}

/// The database of a run, and the one its parents are taken from. A dry run keeps its rows in memory and only reads
/// what is stored.
async fn open_stores(config: &Config) -> Result<(Store, Store), RunError> {
    if !config.dry_run {
        let patience = match config.await_database {
            true => config.run.database_patience,
            false => Duration::ZERO,
        };
        let store = persistently(patience, "open", || Store::open(&config.database, config.migrate))
            .await
            .map_err(RunError::Opening)?;
        return Ok((store.clone(), store));
    }
    let memory = Store::open(&DatabaseUrl::Memory, true)
        .await
        .map_err(RunError::Opening)?;
    let stored = Store::open_read_only(&config.database)
        .await
        .map_err(RunError::Opening)?;
    let parents = stored.unwrap_or_else(|| memory.clone());
    Ok((memory, parents))
}

impl Pipeline {
    /// A runner with its database open and its fetcher at hand.
    ///
    /// # Errors
    /// [`RunError::Opening`] when the database cannot be used, [`RunError::Fetch`] when there is no Chromium and
    /// the site needs one.
    pub async fn open(config: Config) -> Result<Pipeline, RunError> {
        let stores = open_stores(&config).await?;
        let fetcher = config
            .fetcher()
            .map_err(|error| RunError::Fetch(error.to_string()))?;
        Ok(Pipeline::assemble(config, stores, fetcher))
    }

    /// The same with a fetcher of the caller's own.
    ///
    /// # Errors
    /// [`RunError::Opening`].
    pub async fn open_with(config: Config, fetcher: Arc<dyn Fetcher>) -> Result<Pipeline, RunError> {
        let stores = open_stores(&config).await?;
        Ok(Pipeline::assemble(config, stores, fetcher))
    }

    fn assemble(config: Config, (store, parents): (Store, Store), fetcher: Arc<dyn Fetcher>) -> Pipeline {
        Pipeline {
            store,
            parents,
            http: config.http_settings(),
            profile: Arc::new(config.profile),
            fetcher,
            settings: config.run,
            dry_run: config.dry_run,
            order: config.order,
            progress: watch::Sender::new(Progress::new()),
        }
    }

    /// What it keeps its data in; of a dry run one in memory.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Ends everything it started: browser and connections.
    pub async fn close(self) {
        self.fetcher.close().await;
        self.parents.close().await;
        self.store.close().await;
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
        match self.prepare(start, None, shutdown).await? {
            Preparation::Ready(prepared) => self.work(*prepared, start, shutdown, started).await,
            Preparation::Ended(summary) => Ok(*summary),
        }
    }

    /// Everything before the first page: the run's settings, the pace, what robots are allowed, the run itself, with its
    /// orchestrator if it is a new one that has one.
    pub(crate) async fn prepare(
        &mut self,
        start: Start,
        orchestrator: Option<&Entry>,
        shutdown: &Shutdown,
    ) -> Result<Preparation, RunError> {
        let site = self.site();
        let record = match start {
            Start::New => None,
            Start::Resume(id) => Some(self.find_run(id).await?),
            Start::Join(id) => Some(self.find_joined(id).await?),
        };
        if let Some(record) = &record {
            self.adopt_settings(record, &site)?;
        }
        if let (Start::Join(run), Some(record)) = (start, &record) {
            self.adopt_pace(record);
            if self.is_over(record).await? {
                return Ok(Preparation::Ended(Box::new(self.summary_of_finished(run).await?)));
            }
        }
        let presence = match start {
            // Its orchestrator waits to hear of it, and `robots.txt` may be refused for a while.
            Start::Join(run) => {
                self.store.set_running(run).await?;
                Some(self.appear(run, shutdown).await?)
            }
            Start::New | Start::Resume(_) => None,
        };
        let pacer = self.open_pacer(&site, shutdown).await?;
        let robots = match self.read_robots(&pacer, shutdown).await? {
            Ok(robots) => robots,
            Err(refused) => {
                if let Some(presence) = presence {
                    let why = refused.end.to_string();
                    self.store
                        .end_runner(&presence.identity.instance, RunnerEnd::Finished(&why))
                        .await?;
                }
                return Ok(Preparation::Ended(Box::new(refused)));
            }
        };
        let (run, resumed) = match (start, record) {
            (Start::Join(run), _) => (run, None),
            (_, Some(record)) => (record.id, Some(self.resume(&record).await?)),
            (_, None) => (self.begin(&site, orchestrator).await?, None),
        };
        Ok(Preparation::Ready(Box::new(Prepared {
            run,
            resumed,
            pacer,
            robots,
            presence,
        })))
    }

    fn site(&self) -> Site {
        Site::of(&self.profile)
    }

    /// What it is told.
    pub(crate) fn settings(&self) -> &RunSettings {
        &self.settings
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
        let budget = self.settings.budget.max_duration.unwrap_or(NEVER);
        let deadline = Instant::now() + budget;
        loop {
            if pacer.permit(false).await?.is_none() {
                return Ok(Err(self.empty_summary(RunEnd::Interrupted)));
            }
            let read = tokio::select! {
                read = Robots::read(&self.http, &self.profile.origin) => read,
                () = shutdown.wait_for(StopRequest::Graceful) => {
                    return Ok(Err(self.empty_summary(RunEnd::Interrupted)));
                }
                () = sleep_until(deadline) => return Ok(Err(self.empty_summary(RunEnd::BudgetSpent(
                    "the time that --max-duration allows, waiting for robots.txt".to_owned(),
                )))),
            };
            let error = match read {
                Ok(robots) => return Ok(Ok(robots)),
                Err(FetchError::Unavailable(reason)) => return Err(RunError::Fetch(reason)),
                Err(FetchError::Outcome(outcome)) => outcome,
            };
            if failures >= self.settings.retry.max_retries {
                if error.cause().is_refusal() {
                    let reason = format!("robots.txt could not be read: {error}");
                    return Ok(Err(self.empty_summary(RunEnd::KeptRefusing(reason))));
                }
                return Err(unreachable(&self.profile.origin, &error));
            }
            tracing::warn!("robots.txt could not be read, trying again: {error}");
            let pause = self.settings.retry.pause(failures, fastrand::f64());
            tokio::select! {
                () = sleep(error.retry_after().unwrap_or(pause)) => {}
                () = shutdown.wait_for(StopRequest::Graceful) => {
                    return Ok(Err(self.empty_summary(RunEnd::Interrupted)));
                }
                () = sleep_until(deadline) => {}
            }
            failures += 1;
        }
    }

    async fn work(
        &mut self,
        prepared: Prepared,
        start: Start,
        shutdown: &Shutdown,
        started: Instant,
    ) -> Result<Summary, RunError> {
        let Prepared {
            run,
            resumed,
            mut pacer,
            robots,
            presence,
        } = prepared;
        if let Some(delay) = robots.crawl_delay() {
            pacer.keep_at_least(delay);
        }
        let interval_s = pacer.least_interval().as_secs_f64();
        let presence = match presence {
            Some(presence) => presence,
            None => self.appear(run, shutdown).await?,
        };
        let (instance, activity) = (presence.identity.instance.clone(), Arc::clone(&presence.activity));
        self.audit_start(run, start).await?;
        let counts = self.store.frontier_counts(run).await?;
        self.progress.send_modify(|progress| {
            progress.count_frontier(&counts);
            progress.phase = "reading";
        });
        let reader = Arc::new(Reader {
            rules: Rules {
                profile: Arc::clone(&self.profile),
                filters: self.settings.filters.clone(),
                freshness: self.settings.freshness,
                audit_level: self.settings.audit_level,
            },
            fetcher: Arc::clone(&self.fetcher),
            robots,
            pacer,
            retry: self.settings.retry,
            keep_documents: self.settings.keep_documents,
            activity: Arc::clone(&activity),
        });
        let mut runner = Runner {
            store: self.store.clone(),
            run,
            instance: instance.clone(),
            settings: &self.settings,
            reader,
            progress: &self.progress,
            shutdown,
            given_up: presence.given_up.clone(),
            started,
            begun: 0,
        };
        let part = Part {
            run,
            instance,
            resumed,
            joined: matches!(start, Start::Join(_)),
            started,
            interval_s,
        };
        self.drive_and_close(&mut runner, &part, &activity).await
    }

    /// Reads until the frontier is drained, then once more what the sums put in doubt, and writes the end: that of the
    /// run, if this runner closes it, else that of its own part.
    async fn drive_and_close(
        &self,
        runner: &mut Runner<'_>,
        part: &Part,
        activity: &Activity,
    ) -> Result<Summary, RunError> {
        let run = part.run;
        loop {
            let halt = runner.drive().await?;
            if !self.is_drained(run, &halt).await? {
                return self.leave(part, halt).await;
            }
            let (instance, term) = (&part.instance, self.settings.lease_term);
            let closing = self
                .patiently("close the run", || self.store.begin_closing(run, instance, term))
                .await?;
            match closing {
                Closing::Over => return self.leave_ended(part).await,
                Closing::Others => {
                    self.progress
                        .send_modify(|progress| progress.phase = "waiting for the others");
                    tokio::select! {
                        () = sleep(IDLE_LOOK) => {}
                        () = runner.shutdown.wait_for(StopRequest::Graceful) => {}
                    }
                    continue;
                }
                Closing::Mine => activity.closes(true),
            }
            let ended = self.close_or_verify(part).await;
            activity.closes(false);
            if let Some(summary) = ended? {
                return Ok(summary);
            }
        }
    }

    /// Whether the whole run is read. A budget that was spent on the very last page leaves nothing open: the sums are
    /// still to be compared.
    async fn is_drained(&self, run: RunId, halt: &Halt) -> Result<bool, RunError> {
        match halt {
            Halt::Drained => Ok(true),
            Halt::Interrupted | Halt::Aborted | Halt::GivenUp => Ok(false),
            _ => Ok(self.store.frontier_counts(run).await?.open() == 0),
        }
    }

    /// Compares the sums. `None` when pages are still to be read, or another runner has taken the closing over.
    async fn close_or_verify(&self, part: &Part) -> Result<Option<Summary>, RunError> {
        let run = part.run;
        if self.add_due_below_unchanged(run).await? > 0 {
            return Ok(None);
        }
        self.progress
            .send_modify(|progress| progress.phase = "checking sums");
        let patience = self.settings.database_patience;
        let disagreements = persistently(patience, "compare sums", || {
            self.store.disagreements(run, DISAGREEMENTS_MAX)
        })
        .await?;
        let again = match disagreements.is_empty() {
            true => 0,
            false => {
                let completed = self
                    .store
                    .frontier_counts(run)
                    .await?
                    .in_state(PageState::Completed);
                let reads_max = self.settings.verification.reads_max(completed);
                self.add_parents_outside(run, &disagreements, reads_max).await?;
                let again = persistently(patience, "verify sums", || {
                    self.store.verify_again(run, &disagreements, reads_max)
                })
                .await?;
                match again {
                    // What stays may be behind pages whose rows show what they showed.
                    0 => {
                        persistently(patience, "read what was left out", || {
                            self.store.read_left_out(run, &disagreements, reads_max)
                        })
                        .await?
                    }
                    again => again,
                }
            }
        };
        if again == 0 {
            let disagreements = self.store.judged(run, disagreements).await?;
            return self.close_run(part, &disagreements).await;
        }
        tracing::info!(
            run,
            pages = again,
            "{} sums disagree: reading the pages behind them again, each after its parent",
            disagreements.len()
        );
        let counts = self.store.frontier_counts(run).await?;
        self.progress.send_modify(|progress| {
            progress.count_frontier(&counts);
            progress.phase = "verifying";
        });
        Ok(None)
    }

    /// Adds the pages of the rows above those that disagree, where the run began below them: they are read again like the
    /// others, the child directly after its parent.
    async fn add_parents_outside(
        &self,
        run: RunId,
        disagreements: &[Discrepancy],
        reads_max: u64,
    ) -> Result<(), RunError> {
        let parents = self.store.parents_outside(run, disagreements).await?;
        let pages: Vec<_> = parents
            .into_iter()
            .take(usize::try_from(reads_max).unwrap_or(usize::MAX))
            .map(|(kind, parent)| NewPage {
                admission: Admission::Unchanged,
                ..seed::first_page(kind, parent, self.settings.freshness)
            })
            .collect();
        self.store.add_pages(run, &pages).await?;
        Ok(())
    }

    /// Adds pages below those left out as unchanged that are due all the same: they failed the last time, or were not
    /// reached. Level by level, from the top down.
    async fn add_due_below_unchanged(&self, run: RunId) -> Result<u64, RunError> {
        let (filters, freshness) = (&self.settings.filters, self.settings.freshness);
        let mut added = 0;
        for kind in [PageKind::Cards, PageKind::GradeRows] {
            let mut after = 0;
            loop {
                let subjects = self
                    .patiently("look for what is due", || {
                        self.store
                            .due_below_unchanged(run, kind, freshness.max_age, after, seed::CHUNK)
                    })
                    .await?;
                let Some(last) = subjects.last() else { break };
                after = last.id;
                let pages: Vec<_> = subjects
                    .into_iter()
                    .filter(|subject| filters.rejects(kind, &subject.identity).is_none())
                    .map(|subject| seed::first_page(kind, subject, freshness))
                    .collect();
                let found = self
                    .patiently("add what is due", || self.store.add_pages(run, &pages))
                    .await?;
                added += found.iter().sum::<u64>();
            }
        }
        Ok(added)
    }

    pub(crate) async fn patiently<T, F>(&self, what: &str, action: impl FnMut() -> F) -> Result<T, RunError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        Ok(patiently(self.settings.database_patience, what, action).await?)
    }

    /// Enters this process as a runner of `run`. Two that go by one name would be one in every table and log.
    async fn appear(&self, run: RunId, shutdown: &Shutdown) -> Result<Presence, RunError> {
        let name = &self.settings.runner_id;
        for other in self.store.running_runners(run).await? {
            if other.identity.runner_id == *name
                && liveness(&other, self.settings.lease_term) != Liveness::Gone
            {
                return Err(RunError::Usage(format!(
                    "`{name}` is at work on run {run} already, as process {} on {}; give this runner another --runner-id, or \
                     none",
                    other.identity.pid, other.identity.host
                )));
            }
        }
        let identity = RunnerIdentity {
            instance: Uuid::new_v4().to_string(),
            runner_id: name.clone(),
            host: host_name(),
            pid: std::process::id(),
            process_mark: own_mark(),
        };
        self.store.register_runner(run, &identity).await?;
        let (activity, given_up) = (Arc::new(Activity::default()), Shutdown::default());
        let heart = Heart {
            store: self.store.clone(),
            run,
            site: self.site().origin,
            limits: self.settings.news,
            instance: identity.instance.clone(),
            term: self.settings.lease_term,
            activity: Arc::clone(&activity),
            fetcher: Arc::clone(&self.fetcher),
            given_up: given_up.clone(),
            stopped: shutdown.clone(),
        };
        Ok(Presence {
            identity,
            activity,
            given_up,
            _heartbeat: heart.start(),
        })
    }
}

/// Nothing is read of a site that cannot say what it allows.
pub(crate) fn unreachable(origin: &Url, error: &impl std::fmt::Display) -> RunError {
    let why = error.to_string();
    // Errors of the network name the address themselves.
    let what = if why.contains("robots.txt") {
        why
    } else {
        format!("cannot read `{origin}robots.txt`: {why}")
    };
    RunError::Fetch(format!("{what}; is the address right and the network up?"))
}
