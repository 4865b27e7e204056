//! Schedules: when runs begin.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tagpipe_engine::{RunOptions, Service, Timetable};
use tagpipe_store::{NewSchedule, Overlap, Schedule};
use utoipa::{IntoParams, ToSchema};

use super::asked::{Json, Path, Query};
use crate::guard::{Controller, Reader};
use crate::problem::Problem;
use crate::state::App;

/// Times shown in advance.
const UPCOMING: usize = 5;
const SECONDS_MAX: u32 = i32::MAX.unsigned_abs();

/// A schedule, and what comes of it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct ShownSchedule {
    /// The schedule.
    #[serde(flatten)]
    pub(crate) schedule: Schedule,
    /// Its next times; none if it is not enabled or cannot be read.
    pub(crate) upcoming: Vec<PlannedTime>,
    /// In words, or what is wrong with it.
    pub(crate) in_words: String,
}

/// A time to come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct PlannedTime {
    /// In UTC: `2026-11-29T02:00:00Z`.
    pub(crate) utc: String,
    /// On the zone's clocks: `2026-11-29T03:00:00+01:00`.
    pub(crate) local: String,
}

impl ShownSchedule {
    pub(crate) fn of(schedule: Schedule) -> ShownSchedule {
        let (upcoming, in_words) = match Timetable::new(&schedule.plan.cron, &schedule.plan.time_zone) {
            Ok(timetable) if schedule.plan.enabled => (planned(&timetable), timetable.in_words()),
            Ok(timetable) => (Vec::new(), timetable.in_words()),
            Err(wrong) => (Vec::new(), wrong.to_string()),
        };
        ShownSchedule {
            schedule,
            upcoming,
            in_words,
        }
    }
}

pub(crate) fn planned(timetable: &Timetable) -> Vec<PlannedTime> {
    let times = timetable.upcoming(Timestamp::now(), UPCOMING);
    times
        .iter()
        .map(|time| PlannedTime {
            utc: time.timestamp().to_string(),
            local: time.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
        })
        .collect()
}

/// A schedule to be written.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WantedSchedule {
    /// Its name, unique: 1 to 100 characters.
    #[schema(min_length = 1, max_length = 100)]
    pub(crate) name: String,
    /// Cron pattern of five fields, or six with seconds.
    #[schema(example = "0 3 * * SUN")]
    pub(crate) cron: String,
    /// IANA name of the time zone; `UTC` if not said.
    #[serde(default = "utc")]
    #[schema(example = "Europe/Berlin")]
    pub(crate) time_zone: String,
    /// Settings of its runs, as for `POST /runs`.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub(crate) options: RunOptions,
    /// Whether its times count; yes if not said.
    #[serde(default = "yes")]
    pub(crate) enabled: bool,
    /// Longest random delay of a beginning, in seconds.
    #[serde(default)]
    pub(crate) jitter_s: u32,
    /// What to do while a run is under way.
    #[serde(default)]
    pub(crate) overlap: Overlap,
    /// How long after a time that was missed it is still made up for, in seconds; 0 for never.
    #[serde(default)]
    pub(crate) catch_up_s: u32,
}

fn utc() -> String {
    "UTC".to_owned()
}

fn yes() -> bool {
    true
}

impl WantedSchedule {
    /// As it is stored, if all of it is right.
    pub(crate) fn checked(self, service: &Service) -> Result<NewSchedule, Problem> {
        let name = NewSchedule::name_of(&self.name).ok_or_else(|| {
            Problem::wrong(format!(
                "a schedule's name takes 1 to {} characters, without `/`",
                NewSchedule::NAME_MAX
            ))
        })?;
        for (key, seconds) in [("jitter_s", self.jitter_s), ("catch_up_s", self.catch_up_s)] {
            if seconds > SECONDS_MAX {
                return Err(Problem::wrong(format!(
                    "`{key}` is {seconds}; it takes 0 to {SECONDS_MAX}"
                )));
            }
        }
        Timetable::new(&self.cron, &self.time_zone).map_err(|wrong| Problem::wrong(wrong.to_string()))?;
        service.launcher().check(&self.options).map_err(Problem::wrong)?;
        Ok(NewSchedule {
            name: name.to_owned(),
            cron: self.cron,
            time_zone: self.time_zone,
            options: self.options.to_json(),
            enabled: self.enabled,
            jitter_s: self.jitter_s,
            overlap: self.overlap,
            catch_up_s: self.catch_up_s,
        })
    }
}

