//! Rows of the report, upserted by natural key: a repeat changes nothing but `last_seen_at`.
//!
//! Each level is one statement for any number of pages. `changed_at` moves only when a value does, so that
//! comparing it with `last_seen_at` in the same statement tells new, changed and same apart.

use std::collections::HashMap;

use sea_orm::{ConnectionTrait, DatabaseTransaction, QueryResult};
use serde::Serialize;
use tagpipe_core::model::{
    CardRow, CategoryRow, Counts, GradeRow, PageKind, SetRow, YearRow, bounded_key, fold_name,
};

use crate::contract::{RowCounts, RunId};
use crate::dialect::{ColumnType, Columns, Dialect};
use crate::doubt::{MovingCertificate, doubt_former_cards};
use crate::error::StoreError;
use crate::listing::{self, Listed};
use crate::reading_order::{Looks, history_columns, noted_when_seen};

/// Rows of one level, gathered from all pages of a group commit: `parent` is the id of the row they belong
/// to (0 for categories), `url` the path of the page each leads to.
pub(crate) struct Gathered<'a, T> {
    pub(crate) parent: i64,
    pub(crate) url: &'a str,
    pub(crate) row: &'a T,
}

/// A row as it is stored after its upsert.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StoredRow {
    pub(crate) id: i64,
    /// How often it has shown something else; `None` for categories, which show nothing.
    pub(crate) changes: Option<i64>,
    /// How long ago its page was read whole, in microseconds, if it has shown the same since.
    pub(crate) read_age_us: Option<i64>,
    /// Whether it is new, or other than before.
    pub(crate) moved: bool,
    /// How its page was read and changed so far.
    pub(crate) looks: Looks,
}

/// Stored rows by parent and natural key, and what became of them.
#[derive(Debug, Default)]
pub(crate) struct Upserted {
    rows: HashMap<(i64, String), StoredRow>,
    pub(crate) counts: RowCounts,
}

impl Upserted {
    pub(crate) fn row(&self, parent: i64, key: &str) -> Result<StoredRow, StoreError> {
        self.rows
            .get(&(parent, key.to_owned()))
            .copied()
            .ok_or_else(|| StoreError::Bug(format!("an upsert returned no id for `{key}`")))
    }
}

/// What makes a row of the report storable: its natural key among its siblings.
pub(crate) trait NaturalKey {
    fn natural_key(&self) -> String;

    /// What tells it from its siblings even under another name, as [`crate::listing::Listed::mark`] has it.
    fn mark(&self) -> String {
        String::new()
    }

