//! What was seen when, kept over a correction: the rows are looked at before the common statements are run, and what those
//! have dated with now is dated back afterwards, in the same transaction.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::Value as Json;
use tagpipe_core::model::PageKind;

use super::{KeptReading, READING_COLUMNS, Replay, certificates};
use crate::contract::Finish;
use crate::dialect::{ColumnType, Columns, Dialect};
use crate::documents::listed;
use crate::error::StoreError;

/// A row as it was before.
#[derive(Debug, Clone, Serialize)]
pub(super) struct RowBefore {
    id: i64,
    last_seen: String,
    changed: String,
    changes: Option<i64>,
    vanished: Option<String>,
    /// A reading of kept documents is no look at the site: what is counted of looks stays.
    seen_times: Option<i64>,
    same_until: Option<String>,
    differs_since: Option<String>,
    seen_by_run: Option<i64>,
    /// When the page that lists it was read.
    fetched: String,
}

const BEFORE_COLUMNS: Columns = &[
    ("id", ColumnType::Int),
    ("last_seen", ColumnType::Text),
    ("changed", ColumnType::Text),
    ("changes", ColumnType::Int),
    ("vanished", ColumnType::Text),
    ("seen_times", ColumnType::Int),
    ("same_until", ColumnType::Text),
    ("differs_since", ColumnType::Text),
    ("seen_by_run", ColumnType::Int),
    ("fetched", ColumnType::Text),
];

/// The row above a page as it was before.
#[derive(Debug, Clone, Serialize)]
pub(super) struct SubjectBefore {
    id: i64,
    /// Of categories 0: their rows show nothing that could change.
    read_changes: i64,
    read: Option<String>,
    tried: Option<String>,
    changes: i64,
    seen_times: i64,
    fetched: String,
    is_of_same_profile: u8,
}

