//! Kept documents read again: the same extraction, judgement and commit as a run's, without one request.
//!
//! From the top level down, because what a parent's row promises decides whether its page is whole, and a corrected
//! profile corrects that, too.

use std::num::NonZero;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Instant;

use serde::Serialize;
use serde_json::json;
use tagpipe_core::lifecycle::RunState;
use tagpipe_core::model::{PageKey, PageKind};
use tagpipe_core::outcome::Outcome;
use tagpipe_core::policy::PageHistory;
use tagpipe_store::audit::{AuditEntry, AuditKind, AuditLevel, AuditOrigin};
use tagpipe_store::contract::{ChildFate, Ending, Lease, RowCounts, RunId, profile_label};
use tagpipe_store::{KeptPage, ReplayEnding, Replayed, Replayer, Reread, RunnerEnd, RunnerIdentity, Store};
use tokio::task::JoinSet;
use url::Url;
use uuid::Uuid;

use crate::config::Config;
use crate::document::unpack;
use crate::error::RunError;
use crate::judgement::judge;
use crate::patience::patiently;
use crate::pipeline::stored_scale;
use crate::process::{host_name, own_mark};
use crate::reader::{Collected, Effort, Rules, must_have_rows};
use crate::settings::{Freshness, Site};
use crate::shutdown::{Shutdown, StopRequest};

/// Pages in one transaction.
const BATCH: u32 = 256;
/// Failed pages that are listed by name.
const LISTED_MAX: usize = 100;
/// Disagreements looked at, of each kind.
const DISAGREEMENTS_MAX: u32 = 10_000;

/// What reading the kept documents again came to.
#[derive(Debug, Clone, Serialize)]
pub struct ReparseReport {
    /// Its run; `None` if it was a rehearsal.
    pub run_id: Option<RunId>,
    /// Whether nothing was written.
    pub dry_run: bool,
    /// Whether all kept documents were read, rather than until somebody asked to stop.
    pub finished: bool,
    /// Name and version of the profile that read them.
    pub profile: String,
    /// What became of the rows, table by table.
    pub tables: Vec<ReparsedTable>,
    /// Pages read again.
    pub pages: u64,
    /// Pages whose documents do not fit the profile: nothing of theirs was touched.
    pub failed: u64,
    /// The first hundred of them.
    pub failed_pages: Vec<FailedReparse>,
    /// Pages that were read anew from the site meanwhile, and left alone.
    pub superseded: u64,
    /// Pages that were read before and have no kept document: another profile has to ask the site for them.
    pub without_documents: u64,
    /// Pages that another profile, or another version of this one, had read before.
    pub of_other_profile: u64,
    /// Sums that disagree.
    pub discrepancies: u64,
    /// How long it took, in seconds.
    pub elapsed_s: f64,
}

/// What became of the rows of one table.
#[derive(Debug, Clone, Serialize)]
pub struct ReparsedTable {
    /// Its name.
    pub table: &'static str,
    /// Pages that list its rows.
    pub pages: u64,
    /// Its rows, by what became of them.
    #[serde(flatten)]
    pub rows: RowCounts,
}

/// A page whose documents do not fit.
#[derive(Debug, Clone, Serialize)]
pub struct FailedReparse {
    /// Its key.
    pub page_key: PageKey,
    /// Path and query.
    pub url: String,
    /// Why.
    pub reason: String,
}

/// Reads all kept documents again that the filters of `config` let through, with its profile. In a dry run everything is
/// tried and taken back.
///
/// # Errors
/// [`RunError::NothingToDo`] when no document is kept, [`RunError::Usage`] while a run is being worked on, and those of the
/// database. What was committed stays, and doing it again is safe.
pub async fn reparse(store: &Store, config: &Config, shutdown: &Shutdown) -> Result<ReparseReport, RunError> {
    let started = Instant::now();
    refuse_beside_runners(store, config).await?;
    let reparse = Reparse::begin(store, config).await?;
    let mut report = reparse.read_all(shutdown).await?;
    report.elapsed_s = started.elapsed().as_secs_f64();
    if let Some(run) = reparse.run {
        reparse.end(run, &mut report).await?;
    }
    Ok(report)
}