    /// What a new name changes, in the order of [`crate::listing::Listed::names`].
    fn names(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Rows that lead to pages of their own: how they are stored, whichever pages list them.
pub(crate) trait Level: NaturalKey + Sized + Sync + 'static {
    /// The pages that list them.
    const PAGES: PageKind;
    /// The pages that they lead to.
    const BELOW: PageKind;
    /// Their table.
    const LISTED: &'static Listed;

    /// Writes them, each under its natural key.
    fn upsert(
        transaction: &DatabaseTransaction,
        dialect: Dialect,
        run: RunId,
        rows: &[Gathered<'_, Self>],
    ) -> impl Future<Output = Result<Upserted, StoreError>> + Send;
}

impl NaturalKey for CategoryRow {
    fn natural_key(&self) -> String {
        bounded_key(&[&fold_name(&self.name)])
    }
}

impl NaturalKey for YearRow {
    fn natural_key(&self) -> String {
        bounded_key(&[&self.year])
    }
}

impl NaturalKey for SetRow {
    fn natural_key(&self) -> String {
        bounded_key(&[&self.brand, &self.name])
    }

    fn names(&self) -> Vec<String> {
        vec![self.brand.clone(), self.name.clone()]
    }
}

impl NaturalKey for CardRow {
    fn natural_key(&self) -> String {
        bounded_key(&[&self.number, &self.name, &self.variation])
    }

    fn mark(&self) -> String {
        if self.number.is_empty() {
            return String::new();
        }
        format!("{}/{}", self.number, self.variation)
    }

    fn names(&self) -> Vec<String> {
        vec![self.name.clone(), self.variation.clone()]
    }
}

/// Categories: the only level without a parent.
impl Level for CategoryRow {
    const PAGES: PageKind = PageKind::Categories;
    const BELOW: PageKind = PageKind::Years;
    const LISTED: &'static Listed = &listing::CATEGORIES;

    async fn upsert(
        transaction: &DatabaseTransaction,
        dialect: Dialect,
        run: RunId,
        rows: &[Gathered<'_, Self>],
    ) -> Result<Upserted, StoreError> {
        #[derive(Serialize)]
        struct Row<'a> {
            natural_key: String,
            name: &'a str,
            url: &'a str,
        }
        const COLUMNS: Columns = &[
            ("natural_key", ColumnType::Text),
            ("name", ColumnType::Text),
            ("url", ColumnType::Text),
        ];
        let rows = distinct(rows, |gathered, natural_key| Row {
            natural_key,
            name: &gathered.row.name,
            url: gathered.url,
        });
        let sql = format!(
            "INSERT INTO categories AS stored (name_key, name, url, first_seen_at, changed_at, last_seen_at, seen_by_run) \
         SELECT r.natural_key, r.name, r.url, {now}, {now}, {now}, $2 FROM {source} WHERE true \
         ON CONFLICT (name_key) DO UPDATE SET name = excluded.name, url = excluded.url, \
             changed_at = CASE WHEN stored.name <> excluded.name OR stored.url <> excluded.url \
                 OR stored.vanished_at IS NOT NULL THEN {seen} ELSE stored.changed_at END, \
             last_seen_at = {seen}, vanished_at = NULL, seen_by_run = excluded.seen_by_run \
         RETURNING id, CAST(0 AS bigint) AS parent, name_key AS natural_key, \
             CAST(NULL AS bigint) AS changes, CAST(NULL AS bigint) AS read_age_us, {history}, \
             {FATE}",
            history = history_columns(dialect, PageKind::Years, ""),
            now = dialect.statement_time(),
            seen = dialect.seen(),
            source = dialect.ordered_rows(COLUMNS),
        );
        upsert(transaction, dialect, run, &sql, COLUMNS, &rows).await
    }
}

const YEAR_DIFFERS: &str = "(stored.sets_count <> excluded.sets_count OR stored.items_count <> excluded.items_count \
     OR stored.graded_count <> excluded.graded_count)";

/// Years of categories.
impl Level for YearRow {
    const PAGES: PageKind = PageKind::Years;
    const BELOW: PageKind = PageKind::Sets;
    const LISTED: &'static Listed = &listing::YEARS;

    async fn upsert(
        transaction: &DatabaseTransaction,
        dialect: Dialect,
        run: RunId,
        rows: &[Gathered<'_, Self>],
    ) -> Result<Upserted, StoreError> {
        #[derive(Serialize)]
        struct Row<'a> {
            parent: i64,
            natural_key: String,
            year: &'a str,
            sets_count: i64,
            items_count: i64,
            graded_count: i64,
            url: &'a str,
        }
        const COLUMNS: Columns = &[
            ("parent", ColumnType::Int),
            ("natural_key", ColumnType::Text),
            ("year", ColumnType::Text),
            ("sets_count", ColumnType::Int),
            ("items_count", ColumnType::Int),
            ("graded_count", ColumnType::Int),
            ("url", ColumnType::Text),
        ];
        let rows = distinct(rows, |gathered, natural_key| Row {
            parent: gathered.parent,
            natural_key,
            year: &gathered.row.year,
            sets_count: stored_count(gathered.row.sets),
            items_count: stored_count(gathered.row.items),
            graded_count: stored_count(gathered.row.graded),
            url: gathered.url,
        });
        let sql = format!(
            "INSERT INTO years AS stored (category_id, natural_key, year, sets_count, items_count, graded_count, url, \
             first_seen_at, changed_at, last_seen_at, seen_by_run) \
         SELECT r.parent, r.natural_key, r.year, r.sets_count, r.items_count, r.graded_count, r.url, {now}, {now}, {now}, $2 \
         FROM {source} WHERE true \
         ON CONFLICT (category_id, natural_key) DO UPDATE SET sets_count = excluded.sets_count, \
             items_count = excluded.items_count, graded_count = excluded.graded_count, url = excluded.url, \
             changes = stored.changes + CASE WHEN {differs} THEN 1 ELSE 0 END, {noted}, \
             changed_at = CASE WHEN {differs} OR stored.vanished_at IS NOT NULL THEN {seen} ELSE stored.changed_at END, \
             last_seen_at = {seen}, vanished_at = NULL, seen_by_run = excluded.seen_by_run \
         RETURNING id, category_id AS parent, natural_key, changes, {read_age} AS read_age_us, {history}, \
             {FATE}",
            noted = noted_when_seen(dialect, YEAR_DIFFERS),
            history = history_columns(dialect, PageKind::Sets, ""),
            differs = YEAR_DIFFERS,
            read_age = read_age(dialect),
            now = dialect.statement_time(),
            seen = dialect.seen(),
            source = dialect.ordered_rows(COLUMNS),
        );
        upsert(transaction, dialect, run, &sql, COLUMNS, &rows).await
    }
}

/// How long ago the page of a row was read whole, if the row has shown the same since: an expression over the row.
fn read_age(dialect: Dialect) -> String {
    format!(
        "CASE WHEN changes = read_changes THEN {} - {} END",
        dialect.now_us(),
        dialect.as_us("read_at")
    )
}

#[derive(Serialize)]
struct SetToStore<'a> {
    parent: i64,
    natural_key: String,
    brand: &'a str,
    name: &'a str,
    url: &'a str,
    counts: StoredCounts<'a>,
    total: i64,
}

/// Sets of years, and the history of their populations.
impl Level for SetRow {
    const PAGES: PageKind = PageKind::Sets;
    const BELOW: PageKind = PageKind::Cards;
    const LISTED: &'static Listed = &listing::SETS;

