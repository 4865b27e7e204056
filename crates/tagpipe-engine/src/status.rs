//! What is going on right now, put together from the database alone: no runner is asked.

use std::time::Duration;

use serde::Serialize;
use tagpipe_store::contract::{Brake, RunId};
use tagpipe_store::monitor::{RunOverview, RunnerOverview};
use tagpipe_store::{OrchestratorOverview, OrchestratorRecord, Store, StoreError, Verified};

use crate::process::{Presence, presence};
use crate::summary::{LevelSummary, RunnerSummary, level_summaries, runner_summaries};

/// Seconds without a heartbeat after which a runner counts as gone: as the longest usual lease.
const SILENT_MAX_S: f64 = 90.0;

/// The state of a database at one moment.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Status {
    /// Runs that are under way, oldest first.
    pub running: Vec<RunStatus>,
    /// The newest run, under way or not.
    pub newest: Option<RunStatus>,
    /// Sums that do not agree and that no later reading has mended.
    pub open_discrepancies: u64,
    /// How much of the catalogue is verified.
    pub verified: Verified,
}

/// A run as it stands.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunStatus {
    /// The run.
    #[serde(flatten)]
    pub run: RunOverview,
    /// Its pages, level by level.
    pub levels: Vec<LevelSummary>,
    /// The processes that work or worked on it, in the order of their start.
    pub processes: Vec<RunnerOverview>,
    /// The same by name: a runner that was replaced is one.
    pub runners: Vec<RunnerSummary>,
    /// Who starts and watches its runners, if somebody does or did.
    pub orchestrator: Option<OrchestratorOverview>,
    /// Processes that are at work now.
    pub alive: usize,
    /// Pages that were read in a second, by those that are at work now.
    pub pages_per_s: f64,
    /// Least time until the pages known now are read, in seconds; `None` when nobody reads or nothing is left.
    pub left_s: Option<f64>,
    /// The site's least interval that the run was started with, in seconds.
    pub interval_s: f64,
    /// Seconds until the next request to the site may be made, where that is further away than the pace explains; else
    /// `None`.
    pub pace_ahead_s: Option<f64>,
    /// The shared slow-down of the site.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub brake: Brake,
}

impl RunStatus {
    /// Pages that still have to be dealt with.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.levels.iter().map(|level| level.open).sum()
    }
}

/// The state of the database.
///
/// # Errors
/// See [`StoreError::class`].
pub async fn status(store: &Store) -> Result<Status, StoreError> {
    let mut running = Vec::new();
    for run in store.runs_under_way().await? {
        running.push(with_details(store, run).await?);
    }
    let newest = match store.runs(None, 1).await?.pop() {
        Some(newest) => match running.iter().find(|status| status.run.id == newest.id) {
            Some(known) => Some(known.clone()),
            None => Some(with_details(store, newest).await?),
        },
        None => None,
    };
    Ok(Status {
        running,
        newest,
        open_discrepancies: store.open_discrepancies().await?,
        verified: store.verified().await?,
    })
}

/// The state of one run; `None` if there is no such run.
///
/// # Errors
/// See [`StoreError::class`].
pub async fn run_status(store: &Store, run: RunId) -> Result<Option<RunStatus>, StoreError> {
    match store.run_overview(run).await? {
        Some(run) => Ok(Some(with_details(store, run).await?)),
        None => Ok(None),
    }
}

async fn with_details(store: &Store, run: RunOverview) -> Result<RunStatus, StoreError> {
    let levels = level_summaries(&store.frontier_counts(run.id).await?);
    let processes = store.runners(run.id).await?;
    let outlook = store.pace_outlook(run.site()).await?;
    let interval_s = run.config["interval_s"].as_f64().unwrap_or(0.0);
    let interval = Duration::try_from_secs_f64(interval_s).unwrap_or_default();
    let is_far_ahead = outlook.is_far_ahead(interval);
    let at_work: Vec<&RunnerOverview> = processes.iter().filter(|runner| is_alive(runner)).collect();
    let pages_per_s: f64 = at_work
        .iter()
        .map(|runner| runner.pages_completed as f64 / (runner.working_s + runner.silent_s).max(1.0))
        .sum();
    let open: u64 = levels.iter().map(|level| level.open).sum();
    let is_measurable = open > 0 && pages_per_s > 0.0;
    Ok(RunStatus {
        levels,
        alive: at_work.len(),
        pages_per_s,
        left_s: is_measurable.then(|| open as f64 / pages_per_s),
        interval_s,
        pace_ahead_s: is_far_ahead.then_some(outlook.next_slot_in.as_secs_f64()),
        brake: outlook.brake,
        runners: runners_as_seen(&processes),
        orchestrator: store.orchestrator(run.id).await?.map(orchestrator_as_seen),
        processes,
        run,
    })
}

/// Whether somebody works on the run now: a runner, or who starts them.
pub(crate) async fn is_at_work(store: &Store, run: RunId) -> Result<bool, StoreError> {
    if store.runners(run).await?.iter().any(is_alive) {
        return Ok(true);
    }
    let orchestrator = store.orchestrator(run).await?.map(orchestrator_as_seen);
    Ok(orchestrator.is_some_and(|one| one.is_running && !one.is_gone))
}

/// The runners by name; one whose process is not there any more is `gone`, whatever it said last.
fn runners_as_seen(processes: &[RunnerOverview]) -> Vec<RunnerSummary> {
    let as_seen: Vec<_> = processes
        .iter()
        .cloned()
        .map(|mut process| {
            if process.state == "running" && !is_alive(&process) {
                "gone".clone_into(&mut process.state);
            }
            process
        })
        .collect();
    runner_summaries(&as_seen)
}

fn orchestrator_as_seen(record: OrchestratorRecord) -> OrchestratorOverview {
    let who = &record.identity;
    let presence = presence(&who.host, who.pid, &who.process_mark);
    let mut overview = OrchestratorOverview::from(record);
    // One that is there and hangs is in the way all the same.
    let is_gone = match presence {
        Presence::Here => false,
        Presence::Gone => true,
        Presence::Unknown => overview.silent_s > SILENT_MAX_S,
    };
    overview.is_gone = overview.is_running && is_gone;
    overview
}

fn is_alive(runner: &RunnerOverview) -> bool {
    let pid = u32::try_from(runner.pid).unwrap_or(0);
    let is_gone = presence(&runner.host, pid, &runner.process_mark) == Presence::Gone;
    runner.state == "running" && runner.silent_s < SILENT_MAX_S && !is_gone
}
