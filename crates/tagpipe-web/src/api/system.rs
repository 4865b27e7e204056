//! The service itself.

use std::sync::Arc;

use axum::extract::State;
use tagpipe_engine::{EffectiveSetting, Status};

use crate::guard::Reader;
use crate::problem::Problem;
use crate::state::App;

/// What runs now, how the last run ended, how much is verified
#[utoipa::path(get, path = "/api/v1/status", tag = "system",
    responses((status = 200, body = Status), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn status(State(app): State<Arc<App>>, _: Reader) -> Result<axum::Json<Status>, Problem> {
    Ok(axum::Json(tagpipe_engine::status(app.store()).await?))
}

/// Settings in effect and where each was set, secrets masked
#[utoipa::path(get, path = "/api/v1/settings", tag = "system",
    responses((status = 200, body = Vec<EffectiveSetting>), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn settings(State(app): State<Arc<App>>, _: Reader) -> axum::Json<Vec<EffectiveSetting>> {
    axum::Json(app.service.launcher().settings())
}
