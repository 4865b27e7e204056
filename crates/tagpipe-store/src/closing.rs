//! The end of a run on which several runners may work: one of them closes it, for a term and fenced as a page's lease
//! is; the last one to leave an unfinished run says so.

use std::time::Duration;

use sea_orm::ConnectionTrait;
use serde_json::Value as Json;
use tagpipe_core::lifecycle::RunState;
use tagpipe_core::news::News;

use crate::audit::{AuditEntry, AuditOrigin, insert_audit};
use crate::connect::Store;
use crate::contract::RunId;
use crate::error::StoreError;
use crate::frontier::microseconds;
use crate::news::insert_news;
use crate::watches::note_watched;

/// How long an orchestrator that is not heard of counts as at work.
const ORCHESTRATOR_TERM: Duration = Duration::from_secs(60);

/// Who closes a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// Whoever asked.
    Mine,
    /// Another runner, for as long as its term lasts.
    Others,
    /// Nobody any more: the run is not under way.
    Over,
}

/// The end of a run, as it is written.
#[derive(Debug, Clone)]
pub struct RunEnding<'a> {
    /// The state it is left in.
    pub state: RunState,
    /// Its summary.
    pub summary: &'a Json,
    /// Who writes.
    pub origin: AuditOrigin<'a>,
    /// What is said about it in the audit trail, in the same transaction.
    pub entries: &'a [AuditEntry],
    /// What people may want to be told of it, [`Store::watched_changes`] among it; recorded in the same transaction. Nothing if
    /// another process is to tell it.
    pub news: &'a [News],
}

impl Store {
    /// Asks for the right to close `run`, or renews it.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn begin_closing(
        &self,
        run: RunId,
        instance: &str,
        term: Duration,
    ) -> Result<Closing, StoreError> {
        let sql = format!(
            "UPDATE runs SET closing_by = $1, closing_until = {until} WHERE id = $3 AND state = 'running' \
             AND (closing_by IS NULL OR closing_by = $1 OR closing_until <= {now})",
            until = self.dialect.now_plus("$2"),
            now = self.dialect.now(),
        );
        let values = [instance.into(), microseconds(term).into(), run.into()];
        if self.write(self.dialect.statement(sql, values)).await? > 0 {
            return Ok(Closing::Mine);
        }
        Ok(match self.run(run).await? {
            Some(record) if record.state == RunState::Running => Closing::Others,
            _ => Closing::Over,
        })
    }

    /// Gives the right to close `run` back, if `instance` has it.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn give_up_closing(&self, run: RunId, instance: &str) -> Result<(), StoreError> {
        let sql = "UPDATE runs SET closing_by = NULL, closing_until = NULL WHERE id = $1 AND closing_by = $2";
        self.write(self.dialect.statement(sql, [run.into(), instance.into()]))
            .await?;
        Ok(())
    }

    /// Writes the end of `run`, if `closer` still has the right to close it. `false` when it has not; then nothing is
    /// written.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn close_run(
        &self,
        run: RunId,
        closer: &str,
        ending: &RunEnding<'_>,
    ) -> Result<bool, StoreError> {
        self.end_run_where(run, ending, "closing_by = $4", vec![closer.into()])
            .await
    }

    /// Writes that `run` was left unfinished, if nobody else works on it: no other runner was heard of within `term`.
    /// `false` when somebody does; then nothing is written.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn leave_run(
        &self,
        run: RunId,
        instance: &str,
        term: Duration,
        ending: &RunEnding<'_>,
    ) -> Result<bool, StoreError> {
        let alone = format!(
            "NOT EXISTS (SELECT 1 FROM runners WHERE run_id = $3 AND state = 'running' AND instance <> $4 \
                         AND {heartbeat} > {now} - CAST($5 AS bigint))",
            heartbeat = self.dialect.as_us("heartbeat_at"),
            now = self.dialect.now_us(),
        );
        let values = vec![instance.into(), microseconds(term).into()];
        self.end_run_where(run, ending, &alone, values).await
    }

    /// Whether another process than `instance` orchestrates `run`: it was heard of not long ago.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn is_orchestrated(&self, run: RunId, instance: &str) -> Result<bool, StoreError> {
        let sql = format!(
            "SELECT 1 AS found FROM orchestrators WHERE run_id = $1 AND instance <> $2 AND state = 'running' \
             AND heartbeat_at > {}",
            self.dialect.now_plus("$3"),
        );
        let values = [
            run.into(),
            instance.into(),
            (-microseconds(ORCHESTRATOR_TERM)).into(),
        ];
        Ok(!self.rows(self.dialect.statement(sql, values)).await?.is_empty())
    }

    /// Puts a summary in the place of the one that `run` has ended with: one that was written later and knows how all its
    /// runners ended. A run that is under way again is left alone.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn replace_summary(&self, run: RunId, summary: &Json) -> Result<(), StoreError> {
        let sql = format!(
            "UPDATE runs SET summary = {} WHERE id = $2 AND state <> 'running'",
            self.dialect.json_parameter("$1")
        );
        let values = [self.dialect.json(summary), run.into()];
        self.write(self.dialect.statement(sql, values)).await?;
        Ok(())
    }

    async fn end_run_where(
        &self,
        run: RunId,
        ending: &RunEnding<'_>,
        condition: &str,
        values: Vec<sea_orm::Value>,
    ) -> Result<bool, StoreError> {
        let dialect = self.dialect;
        let sql = format!(
            "UPDATE runs SET state = $1, summary = {summary}, finished_at = {now}, closing_by = NULL, \
                 closing_until = NULL WHERE id = $3 AND state = 'running' AND {condition}",
            summary = dialect.json_parameter("$2"),
            now = dialect.now(),
        );
        let mut all = vec![
            ending.state.as_str().into(),
            dialect.json(ending.summary),
            run.into(),
        ];
        all.extend(values);
        let transaction = self.begin().await?;
        let ended = transaction
            .execute_raw(dialect.statement(sql, all))
            .await?
            .rows_affected();
        if ended == 0 {
            transaction.rollback().await?;
            return Ok(false);
        }
        let entries: Vec<&AuditEntry> = ending.entries.iter().collect();
        insert_audit(&transaction, dialect, ending.origin, &entries).await?;
        insert_news(&transaction, dialect, ending.news).await?;
        if !ending.news.is_empty() {
            note_watched(&transaction, dialect, run).await?;
        }
        transaction.commit().await?;
        Ok(true)
    }
}
