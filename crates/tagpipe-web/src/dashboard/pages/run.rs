//! `/runs/{run}`.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use serde::Deserialize;
use serde_json::json;
use tagpipe_engine::{RunStatus, run_status};
use tagpipe_store::audit_query::AuditFilter;
use tagpipe_store::browse::analytics::Progress;
use tagpipe_store::contract::RunId;
use tagpipe_store::{Steering, Store, StoreError};

use crate::api::kept::kept;
use crate::dashboard::answer::{
    Answered, Done, Path, Query, can_control, crumb, found, frame, page as answer,
};
use crate::dashboard::show::{Bar, Count, Lasting, Share, Size};
use crate::dashboard::views::{
    Branch, DiscrepancyRow, FailedPages, FailedRow, LogLine, RunHead, RunPage, RunYearsPart, RunnerRow,
    SlowRow,
};
use crate::dashboard::words::{
    brake, done_and_known, encoded, lasting, level, level_rows, maybe_when, pace, pages_per_second, progress,
    run_state, what_of_run, when,
};
use crate::guard::Reader;
use crate::outlook::Outlook;
use crate::state::App;

const SLOWEST: u32 = 8;
const FAILED: u32 = 50;
const LOG: u32 = 40;
/// Open discrepancies that are looked through for those of the run.
const DISCREPANCIES: u32 = 500;
/// Points of the chart: as many as a wide screen can tell apart.
const SPANS_MAX: u32 = 240;
/// The least time between two of them, in seconds.
const SPAN_LEAST_S: f64 = 5.0;

/// `GET /runs/{run}`.
pub(crate) async fn page(
    State(app): State<Arc<App>>,
    Reader(identity): Reader,
    Path(run): Path<RunId>,
    Query(done): Query<Done>,
) -> Answered {
    let store = app.store();
    let status = found(run_status(store, run).await, &format!("run {run}"))?;
    let may = can_control(&identity);
    let mut frame = frame(format!("Run {run}"), "runs", &identity);
    frame.crumbs = vec![crumb("Runs", "/runs")];
    frame.notice = done.notice();
    answer(&RunPage {
        frame,
        head: head(&status, Outlook::of(store, &status).await?, may),
        levels: level_rows(&status.levels),
        tree: tree(store, run).await?,
        runners: runner_rows(&status),
        slowest: slowest(store, run).await?,
        failed: failed(store, &status, may).await?,
        discrepancies: discrepancies(store, run).await?,
        log: log(store, run).await?,
        settings: settings(&status),
    })
}

/// State, times, main numbers and buttons.
pub(crate) fn head(status: &RunStatus, outlook: Outlook, may_control: bool) -> RunHead {
    let run = &status.run;
    let (done, known) = done_and_known(&status.levels);
    let is_running = run.state == "running";
    let is_paused = is_running && run.steering == Steering::Pause;
    let is_left = run.state == "interrupted" && outlook == Outlook::Rests;
    RunHead {
        id: run.id,
        state: run_state(run),
        meaning: meaning(status, outlook),
        started_at: when(&run.started_at),
        is_live: outlook != Outlook::Rests,
        finished_at: maybe_when(run.finished_at.as_ref()),
        took: lasting(run.elapsed_s),
        left: status.left_s.filter(|_| is_running).map(lasting),
        pages_done: Count(done),
        pages_known: Count(known),
        share: Share {
            part: done,
            whole: known,
        },
        pages_per_second: pages_per_second(status),
        requests: Count(run.requests),
        saved: Count(status.levels.iter().map(|level| level.unchanged).sum()),
        rows_new: Count(run.rows_new),
        rows_changed: Count(run.rows_changed),
        pace: is_running.then(|| pace(status.interval_s)),
        brake: brake(&status.brake).filter(|_| is_running),
        can_pause: may_control && is_running && run.steering == Steering::Go,
        can_resume: may_control && (is_paused || is_left),
        can_stop: may_control && is_running && run.steering != Steering::Stop,
    }
}