    async fn upsert(
        transaction: &DatabaseTransaction,
        dialect: Dialect,
        run: RunId,
        rows: &[Gathered<'_, Self>],
    ) -> Result<Upserted, StoreError> {
        const COLUMNS: Columns = &[
            ("parent", ColumnType::Int),
            ("natural_key", ColumnType::Text),
            ("brand", ColumnType::Text),
            ("name", ColumnType::Text),
            ("url", ColumnType::Text),
            ("counts", ColumnType::Json),
            ("total", ColumnType::Int),
        ];
        let rows = distinct(rows, |gathered, natural_key| SetToStore {
            parent: gathered.parent,
            natural_key,
            brand: &gathered.row.brand,
            name: &gathered.row.name,
            url: gathered.url,
            counts: StoredCounts(&gathered.row.counts),
            total: stored_count(gathered.row.total),
        });
        const TABLE: PopulatedTable = PopulatedTable {
            name: "sets",
            subject: "set",
            parent: "year_id",
            columns: COLUMNS,
        };
        upsert_populated(transaction, dialect, run, &TABLE, &rows).await
    }
}

#[derive(Serialize)]
struct CardToStore<'a> {
    parent: i64,
    natural_key: String,
    number: &'a str,
    name: &'a str,
    variation: &'a str,
    url: &'a str,
    counts: StoredCounts<'a>,
    total: i64,
}

/// Cards of sets, and the history of their populations.
impl Level for CardRow {
    const PAGES: PageKind = PageKind::Cards;
    const BELOW: PageKind = PageKind::GradeRows;
    const LISTED: &'static Listed = &listing::CARDS;

