//! `/`: what runs now, what ran, what comes.

use askama::Template;

use super::{Frame, LevelRow, RunRow};
use crate::dashboard::show::{Count, Lasting, Share, When};

/// The page.
#[derive(Debug, Clone, Template)]
#[template(path = "overview.html")]
pub(crate) struct OverviewPage {
    /// What surrounds it.
    pub(crate) frame: Frame,
    /// What runs now.
    pub(crate) now: Now,
    /// Pages that failed or were refused of late, newest first.
    pub(crate) errors: Vec<RecentError>,
    /// The last runs, newest first.
    pub(crate) runs: Vec<RunRow>,
    /// The next planned starts, earliest first.
    pub(crate) planned: Vec<Planned>,
    /// What is stored, over all categories.
    pub(crate) stored: Stored,
    /// What the form for a new run is filled with.
    pub(crate) form: RunForm,
}

/// The live part `now`.
#[derive(Debug, Clone, Template)]
#[template(path = "live/overview_now.html")]
pub(crate) struct OverviewNow {
    /// What runs now.
    pub(crate) now: Now,
}

/// The live part `errors`.
#[derive(Debug, Clone, Template)]
#[template(path = "live/overview_errors.html")]
pub(crate) struct OverviewErrors {
    /// Newest first.
    pub(crate) errors: Vec<RecentError>,
}

/// The live part `runs`.
#[derive(Debug, Clone, Template)]
#[template(path = "live/overview_runs.html")]
pub(crate) struct OverviewRuns {
    /// Newest first.
    pub(crate) runs: Vec<RunRow>,
}

/// What runs now.
#[derive(Debug, Clone, Default)]
pub(crate) struct Now {
    /// The run under way, if there is one.
    pub(crate) run: Option<RunningRun>,
    /// Runs that are ordered and have not begun.
    pub(crate) waiting: Vec<WaitingOrder>,
    /// When the next run is planned.
    pub(crate) next: Option<When>,
    /// Whether the viewer may take an order back.
    pub(crate) can_cancel: bool,
}

/// A run that is ordered and has not begun.
#[derive(Debug, Clone)]
pub(crate) struct WaitingOrder {
    /// The order's number.
    pub(crate) id: i64,
    /// What it is to read, in words.
    pub(crate) what: String,
    /// Who ordered it: a schedule's or a token's name.
    pub(crate) by: String,
    /// When it was ordered.
    pub(crate) at: When,
    /// What it waits for, in words.
    pub(crate) reason: String,
}

/// A run under way in a few numbers.
#[derive(Debug, Clone)]
pub(crate) struct RunningRun {
    /// Its number.
    pub(crate) id: i64,
    /// `running`, `paused` or `stopping`.
    pub(crate) state: &'static str,
    /// Origin of the site it reads.
    pub(crate) site: String,
    /// When it began.
    pub(crate) started_at: When,
    /// Pages that need no reading any more.
    pub(crate) pages_done: Count,
    /// Pages known so far.
    pub(crate) pages_known: Count,
    /// The first as a part of the second.
    pub(crate) share: Share,
    /// Pages a second over the last minute, such as `4.2`.
    pub(crate) pages_per_second: String,
    /// What the pace allows, such as `one request each 1.0 s`.
    pub(crate) pace: String,
    /// What the brake adds, such as `2.5 s more, after 429`; none while it is open.
    pub(crate) brake: Option<String>,
    /// Requests made.
    pub(crate) requests: Count,
    /// Requests that need not be made because nothing had changed.
    pub(crate) saved: Count,
    /// Pages given up.
    pub(crate) failed: Count,
    /// Processes at work.
    pub(crate) runners: Count,
    /// Until the end at the present pace, if that can be told.
    pub(crate) left: Option<Lasting>,
    /// Its levels, from categories to grade rows.
    pub(crate) levels: Vec<LevelRow>,
}

/// A failure of late.
#[derive(Debug, Clone)]
pub(crate) struct RecentError {
    /// When.
    pub(crate) at: When,
    /// `WARNING`, `ERROR` or `CRITICAL`.
    pub(crate) level: String,
    /// A sentence.
    pub(crate) message: String,
    /// The page it concerns; empty if none.
    pub(crate) page_key: String,
    /// The run it belongs to.
    pub(crate) run_id: Option<i64>,
}

/// A planned start.
#[derive(Debug, Clone)]
pub(crate) struct Planned {
    /// The schedule's name.
    pub(crate) name: String,
    /// When.
    pub(crate) at: When,
    /// What it reads, in words.
    pub(crate) what: String,
}

/// What is stored.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Stored {
    /// Categories.
    pub(crate) categories: Count,
    /// Sets, as the years promise.
    pub(crate) sets: Count,
    /// Cards.
    pub(crate) cards: Count,
    /// Graded copies, as the years promise.
    pub(crate) graded: Count,
}

/// The form for a new run.
#[derive(Debug, Clone, Default)]
pub(crate) struct RunForm {
    /// Whether it is shown open, as after a fault.
    pub(crate) is_open: bool,
    /// Categories, separated by commas; empty for all.
    pub(crate) categories: String,
    /// Years and ranges of years.
    pub(crate) years: String,
    /// Names of sets, with `*`.
    pub(crate) sets: String,
    /// Names of cards, with `*`.
    pub(crate) cards: String,
    /// Whether pages that show no change are read, too.
    pub(crate) full: bool,
    /// Most pages to read; empty for no bound.
    pub(crate) max_pages: String,
    /// How many runners.
    pub(crate) runners: String,
    /// What to do while another run goes on: `queue`, `skip` or `stop`.
    pub(crate) when_busy: String,
    /// What is wrong with it, if it was sent and refused.
    pub(crate) fault: Option<String>,
}
