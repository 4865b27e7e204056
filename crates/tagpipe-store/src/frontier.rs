//! The frontier: all known pages of a run with their state. Claiming, renewing and giving back leases; how a
//! lease *ends* is the business of [`crate::commit`].

use std::collections::HashSet;
use std::time::Duration;

use sea_orm::{ConnectionTrait, DatabaseTransaction, QueryResult};
use serde::Serialize;
use tagpipe_core::lifecycle::PageState;
use tagpipe_core::model::{Identity, PageKind};
use tagpipe_core::policy::PageHistory;
use uuid::Uuid;

use crate::connect::Store;
use crate::contract::{Admission, FrontierCounts, Lease, NewPage, RunId};
use crate::dialect::{ColumnType, Columns, Dialect};
use crate::error::StoreError;
use crate::reading_order::CLAIM_ORDER;

/// How many more pages may be read, when, and who else reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outlook {
    /// Until the next page that waits for its retry is due; `None` if none waits.
    pub next_due: Option<Duration>,
    /// Whether pages can be claimed at once.
    pub available: bool,
    /// Whether pages are leased, by anyone.
    pub leased: bool,
}

#[derive(Serialize)]
pub(crate) struct PageRow<'a> {
    level: u8,
    page_key: &'a str,
    url: &'a str,
    identity: &'a Identity,
    subject_id: Option<i64>,
    expected: Option<i64>,
    subject_changes: Option<i64>,
    stale_since_us: i64,
    audited: i64,
    state: PageState,
    last_outcome: Option<&'static str>,
    last_error: Option<&'a str>,
}

const PAGE_COLUMNS: Columns = &[
    ("level", ColumnType::Int),
    ("page_key", ColumnType::Text),
    ("url", ColumnType::Text),
    ("identity", ColumnType::Json),
    ("subject_id", ColumnType::Int),
    ("expected", ColumnType::Int),
    ("subject_changes", ColumnType::Int),
    ("stale_since_us", ColumnType::Int),
    ("audited", ColumnType::Int),
    ("state", ColumnType::Text),
    ("last_outcome", ColumnType::Text),
    ("last_error", ColumnType::Text),
];

/// Makes the failed pages of run `$1` available again: their counters start anew, their attempts are kept.
pub(crate) const REOPEN_FAILED: &str = "UPDATE frontier SET state = 'available', failures = 0, refusals = 0, \
     calm_not_founds = 0, rows_hash = NULL, finished_at = NULL, lease_token = NULL \
     WHERE run_id = $1 AND state = 'failed'";

