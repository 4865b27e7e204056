//! What is at the place where a database is to be restored.

use std::path::Path;

use sea_orm::{ConnectionTrait as _, DatabaseConnection};

use super::{Contents, newer_migration, postgres, sqlite};
use crate::connect::DatabaseUrl;
use crate::dialect::Dialect;
use crate::error::StoreError;

/// What is there already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Occupant {
    /// Nothing, or a database without tables of tagpipe.
    Nothing,
    /// tagpipe's tables, with nothing in them that anybody would miss.
    Empty(Contents),
    /// A database of tagpipe with something in it.
    Tagpipe(Contents),
    /// Something that is not tagpipe's, or a newer tagpipe's, in words. It is never overwritten.
    Foreign(String),
    /// A file that cannot be read as a database, in words.
    Damaged(String),
}

/// The tables that fill by themselves, whether or not anything was ever read.
const NEVER_EMPTY: [&str; 3] = ["seaql_migrations", "grade_scale", "pace"];

/// Looks what is at `url`, and changes nothing.
///
/// # Errors
/// [`StoreError::Unavailable`] and [`StoreError::Refused`], as on opening.
pub async fn occupant(url: &DatabaseUrl) -> Result<Occupant, StoreError> {
    match url {
        DatabaseUrl::Memory => Ok(Occupant::Nothing),
        DatabaseUrl::Sqlite(path) => {
            if let Some(other) = no_file(path) {
                return Ok(Occupant::Foreign(other.to_owned()));
            }
            let is_empty = std::fs::metadata(path).is_ok_and(|found| found.is_file() && found.len() == 0);
            if !path.exists() || is_empty {
                return Ok(Occupant::Nothing);
            }
            let found = async {
                let connection = sqlite::connect(path, |file| file).await?;
                let found = examined(&connection, Dialect::Sqlite, "main").await;
                sqlite::close(connection).await;
                found
            };
            match found.await {
                Err(StoreError::Refused(text) | StoreError::Bug(text)) => Ok(Occupant::Damaged(text)),
                other => other,
            }
        }
        DatabaseUrl::Postgres(url) => {
            let connection = postgres::connect(url).await?;
            let found = async {
                match postgres::namespace(&connection).await? {
                    Some(namespace) => examined(&connection, Dialect::Postgres, &namespace).await,
                    // The schema that the search path names is still to be made.
                    None => Ok(Occupant::Nothing),
                }
            };
            let found = found.await;
            sqlite::close(connection).await;
            found
        }
    }
}

/// What is at the path, if that is something else than a file: no database was ever there.
fn no_file(path: &Path) -> Option<&'static str> {
    let found = std::fs::metadata(path).ok()?;
    if found.is_file() {
        None
    } else if found.is_dir() {
        Some("it is a folder; a database is a file in one")
    } else {
        Some("it is a device or a pipe, not a file")
    }
}

async fn examined(
    connection: &DatabaseConnection,
    dialect: Dialect,
    namespace: &str,
) -> Result<Occupant, StoreError> {
    let contents = match dialect {
        Dialect::Sqlite => sqlite::contents(connection).await?,
        Dialect::Postgres => postgres::contents(connection, namespace).await?,
    };
    if let Some(newer) = newer_migration(&contents.migrations) {
        return Ok(Occupant::Foreign(format!(
            "it was written by a newer tagpipe (migration `{newer}`)"
        )));
    }
    if contents.migrations.is_empty() {
        return foreign(connection, dialect, &contents).await;
    }
    let is_empty = contents
        .tables
        .iter()
        .all(|(name, rows)| *rows == 0 || NEVER_EMPTY.contains(&name.as_str()));
    Ok(if is_empty {
        Occupant::Empty(contents)
    } else {
        Occupant::Tagpipe(contents)
    })
}

/// A file with tables of others is theirs. A PostgreSQL may have others beside tagpipe, but none under its names.
async fn foreign(
    connection: &DatabaseConnection,
    dialect: Dialect,
    contents: &Contents,
) -> Result<Occupant, StoreError> {
    if dialect == Dialect::Sqlite {
        return Ok(match contents.tables.keys().next() {
            Some(table) => Occupant::Foreign(format!("it has a table `{table}` that another program made")),
            None => Occupant::Nothing,
        });
    }
    for table in ["audit_logs", "categories", "years", "sets", "cards", "runs"] {
        let found = connection
            .query_all_raw(dialect.statement(dialect.has_table(table), []))
            .await?;
        if !found.is_empty() {
            return Ok(Occupant::Foreign(format!(
                "it has a table `{table}` that another program made"
            )));
        }
    }
    Ok(Occupant::Nothing)
}
