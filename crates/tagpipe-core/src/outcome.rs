//! What one read of a page came to. One enum for everything that can happen, so that nothing is decided
//! by a text or by where an error was caught; [`crate::policy`] holds the one table of what each leads to.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The outcome of one read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All rows are there, by the page's own evidence and its parent's.
    Complete,
    /// Fewer rows than promised.
    Incomplete {
        /// Rows (or copies) read.
        have: u64,
        /// Rows (or copies) promised.
        want: u64,
        /// Who promised them.
        by: Witness,
    },
    /// No rows and no word that there are none.
    Empty,
    /// The not-found screen, repeatedly and at a calm pace: believed.
    NotFound,
    /// The not-found screen on a page its parent linked to: the site's way of saying "too fast".
    SuspectedSoft404,
    /// 429.
    RateLimited {
        /// What `Retry-After` asked for.
        retry_after: Option<Duration>,
    },
    /// 503 and other temporary server errors.
    Busy {
        /// The HTTP status.
        status: u16,
        /// What `Retry-After` asked for.
        retry_after: Option<Duration>,
    },
    /// No answer, or no content, in time.
    Timeout {
        /// What was waited for.
        waited_for: String,
    },
    /// The connection failed, or the answer was broken off or unusable.
    Network {
        /// What went wrong, readable alone.
        detail: String,
    },
    /// The document does not fit the profile.
    LayoutChanged {
        /// What is missing or doubled, naming the profile's line.
        detail: String,
    },
    /// `robots.txt` forbids the page: no request was made.
    DeniedByRobots,
    /// A captcha or a login: nobody tries to pass it.
    Blocked {
        /// What was seen.
        by: String,
    },
}

/// Who said how many rows a page should have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Witness {
    /// The page itself: its pager or its TOTALS row. Then it was not ready.
    Page,
    /// The parent page's row, which may have been read before the site moved on.
    Parent,
}

/// The outcome without its details: the key of the policy table, of counters and of `frontier.last_outcome`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// See [`Outcome::Complete`].
    Complete,
    /// See [`Outcome::Incomplete`].
    Incomplete,
    /// See [`Outcome::Empty`].
    Empty,
    /// See [`Outcome::NotFound`].
    NotFound,
    /// See [`Outcome::SuspectedSoft404`].
    #[serde(rename = "soft_404")]
    Soft404,
    /// See [`Outcome::RateLimited`].
    RateLimited,
    /// See [`Outcome::Busy`].
    Busy,
    /// See [`Outcome::Timeout`].
    Timeout,
    /// See [`Outcome::Network`].
    Network,
    /// See [`Outcome::LayoutChanged`].
    LayoutChanged,
    /// See [`Outcome::DeniedByRobots`].
    Robots,
    /// See [`Outcome::Blocked`].
    Blocked,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Cause; 12] = [
        Cause::Complete,
        Cause::Incomplete,
        Cause::Empty,
        Cause::NotFound,
        Cause::Soft404,
        Cause::RateLimited,
        Cause::Busy,
        Cause::Timeout,
        Cause::Network,
        Cause::LayoutChanged,
        Cause::Robots,
        Cause::Blocked,
    ];

    /// The name used in the database, in logs and in summaries.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Cause::Complete => "complete",
            Cause::Incomplete => "incomplete",
            Cause::Empty => "empty",
            Cause::NotFound => "not_found",
            Cause::Soft404 => "soft_404",
            Cause::RateLimited => "rate_limited",
            Cause::Busy => "busy",
            Cause::Timeout => "timeout",
            Cause::Network => "network",
            Cause::LayoutChanged => "layout_changed",
            Cause::Robots => "robots",
            Cause::Blocked => "blocked",
        }
    }

    /// The cause stored as `name`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Cause> {
        Cause::ALL.into_iter().find(|cause| cause.as_str() == name)
    }

    /// Whether the site refused: these close the brake and do not use up a page's retries.
    #[must_use]
    pub fn is_refusal(self) -> bool {
        matches!(self, Cause::RateLimited | Cause::Busy | Cause::Soft404)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Outcome {
    /// The cause, without details.
    #[must_use]
    pub fn cause(&self) -> Cause {
        match self {
            Outcome::Complete => Cause::Complete,
            Outcome::Incomplete { .. } => Cause::Incomplete,
            Outcome::Empty => Cause::Empty,
            Outcome::NotFound => Cause::NotFound,
            Outcome::SuspectedSoft404 => Cause::Soft404,
            Outcome::RateLimited { .. } => Cause::RateLimited,
            Outcome::Busy { .. } => Cause::Busy,
            Outcome::Timeout { .. } => Cause::Timeout,
            Outcome::Network { .. } => Cause::Network,
            Outcome::LayoutChanged { .. } => Cause::LayoutChanged,
            Outcome::DeniedByRobots => Cause::Robots,
            Outcome::Blocked { .. } => Cause::Blocked,
        }
    }

    /// How long the site itself asked us to stay away.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Outcome::RateLimited { retry_after } | Outcome::Busy { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Complete => f.write_str("complete"),
            Outcome::Incomplete {
                have,
                want,
                by: Witness::Page,
            } => {
                write!(f, "the page promises {want} and shows {have}")
            }
            Outcome::Incomplete {
                have,
                want,
                by: Witness::Parent,
            } => {
                write!(f, "its parent counted {want} and the page shows {have}")
            }
            Outcome::Empty => f.write_str("no rows and no word that there are none"),
            Outcome::NotFound => f.write_str("not found, repeatedly and at a calm pace"),
            Outcome::SuspectedSoft404 => f.write_str("the not-found screen on a linked page"),
            Outcome::RateLimited { retry_after } => {
                f.write_str("429, too many requests")?;
                write_retry_after(f, *retry_after)
            }
            Outcome::Busy { status, retry_after } => {
                write!(f, "HTTP status {status}")?;
                write_retry_after(f, *retry_after)
            }
            Outcome::Timeout { waited_for } => write!(f, "timed out waiting for {waited_for}"),
            Outcome::Network { detail } => f.write_str(detail),
            Outcome::LayoutChanged { detail } => write!(f, "the layout does not fit the profile: {detail}"),
            Outcome::DeniedByRobots => f.write_str("robots.txt does not allow this page"),
            Outcome::Blocked { by } => write!(f, "the site asks for a person: {by}"),
        }
    }
}

fn write_retry_after(f: &mut fmt::Formatter<'_>, retry_after: Option<Duration>) -> fmt::Result {
    match retry_after {
        Some(after) => write!(f, ", retry after {} s", after.as_secs()),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_is_found_by_its_name() {
        for cause in Cause::ALL {
            assert_eq!(Cause::from_name(cause.as_str()), Some(cause));
        }
    }
}
