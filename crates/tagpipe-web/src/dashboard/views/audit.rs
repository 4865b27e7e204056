//! `/audit`: what happened, and why.

use askama::Template;

use super::Frame;
use crate::dashboard::show::When;

/// The page.
#[derive(Debug, Clone, Template)]
#[template(path = "audit.html")]
pub(crate) struct AuditPage {
    /// What surrounds it.
    pub(crate) frame: Frame,
    /// What it is narrowed to.
    pub(crate) filter: AuditForm,
    /// The entries, newest first.
    pub(crate) entries: Vec<Entry>,
    /// Address of the older ones.
    pub(crate) older: Option<String>,
    /// Address of the event stream with the same filter; none on older pages, which do not change.
    pub(crate) live: Option<String>,
    /// Address of the same page with the stream, or without it.
    pub(crate) toggle_live: String,
}

/// The live part `entries`: new entries, put before the others.
#[derive(Debug, Clone, Template)]
#[template(path = "live/audit_entries.html")]
pub(crate) struct AuditEntries {
    /// Newest first.
    pub(crate) entries: Vec<Entry>,
}

/// The filter as it was sent.
#[derive(Debug, Clone, Default)]
pub(crate) struct AuditForm {
    /// Least level; empty for all.
    pub(crate) level: String,
    /// `operation`, `error` or `result`; empty for all.
    pub(crate) kind: String,
    /// A runner's name.
    pub(crate) runner: String,
    /// A run's number.
    pub(crate) run: String,
    /// A page's key, with `*` at its end for all that begin so.
    pub(crate) page: String,
    /// How far back, such as `24h`; empty for all.
    pub(crate) since: String,
    /// What is wrong with it, if anything.
    pub(crate) fault: Option<String>,
}

/// An audit entry.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// Its number.
    pub(crate) id: i64,
    /// When.
    pub(crate) at: When,
    /// Its weight.
    pub(crate) level: String,
    /// `operation`, `error` or `result`.
    pub(crate) kind: String,
    /// Who wrote it.
    pub(crate) runner: String,
    /// The run it belongs to.
    pub(crate) run_id: Option<i64>,
    /// The page it concerns; empty if none.
    pub(crate) page_key: String,
    /// What was being done.
    pub(crate) operation: String,
    /// A sentence.
    pub(crate) message: String,
    /// Details as indented JSON; empty if none.
    pub(crate) context: String,
}
