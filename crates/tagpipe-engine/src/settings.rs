//! Checked settings of one run.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tagpipe_core::filter::Filters;
use tagpipe_core::model::PageKind;
use tagpipe_core::policy::RetryPolicy;
use tagpipe_core::profile::SiteProfile;
use tagpipe_store::ReadingOrder;
use tagpipe_store::audit::{AuditLevel, AuditRetention};
use tagpipe_store::contract::KeepDocuments;

/// What one runner is told.
#[derive(Debug, Clone)]
pub struct RunSettings {
    /// Pages in hand at a time, at least 1.
    pub concurrency: usize,
    /// Least time between two requests of this runner.
    pub delay: Duration,
    /// Least time between two requests to the site, over all runners.
    pub interval: Duration,
    /// Patience with pages.
    pub retry: RetryPolicy,
    /// What the run is limited to.
    pub filters: Filters,
    /// The level whose pages are read first.
    pub start_from: PageKind,
    /// What need not be read again.
    pub freshness: Freshness,
    /// How much is read again where sums disagree.
    pub verification: Verification,
    /// How much this process may do.
    pub budget: Budget,
    /// What is read first, if it is not to be what fits the budget: for comparing the two.
    pub order: Option<ReadingOrder>,
    /// Entries below this level are not written to the audit trail.
    pub audit_level: AuditLevel,
    /// Which documents are kept of what is read.
    pub keep_documents: KeepDocuments,
    /// How long the trail is kept.
    pub audit_retention: AuditRetention,
    /// Term of a lease; it is renewed after a third of it.
    pub lease_term: Duration,
    /// How long the database may be away before the run ends.
    pub database_patience: Duration,
    /// Name of this runner, e.g. `runner_1`.
    pub runner_id: String,
    /// When something is wrong enough to be news while the run is under way.
    pub news: NewsLimits,
}

impl Default for RunSettings {
    /// The defaults of the command line; the interval is that of the built-in profile.
    fn default() -> RunSettings {
        let delay = Duration::from_secs(1);
        RunSettings {
            concurrency: 3,
            delay,
            interval: SiteProfile::builtin().pace.interval,
            retry: RetryPolicy {
                first_pause: delay,
                ..RetryPolicy::default()
            },
            filters: Filters::default(),
            start_from: PageKind::Categories,
            freshness: Freshness::default(),
            verification: Verification::default(),
            budget: Budget::default(),
            order: None,
            audit_level: AuditLevel::Info,
            keep_documents: KeepDocuments::default(),
            audit_retention: AuditRetention::default(),
            lease_term: Duration::from_secs(30),
            database_patience: Duration::from_secs(60),
            runner_id: generated_runner_id(),
            news: NewsLimits::default(),
        }
    }
}

impl RunSettings {
    /// What a run reads first.
    pub(crate) fn reading_order(&self) -> ReadingOrder {
        self.order.unwrap_or_else(|| self.budget.order())
    }
}

/// A name for a runner that was given none.
#[must_use]
pub fn generated_runner_id() -> String {
    format!("runner_{:08x}", fastrand::u32(..))
}

/// Which pages need not be read again: those whose rows show what they showed when the page was last read whole.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Freshness {
    /// Read everything all the same.
    pub full: bool,
    /// Longest time that a page may go unread, if there is one.
    pub max_age: Option<Duration>,
    /// Share of the pages left out that are read all the same, from 0 to 1, to see what leaving out misses.
    pub audit_share: f64,
}

impl Default for Freshness {
    fn default() -> Freshness {
        Freshness {
            full: false,
            max_age: None,
            audit_share: 0.002,
        }
    }
}

/// When something is wrong enough to be news while a run is under way.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NewsLimits {
    /// Share of the reads that come to nothing, from 0 to 1.
    pub error_rate: f64,
    /// How long the brake may be closed.
    pub brake_closed: Duration,
}

impl Default for NewsLimits {
    fn default() -> NewsLimits {
        NewsLimits {
            error_rate: 0.2,
            brake_closed: Duration::from_secs(15 * 60),
        }
    }
}

/// How many pages a run reads again where sums disagree.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Verification {
    /// Share of the pages that the run has read, from 0 to 1; 0 for none at all.
    pub share: f64,
}

impl Verification {
    /// Pages that may be read again however few the run has read.
    const LEAST: u64 = 100;

    /// Pages that a run which has read `completed` ones may read again.
    #[must_use]
    pub fn reads_max(self, completed: u64) -> u64 {
        match self.share {
            share if share > 0.0 => ((completed as f64 * share) as u64).max(Self::LEAST),
            _ => 0,
        }
    }
}

impl Default for Verification {
    fn default() -> Verification {
        Verification { share: 0.05 }
    }
}

/// How much a process may do before it ends its run for now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Budget {
    /// Pages read.
    pub max_pages: Option<u64>,
    /// Time.
    pub max_duration: Option<Duration>,
}

impl Budget {
    /// What a run within it reads first: without one everything is read, in the order that needs least room.
    #[must_use]
    pub fn order(&self) -> ReadingOrder {
        match (self.max_pages, self.max_duration) {
            (None, None) => ReadingOrder::Deepest,
            _ => ReadingOrder::Stalest,
        }
    }
}

/// The site a run is about, as stored with it: a resumed run must be about the same one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    /// Name of the profile.
    pub profile: String,
    /// Version of the profile.
    pub version: String,
    /// Origin, e.g. `https://my.example.com`; also the key of the site's pace.
    pub origin: String,
}

impl Site {
    /// The site that `profile` is about.
    #[must_use]
    pub fn of(profile: &SiteProfile) -> Site {
        Site {
            profile: profile.name.clone(),
            version: profile.version.clone(),
            origin: profile.origin.origin().ascii_serialization(),
        }
    }
}
