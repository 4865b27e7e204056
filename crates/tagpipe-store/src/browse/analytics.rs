//! How runs went: pace, failures, times, requests saved, coverage. Each question looks at one run, at the newest runs or back
//! to a moment, never at the whole past; [`Store::coverage`] goes through the catalogue.

use std::time::Duration;

use sea_orm::{QueryResult, Value};
use serde::Serialize;
use serde_json::Value as Json;

use super::catalogue::CategoryName;
use super::count;
use crate::connect::Store;
use crate::contract::RunId;
use crate::error::StoreError;
use crate::frontier::microseconds;

/// Pages that a run finished, over its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Throughput {
    /// Length of each span of time, in milliseconds; at least 1.
    pub span_ms: u64,
    /// The spans from the run's start on, those without a page among them.
    pub spans: Vec<ThroughputSpan>,
}

/// Pages finished in a span of time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ThroughputSpan {
    /// When it begins, in milliseconds since 1970.
    pub begins_ms: i64,
    /// Pages read whole.
    pub completed: u64,
    /// Pages given up.
    pub failed: u64,
}

/// How often something failed for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ErrorCause {
    /// The kind of failure, e.g. `timeout`; the operation, if an entry tells no kind.
    pub cause: String,
    /// Reads that were to be repeated.
    pub retries: u64,
    /// What failed for good.
    pub failures: u64,
}

/// Entries of the audit trail in one hour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HourlyErrors {
    /// The day in UTC, e.g. `2026-11-24`.
    pub day: String,
    /// The hour of it, 0 to 23.
    pub hour: u8,
    /// `WARNING`, `ERROR` or `CRITICAL`.
    pub level: String,
    /// How many.
    pub entries: u64,
}

/// How long the pages of a run took from the first request to the last document, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Latency {
    /// Pages of which it is known.
    pub pages: u64,
    /// Half of them took no longer.
    pub p50_ms: u64,
    /// Nine of ten took no longer.
    pub p90_ms: u64,
    /// Ninety-nine of a hundred took no longer.
    pub p99_ms: u64,
    /// The longest.
    pub max_ms: u64,
}

/// What a run read, and what it could leave out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SavedRequests {
    /// The run.
    pub run_id: RunId,
    /// When it began, in UTC.
    pub started_at: String,
    /// Pages that it read whole.
    pub read: u64,
    /// Pages that it left out as unchanged, those below them included.
    pub left_out: u64,
    /// Pages that it could have left out and read all the same.
    pub audited: u64,
    /// Of these, those that had changed.
    pub missed: u64,
}

/// What of a category is stored, and how fresh it is. Only what is listed counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CategoryCoverage {
    /// The category.
    pub category: CategoryName,
    /// Cards that its years promise.
    pub cards_promised: u64,
    /// Cards that are stored.
    pub cards_stored: u64,
    /// Of these, those whose page was read whole.
    pub cards_read: u64,
    /// Of these, those whose sums have agreed.
    pub cards_verified: u64,
    /// The earliest of these readings, in UTC.
    pub oldest_read_at: Option<String>,
    /// The one in the middle: half of the cards that were read are no fresher.
    pub median_read_at: Option<String>,
    /// The latest.
    pub newest_read_at: Option<String>,
}

/// Pages by state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PagesByState {
    /// Ready to be read.
    pub available: u64,
    /// In a runner's hands.
    pub leased: u64,
    /// To be read again later.
    pub retryable: u64,
    /// Read whole.
    pub completed: u64,
    /// Left out, because they would show what is stored.
    pub unchanged: u64,
    /// Given up.
    pub failed: u64,
    /// Not wanted, or not allowed.
    pub skipped: u64,
    /// Taken back by a person.
    pub cancelled: u64,
}

/// How far a run is with a category, or with a year of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Progress {
    /// Its name.
    pub name: String,
    /// Its pages: its own and all below it that the run knows.
    pub pages: PagesByState,
}

/// More spans than anybody can tell apart.
const SPANS_MAX: u32 = 2_000;

