//! Sums that do not agree.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "discrepancies")]
#[expect(
    missing_docs,
    reason = "a field is the column of its name; the migration says what it holds"
)]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub subject: String,
    pub subject_id: i64,
    pub page_key: String,
    pub what: String,
    pub expected: String,
    pub expected_by: String,
    pub found: String,
    pub run_id: i64,
    pub created_at: TimeDateTimeWithTimeZone,
    pub resolved_at: Option<TimeDateTimeWithTimeZone>,
    pub verdict: String,
}

/// None: queries that need a join are written as one.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
