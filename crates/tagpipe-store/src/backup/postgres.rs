//! Copies of PostgreSQL databases, and back, by PostgreSQL's own programs.
//!
//! A copy and its counts come from one snapshot: a transaction of ours exports it, counts in it, and `pg_dump` reads it.
//! A restore is one transaction of `psql`: what is there is taken away, the copy comes in its place, and the counts are
//! compared before the commit. Whatever goes wrong, the transaction ends without one.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Read, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;

use sea_orm::{
    AccessMode, ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction,
    IsolationLevel, TransactionTrait,
};

use super::{ACTOR, Contents, OPERATION, RestoreNote, newer_migration, programs, scratch_database, sqlite};
use crate::connect::{CONNECT_TIMEOUT, MIGRATION_LOCK, say_why_not};
use crate::dialect::Dialect;
use crate::error::StoreError;
use crate::migrations::{down_scripts, relations};

/// How these connections call themselves, so that they can be told from those of runners.
pub(super) const APPLICATION: &str = "tagpipe backup";

/// One moment of a database, kept as long as this is.
#[derive(Debug)]
pub struct PostgresSnapshot {
    url: url::Url,
    id: String,
    namespace: String,
    server: i32,
    contents: Contents,
    /// What others have made beside tagpipe's tables: none of this copy's business.
    others: Vec<String>,
    transaction: DatabaseTransaction,
    connection: DatabaseConnection,
}

impl PostgresSnapshot {
    /// Takes it, and counts in it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] and [`StoreError::Refused`], as on opening.
    pub async fn take(url: &url::Url) -> Result<PostgresSnapshot, StoreError> {
        let connection = connect(url).await?;
        scratch_database::sweep(&connection).await;
        let transaction = connection
            .begin_with_config(Some(IsolationLevel::RepeatableRead), Some(AccessMode::ReadOnly))
            .await?;
        // It stands still while the copy is made, however long that takes.
        transaction
            .execute_unprepared(
                "SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL statement_timeout = 0",
            )
            .await?;
        let id = text(&transaction, "SELECT pg_export_snapshot() AS said").await?;
        let namespace = namespace(&transaction)
            .await?
            .unwrap_or_else(|| "public".to_owned());
        let server = text(
            &transaction,
            "SELECT current_setting('server_version_num') AS said",
        )
        .await?;
        let contents = contents(&transaction, &namespace).await?;
        let others = others(&transaction, &namespace).await?;
        Ok(PostgresSnapshot {
            url: url.clone(),
            id,
            namespace,
            server: server.parse().unwrap_or(0),
            contents,
            others,
            transaction,
            connection,
        })
    }

    /// What is in it.
    #[must_use]
    pub fn contents(&self) -> &Contents {
        &self.contents
    }

    /// The schema, in PostgreSQL's sense, that tagpipe's tables are in.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The server's version, such as `15.18`.
    #[must_use]
    pub fn server_version(&self) -> String {
        format!("{}.{}", self.server / 10_000, self.server % 10_000)
    }

    /// Begins to write it down.
    ///
    /// # Errors
    /// [`StoreError::Refused`] where `pg_dump` is missing or too old.
    pub fn dump(&self) -> Result<Dump, StoreError> {
        let mut command = programs::program("pg_dump", &self.url, self.server)?;
        command
            .args(["--format=custom", "--compress=0", "--no-owner", "--no-privileges"])
            .arg(format!("--snapshot={}", self.id))
            .arg(format!("--schema={}", quoted_name(&self.namespace)));
        for other in &self.others {
            let name = format!("{}.{}", quoted_name(&self.namespace), quoted_name(other));
            command.arg(format!("--exclude-table={name}"));
        }
        Dump::start(command)
    }

    /// Lets it go.
    pub async fn end(self) {
        // Nothing was written in it.
        let _ = self.transaction.rollback().await;
        sqlite::close(self.connection).await;
    }
}

/// What `pg_dump` writes, as it does. Whoever drops this ends `pg_dump`.
#[derive(Debug)]
pub struct Dump {
    child: Child,
    output: ChildStdout,
    words: Option<JoinHandle<String>>,
}

