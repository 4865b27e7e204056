//! In which order a run reads its pages: the one place that says it.
//!
//! There is one order, [`CLAIM_ORDER`], over two columns. `stale_since_us` is 0 for every page of a run that reads the deepest
//! first, so that the level decides; in a run with a budget it is the moment since which the page has probably been out of
//! date, by the core's [`staleness`](tagpipe_core::staleness), and decides first. It is set when a page is added by its
//! parent's commit ([`crate::frontier`]), and for all open pages when a run is begun or taken up (`Store::order`). What the
//! estimate needs is counted where rows are upserted ([`noted_when_seen`]) and where readings are noted.

use std::collections::HashMap;
use std::time::Duration;

use sea_orm::{ConnectionTrait, DatabaseTransaction, QueryResult};
use serde::Serialize;
use tagpipe_core::model::PageKind;
use tagpipe_core::staleness::{Observations, ReadingHistory, Signs};

use crate::connect::Store;
use crate::contract::{Ending, Finish, RunId};
use crate::dialect::{ColumnType, Dialect};
use crate::error::StoreError;
use crate::frontier::microseconds;
use crate::runs::RunSeeding;
use crate::subjects::{LONGEST_US, StoredSubject, source, stored_subject};

/// The order in which pages are claimed; the index `frontier_to_claim` has it.
pub(crate) const CLAIM_ORDER: &str = "stale_since_us, level DESC, id";

/// Pages whose place is computed at a time.
const CHUNK: i64 = 5_000;

/// What a run reads first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadingOrder {
    /// Deeper levels, so that the frontier stays small: for runs that read everything that is due.
    Deepest,
    /// What has been out of date longest, as far as can be expected: for runs with a budget.
    Stalest,
}

impl ReadingOrder {
    fn as_str(self) -> &'static str {
        match self {
            ReadingOrder::Deepest => "deepest",
            ReadingOrder::Stalest => "stalest",
        }
    }
}

impl Store {
    /// Decides what `run` reads first from now on, and gives all its open pages their places anew.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn order(&self, run: RunId, order: ReadingOrder) -> Result<(), StoreError> {
        let transaction = self.begin().await?;
        set_order(&transaction, self.dialect, run, order).await?;
        transaction.commit().await?;
        Ok(())
    }
}

impl RunSeeding {
    /// Decides what the run reads first, and gives the pages added so far their places.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn order(&mut self, order: ReadingOrder) -> Result<(), StoreError> {
        set_order(&self.transaction, self.dialect, self.run, order).await
    }

    /// Stored rows above the pages of `kind` that are due, were never read or are older than `max_age`, or all of them; of
    /// categories, which have no counters, always all. Those that the site no longer lists are not among them. By id, those
    /// after `after`, at most `limit`.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn due(
        &mut self,
        kind: PageKind,
        all: bool,
        max_age: Option<Duration>,
        after: i64,
        limit: u32,
    ) -> Result<Vec<StoredSubject>, StoreError> {
        let dialect = self.dialect;
        let (Some(source), Some(listed)) = (source(kind, dialect), still_listed(kind, dialect)) else {
            return Ok(Vec::new());
        };
        let due = match kind {
            PageKind::Years => "CAST($3 AS bigint) >= 0 AND CAST($4 AS bigint) >= 0".to_owned(),
            _ => format!(
                "(CAST($3 AS bigint) = 1 OR subject.changes <> subject.read_changes \
                  OR {read_at} < {now} - CAST($4 AS bigint))",
                read_at = dialect.as_us("subject.read_at"),
                now = dialect.now_us(),
            ),
        };
        let sql = format!(
            "SELECT {source} WHERE subject.id > $1 AND {due} AND {listed} ORDER BY subject.id LIMIT $2"
        );
        let values = [
            after.into(),
            i64::from(limit).into(),
            i64::from(all).into(),
            max_age.map_or(LONGEST_US, microseconds).into(),
        ];
        let rows = self
            .transaction
            .query_all_raw(dialect.statement(sql, values))
            .await?;
        rows.iter().map(stored_subject).collect()
    }
}

