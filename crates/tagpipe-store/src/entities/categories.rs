//! Categories of the report.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "categories")]
#[expect(
    missing_docs,
    reason = "a field is the column of its name; the migration says what it holds"
)]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub name: String,
    pub name_key: String,
    pub url: String,
    pub first_seen_at: TimeDateTimeWithTimeZone,
    pub changed_at: TimeDateTimeWithTimeZone,
    pub last_seen_at: TimeDateTimeWithTimeZone,
    pub vanished_at: Option<TimeDateTimeWithTimeZone>,
    pub seen_by_run: Option<i64>,
    pub seen_times: i64,
    pub changes: i64,
    pub tried_at: Option<TimeDateTimeWithTimeZone>,
    pub read_at: Option<TimeDateTimeWithTimeZone>,
}

/// None: queries that need a join are written as one.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