fn meaning(status: &RunStatus, outlook: Outlook) -> String {
    let notes = status.run.summary["notes"].as_array();
    let notes = notes.into_iter().flatten().filter_map(|note| note.as_str());
    // Such as a filter that nothing fits: without it, nothing read would look like everything read.
    notes.fold(state_in_words(status, outlook), |words, note| {
        format!("{words} Note: {note}.")
    })
}

fn state_in_words(status: &RunStatus, outlook: Outlook) -> String {
    let site = status.run.site();
    match run_state(&status.run) {
        "running" if status.alive == 0 => "No runner is at work on it now.".into(),
        "running" if status.alive == 1 => format!("One runner reads {site}."),
        "running" => format!("{} runners read {site}.", status.alive),
        "paused" => "Its runners wait; no page is begun.".into(),
        "stopping" => "Its runners finish the pages that they have in hand.".into(),
        "interrupted" if outlook == Outlook::GoesOn => {
            "It stopped before its end, and goes on as soon as no other run is under way.".into()
        }
        "interrupted" => "It stopped before its end. What it read is kept, and it can go on.".into(),
        "reconciled" => "Everything was read, and the sums agree.".into(),
        _ if status.run.pages_failed > 0 => "It came to its end, and some pages failed.".into(),
        _ => "Everything was read, but some sums disagree.".into(),
    }
}

/// The categories with their progress.
pub(crate) async fn tree(store: &Store, run: RunId) -> Result<Vec<Branch>, StoreError> {
    let categories = store.category_progress(run).await?;
    let branches = (1..).zip(&categories).map(|(number, category)| {
        let years = format!("/runs/{run}/years?category={}", encoded(&category.name));
        branch(format!("c{number}"), category, Some(years))
    });
    Ok(branches.collect())
}

fn branch(id: String, part: &Progress, below: Option<String>) -> Branch {
    let (bar, done, pages) = progress(&part.name, &part.pages);
    Branch {
        id,
        name: part.name.clone(),
        bar,
        done: Count(done),
        pages: Count(pages),
        failed: Count(part.pages.failed),
        below,
    }
}

/// Which category's years are asked for.
#[derive(Debug, Deserialize)]
pub(crate) struct OfCategory {
    category: String,
}

/// `GET /runs/{run}/years`.
pub(crate) async fn years(
    State(app): State<Arc<App>>,
    _: Reader,
    Path(run): Path<RunId>,
    Query(of): Query<OfCategory>,
) -> Answered {
    let years = app.store().year_progress(run, &of.category).await?;
    let branches = (1..)
        .zip(&years)
        .map(|(number, year)| branch(format!("y{number}"), year, None));
    answer(&RunYearsPart {
        years: branches.collect(),
    })
}

/// The processes, those at work first.
pub(crate) fn runner_rows(status: &RunStatus) -> Vec<RunnerRow> {
    let mut rows: Vec<RunnerRow> = status
        .processes
        .iter()
        .map(|process| RunnerRow {
            name: process.runner_id.clone(),
            state: match process.state.as_str() {
                "running" => "running",
                "finished" => "finished",
                _ => "lost",
            },
            place: format!("{}, process {}", process.host, process.pid),
            doing: if process.state == "running" {
                process.current_page.clone()
            } else {
                process.ended_why.clone()
            },
            pages: Count(process.pages_completed),
            requests: Count(process.requests),
            failed: Count(process.pages_failed),
            memory: (process.memory_bytes > 0).then_some(Size(process.memory_bytes)),
            silent: lasting(process.silent_s),
        })
        .collect();
    rows.sort_by_key(|row| row.state != "running");
    rows
}

/// The slowest pages.
pub(crate) async fn slowest(store: &Store, run: RunId) -> Result<Vec<SlowRow>, StoreError> {
    let pages = store.slowest_pages(run, SLOWEST).await?;
    let millis = |elapsed_ms: i64| u64::try_from(elapsed_ms).unwrap_or_default();
    let longest = pages.first().map_or(1, |page| millis(page.elapsed_ms));
    let rows = pages.into_iter().map(|page| {
        let took = Lasting(Duration::from_millis(millis(page.elapsed_ms)));
        SlowRow {
            bar: Bar::new(longest, &[("done", millis(page.elapsed_ms))], took.to_string()),
            page_key: page.page_key,
            took,
        }
    });
    Ok(rows.collect())
}

