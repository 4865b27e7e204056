//! The rows of the catalogue whose children a page lists: where `--start-from` takes its pages from.

use std::time::Duration;

use sea_orm::{ConnectionTrait, QueryResult};
use tagpipe_core::model::{Identity, PageKind};

use crate::connect::Store;
use crate::contract::RunId;
use crate::dialect::Dialect;
use crate::error::StoreError;
use crate::frontier::microseconds;

/// A stored row, and what it promises of the page that lists its children.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSubject {
    /// Its id.
    pub id: i64,
    /// The identity of the page that lists its children.
    pub identity: Identity,
    /// Path and query of that page.
    pub url: String,
    /// Rows (sets) or copies (cards, grade rows) it promises; `None` for years.
    pub expected: Option<u64>,
    /// How often it has shown something else than before; `None` for categories.
    pub changes: Option<i64>,
    /// How long ago its page was read whole, if it has shown the same since.
    pub read_age: Option<Duration>,
}

impl Store {
    /// Up to `limit` stored rows above the pages of `kind`, by id, those after `after`.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn stored_subjects(
        &self,
        kind: PageKind,
        after: i64,
        limit: u32,
    ) -> Result<Vec<StoredSubject>, StoreError> {
        let Some(source) = source(kind, self.dialect) else {
            return Ok(Vec::new());
        };
        let living = living(kind);
        let sql = format!("SELECT {source} WHERE subject.id > $1 AND {living} ORDER BY subject.id LIMIT $2");
        let values = [after.into(), i64::from(limit).into()];
        let rows = self.rows(self.dialect.statement(sql, values)).await?;
        rows.iter().map(stored_subject).collect()
    }

    /// The names of all categories that were ever seen, in the order of their names.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn category_names(&self) -> Result<Vec<String>, StoreError> {
        let sql = format!(
            "SELECT name FROM categories ORDER BY {}",
            self.dialect.by_bytes("name")
        );
        let rows = self.rows(self.dialect.statement(sql, [])).await?;
        rows.iter().map(|row| Ok(row.try_get("", "name")?)).collect()
    }

    /// How many stored rows above pages of `kind` are due, and how many show what they showed when their page was last read
    /// whole, no longer ago than `max_age`.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn count_due(
        &self,
        kind: PageKind,
        max_age: Option<Duration>,
    ) -> Result<(u64, u64), StoreError> {
        let (table, is_due) = match kind {
            PageKind::Categories => return Ok((0, 0)),
            PageKind::Years => ("categories", "true".to_owned()),
            PageKind::Sets => ("years", is_due(self.dialect)),
            PageKind::Cards => ("sets", is_due(self.dialect)),
            PageKind::GradeRows => ("cards", is_due(self.dialect)),
        };
        let sql = format!(
            "SELECT count(*) AS stored, count(CASE WHEN {is_due} OR CAST($1 AS bigint) < 0 THEN 1 END) AS due FROM {table} \
             WHERE vanished_at IS NULL"
        );
        let rows = self
            .rows(
                self.dialect
                    .statement(sql, [max_age.map_or(LONGEST_US, microseconds).into()]),
            )
            .await?;
        let row = rows
            .first()
            .ok_or_else(|| StoreError::Bug("a count gave no row".into()))?;
        let (stored, due): (i64, i64) = (row.try_get("", "stored")?, row.try_get("", "due")?);
        Ok((due.unsigned_abs(), (stored - due).unsigned_abs()))
    }

    /// Whether `site` was last read with this version of this profile: only then does what was read still count.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn was_read_with(&self, site: &str, profile: &str, version: &str) -> Result<bool, StoreError> {
        let sql = "SELECT 1 AS known FROM reading WHERE site = $1 AND profile = $2 AND version = $3";
        let values = [site.into(), profile.into(), version.into()];
        Ok(!self.rows(self.dialect.statement(sql, values)).await?.is_empty())
    }

    /// Rows above pages of `kind` that are due although `run` has left a page above them out as unchanged: their pages
    /// failed, or were not reached, or are older than `max_age`. Those that the run knows are not among them. By id, those
    /// after `after`, at most `limit`.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn due_below_unchanged(
        &self,
        run: RunId,
        kind: PageKind,
        max_age: Option<Duration>,
        after: i64,
        limit: u32,
    ) -> Result<Vec<StoredSubject>, StoreError> {
        let (Some(source), Some(above)) = (source(kind, self.dialect), above(kind)) else {
            return Ok(Vec::new());
        };
        let sql = format!(
            "SELECT {source} WHERE subject.id > $1 \
                 AND (subject.changes <> subject.read_changes OR {read_at} < {now} - CAST($4 AS bigint)) \
                 AND {above} AND {living} \
                 AND NOT EXISTS (SELECT 1 FROM frontier WHERE run_id = $3 AND level = $5 AND subject_id = subject.id) \
             ORDER BY subject.id LIMIT $2",
            read_at = self.dialect.as_us("subject.read_at"),
            now = self.dialect.now_us(),
            living = living(kind),
        );
        let values = [
            after.into(),
            i64::from(limit).into(),
            run.into(),
            max_age.map_or(LONGEST_US, microseconds).into(),
            i64::from(kind.level()).into(),
        ];
        // Through the writer: what this process has just committed must be in the picture.
        let rows = self
            .writer
            .query_all_raw(self.dialect.statement(sql, values))
            .await?;
        rows.iter().map(stored_subject).collect()
    }
}