/// A runner with another profile would undo what is corrected, page by page.
async fn refuse_beside_runners(store: &Store, config: &Config) -> Result<(), RunError> {
    for record in store.unfinished_runs().await? {
        let runners = store.running_runners(record.id).await?;
        let at_work = runners
            .iter()
            .find(|runner| runner.silent_for < config.run.lease_term);
        if let Some(runner) = at_work {
            return Err(RunError::Usage(format!(
                "run {} is being worked on by process {} ({}); let it end, or stop it first",
                record.id, runner.identity.pid, runner.identity.runner_id
            )));
        }
    }
    Ok(())
}

/// Where the documents are from: the site of the newest run, whatever the profile's own is.
async fn origin_read(store: &Store) -> Result<Option<Url>, RunError> {
    let record = store.newest_run().await?;
    Ok(record.and_then(|record| Url::parse(record.config["site"]["origin"].as_str()?).ok()))
}

struct Reparse<'a> {
    store: &'a Store,
    config: &'a Config,
    rules: Arc<Rules>,
    profile: String,
    instance: String,
    run: Option<RunId>,
}

impl<'a> Reparse<'a> {
    async fn begin(store: &'a Store, config: &'a Config) -> Result<Reparse<'a>, RunError> {
        let mut kept = false;
        for kind in PageKind::ALL {
            kept = kept || !store.kept_pages(kind, None, 1).await?.is_empty();
        }
        if !kept {
            return Err(RunError::NothingToDo(
                "no document is kept in this database; runs keep them unless `--keep-documents none` is given".to_owned(),
            ));
        }
        let mut profile = config.profile.clone();
        profile.origin = origin_read(store).await?.unwrap_or(profile.origin);
        let mut reparse = Reparse {
            store,
            config,
            rules: Arc::new(Rules {
                profile: Arc::new(profile),
                filters: config.run.filters.clone(),
                freshness: Freshness::default(),
                audit_level: config.run.audit_level,
            }),
            profile: profile_label(&config.profile.name, &config.profile.version),
            instance: Uuid::new_v4().to_string(),
            run: None,
        };
        if !config.dry_run {
            reparse.run = Some(reparse.begin_run().await?);
        }
        Ok(reparse)
    }

    /// The run, and the word that the site is read with this profile from now on: what it has not read is due.
    async fn begin_run(&self) -> Result<RunId, RunError> {
        let site = Site::of(&self.rules.profile);
        self.store.end_abandoned_replays().await?;
        self.store
            .set_grade_scale(&stored_scale(&self.config.profile))
            .await?;
        let stored = json!({ "work": "reparse", "site": site, "filters": self.config.run.filters });
        let mut seeding = self.store.begin_run(&stored).await?;
        seeding
            .read_with(&site.origin, &site.profile, &site.version)
            .await?;
        let run = seeding.commit().await?;
        let identity = RunnerIdentity {
            instance: self.instance.clone(),
            runner_id: self.config.run.runner_id.clone(),
            host: host_name(),
            pid: std::process::id(),
            process_mark: own_mark(),
        };
        self.store.register_runner(run, &identity).await?;
        let entry = AuditEntry {
            level: AuditLevel::Info,
            kind: AuditKind::Operation,
            page_key: None,
            operation: "reparse_started".to_owned(),
            message: format!("kept documents are read again by profile {}", self.profile),
            context: stored,
        };
        if entry.level >= self.config.run.audit_level {
            self.store.audit(self.origin(run), &[entry]).await?;
        }
        Ok(run)
    }

    fn origin(&self, run: RunId) -> AuditOrigin<'_> {
        AuditOrigin {
            run: Some(run),
            runner_id: &self.config.run.runner_id,
        }
    }

    async fn read_all(&self, shutdown: &Shutdown) -> Result<ReparseReport, RunError> {
        let mut report = ReparseReport {
            run_id: self.run,
            dry_run: self.run.is_none(),
            finished: true,
            profile: self.profile.clone(),
            tables: Vec::new(),
            pages: 0,
            failed: 0,
            failed_pages: Vec::new(),
            superseded: 0,
            without_documents: self.store.pages_without_documents().await?,
            of_other_profile: 0,
            discrepancies: 0,
            elapsed_s: 0.0,
        };
        for kind in PageKind::ALL {
            let read = self.read_level(kind, shutdown, &mut report).await?;
            report.tables.push(ReparsedTable {
                table: kind.as_str(),
                pages: read.completed,
                rows: read.rows,
            });
        }
        Ok(report)
    }

    async fn read_level(
        &self,
        kind: PageKind,
        shutdown: &Shutdown,
        report: &mut ReparseReport,
    ) -> Result<Replayed, RunError> {
        let mut all = Replayed::default();
        let mut after = None;
        loop {
            if shutdown.requested() != StopRequest::None {
                report.finished = false;
                return Ok(all);
            }
            let pages = self.store.kept_pages(kind, after, BATCH).await?;
            let Some(last) = pages.last() else {
                return Ok(all);
            };
            after = Some(last.subject_id.unwrap_or(0));
            let wanted = pages
                .into_iter()
                .filter(|page| self.rules.filters.rejects(kind, &page.identity).is_none())
                .collect();
            let reread = self.reread(wanted).await?;
            let replayer = Replayer {
                run: self.run,
                runner_id: &self.config.run.runner_id,
                instance: &self.instance,
                profile: &self.profile,
            };
            let patience = self.config.run.database_patience;
            let replayed = patiently(patience, "commit", || self.store.replay(replayer, &reread)).await?;
            all.rows += replayed.rows;
            all.completed += replayed.completed;
            report.pages += replayed.completed;
            report.failed += replayed.failed;
            report.superseded += replayed.superseded;
            report.of_other_profile += replayed.of_other_profile;
            report.list_failed(&reread);
        }
    }

    /// Reads pages on all processors. The order is kept.
    async fn reread(&self, pages: Vec<KeptPage>) -> Result<Vec<Reread>, RunError> {
        let threads = available_parallelism().map_or(1, NonZero::get);
        let share = pages.len().div_ceil(threads).max(1);
        let mut pages = pages.into_iter();
        let mut parts = JoinSet::new();
        for index in 0.. {
            let part: Vec<KeptPage> = pages.by_ref().take(share).collect();
            if part.is_empty() {
                break;
            }
            let rules = Arc::clone(&self.rules);
            parts.spawn_blocking(move || {
                let read: Vec<Reread> = part.into_iter().map(|page| rules.reread(page)).collect();
                (index, read)
            });
        }
        let mut read: Vec<(usize, Vec<Reread>)> = parts.join_all().await;
        read.sort_unstable_by_key(|(index, _)| *index);
        Ok(read.into_iter().flat_map(|(_, part)| part).collect())
    }

    async fn end(&self, run: RunId, report: &mut ReparseReport) -> Result<(), RunError> {
        let disagreements = match report.finished {
            true => self.store.disagreements(run, DISAGREEMENTS_MAX).await?,
            false => Vec::new(),
        };
        report.discrepancies = disagreements.len() as u64;
        let state = match (report.finished, report.failed + report.discrepancies) {
            (false, _) => RunState::Interrupted,
            (true, 0) => RunState::Reconciled,
            (true, _) => RunState::Disputed,
        };
        self.store
            .end_runner(
                &self.instance,
                RunnerEnd::Finished("the kept documents were read"),
            )
            .await?;
        let summary = serde_json::to_value(&report).expect("own types serialise");
        let entry = AuditEntry {
            level: AuditLevel::Info,
            kind: AuditKind::Result,
            page_key: None,
            operation: "reparse_ended".to_owned(),
            message: format!(
                "kept documents of {} pages were read again, {} failed",
                report.pages, report.failed
            ),
            context: summary.clone(),
        };
        let entries: Vec<_> = [entry]
            .into_iter()
            .filter(|entry| entry.level >= self.config.run.audit_level)
            .collect();
        let ending = ReplayEnding {
            state,
            summary: &summary,
            disagreements: &disagreements,
            doubts: report.of_other_profile > 0,
            origin: self.origin(run),
            entries: &entries,
        };
        self.store.end_replay(run, &ending).await?;
        Ok(())
    }
}

