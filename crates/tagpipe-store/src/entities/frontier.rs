//! All known pages of a run with their state.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "frontier")]
#[expect(
    missing_docs,
    reason = "a field is the column of its name; the migration says what it holds"
)]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub run_id: i64,
    pub level: i16,
    pub page_key: String,
    pub url: String,
    pub identity: Json,
    pub subject_id: Option<i64>,
    pub expected: Option<i64>,
    pub state: String,
    pub attempts: i64,
    pub failures: i64,
    pub refusals: i64,
    pub calm_not_founds: i64,
    pub verifications: i64,
    pub rows_hash: Option<i64>,
    pub not_before: Option<TimeDateTimeWithTimeZone>,
    pub lease_owner: Option<String>,
    pub lease_token: Option<String>,
    pub lease_expires_at: Option<TimeDateTimeWithTimeZone>,
    pub last_outcome: Option<String>,
    pub last_error: Option<String>,
    pub elapsed_ms: Option<i64>,
    pub finished_at: Option<TimeDateTimeWithTimeZone>,
    pub subject_changes: Option<i64>,
    pub audited: i64,
    pub rows_moved: Option<i64>,
    pub doubt: Option<String>,
    pub verify_after: Option<i64>,
    pub stale_since_us: i64,
    pub seen_again: i64,
}

/// None: queries that need a join are written as one.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
