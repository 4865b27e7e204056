//! What runs, what ran, and how: read by people and dashboards while runners write. No query here looks at the
//! catalogue or scans the audit trail, so that its answer does not slow down as they grow.

use sea_orm::{QueryResult, Value};
use serde::Serialize;
use serde_json::Value as Json;
use tagpipe_core::lifecycle::RunState;

use crate::connect::Store;
use crate::contract::RunId;
use crate::error::StoreError;
use crate::steering::Steering;

/// A run as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunOverview {
    /// Its number.
    pub id: RunId,
    /// `running`, `interrupted`, `reconciled` or `disputed`.
    pub state: String,
    /// What people want of it while it is under way.
    pub steering: Steering,
    /// When it began, in UTC.
    pub started_at: String,
    /// When it ended, in UTC.
    pub finished_at: Option<String>,
    /// From its start to its end, or to now, in seconds.
    pub elapsed_s: f64,
    /// Processes that worked on it.
    pub runner_processes: u64,
    /// Pages read whole, by all of them.
    pub pages_completed: u64,
    /// Pages given up.
    pub pages_failed: u64,
    /// Requests made.
    pub requests: u64,
    /// Rows seen for the first time.
    pub rows_new: u64,
    /// Known rows with other values.
    pub rows_changed: u64,
    /// The settings it was started with.
    pub config: Json,
    /// The closing summary; null until it ends.
    pub summary: Json,
}

impl RunOverview {
    /// Whether it came to its end, and is not under way again.
    #[must_use]
    pub fn is_over(&self) -> bool {
        [RunState::Reconciled, RunState::Disputed]
            .iter()
            .any(|state| state.as_str() == self.state)
    }

    /// The origin of the site it reads; empty if the settings do not tell.
    #[must_use]
    pub fn site(&self) -> &str {
        self.config["site"]["origin"].as_str().unwrap_or_default()
    }
}

/// What runners have done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WorkDone {
    /// Pages read whole.
    pub pages_completed: u64,
    /// Pages given up.
    pub pages_failed: u64,
    /// Reads that were to be repeated.
    pub retries: u64,
    /// Requests made.
    pub requests: u64,
    /// Bytes received.
    pub bytes: u64,
}

/// What a run did not have to read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Pages that would have shown what is stored, those below pages left out included.
    pub pages: u64,
    /// Further ones that were read all the same, to see what leaving out misses.
    pub audited: u64,
    /// Of these, those with a row that was new, other or gone.
    pub missed: u64,
}

/// A process that works or worked on a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunnerOverview {
    /// Its UUID.
    pub instance: String,
    /// Its name.
    pub runner_id: String,
    /// Its machine.
    pub host: String,
    /// Its process id there.
    pub pid: i64,
    /// Tells the process from every other that has or had its id.
    #[serde(skip)]
    pub process_mark: String,
    /// `running`, `finished` or `lost`.
    pub state: String,
    /// Why it ended, in words; empty while it runs.
    pub ended_why: String,
    /// Key of a page it has in hand; empty if it has none.
    pub current_page: String,
    /// Memory it uses, its browser's included, in bytes; 0 if unknown.
    pub memory_bytes: u64,
    /// When it began, in UTC.
    pub started_at: String,
    /// Since its last heartbeat, in seconds.
    pub silent_s: f64,
    /// From its start to its last heartbeat, in seconds.
    pub working_s: f64,
    /// Pages read whole.
    pub pages_completed: u64,
    /// Pages given up.
    pub pages_failed: u64,
    /// Reads that were to be repeated.
    pub retries: u64,
    /// Requests made.
    pub requests: u64,
    /// Bytes received.
    pub bytes: u64,
}

