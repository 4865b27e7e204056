//! The processes that work on a run: who they are, what they do, how they ended.

use std::time::Duration;

use serde::Serialize;

use crate::connect::Store;
use crate::contract::{RowCounts, RunId};
use crate::error::StoreError;

/// A process that works on a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunnerIdentity {
    /// A fresh UUID for each process.
    pub instance: String,
    /// Its name, e.g. `runner_1`.
    pub runner_id: String,
    /// The machine it runs on.
    pub host: String,
    /// Its process id there.
    pub pid: u32,
    /// Tells this process from every other one that has or had the same id; empty where that cannot be told.
    pub process_mark: String,
}

/// A process that is entered as working on a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningRunner {
    /// Which.
    pub identity: RunnerIdentity,
    /// Since its last heartbeat, by the database's clock.
    pub silent_for: Duration,
}

/// What a runner says of itself from time to time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RunnerReport<'a> {
    /// Key of a page it has in hand; empty if it has none.
    pub current_page: &'a str,
    /// Memory it uses, its browser's included, in bytes; 0 if unknown.
    pub memory_bytes: u64,
}

/// How a process ended its work on a run, with the reason in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunnerEnd<'a> {
    /// In order.
    Finished(&'a str),
    /// It died, hung or was given up.
    Lost(&'a str),
}

/// Sums over all runners of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct RunnerTotals {
    /// Processes that worked on it.
    pub runners: u64,
    /// Reads that were to be repeated.
    pub retries: u64,
    /// Requests made.
    pub requests: u64,
    /// Bytes received.
    pub bytes: u64,
    /// Rows, by what became of them.
    pub rows: RowCounts,
}

impl Store {
    /// Enters a process into `run`.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn register_runner(&self, run: RunId, runner: &RunnerIdentity) -> Result<(), StoreError> {
        let sql = format!(
            "INSERT INTO runners (instance, run_id, runner_id, host, pid, process_mark, state, started_at, heartbeat_at) \
             VALUES ($1, $2, $3, $4, $5, $6, 'running', {now}, {now}) ON CONFLICT (instance) DO NOTHING",
            now = self.dialect.statement_time()
        );
        let values = [
            runner.instance.clone().into(),
            run.into(),
            self.dialect.text(&runner.runner_id),
            self.dialect.text(&runner.host),
            i64::from(runner.pid).into(),
            self.dialect.text(&runner.process_mark),
        ];
        self.write(self.dialect.statement(sql, values)).await?;
        Ok(())
    }

    /// A runner's word that it is alive and what it is doing. `false` when it has been given up meanwhile: somebody
    /// else has its pages, and it should stop.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn report_runner(&self, instance: &str, report: &RunnerReport<'_>) -> Result<bool, StoreError> {
        let sql = format!(
            "UPDATE runners SET heartbeat_at = {}, current_page = $2, memory_bytes = $3 \
             WHERE instance = $1 AND state = 'running'",
            self.dialect.now()
        );
        let values = [
            instance.into(),
            self.dialect.text(report.current_page),
            i64::try_from(report.memory_bytes).unwrap_or(i64::MAX).into(),
        ];
        Ok(self.write(self.dialect.statement(sql, values)).await? > 0)
    }

    /// Ends the entry of a process: it is working on its run no longer. The first word about it stands.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn end_runner(&self, instance: &str, end: RunnerEnd<'_>) -> Result<(), StoreError> {
        // A runner that says so itself was alive until now.
        let (state, why, heard_of) = match end {
            RunnerEnd::Finished(why) => ("finished", why, self.dialect.now()),
            RunnerEnd::Lost(why) => ("lost", why, "heartbeat_at"),
        };
        let sql = format!(
            "UPDATE runners SET state = $1, ended_why = $2, current_page = '', heartbeat_at = {heard_of} \
             WHERE instance = $3 AND state = 'running'"
        );
        let values = [state.into(), self.dialect.text(why), instance.into()];
        self.write(self.dialect.statement(sql, values)).await?;
        Ok(())
    }

    /// The processes that are entered as working on `run`.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn running_runners(&self, run: RunId) -> Result<Vec<RunningRunner>, StoreError> {
        let sql = format!(
            "SELECT instance, runner_id, host, pid, process_mark, {} - {} AS silent_us FROM runners \
             WHERE run_id = $1 AND state = 'running' ORDER BY started_at, instance",
            self.dialect.now_us(),
            self.dialect.as_us("heartbeat_at"),
        );
        let rows = self.rows(self.dialect.statement(sql, [run.into()])).await?;
        rows.iter()
            .map(|row| {
                let (pid, silent_us): (i64, i64) = (row.try_get("", "pid")?, row.try_get("", "silent_us")?);
                let identity = RunnerIdentity {
                    instance: row.try_get("", "instance")?,
                    runner_id: row.try_get("", "runner_id")?,
                    host: row.try_get("", "host")?,
                    pid: u32::try_from(pid).unwrap_or(0),
                    process_mark: row.try_get("", "process_mark")?,
                };
                Ok(RunningRunner {
                    identity,
                    silent_for: Duration::from_micros(u64::try_from(silent_us).unwrap_or(0)),
                })
            })
            .collect()
    }

    /// What all runners of `run` did together.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn runner_totals(&self, run: RunId) -> Result<RunnerTotals, StoreError> {
        let columns = [
            "retries",
            "requests",
            "bytes",
            "rows_new",
            "rows_changed",
            "rows_same",
            "rows_vanished",
        ];
        let sums = columns
            .map(|name| format!("CAST(coalesce(sum({name}), 0) AS bigint) AS {name}"))
            .join(", ");
        let sql = format!("SELECT count(*) AS runners, {sums} FROM runners WHERE run_id = $1");
        let rows = self.rows(self.dialect.statement(sql, [run.into()])).await?;
        let row = rows
            .first()
            .ok_or_else(|| StoreError::Bug("a sum gave no row".into()))?;
        let value = |column: &str| -> Result<u64, StoreError> {
            let value: i64 = row.try_get("", column)?;
            Ok(value.unsigned_abs())
        };
        Ok(RunnerTotals {
            runners: value("runners")?,
            retries: value("retries")?,
            requests: value("requests")?,
            bytes: value("bytes")?,
            rows: RowCounts {
                new: value("rows_new")?,
                changed: value("rows_changed")?,
                same: value("rows_same")?,
                vanished: value("rows_vanished")?,
            },
        })
    }
}
