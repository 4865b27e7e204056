//! The page commit: everything a finished page leaves behind, in one transaction, guarded by its lease.
//!
//! Several pages may share a transaction; a page is never spread over two. The first statement ends the
//! leases and returns which were still in force; nothing of the others is written.

use std::collections::HashSet;

use sea_orm::{ConnectionTrait, DatabaseTransaction};
use serde::Serialize;
use tagpipe_core::lifecycle::PageState;
use tagpipe_core::model::PageKind;
use tagpipe_core::outcome::Cause;

use crate::audit::{AuditOrigin, insert_audit};
use crate::connect::Store;
use crate::contract::{Committed, Ending, Fate, Finish, RunId, Unreadable};
use crate::dialect::{ColumnType, Columns, Dialect};
use crate::documents::keep_documents;
use crate::doubt::{doubt_listings, forget_unlisted_pages};
use crate::error::StoreError;
use crate::frontier::{add_pages, microseconds};
use crate::page_rows::write_rows;
use crate::reading_order::note_tried_categories;
use crate::reconcile::{forget_unreadable, record_discrepancies, unreadable_discrepancy};
use crate::verification::release_verified;

/// Who commits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Committer<'a> {
    pub(crate) run: RunId,
    pub(crate) origin: AuditOrigin<'a>,
    pub(crate) instance: &'a str,
}

impl Store {
    /// Ends the leases of `batch` and writes what each page left behind, in one transaction.
    ///
    /// A finish whose lease is no longer in force is dropped whole ([`Fate::Fenced`]). Calling it again with the
    /// same batch after an error is safe: what was committed the first time is recognised by its token.
    ///
    /// # Errors
    /// See [`StoreError::class`]; then nothing of the batch was written, or all of it was and the answer got lost.
    pub async fn finish(
        &self,
        run: RunId,
        runner_id: &str,
        instance: &str,
        batch: &[Finish],
    ) -> Result<Committed, StoreError> {
        for finish in batch {
            check_rows(finish)?;
        }
        let committer = Committer {
            run,
            origin: AuditOrigin {
                run: Some(run),
                runner_id,
            },
            instance,
        };
        let transaction = self.begin().await?;
        let committed = finish(&transaction, self.dialect, committer, batch).await?;
        transaction.commit().await?;
        Ok(committed)
    }
}

/// Refuses rows that are not those of the leased page, or whose children are not theirs: nothing that is
/// promised by [`Ending::Completed`] may be guessed.
pub(crate) fn check_rows(finish: &Finish) -> Result<(), StoreError> {
    let Ending::Completed { rows, children, .. } = &finish.ending else {
        return Ok(());
    };
    let lease = &finish.lease;
    let refuse = |what: String| {
        Err(StoreError::Bug(format!(
            "page `{}` was finished with {what}",
            lease.key
        )))
    };
    if rows.kind() != lease.kind {
        return refuse(format!("rows of {}", rows.kind()));
    }
    let expected = if lease.kind.child().is_some() {
        rows.len()
    } else {
        0
    };
    if children.len() != expected {
        return refuse(format!("{} rows and {} children", rows.len(), children.len()));
    }
    if lease.subject_id.is_none() && lease.kind != PageKind::Categories {
        return refuse("rows that belong to nothing".to_owned());
    }
    Ok(())
}

async fn finish(
    transaction: &DatabaseTransaction,
    dialect: Dialect,
    committer: Committer<'_>,
    batch: &[Finish],
) -> Result<Committed, StoreError> {
    if batch.is_empty() {
        return Ok(Committed::default());
    }
    let ended = end_leases(transaction, dialect, batch).await?;
    let accepted: Vec<&Finish> = batch
        .iter()
        .filter(|one| ended.contains(&one.lease.page_id))
        .collect();
    keep_documents(transaction, dialect, committer.run, &accepted).await?;
    note_readings(transaction, dialect, &accepted).await?;
    let mut committed = Committed::default();
    let mut new_pages = Vec::new();
    write_rows(
        transaction,
        dialect,
        committer.run,
        &accepted,
        &mut committed,
        &mut new_pages,
    )
    .await?;
    count_found(
        &mut committed,
        add_pages(transaction, dialect, committer.run, &new_pages).await?,
    );
    forget_unlisted_pages(transaction, dialect, committer.run, &accepted, &new_pages).await?;
    count_found(
        &mut committed,
        doubt_listings(transaction, dialect, committer.run, &accepted).await?,
    );
    release_waiting(transaction, dialect, &accepted, &mut committed).await?;
    record_unreadable(transaction, dialect, committer.run, &accepted).await?;
    let audit: Vec<_> = accepted.iter().flat_map(|one| &one.audit).collect();
    insert_audit(transaction, dialect, committer.origin, &audit).await?;
    count_for_runner(transaction, dialect, committer, &accepted, &committed).await?;
    let known = if ended.len() == batch.len() {
        HashSet::new()
    } else {
        already_committed(transaction, dialect, batch).await?
    };
    committed.fates = batch
        .iter()
        .map(|one| {
            let id = one.lease.page_id;
            if ended.contains(&id) || known.contains(&id) {
                Fate::Accepted
            } else {
                Fate::Fenced
            }
        })
        .collect();
    Ok(committed)
}