impl Store {
    /// Adds pages to a run's frontier; those already in it are left as they are.
    /// Returns how many were added, by level.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn add_pages(&self, run: RunId, pages: &[NewPage]) -> Result<[u64; 5], StoreError> {
        let transaction = self.begin().await?;
        let added = add_pages(&transaction, self.dialect, run, pages).await?;
        transaction.commit().await?;
        Ok(added)
    }

    /// Leases up to `limit` pages to `owner` for `term`, in the run's [`ReadingOrder`](crate::ReadingOrder). Pages whose retry is due become available first.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn claim(
        &self,
        run: RunId,
        owner: &str,
        limit: usize,
        term: Duration,
    ) -> Result<Vec<Lease>, StoreError> {
        self.promote_due(run).await?;
        let token = Uuid::new_v4().to_string();
        let dialect = self.dialect;
        let sql = format!(
            "WITH wanted AS MATERIALIZED (SELECT id FROM frontier WHERE run_id = $4 AND state = 'available' \
                     AND EXISTS (SELECT 1 FROM runs WHERE id = $4 AND steering = 'go') \
                 ORDER BY {CLAIM_ORDER} LIMIT $5 {skip_locked}) \
             UPDATE frontier SET state = 'leased', lease_owner = $1, lease_token = $2, \
                 lease_expires_at = {expires}, attempts = attempts + 1, not_before = NULL \
             WHERE id IN (SELECT id FROM wanted) \
             RETURNING id, stale_since_us, level, page_key, url, {identity} AS identity, subject_id, expected, attempts, \
                 failures, refusals, calm_not_founds, rows_hash, verifications, audited",
            expires = dialect.now_plus("$3"),
            skip_locked = dialect.skip_locked(),
            identity = dialect.as_text("identity"),
        );
        let statement = dialect.statement(
            sql,
            [
                owner.into(),
                token.clone().into(),
                microseconds(term).into(),
                run.into(),
                i64::try_from(limit).unwrap_or(i64::MAX).into(),
            ],
        );
        let rows = self.write_returning(statement).await?;
        let mut leases = rows
            .iter()
            .map(|row| Ok((row.try_get::<i64>("", "stale_since_us")?, lease(row, &token)?)))
            .collect::<Result<Vec<_>, StoreError>>()?;
        // The rows come in any order: this is CLAIM_ORDER once more.
        leases.sort_by_key(|(stale_since_us, lease)| {
            (*stale_since_us, std::cmp::Reverse(lease.kind), lease.page_id)
        });
        Ok(leases.into_iter().map(|(_, lease)| lease).collect())
    }

    /// Looks first: mostly none is due, and looking takes no lock. The statement's time does not change within it, so that
    /// PostgreSQL looks it up in the index and does not go through all that wait.
    async fn promote_due(&self, run: RunId) -> Result<(), StoreError> {
        let due = format!(
            "SELECT 1 AS due FROM frontier WHERE run_id = $1 AND state = 'retryable' AND not_before <= {} LIMIT 1",
            self.dialect.statement_time(),
        );
        if self
            .rows(self.dialect.statement(due, [run.into()]))
            .await?
            .is_empty()
        {
            return Ok(());
        }
        let sql = format!(
            "UPDATE frontier SET state = 'available', not_before = NULL \
             WHERE id IN (SELECT id FROM frontier WHERE run_id = $1 AND state = 'retryable' AND not_before <= {} {})",
            self.dialect.statement_time(),
            self.dialect.skip_locked(),
        );
        self.write(self.dialect.statement(sql, [run.into()])).await?;
        Ok(())
    }

    /// Renews all leases of `owner` by `term` from now, and its heartbeat with them. Returns how many; those that are
    /// just being finished are left alone, so that the two never wait for each other.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn heartbeat(&self, owner: &str, term: Duration) -> Result<u64, StoreError> {
        let transaction = self.begin().await?;
        let dialect = self.dialect;
        let beat = format!(
            "UPDATE runners SET heartbeat_at = {} WHERE instance = $1",
            dialect.now()
        );
        transaction
            .execute_raw(dialect.statement(beat, [owner.into()]))
            .await?;
        let renew = format!(
            "UPDATE frontier SET lease_expires_at = {} WHERE id IN \
                 (SELECT id FROM frontier WHERE state = 'leased' AND lease_owner = $2 {})",
            dialect.now_plus("$1"),
            dialect.skip_locked(),
        );
        let renewed = transaction
            .execute_raw(dialect.statement(renew, [microseconds(term).into(), owner.into()]))
            .await?;
        transaction.commit().await?;
        Ok(renewed.rows_affected())
    }

    /// Takes back the leases that have run out. Looks at the lease alone: whoever holds it may come back
    /// later and find itself fenced.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn rescue_expired(&self, run: RunId) -> Result<u64, StoreError> {
        // The sum keeps PostgreSQL from the indexes of whole runs: to its statistics a new run has no pages.
        let sql = format!(
            "UPDATE frontier SET state = 'available', lease_owner = NULL, lease_token = NULL, lease_expires_at = NULL \
             WHERE id IN (SELECT id FROM frontier WHERE run_id + 0 = $1 AND state = 'leased' \
                          AND lease_expires_at <= {} {})",
            self.dialect.statement_time(),
            self.dialect.skip_locked(),
        );
        self.write(self.dialect.statement(sql, [run.into()])).await
    }

    /// Takes back the leases of `owner`, which is known to be gone. One that is locked is left to run out: its page is just
    /// being finished, or `owner` was stopped in the middle of that, and whoever waited for it would hang as well.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn take_back(&self, run: RunId, owner: &str) -> Result<u64, StoreError> {
        // A page that is just being finished, perhaps by a process that is frozen in the middle of it, is not waited for:
        // it ends, or comes back when its lease runs out.
        let sql = format!(
            "UPDATE frontier SET state = 'available', lease_owner = NULL, lease_token = NULL, lease_expires_at = NULL \
             WHERE id IN (SELECT id FROM frontier WHERE run_id = $1 AND state = 'leased' AND lease_owner = $2 {})",
            self.dialect.skip_locked(),
        );
        self.write(self.dialect.statement(sql, [run.into(), owner.into()]))
            .await
    }

    /// Who holds leases of `run`: the runners' instances.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn lease_owners(&self, run: RunId) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT DISTINCT lease_owner FROM frontier WHERE run_id = $1 AND state = 'leased'";
        let rows = self.rows(self.dialect.statement(sql, [run.into()])).await?;
        rows.iter()
            .map(|row| Ok(row.try_get("", "lease_owner")?))
            .collect()
    }

    /// Makes failed pages available again, with fresh retries. Returns how many.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn reopen_failed(&self, run: RunId) -> Result<u64, StoreError> {
        self.write(self.dialect.statement(REOPEN_FAILED, [run.into()]))
            .await
    }

    /// Pages of `run` by level and state.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn frontier_counts(&self, run: RunId) -> Result<FrontierCounts, StoreError> {
        let sql = "SELECT CAST(level AS bigint) AS level, state, count(*) AS pages FROM frontier \
                   WHERE run_id = $1 GROUP BY level, state";
        let mut counts = FrontierCounts::default();
        for row in self.rows(self.dialect.statement(sql, [run.into()])).await? {
            let kind = page_kind(row.try_get("", "level")?)?;
            let name: String = row.try_get("", "state")?;
            let state = PageState::from_name(&name)
                .ok_or_else(|| StoreError::Bug(format!("`{name}` is no page state")))?;
            let pages: i64 = row.try_get("", "pages")?;
            counts.set(kind, state, pages.unsigned_abs());
        }
        Ok(counts)
    }

    /// What there is to do next in `run`. Three index look-ups, however large the frontier.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn outlook(&self, run: RunId) -> Result<Outlook, StoreError> {
        let dialect = self.dialect;
        // The order makes PostgreSQL use the index. Without, it reads the whole table as long as its statistics have not
        // noticed that hardly any page is available any more.
        let sql = format!(
            "SELECT CAST((SELECT {due} FROM frontier WHERE run_id = $1 AND state = 'retryable' \
                          ORDER BY not_before LIMIT 1) - {now} AS bigint) AS due_us, \
                    (SELECT id FROM frontier WHERE run_id = $1 AND state = 'available' \
                     ORDER BY {CLAIM_ORDER} LIMIT 1) IS NOT NULL AS available, \
                    EXISTS (SELECT 1 FROM frontier WHERE run_id = $1 AND state = 'leased') AS leased",
            due = dialect.as_us("not_before"),
            now = dialect.now_us(),
        );
        // Through the writer: what this process has just committed must be in the picture.
        let row = self
            .writer
            .query_one_raw(dialect.statement(sql, [run.into()]))
            .await?;
        let row = row.ok_or_else(|| StoreError::Bug("a query without a source gave no row".into()))?;
        let due: Option<i64> = row.try_get("", "due_us")?;
        Ok(Outlook {
            next_due: due.map(|us| Duration::from_micros(u64::try_from(us).unwrap_or(0))),
            available: row.try_get("", "available")?,
            leased: row.try_get("", "leased")?,
        })
    }
}

