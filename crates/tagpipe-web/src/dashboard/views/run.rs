//! `/runs/{id}`: one run, live.

use askama::Template;

use super::Frame;
use crate::dashboard::show::{Bar, Count, Lasting, Share, Size, When};

/// The page.
#[derive(Debug, Clone, Template)]
#[template(path = "run.html")]
pub(crate) struct RunPage {
    /// What surrounds it.
    pub(crate) frame: Frame,
    /// State, times and buttons.
    pub(crate) head: RunHead,
    /// Its levels.
    pub(crate) levels: Vec<LevelRow>,
    /// Its categories with their years.
    pub(crate) tree: Vec<Branch>,
    /// Its runners.
    pub(crate) runners: Vec<RunnerRow>,
    /// The slowest pages, slowest first.
    pub(crate) slowest: Vec<SlowRow>,
    /// Pages given up.
    pub(crate) failed: FailedPages,
    /// Sums that disagree.
    pub(crate) discrepancies: Vec<DiscrepancyRow>,
    /// The newest audit entries, newest first.
    pub(crate) log: Vec<LogLine>,
    /// The settings it was started with, name and value.
    pub(crate) settings: Vec<(String, String)>,
}

/// The live part `head`.
#[derive(Debug, Clone, Template)]
#[template(path = "live/run_head.html")]
pub(crate) struct RunHeadPart {
    /// State, times and buttons.
    pub(crate) head: RunHead,
}

/// The live part `levels`.
#[derive(Debug, Clone, Template)]
#[template(path = "live/run_levels.html")]
pub(crate) struct RunLevelsPart {
    /// From categories to grade rows.
    pub(crate) levels: Vec<LevelRow>,
}

/// The live part `tree`.
#[derive(Debug, Clone, Template)]
#[template(path = "live/run_tree.html")]
pub(crate) struct RunTreePart {
    /// By name.
    pub(crate) tree: Vec<Branch>,
}

/// `/runs/{id}/years`: the years of a category, asked for when it is opened.
#[derive(Debug, Clone, Template)]
#[template(path = "live/run_years.html")]
pub(crate) struct RunYearsPart {
    /// Newest first.
    pub(crate) years: Vec<Branch>,
}

/// The live part `runners`.
#[derive(Debug, Clone, Template)]
#[template(path = "live/run_runners.html")]
pub(crate) struct RunRunnersPart {
    /// Those at work first.
    pub(crate) runners: Vec<RunnerRow>,
}

/// The live part `slowest`.
#[derive(Debug, Clone, Template)]
#[template(path = "live/run_slowest.html")]
pub(crate) struct RunSlowestPart {
    /// Slowest first.
    pub(crate) slowest: Vec<SlowRow>,
}

/// The live part `failed`.
#[derive(Debug, Clone, Template)]
#[template(path = "live/run_failed.html")]
pub(crate) struct RunFailedPart {
    /// Pages given up.
    pub(crate) failed: FailedPages,
}

/// The live part `discrepancies`.
#[derive(Debug, Clone, Template)]
#[template(path = "live/run_discrepancies.html")]
pub(crate) struct RunDiscrepanciesPart {
    /// Newest first.
    pub(crate) discrepancies: Vec<DiscrepancyRow>,
}

/// The live part `log`.
#[derive(Debug, Clone, Template)]
#[template(path = "live/run_log.html")]
pub(crate) struct RunLogPart {
    /// Newest first.
    pub(crate) log: Vec<LogLine>,
}

/// A run's state, times, main numbers and buttons.
#[derive(Debug, Clone)]
pub(crate) struct RunHead {
    /// Its number.
    pub(crate) id: i64,
    /// `running`, `paused`, `stopping`, `interrupted`, `reconciled` or `disputed`.
    pub(crate) state: &'static str,
    /// What the state means here, as a sentence.
    pub(crate) meaning: String,
    /// When it began.
    pub(crate) started_at: When,
    /// Whether its live parts still change.
    pub(crate) is_live: bool,
    /// When it ended.
    pub(crate) finished_at: Option<When>,
    /// From its start to its end, or to now.
    pub(crate) took: Lasting,
    /// Until the end at the present pace, if that can be told.
    pub(crate) left: Option<Lasting>,
    /// Pages that need no reading any more.
    pub(crate) pages_done: Count,
    /// Pages known so far.
    pub(crate) pages_known: Count,
    /// The first as a part of the second.
    pub(crate) share: Share,
    /// Pages a second, over the last minute or over all of it when it has ended.
    pub(crate) pages_per_second: String,
    /// Requests made.
    pub(crate) requests: Count,
    /// Requests that need not be made because nothing had changed.
    pub(crate) saved: Count,
    /// Rows seen for the first time.
    pub(crate) rows_new: Count,
    /// Known rows with other values.
    pub(crate) rows_changed: Count,
    /// What the pace allows; none when it has ended.
    pub(crate) pace: Option<String>,
    /// What the brake adds; none while it is open.
    pub(crate) brake: Option<String>,
    /// Whether it can be told to pause.
    pub(crate) can_pause: bool,
    /// Whether it can be told to go on.
    pub(crate) can_resume: bool,
    /// Whether it can be told to stop.
    pub(crate) can_stop: bool,
}

