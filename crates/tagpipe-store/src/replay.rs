//! Kept documents read again: their rows go through the same statements as those of a page that was fetched, and what was
//! seen when remains what it was.
//!
//! A correction is not a change of the site. So whatever the common statements date with now is dated back in the same
//! transaction: to the reading that the documents are of. A row that comes out as it was is in the end as it was, times
//! included.
//!
//! No lease is needed. The documents are the fence: a page that has been read anew meanwhile has others, and whoever
//! reads it at the same time waits for this transaction, because its commit begins with the documents.

use std::collections::{HashMap, HashSet};

use sea_orm::{ConnectionTrait, DatabaseTransaction};
use serde::Serialize;
use serde_json::Value as Json;
use tagpipe_core::lifecycle::{PageState, RunState};
use tagpipe_core::model::{Identity, PageKey, PageKind, PageRows};
use tagpipe_core::outcome::Cause;
use tagpipe_core::policy::PageHistory;

use crate::audit::{AuditEntry, AuditOrigin, insert_audit};
use crate::commit::{Committer, check_rows, count_for_runner, note_readings, record_unreadable};
use crate::connect::Store;
use crate::contract::{Committed, Ending, Finish, Lease, ReadCost, ReadDocuments, RowCounts, RunId};
use crate::dialect::{ColumnType, Columns, Dialect};
use crate::documents::{KeptDocument, NO_JSON_NULL, kept_document, row_keys};
use crate::error::StoreError;
use crate::page_rows::write_rows;
use crate::reconcile::{Discrepancy, compared_sums, record_discrepancies};
use crate::subjects::{source, stored_subject};

mod dating;

/// A page whose newest reading is kept.
#[derive(Debug, Clone)]
pub struct KeptPage {
    /// Its kind.
    pub kind: PageKind,
    /// Its identity, as the catalogue has it now.
    pub identity: Identity,
    /// Path and query.
    pub url: String,
    /// The row whose children it lists; `None` for the categories.
    pub subject_id: Option<i64>,
    /// What that row promises now.
    pub expected: Option<u64>,
    /// Its documents, in order; at least one.
    pub documents: Vec<KeptDocument>,
}

impl KeptPage {
    /// Its key.
    #[must_use]
    pub fn key(&self) -> PageKey {
        self.identity.key(self.kind)
    }
}

/// A kept page that was read again.
#[derive(Debug, Clone)]
pub struct Reread {
    /// The page.
    pub page: KeptPage,
    /// What came of it: [`Ending::Completed`] or [`Ending::Failed`].
    pub ending: Ending,
    /// What kind of outcome that was.
    pub cause: Cause,
    /// How many rows each document gave.
    pub shown: Vec<usize>,
    /// What is said about it in the audit trail.
    pub audit: Vec<AuditEntry>,
}

/// Who reads kept pages again, and by which profile.
#[derive(Debug, Clone, Copy)]
pub struct Replayer<'a> {
    /// The run; `None` for a rehearsal, of which nothing is written.
    pub run: Option<RunId>,
    /// Its name.
    pub runner_id: &'a str,
    /// Its process.
    pub instance: &'a str,
    /// See [`profile_label`](crate::contract::profile_label).
    pub profile: &'a str,
}

/// What reading a group of kept pages again came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Rows, by what became of them.
    pub rows: RowCounts,
    /// Pages that were completed.
    pub completed: u64,
    /// Pages that did not fit; nothing of theirs was touched.
    pub failed: u64,
    /// Pages that were read anew from the site meanwhile, and left alone.
    pub superseded: u64,
    /// Pages that another profile, or another version of this one, had read last.
    pub of_other_profile: u64,
}

/// The end of such a run.
#[derive(Debug, Clone)]
pub struct ReplayEnding<'a> {
    /// The state it ends in.
    pub state: RunState,
    /// Its summary.
    pub summary: &'a Json,
    /// Sums that disagree.
    pub disagreements: &'a [Discrepancy],
    /// Whether the pages behind them are to be read from the site: not when the profile is the one that has read them
    /// before, which knew of them already.
    pub doubts: bool,
    /// Who writes.
    pub origin: AuditOrigin<'a>,
    /// What is said about it in the audit trail.
    pub entries: &'a [AuditEntry],
}

