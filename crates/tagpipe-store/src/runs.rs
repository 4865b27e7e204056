//! Runs: their beginning, their states, what is told of them.

use sea_orm::{ConnectionTrait, DatabaseTransaction, QueryResult};
use serde::Serialize;
use serde_json::Value as Json;
use tagpipe_core::lifecycle::RunState;
use tagpipe_core::model::PageKind;

use crate::connect::Store;
use crate::contract::{NewPage, RunId};
use crate::dialect::{ColumnType, Columns, Dialect};
use crate::error::StoreError;
use crate::frontier::{add_pages, page_kind};
use crate::orchestrators::{OrchestratorIdentity, OrchestratorRecord, enter_alone};

/// A run as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRecord {
    /// Its id.
    pub id: RunId,
    /// Its state.
    pub state: RunState,
    /// The settings it was started with.
    pub config: Json,
}

/// What was found when a run was taken up again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Resumed {
    /// Pages whose leases were taken back.
    pub taken_back: u64,
    /// Pages ready to be read, those waiting for a retry included.
    pub ready: u64,
    /// Pages completed before.
    pub completed: u64,
    /// Pages still leased to a runner that may be alive elsewhere.
    pub leased_elsewhere: u64,
}

/// A run being started: its row and its first pages, in one transaction. Dropped without
/// [`RunSeeding::commit`] it leaves nothing behind.
#[derive(Debug)]
pub struct RunSeeding {
    pub(crate) transaction: DatabaseTransaction,
    pub(crate) dialect: Dialect,
    pub(crate) run: RunId,
}

impl RunSeeding {
    /// Adds first pages. Returns how many were new.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn add(&mut self, pages: &[NewPage]) -> Result<u64, StoreError> {
        Ok(add_pages(&self.transaction, self.dialect, self.run, pages)
            .await?
            .iter()
            .sum())
    }

    /// Notes by which profile the site is read from now on. If it was another one, or another version, no earlier reading
    /// counts any more: everything is due.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn read_with(&mut self, site: &str, profile: &str, version: &str) -> Result<(), StoreError> {
        let known = "SELECT 1 AS known FROM reading WHERE site = $1 AND profile = $2 AND version = $3";
        let values = [site.into(), profile.into(), version.into()];
        let statement = self.dialect.statement(known, values.clone());
        if !self.transaction.query_all_raw(statement).await?.is_empty() {
            return Ok(());
        }
        let note = "INSERT INTO reading (site, profile, version) VALUES ($1, $2, $3) \
                    ON CONFLICT (site) DO UPDATE SET profile = excluded.profile, version = excluded.version";
        self.transaction
            .execute_raw(self.dialect.statement(note, values))
            .await?;
        for table in ["years", "sets", "cards"] {
            let forget = format!("UPDATE {table} SET read_changes = -1 WHERE read_changes <> -1");
            self.transaction
                .execute_raw(self.dialect.statement(forget, []))
                .await?;
        }
        Ok(())
    }

    /// Enters the orchestrator of the run that is being started: a run that is there has it. Returns those of other runs
    /// under way, newest first. Of several processes that do this at the same time, each sees those before it.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn enter_orchestrator(
        &mut self,
        orchestrator: &OrchestratorIdentity,
        runners_wanted: u64,
    ) -> Result<Vec<OrchestratorRecord>, StoreError> {
        enter_alone(
            &self.transaction,
            self.dialect,
            self.run,
            orchestrator,
            runners_wanted,
        )
        .await
    }

    /// Makes the run real.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn commit(self) -> Result<RunId, StoreError> {
        self.transaction.commit().await?;
        Ok(self.run)
    }
}

/// A page that took long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SlowPage {
    /// Its key.
    pub page_key: String,
    /// From its first request to its last document, in milliseconds.
    pub elapsed_ms: i64,
}

/// A page that was given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailedPage {
    /// Its key.
    pub page_key: String,
    /// Its level.
    pub level: PageKind,
    /// The kind of failure.
    pub cause: String,
    /// In words.
    pub reason: String,
}

