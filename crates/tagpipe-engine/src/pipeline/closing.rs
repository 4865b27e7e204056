//! The end of a run: what it came to, and what is written about it.

use std::time::Duration;

use tagpipe_core::lifecycle::RunState;
use tagpipe_core::model::PageKind;
use tagpipe_core::news::News;
use tagpipe_core::outcome::Cause;
use tagpipe_store::audit::{AuditEntry, AuditKind, AuditLevel, AuditOrigin};
use tagpipe_store::contract::{FrontierCounts, RunId};
use tagpipe_store::{Discrepancy, FailedPage, RunEnding, RunnerEnd, StoreError, Verdict};
use tokio::time::{Instant, timeout};

use super::{Part, Pipeline, Start};
use crate::error::RunError;
use crate::news::news_of_end;
use crate::runner::{Halt, level_without_layout};
use crate::summary::{OwnPart, Retries, RunEnd, Summary, level_summaries, runner_summaries};

/// Lines of each list in the summary.
const LISTED_MAX: u32 = 10;

/// How long news is kept.
const KEEP_NEWS: Duration = Duration::from_secs(90 * 24 * 3600);

/// How long a stop at once waits for the leases to be given back.
const ABORT_PATIENCE: Duration = Duration::from_secs(1);

impl Pipeline {
    /// Writes the end of the run. `None` when this runner has no right to any more: then another one does.
    pub(super) async fn close_run(
        &self,
        part: &Part,
        disagreements: &[Discrepancy],
    ) -> Result<Option<Summary>, RunError> {
        let (run, instance) = (part.run, &part.instance);
        let settled = self
            .patiently("record sums", || {
                self.store.settle_disagreements(run, instance, disagreements)
            })
            .await?;
        let Some(discrepancies) = settled else {
            return Ok(None);
        };
        let end = self.end_reached(run, &Halt::Drained, discrepancies).await?;
        self.end_own_part(part, &why_part_ended(&end)).await?;
        let summary = self.own_summary(part, end).await?;
        let mut entries: Vec<_> = disagreements.iter().map(discrepancy_entry).collect();
        entries.push(ended_entry(&summary));
        let entries = self.audited(entries);
        let stored = serde_json::to_value(&summary).expect("own types serialise");
        let news = self.news_of_end(&summary, None).await?;
        let ending = RunEnding {
            state: summary.end.run_state(),
            summary: &stored,
            origin: self.origin(run),
            entries: &entries,
            news: &news,
        };
        let closed = self
            .patiently("write the end of the run", || {
                self.store.close_run(run, instance, &ending)
            })
            .await?;
        if !closed && !self.was_closed_as(run, &stored).await? {
            return Ok(None);
        }
        self.prune().await?;
        Ok(Some(summary))
    }

    /// Removes what is kept no longer.
    async fn prune(&self) -> Result<(), RunError> {
        self.store.prune_audit(self.settings.audit_retention).await?;
        self.store.prune_news(KEEP_NEWS).await?;
        Ok(())
    }

    /// Whether the run was ended with this very summary: by an earlier call whose answer got lost.
    async fn was_closed_as(&self, run: RunId, summary: &serde_json::Value) -> Result<bool, RunError> {
        let overview = self.store.run_overview(run).await?;
        Ok(overview.is_some_and(|overview| overview.summary == *summary))
    }

    /// Leaves an unfinished run: whoever is the last one says that it was interrupted.
    pub(super) async fn leave(&self, part: &Part, halt: Halt) -> Result<Summary, RunError> {
        let (run, instance) = (part.run, &part.instance);
        if halt == Halt::Aborted {
            // Nobody wants to wait now: what cannot be given back quickly comes back when its lease runs out.
            let _ = timeout(ABORT_PATIENCE, self.store.take_back(run, instance)).await;
        }
        self.store.give_up_closing(run, instance).await?;
        if halt == Halt::GivenUp {
            return Err(RunError::GivenUp(run));
        }
        let end = match &halt {
            // Without a way to fetch pages this process says nothing about how the run stands.
            Halt::NoFetcher(_) => RunEnd::Interrupted,
            halt => {
                let discrepancies = self.store.discrepancies_of(run).await?;
                self.end_reached(run, halt, discrepancies).await?
            }
        };
        self.end_own_part(part, &end.to_string()).await?;
        let summary = self.own_summary(part, end).await?;
        let failure = match &halt {
            Halt::NoFetcher(reason) => Some(reason.as_str()),
            _ => None,
        };
        if self.end_unfinished(instance, &summary, failure).await? {
            self.prune().await?;
        } else {
            let message = format!("runner ended: {}", summary.end);
            let context = serde_json::to_value(&summary).expect("own types serialise");
            self.audit_operation(run, "runner_ended", &message, context)
                .await?;
        }
        match halt {
            Halt::NoFetcher(reason) => Err(RunError::Fetch(reason)),
            _ => Ok(summary),
        }
    }

