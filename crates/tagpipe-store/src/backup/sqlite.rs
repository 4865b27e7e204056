//! Copies of SQLite files, and back.
//!
//! `VACUUM INTO` reads one moment of the database in a transaction of its own: whoever writes goes on writing. The log of
//! writes cannot be cut while the copy is made, so it grows by what is written meanwhile; the next checkpoint and
//! `journal_size_limit` take that back. The online backup interface would begin anew whenever another process writes.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sea_orm::sqlx::ConnectOptions as _;
use sea_orm::sqlx::sqlite::SqliteConnectOptions;
use sea_orm::{ConnectionTrait, Database, DatabaseConnection, DbErr, Statement, TransactionTrait};

use super::{ACTOR, Contents, OPERATION, RestoreNote, end_of_open_jobs};
use crate::connect::{applied_migrations, database_error, lasting_connections, name_file, sqlite_code};
use crate::dialect::Dialect;
use crate::error::StoreError;
use crate::migrations::relations;

/// How long a file that somebody else is using is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// SQLite's codes: <https://www.sqlite.org/rescode.html>.
const BUSY: u32 = 5;
const LOCKED: u32 = 6;
const CORRUPT: u32 = 11;
const FULL: u32 = 13;

/// Writes one moment of the database at `from` into the new file `to`.
///
/// # Errors
/// [`StoreError::Refused`] for what is no database or has no room, [`StoreError::Unavailable`] for one that is locked.
pub async fn copy_sqlite(from: &Path, to: &Path) -> Result<(), StoreError> {
    let connection = connect(from, |file| file).await?;
    let target = to
        .to_str()
        .ok_or_else(|| StoreError::Refused(format!("the path `{}` is no text", to.display())))?;
    let dialect = Dialect::Sqlite;
    let copied = connection
        .execute_raw(dialect.statement("VACUUM INTO $1", [target.into()]))
        .await;
    let copied = match copied {
        Ok(_) => Ok(()),
        Err(error) => Err(why_not_copied(&connection, from, to, error).await),
    };
    close(connection).await;
    copied
}

/// Why a copy was not made. What SQLite says of damage depends on where it meets it; "database or disk is full" is among it.
async fn why_not_copied(connection: &DatabaseConnection, from: &Path, to: &Path, error: DbErr) -> StoreError {
    let code = sqlite_code(&error);
    if code.is_none_or(|code| [BUSY, LOCKED].contains(&code)) {
        return name_file(from, error);
    }
    match texts(connection, "PRAGMA quick_check(1)").await {
        Ok(words) if words != ["ok"] => damaged(from, &complaints(&words)),
        Err(found) => damaged(from, &in_own_words(&found)),
        Ok(_) if code == Some(CORRUPT) => damaged(from, &in_own_words(&error)),
        Ok(_) if code == Some(FULL) => StoreError::Refused(format!(
            "there is no room for a copy of `{}` in `{}`; make room there",
            from.display(),
            to.parent().unwrap_or(to).display()
        )),
        Ok(_) => StoreError::Refused(format!(
            "cannot copy `{}` to `{}`: {}",
            from.display(),
            to.display(),
            in_own_words(&error)
        )),
    }
}

/// What a check has found, in one line and without its headings.
fn complaints(words: &[String]) -> String {
    let lines = words.iter().flat_map(|text| text.lines());
    let found: Vec<&str> = lines.filter(|line| !line.starts_with("***")).collect();
    found.join("; ")
}

/// What SQLite said, and nothing that we make of it.
fn in_own_words(error: &DbErr) -> String {
    database_error(error).map_or_else(|| error.to_string(), |said| said.message().to_owned())
}

fn damaged(path: &Path, what: &str) -> StoreError {
    StoreError::Refused(format!(
        "`{path}` is damaged ({what}) and cannot be backed up; bring an older backup back with `tagpipe restore --force`, which moves \
         it aside, or save what can still be read with `sqlite3 {path} .recover`",
        path = path.display()
    ))
}