/// The pages given up.
pub(crate) async fn failed(
    store: &Store,
    status: &RunStatus,
    may_control: bool,
) -> Result<FailedPages, StoreError> {
    let total = status.levels.iter().map(|level| level.failed).sum();
    let pages = match total {
        0 => Vec::new(),
        _ => store.failed_pages(status.run.id, FAILED).await?,
    };
    let rows = pages.into_iter().map(|page| FailedRow {
        page_key: page.page_key,
        level: level(page.level),
        cause: page.cause,
        reason: page.reason,
    });
    Ok(FailedPages {
        run_id: status.run.id,
        total: Count(total),
        pages: rows.collect(),
        can_retry: may_control,
    })
}

/// The sums of the run that disagree.
pub(crate) async fn discrepancies(store: &Store, run: RunId) -> Result<Vec<DiscrepancyRow>, StoreError> {
    let open = store.discrepancies(true, None, None, DISCREPANCIES).await?;
    let rows = open
        .into_iter()
        .filter(|one| one.run_id == run)
        .map(|one| DiscrepancyRow {
            page_key: one.page_key,
            what: one.what,
            expected: format!("{}, {}", one.expected, one.expected_by),
            found: one.found,
            verdict: one.verdict.as_str().to_owned(),
            resolved_at: maybe_when(one.resolved_at.as_ref()),
        });
    Ok(rows.collect())
}

/// The newest audit entries of the run.
pub(crate) async fn log(store: &Store, run: RunId) -> Result<Vec<LogLine>, StoreError> {
    let filter = AuditFilter {
        run: Some(run),
        ..AuditFilter::default()
    };
    let entries = store.audit_entries(&filter, None, LOG).await?;
    let lines = entries.into_iter().map(|entry| LogLine {
        at: when(&entry.created_at),
        level: entry.level,
        message: entry.message,
    });
    Ok(lines.collect())
}

fn settings(status: &RunStatus) -> Vec<(String, String)> {
    let config = &status.run.config;
    let mut settings = vec![
        ("Site".to_owned(), status.run.site().to_owned()),
        ("Reads".to_owned(), what_of_run(config)),
        ("Pace".to_owned(), pace(status.interval_s)),
    ];
    for (key, name) in [
        ("concurrency", "Pages at a time"),
        ("max_retries", "Retries"),
        ("delay_s", "Delay, s"),
    ] {
        if !config[key].is_null() {
            settings.push((name.to_owned(), config[key].to_string()));
        }
    }
    settings
}

/// `GET /runs/{run}/throughput.json`.
pub(crate) async fn throughput(
    State(app): State<Arc<App>>,
    _: Reader,
    headers: HeaderMap,
    Path(run): Path<RunId>,
) -> Answered {
    let overview = found(app.store().run_overview(run).await, &format!("run {run}"))?;
    // A span of a short run would have a page or none.
    let spans = (overview.elapsed_s / SPAN_LEAST_S).clamp(12.0, f64::from(SPANS_MAX)) as u32;
    let throughput = found(app.store().throughput(run, spans).await, &format!("run {run}"))?;
    let a_minute = |pages: u64| pages as f64 * 60_000.0 / throughput.span_ms.max(1) as f64;
    let spans = &throughput.spans;
    let times: Vec<f64> = spans.iter().map(|span| span.begins_ms as f64 / 1_000.0).collect();
    let read: Vec<f64> = spans.iter().map(|span| a_minute(span.completed)).collect();
    let failed: Vec<f64> = spans.iter().map(|span| a_minute(span.failed)).collect();
    let chart = json!({
        "times": times,
        "series": [
            { "label": "Pages", "values": read },
            { "label": "Failed pages", "values": failed, "failing": true },
        ],
    });
    Ok(kept(&headers, &chart)?)
}
