//! Processes that start, watch and replace the runners of a run.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "orchestrators")]
#[expect(
    missing_docs,
    reason = "a field is the column of its name; the migration says what it holds"
)]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub run_id: i64,
    pub instance: String,
    pub host: String,
    pub pid: i64,
    pub process_mark: String,
    pub state: String,
    pub runners_wanted: i64,
    pub started_at: TimeDateTimeWithTimeZone,
    pub heartbeat_at: TimeDateTimeWithTimeZone,
}

/// None: queries that need a join are written as one.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
