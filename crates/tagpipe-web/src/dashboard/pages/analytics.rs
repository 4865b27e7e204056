//! `/analytics`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde::Deserialize;
use tagpipe_store::browse::analytics::{CategoryCoverage, ErrorCause, HourlyErrors};
use tagpipe_store::{Store, StoreError};

use crate::dashboard::answer::{Answered, Query, frame, page as answer};
use crate::dashboard::show::{Bar, Count, Lasting, Share};
use crate::dashboard::views::{AnalyticsPage, CauseRow, CoverageRow, HeatMap, RunCost, SpanLink};
use crate::dashboard::words::{maybe_when, when};
use crate::guard::Reader;
use crate::state::App;

/// Runs that are compared.
const RUNS: u32 = 6;
/// Spans to choose from: name, number of days.
const SPANS: [(&str, u32); 3] = [("24 hours", 1), ("7 days", 7), ("30 days", 30)];

/// What may stand in the address.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    /// Days to look back.
    days: Option<u32>,
}

/// `GET /analytics`.
pub(crate) async fn page(
    State(app): State<Arc<App>>,
    Reader(identity): Reader,
    Query(asked): Query<Asked>,
) -> Answered {
    let store = app.store();
    let known = asked
        .days
        .filter(|days| SPANS.iter().any(|(_, span)| span == days));
    let days = known.unwrap_or(7);
    let since = Duration::from_secs(u64::from(days) * 86_400);
    let runs = costs(store).await?;
    let causes = store.error_causes(since).await?;
    let saved = runs.iter().map(|run| run.left_out.0).sum();
    let read = runs.iter().map(|run| run.read.0).sum();
    let mut frame = frame("Analytics", "analytics", &identity);
    frame.has_chart = true;
    answer(&AnalyticsPage {
        frame,
        spans: SPANS
            .into_iter()
            .map(|(name, span)| SpanLink {
                name,
                href: format!("/analytics?days={span}"),
                is_shown: span == days,
            })
            .collect(),
        run_id: runs.first().map(|run| run.id),
        pages: Count(read),
        saved: Count(saved),
        saved_share: Share {
            part: saved,
            whole: saved + read,
        },
        retries: Count(causes.iter().map(|cause| cause.retries).sum()),
        failures: Count(causes.iter().map(|cause| cause.failures).sum()),
        runs,
        causes: cause_rows(&causes),
        coverage: store.coverage().await?.into_iter().map(coverage_row).collect(),
        heat: heat(&store.errors_by_hour(since).await?, days),
    })
}

async fn costs(store: &Store) -> Result<Vec<RunCost>, StoreError> {
    let mut costs = Vec::new();
    for run in store.saved_requests(RUNS).await? {
        let latency = store.latency(run.run_id).await?;
        let millis = |millis: u64| Lasting(Duration::from_millis(millis));
        costs.push(RunCost {
            id: run.run_id,
            started_at: when(&run.started_at),
            read: Count(run.read),
            left_out: Count(run.left_out),
            saved: Share {
                part: run.left_out,
                whole: run.left_out + run.read,
            },
            p50: millis(latency.p50_ms),
            p90: millis(latency.p90_ms),
            p99: millis(latency.p99_ms),
            max: millis(latency.max_ms),
        });
    }
    Ok(costs)
}

fn cause_rows(causes: &[ErrorCause]) -> Vec<CauseRow> {
    let most = causes
        .iter()
        .map(|cause| cause.retries + cause.failures)
        .max()
        .unwrap_or(0);
    let rows = causes.iter().map(|cause| CauseRow {
        cause: cause.cause.replace('_', " "),
        retries: Count(cause.retries),
        failures: Count(cause.failures),
        bar: Bar::new(
            most,
            &[("fail", cause.failures), ("again", cause.retries)],
            format!(
                "{} failures, {} retries",
                Count(cause.failures),
                Count(cause.retries)
            ),
        ),
    });
    rows.collect()
}

fn coverage_row(category: CategoryCoverage) -> CoverageRow {
    let all = category.cards_promised.max(category.cards_stored);
    let share = Share {
        part: category.cards_read,
        whole: all,
    };
    CoverageRow {
        id: category.category.id,
        bar: Bar::new(all, &[("done", category.cards_read)], format!("{share} read")),
        name: category.category.name,
        share,
        cards: Count(all),
        verified: Count(category.cards_verified),
        oldest_at: maybe_when(category.oldest_read_at.as_ref()),
        median_at: maybe_when(category.median_read_at.as_ref()),
    }
}

/// The entries of the last `days` days, those without any included.
fn heat(hours: &[HourlyErrors], days: u32) -> HeatMap {
    let mut counts: HashMap<&str, [u64; 24]> = HashMap::new();
    for hour in hours {
        let day = counts.entry(&hour.day).or_default();
        if let Some(count) = day.get_mut(usize::from(hour.hour)) {
            *count += hour.entries;
        }
    }
    let today = Timestamp::now().to_zoned_datetime(TimeZone::UTC).date();
    // A span of hours touches one day more than it has.
    let shown = (0..=days).rev().map(|back| {
        let day = today.saturating_sub(i64::from(back).days());
        let entries = counts.get(day.to_string().as_str()).copied().unwrap_or_default();
        (day.strftime("%a %-d %b").to_string(), entries)
    });
    HeatMap::new(&shown.collect::<Vec<_>>())
}
