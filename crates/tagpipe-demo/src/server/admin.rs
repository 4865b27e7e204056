//! The admin address: the truth about the content, the requests received, and the settings.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures_util::stream;
use serde::Serialize;
use serde_json::Value;

use super::Shared;
use crate::config::DemoConfig;
use crate::truth::Summary;
use crate::world::{CategoryId, SetId, World};

/// Bytes gathered before a portion of lines is sent.
const PORTION: usize = 64 * 1024;
/// Requests that are read from the log at a time.
const REQUESTS_AT_ONCE: usize = 1000;

pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/truth/summary", get(summary))
        .route("/truth/{table}", get(truth))
        .route("/requests", get(requests).delete(forget_requests))
        .route("/settings", get(settings).put(change_settings))
        .with_state(shared)
}

async fn summary(State(shared): State<Arc<Shared>>) -> Json<Summary> {
    Json(shared.now().world.summary())
}

async fn truth(State(shared): State<Arc<Shared>>, Path(table): Path<String>) -> Response {
    let world = Arc::clone(&shared.now().world);
    let Some(table) = Table::named(&table) else {
        return (StatusCode::NOT_FOUND, "no such table\n").into_response();
    };
    let ledger = Ledger { table, next: 0 };
    let portions = stream::unfold((world, ledger), |(world, mut ledger)| async move {
        let lines = ledger.next_portion(&world)?;
        Some((
            Ok::<_, std::convert::Infallible>(Bytes::from(lines)),
            (world, ledger),
        ))
    });
    json_lines(Body::from_stream(portions))
}

async fn requests(State(shared): State<Arc<Shared>>) -> Response {
    let portions = stream::unfold(0, move |first| {
        let (records, next) = shared.log.portion(first, REQUESTS_AT_ONCE);
        let lines = (!records.is_empty()).then(|| {
            let mut lines = Vec::new();
            records.iter().for_each(|record| push_line(&mut lines, record));
            (Ok::<_, std::convert::Infallible>(Bytes::from(lines)), next)
        });
        std::future::ready(lines)
    });
    json_lines(Body::from_stream(portions))
}

async fn forget_requests(State(shared): State<Arc<Shared>>) -> StatusCode {
    shared.log.clear();
    StatusCode::NO_CONTENT
}

async fn settings(State(shared): State<Arc<Shared>>) -> Json<DemoConfig> {
    Json(shared.now().config.clone())
}

/// Takes the settings that are named and leaves the others as they are.
async fn change_settings(State(shared): State<Arc<Shared>>, Json(change): Json<Value>) -> Response {
    let changed = shared.change(|config| {
        let mut settings = serde_json::to_value(config)?;
        merge(&mut settings, change);
        serde_json::from_value::<DemoConfig>(settings)
    });
    match changed {
        Ok(config) => Json(config).into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    }
}

fn merge(into: &mut Value, change: Value) {
    match (into, change) {
        (Value::Object(into), Value::Object(change)) => {
            for (key, value) in change {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, change) => *into = change,
    }
}

fn json_lines(body: Body) -> Response {
    let mut response = Response::new(body);
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    response
}

fn push_line(lines: &mut Vec<u8>, row: &impl Serialize) {
    serde_json::to_writer(&mut *lines, row).expect("rows are JSON and memory takes them");
    lines.push(b'\n');
}

/// A table of the truth.
#[derive(Debug, Clone, Copy)]
enum Table {
    Categories,
    Years,
    Sets,
    Cards,
    GradeRows,
    Pages,
}

impl Table {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "categories" => Self::Categories,
            "years" => Self::Years,
            "sets" => Self::Sets,
            "cards" => Self::Cards,
            "grade_rows" => Self::GradeRows,
            "pages" => Self::Pages,
            _ => return None,
        })
    }
}

/// Writes one table's rows category by category or set by set, so that no table is ever held as a whole.
#[derive(Debug)]
struct Ledger {
    table: Table,
    next: usize,
}

impl Ledger {
    /// Lines of about [`PORTION`] bytes; none when the table has ended.
    fn next_portion(&mut self, world: &World) -> Option<Vec<u8>> {
        let mut lines = Vec::with_capacity(PORTION);
        while lines.len() < PORTION && self.push_section(world, &mut lines) {
            self.next += 1;
        }
        (!lines.is_empty()).then_some(lines)
    }

    fn push_section(&self, world: &World, lines: &mut Vec<u8>) -> bool {
        match self.table {
            Table::Categories | Table::Years | Table::Pages => {
                let category = world.categories().nth(self.next);
                category
                    .map(|category| self.push_category(world, category, lines))
                    .is_some()
            }
            Table::Sets | Table::Cards | Table::GradeRows => {
                let set = world.sets().nth(self.next);
                set.map(|set| self.push_set(world, set, lines)).is_some()
            }
        }
    }

    fn push_category(&self, world: &World, category: CategoryId, lines: &mut Vec<u8>) {
        match self.table {
            Table::Years => world
                .year_rows_of(category)
                .for_each(|row| push_line(lines, &row)),
            Table::Pages => {
                let root = (self.next == 0).then(|| world.root_page());
                root.into_iter()
                    .chain(world.page_rows_of(category))
                    .for_each(|row| push_line(lines, &row));
            }
            _ => push_line(lines, &world.category_row(category)),
        }
    }

    fn push_set(&self, world: &World, set: SetId, lines: &mut Vec<u8>) {
        match self.table {
            Table::Cards => world.card_rows_of(set).for_each(|row| push_line(lines, &row)),
            Table::GradeRows => world.grade_rows_of(set).for_each(|row| push_line(lines, &row)),
            _ => push_line(lines, &world.set_row(set)),
        }
    }
}
