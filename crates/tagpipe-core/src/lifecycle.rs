//! The states of a page within a run.
//!
//! ```text
//! available ──claim──► leased ──commit──► completed
//!     ▲                  │ ├──fail────► failed      (attempts spent, or permanent)
//!     │                  │ └──skip────► skipped     (robots)
//!     └──due── retryable ◄─┘ retry
//!     ▲                  │
//!     └──── rescue ──────┘ (the lease ran out or was released)
//! available ──prune──► unchanged · ──filter──► skipped · any open state ──person──► cancelled
//! ```
//!
//! The store applies each change only from the right state and, from `leased`, only with the lease token.

use std::fmt;

use serde::{Deserialize, Serialize};

/// State of a page in the frontier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PageState {
    /// May be claimed now. Set when the page is found, promoted or rescued.
    Available,
    /// A runner holds the right to read it, until its lease ends.
    Leased,
    /// A read failed; becomes available when its `not_before` has come.
    Retryable,
    /// Read whole and committed.
    Completed,
    /// Not read: its parent shows for it what it showed when it was last read whole.
    Unchanged,
    /// Given up, with its reason.
    Failed,
    /// Not wanted: robots or a filter.
    Skipped,
    /// Taken out by a person.
    Cancelled,
}

impl PageState {
    /// Every state, open ones first.
    pub const ALL: [PageState; 8] = [
        PageState::Available,
        PageState::Leased,
        PageState::Retryable,
        PageState::Completed,
        PageState::Unchanged,
        PageState::Failed,
        PageState::Skipped,
        PageState::Cancelled,
    ];

    /// The name stored in `frontier.state`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            PageState::Available => "available",
            PageState::Leased => "leased",
            PageState::Retryable => "retryable",
            PageState::Completed => "completed",
            PageState::Unchanged => "unchanged",
            PageState::Failed => "failed",
            PageState::Skipped => "skipped",
            PageState::Cancelled => "cancelled",
        }
    }

    /// The state stored as `name`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<PageState> {
        PageState::ALL.into_iter().find(|state| state.as_str() == name)
    }

    /// Whether the page still has to be dealt with in this run.
    #[must_use]
    pub fn is_open(self) -> bool {
        matches!(
            self,
            PageState::Available | PageState::Leased | PageState::Retryable
        )
    }
}

impl fmt::Display for PageState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// State of a run, as stored in `runs.state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Pages are being read, or were when its runner died.
    Running,
    /// Ended before its frontier was empty; `--resume` goes on.
    Interrupted,
    /// Everything was read and the sums agree.
    Reconciled,
    /// Everything that could be read was, but sums disagree or pages failed.
    Disputed,
}

impl RunState {
    /// Every state.
    pub const ALL: [RunState; 4] = [
        RunState::Running,
        RunState::Interrupted,
        RunState::Reconciled,
        RunState::Disputed,
    ];

    /// The name stored in `runs.state`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            RunState::Running => "running",
            RunState::Interrupted => "interrupted",
            RunState::Reconciled => "reconciled",
            RunState::Disputed => "disputed",
        }
    }

    /// The state stored as `name`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<RunState> {
        RunState::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