/// That the site still listed the subject when the page above it was last read.
fn still_listed(kind: PageKind, dialect: Dialect) -> Option<String> {
    const OF_SETS: &str = "(years.read_at IS NULL OR sets.last_seen_at >= years.read_at)";
    match kind {
        PageKind::Categories => None,
        // All categories of one reading have one time, give or take what tells two readings apart.
        PageKind::Years => Some(format!(
            "{} >= (SELECT max({}) FROM categories AS other) - 1000000",
            dialect.as_us("subject.last_seen_at"),
            dialect.as_us("other.last_seen_at"),
        )),
        PageKind::Sets => {
            Some("(categories.read_at IS NULL OR subject.last_seen_at >= categories.read_at)".to_owned())
        }
        PageKind::Cards => Some(OF_SETS.replace("sets.", "subject.")),
        PageKind::GradeRows => Some(format!(
            "(sets.read_at IS NULL OR subject.last_seen_at >= sets.read_at) AND {OF_SETS}"
        )),
    }
}

async fn set_order(
    transaction: &DatabaseTransaction,
    dialect: Dialect,
    run: RunId,
    order: ReadingOrder,
) -> Result<(), StoreError> {
    let values = [run.into(), order.as_str().into()];
    transaction
        .execute_raw(dialect.statement("UPDATE runs SET reading_order = $2 WHERE id = $1", values))
        .await?;
    if order == ReadingOrder::Deepest {
        let forget = "UPDATE frontier SET stale_since_us = 0 \
                      WHERE run_id = $1 AND state IN ('available', 'retryable') AND stale_since_us <> 0";
        transaction
            .execute_raw(dialect.statement(forget, [run.into()]))
            .await?;
        return Ok(());
    }
    place_categories(transaction, dialect, run).await?;
    for kind in PageKind::ALL {
        if let Some(source) = Source::of(kind) {
            place(transaction, dialect, run, kind, &source).await?;
        }
    }
    Ok(())
}

/// The page of the categories has no row above it: it is as old as the rows on it. New categories are rare; whatever else
/// changes is found by the pages of those that are known.
async fn place_categories(
    transaction: &DatabaseTransaction,
    dialect: Dialect,
    run: RunId,
) -> Result<(), StoreError> {
    let sql = format!(
        "SELECT (SELECT id FROM frontier WHERE run_id = $1 AND level = 0 AND state IN ('available', 'retryable') LIMIT 1) \
             AS page_id, {} AS now_us, (SELECT max({}) FROM categories) AS tried_us",
        dialect.now_us(),
        dialect.as_us("last_seen_at"),
    );
    let rows = transaction
        .query_all_raw(dialect.statement(sql, [run.into()]))
        .await?;
    let Some(row) = rows.first() else { return Ok(()) };
    let Some(page_id) = row.try_get::<Option<i64>>("", "page_id")? else {
        return Ok(());
    };
    let history = ReadingHistory {
        tried_us: row.try_get("", "tried_us")?,
        signs: Signs::Quiet,
        seen: Observations::default(),
    };
    let stale_since_us = history.stale_since_us(&Observations::default(), row.try_get("", "now_us")?);
    write_places(
        transaction,
        dialect,
        &[Place {
            page_id,
            stale_since_us,
        }],
    )
    .await
}

/// Where the rows above the pages of a level are, and which of them are siblings: those of one category.
struct Source {
    tables: &'static str,
    group: &'static str,
}

impl Source {
    fn of(kind: PageKind) -> Option<Source> {
        let (tables, group) = match kind {
            PageKind::Categories => return None,
            PageKind::Years => ("categories AS subject", "CAST(0 AS bigint)"),
            PageKind::Sets => ("years AS subject", "subject.category_id"),
            PageKind::Cards => (
                "sets AS subject JOIN years ON years.id = subject.year_id",
                "years.category_id",
            ),
            PageKind::GradeRows => (
                "cards AS subject JOIN sets ON sets.id = subject.set_id JOIN years ON years.id = sets.year_id",
                "years.category_id",
            ),
        };
        Some(Source { tables, group })
    }
}

