//! Jobs: exports and backups that the service does.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tagpipe_engine::{JobRequest, RunOptions};
use tagpipe_store::{Job, JobKind};
use utoipa::ToSchema;

use super::asked::{Json, Path, Query};
use super::pages::{Before, Page, rows};
use super::runs::{IdempotencyKey, idempotency_key};
use crate::guard::{Controller, Reader};
use crate::problem::Problem;
use crate::state::App;

/// A job to be done.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewJob {
    /// What is to be done.
    pub(crate) kind: JobKind,
    /// What is wanted. An export takes `name` (of the file, below the folder of the setting `export_to`), `table`, `format`,
    /// `categories`, `year_filter`, `set_filter`, `changed_since`, `current` and `split`, as `tagpipe export` does. A backup
    /// takes none: the settings say where to and how.
    #[serde(default)]
    #[schema(value_type = Object, example = json!({ "name": "certificates.parquet", "table": "grade_rows" }))]
    pub(crate) options: RunOptions,
}

/// Exports and backups, newest first
#[utoipa::path(get, path = "/api/v1/jobs", tag = "jobs", params(Before),
    responses((status = 200, body = Page<Job>), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    _: Reader,
    Query(page): Query<Before>,
) -> Result<axum::Json<Page<Job>>, Problem> {
    let limit = rows(page.limit)?;
    let jobs = app.store().jobs(page.before, limit + 1).await?;
    Ok(axum::Json(Page::of(jobs, limit, |job| job.id.to_string())))
}

/// Order an export or a backup
///
/// It is done soon after, one job at a time; its `state` and `result` say what came of it.
#[utoipa::path(post, path = "/api/v1/jobs", tag = "jobs", params(IdempotencyKey), request_body = NewJob,
    responses(
        (status = 202, description = "It is ordered", body = Job, headers(("Location" = String))),
        (status = 422, description = "Not such a job; or the idempotency key belongs to another one", body = Problem, content_type = "application/problem+json"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The service is stopping", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn order(
    State(app): State<Arc<App>>,
    Controller(identity): Controller,
    headers: HeaderMap,
    Json(new): Json<NewJob>,
) -> Result<Response, Problem> {
    let request = JobRequest {
        kind: new.kind,
        options: new.options,
        idempotency_key: idempotency_key(&headers)?,
        by: identity.name,
    };
    let (job, _) = app.service.order_job(request).await?;
    let place = format!("/api/v1/jobs/{}", job.id);
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, place)], axum::Json(job)).into_response())
}

/// One job
#[utoipa::path(get, path = "/api/v1/jobs/{job}", tag = "jobs", params(("job" = i64, Path, description = "Its number")),
    responses((status = 200, body = Job), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn one(
    State(app): State<Arc<App>>,
    _: Reader,
    Path(job): Path<i64>,
) -> Result<axum::Json<Job>, Problem> {
    let found = app.store().job(job).await?;
    found.map(axum::Json).ok_or_else(|| missing(job))
}

/// Take back a job that was not begun
#[utoipa::path(delete, path = "/api/v1/jobs/{job}", tag = "jobs", params(("job" = i64, Path, description = "Its number")),
    responses((status = 204, description = "It is taken back"),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn cancel(
    State(app): State<Arc<App>>,
    Controller(identity): Controller,
    Path(job): Path<i64>,
) -> Result<StatusCode, Problem> {
    if app.store().cancel_job(job, &identity.name).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    match app.store().job(job).await? {
        Some(job) => Err(Problem::conflict(format!(
            "job {} is {}; only one that waits is taken back",
            job.id,
            job.state.as_str()
        ))),
        None => Err(missing(job)),
    }
}

fn missing(job: i64) -> Problem {
    Problem::not_found(&format!("job {job}"))
}