impl Store {
    /// The newest `limit` runs, newest first; with `before`, those older than that run.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn runs(&self, before: Option<RunId>, limit: u32) -> Result<Vec<RunOverview>, StoreError> {
        let before = before.unwrap_or(RunId::MAX);
        self.run_overviews(
            "WHERE runs.id < $1 ORDER BY runs.id DESC LIMIT $2",
            vec![before.into(), i64::from(limit).into()],
        )
        .await
    }

    /// The runs that somebody works on now, oldest first.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn runs_under_way(&self) -> Result<Vec<RunOverview>, StoreError> {
        self.run_overviews("WHERE runs.state = 'running' ORDER BY runs.id", Vec::new())
            .await
    }

    /// The run of this number.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn run_overview(&self, run: RunId) -> Result<Option<RunOverview>, StoreError> {
        let found = self.run_overviews("WHERE runs.id = $1", vec![run.into()]).await?;
        Ok(found.into_iter().next())
    }

    async fn run_overviews(&self, which: &str, values: Vec<Value>) -> Result<Vec<RunOverview>, StoreError> {
        let dialect = self.dialect;
        let sum = |column: &str| {
            format!(
                "(SELECT {} FROM runners WHERE runners.run_id = runs.id) AS {column}",
                dialect.sum(column)
            )
        };
        let sums = [
            "pages_completed",
            "pages_failed",
            "requests",
            "rows_new",
            "rows_changed",
        ]
        .map(sum)
        .join(", ");
        let sql = format!(
            "SELECT runs.id, runs.state, runs.steering, {started} AS started_at, {finished} AS finished_at, \
                 coalesce({finished_us}, {now}) - {started_us} AS elapsed_us, {config} AS config, \
                 coalesce({summary}, 'null') AS summary, \
                 (SELECT count(*) FROM runners WHERE runners.run_id = runs.id) AS runner_processes, {sums} \
             FROM runs {which}",
            started = dialect.iso("runs.started_at"),
            finished = dialect.iso("runs.finished_at"),
            finished_us = dialect.as_us("runs.finished_at"),
            started_us = dialect.as_us("runs.started_at"),
            now = dialect.now_us(),
            config = dialect.as_text("runs.config"),
            summary = dialect.as_text("runs.summary"),
        );
        let rows = self.rows(dialect.statement(sql, values)).await?;
        rows.iter().map(run_overview).collect()
    }

    /// What all runners have done, ever.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn work_done(&self) -> Result<WorkDone, StoreError> {
        let sums = ["pages_completed", "pages_failed", "retries", "requests", "bytes"]
            .map(|column| format!("{} AS {column}", self.dialect.sum(column)))
            .join(", ");
        let rows = self
            .rows(self.dialect.statement(format!("SELECT {sums} FROM runners"), []))
            .await?;
        let row = rows
            .first()
            .ok_or_else(|| StoreError::Bug("a sum gave no row".into()))?;
        let count =
            |column: &str| -> Result<u64, StoreError> { Ok(row.try_get::<i64>("", column)?.unsigned_abs()) };
        Ok(WorkDone {
            pages_completed: count("pages_completed")?,
            pages_failed: count("pages_failed")?,
            retries: count("retries")?,
            requests: count("requests")?,
            bytes: count("bytes")?,
        })
    }

    /// The processes that work or worked on `run`, in the order of their start.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn runners(&self, run: RunId) -> Result<Vec<RunnerOverview>, StoreError> {
        let dialect = self.dialect;
        let sql = format!(
            "SELECT instance, runner_id, host, pid, process_mark, state, ended_why, current_page, memory_bytes, \
                 {started} AS started_at, \
                 {now} - {heartbeat_us} AS silent_us, {heartbeat_us} - {started_us} AS working_us, \
                 pages_completed, pages_failed, retries, requests, bytes \
             FROM runners WHERE run_id = $1 ORDER BY started_at, instance",
            started = dialect.iso("started_at"),
            now = dialect.now_us(),
            heartbeat_us = dialect.as_us("heartbeat_at"),
            started_us = dialect.as_us("started_at"),
        );
        let rows = self.rows(dialect.statement(sql, [run.into()])).await?;
        rows.iter().map(runner_overview).collect()
    }

    /// What `run` did not have to read.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn left_out(&self, run: RunId) -> Result<LeftOut, StoreError> {
        // What stands below a page left out, shown when that was last read, and is not in the run for another reason.
        let unknown = |level: u8, subject: &str| {
            format!(
                "NOT EXISTS (SELECT 1 FROM frontier AS known WHERE known.run_id = $1 AND known.level = {level} \
                 AND known.subject_id = {subject}.id)"
            )
        };
        let sql = format!(
            "WITH left_out AS (SELECT level, subject_id FROM frontier WHERE run_id = $1 AND state = 'unchanged'), \
                 sets_below AS (SELECT sets.id, sets.read_at FROM left_out JOIN years ON years.id = left_out.subject_id \
                     JOIN sets ON sets.year_id = years.id AND sets.last_seen_at >= years.read_at \
                     WHERE left_out.level = 2 AND {}), \
                 all_sets AS (SELECT id, read_at FROM sets_below UNION ALL \
                     SELECT sets.id, sets.read_at FROM left_out JOIN sets ON sets.id = left_out.subject_id \
                     WHERE left_out.level = 3) \
             SELECT (SELECT count(*) FROM left_out) + (SELECT count(*) FROM sets_below) \
                    + (SELECT count(*) FROM all_sets JOIN cards ON cards.set_id = all_sets.id \
                           AND cards.last_seen_at >= all_sets.read_at \
                       WHERE {}) AS pages, \
                 (SELECT count(*) FROM frontier WHERE run_id = $1 AND audited = 1 AND state = 'completed') AS audited, \
                 (SELECT count(*) FROM frontier WHERE run_id = $1 AND audited = 1 AND state = 'completed' \
                      AND rows_moved > 0) AS missed",
            unknown(3, "sets"),
            unknown(4, "cards"),
        );
        let rows = self.rows(self.dialect.statement(sql, [run.into()])).await?;
        let row = rows
            .first()
            .ok_or_else(|| StoreError::Bug("a count gave no row".into()))?;
        Ok(LeftOut {
            pages: count(row, "pages")?,
            audited: count(row, "audited")?,
            missed: count(row, "missed")?,
        })
    }

    /// Sums that do not agree and that no later reading has mended.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn open_discrepancies(&self) -> Result<u64, StoreError> {
        let sql = "SELECT count(*) AS open FROM (SELECT DISTINCT page_key, what FROM discrepancies \
                   WHERE resolved_at IS NULL AND verdict <> 'moved') AS sums";
        let rows = self.rows(self.dialect.statement(sql, [])).await?;
        let open: i64 = rows.first().map_or(Ok(0), |row| row.try_get("", "open"))?;
        Ok(open.unsigned_abs())
    }

    /// Whether this connection may write: asks for the right and takes the answer back.
    ///
    /// # Errors
    /// What the database says to a write.
    pub async fn check_writable(&self) -> Result<(), StoreError> {
        let transaction = self.begin().await?;
        use sea_orm::ConnectionTrait;
        let sql = "INSERT INTO pace (site) VALUES ('tagpipe doctor') ON CONFLICT (site) DO NOTHING";
        transaction.execute_raw(self.dialect.statement(sql, [])).await?;
        transaction.rollback().await?;
        Ok(())
    }

    /// The database's clock, in microseconds since 1970.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn now_us(&self) -> Result<i64, StoreError> {
        let sql = format!("SELECT {} AS us", self.dialect.now_us());
        let rows = self.rows(self.dialect.statement(sql, [])).await?;
        let row = rows
            .first()
            .ok_or_else(|| StoreError::Bug("the clock gave no row".into()))?;
        Ok(row.try_get("", "us")?)
    }

    /// Name and version of the engine, e.g. `PostgreSQL 15.14` or `SQLite 3.51.0`.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn engine_version(&self) -> Result<String, StoreError> {
        let (sql, name) = match self.dialect {
            crate::Dialect::Sqlite => ("SELECT sqlite_version() AS version", "SQLite"),
            crate::Dialect::Postgres => (
                "SELECT split_part(current_setting('server_version'), ' ', 1) AS version",
                "PostgreSQL",
            ),
        };
        let rows = self.rows(self.dialect.statement(sql, [])).await?;
        let row = rows
            .first()
            .ok_or_else(|| StoreError::Bug("the version gave no row".into()))?;
        let version: String = row.try_get("", "version")?;
        Ok(format!("{name} {version}"))
    }

    /// How the connection is encrypted, e.g. `TLSv1.3`; `None` if it is not, or there is none.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn encryption(&self) -> Result<Option<String>, StoreError> {
        if self.dialect == crate::Dialect::Sqlite {
            return Ok(None);
        }
        let sql = "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl";
        let rows = self.rows(self.dialect.statement(sql, [])).await?;
        rows.first()
            .map(|row| Ok(row.try_get("", "version")?))
            .transpose()
    }
}