impl Store {
    /// Up to `limit` pages of `kind` whose newest reading is kept, by subject, those after `after`.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn kept_pages(
        &self,
        kind: PageKind,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Vec<KeptPage>, StoreError> {
        let sql = format!(
            "SELECT subject_id, id, part, url, hash, bytes, body FROM documents \
             WHERE level = $1 AND superseded_at IS NULL AND subject_id IN ( \
                 SELECT subject_id FROM documents WHERE level = $1 AND superseded_at IS NULL AND part = 1 \
                     AND subject_id > $2 AND {} ORDER BY subject_id LIMIT $3) \
             ORDER BY subject_id, part",
            is_listed(kind)
        );
        let values = [
            i64::from(kind.level()).into(),
            after.unwrap_or(-1).into(),
            i64::from(limit).into(),
        ];
        // Through the writer: what this process has just committed must be in the picture.
        let rows = self
            .writer
            .query_all_raw(self.dialect.statement(sql, values))
            .await?;
        let mut documents: Vec<(i64, Vec<KeptDocument>)> = Vec::new();
        for row in &rows {
            let subject: i64 = row.try_get("", "subject_id")?;
            let document = kept_document(row)?;
            match documents.last_mut() {
                Some((last, of_page)) if *last == subject => of_page.push(document),
                _ => documents.push((subject, vec![document])),
            }
        }
        self.pages_of(kind, documents).await
    }

    async fn pages_of(
        &self,
        kind: PageKind,
        documents: Vec<(i64, Vec<KeptDocument>)>,
    ) -> Result<Vec<KeptPage>, StoreError> {
        let Some(source) = source(kind, self.dialect) else {
            let pages = documents.into_iter().map(|(_, documents)| KeptPage {
                kind,
                identity: Identity::default(),
                url: documents
                    .first()
                    .map(|first| first.url.clone())
                    .unwrap_or_default(),
                subject_id: None,
                expected: None,
                documents,
            });
            return Ok(pages.collect());
        };
        let ids: Vec<_> = documents
            .iter()
            .map(|(id, _)| serde_json::json!({ "id": id }))
            .collect();
        let sql = format!(
            "SELECT {source} WHERE subject.id IN (SELECT r.id FROM {ids})",
            ids = self.dialect.rows(&[("id", ColumnType::Int)]),
        );
        let statement = self.dialect.statement(sql, [self.dialect.json_rows(&ids)]);
        let mut subjects = HashMap::with_capacity(documents.len());
        for row in &self.writer.query_all_raw(statement).await? {
            let subject = stored_subject(row)?;
            subjects.insert(subject.id, subject);
        }
        documents
            .into_iter()
            .map(|(id, documents)| {
                let subject = subjects
                    .remove(&id)
                    .ok_or_else(|| StoreError::Bug(format!("the row {id} above kept {kind} is gone")))?;
                Ok(KeptPage {
                    kind,
                    identity: subject.identity,
                    url: subject.url,
                    subject_id: Some(id),
                    expected: subject.expected,
                    documents,
                })
            })
            .collect()
    }

