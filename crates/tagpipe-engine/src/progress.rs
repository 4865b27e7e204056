//! How far a run is, for whoever wants to show it. Kept from commit reports, so it never runs ahead of the
//! database.

use std::time::Instant;

use tagpipe_core::lifecycle::PageState;
use tagpipe_core::model::PageKind;
use tagpipe_store::contract::{Brake, FrontierCounts, RowCounts};

use crate::commit_queue::{CommitReport, EndingKind};

/// A picture of a run under way.
#[derive(Debug, Clone)]
pub struct Progress {
    /// By level, from the categories down.
    pub levels: [LevelProgress; 5],
    /// Pages ended in this process.
    pub pages: u64,
    /// Requests made in this process.
    pub requests: u64,
    /// Bytes received in this process.
    pub bytes: u64,
    /// Reads to be repeated, in this process.
    pub retries: u64,
    /// Rows, in this process.
    pub rows: RowCounts,
    /// The brake, as this process knows it.
    pub brake: Brake,
    /// When this process began.
    pub started: Instant,
    /// What is being done, in a word or two.
    pub phase: &'static str,
}

/// Pages of one level.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LevelProgress {
    /// Known.
    pub found: u64,
    /// Ended, one way or another.
    pub done: u64,
    /// Of these, given up.
    pub failed: u64,
}

impl Default for Progress {
    fn default() -> Progress {
        Progress::new()
    }
}

impl Progress {
    /// Nothing done yet; the clock of the rate starts now.
    #[must_use]
    pub fn new() -> Progress {
        Progress {
            levels: [LevelProgress::default(); 5],
            pages: 0,
            requests: 0,
            bytes: 0,
            retries: 0,
            rows: RowCounts::default(),
            brake: Brake::default(),
            started: Instant::now(),
            phase: "starting",
        }
    }

    /// Pages that are known and not yet ended.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.levels
            .iter()
            .map(|level| level.found.saturating_sub(level.done))
            .sum()
    }

    /// Pages ended a second, over this process's life.
    #[must_use]
    pub fn pages_per_second(&self) -> f64 {
        self.pages as f64 / self.started.elapsed().as_secs_f64().max(0.001)
    }

    pub(crate) fn count_frontier(&mut self, counts: &FrontierCounts) {
        for kind in PageKind::ALL {
            let open: u64 = PageState::ALL
                .iter()
                .filter(|state| state.is_open())
                .map(|state| counts.get(kind, *state))
                .sum();
            self.levels[usize::from(kind.level())] = LevelProgress {
                found: counts.of_kind(kind),
                done: counts.of_kind(kind) - open,
                failed: counts.get(kind, PageState::Failed),
            };
        }
    }

    pub(crate) fn count_commit(&mut self, report: &CommitReport) {
        for (level, found) in self.levels.iter_mut().zip(report.found) {
            level.found += found;
        }
        for end in &report.ends {
            let level = &mut self.levels[usize::from(end.kind.level())];
            match end.ending {
                EndingKind::Completed | EndingKind::Skipped => level.done += 1,
                EndingKind::Failed(_) => {
                    level.done += 1;
                    level.failed += 1;
                }
                EndingKind::Retry(_) => self.retries += 1,
                EndingKind::Released | EndingKind::Fenced => {}
            }
            if matches!(end.ending, EndingKind::Completed | EndingKind::Failed(_)) {
                self.pages += 1;
            }
        }
        self.rows += report.rows;
        self.requests += report.requests;
        self.bytes += report.bytes;
    }
}
