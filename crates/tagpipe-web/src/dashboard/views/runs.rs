//! `/runs`: every run.

use askama::Template;

use super::Frame;
use crate::dashboard::show::{Count, Lasting, When};

/// The page.
#[derive(Debug, Clone, Template)]
#[template(path = "runs.html")]
pub(crate) struct RunsPage {
    /// What surrounds it.
    pub(crate) frame: Frame,
    /// Newest first.
    pub(crate) runs: Vec<RunRow>,
    /// Address of the older ones.
    pub(crate) older: Option<String>,
    /// Address of the newest ones, if these are not they.
    pub(crate) newest: Option<String>,
}

/// A run in a list.
#[derive(Debug, Clone)]
pub(crate) struct RunRow {
    /// Its number.
    pub(crate) id: i64,
    /// Its state.
    pub(crate) state: &'static str,
    /// When it began.
    pub(crate) started_at: When,
    /// From its start to its end, or to now.
    pub(crate) took: Lasting,
    /// What it was to read, in words.
    pub(crate) what: String,
    /// Pages read whole.
    pub(crate) pages: Count,
    /// Pages given up.
    pub(crate) failed: Count,
    /// Requests made.
    pub(crate) requests: Count,
    /// Rows that were new or had other values.
    pub(crate) changes: Count,
}
