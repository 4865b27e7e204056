//! Exports and backups that the service is asked for. A job stands from the moment it is ordered until it is done, so that
//! whoever does it may be killed at any time: an export or a backup that was begun twice is there once, whole.
//!
//! - **A job is made once**: by its planned time, or by its idempotency key. To insert the row is the election.
//! - **One service does it** (`holder`, `held_until`), for a term that it renews, by the database's clock.

use std::time::Duration;

use sea_orm::{ConnectionTrait, QueryResult, Value};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use tagpipe_core::news::{News, NewsKind, NewsLevel};

use crate::audit::{AuditEntry, AuditKind, AuditLevel, AuditOrigin, insert_audit};
use crate::connect::Store;
use crate::error::StoreError;
use crate::frontier::microseconds;
use crate::news::insert_news;

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum JobKind {
    /// Tables are written to files.
    Export,
    /// The database is copied.
    Backup,
}

impl JobKind {
    /// As it is stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            JobKind::Export => "export",
            JobKind::Backup => "backup",
        }
    }

    fn stored(name: &str) -> Result<JobKind, StoreError> {
        [JobKind::Export, JobKind::Backup]
            .into_iter()
            .find(|kind| kind.as_str() == name)
            .ok_or_else(|| StoreError::Bug(format!("`{name}` is no kind of job")))
    }
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum JobState {
    /// Made, and not begun; or its service went away before it was done.
    Waiting,
    /// A service does it.
    Working,
    /// It is done.
    Done,
    /// It could not be done.
    Failed,
    /// Taken back before it was begun.
    Cancelled,
}

impl JobState {
    const ALL: [JobState; 5] = [
        JobState::Waiting,
        JobState::Working,
        JobState::Done,
        JobState::Failed,
        JobState::Cancelled,
    ];

    /// As it is stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            JobState::Waiting => "waiting",
            JobState::Working => "working",
            JobState::Done => "done",
            JobState::Failed => "failed",
            JobState::Cancelled => "cancelled",
        }
    }

    /// Whether nothing comes after it.
    #[must_use]
    pub fn is_over(self) -> bool {
        matches!(self, JobState::Done | JobState::Failed | JobState::Cancelled)
    }

    fn stored(name: &str) -> Result<JobState, StoreError> {
        JobState::ALL
            .into_iter()
            .find(|state| state.as_str() == name)
            .ok_or_else(|| StoreError::Bug(format!("`{name}` is no state of a job")))
    }
}

/// A job to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct NewJob {
    /// What is to be done.
    pub kind: JobKind,
    /// What is wanted, key by key.
    pub options: Json,
    /// Who wants it: `the settings' timetable`, `token grafana`.
    pub ordered_by: String,
    /// Its time of the settings' timetable, in microseconds since 1970, if that orders it.
    pub planned_us: Option<i64>,
    /// What makes a repeated order the same one.
    pub idempotency_key: Option<String>,
}

/// A job as it stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Job {
    /// Its number.
    pub id: i64,
    /// What is done.
    pub kind: JobKind,
    /// Where it stands.
    pub state: JobState,
    /// What is wanted, key by key.
    pub options: Json,
    /// Who wants it.
    pub ordered_by: String,
    /// The time of the settings' timetable, in UTC, if that ordered it.
    pub planned_at: Option<String>,
    /// How often it was begun.
    pub attempts: u64,
    /// What came of it once it is done: what the command prints with `--json`. Of an export, `warnings` tells of filters that
    /// match nothing.
    pub result: Option<Json>,
    /// Why it is as it is, in words.
    pub reason: String,
    /// When it was ordered, in UTC.
    pub created_at: String,
    /// When it was last begun, in UTC.
    pub started_at: Option<String>,
    /// When it was over, in UTC.
    pub ended_at: Option<String>,
    /// The service that does it; empty if none does.
    #[serde(skip)]
    pub holder: String,
    /// Whether that service's term is over, or nobody holds it.
    #[serde(skip)]
    pub is_free: bool,
}

/// How a job came to its end.
#[derive(Debug, Clone, PartialEq)]
pub enum JobEnd {
    /// It is done; what the process said of it.
    Done(Json),
    /// It could not be done, and why.
    Failed(String),
}