impl Replay<'_> {
    /// Everything that the pages list or did list, and what they take from other pages, as it is now.
    pub(super) async fn rows_before(
        &self,
        finishes: &[Finish],
        readings: &HashMap<i64, KeptReading>,
    ) -> Result<Vec<RowBefore>, StoreError> {
        let (table, parent) = listed(self.kind);
        let has_certs = self.kind == PageKind::GradeRows;
        let has_changes = matches!(self.kind, PageKind::Years | PageKind::Sets | PageKind::Cards);
        let counted = |column: &str| match has_changes {
            true => column.to_owned(),
            false => "CAST(NULL AS bigint)".to_owned(),
        };
        let timed = |column: &str| match has_changes {
            true => self.dialect.as_text(column),
            false => "CAST(NULL AS text)".to_owned(),
        };
        let subjects: Vec<_> = readings.values().collect();
        let columns = format!(
            "id, {last_seen} AS last_seen, {changed} AS changed, {changes} AS changes, {vanished} AS vanished, \
             {seen_times} AS seen_times, {same_until} AS same_until, {differs_since} AS differs_since, seen_by_run, \
             {parent} AS parent, {cert} AS cert",
            last_seen = self.dialect.as_text("last_seen_at"),
            changed = self.dialect.as_text("changed_at"),
            changes = counted("changes"),
            vanished = self.dialect.as_text("vanished_at"),
            seen_times = counted("seen_times"),
            same_until = timed("same_until"),
            differs_since = timed("differs_since"),
            parent = parent.unwrap_or("CAST(0 AS bigint)"),
            cert = if has_certs {
                "cert_number"
            } else {
                "CAST(NULL AS text)"
            },
        );
        let of_page = match parent {
            Some(parent) => format!(
                "WHERE {parent} IN (SELECT r.subject FROM {})",
                self.dialect.rows(READING_COLUMNS)
            ),
            None => String::new(),
        };
        let mut found = self
            .query(
                format!("SELECT {columns} FROM {table} {of_page}"),
                match parent {
                    Some(_) => vec![self.dialect.json_rows(&subjects)],
                    None => Vec::new(),
                },
            )
            .await?;
        let new_card: HashMap<&str, i64> = certificates(finishes)
            .map(|(subject, cert)| (cert, subject))
            .collect();
        if !new_card.is_empty() {
            let certs: Vec<_> = new_card
                .keys()
                .map(|cert| serde_json::json!({ "cert": cert }))
                .collect();
            let sql = format!(
                "SELECT {columns} FROM grade_rows WHERE cert_number IN (SELECT r.cert FROM {})",
                self.dialect.rows(&[("cert", ColumnType::Text)])
            );
            found.extend(self.query(sql, vec![self.dialect.json_rows(&certs)]).await?);
        }
        let mut before = HashMap::with_capacity(found.len());
        for row in &found {
            let cert: Option<String> = row.try_get("", "cert")?;
            let parent: i64 = row.try_get("", "parent")?;
            let lister = cert.and_then(|cert| new_card.get(cert.as_str()).copied());
            let Some(reading) = readings.get(&lister.unwrap_or(parent)) else {
                continue;
            };
            let row = RowBefore {
                id: row.try_get("", "id")?,
                last_seen: row.try_get("", "last_seen")?,
                changed: row.try_get("", "changed")?,
                changes: row.try_get("", "changes")?,
                vanished: row.try_get("", "vanished")?,
                seen_times: row.try_get("", "seen_times")?,
                same_until: row.try_get("", "same_until")?,
                differs_since: row.try_get("", "differs_since")?,
                seen_by_run: row.try_get("", "seen_by_run")?,
                fetched: reading.fetched.clone(),
            };
            before.insert(row.id, row);
        }
        let mut before: Vec<_> = before.into_values().collect();
        before.sort_unstable_by_key(|row| row.id);
        Ok(before)
    }

    /// The rows above the pages; none above that of the categories.
    pub(super) async fn subjects_before(
        &self,
        readings: &HashMap<i64, KeptReading>,
    ) -> Result<Vec<SubjectBefore>, StoreError> {
        let Some(table) = subject_table(self.kind) else {
            return Ok(Vec::new());
        };
        let subjects: Vec<_> = readings.values().collect();
        let sql = format!(
            "SELECT id, {read_changes} AS read_changes, {read} AS read, {tried} AS tried, changes, seen_times FROM {table} \
             WHERE id IN (SELECT r.subject FROM {source})",
            read_changes = match self.kind {
                PageKind::Years => "CAST(0 AS bigint)",
                _ => "read_changes",
            },
            read = self.dialect.as_text("read_at"),
            tried = self.dialect.as_text("tried_at"),
            source = self.dialect.rows(READING_COLUMNS),
        );
        let rows = self.query(sql, vec![self.dialect.json_rows(&subjects)]).await?;
        rows.iter()
            .map(|row| {
                let id = row.try_get("", "id")?;
                let reading = readings
                    .get(&id)
                    .ok_or_else(|| StoreError::Bug(format!("`{table}` gave the row {id} unasked")))?;
                Ok(SubjectBefore {
                    id,
                    read_changes: row.try_get("", "read_changes")?,
                    read: row.try_get("", "read")?,
                    tried: row.try_get("", "tried")?,
                    changes: row.try_get("", "changes")?,
                    seen_times: row.try_get("", "seen_times")?,
                    fetched: reading.fetched.clone(),
                    is_of_same_profile: reading.is_of_same_profile,
                })
            })
            .collect()
    }

    /// Rows that are as before get their times back; what differs, is new or gone, is so since the reading.
    pub(super) async fn date_rows_back(
        &self,
        readings: &HashMap<i64, KeptReading>,
        before: &[RowBefore],
    ) -> Result<(), StoreError> {
        let (table, parent) = listed(self.kind);
        let dialect = self.dialect;
        let (last_seen, changed, fetched) = (
            dialect.time_of("r.last_seen"),
            dialect.time_of("r.changed"),
            dialect.time_of("r.fetched"),
        );
        let since = format!("{}({last_seen}, {fetched})", dialect.greatest());
        let mut assignments = vec![
            format!(
                "last_seen_at = CASE WHEN {table}.last_seen_at = {last_seen} THEN {table}.last_seen_at ELSE {since} END"
            ),
            format!(
                "changed_at = CASE WHEN {table}.changed_at = {changed} THEN {table}.changed_at ELSE {since} END"
            ),
        ];
        if before.iter().any(|row| row.changes.is_some()) {
            assignments.push("changes = r.changes".to_owned());
        }
        let vanished = dialect.time_of("r.vanished");
        assignments.push(format!(
            "vanished_at = CASE WHEN {table}.vanished_at IS NULL OR {table}.vanished_at = {vanished} \
             THEN {table}.vanished_at ELSE {since} END"
        ));
        assignments.push("seen_by_run = r.seen_by_run".to_owned());
        if before.iter().any(|row| row.seen_times.is_some()) {
            assignments.push("seen_times = r.seen_times".to_owned());
            for column in ["same_until", "differs_since"] {
                assignments.push(format!("{column} = {}", dialect.time_of(&format!("r.{column}"))));
            }
        }
        let sql = format!(
            "UPDATE {table} SET {} FROM {source} WHERE {table}.id = r.id \
             AND ({table}.last_seen_at <> {last_seen} OR {table}.changed_at <> {changed})",
            assignments.join(", "),
            source = dialect.rows(BEFORE_COLUMNS),
        );
        self.execute(sql, vec![dialect.json_rows(before)]).await?;
        let readings: Vec<_> = readings.values().collect();
        let new = format!(
            "UPDATE {table} SET first_seen_at = {fetched}, changed_at = {fetched}, last_seen_at = {fetched} \
             FROM {source} WHERE {parent} = r.subject AND {table}.id NOT IN (SELECT known.id FROM {before})",
            parent = parent.map_or("0".to_owned(), |parent| format!("{table}.{parent}")),
            source = dialect.rows(READING_COLUMNS),
            before = dialect.rows_of("$2", "known", BEFORE_COLUMNS),
        );
        self.execute(new, vec![dialect.json_rows(&readings), dialect.json_rows(before)])
            .await?;
        Ok(())
    }

    /// A correction is no event: what was misread had that name, that card and that grade all along. What a misreading had
    /// invented, or left out, vanished or came back with the reading.
    pub(super) async fn correct_events(&self, began: &str) -> Result<(), StoreError> {
        let (table, _) = listed(self.kind);
        let (history, row_id, corrected, subject) = match self.kind {
            PageKind::Categories => (
                "catalogue_history",
                "subject_id",
                "'renamed'",
                "subject = 'category'",
            ),
            PageKind::Years => ("catalogue_history", "subject_id", "'renamed'", "subject = 'year'"),
            PageKind::Sets => ("catalogue_history", "subject_id", "'renamed'", "subject = 'set'"),
            PageKind::Cards => ("catalogue_history", "subject_id", "'renamed'", "subject = 'card'"),
            PageKind::GradeRows => (
                "certificate_history",
                "grade_row_id",
                "'moved', 'regraded'",
                "true",
            ),
        };
        // By the index on times: of this transaction, not of all those of its run.
        let own = format!(
            "observed_at >= {} AND run_id = $1 AND {subject}",
            self.dialect.time_of("$2")
        );
        let values = || vec![self.run.into(), began.into()];
        let forget = format!("DELETE FROM {history} WHERE {own} AND event IN ({corrected})");
        self.execute(forget, values()).await?;
        let date = format!(
            "UPDATE {history} SET observed_at = (SELECT coalesce(seen.vanished_at, seen.last_seen_at) FROM {table} AS seen \
                 WHERE seen.id = {history}.{row_id}) WHERE {own}"
        );
        self.execute(date, values()).await?;
        Ok(())
    }

    /// The database's own text of now.
    pub(super) async fn time_now(&self) -> Result<String, StoreError> {
        let sql = format!("SELECT {} AS time_now", self.dialect.as_text(self.dialect.now()));
        let rows = self.query(sql, Vec::new()).await?;
        let row = rows
            .first()
            .ok_or_else(|| StoreError::Bug("there is no time".into()))?;
        Ok(row.try_get("", "time_now")?)
    }

    /// What the history has of these readings is put right; it does not grow by a correction.
    pub(super) async fn date_history_back(
        &self,
        readings: &HashMap<i64, KeptReading>,
    ) -> Result<(), StoreError> {
        let (subject, (table, Some(parent))) = (
            match self.kind {
                PageKind::Sets => "set",
                PageKind::Cards => "card",
                _ => return Ok(()),
            },
            listed(self.kind),
        ) else {
            return Ok(());
        };
        let dialect = self.dialect;
        let readings: Vec<_> = readings.values().collect();
        let values = || vec![dialect.json_rows(&readings), self.run.into(), subject.into()];
        // What this transaction has added, with the reading that it is about.
        let added = format!(
            "SELECT entry.id, entry.subject_id, entry.counts, entry.total, {fetched} AS fetched, r.run AS reader \
             FROM population_history AS entry JOIN {table} AS listed ON listed.id = entry.subject_id \
             JOIN {source} ON r.subject = listed.{parent} WHERE entry.run_id = $2 AND entry.subject = $3",
            fetched = dialect.time_of("r.fetched"),
            source = dialect.rows(READING_COLUMNS),
        );
        let correct = format!(
            "UPDATE population_history AS known SET counts = added.counts, total = added.total FROM ({added}) AS added \
             WHERE known.subject = $3 AND known.subject_id = added.subject_id AND known.run_id <> $2 \
                 AND known.observed_at >= added.fetched \
             RETURNING known.id, known.subject_id"
        );
        // SQLite names no table in RETURNING.
        let correct = match dialect {
            Dialect::Sqlite => {
                correct.replace("RETURNING known.id, known.subject_id", "RETURNING id, subject_id")
            }
            Dialect::Postgres => correct,
        };
        let mut corrected = Vec::new();
        for row in &self.query(correct, values()).await? {
            let id: i64 = row.try_get("", "id")?;
            let subject_id: i64 = row.try_get("", "subject_id")?;
            corrected.push(serde_json::json!({ "id": id, "subject_id": subject_id }));
        }
        if !corrected.is_empty() {
            self.forget_corrected(subject, &corrected).await?;
        }
        let date = format!(
            "UPDATE population_history SET observed_at = added.fetched, run_id = added.reader FROM ({added}) AS added \
             WHERE population_history.id = added.id"
        );
        self.execute(date, values()).await?;
        Ok(())
    }

    /// Removes the entries that a correction of earlier ones has made superfluous: those that were added for it, and
    /// corrected ones that now say what the entry before them says.
    async fn forget_corrected(&self, subject: &str, corrected: &[Json]) -> Result<(), StoreError> {
        let source = self
            .dialect
            .rows(&[("id", ColumnType::Int), ("subject_id", ColumnType::Int)]);
        let json = || self.dialect.json_rows(corrected);
        let added = format!(
            "DELETE FROM population_history WHERE run_id = $2 AND subject = $3 \
             AND subject_id IN (SELECT r.subject_id FROM {source})"
        );
        self.execute(added, vec![json(), self.run.into(), subject.into()])
            .await?;
        let same = format!(
            "DELETE FROM population_history WHERE id IN ( \
                 SELECT known.id FROM {source} JOIN population_history AS known ON known.id = r.id \
                 JOIN population_history AS earlier ON earlier.id = ( \
                     SELECT latest.id FROM population_history AS latest \
                     WHERE latest.subject = known.subject AND latest.subject_id = known.subject_id \
                         AND latest.id < known.id ORDER BY latest.id DESC LIMIT 1) \
                 WHERE earlier.counts = known.counts AND earlier.total = known.total)"
        );
        self.execute(same, vec![json()]).await?;
        Ok(())
    }

    /// A page that its own profile reads again counts as read as it did. One that another profile reads counts as read by
    /// this one now, if it can be relied on, and since its reading.
    pub(super) async fn date_readings_back(&self, before: &[SubjectBefore]) -> Result<(), StoreError> {
        let Some(table) = subject_table(self.kind) else {
            return Ok(());
        };
        let (read, fetched) = (self.dialect.time_of("r.read"), self.dialect.time_of("r.fetched"));
        let looks = format!("tried_at = {}", self.dialect.time_of("r.tried"));
        let assignments = match self.kind {
            // It is a category's page that is counted, not its row.
            PageKind::Years => {
                format!("{looks}, read_at = {read}, changes = r.changes, seen_times = r.seen_times")
            }
            _ => format!(
                "{looks}, \
                 read_changes = CASE WHEN r.is_of_same_profile = 1 THEN r.read_changes ELSE {table}.read_changes END, \
                 read_at = CASE WHEN r.is_of_same_profile = 1 OR {table}.read_changes = -1 OR {read} >= {fetched} \
                     THEN {read} ELSE {fetched} END"
            ),
        };
        let sql = format!(
            "UPDATE {table} SET {assignments} FROM {source} WHERE {table}.id = r.id",
            source = self.dialect.rows(&[
                ("id", ColumnType::Int),
                ("read_changes", ColumnType::Int),
                ("read", ColumnType::Text),
                ("tried", ColumnType::Text),
                ("changes", ColumnType::Int),
                ("seen_times", ColumnType::Int),
                ("fetched", ColumnType::Text),
                ("is_of_same_profile", ColumnType::Int),
            ]),
        );
        self.execute(sql, vec![self.dialect.json_rows(before)]).await?;
        Ok(())
    }
}

/// The table of the rows above pages of `kind`.
fn subject_table(kind: PageKind) -> Option<&'static str> {
    match kind {
        PageKind::Categories => None,
        PageKind::Years => Some("categories"),
        PageKind::Sets => Some("years"),
        PageKind::Cards => Some("sets"),
        PageKind::GradeRows => Some("cards"),
    }
}
