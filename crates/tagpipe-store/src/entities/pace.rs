//! The pace of each site.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "pace")]
#[expect(
    missing_docs,
    reason = "a field is the column of its name; the migration says what it holds"
)]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub site: String,
    pub next_slot_us: i64,
    pub last_slot_us: i64,
    pub blocked_until_us: i64,
    pub extra_us: i64,
    pub refusals_in_row: i64,
    pub reason: String,
    pub closures: i64,
}

/// None: queries that need a join are written as one.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
