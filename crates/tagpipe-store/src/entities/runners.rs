//! Processes that worked on a run.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "runners")]
#[expect(
    missing_docs,
    reason = "a field is the column of its name; the migration says what it holds"
)]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub instance: String,
    pub run_id: i64,
    pub runner_id: String,
    pub host: String,
    pub pid: i64,
    pub state: String,
    pub started_at: TimeDateTimeWithTimeZone,
    pub heartbeat_at: TimeDateTimeWithTimeZone,
    pub pages_completed: i64,
    pub pages_failed: i64,
    pub retries: i64,
    pub requests: i64,
    pub bytes: i64,
    pub rows_new: i64,
    pub rows_changed: i64,
    pub rows_same: i64,
    pub rows_vanished: i64,
    pub busy_ms: i64,
    pub process_mark: String,
    pub current_page: String,
    pub memory_bytes: i64,
    pub ended_why: String,
}

/// None: queries that need a join are written as one.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
