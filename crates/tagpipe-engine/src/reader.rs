//! One page, from its lease to its ending: fetch each document at the site's pace, extract, judge, decide.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use serde_json::json;
use tagpipe_core::extract::{
    Extracted, ExtractedPage, NextPage, UnreadableCell, child_identities, extract, rows_hash,
};
use tagpipe_core::filter::Filters;
use tagpipe_core::model::{Identity, PageKey, PageKind, PageRows};
use tagpipe_core::outcome::Outcome;
use tagpipe_core::policy::{Decision, RetryPolicy};
use tagpipe_core::profile::SiteProfile;
use tagpipe_fetch::{Document, FetchError, Fetcher, Next, Robots};
use tagpipe_store::audit::{AuditEntry, AuditKind, AuditLevel};
use tagpipe_store::contract::{
    Admission, ChildFate, ChildPage, Ending, Finish, KeepDocuments, Lease, ReadCost, ReadDocuments,
    Unreadable, profile_label,
};
use tagpipe_store::{StoreError, StoredSubject};
use url::Url;

use crate::document::{FetchedDocument, pack};
use crate::heartbeat::Activity;
use crate::judgement::{Reading, judge};
use crate::pacer::{Pacer, Permit};
use crate::settings::Freshness;

/// Reads pages. Shared by all workers of a runner.
pub(crate) struct Reader {
    pub(crate) rules: Rules,
    pub(crate) fetcher: Arc<dyn Fetcher>,
    pub(crate) robots: Robots,
    pub(crate) pacer: Pacer,
    pub(crate) retry: RetryPolicy,
    pub(crate) keep_documents: KeepDocuments,
    pub(crate) activity: Arc<Activity>,
}

/// What a document means, wherever it comes from.
#[derive(Clone)]
pub(crate) struct Rules {
    pub(crate) profile: Arc<SiteProfile>,
    pub(crate) filters: Filters,
    pub(crate) freshness: Freshness,
    pub(crate) audit_level: AuditLevel,
}

/// A page that was read, and what it means for the run.
pub(crate) struct Read {
    pub(crate) finish: Finish,
    /// What the read came to; `None` when it came to nothing.
    pub(crate) outcome: Option<Outcome>,
    pub(crate) alarm: Option<Alarm>,
}

/// Why the run should stop because of one page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Alarm {
    /// The site refused too often in a row.
    KeptRefusing(String),
    /// A captcha or a login.
    Blocked(String),
    /// Nothing can be fetched at all.
    NoFetcher(String),
}

/// A reading with what it left over.
pub(crate) struct Collected {
    pub(crate) reading: Reading,
    unreadable: Vec<UnreadableCell>,
    odd_addresses: Vec<(Identity, String)>,
}

/// How reading a page's documents ended.
enum Attempt {
    Collected(Collected),
    Ended(Outcome),
    NoFetcher(String),
    /// Somebody asked to stop before the page was read whole.
    Stopped,
}

/// What is known while a page is being read.
#[derive(Default)]
pub(crate) struct Effort {
    cost: ReadCost,
    /// That of the last request; `None` before the first.
    permit: Option<Permit>,
    /// What was read of the page itself, if it is to be kept.
    documents: Vec<FetchedDocument>,
}

impl Effort {
    fn is_calm(&self) -> bool {
        self.permit.as_ref().is_some_and(|permit| permit.brake.is_calm())
    }
}

impl Reader {
    /// Reads the page under `lease` and decides what follows.
    pub(crate) async fn read(&self, lease: Lease) -> Result<Read, StoreError> {
        let mut effort = Effort::default();
        self.activity.takes(lease.key.as_str());
        let attempt = if self.robots.allows(&lease.url) {
            self.collect(&lease, &mut effort).await?
        } else {
            Attempt::Ended(Outcome::DeniedByRobots)
        };
        match attempt {
            Attempt::NoFetcher(reason) => Ok(give_back(lease, &effort, Some(Alarm::NoFetcher(reason)))),
            Attempt::Stopped => Ok(give_back(lease, &effort, None)),
            Attempt::Ended(Outcome::Empty) if must_have_rows(&lease) => {
                let outcome = Outcome::LayoutChanged {
                    detail: self.rules.nothing_where_rows_must_be(&lease),
                };
                self.conclude(lease, effort, outcome, None).await
            }
            Attempt::Ended(outcome) => self.conclude(lease, effort, outcome, None).await,
            Attempt::Collected(collected) => {
                let outcome = judge(&collected.reading, lease.expected);
                self.conclude(lease, effort, outcome, Some(collected)).await
            }
        }
    }

