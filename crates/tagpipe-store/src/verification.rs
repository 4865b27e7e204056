//! Looking twice: parent and child of sums that disagree are read again, the child directly after its parent
//! ([`Store::verify_again`], [`release_verified`]), before anything is called a discrepancy. A difference that stays was
//! there all the time; one that came or went with the numbers was movement. The site moves while it is read.

use std::collections::{HashMap, HashSet};

use sea_orm::{ConnectionTrait, DatabaseTransaction, QueryResult, Value};
use serde::{Deserialize, Serialize};
use tagpipe_core::model::PageKind;

use crate::connect::Store;
use crate::contract::RunId;
use crate::dialect::{ColumnType, Dialect};
use crate::error::StoreError;
use crate::frontier::page_kind;
use crate::reconcile::{Discrepancy, Verdict, YEAR_CARDS};
use crate::subjects::{StoredSubject, living, source, stored_subject};

/// How often one page is read again, at most, because its sums disagree.
const ROUNDS_MAX: i64 = 3;

/// A disagreement of a page as it stood when the page was put up for verification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Doubt {
    what: String,
    expected: String,
    found: String,
}

impl Doubt {
    fn of(discrepancy: &Discrepancy) -> Doubt {
        Doubt {
            what: discrepancy.what.clone(),
            expected: discrepancy.expected.clone(),
            found: discrepancy.found.clone(),
        }
    }

    /// What is missing; below zero for a surplus, `None` for what is not counted.
    fn missing(&self) -> Option<i64> {
        let (expected, found) = (
            self.expected.parse::<i64>().ok()?,
            self.found.parse::<i64>().ok()?,
        );
        Some(expected.saturating_sub(found))
    }

    /// Whether this is `before` again, after both pages were read once more. The same numbers are: had the population
    /// moved in between, the parent would show it. So is the same lack beside other numbers: as the child is read after
    /// its parent, a population that grows makes a surplus, never a lack.
    fn has_stayed_since(&self, before: &[Doubt]) -> bool {
        let Some(before) = before.iter().find(|one| one.what == self.what) else {
            return false;
        };
        let lacks_the_same =
            self.missing() == before.missing() && self.missing().is_some_and(|missing| missing > 0);
        self == before || lacks_the_same
    }
}

/// A page behind disagreements, as far as its verification is.
struct DoubtedPage {
    id: i64,
    page_key: String,
    before: Vec<Doubt>,
    verifications: i64,
    /// Whether its row has changed since the page was read.
    has_moved_since: bool,
    /// The page with its row, if this run has it and can read it again.
    above: Option<i64>,
}

impl DoubtedPage {
    fn verdict(&self, discrepancy: &Discrepancy) -> Verdict {
        if self.has_moved_since {
            Verdict::Moved
        } else if self.verifications == 0 {
            Verdict::Unverified
        } else if Doubt::of(discrepancy).has_stayed_since(&self.before) {
            Verdict::Disagrees
        } else {
            Verdict::Moved
        }
    }

    fn is_to_be_read(&self, doubts: &[Doubt]) -> bool {
        let is_settled = !self.has_moved_since && doubts.iter().all(|one| one.has_stayed_since(&self.before));
        self.verifications < ROUNDS_MAX && (self.verifications == 0 || !is_settled)
    }
}

