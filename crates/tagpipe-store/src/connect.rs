//! Opening a database: which engine, which settings, and that its schema is this build's.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use sea_orm::SqlxError;
use sea_orm::sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction, DbErr, QueryResult,
    SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait,
};
use sea_orm_migration::{MigratorTrait, SchemaManager};

use crate::database_file::DatabaseFile;
use crate::dialect::Dialect;
use crate::error::StoreError;
use crate::migrations::Migrator;

/// Where the data is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// A file; its folder must exist.
    Sqlite(PathBuf),
    /// In memory: for dry runs and tests; gone with the process.
    Memory,
    /// A `postgres://` URL.
    Postgres(url::Url),
}

/// A text that names no database.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a database; write sqlite:FILE, a file name ending in .db, or postgres://user:password@host/name"
)]
pub struct InvalidDatabaseUrl(String);

impl FromStr for DatabaseUrl {
    type Err = InvalidDatabaseUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidDatabaseUrl(without_credentials(text));
        if let Some(rest) = after_postgres(text) {
            let url = url::Url::parse(&format!("postgres://{rest}")).map_err(|_| invalid())?;
            return if url.host_str().is_some_and(|host| !host.is_empty()) || url.query().is_some() {
                Ok(DatabaseUrl::Postgres(url))
            } else {
                Err(invalid())
            };
        }
        let path = ["sqlite://", "sqlite:", "file:"]
            .iter()
            .find_map(|scheme| text.strip_prefix(scheme));
        match path {
            Some(":memory:") => Ok(DatabaseUrl::Memory),
            Some(path) if !path.is_empty() => Ok(DatabaseUrl::Sqlite(PathBuf::from(path))),
            // What looks like an address with a slip in it is none of a file: its password would become a name.
            None if !text.contains("//") && !text.contains('@') && !text.is_empty() => {
                Ok(DatabaseUrl::Sqlite(PathBuf::from(text)))
            }
            _ => Err(invalid()),
        }
    }
}

/// What follows `postgres://`, `postgresql://`, or either with the name of a Python driver, `postgresql+psycopg2://`.
fn after_postgres(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once("://")?;
    let engine = scheme.split_once('+').map_or(scheme, |(engine, _driver)| engine);
    matches!(engine, "postgres" | "postgresql").then_some(rest)
}

/// A text that should have been a URL, fit to be shown.
fn without_credentials(text: &str) -> String {
    match text
        .split_once("://")
        .map(|(scheme, rest)| (scheme, rest.rsplit_once('@')))
    {
        Some((scheme, Some((_, place)))) => format!("{scheme}://***@{place}"),
        _ => match text.rsplit_once('@') {
            Some((_, place)) => format!("***@{place}"),
            None => text.to_owned(),
        },
    }
}

/// `url` with nothing in it that opens a door.
fn without_secrets(url: &url::Url) -> url::Url {
    let mut shown = url.clone();
    if shown.password().is_some() {
        // Fails only for URLs without a host, which have no password either.
        let _ = shown.set_password(Some("***"));
    }
    let pairs: Vec<(String, String)> = url
        .query_pairs()
        .map(|(key, value)| {
            let value = if key.contains("password") {
                "***".into()
            } else {
                value
            };
            (key.into_owned(), value.into_owned())
        })
        .collect();
    if !pairs.is_empty() {
        shown.query_pairs_mut().clear().extend_pairs(pairs);
    }
    shown
}

impl std::fmt::Display for DatabaseUrl {
    /// Readable and without the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            DatabaseUrl::Sqlite(path) => write!(f, "{}", path.display()),
            DatabaseUrl::Memory => f.write_str("memory"),
            DatabaseUrl::Postgres(url) => without_secrets(url).fmt(f),
        }
    }
}

/// A database, open and with this build's schema. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    /// All writes. For SQLite a pool of one: its one writer.
    pub(crate) writer: DatabaseConnection,
    /// Reads that need not see an open transaction of ours.
    pub(crate) reader: DatabaseConnection,
    pub(crate) dialect: Dialect,
    /// The file that all this goes to, if it is one.
    file: Option<DatabaseFile>,
}