    /// Fetches and extracts the documents of a page, one after the other.
    async fn collect(&self, lease: &Lease, effort: &mut Effort) -> Result<Attempt, StoreError> {
        let url = match self.rules.profile.origin.join(&lease.url) {
            Ok(url) => url,
            Err(error) => {
                return Ok(Attempt::Ended(network(format!(
                    "`{}` is no address: {error}",
                    lease.url
                ))));
            }
        };
        if !self.take_slot(effort).await? {
            return Ok(Attempt::Stopped);
        }
        let asked = Instant::now();
        let mut open = match self.fetcher.open(lease.kind, &url).await {
            Ok(open) => open,
            Err(error) => {
                effort.cost.elapsed += asked.elapsed();
                return Ok(failed(error));
            }
        };
        count(&open.document, effort);
        let extracted = self.rules.extract(lease, &open.document.html);
        self.note_document(effort, lease.url.clone(), open.document, &extracted);
        let mut page = match extracted {
            Ok(page) => page,
            Err(outcome) => return Ok(Attempt::Ended(outcome)),
        };
        let mut collected = Collected::new(lease.kind);
        loop {
            let next = page.next.take();
            let more = page.pager.is_some_and(|pager| pager.to < pager.of);
            let before = collected.reading.pager;
            collected.add(page);
            let (Some(next), true, true) = (next, more, advanced(before, collected.reading.pager)) else {
                return Ok(Attempt::Collected(collected));
            };
            if !self.take_slot(effort).await? {
                return Ok(Attempt::Stopped);
            }
            let address = address_of(&url, &next);
            let document = match open.pager.next(&pager_step(next)).await {
                Ok(document) => document,
                Err(error) => return Ok(failed(error)),
            };
            count(&document, effort);
            let extracted = self.rules.extract(lease, &document.html);
            self.note_document(effort, address, document, &extracted);
            page = match extracted {
                Ok(page) => page,
                Err(outcome) => return Ok(Attempt::Ended(outcome)),
            };
        }
    }

    /// Remembers a document until it is known whether its page is committed.
    fn note_document(
        &self,
        effort: &mut Effort,
        url: String,
        document: Document,
        extracted: &Result<ExtractedPage, Outcome>,
    ) {
        if self.keep_documents != KeepDocuments::None {
            effort.documents.push(FetchedDocument {
                url,
                html: document.html,
                received: Instant::now(),
                rows: extracted.as_ref().map_or(0, |page| page.rows.len()),
            });
        }
    }

    /// The documents of a page as they are kept with its commit. Compressed here, outside of any transaction.
    fn packed(&self, ending: &Ending, documents: Vec<FetchedDocument>) -> ReadDocuments {
        let is_completed = matches!(ending, Ending::Completed { .. });
        let kept = documents.into_iter().filter(|_| is_completed);
        ReadDocuments {
            keep: self.keep_documents,
            profile: profile_label(&self.rules.profile.name, &self.rules.profile.version),
            documents: kept.filter_map(pack).collect(),
        }
    }

    /// Waits for the pace; `false` when somebody asked to stop meanwhile.
    async fn take_slot(&self, effort: &mut Effort) -> Result<bool, StoreError> {
        let Some(permit) = self.pacer.permit(effort.cost.requests > 0).await? else {
            return Ok(false);
        };
        effort.cost.requests += 1;
        effort.permit = Some(permit);
        Ok(true)
    }

    /// Whether the not-found screen on the page of `lease` speaks of the page rather than of the pace. The site must be
    /// giving other pages: if none was read since the last refusal, the first of all pages is asked for. What is never
    /// believed is that this one does not exist.
    async fn is_calm(&self, lease: &Lease, effort: &mut Effort) -> Result<bool, StoreError> {
        if effort.is_calm() {
            return Ok(true);
        }
        let was_refused_before = lease.history.refusals > 0;
        if lease.kind == PageKind::Categories || !was_refused_before {
            return Ok(false);
        }
        self.site_gives_pages(effort).await
    }