/// That a subject and all above it are listed: the page of one that vanished is not asked for.
pub(crate) fn living(kind: PageKind) -> String {
    let above: &[&str] = match kind {
        PageKind::Categories | PageKind::Years => &[],
        PageKind::Sets => &["categories"],
        PageKind::Cards => &["categories", "years"],
        PageKind::GradeRows => &["categories", "years", "sets"],
    };
    let all = above.iter().chain(&["subject"]);
    all.map(|table| format!("{table}.vanished_at IS NULL"))
        .collect::<Vec<_>>()
        .join(" AND ")
}

/// That the page of a row has to be read: the row shows something else than when it was last read whole, or that is longer
/// than `$1` ago.
fn is_due(dialect: Dialect) -> String {
    format!(
        "changes <> read_changes OR {} < {} - CAST($1 AS bigint)",
        dialect.as_us("read_at"),
        dialect.now_us()
    )
}

/// Two centuries: nothing was read before.
pub(crate) const LONGEST_US: i64 = 200 * 365 * 86_400 * 1_000_000;

/// That a page above the subject is left out as unchanged in run `$3`, and shows the subject still.
fn above(kind: PageKind) -> Option<&'static str> {
    match kind {
        PageKind::Cards => Some(
            "subject.last_seen_at >= years.read_at \
             AND EXISTS (SELECT 1 FROM frontier AS above WHERE above.run_id = $3 AND above.level = 2 \
                 AND above.subject_id = years.id AND above.state = 'unchanged')",
        ),
        PageKind::GradeRows => Some(
            "subject.last_seen_at >= sets.read_at \
             AND (EXISTS (SELECT 1 FROM frontier AS above WHERE above.run_id = $3 AND above.level = 3 \
                     AND above.subject_id = sets.id AND above.state = 'unchanged') \
                  OR (sets.last_seen_at >= years.read_at \
                      AND NOT EXISTS (SELECT 1 FROM frontier AS above WHERE above.run_id = $3 AND above.level = 3 \
                          AND above.subject_id = sets.id) \
                      AND EXISTS (SELECT 1 FROM frontier AS above WHERE above.run_id = $3 AND above.level = 2 \
                          AND above.subject_id = years.id AND above.state = 'unchanged')))",
        ),
        PageKind::Categories | PageKind::Years | PageKind::Sets => None,
    }
}

pub(crate) fn stored_subject(row: &QueryResult) -> Result<StoredSubject, StoreError> {
    let text = |column: &str| -> Result<String, StoreError> { Ok(row.try_get("", column)?) };
    let expected: Option<i64> = row.try_get("", "expected")?;
    let read_age_us: Option<i64> = row.try_get("", "read_age_us")?;
    Ok(StoredSubject {
        id: row.try_get("", "id")?,
        identity: Identity {
            category: text("category")?,
            year: text("year")?,
            brand: text("brand")?,
            set: text("set_name")?,
            name: text("name")?,
            number: text("number")?,
            variation: text("variation")?,
        },
        url: text("url")?,
        expected: expected.and_then(|expected| u64::try_from(expected).ok()),
        changes: row.try_get("", "changes")?,
        read_age: read_age_us.map(|us| Duration::from_micros(u64::try_from(us).unwrap_or(0))),
    })
}

/// Columns and joins for the rows above the pages of `kind`; none are above the categories.
pub(crate) fn source(kind: PageKind, dialect: Dialect) -> Option<String> {
    let columns_and_joins = match kind {
        PageKind::Categories => return None,
        PageKind::Years => {
            "subject.id, subject.url, subject.name AS category, '' AS year, '' AS brand, '' AS set_name, '' AS name, \
                 '' AS number, '' AS variation, CAST(NULL AS bigint) AS expected FROM categories AS subject"
        }
        PageKind::Sets => {
            "subject.id, subject.url, categories.name AS category, subject.year, '' AS brand, '' AS set_name, '' AS name, \
                 '' AS number, '' AS variation, subject.sets_count AS expected \
             FROM years AS subject JOIN categories ON categories.id = subject.category_id"
        }
        PageKind::Cards => {
            "subject.id, subject.url, categories.name AS category, years.year, subject.brand, subject.name AS set_name, \
                 '' AS name, '' AS number, '' AS variation, subject.total AS expected \
             FROM sets AS subject JOIN years ON years.id = subject.year_id \
             JOIN categories ON categories.id = years.category_id"
        }
        PageKind::GradeRows => {
            "subject.id, subject.url, categories.name AS category, years.year, sets.brand, sets.name AS set_name, \
                 subject.name, subject.number, subject.variation, subject.total AS expected \
             FROM cards AS subject JOIN sets ON sets.id = subject.set_id \
             JOIN years ON years.id = sets.year_id JOIN categories ON categories.id = years.category_id"
        }
    };
    let readings = match kind {
        PageKind::Years => "CAST(NULL AS bigint) AS changes, CAST(NULL AS bigint) AS read_age_us".to_owned(),
        _ => format!(
            "subject.changes, CASE WHEN subject.changes = subject.read_changes THEN {now} - {read_at} END AS read_age_us",
            now = dialect.now_us(),
            read_at = dialect.as_us("subject.read_at"),
        ),
    };
    Some(format!("{readings}, {columns_and_joins}"))
}
