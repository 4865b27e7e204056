//! What the store is told and what it answers. The engine knows these types and [`crate::Store`]'s methods
//! and nothing of SQL; the conformance suite in `tests/` holds every engine to them.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tagpipe_core::lifecycle::PageState;
use tagpipe_core::model::{Identity, PageKey, PageKind, PageRows};
use tagpipe_core::outcome::Cause;
use tagpipe_core::policy::PageHistory;

use crate::audit::AuditEntry;

/// Id of a run, as users type it after `--resume`.
pub type RunId = i64;

/// A page to be added to the frontier.
#[derive(Debug, Clone, PartialEq)]
pub struct NewPage {
    /// Its kind.
    pub kind: PageKind,
    /// Its decoded natural key.
    pub identity: Identity,
    /// Path and query.
    pub url: String,
    /// The row whose children it lists; `None` for the categories.
    pub subject_id: Option<i64>,
    /// What its parent's row promised: rows for sets, copies for cards and grade rows.
    pub expected: Option<u64>,
    /// [`StoredSubject::changes`](crate::StoredSubject) of that row as the page is added; `None` for the categories.
    pub subject_changes: Option<i64>,
    /// Since when it has probably been out of date, for runs that read [`ReadingOrder::Stalest`](crate::ReadingOrder) first,
    /// in microseconds since 1970; 0 if it was never read.
    pub stale_since_us: i64,
    /// What becomes of it.
    pub admission: Admission,
}

/// What becomes of a page that is added to a frontier.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Admission {
    /// It is read.
    #[default]
    Read,
    /// It need not be read, and is, to see what leaving such pages out would miss.
    ReadToAudit,
    /// It is left out, because it would show what is stored.
    Unchanged,
    /// It is left out for this reason.
    Skipped(String),
}

/// The right to read one page, until it ends.
#[derive(Debug, Clone, PartialEq)]
pub struct Lease {
    /// Id of the page in the frontier.
    pub page_id: i64,
    /// Identity of this term: a finish with another token is dropped.
    pub token: String,
    /// The page's kind.
    pub kind: PageKind,
    /// Its key.
    pub key: PageKey,
    /// Its identity.
    pub identity: Identity,
    /// Path and query.
    pub url: String,
    /// See [`NewPage::subject_id`].
    pub subject_id: Option<i64>,
    /// See [`NewPage::expected`].
    pub expected: Option<u64>,
    /// Number of this attempt, from 1.
    pub attempt: u32,
    /// What earlier reads in this run came to.
    pub history: PageHistory,
    /// Reads on top of the one because sums disagreed.
    pub verifications: u32,
    /// Whether it is read only to see what leaving it out would miss.
    pub audited: bool,
}

/// What one read cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReadCost {
    /// Requests made.
    pub requests: u32,
    /// Bytes received.
    pub bytes: u64,
    /// From the first request to the last document.
    pub elapsed: Duration,
}

/// A page that its runner is done with, one way or another.
#[derive(Debug, Clone)]
pub struct Finish {
    /// The lease it was read under.
    pub lease: Lease,
    /// What it cost.
    pub cost: ReadCost,
    /// How it ended.
    pub ending: Ending,
    /// What it was read from. Kept only if it is completed.
    pub documents: ReadDocuments,
    /// What is said about it in the audit trail, in the same transaction.
    pub audit: Vec<AuditEntry>,
}

/// Which documents are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeepDocuments {
    /// Those of each page's newest reading.
    #[default]
    Last,
    /// Those of each page's newest reading in every run.
    All,
    /// None: those that are kept of earlier readings count no more.
    None,
}

/// The documents of one read.
#[derive(Debug, Clone, Default)]
pub struct ReadDocuments {
    /// Which are kept.
    pub keep: KeepDocuments,
    /// Name and version of the profile that they were read with, see [`profile_label`].
    pub profile: String,
    /// In the order in which the page shows them; none if they are not to be kept.
    pub documents: Vec<PackedDocument>,
}

