//! The end of a run: what it came to, and what is written about it.

use tagpipe_core::model::PageKind;
use tagpipe_core::outcome::Cause;
use tagpipe_store::audit::{AuditEntry, AuditKind, AuditLevel, AuditOrigin};
use tagpipe_store::contract::{FrontierCounts, RunId};
use tagpipe_store::{Discrepancy, FailedPage, Resumed, StoreError};
use tokio::time::Instant;

use super::Pipeline;
use crate::error::RunError;
use crate::runner::{Halt, level_without_layout};
use crate::summary::{Retries, RunEnd, Summary, level_summaries};

/// Lines of each list in the summary.
const LISTED_MAX: usize = 10;

impl Pipeline {
    pub(super) async fn summarise(
        &self,
        run: RunId,
        resumed: Option<Resumed>,
        halt: Halt,
        disagreements: &[Discrepancy],
        started: Instant,
    ) -> Result<Summary, RunError> {
        let discrepancies = if halt == Halt::Drained {
            self.patiently("record sums", || {
                self.store.settle_disagreements(run, disagreements)
            })
            .await?
        } else {
            0
        };
        let counts = self.store.frontier_counts(run).await?;
        let failed = self.store.failed_pages(run, 1000).await?;
        let denied = self.store.denied_by_robots(run).await?;
        let totals = self.store.runner_totals(run).await?;
        let end = end_of(halt, &counts, &failed, denied, discrepancies)?;
        let retries = self.store.retry_causes(run).await?;
        let elapsed_s = started.elapsed().as_secs_f64();
        let requests_here = self.progress.borrow().requests;
        Ok(Summary {
            run_id: run,
            runner_id: self.settings.runner_id.clone(),
            site: self.site().origin,
            end,
            resumed,
            dry_run: self.dry_run,
            levels: level_summaries(&counts),
            rows: totals.rows,
            requests: totals.requests,
            bytes: totals.bytes,
            retries: retries
                .into_iter()
                .map(|(cause, count)| Retries { cause, count })
                .collect(),
            discrepancies,
            denied_by_robots: denied,
            elapsed_s,
            requests_per_s: requests_here as f64 / elapsed_s.max(0.001),
            interval_s: 0.0,
            slowest: self.store.slowest_pages(run, 5).await?,
            failed: failed.into_iter().take(LISTED_MAX).collect(),
            disagreements: disagreements.iter().take(LISTED_MAX).map(in_words).collect(),
            notes: self.unmatched_categories().await?,
        })
    }

    /// Category patterns that fit nothing the site has: probably misspelt.
    pub(super) async fn unmatched_categories(&self) -> Result<Vec<String>, RunError> {
        let known = self.store.stored_subjects(PageKind::Years, 0, 1000).await?;
        let names: Vec<_> = known
            .iter()
            .map(|subject| subject.identity.category.as_str())
            .collect();
        let unmatched = self.settings.filters.categories.unmatched(&names);
        Ok(unmatched
            .into_iter()
            .map(|pattern| format!("no category matches `{pattern}`; there are {}", names.join(", ")))
            .collect())
    }

    /// Writes the end of the run: its state, its summary, its audit entries; then prunes the trail.
    pub(super) async fn write_end(
        &self,
        summary: &Summary,
        disagreements: &[Discrepancy],
    ) -> Result<(), RunError> {
        let entries: Vec<_> = disagreements.iter().map(discrepancy_entry).collect();
        let origin = AuditOrigin {
            run: Some(summary.run_id),
            runner_id: &self.settings.runner_id,
        };
        if self.settings.audit_level <= AuditLevel::Warning && !entries.is_empty() {
            self.store.audit(origin, &entries).await?;
        }
        let stored = serde_json::to_value(summary).expect("own types serialise");
        self.audit_operation(
            summary.run_id,
            "run_ended",
            &format!("run ended: {}", summary.end),
            stored.clone(),
        )
        .await?;
        self.store
            .set_run_state(summary.run_id, summary.end.run_state(), Some(&stored))
            .await?;
        self.store.prune_audit(self.settings.audit_retention).await?;
        Ok(())
    }