/// What is in the file at `path`, which nobody writes to, without looking whether it is sound: a copy by [`copy_sqlite`] is as
/// sound as what was read.
///
/// # Errors
/// [`StoreError::Refused`] for what is no database.
pub async fn count_sqlite(path: &Path) -> Result<Contents, StoreError> {
    let connection = connect(path, |file| file.read_only(true).immutable(true)).await?;
    let counted = contents(&connection).await;
    close(connection).await;
    counted
}

/// The same, after looking whether it is sound.
///
/// # Errors
/// [`StoreError::Refused`] with what is wrong, for what is damaged or no database.
pub async fn inspect_sqlite(path: &Path) -> Result<Contents, StoreError> {
    let connection = connect(path, |file| file.read_only(true).immutable(true)).await?;
    let inspected = inspect(&connection, path).await;
    close(connection).await;
    inspected
}

async fn inspect(connection: &DatabaseConnection, path: &Path) -> Result<Contents, StoreError> {
    let damaged = |what: &str| StoreError::Refused(format!("`{}` is damaged: {what}", path.display()));
    let said = texts(connection, "PRAGMA integrity_check(5)").await;
    let said = said.map_err(|error| name_file(path, error))?;
    if said != ["ok"] {
        return Err(damaged(&complaints(&said)));
    }
    let orphans = texts(
        connection,
        "SELECT DISTINCT \"table\" AS said FROM pragma_foreign_key_check LIMIT 5",
    )
    .await
    .map_err(|error| name_file(path, error))?;
    if !orphans.is_empty() {
        return Err(damaged(&format!(
            "rows without parents in {}",
            orphans.join(", ")
        )));
    }
    contents(connection).await
}

/// What is in the database, without looking whether it is sound.
pub(super) async fn contents(connection: &DatabaseConnection) -> Result<Contents, StoreError> {
    let migrations = applied_migrations(connection).await?;
    let names = texts(
        connection,
        "SELECT name AS said FROM pragma_table_list \
         WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name",
    )
    .await?;
    let mut tables = std::collections::BTreeMap::new();
    for name in names {
        let sql = format!("SELECT count(*) AS rows FROM \"{}\"", name.replace('"', "\"\""));
        let rows = connection
            .query_all_raw(Dialect::Sqlite.statement(sql, []))
            .await?;
        let rows: i64 = match rows.first() {
            Some(row) => row.try_get("", "rows")?,
            None => 0,
        };
        tables.insert(name, rows.unsigned_abs());
    }
    Ok(Contents { migrations, tables })
}

/// The SQLite that reads the file.
///
/// # Errors
/// [`StoreError::Refused`] for what is no database.
pub async fn sqlite_version(path: &Path) -> Result<String, StoreError> {
    let connection = connect(path, |file| file.read_only(true).immutable(true)).await?;
    let said = texts(&connection, "SELECT sqlite_version()").await;
    close(connection).await;
    Ok(said
        .map_err(|error| name_file(path, error))?
        .pop()
        .unwrap_or_default())
}

/// Enters the restore in the audit trail of a copy that is not in use yet.
///
/// # Errors
/// [`StoreError::Refused`] for what is no database of tagpipe.
pub async fn sign_sqlite(path: &Path, note: &RestoreNote) -> Result<(), StoreError> {
    let connection = connect(path, |file| file).await?;
    let dialect = Dialect::Sqlite;
    let sql = format!(
        "INSERT INTO audit_logs (created_at, level, kind, runner_id, operation, message, context) \
         VALUES ({}, 'INFO', 'operation', $1, $2, $3, $4)",
        dialect.now()
    );
    let values = [
        ACTOR.into(),
        OPERATION.into(),
        dialect.text(&note.message),
        dialect.json(&note.context),
    ];
    let written = async {
        let transaction = connection.begin().await?;
        transaction.execute_raw(dialect.statement(sql, values)).await?;
        if has_jobs(&transaction).await? {
            let end = end_of_open_jobs("", dialect.now());
            transaction.execute_unprepared(&end).await?;
        }
        transaction.commit().await
    };
    let written = written.await;
    close(connection).await;
    written.map_err(|error| name_file(path, error))
}

