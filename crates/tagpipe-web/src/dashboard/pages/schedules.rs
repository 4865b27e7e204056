//! `/schedules`.

use std::sync::Arc;

use axum::extract::State;
use jiff::Timestamp;
use serde::Deserialize;
use tagpipe_engine::Timetable;
use tagpipe_store::{Overlap, RunOrder, Schedule, StoreError};

use crate::dashboard::answer::{Answered, Done, Query, frame, page as answer, sentence};
use crate::dashboard::show::When;
use crate::dashboard::views::{
    ScheduleCard, ScheduleForm, SchedulePreview, SchedulePreviewPart, SchedulesPage,
};
use crate::dashboard::words::{maybe_when, what_of_options, when};
use crate::guard::{Identity, Reader};
use crate::state::App;

const UPCOMING: usize = 5;
/// Orders that are looked through for the last one of each schedule.
const ORDERS: u32 = 100;

/// `GET /schedules`.
pub(crate) async fn page(
    State(app): State<Arc<App>>,
    Reader(identity): Reader,
    Query(done): Query<Done>,
) -> Answered {
    let mut view = view(&app, &identity, empty_form()).await?;
    view.frame.notice = done.notice();
    answer(&view)
}

/// A form in which nothing was written yet.
pub(crate) fn empty_form() -> ScheduleForm {
    ScheduleForm {
        zone: "UTC".into(),
        overlap: "skip".into(),
        ..ScheduleForm::default()
    }
}

/// The page with this form.
pub(crate) async fn view(
    app: &App,
    identity: &Identity,
    form: ScheduleForm,
) -> Result<SchedulesPage, StoreError> {
    let orders = app.store().orders(None, ORDERS).await?;
    let schedules = app.store().schedules().await?;
    Ok(SchedulesPage {
        frame: frame("Schedules", "schedules", identity),
        schedules: schedules.into_iter().map(|one| card(one, &orders)).collect(),
        preview: preview_of(&form.cron, &form.zone),
        form,
    })
}

fn card(schedule: Schedule, orders: &[RunOrder]) -> ScheduleCard {
    let plan = schedule.plan;
    let (next, words) = match Timetable::new(&plan.cron, &plan.time_zone) {
        Ok(timetable) => {
            let times = timetable.upcoming(Timestamp::now(), UPCOMING);
            let times = times.iter().map(|time| When(time.timestamp())).collect();
            (times, timetable.in_words())
        }
        Err(wrong) => (Vec::new(), sentence(&wrong.to_string())),
    };
    let last = orders.iter().find(|order| {
        order.schedule == plan.name
            && maybe_when(order.planned_at.as_ref()).is_none_or(|at| at.0 <= Timestamp::now())
    });
    ScheduleCard {
        id: schedule.id,
        words,
        what: what_of_options(&plan.options),
        overlap: match plan.overlap {
            Overlap::Skip => "skip the time while a run goes on",
            Overlap::Queue => "begin when the run under way has ended",
            Overlap::Stop => "stop the run under way and begin",
        }
        .into(),
        is_enabled: plan.enabled,
        is_ours: !schedule.from_settings,
        next,
        last: last.map(|order| {
            (
                when(order.planned_at.as_ref().unwrap_or(&order.due_at)),
                order.run,
            )
        }),
        name: plan.name,
        cron: plan.cron,
        zone: plan.time_zone,
    }
}

/// A pattern as it is typed.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Typed {
    cron: String,
    timezone: String,
}

/// `GET /schedules/preview`.
pub(crate) async fn preview(_: Reader, Query(typed): Query<Typed>) -> Answered {
    answer(&SchedulePreviewPart {
        preview: preview_of(&typed.cron, &typed.timezone),
    })
}

fn preview_of(cron: &str, zone: &str) -> SchedulePreview {
    if cron.trim().is_empty() {
        return SchedulePreview::Nothing;
    }
    let zone = if zone.trim().is_empty() {
        "UTC"
    } else {
        zone.trim()
    };
    match Timetable::new(cron.trim(), zone) {
        Ok(timetable) => {
            let times = timetable.upcoming(Timestamp::now(), UPCOMING);
            let shown = times.iter().map(|time| {
                let local = time.strftime("%a %-d %b %Y, %H:%M:%S %Z").to_string();
                (When(time.timestamp()), local)
            });
            SchedulePreview::Times(shown.collect())
        }
        Err(wrong) => SchedulePreview::Fault(sentence(&wrong.to_string())),
    }
}
