//! The documents that pages were read from, compressed.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "documents")]
#[expect(
    missing_docs,
    reason = "a field is the column of its name; the migration says what it holds"
)]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub level: i16,
    pub subject_id: i64,
    pub part: i64,
    pub run_id: i64,
    pub page_key: String,
    pub url: String,
    pub fetched_at: TimeDateTimeWithTimeZone,
    pub superseded_at: Option<TimeDateTimeWithTimeZone>,
    pub profile: String,
    pub subject_changes: Option<i64>,
    pub hash: String,
    pub bytes: i64,
    pub row_keys: Option<Json>,
    pub body: Vec<u8>,
}

/// None: queries that need a join are written as one.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