impl ReparseReport {
    fn list_failed(&mut self, reread: &[Reread]) {
        let failed = reread.iter().filter_map(|one| match &one.ending {
            Ending::Failed { reason, .. } => Some(FailedReparse {
                page_key: one.page.key(),
                url: one.page.url.clone(),
                reason: reason.clone(),
            }),
            _ => None,
        });
        let room = LISTED_MAX - self.failed_pages.len();
        self.failed_pages.extend(failed.take(room));
    }
}

impl Rules {
    /// Reads the documents of a page again and says what that comes to. There is nothing to wait for: what a run believes
    /// only after it has asked again is believed at once, because the run has asked.
    fn reread(&self, page: KeptPage) -> Reread {
        let lease = self.lease_of(&page);
        let (outcome, collected, shown) = self.collect_kept(&lease, &page);
        let ending = match &outcome {
            Outcome::Complete | Outcome::Incomplete { .. } | Outcome::Empty => {
                self.kept_ending(&lease, &outcome, collected)
            }
            refused => Ending::Failed {
                cause: refused.cause(),
                reason: refused.to_string(),
                history: PageHistory::default(),
            },
        };
        let mut audit = self.audit_of(&lease, &Effort::default(), &outcome, &ending);
        for entry in &mut audit {
            entry.operation = "reparse_page".to_owned();
        }
        Reread {
            page,
            ending,
            cause: outcome.cause(),
            shown,
            audit,
        }
    }