impl Store {
    /// The pages that `run` finished, in `spans` equal spans (1 to 2,000) from its start to its end or to now; `None` if there
    /// is no such run.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn throughput(&self, run: RunId, spans: u32) -> Result<Option<Throughput>, StoreError> {
        let dialect = self.dialect;
        let sql = format!(
            "SELECT {started} / 1000 AS began, coalesce({finished}, {now}) / 1000 AS ended FROM runs WHERE id = $1",
            started = dialect.as_us("started_at"),
            finished = dialect.as_us("finished_at"),
            now = dialect.now_us(),
        );
        let rows = self.rows(dialect.statement(sql, [run.into()])).await?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let (began, ended): (i64, i64) = (row.try_get("", "began")?, row.try_get("", "ended")?);
        let spans = i64::from(spans.clamp(1, SPANS_MAX));
        let span_ms = ((ended - began).max(0) / spans + 1).max(1);
        let sql = format!(
            "SELECT span, count(CASE WHEN state = 'completed' THEN 1 END) AS completed, \
                 count(CASE WHEN state = 'failed' THEN 1 END) AS failed \
             FROM (SELECT state, ({finished} / 1000 - $2) / $3 AS span FROM frontier \
                 WHERE run_id = $1 AND state IN ('completed', 'failed') AND finished_at IS NOT NULL) AS page GROUP BY span",
            finished = dialect.as_us("finished_at"),
        );
        let values = [run.into(), began.into(), span_ms.into()];
        let mut all: Vec<_> = (0..spans)
            .map(|span| ThroughputSpan {
                begins_ms: began + span * span_ms,
                completed: 0,
                failed: 0,
            })
            .collect();
        for row in self.rows(dialect.statement(sql, values)).await? {
            let span: i64 = row.try_get("", "span")?;
            // The clock may have been set back meanwhile.
            let place = usize::try_from(span.clamp(0, spans - 1)).unwrap_or(0);
            all[place].completed += count(&row, "completed")?;
            all[place].failed += count(&row, "failed")?;
        }
        Ok(Some(Throughput {
            span_ms: span_ms.unsigned_abs(),
            spans: all,
        }))
    }

    /// What failed in the last `since`, by cause, most frequent first.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn error_causes(&self, since: Duration) -> Result<Vec<ErrorCause>, StoreError> {
        let sql = format!(
            "SELECT cause, count(CASE WHEN level = 'WARNING' THEN 1 END) AS retries, \
                 count(CASE WHEN level <> 'WARNING' THEN 1 END) AS failures \
             FROM (SELECT level, coalesce({outcome}, operation) AS cause FROM audit_logs \
                 WHERE level IN ('WARNING', 'ERROR', 'CRITICAL') AND kind = 'error' AND created_at > {since}) AS entry \
             GROUP BY cause ORDER BY 3 DESC, 2 DESC, cause",
            outcome = self.dialect.context_field("outcome"),
            since = self.dialect.now_plus("$1"),
        );
        let rows = self
            .rows(self.dialect.statement(sql, [(-microseconds(since)).into()]))
            .await?;
        rows.iter()
            .map(|row| {
                Ok(ErrorCause {
                    cause: row.try_get("", "cause")?,
                    retries: count(row, "retries")?,
                    failures: count(row, "failures")?,
                })
            })
            .collect()
    }

    /// Entries of warnings and errors in the last `since` by hour and level, oldest first; hours without any are left out.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn errors_by_hour(&self, since: Duration) -> Result<Vec<HourlyErrors>, StoreError> {
        let sql = format!(
            "SELECT {hour} AS hour, level, count(*) AS entries FROM audit_logs \
             WHERE level IN ('WARNING', 'ERROR', 'CRITICAL') AND created_at > {since} GROUP BY 1, level ORDER BY 1, level",
            hour = self.dialect.hour_of("created_at"),
            since = self.dialect.now_plus("$1"),
        );
        let rows = self
            .rows(self.dialect.statement(sql, [(-microseconds(since)).into()]))
            .await?;
        rows.iter().map(hourly_errors).collect()
    }

    /// How long the pages took that `run` read whole.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn latency(&self, run: RunId) -> Result<Latency, StoreError> {
        let sql = "SELECT elapsed_ms, count(*) AS pages FROM frontier \
                   WHERE run_id = $1 AND state = 'completed' AND elapsed_ms IS NOT NULL GROUP BY elapsed_ms ORDER BY elapsed_ms";
        let rows = self.rows(self.dialect.statement(sql, [run.into()])).await?;
        let mut times = Vec::with_capacity(rows.len());
        for row in &rows {
            times.push((count(row, "elapsed_ms")?, count(row, "pages")?));
        }
        Ok(latency_of(&times))
    }

    /// What the newest `limit` runs read and left out, newest first. A run that has ended is told by its summary.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn saved_requests(&self, limit: u32) -> Result<Vec<SavedRequests>, StoreError> {
        let mut saved = Vec::new();
        for run in self.runs(None, limit).await? {
            let told = &run.summary["left_out"];
            let (left_out, audited, missed) = if let (Some(pages), Some(audited), Some(missed)) = (
                told_count(told, "pages"),
                told_count(told, "audited"),
                told_count(told, "missed"),
            ) {
                (pages, audited, missed)
            } else {
                let left_out = self.left_out(run.id).await?;
                (left_out.pages, left_out.audited, left_out.missed)
            };
            saved.push(SavedRequests {
                run_id: run.id,
                started_at: run.started_at,
                read: run.pages_completed,
                left_out,
                audited,
                missed,
            });
        }
        Ok(saved)
    }

    /// What is stored of each category and how fresh it is, by the category's id. Goes through all cards.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn coverage(&self) -> Result<Vec<CategoryCoverage>, StoreError> {
        let dialect = self.dialect;
        let sql = format!(
            "WITH promised AS (SELECT category_id, {items} AS items FROM years WHERE vanished_at IS NULL GROUP BY category_id), \
             listed AS (SELECT years.category_id, cards.read_at, cards.verified_at FROM cards \
                 JOIN sets ON sets.id = cards.set_id JOIN years ON years.id = sets.year_id WHERE cards.vanished_at IS NULL), \
             stored AS (SELECT category_id, count(*) AS cards, count(read_at) AS read, count(verified_at) AS verified, \
                 min(read_at) AS oldest, max(read_at) AS newest FROM listed GROUP BY category_id), \
             placed AS (SELECT category_id, read_at, \
                     row_number() OVER (PARTITION BY category_id ORDER BY read_at) AS place \
                 FROM listed WHERE read_at IS NOT NULL) \
             SELECT categories.id AS category_id, categories.name AS category, coalesce(promised.items, 0) AS promised, \
                 coalesce(stored.cards, 0) AS stored, coalesce(stored.read, 0) AS read, \
                 coalesce(stored.verified, 0) AS verified, {oldest} AS oldest_read_at, {median} AS median_read_at, \
                 {newest} AS newest_read_at \
             FROM categories LEFT JOIN promised ON promised.category_id = categories.id \
             LEFT JOIN stored ON stored.category_id = categories.id \
             LEFT JOIN placed ON placed.category_id = categories.id AND placed.place = (stored.read + 1) / 2 \
             ORDER BY categories.id",
            items = dialect.sum("items_count"),
            oldest = dialect.iso("stored.oldest"),
            median = dialect.iso("placed.read_at"),
            newest = dialect.iso("stored.newest"),
        );
        let rows = self.rows(dialect.statement(sql, [])).await?;
        rows.iter().map(category_coverage).collect()
    }

    /// The pages of `run` by category and state, by the category's name. The page that lists the categories is of none. Goes
    /// through the pages of the run: a tree that many people watch should share the answer.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn category_progress(&self, run: RunId) -> Result<Vec<Progress>, StoreError> {
        self.progress_by("category", "level > 0", vec![run.into()]).await
    }

    /// The pages of `run` within a category by year and state, by year. The page that lists the years is of none.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn year_progress(&self, run: RunId, category: &str) -> Result<Vec<Progress>, StoreError> {
        self.progress_by(
            "year",
            "level > 1 AND identity ->> 'category' = $2",
            vec![run.into(), self.dialect.text(category)],
        )
        .await
    }

    async fn progress_by(
        &self,
        field: &str,
        which: &str,
        values: Vec<Value>,
    ) -> Result<Vec<Progress>, StoreError> {
        let sql = format!(
            "SELECT {name} AS name, state, count(*) AS pages FROM frontier WHERE run_id = $1 AND {which} \
             GROUP BY 1, state ORDER BY 1",
            name = self.dialect.by_bytes(&format!("(identity ->> '{field}')")),
        );
        let rows = self.rows(self.dialect.statement(sql, values)).await?;
        let mut all: Vec<Progress> = Vec::new();
        for row in &rows {
            let name: Option<String> = row.try_get("", "name")?;
            let name = name.unwrap_or_default();
            if all.last().is_none_or(|last| last.name != name) {
                all.push(Progress {
                    name,
                    pages: PagesByState::default(),
                });
            }
            if let Some(last) = all.last_mut() {
                let state: String = row.try_get("", "state")?;
                *last.pages.of_state(&state)? += count(row, "pages")?;
            }
        }
        Ok(all)
    }
}

