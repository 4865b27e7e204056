//! News: what happened that people may want to be told, and whom it has reached.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use serde::Deserialize;
use tagpipe_core::news::{NewsKind, NewsLevel};
use tagpipe_store::{DeliveryState, NewsFilter, NewsWithDeliveries};
use utoipa::IntoParams;

use super::asked::Query;
use super::pages::{Page, rows};
use crate::guard::Reader;
use crate::problem::Problem;
use crate::state::App;

/// News of a lifetime ago, in seconds.
const SINCE_MAX_S: u32 = i32::MAX.unsigned_abs();

/// Which news is wanted; what is not said does not matter.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub(crate) struct Wanted {
    /// Of this kind: `run_finished`, `run_failed`, `run_interrupted`, `error_rate`, `brake_closed`, `layout_changed`,
    /// `discrepancies`, `schedule_missed`, `job_failed`, `watch_changed`.
    pub(crate) kind: Option<String>,
    /// Of this level and above: `info`, `warning`, `error`, `critical`.
    pub(crate) level: Option<String>,
    /// With a delivery in this state: `left_out`, `waiting`, `open`, `sent`, `failed`.
    pub(crate) delivery: Option<String>,
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
    ///
    /// # Errors
    /// What is wrong with it, and what would be right.
    pub(crate) fn filter(&self) -> Result<NewsFilter, Problem> {
        if let Some(since) = self.since_s.filter(|since| *since > SINCE_MAX_S) {
            return Err(Problem::wrong(format!(
                "`since_s` is {since}; it takes 0 to {SINCE_MAX_S}"
            )));
        }
        Ok(NewsFilter {
            kind: named(self.kind.as_ref(), "kind of news", NewsKind::from_name, || {
                NewsKind::ALL.map(NewsKind::as_str).join(", ")
            })?,
            least: named(self.level.as_ref(), "level of news", NewsLevel::from_name, || {
                NewsLevel::ALL.map(NewsLevel::as_str).join(", ")
            })?,
            delivery: named(
                self.delivery.as_ref(),
                "state of a delivery",
                DeliveryState::from_name,
                || DeliveryState::ALL.map(DeliveryState::as_str).join(", "),
            )?,
            since: self.since_s.map(|since| Duration::from_secs(since.into())),
        })
    }
}

/// What `name` names, if it is said.
fn named<T>(
    name: Option<&String>,
    what: &str,
    from_name: impl Fn(&str) -> Option<T>,
    known: impl Fn() -> String,
) -> Result<Option<T>, Problem> {
    let Some(name) = name.filter(|name| !name.is_empty()) else {
        return Ok(None);
    };
    let found = from_name(name);
    found
        .map(Some)
        .ok_or_else(|| Problem::wrong(format!("`{name}` is no {what}; there are {}", known())))
}

/// News and whom it has reached, newest first
#[utoipa::path(get, path = "/api/v1/news", tag = "news", params(Wanted),
    responses((status = 200, body = Page<NewsWithDeliveries>),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    _: Reader,
    Query(wanted): Query<Wanted>,
) -> Result<axum::Json<Page<NewsWithDeliveries>>, Problem> {
    let limit = rows(wanted.limit)?;
    let news = app
        .store()
        .news(&wanted.filter()?, wanted.before, limit + 1)
        .await?;
    Ok(axum::Json(Page::of(news, limit, |one| one.news.id.to_string())))
}