    /// Asks for the categories, which are there whatever else is not.
    async fn site_gives_pages(&self, effort: &mut Effort) -> Result<bool, StoreError> {
        let (kind, identity) = (PageKind::Categories, Identity::default());
        let url = self.rules.profile.page_url(kind, &identity).ok();
        let allowed = url.filter(|url| self.robots.allows(url));
        let Some(Ok(url)) = allowed.map(|url| self.rules.profile.origin.join(&url)) else {
            return Ok(false);
        };
        if !self.take_slot(effort).await? {
            return Ok(false);
        }
        let outcome = match self.fetcher.open(kind, &url).await {
            Ok(open) => {
                count(&open.document, effort);
                match extract(&self.rules.profile, kind, &identity, &open.document.html) {
                    Extracted::Page(page) if !page.rows.is_empty() => {
                        self.pacer.accepted().await?;
                        return Ok(true);
                    }
                    Extracted::NotFound => Outcome::SuspectedSoft404,
                    _ => return Ok(false),
                }
            }
            Err(FetchError::Outcome(outcome)) => outcome,
            Err(FetchError::Unavailable(_)) => return Ok(false),
        };
        if outcome.cause().is_refusal() {
            self.refused(&identity.key(kind), &outcome, effort).await?;
        }
        Ok(false)
    }

    /// Tells the pacer of a refusal of the last request. Returns whether it is time to give up.
    async fn refused(&self, page: &PageKey, outcome: &Outcome, effort: &Effort) -> Result<bool, StoreError> {
        match &effort.permit {
            Some(permit) => self.pacer.refused(page, outcome, permit).await,
            None => Ok(false),
        }
    }

    /// Applies the policy to an outcome and tells the pacer.
    async fn conclude(
        &self,
        lease: Lease,
        mut effort: Effort,
        outcome: Outcome,
        collected: Option<Collected>,
    ) -> Result<Read, StoreError> {
        let calm = match outcome {
            Outcome::SuspectedSoft404 => self.is_calm(&lease, &mut effort).await?,
            _ => false,
        };
        let outcome = self.retry.interpret(outcome, &lease.history, calm);
        let mut alarm = None;
        if outcome.cause().is_refusal() {
            if self.refused(&lease.key, &outcome, &effort).await? {
                alarm = Some(Alarm::KeptRefusing(outcome.to_string()));
            }
        } else if collected.is_some() {
            self.pacer.accepted().await?;
        }
        let hash = match (&collected, &outcome) {
            (Some(collected), _) => Some(rows_hash(&collected.reading.rows)),
            (None, Outcome::Empty) => Some(rows_hash(&PageRows::none(lease.kind))),
            (None, _) => None,
        };
        let decision = self.retry.decide(&outcome, &lease.history, hash, fastrand::f64());
        if decision == Decision::StopRun {
            return Ok(give_back(
                lease,
                &effort,
                Some(Alarm::Blocked(outcome.to_string())),
            ));
        }
        let ending = self.ending(&lease, &outcome, &decision, collected, hash, calm);
        let audit = self.rules.audit_of(&lease, &effort, &outcome, &ending);
        let documents = self.packed(&ending, effort.documents);
        Ok(Read {
            finish: Finish {
                lease,
                cost: effort.cost,
                ending,
                documents,
                audit,
            },
            outcome: Some(outcome),
            alarm,
        })
    }

    fn ending(
        &self,
        lease: &Lease,
        outcome: &Outcome,
        decision: &Decision,
        collected: Option<Collected>,
        hash: Option<u64>,
        calm: bool,
    ) -> Ending {
        let cause = outcome.cause();
        let history = || lease.history.after(cause, hash, calm);
        match *decision {
            Decision::Commit { .. } => self.rules.completed(lease, outcome, collected),
            Decision::Retry { after } => Ending::Retry {
                after,
                cause,
                reason: outcome.to_string(),
                history: history(),
            },
            Decision::Fail => Ending::Failed {
                cause,
                reason: outcome.to_string(),
                history: history(),
            },
            Decision::Skip => Ending::Skipped {
                cause,
                reason: outcome.to_string(),
            },
            Decision::StopRun => Ending::Released { began: true },
        }
    }
}

impl Rules {
    pub(crate) fn extract(&self, lease: &Lease, html: &str) -> Result<ExtractedPage, Outcome> {
        match extract(&self.profile, lease.kind, &lease.identity, html) {
            Extracted::Page(page) => Ok(*page),
            Extracted::NotFound => Err(Outcome::SuspectedSoft404),
            Extracted::Blocked { by } => Err(Outcome::Blocked { by }),
            Extracted::NotReady => Err(Outcome::Empty),
            Extracted::LayoutChanged { detail } => Err(Outcome::LayoutChanged { detail }),
        }
    }

    pub(crate) fn nothing_where_rows_must_be(&self, lease: &Lease) -> String {
        let promised = lease.expected.map_or_else(String::new, |count| {
            format!(", though its parent counted {count}")
        });
        format!(
            "no element matches the rows `{}` of {}, and no empty state is shown{promised}; is a script needed that did \
             not run (`--fetch browser`), or has the site changed (`tagpipe probe`)?",
            self.profile.rows_selector(lease.kind),
            lease.kind
        )
    }

