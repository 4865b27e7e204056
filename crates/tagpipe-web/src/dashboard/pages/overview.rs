//! `/`.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use jiff::Timestamp;
use serde::Deserialize;
use tagpipe_engine::{RunStatus, Timetable, run_status};
use tagpipe_store::audit::{AuditKind, AuditLevel};
use tagpipe_store::audit_query::AuditFilter;
use tagpipe_store::{Store, StoreError};

use crate::dashboard::answer::{Answered, Done, Query, can_control, frame, page as answer};
use crate::dashboard::show::{Count, Share, When};
use crate::dashboard::views::{
    Now, OverviewPage, Planned, RecentError, RunForm, RunRow, RunningRun, Stored, WaitingOrder,
};
use crate::dashboard::words::{
    brake, done_and_known, lasting, level_rows, pace, pages_per_second, run_row, run_state, what_of_options,
    when,
};
use crate::guard::{Identity, Reader};
use crate::state::App;

/// Errors no older than this are of late.
const OF_LATE: Duration = Duration::from_secs(24 * 3_600);
const ERRORS: u32 = 6;
const RUNS: u32 = 6;
const PLANNED: usize = 4;

/// What may stand in the address.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    /// Whether the form for a new run is open.
    start: Option<String>,
}

/// `GET /`.
pub(crate) async fn page(
    State(app): State<Arc<App>>,
    Reader(identity): Reader,
    Query(asked): Query<Asked>,
    Query(done): Query<Done>,
) -> Answered {
    let form = RunForm {
        is_open: asked.start.is_some(),
        ..empty_form()
    };
    let mut view = view(&app, &identity, form).await?;
    view.frame.notice = done.notice();
    answer(&view)
}

/// A form in which nothing was written yet.
pub(crate) fn empty_form() -> RunForm {
    RunForm {
        runners: "3".into(),
        when_busy: "queue".into(),
        ..RunForm::default()
    }
}

/// The page with this form.
pub(crate) async fn view(app: &App, identity: &Identity, form: RunForm) -> Result<OverviewPage, StoreError> {
    let store = app.store();
    Ok(OverviewPage {
        frame: frame("Overview", "overview", identity),
        now: now(store, can_control(identity)).await?,
        errors: errors(store).await?,
        runs: runs(store).await?,
        planned: planned(store).await?,
        stored: stored(store).await?,
        form,
    })
}

/// What runs now, and what waits.
pub(crate) async fn now(store: &Store, can_cancel: bool) -> Result<Now, StoreError> {
    let under_way = store.runs_under_way().await?.first().map(|run| run.id);
    let running = match under_way {
        Some(run) => run_status(store, run).await?,
        None => None,
    };
    let orders = store.open_orders().await?;
    let waiting = orders.iter().filter(|order| order.run.is_none());
    let waiting = waiting.map(|order| WaitingOrder {
        id: order.id,
        what: what_of_options(&order.options),
        by: if order.schedule.is_empty() {
            order.ordered_by.clone()
        } else {
            format!("the schedule {}", order.schedule)
        },
        at: when(&order.created_at),
        reason: match under_way {
            _ if !order.reason.is_empty() => order.reason.clone(),
            Some(run) => format!("it begins when run {run} has ended"),
            None => "it begins in a moment".into(),
        },
    });
    let waiting = waiting.collect();
    Ok(Now {
        waiting,
        next: planned(store).await?.first().map(|first| first.at),
        can_cancel,
        run: running.as_ref().map(running_run),
    })
}

fn running_run(status: &RunStatus) -> RunningRun {
    let (done, known) = done_and_known(&status.levels);
    RunningRun {
        id: status.run.id,
        state: run_state(&status.run),
        site: status.run.site().to_owned(),
        started_at: when(&status.run.started_at),
        pages_done: Count(done),
        pages_known: Count(known),
        share: Share {
            part: done,
            whole: known,
        },
        pages_per_second: pages_per_second(status),
        pace: pace(status.interval_s),
        brake: brake(&status.brake),
        requests: Count(status.run.requests),
        saved: Count(status.levels.iter().map(|level| level.unchanged).sum()),
        failed: Count(status.run.pages_failed),
        runners: Count(status.alive as u64),
        left: status.left_s.map(lasting),
        levels: level_rows(&status.levels),
    }
}

/// Errors of late.
pub(crate) async fn errors(store: &Store) -> Result<Vec<RecentError>, StoreError> {
    let filter = AuditFilter {
        least: Some(AuditLevel::Warning),
        kind: Some(AuditKind::Error),
        since: Some(OF_LATE),
        ..AuditFilter::default()
    };
    let entries = store.audit_entries(&filter, None, ERRORS).await?;
    let errors = entries.into_iter().map(|entry| RecentError {
        at: when(&entry.created_at),
        level: entry.level,
        message: entry.message,
        page_key: entry.page_key.unwrap_or_default(),
        run_id: entry.run_id,
    });
    Ok(errors.collect())
}

/// The last runs.
pub(crate) async fn runs(store: &Store) -> Result<Vec<RunRow>, StoreError> {
    Ok(store.runs(None, RUNS).await?.iter().map(run_row).collect())
}

/// The next planned times of all schedules.
async fn planned(store: &Store) -> Result<Vec<Planned>, StoreError> {
    let mut planned = Vec::new();
    for schedule in store.schedules().await? {
        // One that cannot be read starts nothing; the page of schedules says what is wrong with it.
        let Ok(timetable) = Timetable::new(&schedule.plan.cron, &schedule.plan.time_zone) else {
            continue;
        };
        if !schedule.plan.enabled {
            continue;
        }
        let times = timetable.upcoming(Timestamp::now(), PLANNED);
        planned.extend(times.iter().map(|time| Planned {
            name: schedule.plan.name.clone(),
            at: When(time.timestamp()),
            what: what_of_options(&schedule.plan.options),
        }));
    }
    planned.sort_by_key(|one| one.at);
    planned.truncate(PLANNED);
    Ok(planned)
}

async fn stored(store: &Store) -> Result<Stored, StoreError> {
    let categories = store.categories().await?;
    Ok(Stored {
        categories: Count(categories.len() as u64),
        sets: Count(categories.iter().map(|one| one.sets).sum()),
        cards: Count(categories.iter().map(|one| one.cards_stored).sum()),
        graded: Count(categories.iter().map(|one| one.graded).sum()),
    })
}
