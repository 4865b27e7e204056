//! How a page is answered: as HTML, also when something is wrong with it.

use std::sync::Arc;

use askama::Template;
use axum::extract::FromRequestParts;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{Html, IntoResponse, Response};
use serde::Deserialize;
use tagpipe_engine::OrderError;
use tagpipe_store::{Scope, StoreError};

use super::views::{Crumb, ErrorPage, Frame, Notice};
use crate::guard::{Controller, Identity};
use crate::problem::Problem;
use crate::state::App;

/// Name of who asks without a token.
const NOBODY: &str = "this machine";

/// What a page is answered with.
pub(crate) type Answered = Result<Response, Failure>;

/// The page that `view` is.
pub(crate) fn page(view: &impl Template) -> Answered {
    with_status(StatusCode::OK, view)
}

/// The page that `view` is, with this status.
pub(crate) fn with_status(status: StatusCode, view: &impl Template) -> Answered {
    let html = view.render().map_err(|error| {
        tracing::error!(%error, "a page could not be rendered");
        Failure::from(Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the page could not be made",
        ))
    })?;
    Ok((status, Html(html)).into_response())
}

/// What is wrong with what a browser asked for, as a page.
#[derive(Debug)]
pub(crate) struct Failure(Problem);

impl<P: Into<Problem>> From<P> for Failure {
    fn from(problem: P) -> Failure {
        Failure(problem.into())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = self.0.status();
        let mut view = ErrorPage::for_status(status.as_u16());
        // A problem with what was sent says in words what would be right; one of the service is in its log.
        if matches!(
            status,
            StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY | StatusCode::BAD_REQUEST
        ) {
            view.title = "That was not possible".into();
            view.advice = sentence(&self.0.detail);
        }
        match view.render() {
            Ok(html) => (status, Html(html)).into_response(),
            Err(_) => self.0.into_response(),
        }
    }
}

/// `text` with a capital letter and a full stop.
pub(crate) fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string());
    let stop = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{}{}{stop}", first.unwrap_or_default(), characters.as_str())
}

/// The path's parts; a path that has none of this kind leads nowhere.
pub(crate) struct Path<T>(pub(crate) T);

impl<S, T> FromRequestParts<S> for Path<T>
where
    S: Send + Sync,
    axum::extract::Path<T>: FromRequestParts<S, Rejection = PathRejection>,
{
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Path<T>, Failure> {
        match axum::extract::Path::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Path(value)),
            Err(_) => Err(Problem::not_found("such page").into()),
        }
    }
}

/// The query's parts; what of them is wrong is answered with a page.
pub(crate) struct Query<T>(pub(crate) T);

impl<S, T> FromRequestParts<S> for Query<T>
where
    S: Send + Sync,
    axum::extract::Query<T>: FromRequestParts<S, Rejection = QueryRejection>,
{
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Query<T>, Failure> {
        match axum::extract::Query::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(value)) => Ok(Query(value)),
            Err(error) => Err(Problem::new(error.status(), error.body_text()).into()),
        }
    }
}

/// Somebody who may control, who is told on a page if they may not.
pub(crate) struct Steerer(pub(crate) Identity);

impl FromRequestParts<Arc<App>> for Steerer {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Steerer, Response> {
        match Controller::from_request_parts(parts, app).await {
            Ok(Controller(identity)) => Ok(Steerer(identity)),
            Err(refusal) => {
                let response = refusal.into_response();
                Err(if response.status() == StatusCode::FORBIDDEN {
                    Failure::from(Problem::new(StatusCode::FORBIDDEN, "the token may not control"))
                        .into_response()
                } else {
                    response
                })
            }
        }
    }
}

/// What was done before the page was asked for again.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Done {
    /// A word of ours, so that no address can put its own words on a page.
    done: String,
}

impl Done {
    pub(crate) fn notice(&self) -> Option<Notice> {
        let (tone, text) = match self.done.as_str() {
            "started" => ("good", "The run has been started."),
            "ordered" => (
                "info",
                "The run is ordered. It begins when the one under way has ended.",
            ),
            "paused" => (
                "info",
                "The run pauses: pages in hand are finished, no other is begun.",
            ),
            "resumed" => ("good", "The run goes on."),
            "stopping" => ("info", "The run stops when the pages in hand are finished."),
            "retried" => ("good", "The pages are available again, and the run goes on."),
            "nothing" => ("info", "There was no failed page to retry."),
            "cancelled" => ("info", "The order was taken back."),
            "exporting" => ("good", "The export is ordered."),
            "backing-up" => ("good", "The backup is ordered."),
            "taken-back" => ("info", "The job was taken back."),
            "added" => ("good", "The schedule was added."),
            "enabled" => ("good", "The schedule is enabled."),
            "disabled" => ("info", "The schedule is disabled."),
            "removed" => ("info", "The schedule was removed."),
            _ => return None,
        };
        Some(Notice {
            tone,
            text: text.into(),
        })
    }
}

/// Whether somebody may control.
pub(crate) fn can_control(identity: &Identity) -> bool {
    identity.scope >= Scope::Control
}

/// What surrounds a page of this name in this section.
pub(crate) fn frame(title: impl Into<String>, section: &'static str, identity: &Identity) -> Frame {
    Frame {
        title: title.into(),
        section,
        can_control: can_control(identity),
        is_signed_in: identity.name != NOBODY,
        version: env!("CARGO_PKG_VERSION"),
        reference: "/api",
        ..Frame::default()
    }
}

/// A step of a breadcrumb.
pub(crate) fn crumb(name: impl Into<String>, href: impl Into<String>) -> Crumb {
    Crumb {
        name: name.into(),
        href: href.into(),
    }
}

/// What the store or an order has to say, for `?` in handlers.
pub(crate) fn order_fault(error: OrderError) -> Result<String, Failure> {
    match error {
        OrderError::WrongOptions(why) => Ok(sentence(&why)),
        OrderError::Busy(run) => Ok(format!(
            "Run {run} is under way. Choose to wait for its end, or to stop it."
        )),
        other => Err(other.into()),
    }
}

/// A missing row as a page that says so.
pub(crate) fn found<T>(row: Result<Option<T>, StoreError>, what: &str) -> Result<T, Failure> {
    row?.ok_or_else(|| Problem::not_found(what).into())
}
