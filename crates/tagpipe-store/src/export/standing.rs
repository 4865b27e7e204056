//! How far the data may be trusted: how the newest run ended, and when the data was read.

use sea_orm::{ConnectionTrait, QueryResult};
use serde::Serialize;

use super::Snapshot;
use crate::contract::RunId;
use crate::error::StoreError;

/// What to know of the data before relying on it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// The newest run that asked the site, whatever its state.
    pub newest_run: Option<RunStanding>,
    /// The newest run that came to its end; not given if that is the newest of all.
    pub newest_ended_run: Option<RunStanding>,
    /// When the cards were read that were read longest ago, in UTC: their set's page. Null while no set was read.
    pub read_from: Option<String>,
    /// When the cards were read that were read last, in UTC.
    pub read_until: Option<String>,
}

/// A run, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunStanding {
    /// Its number.
    pub id: RunId,
    /// `running`, `interrupted`, `reconciled` or `disputed`.
    pub state: String,
    /// When it began, in UTC.
    pub started_at: String,
    /// When it ended, in UTC.
    pub finished_at: Option<String>,
}

impl Snapshot {
    /// How the newest runs ended, and the time span in which the listed cards were read.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn standing(&self) -> Result<Standing, StoreError> {
        let newest_run = self.newest_run("true").await?;
        let newest_ended_run = self
            .newest_run("state IN ('reconciled', 'disputed')")
            .await?
            .filter(|ended| Some(ended) != newest_run.as_ref());
        let sql = format!(
            "SELECT {} AS read_from, {} AS read_until FROM sets WHERE vanished_at IS NULL",
            self.dialect.iso("min(read_at)"),
            self.dialect.iso("max(read_at)")
        );
        let rows = self
            .transaction
            .query_all_raw(self.dialect.statement(sql, []))
            .await?;
        let time = |column: &str| -> Result<Option<String>, StoreError> {
            let found = rows.first().map(|row| row.try_get::<Option<String>>("", column));
            Ok(found.transpose()?.flatten())
        };
        Ok(Standing {
            newest_run,
            newest_ended_run,
            read_from: time("read_from")?,
            read_until: time("read_until")?,
        })
    }

    /// The newest reparse that was under way after `since_us`, microseconds since 1970, and has corrected rows, if there is
    /// one. What it corrects keeps the time of its reading, so nobody can tell which rows those were.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn corrected_since(&self, since_us: i64) -> Result<Option<RunId>, StoreError> {
        let sql = format!(
            "SELECT id, {summary} AS summary FROM runs \
             WHERE {work} = 'reparse' AND (finished_at IS NULL OR finished_at > {since}) ORDER BY id DESC",
            summary = self.dialect.as_text("summary"),
            work = self.dialect.json_field("config", "work"),
            since = self.dialect.time_at_us("$1"),
        );
        let rows = self
            .transaction
            .query_all_raw(self.dialect.statement(sql, [since_us.into()]))
            .await?;
        for row in &rows {
            let summary: Option<String> = row.try_get("", "summary")?;
            if has_corrected(summary.as_deref()) {
                return Ok(Some(row.try_get("", "id")?));
            }
        }
        Ok(None)
    }

    /// The newest run that `is_meant` and has asked the site: not one that read kept documents again.
    async fn newest_run(&self, is_meant: &str) -> Result<Option<RunStanding>, StoreError> {
        let sql = format!(
            "SELECT id, state, {started} AS started_at, {finished} AS finished_at FROM runs \
             WHERE {is_meant} AND coalesce({work}, '') <> 'reparse' ORDER BY id DESC LIMIT 1",
            started = self.dialect.iso("started_at"),
            finished = self.dialect.iso("finished_at"),
            work = self.dialect.json_field("config", "work"),
        );
        let rows = self
            .transaction
            .query_all_raw(self.dialect.statement(sql, []))
            .await?;
        rows.first().map(run_standing).transpose()
    }
}

/// Whether a reparse has written other rows, by its summary; one that did not come to its end may have.
fn has_corrected(summary: Option<&str>) -> bool {
    let Some(Ok(summary)) = summary.map(serde_json::from_str::<serde_json::Value>) else {
        return true;
    };
    let Some(tables) = summary["tables"].as_array() else {
        return true;
    };
    let counts = ["new", "changed", "vanished"];
    tables
        .iter()
        .any(|table| counts.iter().any(|count| table[*count] != 0))
}

fn run_standing(row: &QueryResult) -> Result<RunStanding, StoreError> {
    Ok(RunStanding {
        id: row.try_get("", "id")?,
        state: row.try_get("", "state")?,
        started_at: row.try_get("", "started_at")?,
        finished_at: row.try_get("", "finished_at")?,
    })
}
