//! `/runs`.

use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;

use crate::api::pages::Page;
use crate::dashboard::answer::{Answered, Query, frame, page as answer};
use crate::dashboard::views::RunsPage;
use crate::dashboard::words::run_row;
use crate::guard::Reader;
use crate::state::App;

const RUNS: u32 = 50;

/// What may stand in the address.
#[derive(Debug, Deserialize)]
pub(crate) struct Asked {
    /// The run that the page before ended with.
    before: Option<i64>,
}

/// `GET /runs`.
pub(crate) async fn page(
    State(app): State<Arc<App>>,
    Reader(identity): Reader,
    Query(asked): Query<Asked>,
) -> Answered {
    let runs = app.store().runs(asked.before, RUNS + 1).await?;
    let runs = Page::of(runs, RUNS, |run| run.id.to_string());
    answer(&RunsPage {
        frame: frame("Runs", "runs", &identity),
        runs: runs.items.iter().map(run_row).collect(),
        older: runs.next.map(|last| format!("/runs?before={last}")),
        newest: asked.before.map(|_| "/runs".into()),
    })
}
