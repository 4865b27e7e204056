//! `/runs`: every run.

use askama::Template;

use super::Frame;
use crate::dashboard::show::{Count, Lasting, When};

/// The page.
#[derive(Debug, Clone, Template)]
#[template(path = "runs.html")]
pub struct RunsPage {
    /// What surrounds it.
    pub frame: Frame,
    /// Newest first.
    pub runs: Vec<RunRow>,
    /// Address of the older ones.
    pub older: Option<String>,
    /// Address of the newest ones, if these are not they.
    pub newest: Option<String>,
}

/// A run in a list.
#[derive(Debug, Clone)]
pub struct RunRow {
    /// Its number.
    pub id: i64,
    /// Its state.
    pub state: &'static str,
    /// When it began.
    pub started_at: When,
    /// From its start to its end, or to now.
    pub took: Lasting,
    /// What it was to read, in words.
    pub what: String,
    /// Pages read whole.
    pub pages: Count,
    /// Pages given up.
    pub failed: Count,
    /// Requests made.
    pub requests: Count,
    /// Rows that were new or had other values.
    pub changes: Count,
}
