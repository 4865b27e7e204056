//! `/runs/{id}`: one run, live.

use askama::Template;

use super::Frame;
use crate::dashboard::show::{Bar, Count, Lasting, Share, Size, When};

/// The page.
#[derive(Debug, Clone, Template)]
#[template(path = "run.html")]
pub struct RunPage {
    /// What surrounds it.
    pub frame: Frame,
    /// State, times and buttons.
    pub head: RunHead,
    /// Its levels.
    pub levels: Vec<LevelRow>,
    /// Its categories with their years.
    pub tree: Vec<Branch>,
    /// Its runners.
    pub runners: Vec<RunnerRow>,
    /// The slowest pages, slowest first.
    pub slowest: Vec<SlowRow>,
    /// Pages given up.
    pub failed: FailedPages,
    /// Sums that disagree.
    pub discrepancies: Vec<DiscrepancyRow>,
    /// The newest audit entries, newest first.
    pub log: Vec<LogLine>,
    /// The settings it was started with, name and value.
    pub settings: Vec<(String, String)>,
}

/// The live part `head`.
#[derive(Debug, Clone, Template)]
#[template(path = "live/run_head.html")]
pub struct RunHeadPart {
    /// State, times and buttons.
    pub head: RunHead,
}

/// The live part `levels`.
#[derive(Debug, Clone, Template)]
#[template(path = "live/run_levels.html")]
pub struct RunLevelsPart {
    /// From categories to grade rows.
    pub levels: Vec<LevelRow>,
}

/// The live part `tree`.
#[derive(Debug, Clone, Template)]
#[template(path = "live/run_tree.html")]
pub struct RunTreePart {
    /// By name.
    pub tree: Vec<Branch>,
}

/// `/runs/{id}/years`: the years of a category, asked for when it is opened.
#[derive(Debug, Clone, Template)]
#[template(path = "live/run_years.html")]
pub struct RunYearsPart {
    /// Newest first.
    pub years: Vec<Branch>,
}

/// The live part `runners`.
#[derive(Debug, Clone, Template)]
#[template(path = "live/run_runners.html")]
pub struct RunRunnersPart {
    /// Those at work first.
    pub runners: Vec<RunnerRow>,
}

/// The live part `slowest`.
#[derive(Debug, Clone, Template)]
#[template(path = "live/run_slowest.html")]
pub struct RunSlowestPart {
    /// Slowest first.
    pub slowest: Vec<SlowRow>,
}

/// The live part `failed`.
#[derive(Debug, Clone, Template)]
#[template(path = "live/run_failed.html")]
pub struct RunFailedPart {
    /// Pages given up.
    pub failed: FailedPages,
}

/// The live part `discrepancies`.
#[derive(Debug, Clone, Template)]
#[template(path = "live/run_discrepancies.html")]
pub struct RunDiscrepanciesPart {
    /// Newest first.
    pub discrepancies: Vec<DiscrepancyRow>,
}

/// The live part `log`.
#[derive(Debug, Clone, Template)]
#[template(path = "live/run_log.html")]
pub struct RunLogPart {
    /// Newest first.
    pub log: Vec<LogLine>,
}

/// A run's state, times, main numbers and buttons.
#[derive(Debug, Clone)]
pub struct RunHead {
    /// Its number.
    pub id: i64,
    /// `running`, `paused`, `stopping`, `interrupted`, `reconciled` or `disputed`.
    pub state: &'static str,
    /// What the state means here, as a sentence.
    pub meaning: String,
    /// When it began.
    pub started_at: When,
    /// When it ended.
    pub finished_at: Option<When>,
    /// From its start to its end, or to now.
    pub took: Lasting,
    /// Until the end at the present pace, if that can be told.
    pub left: Option<Lasting>,
    /// Pages that need no reading any more.
    pub pages_done: Count,
    /// Pages known so far.
    pub pages_known: Count,
    /// The first as a part of the second.
    pub share: Share,
    /// Pages a second, over the last minute or over all of it when it has ended.
    pub pages_per_second: String,
    /// Requests made.
    pub requests: Count,
    /// Requests that need not be made because nothing had changed.
    pub saved: Count,
    /// Rows seen for the first time.
    pub rows_new: Count,
    /// Known rows with other values.
    pub rows_changed: Count,
    /// What the pace allows; none when it has ended.
    pub pace: Option<String>,
    /// What the brake adds; none while it is open.
    pub brake: Option<String>,
    /// Whether it can be told to pause.
    pub can_pause: bool,
    /// Whether it can be told to go on.
    pub can_resume: bool,
    /// Whether it can be told to stop.
    pub can_stop: bool,
}

