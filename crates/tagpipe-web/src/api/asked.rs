//! What is asked for, taken apart; what is wrong with it is a problem that says so.

use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::problem::Problem;

/// The path's parts.
pub(crate) struct Path<T>(pub(crate) T);

impl<S, T> FromRequestParts<S> for Path<T>
where
    S: Send + Sync,
    axum::extract::Path<T>: FromRequestParts<S, Rejection = PathRejection>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Path<T>, Problem> {
        let taken = axum::extract::Path::<T>::from_request_parts(parts, state).await;
        taken
            .map(|axum::extract::Path(value)| Path(value))
            .map_err(|error| Problem::new(error.status(), error.body_text()))
    }
}

/// The query's parts.
pub(crate) struct Query<T>(pub(crate) T);

impl<S, T> FromRequestParts<S> for Query<T>
where
    S: Send + Sync,
    axum::extract::Query<T>: FromRequestParts<S, Rejection = QueryRejection>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Query<T>, Problem> {
        let taken = axum::extract::Query::<T>::from_request_parts(parts, state).await;
        taken
            .map(|axum::extract::Query(value)| Query(value))
            .map_err(|error| Problem::new(error.status(), error.body_text()))
    }
}

/// A body of JSON.
pub(crate) struct Json<T>(pub(crate) T);

impl<S, T> FromRequest<S> for Json<T>
where
    S: Send + Sync,
    T: DeserializeOwned,
    axum::Json<Value>: FromRequest<S, Rejection = JsonRejection>,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Json<T>, Problem> {
        let taken = axum::Json::<Value>::from_request(request, state).await;
        let axum::Json(value) = taken.map_err(|error| Problem::new(error.status(), error.body_text()))?;
        // A list would be taken for the fields in their order.
        if !value.is_object() {
            return Err(Problem::wrong("the body takes a JSON object"));
        }
        serde_json::from_value(value)
            .map(Json)
            .map_err(|error| Problem::wrong(format!("the body is not as described: {error}")))
    }
}
