//! The documents that pages were read from: kept with the commit of their page, looked up for reading them again.
//!
//! A page's newest reading is the one that nothing has superseded. What is kept of it goes with the transaction that
//! writes its rows, so that a row and the document it was read from are never of two readings.

use sea_orm::{ConnectionTrait, DatabaseTransaction, QueryResult};
use serde::Serialize;
use tagpipe_core::model::{PageKind, PageRows};

use crate::catalogue::NaturalKey;
use crate::connect::Store;
use crate::contract::{Ending, Finish, KeepDocuments, PackedDocument, RunId};
use crate::dialect::{ColumnType, Columns, Dialect};
use crate::error::StoreError;
use crate::frontier::microseconds;

/// A document that is kept, with its body.
#[derive(Debug, Clone)]
pub struct KeptDocument {
    /// Its id.
    pub id: i64,
    /// Its place among the documents of its page, from 1.
    pub part: u32,
    /// Path and query.
    pub url: String,
    /// SHA-256 before compression, in hexadecimal digits.
    pub hash: String,
    /// Size before compression, in bytes.
    pub bytes: u64,
    /// The document, compressed.
    pub body: Vec<u8>,
}

#[derive(Serialize)]
struct PageRow {
    level: u8,
    subject_id: i64,
    keep: KeepDocuments,
    is_failed: u8,
}

const PAGE_COLUMNS: Columns = &[
    ("level", ColumnType::Int),
    ("subject_id", ColumnType::Int),
    ("keep", ColumnType::Text),
    ("is_failed", ColumnType::Int),
];

/// Keeps the documents of the completed pages and lets go of those that they supersede. Before the rows are written: what
/// is seen on a page is never older than its documents, and whoever reads kept documents again waits for the newer ones.
pub(crate) async fn keep_documents(
    transaction: &DatabaseTransaction,
    dialect: Dialect,
    run: RunId,
    accepted: &[&Finish],
) -> Result<(), StoreError> {
    let pages: Vec<PageRow> = accepted.iter().filter_map(|one| page_row(one)).collect();
    if pages.is_empty() {
        return Ok(());
    }
    supersede(transaction, dialect, run, &pages).await?;
    insert(transaction, dialect, run, accepted).await
}

/// A page whose kept documents change; a page that failed keeps its documents, but they vouch for nothing any more.
fn page_row(finish: &Finish) -> Option<PageRow> {
    let is_failed = match finish.ending {
        Ending::Completed { .. } => 0,
        Ending::Failed { .. } => 1,
        _ => return None,
    };
    Some(PageRow {
        level: finish.lease.kind.level(),
        subject_id: finish.lease.subject_id.unwrap_or(0),
        keep: finish.documents.keep,
        is_failed,
    })
}

async fn supersede(
    transaction: &DatabaseTransaction,
    dialect: Dialect,
    run: RunId,
    pages: &[PageRow],
) -> Result<(), StoreError> {
    let json = dialect.json_rows(pages);
    let of_pages = format!(
        "SELECT documents.id FROM {source} JOIN documents \
         ON documents.level = r.level AND documents.subject_id = r.subject_id",
        source = dialect.rows(PAGE_COLUMNS),
    );
    if pages.iter().any(|page| page.is_failed == 0) {
        // A page that a run reads twice, to verify it, is one reading.
        let replace = format!(
            "DELETE FROM documents WHERE id IN ({of_pages} WHERE r.is_failed = 0 AND \
                 (documents.run_id = $2 OR (r.keep = 'last' AND documents.superseded_at IS NULL)))"
        );
        let values = [json.clone(), run.into()];
        transaction
            .execute_raw(dialect.statement(replace, values))
            .await?;
    }
    if pages
        .iter()
        .any(|page| page.is_failed == 0 && page.keep != KeepDocuments::Last)
    {
        let supersede = format!(
            "UPDATE documents SET superseded_at = {now} WHERE superseded_at IS NULL \
             AND id IN ({of_pages} WHERE r.is_failed = 0)",
            now = dialect.now(),
        );
        transaction
            .execute_raw(dialect.statement(supersede, [json.clone()]))
            .await?;
    }
    if pages.iter().any(|page| page.is_failed == 1) {
        let doubt = format!(
            "UPDATE documents SET subject_changes = NULL WHERE id IN ({of_pages} WHERE r.is_failed = 1)"
        );
        transaction.execute_raw(dialect.statement(doubt, [json])).await?;
    }
    Ok(())
}

