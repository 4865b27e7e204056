//! What a run came to, as everybody is told: table, JSON, `runs.summary` and exit code say the same.

use std::fmt;

use serde::Serialize;
use tagpipe_core::lifecycle::{PageState, RunState};
use tagpipe_core::model::PageKind;
use tagpipe_store::contract::{FrontierCounts, RowCounts, RunId};
use tagpipe_store::monitor::{LeftOut, RunnerOverview};
use tagpipe_store::{FailedPage, Resumed, SlowPage, Verified};

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
    /// No runner was left, and none could be started any more; the text says why.
    RunnersLost(String),
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
            RunEnd::KeptRefusing(reason) | RunEnd::LayoutChanged(reason) | RunEnd::RunnersLost(reason) => {
                f.write_str(reason)
            }
            RunEnd::Interrupted => f.write_str("interrupted"),
        }
    }
}

/// Pages of one level, by state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LevelSummary {
    /// The level.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
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
    /// Whether this process joined a run that others had begun: the numbers are those of all of them.
    pub joined: bool,
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
    /// What did not have to be read.
    pub left_out: LeftOutSummary,
    /// Reads that were repeated, by cause.
    pub retries: Vec<Retries>,
    /// Sums that do not agree, and cells that could not be read.
    pub discrepancies: u64,
    /// Those of them that were not read again, because there were more than a run may verify.
    pub unverified: u64,
    /// Sums that moved while they were read: no discrepancies; the next run reads their pages again.
    pub moved: u64,
    /// How much of the whole catalogue is verified.
    pub verified: Verified,
    /// Pages not allowed by robots.
    pub denied_by_robots: u64,
    /// Time of this process, in seconds.
    pub elapsed_s: f64,
    /// Requests of this process a second.
    pub requests_per_s: f64,
    /// Least interval between two requests that was asked for, in seconds.
    pub interval_s: f64,
    /// Who worked on the run, by name.
    pub runners: Vec<RunnerSummary>,
    /// Pages that took longest.
    pub slowest: Vec<SlowPage>,
    /// The first failed pages.
    pub failed: Vec<FailedPage>,
    /// Discrepancies, the first ones, in words.
    pub disagreements: Vec<String>,
    /// What else deserves a word.
    pub notes: Vec<String>,
}

/// Pages that were not read because their rows showed what they showed before, and what that may have missed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct LeftOutSummary {
    /// Pages that were not read, and at least as many requests saved.
    pub pages: u64,
    /// Further ones that were read all the same, chosen at random.
    pub audited: u64,
    /// Of these, those that had changed.
    pub missed: u64,
    /// Largest share of the pages left out that have changed, with 95 % confidence; null if none was audited.
    pub missed_share_most: Option<f64>,
}

impl From<LeftOut> for LeftOutSummary {
    fn from(left_out: LeftOut) -> LeftOutSummary {
        LeftOutSummary {
            pages: left_out.pages,
            audited: left_out.audited,
            missed: left_out.missed,
            missed_share_most: (left_out.audited > 0).then(|| upper_bound(left_out.missed, left_out.audited)),
        }
    }
}

/// The upper end of Wilson's 95 % interval for a share of which `hits` of `trials` were seen.
/// <https://doi.org/10.1080/01621459.1927.10502953>
fn upper_bound(hits: u64, trials: u64) -> f64 {
    const Z: f64 = 1.96;
    let (hits, trials) = (hits as f64, trials as f64);
    let (share, z2) = (hits / trials, Z * Z);
    let middle = share + z2 / (2.0 * trials);
    let spread = Z * (share * (1.0 - share) / trials + z2 / (4.0 * trials * trials)).sqrt();
    ((middle + spread) / (1.0 + z2 / trials)).min(1.0)
}

/// One runner's part in a run: all processes that worked under its name, the newest one telling how it stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunnerSummary {
    /// Its name, e.g. `runner_1`.
    pub runner_id: String,
    /// Its machine.
    pub host: String,
    /// Its newest process.
    pub pid: i64,
    /// `running`, `finished` or `lost`.
    pub state: String,
    /// Why it ended, in words; empty while it runs.
    pub ended_why: String,
    /// Processes that worked under this name.
    pub processes: u64,
    /// Pages read whole.
    pub pages: u64,
    /// Pages given up.
    pub failed: u64,
    /// Reads that were to be repeated.
    pub retries: u64,
    /// Requests made.
    pub requests: u64,
    /// Bytes received.
    pub bytes: u64,
    /// Time in which its processes were at work, in seconds.
    pub working_s: f64,
    /// Pages read a second of that time.
    pub pages_per_s: f64,
    /// Key of a page it has in hand; empty if it has none.
    pub current_page: String,
    /// Memory it uses, in bytes; 0 if unknown.
    pub memory_bytes: u64,
    /// Since its last heartbeat, in seconds.
    pub silent_s: f64,
}