    async fn upsert(
        transaction: &DatabaseTransaction,
        dialect: Dialect,
        run: RunId,
        rows: &[Gathered<'_, Self>],
    ) -> Result<Upserted, StoreError> {
        const COLUMNS: Columns = &[
            ("parent", ColumnType::Int),
            ("natural_key", ColumnType::Text),
            ("number", ColumnType::Text),
            ("name", ColumnType::Text),
            ("variation", ColumnType::Text),
            ("url", ColumnType::Text),
            ("counts", ColumnType::Json),
            ("total", ColumnType::Int),
        ];
        let rows = distinct(rows, |gathered, natural_key| CardToStore {
            parent: gathered.parent,
            natural_key,
            number: &gathered.row.number,
            name: &gathered.row.name,
            variation: &gathered.row.variation,
            url: gathered.url,
            counts: StoredCounts(&gathered.row.counts),
            total: stored_count(gathered.row.total),
        });
        const TABLE: PopulatedTable = PopulatedTable {
            name: "cards",
            subject: "card",
            parent: "set_id",
            columns: COLUMNS,
        };
        upsert_populated(transaction, dialect, run, &TABLE, &rows).await
    }
}

/// A table whose rows have a population, so that its changes are history.
struct PopulatedTable {
    name: &'static str,
    /// What `population_history` calls its rows.
    subject: &'static str,
    /// The column with the parent's id.
    parent: &'static str,
    /// The columns of a storable row, `parent` first.
    columns: Columns,
}

/// What a storable row of a [`PopulatedTable`] says of its population.
trait Populated: Serialize {
    /// Parent and natural key.
    fn key(&self) -> (i64, String);
    /// Its counts and total.
    fn population(&self) -> (StoredCounts<'_>, i64);
}

impl Populated for SetToStore<'_> {
    fn key(&self) -> (i64, String) {
        (self.parent, self.natural_key.clone())
    }

    fn population(&self) -> (StoredCounts<'_>, i64) {
        (self.counts, self.total)
    }
}

impl Populated for CardToStore<'_> {
    fn key(&self) -> (i64, String) {
        (self.parent, self.natural_key.clone())
    }