/// How long SQLite's writer waits for another process that is writing before it says so.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long of it SQLite itself sleeps at a time, see [`Store::when_free`].
const BUSY_SLEEP: Duration = Duration::from_millis(2);
/// The advisory lock that a process migrating PostgreSQL holds: any number, the same in every version.
pub(crate) const MIGRATION_LOCK: i64 = 7_461_677_069;
/// A process that is frozen, or a machine that is gone, in the middle of a transaction must not hold its locks for ever:
/// PostgreSQL ends the transaction. None of ours is idle for longer than an instant.
const HASTE: &str = "SET idle_in_transaction_session_timeout = '15s'; SET tcp_keepalives_idle = 15; \
     SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3; SET tcp_user_timeout = '30s'";
/// How long a new connection to PostgreSQL may take before the database counts as not available.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(8);

impl Store {
    /// Opens the database at `url`; an SQLite file is made if it is missing.
    ///
    /// With `migrate`, brings the schema up to date; without, refuses a schema that is not.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Refused`] or [`StoreError::Schema`].
    pub async fn open(url: &DatabaseUrl, migrate: bool) -> Result<Store, StoreError> {
        when_unlocked(url, || Store::open_once(url, migrate)).await
    }

    async fn open_once(url: &DatabaseUrl, migrate: bool) -> Result<Store, StoreError> {
        let (writer, reader) = match url {
            DatabaseUrl::Sqlite(path) => connect_sqlite(path).await?,
            DatabaseUrl::Memory => {
                let only = connect_memory().await?;
                (only.clone(), only)
            }
            DatabaseUrl::Postgres(url) => {
                let pool = connect_postgres(url).await?;
                (pool.clone(), pool)
            }
        };
        let dialect = Dialect::of(writer.get_database_backend());
        let file = match url {
            DatabaseUrl::Sqlite(path) => DatabaseFile::at(path),
            DatabaseUrl::Memory | DatabaseUrl::Postgres(_) => None,
        };
        let store = Store {
            writer,
            reader,
            dialect,
            file,
        };
        store.check_schema(migrate).await?;
        Ok(store)
    }

    /// Opens what is stored at `url` without changing anything, not even making a file. `None` if nothing is.
    ///
    /// # Errors
    /// As [`Store::open`]; a schema that is not this build's is refused.
    pub async fn open_read_only(url: &DatabaseUrl) -> Result<Option<Store>, StoreError> {
        let pool = match url {
            DatabaseUrl::Memory => return Ok(None),
            DatabaseUrl::Sqlite(path) if !path.exists() => return Ok(None),
            DatabaseUrl::Sqlite(path) => sqlite_pool(path, 1, Access::Read)
                .await
                .map_err(|error| name_file(path, error))?,
            DatabaseUrl::Postgres(url) => connect_postgres(url).await?,
        };
        let dialect = Dialect::of(pool.get_database_backend());
        let tables = pool
            .query_all_raw(dialect.statement(dialect.has_table("categories"), []))
            .await?;
        if tables.is_empty() {
            return Ok(None);
        }
        let store = Store {
            writer: pool.clone(),
            reader: pool,
            dialect,
            file: None,
        };
        store.check_schema(false).await?;
        Ok(Some(store))
    }

    /// Which engine this is.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// For reading through [`crate::entities`].
    #[must_use]
    pub fn connection(&self) -> &DatabaseConnection {
        &self.reader
    }

    /// Closes all connections; what was committed is on disk.
    pub async fn close(&self) {
        // A connection that cannot be closed in order is closed by the end of the process.
        let _ = self.reader.close_by_ref().await;
        let _ = self.writer.close_by_ref().await;
    }

