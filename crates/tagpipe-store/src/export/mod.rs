//! Rows for those who take them elsewhere: the tables and views of the contract, as they stood at one moment.
//!
//! - `tables.rs` is the one list of what can be taken, column by column.
//! - `selection.rs` says which rows are wanted, and makes the query.
//! - `reading.rs` reads them, a bounded number at a time.
//!
//! What must hold: all tables of a [`Snapshot`] are of one moment, whoever writes meanwhile; rows come in an order that
//! depends on nothing but the rows; memory does not depend on their number. SQLite's log of writes cannot be folded into
//! its file while a snapshot is open, so it grows by what is written meanwhile.

mod reading;
mod selection;
mod standing;
mod tables;

use sea_orm::{ConnectionTrait, DatabaseTransaction};
use tagpipe_core::filter::Filters;
use tagpipe_core::model::{Identity, PageKind};
use tagpipe_core::tabular::Table;

use crate::connect::Store;
use crate::dialect::Dialect;
use crate::error::StoreError;

pub use reading::{Batch, RowReader};
pub use selection::{NotApplicable, Selection};
pub use standing::{RunStanding, Standing};

/// A level of the catalogue that rows lie below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Categories.
    Category,
    /// Years of a category.
    Year,
    /// Sets of a year.
    Set,
}

impl Level {
    /// As it is shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Category => "category",
            Level::Year => "year",
            Level::Set => "set",
        }
    }
}

/// A category, year or set: what rows can be told apart by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its row's number.
    pub id: i64,
    /// Its name and those above it.
    pub identity: Identity,
}

/// A table or view that can be exported.
#[derive(Debug, Clone, Copy)]
pub struct Exportable(&'static tables::Source);

impl Exportable {
    /// All of them, in the order in which they are listed.
    pub fn all() -> impl Iterator<Item = Exportable> {
        tables::ALL.iter().map(Exportable)
    }

    /// The one with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Exportable> {
        Exportable::all().find(|one| one.table().name == name)
    }

    /// What it holds.
    #[must_use]
    pub fn table(self) -> &'static Table {
        &self.0.table
    }

    /// The deepest level of the catalogue that all its rows lie in; `None` if they lie in none.
    #[must_use]
    pub fn deepest_level(self) -> Option<Level> {
        self.0.place.as_ref().map(tables::Place::deepest)
    }

    /// Whether it can be told when a row was last changed.
    #[must_use]
    pub fn is_dated(self) -> bool {
        self.0.changed.is_some()
    }

    /// Whether it can be told which rows have vanished.
    #[must_use]
    pub fn knows_vanished(self) -> bool {
        !matches!(self.0.vanished, tables::Vanished::NotApplicable)
    }
}

/// The database as it stands at one moment.
#[derive(Debug)]
pub struct Snapshot {
    transaction: DatabaseTransaction,
    dialect: Dialect,
}

impl Store {
    /// Looks at the database as it stands now, for as long as the result lives.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        let transaction = self.moment().await?;
        if self.dialect == Dialect::Postgres {
            // Whoever takes the rows may be slow, and all rows are wanted, not the first ones soon.
            let patience =
                "SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL cursor_tuple_fraction = 1";
            transaction.execute_unprepared(patience).await?;
        }
        let first_look = self
            .dialect
            .statement("SELECT 1 AS one FROM categories LIMIT 1", []);
        transaction.query_all_raw(first_look).await?;
        Ok(Snapshot {
            transaction,
            dialect: self.dialect,
        })
    }
}

impl Snapshot {
    /// The name of the newest migration: which schema the rows are of.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn schema_version(&self) -> Result<String, StoreError> {
        let sql = "SELECT max(version) AS version FROM seaql_migrations";
        let rows = self
            .transaction
            .query_all_raw(self.dialect.statement(sql, []))
            .await?;
        let version = rows
            .first()
            .map(|row| row.try_get::<Option<String>>("", "version"));
        Ok(version.transpose()?.flatten().unwrap_or_default())
    }

    /// The categories, years or sets that `filters` admit, by number.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn parts(&self, level: Level, filters: &Filters) -> Result<Vec<Part>, StoreError> {
        let (sql, kind) = match level {
            Level::Category => (
                "SELECT id, name AS category, '' AS year, '' AS brand, '' AS set_name FROM categories ORDER BY id",
                PageKind::Years,
            ),
            Level::Year => (
                "SELECT years.id, categories.name AS category, years.year AS year, '' AS brand, '' AS set_name \
                 FROM years JOIN categories ON categories.id = years.category_id ORDER BY years.id",
                PageKind::Sets,
            ),
            Level::Set => (
                "SELECT sets.id, categories.name AS category, years.year AS year, sets.brand AS brand, \
                     sets.name AS set_name FROM sets JOIN years ON years.id = sets.year_id \
                 JOIN categories ON categories.id = years.category_id ORDER BY sets.id",
                PageKind::Cards,
            ),
        };
        let rows = self
            .transaction
            .query_all_raw(self.dialect.statement(sql, []))
            .await?;
        let mut parts = Vec::new();
        for row in rows {
            let identity = Identity {
                category: row.try_get("", "category")?,
                year: row.try_get("", "year")?,
                brand: row.try_get("", "brand")?,
                set: row.try_get("", "set_name")?,
                ..Identity::default()
            };
            if filters.rejects(kind, &identity).is_none() {
                let id = row.try_get("", "id")?;
                parts.push(Part { id, identity });
            }
        }
        Ok(parts)
    }

    /// Ends the look. What was read stays valid; the database may tidy up.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn close(self) -> Result<(), StoreError> {
        Ok(self.transaction.rollback().await?)
    }
}
