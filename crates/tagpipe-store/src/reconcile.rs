//! Proving the sums: what a parent's row promised against what its children's page showed. Only pages that
//! were read in this run are compared, so a filtered run is judged by what it read.

use sea_orm::{ConnectionTrait, DatabaseTransaction};
use serde::Serialize;

use crate::connect::Store;
use crate::contract::{Lease, RunId, Unreadable};
use crate::dialect::{ColumnType, Columns, Dialect};
use crate::error::StoreError;

/// Two numbers that should be one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Discrepancy {
    /// What it is about: `year`, `set`, `card`, or `page` for a cell.
    pub subject: String,
    /// Id of that row; 0 for a page without one.
    pub subject_id: i64,
    /// The page of the run on which the children were read.
    pub page_key: String,
    /// What is compared, e.g. `copies at grade 9`.
    pub what: String,
    /// What was promised.
    pub expected: String,
    /// By whom.
    pub expected_by: String,
    /// What was read.
    pub found: String,
}

/// Each check is one query over the pages of one level that this run has completed. It returns the page, its
/// subject, what is compared, what was promised and what was found. `{sum:…}` stands for [`Dialect::sum`].
struct Check {
    subject: &'static str,
    expected_by: &'static str,
    sql: &'static str,
}

impl Check {
    fn render(&self, dialect: Dialect) -> String {
        let mut parts = self.sql.split("{sum:");
        let mut sql = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (expression, after) = part.split_once('}').unwrap_or((part, ""));
            sql.push_str(&dialect.sum(expression));
            sql.push_str(after);
        }
        sql
    }
}

const CHECKS: &[Check] = &[
    Check {
        subject: "year",
        expected_by: "the category's page",
        sql: "SELECT page.page_key, years.id AS subject_id, 'sets' AS what, years.sets_count AS expected, \
                  (SELECT count(*) FROM sets WHERE sets.year_id = years.id \
                   AND sets.last_seen_at >= page.finished_at) AS found \
              FROM frontier AS page JOIN years ON years.id = page.subject_id \
              WHERE page.run_id = $1 AND page.level = 2 AND page.state = 'completed'",
    },
    Check {
        subject: "year",
        expected_by: "the category's page",
        sql: "SELECT page.page_key, years.id AS subject_id, 'graded copies' AS what, \
                  years.graded_count AS expected, \
                  (SELECT {sum:sets.total} FROM sets WHERE sets.year_id = years.id \
                   AND sets.last_seen_at >= page.finished_at) AS found \
              FROM frontier AS page JOIN years ON years.id = page.subject_id \
              WHERE page.run_id = $1 AND page.level = 2 AND page.state = 'completed'",
    },
    // CROSS JOIN makes SQLite go from the year down; it would rather look through all sets' pages for each year.
    Check {
        subject: "year",
        expected_by: "the category's page",
        sql: "SELECT page.page_key, years.id AS subject_id, 'cards' AS what, years.items_count AS expected, \
                  (SELECT count(*) FROM sets CROSS JOIN frontier AS below CROSS JOIN cards \
                   WHERE sets.year_id = years.id AND below.run_id = page.run_id AND below.level = 3 \
                       AND below.subject_id = sets.id AND cards.set_id = sets.id \
                       AND cards.last_seen_at >= CASE below.state WHEN 'unchanged' THEN sets.read_at \
                           ELSE below.finished_at END) AS found \
              FROM frontier AS page JOIN years ON years.id = page.subject_id \
              WHERE page.run_id = $1 AND page.level = 2 AND page.state = 'completed' \
                  AND NOT EXISTS (SELECT 1 FROM sets LEFT JOIN frontier AS below ON below.run_id = page.run_id \
                          AND below.level = 3 AND below.subject_id = sets.id \
                          AND below.state IN ('completed', 'unchanged') \
                      WHERE sets.year_id = years.id AND sets.last_seen_at >= page.finished_at \
                          AND below.id IS NULL)",
    },
    Check {
        subject: "set",
        expected_by: "the year's page",
        sql: "SELECT page.page_key, sets.id AS subject_id, 'copies' AS what, sets.total AS expected, \
                  (SELECT {sum:cards.total} FROM cards WHERE cards.set_id = sets.id \
                   AND cards.last_seen_at >= page.finished_at) AS found \
              FROM frontier AS page JOIN sets ON sets.id = page.subject_id \
              WHERE page.run_id = $1 AND page.level = 3 AND page.state = 'completed'",
    },
    Check {
        subject: "set",
        expected_by: "the year's page",
        sql: "SELECT page.page_key, promised.set_id AS subject_id, \
                  'copies at grade ' || promised.grade_code AS what, promised.copies AS expected, \
                  (SELECT {sum:card_population.copies} FROM cards \
                   JOIN card_population ON card_population.card_id = cards.id \
                   WHERE cards.set_id = promised.set_id AND card_population.grade_code = promised.grade_code \
                       AND cards.last_seen_at >= page.finished_at) AS found \
              FROM frontier AS page JOIN set_population AS promised ON promised.set_id = page.subject_id \
              WHERE page.run_id = $1 AND page.level = 3 AND page.state = 'completed'",
    },
    Check {
        subject: "card",
        expected_by: "the set's page",
        sql: "SELECT page.page_key, cards.id AS subject_id, 'certificates' AS what, cards.total AS expected, \
                  (SELECT count(*) FROM grade_rows WHERE grade_rows.card_id = cards.id \
                   AND grade_rows.vanished_at IS NULL) AS found \
              FROM frontier AS page JOIN cards ON cards.id = page.subject_id AND cards.vanished_at IS NULL \
              WHERE page.run_id = $1 AND page.level = 4 AND page.state = 'completed'",
    },
    Check {
        subject: "card",
        expected_by: "the set's page",
        sql: "SELECT page.page_key, promised.card_id AS subject_id, \
                  'certificates at grade ' || promised.grade_code AS what, promised.copies AS expected, \
                  (SELECT count(*) FROM grade_rows WHERE grade_rows.card_id = promised.card_id \
                   AND grade_rows.grade_code = promised.grade_code AND grade_rows.vanished_at IS NULL) AS found \
              FROM frontier AS page JOIN card_population AS promised ON promised.card_id = page.subject_id \
              WHERE page.run_id = $1 AND page.level = 4 AND page.state = 'completed'",
    },
];