    /// Takes the newest migration back, for the test that every one has a way back.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub async fn migrate_down(&self, steps: u32) -> Result<(), StoreError> {
        Migrator::down(&self.writer, Some(steps))
            .await
            .map_err(StoreError::from)
    }

    /// Names of the migrations that are applied, and of those that are not yet.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub async fn migrations(url: &DatabaseUrl) -> Result<(Vec<String>, Vec<String>), StoreError> {
        let connect = || async {
            Ok(match url {
                DatabaseUrl::Sqlite(path) => connect_sqlite(path).await?.0,
                DatabaseUrl::Memory => connect_memory().await?,
                DatabaseUrl::Postgres(url) => connect_postgres(url).await?,
            })
        };
        let connection = when_unlocked(url, connect).await?;
        let applied = applied_migrations(&connection).await?;
        let pending = known_migrations()
            .into_iter()
            .filter(|one| !applied.contains(one))
            .collect();
        Ok((applied, pending))
    }

    /// Whether the database answers, and its schema is this build's.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn is_current(&self) -> Result<bool, StoreError> {
        Ok(applied_migrations(&self.reader).await? == known_migrations())
    }

    async fn check_schema(&self, migrate: bool) -> Result<(), StoreError> {
        let known = known_migrations();
        let applied = applied_migrations(&self.writer).await?;
        if let Some(newer) = applied.iter().find(|one| !known.contains(one)) {
            return Err(StoreError::Schema(format!(
                "the database was written by a newer tagpipe (migration `{newer}`); update tagpipe, or use another database"
            )));
        }
        if applied.len() == known.len() {
            return Ok(());
        }
        if applied.is_empty() {
            self.refuse_tables_of_others().await?;
        }
        if !migrate && applied.is_empty() {
            return Err(StoreError::Schema(
                "the database has no tables of tagpipe yet; run `tagpipe db migrate`".into(),
            ));
        }
        if !migrate {
            return Err(StoreError::Schema(format!(
                "the database's schema lacks {} of {} migrations; run `tagpipe db migrate`",
                known.len() - applied.len(),
                known.len()
            )));
        }
        // All or nothing, and one process at a time: many runners may open a new database at once.
        let transaction = self.begin().await?;
        if self.dialect == Dialect::Postgres {
            let lock = format!("SELECT pg_advisory_xact_lock({MIGRATION_LOCK})");
            transaction.execute_unprepared(&lock).await?;
        }
        Migrator::up(&transaction, None).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Tables that another program made under our names are not touched.
    async fn refuse_tables_of_others(&self) -> Result<(), StoreError> {
        for table in ["audit_logs", "categories", "years", "sets", "cards", "runs"] {
            // With a list of migrations they are ours: this user may not read it, or it was made only now, in one
            // transaction with the tables, by a process that opens the new database at the same time.
            if self.has_table(table).await? && !self.has_table("seaql_migrations").await? {
                return Err(StoreError::Schema(format!(
                    "the database has a table `{table}` that another program made; give tagpipe a database of its own"
                )));
            }
        }
        Ok(())
    }

    async fn has_table(&self, table: &str) -> Result<bool, StoreError> {
        let found = self
            .writer
            .query_all_raw(self.dialect.statement(self.dialect.has_table(table), []))
            .await?;
        Ok(!found.is_empty())
    }

    pub(crate) async fn begin(&self) -> Result<DatabaseTransaction, StoreError> {
        self.ensure_in_place()?;
        Ok(self.when_free(|| begin(&self.writer)).await?)
    }

    /// Nothing is written to a file that nobody will find.
    fn ensure_in_place(&self) -> Result<(), StoreError> {
        self.file.as_ref().map_or(Ok(()), DatabaseFile::ensure_in_place)
    }

    /// Asks again, at short and random intervals, while another process writes: SQLite's own wait sleeps ever longer, so that
    /// among processes that write all the time the one that has waited longest waits on.
    async fn when_free<T, F>(&self, mut action: impl FnMut() -> F) -> Result<T, DbErr>
    where
        F: Future<Output = Result<T, DbErr>>,
    {
        let deadline = tokio::time::Instant::now() + BUSY_TIMEOUT;
        loop {
            match action().await {
                Err(error)
                    if self.dialect == Dialect::Sqlite
                        && is_busy(&error)
                        && tokio::time::Instant::now() < deadline =>
                {
                    tokio::time::sleep(Duration::from_micros(500 + fastrand::u64(..2000))).await;
                }
                other => return other,
            }
        }
    }

    pub(crate) async fn rows(&self, statement: Statement) -> Result<Vec<QueryResult>, StoreError> {
        self.ensure_in_place()?;
        self.reader
            .query_all_raw(statement)
            .await
            .map_err(StoreError::from)
    }

    pub(crate) async fn write(&self, statement: Statement) -> Result<u64, StoreError> {
        self.ensure_in_place()?;
        let done = self
            .when_free(|| self.writer.execute_raw(statement.clone()))
            .await?;
        Ok(done.rows_affected())
    }

    /// Rows that a statement returns of what it has written.
    pub(crate) async fn write_returning(&self, statement: Statement) -> Result<Vec<QueryResult>, StoreError> {
        self.ensure_in_place()?;
        self.when_free(|| self.writer.query_all_raw(statement.clone()))
            .await
            .map_err(StoreError::from)
    }
}