/// Whether the copy is of a database with jobs: older ones had none.
async fn has_jobs(copy: &impl ConnectionTrait) -> Result<bool, DbErr> {
    let found = copy
        .query_all_raw(
            Dialect::Sqlite.statement("SELECT 1 AS one FROM sqlite_schema WHERE name = 'jobs'", []),
        )
        .await?;
    Ok(!found.is_empty())
}

/// Puts the sound file `restored` at `path`, in place of what may be there, while nobody uses that. Both must be in one folder.
///
/// A database that is there is closed in order first: its log of writes goes into it, so that whenever this process ends
/// there is one whole database at the path, the old one or the new one, and never the one with the other's log. One that
/// `is_damaged` cannot be closed in order; it is moved aside, as is one with tables of others or with damage inside.
///
/// Returns where one that was moved aside went.
///
/// # Errors
/// [`StoreError::Unavailable`] while another process uses the database, [`StoreError::Refused`] where it cannot be replaced.
/// Then it is as it was.
pub async fn replace_sqlite(
    restored: &Path,
    path: &Path,
    is_damaged: bool,
) -> Result<Option<PathBuf>, StoreError> {
    std::fs::File::open(restored)
        .and_then(|file| file.sync_all())
        .map_err(|error| cannot("write", restored, &error))?;
    if !path.exists() {
        remove_logs(path)?;
        put(restored, path)?;
        return Ok(None);
    }
    if is_damaged {
        let aside = move_aside(path)?;
        put(restored, path)?;
        return Ok(Some(aside));
    }
    let holder = lock_alone(path).await?;
    if holds_more_than_tagpipe(&holder).await {
        close(holder).await;
        let aside = move_aside(path)?;
        put(restored, path)?;
        return Ok(Some(aside));
    }
    // In this order: with the database closed in order there is nothing in its log.
    let done = remove_logs(path).and_then(|()| put(restored, path));
    close(holder).await;
    done.map(|()| None)
}

/// Whether a database has tables and views of others, or is damaged: what no backup of tagpipe's has is not thrown away.
async fn holds_more_than_tagpipe(connection: &DatabaseConnection) -> bool {
    let ours = relations(Dialect::Sqlite);
    let is_ours =
        |name: &String| ours.contains(name) || name.starts_with("sqlite_") || name.starts_with("card_search");
    let named = texts(
        connection,
        "SELECT name AS said FROM sqlite_master WHERE type IN ('table', 'view')",
    )
    .await;
    let checked = texts(connection, "PRAGMA quick_check(1)").await;
    !named.is_ok_and(|names| names.iter().all(is_ours)) || !checked.is_ok_and(|words| words == ["ok"])
}

/// Brings the database at `path` into the state that has no log of writes, which only who uses it alone can do, and keeps
/// everybody out until the connection is closed.
async fn lock_alone(path: &Path) -> Result<DatabaseConnection, StoreError> {
    let connection = connect(path, |file| file.busy_timeout(PATIENCE)).await?;
    let in_use = || {
        StoreError::Unavailable(format!(
            "`{}` is in use by another process; stop it first (`tagpipe status` shows runs and runners)",
            path.display()
        ))
    };
    let locked = async {
        let mode = texts(&connection, "PRAGMA journal_mode = DELETE").await?;
        if mode != ["delete"] {
            return Ok(false);
        }
        connection.execute_unprepared("BEGIN EXCLUSIVE").await?;
        // A database that cannot be read is not one that was locked.
        texts(&connection, "SELECT name AS said FROM sqlite_master LIMIT 1").await?;
        Ok(true)
    };
    match locked.await.map_err(|error: DbErr| name_file(path, error)) {
        Ok(true) => Ok(connection),
        Ok(false) => {
            close(connection).await;
            Err(in_use())
        }
        Err(StoreError::Unavailable(_)) => {
            close(connection).await;
            Err(in_use())
        }
        Err(error) => {
            close(connection).await;
            Err(error)
        }
    }
}

