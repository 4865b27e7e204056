//! Proving the sums: what a parent's row promised against what its children's page showed. Only pages that
//! were read in this run are compared, so a filtered run is judged by what it read.
//!
//! Before anything is called a discrepancy, its pages are read again: see [`crate::verification`].

use sea_orm::{ConnectionTrait, DatabaseTransaction};
use serde::Serialize;
use tagpipe_core::model::PageKind;

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
    /// What is known about why they are not one.
    pub verdict: Verdict,
}

/// What is known about two numbers that should be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Verdict {
    /// The difference stayed when parent and child were read again, one directly after the other.
    Disagrees,
    /// The numbers moved while they were read: nothing is known to be missing.
    Moved,
    /// They were not read again: there were more than a run may verify.
    Unverified,
}

impl Verdict {
    /// As it is stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Disagrees => "disagrees",
            Verdict::Moved => "moved",
            Verdict::Unverified => "unverified",
        }
    }

    pub(crate) fn from_name(name: &str) -> Result<Verdict, StoreError> {
        [Verdict::Disagrees, Verdict::Moved, Verdict::Unverified]
            .into_iter()
            .find(|verdict| verdict.as_str() == name)
            .ok_or_else(|| StoreError::Bug(format!("`{name}` is no verdict")))
    }
}

/// Each check is one query over the pages of one level that this run has completed. It returns the page, its
/// subject, what is compared, what was promised and what was found. `{sum:…}` stands for [`Dialect::sum`], `{counts}` for
/// [`Dialect::counts`] of `grade_code` and `copies`.
///
/// Grades are compared one by one only where the counts as a whole differ, which is mostly nowhere: each of them would go
/// through all rows below again.
struct Check {
    subject: &'static str,
    expected_by: &'static str,
    sql: &'static str,
}

/// A query of sums as it is written for `dialect`.
fn render(sql: &str, dialect: Dialect) -> String {
    let sql = sql.replace("{counts}", dialect.counts());
    let mut parts = sql.split("{sum:");
    let mut rendered = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (expression, after) = part.split_once('}').unwrap_or((part, ""));
        rendered.push_str(&dialect.sum(expression));
        rendered.push_str(after);
    }
    rendered
}

/// What is compared of a year two levels down: with the rows of its sets' pages.
pub(crate) const YEAR_CARDS: &str = "cards";

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
    YEAR_CARDS_CHECK,
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
              FROM frontier AS page JOIN sets ON sets.id = page.subject_id \
              JOIN set_population AS promised ON promised.set_id = sets.id \
              WHERE page.run_id = $1 AND page.level = 3 AND page.state = 'completed' AND sets.counts <> \
                  (SELECT {counts} FROM (SELECT card_population.grade_code, {sum:card_population.copies} AS copies \
                   FROM cards JOIN card_population ON card_population.card_id = cards.id \
                   WHERE cards.set_id = sets.id AND cards.last_seen_at >= page.finished_at \
                   GROUP BY card_population.grade_code ORDER BY card_population.grade_code) AS shown)",
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
              FROM frontier AS page JOIN cards ON cards.id = page.subject_id \
              JOIN card_population AS promised ON promised.card_id = cards.id \
              WHERE page.run_id = $1 AND page.level = 4 AND page.state = 'completed' AND cards.counts <> \
                  (SELECT {counts} FROM (SELECT grade_code, count(*) AS copies FROM grade_rows \
                   WHERE grade_rows.card_id = cards.id AND grade_rows.vanished_at IS NULL \
                   GROUP BY grade_code ORDER BY grade_code) AS shown)",
    },
];

/// All sums that run `$1` can compare: `subject`, `subject_id`, `what`, `expected`, `found`.
pub(crate) fn compared_sums(dialect: Dialect) -> String {
    let each = CHECKS.iter().map(|check| {
        format!(
            "SELECT '{}' AS subject, subject_id, what, expected, found FROM ({}) AS compared",
            check.subject,
            render(check.sql, dialect)
        )
    });
    each.collect::<Vec<_>>().join(" UNION ALL ")
}

// CROSS JOIN makes SQLite go from the year down; it would rather look through all sets' pages for each year.
const YEAR_CARDS_CHECK: Check = Check {
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
};

/// The same numbers as they are stored, whichever run has read them: rows that are listed, below a row whose page was
/// read whole and that has not changed since.
struct StoredSums {
    subject: &'static str,
    table: &'static str,
    /// Which discrepancies they are compared for.
    what: &'static str,
    /// `subject_id`, `what`, `expected` and `found`.
    sql: &'static str,
}