impl Store {
    /// The rows above the pages behind `disagreements` whose own parent's page `run` does not have, as when it began further down
    /// or reads under a budget, with the kind of that parent's page. Until that page is part of the run, nobody can tell a
    /// row that moved from one that disagrees.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn parents_outside(
        &self,
        run: RunId,
        disagreements: &[Discrepancy],
    ) -> Result<Vec<(PageKind, StoredSubject)>, StoreError> {
        let mut parents = Vec::new();
        for (kind, child, parent) in [
            (PageKind::Years, "years", "category_id"),
            (PageKind::Sets, "sets", "year_id"),
            (PageKind::Cards, "cards", "set_id"),
        ] {
            let Some(source) = source(kind, self.dialect) else {
                continue;
            };
            let sql = format!(
                "SELECT {source} WHERE {living} AND subject.id IN (SELECT child.{parent} FROM {keys} \
                     JOIN frontier AS page ON page.run_id = $2 AND page.page_key = r.page_key \
                         AND page.level = $3 + 1 AND page.state = 'completed' \
                     JOIN {child} AS child ON child.id = page.subject_id) \
                 AND NOT EXISTS (SELECT 1 FROM frontier WHERE run_id = $2 AND level = $3 AND subject_id = subject.id) \
                 ORDER BY subject.id",
                living = living(kind),
                keys = self.dialect.rows(&[("page_key", ColumnType::Text)]),
            );
            let values = [
                page_keys(self.dialect, disagreements),
                run.into(),
                i64::from(kind.level()).into(),
            ];
            for row in self
                .writer
                .query_all_raw(self.dialect.statement(sql, values))
                .await?
            {
                parents.push((kind, stored_subject(&row)?));
            }
        }
        Ok(parents)
    }

    /// Has the pages behind `disagreements` read again, each directly after the page with its parent's row: that one
    /// becomes available now, the page itself when that one is committed. A difference that has stayed is not looked at
    /// again, nor is a page after `ROUNDS_MAX` times. In all, `run` reads at most `reads_max` pages again. Returns how
    /// many become available now.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn verify_again(
        &self,
        run: RunId,
        disagreements: &[Discrepancy],
        reads_max: u64,
    ) -> Result<u64, StoreError> {
        #[derive(Serialize)]
        struct Row {
            page_id: i64,
            verify_after: Option<i64>,
            doubt: String,
        }
        let transaction = self.begin().await?;
        let doubts = doubts_by_page(disagreements);
        let mut left = reads_max.saturating_sub(self.verification_reads(&transaction, run).await?);
        let (mut rows, mut reads) = (Vec::new(), HashSet::new());
        for page in self.doubted_pages(&transaction, run, disagreements).await? {
            let doubts = &doubts[page.page_key.as_str()];
            let needed: Vec<i64> = [Some(page.id), page.above]
                .into_iter()
                .flatten()
                .filter(|id| !reads.contains(id))
                .collect();
            if !page.is_to_be_read(doubts) || needed.len() as u64 > left {
                continue;
            }
            left -= needed.len() as u64;
            reads.extend(needed);
            rows.push(Row {
                page_id: page.id,
                verify_after: page.above,
                doubt: serde_json::to_string(doubts).expect("own types serialise"),
            });
        }
        let sql = format!(
            "UPDATE frontier SET doubt = r.doubt, verify_after = r.verify_after FROM {source} WHERE frontier.id = r.page_id",
            source = self.dialect.rows(&[
                ("page_id", ColumnType::Int),
                ("verify_after", ColumnType::Int),
                ("doubt", ColumnType::Text)
            ]),
        );
        transaction
            .execute_raw(self.dialect.statement(sql, [self.dialect.json_rows(&rows)]))
            .await?;
        let waiting: HashSet<i64> = rows
            .iter()
            .filter(|row| row.verify_after.is_some())
            .map(|row| row.page_id)
            .collect();
        let first: Vec<i64> = reads.difference(&waiting).copied().collect();
        let available = make_available(&transaction, self.dialect, "frontier.id", &first).await?;
        transaction.commit().await?;
        Ok(available.iter().sum())
    }

    /// Has pages read that `run` has left out as unchanged below years whose cards do not add up: a set that lost a card
    /// while another of its cards gained the copies shows what it showed. First those whose stored cards do not have what
    /// their set promises, then those that were read longest ago, so that a later run goes on where this one ends. They
    /// count as verification reads, of which `run` has `reads_max`. Returns how many become available.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn read_left_out(
        &self,
        run: RunId,
        disagreements: &[Discrepancy],
        reads_max: u64,
    ) -> Result<u64, StoreError> {
        let years: Vec<_> = disagreements
            .iter()
            .filter(|one| one.subject == "year" && one.what == YEAR_CARDS)
            .map(|one| serde_json::json!({ "id": one.subject_id }))
            .collect();
        if years.is_empty() {
            return Ok(0);
        }
        let transaction = self.begin().await?;
        let left = reads_max.saturating_sub(self.verification_reads(&transaction, run).await?);
        let sql = format!(
            "SELECT page.id FROM {source} JOIN sets ON sets.year_id = r.id AND sets.vanished_at IS NULL \
             JOIN frontier AS page ON page.run_id = $2 AND page.level = 3 AND page.subject_id = sets.id \
                 AND page.state = 'unchanged' \
             ORDER BY CASE WHEN sets.total = (SELECT {copies} FROM cards WHERE cards.set_id = sets.id \
                 AND cards.vanished_at IS NULL) THEN 1 ELSE 0 END, sets.read_at, page.id LIMIT $3",
            source = self.dialect.rows(&[("id", ColumnType::Int)]),
            copies = self.dialect.sum("cards.total"),
        );
        let values = [
            self.dialect.json_rows(&years),
            run.into(),
            i64::try_from(left).unwrap_or(i64::MAX).into(),
        ];
        let rows = transaction
            .query_all_raw(self.dialect.statement(sql, values))
            .await?;
        let pages = rows
            .iter()
            .map(|row| Ok(row.try_get("", "id")?))
            .collect::<Result<Vec<i64>, StoreError>>()?;
        let available = make_available(&transaction, self.dialect, "frontier.id", &pages).await?;
        transaction.commit().await?;
        Ok(available.iter().sum())
    }

    /// Reads that `run` has spent on verification.
    async fn verification_reads(
        &self,
        transaction: &DatabaseTransaction,
        run: RunId,
    ) -> Result<u64, StoreError> {
        let sql = format!(
            "SELECT {} AS reads FROM frontier WHERE run_id = $1 AND verifications > 0",
            self.dialect.sum("verifications")
        );
        let row = transaction
            .query_one_raw(self.dialect.statement(sql, [run.into()]))
            .await?;
        let reads: i64 = row.map_or(Ok(0), |row| row.try_get("", "reads"))?;
        Ok(reads.unsigned_abs())
    }

    /// The pages behind `disagreements` that are completed, from the top down.
    async fn doubted_pages(
        &self,
        connection: &impl ConnectionTrait,
        run: RunId,
        disagreements: &[Discrepancy],
    ) -> Result<Vec<DoubtedPage>, StoreError> {
        let sql = format!(
            "SELECT page.id, page.page_key, page.doubt, page.verifications, above.id AS above_id, \
                 coalesce(subject.changed_at > page.finished_at, false) AS has_moved_since \
             FROM frontier AS page JOIN {source} ON r.page_key = page.page_key \
             LEFT JOIN {subjects} AS subject ON subject.level = page.level AND subject.id = page.subject_id \
             LEFT JOIN frontier AS above ON above.run_id = $2 AND above.level = page.level - 1 \
                 AND above.subject_id = subject.parent_id AND above.state IN ('completed', 'unchanged') \
             WHERE page.run_id = $2 AND page.state = 'completed' ORDER BY page.level, page.id",
            source = self.dialect.rows(&[("page_key", ColumnType::Text)]),
            subjects = "(SELECT 2 AS level, id, category_id AS parent_id, changed_at FROM years \
                         UNION ALL SELECT 3, id, year_id, changed_at FROM sets \
                         UNION ALL SELECT 4, id, set_id, changed_at FROM cards)",
        );
        let statement = self
            .dialect
            .statement(sql, [page_keys(self.dialect, disagreements), run.into()]);
        let rows = connection.query_all_raw(statement).await?;
        rows.iter().map(doubted_page).collect()
    }

    /// `disagreements` with what is known about each: whether it stayed, moved, or was not looked at again.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn judged(
        &self,
        run: RunId,
        mut disagreements: Vec<Discrepancy>,
    ) -> Result<Vec<Discrepancy>, StoreError> {
        let pages = self.doubted_pages(&self.writer, run, &disagreements).await?;
        let pages: HashMap<_, _> = pages.iter().map(|page| (page.page_key.as_str(), page)).collect();
        for one in &mut disagreements {
            if let Some(page) = pages.get(one.page_key.as_str()) {
                one.verdict = page.verdict(one);
            }
        }
        Ok(disagreements)
    }

    /// Lets the pages behind this run's open discrepancies be verified once more.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn allow_verification(&self, run: RunId) -> Result<u64, StoreError> {
        let sql = "UPDATE frontier SET verifications = 0, doubt = NULL \
                   WHERE run_id = $1 AND state = 'completed' AND verifications > 0 AND page_key IN \
                       (SELECT page_key FROM discrepancies WHERE run_id = $1 AND resolved_at IS NULL)";
        self.write(self.dialect.statement(sql, [run.into()])).await
    }
}