    /// Pages that were read whole and of whose newest reading no document is kept.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn pages_without_documents(&self) -> Result<u64, StoreError> {
        let count = |table: &str, level: u8| {
            format!(
                "(SELECT count(*) FROM {table} WHERE read_at IS NOT NULL AND NOT EXISTS (SELECT 1 FROM documents \
                     WHERE level = {level} AND subject_id = {table}.id AND superseded_at IS NULL))"
            )
        };
        let sql = format!(
            "SELECT {} + {} + {} AS pages",
            count("years", 2),
            count("sets", 3),
            count("cards", 4)
        );
        let rows = self.rows(self.dialect.statement(sql, [])).await?;
        let pages: i64 = rows.first().map_or(Ok(0), |row| row.try_get("", "pages"))?;
        Ok(pages.unsigned_abs())
    }

    /// Says of runs that read kept documents and were not ended, because their processes were killed, that they were
    /// interrupted.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn end_abandoned_replays(&self) -> Result<u64, StoreError> {
        let sql = format!(
            "UPDATE runs SET state = 'interrupted', finished_at = {now} \
             WHERE state = 'running' AND config ->> 'work' = 'reparse'",
            now = self.dialect.now()
        );
        self.write(self.dialect.statement(sql, [])).await
    }

    /// Writes what kept pages of one kind gave when they were read again, in one transaction. Where `replayer` has no run,
    /// it is all taken back: the answer says what would have been written.
    ///
    /// # Errors
    /// See [`StoreError::class`]; then nothing was written, or all of it was and the answer got lost. Calling it again is
    /// safe.
    pub async fn replay(&self, replayer: Replayer<'_>, batch: &[Reread]) -> Result<Replayed, StoreError> {
        let Some(kind) = batch.first().map(|one| one.page.kind) else {
            return Ok(Replayed::default());
        };
        if batch.iter().any(|one| one.page.kind != kind) {
            return Err(StoreError::Bug(
                "pages of several kinds are replayed at once".into(),
            ));
        }
        let transaction = self.begin().await?;
        let run = match replayer.run {
            Some(run) => run,
            None => rehearsed_run(&transaction, self.dialect).await?,
        };
        let replay = Replay {
            transaction: &transaction,
            dialect: self.dialect,
            kind,
            run,
            replayer,
        };
        let replayed = replay.write(batch).await?;
        match replayer.run {
            Some(_) => transaction.commit().await?,
            None => transaction.rollback().await?,
        }
        Ok(replayed)
    }

    /// Writes the end of a run that has read kept documents again.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn end_replay(&self, run: RunId, ending: &ReplayEnding<'_>) -> Result<(), StoreError> {
        let dialect = self.dialect;
        let transaction = self.begin().await?;
        // One that was interrupted has compared nothing.
        if ending.state != RunState::Interrupted {
            transaction
                .execute_raw(dialect.statement(resolve_agreed(dialect), [run.into()]))
                .await?;
        }
        record_discrepancies(&transaction, dialect, run, ending.disagreements).await?;
        if ending.doubts {
            doubt(&transaction, dialect, run).await?;
        }
        let end = format!(
            "UPDATE runs SET state = $1, summary = {summary}, finished_at = {now} WHERE id = $3",
            summary = dialect.json_parameter("$2"),
            now = dialect.now(),
        );
        let values = [
            ending.state.as_str().into(),
            dialect.json(ending.summary),
            run.into(),
        ];
        transaction.execute_raw(dialect.statement(end, values)).await?;
        let entries: Vec<&AuditEntry> = ending.entries.iter().collect();
        insert_audit(&transaction, dialect, ending.origin, &entries).await?;
        transaction.commit().await?;
        Ok(())
    }
}

/// The run of a rehearsal, which is never committed.
async fn rehearsed_run(transaction: &DatabaseTransaction, dialect: Dialect) -> Result<RunId, StoreError> {
    let sql = format!(
        "INSERT INTO runs (state, started_at, config) VALUES ('running', {}, '{{}}') RETURNING id",
        dialect.now()
    );
    let row = transaction.query_one_raw(dialect.statement(sql, [])).await?;
    Ok(row
        .ok_or_else(|| StoreError::Bug("an insert returned no id".into()))?
        .try_get("", "id")?)
}

/// Resolves earlier discrepancies where run `$1` has compared the same and found that it agrees: sums of pages whose
/// documents it has read, those below included; cells that it could read; certificates that nobody has any more. A grade
/// that is not promised any more is not compared, and agrees where all other sums of its row do. That a certificate is on
/// two cards only the site can take back: the row of the newer page hides what the older one lists.
fn resolve_agreed(dialect: Dialect) -> String {
    format!(
        "UPDATE discrepancies SET resolved_at = {now} WHERE resolved_at IS NULL AND run_id < $1 AND ( \
             (subject, subject_id, what) IN \
                 (SELECT subject, subject_id, what FROM ({compared}) AS sums WHERE expected = found) \
             OR (what LIKE '% at grade %' AND (subject, subject_id) IN \
                 (SELECT subject, subject_id FROM ({compared}) AS sums GROUP BY subject, subject_id \
                  HAVING count(CASE WHEN expected <> found THEN 1 END) = 0)) \
             OR (subject = 'page' \
                 AND page_key IN (SELECT page_key FROM frontier WHERE run_id = $1 AND state = 'completed') \
                 AND NOT EXISTS (SELECT 1 FROM discrepancies AS again WHERE again.run_id = $1 \
                     AND again.page_key = discrepancies.page_key AND again.what = discrepancies.what)) \
             OR (what LIKE 'certificate %' AND subject_id IN \
                     (SELECT subject_id FROM frontier WHERE run_id = $1 AND level = 4 AND state = 'completed') \
                 AND NOT EXISTS (SELECT 1 FROM grade_rows WHERE vanished_at IS NULL \
                     AND cert_number = substr(discrepancies.what, length('certificate ') + 1))))",
        now = dialect.now(),
        compared = compared_sums(dialect),
    )
}

