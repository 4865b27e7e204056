//! Categories, years, sets and cards that vanished, returned or were renamed.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "catalogue_history")]
#[expect(
    missing_docs,
    reason = "a field is the column of its name; the migration says what it holds"
)]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub subject: String,
    pub subject_id: i64,
    pub event: String,
    pub observed_at: TimeDateTimeWithTimeZone,
    pub run_id: Option<i64>,
    pub name_before: Option<String>,
    pub detail_before: Option<String>,
    pub name_after: Option<String>,
    pub detail_after: Option<String>,
}

/// None: queries that need a join are written as one.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