const STORED_SUMS: &[StoredSums] = &[
    StoredSums {
        subject: "year",
        table: "years",
        what: "what = 'sets'",
        sql: "SELECT years.id AS subject_id, 'sets' AS what, years.sets_count AS expected, \
                  (SELECT count(*) FROM sets WHERE sets.year_id = years.id AND sets.vanished_at IS NULL) AS found \
              FROM years",
    },
    StoredSums {
        subject: "year",
        table: "years",
        what: "what = 'graded copies'",
        sql: "SELECT years.id AS subject_id, 'graded copies' AS what, years.graded_count AS expected, \
                  (SELECT {sum:sets.total} FROM sets WHERE sets.year_id = years.id AND sets.vanished_at IS NULL) AS found \
              FROM years",
    },
    StoredSums {
        subject: "year",
        table: "years",
        what: "what = 'cards' AND NOT EXISTS (SELECT 1 FROM sets WHERE sets.year_id = discrepancies.subject_id \
                   AND sets.vanished_at IS NULL AND sets.read_changes <> sets.changes)",
        sql: "SELECT years.id AS subject_id, 'cards' AS what, years.items_count AS expected, \
                  (SELECT count(*) FROM sets JOIN cards ON cards.set_id = sets.id AND cards.vanished_at IS NULL \
                   WHERE sets.year_id = years.id AND sets.vanished_at IS NULL) AS found \
              FROM years",
    },
    StoredSums {
        subject: "set",
        table: "sets",
        what: "what = 'copies'",
        sql: "SELECT sets.id AS subject_id, 'copies' AS what, sets.total AS expected, \
                  (SELECT {sum:cards.total} FROM cards WHERE cards.set_id = sets.id AND cards.vanished_at IS NULL) AS found \
              FROM sets",
    },
    StoredSums {
        subject: "set",
        table: "sets",
        what: "what LIKE 'copies at grade %'",
        sql: "SELECT promised.set_id AS subject_id, 'copies at grade ' || promised.grade_code AS what, \
                  promised.copies AS expected, \
                  (SELECT {sum:card_population.copies} FROM cards \
                   JOIN card_population ON card_population.card_id = cards.id \
                   WHERE cards.set_id = promised.set_id AND cards.vanished_at IS NULL \
                       AND card_population.grade_code = promised.grade_code) AS found \
              FROM set_population AS promised",
    },
    StoredSums {
        subject: "card",
        table: "cards",
        what: "what = 'certificates'",
        sql: "SELECT cards.id AS subject_id, 'certificates' AS what, cards.total AS expected, \
                  (SELECT count(*) FROM grade_rows WHERE grade_rows.card_id = cards.id \
                   AND grade_rows.vanished_at IS NULL) AS found \
              FROM cards",
    },
    StoredSums {
        subject: "card",
        table: "cards",
        what: "what LIKE 'certificates at grade %'",
        sql: "SELECT promised.card_id AS subject_id, 'certificates at grade ' || promised.grade_code AS what, \
                  promised.copies AS expected, \
                  (SELECT count(*) FROM grade_rows WHERE grade_rows.card_id = promised.card_id \
                   AND grade_rows.grade_code = promised.grade_code AND grade_rows.vanished_at IS NULL) AS found \
              FROM card_population AS promised",
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
                render(check.sql, self.dialect)
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
                    verdict: Verdict::Unverified,
                });
            }
        }
        found.extend(self.shared_certificates(run, limit).await?);
        Ok(found)
    }

    /// Certificates that two cards' pages list. The card whose page was read first is in doubt: if it lists the
    /// certificate no longer, it has moved.
    async fn shared_certificates(&self, run: RunId, limit: u32) -> Result<Vec<Discrepancy>, StoreError> {
        let sql = "SELECT DISTINCT page.page_key, page.subject_id, shared.cert_number, \
                       sets.brand || ' ' || sets.name || ' #' || cards.number || ' ' || cards.name || ' ' || cards.variation AS other \
                   FROM shared_certificates AS shared JOIN frontier AS page ON page.run_id = shared.run_id \
                       AND page.level = 4 AND page.subject_id = shared.other_card_id AND page.state = 'completed' \
                       AND page.finished_at <= shared.seen_at \
                   JOIN grade_rows ON grade_rows.cert_number = shared.cert_number \
                       AND grade_rows.card_id = shared.card_id AND grade_rows.vanished_at IS NULL \
                   JOIN cards ON cards.id = shared.card_id JOIN sets ON sets.id = cards.set_id \
                   WHERE shared.run_id = $1 ORDER BY page.page_key, shared.cert_number LIMIT $2";
        let statement = self.dialect.statement(sql, [run.into(), i64::from(limit).into()]);
        let rows = self.writer.query_all_raw(statement).await?;
        rows.iter()
            .map(|row| {
                let (cert, other): (String, String) =
                    (row.try_get("", "cert_number")?, row.try_get("", "other")?);
                Ok(Discrepancy {
                    subject: "card".to_owned(),
                    subject_id: row.try_get("", "subject_id")?,
                    page_key: row.try_get("", "page_key")?,
                    what: format!("certificate {cert}"),
                    expected: "this card alone".to_owned(),
                    expected_by: "the site's numbering".to_owned(),
                    found: format!(
                        "it on {}, too",
                        other.split_whitespace().collect::<Vec<_>>().join(" ")
                    ),
                    verdict: Verdict::Unverified,
                })
            })
            .collect()
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
        let again = "DELETE FROM discrepancies WHERE run_id = $1 AND subject <> 'page'";
        transaction
            .execute_raw(self.dialect.statement(again, [run.into()]))
            .await?;
        record_discrepancies(&transaction, self.dialect, run, disagreements).await?;
        // Only a reading that agrees resolves: what this run has found again stays open, whoever found it first. A year's
        // cards are compared only where all its sets' pages were read.
        let resolve = format!(
            "UPDATE discrepancies SET resolved_at = {now} WHERE resolved_at IS NULL AND run_id < $1 \
             AND page_key IN (SELECT page_key FROM frontier WHERE run_id = $1 AND state = 'completed') \
             AND (subject <> 'year' OR what <> '{YEAR_CARDS}' \
                 OR page_key IN (SELECT page_key FROM ({year_cards}) AS compared)) \
             AND NOT EXISTS (SELECT 1 FROM discrepancies AS again WHERE again.run_id = $1 \
                 AND again.page_key = discrepancies.page_key AND again.what = discrepancies.what)",
            now = self.dialect.now(),
            year_cards = render(YEAR_CARDS_CHECK.sql, self.dialect),
        );
        transaction
            .execute_raw(self.dialect.statement(resolve, [run.into()]))
            .await?;
        // Of what has left the site nobody can ask any more.
        let gone = ["year", "set", "card"].map(|subject| {
            format!("subject = '{subject}' AND subject_id IN (SELECT id FROM {subject}s WHERE vanished_at IS NOT NULL)")
        });
        let resolve_gone = format!(
            "UPDATE discrepancies SET resolved_at = {now} WHERE resolved_at IS NULL AND (({}))",
            gone.join(") OR ("),
            now = self.dialect.now()
        );
        transaction
            .execute_raw(self.dialect.statement(resolve_gone, []))
            .await?;
        self.note_agreements(&transaction, run).await?;
        // After what this run disputes is not relied on any more.
        self.resolve_what_agrees_now(&transaction, run).await?;
        transaction.commit().await?;
        Ok(Some(self.discrepancies_of(run).await?))
    }

    /// Resolves what earlier runs have left open on pages that were read whole since, and whose stored numbers agree: the run
    /// that read them may have ended before it compared anything, and those after it leave them out.
    async fn resolve_what_agrees_now(
        &self,
        transaction: &DatabaseTransaction,
        run: RunId,
    ) -> Result<(), StoreError> {
        let relied_on = |table: &str| {
            format!(
                "EXISTS (SELECT 1 FROM {table} AS read WHERE read.id = discrepancies.subject_id \
                     AND read.read_changes = read.changes AND read.read_at >= discrepancies.created_at)"
            )
        };
        let resolve = |condition: String| {
            format!(
                "UPDATE discrepancies SET resolved_at = {now} WHERE resolved_at IS NULL AND run_id < $1 AND {condition}",
                now = self.dialect.now()
            )
        };
        let mut statements = Vec::new();
        for StoredSums {
            subject,
            table,
            what,
            sql,
        } in STORED_SUMS
        {
            let compared = render(sql, self.dialect);
            statements.push(resolve(format!(
                "subject = '{subject}' AND {what} AND {relied_on} AND NOT EXISTS (SELECT 1 FROM ({compared}) AS compared \
                     WHERE compared.subject_id = discrepancies.subject_id AND compared.what = discrepancies.what \
                         AND compared.expected <> compared.found)",
                relied_on = relied_on(table),
            )));
        }
        // A page with a cell that could not be read is not relied on.
        for (kind, table) in [
            (PageKind::Sets, "years"),
            (PageKind::Cards, "sets"),
            (PageKind::GradeRows, "cards"),
        ] {
            statements.push(resolve(format!(
                "subject = 'page' AND page_key LIKE '{kind}/%' AND {relied_on}",
                relied_on = relied_on(table),
            )));
        }
        for sql in statements {
            transaction
                .execute_raw(self.dialect.statement(sql, [run.into()]))
                .await?;
        }
        Ok(())
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
        let sql = "SELECT subject, subject_id, page_key, what, expected, expected_by, found, verdict FROM discrepancies \
                   WHERE run_id = $1 AND subject <> 'page' AND resolved_at IS NULL \
                   ORDER BY verdict = 'moved', id LIMIT $2";
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
                    verdict: Verdict::from_name(&row.try_get::<String>("", "verdict")?)?,
                })
            })
            .collect()
    }

    /// Discrepancies that `run` has left, unreadable cells included; what only moved while it was read is none.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn discrepancies_of(&self, run: RunId) -> Result<u64, StoreError> {
        let of = self.open_by_verdict(run).await?;
        Ok(of.disagree + of.unverified)
    }

    /// What `run` has left open, by verdict.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn open_by_verdict(&self, run: RunId) -> Result<OpenByVerdict, StoreError> {
        let sql = "SELECT verdict, count(*) AS open FROM discrepancies WHERE run_id = $1 AND resolved_at IS NULL \
                   GROUP BY verdict";
        let mut open = OpenByVerdict::default();
        for row in self
            .writer
            .query_all_raw(self.dialect.statement(sql, [run.into()]))
            .await?
        {
            let count: i64 = row.try_get("", "open")?;
            *match Verdict::from_name(&row.try_get::<String>("", "verdict")?)? {
                Verdict::Disagrees => &mut open.disagree,
                Verdict::Moved => &mut open.moved,
                Verdict::Unverified => &mut open.unverified,
            } = count.unsigned_abs();
        }
        Ok(open)
    }

    /// How many sets and cards are verified, and since when. Answered from indexes.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn verified(&self) -> Result<Verified, StoreError> {
        let of = |table: &str| {
            format!(
                "SELECT count(*) AS all_rows, count(verified_at) AS verified, min({}) AS oldest FROM {table} \
                 WHERE vanished_at IS NULL",
                self.dialect.iso("verified_at")
            )
        };
        let mut counts = Vec::new();
        for table in ["sets", "cards"] {
            let row = self
                .writer
                .query_one_raw(self.dialect.statement(of(table), []))
                .await?
                .ok_or_else(|| StoreError::Bug("a count gave no row".into()))?;
            let (all, verified): (i64, i64) = (row.try_get("", "all_rows")?, row.try_get("", "verified")?);
            counts.push(VerifiedRows {
                verified: verified.unsigned_abs(),
                of: all.unsigned_abs(),
                oldest_at: row.try_get("", "oldest")?,
            });
        }
        let cards = counts.pop().unwrap_or_default();
        let sets = counts.pop().unwrap_or_default();
        Ok(Verified { sets, cards })
    }
}

