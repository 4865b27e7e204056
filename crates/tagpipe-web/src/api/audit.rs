//! The audit trail: what happened, and why.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::Event;
use futures_util::{StreamExt, stream};
use serde::Deserialize;
use tagpipe_store::Store;
use tagpipe_store::audit::{AuditKind, AuditLevel};
use tagpipe_store::audit_query::{AuditFilter, AuditRecord};
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
/// Entries taken at a look, and kept in mind as sent.
const TAKEN_MAX: u32 = 1000;
/// Entries of a lifetime ago.
const SINCE_MAX_S: u32 = i32::MAX.unsigned_abs();
/// An entry becomes visible with its transaction, and may be older than one that was sent.
const LOOK_BACK: Duration = Duration::from_secs(30);

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
        let data = serde_json::to_string(entry).unwrap_or_default();
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

/// Somebody who follows the trail.
pub(crate) struct Follower {
    store: Store,
    filter: AuditFilter,
    /// Entries that were sent, or were there before.
    seen: HashSet<i64>,
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
        let known = store.audit_entries(&recent(&filter), None, TAKEN_MAX).await?;
        let last = last.and_then(|last| i64::try_from(last).ok());
        let seen = known
            .iter()
            .map(|entry| entry.id)
            .filter(|id| last.is_none_or(|last| *id <= last))
            .collect();
        Ok(Follower {
            store,
            filter,
            seen,
            is_first: last.is_some(),
            _open: app.streams.count(),
        })
    }

    async fn next(mut self) -> Option<(Vec<AuditRecord>, Follower)> {
        if !self.is_first {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        self.is_first = false;
        let found = match self
            .store
            .audit_entries(&recent(&self.filter), None, TAKEN_MAX)
            .await
        {
            Ok(found) => found,
            Err(error) => {
                tracing::debug!(%error, "the audit trail could not be read");
                return Some((Vec::new(), self));
            }
        };
        let ids: HashSet<i64> = found.iter().map(|entry| entry.id).collect();
        let mut new: Vec<AuditRecord> = found
            .into_iter()
            .filter(|entry| !self.seen.contains(&entry.id))
            .collect();
        new.reverse();
        self.seen = ids;
        Some((new, self))
    }
}

/// Entries of a moment ago: what was made since the last look is among them.
fn recent(filter: &AuditFilter) -> AuditFilter {
    AuditFilter {
        since: Some(LOOK_BACK),
        ..filter.clone()
    }
}