/// Gives the open pages of a level their places, by portions: of a million pages no list is kept.
async fn place(
    transaction: &DatabaseTransaction,
    dialect: Dialect,
    run: RunId,
    kind: PageKind,
    source: &Source,
) -> Result<(), StoreError> {
    let Source { tables, group } = source;
    let sql = format!(
        "SELECT page.id AS page_id, {group} AS siblings, {history} FROM frontier AS page \
             JOIN {tables_of_page} WHERE page.run_id = $1 AND page.level = $2 AND page.state IN ('available', 'retryable') \
                 AND page.id > $3 ORDER BY page.id LIMIT $4",
        history = history_columns(dialect, kind, "subject."),
        tables_of_page = tables.replacen("AS subject", "AS subject ON subject.id = page.subject_id", 1),
    );
    let (mut after, mut siblings): (i64, _) = (0, None);
    loop {
        let values = [
            run.into(),
            i64::from(kind.level()).into(),
            after.into(),
            CHUNK.into(),
        ];
        let rows = transaction
            .query_all_raw(dialect.statement(sql.as_str(), values))
            .await?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = last.try_get("", "page_id")?;
        let siblings = match &siblings {
            Some(known) => known,
            None => siblings.insert(observations_by_category(transaction, dialect, kind, source).await?),
        };
        let mut places = Vec::with_capacity(rows.len());
        for row in &rows {
            let group: i64 = row.try_get("", "siblings")?;
            let looks = Looks::of(row)?;
            places.push(Place {
                page_id: row.try_get("", "page_id")?,
                stale_since_us: looks.stale_since_us(&siblings.get(&group).copied().unwrap_or_default()),
            });
        }
        write_places(transaction, dialect, &places).await?;
    }
}

async fn observations_by_category(
    transaction: &DatabaseTransaction,
    dialect: Dialect,
    kind: PageKind,
    Source { tables, group }: &Source,
) -> Result<HashMap<i64, Observations>, StoreError> {
    let [intervals, changed, span_us] = seen_columns(dialect, kind, "subject.");
    let sql = format!(
        "SELECT {group} AS siblings, {} AS seen_intervals, {} AS seen_changed, {} AS seen_span_s FROM {tables} GROUP BY 1",
        dialect.sum(&intervals),
        dialect.sum(&changed),
        dialect.sum(&format!("({span_us}) / 1000000")),
    );
    let rows = transaction.query_all_raw(dialect.statement(sql, [])).await?;
    rows.iter()
        .map(|row| {
            let span_s: i64 = row.try_get("", "seen_span_s")?;
            let seen = Observations {
                intervals: number(row, "seen_intervals")?,
                changed: number(row, "seen_changed")?,
                span_us: span_s as f64 * 1e6,
            };
            Ok((row.try_get("", "siblings")?, seen))
        })
        .collect()
}

#[derive(Serialize)]
struct Place {
    page_id: i64,
    stale_since_us: i64,
}

async fn write_places(
    transaction: &DatabaseTransaction,
    dialect: Dialect,
    places: &[Place],
) -> Result<(), StoreError> {
    let sql = format!(
        "UPDATE frontier SET stale_since_us = r.stale_since_us FROM {} \
         WHERE frontier.id = r.page_id AND frontier.state IN ('available', 'retryable')",
        dialect.rows(&[("page_id", ColumnType::Int), ("stale_since_us", ColumnType::Int)]),
    );
    transaction
        .execute_raw(dialect.statement(sql, [dialect.json_rows(places)]))
        .await?;
    Ok(())
}

/// What is stored of the looks at a page, and the database's time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Looks {
    pub(crate) history: ReadingHistory,
    now_us: i64,
}

impl Looks {
    /// Of a row with [`history_columns`].
    pub(crate) fn of(row: &QueryResult) -> Result<Looks, StoreError> {
        let (after_us, by_us): (Option<i64>, Option<i64>) =
            (row.try_get("", "after_us")?, row.try_get("", "by_us")?);
        let is_due: i64 = row.try_get("", "is_due")?;
        let signs = match (is_due, after_us, by_us) {
            (0, ..) => Signs::Quiet,
            (1, Some(after_us), Some(by_us)) => Signs::Changed { after_us, by_us },
            _ => Signs::Distrusted,
        };
        let span_us: i64 = row.try_get("", "seen_span_us")?;
        Ok(Looks {
            history: ReadingHistory {
                tried_us: row.try_get("", "tried_us")?,
                signs,
                seen: Observations {
                    intervals: number(row, "seen_intervals")?,
                    changed: number(row, "seen_changed")?,
                    span_us: span_us as f64,
                },
            },
            now_us: row.try_get("", "now_us")?,
        })
    }

    pub(crate) fn stale_since_us(&self, siblings: &Observations) -> i64 {
        self.history.stale_since_us(siblings, self.now_us)
    }
}

fn number(row: &QueryResult, column: &str) -> Result<u64, StoreError> {
    let value: i64 = row.try_get("", column)?;
    Ok(u64::try_from(value).unwrap_or(0))
}

