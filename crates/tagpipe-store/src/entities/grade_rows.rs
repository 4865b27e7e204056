//! Graded certificates of a card.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "grade_rows")]
#[expect(
    missing_docs,
    reason = "a field is the column of its name; the migration says what it holds"
)]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub cert_number: String,
    pub card_id: i64,
    pub rank: Option<i64>,
    pub grade_text: String,
    pub grade: Option<f64>,
    pub grade_label: String,
    pub grade_code: String,
    pub score: Option<i64>,
    pub rank_by_grade: Option<i64>,
    pub chronology: Option<i64>,
    pub chron_by_grade: Option<i64>,
    pub completed_on: Option<TimeDate>,
    pub report_url: String,
    pub first_seen_at: TimeDateTimeWithTimeZone,
    pub changed_at: TimeDateTimeWithTimeZone,
    pub last_seen_at: TimeDateTimeWithTimeZone,
    pub vanished_at: Option<TimeDateTimeWithTimeZone>,
    pub seen_by_run: Option<i64>,
}

/// None: queries that need a join are written as one.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
