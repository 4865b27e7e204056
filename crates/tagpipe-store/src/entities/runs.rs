//! Runs, one per crawl.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "runs")]
#[expect(
    missing_docs,
    reason = "a field is the column of its name; the migration says what it holds"
)]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub state: String,
    pub started_at: TimeDateTimeWithTimeZone,
    pub finished_at: Option<TimeDateTimeWithTimeZone>,
    pub config: Json,
    pub summary: Option<Json>,
    pub closing_by: Option<String>,
    pub closing_until: Option<TimeDateTimeWithTimeZone>,
    pub reading_order: String,
}

/// None: queries that need a join are written as one.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
