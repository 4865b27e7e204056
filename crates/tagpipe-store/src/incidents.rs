//! What goes wrong while a run is under way, as figures: how many reads come to nothing, and since when the site refuses.

use std::time::Duration;

use crate::connect::Store;
use crate::contract::RunId;
use crate::error::StoreError;

/// Reads of a run so far, by what they came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReadCounts {
    /// Pages that were read.
    pub completed: u64,
    /// Reads that came to nothing: they are repeated, or their page was given up.
    pub failed: u64,
}

/// A brake that is closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosedBrake {
    /// Since when, in microseconds since 1970 by the database's clock.
    pub since_us: i64,
    /// How long that is.
    pub closed_for: Duration,
    /// What it adds to the interval.
    pub extra: Duration,
    /// Why it was closed last.
    pub reason: String,
}

impl Store {
    /// What the reads of `run` came to so far.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn read_counts(&self, run: RunId) -> Result<ReadCounts, StoreError> {
        let sql = "SELECT CAST(coalesce(sum(pages_completed), 0) AS bigint) AS completed, \
                       CAST(coalesce(sum(pages_failed + retries), 0) AS bigint) AS failed FROM runners WHERE run_id = $1";
        let rows = self.rows(self.dialect.statement(sql, [run.into()])).await?;
        let Some(row) = rows.first() else {
            return Ok(ReadCounts::default());
        };
        let (completed, failed): (i64, i64) = (row.try_get("", "completed")?, row.try_get("", "failed")?);
        Ok(ReadCounts {
            completed: completed.unsigned_abs(),
            failed: failed.unsigned_abs(),
        })
    }

    /// The brake of `site` if it is closed, and since when it has been.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn closed_brake(&self, site: &str) -> Result<Option<ClosedBrake>, StoreError> {
        let sql = format!(
            "SELECT closed_since_us, extra_us, reason, {now} - closed_since_us AS closed_us FROM pace \
             WHERE site = $1 AND closed_since_us > 0 AND (extra_us > 0 OR blocked_until_us > {now})",
            now = self.dialect.now_us(),
        );
        let rows = self.rows(self.dialect.statement(sql, [site.into()])).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let time = |column: &str| -> Result<Duration, StoreError> {
            let us: i64 = row.try_get("", column)?;
            Ok(Duration::from_micros(u64::try_from(us).unwrap_or(0)))
        };
        Ok(Some(ClosedBrake {
            since_us: row.try_get("", "closed_since_us")?,
            closed_for: time("closed_us")?,
            extra: time("extra_us")?,
            reason: row.try_get("", "reason")?,
        }))
    }
}