/// Has the pages behind this run's disagreements read from the site: the one with the rows, and the one with what was
/// promised.
async fn doubt(transaction: &DatabaseTransaction, dialect: Dialect, run: RunId) -> Result<(), StoreError> {
    let disputed = |subject: &str| {
        format!(
            "SELECT subject_id FROM discrepancies WHERE run_id = $1 AND subject = '{subject}' AND resolved_at IS NULL"
        )
    };
    for (table, ids) in [
        ("cards", disputed("card")),
        ("sets", disputed("set")),
        ("years", disputed("year")),
        (
            "sets",
            format!("SELECT set_id FROM cards WHERE id IN ({})", disputed("card")),
        ),
        (
            "years",
            format!("SELECT year_id FROM sets WHERE id IN ({})", disputed("set")),
        ),
    ] {
        let sql = format!("UPDATE {table} SET read_changes = -1 WHERE id IN ({ids})");
        transaction
            .execute_raw(dialect.statement(sql, [run.into()]))
            .await?;
    }
    Ok(())
}

/// One transaction that writes kept pages of one kind.
struct Replay<'a> {
    transaction: &'a DatabaseTransaction,
    dialect: Dialect,
    kind: PageKind,
    run: RunId,
    replayer: Replayer<'a>,
}

/// When a kept page was read, by whom, and whether this profile has read it already.
#[derive(Debug, Clone, Serialize)]
struct KeptReading {
    subject: i64,
    /// The database's own text of the time when its last document was fetched.
    fetched: String,
    run: RunId,
    is_of_same_profile: u8,
}

const READING_COLUMNS: Columns = &[
    ("subject", ColumnType::Int),
    ("fetched", ColumnType::Text),
    ("run", ColumnType::Int),
    ("is_of_same_profile", ColumnType::Int),
];

