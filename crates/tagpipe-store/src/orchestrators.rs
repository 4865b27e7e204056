//! Who starts, watches and replaces the runners of a run: one process at most, known to all that look.

use std::time::Duration;

use sea_orm::{ConnectionTrait, DatabaseTransaction, QueryResult, Statement};
use serde::Serialize;

use crate::connect::Store;
use crate::contract::RunId;
use crate::dialect::Dialect;
use crate::error::StoreError;

/// A process that orchestrates a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrchestratorIdentity {
    /// A fresh UUID for each process.
    pub instance: String,
    /// The machine it runs on.
    pub host: String,
    /// Its process id there.
    pub pid: u32,
    /// Tells this process from every other one that has or had the same id; empty where that cannot be told.
    pub process_mark: String,
}

/// An orchestrator as it is entered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrchestratorRecord {
    /// The run.
    pub run: RunId,
    /// The process.
    pub identity: OrchestratorIdentity,
    /// Whether it has not ended in order.
    pub is_running: bool,
    /// Runners it keeps.
    pub runners_wanted: u64,
    /// Since its last heartbeat, by the database's clock.
    pub silent_for: Duration,
}

/// An orchestrator as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OrchestratorOverview {
    /// Its machine.
    pub host: String,
    /// Its process id there.
    pub pid: u32,
    /// Whether it has not ended in order.
    pub is_running: bool,
    /// Whether its process is not there any more, as far as can be told from here.
    pub is_gone: bool,
    /// Runners it keeps.
    pub runners_wanted: u64,
    /// Since its last heartbeat, in seconds.
    pub silent_s: f64,
}

impl From<OrchestratorRecord> for OrchestratorOverview {
    fn from(record: OrchestratorRecord) -> OrchestratorOverview {
        OrchestratorOverview {
            host: record.identity.host,
            pid: record.identity.pid,
            is_running: record.is_running,
            is_gone: false,
            runners_wanted: record.runners_wanted,
            silent_s: (record.silent_for.as_millis() as f64) / 1000.0,
        }
    }
}

impl Store {
    /// Enters a process as the orchestrator of `run`, in place of `before` if one is entered already. `false` when
    /// somebody else is: then nothing changes.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn register_orchestrator(
        &self,
        run: RunId,
        orchestrator: &OrchestratorIdentity,
        runners_wanted: u64,
        before: Option<&str>,
    ) -> Result<bool, StoreError> {
        let statement = registration(self.dialect, run, orchestrator, runners_wanted, before);
        Ok(self.write(statement).await? > 0)
    }

    /// An orchestrator's word that it is alive. `false` when another process has taken its place.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn report_orchestrator(&self, run: RunId, instance: &str) -> Result<bool, StoreError> {
        let sql = format!(
            "UPDATE orchestrators SET heartbeat_at = {} WHERE run_id = $1 AND instance = $2",
            self.dialect.now()
        );
        Ok(self
            .write(self.dialect.statement(sql, [run.into(), instance.into()]))
            .await?
            > 0)
    }

    /// Ends the entry of an orchestrator.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn end_orchestrator(&self, run: RunId, instance: &str) -> Result<(), StoreError> {
        let sql = "UPDATE orchestrators SET state = 'finished' WHERE run_id = $1 AND instance = $2";
        self.write(self.dialect.statement(sql, [run.into(), instance.into()]))
            .await?;
        Ok(())
    }

    /// The orchestrator of `run`, the one at work or the last one.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn orchestrator(&self, run: RunId) -> Result<Option<OrchestratorRecord>, StoreError> {
        let found = self.orchestrators_where("run_id = $1", vec![run.into()]).await?;
        Ok(found.into_iter().next())
    }

    /// The orchestrators that have not ended in order, of runs under way, newest run first: at work, or killed.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn orchestrators_at_work(&self) -> Result<Vec<OrchestratorRecord>, StoreError> {
        self.orchestrators_where(AT_WORK, Vec::new()).await
    }

    async fn orchestrators_where(
        &self,
        condition: &str,
        values: Vec<sea_orm::Value>,
    ) -> Result<Vec<OrchestratorRecord>, StoreError> {
        let sql = selection(self.dialect, condition);
        let rows = self.rows(self.dialect.statement(sql, values)).await?;
        rows.iter().map(record).collect()
    }
}