impl Store {
    /// Begins a run with these settings; it exists once its first pages are committed with it.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn begin_run(&self, config: &Json) -> Result<RunSeeding, StoreError> {
        let transaction = self.begin().await?;
        let sql = format!(
            "INSERT INTO runs (state, started_at, config) VALUES ('running', {}, {}) RETURNING id",
            self.dialect.now(),
            self.dialect.json_parameter("$1"),
        );
        let row = transaction
            .query_one_raw(self.dialect.statement(sql, [self.dialect.json(config)]))
            .await?;
        let run = row
            .ok_or_else(|| StoreError::Bug("an insert returned no id".into()))?
            .try_get("", "id")?;
        Ok(RunSeeding {
            transaction,
            dialect: self.dialect,
            run,
        })
    }

    /// Starts a run without pages; [`Store::add_pages`] adds them.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn start_run(&self, config: &Json) -> Result<RunId, StoreError> {
        self.begin_run(config).await?.commit().await
    }

    /// The run with this id.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn run(&self, id: RunId) -> Result<Option<RunRecord>, StoreError> {
        self.one_run("WHERE id = $1", Some(id)).await
    }

    /// Runs that have left something to do, newest first: those that did not come to their end, and the newest of all if it
    /// ended disputed.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn unfinished_runs(&self) -> Result<Vec<RunRecord>, StoreError> {
        self.runs_where(
            "WHERE (state IN ('running', 'interrupted') \
                 OR (state = 'disputed' AND id = (SELECT max(id) FROM runs))) \
             AND coalesce(config ->> 'work', '') <> 'reparse' ORDER BY id DESC",
            None,
        )
        .await
    }

    /// Runs after `run` that came to their end and asked the site.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn finished_runs_after(&self, run: RunId) -> Result<Vec<RunRecord>, StoreError> {
        self.runs_where(
            "WHERE id > $1 AND state IN ('reconciled', 'disputed') \
             AND coalesce(config ->> 'work', '') <> 'reparse' ORDER BY id DESC",
            Some(run),
        )
        .await
    }

    /// The newest run of all.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn newest_run(&self) -> Result<Option<RunRecord>, StoreError> {
        self.one_run("ORDER BY id DESC LIMIT 1", None).await
    }

    /// The newest runs that have asked the site, newest first, at most `limit`: not those that read kept documents again.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn newest_readings(&self, limit: u32) -> Result<Vec<RunRecord>, StoreError> {
        let which = format!(
            "WHERE coalesce({work}, '') <> 'reparse' ORDER BY id DESC LIMIT {limit}",
            work = self.dialect.json_field("config", "work")
        );
        self.runs_where(&which, None).await
    }

    async fn one_run(&self, which: &str, id: Option<RunId>) -> Result<Option<RunRecord>, StoreError> {
        Ok(self.runs_where(which, id).await?.into_iter().next())
    }

    async fn runs_where(&self, which: &str, id: Option<RunId>) -> Result<Vec<RunRecord>, StoreError> {
        let sql = format!(
            "SELECT id, state, {} AS config FROM runs {which}",
            self.dialect.as_text("config")
        );
        let rows = self.rows(self.dialect.statement(sql, id.map(Into::into))).await?;
        rows.iter().map(run_record).collect()
    }

    /// Notes other settings for a run: whoever works on it from now on is told these.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn set_run_config(&self, run: RunId, config: &Json) -> Result<(), StoreError> {
        let sql = format!(
            "UPDATE runs SET config = {} WHERE id = $2",
            self.dialect.json_parameter("$1")
        );
        let values = [self.dialect.json(config), run.into()];
        self.write(self.dialect.statement(sql, values)).await?;
        Ok(())
    }

    /// Makes a run that was left, or that ended disputed, one that is under way.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn set_running(&self, run: RunId) -> Result<(), StoreError> {
        let sql = "UPDATE runs SET state = 'running', finished_at = NULL, summary = NULL \
                   WHERE id = $1 AND state IN ('interrupted', 'disputed')";
        self.write(self.dialect.statement(sql, [run.into()])).await?;
        Ok(())
    }

    /// Sets the state of a run. An ended run gets its finishing time and summary.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn set_run_state(
        &self,
        run: RunId,
        state: RunState,
        summary: Option<&Json>,
    ) -> Result<(), StoreError> {
        let finished = if state == RunState::Running {
            "NULL"
        } else {
            self.dialect.now()
        };
        let sql = format!(
            "UPDATE runs SET state = $1, finished_at = {finished}, summary = {} WHERE id = $3",
            self.dialect.json_parameter("$2"),
        );
        let summary: sea_orm::Value = match summary {
            Some(summary) => self.dialect.json(summary),
            None => None::<String>.into(),
        };
        self.write(
            self.dialect
                .statement(sql, [state.as_str().into(), summary, run.into()]),
        )
        .await?;
        Ok(())
    }

    /// The `limit` pages of `run` that took longest.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn slowest_pages(&self, run: RunId, limit: u32) -> Result<Vec<SlowPage>, StoreError> {
        let sql = "SELECT page_key, elapsed_ms FROM frontier WHERE run_id = $1 AND elapsed_ms IS NOT NULL \
                   ORDER BY elapsed_ms DESC, id LIMIT $2";
        let rows = self
            .rows(self.dialect.statement(sql, [run.into(), i64::from(limit).into()]))
            .await?;
        rows.iter()
            .map(|row| {
                Ok(SlowPage {
                    page_key: row.try_get("", "page_key")?,
                    elapsed_ms: row.try_get("", "elapsed_ms")?,
                })
            })
            .collect()
    }

    /// The first `limit` failed pages of `run`.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn failed_pages(&self, run: RunId, limit: u32) -> Result<Vec<FailedPage>, StoreError> {
        let sql = "SELECT page_key, CAST(level AS bigint) AS level, coalesce(last_outcome, '') AS cause, \
                       coalesce(last_error, '') AS reason \
                   FROM frontier WHERE run_id = $1 AND state = 'failed' ORDER BY level, id LIMIT $2";
        let rows = self
            .rows(self.dialect.statement(sql, [run.into(), i64::from(limit).into()]))
            .await?;
        rows.iter()
            .map(|row| {
                Ok(FailedPage {
                    page_key: row.try_get("", "page_key")?,
                    level: page_kind(row.try_get("", "level")?)?,
                    cause: row.try_get("", "cause")?,
                    reason: row.try_get("", "reason")?,
                })
            })
            .collect()
    }

    /// How many pages of `run` robots did not allow.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn denied_by_robots(&self, run: RunId) -> Result<u64, StoreError> {
        let sql = "SELECT count(*) AS pages FROM frontier \
                   WHERE run_id = $1 AND state = 'skipped' AND last_outcome = 'robots'";
        let rows = self.rows(self.dialect.statement(sql, [run.into()])).await?;
        let pages: i64 = rows.first().map_or(Ok(0), |row| row.try_get("", "pages"))?;
        Ok(pages.unsigned_abs())
    }

    /// How often pages of `run` were to be read again, by cause, most frequent first.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn retry_causes(&self, run: RunId) -> Result<Vec<(String, u64)>, StoreError> {
        let sql = "SELECT cause, CAST(sum(retry_counts.retries) AS bigint) AS retries FROM retry_counts \
                   JOIN runners ON runners.instance = retry_counts.instance WHERE runners.run_id = $1 \
                   GROUP BY cause ORDER BY 2 DESC, cause";
        let rows = self.rows(self.dialect.statement(sql, [run.into()])).await?;
        rows.iter()
            .map(|row| {
                let retries: i64 = row.try_get("", "retries")?;
                Ok((row.try_get("", "cause")?, retries.unsigned_abs()))
            })
            .collect()
    }

    /// Writes the profile's scale, so that views can order grades.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn set_grade_scale(&self, scale: &[(String, Option<f64>, String)]) -> Result<(), StoreError> {
        #[derive(Serialize)]
        struct Row<'a> {
            code: &'a str,
            position: usize,
            grade: Option<f64>,
            label: &'a str,
        }
        const COLUMNS: Columns = &[
            ("code", ColumnType::Text),
            ("position", ColumnType::Int),
            ("grade", ColumnType::Double),
            ("label", ColumnType::Text),
        ];
        let numbered = scale.iter().enumerate();
        let mut rows: Vec<_> = numbered
            .map(|(position, (code, grade, label))| Row {
                code,
                position,
                grade: *grade,
                label,
            })
            .collect();
        // Many runners may start at once: in one order, they wait for each other in turn.
        rows.sort_unstable_by_key(|row| row.code);
        let upsert = format!(
            "INSERT INTO grade_scale (code, position, grade, label) \
             SELECT r.code, r.position, r.grade, r.label FROM {source} WHERE true \
             ON CONFLICT (code) DO UPDATE SET position = excluded.position, grade = excluded.grade, \
                 label = excluded.label",
            source = self.dialect.rows(COLUMNS),
        );
        let remove = format!(
            "DELETE FROM grade_scale WHERE code NOT IN (SELECT r.code FROM {source})",
            source = self.dialect.rows(COLUMNS),
        );
        let transaction = self.begin().await?;
        for sql in [upsert, remove] {
            transaction
                .execute_raw(self.dialect.statement(sql, [self.dialect.json_rows(&rows)]))
                .await?;
        }
        transaction.commit().await?;
        Ok(())
    }
}

fn run_record(row: &QueryResult) -> Result<RunRecord, StoreError> {
    let state: String = row.try_get("", "state")?;
    let config: String = row.try_get("", "config")?;
    Ok(RunRecord {
        id: row.try_get("", "id")?,
        state: RunState::from_name(&state)
            .ok_or_else(|| StoreError::Bug(format!("`{state}` is no run state")))?,
        config: serde_json::from_str(&config)
            .map_err(|error| StoreError::Bug(format!("runs.config is damaged: {error}")))?,
    })
}
