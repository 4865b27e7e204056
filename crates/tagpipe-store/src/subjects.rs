//! The rows of the catalogue whose children a page lists: where `--start-from` takes its pages from.

use tagpipe_core::model::{Identity, PageKind};

use crate::connect::Store;
use crate::error::StoreError;

/// A stored row, and what it promises of the page that lists its children.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSubject {
    /// Its id.
    pub id: i64,
    /// The identity of the page that lists its children.
    pub identity: Identity,
    /// Path and query of that page.
    pub url: String,
    /// Rows (sets) or copies (cards, grade rows) it promises; `None` for years.
    pub expected: Option<u64>,
}

impl Store {
    /// Up to `limit` stored rows above the pages of `kind`, by id, those after `after`.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn stored_subjects(
        &self,
        kind: PageKind,
        after: i64,
        limit: u32,
    ) -> Result<Vec<StoredSubject>, StoreError> {
        let Some(source) = source(kind) else {
            return Ok(Vec::new());
        };
        let sql = format!("SELECT {source} WHERE subject.id > $1 ORDER BY subject.id LIMIT $2");
        let rows = self
            .rows(
                self.dialect
                    .statement(sql, [after.into(), i64::from(limit).into()]),
            )
            .await?;
        rows.iter()
            .map(|row| {
                let text = |column: &str| -> Result<String, StoreError> { Ok(row.try_get("", column)?) };
                let expected: Option<i64> = row.try_get("", "expected")?;
                Ok(StoredSubject {
                    id: row.try_get("", "id")?,
                    identity: Identity {
                        category: text("category")?,
                        year: text("year")?,
                        brand: text("brand")?,
                        set: text("set_name")?,
                        name: text("name")?,
                        number: text("number")?,
                        variation: text("variation")?,
                    },
                    url: text("url")?,
                    expected: expected.and_then(|expected| u64::try_from(expected).ok()),
                })
            })
            .collect()
    }
}

/// Columns and joins for the rows above the pages of `kind`; none are above the categories.
fn source(kind: PageKind) -> Option<&'static str> {
    Some(match kind {
        PageKind::Categories => return None,
        PageKind::Years => {
            "subject.id, subject.url, subject.name AS category, '' AS year, '' AS brand, '' AS set_name, '' AS name, \
                 '' AS number, '' AS variation, CAST(NULL AS bigint) AS expected FROM categories AS subject"
        }
        PageKind::Sets => {
            "subject.id, subject.url, categories.name AS category, subject.year, '' AS brand, '' AS set_name, '' AS name, \
                 '' AS number, '' AS variation, subject.sets_count AS expected \
             FROM years AS subject JOIN categories ON categories.id = subject.category_id"
        }
        PageKind::Cards => {
            "subject.id, subject.url, categories.name AS category, years.year, subject.brand, subject.name AS set_name, \
                 '' AS name, '' AS number, '' AS variation, subject.total AS expected \
             FROM sets AS subject JOIN years ON years.id = subject.year_id \
             JOIN categories ON categories.id = years.category_id"
        }
        PageKind::GradeRows => {
            "subject.id, subject.url, categories.name AS category, years.year, sets.brand, sets.name AS set_name, \
                 subject.name, subject.number, subject.variation, subject.total AS expected \
             FROM cards AS subject JOIN sets ON sets.id = subject.set_id \
             JOIN years ON years.id = sets.year_id JOIN categories ON categories.id = years.category_id"
        }
    })
}