/// One document as it is kept.
#[derive(Debug, Clone)]
pub struct PackedDocument {
    /// Path and query.
    pub url: String,
    /// When it had arrived, by this process's clock.
    pub received: Instant,
    /// SHA-256 of the document, in hexadecimal digits.
    pub hash: String,
    /// Its size before compression, in bytes.
    pub bytes: u64,
    /// How many of the page's rows, in their order, it shows.
    pub rows: usize,
    /// The document, compressed: the store does not look into it.
    pub body: Vec<u8>,
}

/// How a profile is named where it is noted who read something.
#[must_use]
pub fn profile_label(name: &str, version: &str) -> String {
    format!("{name} {version}")
}

/// How a lease ends.
#[derive(Debug, Clone)]
pub enum Ending {
    /// The page was read: its rows and children are committed with its completion.
    Completed {
        /// The rows.
        rows: PageRows,
        /// One for each row, in the same order; empty for grade rows.
        children: Vec<ChildPage>,
        /// Whether the rows are known to be all there. Only then can a certificate that is missing have vanished.
        whole: bool,
        /// Whether they also agree with what the parent's row promised. Only then need the page not be read again while
        /// the parent shows the same.
        agrees: bool,
        /// Cells that could not be read, or another reason why the page's sums cannot be trusted.
        unreadable: Vec<Unreadable>,
    },
    /// It is tried again.
    Retry {
        /// Pause from now, by the database's clock.
        after: Duration,
        /// Why.
        cause: Cause,
        /// The cause in words.
        reason: String,
        /// What is now known of the page.
        history: PageHistory,
    },
    /// It is given up.
    Failed {
        /// Why.
        cause: Cause,
        /// The cause in words.
        reason: String,
        /// What is now known of the page.
        history: PageHistory,
    },
    /// It is not wanted.
    Skipped {
        /// Why.
        cause: Cause,
        /// The cause in words.
        reason: String,
    },
    /// The lease is given back unused.
    Released {
        /// Whether a read had begun; if not, the attempt is not counted.
        began: bool,
    },
}

/// The child page of a row.
#[derive(Debug, Clone, PartialEq)]
pub struct ChildPage {
    /// Its identity.
    pub identity: Identity,
    /// Path and query.
    pub url: String,
    /// What its row promises, see [`NewPage::expected`].
    pub expected: Option<u64>,
    /// Whether the run reads it, and if not, why.
    pub fate: ChildFate,
}

/// Whether a run reads a child page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChildFate {
    /// It is read.
    Read,
    /// It is read if its row shows other counts than when it was last read whole, or if that is longer ago than
    /// `max_age`; else it is recorded as unchanged, unless it is to be `audit`ed.
    ReadIfDue {
        /// Longest time that a page may go unread, if there is one.
        max_age: Option<Duration>,
        /// Whether it is read all the same, to see what leaving out misses.
        audit: bool,
    },
    /// It is left out and recorded as skipped, with the reason.
    Skip(String),
    /// It is below the levels of this run, or the row has no children: no frontier entry.
    Ignore,
}

/// A cell that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Where: row and column.
    pub place: String,
    /// What stands there.
    pub text: String,
    /// What would be right.
    pub expected: String,
}

/// What the store did with a finish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is committed.
    Accepted,
    /// The lease had ended and the page is somebody else's: nothing of it was written.
    Fenced,
}

/// Rows of one commit, by what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct RowCounts {
    /// Seen for the first time.
    pub new: u64,
    /// Known, with other values.
    pub changed: u64,
    /// Known, as before.
    pub same: u64,
    /// No longer on their page.
    pub vanished: u64,
}

impl std::ops::AddAssign for RowCounts {
    fn add_assign(&mut self, more: RowCounts) {
        self.new += more.new;
        self.changed += more.changed;
        self.same += more.same;
        self.vanished += more.vanished;
    }
}

/// What one group commit did.
#[derive(Debug, Clone, Default)]
pub struct Committed {
    /// One for each finish, in order.
    pub fates: Vec<Fate>,
    /// Rows of the accepted ones.
    pub rows: RowCounts,
    /// Pages that the accepted ones added to the frontier, or that waited for one of them to be verified, by level.
    pub found: [u64; 5],
}

/// Pages of a run by level and state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FrontierCounts {
    counts: [[u64; 8]; 5],
}

