//! The pace of the site: one row that every request of every runner on every machine takes its slot from.
//!
//! Being one row of the database it survives restarts and cannot be forgotten by a second process. Slots
//! are taken ahead of their time, so that the database's own latency costs no pace.

use std::time::Duration;

use sea_orm::QueryResult;
use tagpipe_core::profile::PaceAdvice;

use crate::connect::Store;
use crate::contract::{Brake, PaceOutlook, Refusal, Slot, SlotRequest};
use crate::error::StoreError;
use crate::frontier::microseconds;

impl Store {
    /// Makes sure that `site` has its row. Returns the time of the last slot ever taken, so that a runner
    /// that starts anew keeps its delay to its predecessor.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn open_pace(&self, site: &str) -> Result<i64, StoreError> {
        let sql = "INSERT INTO pace (site) VALUES ($1) ON CONFLICT (site) DO UPDATE SET site = excluded.site \
                   RETURNING last_slot_us";
        let rows = self
            .write_returning(self.dialect.statement(sql, [site.into()]))
            .await?;
        let row = rows
            .first()
            .ok_or_else(|| StoreError::Bug("an upsert returned no row".into()))?;
        Ok(row.try_get("", "last_slot_us")?)
    }

    /// Takes the next slot: the earliest time that keeps `request.interval` plus the brake to every other slot of
    /// the site and `request.delay` to this runner's last one.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn take_slot(&self, site: &str, request: SlotRequest) -> Result<Slot, StoreError> {
        let slot = format!(
            // Runners may ask for different intervals: each keeps its own to whoever was last.
            "{greatest}({now}, next_slot_us, blocked_until_us, CAST($1 AS bigint), \
                 last_slot_us + CAST($2 AS bigint) + extra_us)",
            greatest = self.dialect.greatest(),
            now = self.dialect.now_us(),
        );
        // The clock is read once: the next slot is counted from this very one. The row is the one being updated, so
        // that a process that had to wait for another counts from what that one has left.
        let sql = format!(
            "UPDATE pace SET (last_slot_us, next_slot_us) = \
                 (SELECT taken.us, taken.us + CAST($2 AS bigint) + extra_us FROM (SELECT {slot} AS us) AS taken) \
             WHERE site = $3 RETURNING last_slot_us, {BRAKE_COLUMNS}, {now} AS now_us",
            now = self.dialect.now_us(),
        );
        let values = [
            (request.last_us.saturating_add(microseconds(request.delay))).into(),
            microseconds(request.interval).into(),
            site.into(),
        ];
        let rows = self.write_returning(self.dialect.statement(sql, values)).await?;
        let row = rows
            .first()
            .ok_or_else(|| StoreError::NotFound(format!("the pace of `{site}` was not opened")))?;
        let (at_us, now_us): (i64, i64) = (row.try_get("", "last_slot_us")?, row.try_get("", "now_us")?);
        Ok(Slot {
            wait: from_us(at_us - now_us),
            at_us,
            brake: brake(row)?,
        })
    }

    /// Gives back a slot whose request is not made: whoever comes next may have its time. One that another has followed
    /// is lost, because that one counts from it.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn give_back_slot(
        &self,
        site: &str,
        request: SlotRequest,
        slot: &Slot,
    ) -> Result<(), StoreError> {
        // The slot before it was at least this much earlier, so that whoever keeps a longer interval keeps it to that one.
        // A brake that has closed meanwhile counts from now.
        let sql = format!(
            "UPDATE pace SET last_slot_us = last_slot_us - CAST($1 AS bigint), \
                 next_slot_us = CASE WHEN closures > CAST($4 AS bigint) \
                     THEN {greatest}(last_slot_us, {now} + extra_us) ELSE last_slot_us END \
             WHERE site = $2 AND last_slot_us = $3",
            greatest = self.dialect.greatest(),
            now = self.dialect.now_us(),
        );
        let apart = microseconds(request.interval).saturating_add(microseconds(slot.brake.extra));
        let closures = i64::try_from(slot.brake.closures).unwrap_or(i64::MAX);
        let values = [apart.into(), site.into(), slot.at_us.into(), closures.into()];
        self.write(self.dialect.statement(sql, values)).await?;
        Ok(())
    }

    /// How far the pace of `site` is ahead; not at all for a site without a row.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn pace_outlook(&self, site: &str) -> Result<PaceOutlook, StoreError> {
        let sql = format!(
            "SELECT {BRAKE_COLUMNS}, {greatest}(next_slot_us, last_slot_us + extra_us, blocked_until_us) AS next_us, \
                 {now} AS now_us FROM pace WHERE site = $1",
            greatest = self.dialect.greatest(),
            now = self.dialect.now_us(),
        );
        let rows = self.rows(self.dialect.statement(sql, [site.into()])).await?;
        let Some(row) = rows.first() else {
            return Ok(PaceOutlook::default());
        };
        let (next_us, now_us): (i64, i64) = (row.try_get("", "next_us")?, row.try_get("", "now_us")?);
        Ok(PaceOutlook {
            next_slot_in: from_us(next_us - now_us),
            brake: brake(row)?,
        })
    }

    /// Brings a pace that is far ahead back to one interval from now. To be used only while nobody is at work on `site`:
    /// whoever holds a slot keeps to it. Returns whether it was far ahead.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn bring_pace_back(&self, site: &str, interval: Duration) -> Result<bool, StoreError> {
        let outlook = self.pace_outlook(site).await?;
        let sql = format!(
            "UPDATE pace SET last_slot_us = {least}(last_slot_us, {now}), \
                 next_slot_us = {now} + CAST($1 AS bigint) + extra_us \
             WHERE site = $2 AND {greatest}(next_slot_us, last_slot_us + extra_us) > {now} + CAST($3 AS bigint)",
            least = self.dialect.least(),
            greatest = self.dialect.greatest(),
            now = self.dialect.now_us(),
        );
        let values = [
            microseconds(interval).into(),
            site.into(),
            microseconds(outlook.reach(interval)).into(),
        ];
        Ok(self.write(self.dialect.statement(sql, values)).await? > 0)
    }

    /// The brake as it stands.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn brake(&self, site: &str) -> Result<Brake, StoreError> {
        let sql = format!(
            "SELECT {BRAKE_COLUMNS}, {} AS now_us FROM pace WHERE site = $1",
            self.dialect.now_us()
        );
        match self
            .rows(self.dialect.statement(sql, [site.into()]))
            .await?
            .first()
        {
            Some(row) => brake(row),
            None => Ok(Brake::default()),
        }
    }

    /// Closes the brake after a refusal: the interval grows by a factor, and where the site said how long to stay
    /// away, no request is made until then.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn close_brake(
        &self,
        site: &str,
        advice: &PaceAdvice,
        refusal: &Refusal<'_>,
    ) -> Result<Brake, StoreError> {
        let dialect = self.dialect;
        let (least, greatest) = (dialect.least(), dialect.greatest());
        let is_first = "closures <= CAST($5 AS bigint)";
        let grown = format!(
            "CASE WHEN {is_first} THEN CAST({least}({greatest}(extra_us, CAST($3 AS bigint)), \
                 {greatest}(CAST($1 AS bigint), extra_us * CAST($2 AS {real}))) AS bigint) ELSE extra_us END",
            real = dialect.real(),
        );
        let sql = format!(
            "UPDATE pace SET extra_us = {grown}, \
                 closed_since_us = CASE WHEN closed_since_us > 0 AND (extra_us > 0 OR blocked_until_us > {now}) \
                     THEN closed_since_us ELSE {now} END, \
                 next_slot_us = {greatest}(next_slot_us, {now} + {grown}), \
                 blocked_until_us = {greatest}(blocked_until_us, {now} + CAST($4 AS bigint)), \
                 refusals_in_row = {greatest}(1, refusals_in_row + CASE WHEN {is_first} THEN 1 ELSE 0 END), \
                 closures = closures + CASE WHEN {is_first} THEN 1 ELSE 0 END, reason = $6 \
             WHERE site = $7 RETURNING {BRAKE_COLUMNS}, {now} AS now_us",
            now = dialect.now_us(),
        );
        let values = [
            microseconds(advice.brake_first).into(),
            advice.brake_growth.into(),
            microseconds(advice.brake_most).into(),
            microseconds(refusal.retry_after.unwrap_or_default()).into(),
            i64::try_from(refusal.closures).unwrap_or(i64::MAX).into(),
            dialect.text(refusal.reason),
            site.into(),
        ];
        let rows = self.write_returning(dialect.statement(sql, values)).await?;
        rows.first().map_or_else(|| Ok(Brake::default()), brake)
    }

    /// Opens the brake by one step after a good page: what a step adds to the *rate* is always the same, so that a
    /// brake far closed opens by much in time, and one nearly open by `advice.brake_ease`.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn ease_brake(&self, site: &str, advice: &PaceAdvice) -> Result<Brake, StoreError> {
        let dialect = self.dialect;
        let (least, greatest) = (dialect.least(), dialect.greatest());
        // With T the time between two requests, 1/T' = 1/T + ease/reference²: near the reference that is T - ease.
        let reference = advice.interval.max(advice.brake_first).as_secs_f64().max(0.001);
        let step_per_us = advice.brake_ease.as_secs_f64() / (reference * reference) / 1e6;
        let real = dialect.real();
        let time = format!("CAST(extra_us + CAST($2 AS bigint) AS {real})");
        let eased = format!(
            "CAST({greatest}(0, {least}(extra_us - CAST($1 AS bigint), \
                 {time} / (1 + {time} * CAST($3 AS {real})) - CAST($2 AS bigint))) AS bigint)"
        );
        let sql = format!(
            "UPDATE pace SET extra_us = {eased}, refusals_in_row = 0, \
                 closed_since_us = CASE WHEN {eased} = 0 AND blocked_until_us <= {now} THEN 0 ELSE closed_since_us END, \
                 reason = CASE WHEN {eased} = 0 THEN '' ELSE reason END \
             WHERE site = $4 RETURNING {BRAKE_COLUMNS}, {now} AS now_us",
            now = dialect.now_us(),
        );
        let values = [
            microseconds(advice.brake_ease).into(),
            microseconds(advice.interval).into(),
            step_per_us.into(),
            site.into(),
        ];
        let rows = self.write_returning(dialect.statement(sql, values)).await?;
        rows.first().map_or_else(|| Ok(Brake::default()), brake)
    }
}

const BRAKE_COLUMNS: &str = "extra_us, blocked_until_us, refusals_in_row, reason, closures";

fn brake(row: &QueryResult) -> Result<Brake, StoreError> {
    let (extra, blocked_until): (i64, i64) =
        (row.try_get("", "extra_us")?, row.try_get("", "blocked_until_us")?);
    let (refusals, now): (i64, i64) = (row.try_get("", "refusals_in_row")?, row.try_get("", "now_us")?);
    let closures: i64 = row.try_get("", "closures")?;
    Ok(Brake {
        extra: from_us(extra),
        blocked_for: from_us(blocked_until - now),
        refusals_in_row: u32::try_from(refusals).unwrap_or(u32::MAX),
        reason: row.try_get("", "reason")?,
        closures: closures.unsigned_abs(),
    })
}

/// A duration of `us` microseconds; zero for what lies in the past.
fn from_us(us: i64) -> Duration {
    Duration::from_micros(u64::try_from(us).unwrap_or(0))
}