    fn population(&self) -> (StoredCounts<'_>, i64) {
        (self.counts, self.total)
    }
}

const POPULATION_DIFFERS: &str = "(stored.counts <> excluded.counts OR stored.total <> excluded.total)";

async fn upsert_populated<T: Populated>(
    transaction: &DatabaseTransaction,
    dialect: Dialect,
    run: RunId,
    table: &PopulatedTable,
    rows: &[T],
) -> Result<Upserted, StoreError> {
    let PopulatedTable {
        name,
        subject,
        parent,
        columns,
    } = table;
    let names = || columns.iter().map(|(column, _)| *column);
    let sql = format!(
        "INSERT INTO {name} AS stored ({stored}, first_seen_at, changed_at, last_seen_at, seen_by_run) \
         SELECT {given}, {now}, {now}, {now}, $2 FROM {source} WHERE true \
         ON CONFLICT ({parent}, natural_key) DO UPDATE SET url = excluded.url, counts = excluded.counts, \
             total = excluded.total, changes = stored.changes + CASE WHEN {differs} THEN 1 ELSE 0 END, {noted}, \
             changed_at = CASE WHEN {differs} OR stored.vanished_at IS NOT NULL THEN {seen} ELSE stored.changed_at END, \
             last_seen_at = {seen}, vanished_at = NULL, seen_by_run = excluded.seen_by_run \
         RETURNING id, {parent} AS parent, natural_key, changes, {read_age} AS read_age_us, {history}, \
             {FATE}",
        stored = names()
            .map(|column| if column == "parent" { *parent } else { column })
            .collect::<Vec<_>>()
            .join(", "),
        given = names()
            .map(|column| format!("r.{column}"))
            .collect::<Vec<_>>()
            .join(", "),
        differs = POPULATION_DIFFERS,
        noted = noted_when_seen(dialect, POPULATION_DIFFERS),
        // Those of sets and of cards are the same.
        history = history_columns(dialect, PageKind::Cards, ""),
        read_age = read_age(dialect),
        now = dialect.statement_time(),
        seen = dialect.seen(),
        source = dialect.ordered_rows(columns),
    );
    let upserted = upsert(transaction, dialect, run, &sql, columns, rows).await?;
    let populations: Vec<_> = rows
        .iter()
        .filter_map(|row| {
            let subject_id = upserted.rows.get(&row.key()).filter(|stored| stored.moved)?.id;
            let (counts, total) = row.population();
            Some(Population {
                subject_id,
                counts,
                total,
            })
        })
        .collect();
    record_history(transaction, dialect, run, subject, &populations).await?;
    Ok(upserted)
}

/// Certificates of cards. `whole` has the cards whose pages were read whole: what they no longer list has
/// vanished. A certificate that comes back is no longer vanished; one that moved belongs to its new card.
pub(crate) async fn upsert_grade_rows(
    transaction: &DatabaseTransaction,
    dialect: Dialect,
    run: RunId,
    rows: &[Gathered<'_, GradeRow>],
    whole: &[i64],
) -> Result<GradeRowsUpserted, StoreError> {
    #[derive(Serialize)]
    struct Row<'a> {
        cert_number: &'a str,
        parent: i64,
        rank: Option<i64>,
        grade_text: &'a str,
        grade: Option<f64>,
        grade_label: &'a str,
        grade_code: &'a str,
        score: Option<u32>,
        rank_by_grade: Option<i64>,
        chronology: Option<i64>,
        chron_by_grade: Option<i64>,
        completed_on: Option<jiff::civil::Date>,
        report_url: &'a str,
    }
    const COLUMNS: Columns = &[
        ("cert_number", ColumnType::Text),
        ("parent", ColumnType::Int),
        ("rank", ColumnType::Int),
        ("grade_text", ColumnType::Text),
        ("grade", ColumnType::Double),
        ("grade_label", ColumnType::Text),
        ("grade_code", ColumnType::Text),
        ("score", ColumnType::Int),
        ("rank_by_grade", ColumnType::Int),
        ("chronology", ColumnType::Int),
        ("chron_by_grade", ColumnType::Int),
        ("completed_on", ColumnType::Date),
        ("report_url", ColumnType::Text),
    ];
    // A certificate is unique over the whole site. Should two pages of one commit list it, the later one
    // stands, and that the other card lists it, too, is noted.
    let mut by_cert: HashMap<&str, Row<'_>> = HashMap::with_capacity(rows.len());
    let mut shared = Vec::new();
    for Gathered { parent, row, .. } in rows {
        let other = by_cert.insert(
            row.cert_number.as_str(),
            Row {
                cert_number: row.cert_number.as_str(),
                parent: *parent,
                rank: row.rank.map(stored_count),
                grade_text: &row.grade.text,
                grade: row.grade.value.map(|value| value.as_f64()),
                grade_label: &row.grade.label,
                grade_code: row.grade.code.as_str(),
                score: row.grade.score,
                rank_by_grade: row.rank_by_grade.map(stored_count),
                chronology: row.chronology.map(stored_count),
                chron_by_grade: row.chron_by_grade.map(stored_count),
                completed_on: row.completed_on,
                report_url: &row.report_url,
            },
        );
        if let Some(other) = other.filter(|other| other.parent != *parent) {
            shared.push(SharedCertificate {
                cert_number: row.cert_number.as_str(),
                card_id: *parent,
                other_card_id: Some(other.parent),
            });
        }
    }
    let moving = moving(
        transaction,
        dialect,
        by_cert.values().map(|row| (row.cert_number, row.parent)),
    )
    .await?;
    shared.extend(moving.iter().map(|certificate| SharedCertificate {
        cert_number: &certificate.cert_number,
        card_id: certificate.card_id,
        other_card_id: None,
    }));
    note_shared(transaction, dialect, run, &shared).await?;
    let pages_in_doubt = if moving.is_empty() {
        0
    } else {
        let mut read_now: Vec<i64> = rows
            .iter()
            .map(|gathered| gathered.parent)
            .chain(whole.iter().copied())
            .collect();
        read_now.sort_unstable();
        read_now.dedup();
        doubt_former_cards(transaction, dialect, run, &moving, &read_now).await?
    };
    let mut rows: Vec<Row<'_>> = by_cert.into_values().collect();
    // One order for all runners: two commits that meet cannot wait for each other in a circle.
    rows.sort_unstable_by_key(|row| row.cert_number);
    const VALUES: [&str; 12] = [
        "card_id",
        "rank",
        "grade_text",
        "grade",
        "grade_label",
        "grade_code",
        "score",
        "rank_by_grade",
        "chronology",
        "chron_by_grade",
        "completed_on",
        "report_url",
    ];
    let sql = format!(
        "INSERT INTO grade_rows AS stored (cert_number, {columns}, first_seen_at, changed_at, last_seen_at, seen_by_run) \
         SELECT r.cert_number, r.parent, r.rank, r.grade_text, r.grade, r.grade_label, r.grade_code, r.score, \
             r.rank_by_grade, r.chronology, r.chron_by_grade, r.completed_on, r.report_url, {now}, {now}, {now}, $2 \
         FROM {source} WHERE true \
         ON CONFLICT (cert_number) DO UPDATE SET {assignments}, vanished_at = NULL, \
             changed_at = CASE WHEN {differs} OR stored.vanished_at IS NOT NULL \
                 THEN {seen} ELSE stored.changed_at END, \
             last_seen_at = {seen}, seen_by_run = excluded.seen_by_run \
         RETURNING card_id, {FATE}",
        columns = VALUES.join(", "),
        assignments = VALUES.map(|name| format!("{name} = excluded.{name}")).join(", "),
        differs = VALUES
            .map(|name| format!("stored.{name} IS DISTINCT FROM excluded.{name}"))
            .join(" OR "),
        now = dialect.statement_time(),
        seen = dialect.seen(),
        source = dialect.ordered_rows(COLUMNS),
    );
    let mut upserted = GradeRowsUpserted {
        pages_in_doubt,
        ..GradeRowsUpserted::default()
    };
    if !rows.is_empty() {
        let statement = dialect.statement(sql, [dialect.json_ordered_rows(COLUMNS, &rows), run.into()]);
        for row in transaction.query_all_raw(statement).await? {
            if count_upserted(&mut upserted.counts, &row)? {
                *upserted.moved.entry(row.try_get("", "card_id")?).or_default() += 1;
            }
        }
    }
    let mut listed: HashMap<i64, i64> = whole.iter().map(|card| (*card, 0)).collect();
    for row in &rows {
        if let Some(count) = listed.get_mut(&row.parent) {
            *count += 1;
        }
    }
    let lacking = lists_less_than_stored(transaction, dialect, &listed).await?;
    let seen = rows.iter().map(|row| row.cert_number);
    for card in mark_vanished(transaction, dialect, run, &lacking, seen).await? {
        upserted.counts.vanished += 1;
        *upserted.moved.entry(card).or_default() += 1;
    }
    Ok(upserted)
}

/// What became of certificates.
#[derive(Debug, Default)]
pub(crate) struct GradeRowsUpserted {
    pub(crate) counts: RowCounts,
    /// Those that are new, other or gone, by card.
    pub(crate) moved: HashMap<i64, i64>,
    /// Pages of other cards that are read after all.
    pub(crate) pages_in_doubt: u64,
}

/// Which of these certificates, each with the card that lists it now, stand on another card. Mostly none does, and then
/// nothing that is about them need be asked.
async fn moving<'a>(
    transaction: &DatabaseTransaction,
    dialect: Dialect,
    listed: impl Iterator<Item = (&'a str, i64)>,
) -> Result<Vec<MovingCertificate>, StoreError> {
    #[derive(Serialize)]
    struct Row<'a> {
        cert_number: &'a str,
        card_id: i64,
    }
    const COLUMNS: Columns = &[("cert_number", ColumnType::Text), ("card_id", ColumnType::Int)];
    let rows: Vec<_> = listed
        .map(|(cert_number, card_id)| Row { cert_number, card_id })
        .collect();
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT r.cert_number, r.card_id FROM {source} JOIN grade_rows AS stored ON stored.cert_number = r.cert_number \
         WHERE stored.card_id <> r.card_id AND stored.vanished_at IS NULL",
        source = dialect.ordered_rows(COLUMNS),
    );
    let rows = transaction
        .query_all_raw(dialect.statement(sql, [dialect.json_ordered_rows(COLUMNS, &rows)]))
        .await?;
    rows.iter()
        .map(|row| {
            Ok(MovingCertificate {
                cert_number: row.try_get("", "cert_number")?,
                card_id: row.try_get("", "card_id")?,
            })
        })
        .collect()
}

