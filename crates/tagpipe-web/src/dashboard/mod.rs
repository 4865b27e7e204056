//! The dashboard: pages rendered on the server, with live parts over an event stream.
//!
//! Every page works without JavaScript; forms are sent and answered by a redirect. The security policy allows no inline
//! script and no inline style, so a template has neither.

pub mod show;
pub mod views;

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;

use crate::problem::Problem;
use crate::state::App;

/// The pages' routes.
pub(crate) fn router() -> Router<Arc<App>> {
    Router::new()
}

/// What is asked for in vain.
pub(crate) async fn not_found() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "there is no such address")
}
