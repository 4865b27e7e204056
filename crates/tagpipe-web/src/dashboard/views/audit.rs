//! `/audit`: what happened, and why.

use askama::Template;

use super::Frame;
use crate::dashboard::show::When;

/// The page.
#[derive(Debug, Clone, Template)]
#[template(path = "audit.html")]
pub struct AuditPage {
    /// What surrounds it.
    pub frame: Frame,
    /// What it is narrowed to.
    pub filter: AuditForm,
    /// The entries, newest first.
    pub entries: Vec<Entry>,
    /// Address of the older ones.
    pub older: Option<String>,
    /// Address of the event stream with the same filter; none on older pages, which do not change.
    pub live: Option<String>,
    /// Address of the same page with the stream, or without it.
    pub toggle_live: String,
}

/// The live part `entries`: new entries, put before the others.
#[derive(Debug, Clone, Template)]
#[template(path = "live/audit_entries.html")]
pub struct AuditEntries {
    /// Newest first.
    pub entries: Vec<Entry>,
}

/// The filter as it was sent.
#[derive(Debug, Clone, Default)]
pub struct AuditForm {
    /// Least level; empty for all.
    pub level: String,
    /// `operation`, `error` or `result`; empty for all.
    pub kind: String,
    /// A runner's name.
    pub runner: String,
    /// A run's number.
    pub run: String,
    /// A page's key, with `*` at its end for all that begin so.
    pub page: String,
    /// How far back, such as `24h`; empty for all.
    pub since: String,
    /// What is wrong with it, if anything.
    pub fault: Option<String>,
}

/// An audit entry.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its number.
    pub id: i64,
    /// When.
    pub at: When,
    /// Its weight.
    pub level: &'static str,
    /// `operation`, `error` or `result`.
    pub kind: &'static str,
    /// Who wrote it.
    pub runner: String,
    /// The run it belongs to.
    pub run_id: Option<i64>,
    /// The page it concerns; empty if none.
    pub page_key: String,
    /// What was being done.
    pub operation: String,
    /// A sentence.
    pub message: String,
    /// Details as indented JSON; empty if none.
    pub context: String,
}