impl Dump {
    fn start(mut command: Command) -> Result<Dump, StoreError> {
        let mut child = command.spawn().map_err(|error| {
            StoreError::Refused(format!(
                "`{}` cannot be started: {error}",
                command.get_program().display()
            ))
        })?;
        let words = child.stderr.take().map(listen);
        let output = child
            .stdout
            .take()
            .ok_or_else(|| StoreError::Bug("the output of `pg_dump` is not a pipe".into()))?;
        Ok(Dump { child, output, words })
    }

    /// Says whether everything was written, after the last byte. Blocks.
    ///
    /// # Errors
    /// [`StoreError::Refused`] with the words of `pg_dump`.
    pub fn check(&mut self) -> Result<(), StoreError> {
        let ended = self
            .child
            .wait()
            .map_err(|error| StoreError::Refused(format!("`pg_dump` was lost: {error}")))?;
        let words = self
            .words
            .take()
            .and_then(|words| words.join().ok())
            .unwrap_or_default();
        if ended.success() {
            Ok(())
        } else {
            Err(StoreError::Refused(format!(
                "`pg_dump` failed ({ended}): {}",
                in_short(&words)
            )))
        }
    }
}

impl Read for Dump {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.output.read(into)
    }
}

impl Drop for Dump {
    fn drop(&mut self) {
        // One that has ended cannot be ended again, which is as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Puts the dump in the file `dump` in place of tagpipe's tables in the database at `url`: all of it, or nothing.
///
/// # Errors
/// [`StoreError::Unavailable`] while runners use the database, else [`StoreError::Refused`]. Then nothing is changed.
pub async fn restore_postgres(
    url: &url::Url,
    dump: &Path,
    expected: &Contents,
    source: &str,
    note: &RestoreNote,
) -> Result<(), StoreError> {
    let connection = connect(url).await?;
    let target = async {
        let target = Target::of(&connection, url, source).await?;
        target.refuse_if_not_found_there(&connection).await?;
        Ok::<_, StoreError>(target)
    };
    let target = target.await;
    sqlite::close(connection).await;
    let target = target?;
    target.refuse_if_in_use()?;
    let mut prelude =
        format!("BEGIN;\nSET LOCAL lock_timeout = '20s';\nSELECT pg_advisory_xact_lock({MIGRATION_LOCK});\n");
    prelude.push_str(&target.schema());
    prelude.push_str(&target.removal());
    let mut end = comparison(&target.namespace, expected);
    end.push_str(&signature(&target.namespace, note));
    if expected.tables.contains_key("jobs") {
        let schema = format!("{}.", quoted_name(&target.namespace));
        end.push_str(&super::end_of_open_jobs(&schema, "clock_timestamp()"));
        end.push_str(";\n");
    }
    end.push_str("COMMIT;\n");
    target.run(dump, prelude, end).await
}

/// Restores the dump into the database at `url`, which must be empty, compares, and takes it back: nothing is left, whenever this
/// process ends.
///
/// # Errors
/// [`StoreError::Refused`] with what is wrong.
pub async fn try_restore_postgres(
    url: &url::Url,
    dump: &Path,
    expected: &Contents,
    source: &str,
) -> Result<(), StoreError> {
    let connection = connect(url).await?;
    let target = async {
        if let Some(object) = first_object(&connection).await? {
            return Err(StoreError::Refused(format!(
                "{} is not empty, it has `{object}`; name an empty database to try a backup in",
                crate::DatabaseUrl::Postgres(url.clone())
            )));
        }
        Target::of(&connection, url, source).await
    };
    let target = target.await;
    sqlite::close(connection).await;
    let target = target?;
    let mut end = comparison(&target.namespace, expected);
    end.push_str("ROLLBACK;\n");
    let prelude = format!("BEGIN;\n{}", target.schema());
    target.run(dump, prelude, end).await
}

/// Whether nothing at all is in the database at `url`.
///
/// # Errors
/// [`StoreError::Unavailable`] and [`StoreError::Refused`], as on opening.
pub async fn is_empty_postgres(url: &url::Url) -> Result<bool, StoreError> {
    let connection = connect(url).await?;
    let found = first_object(&connection).await;
    sqlite::close(connection).await;
    Ok(found?.is_none())
}

/// A database that something is restored into.
struct Target {
    url: url::Url,
    server: i32,
    /// Where the copy's tables go: where they were.
    namespace: String,
    /// Whether there is such a schema.
    has_namespace: bool,
    migrations: Vec<String>,
    others: u64,
}

impl Target {
    async fn of(
        connection: &DatabaseConnection,
        url: &url::Url,
        namespace: &str,
    ) -> Result<Target, StoreError> {
        let migrations = migrations(connection, namespace).await?;
        if let Some(newer) = newer_migration(&migrations) {
            return Err(StoreError::Schema(format!(
                "the database was written by a newer tagpipe (migration `{newer}`); update tagpipe, or use another database"
            )));
        }
        let server = text(connection, "SELECT current_setting('server_version_num') AS said").await?;
        let others = text(
            connection,
            "SELECT CAST(count(*) AS text) AS said FROM pg_stat_activity \
             WHERE datname = current_database() AND application_name = 'tagpipe'",
        )
        .await?;
        Ok(Target {
            url: url.clone(),
            server: server.parse().unwrap_or(0),
            namespace: namespace.to_owned(),
            has_namespace: has_namespace(connection, namespace).await?,
            migrations,
            others: others.parse().unwrap_or(0),
        })
    }

    /// What is restored must be where connections look first: else nobody would find it.
    async fn refuse_if_not_found_there(&self, connection: &DatabaseConnection) -> Result<(), StoreError> {
        let source = &self.namespace;
        let first = if self.has_namespace {
            namespace(connection).await?
        } else {
            self.namespace_when_made(connection).await?
        };
        if first.as_ref() == Some(source) {
            return Ok(());
        }
        Err(StoreError::Refused(format!(
            "the backup's tables are in the schema `{source}`, and those of this database would be in `{}`; set the search_path to \
             `{source}`: for the user (ALTER ROLE … SET search_path), or in the address (?options=-csearch_path%3D{source})",
            first.as_deref().unwrap_or("public")
        )))
    }

    /// Where connections would look first if the schema were there. It is made and taken back at once: what a search path means
    /// PostgreSQL knows best.
    async fn namespace_when_made(
        &self,
        connection: &DatabaseConnection,
    ) -> Result<Option<String>, StoreError> {
        let transaction = connection.begin().await?;
        transaction
            .execute_unprepared(&self.schema())
            .await
            .map_err(|error| {
                StoreError::Refused(format!(
                    "cannot make the schema `{}`, which the backup's tables are in: {error}; make it first, or grant the user \
                     CREATE on the database",
                    self.namespace
                ))
            })?;
        let first = namespace(&transaction).await;
        transaction.rollback().await?;
        first
    }

    /// What makes the schema where there is none.
    fn schema(&self) -> String {
        if self.has_namespace {
            return String::new();
        }
        format!("CREATE SCHEMA {};\n", quoted_name(&self.namespace))
    }

    fn refuse_if_in_use(&self) -> Result<(), StoreError> {
        if self.others == 0 {
            return Ok(());
        }
        Err(StoreError::Unavailable(format!(
            "{} is in use: tagpipe has {} connections to it; stop runs and services first (`tagpipe status` shows them)",
            crate::DatabaseUrl::Postgres(self.url.clone()),
            self.others
        )))
    }

    /// What takes tagpipe's tables away: all its migrations, back.
    fn removal(&self) -> String {
        if self.migrations.is_empty() {
            return String::new();
        }
        let mut script = down_scripts(Dialect::Postgres, &self.migrations);
        script.push_str("\nDROP TABLE seaql_migrations;\n");
        script
    }

    /// Gives `psql` what comes before, the dump as statements, and what comes after it, that only if the dump was whole.
    async fn run(self, dump: &Path, before: String, after: String) -> Result<(), StoreError> {
        let dump = dump.to_owned();
        let done = tokio::task::spawn_blocking(move || self.run_blocking(&dump, &before, &after)).await;
        done.unwrap_or_else(|error| Err(StoreError::Bug(error.to_string())))
    }

    fn run_blocking(&self, dump: &Path, before: &str, after: &str) -> Result<(), StoreError> {
        let mut psql = programs::program("psql", &self.url, self.server)?;
        let list = self.wanted_parts(dump)?;
        let mut restore = programs::offline("pg_restore");
        restore
            .args(["--no-owner", "--no-privileges", "--file=-"])
            .arg("--use-list")
            .arg(list.path())
            .arg(dump);
        psql.args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--file=-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null());
        let mut psql = psql.spawn().map_err(|error| lost("psql", &error))?;
        let words = psql.stderr.take().map(listen);
        let fed = feed(&mut psql, restore, before, after);
        let ended = psql.wait().map_err(|error| lost("psql", &error))?;
        let words = words.and_then(|words| words.join().ok()).unwrap_or_default();
        // What `psql` says explains why it takes nothing more.
        if !ended.success() {
            return Err(StoreError::Refused(format!(
                "the database did not take the backup, and is as it was: {}",
                in_short(&words)
            )));
        }
        fed
    }

    /// The parts of the dump that are restored, as `pg_restore` lists them: all but the schema itself, which is there.
    fn wanted_parts(&self, dump: &Path) -> Result<List, StoreError> {
        programs::program("pg_restore", &self.url, self.server)?;
        let mut command = programs::offline("pg_restore");
        let listed = command
            .arg("--list")
            .arg(dump)
            .output()
            .map_err(|error| lost("pg_restore", &error))?;
        if !listed.status.success() {
            return Err(StoreError::Refused(format!(
                "`pg_restore` cannot read the dump: {}",
                in_short(&String::from_utf8_lossy(&listed.stderr))
            )));
        }
        let wanted: String = String::from_utf8_lossy(&listed.stdout)
            .lines()
            .filter(|line| !line.contains(" SCHEMA - ") && !line.contains(" COMMENT - SCHEMA "))
            .flat_map(|line| [line, "\n"])
            .collect();
        List::beside(dump, &wanted)
    }
}

/// A small file beside another, removed when dropped.
struct List(std::path::PathBuf);

impl List {
    fn beside(dump: &Path, text: &str) -> Result<List, StoreError> {
        let path = dump.with_extension("list");
        std::fs::write(&path, text)
            .map_err(|error| StoreError::Refused(format!("cannot write `{}`: {error}", path.display())))?;
        Ok(List(path))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for List {
    fn drop(&mut self) {
        // Its folder is removed as a whole anyway.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Writes everything to `psql`. Without the last part, which has the commit, its transaction is taken back.
fn feed(psql: &mut Child, mut restore: Command, before: &str, after: &str) -> Result<(), StoreError> {
    let gone = |error: io::Error| lost("psql", &error);
    let Some(mut input) = psql.stdin.take() else {
        return Err(StoreError::Bug("the input of `psql` is not a pipe".into()));
    };
    input.write_all(before.as_bytes()).map_err(gone)?;
    let mut restore = restore.spawn().map_err(|error| lost("pg_restore", &error))?;
    let words = restore.stderr.take().map(listen);
    let copied = match restore.stdout.take() {
        Some(mut script) => io::copy(&mut script, &mut input),
        None => Ok(0),
    };
    if copied.is_err() {
        // It writes to nobody any more.
        let _ = restore.kill();
    }
    let ended = restore.wait().map_err(|error| lost("pg_restore", &error))?;
    copied.map_err(gone)?;
    if !ended.success() {
        let words = words.and_then(|words| words.join().ok()).unwrap_or_default();
        return Err(StoreError::Refused(format!(
            "`pg_restore` cannot read the dump: {}",
            in_short(&words)
        )));
    }
    input.write_all(after.as_bytes()).map_err(gone)
}

fn lost(program: &str, error: &io::Error) -> StoreError {
    StoreError::Refused(format!("`{program}` was lost: {error}"))
}

/// Ends the transaction with an error unless each table has its rows.
fn comparison(namespace: &str, expected: &Contents) -> String {
    let mut script = String::from("DO $tagpipe$ BEGIN\n");
    for (table, rows) in &expected.tables {
        let name = format!("{}.{}", quoted_name(namespace), quoted_name(table));
        // Writing to a text cannot fail.
        let _ = writeln!(
            script,
            "IF (SELECT count(*) FROM {name}) <> {rows} THEN \
             RAISE EXCEPTION 'the table % has % rows instead of {rows}', {}, (SELECT count(*) FROM {name}); END IF;",
            quoted_text(table)
        );
    }
    script.push_str("END $tagpipe$;\n");
    script
}

/// Enters the restore in the audit trail that was restored.
fn signature(namespace: &str, note: &RestoreNote) -> String {
    format!(
        "INSERT INTO {}.audit_logs (created_at, level, kind, runner_id, operation, message, context) \
         VALUES (clock_timestamp(), 'INFO', 'operation', {}, {}, {}, {}::jsonb);\n",
        quoted_name(namespace),
        quoted_text(ACTOR),
        quoted_text(OPERATION),
        quoted_text(&note.message),
        quoted_text(&note.context.to_string()),
    )
}

pub(super) fn quoted_name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A literal that means the same whatever the server's settings.
fn quoted_text(text: &str) -> String {
    let text = text.replace('\0', "\u{fffd}");
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// The tables, views and sequences in the schema `namespace` that are not tagpipe's.
async fn others<C: ConnectionTrait>(connection: &C, namespace: &str) -> Result<Vec<String>, StoreError> {
    let rows = connection
        .query_all_raw(Dialect::Postgres.statement(
            "SELECT CAST(relname AS text) AS name FROM pg_class \
             JOIN pg_namespace ON pg_namespace.oid = relnamespace \
             WHERE nspname = $1 AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S') \
             AND NOT CAST(relname AS text) = ANY (string_to_array($2, ',')) \
             AND NOT (relkind = 'S' AND EXISTS (SELECT 1 FROM pg_depend \
                 JOIN pg_class AS owner ON owner.oid = pg_depend.refobjid \
                 WHERE pg_depend.objid = pg_class.oid AND pg_depend.deptype IN ('a', 'i') \
                 AND CAST(owner.relname AS text) = ANY (string_to_array($2, ',')))) ORDER BY 1",
            [namespace.into(), own_names().into()],
        ))
        .await?;
    rows.iter().map(|row| Ok(row.try_get("", "name")?)).collect()
}

/// tagpipe's tables and views, as one parameter.
fn own_names() -> String {
    relations(Dialect::Postgres)
        .into_iter()
        .collect::<Vec<_>>()
        .join(",")
}

/// What tagpipe has in the schema `namespace`, counted.
pub(super) async fn contents<C: ConnectionTrait>(
    connection: &C,
    namespace: &str,
) -> Result<Contents, StoreError> {
    let dialect = Dialect::Postgres;
    let rows = connection
        .query_all_raw(dialect.statement(
            "SELECT CAST(relname AS text) AS name FROM pg_class \
             JOIN pg_namespace ON pg_namespace.oid = relnamespace \
             WHERE nspname = $1 AND relkind IN ('r', 'p') \
             AND CAST(relname AS text) = ANY (string_to_array($2, ',')) ORDER BY 1",
            [namespace.into(), own_names().into()],
        ))
        .await?;
    let mut tables = BTreeMap::new();
    for row in rows {
        let name: String = row.try_get("", "name")?;
        let sql = format!(
            "SELECT count(*) AS rows FROM {}.{}",
            quoted_name(namespace),
            quoted_name(&name)
        );
        let counted = connection.query_all_raw(dialect.statement(sql, [])).await?;
        let rows: i64 = match counted.first() {
            Some(row) => row.try_get("", "rows")?,
            None => 0,
        };
        tables.insert(name, rows.unsigned_abs());
    }
    let migrations = migrations(connection, namespace).await?;
    Ok(Contents { migrations, tables })
}

/// The migrations that tagpipe's tables in the schema `namespace` have had, oldest first.
async fn migrations<C: ConnectionTrait>(connection: &C, namespace: &str) -> Result<Vec<String>, StoreError> {
    let dialect = Dialect::Postgres;
    let table = format!("{}.seaql_migrations", quoted_name(namespace));
    let sql = "SELECT 1 AS found WHERE to_regclass($1) IS NOT NULL";
    let there = connection
        .query_all_raw(dialect.statement(sql, [table.as_str().into()]))
        .await?;
    if there.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!("SELECT version FROM {table} ORDER BY version");
    let rows = connection.query_all_raw(dialect.statement(sql, [])).await?;
    rows.iter().map(|row| Ok(row.try_get("", "version")?)).collect()
}

/// The schema that tables are made in; `None` where the search path names none that is there.
pub(super) async fn namespace<C: ConnectionTrait>(connection: &C) -> Result<Option<String>, StoreError> {
    let rows = connection
        .query_all_raw(Dialect::Postgres.statement("SELECT CAST(current_schema() AS text) AS said", []))
        .await?;
    match rows.first() {
        Some(row) => Ok(row.try_get("", "said")?),
        None => Ok(None),
    }
}

async fn has_namespace<C: ConnectionTrait>(connection: &C, namespace: &str) -> Result<bool, StoreError> {
    let sql = "SELECT 1 AS found FROM pg_namespace WHERE nspname = $1";
    let found = connection
        .query_all_raw(Dialect::Postgres.statement(sql, [namespace.into()]))
        .await?;
    Ok(!found.is_empty())
}

/// Anything that is in the database and did not come with PostgreSQL or an extension: a table, view, sequence, function or type, with its
/// schema.
async fn first_object<C: ConnectionTrait>(connection: &C) -> Result<Option<String>, StoreError> {
    let sql = "SELECT nspname || '.' || name AS said FROM ( \
               SELECT CAST('pg_class' AS regclass) AS catalogue, oid AS object, relnamespace AS space, relname AS name FROM pg_class \
                   WHERE relkind NOT IN ('i', 'I', 't') \
               UNION ALL SELECT CAST('pg_proc' AS regclass), oid, pronamespace, proname FROM pg_proc \
               UNION ALL SELECT CAST('pg_type' AS regclass), oid, typnamespace, typname FROM pg_type WHERE typtype IN ('d', 'e') \
           ) AS found JOIN pg_namespace ON pg_namespace.oid = space \
           WHERE nspname NOT IN ('pg_catalog', 'information_schema') AND nspname !~ '^pg_(toast|temp)' \
           AND NOT EXISTS (SELECT 1 FROM pg_depend \
               WHERE pg_depend.classid = catalogue AND pg_depend.objid = object AND pg_depend.deptype = 'e') \
           ORDER BY 1 LIMIT 1";
    let rows = connection
        .query_all_raw(Dialect::Postgres.statement(sql, []))
        .await?;
    rows.first().map(|row| Ok(row.try_get("", "said")?)).transpose()
}

pub(super) async fn text<C: ConnectionTrait>(connection: &C, sql: &str) -> Result<String, StoreError> {
    let rows = connection
        .query_all_raw(Dialect::Postgres.statement(sql, []))
        .await?;
    let row = rows
        .first()
        .ok_or_else(|| StoreError::Bug(format!("`{sql}` gave no row")))?;
    Ok(row.try_get("", "said")?)
}

/// One connection, which may stand still in a transaction.
pub(super) async fn connect(url: &url::Url) -> Result<DatabaseConnection, StoreError> {
    say_why_not(url).await?;
    let mut options = ConnectOptions::new(url.as_str());
    options
        .max_connections(1)
        .min_connections(1)
        .connect_timeout(CONNECT_TIMEOUT)
        .acquire_timeout(CONNECT_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(None)
        .set_application_name(APPLICATION)
        .sqlx_logging(false);
    Ok(Database::connect(options).await?)
}

/// Reads what a program complains about, so that it is never held up by it.
fn listen(mut words: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut heard = Vec::new();
        // What was heard until it broke off is all there is.
        let _ = words.read_to_end(&mut heard);
        String::from_utf8_lossy(&heard).into_owned()
    })
}

/// The first lines of what a program said.
fn in_short(words: &str) -> String {
    let lines: Vec<&str> = words
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .take(4)
        .collect();
    if lines.is_empty() {
        "it said nothing".to_owned()
    } else {
        lines.join("; ")
    }
}
