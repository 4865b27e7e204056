//! What a run came to, as everybody is told: table, JSON, `runs.summary` and exit code say the same.

use std::fmt;

use serde::Serialize;
use tagpipe_core::lifecycle::{PageState, RunState};
use tagpipe_core::model::PageKind;
use tagpipe_store::contract::{FrontierCounts, RowCounts, RunId};
use tagpipe_store::{FailedPage, Resumed, SlowPage};

/// How a run, or this process's part in it, ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "end", content = "reason")]
pub enum RunEnd {
    /// Everything was read and the sums agree.
    Reconciled,
    /// Finished, but pages failed or were not allowed.
    PagesFailed,
    /// Everything was read, but sums disagree.
    Disputed,
    /// A budget was spent; the text says which.
    BudgetSpent(String),
    /// The site kept refusing, or asks for a person.
    KeptRefusing(String),
    /// The site's layout no longer fits the profile.
    LayoutChanged(String),
    /// Somebody asked to stop.
    Interrupted,
}

impl RunEnd {
    /// Whether the run came to its end, so that there is nothing to resume.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, RunEnd::Reconciled | RunEnd::PagesFailed | RunEnd::Disputed)
    }

    /// The state the run is left in.
    #[must_use]
    pub fn run_state(&self) -> RunState {
        match self {
            RunEnd::Reconciled => RunState::Reconciled,
            RunEnd::PagesFailed | RunEnd::Disputed => RunState::Disputed,
            _ => RunState::Interrupted,
        }
    }
}

impl fmt::Display for RunEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunEnd::Reconciled => f.write_str("reconciled"),
            RunEnd::PagesFailed => f.write_str("finished, some pages failed"),
            RunEnd::Disputed => f.write_str("disputed, sums do not agree"),
            RunEnd::BudgetSpent(reason) => write!(f, "stopped after {reason}"),
            RunEnd::KeptRefusing(reason) | RunEnd::LayoutChanged(reason) => f.write_str(reason),
            RunEnd::Interrupted => f.write_str("interrupted"),
        }
    }
}

/// Pages of one level, by state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LevelSummary {
    /// The level.
    pub level: PageKind,
    /// All its pages.
    pub pages: u64,
    /// Read whole.
    pub completed: u64,
    /// Not read because nothing changed.
    pub unchanged: u64,
    /// Given up.
    pub failed: u64,
    /// Left out by a filter or by robots.
    pub skipped: u64,
    /// Taken out by a person.
    pub cancelled: u64,
    /// Still to be read.
    pub open: u64,
}

/// The closing summary.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// The run.
    pub run_id: RunId,
    /// Its runner in this process.
    pub runner_id: String,
    /// Origin of the site.
    pub site: String,
    /// How it ended.
    #[serde(flatten)]
    pub end: RunEnd,
    /// What was found when the run was taken up again, if it was.
    pub resumed: Option<Resumed>,
    /// Whether nothing was written.
    pub dry_run: bool,
    /// Pages, by level and state.
    pub levels: Vec<LevelSummary>,
    /// Rows of the whole run, by what became of them.
    pub rows: RowCounts,
    /// Requests of the whole run.
    pub requests: u64,
    /// Bytes received in the whole run.
    pub bytes: u64,
    /// Reads that were repeated, by cause.
    pub retries: Vec<Retries>,
    /// Sums that do not agree, and cells that could not be read.
    pub discrepancies: u64,
    /// Pages not allowed by robots.
    pub denied_by_robots: u64,
    /// Time of this process, in seconds.
    pub elapsed_s: f64,
    /// Requests of this process a second.
    pub requests_per_s: f64,
    /// Least interval between two requests that was asked for, in seconds.
    pub interval_s: f64,
    /// Pages that took longest.
    pub slowest: Vec<SlowPage>,
    /// The first failed pages.
    pub failed: Vec<FailedPage>,
    /// Discrepancies, the first ones, in words.
    pub disagreements: Vec<String>,
    /// What else deserves a word.
    pub notes: Vec<String>,
}

/// How often pages were read again for one cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Retries {
    /// The cause.
    pub cause: String,
    /// How often.
    pub count: u64,
}

pub(crate) fn level_summaries(counts: &FrontierCounts) -> Vec<LevelSummary> {
    PageKind::ALL
        .iter()
        .map(|kind| LevelSummary {
            level: *kind,
            pages: counts.of_kind(*kind),
            completed: counts.get(*kind, PageState::Completed),
            unchanged: counts.get(*kind, PageState::Unchanged),
            failed: counts.get(*kind, PageState::Failed),
            skipped: counts.get(*kind, PageState::Skipped),
            cancelled: counts.get(*kind, PageState::Cancelled),
            open: PageState::ALL
                .iter()
                .filter(|state| state.is_open())
                .map(|state| counts.get(*kind, *state))
                .sum(),
        })
        .collect()
}

impl Summary {
    /// Pages of all levels in a state, e.g. `|level| level.failed`.
    #[must_use]
    pub fn pages(&self, of: fn(&LevelSummary) -> u64) -> u64 {
        self.levels.iter().map(of).sum()
    }
}