impl Replay<'_> {
    async fn write(&self, batch: &[Reread]) -> Result<Replayed, StoreError> {
        let current = self.lock_documents(batch).await?;
        let still_newest = |one: &&Reread| {
            let mut documents = one.page.documents.iter();
            documents.all(|document| current.contains(&document.id))
        };
        let pages: Vec<&Reread> = batch.iter().filter(still_newest).collect();
        let superseded = (batch.len() - pages.len()) as u64;
        if pages.is_empty() {
            return Ok(Replayed {
                superseded,
                ..Replayed::default()
            });
        }
        let readings = self.readings(&pages).await?;
        let page_ids = self.add_to_frontier(&pages).await?;
        let mut finishes = finishes(&pages, &page_ids)?;
        for finish in &finishes {
            check_rows(finish)?;
        }
        self.leave_newer_certificates(&mut finishes, &readings).await?;
        let began = self.time_now().await?;
        let rows_before = self.rows_before(&finishes, &readings).await?;
        let subjects_before = self.subjects_before(&readings).await?;
        let committed = self.write_as_if_fetched(&finishes).await?;
        self.date_rows_back(&readings, &rows_before).await?;
        self.date_history_back(&readings).await?;
        self.correct_events(&began).await?;
        self.date_readings_back(&subjects_before).await?;
        self.note_profile(&pages).await?;
        let completed = |one: &&&Reread| matches!(one.ending, Ending::Completed { .. });
        let of_other_profile = readings.values().filter(|one| one.is_of_same_profile == 0);
        Ok(Replayed {
            rows: committed.rows,
            completed: pages.iter().filter(completed).count() as u64,
            failed: pages.iter().filter(|one| !completed(one)).count() as u64,
            superseded,
            of_other_profile: of_other_profile.count() as u64,
        })
    }

    /// Keeps the documents of `batch` as they are until the end of the transaction. Returns those that are still of their
    /// pages' newest readings.
    async fn lock_documents(&self, batch: &[Reread]) -> Result<HashSet<i64>, StoreError> {
        let ids: Vec<_> = batch
            .iter()
            .flat_map(|one| &one.page.documents)
            .map(|document| serde_json::json!({ "id": document.id }))
            .collect();
        let sql = format!(
            "SELECT id FROM documents WHERE superseded_at IS NULL AND id IN (SELECT r.id FROM {ids}) ORDER BY id {lock}",
            ids = self.dialect.rows(&[("id", ColumnType::Int)]),
            lock = self.dialect.lock_rows(),
        );
        let rows = self.query(sql, vec![self.dialect.json_rows(&ids)]).await?;
        rows.iter().map(|row| Ok(row.try_get("", "id")?)).collect()
    }

    /// When the pages were read, by subject.
    async fn readings(&self, pages: &[&Reread]) -> Result<HashMap<i64, KeptReading>, StoreError> {
        let subjects: Vec<_> = pages
            .iter()
            .map(|one| serde_json::json!({ "id": subject_of(&one.page) }))
            .collect();
        let sql = format!(
            "SELECT subject_id, {fetched} AS fetched, max(run_id) AS run_id, \
                 min(CASE WHEN profile = $3 THEN 1 ELSE 0 END) AS is_of_same_profile \
             FROM documents WHERE level = $2 AND superseded_at IS NULL \
                 AND subject_id IN (SELECT r.id FROM {subjects}) GROUP BY subject_id",
            fetched = self.dialect.as_text("max(fetched_at)"),
            subjects = self.dialect.rows(&[("id", ColumnType::Int)]),
        );
        let values = vec![
            self.dialect.json_rows(&subjects),
            i64::from(self.kind.level()).into(),
            self.replayer.profile.into(),
        ];
        let mut readings = HashMap::with_capacity(pages.len());
        for row in &self.query(sql, values).await? {
            let subject = row.try_get("", "subject_id")?;
            let same: i64 = i64::from(row.try_get::<i32>("", "is_of_same_profile")?);
            let reading = KeptReading {
                subject,
                fetched: row.try_get("", "fetched")?,
                run: row.try_get("", "run_id")?,
                is_of_same_profile: u8::from(same == 1),
            };
            readings.insert(subject, reading);
        }
        Ok(readings)
    }

    /// Enters the pages into the run as what they have come to, at the time of their reading. Returns their ids by subject.
    async fn add_to_frontier(&self, pages: &[&Reread]) -> Result<HashMap<i64, i64>, StoreError> {
        #[derive(Serialize)]
        struct Row<'a> {
            level: u8,
            page_key: String,
            url: &'a str,
            identity: &'a Identity,
            subject_id: Option<i64>,
            expected: Option<i64>,
            document_id: i64,
            state: PageState,
            last_outcome: Cause,
            last_error: Option<&'a str>,
        }
        const COLUMNS: Columns = &[
            ("level", ColumnType::Int),
            ("page_key", ColumnType::Text),
            ("url", ColumnType::Text),
            ("identity", ColumnType::Json),
            ("subject_id", ColumnType::Int),
            ("expected", ColumnType::Int),
            ("document_id", ColumnType::Int),
            ("state", ColumnType::Text),
            ("last_outcome", ColumnType::Text),
            ("last_error", ColumnType::Text),
        ];
        let rows: Vec<_> = pages
            .iter()
            .map(|one| {
                let (state, last_error) = match &one.ending {
                    Ending::Failed { reason, .. } => (PageState::Failed, Some(reason.as_str())),
                    _ => (PageState::Completed, None),
                };
                Row {
                    level: self.kind.level(),
                    page_key: one.page.key().to_string(),
                    url: &one.page.url,
                    identity: &one.page.identity,
                    subject_id: one.page.subject_id,
                    expected: one
                        .page
                        .expected
                        .map(|count| i64::try_from(count).unwrap_or(i64::MAX)),
                    document_id: one.page.documents.first().map_or(0, |first| first.id),
                    state,
                    last_outcome: one.cause,
                    last_error,
                }
            })
            .collect();
        let sql = format!(
            "INSERT INTO frontier (run_id, level, page_key, url, identity, subject_id, expected, subject_changes, state, \
                 attempts, last_outcome, last_error, finished_at) \
             SELECT $2, r.level, r.page_key, r.url, r.identity, r.subject_id, r.expected, first.subject_changes, r.state, \
                 1, r.last_outcome, r.last_error, \
                 (SELECT max(fetched_at) FROM documents WHERE documents.level = first.level \
                      AND documents.subject_id = first.subject_id AND documents.superseded_at IS NULL) \
             FROM {source} JOIN documents AS first ON first.id = r.document_id \
             RETURNING id, coalesce(subject_id, 0) AS subject_id",
            source = self.dialect.rows(COLUMNS),
        );
        let added = self
            .query(sql, vec![self.dialect.json_rows(&rows), self.run.into()])
            .await?;
        added
            .iter()
            .map(|row| Ok((row.try_get("", "subject_id")?, row.try_get("", "id")?)))
            .collect()
    }

    /// Takes certificates out of these pages that a newer reading of another card's page has shown: that card has them.
    async fn leave_newer_certificates(
        &self,
        finishes: &mut [Finish],
        readings: &HashMap<i64, KeptReading>,
    ) -> Result<(), StoreError> {
        let certificates: Vec<_> = certificates(finishes)
            .map(|(subject, cert)| {
                serde_json::json!({ "cert": cert, "subject": subject,
                    "fetched": readings.get(&subject).map(|reading| &reading.fetched) })
            })
            .collect();
        if certificates.is_empty() {
            return Ok(());
        }
        let sql = format!(
            "SELECT stored.cert_number, r.subject FROM {source} JOIN grade_rows AS stored ON stored.cert_number = r.cert \
             WHERE stored.card_id <> r.subject AND stored.last_seen_at > {fetched}",
            source = self.dialect.rows(&[
                ("cert", ColumnType::Text),
                ("subject", ColumnType::Int),
                ("fetched", ColumnType::Text)
            ]),
            fetched = self.dialect.time_of("r.fetched"),
        );
        let mut elsewhere: HashSet<(i64, String)> = HashSet::new();
        for row in &self
            .query(sql, vec![self.dialect.json_rows(&certificates)])
            .await?
        {
            elsewhere.insert((row.try_get("", "subject")?, row.try_get("", "cert_number")?));
        }
        if elsewhere.is_empty() {
            return Ok(());
        }
        for finish in finishes {
            let subject = finish.lease.subject_id.unwrap_or(0);
            if let Ending::Completed {
                rows: PageRows::GradeRows(rows),
                ..
            } = &mut finish.ending
            {
                rows.retain(|row| !elsewhere.contains(&(subject, row.cert_number.to_string())));
            }
        }
        Ok(())
    }

    /// The statements of a page commit.
    async fn write_as_if_fetched(&self, finishes: &[Finish]) -> Result<Committed, StoreError> {
        let (transaction, dialect) = (self.transaction, self.dialect);
        let accepted: Vec<&Finish> = finishes.iter().collect();
        let mut committed = Committed::default();
        note_readings(transaction, dialect, &accepted).await?;
        // Children are not followed: their pages are documents of their own.
        let mut new_pages = Vec::new();
        write_rows(
            transaction,
            dialect,
            self.run,
            &accepted,
            &mut committed,
            &mut new_pages,
        )
        .await?;
        record_unreadable(transaction, dialect, self.run, &accepted).await?;
        let committer = Committer {
            run: self.run,
            origin: AuditOrigin {
                run: Some(self.run),
                runner_id: self.replayer.runner_id,
            },
            instance: self.replayer.instance,
        };
        let audit: Vec<_> = accepted.iter().flat_map(|one| &one.audit).collect();
        insert_audit(transaction, dialect, committer.origin, &audit).await?;
        count_for_runner(transaction, dialect, committer, &accepted, &committed).await?;
        Ok(committed)
    }

    /// Notes at the documents which profile has read them last, and what rows it found in each.
    async fn note_profile(&self, pages: &[&Reread]) -> Result<(), StoreError> {
        let mut documents = Vec::new();
        for one in pages {
            let Ending::Completed { rows, .. } = &one.ending else {
                continue;
            };
            let keys = row_keys(rows, one.shown.iter().copied());
            for (document, row_keys) in one.page.documents.iter().zip(keys) {
                documents.push(serde_json::json!({ "id": document.id, "row_keys": row_keys }));
            }
        }
        let sql = format!(
            "UPDATE documents SET profile = $2, row_keys = {NO_JSON_NULL} FROM {source} WHERE documents.id = r.id \
             AND (documents.profile <> $2 OR {NO_JSON_NULL} IS NOT NULL)",
            source = self
                .dialect
                .rows(&[("id", ColumnType::Int), ("row_keys", ColumnType::Json)]),
        );
        let values = vec![self.dialect.json_rows(&documents), self.replayer.profile.into()];
        self.execute(sql, values).await?;
        Ok(())
    }

    async fn query(
        &self,
        sql: String,
        values: Vec<sea_orm::Value>,
    ) -> Result<Vec<sea_orm::QueryResult>, StoreError> {
        let statement = self.dialect.statement(sql, values);
        Ok(self.transaction.query_all_raw(statement).await?)
    }

    async fn execute(&self, sql: String, values: Vec<sea_orm::Value>) -> Result<u64, StoreError> {
        let statement = self.dialect.statement(sql, values);
        Ok(self.transaction.execute_raw(statement).await?.rows_affected())
    }
}

