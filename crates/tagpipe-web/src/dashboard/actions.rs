//! What forms do. Each is answered by a redirect, so that nothing is done twice when a page is loaded again; a form with a
//! fault is shown again with what was written in it.

use std::sync::Arc;
use std::time::Duration;

use axum::Form;
use axum::body::Body;
use axum::extract::{FromRequest, Request as HttpRequest, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use tagpipe_engine::{JobRequest, Request, RunOptions, run_status};
use tagpipe_store::contract::RunId;
use tagpipe_store::retry::RetryFilter;
use tagpipe_store::{JobKind, Ordered, Overlap, Schedule, Steering};

use super::answer::{Answered, Failure, Path, Steerer, found, order_fault, sentence, with_status};
use super::pages::login::ours;
use super::pages::{data, overview, schedules};
use super::views::{ExportForm, LoginPage, RunForm, ScheduleForm};
use crate::api::schedules::WantedSchedule;
use crate::guard::{COOKIE, Identity};
use crate::problem::Problem;
use crate::state::App;

/// How long a form that starts a run waits for the run's number.
const BEGUN_WITHIN: Duration = Duration::from_secs(3);
/// How long a browser stays signed in, in seconds: thirty days.
const SIGNED_IN_S: u32 = 30 * 86_400;
/// The longest token that is looked at.
const TOKEN_MAX: usize = 512;

/// What is sent to sign in.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Credentials {
    token: String,
    next: String,
}

/// `POST /actions/login`.
pub(crate) async fn log_in(State(app): State<Arc<App>>, request: HttpRequest) -> Answered {
    let (parts, body) = request.into_parts();
    let asking = HttpRequest::from_parts(parts.clone(), Body::empty());
    let Form(sent) = Form::<Credentials>::from_request(HttpRequest::from_parts(parts, body), &app)
        .await
        .map_err(|error| Problem::new(error.status(), error.body_text()))?;
    let token = sent.token.trim();
    // What cannot stand in a cookie is no token of ours.
    let is_plain = token.len() <= TOKEN_MAX
        && token
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b";,\"\\".contains(&byte));
    let known = match is_plain && !token.is_empty() {
        true => app.guard.identify(token).await?,
        false => None,
    };
    if known.is_none() {
        app.limits.wrong_token(&asking).map_err(Problem::too_many)?;
        return with_status(
            StatusCode::UNPROCESSABLE_ENTITY,
            &LoginPage {
                next: ours(&sent.next),
                fault: Some("This token is not known, or it was revoked.".into()),
            },
        );
    }
    let cookie = cookie(token, SIGNED_IN_S, is_encrypted(&app, asking.headers()))?;
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to(&ours(&sent.next))).into_response())
}

/// `POST /actions/logout`.
pub(crate) async fn log_out(State(app): State<Arc<App>>, headers: HeaderMap) -> Answered {
    let cookie = cookie("", 0, is_encrypted(&app, &headers))?;
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to("/login")).into_response())
}

/// Whether the browser talks HTTPS, to us or to a proxy before us. Whoever lies about it keeps a cookie from themselves.
fn is_encrypted(app: &App, headers: &HeaderMap) -> bool {
    let by_proxy = headers.get("x-forwarded-proto");
    app.is_encrypted || by_proxy.is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"https"))
}

fn cookie(token: &str, seconds: u32, is_encrypted: bool) -> Result<HeaderValue, Problem> {
    let secure = if is_encrypted { "; Secure" } else { "" };
    HeaderValue::from_str(&format!(
        "{COOKIE}={token}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}"
    ))
    .map_err(|_| Problem::wrong("the token cannot be kept"))
}

/// What is sent to start a run.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct StartForm {
    categories: String,
    years: String,
    sets: String,
    cards: String,
    max_pages: String,
    runners: String,
    when_busy: String,
    full: bool,
}