/// All schedules, by name
#[utoipa::path(get, path = "/api/v1/schedules", tag = "schedules",
    responses((status = 200, body = Vec<ShownSchedule>), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    _: Reader,
) -> Result<axum::Json<Vec<ShownSchedule>>, Problem> {
    let schedules = app.store().schedules().await?;
    Ok(axum::Json(schedules.into_iter().map(ShownSchedule::of).collect()))
}

/// Add a schedule
#[utoipa::path(post, path = "/api/v1/schedules", tag = "schedules", request_body = WantedSchedule,
    responses((status = 201, body = ShownSchedule, headers(("Location" = String))),
        (status = 409, description = "There is one of this name", body = Problem, content_type = "application/problem+json"),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn add(
    State(app): State<Arc<App>>,
    _: Controller,
    Json(wanted): Json<WantedSchedule>,
) -> Result<Response, Problem> {
    let plan = wanted.checked(&app.service)?;
    if !app.store().add_schedule(&plan).await? {
        return Err(Problem::conflict(format!("there is a schedule `{}`", plan.name)));
    }
    let name = percent_encoding::utf8_percent_encode(&plan.name, percent_encoding::NON_ALPHANUMERIC);
    let place = format!("/api/v1/schedules/{name}");
    let shown = known(&app, &plan.name).await?;
    Ok((
        StatusCode::CREATED,
        [(header::LOCATION, place)],
        axum::Json(shown),
    )
        .into_response())
}

/// One schedule
#[utoipa::path(get, path = "/api/v1/schedules/{name}", tag = "schedules", params(("name" = String, Path, description = "Its name")),
    responses((status = 200, body = ShownSchedule), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn one(
    State(app): State<Arc<App>>,
    _: Reader,
    Path(name): Path<String>,
) -> Result<axum::Json<ShownSchedule>, Problem> {
    Ok(axum::Json(known(&app, &name).await?))
}

/// Write a schedule, new or not
#[utoipa::path(put, path = "/api/v1/schedules/{name}", tag = "schedules", params(("name" = String, Path, description = "Its name")),
    request_body = WantedSchedule,
    responses((status = 200, body = ShownSchedule), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn put(
    State(app): State<Arc<App>>,
    _: Controller,
    Path(name): Path<String>,
    Json(wanted): Json<WantedSchedule>,
) -> Result<axum::Json<ShownSchedule>, Problem> {
    let plan = wanted.checked(&app.service)?;
    if plan.name != name {
        return Err(Problem::conflict(
            "the name in the path and the one in the body differ",
        ));
    }
    app.store().put_schedule(&plan, false).await?;
    Ok(axum::Json(known(&app, &name).await?))
}

/// Remove a schedule, and what it has ordered that was not begun
#[utoipa::path(delete, path = "/api/v1/schedules/{name}", tag = "schedules",
    params(("name" = String, Path, description = "Its name")),
    responses((status = 204, description = "It is removed"),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn remove(
    State(app): State<Arc<App>>,
    _: Controller,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    if app.store().remove_schedule(&name).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(missing(&name))
    }
}

/// A pattern to be tried.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Pattern {
    /// Cron pattern of five fields, or six with seconds.
    cron: String,
    /// IANA name of the time zone; `UTC` if not said.
    #[serde(default = "utc")]
    #[param(required = false)]
    time_zone: String,
}

/// What a pattern comes to.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Preview {
    /// In words.
    in_words: String,
    /// The next times.
    upcoming: Vec<PlannedTime>,
}

/// What a cron pattern means, and its next times
#[utoipa::path(get, path = "/api/v1/schedule-preview", tag = "schedules", params(Pattern),
    responses((status = 200, body = Preview), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn preview(
    _: Reader,
    Query(pattern): Query<Pattern>,
) -> Result<axum::Json<Preview>, Problem> {
    let timetable = Timetable::new(&pattern.cron, &pattern.time_zone)
        .map_err(|wrong| Problem::wrong(wrong.to_string()))?;
    Ok(axum::Json(Preview {
        in_words: timetable.in_words(),
        upcoming: planned(&timetable),
    }))
}

async fn known(app: &App, name: &str) -> Result<ShownSchedule, Problem> {
    let schedule = app.store().schedule(name).await?;
    schedule.map(ShownSchedule::of).ok_or_else(|| missing(name))
}

fn missing(name: &str) -> Problem {
    Problem::not_found(&format!("schedule `{name}`"))
}