impl PagesByState {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.open() + self.completed + self.unchanged + self.failed + self.skipped + self.cancelled
    }

    /// Those that are still to be dealt with.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.available + self.leased + self.retryable
    }

    fn of_state(&mut self, state: &str) -> Result<&mut u64, StoreError> {
        Ok(match state {
            "available" => &mut self.available,
            "leased" => &mut self.leased,
            "retryable" => &mut self.retryable,
            "completed" => &mut self.completed,
            "unchanged" => &mut self.unchanged,
            "failed" => &mut self.failed,
            "skipped" => &mut self.skipped,
            "cancelled" => &mut self.cancelled,
            _ => return Err(StoreError::Bug(format!("`{state}` is no state of a page"))),
        })
    }
}

/// The percentiles of times, given in ascending order with the number of pages that took each.
fn latency_of(times: &[(u64, u64)]) -> Latency {
    let pages: u64 = times.iter().map(|(_, pages)| pages).sum();
    let percentile = |percent: u64| {
        // The nearest rank: the least time that this share of the pages did not exceed.
        let rank = (pages * percent).div_ceil(100);
        let mut seen = 0;
        times
            .iter()
            .find(|(_, pages)| {
                seen += pages;
                seen >= rank
            })
            .map_or(0, |(time, _)| *time)
    };
    Latency {
        pages,
        p50_ms: percentile(50),
        p90_ms: percentile(90),
        p99_ms: percentile(99),
        max_ms: percentile(100),
    }
}

