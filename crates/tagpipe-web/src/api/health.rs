//! Health, for whoever starts, restarts and balances services. No token is needed, and nothing is told.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio::time::timeout;
use utoipa::ToSchema;

use crate::problem::Problem;
use crate::state::App;

/// How long the database may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// That all is well.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Health {
    /// `ok`
    status: &'static str,
}

/// Whether the process is alive; whatever it is busy with
#[utoipa::path(get, path = "/health/live", tag = "system", security(()),
    responses((status = 200, body = Health)))]
pub(super) async fn live() -> axum::Json<Health> {
    axum::Json(Health { status: "ok" })
}

/// Whether it can do its work: the database answers with the right schema, and the service is not stopping
#[utoipa::path(get, path = "/health/ready", tag = "system", security(()),
    responses((status = 200, body = Health),
        (status = 503, description = "Not now", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn ready(State(app): State<Arc<App>>) -> Response {
    let refuse = |why: &str| Problem::new(StatusCode::SERVICE_UNAVAILABLE, why).into_response();
    if app.service.is_draining() {
        return refuse("the service is stopping");
    }
    match timeout(ANSWER_WITHIN, app.store().is_current()).await {
        Ok(Ok(true)) => axum::Json(Health { status: "ok" }).into_response(),
        Ok(Ok(false)) => refuse("the database has another schema; `tagpipe db migrate` brings it up to date"),
        Ok(Err(error)) => {
            tracing::warn!(%error, "not ready: the database refused");
            refuse("the database refused")
        }
        Err(_) => refuse("the database does not answer"),
    }
}