/// `POST /actions/runs`.
pub(crate) async fn start(
    State(app): State<Arc<App>>,
    Steerer(identity): Steerer,
    Form(sent): Form<StartForm>,
) -> Answered {
    let mut options = RunOptions::default();
    options.set("categories", &sent.categories);
    options.set("year_filter", &sent.years);
    options.set("set_filter", &sent.sets);
    options.set("card_filter", &sent.cards);
    options.set("max_pages", &sent.max_pages);
    options.set("num_runners", &sent.runners);
    options.set("full", if sent.full { "true" } else { "" });
    let request = Request {
        options,
        when_busy: Overlap::from_name(&sent.when_busy).unwrap_or(Overlap::Queue),
        idempotency_key: None,
        by: identity.name.clone(),
    };
    let order = match app.service.order(request).await {
        Ok(Ordered::Order { order, .. }) => order,
        Ok(Ordered::KeyInUse) => return Err(tagpipe_engine::OrderError::KeyInUse.into()),
        Err(error) => {
            let fault = order_fault(error)?;
            let view = overview::view(&app, &identity, sent.shown(fault)).await?;
            return with_status(StatusCode::UNPROCESSABLE_ENTITY, &view);
        }
    };
    let order = app.service.begun(order.id, BEGUN_WITHIN).await?.unwrap_or(*order);
    Ok(match order.run {
        Some(run) => to(&format!("/runs/{run}?done=started")),
        None => to("/?done=ordered"),
    })
}

impl StartForm {
    fn shown(self, fault: String) -> RunForm {
        RunForm {
            is_open: true,
            categories: self.categories,
            years: self.years,
            sets: self.sets,
            cards: self.cards,
            full: self.full,
            max_pages: self.max_pages,
            runners: self.runners,
            when_busy: self.when_busy,
            fault: Some(fault),
        }
    }
}

/// `POST /actions/runs/{run}/pause`.
pub(crate) async fn pause(
    State(app): State<Arc<App>>,
    Steerer(identity): Steerer,
    Path(run): Path<RunId>,
) -> Answered {
    steer(&app, &identity, run, Steering::Pause, "paused").await
}

/// `POST /actions/runs/{run}/resume`.
pub(crate) async fn resume(
    State(app): State<Arc<App>>,
    Steerer(identity): Steerer,
    Path(run): Path<RunId>,
) -> Answered {
    let status = found(run_status(app.store(), run).await, &format!("run {run}"))?;
    if status.run.state == "interrupted" {
        app.service.go_on(run, &identity.name).await?;
        return Ok(to(&format!("/runs/{run}?done=resumed")));
    }
    steer(&app, &identity, run, Steering::Go, "resumed").await
}

/// `POST /actions/runs/{run}/stop`.
pub(crate) async fn stop(
    State(app): State<Arc<App>>,
    Steerer(identity): Steerer,
    Path(run): Path<RunId>,
) -> Answered {
    steer(&app, &identity, run, Steering::Stop, "stopping").await
}

async fn steer(app: &App, identity: &Identity, run: RunId, wanted: Steering, done: &str) -> Answered {
    found(app.store().run_overview(run).await, &format!("run {run}"))?;
    if app.service.steer(run, wanted, &identity.name).await? {
        Ok(to(&format!("/runs/{run}?done={done}")))
    } else {
        Err(Problem::conflict(format!("run {run} is not under way, or it is stopping")).into())
    }
}

/// Which failed pages are wanted.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct RetryForm {
    /// Key of the one page; empty for all.
    page: String,
}

/// `POST /actions/runs/{run}/retry`.
pub(crate) async fn retry(
    State(app): State<Arc<App>>,
    Steerer(identity): Steerer,
    Path(run): Path<RunId>,
    Form(sent): Form<RetryForm>,
) -> Answered {
    found(app.store().run_overview(run).await, &format!("run {run}"))?;
    let filter = RetryFilter {
        page_key: (!sent.page.is_empty()).then_some(sent.page),
        ..RetryFilter::default()
    };
    let (pages, _) = app.service.retry(run, &filter, &identity.name).await?;
    let done = if pages == 0 { "nothing" } else { "retried" };
    Ok(to(&format!("/runs/{run}?done={done}")))
}