/// Adds pages within a transaction. One that stands twice in `pages` is added once.
pub(crate) async fn add_pages(
    transaction: &DatabaseTransaction,
    dialect: Dialect,
    run: RunId,
    pages: &[NewPage],
) -> Result<[u64; 5], StoreError> {
    let mut added = [0; 5];
    if pages.is_empty() {
        return Ok(added);
    }
    let keys: Vec<_> = pages.iter().map(|page| page.identity.key(page.kind)).collect();
    // One statement may not touch a page twice; the first word about it stands.
    let mut seen = HashSet::with_capacity(keys.len());
    let rows: Vec<PageRow<'_>> = pages
        .iter()
        .zip(&keys)
        .filter(|(_, key)| seen.insert(key.as_str()))
        .map(|(page, key)| page_row(page, key.as_str()))
        .collect();
    let sql = format!(
        // A page that was left out as unchanged is read after all when its parent was read again and shows something else. One
        // that still waits is read for what its row shows now.
        "INSERT INTO frontier AS known (run_id, level, page_key, url, identity, subject_id, expected, subject_changes, \
             stale_since_us, audited, state, last_outcome, last_error, finished_at) \
         SELECT $2, r.level, r.page_key, r.url, r.identity, r.subject_id, r.expected, r.subject_changes, \
             CASE (SELECT reading_order FROM runs WHERE id = $2) WHEN 'stalest' THEN r.stale_since_us ELSE 0 END, r.audited, \
             r.state, r.last_outcome, r.last_error, CASE WHEN r.state IN ('skipped', 'unchanged') THEN {now} END \
         FROM {source} WHERE true ON CONFLICT (run_id, page_key) DO UPDATE SET state = excluded.state, \
             expected = excluded.expected, subject_changes = excluded.subject_changes, finished_at = NULL, \
             stale_since_us = CASE WHEN known.state = 'unchanged' THEN excluded.stale_since_us ELSE known.stale_since_us END, \
             seen_again = CASE WHEN known.state = 'unchanged' THEN 0 ELSE 1 END \
         WHERE excluded.state = 'available' AND (known.state = 'unchanged' \
             OR (known.state = 'available' AND known.subject_changes <> excluded.subject_changes)) \
         RETURNING CAST(level AS bigint) AS level, seen_again",
        now = dialect.now(),
        source = dialect.ordered_rows(PAGE_COLUMNS),
    );
    let statement = dialect.statement(sql, [dialect.json_ordered_rows(PAGE_COLUMNS, &rows), run.into()]);
    for row in transaction.query_all_raw(statement).await? {
        if row.try_get::<i64>("", "seen_again")? == 0 {
            added[usize::from(page_kind(row.try_get("", "level")?)?.level())] += 1;
        }
    }
    Ok(added)
}