/// A level of a run with its pages by state.
#[derive(Debug, Clone)]
pub(crate) struct LevelRow {
    /// Its name, such as `grade rows`.
    pub(crate) name: &'static str,
    /// Pages by state as a bar.
    pub(crate) bar: Bar,
    /// All its pages.
    pub(crate) pages: Count,
    /// Read whole.
    pub(crate) completed: Count,
    /// Not read because nothing changed.
    pub(crate) unchanged: Count,
    /// Still to be read.
    pub(crate) open: Count,
    /// Given up.
    pub(crate) failed: Count,
    /// What needs no reading any more, as a part of all.
    pub(crate) share: Share,
}

/// A category of a run's tree, or a year of one.
#[derive(Debug, Clone)]
pub(crate) struct Branch {
    /// Tells it from the others on the page: digits and letters.
    pub(crate) id: String,
    /// Its name.
    pub(crate) name: String,
    /// Pages by state as a bar.
    pub(crate) bar: Bar,
    /// Pages that need no reading any more.
    pub(crate) done: Count,
    /// All its pages.
    pub(crate) pages: Count,
    /// Pages given up.
    pub(crate) failed: Count,
    /// Address of what is below it, asked for when it is opened; none below a year.
    pub(crate) below: Option<String>,
}

/// A process that works or worked on the run.
#[derive(Debug, Clone)]
pub(crate) struct RunnerRow {
    /// Its name.
    pub(crate) name: String,
    /// `running`, `finished` or `lost`.
    pub(crate) state: &'static str,
    /// Its machine and process id.
    pub(crate) place: String,
    /// The page in hand, or why it ended.
    pub(crate) doing: String,
    /// Pages read whole.
    pub(crate) pages: Count,
    /// Requests made.
    pub(crate) requests: Count,
    /// Pages given up.
    pub(crate) failed: Count,
    /// Memory it uses; none if unknown.
    pub(crate) memory: Option<Size>,
    /// Since its last heartbeat.
    pub(crate) silent: Lasting,
}

/// A page that took long.
#[derive(Debug, Clone)]
pub(crate) struct SlowRow {
    /// Its key.
    pub(crate) page_key: String,
    /// From its first request to its last document.
    pub(crate) took: Lasting,
    /// That as a part of the slowest one's.
    pub(crate) bar: Bar,
}

/// The pages that a run gave up.
#[derive(Debug, Clone)]
pub(crate) struct FailedPages {
    /// The run's number.
    pub(crate) run_id: i64,
    /// How many there are, shown or not.
    pub(crate) total: Count,
    /// The first of them.
    pub(crate) pages: Vec<FailedRow>,
    /// Whether they can be retried by this viewer now.
    pub(crate) can_retry: bool,
}

/// A page given up.
#[derive(Debug, Clone)]
pub(crate) struct FailedRow {
    /// Its key.
    pub(crate) page_key: String,
    /// Its level.
    pub(crate) level: &'static str,
    /// The kind of failure.
    pub(crate) cause: String,
    /// In words.
    pub(crate) reason: String,
}

/// A sum that disagrees.
#[derive(Debug, Clone)]
pub(crate) struct DiscrepancyRow {
    /// The page with the numbers.
    pub(crate) page_key: String,
    /// What is compared.
    pub(crate) what: String,
    /// What was expected, and who said so.
    pub(crate) expected: String,
    /// What was read.
    pub(crate) found: String,
    /// `disagrees`, `moved` or `unverified`.
    pub(crate) verdict: String,
    /// When a later reading agreed.
    pub(crate) resolved_at: Option<When>,
}

/// An audit entry in a run's log.
#[derive(Debug, Clone)]
pub(crate) struct LogLine {
    /// When.
    pub(crate) at: When,
    /// Its weight.
    pub(crate) level: String,
    /// A sentence.
    pub(crate) message: String,
}
