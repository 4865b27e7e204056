//! Runs: start, watch, steer.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tagpipe_core::model::PageKind;
use tagpipe_core::outcome::Cause;
use tagpipe_engine::{LevelSummary, Request, RunOptions, RunStatus, run_status};
use tagpipe_store::contract::RunId;
use tagpipe_store::monitor::{RunOverview, RunnerOverview};
use tagpipe_store::retry::RetryFilter;
use tagpipe_store::{Ordered, Overlap, RunOrder, Steering};
use utoipa::{IntoParams, ToSchema};

use super::asked::{Json, Path, Query};
use super::pages::{Before, Page, rows};
use crate::guard::{Controller, Reader};
use crate::outlook::Outlook;
use crate::problem::Problem;
use crate::state::App;
use crate::streams::{Answer, ENDED, Frame};

/// How long a request to start a run waits for the run's number.
const BEGUN_WITHIN: Duration = Duration::from_secs(10);
const KEY_MAX: usize = 200;

/// Runs, newest first
#[utoipa::path(get, path = "/api/v1/runs", tag = "runs", params(Before),
    responses((status = 200, body = Page<RunOverview>), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    _: Reader,
    Query(page): Query<Before>,
) -> Result<axum::Json<Page<RunOverview>>, Problem> {
    let limit = rows(page.limit)?;
    let runs = app.store().runs(page.before, limit + 1).await?;
    Ok(axum::Json(Page::of(runs, limit, |run| run.id.to_string())))
}

/// A run to be started.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct NewRun {
    /// Settings of the run, as in `tagpipe.toml`: `{"categories": ["Hockey"], "full": true, "max_pages": 500}`. What is not
    /// said is as the service's own settings say.
    #[schema(value_type = Object, example = json!({"categories": ["Hockey"], "year_filter": "1989-1991"}))]
    options: RunOptions,
    /// What to do while another run is under way: `skip` refuses, `queue` waits for its end, `stop` stops it.
    #[schema(inline)]
    when_busy: Overlap,
}

/// A run that was ordered.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StartedRun {
    /// Its number; null while it waits.
    run: Option<RunId>,
    /// The order, which says why it waits or what became of it.
    order: RunOrder,
}

/// The key of a request that may be repeated.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it describes a header, which is read as one")]
pub(crate) struct IdempotencyKey {
    /// With the same key, a request that is repeated starts nothing more and gets the same order. At most 200 characters.
    #[param(rename = "Idempotency-Key", min_length = 1, max_length = 200)]
    idempotency_key: Option<String>,
}

/// Start a run
///
/// 201 when it has begun, 202 while it waits for another run to end.
#[utoipa::path(post, path = "/api/v1/runs", tag = "runs", params(IdempotencyKey), request_body = NewRun,
    responses(
        (status = 201, description = "It has begun", body = StartedRun, headers(("Location" = String))),
        (status = 202, description = "It waits", body = StartedRun, headers(("Location" = String))),
        (status = 409, description = "A run is under way", body = Problem, content_type = "application/problem+json"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The service is stopping", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn start(
    State(app): State<Arc<App>>,
    Controller(identity): Controller,
    headers: HeaderMap,
    Json(new): Json<NewRun>,
) -> Result<Response, Problem> {
    let ordered = app
        .service
        .order(Request {
            options: new.options,
            when_busy: new.when_busy,
            idempotency_key: idempotency_key(&headers)?,
            by: identity.name,
        })
        .await?;
    let Ordered::Order { order, .. } = ordered else {
        return Err(tagpipe_engine::OrderError::KeyInUse.into());
    };
    let order = app.service.begun(order.id, BEGUN_WITHIN).await?.unwrap_or(*order);
    let (status, place) = match order.run {
        Some(run) => (StatusCode::CREATED, format!("/api/v1/runs/{run}")),
        None => (StatusCode::ACCEPTED, format!("/api/v1/orders/{}", order.id)),
    };
    let started = StartedRun {
        run: order.run,
        order,
    };
    Ok((status, [(header::LOCATION, place)], axum::Json(started)).into_response())
}

pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(key) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    let key = key.to_str().ok().map(str::trim);
    match key {
        Some(key) if !key.is_empty() && key.len() <= KEY_MAX => Ok(Some(key.to_owned())),
        _ => Err(Problem::new(
            StatusCode::BAD_REQUEST,
            format!("the Idempotency-Key takes 1 to {KEY_MAX} visible characters"),
        )),
    }
}