/// The names of a database's logs.
fn logs_of(path: &Path) -> [PathBuf; 3] {
    ["-wal", "-shm", "-journal"].map(|end| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    })
}

/// Removes logs that belong to no database any more: SQLite would play them into the one that is put there.
fn remove_logs(path: &Path) -> Result<(), StoreError> {
    for log in logs_of(path) {
        match std::fs::remove_file(&log) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(cannot("remove", &log, &error));
            }
            _ => {}
        }
    }
    Ok(())
}

fn put(restored: &Path, path: &Path) -> Result<(), StoreError> {
    if let Ok(replaced) = std::fs::metadata(path) {
        keep_owner(restored, &replaced).map_err(|error| cannot("give its owner to", restored, &error))?;
    }
    std::fs::rename(restored, path).map_err(|error| cannot("replace", path, &error))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    std::fs::File::open(folder.unwrap_or_else(|| Path::new(".")))
        .and_then(|folder| folder.sync_all())
        .map_err(|error| cannot("write", path, &error))
}

/// Gives `file` the mode and the owner of what it replaces: whoever could use that can use it, and nobody else.
fn keep_owner(file: &Path, replaced: &std::fs::Metadata) -> std::io::Result<()> {
    let now = std::fs::metadata(file)?;
    if (now.uid(), now.gid()) != (replaced.uid(), replaced.gid()) {
        std::os::unix::fs::chown(file, Some(replaced.uid()), Some(replaced.gid()))?;
    }
    std::fs::set_permissions(file, replaced.permissions())
}

/// Moves a damaged database and its logs to a name that nothing uses.
fn move_aside(path: &Path) -> Result<PathBuf, StoreError> {
    let end = format!(".replaced-{}", uuid::Uuid::new_v4().simple());
    let aside_of = |path: &Path| {
        let mut name = path.as_os_str().to_owned();
        name.push(&end);
        PathBuf::from(name)
    };
    for log in logs_of(path).iter().filter(|log| log.exists()) {
        std::fs::rename(log, aside_of(log)).map_err(|error| cannot("move", log, &error))?;
    }
    let aside = aside_of(path);
    // With a second name first, there is never none at the path; not every file system knows second names.
    std::fs::hard_link(path, &aside)
        .or_else(|_| std::fs::rename(path, &aside))
        .map_err(|error| cannot("move", path, &error))?;
    Ok(aside)
}

fn cannot(what: &str, path: &Path, error: &std::io::Error) -> StoreError {
    StoreError::Refused(format!("cannot {what} `{}`: {error}", path.display()))
}

/// One connection to a file that is there, as `how` says.
pub(super) async fn connect(
    path: &Path,
    how: impl Fn(SqliteConnectOptions) -> SqliteConnectOptions + Send + Sync + 'static,
) -> Result<DatabaseConnection, StoreError> {
    let file = path.to_owned();
    let mut options = lasting_connections(1);
    options.map_sqlx_sqlite_opts(move |_| {
        how(SqliteConnectOptions::new()
            .filename(&file)
            .create_if_missing(false)
            .busy_timeout(PATIENCE)
            .disable_statement_logging())
    });
    Database::connect(options)
        .await
        .map_err(|error| name_file(path, error))
}

pub(super) async fn close(connection: DatabaseConnection) {
    // What was committed is on the disk; a connection that cannot be closed in order is closed by the end of the process.
    let _ = connection.close().await;
}

/// The first column of all rows.
async fn texts(connection: &DatabaseConnection, sql: &str) -> Result<Vec<String>, DbErr> {
    let statement = Statement::from_string(connection.get_database_backend(), sql);
    let rows = connection.query_all_raw(statement).await?;
    rows.iter().map(|row| row.try_get_by_index(0)).collect()
}