fn page_keys(dialect: Dialect, disagreements: &[Discrepancy]) -> Value {
    #[derive(Serialize)]
    struct Row<'a> {
        page_key: &'a str,
    }
    let keys: HashSet<_> = disagreements.iter().map(|one| one.page_key.as_str()).collect();
    let rows: Vec<_> = keys.into_iter().map(|page_key| Row { page_key }).collect();
    dialect.json_rows(&rows)
}

fn doubts_by_page(disagreements: &[Discrepancy]) -> HashMap<&str, Vec<Doubt>> {
    let mut doubts: HashMap<&str, Vec<Doubt>> = HashMap::new();
    for one in disagreements {
        doubts.entry(&one.page_key).or_default().push(Doubt::of(one));
    }
    doubts
}

fn doubted_page(row: &QueryResult) -> Result<DoubtedPage, StoreError> {
    let doubt: Option<String> = row.try_get("", "doubt")?;
    let before = doubt.map_or(Ok(Vec::new()), |doubt| serde_json::from_str(&doubt));
    Ok(DoubtedPage {
        id: row.try_get("", "id")?,
        page_key: row.try_get("", "page_key")?,
        before: before.map_err(|error| StoreError::Bug(format!("frontier.doubt is damaged: {error}")))?,
        verifications: row.try_get("", "verifications")?,
        has_moved_since: row.try_get("", "has_moved_since")?,
        above: row.try_get("", "above_id")?,
    })
}