fn run_overview(row: &QueryResult) -> Result<RunOverview, StoreError> {
    let json = |column: &str| -> Result<Json, StoreError> {
        let text: String = row.try_get("", column)?;
        serde_json::from_str(&text)
            .map_err(|error| StoreError::Bug(format!("runs.{column} is damaged: {error}")))
    };
    Ok(RunOverview {
        id: row.try_get("", "id")?,
        state: row.try_get("", "state")?,
        steering: Steering::stored(&row.try_get::<String>("", "steering")?)?,
        started_at: row.try_get("", "started_at")?,
        finished_at: row.try_get("", "finished_at")?,
        elapsed_s: seconds(row, "elapsed_us")?,
        runner_processes: count(row, "runner_processes")?,
        pages_completed: count(row, "pages_completed")?,
        pages_failed: count(row, "pages_failed")?,
        requests: count(row, "requests")?,
        rows_new: count(row, "rows_new")?,
        rows_changed: count(row, "rows_changed")?,
        config: json("config")?,
        summary: json("summary")?,
    })
}

fn runner_overview(row: &QueryResult) -> Result<RunnerOverview, StoreError> {
    Ok(RunnerOverview {
        instance: row.try_get("", "instance")?,
        runner_id: row.try_get("", "runner_id")?,
        host: row.try_get("", "host")?,
        pid: row.try_get("", "pid")?,
        process_mark: row.try_get("", "process_mark")?,
        state: row.try_get("", "state")?,
        ended_why: row.try_get("", "ended_why")?,
        current_page: row.try_get("", "current_page")?,
        memory_bytes: count(row, "memory_bytes")?,
        started_at: row.try_get("", "started_at")?,
        silent_s: seconds(row, "silent_us")?,
        working_s: seconds(row, "working_us")?,
        pages_completed: count(row, "pages_completed")?,
        pages_failed: count(row, "pages_failed")?,
        retries: count(row, "retries")?,
        requests: count(row, "requests")?,
        bytes: count(row, "bytes")?,
    })
}

fn count(row: &QueryResult, column: &str) -> Result<u64, StoreError> {
    let count: i64 = row.try_get("", column)?;
    Ok(count.unsigned_abs())
}

/// A column of microseconds as seconds, to the millisecond and never below zero.
fn seconds(row: &QueryResult, column: &str) -> Result<f64, StoreError> {
    let us: i64 = row.try_get("", column)?;
    Ok((us.max(0) / 1000) as f64 / 1000.0)
}