/// The runners behind `processes`, which come in the order of their start; `runner_2` before `runner_10`.
#[must_use]
pub fn runner_summaries(processes: &[RunnerOverview]) -> Vec<RunnerSummary> {
    let mut runners: Vec<RunnerSummary> = Vec::new();
    for process in processes {
        match runners
            .iter_mut()
            .find(|runner| runner.runner_id == process.runner_id)
        {
            Some(runner) => runner.add(process),
            None => runners.push(RunnerSummary::of(process)),
        }
    }
    for runner in &mut runners {
        runner.pages_per_s = runner.pages as f64 / runner.working_s.max(0.1);
    }
    runners.sort_by(|one, other| by_number(&one.runner_id).cmp(&by_number(&other.runner_id)));
    runners
}

/// A name as it sorts among others: the number at its end by its value.
fn by_number(name: &str) -> (&str, u64, &str) {
    let stem = name.trim_end_matches(|character: char| character.is_ascii_digit());
    (stem, name[stem.len()..].parse().unwrap_or(0), name)
}

impl RunnerSummary {
    fn of(process: &RunnerOverview) -> RunnerSummary {
        RunnerSummary {
            runner_id: process.runner_id.clone(),
            host: process.host.clone(),
            pid: process.pid,
            state: process.state.clone(),
            ended_why: process.ended_why.clone(),
            processes: 1,
            pages: process.pages_completed,
            failed: process.pages_failed,
            retries: process.retries,
            requests: process.requests,
            bytes: process.bytes,
            working_s: process.working_s,
            pages_per_s: 0.0,
            current_page: process.current_page.clone(),
            memory_bytes: process.memory_bytes,
            silent_s: process.silent_s,
        }
    }

    /// Counts a newer process of the same name.
    fn add(&mut self, process: &RunnerOverview) {
        let newer = RunnerSummary::of(process);
        *self = RunnerSummary {
            processes: self.processes + 1,
            pages: self.pages + newer.pages,
            failed: self.failed + newer.failed,
            retries: self.retries + newer.retries,
            requests: self.requests + newer.requests,
            bytes: self.bytes + newer.bytes,
            working_s: self.working_s + newer.working_s,
            ..newer
        };
    }
}

/// What a summary says of the process that tells it.
#[derive(Debug, Clone)]
pub(crate) struct OwnPart {
    pub(crate) runner_id: String,
    pub(crate) resumed: Option<Resumed>,
    pub(crate) joined: bool,
    pub(crate) elapsed_s: f64,
    pub(crate) requests: u64,
    pub(crate) interval_s: f64,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn process(name: &str, pages: u64, state: &str) -> RunnerOverview {
        RunnerOverview {
            instance: format!("{name}/{pages}"),
            runner_id: name.into(),
            host: "here".into(),
            pid: 7,
            process_mark: String::new(),
            state: state.into(),
            ended_why: String::new(),
            current_page: String::new(),
            memory_bytes: 0,
            started_at: String::new(),
            silent_s: 0.0,
            working_s: 10.0,
            pages_completed: pages,
            pages_failed: 1,
            retries: 2,
            requests: pages + 3,
            bytes: 100,
        }
    }

    /// Against the values of statsmodels' `proportion_confint(method="wilson")`.
    #[test]
    fn the_bound_is_wilsons() {
        for (hits, trials, expected) in [
            (0, 10, 0.2775),
            (0, 100, 0.0370),
            (1, 20, 0.2361),
            (5, 50, 0.2136),
        ] {
            assert!(
                (upper_bound(hits, trials) - expected).abs() < 0.0005,
                "{hits} of {trials}"
            );
        }
        assert_eq!(upper_bound(3, 3), 1.0);
    }

    #[test]
    fn processes_of_one_name_are_one_runner_and_numbers_count_by_value() {
        let processes = [
            process("runner_10", 5, "running"),
            process("runner_2", 30, "lost"),
            process("runner_2", 10, "running"),
        ];
        let runners = runner_summaries(&processes);
        let names: Vec<_> = runners.iter().map(|runner| runner.runner_id.as_str()).collect();
        assert_eq!(names, ["runner_2", "runner_10"]);
        let second = &runners[0];
        assert_eq!(
            (second.processes, second.pages, second.failed, second.requests),
            (2, 40, 2, 46)
        );
        assert_eq!((second.state.as_str(), second.pages_per_s), ("running", 2.0));
    }
}
