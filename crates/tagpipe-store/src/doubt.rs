//! What the reading of one page says against another: a page that was left out because its row shows the same is read
//! after all when something else that was read contradicts it.

use sea_orm::{ConnectionTrait, DatabaseTransaction, Value};
use serde::Serialize;
use tagpipe_core::model::PageKind;
use tagpipe_core::outcome::Cause;

use crate::contract::{Ending, Finish, NewPage, RunId};
use crate::dialect::{ColumnType, Columns, Dialect};
use crate::error::StoreError;

const IDS: Columns = &[("id", ColumnType::Int)];

/// A certificate that stands on another card, and the card whose page lists it now.
#[derive(Serialize)]
pub(crate) struct MovingCertificate {
    pub(crate) cert_number: String,
    pub(crate) card_id: i64,
}

/// Cards that lose a certificate to another one's page, those of this commit apart: what their own page shows is not known
/// any more, whatever their row shows. Before the certificates pass on. Returns how many of their pages are read by `run`
/// after all.
pub(crate) async fn doubt_former_cards(
    transaction: &DatabaseTransaction,
    dialect: Dialect,
    run: RunId,
    moving: &[MovingCertificate],
    read_now: &[i64],
) -> Result<u64, StoreError> {
    let sql = format!(
        "UPDATE cards SET read_changes = -1, verified_at = NULL WHERE id IN ( \
             SELECT stored.card_id FROM {source} JOIN grade_rows AS stored ON stored.cert_number = r.cert_number \
             WHERE stored.card_id <> r.card_id AND stored.vanished_at IS NULL) \
             AND id NOT IN (SELECT own.id FROM {own}) \
         RETURNING id",
        source = dialect.rows(&[("cert_number", ColumnType::Text), ("card_id", ColumnType::Int)]),
        own = dialect.rows_of("$2", "own", IDS),
    );
    let values = [dialect.json_rows(moving), dialect.json_rows(&ids(read_now))];
    let cards = ids_of(transaction, dialect, &sql, values).await?;
    read_after_all(transaction, dialect, run, PageKind::GradeRows, &cards).await
}

/// Pages that are not there although a row leads to them: the page with that row is no longer what it was. Returns how many
/// of those pages are read by `run` after all, by level.
pub(crate) async fn doubt_listings(
    transaction: &DatabaseTransaction,
    dialect: Dialect,
    run: RunId,
    accepted: &[&Finish],
) -> Result<[u64; 5], StoreError> {
    let mut found = [0; 5];
    for (kind, above, own, table, parent) in [
        (PageKind::Cards, PageKind::Sets, "sets", "years", "year_id"),
        (PageKind::GradeRows, PageKind::Cards, "cards", "sets", "set_id"),
    ] {
        let missing: Vec<i64> = accepted
            .iter()
            .filter(|one| one.lease.kind == kind)
            .filter(|one| {
                matches!(
                    one.ending,
                    Ending::Failed {
                        cause: Cause::NotFound,
                        ..
                    }
                )
            })
            .filter_map(|one| one.lease.subject_id)
            .collect();
        if missing.is_empty() {
            continue;
        }
        let sql = format!(
            "UPDATE {table} SET read_changes = -1 WHERE id IN ( \
                 SELECT {own}.{parent} FROM {source} JOIN {own} ON {own}.id = r.id) RETURNING id",
            source = dialect.rows(IDS),
        );
        let listings = ids_of(transaction, dialect, &sql, [dialect.json_rows(&ids(&missing))]).await?;
        found[usize::from(above.level())] +=
            read_after_all(transaction, dialect, run, above, &listings).await?;
    }
    Ok(found)
}

/// Pages that were not there, below pages that have now been read and list them no longer, or under another address: nobody
/// need ask for them again.
pub(crate) async fn forget_unlisted_pages(
    transaction: &DatabaseTransaction,
    dialect: Dialect,
    run: RunId,
    accepted: &[&Finish],
    new_pages: &[NewPage],
) -> Result<(), StoreError> {
    for (kind, below, own, parent) in [
        (PageKind::Sets, PageKind::Cards, "sets", "year_id"),
        (PageKind::Cards, PageKind::GradeRows, "cards", "set_id"),
    ] {
        let read: Vec<i64> = accepted
            .iter()
            .filter(|one| {
                one.lease.kind == kind && matches!(one.ending, Ending::Completed { whole: true, .. })
            })
            .filter_map(|one| one.lease.subject_id)
            .collect();
        if read.is_empty() {
            continue;
        }
        let listed: Vec<_> = new_pages
            .iter()
            .filter(|page| page.kind == below)
            .map(|page| serde_json::json!({ "page_key": page.identity.key(below).to_string() }))
            .collect();
        let sql = format!(
            "UPDATE frontier SET state = 'skipped', last_error = 'the page above lists it no longer, or elsewhere' \
             WHERE run_id = $3 AND level = $4 AND state = 'failed' AND last_outcome = $5 \
                 AND subject_id IN (SELECT {own}.id FROM {source} JOIN {own} ON {own}.{parent} = r.id) \
                 AND page_key NOT IN (SELECT listed.page_key FROM {listed})",
            source = dialect.rows(IDS),
            listed = dialect.rows_of("$2", "listed", &[("page_key", ColumnType::Text)]),
        );
        let values: [Value; 5] = [
            dialect.json_rows(&ids(&read)),
            dialect.json_rows(&listed),
            run.into(),
            i64::from(below.level()).into(),
            Cause::NotFound.as_str().into(),
        ];
        transaction.execute_raw(dialect.statement(sql, values)).await?;
    }
    Ok(())
}

/// Makes pages that `run` has left out available: those of `kind` below these rows.
async fn read_after_all(
    transaction: &DatabaseTransaction,
    dialect: Dialect,
    run: RunId,
    kind: PageKind,
    subjects: &[i64],
) -> Result<u64, StoreError> {
    if subjects.is_empty() {
        return Ok(0);
    }
    let sql = format!(
        "UPDATE frontier SET state = 'available' WHERE run_id = $2 AND level = $3 AND state = 'unchanged' \
         AND subject_id IN (SELECT r.id FROM {source})",
        source = dialect.rows(IDS),
    );
    let values: [Value; 3] = [
        dialect.json_rows(&ids(subjects)),
        run.into(),
        i64::from(kind.level()).into(),
    ];
    let done = transaction.execute_raw(dialect.statement(sql, values)).await?;
    Ok(done.rows_affected())
}

fn ids(ids: &[i64]) -> Vec<serde_json::Value> {
    ids.iter().map(|id| serde_json::json!({ "id": id })).collect()
}

async fn ids_of(
    transaction: &DatabaseTransaction,
    dialect: Dialect,
    sql: &str,
    values: impl IntoIterator<Item = Value>,
) -> Result<Vec<i64>, StoreError> {
    let rows = transaction
        .query_all_raw(dialect.statement(sql.to_owned(), values))
        .await?;
    rows.iter().map(|row| Ok(row.try_get("", "id")?)).collect()
}