    fn kept_ending(&self, lease: &Lease, outcome: &Outcome, collected: Option<Collected>) -> Ending {
        let mut ending = self.completed(lease, outcome, collected);
        if let Ending::Completed { children, .. } = &mut ending {
            for child in children {
                child.fate = ChildFate::Ignore;
            }
        }
        ending
    }

    /// What the extraction wants to know of a page; nobody holds a lease on it. The documents are judged by the address
    /// they were read from, whatever the row above them is called by now.
    fn lease_of(&self, page: &KeptPage) -> Lease {
        let read_from = page.documents.first().map_or("", |first| first.url.as_str());
        Lease {
            page_id: 0,
            token: String::new(),
            kind: page.kind,
            key: page.key(),
            identity: self
                .profile
                .identity_when_read(page.kind, &page.identity, read_from),
            url: page.url.clone(),
            subject_id: page.subject_id,
            expected: page.expected,
            attempt: 1,
            history: PageHistory::default(),
            verifications: 0,
            audited: false,
        }
    }

    /// What the documents of a page give together, and how many rows each.
    fn collect_kept(&self, lease: &Lease, page: &KeptPage) -> (Outcome, Option<Collected>, Vec<usize>) {
        let mut collected = Collected::new(lease.kind);
        let mut shown = Vec::with_capacity(page.documents.len());
        for document in &page.documents {
            let html = match unpack(document) {
                Ok(html) => html,
                Err(damaged) => {
                    let detail = damaged.to_string();
                    return (Outcome::Network { detail }, None, shown);
                }
            };
            let part = match self.extract(lease, &html) {
                Ok(part) => part,
                Err(Outcome::Empty) if must_have_rows(lease) => {
                    let detail = self.nothing_where_rows_must_be(lease);
                    return (Outcome::LayoutChanged { detail }, None, shown);
                }
                Err(Outcome::Empty) => {
                    shown.push(0);
                    return (Outcome::Empty, None, shown);
                }
                Err(outcome) => return (outcome, None, shown),
            };
            shown.push(part.rows.len());
            collected.add(part);
        }
        let outcome = judge(&collected.reading, lease.expected);
        (outcome, Some(collected), shown)
    }
}
