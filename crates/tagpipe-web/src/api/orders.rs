//! Orders: runs that are wanted, until they have come to their end.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use tagpipe_store::RunOrder;

use super::asked::{Path, Query};
use super::pages::{Before, Page, rows};
use crate::guard::{Controller, Reader};
use crate::problem::Problem;
use crate::state::App;

/// Orders, newest first
#[utoipa::path(get, path = "/api/v1/orders", tag = "orders", params(Before),
    responses((status = 200, body = Page<RunOrder>), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    _: Reader,
    Query(page): Query<Before>,
) -> Result<axum::Json<Page<RunOrder>>, Problem> {
    let limit = rows(page.limit)?;
    let orders = app.store().orders(page.before, limit + 1).await?;
    Ok(axum::Json(Page::of(orders, limit, |order| order.id.to_string())))
}

/// One order
#[utoipa::path(get, path = "/api/v1/orders/{order}", tag = "orders", params(("order" = i64, Path, description = "Its number")),
    responses((status = 200, body = RunOrder), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn one(
    State(app): State<Arc<App>>,
    _: Reader,
    Path(order): Path<i64>,
) -> Result<axum::Json<RunOrder>, Problem> {
    let found = app.store().run_order(order).await?;
    found
        .map(axum::Json)
        .ok_or_else(|| Problem::not_found(&format!("order {order}")))
}

/// Take back an order that was not begun
#[utoipa::path(delete, path = "/api/v1/orders/{order}", tag = "orders", params(("order" = i64, Path, description = "Its number")),
    responses((status = 204, description = "It is taken back"),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn cancel(
    State(app): State<Arc<App>>,
    Controller(identity): Controller,
    Path(order): Path<i64>,
) -> Result<StatusCode, Problem> {
    if app.store().cancel_order(order, &identity.name).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    match app.store().run_order(order).await? {
        Some(order) => Err(Problem::conflict(format!(
            "order {} is {}; a run that has begun is stopped, not taken back",
            order.id,
            order.state.as_str()
        ))),
        None => Err(Problem::not_found(&format!("order {order}"))),
    }
}