/// Opens an SQLite file again, for a while, when it is locked: two processes that make or close one at the same time are
/// told so at once, without the usual wait.
async fn when_unlocked<T, F>(url: &DatabaseUrl, mut open: impl FnMut() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let deadline = tokio::time::Instant::now() + BUSY_TIMEOUT;
    loop {
        match open().await {
            Err(StoreError::Unavailable(_))
                if matches!(url, DatabaseUrl::Sqlite(_)) && tokio::time::Instant::now() < deadline =>
            {
                tokio::time::sleep(Duration::from_millis(20 + fastrand::u64(..80))).await;
            }
            opened => return opened,
        }
    }
}

fn is_busy(error: &DbErr) -> bool {
    sqlite_code(error) == Some(5)
}

/// SQLite's primary code of an error that it has told of.
pub(crate) fn sqlite_code(error: &DbErr) -> Option<u32> {
    let code = database_error(error)?.code()?;
    code.parse::<u32>().ok().map(|code| code & 0xff)
}

/// What the database itself said, if it was that.
pub(crate) fn database_error(error: &DbErr) -> Option<&dyn sea_orm::sqlx::error::DatabaseError> {
    let (DbErr::Conn(cause) | DbErr::Exec(cause) | DbErr::Query(cause)) = error else {
        return None;
    };
    match cause {
        sea_orm::RuntimeErr::SqlxError(cause) => cause.as_database_error(),
        _ => None,
    }
}

pub(crate) fn known_migrations() -> Vec<String> {
    Migrator::migrations()
        .iter()
        .map(|one| one.name().to_owned())
        .collect()
}

/// Names of the migrations that `connection`'s database has had. Changes nothing, not even for an empty one.
pub(crate) async fn applied_migrations(connection: &DatabaseConnection) -> Result<Vec<String>, StoreError> {
    if !SchemaManager::new(connection)
        .has_table("seaql_migrations")
        .await?
    {
        return Ok(Vec::new());
    }
    let sql = "SELECT version FROM seaql_migrations ORDER BY version";
    let rows = connection
        .query_all_raw(Statement::from_string(connection.get_database_backend(), sql))
        .await?;
    rows.iter().map(|row| Ok(row.try_get("", "version")?)).collect()
}

/// Begins a transaction that writes. SQLite is asked for its write lock at once: a transaction that reads
/// first could not get it later without starting over.
async fn begin(connection: &DatabaseConnection) -> Result<DatabaseTransaction, DbErr> {
    let options = TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    };
    connection.begin_with_options(options).await
}