impl Store {
    /// Makes a job, once. Returns its number; `None` if one has its planned time or its key.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn order_job(&self, job: &NewJob) -> Result<Option<i64>, StoreError> {
        let dialect = self.dialect;
        let transaction = self.begin().await?;
        let sql = format!(
            "INSERT INTO jobs (kind, options, ordered_by, planned_at, idempotency_key, state, created_at) \
             VALUES ($1, {options}, $3, CASE WHEN CAST($4 AS bigint) IS NULL THEN NULL ELSE {planned} END, $5, 'waiting', {now}) \
             ON CONFLICT DO NOTHING RETURNING id",
            options = dialect.json_parameter("$2"),
            planned = dialect.time_at_us("$4"),
            now = dialect.now(),
        );
        let values = [
            job.kind.as_str().into(),
            dialect.json(&job.options),
            dialect.text(&job.ordered_by),
            job.planned_us.into(),
            job.idempotency_key
                .as_deref()
                .map_or(Value::String(None), |key| dialect.text(key)),
        ];
        let row = transaction.query_one_raw(dialect.statement(sql, values)).await?;
        let id: Option<i64> = row.map(|row| row.try_get("", "id")).transpose()?;
        if let Some(id) = id {
            let entry = entry(
                id,
                AuditLevel::Info,
                format!("{} orders {}", job.ordered_by, one(job.kind)),
            );
            insert_audit(&transaction, dialect, ORIGIN, &[&entry]).await?;
        }
        transaction.commit().await?;
        Ok(id)
    }

    /// The job of this number.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn job(&self, id: i64) -> Result<Option<Job>, StoreError> {
        let jobs = self.jobs_where("WHERE id = $1", vec![id.into()]).await?;
        Ok(jobs.into_iter().next())
    }

    /// The job of this idempotency key.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn job_by_key(&self, key: &str) -> Result<Option<Job>, StoreError> {
        let which = "WHERE idempotency_key = $1";
        let jobs = self.jobs_where(which, vec![self.dialect.text(key)]).await?;
        Ok(jobs.into_iter().next())
    }

    /// The newest `limit` jobs, newest first; with `before`, those older than that one.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn jobs(&self, before: Option<i64>, limit: u32) -> Result<Vec<Job>, StoreError> {
        self.jobs_where(
            "WHERE id < $1 ORDER BY id DESC LIMIT $2",
            vec![before.unwrap_or(i64::MAX).into(), i64::from(limit).into()],
        )
        .await
    }

    /// The jobs that are not over, oldest first.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn open_jobs(&self) -> Result<Vec<Job>, StoreError> {
        self.jobs_where("WHERE state IN ('waiting', 'working') ORDER BY id", Vec::new())
            .await
    }

    /// The newest planned time of this kind, in microseconds since 1970.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn last_planned_job(&self, kind: JobKind) -> Result<Option<i64>, StoreError> {
        let sql = format!(
            "SELECT {} AS planned_us FROM jobs WHERE kind = $1 AND planned_at IS NOT NULL ORDER BY planned_at DESC LIMIT 1",
            self.dialect.as_us("planned_at")
        );
        let rows = self
            .rows(self.dialect.statement(sql, [kind.as_str().into()]))
            .await?;
        Ok(rows
            .first()
            .map(|row| row.try_get("", "planned_us"))
            .transpose()?)
    }

    /// Begins the job, for `term`: if nobody else does it, and it is not over. `false` if that is not so.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn begin_job(&self, id: i64, holder: &str, term: Duration) -> Result<bool, StoreError> {
        let now = self.dialect.statement_time();
        let sql = format!(
            "UPDATE jobs SET state = 'working', holder = $2, held_until = {until}, attempts = attempts + 1, started_at = {now}, \
                 reason = '' \
             WHERE id = $1 AND (state = 'waiting' OR (state = 'working' AND held_until <= {now}))",
            until = self.dialect.now_plus("$3"),
        );
        let values = [id.into(), holder.into(), microseconds(term).into()];
        Ok(self.write(self.dialect.statement(sql, values)).await? > 0)
    }

    /// Renews the term of a job that `holder` does. `false` if it does not any more.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn keep_job(&self, id: i64, holder: &str, term: Duration) -> Result<bool, StoreError> {
        let sql = format!(
            "UPDATE jobs SET held_until = {} WHERE id = $1 AND holder = $2 AND state = 'working'",
            self.dialect.now_plus("$3")
        );
        let values = [id.into(), holder.into(), microseconds(term).into()];
        Ok(self.write(self.dialect.statement(sql, values)).await? > 0)
    }

    /// Lets a job wait again that `holder` is asked not to do to its end: this beginning does not count.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn give_back_job(&self, id: i64, holder: &str, reason: &str) -> Result<bool, StoreError> {
        let sql = "UPDATE jobs SET state = 'waiting', holder = '', held_until = NULL, reason = $3, attempts = attempts - 1 \
                   WHERE id = $1 AND holder = $2 AND state = 'working'";
        let values = [id.into(), holder.into(), self.dialect.text(reason)];
        Ok(self.write(self.dialect.statement(sql, values)).await? > 0)
    }

    /// Ends a job that `holder` does. `false` if it does not any more.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn end_job(&self, job: &Job, holder: &str, end: &JobEnd) -> Result<bool, StoreError> {
        let dialect = self.dialect;
        let (state, result, reason) = match end {
            JobEnd::Done(result) => (JobState::Done, dialect.json(result), ""),
            JobEnd::Failed(reason) => (JobState::Failed, Value::String(None), reason.as_str()),
        };
        let transaction = self.begin().await?;
        let sql = format!(
            "UPDATE jobs SET state = $3, result = {result}, reason = $5, holder = '', held_until = NULL, ended_at = {now} \
             WHERE id = $1 AND holder = $2 AND state = 'working'",
            result = dialect.json_parameter("$4"),
            now = dialect.now(),
        );
        let values = [
            job.id.into(),
            holder.into(),
            state.as_str().into(),
            result,
            dialect.text(reason),
        ];
        let done = transaction.execute_raw(dialect.statement(sql, values)).await?;
        let ended = done.rows_affected() > 0;
        if ended {
            let what = format!("{} ordered by {}", one(job.kind), job.ordered_by);
            let entry = match end {
                JobEnd::Done(_) => entry(job.id, AuditLevel::Info, format!("{what} is done")),
                JobEnd::Failed(_) => entry(job.id, AuditLevel::Error, format!("{what} failed: {reason}")),
            };
            insert_audit(&transaction, dialect, ORIGIN, &[&entry]).await?;
            if let JobEnd::Failed(_) = end {
                let news = News::new(NewsKind::JobFailed, NewsLevel::Error, &format!("{what} failed"))
                    .with_text(reason)
                    .with_fact("Job", &job.id.to_string());
                insert_news(&transaction, dialect, &[news]).await?;
            }
        }
        transaction.commit().await?;
        Ok(ended)
    }

    /// Takes back a job that was not begun. `false` if it was.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn cancel_job(&self, id: i64, who: &str) -> Result<bool, StoreError> {
        let sql = format!(
            "UPDATE jobs SET state = 'cancelled', reason = $2, ended_at = {} WHERE id = $1 AND state = 'waiting'",
            self.dialect.now()
        );
        let values = [id.into(), self.dialect.text(&format!("taken back by {who}"))];
        Ok(self.write(self.dialect.statement(sql, values)).await? > 0)
    }

    async fn jobs_where(&self, which: &str, values: Vec<Value>) -> Result<Vec<Job>, StoreError> {
        let dialect = self.dialect;
        let sql = format!(
            "SELECT id, kind, state, {options} AS options, ordered_by, {planned} AS planned_at, attempts, {result} AS result, \
                 reason, {created} AS created_at, {started} AS started_at, {ended} AS ended_at, holder, \
                 holder = '' OR held_until IS NULL OR held_until <= {now} AS is_free \
             FROM jobs {which}",
            options = dialect.as_text("options"),
            planned = dialect.iso("planned_at"),
            result = dialect.as_text("result"),
            created = dialect.iso("created_at"),
            started = dialect.iso("started_at"),
            ended = dialect.iso("ended_at"),
            now = dialect.now(),
        );
        // Through the writer: what this process has just written must be in the picture.
        let rows = self.writer.query_all_raw(dialect.statement(sql, values)).await?;
        rows.iter().map(job_of).collect()
    }
}