impl Store {
    /// Compares all sums of `run` and returns those that disagree, at most `limit` of each kind.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn disagreements(&self, run: RunId, limit: u32) -> Result<Vec<Discrepancy>, StoreError> {
        let mut found = Vec::new();
        for check in CHECKS {
            let sql = format!(
                "SELECT * FROM ({}) AS compared WHERE expected <> found ORDER BY page_key LIMIT $2",
                check.render(self.dialect)
            );
            let statement = self.dialect.statement(sql, [run.into(), i64::from(limit).into()]);
            for row in self.writer.query_all_raw(statement).await? {
                let (expected, read): (i64, i64) = (row.try_get("", "expected")?, row.try_get("", "found")?);
                found.push(Discrepancy {
                    subject: check.subject.to_owned(),
                    subject_id: row.try_get("", "subject_id")?,
                    page_key: row.try_get("", "page_key")?,
                    what: row.try_get("", "what")?,
                    expected: expected.to_string(),
                    expected_by: check.expected_by.to_owned(),
                    found: read.to_string(),
                });
            }
        }
        Ok(found)
    }

    /// Makes the pages behind `disagreements` available for one more read: the children's page, and the page with the
    /// parent's row. Pages verified before stay as they are. Returns how many will be read.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn verify_again(&self, run: RunId, disagreements: &[Discrepancy]) -> Result<u64, StoreError> {
        #[derive(Serialize)]
        struct Row<'a> {
            page_key: &'a str,
        }
        let mut keys: Vec<_> = disagreements.iter().map(|one| one.page_key.as_str()).collect();
        keys.sort_unstable();
        keys.dedup();
        let rows: Vec<_> = keys.iter().map(|page_key| Row { page_key }).collect();
        let columns: Columns = &[("page_key", ColumnType::Text)];
        let sql = format!(
            "UPDATE frontier SET state = 'available', verifications = verifications + 1, failures = 0, refusals = 0, \
                 rows_hash = NULL, finished_at = NULL, lease_token = NULL \
             WHERE run_id = $2 AND state = 'completed' AND verifications = 0 AND id IN ( \
                 SELECT page.id FROM frontier AS page JOIN {source} ON r.page_key = page.page_key \
                 WHERE page.run_id = $2 \
                 UNION \
                 SELECT above.id FROM frontier AS page JOIN {source} ON r.page_key = page.page_key \
                 JOIN {parents} AS parent ON parent.level = page.level AND parent.child_id = page.subject_id \
                 JOIN frontier AS above ON above.run_id = $2 AND above.level = page.level - 1 \
                     AND above.subject_id = parent.parent_id \
                 WHERE page.run_id = $2)",
            source = self.dialect.rows(columns),
            parents = "(SELECT 2 AS level, id AS child_id, category_id AS parent_id FROM years \
                        UNION ALL SELECT 3, id, year_id FROM sets UNION ALL SELECT 4, id, set_id FROM cards)",
        );
        self.write(
            self.dialect
                .statement(sql, [self.dialect.json_rows(&rows), run.into()]),
        )
        .await
    }

    /// Lets the pages behind this run's open discrepancies be verified once more.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn allow_verification(&self, run: RunId) -> Result<u64, StoreError> {
        let sql = "UPDATE frontier SET verifications = 0 \
                   WHERE run_id = $1 AND state = 'completed' AND verifications > 0 AND page_key IN \
                       (SELECT page_key FROM discrepancies WHERE run_id = $1 AND resolved_at IS NULL)";
        self.write(self.dialect.statement(sql, [run.into()])).await
    }

    /// Writes what remains of `disagreements` after verification, and resolves earlier ones on the pages this run has
    /// completed. Returns the number of discrepancies of this run, unreadable cells included; `None` when `closer` has
    /// no right to close the run any more: then nothing is written.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn settle_disagreements(
        &self,
        run: RunId,
        closer: &str,
        disagreements: &[Discrepancy],
    ) -> Result<Option<u64>, StoreError> {
        let transaction = self.begin().await?;
        // A write, so that whoever takes the right over waits for this transaction, and this one for theirs.
        let guard = "UPDATE runs SET closing_by = $1 WHERE id = $2 AND state = 'running' AND closing_by = $1";
        let guarded = transaction
            .execute_raw(self.dialect.statement(guard, [closer.into(), run.into()]))
            .await?;
        if guarded.rows_affected() == 0 {
            transaction.rollback().await?;
            return Ok(None);
        }
        let resolve = format!(
            "UPDATE discrepancies SET resolved_at = {now} WHERE resolved_at IS NULL AND run_id < $1 \
             AND page_key IN (SELECT page_key FROM frontier WHERE run_id = $1 AND state = 'completed')",
            now = self.dialect.now()
        );
        transaction
            .execute_raw(self.dialect.statement(resolve, [run.into()]))
            .await?;
        let again = "DELETE FROM discrepancies WHERE run_id = $1 AND subject <> 'page'";
        transaction
            .execute_raw(self.dialect.statement(again, [run.into()]))
            .await?;
        record_discrepancies(&transaction, self.dialect, run, disagreements).await?;
        self.note_agreements(&transaction, run).await?;
        transaction.commit().await?;
        Ok(Some(self.discrepancies_of(run).await?))
    }

    /// Notes of the sets and cards whose sums agree that they do, and has those pages read again next time that stand behind
    /// a disagreement: the one with the rows, and the one with what was promised.
    async fn note_agreements(&self, transaction: &DatabaseTransaction, run: RunId) -> Result<(), StoreError> {
        let disputed = |subject: &str| {
            format!(
                "SELECT subject_id FROM discrepancies WHERE run_id = $1 AND subject = '{subject}' AND resolved_at IS NULL"
            )
        };
        let agreed = |table: &str, level: u8, subject: &str| {
            format!(
                "UPDATE {table} SET verified_at = {now} WHERE id IN (SELECT subject_id FROM frontier \
                     WHERE run_id = $1 AND level = {level} AND state = 'completed') AND id NOT IN ({})",
                disputed(subject),
                now = self.dialect.now(),
            )
        };
        let doubt =
            |table: &str, ids: String| format!("UPDATE {table} SET read_changes = -1 WHERE id IN ({ids})");
        for sql in [
            agreed("sets", 3, "set"),
            agreed("cards", 4, "card"),
            doubt("cards", disputed("card")),
            doubt("sets", disputed("set")),
            doubt("years", disputed("year")),
            doubt(
                "sets",
                format!("SELECT set_id FROM cards WHERE id IN ({})", disputed("card")),
            ),
            doubt(
                "years",
                format!("SELECT year_id FROM sets WHERE id IN ({})", disputed("set")),
            ),
        ] {
            transaction
                .execute_raw(self.dialect.statement(sql, [run.into()]))
                .await?;
        }
        Ok(())
    }

    /// The first `limit` sums that do not agree after `run`, in the order in which they were found.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn recorded_disagreements(
        &self,
        run: RunId,
        limit: u32,
    ) -> Result<Vec<Discrepancy>, StoreError> {
        let sql = "SELECT subject, subject_id, page_key, what, expected, expected_by, found FROM discrepancies \
                   WHERE run_id = $1 AND subject <> 'page' AND resolved_at IS NULL ORDER BY id LIMIT $2";
        let statement = self.dialect.statement(sql, [run.into(), i64::from(limit).into()]);
        // Through the writer: what this process has just recorded must be in the picture.
        let rows = self.writer.query_all_raw(statement).await?;
        rows.iter()
            .map(|row| {
                Ok(Discrepancy {
                    subject: row.try_get("", "subject")?,
                    subject_id: row.try_get("", "subject_id")?,
                    page_key: row.try_get("", "page_key")?,
                    what: row.try_get("", "what")?,
                    expected: row.try_get("", "expected")?,
                    expected_by: row.try_get("", "expected_by")?,
                    found: row.try_get("", "found")?,
                })
            })
            .collect()
    }

    /// Discrepancies that `run` has left, unreadable cells included.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn discrepancies_of(&self, run: RunId) -> Result<u64, StoreError> {
        let count = "SELECT count(*) AS open FROM discrepancies WHERE run_id = $1 AND resolved_at IS NULL";
        let row = self
            .writer
            .query_one_raw(self.dialect.statement(count, [run.into()]))
            .await?;
        let open: i64 = row
            .ok_or_else(|| StoreError::Bug("a count gave no row".into()))?
            .try_get("", "open")?;
        Ok(open.unsigned_abs())
    }
}