async fn connect_sqlite(path: &Path) -> Result<(DatabaseConnection, DatabaseConnection), StoreError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
        return Err(StoreError::Refused(format!(
            "the folder `{}` does not exist; create it",
            folder.display()
        )));
    }
    let writer = sqlite_pool(path, 1, Access::Write)
        .await
        .map_err(|error| name_file(path, error))?;
    let reader = sqlite_pool(path, 2, Access::Write)
        .await
        .map_err(|error| name_file(path, error))?;
    Ok((writer, reader))
}

pub(crate) fn name_file(path: &Path, error: DbErr) -> StoreError {
    match StoreError::from(error) {
        StoreError::Refused(text) | StoreError::Bug(text) => StoreError::Refused(format!(
            "cannot open `{}` as an SQLite database: {text}",
            path.display()
        )),
        other => other,
    }
}

/// Whether a database may be changed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

async fn sqlite_pool(path: &Path, connections: u32, access: Access) -> Result<DatabaseConnection, DbErr> {
    let path = path.to_owned();
    // KiB a connection. Only the writer comes back to the same pages soon.
    let cache_size = if connections == 1 { "-8192" } else { "-2048" };
    let is_writer = connections == 1 && access == Access::Write;
    let mut options = lasting_connections(connections);
    options
        .map_sqlx_sqlite_pool_opts(|pool| pool.after_release(|connection, _| Box::pin(is_clean(connection))));
    let has_log = PathBuf::from(format!("{}-wal", path.display())).exists();
    options.map_sqlx_sqlite_opts(move |_| {
        let file = sqlite_options(sea_orm::sqlx::sqlite::SqliteConnectOptions::new().filename(&path))
            .busy_timeout(if is_writer { BUSY_SLEEP } else { BUSY_TIMEOUT })
            .pragma("cache_size", cache_size);
        match access {
            // Without a log of writes nobody is writing, and SQLite need not make the files that readers share.
            Access::Read => file.read_only(true).immutable(!has_log),
            Access::Write => file
                .create_if_missing(true)
                .journal_mode(sea_orm::sqlx::sqlite::SqliteJournalMode::Wal),
        }
    });
    Database::connect(options).await
}

/// A pool of connections to SQLite that last as long as it does.
pub(crate) fn lasting_connections(most: u32) -> ConnectOptions {
    let mut options = ConnectOptions::new("sqlite::memory:");
    options
        .max_connections(most)
        .min_connections(1)
        .sqlx_logging(false)
        .test_before_acquire(false);
    options.idle_timeout(None).max_lifetime(None);
    options
}

async fn connect_memory() -> Result<DatabaseConnection, StoreError> {
    let mut options = lasting_connections(1);
    // A dry run begins below rows that only the real database has.
    options.map_sqlx_sqlite_opts(|file| sqlite_options(file).foreign_keys(false));
    Ok(Database::connect(options).await?)
}

/// Whether a connection may be used again. A full disk makes SQLite take a transaction back by itself, which the driver
/// does not notice: it would go on as if inside of it, and nothing that is written after that would ever be committed.
async fn is_clean(connection: &mut SqliteConnection) -> Result<bool, SqlxError> {
    if !connection.is_in_transaction() {
        return Ok(true);
    }
    // A rollback may still be under way; an answer to something later means that it is not.
    connection.ping().await?;
    Ok(!connection.is_in_transaction())
}