    pub(crate) fn completed(&self, lease: &Lease, outcome: &Outcome, collected: Option<Collected>) -> Ending {
        let (rows, unreadable, odd_addresses) = match collected {
            Some(Collected {
                reading,
                unreadable,
                odd_addresses,
            }) => (reading.rows, unreadable, odd_addresses),
            None => (PageRows::none(lease.kind), Vec::new(), Vec::new()),
        };
        let lost_rows = unreadable.iter().any(|cell| cell.lost_row);
        let doubted = matches!(
            outcome,
            Outcome::Empty
                | Outcome::Incomplete {
                    by: tagpipe_core::outcome::Witness::Page,
                    ..
                }
        );
        Ending::Completed {
            children: self.children(lease, &rows, &odd_addresses),
            rows,
            whole: !lost_rows && !doubted,
            agrees: *outcome == Outcome::Complete && unreadable.is_empty(),
            unreadable: unreadable.iter().map(unreadable_cell).collect(),
        }
    }

    fn children(
        &self,
        lease: &Lease,
        rows: &PageRows,
        odd_addresses: &[(Identity, String)],
    ) -> Vec<ChildPage> {
        let Some(kind) = lease.kind.child() else {
            return Vec::new();
        };
        let odd: HashMap<PageKey, &str> = odd_addresses
            .iter()
            .map(|(child, url)| (child.key(kind), url.as_str()))
            .collect();
        child_identities(&lease.identity, rows)
            .zip(promises(rows))
            .map(|(identity, expected)| {
                let url = if odd.is_empty() {
                    None
                } else {
                    odd.get(&identity.key(kind)).copied()
                };
                self.child(kind, identity, url, expected)
            })
            .collect()
    }

    fn child(
        &self,
        kind: PageKind,
        identity: Identity,
        url: Option<&str>,
        expected: Option<u64>,
    ) -> ChildPage {
        let url = url.map_or_else(
            || self.profile.page_url(kind, &identity),
            |url| Ok(url.to_owned()),
        );
        let (url, fate) = match url {
            Ok(url) => {
                let fate = self
                    .filters
                    .rejects(kind, &identity)
                    .map_or_else(|| self.freshness.fate(), ChildFate::Skip);
                (url, fate)
            }
            Err(error) => (String::new(), ChildFate::Skip(error.to_string())),
        };
        ChildPage {
            identity,
            url,
            expected,
            fate,
        }
    }

    /// What the audit trail says of this read, if its level is kept.
    pub(crate) fn audit_of(
        &self,
        lease: &Lease,
        effort: &Effort,
        outcome: &Outcome,
        ending: &Ending,
    ) -> Vec<AuditEntry> {
        let doubtful = *outcome != Outcome::Complete;
        let (level, kind, what) = match ending {
            Ending::Completed { unreadable, .. } if doubtful || !unreadable.is_empty() => {
                (AuditLevel::Warning, AuditKind::Result, "read with a warning")
            }
            Ending::Completed { .. } => (AuditLevel::Info, AuditKind::Result, "read"),
            Ending::Retry { .. } => (AuditLevel::Warning, AuditKind::Error, "will be read again"),
            Ending::Failed { .. } => (AuditLevel::Error, AuditKind::Error, "failed"),
            Ending::Skipped { .. } => (AuditLevel::Warning, AuditKind::Operation, "skipped"),
            Ending::Released { .. } => (AuditLevel::Debug, AuditKind::Operation, "given back"),
        };
        if level < self.audit_level {
            return Vec::new();
        }
        let mut context = json!({
            "level": lease.kind,
            "url": lease.url,
            "attempt": lease.attempt,
            "outcome": outcome.cause(),
            "duration_ms": u64::try_from(effort.cost.elapsed.as_millis()).unwrap_or(u64::MAX),
            "requests": effort.cost.requests,
            "bytes": effort.cost.bytes,
        });
        if doubtful {
            context["reason"] = outcome.to_string().into();
        }
        let mut message = format!("{} {what}", lease.key);
        match ending {
            Ending::Completed { rows, unreadable, .. } => {
                context["rows"] = rows.len().into();
                message = format!("{message}: {} rows", rows.len());
                if !unreadable.is_empty() {
                    context["unreadable_cells"] = unreadable
                        .iter()
                        .map(|cell| format!("{}: {}", cell.place, cell.text))
                        .collect();
                }
            }
            Ending::Retry { after, .. } => {
                context["retry_after_ms"] = u64::try_from(after.as_millis()).unwrap_or(u64::MAX).into();
            }
            _ => {}
        }
        if doubtful {
            message = format!("{message}: {outcome}");
        }
        let page_key = Some(lease.key.to_string());
        vec![AuditEntry {
            level,
            kind,
            page_key,
            operation: "read_page".into(),
            message,
            context,
        }]
    }
}