const ORIGIN: AuditOrigin<'static> = AuditOrigin {
    run: None,
    runner_id: "service",
};

fn one(kind: JobKind) -> &'static str {
    match kind {
        JobKind::Export => "an export",
        JobKind::Backup => "a backup",
    }
}

fn entry(job: i64, level: AuditLevel, message: String) -> AuditEntry {
    AuditEntry {
        level,
        kind: match level {
            AuditLevel::Error => AuditKind::Error,
            _ => AuditKind::Operation,
        },
        page_key: None,
        operation: "job".into(),
        message,
        context: serde_json::json!({ "job": job }),
    }
}

fn job_of(row: &QueryResult) -> Result<Job, StoreError> {
    let text = |column: &str| -> Result<String, StoreError> { Ok(row.try_get("", column)?) };
    let json = |column: &str, text: &str| {
        serde_json::from_str(text)
            .map_err(|error| StoreError::Bug(format!("jobs.{column} is damaged: {error}")))
    };
    let result: Option<String> = row.try_get("", "result")?;
    Ok(Job {
        id: row.try_get("", "id")?,
        kind: JobKind::stored(&text("kind")?)?,
        state: JobState::stored(&text("state")?)?,
        options: json("options", &text("options")?)?,
        ordered_by: text("ordered_by")?,
        planned_at: row.try_get("", "planned_at")?,
        attempts: row.try_get::<i64>("", "attempts")?.unsigned_abs(),
        result: result.map(|text| json("result", &text)).transpose()?,
        reason: text("reason")?,
        created_at: text("created_at")?,
        started_at: row.try_get("", "started_at")?,
        ended_at: row.try_get("", "ended_at")?,
        holder: text("holder")?,
        is_free: row.try_get("", "is_free")?,
    })
}