    pub(super) async fn audit_operation(
        &self,
        run: RunId,
        operation: &str,
        message: &str,
        context: serde_json::Value,
    ) -> Result<(), RunError> {
        if self.settings.audit_level > AuditLevel::Info {
            return Ok(());
        }
        let entry = AuditEntry {
            level: AuditLevel::Info,
            kind: AuditKind::Operation,
            page_key: None,
            operation: operation.into(),
            message: message.into(),
            context,
        };
        let origin = AuditOrigin {
            run: Some(run),
            runner_id: &self.settings.runner_id,
        };
        Ok(self.store.audit(origin, &[entry]).await?)
    }

    /// The summary of a run that ended before it had a row in the database.
    pub(super) fn empty_summary(&self, end: RunEnd) -> Summary {
        Summary {
            run_id: 0,
            runner_id: self.settings.runner_id.clone(),
            site: self.site().origin,
            end,
            resumed: None,
            dry_run: self.dry_run,
            levels: level_summaries(&FrontierCounts::default()),
            rows: Default::default(),
            requests: 0,
            bytes: 0,
            retries: Vec::new(),
            discrepancies: 0,
            denied_by_robots: 0,
            elapsed_s: 0.0,
            requests_per_s: 0.0,
            interval_s: self.settings.interval.as_secs_f64(),
            slowest: Vec::new(),
            failed: Vec::new(),
            disagreements: Vec::new(),
            notes: Vec::new(),
        }
    }
}

fn end_of(
    halt: Halt,
    counts: &FrontierCounts,
    failed: &[FailedPage],
    denied: u64,
    discrepancies: u64,
) -> Result<RunEnd, RunError> {
    Ok(match halt {
        Halt::NoFetcher(reason) => return Err(RunError::Fetch(reason)),
        Halt::Interrupted | Halt::Aborted => RunEnd::Interrupted,
        Halt::KeptRefusing(reason) => RunEnd::KeptRefusing(reason),
        Halt::LayoutChanged(reason) => RunEnd::LayoutChanged(match failed_for_layout(failed) {
            Some(page) => format!("{reason}; {}: {}", page.page_key, page.reason),
            None => reason,
        }),
        Halt::BudgetSpent(reason) if counts.open() > 0 => RunEnd::BudgetSpent(reason),
        // The runner has seen every page done. If the database does not show it, nobody knows what else is missing.
        Halt::Drained if counts.open() > 0 => {
            return Err(RunError::Store(StoreError::Bug(format!(
                "{} pages are open that were seen done; look after the database, then go on with `tagpipe run --resume`",
                counts.open()
            ))));
        }
        Halt::BudgetSpent(_) | Halt::Drained => match level_without_layout(counts, failed) {
            Some(reason) => RunEnd::LayoutChanged(reason),
            None if !failed.is_empty() || denied > 0 => RunEnd::PagesFailed,
            None if discrepancies > 0 => RunEnd::Disputed,
            None => RunEnd::Reconciled,
        },
    })
}

/// A page that shows what does not fit.
fn failed_for_layout(failed: &[FailedPage]) -> Option<&FailedPage> {
    failed
        .iter()
        .find(|page| page.cause == Cause::LayoutChanged.as_str())
}

fn in_words(discrepancy: &Discrepancy) -> String {
    let Discrepancy {
        page_key,
        what,
        expected,
        expected_by,
        found,
        ..
    } = discrepancy;
    format!("{page_key}: {what}: {expected_by} says {expected}, read {found}")
}

fn discrepancy_entry(discrepancy: &Discrepancy) -> AuditEntry {
    AuditEntry {
        level: AuditLevel::Warning,
        kind: AuditKind::Result,
        page_key: Some(discrepancy.page_key.clone()),
        operation: "reconcile".into(),
        message: in_words(discrepancy),
        context: serde_json::to_value(discrepancy).expect("own types serialise"),
    }
}
