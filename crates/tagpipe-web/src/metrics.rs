//! Figures for Prometheus. What the requests are counts this process; everything else is taken from the database when it is
//! asked for, so that any number of services say the same.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabel, EncodeLabelSet, LabelSetEncoder};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use tagpipe_engine::{Timetable, run_status};
use tagpipe_store::StoreError;

use crate::guard::Reader;
use crate::problem::Problem;
use crate::state::App;

/// Labels in the order of their names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Labels<const N: usize>([(&'static str, String); N]);

impl<const N: usize> EncodeLabelSet for Labels<N> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), std::fmt::Error> {
        for (name, value) in &self.0 {
            (*name, value.as_str()).encode(encoder.encode_label())?;
        }
        Ok(())
    }
}

/// What is counted of the requests to this process.
pub(crate) struct Metrics {
    requests: Family<Labels<3>, Counter>,
    durations: Histogram,
    registry: Registry,
}

impl Default for Metrics {
    fn default() -> Metrics {
        let requests = Family::<Labels<3>, Counter>::default();
        let bounds = [
            0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
        ];
        let durations = Histogram::new(bounds);
        let mut registry = Registry::with_prefix("tagpipe");
        registry.register(
            "http_requests",
            "Requests answered, by route, method and status",
            requests.clone(),
        );
        registry.register_with_unit(
            "http_request_duration",
            "Time from a request to the beginning of its answer",
            Unit::Seconds,
            durations.clone(),
        );
        Metrics {
            requests,
            durations,
            registry,
        }
    }
}

/// Counts a request and its answer.
pub(crate) async fn counted(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let method = request.method().to_string();
    // The route and not the address: there are as many addresses as cards.
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("none", MatchedPath::as_str)
        .to_owned();
    let response = next.run(request).await;
    let labels = Labels([
        ("route", route),
        ("method", method),
        ("status", response.status().as_str().to_owned()),
    ]);
    app.metrics.requests.get_or_create(&labels).inc();
    app.metrics.durations.observe(began.elapsed().as_secs_f64());
    response
}

/// All figures, in the OpenMetrics text format.
pub(crate) async fn scraped(State(app): State<Arc<App>>, _: Reader) -> Result<Response, Problem> {
    let mut text = String::new();
    let unwritten = |_| {
        Problem::new(
            axum::http::StatusCode::INTERNAL_SERVER_ERROR,
            "the figures could not be written",
        )
    };
    let stored = of_the_database(&app).await?;
    encode(&mut text, &stored).map_err(unwritten)?;
    // Each registry ends with this mark; the whole has one.
    let text = text.trim_end().trim_end_matches("# EOF").to_owned();
    let mut whole = text;
    encode(&mut whole, &app.metrics.registry).map_err(unwritten)?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], whole).into_response())
}

async fn of_the_database(app: &App) -> Result<Registry, StoreError> {
    let store = app.store();
    let mut registry = Registry::with_prefix("tagpipe");
    let done = store.work_done().await?;
    for (name, help, value) in [
        (
            "pages_read",
            "Pages read whole, by all runs",
            done.pages_completed,
        ),
        ("pages_failed", "Pages given up, by all runs", done.pages_failed),
        (
            "requests",
            "Requests made to the site, by all runs",
            done.requests,
        ),
        (
            "retries",
            "Reads that were to be repeated, by all runs",
            done.retries,
        ),
        ("bytes", "Bytes received from the site, by all runs", done.bytes),
    ] {
        registry.register(name, help, ConstCounter::new(value));
    }
    runs(app, &mut registry).await?;
    let status = store.verified().await?;
    let share = Family::<Labels<1>, Gauge<f64, AtomicU64>>::default();
    let rows = Family::<Labels<1>, Gauge>::default();
    for (level, verified) in [("sets", &status.sets), ("cards", &status.cards)] {
        let labels = Labels([("level", level.to_owned())]);
        let all = verified.of.max(1) as f64;
        share.get_or_create(&labels).set(verified.verified as f64 / all);
        rows.get_or_create(&labels)
            .set(i64::try_from(verified.of).unwrap_or(i64::MAX));
    }
    registry.register(
        "verified_share",
        "Share of the stored rows whose sums agreed when last compared",
        share,
    );
    registry.register("catalogue_rows", "Rows that the site lists", rows);
    registry.register(
        "discrepancies_open",
        "Sums that do not agree",
        ConstGauge::new(i64::try_from(store.open_discrepancies().await?).unwrap_or(i64::MAX)),
    );
    let next = Family::<Labels<1>, Gauge<f64, AtomicU64>>::default();
    for schedule in store
        .schedules()
        .await?
        .into_iter()
        .filter(|one| one.plan.enabled)
    {
        let timetable = Timetable::new(&schedule.plan.cron, &schedule.plan.time_zone).ok();
        if let Some(time) = timetable.and_then(|timetable| timetable.next(Timestamp::now())) {
            next.get_or_create(&Labels([("schedule", schedule.plan.name)]))
                .set(time.as_second() as f64);
        }
    }
    registry.register_with_unit(
        "schedule_next_run_timestamp",
        "When a schedule's next run is planned, since 1970",
        Unit::Seconds,
        next,
    );
    registry.register(
        "event_streams",
        "Event streams open in this process",
        ConstGauge::new(i64::try_from(app.streams.open()).unwrap_or(i64::MAX)),
    );
    let build = Family::<Labels<1>, Gauge>::default();
    build
        .get_or_create(&Labels([("version", env!("CARGO_PKG_VERSION").to_owned())]))
        .set(1);
    registry.register("build_info", "The program's version", build);
    Ok(registry)
}

/// What is going on now.
async fn runs(app: &App, registry: &mut Registry) -> Result<(), StoreError> {
    let pages = Family::<Labels<1>, Gauge>::default();
    let runners = Gauge::<i64>::default();
    let (mut interval, mut brake, mut closures) = (0.0_f64, 0.0_f64, 0);
    let under_way = app.store().runs_under_way().await?;
    for run in &under_way {
        let Some(status) = run_status(app.store(), run.id).await? else {
            continue;
        };
        runners.inc_by(i64::try_from(status.alive).unwrap_or(i64::MAX));
        for level in &status.levels {
            for (state, number) in [
                ("open", level.open),
                ("completed", level.completed),
                ("unchanged", level.unchanged),
                ("failed", level.failed),
                ("skipped", level.skipped),
            ] {
                pages
                    .get_or_create(&Labels([("state", state.to_owned())]))
                    .inc_by(i64::try_from(number).unwrap_or(i64::MAX));
            }
        }
        interval = interval.max(status.interval_s);
        brake = brake.max(status.brake.extra.as_secs_f64());
        closures += status.brake.closures;
    }
    registry.register("frontier_pages", "Pages of the runs under way, by state", pages);
    registry.register("runners", "Runners at work", runners);
    registry.register(
        "run_under_way",
        "Runs under way",
        ConstGauge::new(i64::try_from(under_way.len()).unwrap_or(i64::MAX)),
    );
    registry.register_with_unit(
        "pace_interval",
        "The site's least interval between two requests",
        Unit::Seconds,
        ConstGauge::new(interval),
    );
    registry.register_with_unit(
        "brake",
        "What refusals have added to the interval",
        Unit::Seconds,
        ConstGauge::new(brake),
    );
    registry.register(
        "brake_closures",
        "How often the brake was closed",
        ConstCounter::new(closures),
    );
    Ok(())
}