fn page_row<'a>(page: &'a NewPage, key: &'a str) -> PageRow<'a> {
    PageRow {
        level: page.kind.level(),
        page_key: key,
        url: &page.url,
        identity: &page.identity,
        subject_id: page.subject_id,
        expected: page
            .expected
            .map(|expected| i64::try_from(expected).unwrap_or(i64::MAX)),
        subject_changes: page.subject_changes,
        stale_since_us: page.stale_since_us,
        audited: i64::from(page.admission == Admission::ReadToAudit),
        state: match page.admission {
            Admission::Read | Admission::ReadToAudit => PageState::Available,
            Admission::Unchanged => PageState::Unchanged,
            Admission::Skipped(_) => PageState::Skipped,
        },
        last_outcome: matches!(page.admission, Admission::Skipped(_)).then_some("filter"),
        last_error: match &page.admission {
            Admission::Skipped(reason) => Some(reason),
            _ => None,
        },
    }
}

fn lease(row: &QueryResult, token: &str) -> Result<Lease, StoreError> {
    let kind = page_kind(i64::from(row.try_get::<i16>("", "level")?))?;
    let identity: String = row.try_get("", "identity")?;
    let identity: Identity = serde_json::from_str(&identity)
        .map_err(|error| StoreError::Bug(format!("frontier.identity is damaged: {error}")))?;
    let number = |column: &str| -> Result<u32, StoreError> {
        let value: i64 = row.try_get("", column)?;
        Ok(u32::try_from(value).unwrap_or(u32::MAX))
    };
    let expected: Option<i64> = row.try_get("", "expected")?;
    let rows_hash: Option<i64> = row.try_get("", "rows_hash")?;
    Ok(Lease {
        page_id: row.try_get("", "id")?,
        token: token.to_owned(),
        kind,
        key: identity.key(kind),
        identity,
        url: row.try_get("", "url")?,
        subject_id: row.try_get("", "subject_id")?,
        expected: expected.and_then(|expected| u64::try_from(expected).ok()),
        attempt: number("attempts")?,
        history: PageHistory {
            failures: number("failures")?,
            refusals: number("refusals")?,
            calm_not_founds: number("calm_not_founds")?,
            last_rows_hash: rows_hash.map(i64::cast_unsigned),
        },
        verifications: number("verifications")?,
        audited: number("audited")? > 0,
    })
}

pub(crate) fn page_kind(level: i64) -> Result<PageKind, StoreError> {
    u8::try_from(level)
        .ok()
        .and_then(PageKind::from_level)
        .ok_or_else(|| StoreError::Bug(format!("`{level}` is no level")))
}

/// `duration` as the database counts it, at most [`LONGEST`].
pub(crate) fn microseconds(duration: Duration) -> i64 {
    i64::try_from(duration.min(LONGEST).as_micros()).unwrap_or(i64::MAX)
}

/// A hundred years. Longer ones would leave the range of the databases' times; a site may ask for any.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