/// A certificate that a card's page lists, and the other card of the same commit that lists it, if one does.
#[derive(Serialize)]
struct SharedCertificate<'a> {
    cert_number: &'a str,
    card_id: i64,
    other_card_id: Option<i64>,
}

/// Notes which certificates `run` has seen on the page of another card, before they pass to the card that lists them now.
async fn note_shared(
    transaction: &DatabaseTransaction,
    dialect: Dialect,
    run: RunId,
    rows: &[SharedCertificate<'_>],
) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "INSERT INTO shared_certificates (run_id, cert_number, card_id, other_card_id, seen_at) \
         SELECT $2, r.cert_number, r.card_id, coalesce(r.other_card_id, stored.card_id), {now} FROM {source} \
         LEFT JOIN grade_rows AS stored ON r.other_card_id IS NULL AND stored.cert_number = r.cert_number \
             AND stored.card_id <> r.card_id AND stored.vanished_at IS NULL \
         WHERE r.other_card_id IS NOT NULL OR EXISTS (SELECT 1 FROM frontier AS page WHERE page.run_id = $2 \
             AND page.level = 4 AND page.subject_id = stored.card_id AND page.finished_at <= stored.last_seen_at)",
        now = dialect.now(),
        source = dialect.rows(&[
            ("cert_number", ColumnType::Text),
            ("card_id", ColumnType::Int),
            ("other_card_id", ColumnType::Int),
        ]),
    );
    let values = [dialect.json_rows(rows), run.into()];
    transaction.execute_raw(dialect.statement(sql, values)).await?;
    Ok(())
}