fn told_count(told: &Json, what: &str) -> Option<u64> {
    told[what].as_u64()
}

fn hourly_errors(row: &QueryResult) -> Result<HourlyErrors, StoreError> {
    let at: String = row.try_get("", "hour")?;
    let (day, hour) = at
        .split_once('T')
        .and_then(|(day, hour)| Some((day.to_owned(), hour.parse().ok()?)))
        .ok_or_else(|| StoreError::Bug(format!("`{at}` is no hour")))?;
    Ok(HourlyErrors {
        day,
        hour,
        level: row.try_get("", "level")?,
        entries: count(row, "entries")?,
    })
}

fn category_coverage(row: &QueryResult) -> Result<CategoryCoverage, StoreError> {
    Ok(CategoryCoverage {
        category: CategoryName {
            id: row.try_get("", "category_id")?,
            name: row.try_get("", "category")?,
        },
        cards_promised: count(row, "promised")?,
        cards_stored: count(row, "stored")?,
        cards_read: count(row, "read")?,
        cards_verified: count(row, "verified")?,
        oldest_read_at: row.try_get("", "oldest_read_at")?,
        median_read_at: row.try_get("", "median_read_at")?,
        newest_read_at: row.try_get("", "newest_read_at")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        assert_eq!(latency_of(&[]), Latency::default());
        let all = |latency: Latency| (latency.p50_ms, latency.p90_ms, latency.p99_ms, latency.max_ms);
        assert_eq!(all(latency_of(&[(7, 1)])), (7, 7, 7, 7));
        assert_eq!(all(latency_of(&[(1, 1), (2, 1)])), (1, 2, 2, 2));
        let hundred: Vec<_> = (1..=100).map(|time| (time, 3)).collect();
        assert_eq!(all(latency_of(&hundred)), (50, 90, 99, 100));
        assert_eq!(all(latency_of(&[(5, 98), (50, 1), (500, 1)])), (5, 5, 50, 500));
    }
}
