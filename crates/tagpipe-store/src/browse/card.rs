//! A card's page: its certificates in the order of the leaderboard, and how its population came about.

use sea_orm::QueryResult;
use serde::Serialize;

use super::{GradeCount, count};
use crate::connect::Store;
use crate::contract::RunId;
use crate::error::StoreError;

/// A certificate as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StoredGradeRow {
    /// Its id.
    pub id: i64,
    /// Its number.
    pub cert_number: String,
    /// Its place in the card's leaderboard.
    pub rank: Option<u64>,
    /// Grade and score as the site shows them, e.g. `8.5 NM MT+ (890)`.
    pub grade_text: String,
    /// The grade as a number; `None` for a grade without one (VA).
    pub grade: Option<f64>,
    /// Name of the grade.
    pub grade_label: String,
    /// The count that this copy belongs to.
    pub grade_code: String,
    /// The score.
    pub score: Option<u64>,
    /// Its place among the copies of its grade.
    pub rank_by_grade: Option<u64>,
    /// Its place in the order of grading.
    pub chronology: Option<u64>,
    /// Its place in that order among the copies of its grade.
    pub chron_by_grade: Option<u64>,
    /// The day on which its grading was completed.
    pub completed_on: Option<String>,
    /// Path of its report.
    pub report_url: String,
    /// When it was first seen, in UTC.
    pub first_seen_at: String,
    /// When it was last seen, in UTC.
    pub last_seen_at: String,
    /// When a complete reading of the card's page no longer listed it, in UTC; `None` while it is listed.
    pub vanished_at: Option<String>,
}

impl StoredGradeRow {
    /// Where the rows after this one begin.
    #[must_use]
    pub fn cursor(&self) -> GradeRowCursor {
        GradeRowCursor {
            rank: self.rank,
            id: self.id,
        }
    }
}

/// A place in the order of a card's certificates: by rank, those without one last, then by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GradeRowCursor {
    /// Rank of the last row seen.
    pub rank: Option<u64>,
    /// Its id.
    pub id: i64,
}

/// What has a history of its population.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Population {
    /// Of a set.
    Set,
    /// Of a card.
    Card,
}

impl Population {
    fn as_str(self) -> &'static str {
        match self {
            Population::Set => "set",
            Population::Card => "card",
        }
    }
}

/// A population as it was from a moment on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PopulationPoint {
    /// When it was first seen to be so, in UTC.
    pub observed_at: String,
    /// The run that saw it.
    pub run_id: RunId,
    /// The copies by grade, in the order of the scale; grades with copies only.
    pub counts: Vec<GradeCount>,
    /// Graded copies.
    pub total: u64,
}

impl Store {
    /// Up to `limit` certificates of a card, in the order of the leaderboard, those after `after`.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn grade_rows_of(
        &self,
        card_id: i64,
        after: Option<GradeRowCursor>,
        limit: u32,
    ) -> Result<Vec<StoredGradeRow>, StoreError> {
        let dialect = self.dialect;
        let place = format!("coalesce(rank, {NO_RANK})");
        let sql = format!(
            "SELECT id, cert_number, rank, grade_text, grade, grade_label, grade_code, score, rank_by_grade, chronology, \
                 chron_by_grade, {completed} AS completed_on, report_url, {first} AS first_seen_at, \
                 {last} AS last_seen_at, {vanished} AS vanished_at \
             FROM grade_rows WHERE card_id = $1 AND ({place}, id) > ($2, $3) ORDER BY {place}, id LIMIT $4",
            completed = dialect.as_text_value("completed_on"),
            first = dialect.iso("first_seen_at"),
            last = dialect.iso("last_seen_at"),
            vanished = dialect.iso("vanished_at"),
        );
        let (rank, id) = after.map_or((i64::MIN, i64::MIN), |cursor| {
            let rank = cursor
                .rank
                .map_or(NO_RANK, |rank| i64::try_from(rank).unwrap_or(NO_RANK));
            (rank, cursor.id)
        });
        let values = [card_id.into(), rank.into(), id.into(), i64::from(limit).into()];
        let rows = self.rows(dialect.statement(sql, values)).await?;
        rows.iter().map(grade_row).collect()
    }

    /// The card that the certificate with this number is of; `None` if it is not stored. Case does not matter.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn card_of_certificate(&self, number: &str) -> Result<Option<i64>, StoreError> {
        let sql = "SELECT card_id FROM grade_rows WHERE cert_number = $1 OR cert_number = upper($1) LIMIT 1";
        let rows = self
            .rows(self.dialect.statement(sql, [self.dialect.text(number)]))
            .await?;
        Ok(rows.first().map(|row| row.try_get("", "card_id")).transpose()?)
    }

    /// How the population of a set or card came about: its newest `newest` changes, oldest first.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn population_history_of(
        &self,
        of: Population,
        id: i64,
        newest: u32,
    ) -> Result<Vec<PopulationPoint>, StoreError> {
        let sql = format!(
            "SELECT {observed} AS observed_at, run_id, {counts} AS counts, total FROM population_history \
             WHERE subject = $1 AND subject_id = $2 ORDER BY population_history.observed_at DESC, id DESC LIMIT $3",
            observed = self.dialect.iso("population_history.observed_at"),
            counts = self.dialect.as_text("counts"),
        );
        let values = [of.as_str().into(), id.into(), i64::from(newest).into()];
        let rows = self.rows(self.dialect.statement(sql, values)).await?;
        let scale = self.scale().await?;
        rows.iter()
            .rev()
            .map(|row| {
                Ok(PopulationPoint {
                    observed_at: row.try_get("", "observed_at")?,
                    run_id: row.try_get("", "run_id")?,
                    counts: scale.counts(&row.try_get::<String>("", "counts")?)?,
                    total: count(row, "total")?,
                })
            })
            .collect()
    }
}

/// Where rows without a rank stand.
const NO_RANK: i64 = i64::MAX;

fn grade_row(row: &QueryResult) -> Result<StoredGradeRow, StoreError> {
    let number = |column: &str| -> Result<Option<u64>, StoreError> {
        let number: Option<i64> = row.try_get("", column)?;
        Ok(number.map(i64::unsigned_abs))
    };
    Ok(StoredGradeRow {
        id: row.try_get("", "id")?,
        cert_number: row.try_get("", "cert_number")?,
        rank: number("rank")?,
        grade_text: row.try_get("", "grade_text")?,
        grade: row.try_get("", "grade")?,
        grade_label: row.try_get("", "grade_label")?,
        grade_code: row.try_get("", "grade_code")?,
        score: number("score")?,
        rank_by_grade: number("rank_by_grade")?,
        chronology: number("chronology")?,
        chron_by_grade: number("chron_by_grade")?,
        completed_on: row.try_get("", "completed_on")?,
        report_url: row.try_get("", "report_url")?,
        first_seen_at: row.try_get("", "first_seen_at")?,
        last_seen_at: row.try_get("", "last_seen_at")?,
        vanished_at: row.try_get("", "vanished_at")?,
    })
}