#[derive(Serialize)]
struct DocumentRow<'a> {
    page_id: i64,
    level: u8,
    subject_id: i64,
    part: usize,
    page_key: &'a str,
    url: &'a str,
    age_us: i64,
    profile: &'a str,
    hash: &'a str,
    bytes: u64,
    row_keys: Option<Vec<String>>,
    start: usize,
    length: usize,
}

const DOCUMENT_COLUMNS: Columns = &[
    ("page_id", ColumnType::Int),
    ("level", ColumnType::Int),
    ("subject_id", ColumnType::Int),
    ("part", ColumnType::Int),
    ("page_key", ColumnType::Text),
    ("url", ColumnType::Text),
    ("age_us", ColumnType::Int),
    ("profile", ColumnType::Text),
    ("hash", ColumnType::Text),
    ("bytes", ColumnType::Int),
    ("row_keys", ColumnType::Json),
    ("start", ColumnType::Int),
    ("length", ColumnType::Int),
];

/// A list of rows that is not there: SQLite takes it for the JSON value null.
pub(crate) const NO_JSON_NULL: &str = "nullif(r.row_keys, 'null')";

/// Inserts all documents with one statement: their bodies are one parameter, of which each row takes its slice.
async fn insert(
    transaction: &DatabaseTransaction,
    dialect: Dialect,
    run: RunId,
    accepted: &[&Finish],
) -> Result<(), StoreError> {
    let mut rows = Vec::new();
    let mut bodies = Vec::new();
    for finish in accepted {
        let Ending::Completed { rows: page_rows, .. } = &finish.ending else {
            continue;
        };
        let documents = &finish.documents.documents;
        let keys = row_keys(page_rows, documents.iter().map(|document| document.rows));
        for ((index, document), row_keys) in documents.iter().enumerate().zip(keys) {
            rows.push(document_row(finish, index, document, row_keys, bodies.len()));
            bodies.extend_from_slice(&document.body);
        }
    }
    if rows.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "INSERT INTO documents (level, subject_id, part, run_id, page_key, url, fetched_at, profile, subject_changes, \
             hash, bytes, row_keys, body) \
         SELECT r.level, r.subject_id, r.part, $3, r.page_key, r.url, {fetched}, r.profile, page.subject_changes, \
             r.hash, r.bytes, {row_keys}, {body} \
         FROM {source} JOIN frontier AS page ON page.id = r.page_id",
        fetched = dialect.now_plus("-r.age_us"),
        row_keys = NO_JSON_NULL,
        body = dialect.slice("$2", "r.start", "r.length"),
        source = dialect.ordered_rows(DOCUMENT_COLUMNS),
    );
    let values = [
        dialect.json_ordered_rows(DOCUMENT_COLUMNS, &rows),
        bodies.into(),
        run.into(),
    ];
    transaction.execute_raw(dialect.statement(sql, values)).await?;
    Ok(())
}

fn document_row<'a>(
    finish: &'a Finish,
    index: usize,
    document: &'a PackedDocument,
    row_keys: Option<Vec<String>>,
    start: usize,
) -> DocumentRow<'a> {
    DocumentRow {
        page_id: finish.lease.page_id,
        level: finish.lease.kind.level(),
        subject_id: finish.lease.subject_id.unwrap_or(0),
        part: index + 1,
        page_key: finish.lease.key.as_str(),
        url: &document.url,
        age_us: microseconds(document.received.elapsed()),
        profile: &finish.documents.profile,
        hash: &document.hash,
        bytes: document.bytes,
        row_keys,
        start,
        length: document.body.len(),
    }
}

