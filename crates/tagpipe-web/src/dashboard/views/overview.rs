//! `/`: what runs now, what ran, what comes.

use askama::Template;

use super::{Frame, LevelRow, RunRow};
use crate::dashboard::show::{Count, Lasting, Share, When};

/// The page.
#[derive(Debug, Clone, Template)]
#[template(path = "overview.html")]
pub struct OverviewPage {
    /// What surrounds it.
    pub frame: Frame,
    /// What runs now.
    pub now: Now,
    /// Pages that failed or were refused of late, newest first.
    pub errors: Vec<RecentError>,
    /// The last runs, newest first.
    pub runs: Vec<RunRow>,
    /// The next planned starts, earliest first.
    pub planned: Vec<Planned>,
    /// What is stored, over all categories.
    pub stored: Stored,
    /// What the form for a new run is filled with.
    pub form: RunForm,
}

/// The live part `now`.
#[derive(Debug, Clone, Template)]
#[template(path = "live/overview_now.html")]
pub struct OverviewNow {
    /// What runs now.
    pub now: Now,
}

/// The live part `errors`.
#[derive(Debug, Clone, Template)]
#[template(path = "live/overview_errors.html")]
pub struct OverviewErrors {
    /// Newest first.
    pub errors: Vec<RecentError>,
}

/// The live part `runs`.
#[derive(Debug, Clone, Template)]
#[template(path = "live/overview_runs.html")]
pub struct OverviewRuns {
    /// Newest first.
    pub runs: Vec<RunRow>,
}

/// What runs now.
#[derive(Debug, Clone, Default)]
pub struct Now {
    /// The run under way, if there is one.
    pub run: Option<RunningRun>,
    /// Runs that are ordered and have not begun.
    pub waiting: Vec<WaitingOrder>,
    /// When the next run is planned.
    pub next: Option<When>,
    /// Whether the viewer may take an order back.
    pub can_cancel: bool,
}

/// A run that is ordered and has not begun.
#[derive(Debug, Clone)]
pub struct WaitingOrder {
    /// The order's number.
    pub id: i64,
    /// What it is to read, in words.
    pub what: String,
    /// Who ordered it: a schedule's or a token's name.
    pub by: String,
    /// When it was ordered.
    pub at: When,
    /// What it waits for, in words.
    pub reason: String,
}

/// A run under way in a few numbers.
#[derive(Debug, Clone)]
pub struct RunningRun {
    /// Its number.
    pub id: i64,
    /// `running`, `paused` or `stopping`.
    pub state: &'static str,
    /// Origin of the site it reads.
    pub site: String,
    /// When it began.
    pub started_at: When,
    /// Pages that need no reading any more.
    pub pages_done: Count,
    /// Pages known so far.
    pub pages_known: Count,
    /// The first as a part of the second.
    pub share: Share,
    /// Pages a second over the last minute, such as `4.2`.
    pub pages_per_second: String,
    /// What the pace allows, such as `one request each 1.0 s`.
    pub pace: String,
    /// What the brake adds, such as `2.5 s more, after 429`; none while it is open.
    pub brake: Option<String>,
    /// Requests made.
    pub requests: Count,
    /// Requests that need not be made because nothing had changed.
    pub saved: Count,
    /// Pages given up.
    pub failed: Count,
    /// Processes at work.
    pub runners: Count,
    /// Until the end at the present pace, if that can be told.
    pub left: Option<Lasting>,
    /// Its levels, from categories to grade rows.
    pub levels: Vec<LevelRow>,
}

/// A failure of late.
#[derive(Debug, Clone)]
pub struct RecentError {
    /// When.
    pub at: When,
    /// `WARNING`, `ERROR` or `CRITICAL`.
    pub level: &'static str,
    /// A sentence.
    pub message: String,
    /// The page it concerns; empty if none.
    pub page_key: String,
    /// The run it belongs to.
    pub run_id: Option<i64>,
}

/// A planned start.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The schedule's name.
    pub name: String,
    /// When.
    pub at: When,
    /// What it reads, in words.
    pub what: String,
}

/// What is stored.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stored {
    /// Categories.
    pub categories: Count,
    /// Sets.
    pub sets: Count,
    /// Cards.
    pub cards: Count,
    /// Grade rows.
    pub grade_rows: Count,
}

/// The form for a new run.
#[derive(Debug, Clone, Default)]
pub struct RunForm {
    /// Whether it is shown open, as after a fault.
    pub is_open: bool,
    /// Categories, separated by commas; empty for all.
    pub categories: String,
    /// Years and ranges of years.
    pub years: String,
    /// Names of sets, with `*`.
    pub sets: String,
    /// Names of cards, with `*`.
    pub cards: String,
    /// Whether pages that show no change are read, too.
    pub full: bool,
    /// Most pages to read; empty for no bound.
    pub max_pages: String,
    /// How many runners.
    pub runners: String,
    /// What to do while another run goes on: `queue`, `skip` or `stop`.
    pub when_busy: String,
    /// What is wrong with it, if it was sent and refused.
    pub fault: Option<String>,
}
