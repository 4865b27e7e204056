//! When runs begin: named schedules, as people or the settings have written them. What a schedule's times are is the
//! engine's to say.

use sea_orm::QueryResult;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::connect::Store;
use crate::dialect::Dialect;
use crate::error::StoreError;

/// What to do when a planned time comes while a run is under way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Overlap {
    /// Leave this time out, and say so.
    #[default]
    Skip,
    /// Begin when the other run has ended.
    Queue,
    /// Stop the other run, and begin.
    Stop,
}

impl Overlap {
    /// All of them.
    pub const ALL: [Overlap; 3] = [Overlap::Skip, Overlap::Queue, Overlap::Stop];

    /// As it is stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Overlap::Skip => "skip",
            Overlap::Queue => "queue",
            Overlap::Stop => "stop",
        }
    }

    /// The one of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Overlap> {
        Overlap::ALL.into_iter().find(|overlap| overlap.as_str() == name)
    }

    pub(crate) fn stored(name: &str) -> Result<Overlap, StoreError> {
        Overlap::from_name(name).ok_or_else(|| StoreError::Bug(format!("`{name}` is no overlap rule")))
    }
}

/// A schedule as it is written.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewSchedule {
    /// Its name, unique.
    pub name: String,
    /// Cron pattern of five fields, or six with seconds.
    pub cron: String,
    /// IANA name of the time zone in which the pattern is read.
    pub time_zone: String,
    /// Settings of its runs, key by key.
    pub options: Json,
    /// Whether its times count.
    pub enabled: bool,
    /// Longest random delay of a beginning, in seconds.
    pub jitter_s: u32,
    /// What to do while a run is under way.
    pub overlap: Overlap,
    /// How long after a time that was missed it is still made up for, in seconds; 0 for never.
    pub catch_up_s: u32,
}

impl NewSchedule {
    /// The longest name, in characters.
    pub const NAME_MAX: usize = 100;

    /// `text` as a schedule's name; `None` if it is empty, too long, or has a character that no address can carry.
    #[must_use]
    pub fn name_of(text: &str) -> Option<&str> {
        let name = text.trim();
        let is_plain = !name.chars().any(|one| one.is_control() || one == '/');
        let length = name.chars().count();
        (is_plain && (1..=NewSchedule::NAME_MAX).contains(&length)).then_some(name)
    }
}

/// A schedule as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Schedule {
    /// Its number.
    pub id: i64,
    /// What it says.
    #[serde(flatten)]
    pub plan: NewSchedule,
    /// Whether it was written by `PIPELINE_SCHEDULE` and not by people.
    pub from_settings: bool,
    /// When it was written, in UTC.
    pub created_at: String,
    /// When its pattern, zone or being enabled last changed: earlier times are not its own. Microseconds since 1970.
    #[serde(skip)]
    pub since_us: i64,
    /// The last time for which an order was made, microseconds since 1970.
    #[serde(skip)]
    pub planned_until_us: Option<i64>,
}