/// A level of a run with its pages by state.
#[derive(Debug, Clone)]
pub struct LevelRow {
    /// Its name, such as `grade rows`.
    pub name: &'static str,
    /// Pages by state as a bar.
    pub bar: Bar,
    /// All its pages.
    pub pages: Count,
    /// Read whole.
    pub completed: Count,
    /// Not read because nothing changed.
    pub unchanged: Count,
    /// In hand, or waiting for their turn or their retry.
    pub open: Count,
    /// Given up.
    pub failed: Count,
    /// What needs no reading any more, as a part of all.
    pub share: Share,
}

/// A category of a run's tree, or a year of one.
#[derive(Debug, Clone)]
pub struct Branch {
    /// Tells it from the others on the page: digits and letters.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Pages by state as a bar.
    pub bar: Bar,
    /// Pages that need no reading any more.
    pub done: Count,
    /// All its pages.
    pub pages: Count,
    /// Pages given up.
    pub failed: Count,
    /// Address of what is below it, asked for when it is opened; none below a year.
    pub below: Option<String>,
}

/// A process that works or worked on the run.
#[derive(Debug, Clone)]
pub struct RunnerRow {
    /// Its name.
    pub name: String,
    /// `running`, `finished` or `lost`.
    pub state: &'static str,
    /// Its machine and process id.
    pub place: String,
    /// The page in hand, or why it ended.
    pub doing: String,
    /// Pages read whole.
    pub pages: Count,
    /// Requests made.
    pub requests: Count,
    /// Pages given up.
    pub failed: Count,
    /// Memory it uses; none if unknown.
    pub memory: Option<Size>,
    /// Since its last heartbeat.
    pub silent: Lasting,
}

/// A page that took long.
#[derive(Debug, Clone)]
pub struct SlowRow {
    /// Its key.
    pub page_key: String,
    /// From its first request to its last document.
    pub took: Lasting,
    /// That as a part of the slowest one's.
    pub bar: Bar,
}

/// The pages that a run gave up.
#[derive(Debug, Clone)]
pub struct FailedPages {
    /// The run's number.
    pub run_id: i64,
    /// How many there are, shown or not.
    pub total: Count,
    /// The first of them.
    pub pages: Vec<FailedRow>,
    /// Whether they can be retried by this viewer now.
    pub can_retry: bool,
}

/// A page given up.
#[derive(Debug, Clone)]
pub struct FailedRow {
    /// Its number in the frontier.
    pub id: i64,
    /// Its key.
    pub page_key: String,
    /// Its level.
    pub level: &'static str,
    /// The kind of failure.
    pub cause: String,
    /// In words.
    pub reason: String,
    /// How often it was tried.
    pub attempts: Count,
}

/// A sum that disagrees.
#[derive(Debug, Clone)]
pub struct DiscrepancyRow {
    /// The page with the numbers.
    pub page_key: String,
    /// What is compared.
    pub what: String,
    /// What was expected, and who said so.
    pub expected: String,
    /// What was read.
    pub found: String,
    /// `disagrees`, `moved` or `unverified`.
    pub verdict: String,
    /// When a later reading agreed.
    pub resolved_at: Option<When>,
}

/// An audit entry in a run's log.
#[derive(Debug, Clone)]
pub struct LogLine {
    /// When.
    pub at: When,
    /// Its weight.
    pub level: &'static str,
    /// A sentence.
    pub message: String,
}
