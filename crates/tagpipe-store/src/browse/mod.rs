//! The stored report and what became of its reading, for people who browse: catalogue, search, a card's page, analytics.
//!
//! Nothing here writes. Lists come a page at a time, by key and not by offset, so that the last page costs what the first
//! does; whoever asks says how many rows are wanted. What has vanished is listed too, with the time when it did: the reader
//! decides whether to show it.

pub mod analytics;
pub mod card;
pub mod catalogue;
pub mod discrepancies;
pub mod search;

use std::collections::HashMap;

use sea_orm::QueryResult;
use serde::Serialize;

use crate::connect::Store;
use crate::error::StoreError;

/// Copies at one grade.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GradeCount {
    /// Code of the grade, e.g. `8.5` or `VA`.
    pub grade_code: String,
    /// Its name, e.g. `NM MT+`; empty if the profile's scale has none or does not know the grade.
    pub label: String,
    /// How many.
    pub copies: u64,
}

/// The grade scale of the profile that read the data: its order and its names.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scale {
    /// Place and label by code.
    grades: HashMap<String, (i64, String)>,
}

impl Scale {
    /// The counts of a stored JSON text in the order of the scale; grades that it does not know are last.
    pub(crate) fn counts(&self, json: &str) -> Result<Vec<GradeCount>, StoreError> {
        let stored: HashMap<String, u64> = serde_json::from_str(json)
            .map_err(|error| StoreError::Bug(format!("stored counts are damaged: {error}")))?;
        let mut counts: Vec<_> = stored
            .into_iter()
            .map(|(grade_code, copies)| GradeCount {
                label: self
                    .grades
                    .get(&grade_code)
                    .map_or_else(String::new, |(_, label)| label.clone()),
                grade_code,
                copies,
            })
            .collect();
        let place = |code: &str| self.grades.get(code).map_or(i64::MAX, |(place, _)| *place);
        counts.sort_by(|left, right| {
            (place(&left.grade_code), &left.grade_code).cmp(&(place(&right.grade_code), &right.grade_code))
        });
        Ok(counts)
    }
}

impl Store {
    pub(crate) async fn scale(&self) -> Result<Scale, StoreError> {
        let sql = "SELECT code, position, label FROM grade_scale";
        let mut scale = Scale::default();
        for row in self.rows(self.dialect.statement(sql, [])).await? {
            scale.grades.insert(
                row.try_get("", "code")?,
                (row.try_get("", "position")?, row.try_get("", "label")?),
            );
        }
        Ok(scale)
    }
}

/// A column that counts something.
fn count(row: &QueryResult, column: &str) -> Result<u64, StoreError> {
    let count: i64 = row.try_get("", column)?;
    Ok(count.unsigned_abs())
}