#[derive(Serialize)]
struct EndedLease<'a> {
    page_id: i64,
    token: &'a str,
    state: PageState,
    kept_token: Option<&'a str>,
    after_us: Option<i64>,
    failures: u32,
    refusals: u32,
    calm_not_founds: u32,
    rows_hash: Option<i64>,
    unbegun: u8,
    last_outcome: Option<&'static str>,
    last_error: Option<&'a str>,
    elapsed_ms: i64,
}

const ENDED_COLUMNS: Columns = &[
    ("page_id", ColumnType::Int),
    ("token", ColumnType::Text),
    ("state", ColumnType::Text),
    ("kept_token", ColumnType::Text),
    ("after_us", ColumnType::Int),
    ("failures", ColumnType::Int),
    ("refusals", ColumnType::Int),
    ("calm_not_founds", ColumnType::Int),
    ("rows_hash", ColumnType::Int),
    ("unbegun", ColumnType::Int),
    ("last_outcome", ColumnType::Text),
    ("last_error", ColumnType::Text),
    ("elapsed_ms", ColumnType::Int),
];

impl<'a> EndedLease<'a> {
    fn of(finish: &'a Finish) -> EndedLease<'a> {
        let lease = &finish.lease;
        let (state, cause, reason, history) = match &finish.ending {
            Ending::Completed { .. } => (PageState::Completed, Some(Cause::Complete), None, &lease.history),
            Ending::Retry {
                cause,
                reason,
                history,
                ..
            } => (PageState::Retryable, Some(*cause), Some(reason.as_str()), history),
            Ending::Failed {
                cause,
                reason,
                history,
            } => (PageState::Failed, Some(*cause), Some(reason.as_str()), history),
            Ending::Skipped { cause, reason } => (
                PageState::Skipped,
                Some(*cause),
                Some(reason.as_str()),
                &lease.history,
            ),
            Ending::Released { .. } => (PageState::Available, None, None, &lease.history),
        };
        EndedLease {
            page_id: lease.page_id,
            token: &lease.token,
            state,
            kept_token: (!state.is_open()).then_some(lease.token.as_str()),
            after_us: match &finish.ending {
                Ending::Retry { after, .. } => Some(microseconds(*after)),
                _ => None,
            },
            failures: history.failures,
            refusals: history.refusals,
            calm_not_founds: history.calm_not_founds,
            rows_hash: history.last_rows_hash.map(u64::cast_signed),
            unbegun: u8::from(matches!(finish.ending, Ending::Released { began: false })),
            last_outcome: cause.map(Cause::as_str),
            last_error: reason,
            elapsed_ms: i64::try_from(finish.cost.elapsed.as_millis()).unwrap_or(i64::MAX),
        }
    }
}

/// Ends the leases that are still in force and returns their pages.
async fn end_leases(
    transaction: &DatabaseTransaction,
    dialect: Dialect,
    batch: &[Finish],
) -> Result<HashSet<i64>, StoreError> {
    let rows: Vec<_> = batch.iter().map(EndedLease::of).collect();
    let sql = format!(
        "UPDATE frontier SET state = r.state, lease_owner = NULL, lease_token = r.kept_token, \
             lease_expires_at = NULL, not_before = CASE WHEN r.after_us IS NOT NULL THEN {due} END, \
             failures = r.failures, refusals = r.refusals, calm_not_founds = r.calm_not_founds, \
             rows_hash = r.rows_hash, attempts = attempts - r.unbegun, elapsed_ms = r.elapsed_ms, \
             last_outcome = coalesce(r.last_outcome, frontier.last_outcome), \
             last_error = CASE WHEN r.last_outcome IS NULL THEN frontier.last_error ELSE r.last_error END, \
             finished_at = CASE WHEN r.kept_token IS NOT NULL THEN {now} END \
         FROM {source} \
         WHERE frontier.id = r.page_id AND frontier.lease_token = r.token AND frontier.state = 'leased' \
         RETURNING id",
        due = dialect.now_plus("r.after_us"),
        now = dialect.now(),
        source = dialect.ordered_rows(ENDED_COLUMNS),
    );
    let rows = transaction
        .query_all_raw(dialect.statement(sql, [dialect.json_ordered_rows(ENDED_COLUMNS, &rows)]))
        .await?;
    rows.iter().map(|row| Ok(row.try_get("", "id")?)).collect()
}

/// Pages of `batch` that this very lease has finished before: a commit whose answer got lost.
async fn already_committed(
    transaction: &DatabaseTransaction,
    dialect: Dialect,
    batch: &[Finish],
) -> Result<HashSet<i64>, StoreError> {
    let rows: Vec<_> = batch.iter().map(EndedLease::of).collect();
    let sql = format!(
        "SELECT frontier.id AS id FROM frontier JOIN {source} \
         ON frontier.id = r.page_id AND frontier.lease_token = r.token AND frontier.state = r.state \
         WHERE r.kept_token IS NOT NULL",
        source = dialect.ordered_rows(ENDED_COLUMNS),
    );
    let rows = transaction
        .query_all_raw(dialect.statement(sql, [dialect.json_ordered_rows(ENDED_COLUMNS, &rows)]))
        .await?;
    rows.iter().map(|row| Ok(row.try_get("", "id")?)).collect()
}

/// Notes which rows' pages have now been read whole, and which cannot be relied on any more. Before the rows below are
/// written: what was seen on a page is never older than its reading.
pub(crate) async fn note_readings(
    transaction: &DatabaseTransaction,
    dialect: Dialect,
    accepted: &[&Finish],
) -> Result<(), StoreError> {
    #[derive(Serialize)]
    struct Row {
        page_id: i64,
        relied_on: u8,
    }
    const COLUMNS: Columns = &[("page_id", ColumnType::Int), ("relied_on", ColumnType::Int)];
    note_tried_categories(transaction, dialect, accepted).await?;
    for (kind, table) in [
        (PageKind::Sets, "years"),
        (PageKind::Cards, "sets"),
        (PageKind::GradeRows, "cards"),
    ] {
        let rows: Vec<Row> = accepted
            .iter()
            .filter(|one| one.lease.kind == kind)
            .filter_map(|one| {
                let relied_on = match &one.ending {
                    Ending::Completed { agrees, .. } => u8::from(*agrees),
                    Ending::Failed { .. } => 0,
                    _ => return None,
                };
                Some(Row {
                    page_id: one.lease.page_id,
                    relied_on,
                })
            })
            .collect();
        if rows.is_empty() {
            continue;
        }
        let sql = format!(
            "UPDATE {table} SET tried_at = {now}, read_at = CASE WHEN r.relied_on = 1 THEN {now} ELSE {table}.read_at END, \
                 read_changes = CASE WHEN r.relied_on = 1 THEN coalesce(page.subject_changes, -1) ELSE -1 END \
             FROM {source} JOIN frontier AS page ON page.id = r.page_id WHERE {table}.id = page.subject_id",
            now = dialect.now(),
            source = dialect.ordered_rows(COLUMNS),
        );
        transaction
            .execute_raw(dialect.statement(sql, [dialect.json_ordered_rows(COLUMNS, &rows)]))
            .await?;
    }
    Ok(())
}

/// Lets the pages be read that were to be verified directly after one of `accepted`.
async fn release_waiting(
    transaction: &DatabaseTransaction,
    dialect: Dialect,
    accepted: &[&Finish],
    committed: &mut Committed,
) -> Result<(), StoreError> {
    let verified: Vec<i64> = accepted
        .iter()
        .filter(|one| {
            let will_be_read = matches!(one.ending, Ending::Retry { .. } | Ending::Released { .. });
            one.lease.verifications > 0 && !will_be_read
        })
        .map(|one| one.lease.page_id)
        .collect();
    count_found(
        committed,
        release_verified(transaction, dialect, &verified).await?,
    );
    Ok(())
}

/// Counts pages that are to be read now, by level.
fn count_found(committed: &mut Committed, pages: [u64; 5]) {
    for (found, more) in committed.found.iter_mut().zip(pages) {
        *found += more;
    }
}

pub(crate) async fn record_unreadable(
    transaction: &DatabaseTransaction,
    dialect: Dialect,
    run: RunId,
    accepted: &[&Finish],
) -> Result<(), StoreError> {
    let read_again: Vec<_> = accepted
        .iter()
        .filter(|finish| finish.lease.verifications > 0 && matches!(finish.ending, Ending::Completed { .. }))
        .map(|finish| finish.lease.key.as_str())
        .collect();
    forget_unreadable(transaction, dialect, run, &read_again).await?;
    let found: Vec<_> = accepted
        .iter()
        .filter_map(|finish| match &finish.ending {
            Ending::Completed { unreadable, .. } => Some((finish, unreadable)),
            _ => None,
        })
        .flat_map(|(finish, unreadable)| {
            unreadable
                .iter()
                .map(|cell: &Unreadable| unreadable_discrepancy(&finish.lease, cell))
        })
        .collect();
    record_discrepancies(transaction, dialect, run, &found).await
}

/// Adds to the runner's counters what this commit did, in the same transaction: they are as true as the data.
pub(crate) async fn count_for_runner(
    transaction: &DatabaseTransaction,
    dialect: Dialect,
    committer: Committer<'_>,
    accepted: &[&Finish],
    committed: &Committed,
) -> Result<(), StoreError> {
    let count = |wanted: fn(&Ending) -> bool| {
        i64::try_from(accepted.iter().filter(|one| wanted(&one.ending)).count()).unwrap_or(i64::MAX)
    };
    let sum = |value: fn(&Finish) -> u64| {
        i64::try_from(accepted.iter().map(|one| value(one)).sum::<u64>()).unwrap_or(i64::MAX)
    };
    let rows = [
        committed.rows.new,
        committed.rows.changed,
        committed.rows.same,
        committed.rows.vanished,
    ]
    .map(|count| i64::try_from(count).unwrap_or(i64::MAX));
    let sql = "UPDATE runners SET pages_completed = pages_completed + $1, pages_failed = pages_failed + $2, \
                   retries = retries + $3, requests = requests + $4, bytes = bytes + $5, \
                   busy_ms = busy_ms + $6, rows_new = rows_new + $7, rows_changed = rows_changed + $8, \
                   rows_same = rows_same + $9, rows_vanished = rows_vanished + $10 WHERE instance = $11";
    let values = [
        count(|ending| matches!(ending, Ending::Completed { .. })).into(),
        count(|ending| matches!(ending, Ending::Failed { .. })).into(),
        count(|ending| matches!(ending, Ending::Retry { .. })).into(),
        sum(|one| u64::from(one.cost.requests)).into(),
        sum(|one| one.cost.bytes).into(),
        sum(|one| u64::try_from(one.cost.elapsed.as_millis()).unwrap_or(u64::MAX)).into(),
        rows[0].into(),
        rows[1].into(),
        rows[2].into(),
        rows[3].into(),
        committer.instance.into(),
    ];
    transaction.execute_raw(dialect.statement(sql, values)).await?;
    count_retries(transaction, dialect, committer, accepted).await
}

async fn count_retries(
    transaction: &DatabaseTransaction,
    dialect: Dialect,
    committer: Committer<'_>,
    accepted: &[&Finish],
) -> Result<(), StoreError> {
    #[derive(Serialize)]
    struct Row {
        cause: Cause,
        retries: i64,
    }
    let mut rows: Vec<Row> = Vec::new();
    for finish in accepted {
        let Ending::Retry { cause, .. } = finish.ending else {
            continue;
        };
        match rows.iter_mut().find(|row| row.cause == cause) {
            Some(row) => row.retries += 1,
            None => rows.push(Row { cause, retries: 1 }),
        }
    }
    if rows.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "INSERT INTO retry_counts AS stored (instance, cause, retries) \
         SELECT $2, r.cause, r.retries FROM {source} WHERE true \
         ON CONFLICT (instance, cause) DO UPDATE SET retries = stored.retries + excluded.retries",
        source = dialect.rows(&[("cause", ColumnType::Text), ("retries", ColumnType::Int)]),
    );
    let values = [dialect.json_rows(&rows), committer.instance.into()];
    transaction.execute_raw(dialect.statement(sql, values)).await?;
    Ok(())
}