/// A cell that could not be read, as a discrepancy of its page.
pub(crate) fn unreadable_discrepancy(lease: &Lease, cell: &Unreadable) -> Discrepancy {
    Discrepancy {
        subject: "page".to_owned(),
        subject_id: lease.subject_id.unwrap_or(0),
        page_key: lease.key.to_string(),
        what: cell.place.clone(),
        expected: cell.expected.clone(),
        expected_by: "the profile".to_owned(),
        found: cell.text.clone(),
    }
}

/// Forgets the unreadable cells that earlier reads of these pages in this run have left: the newest read stands.
pub(crate) async fn forget_unreadable(
    transaction: &DatabaseTransaction,
    dialect: Dialect,
    run: RunId,
    page_keys: &[&str],
) -> Result<(), StoreError> {
    if page_keys.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "DELETE FROM discrepancies WHERE run_id = $2 AND subject = 'page' \
         AND page_key IN (SELECT r.page_key FROM {source})",
        source = dialect.rows(&[("page_key", ColumnType::Text)]),
    );
    let rows: Vec<_> = page_keys
        .iter()
        .map(|page_key| serde_json::json!({ "page_key": page_key }))
        .collect();
    transaction
        .execute_raw(dialect.statement(sql, [dialect.json_rows(&rows), run.into()]))
        .await?;
    Ok(())
}

pub(crate) async fn record_discrepancies(
    transaction: &DatabaseTransaction,
    dialect: Dialect,
    run: RunId,
    discrepancies: &[Discrepancy],
) -> Result<(), StoreError> {
    if discrepancies.is_empty() {
        return Ok(());
    }
    let columns: Columns = &[
        ("subject", ColumnType::Text),
        ("subject_id", ColumnType::Int),
        ("page_key", ColumnType::Text),
        ("what", ColumnType::Text),
        ("expected", ColumnType::Text),
        ("expected_by", ColumnType::Text),
        ("found", ColumnType::Text),
    ];
    let sql = format!(
        "INSERT INTO discrepancies (subject, subject_id, page_key, what, expected, expected_by, found, run_id, created_at) \
         SELECT r.subject, r.subject_id, r.page_key, r.what, r.expected, r.expected_by, r.found, $2, {now} FROM {source}",
        now = dialect.now(),
        source = dialect.rows(columns),
    );
    let values = [dialect.json_rows(discrepancies), run.into()];
    transaction.execute_raw(dialect.statement(sql, values)).await?;
    Ok(())
}