/// Makes the pages available that wait for one of `read`, pages that were verified and have just been committed or given
/// up. Returns how many, by level.
pub(crate) async fn release_verified(
    transaction: &DatabaseTransaction,
    dialect: Dialect,
    read: &[i64],
) -> Result<[u64; 5], StoreError> {
    make_available(transaction, dialect, "frontier.verify_after", read).await
}

/// Makes pages that were completed or left out available for one more read: those whose `column` is among `ids`. What they are expected to
/// have is what their rows say now.
async fn make_available(
    transaction: &DatabaseTransaction,
    dialect: Dialect,
    column: &str,
    ids: &[i64],
) -> Result<[u64; 5], StoreError> {
    #[derive(Serialize)]
    struct Row {
        id: i64,
    }
    let mut available = [0; 5];
    if ids.is_empty() {
        return Ok(available);
    }
    let rows: Vec<_> = ids.iter().map(|id| Row { id: *id }).collect();
    let of_row = |year: &str, set_or_card: &str| {
        format!(
            "CASE level WHEN 2 THEN (SELECT {year} FROM years WHERE years.id = frontier.subject_id) \
             WHEN 3 THEN (SELECT {set_or_card} FROM sets WHERE sets.id = frontier.subject_id) \
             WHEN 4 THEN (SELECT {set_or_card} FROM cards WHERE cards.id = frontier.subject_id) END"
        )
    };
    let sql = format!(
        "UPDATE frontier SET state = 'available', verifications = verifications + 1, failures = 0, refusals = 0, \
             rows_hash = NULL, finished_at = NULL, lease_token = NULL, verify_after = NULL, \
             expected = coalesce({expected}, expected), subject_changes = coalesce({changes}, subject_changes) \
         WHERE state IN ('completed', 'unchanged') AND {column} IN (SELECT r.id FROM {source}) \
         RETURNING CAST(level AS bigint) AS level",
        expected = of_row("sets_count", "total"),
        changes = of_row("changes", "changes"),
        source = dialect.rows(&[("id", ColumnType::Int)]),
    );
    for row in transaction
        .query_all_raw(dialect.statement(sql, [dialect.json_rows(&rows)]))
        .await?
    {
        let level: i64 = row.try_get("", "level")?;
        available[usize::from(page_kind(level)?.level())] += 1;
    }
    Ok(available)
}