/// The columns that [`Looks::of`] reads, of a row above the pages of `kind`; `prefix` is that of the row's table.
pub(crate) fn history_columns(dialect: Dialect, kind: PageKind, prefix: &str) -> String {
    let [intervals, changed, span_us] = seen_columns(dialect, kind, prefix);
    let signs = match kind {
        // Their rows show no counters.
        PageKind::Categories | PageKind::Years => {
            "CAST(0 AS bigint) AS is_due, CAST(NULL AS bigint) AS after_us, CAST(NULL AS bigint) AS by_us"
                .to_owned()
        }
        _ => format!(
            "CAST(CASE WHEN {prefix}changes = {prefix}read_changes THEN 0 WHEN {prefix}read_changes = -1 THEN 2 ELSE 1 END \
                 AS bigint) AS is_due, {after} AS after_us, {by} AS by_us",
            after = dialect.as_us(&format!("{prefix}same_until")),
            by = dialect.as_us(&format!("{prefix}differs_since")),
        ),
    };
    format!(
        "{intervals} AS seen_intervals, {changed} AS seen_changed, {span_us} AS seen_span_us, {signs}, \
         {tried} AS tried_us, {now} AS now_us",
        tried = dialect.as_us(&format!("{prefix}tried_at")),
        now = dialect.now_us(),
    )
}

/// Intervals between looks, those that showed a change, and their sum in microseconds: expressions over a row above the pages
/// of `kind`.
fn seen_columns(dialect: Dialect, kind: PageKind, prefix: &str) -> [String; 3] {
    let last = match kind {
        PageKind::Categories | PageKind::Years => "tried_at",
        _ => "last_seen_at",
    };
    [
        format!("{prefix}seen_times - 1"),
        format!("{prefix}changes - 1"),
        format!(
            "coalesce({} - {}, 0)",
            dialect.as_us(&format!("{prefix}{last}")),
            dialect.as_us(&format!("{prefix}first_seen_at"))
        ),
    ]
}

/// What an upsert notes in a row that is seen again: that it was, and, if it shows for the first time something else than when
/// its page was read, between which two looks that happened. `differs` says whether it shows something else than before.
pub(crate) fn noted_when_seen(dialect: Dialect, differs: &str) -> String {
    let becomes_due = format!("{differs} AND stored.changes = stored.read_changes");
    format!(
        "seen_times = stored.seen_times + 1, \
         same_until = CASE WHEN {becomes_due} THEN stored.last_seen_at ELSE stored.same_until END, \
         differs_since = CASE WHEN {becomes_due} THEN {seen} ELSE stored.differs_since END",
        seen = dialect.seen(),
    )
}

/// Notes that the pages of categories were read, or given up. Before their rows are written: what was seen on a page is
/// never older than its reading.
pub(crate) async fn note_tried_categories(
    transaction: &DatabaseTransaction,
    dialect: Dialect,
    accepted: &[&Finish],
) -> Result<(), StoreError> {
    #[derive(Serialize)]
    struct Row {
        id: i64,
        is_read: u8,
    }
    let rows: Vec<Row> = accepted
        .iter()
        .filter(|one| one.lease.kind == PageKind::Years)
        .filter_map(|one| {
            let is_read = match &one.ending {
                Ending::Completed { .. } => 1,
                Ending::Failed { .. } => 0,
                _ => return None,
            };
            Some(Row {
                id: one.lease.subject_id?,
                is_read,
            })
        })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "UPDATE categories SET tried_at = {now}, read_at = CASE WHEN r.is_read = 1 THEN {now} ELSE categories.read_at END, \
             seen_times = categories.seen_times + r.is_read \
         FROM {source} WHERE categories.id = r.id",
        now = dialect.statement_time(),
        source = dialect.rows(&[("id", ColumnType::Int), ("is_read", ColumnType::Int)]),
    );
    transaction
        .execute_raw(dialect.statement(sql, [dialect.json_rows(&rows)]))
        .await?;
    Ok(())
}

/// Notes which categories' pages showed something else than before; at their first reading that says nothing.
pub(crate) async fn note_changed_categories(
    transaction: &DatabaseTransaction,
    dialect: Dialect,
    changed: impl Iterator<Item = i64>,
) -> Result<(), StoreError> {
    #[derive(Serialize)]
    struct Row {
        id: i64,
    }
    let rows: Vec<Row> = changed.map(|id| Row { id }).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "UPDATE categories SET changes = categories.changes + 1 FROM {} \
         WHERE categories.id = r.id AND categories.seen_times > 1",
        dialect.rows(&[("id", ColumnType::Int)]),
    );
    transaction
        .execute_raw(dialect.statement(sql, [dialect.json_rows(&rows)]))
        .await?;
    Ok(())
}
