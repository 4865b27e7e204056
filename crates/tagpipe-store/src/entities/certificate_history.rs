//! Certificates that vanished, returned, moved or got another grade.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "certificate_history")]
#[expect(
    missing_docs,
    reason = "a field is the column of its name; the migration says what it holds"
)]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub grade_row_id: i64,
    pub event: String,
    pub observed_at: TimeDateTimeWithTimeZone,
    pub run_id: Option<i64>,
    pub card_before: Option<i64>,
    pub grade_before: Option<String>,
    pub card_after: Option<i64>,
    pub grade_after: Option<String>,
}

/// None: queries that need a join are written as one.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