/// The cards that have more certificates than their pages list, once those are written: `listed` has the number of each.
/// Only of them has one vanished.
async fn lists_less_than_stored(
    transaction: &DatabaseTransaction,
    dialect: Dialect,
    listed: &HashMap<i64, i64>,
) -> Result<Vec<i64>, StoreError> {
    #[derive(Serialize)]
    struct Row {
        card_id: i64,
        listed: i64,
    }
    const COLUMNS: Columns = &[("card_id", ColumnType::Int), ("listed", ColumnType::Int)];
    if listed.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<_> = listed
        .iter()
        .map(|(card_id, listed)| Row {
            card_id: *card_id,
            listed: *listed,
        })
        .collect();
    let sql = format!(
        "SELECT r.card_id FROM {source} WHERE r.listed <> (SELECT count(*) FROM grade_rows AS stored \
             WHERE stored.card_id = r.card_id AND stored.vanished_at IS NULL)",
        source = dialect.ordered_rows(COLUMNS),
    );
    let rows = transaction
        .query_all_raw(dialect.statement(sql, [dialect.json_ordered_rows(COLUMNS, &rows)]))
        .await?;
    rows.iter().map(|row| Ok(row.try_get("", "card_id")?)).collect()
}

/// Marks the certificates of `cards` that are not among those `seen`, in one statement: what a card still lists
/// never leaves the database. Returns the card of each.
async fn mark_vanished<'a>(
    transaction: &DatabaseTransaction,
    dialect: Dialect,
    run: RunId,
    cards: &[i64],
    seen: impl Iterator<Item = &'a str>,
) -> Result<Vec<i64>, StoreError> {
    #[derive(Serialize)]
    struct Row<'a> {
        card_id: Option<i64>,
        cert_number: Option<&'a str>,
    }
    if cards.is_empty() {
        return Ok(Vec::new());
    }
    let cards = cards.iter().map(|card_id| Row {
        card_id: Some(*card_id),
        cert_number: None,
    });
    let seen = seen.map(|cert| Row {
        card_id: None,
        cert_number: Some(cert),
    });
    let rows: Vec<_> = cards.chain(seen).collect();
    let sql = format!(
        "UPDATE grade_rows SET vanished_at = {now}, changed_at = {now}, seen_by_run = $2 WHERE id IN \
             (SELECT id FROM grade_rows WHERE vanished_at IS NULL \
                 AND card_id IN (SELECT r.card_id FROM {source} WHERE r.card_id IS NOT NULL) \
                 AND cert_number NOT IN (SELECT r.cert_number FROM {source} WHERE r.cert_number IS NOT NULL) \
                 {skip_locked}) \
         RETURNING card_id",
        skip_locked = dialect.skip_locked_of("grade_rows"),
        now = dialect.statement_time(),
        source = dialect.rows(&[("card_id", ColumnType::Int), ("cert_number", ColumnType::Text)]),
    );
    let statement = dialect.statement(sql, [dialect.json_rows(&rows), run.into()]);
    let rows = transaction.query_all_raw(statement).await?;
    rows.iter().map(|row| Ok(row.try_get("", "card_id")?)).collect()
}

