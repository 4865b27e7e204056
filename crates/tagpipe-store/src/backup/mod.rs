//! Safe copies of a database, and back: the part that speaks to databases.
//!
//! SQLite is copied by itself (`sqlite.rs`), PostgreSQL by its own programs (`postgres.rs`, `programs.rs`), and tried in a database of
//! its own (`scratch_database.rs`). What becomes of a
//! copy (compression, encryption, where it is kept) is none of this module's business. What must hold:
//!
//! - A copy is one moment of the database, and its counts are counted in that moment.
//! - A run that writes meanwhile is not held up.
//! - A restore happens whole or not at all, and never under the feet of a process that uses the database.

mod occupant;
mod postgres;
mod programs;
mod scratch_database;
mod sqlite;

use std::collections::BTreeMap;

pub use occupant::{Occupant, occupant};
pub use postgres::{Dump, PostgresSnapshot, is_empty_postgres, restore_postgres, try_restore_postgres};
pub use scratch_database::ScratchDatabase;
pub use sqlite::{copy_sqlite, count_sqlite, inspect_sqlite, replace_sqlite, sign_sqlite, sqlite_version};

use crate::connect::known_migrations;

/// What is in a database or a copy of one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Contents {
    /// The migrations it has had, oldest first.
    pub migrations: Vec<String>,
    /// Rows by table.
    pub tables: BTreeMap<String, u64>,
}

impl Contents {
    /// The last migration; `None` where tagpipe has made nothing.
    #[must_use]
    pub fn schema(&self) -> Option<&str> {
        self.migrations.last().map(String::as_str)
    }

    /// Rows of all tables.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.tables.values().sum()
    }
}

/// The first of `migrations` that this build does not know: a newer one has written it.
#[must_use]
pub fn newer_migration(migrations: &[String]) -> Option<&str> {
    let known = known_migrations();
    migrations
        .iter()
        .find(|one| !known.contains(one))
        .map(String::as_str)
}

/// The tables whose rows differ, in words; empty if none does.
#[must_use]
pub fn differences(expected: &BTreeMap<String, u64>, found: &BTreeMap<String, u64>) -> Vec<String> {
    let names: std::collections::BTreeSet<&String> = expected.keys().chain(found.keys()).collect();
    names
        .into_iter()
        .filter(|name| expected.get(*name) != found.get(*name))
        .map(|name| {
            let told = |rows: Option<&u64>| rows.map_or_else(|| "no table".to_owned(), u64::to_string);
            format!(
                "`{name}`: {} instead of {}",
                told(found.get(name)),
                told(expected.get(name))
            )
        })
        .collect()
}

/// What is entered in the audit trail of a database that was restored.
#[derive(Debug, Clone)]
pub struct RestoreNote {
    /// A sentence that can be read alone.
    pub message: String,
    /// Fields for queries.
    pub context: serde_json::Value,
}

/// Ends the jobs that were open in the moment of the copy, in the `jobs` table of `schema`; `now` is the time. Among them is the one
/// that made the copy, if a service did: begun once more, it would have backups removed to make room for itself.
fn end_of_open_jobs(schema: &str, now: &str) -> String {
    format!(
        "UPDATE {schema}jobs SET state = CASE state WHEN 'waiting' THEN 'cancelled' ELSE 'failed' END, holder = '', \
             held_until = NULL, ended_at = {now}, reason = 'the database was restored from a backup that was taken before this \
             had ended; order it again if it is still wanted' \
         WHERE state IN ('waiting', 'working')"
    )
}

/// Who does it, in the audit trail.
const ACTOR: &str = "tagpipe restore";
/// What is done, in the audit trail.
const OPERATION: &str = "restore";
