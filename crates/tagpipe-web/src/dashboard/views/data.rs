//! `/data`: exports and backups.

use askama::Template;

use super::Frame;
use crate::dashboard::show::{Lasting, When};

/// The page.
#[derive(Debug, Clone, Template)]
#[template(path = "data.html")]
pub(crate) struct DataPage {
    /// What surrounds it.
    pub(crate) frame: Frame,
    /// What the form for an export is filled with.
    pub(crate) form: ExportForm,
    /// What was ordered.
    pub(crate) jobs: Jobs,
}

/// `/data/jobs`: the list alone, asked for again while something is under way.
#[derive(Debug, Clone, Template)]
#[template(path = "live/jobs.html")]
pub(crate) struct JobsPart {
    /// What was ordered.
    pub(crate) jobs: Jobs,
}

/// Jobs, newest first.
#[derive(Debug, Clone)]
pub(crate) struct Jobs {
    /// The newest ones.
    pub(crate) rows: Vec<JobRow>,
    /// Whether one of them is not over yet.
    pub(crate) is_moving: bool,
}

/// A job in the list.
#[derive(Debug, Clone)]
pub(crate) struct JobRow {
    /// Its number.
    pub(crate) id: i64,
    /// `Export` or `Backup`.
    pub(crate) kind: &'static str,
    /// Its state.
    pub(crate) state: &'static str,
    /// When it was ordered.
    pub(crate) ordered_at: When,
    /// Who ordered it.
    pub(crate) by: String,
    /// From its last beginning to its end.
    pub(crate) took: Option<Lasting>,
    /// What is wanted, in words; empty if there is nothing to choose.
    pub(crate) wanted: String,
    /// What came of it, or why not, in words; empty if nothing has.
    pub(crate) outcome: String,
    /// What is probably not meant so, in words, such as a filter that matches nothing.
    pub(crate) warnings: Vec<String>,
    /// Whether it can be taken back by the viewer.
    pub(crate) can_cancel: bool,
}

/// The form for an export.
#[derive(Debug, Clone, Default)]
pub(crate) struct ExportForm {
    /// Whether it is shown open, as after a fault.
    pub(crate) is_open: bool,
    /// Name of the file.
    pub(crate) name: String,
    /// Tables, separated by commas.
    pub(crate) table: String,
    /// Filters, as `tagpipe export` takes them.
    pub(crate) categories: String,
    /// Years.
    pub(crate) years: String,
    /// Sets.
    pub(crate) sets: String,
    /// Since when rows have changed.
    pub(crate) changed_since: String,
    /// Whether rows that the site lists no more are left out.
    pub(crate) current: bool,
    /// What is wrong with it, if it was sent and refused.
    pub(crate) fault: Option<String>,
}