impl FrontierCounts {
    pub(crate) fn set(&mut self, kind: PageKind, state: PageState, count: u64) {
        self.counts[usize::from(kind.level())][state as usize] = count;
    }

    /// Pages of `kind` in `state`.
    #[must_use]
    pub fn get(&self, kind: PageKind, state: PageState) -> u64 {
        self.counts[usize::from(kind.level())][state as usize]
    }

    /// Pages in `state`, over all levels.
    #[must_use]
    pub fn in_state(&self, state: PageState) -> u64 {
        PageKind::ALL.iter().map(|kind| self.get(*kind, state)).sum()
    }

    /// Pages of `kind`, in any state.
    #[must_use]
    pub fn of_kind(&self, kind: PageKind) -> u64 {
        PageState::ALL.iter().map(|state| self.get(kind, *state)).sum()
    }

    /// All pages.
    #[must_use]
    pub fn all(&self) -> u64 {
        PageKind::ALL.iter().map(|kind| self.of_kind(*kind)).sum()
    }

    /// Pages that still have to be dealt with.
    #[must_use]
    pub fn open(&self) -> u64 {
        PageState::ALL
            .iter()
            .filter(|state| state.is_open())
            .map(|state| self.in_state(*state))
            .sum()
    }
}

/// A slot for one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// How long from now until the request may be made.
    pub wait: Duration,
    /// Its time by the database's clock, in microseconds since 1970.
    pub at_us: i64,
    /// The brake as it stands.
    pub brake: Brake,
}

/// How a slot is asked for.
#[derive(Debug, Clone, Copy)]
pub struct SlotRequest {
    /// Least time between two requests to the site, over all runners.
    pub interval: Duration,
    /// Least time between two requests of this runner.
    pub delay: Duration,
    /// When this runner's last slot was, by the database's clock; 0 if it had none.
    pub last_us: i64,
}

/// How far the pace of a site is ahead.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PaceOutlook {
    /// From now until the next slot that nobody has taken, the time of a block included.
    pub next_slot_in: Duration,
    /// The brake as it stands.
    pub brake: Brake,
}

impl PaceOutlook {
    /// Whether slots stand further ahead than requests and refusals can have moved them, at least when no more than a
    /// few runners are at work: those who took them are gone, or the clock was put back.
    #[must_use]
    pub fn is_far_ahead(&self, interval: Duration) -> bool {
        self.next_slot_in > self.reach(interval)
    }

    /// The furthest that the next slot may be for the pace as it is.
    pub(crate) fn reach(&self, interval: Duration) -> Duration {
        let apart = interval.saturating_add(self.brake.extra);
        self.brake
            .blocked_for
            .saturating_add(apart.saturating_mul(2))
            .saturating_add(AHEAD_MAX)
    }
}

/// How far ahead slots may be beside block, interval and brake: room for runners that each have one out.
const AHEAD_MAX: Duration = Duration::from_secs(5 * 60);

/// A refusal by the site.
#[derive(Debug, Clone, Copy)]
pub struct Refusal<'a> {
    /// [`Brake::closures`] when the request was made. Requests of one time that are refused together close the brake
    /// once, however many runners had some under way.
    pub closures: u64,
    /// How long the site asked us to stay away.
    pub retry_after: Option<Duration>,
    /// The refusal in words.
    pub reason: &'a str,
}

/// The shared slow-down after a refusal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Brake {
    /// What it adds to the interval.
    pub extra: Duration,
    /// How much longer no request at all may be made.
    pub blocked_for: Duration,
    /// How often it was closed in a row, over all runners, without a good page in between.
    pub refusals_in_row: u32,
    /// Why it is closed; empty when it is open.
    pub reason: String,
    /// How often it was closed, ever: a slot taken before the last time was taken at a pace that no longer holds.
    pub closures: u64,
}

impl Brake {
    /// Whether a not-found screen counts as one at a calm pace: requests are slowed down already, and the site has
    /// given a good page since it last refused one.
    #[must_use]
    pub fn is_calm(&self) -> bool {
        !self.extra.is_zero() && self.refusals_in_row == 0
    }

    /// Whether nothing holds requests back.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.extra.is_zero() && self.blocked_for.is_zero()
    }
}