/// `POST /actions/orders/{order}/cancel`.
pub(crate) async fn cancel(
    State(app): State<Arc<App>>,
    Steerer(identity): Steerer,
    Path(order): Path<i64>,
) -> Answered {
    if app.store().cancel_order(order, &identity.name).await? {
        Ok(to("/?done=cancelled"))
    } else {
        Err(Problem::conflict("the run has begun; a run is stopped, not taken back").into())
    }
}

/// What is sent to order an export.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct NewExportForm {
    name: String,
    table: String,
    categories: String,
    years: String,
    sets: String,
    changed_since: String,
    current: bool,
}

/// `POST /actions/exports`.
pub(crate) async fn order_export(
    State(app): State<Arc<App>>,
    Steerer(identity): Steerer,
    Form(sent): Form<NewExportForm>,
) -> Answered {
    let mut options = RunOptions::default();
    options.set("name", &sent.name);
    options.set("table", &sent.table);
    options.set("categories", &sent.categories);
    options.set("year_filter", &sent.years);
    options.set("set_filter", &sent.sets);
    options.set("changed_since", &sent.changed_since);
    options.set("current", if sent.current { "true" } else { "" });
    let request = job_request(JobKind::Export, options, &identity);
    if let Err(error) = app.service.order_job(request).await {
        let fault = order_fault(error)?;
        let view = data::view(&app, &identity, sent.shown(fault)).await?;
        return with_status(StatusCode::UNPROCESSABLE_ENTITY, &view);
    }
    Ok(to("/data?done=exporting"))
}

impl NewExportForm {
    fn shown(self, fault: String) -> ExportForm {
        ExportForm {
            is_open: true,
            name: self.name,
            table: self.table,
            categories: self.categories,
            years: self.years,
            sets: self.sets,
            changed_since: self.changed_since,
            current: self.current,
            fault: Some(fault),
        }
    }
}

/// `POST /actions/backups`.
pub(crate) async fn order_backup(State(app): State<Arc<App>>, Steerer(identity): Steerer) -> Answered {
    let request = job_request(JobKind::Backup, RunOptions::default(), &identity);
    app.service.order_job(request).await?;
    Ok(to("/data?done=backing-up"))
}

fn job_request(kind: JobKind, options: RunOptions, identity: &Identity) -> JobRequest {
    JobRequest {
        kind,
        options,
        idempotency_key: None,
        by: identity.name.clone(),
    }
}

/// `POST /actions/jobs/{job}/cancel`.
pub(crate) async fn cancel_job(
    State(app): State<Arc<App>>,
    Steerer(identity): Steerer,
    Path(job): Path<i64>,
) -> Answered {
    if app.store().cancel_job(job, &identity.name).await? {
        Ok(to("/data?done=taken-back"))
    } else {
        Err(Problem::conflict("the job has begun, or is over").into())
    }
}

/// What is sent to add a schedule.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct NewScheduleForm {
    name: String,
    cron: String,
    timezone: String,
    overlap: String,
    jitter: String,
    catch_up: String,
    categories: String,
    runners: String,
    max_pages: String,
    full: bool,
}

/// `POST /actions/schedules`.
pub(crate) async fn add_schedule(
    State(app): State<Arc<App>>,
    Steerer(identity): Steerer,
    Form(sent): Form<NewScheduleForm>,
) -> Answered {
    let fault = match sent.wanted().and_then(|wanted| wanted.checked(&app.service)) {
        Ok(plan) if app.store().add_schedule(&plan).await? => return Ok(to("/schedules?done=added")),
        Ok(plan) => format!("There is a schedule “{}” already.", plan.name),
        Err(problem) if problem.status() == StatusCode::UNPROCESSABLE_ENTITY => sentence(&problem.detail),
        Err(problem) => return Err(problem.into()),
    };
    let view = schedules::view(&app, &identity, sent.shown(fault)).await?;
    with_status(StatusCode::UNPROCESSABLE_ENTITY, &view)
}

