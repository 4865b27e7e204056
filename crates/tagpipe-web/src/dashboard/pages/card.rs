//! `/cards/{id}`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use tagpipe_store::browse::card::{Population, PopulationPoint, StoredGradeRow};
use tagpipe_store::browse::catalogue::Card;

use super::catalogue::{set_name, to_catalogue, to_category, to_set, to_year};
use crate::api::catalogue::{cursor, place};
use crate::api::kept::kept;
use crate::api::pages::Page;
use crate::dashboard::answer::{Answered, Path, Query, found, frame, page as answer};
use crate::dashboard::show::{Bar, Count};
use crate::dashboard::views::{CardPage, GradeBar, GradeRow, HistoryRow};
use crate::dashboard::words::{maybe_when, on_site, when};
use crate::guard::Reader;
use crate::state::App;

const ROWS: u32 = 50;
/// Points of the chart.
const POINTS: u32 = 1_000;
/// Changes in the table.
const CHANGES: usize = 50;
/// Grades with a line of their own.
const LINES: usize = 4;

/// What may stand in the address.
#[derive(Debug, Deserialize)]
pub(crate) struct Asked {
    /// The grade row that the page before ended with.
    after: Option<String>,
}

/// `GET /cards/{id}`.
pub(crate) async fn page(
    State(app): State<Arc<App>>,
    Reader(identity): Reader,
    Path(id): Path<i64>,
    Query(asked): Query<Asked>,
) -> Answered {
    let store = app.store();
    let card = found(store.card(id).await, &format!("card {id}"))?;
    let after = asked.after.as_deref().map(cursor).transpose()?;
    let rows = store.grade_rows_of(id, after, ROWS + 1).await?;
    let rows = Page::of(rows, ROWS, place);
    let points = store.population_history_of(Population::Card, id, POINTS).await?;
    let set = set_name(&card.set.brand, &card.set.name);
    let mut frame = frame(card.name.clone(), "catalogue", &identity);
    frame.has_chart = true;
    frame.crumbs = vec![
        to_catalogue(),
        to_category(card.category.id, &card.category.name),
        to_year(card.year.id, &card.year.year),
        to_set(card.set.id, &set),
    ];
    let site = app.site.as_ref();
    let top = card.counts.first();
    answer(&CardPage {
        frame,
        id,
        set_name: format!("{} {} {set}", card.category.name, card.year.year),
        site_url: on_site(site, &card.url),
        total: Count(card.total),
        top_grade: top.map(|top| format!("{} {}", top.grade_code, top.label).trim().to_owned()),
        top_count: Count(top.map_or(0, |top| top.copies)),
        read_at: maybe_when(card.seen.read_at.as_ref()),
        verified_at: maybe_when(card.verified_at.as_ref()),
        first_seen_at: when(&card.seen.first_seen_at),
        seen_at: when(&card.seen.last_seen_at),
        changed_at: when(&card.seen.changed_at),
        vanished_at: maybe_when(card.seen.vanished_at.as_ref()),
        grades: grade_bars(&card),
        history: changes(&points),
        rows: rows
            .items
            .into_iter()
            .map(|row| GradeRow {
                report_url: on_site(site, &row.report_url),
                ..grade_row(row)
            })
            .collect(),
        next: rows.next.map(|last| format!("/cards/{id}?after={last}#rows")),
        first: asked.after.map(|_| format!("/cards/{id}#rows")),
        number: card.number,
        name: card.name,
        variation: card.variation,
    })
}

fn grade_bars(card: &Card) -> Vec<GradeBar> {
    let most = card.counts.iter().map(|count| count.copies).max().unwrap_or(0);
    let bars = card.counts.iter().map(|count| GradeBar {
        code: count.grade_code.clone(),
        label: count.label.clone(),
        count: Count(count.copies),
        bar: Bar::new(
            most,
            &[("done", count.copies)],
            format!("{} copies", Count(count.copies)),
        ),
    });
    bars.collect()
}

