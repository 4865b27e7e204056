//! Years of a category.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "years")]
#[expect(
    missing_docs,
    reason = "a field is the column of its name; the migration says what it holds"
)]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub category_id: i64,
    pub natural_key: String,
    pub year: String,
    pub sets_count: i64,
    pub items_count: i64,
    pub graded_count: i64,
    pub url: String,
    pub first_seen_at: TimeDateTimeWithTimeZone,
    pub changed_at: TimeDateTimeWithTimeZone,
    pub last_seen_at: TimeDateTimeWithTimeZone,
    pub changes: i64,
    pub read_changes: i64,
    pub read_at: Option<TimeDateTimeWithTimeZone>,
    pub vanished_at: Option<TimeDateTimeWithTimeZone>,
    pub seen_by_run: Option<i64>,
    pub seen_times: i64,
    pub tried_at: Option<TimeDateTimeWithTimeZone>,
    pub same_until: Option<TimeDateTimeWithTimeZone>,
    pub differs_since: Option<TimeDateTimeWithTimeZone>,
}

/// None: queries that need a join are written as one.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