impl Store {
    /// All schedules, by name.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn schedules(&self) -> Result<Vec<Schedule>, StoreError> {
        self.schedules_where("", Vec::new()).await
    }

    /// The schedule of this name.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn schedule(&self, name: &str) -> Result<Option<Schedule>, StoreError> {
        let found = self
            .schedules_where("WHERE name = $1", vec![self.dialect.text(name)])
            .await?;
        Ok(found.into_iter().next())
    }

    /// Writes a schedule that people want. `false`, and nothing is written, if there is one of this name.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn add_schedule(&self, plan: &NewSchedule) -> Result<bool, StoreError> {
        let sql = format!(
            "INSERT INTO schedules (name, cron, time_zone, options, enabled, jitter_s, overlap, catch_up_s, created_at, changed_at) \
             VALUES ($1, $2, $3, {options}, $5, $6, $7, $8, {now}, {now}) ON CONFLICT (name) DO NOTHING",
            options = self.dialect.json_parameter("$4"),
            now = self.dialect.statement_time(),
        );
        let is_new = self
            .write(self.dialect.statement(sql, values(self.dialect, plan)))
            .await?
            > 0;
        if is_new {
            self.note_change(
                "schedule",
                format!("schedule {} is added: {}", plan.name, plan.cron),
            )
            .await?;
        }
        Ok(is_new)
    }

    /// Gives the schedule of `plan`'s name what `plan` says, or writes it. Times that were already planned stay.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn put_schedule(&self, plan: &NewSchedule, from_settings: bool) -> Result<(), StoreError> {
        let sql = format!(
            "INSERT INTO schedules AS known (name, cron, time_zone, options, enabled, jitter_s, overlap, catch_up_s, source, \
                 created_at, changed_at) VALUES ($1, $2, $3, {options}, $5, $6, $7, $8, $9, {now}, {now}) \
             ON CONFLICT (name) DO UPDATE SET cron = excluded.cron, time_zone = excluded.time_zone, options = excluded.options, \
                 enabled = excluded.enabled, jitter_s = excluded.jitter_s, overlap = excluded.overlap, \
                 catch_up_s = excluded.catch_up_s, source = excluded.source, \
                 changed_at = CASE WHEN known.cron = excluded.cron AND known.time_zone = excluded.time_zone \
                     AND known.enabled = excluded.enabled THEN known.changed_at ELSE excluded.changed_at END",
            options = self.dialect.json_parameter("$4"),
            now = self.dialect.statement_time(),
        );
        let mut values = values(self.dialect, plan).to_vec();
        values.push(if from_settings { "settings" } else { "people" }.into());
        self.write(self.dialect.statement(sql, values)).await?;
        if !from_settings {
            self.note_change(
                "schedule",
                format!("schedule {} is written: {}", plan.name, plan.cron),
            )
            .await?;
        }
        Ok(())
    }

    /// Lets the times of the schedule `name` count, or not. `false` if there is none.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn enable_schedule(&self, name: &str, enabled: bool) -> Result<bool, StoreError> {
        let sql = format!(
            "UPDATE schedules SET changed_at = CASE WHEN enabled = $2 THEN changed_at ELSE {} END, enabled = $2 \
             WHERE name = $1",
            self.dialect.now()
        );
        let values = [self.dialect.text(name), i64::from(enabled).into()];
        let is_known = self.write(self.dialect.statement(sql, values)).await? > 0;
        if is_known {
            let words = if enabled { "enabled" } else { "disabled" };
            self.note_change("schedule", format!("schedule {name} is {words}"))
                .await?;
        }
        Ok(is_known)
    }

    /// Removes the schedule `name`, and what it has ordered that was not begun. `false` if there is none.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn remove_schedule(&self, name: &str) -> Result<bool, StoreError> {
        use sea_orm::ConnectionTrait;
        let transaction = self.begin().await?;
        let cancel = format!(
            "UPDATE run_orders SET state = 'skipped', reason = 'its schedule was removed', ended_at = {} \
             WHERE state = 'waiting' AND schedule_id = (SELECT id FROM schedules WHERE name = $1)",
            self.dialect.now()
        );
        let forget = "UPDATE run_orders SET schedule_id = NULL WHERE schedule_id = (SELECT id FROM schedules WHERE name = $1)";
        for sql in [cancel.as_str(), forget] {
            transaction
                .execute_raw(self.dialect.statement(sql, [self.dialect.text(name)]))
                .await?;
        }
        let removed = transaction
            .execute_raw(
                self.dialect
                    .statement("DELETE FROM schedules WHERE name = $1", [self.dialect.text(name)]),
            )
            .await?
            .rows_affected();
        transaction.commit().await?;
        if removed > 0 {
            self.note_change("schedule", format!("schedule {name} is removed"))
                .await?;
        }
        Ok(removed > 0)
    }

    async fn schedules_where(
        &self,
        which: &str,
        values: Vec<sea_orm::Value>,
    ) -> Result<Vec<Schedule>, StoreError> {
        let dialect = self.dialect;
        let sql = format!(
            "SELECT id, name, cron, time_zone, {options} AS options, enabled, jitter_s, overlap, catch_up_s, source, \
                 {created_at} AS created_at, {since} AS since_us, \
                 (SELECT max({planned}) FROM run_orders WHERE run_orders.schedule_id = schedules.id) AS planned_until_us \
             FROM schedules {which} ORDER BY name",
            options = dialect.as_text("options"),
            created_at = dialect.iso("created_at"),
            since = dialect.as_us("changed_at"),
            planned = dialect.as_us("planned_at"),
        );
        let rows = self.rows(dialect.statement(sql, values)).await?;
        rows.iter().map(schedule).collect()
    }
}

fn values(dialect: Dialect, plan: &NewSchedule) -> [sea_orm::Value; 8] {
    [
        dialect.text(&plan.name),
        dialect.text(&plan.cron),
        dialect.text(&plan.time_zone),
        dialect.json(&plan.options),
        i64::from(plan.enabled).into(),
        i64::from(plan.jitter_s).into(),
        plan.overlap.as_str().into(),
        i64::from(plan.catch_up_s).into(),
    ]
}

fn schedule(row: &QueryResult) -> Result<Schedule, StoreError> {
    let text = |column: &str| -> Result<String, StoreError> { Ok(row.try_get("", column)?) };
    let seconds = |column: &str| -> Result<u32, StoreError> {
        Ok(u32::try_from(row.try_get::<i64>("", column)?).unwrap_or(u32::MAX))
    };
    let options: Json = serde_json::from_str(&text("options")?)
        .map_err(|error| StoreError::Bug(format!("schedules.options is damaged: {error}")))?;
    Ok(Schedule {
        id: row.try_get("", "id")?,
        plan: NewSchedule {
            name: text("name")?,
            cron: text("cron")?,
            time_zone: text("time_zone")?,
            options,
            enabled: row.try_get::<i64>("", "enabled")? == 1,
            jitter_s: seconds("jitter_s")?,
            overlap: Overlap::stored(&text("overlap")?)?,
            catch_up_s: seconds("catch_up_s")?,
        },
        from_settings: text("source")? == "settings",
        created_at: text("created_at")?,
        since_us: row.try_get("", "since_us")?,
        planned_until_us: row.try_get("", "planned_until_us")?,
    })
}
