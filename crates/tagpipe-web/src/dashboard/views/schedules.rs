//! `/schedules`: when runs begin by themselves.

use askama::Template;

use super::Frame;
use crate::dashboard::show::When;

/// The page.
#[derive(Debug, Clone, Template)]
#[template(path = "schedules.html")]
pub(crate) struct SchedulesPage {
    /// What surrounds it.
    pub(crate) frame: Frame,
    /// By name.
    pub(crate) schedules: Vec<ScheduleCard>,
    /// What the form for a new one is filled with.
    pub(crate) form: ScheduleForm,
    /// When it would start runs.
    pub(crate) preview: SchedulePreview,
}

/// `/schedules/preview`: when a schedule would start runs, asked for while it is typed.
#[derive(Debug, Clone, Template)]
#[template(path = "live/schedule_preview.html")]
pub(crate) struct SchedulePreviewPart {
    /// When it would start runs.
    pub(crate) preview: SchedulePreview,
}

/// A schedule.
#[derive(Debug, Clone)]
pub(crate) struct ScheduleCard {
    /// Its number.
    pub(crate) id: i64,
    /// Its name.
    pub(crate) name: String,
    /// Its cron expression.
    pub(crate) cron: String,
    /// The expression in words; empty if there are none for it.
    pub(crate) words: String,
    /// Its time zone.
    pub(crate) zone: String,
    /// What it reads, in words.
    pub(crate) what: String,
    /// What is done while the run before goes on, in words.
    pub(crate) overlap: String,
    /// Whether it starts runs.
    pub(crate) is_enabled: bool,
    /// Whether it can be changed here; the one from the settings cannot.
    pub(crate) is_ours: bool,
    /// The next times.
    pub(crate) next: Vec<When>,
    /// The last start: when, and the run's number if there was one.
    pub(crate) last: Option<(When, Option<i64>)>,
}

/// The form for a new schedule.
#[derive(Debug, Clone, Default)]
pub(crate) struct ScheduleForm {
    /// Whether it is shown open, as after a fault.
    pub(crate) is_open: bool,
    /// Its name.
    pub(crate) name: String,
    /// Its cron expression.
    pub(crate) cron: String,
    /// Its time zone.
    pub(crate) zone: String,
    /// What to do while the run before goes on: `skip`, `queue` or `stop`.
    pub(crate) overlap: String,
    /// By how many seconds at most a start is put off at random.
    pub(crate) jitter: String,
    /// For how many seconds after a missed time it is still made up for once.
    pub(crate) catch_up: String,
    /// Categories to read, separated by commas; empty for all.
    pub(crate) categories: String,
    /// How many runners.
    pub(crate) runners: String,
    /// Most pages to read; empty for no bound.
    pub(crate) max_pages: String,
    /// Whether pages that show no change are read, too.
    pub(crate) full: bool,
    /// What is wrong with it, if it was sent and refused.
    pub(crate) fault: Option<String>,
}

/// When a schedule would start runs.
#[derive(Debug, Clone)]
pub(crate) enum SchedulePreview {
    /// Nothing has been typed yet.
    Nothing,
    /// The next times: in UTC and as the clock of the schedule's zone shows them.
    Times(Vec<(When, String)>),
    /// Why it is no schedule.
    Fault(String),
}
