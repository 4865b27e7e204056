//! The parts of pages that are sent again when they change. Whoever looks at the same page is served by one task that asks
//! the database (`streams.rs`).

use std::sync::Arc;
use std::time::{Duration, Instant};

use askama::Template;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::Event;
use tagpipe_engine::run_status;
use tagpipe_store::StoreError;
use tagpipe_store::contract::RunId;
use tokio::sync::Mutex;

use super::answer::{Failure, Path, Query, can_control, found};
use super::pages::{audit as audit_page, overview as overview_page, run as run_page};
use super::views::{
    AuditEntries, OverviewErrors, OverviewNow, OverviewRuns, RunDiscrepanciesPart, RunFailedPart,
    RunHeadPart, RunLevelsPart, RunLogPart, RunRunnersPart, RunSlowestPart, RunTreePart,
};
use super::words::level_rows;
use crate::api::audit::{Follower, follow};
use crate::api::runs::last_event_id;
use crate::guard::Reader;
use crate::outlook::Outlook;
use crate::problem::Problem;
use crate::state::App;
use crate::streams::{Answer, Frame};

/// How often what has to be counted over the whole frontier is counted anew.
const COUNT_EVERY: Duration = Duration::from_secs(5);

/// `GET /live/overview`.
pub(crate) async fn overview(
    State(app): State<Arc<App>>,
    Reader(identity): Reader,
    headers: HeaderMap,
) -> Result<Answer, Failure> {
    let may = can_control(&identity);
    let watched = Arc::clone(&app);
    // Buttons depend on what the viewer may do.
    let topic = format!("page overview {may}");
    Ok(app.streams.watch(&topic, last_event_id(&headers), move || {
        let app = Arc::clone(&watched);
        async move { Some(unless_failed(overview_parts(&app, may).await)) }
    }))
}

async fn overview_parts(app: &App, may_control: bool) -> Result<Vec<Frame>, StoreError> {
    let store = app.store();
    let now = overview_page::now(store, may_control).await?;
    let runs = overview_page::runs(store).await?;
    let errors = overview_page::errors(store).await?;
    Ok([
        part("now", &OverviewNow { now }),
        part("runs", &OverviewRuns { runs }),
        part("errors", &OverviewErrors { errors }),
    ]
    .into_iter()
    .flatten()
    .collect())
}

/// `GET /live/runs/{run}`.
pub(crate) async fn run(
    State(app): State<Arc<App>>,
    Reader(identity): Reader,
    headers: HeaderMap,
    Path(run): Path<RunId>,
) -> Result<Answer, Failure> {
    found(app.store().run_overview(run).await, &format!("run {run}"))?;
    let may = can_control(&identity);
    let watched = Arc::clone(&app);
    let counted = Arc::new(Mutex::new(None));
    let topic = format!("page run {run} {may}");
    Ok(app.streams.watch(&topic, last_event_id(&headers), move || {
        let (app, counted) = (Arc::clone(&watched), Arc::clone(&counted));
        async move { run_parts(&app, run, may, &counted).await }
    }))
}

/// Parts that are expensive to ask for, and when they were.
type Counted = Mutex<Option<(Instant, Vec<Frame>)>>;

async fn run_parts(app: &App, run: RunId, may_control: bool, counted: &Counted) -> Option<Vec<Frame>> {
    let store = app.store();
    let status = match run_status(store, run).await {
        Ok(status) => status?,
        Err(error) => return Some(unless_failed(Err(error))),
    };
    let outlook = match Outlook::of(store, &status).await {
        Ok(outlook) => outlook,
        Err(error) => return Some(unless_failed(Err(error))),
    };
    let is_over = outlook == Outlook::Rests;
    let quick = async {
        let parts = [
            part(
                "head",
                &RunHeadPart {
                    head: run_page::head(&status, outlook, may_control),
                },
            ),
            part(
                "levels",
                &RunLevelsPart {
                    levels: level_rows(&status.levels),
                },
            ),
            part(
                "runners",
                &RunRunnersPart {
                    runners: run_page::runner_rows(&status),
                },
            ),
            part(
                "failed",
                &RunFailedPart {
                    failed: run_page::failed(store, &status, may_control).await?,
                },
            ),
            part(
                "log",
                &RunLogPart {
                    log: run_page::log(store, run).await?,
                },
            ),
        ];
        Ok(parts.into_iter().flatten().collect())
    };
    let mut frames = unless_failed(quick.await);
    let mut counted = counted.lock().await;
    let is_due = counted.as_ref().is_none_or(|(at, _)| at.elapsed() >= COUNT_EVERY);
    if is_due || is_over {
        *counted = Some((Instant::now(), unless_failed(counted_parts(app, run).await)));
    }
    frames.extend(counted.iter().flat_map(|(_, frames)| frames.clone()));
    if is_over {
        frames.push(Frame {
            name: "ended".to_owned(),
            data: status.run.state.clone(),
        });
    }
    Some(frames)
}

async fn counted_parts(app: &App, run: RunId) -> Result<Vec<Frame>, StoreError> {
    let store = app.store();
    let parts = [
        part(
            "tree",
            &RunTreePart {
                tree: run_page::tree(store, run).await?,
            },
        ),
        part(
            "slowest",
            &RunSlowestPart {
                slowest: run_page::slowest(store, run).await?,
            },
        ),
        part(
            "discrepancies",
            &RunDiscrepanciesPart {
                discrepancies: run_page::discrepancies(store, run).await?,
            },
        ),
    ];
    Ok(parts.into_iter().flatten().collect())
}

/// `GET /live/audit`.
pub(crate) async fn audit(
    State(app): State<Arc<App>>,
    _: Reader,
    headers: HeaderMap,
    Query(asked): Query<audit_page::Asked>,
) -> Result<Answer, Failure> {
    let filter = asked.filter().map_err(Problem::wrong)?;
    let follower = Follower::begin(&app, filter, last_event_id(&headers)).await?;
    Ok(follow(&app, follower, |record| {
        let entries = vec![audit_page::entry(record.clone())];
        let html = AuditEntries { entries }.render().unwrap_or_default();
        Event::default().event("entries").data(one_line_end(&html))
    }))
}

/// A part as it is sent; none if it could not be rendered, and the page keeps what it has.
fn part(name: &str, view: &impl Template) -> Option<Frame> {
    match view.render() {
        Ok(html) => Some(Frame {
            name: name.to_owned(),
            data: one_line_end(&html),
        }),
        Err(error) => {
            tracing::error!(%error, name, "a part of a page could not be rendered");
            None
        }
    }
}

/// An event's data may have no carriage return; a stranger's text may.
fn one_line_end(html: &str) -> String {
    html.replace('\r', "")
}

/// The parts, or none if the database did not answer: it is asked again in a moment, and the page keeps what it has.
fn unless_failed(parts: Result<Vec<Frame>, StoreError>) -> Vec<Frame> {
    parts.unwrap_or_else(|error| {
        tracing::debug!(%error, "the parts of a page could not be read");
        Vec::new()
    })
}