fn grade_row(row: StoredGradeRow) -> GradeRow {
    let number = |number: Option<u64>| number.map(|number| Count(number).to_string()).unwrap_or_default();
    GradeRow {
        cert_number: row.cert_number,
        rank: number(row.rank),
        grade: if row.grade_text.is_empty() {
            format!("{} {}", row.grade_code, row.grade_label)
        } else {
            row.grade_text
        },
        score: number(row.score),
        completed_on: row.completed_on.unwrap_or_default(),
        report_url: None,
        vanished_at: maybe_when(row.vanished_at.as_ref()),
    }
}

/// What changed from point to point, newest first.
fn changes(points: &[PopulationPoint]) -> Vec<HistoryRow> {
    let before = std::iter::once(None).chain(points.iter().map(Some));
    let mut rows: Vec<HistoryRow> = points
        .iter()
        .zip(before)
        .map(|(point, before)| HistoryRow {
            at: when(&point.observed_at),
            total: Count(point.total),
            change: before.map_or_else(|| "first seen".into(), |before| change(before, point)),
        })
        .collect();
    rows.reverse();
    rows.truncate(CHANGES);
    rows
}

/// `10 +2, 9 -1`.
fn change(before: &PopulationPoint, after: &PopulationPoint) -> String {
    let copies = |point: &PopulationPoint, code: &str| {
        let count = point.counts.iter().find(|count| count.grade_code == code);
        count.map_or(0, |count| count.copies)
    };
    let gone = before
        .counts
        .iter()
        .filter(|count| copies(after, &count.grade_code) == 0);
    let parts: Vec<String> = after
        .counts
        .iter()
        .chain(gone)
        .filter_map(|count| {
            let code = count.grade_code.as_str();
            match (copies(before, code), copies(after, code)) {
                (old, new) if new > old => Some(format!("{code} +{}", Count(new - old))),
                (old, new) if new < old => Some(format!("{code} −{}", Count(old - new))),
                _ => None,
            }
        })
        .collect();
    parts.join(", ")
}

/// `GET /cards/{id}/history.json`.
pub(crate) async fn history(
    State(app): State<Arc<App>>,
    _: Reader,
    headers: HeaderMap,
    Path(id): Path<i64>,
) -> Answered {
    found(app.store().card(id).await, &format!("card {id}"))?;
    let points = app
        .store()
        .population_history_of(Population::Card, id, POINTS)
        .await?;
    Ok(kept(&headers, &chart(&points))?)
}

/// The lines: all copies, and those of the grades that have most. The last point reaches to today: what was seen then still
/// holds.
fn chart(points: &[PopulationPoint]) -> Json {
    let mut times: Vec<i64> = points
        .iter()
        .map(|point| when(&point.observed_at).0.as_second())
        .collect();
    let mut shown: Vec<&PopulationPoint> = points.iter().collect();
    if let Some(last) = points.last() {
        // To ten minutes, so that the answer can be kept.
        let now = Timestamp::now().as_second() / 600 * 600;
        if times.last().is_some_and(|time| *time < now) {
            times.push(now);
            shown.push(last);
        }
    }
    let mut series = vec![json!({
        "label": "All",
        "values": shown.iter().map(|point| point.total).collect::<Vec<_>>(),
    })];
    for code in fullest_grades(points) {
        let values: Vec<u64> = shown
            .iter()
            .map(|point| {
                let count = point.counts.iter().find(|count| count.grade_code == code);
                count.map_or(0, |count| count.copies)
            })
            .collect();
        series.push(json!({ "label": code, "values": values }));
    }
    json!({ "times": times, "series": series, "stepped": true })
}

fn fullest_grades(points: &[PopulationPoint]) -> Vec<&str> {
    let mut most: BTreeMap<&str, u64> = BTreeMap::new();
    for count in points.last().iter().flat_map(|point| &point.counts) {
        most.insert(&count.grade_code, count.copies);
    }
    let mut grades: Vec<_> = most.into_iter().collect();
    grades.sort_by_key(|(_, copies)| std::cmp::Reverse(*copies));
    grades.into_iter().take(LINES).map(|(code, _)| code).collect()
}
