//! The audit trail: what happened, and why.

use std::collections::{BTreeSet, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::Event;
use futures_util::{StreamExt, stream};
use serde::Deserialize;
use tagpipe_store::audit::{AuditKind, AuditLevel};
use tagpipe_store::audit_query::{AuditFilter, AuditRecord};
use tagpipe_store::{Dialect, Store, StoreError};
use utoipa::IntoParams;

use super::asked::Query;
use super::pages::{Page, rows};
use super::runs::last_event_id;
use crate::guard::Reader;
use crate::problem::Problem;
use crate::state::App;
use crate::streams::{Answer, OpenStream, sse};

/// How often the trail is looked at for those who follow it.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Entries taken at a time.
const TAKEN_MAX: u32 = 1000;
/// Entries of a lifetime ago.
const SINCE_MAX_S: u32 = i32::MAX.unsigned_abs();
/// Longest time from an entry's number to its becoming visible.
const LOOK_BACK: Duration = Duration::from_secs(10);

/// Which entries are wanted; what is not said does not matter.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub(crate) struct Wanted {
    /// Of this level and above: `DEBUG`, `INFO`, `WARNING`, `ERROR`, `CRITICAL`.
    pub(crate) level: Option<String>,
    /// `operation`, `error` or `result`.
    pub(crate) kind: Option<String>,
    /// By this runner.
    pub(crate) runner: Option<String>,
    /// Of this run.
    pub(crate) run: Option<i64>,
    /// About the page of this key; with `*` at its end, about all whose keys begin so.
    pub(crate) page_key: Option<String>,
    /// No older than so many seconds.
    #[param(minimum = 0, maximum = 2_147_483_647)]
    pub(crate) since_s: Option<u32>,
    /// `next` of the page before.
    pub(crate) before: Option<i64>,
    /// Rows on the page; 50 if not said.
    #[param(minimum = 1, maximum = 500)]
    pub(crate) limit: Option<u32>,
}

impl Wanted {
    /// As the store takes it.
    pub(crate) fn filter(&self) -> Result<AuditFilter, Problem> {
        let level = |name: &String| {
            AuditLevel::from_name(name)
                .ok_or_else(|| Problem::wrong(format!("`{name}` is no level of an entry")))
        };
        let kind = |name: &String| {
            AuditKind::from_name(name).ok_or_else(|| Problem::wrong(format!("`{name}` is no kind of entry")))
        };
        if let Some(since) = self.since_s.filter(|since| *since > SINCE_MAX_S) {
            return Err(Problem::wrong(format!(
                "`since_s` is {since}; it takes 0 to {SINCE_MAX_S}"
            )));
        }
        let said = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        Ok(AuditFilter {
            least: said(&self.level).as_ref().map(level).transpose()?,
            kind: said(&self.kind).as_ref().map(kind).transpose()?,
            runner_id: said(&self.runner),
            run: self.run,
            page_key: said(&self.page_key),
            since: self.since_s.map(|since| Duration::from_secs(since.into())),
        })
    }
}

/// Entries of the audit trail, newest first
#[utoipa::path(get, path = "/api/v1/audit", tag = "audit", params(Wanted),
    responses((status = 200, body = Page<AuditRecord>), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    _: Reader,
    Query(wanted): Query<Wanted>,
) -> Result<axum::Json<Page<AuditRecord>>, Problem> {
    let limit = rows(wanted.limit)?;
    let entries = app
        .store()
        .audit_entries(&wanted.filter()?, wanted.before, limit + 1)
        .await?;
    Ok(axum::Json(Page::of(entries, limit, |entry| entry.id.to_string())))
}