#[derive(Serialize)]
struct Population<'a> {
    subject_id: i64,
    counts: StoredCounts<'a>,
    total: i64,
}

async fn record_history(
    transaction: &DatabaseTransaction,
    dialect: Dialect,
    run: RunId,
    subject: &str,
    populations: &[Population<'_>],
) -> Result<(), StoreError> {
    const COLUMNS: Columns = &[
        ("subject_id", ColumnType::Int),
        ("counts", ColumnType::Json),
        ("total", ColumnType::Int),
    ];
    if populations.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "INSERT INTO population_history (subject, subject_id, observed_at, run_id, counts, total) \
         SELECT $2, r.subject_id, {now}, $3, r.counts, r.total FROM {source}",
        now = dialect.statement_time(),
        source = dialect.ordered_rows(COLUMNS),
    );
    let values = [
        dialect.json_ordered_rows(COLUMNS, populations),
        subject.into(),
        run.into(),
    ];
    transaction.execute_raw(dialect.statement(sql, values)).await?;
    Ok(())
}

async fn upsert<T: Serialize>(
    transaction: &DatabaseTransaction,
    dialect: Dialect,
    run: RunId,
    sql: &str,
    columns: Columns,
    rows: &[T],
) -> Result<Upserted, StoreError> {
    let mut upserted = Upserted::default();
    if rows.is_empty() {
        return Ok(upserted);
    }
    for row in transaction
        .query_all_raw(dialect.statement(sql, [dialect.json_ordered_rows(columns, rows), run.into()]))
        .await?
    {
        let key: (i64, String) = (row.try_get("", "parent")?, row.try_get("", "natural_key")?);
        let stored = StoredRow {
            id: row.try_get("", "id")?,
            changes: row.try_get("", "changes")?,
            read_age_us: row.try_get("", "read_age_us")?,
            moved: count_upserted(&mut upserted.counts, &row)?,
            looks: Looks::of(&row)?,
        };
        upserted.rows.insert(key, stored);
    }
    Ok(upserted)
}

/// What became of an upserted row, one column to return: 2 for new, 1 for changed, 0 for the same.
const FATE: &str =
    "CASE WHEN first_seen_at = last_seen_at THEN 2 WHEN changed_at = last_seen_at THEN 1 ELSE 0 END AS fate";

/// Counts an upserted row by its [`FATE`]. Returns whether it is new or changed.
fn count_upserted(counts: &mut RowCounts, row: &QueryResult) -> Result<bool, StoreError> {
    let fate: i32 = row.try_get("", "fate")?;
    match fate {
        2 => counts.new += 1,
        1 => counts.changed += 1,
        _ => counts.same += 1,
    }
    Ok(fate > 0)
}

/// One storable row for each (parent, natural key), in the order found: one statement may not touch a row
/// twice, and the extraction has already reported rows of one page that contradict each other.
fn distinct<'a, T: NaturalKey, R>(
    rows: &'a [Gathered<'a, T>],
    mut storable: impl FnMut(&'a Gathered<'a, T>, String) -> R,
) -> Vec<R> {
    let mut seen = std::collections::HashSet::with_capacity(rows.len());
    rows.iter()
        .filter_map(|gathered| {
            let key = gathered.row.natural_key();
            seen.insert((gathered.parent, key.clone()))
                .then(|| storable(gathered, key))
        })
        .collect()
}

/// A population as its column holds it. Counts stand in the order of their codes, so that one population is one
/// text, in whatever order a page has its columns.
#[derive(Clone, Copy)]
struct StoredCounts<'a>(&'a Counts);

impl Serialize for StoredCounts<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut counts: Vec<_> = self
            .0
            .iter()
            .map(|(code, count)| (code, stored_count(count)))
            .collect();
        counts.sort_unstable();
        serializer.collect_map(counts)
    }
}

/// The databases' integers are signed; the extraction admits no count above this bound.
fn stored_count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
