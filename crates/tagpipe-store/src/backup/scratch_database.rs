//! Databases that backups of PostgreSQL are tried in: each made for one trial, and removed after it.
//!
//! Whoever makes one holds an advisory lock of its own from before it is there until it is gone. The lock belongs to a session,
//! and a session ends with its process, however that ends: what nobody holds was left by somebody who is gone, and is removed at
//! once by the next backup or trial on the server. `pg_locks` shows the locks of all databases, so that it does not matter which
//! one somebody is at work for. PostgreSQL itself refuses to remove a database that somebody is connected to.

use std::collections::HashSet;

use sea_orm::{ConnectionTrait, DatabaseConnection};

use super::postgres::{connect, quoted_name, text};
use super::sqlite;
use crate::dialect::Dialect;
use crate::error::StoreError;

/// A database made for one trial.
#[derive(Debug)]
pub struct ScratchDatabase {
    server: url::Url,
    name: String,
    /// Has the lock.
    holder: DatabaseConnection,
}

/// How scratch databases are called; the second they were made in follows, and the key of their lock.
const PREFIX: &str = "tagpipe_verify_";
/// The first half of the locks' keys: any number, the same in every version.
const LOCK: i32 = 1_952_540_528;

impl ScratchDatabase {
    /// Makes it on the server of `url`.
    ///
    /// # Errors
    /// [`StoreError::Refused`] where the user may not.
    pub async fn create(url: &url::Url) -> Result<ScratchDatabase, StoreError> {
        let holder = connect(url).await?;
        match make(&holder).await {
            Ok(name) => Ok(ScratchDatabase {
                server: url.clone(),
                name,
                holder,
            }),
            Err(error) => {
                sqlite::close(holder).await;
                Err(error)
            }
        }
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> url::Url {
        address_of(&self.server, &self.name)
    }

    /// Removes it.
    ///
    /// # Errors
    /// [`StoreError::Refused`] with its name.
    pub async fn remove(self) -> Result<(), StoreError> {
        let connection = connect(&self.server).await?;
        let removed = connection
            .execute_unprepared(&format!("DROP DATABASE IF EXISTS {}", self.name))
            .await;
        sqlite::close(connection).await;
        sqlite::close(self.holder).await;
        removed.map(drop).map_err(|error| {
            StoreError::Refused(format!(
                "cannot remove the database `{}` that the backup was tried in: {error}",
                self.name
            ))
        })
    }
}

/// Removes the scratch databases that nobody holds.
pub(super) async fn sweep(connection: &DatabaseConnection) {
    // What cannot be looked up or removed now is so the next time.
    for name in left_behind(connection).await.unwrap_or_default() {
        // Another user's, or in use after all.
        let _ = connection
            .execute_unprepared(&format!("DROP DATABASE {}", quoted_name(&name)))
            .await;
    }
}

/// Makes a database after taking its lock, and returns its name.
async fn make(holder: &DatabaseConnection) -> Result<String, StoreError> {
    sweep(holder).await;
    let now = text(
        holder,
        "SELECT CAST(CAST(extract(epoch FROM now()) AS bigint) AS text) AS said",
    )
    .await?;
    let key = fastrand::u32(..);
    let name = name_of(&now, key);
    holder.execute_unprepared(&hold(key)).await?;
    holder
        .execute_unprepared(&format!("CREATE DATABASE {name} TEMPLATE template0"))
        .await
        .map_err(|error| {
            StoreError::Refused(format!(
                "cannot make a database to try the backup in: {error}; grant the user CREATEDB, or name an empty database \
                 with --scratch-url"
            ))
        })?;
    Ok(name)
}

/// Takes the lock for as long as the session lasts, which stands still meanwhile; a machine that is gone is noticed in half a minute.
fn hold(key: u32) -> String {
    format!(
        "SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'idle_session_timeout'; \
         SET tcp_keepalives_idle = 15; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3; \
         SELECT pg_advisory_lock({LOCK}, {})",
        key.cast_signed()
    )
}

/// The names first, then the locks: one that is made in between is not looked at, and one that was there is held if its maker lives.
async fn left_behind(connection: &DatabaseConnection) -> Result<Vec<String>, StoreError> {
    let dialect = Dialect::Postgres;
    let sql =
        "SELECT CAST(datname AS text) AS name FROM pg_database WHERE starts_with(CAST(datname AS text), $1)";
    let names = connection
        .query_all_raw(dialect.statement(sql, [PREFIX.into()]))
        .await?;
    let sql = "SELECT CAST(objid AS bigint) AS key FROM pg_locks \
               WHERE locktype = 'advisory' AND objsubid = 2 AND CAST(classid AS bigint) = $1";
    let locks = connection
        .query_all_raw(dialect.statement(sql, [i64::from(LOCK).into()]))
        .await?;
    let held: HashSet<i64> = locks
        .iter()
        .map(|row| row.try_get("", "key"))
        .collect::<Result<_, _>>()?;
    let names: Vec<String> = names
        .iter()
        .map(|row| row.try_get("", "name"))
        .collect::<Result<_, _>>()?;
    Ok(names
        .into_iter()
        .filter(|name| key_of(name).is_some_and(|key| !held.contains(&i64::from(key))))
        .collect())
}

fn name_of(second: &str, key: u32) -> String {
    format!("{PREFIX}{second}_{key:08x}")
}

/// The key of a scratch database's lock; `None` for a name that tagpipe gives to none.
fn key_of(name: &str) -> Option<u32> {
    let (second, key) = name.strip_prefix(PREFIX)?.split_once('_')?;
    let key = u32::from_str_radix(key, 16).ok()?;
    let is_number = !second.is_empty() && second.bytes().all(|one| one.is_ascii_digit());
    // One spelling only: what is ours is exactly what we write.
    (is_number && name_of(second, key) == name).then_some(key)
}

/// The address of another database of the same server.
fn address_of(server: &url::Url, database: &str) -> url::Url {
    let mut url = server.clone();
    url.set_path(database);
    // The driver would take this before the path.
    let others: Vec<(String, String)> = url
        .query_pairs()
        .filter(|(key, _)| key != "dbname")
        .map(|(key, value)| (key.into_owned(), value.into_owned()))
        .collect();
    if others.len() != url.query_pairs().count() {
        url.query_pairs_mut().clear().extend_pairs(others);
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_written_so_is_a_scratch_database() {
        assert_eq!(key_of(&name_of("1764462600", 0xfe)), Some(0xfe));
        for name in [
            "tagpipe",
            "tagpipe_verify_",
            "tagpipe_verify_mine",
            "tagpipe_verify_1764462600",
            "tagpipe_verify_1764462600_000000FE",
            "tagpipe_verify_1764462600_fe",
            "tagpipe_verify_1764462600_000000fe_copy",
            "tagpipe_verify_x_000000fe",
            "my_tagpipe_verify_1764462600_000000fe",
        ] {
            assert_eq!(key_of(name), None, "{name}");
        }
    }

    #[test]
    fn the_address_is_the_scratch_databases_however_the_own_one_is_named() {
        for (own, expected) in [
            ("postgres://u:p@h:1/cards", "postgres://u:p@h:1/scratch"),
            (
                "postgres://u@h/cards?options=-csearch_path%3Dx&dbname=cards",
                "postgres://u@h/scratch?options=-csearch_path%3Dx",
            ),
        ] {
            assert_eq!(address_of(&own.parse().unwrap(), "scratch").as_str(), expected);
        }
    }
}