/// The natural keys of the rows that each document of a page shows; `None` where a page has only one, which shows all.
pub(crate) fn row_keys(
    rows: &PageRows,
    shown: impl ExactSizeIterator<Item = usize>,
) -> Vec<Option<Vec<String>>> {
    if shown.len() == 1 {
        return vec![None];
    }
    let keys: Vec<String> = match rows {
        PageRows::Categories(rows) => rows.iter().map(NaturalKey::natural_key).collect(),
        PageRows::Years(rows) => rows.iter().map(NaturalKey::natural_key).collect(),
        PageRows::Sets(rows) => rows.iter().map(NaturalKey::natural_key).collect(),
        PageRows::Cards(rows) => rows.iter().map(NaturalKey::natural_key).collect(),
        PageRows::GradeRows(rows) => rows.iter().map(|row| row.cert_number.to_string()).collect(),
    };
    let mut keys = keys.into_iter();
    shown
        .map(|count| Some(keys.by_ref().take(count).collect()))
        .collect()
}

/// What is kept in all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct DocumentTotals {
    /// Documents.
    pub documents: u64,
    /// Pages that they are of.
    pub pages: u64,
    /// Their size before compression.
    pub bytes: u64,
    /// Their size as kept.
    pub stored_bytes: u64,
}

impl Store {
    /// How many documents are kept, and what they take. Goes through all of them.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn document_totals(&self) -> Result<DocumentTotals, StoreError> {
        let sql = "SELECT count(*) AS documents, count(CASE WHEN part = 1 THEN 1 END) AS pages, \
                       CAST(coalesce(sum(bytes), 0) AS bigint) AS bytes, \
                       CAST(coalesce(sum(length(body)), 0) AS bigint) AS stored_bytes FROM documents";
        let rows = self.rows(self.dialect.statement(sql, [])).await?;
        let row = rows
            .first()
            .ok_or_else(|| StoreError::Bug("a count gave no row".into()))?;
        let number =
            |column: &str| -> Result<u64, StoreError> { Ok(row.try_get::<i64>("", column)?.unsigned_abs()) };
        Ok(DocumentTotals {
            documents: number("documents")?,
            pages: number("pages")?,
            bytes: number("bytes")?,
            stored_bytes: number("stored_bytes")?,
        })
    }

    /// The document with this id; `None` if it is not kept any more.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn document(&self, id: i64) -> Result<Option<KeptDocument>, StoreError> {
        let sql = "SELECT id, part, url, hash, bytes, body FROM documents WHERE id = $1";
        let rows = self.rows(self.dialect.statement(sql, [id.into()])).await?;
        rows.first().map(kept_document).transpose()
    }
}

pub(crate) fn kept_document(row: &QueryResult) -> Result<KeptDocument, StoreError> {
    let part: i64 = row.try_get("", "part")?;
    let bytes: i64 = row.try_get("", "bytes")?;
    Ok(KeptDocument {
        id: row.try_get("", "id")?,
        part: u32::try_from(part).unwrap_or(u32::MAX),
        url: row.try_get("", "url")?,
        hash: row.try_get("", "hash")?,
        bytes: bytes.unsigned_abs(),
        body: row.try_get("", "body")?,
    })
}

/// The table with the rows that pages of `kind` list, and the column with the page's subject.
pub(crate) fn listed(kind: PageKind) -> (&'static str, Option<&'static str>) {
    match kind {
        PageKind::Categories => ("categories", None),
        PageKind::Years => ("years", Some("category_id")),
        PageKind::Sets => ("sets", Some("year_id")),
        PageKind::Cards => ("cards", Some("set_id")),
        PageKind::GradeRows => ("grade_rows", Some("card_id")),
    }
}
