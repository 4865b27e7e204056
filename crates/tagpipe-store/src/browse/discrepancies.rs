//! What does not agree, with the names of what it is about.

use sea_orm::{QueryResult, Value};
use serde::Serialize;

use crate::connect::Store;
use crate::contract::RunId;
use crate::error::StoreError;
use crate::reconcile::Verdict;

/// Two numbers that should be one, as they are on record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StoredDiscrepancy {
    /// Its number.
    pub id: i64,
    /// What it is about: `category`, `year`, `set`, `card`, or `page` for a cell.
    pub subject: String,
    /// Id of that row; 0 for a page without one.
    pub subject_id: i64,
    /// Category, year, brand, set, number, name and variation, as far as the row has them and they are not empty.
    pub place: Vec<String>,
    /// The page on which the children were read.
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
    /// The run that found it.
    pub run_id: RunId,
    /// When, in UTC.
    pub created_at: String,
    /// When a later reading agreed, in UTC; `None` while it is open.
    pub resolved_at: Option<String>,
}

/// The columns that make a place, in its order.
const PLACE: [&str; 7] = [
    "category",
    "year",
    "brand",
    "set_name",
    "number",
    "name",
    "variation",
];

impl Store {
    /// Up to `limit` discrepancies by number, those after the number `after`: the open ones or all, of one kind of subject or
    /// of all.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn discrepancies(
        &self,
        open_only: bool,
        subject: Option<&str>,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Vec<StoredDiscrepancy>, StoreError> {
        let mut values: Vec<Value> = vec![after.unwrap_or(i64::MIN).into(), i64::from(limit).into()];
        let is_open = if open_only {
            "AND entry.resolved_at IS NULL"
        } else {
            ""
        };
        let of_subject = subject.map_or("", |subject| {
            values.push(self.dialect.text(subject));
            "AND entry.subject = $3"
        });
        let sql = format!(
            "SELECT entry.id, entry.subject, entry.subject_id, entry.page_key, entry.what, entry.expected, \
                 entry.expected_by, entry.found, entry.verdict, entry.run_id, {created} AS created_at, \
                 {resolved} AS resolved_at, categories.name AS category, years.year, sets.brand, \
                 sets.name AS set_name, cards.number, cards.name, cards.variation \
             FROM discrepancies AS entry \
             LEFT JOIN cards ON entry.subject = 'card' AND cards.id = entry.subject_id \
             LEFT JOIN sets ON sets.id = CASE entry.subject WHEN 'set' THEN entry.subject_id ELSE cards.set_id END \
             LEFT JOIN years ON years.id = CASE entry.subject WHEN 'year' THEN entry.subject_id ELSE sets.year_id END \
             LEFT JOIN categories ON categories.id = \
                 CASE entry.subject WHEN 'category' THEN entry.subject_id ELSE years.category_id END \
             WHERE entry.id > $1 {is_open} {of_subject} ORDER BY entry.id LIMIT $2",
            created = self.dialect.iso("entry.created_at"),
            resolved = self.dialect.iso("entry.resolved_at"),
        );
        let rows = self.rows(self.dialect.statement(sql, values)).await?;
        rows.iter().map(discrepancy).collect()
    }
}

fn discrepancy(row: &QueryResult) -> Result<StoredDiscrepancy, StoreError> {
    let mut place = Vec::new();
    for column in PLACE {
        let name: Option<String> = row.try_get("", column)?;
        place.extend(name.filter(|name| !name.is_empty()));
    }
    Ok(StoredDiscrepancy {
        id: row.try_get("", "id")?,
        subject: row.try_get("", "subject")?,
        subject_id: row.try_get("", "subject_id")?,
        place,
        page_key: row.try_get("", "page_key")?,
        what: row.try_get("", "what")?,
        expected: row.try_get("", "expected")?,
        expected_by: row.try_get("", "expected_by")?,
        found: row.try_get("", "found")?,
        verdict: Verdict::from_name(&row.try_get::<String>("", "verdict")?)?,
        run_id: row.try_get("", "run_id")?,
        created_at: row.try_get("", "created_at")?,
        resolved_at: row.try_get("", "resolved_at")?,
    })
}