impl Freshness {
    /// What becomes of a page whose row has just been seen.
    fn fate(self) -> ChildFate {
        if self.full {
            return ChildFate::Read;
        }
        ChildFate::ReadIfDue {
            max_age: self.max_age,
            audit: fastrand::f64() < self.audit_share,
        }
    }

    /// The same for one that is stored.
    pub(crate) fn admission(self, subject: &StoredSubject) -> Admission {
        let is_fresh = subject
            .read_age
            .is_some_and(|age| self.max_age.is_none_or(|most| age <= most));
        if is_fresh && !self.full {
            Admission::Unchanged
        } else {
            Admission::Read
        }
    }
}

/// Ends a lease without a result.
fn give_back(lease: Lease, effort: &Effort, alarm: Option<Alarm>) -> Read {
    let began = effort.cost.requests > 0;
    let finish = Finish {
        lease,
        cost: effort.cost,
        ending: Ending::Released { began },
        documents: ReadDocuments::default(),
        audit: Vec::new(),
    };
    Read {
        finish,
        outcome: None,
        alarm,
    }
}

impl Collected {
    pub(crate) fn new(kind: PageKind) -> Collected {
        Collected {
            reading: Reading {
                rows: PageRows::none(kind),
                pager: None,
                totals: None,
                lost_rows: 0,
            },
            unreadable: Vec::new(),
            odd_addresses: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, page: ExtractedPage) {
        self.reading.rows.append(page.rows);
        self.reading.pager = page.pager.or(self.reading.pager);
        self.reading.totals = page.totals.or(self.reading.totals.take());
        self.reading.lost_rows += page.unreadable.iter().filter(|cell| cell.lost_row).count();
        self.unreadable.extend(page.unreadable);
        self.odd_addresses.extend(page.odd_addresses);
    }
}

/// Whether the pager moved on: one that stands still would be followed for ever.
fn advanced(
    before: Option<tagpipe_core::extract::PagerState>,
    now: Option<tagpipe_core::extract::PagerState>,
) -> bool {
    match (before, now) {
        (Some(before), Some(now)) => now.from > before.from,
        _ => true,
    }
}

fn pager_step(next: NextPage) -> Next {
    match next {
        NextPage::Link(href) => Next::Link(href),
        NextPage::Button => Next::Button,
    }
}

/// Path and query of a page's next document; behind a button it is the page's own.
fn address_of(page: &Url, next: &NextPage) -> String {
    let address = match next {
        NextPage::Link(href) => page.join(href).unwrap_or_else(|_| page.clone()),
        NextPage::Button => page.clone(),
    };
    address[url::Position::BeforePath..url::Position::AfterQuery].to_owned()
}

fn failed(error: FetchError) -> Attempt {
    match error {
        FetchError::Outcome(outcome) => Attempt::Ended(outcome),
        FetchError::Unavailable(reason) => Attempt::NoFetcher(reason),
    }
}

fn network(detail: String) -> Outcome {
    Outcome::Network { detail }
}

fn count(document: &Document, effort: &mut Effort) {
    effort.cost.bytes += document.bytes;
    effort.cost.elapsed += document.elapsed;
}

/// Whether an empty page without a word that it is empty cannot be believed, however often it is seen: a report has
/// categories, a category years, and what the parent counted is there.
pub(crate) fn must_have_rows(lease: &Lease) -> bool {
    match lease.kind {
        PageKind::Categories | PageKind::Years => true,
        PageKind::Sets | PageKind::Cards | PageKind::GradeRows => lease.expected != Some(0),
    }
}

/// What each row promises of its page: sets of a year, copies of a set or card.
pub(crate) fn promises(rows: &PageRows) -> Vec<Option<u64>> {
    match rows {
        PageRows::Categories(rows) => vec![None; rows.len()],
        PageRows::Years(rows) => rows.iter().map(|row| Some(row.sets)).collect(),
        PageRows::Sets(rows) => rows.iter().map(|row| Some(row.total)).collect(),
        PageRows::Cards(rows) => rows.iter().map(|row| Some(row.total)).collect(),
        PageRows::GradeRows(_) => Vec::new(),
    }
}

fn unreadable_cell(cell: &UnreadableCell) -> Unreadable {
    Unreadable {
        place: format!("row {}, {}", cell.row, cell.column),
        text: cell.text.clone(),
        expected: cell.problem.clone(),
    }
}