/// What a run has left open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OpenByVerdict {
    /// Sums that do not agree, and cells that could not be read.
    pub disagree: u64,
    /// Sums that moved while they were read.
    pub moved: u64,
    /// Sums that were not read again, because there were too many.
    pub unverified: u64,
}

/// How much of the catalogue is verified.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Verified {
    /// Sets whose cards have the copies that they promise.
    pub sets: VerifiedRows,
    /// Cards that have the certificates that they promise.
    pub cards: VerifiedRows,
}

/// Verified rows of one table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VerifiedRows {
    /// Those whose sums have agreed.
    pub verified: u64,
    /// All of them.
    pub of: u64,
    /// When the one agreed that has not been looked at for longest (UTC); null if none has.
    pub oldest_at: Option<String>,
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
        verdict: Verdict::Disagrees,
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
        ("verdict", ColumnType::Text),
    ];
    let sql = format!(
        "INSERT INTO discrepancies (subject, subject_id, page_key, what, expected, expected_by, found, verdict, run_id, created_at) \
         SELECT r.subject, r.subject_id, r.page_key, r.what, r.expected, r.expected_by, r.found, r.verdict, $2, {now} FROM {source}",
        now = dialect.now(),
        source = dialect.rows(columns),
    );
    let values = [dialect.json_rows(discrepancies), run.into()];
    transaction.execute_raw(dialect.statement(sql, values)).await?;
    Ok(())
}