/// `synchronous=FULL`: what was reported as done survives a power cut; the group commit pays for it.
fn sqlite_options(
    options: sea_orm::sqlx::sqlite::SqliteConnectOptions,
) -> sea_orm::sqlx::sqlite::SqliteConnectOptions {
    options
        // These options replace the ones that `sqlx_logging` was told to.
        .disable_statement_logging()
        .foreign_keys(true)
        .synchronous(sea_orm::sqlx::sqlite::SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        .statement_cache_capacity(200)
        .pragma("journal_size_limit", "67108864")
        // Pages of the log that are copied into the file together: fewer syncs, and a page that many commits
        // touch is copied once.
        .pragma("wal_autocheckpoint", "4000")
        // A group commit's answers at once: the writing thread need not wait for their reader.
        .row_buffer_size(1024)
}

async fn connect_postgres(url: &url::Url) -> Result<DatabaseConnection, StoreError> {
    say_why_not(url).await?;
    let mut options = ConnectOptions::new(url.as_str());
    options
        .max_connections(8)
        .min_connections(1)
        .connect_timeout(CONNECT_TIMEOUT)
        .acquire_timeout(CONNECT_TIMEOUT)
        // Without either, the driver's pool needs no task that goes over its connections; that task can fall into an
        // endless loop when a connection comes back in the very moment it counts them.
        .idle_timeout(None)
        .max_lifetime(None)
        .set_application_name("tagpipe")
        .sqlx_logging(false);
    options.map_sqlx_postgres_pool_opts(|pool| {
        pool.after_connect(|connection, _| {
            Box::pin(async move {
                sea_orm::sqlx::Executor::execute(connection, HASTE).await?;
                Ok(())
            })
        })
    });
    Ok(Database::connect(options).await?)
}

/// Connects once without the pool, which would only say that it timed out.
pub(crate) async fn say_why_not(url: &url::Url) -> Result<(), StoreError> {
    use sea_orm::sqlx::PgConnection;
    check_certificates(url)?;
    let shown = DatabaseUrl::Postgres(url.clone());
    let connected = tokio::time::timeout(CONNECT_TIMEOUT, PgConnection::connect(url.as_str())).await;
    let error = match connected {
        Ok(Ok(connection)) => return Ok(connection.close().await.map_err(sqlx_error)?),
        Ok(Err(error)) => StoreError::from(sqlx_error(error)),
        Err(_) => {
            let waited = CONNECT_TIMEOUT.as_secs();
            return Err(StoreError::Unavailable(format!(
                "{shown}: no answer within {waited} s"
            )));
        }
    };
    Err(match error {
        StoreError::Unavailable(text) => StoreError::Unavailable(format!("{shown}: {text}")),
        StoreError::Refused(text) | StoreError::Bug(text) => {
            StoreError::Refused(format!("cannot connect to {shown}: {text}"))
        }
        other => other,
    })
}

/// The driver would not say which file it is that it cannot read.
fn check_certificates(url: &url::Url) -> Result<(), StoreError> {
    for (key, file) in url.query_pairs() {
        let is_file =
            matches!(&*key, "sslrootcert" | "sslcert" | "sslkey") && !file.starts_with("-----BEGIN");
        if is_file && let Err(error) = std::fs::File::open(&*file) {
            return Err(StoreError::Refused(format!(
                "cannot read `{file}` ({key} of the database's address): {error}"
            )));
        }
    }
    Ok(())
}

fn sqlx_error(error: sea_orm::SqlxError) -> DbErr {
    DbErr::Conn(sea_orm::RuntimeErr::SqlxError(error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_an_engine() {
        let parse = |text: &str| text.parse::<DatabaseUrl>();
        assert_eq!(parse("tagpipe.db"), Ok(DatabaseUrl::Sqlite("tagpipe.db".into())));
        assert_eq!(
            parse("sqlite:/data/a.db"),
            Ok(DatabaseUrl::Sqlite("/data/a.db".into()))
        );
        assert_eq!(
            parse("sqlite:///data/a.db"),
            Ok(DatabaseUrl::Sqlite("/data/a.db".into()))
        );
        assert_eq!(parse("sqlite::memory:"), Ok(DatabaseUrl::Memory));
        assert!(matches!(
            parse("postgres://tag@localhost/tag"),
            Ok(DatabaseUrl::Postgres(_))
        ));
        for wrong in ["", "mysql://localhost/tag", "sqlite:", "postgres:///"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_shown_url_has_no_password() {
        let url: DatabaseUrl = "postgres://tag:secret@localhost/tag".parse().expect("valid");
        assert_eq!(url.to_string(), "postgres://tag:***@localhost/tag");
    }
}