/// That the site still lists the row above a document's page: what has vanished does not come back by being read again.
fn is_listed(kind: PageKind) -> &'static str {
    match kind {
        PageKind::Categories => "true",
        PageKind::Years => {
            "EXISTS (SELECT 1 FROM categories WHERE categories.id = documents.subject_id \
                 AND categories.vanished_at IS NULL)"
        }
        PageKind::Sets => {
            "EXISTS (SELECT 1 FROM years JOIN categories ON categories.id = years.category_id \
                 WHERE years.id = documents.subject_id AND years.vanished_at IS NULL \
                     AND categories.vanished_at IS NULL)"
        }
        PageKind::Cards => {
            "EXISTS (SELECT 1 FROM sets JOIN years ON years.id = sets.year_id \
                 JOIN categories ON categories.id = years.category_id \
                 WHERE sets.id = documents.subject_id AND sets.vanished_at IS NULL \
                     AND years.vanished_at IS NULL AND categories.vanished_at IS NULL)"
        }
        PageKind::GradeRows => {
            "EXISTS (SELECT 1 FROM cards JOIN sets ON sets.id = cards.set_id JOIN years ON years.id = sets.year_id \
                 JOIN categories ON categories.id = years.category_id \
                 WHERE cards.id = documents.subject_id AND cards.vanished_at IS NULL AND sets.vanished_at IS NULL \
                     AND years.vanished_at IS NULL AND categories.vanished_at IS NULL)"
        }
    }
}