impl NewScheduleForm {
    fn wanted(&self) -> Result<WantedSchedule, Problem> {
        let mut options = RunOptions::default();
        options.set("categories", &self.categories);
        options.set("num_runners", &self.runners);
        options.set("max_pages", &self.max_pages);
        options.set("full", if self.full { "true" } else { "" });
        let zone = self.timezone.trim();
        Ok(WantedSchedule {
            name: self.name.clone(),
            cron: self.cron.trim().to_owned(),
            time_zone: if zone.is_empty() { "UTC" } else { zone }.to_owned(),
            options,
            enabled: true,
            jitter_s: seconds(&self.jitter, "jitter")?,
            overlap: match self.overlap.as_str() {
                "" => Overlap::default(),
                name => Overlap::from_name(name).ok_or_else(|| {
                    Problem::wrong(format!(
                        "`{name}` is no rule for overlaps; it takes skip, queue or stop"
                    ))
                })?,
            },
            catch_up_s: seconds(&self.catch_up, "time to catch up within")?,
        })
    }

    fn shown(self, fault: String) -> ScheduleForm {
        ScheduleForm {
            is_open: true,
            name: self.name,
            cron: self.cron,
            zone: self.timezone,
            overlap: self.overlap,
            jitter: self.jitter,
            catch_up: self.catch_up,
            categories: self.categories,
            runners: self.runners,
            max_pages: self.max_pages,
            full: self.full,
            fault: Some(fault),
        }
    }
}

fn seconds(text: &str, what: &str) -> Result<u32, Problem> {
    match text.trim() {
        "" => Ok(0),
        number => number
            .parse()
            .map_err(|_| Problem::wrong(format!("the {what} is a number of seconds, not “{number}”"))),
    }
}

/// `POST /actions/schedules/{id}/enable`.
pub(crate) async fn enable_schedule(
    State(app): State<Arc<App>>,
    _: Steerer,
    Path(id): Path<i64>,
) -> Answered {
    let name = changeable(&app, id).await?;
    app.store().enable_schedule(&name, true).await?;
    Ok(to("/schedules?done=enabled"))
}

/// `POST /actions/schedules/{id}/disable`.
pub(crate) async fn disable_schedule(
    State(app): State<Arc<App>>,
    _: Steerer,
    Path(id): Path<i64>,
) -> Answered {
    let name = changeable(&app, id).await?;
    app.store().enable_schedule(&name, false).await?;
    Ok(to("/schedules?done=disabled"))
}

/// `POST /actions/schedules/{id}/remove`.
pub(crate) async fn remove_schedule(
    State(app): State<Arc<App>>,
    _: Steerer,
    Path(id): Path<i64>,
) -> Answered {
    let name = changeable(&app, id).await?;
    app.store().remove_schedule(&name).await?;
    Ok(to("/schedules?done=removed"))
}

/// The name of the schedule of this number, if it can be changed here.
async fn changeable(app: &App, id: i64) -> Result<String, Failure> {
    let schedules = app.store().schedules().await?;
    let known: Option<Schedule> = schedules.into_iter().find(|schedule| schedule.id == id);
    match known {
        Some(schedule) if schedule.from_settings => {
            Err(Problem::conflict("this schedule is set by `PIPELINE_SCHEDULE`; change it there").into())
        }
        Some(schedule) => Ok(schedule.plan.name),
        None => Err(Problem::not_found(&format!("schedule {id}")).into()),
    }
}

fn to(place: &str) -> Response {
    Redirect::to(place).into_response()
}