/// Enters the orchestrator of a run that is being started in `transaction`, and returns those of other runs under way.
/// Who does the same at the same time waits until this transaction has ended: one of two is the first.
pub(crate) async fn enter_alone(
    transaction: &DatabaseTransaction,
    dialect: Dialect,
    run: RunId,
    orchestrator: &OrchestratorIdentity,
    runners_wanted: u64,
) -> Result<Vec<OrchestratorRecord>, StoreError> {
    if dialect == Dialect::Postgres {
        // On SQLite whoever writes is alone already.
        transaction
            .execute_unprepared("LOCK TABLE orchestrators IN SHARE ROW EXCLUSIVE MODE")
            .await?;
    }
    let entry = registration(dialect, run, orchestrator, runners_wanted, None);
    transaction.execute_raw(entry).await?;
    let sql = selection(dialect, &format!("{AT_WORK} AND run_id <> $1"));
    let rows = transaction
        .query_all_raw(dialect.statement(sql, [run.into()]))
        .await?;
    rows.iter().map(record).collect()
}

/// Those that have not ended in order, of runs under way.
const AT_WORK: &str = "state = 'running' AND run_id IN (SELECT id FROM runs WHERE runs.state = 'running')";

fn selection(dialect: Dialect, condition: &str) -> String {
    format!(
        "SELECT run_id, instance, host, pid, process_mark, state, runners_wanted, {now} - {heartbeat} AS silent_us \
         FROM orchestrators WHERE {condition} ORDER BY run_id DESC",
        now = dialect.now_us(),
        heartbeat = dialect.as_us("heartbeat_at"),
    )
}

/// Enters an orchestrator where none is, or where `before` is.
fn registration(
    dialect: Dialect,
    run: RunId,
    orchestrator: &OrchestratorIdentity,
    runners_wanted: u64,
    before: Option<&str>,
) -> Statement {
    let sql = format!(
        "INSERT INTO orchestrators AS entered (run_id, instance, host, pid, process_mark, state, runners_wanted, \
             started_at, heartbeat_at) \
         VALUES ($1, $2, $3, $4, $5, 'running', $6, {now}, {now}) \
         ON CONFLICT (run_id) DO UPDATE SET instance = excluded.instance, host = excluded.host, \
             pid = excluded.pid, process_mark = excluded.process_mark, state = excluded.state, \
             runners_wanted = excluded.runners_wanted, started_at = excluded.started_at, \
             heartbeat_at = excluded.heartbeat_at \
         WHERE entered.instance = $7",
        now = dialect.statement_time(),
    );
    let values = [
        run.into(),
        orchestrator.instance.clone().into(),
        dialect.text(&orchestrator.host),
        i64::from(orchestrator.pid).into(),
        dialect.text(&orchestrator.process_mark),
        i64::try_from(runners_wanted).unwrap_or(i64::MAX).into(),
        before.unwrap_or_default().into(),
    ];
    dialect.statement(sql, values)
}

fn record(row: &QueryResult) -> Result<OrchestratorRecord, StoreError> {
    let (pid, wanted, silent_us): (i64, i64, i64) = (
        row.try_get("", "pid")?,
        row.try_get("", "runners_wanted")?,
        row.try_get("", "silent_us")?,
    );
    let state: String = row.try_get("", "state")?;
    Ok(OrchestratorRecord {
        run: row.try_get("", "run_id")?,
        identity: OrchestratorIdentity {
            instance: row.try_get("", "instance")?,
            host: row.try_get("", "host")?,
            pid: u32::try_from(pid).unwrap_or(0),
            process_mark: row.try_get("", "process_mark")?,
        },
        is_running: state == "running",
        runners_wanted: wanted.unsigned_abs(),
        silent_for: Duration::from_micros(u64::try_from(silent_us).unwrap_or(0)),
    })
}
