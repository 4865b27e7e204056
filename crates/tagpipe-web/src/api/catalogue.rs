//! The population report as it is stored: categories → years → sets → cards → grade rows.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use tagpipe_store::Store;
use tagpipe_store::browse::card::{GradeRowCursor, Population, PopulationPoint, StoredGradeRow};
use tagpipe_store::browse::catalogue::{Card, Category, Set, Year};
use tagpipe_store::browse::discrepancies::StoredDiscrepancy;
use utoipa::IntoParams;

use super::asked::{Path, Query};
use super::kept::kept;
use super::pages::{After, Page, rows};
use crate::guard::Reader;
use crate::problem::Problem;
use crate::state::App;

/// Observations of a population's history that are shown.
const HISTORY: u32 = 1000;

/// The categories
#[utoipa::path(get, path = "/api/v1/categories", tag = "catalogue",
    responses((status = 200, body = Vec<Category>), (status = 304, description = "As it was"),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn categories(
    State(app): State<Arc<App>>,
    _: Reader,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    kept(&headers, &app.store().categories().await?)
}

/// One category
#[utoipa::path(get, path = "/api/v1/categories/{id}", tag = "catalogue", params(("id" = i64, Path, description = "Its id")),
    responses((status = 200, body = Category), (status = 304, description = "As it was"),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn category(
    State(app): State<Arc<App>>,
    _: Reader,
    headers: HeaderMap,
    Path(id): Path<i64>,
) -> Result<Response, Problem> {
    kept(&headers, &the_category(app.store(), id).await?)
}

/// The years of a category
#[utoipa::path(get, path = "/api/v1/categories/{id}/years", tag = "catalogue", params(("id" = i64, Path, description = "Its id")),
    responses((status = 200, body = Vec<Year>), (status = 304, description = "As it was"),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn years(
    State(app): State<Arc<App>>,
    _: Reader,
    headers: HeaderMap,
    Path(id): Path<i64>,
) -> Result<Response, Problem> {
    the_category(app.store(), id).await?;
    kept(&headers, &app.store().years_of(id).await?)
}

/// One year
#[utoipa::path(get, path = "/api/v1/years/{id}", tag = "catalogue", params(("id" = i64, Path, description = "Its id")),
    responses((status = 200, body = Year), (status = 304, description = "As it was"),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn year(
    State(app): State<Arc<App>>,
    _: Reader,
    headers: HeaderMap,
    Path(id): Path<i64>,
) -> Result<Response, Problem> {
    kept(&headers, &the_year(app.store(), id).await?)
}

/// The sets of a year
#[utoipa::path(get, path = "/api/v1/years/{id}/sets", tag = "catalogue", params(("id" = i64, Path, description = "Its id"), After),
    responses((status = 200, body = Page<Set>), (status = 304, description = "As it was"),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn sets(
    State(app): State<Arc<App>>,
    _: Reader,
    headers: HeaderMap,
    Path(id): Path<i64>,
    Query(page): Query<After>,
) -> Result<Response, Problem> {
    the_year(app.store(), id).await?;
    let limit = rows(page.limit)?;
    let sets = app.store().sets_of(id, page.after, limit + 1).await?;
    kept(&headers, &Page::of(sets, limit, |set| set.id.to_string()))
}

/// One set
#[utoipa::path(get, path = "/api/v1/sets/{id}", tag = "catalogue", params(("id" = i64, Path, description = "Its id")),
    responses((status = 200, body = Set), (status = 304, description = "As it was"),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn set(
    State(app): State<Arc<App>>,
    _: Reader,
    headers: HeaderMap,
    Path(id): Path<i64>,
) -> Result<Response, Problem> {
    kept(&headers, &the_set(app.store(), id).await?)
}

/// The population of a set as it changed, the newest 1,000 observations, oldest first
#[utoipa::path(get, path = "/api/v1/sets/{id}/history", tag = "catalogue", params(("id" = i64, Path, description = "Its id")),
    responses((status = 200, body = Vec<PopulationPoint>), (status = 304, description = "As it was"),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn set_history(
    State(app): State<Arc<App>>,
    _: Reader,
    headers: HeaderMap,
    Path(id): Path<i64>,
) -> Result<Response, Problem> {
    the_set(app.store(), id).await?;
    let history = app
        .store()
        .population_history_of(Population::Set, id, HISTORY)
        .await?;
    kept(&headers, &history)
}

/// The cards of a set
#[utoipa::path(get, path = "/api/v1/sets/{id}/cards", tag = "catalogue", params(("id" = i64, Path, description = "Its id"), After),
    responses((status = 200, body = Page<Card>), (status = 304, description = "As it was"),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn cards(
    State(app): State<Arc<App>>,
    _: Reader,
    headers: HeaderMap,
    Path(id): Path<i64>,
    Query(page): Query<After>,
) -> Result<Response, Problem> {
    the_set(app.store(), id).await?;
    let limit = rows(page.limit)?;
    let cards = app.store().cards_of(id, page.after, limit + 1).await?;
    kept(&headers, &Page::of(cards, limit, |card| card.id.to_string()))
}

/// One card
#[utoipa::path(get, path = "/api/v1/cards/{id}", tag = "catalogue", params(("id" = i64, Path, description = "Its id")),
    responses((status = 200, body = Card), (status = 304, description = "As it was"),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn card(
    State(app): State<Arc<App>>,
    _: Reader,
    headers: HeaderMap,
    Path(id): Path<i64>,
) -> Result<Response, Problem> {
    kept(&headers, &the_card(app.store(), id).await?)
}

/// A page of a leaderboard.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct AfterRow {
    /// `next` of the page before.
    #[param(pattern = "^[0-9]*-[0-9]+$")]
    after: Option<String>,
    /// Rows on the page; 50 if not said.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
}

/// The graded copies of a card, in the order of its leaderboard
#[utoipa::path(get, path = "/api/v1/cards/{id}/grade-rows", tag = "catalogue",
    params(("id" = i64, Path, description = "Its id"), AfterRow),
    responses((status = 200, body = Page<StoredGradeRow>), (status = 304, description = "As it was"),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn grade_rows(
    State(app): State<Arc<App>>,
    _: Reader,
    headers: HeaderMap,
    Path(id): Path<i64>,
    Query(page): Query<AfterRow>,
) -> Result<Response, Problem> {
    the_card(app.store(), id).await?;
    let after = page.after.as_deref().map(cursor).transpose()?;
    let limit = rows(page.limit)?;
    let found = app.store().grade_rows_of(id, after, limit + 1).await?;
    kept(&headers, &Page::of(found, limit, place))
}

/// The place of a row on a leaderboard: `12-4711`, or `-4711` without a rank.
pub(crate) fn place(row: &StoredGradeRow) -> String {
    let rank = row.rank.map(|rank| rank.to_string()).unwrap_or_default();
    format!("{rank}-{}", row.id)
}

/// The place that `text` says.
pub(crate) fn cursor(text: &str) -> Result<GradeRowCursor, Problem> {
    let wrong = || {
        Problem::wrong(format!(
            "`{text}` is no place on a leaderboard; send `next` as it came"
        ))
    };
    let (rank, id) = text.split_once('-').ok_or_else(wrong)?;
    let rank = match rank {
        "" => None,
        rank => Some(rank.parse().map_err(|_| wrong())?),
    };
    Ok(GradeRowCursor {
        rank,
        id: id.parse().map_err(|_| wrong())?,
    })
}

/// The population of a card as it changed, the newest 1,000 observations, oldest first
#[utoipa::path(get, path = "/api/v1/cards/{id}/history", tag = "catalogue", params(("id" = i64, Path, description = "Its id")),
    responses((status = 200, body = Vec<PopulationPoint>), (status = 304, description = "As it was"),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn card_history(
    State(app): State<Arc<App>>,
    _: Reader,
    headers: HeaderMap,
    Path(id): Path<i64>,
) -> Result<Response, Problem> {
    the_card(app.store(), id).await?;
    let history = app
        .store()
        .population_history_of(Population::Card, id, HISTORY)
        .await?;
    kept(&headers, &history)
}

/// Words to be found.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// Beginnings of words of number, name, variation, set, year and category, in any order: `1989 donruss grif`.
    q: String,
    /// In this category alone, by its id.
    category: Option<i64>,
    /// `next` of the page before.
    after: Option<i64>,
    /// Rows on the page; 50 if not said.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
}

/// Cards by words
#[utoipa::path(get, path = "/api/v1/search", tag = "catalogue", params(Wanted),
    responses((status = 200, body = Page<Card>), (status = 304, description = "As it was"),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn search(
    State(app): State<Arc<App>>,
    _: Reader,
    headers: HeaderMap,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Problem> {
    let limit = rows(wanted.limit)?;
    let found = app
        .store()
        .search(&wanted.q, wanted.category, wanted.after, limit + 1)
        .await?;
    kept(&headers, &Page::of(found, limit, |card| card.id.to_string()))
}

/// The card of a certificate
#[utoipa::path(get, path = "/api/v1/certificates/{number}", tag = "catalogue",
    params(("number" = String, Path, description = "Its number")),
    responses((status = 200, body = Card), (status = 304, description = "As it was"),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn certificate(
    State(app): State<Arc<App>>,
    _: Reader,
    headers: HeaderMap,
    Path(number): Path<String>,
) -> Result<Response, Problem> {
    let card = app.store().card_of_certificate(&number).await?;
    let id = card.ok_or_else(|| Problem::not_found(&format!("certificate `{number}`")))?;
    kept(&headers, &the_card(app.store(), id).await?)
}

/// Which discrepancies are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Disagreeing {
    /// Also those that a later reading has resolved; no if not said.
    #[serde(default)]
    #[param(required = false)]
    resolved: bool,
    /// About a `year`, a `set`, a `card` or a `page` alone.
    subject: Option<String>,
    /// `next` of the page before.
    after: Option<i64>,
    /// Rows on the page; 50 if not said.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
}

/// Sums that do not agree
#[utoipa::path(get, path = "/api/v1/discrepancies", tag = "catalogue", params(Disagreeing),
    responses((status = 200, body = Page<StoredDiscrepancy>),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn discrepancies(
    State(app): State<Arc<App>>,
    _: Reader,
    headers: HeaderMap,
    Query(wanted): Query<Disagreeing>,
) -> Result<Response, Problem> {
    let limit = rows(wanted.limit)?;
    let found = app
        .store()
        .discrepancies(
            !wanted.resolved,
            wanted.subject.as_deref(),
            wanted.after,
            limit + 1,
        )
        .await?;
    kept(&headers, &Page::of(found, limit, |one| one.id.to_string()))
}

async fn the_category(store: &Store, id: i64) -> Result<Category, Problem> {
    let found = store.category(id).await?;
    found.ok_or_else(|| Problem::not_found(&format!("category {id}")))
}

async fn the_year(store: &Store, id: i64) -> Result<Year, Problem> {
    let found = store.year(id).await?;
    found.ok_or_else(|| Problem::not_found(&format!("year {id}")))
}

async fn the_set(store: &Store, id: i64) -> Result<Set, Problem> {
    let found = store.set(id).await?;
    found.ok_or_else(|| Problem::not_found(&format!("set {id}")))
}

async fn the_card(store: &Store, id: i64) -> Result<Card, Problem> {
    let found = store.card(id).await?;
    found.ok_or_else(|| Problem::not_found(&format!("card {id}")))
}
