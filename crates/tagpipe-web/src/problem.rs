//! What is wrong with a request, as RFC 9457 problem details. Causes are logged here and never sent.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tagpipe_engine::OrderError;
use tagpipe_store::{ErrorClass, StoreError};
use utoipa::ToSchema;

/// A problem, as it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Problem {
    /// Which kind it is; `about:blank` where the status says it all.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The status in words.
    pub title: String,
    /// The status of the answer.
    pub status: u16,
    /// What is wrong, and what would be right.
    pub detail: String,
    /// When it may be asked again, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u64>,
}

impl Problem {
    /// A problem of this status.
    #[must_use]
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Problem {
        Problem {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Problem").to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            retry_after_s: None,
        }
    }

    /// What was asked for is not there.
    #[must_use]
    pub fn not_found(what: &str) -> Problem {
        Problem::new(StatusCode::NOT_FOUND, format!("there is no {what}"))
    }

    /// What was sent is wrong.
    #[must_use]
    pub fn wrong(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }

    /// It contradicts what is there.
    #[must_use]
    pub fn conflict(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::CONFLICT, detail)
    }

    /// Too much was asked for; it may be asked again after so many seconds.
    #[must_use]
    pub fn too_many(after_s: u64) -> Problem {
        Problem {
            retry_after_s: Some(after_s),
            ..Problem::new(StatusCode::TOO_MANY_REQUESTS, "too many requests")
        }
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, after) = (self.status(), self.retry_after_s);
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(after) = after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(after));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"tagpipe\""),
            );
        }
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Problem {
        match error.class() {
            ErrorClass::Retry => {
                tracing::warn!(%error, "the database did not answer a request");
                Problem {
                    retry_after_s: Some(5),
                    ..Problem::new(
                        StatusCode::SERVICE_UNAVAILABLE,
                        "the database does not answer; try again",
                    )
                }
            }
            _ => {
                tracing::error!(%error, "a request failed");
                Problem::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "the request failed; the service's log says why",
                )
            }
        }
    }
}

impl From<OrderError> for Problem {
    fn from(error: OrderError) -> Problem {
        match error {
            OrderError::WrongOptions(why) => Problem::wrong(why),
            OrderError::Busy(run) => Problem::conflict(format!(
                "run {run} is under way; stop it, or order with `\"when_busy\": \"queue\"`"
            )),
            OrderError::KeyInUse => {
                Problem::wrong("the Idempotency-Key belongs to an order with other options")
            }
            OrderError::Draining => Problem {
                retry_after_s: Some(60),
                ..Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the service is stopping")
            },
            OrderError::Store(error) => error.into(),
        }
    }
}