/// One run as it stands
#[utoipa::path(get, path = "/api/v1/runs/{run}", tag = "runs", params(("run" = i64, Path, description = "Its number")),
    responses((status = 200, body = RunStatus), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn one(
    State(app): State<Arc<App>>,
    _: Reader,
    Path(run): Path<RunId>,
) -> Result<axum::Json<RunStatus>, Problem> {
    Ok(axum::Json(known(&app, run).await?))
}

async fn known(app: &App, run: RunId) -> Result<RunStatus, Problem> {
    run_status(app.store(), run)
        .await?
        .ok_or_else(|| Problem::not_found(&format!("run {run}")))
}

/// Pause a run
///
/// Its runners stay and begin no page.
#[utoipa::path(post, path = "/api/v1/runs/{run}/pause", tag = "runs", params(("run" = i64, Path, description = "Its number")),
    responses((status = 200, body = RunOverview), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn pause(
    app: State<Arc<App>>,
    who: Controller,
    run: Path<RunId>,
) -> Result<axum::Json<RunOverview>, Problem> {
    steer(app, who, run, Steering::Pause).await
}

/// Have a run go on that was paused, stopped or interrupted
#[utoipa::path(post, path = "/api/v1/runs/{run}/resume", tag = "runs", params(("run" = i64, Path, description = "Its number")),
    responses((status = 200, body = RunOverview), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn resume(
    app: State<Arc<App>>,
    who: Controller,
    run: Path<RunId>,
) -> Result<axum::Json<RunOverview>, Problem> {
    steer(app, who, run, Steering::Go).await
}

/// Stop a run
///
/// Its runners finish what they have in hand. Its state is kept: `tagpipe run --resume` goes on with it.
#[utoipa::path(post, path = "/api/v1/runs/{run}/stop", tag = "runs", params(("run" = i64, Path, description = "Its number")),
    responses((status = 200, body = RunOverview), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn stop(
    app: State<Arc<App>>,
    who: Controller,
    run: Path<RunId>,
) -> Result<axum::Json<RunOverview>, Problem> {
    steer(app, who, run, Steering::Stop).await
}

async fn steer(
    State(app): State<Arc<App>>,
    Controller(identity): Controller,
    Path(run): Path<RunId>,
    wanted: Steering,
) -> Result<axum::Json<RunOverview>, Problem> {
    let before = known(&app, run).await?.run;
    if wanted == Steering::Go && before.state == "interrupted" {
        app.service.go_on(run, &identity.name).await?;
        return Ok(axum::Json(before));
    }
    if !app.service.steer(run, wanted, &identity.name).await? {
        return Err(Problem::conflict(match before.steering {
            Steering::Stop => format!("run {run} is stopping"),
            _ => format!("run {run} is not under way: it is {}", before.state),
        }));
    }
    Ok(axum::Json(known(&app, run).await?.run))
}

/// The processes of a run, in the order of their start
#[utoipa::path(get, path = "/api/v1/runs/{run}/runners", tag = "runs", params(("run" = i64, Path, description = "Its number")),
    responses((status = 200, body = Vec<RunnerOverview>), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn runners(
    State(app): State<Arc<App>>,
    _: Reader,
    Path(run): Path<RunId>,
) -> Result<axum::Json<Vec<RunnerOverview>>, Problem> {
    Ok(axum::Json(known(&app, run).await?.processes))
}

/// A runner at work, and on what.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AtWork {
    /// Its run.
    run: RunId,
    /// The process.
    #[serde(flatten)]
    runner: RunnerOverview,
}

/// Runners of all runs that are under way
#[utoipa::path(get, path = "/api/v1/runners", tag = "runs",
    responses((status = 200, body = Vec<AtWork>), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn at_work(
    State(app): State<Arc<App>>,
    _: Reader,
) -> Result<axum::Json<Vec<AtWork>>, Problem> {
    let mut all = Vec::new();
    for run in app.store().runs_under_way().await? {
        let runners = app.store().runners(run.id).await?;
        let running = runners.into_iter().filter(|runner| runner.state == "running");
        all.extend(running.map(|runner| AtWork { run: run.id, runner }));
    }
    Ok(axum::Json(all))
}

/// Pages of a run by level and state
#[utoipa::path(get, path = "/api/v1/runs/{run}/frontier", tag = "runs", params(("run" = i64, Path, description = "Its number")),
    responses((status = 200, body = Vec<LevelSummary>), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn frontier(
    State(app): State<Arc<App>>,
    _: Reader,
    Path(run): Path<RunId>,
) -> Result<axum::Json<Vec<LevelSummary>>, Problem> {
    Ok(axum::Json(known(&app, run).await?.levels))
}

/// A page that was given up.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Failed {
    /// Its key.
    page_key: String,
    /// Its level.
    level: String,
    /// The kind of failure.
    cause: String,
    /// In words.
    reason: String,
}

/// Failed pages of a run, the first 500
#[utoipa::path(get, path = "/api/v1/runs/{run}/failed-pages", tag = "runs", params(("run" = i64, Path, description = "Its number")),
    responses((status = 200, body = Vec<Failed>), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn failed(
    State(app): State<Arc<App>>,
    _: Reader,
    Path(run): Path<RunId>,
) -> Result<axum::Json<Vec<Failed>>, Problem> {
    known(&app, run).await?;
    let pages = app.store().failed_pages(run, 500).await?;
    let failed = pages.into_iter().map(|page| Failed {
        page_key: page.page_key,
        level: page.level.as_str().to_owned(),
        cause: page.cause,
        reason: page.reason,
    });
    Ok(axum::Json(failed.collect()))
}

/// Which failed pages are wanted; what is not said does not matter.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Retry {
    /// Of one of these levels: `categories`, `years`, `sets`, `cards`, `grade_rows`.
    levels: Vec<String>,
    /// Failed for one of these causes, such as `timeout`.
    causes: Vec<String>,
}

/// What became of it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Retried {
    /// Pages that are available again.
    pages: u64,
    /// The order that goes on with the run; null where somebody works on it, or nothing was to be done.
    order: Option<i64>,
}

/// Make failed pages available again, and go on with the run
#[utoipa::path(post, path = "/api/v1/runs/{run}/retry", tag = "runs", params(("run" = i64, Path, description = "Its number")),
    request_body = Retry,
    responses((status = 200, body = Retried), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn retry(
    State(app): State<Arc<App>>,
    Controller(identity): Controller,
    Path(run): Path<RunId>,
    Json(wanted): Json<Retry>,
) -> Result<axum::Json<Retried>, Problem> {
    known(&app, run).await?;
    let level = |name: &String| {
        PageKind::ALL
            .into_iter()
            .find(|kind| kind.as_str() == name)
            .ok_or_else(|| Problem::wrong(format!("`{name}` is no level")))
    };
    let cause = |name: &String| {
        Cause::ALL
            .into_iter()
            .find(|cause| cause.as_str() == name)
            .ok_or_else(|| Problem::wrong(format!("`{name}` is no cause of a failure")))
    };
    let filter = RetryFilter {
        levels: wanted.levels.iter().map(level).collect::<Result<_, _>>()?,
        causes: wanted.causes.iter().map(cause).collect::<Result<_, _>>()?,
        ..RetryFilter::default()
    };
    let (pages, order) = app.service.retry(run, &filter, &identity.name).await?;
    Ok(axum::Json(Retried { pages, order }))
}

/// A run's progress, as server-sent events
///
/// The event `progress` has the run as it stands, like `GET /api/v1/runs/{run}`, whenever that has changed; `ended` is the
/// last one. `Last-Event-ID` leaves out what is known already.
#[utoipa::path(get, path = "/api/v1/runs/{run}/events", tag = "runs", params(("run" = i64, Path, description = "Its number"),
        ("Last-Event-ID" = Option<String>, Header, description = "Id of the last event seen")),
    responses((status = 200, body = String, content_type = "text/event-stream"),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn events(
    State(app): State<Arc<App>>,
    _: Reader,
    headers: HeaderMap,
    Path(run): Path<RunId>,
) -> Result<Answer, Problem> {
    known(&app, run).await?;
    let watched = Arc::clone(&app);
    Ok(app
        .streams
        .watch(&format!("run {run}"), last_event_id(&headers), move || {
            let app = Arc::clone(&watched);
            async move { progress(&app, run).await }
        }))
}

async fn progress(app: &App, run: RunId) -> Option<Vec<Frame>> {
    let status = match run_status(app.store(), run).await {
        Ok(status) => status?,
        Err(error) => {
            tracing::debug!(%error, run, "a run's progress could not be read");
            return Some(Vec::new());
        }
    };
    let is_over = match Outlook::of(app.store(), &status).await {
        Ok(outlook) => outlook == Outlook::Rests,
        Err(error) => {
            tracing::debug!(%error, run, "whether a run goes on could not be read");
            return Some(Vec::new());
        }
    };
    let data = serde_json::to_string(&status).ok()?;
    let mut frames = vec![Frame {
        name: "progress".to_owned(),
        data,
    }];
    if is_over {
        frames.push(Frame {
            name: ENDED.to_owned(),
            data: status.run.state,
        });
    }
    Some(frames)
}

/// The number of the last event that a browser has seen.
pub(crate) fn last_event_id(headers: &HeaderMap) -> Option<u64> {
    headers.get("last-event-id")?.to_str().ok()?.trim().parse().ok()
}