    /// Writes the end of an unfinished run, as `instance` sees it; `failure` is why its process could not go on. `false` when
    /// somebody else works on it: then nothing is written.
    pub(crate) async fn end_unfinished(
        &self,
        instance: &str,
        summary: &Summary,
        failure: Option<&str>,
    ) -> Result<bool, RunError> {
        let run = summary.run_id;
        let stored = serde_json::to_value(summary).expect("own types serialise");
        let entries = self.audited(vec![ended_entry(summary)]);
        // An orchestrator that is at work knows better how its run ended, and tells it.
        let news = match self.store.is_orchestrated(run, instance).await? {
            true => Vec::new(),
            false => self.news_of_end(summary, failure).await?,
        };
        let ending = RunEnding {
            state: RunState::Interrupted,
            summary: &stored,
            origin: self.origin(run),
            entries: &entries,
            news: &news,
        };
        let term = self.settings.lease_term;
        self.patiently("write the end of the run", || {
            self.store.leave_run(run, instance, term, &ending)
        })
        .await
    }

    /// What is told of the end, and of what the run has changed that somebody watches.
    async fn news_of_end(&self, summary: &Summary, failure: Option<&str>) -> Result<Vec<News>, RunError> {
        let mut news = news_of_end(summary, failure);
        let watched = self
            .patiently("look at what is watched", || {
                self.store.watched_changes(summary.run_id)
            })
            .await?;
        news.extend(watched);
        Ok(news)
    }

    /// Leaves a run that another runner has closed.
    pub(super) async fn leave_ended(&self, part: &Part) -> Result<Summary, RunError> {
        let end = self.end_of_ended(part).await?;
        self.end_own_part(part, &why_part_ended(&end)).await?;
        let summary = self.own_summary(part, end).await?;
        let message = format!("runner ended: {}", summary.end);
        self.audit_operation(part.run, "runner_ended", &message, serde_json::json!({}))
            .await?;
        Ok(summary)
    }

    /// The summary of a run that others have ended.
    pub(super) async fn summary_of_ended(&self, part: &Part) -> Result<Summary, RunError> {
        let end = self.end_of_ended(part).await?;
        self.own_summary(part, end).await
    }

    async fn end_of_ended(&self, part: &Part) -> Result<RunEnd, RunError> {
        let discrepancies = self.store.discrepancies_of(part.run).await?;
        self.end_reached(part.run, &Halt::Drained, discrepancies).await
    }

    /// The same for whoever joins a run when nothing is left to do.
    pub(super) async fn summary_of_finished(&self, run: RunId) -> Result<Summary, RunError> {
        let nothing = Part {
            run,
            instance: String::new(),
            resumed: None,
            joined: true,
            started: Instant::now(),
            interval_s: self.settings.interval.as_secs_f64(),
        };
        let mut summary = self.summary_of_ended(&nothing).await?;
        summary.notes.push(format!(
            "run {run} was finished before this runner joined it: nothing was left to do"
        ));
        Ok(summary)
    }

    async fn end_own_part(&self, part: &Part, why: &str) -> Result<(), RunError> {
        let end = RunnerEnd::Finished(why);
        self.patiently("say that this runner has ended", || {
            self.store.end_runner(&part.instance, end)
        })
        .await
    }

    /// What a runner's halt means for the run as it stands.
    pub(crate) async fn end_reached(
        &self,
        run: RunId,
        halt: &Halt,
        discrepancies: u64,
    ) -> Result<RunEnd, RunError> {
        let counts = self.store.frontier_counts(run).await?;
        let failed = self.store.failed_pages(run, 1000).await?;
        let denied = self.store.denied_by_robots(run).await?;
        end_of(halt, &counts, &failed, denied, discrepancies)
    }

    async fn own_summary(&self, part: &Part, end: RunEnd) -> Result<Summary, RunError> {
        let own = OwnPart {
            runner_id: self.settings.runner_id.clone(),
            resumed: part.resumed,
            joined: part.joined,
            elapsed_s: part.started.elapsed().as_secs_f64(),
            requests: self.progress.borrow().requests,
            interval_s: part.interval_s,
        };
        self.summary_of(part.run, end, own).await
    }

    /// How the whole run stands, in the words of one process that had a part in it.
    pub(crate) async fn summary_of(
        &self,
        run: RunId,
        end: RunEnd,
        own: OwnPart,
    ) -> Result<Summary, RunError> {
        let totals = self.store.runner_totals(run).await?;
        let failed = self.store.failed_pages(run, LISTED_MAX).await?;
        let retries = self.store.retry_causes(run).await?;
        let open = self.store.open_by_verdict(run).await?;
        let disagreements = self.store.recorded_disagreements(run, LISTED_MAX).await?;
        Ok(Summary {
            run_id: run,
            runner_id: own.runner_id,
            site: self.site().origin,
            end,
            resumed: own.resumed,
            joined: own.joined,
            dry_run: self.dry_run,
            levels: level_summaries(&self.store.frontier_counts(run).await?),
            rows: totals.rows,
            requests: totals.requests,
            bytes: totals.bytes,
            left_out: self.store.left_out(run).await?.into(),
            retries: retries
                .into_iter()
                .map(|(cause, count)| Retries { cause, count })
                .collect(),
            discrepancies: open.disagree + open.unverified,
            unverified: open.unverified,
            moved: open.moved,
            verified: self.store.verified().await?,
            denied_by_robots: self.store.denied_by_robots(run).await?,
            elapsed_s: own.elapsed_s,
            requests_per_s: own.requests as f64 / own.elapsed_s.max(0.001),
            interval_s: own.interval_s,
            runners: runner_summaries(&self.store.runners(run).await?),
            slowest: self.store.slowest_pages(run, 5).await?,
            failed,
            disagreements: disagreements.iter().map(in_words).collect(),
            notes: self.unmatched_categories().await?,
        })
    }