/// Entries as they are made, as server-sent events
///
/// Each event `entry` is one entry, its id the entry's. With `Last-Event-ID` the stream goes on after that entry: each later
/// one is sent at least once; a repeated one is told by its id.
#[utoipa::path(get, path = "/api/v1/audit/events", tag = "audit",
    params(Wanted, ("Last-Event-ID" = Option<String>, Header, description = "Id of the last event seen")),
    responses((status = 200, body = String, content_type = "text/event-stream"),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn events(
    State(app): State<Arc<App>>,
    _: Reader,
    headers: HeaderMap,
    Query(wanted): Query<Wanted>,
) -> Result<Answer, Problem> {
    let filter = wanted.filter()?;
    let follower = Follower::begin(&app, filter, last_event_id(&headers)).await?;
    Ok(follow(&app, follower, |entry| {
        let data = serde_json::to_string(entry).expect("own types serialise");
        Event::default().event("entry").data(data)
    }))
}

/// The entries that `follower` finds, each made an event by `show`.
pub(crate) fn follow(
    app: &App,
    follower: Follower,
    show: impl Fn(&AuditRecord) -> Event + Send + 'static,
) -> Answer {
    let entries = stream::unfold(follower, Follower::next);
    let events = entries.flat_map(stream::iter).map(move |entry| {
        let event = show(&entry).id(entry.id.to_string());
        Ok::<_, Infallible>(event)
    });
    sse(Box::pin(events.take_until(Box::pin(app.streams.ended()))))
}

/// Somebody who follows the trail, by the entries' numbers.
pub(crate) struct Follower {
    store: Store,
    filter: AuditFilter,
    /// All entries up to this number were sent, or are not wanted.
    settled: i64,
    /// Those above it that were sent.
    sent: BTreeSet<i64>,
    /// The newest number at earlier looks, oldest first.
    tops: VecDeque<(Instant, i64)>,
    /// The look under way: how far it has come, and where it ends.
    looking: Option<(i64, i64)>,
    is_first: bool,
    _open: OpenStream,
}

impl Follower {
    /// Begins after the entry `last`, or now.
    pub(crate) async fn begin(
        app: &App,
        filter: AuditFilter,
        last: Option<u64>,
    ) -> Result<Follower, Problem> {
        let store = app.store().clone();
        let newest = store.newest_audit_entry().await?;
        let last = last.and_then(|last| i64::try_from(last).ok());
        // What became visible late stands a little before the last one that was sent.
        let settled = match (last, may_be_late(&store)) {
            (None, _) => newest,
            (Some(last), false) => last,
            (Some(last), true) => last.saturating_sub(i64::from(TAKEN_MAX)),
        };
        Ok(Follower {
            store,
            filter,
            settled: settled.min(newest),
            sent: BTreeSet::new(),
            tops: VecDeque::new(),
            looking: None,
            is_first: last.is_some(),
            _open: app.streams.count(),
        })
    }

    async fn next(mut self) -> Option<(Vec<AuditRecord>, Follower)> {
        if self.looking.is_none() && !self.is_first {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        self.is_first = false;
        match self.look().await {
            Ok(new) => Some((new, self)),
            Err(error) => {
                tracing::debug!(%error, "the audit trail could not be read");
                Some((Vec::new(), self))
            }
        }
    }

    /// The next new entries, not all of them at once.
    async fn look(&mut self) -> Result<Vec<AuditRecord>, StoreError> {
        let (at, until) = match self.looking {
            Some(looking) => looking,
            None => (self.settled, self.store.newest_audit_entry().await?),
        };
        let found = self
            .store
            .audit_entries_between(&self.filter, at, until, TAKEN_MAX)
            .await?;
        self.looking = match found.last() {
            Some(last) if found.len() >= TAKEN_MAX as usize => Some((last.id, until)),
            _ => None,
        };
        let new: Vec<AuditRecord> = found
            .into_iter()
            .filter(|entry| self.sent.insert(entry.id))
            .collect();
        if self.looking.is_none() {
            self.settle(until);
        }
        Ok(new)
    }

    /// After a look up to `top`: what is old enough is not looked at again.
    fn settle(&mut self, top: i64) {
        if !may_be_late(&self.store) {
            self.settled = top;
        }
        self.tops.push_back((Instant::now(), top));
        while let Some((at, top)) = self.tops.front() {
            if at.elapsed() < LOOK_BACK {
                break;
            }
            self.settled = self.settled.max(*top);
            self.tops.pop_front();
        }
        self.sent = self.sent.split_off(&self.settled.saturating_add(1));
    }
}

/// Whether an entry may become visible after one with a higher number: numbers are given when an entry is written, and
/// transactions end in any order. SQLite has one writer.
fn may_be_late(store: &Store) -> bool {
    store.dialect() == Dialect::Postgres
}