fn subject_of(page: &KeptPage) -> i64 {
    page.subject_id.unwrap_or(0)
}

fn finishes(pages: &[&Reread], page_ids: &HashMap<i64, i64>) -> Result<Vec<Finish>, StoreError> {
    pages
        .iter()
        .map(|one| {
            let page = &one.page;
            let page_id = page_ids.get(&subject_of(page)).copied();
            let page_id = page_id
                .ok_or_else(|| StoreError::Bug(format!("`{}` was not entered into its run", page.key())))?;
            Ok(Finish {
                lease: Lease {
                    page_id,
                    token: String::new(),
                    kind: page.kind,
                    key: page.key(),
                    identity: page.identity.clone(),
                    url: page.url.clone(),
                    subject_id: page.subject_id,
                    expected: page.expected,
                    attempt: 1,
                    history: PageHistory::default(),
                    verifications: 0,
                    audited: false,
                },
                cost: ReadCost::default(),
                ending: one.ending.clone(),
                documents: ReadDocuments::default(),
                audit: one.audit.clone(),
            })
        })
        .collect()
}

/// Certificates on completed pages, with the card whose page it is.
fn certificates(finishes: &[Finish]) -> impl Iterator<Item = (i64, &str)> {
    finishes.iter().flat_map(|finish| {
        let subject = finish.lease.subject_id.unwrap_or(0);
        let rows = match &finish.ending {
            Ending::Completed {
                rows: PageRows::GradeRows(rows),
                ..
            } => rows.as_slice(),
            _ => &[],
        };
        rows.iter().map(move |row| (subject, row.cert_number.as_str()))
    })
}