    /// Category patterns that fit nothing the site has: probably misspelt.
    async fn unmatched_categories(&self) -> Result<Vec<String>, RunError> {
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

    pub(super) async fn audit_start(&self, run: RunId, start: Start) -> Result<(), RunError> {
        let (operation, message) = match start {
            Start::New | Start::Resume(_) => ("run_started", "run started"),
            Start::Join(_) => ("runner_started", "runner started"),
        };
        let context = self.stored_config(&self.site());
        self.audit_operation(run, operation, message, context).await
    }

    fn origin(&self, run: RunId) -> AuditOrigin<'_> {
        AuditOrigin {
            run: Some(run),
            runner_id: &self.settings.runner_id,
        }
    }

    /// Those of `entries` whose level is kept.
    fn audited(&self, mut entries: Vec<AuditEntry>) -> Vec<AuditEntry> {
        entries.retain(|entry| entry.level >= self.settings.audit_level);
        entries
    }

    pub(crate) async fn audit_operation(
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
        self.patiently("write the audit trail", || {
            self.store.audit(self.origin(run), std::slice::from_ref(&entry))
        })
        .await
    }

    /// The summary of a run that ended before it had a row in the database.
    pub(super) fn empty_summary(&self, end: RunEnd) -> Summary {
        Summary {
            run_id: 0,
            runner_id: self.settings.runner_id.clone(),
            site: self.site().origin,
            end,
            resumed: None,
            joined: false,
            dry_run: self.dry_run,
            levels: level_summaries(&FrontierCounts::default()),
            rows: Default::default(),
            requests: 0,
            bytes: 0,
            left_out: Default::default(),
            retries: Vec::new(),
            discrepancies: 0,
            unverified: 0,
            moved: 0,
            verified: Default::default(),
            denied_by_robots: 0,
            elapsed_s: 0.0,
            requests_per_s: 0.0,
            interval_s: self.settings.interval.as_secs_f64(),
            runners: Vec::new(),
            slowest: Vec::new(),
            failed: Vec::new(),
            disagreements: Vec::new(),
            notes: Vec::new(),
        }
    }
}

/// Why a runner that found nothing left to do has ended. Whoever started its process takes the reason of an alarm from here.
fn why_part_ended(end: &RunEnd) -> String {
    if end.is_final() {
        "the run was read".to_owned()
    } else {
        end.to_string()
    }
}

fn end_of(
    halt: &Halt,
    counts: &FrontierCounts,
    failed: &[FailedPage],
    denied: u64,
    discrepancies: u64,
) -> Result<RunEnd, RunError> {
    Ok(match halt {
        Halt::NoFetcher(_) | Halt::Interrupted | Halt::Aborted | Halt::GivenUp => RunEnd::Interrupted,
        Halt::KeptRefusing(reason) => RunEnd::KeptRefusing(reason.clone()),
        Halt::LayoutChanged(reason) => RunEnd::LayoutChanged(match failed_for_layout(failed) {
            Some(page) => format!("{reason}; {}: {}", page.page_key, page.reason),
            None => reason.clone(),
        }),
        Halt::BudgetSpent(reason) if counts.open() > 0 => RunEnd::BudgetSpent(reason.clone()),
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
        verdict,
        ..
    } = discrepancy;
    let known = match verdict {
        Verdict::Disagrees => "",
        Verdict::Moved => "; moved while it was read",
        Verdict::Unverified => "; not verified",
    };
    format!("{page_key}: {what}: {expected_by} says {expected}, read {found}{known}")
}

/// The entry that tells how a run ended.
fn ended_entry(summary: &Summary) -> AuditEntry {
    AuditEntry {
        level: AuditLevel::Info,
        kind: AuditKind::Operation,
        page_key: None,
        operation: "run_ended".into(),
        message: format!("run ended: {}", summary.end),
        context: serde_json::to_value(summary).expect("own types serialise"),
    }
}

fn discrepancy_entry(discrepancy: &Discrepancy) -> AuditEntry {
    AuditEntry {
        level: match discrepancy.verdict {
            Verdict::Moved => AuditLevel::Info,
            Verdict::Disagrees | Verdict::Unverified => AuditLevel::Warning,
        },
        kind: AuditKind::Result,
        page_key: Some(discrepancy.page_key.clone()),
        operation: "reconcile".into(),
        message: in_words(discrepancy),
        context: serde_json::to_value(discrepancy).expect("own types serialise"),
    }
}
