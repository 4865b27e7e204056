//! Runs that are wanted: by a schedule at its time, or by people. An order stands from the moment it is made until its run has
//! come to its end, so that whoever carries it out may be killed at any time.
//!
//! - **An order is made once**: by its schedule and planned time, or by its idempotency key. To insert the row is the election.
//! - **One service looks after it** (`holder`, `held_until`), for a term that it renews, by the database's clock.
//! - **Its run is begun once**: the row takes the run's number in the transaction that begins the run
//!   ([`RunSeeding::fulfil`](crate::RunSeeding::fulfil)).

use std::time::Duration;

use sea_orm::{ConnectionTrait, DatabaseTransaction, QueryResult, Value};
use serde::Serialize;
use serde_json::Value as Json;
use tagpipe_core::news::{News, NewsKind, NewsLevel};

use crate::audit::{AuditEntry, AuditKind, AuditLevel, AuditOrigin, insert_audit};
use crate::connect::Store;
use crate::contract::RunId;
use crate::dialect::Dialect;
use crate::error::StoreError;
use crate::frontier::microseconds;
use crate::news::insert_news;
use crate::runs::RunSeeding;
use crate::schedules::Overlap;
use crate::steering::Steering;

/// Where an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum OrderState {
    /// Made, and not begun: its time has not come, or another run is under way.
    Waiting,
    /// A service carries it out: it starts the process, and looks after the run.
    Taken,
    /// The service that carried it out went away in order; the next one goes on.
    Suspended,
    /// Its run came to an end, or was stopped by people.
    Ended,
    /// It was not to be begun: another run was under way, or its time was missed.
    Skipped,
    /// It could not be carried out.
    Failed,
}

impl OrderState {
    /// As it is stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            OrderState::Waiting => "waiting",
            OrderState::Taken => "taken",
            OrderState::Suspended => "suspended",
            OrderState::Ended => "ended",
            OrderState::Skipped => "skipped",
            OrderState::Failed => "failed",
        }
    }

    fn stored(name: &str) -> Result<OrderState, StoreError> {
        [
            OrderState::Waiting,
            OrderState::Taken,
            OrderState::Suspended,
            OrderState::Ended,
            OrderState::Skipped,
            OrderState::Failed,
        ]
        .into_iter()
        .find(|state| state.as_str() == name)
        .ok_or_else(|| StoreError::Bug(format!("`{name}` is no state of an order")))
    }
}

/// An order to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct NewOrder {
    /// The schedule and its planned time (microseconds since 1970), if one makes it.
    pub planned: Option<(i64, i64)>,
    /// The schedule's name; empty for people.
    pub schedule_name: String,
    /// How long from now it is to wait before it may be begun.
    pub after: Duration,
    /// What makes a repeated order the same one.
    pub idempotency_key: Option<String>,
    /// Who wants it: `schedule weekly`, `token grafana`.
    pub ordered_by: String,
    /// Settings of the run, key by key.
    pub options: Json,
    /// What to do while a run is under way.
    pub when_busy: Overlap,
}

/// An order as it stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunOrder {
    /// Its number.
    pub id: i64,
    /// Where it stands.
    pub state: OrderState,
    /// The schedule that made it; empty for people.
    pub schedule: String,
    /// The schedule's time, in UTC.
    pub planned_at: Option<String>,
    /// When it may be begun, in UTC.
    pub due_at: String,
    /// Who wants it.
    pub ordered_by: String,
    /// Settings of the run, key by key.
    pub options: Json,
    /// What to do while a run is under way.
    pub when_busy: Overlap,
    /// Its run, once it has begun.
    pub run: Option<RunId>,
    /// How often a process was started for it.
    pub attempts: u64,
    /// Why it is as it is, in words.
    pub reason: String,
    /// When it was made, in UTC.
    pub created_at: String,
    /// When it was over, in UTC.
    pub ended_at: Option<String>,
    /// The service that looks after it; empty if none does.
    #[serde(skip)]
    pub holder: String,
    /// Whether that service's term is over, or nobody holds it.
    #[serde(skip)]
    pub is_free: bool,
    /// Whether its time has come.
    #[serde(skip)]
    pub is_due: bool,
    /// Whether the run has come to its end, whatever its sums say.
    #[serde(skip)]
    pub run_is_over: bool,
    /// Whether the run's last runner has left it in order before its end.
    #[serde(skip)]
    pub run_is_interrupted: bool,
    /// What people want of the run.
    #[serde(skip)]
    pub steering: Steering,
}

/// What became of an order that was to be made.
#[derive(Debug, Clone, PartialEq)]
pub enum Ordered {
    /// It was made, or had been made with the same words; then `is_new` is false.
    Order {
        /// The order.
        order: Box<RunOrder>,
        /// Whether it was made just now.
        is_new: bool,
    },
    /// Its key belongs to an order with other words.
    KeyInUse,
}

impl Store {
    /// Makes an order, once: another one with its schedule and time or with its key is the same one.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn order_run(&self, order: &NewOrder) -> Result<Ordered, StoreError> {
        let made = self.insert_order(order, OrderState::Waiting, "").await?;
        let found = match (made, &order.planned, &order.idempotency_key) {
            (Some(id), _, _) => self.run_order(id).await?,
            (None, Some((schedule, planned_us)), _) => {
                self.one_order(
                    &format!(
                        "WHERE schedule_id = $1 AND {} = $2",
                        self.dialect.as_us("planned_at")
                    ),
                    vec![(*schedule).into(), (*planned_us).into()],
                )
                .await?
            }
            (None, None, Some(key)) => self.order_by_key(key).await?,
            (None, None, None) => None,
        };
        let found = found.ok_or_else(|| StoreError::Bug("an order was made and is not there".into()))?;
        let is_same = found.options == order.options && found.when_busy == order.when_busy;
        if made.is_none() && order.planned.is_none() && !is_same {
            return Ok(Ordered::KeyInUse);
        }
        Ok(Ordered::Order {
            order: Box::new(found),
            is_new: made.is_some(),
        })
    }

    /// Notes of a planned time that nothing is done at it, once, and why. `false` if that time is known already.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn skip_planned(&self, order: &NewOrder, why: &str) -> Result<bool, StoreError> {
        Ok(self
            .insert_order(order, OrderState::Skipped, why)
            .await?
            .is_some())
    }

    async fn insert_order(
        &self,
        order: &NewOrder,
        state: OrderState,
        reason: &str,
    ) -> Result<Option<i64>, StoreError> {
        let dialect = self.dialect;
        let (schedule, planned_us) = order.planned.unzip();
        let transaction = self.begin().await?;
        let sql = format!(
            "INSERT INTO run_orders (schedule_id, schedule_name, planned_at, due_at, idempotency_key, ordered_by, options, \
                 when_busy, state, reason, created_at, ended_at) \
             VALUES ($1, $2, CASE WHEN CAST($3 AS bigint) IS NULL THEN NULL ELSE {planned} END, {due}, $5, $6, {options}, $8, $9, \
                 $10, {now}, CASE WHEN $9 = 'skipped' THEN {now} END) \
             ON CONFLICT DO NOTHING RETURNING id",
            planned = dialect.time_at_us("$3"),
            due = dialect.now_plus("$4"),
            options = dialect.json_parameter("$7"),
            now = dialect.statement_time(),
        );
        let values = [
            schedule.into(),
            dialect.text(&order.schedule_name),
            planned_us.into(),
            microseconds(order.after).into(),
            order
                .idempotency_key
                .as_deref()
                .map_or(Value::String(None), |key| dialect.text(key)),
            dialect.text(&order.ordered_by),
            dialect.json(&order.options),
            order.when_busy.as_str().into(),
            state.as_str().into(),
            dialect.text(reason),
        ];
        let row = transaction.query_one_raw(dialect.statement(sql, values)).await?;
        let id: Option<i64> = row.map(|row| row.try_get("", "id")).transpose()?;
        if let Some(id) = id {
            let what = match state {
                OrderState::Skipped => format!("no run for {}: {reason}", order.ordered_by),
                _ => format!("{} orders a run", order.ordered_by),
            };
            note(&transaction, dialect, None, id, what).await?;
            if state == OrderState::Skipped {
                let missed = schedule_missed(&order.schedule_name, reason);
                insert_news(&transaction, dialect, &[missed]).await?;
            }
        }
        transaction.commit().await?;
        Ok(id)
    }

    /// The order of this number.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn run_order(&self, id: i64) -> Result<Option<RunOrder>, StoreError> {
        self.one_order("WHERE run_orders.id = $1", vec![id.into()]).await
    }

    /// The order that began `run`, if one did.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn order_of_run(&self, run: RunId) -> Result<Option<RunOrder>, StoreError> {
        self.one_order("WHERE run_orders.run_id = $1", vec![run.into()])
            .await
    }

    /// The order of this idempotency key.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn order_by_key(&self, key: &str) -> Result<Option<RunOrder>, StoreError> {
        self.one_order("WHERE idempotency_key = $1", vec![self.dialect.text(key)])
            .await
    }

    /// The newest `limit` orders, newest first; with `before`, those older than that one.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn orders(&self, before: Option<i64>, limit: u32) -> Result<Vec<RunOrder>, StoreError> {
        self.orders_where(
            "WHERE run_orders.id < $1 ORDER BY run_orders.id DESC LIMIT $2",
            vec![before.unwrap_or(i64::MAX).into(), i64::from(limit).into()],
        )
        .await
    }

    /// The orders that are not over, those first that may be begun first.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn open_orders(&self) -> Result<Vec<RunOrder>, StoreError> {
        self.orders_where(
            "WHERE run_orders.state IN ('waiting', 'taken', 'suspended') ORDER BY run_orders.due_at, run_orders.id",
            Vec::new(),
        )
        .await
    }

    /// Takes the order for `term`, or renews the term: if nobody else holds it, and it is not over. `false` if that is not so.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn hold_order(&self, id: i64, holder: &str, term: Duration) -> Result<bool, StoreError> {
        let sql = format!(
            "UPDATE run_orders SET holder = $2, held_until = {until}, state = 'taken' \
             WHERE id = $1 AND state IN ('waiting', 'taken', 'suspended') \
                 AND (holder = $2 OR holder = '' OR held_until <= {now})",
            until = self.dialect.now_plus("$3"),
            now = self.dialect.now(),
        );
        let values = [id.into(), holder.into(), microseconds(term).into()];
        Ok(self.write(self.dialect.statement(sql, values)).await? > 0)
    }

    /// Counts that a process is started for the order, by whoever holds it. `false` if `holder` does not.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn count_attempt(&self, id: i64, holder: &str) -> Result<bool, StoreError> {
        let sql = "UPDATE run_orders SET attempts = attempts + 1, reason = '' WHERE id = $1 AND holder = $2 AND state = 'taken'";
        let values = [id.into(), holder.into()];
        Ok(self.write(self.dialect.statement(sql, values)).await? > 0)
    }

    /// Gives an order out of hand, by whoever holds it: it waits again, is suspended or is over. `false` if `holder` does not
    /// hold it.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn leave_order(
        &self,
        order: &RunOrder,
        holder: &str,
        state: OrderState,
        reason: &str,
    ) -> Result<bool, StoreError> {
        let dialect = self.dialect;
        let is_over = matches!(
            state,
            OrderState::Ended | OrderState::Skipped | OrderState::Failed
        );
        let transaction = self.begin().await?;
        let sql = format!(
            "UPDATE run_orders SET state = $3, reason = $4, holder = '', held_until = NULL, ended_at = {} \
             WHERE id = $1 AND holder = $2 AND state = 'taken'",
            if is_over { dialect.now() } else { "NULL" }
        );
        let values = [
            order.id.into(),
            holder.into(),
            state.as_str().into(),
            dialect.text(reason),
        ];
        let left = transaction
            .execute_raw(dialect.statement(sql, values))
            .await?
            .rows_affected()
            > 0;
        if left && is_over {
            let what = match reason {
                "" => format!("the order of {} is carried out", order.ordered_by),
                _ => format!(
                    "the order of {} is {}: {reason}",
                    order.ordered_by,
                    state.as_str()
                ),
            };
            note(&transaction, dialect, order.run, order.id, what).await?;
            if let Some(news) = news_of(order, state, reason) {
                insert_news(&transaction, dialect, &[news]).await?;
            }
        }
        transaction.commit().await?;
        Ok(left)
    }

    /// Orders that somebody goes on with a run that is not at its end: its own order stands again, or one is made.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn order_to_go_on(&self, run: RunId, who: &str) -> Result<i64, StoreError> {
        let dialect = self.dialect;
        let transaction = self.begin().await?;
        let sql = format!(
            "INSERT INTO run_orders AS known (due_at, ordered_by, options, when_busy, state, run_id, created_at) \
             VALUES ({now}, $2, {options}, 'queue', 'suspended', $1, {now}) \
             ON CONFLICT (run_id) DO UPDATE SET state = CASE WHEN known.state IN ('ended', 'skipped', 'failed') \
                 THEN 'suspended' ELSE known.state END, reason = '', ended_at = NULL \
             RETURNING id",
            now = dialect.statement_time(),
            options = dialect.json_parameter("$3"),
        );
        let values = [
            run.into(),
            dialect.text(who),
            dialect.json(&serde_json::json!({})),
        ];
        let row = transaction.query_one_raw(dialect.statement(sql, values)).await?;
        let id = row
            .ok_or_else(|| StoreError::Bug("an upsert returned no id".into()))?
            .try_get("", "id")?;
        note(
            &transaction,
            dialect,
            Some(run),
            id,
            format!("{who} has run {run} go on"),
        )
        .await?;
        transaction.commit().await?;
        Ok(id)
    }

    /// Takes back an order that was not begun. `false` if it was, or is over.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn cancel_order(&self, id: i64, who: &str) -> Result<bool, StoreError> {
        let sql = format!(
            "UPDATE run_orders SET state = 'skipped', reason = $2, ended_at = {} \
             WHERE id = $1 AND state = 'waiting' AND run_id IS NULL",
            self.dialect.now()
        );
        let values = [id.into(), self.dialect.text(&format!("taken back by {who}"))];
        Ok(self.write(self.dialect.statement(sql, values)).await? > 0)
    }

    async fn one_order(&self, which: &str, values: Vec<Value>) -> Result<Option<RunOrder>, StoreError> {
        Ok(self.orders_where(which, values).await?.into_iter().next())
    }

    async fn orders_where(&self, which: &str, values: Vec<Value>) -> Result<Vec<RunOrder>, StoreError> {
        let dialect = self.dialect;
        let sql = format!(
            "SELECT run_orders.id, run_orders.state, schedule_name, {planned} AS planned_at, {due} AS due_at, ordered_by, \
                 {options} AS options, when_busy, run_id, attempts, reason, {created} AS created_at, {ended} AS ended_at, holder, \
                 holder = '' OR held_until IS NULL OR held_until <= {now} AS is_free, due_at <= {now} AS is_due, \
                 coalesce(runs.state IN ('reconciled', 'disputed'), false) AS run_is_over, \
                 coalesce(runs.state = 'interrupted', false) AS run_is_interrupted, coalesce(runs.steering, 'go') AS steering \
             FROM run_orders LEFT JOIN runs ON runs.id = run_orders.run_id {which}",
            planned = dialect.iso("planned_at"),
            due = dialect.iso("due_at"),
            options = dialect.as_text("run_orders.options"),
            created = dialect.iso("run_orders.created_at"),
            ended = dialect.iso("run_orders.ended_at"),
            now = dialect.now(),
        );
        // Through the writer: what this process has just written must be in the picture.
        let rows = self.writer.query_all_raw(dialect.statement(sql, values)).await?;
        rows.iter().map(order_of).collect()
    }
}

impl RunSeeding {
    /// Makes this the run of an order, if it has none: an order is carried out once, however many processes were started for
    /// it. `false` if it has one.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn fulfil(&mut self, order: i64) -> Result<bool, StoreError> {
        let sql = "UPDATE run_orders SET run_id = $2 WHERE id = $1 AND run_id IS NULL AND state = 'taken'";
        let values = [order.into(), self.run.into()];
        let done = self
            .transaction
            .execute_raw(self.dialect.statement(sql, values))
            .await?;
        Ok(done.rows_affected() > 0)
    }
}

async fn note(
    transaction: &DatabaseTransaction,
    dialect: Dialect,
    run: Option<RunId>,
    order: i64,
    message: String,
) -> Result<(), StoreError> {
    let entry = AuditEntry {
        level: AuditLevel::Info,
        kind: AuditKind::Operation,
        page_key: None,
        operation: "order".into(),
        message,
        context: serde_json::json!({ "order": order }),
    };
    let origin = AuditOrigin {
        run,
        runner_id: "service",
    };
    insert_audit(transaction, dialect, origin, &[&entry]).await
}

/// What people may want to be told of an order that is over. A run that came to its end tells of itself.
fn news_of(order: &RunOrder, state: OrderState, reason: &str) -> Option<News> {
    match state {
        OrderState::Skipped if !order.schedule.is_empty() => Some(schedule_missed(&order.schedule, reason)),
        OrderState::Failed => {
            let title = format!("The order of {} could not be carried out", order.ordered_by);
            let news = News::new(NewsKind::RunFailed, NewsLevel::Error, &title)
                .with_text(reason)
                .with_fact("Order", &order.id.to_string());
            Some(match order.run {
                Some(run) => news.about_run(run),
                None => news,
            })
        }
        _ => None,
    }
}

fn schedule_missed(schedule: &str, reason: &str) -> News {
    let title = format!("Schedule {schedule}: a planned time passed without a run");
    News::new(NewsKind::ScheduleMissed, NewsLevel::Warning, &title)
        .with_text(reason)
        .with_fact("Schedule", schedule)
}

fn order_of(row: &QueryResult) -> Result<RunOrder, StoreError> {
    let text = |column: &str| -> Result<String, StoreError> { Ok(row.try_get("", column)?) };
    let options = serde_json::from_str(&text("options")?)
        .map_err(|error| StoreError::Bug(format!("run_orders.options is damaged: {error}")))?;
    Ok(RunOrder {
        id: row.try_get("", "id")?,
        state: OrderState::stored(&text("state")?)?,
        schedule: text("schedule_name")?,
        planned_at: row.try_get("", "planned_at")?,
        due_at: text("due_at")?,
        ordered_by: text("ordered_by")?,
        options,
        when_busy: Overlap::stored(&text("when_busy")?)?,
        run: row.try_get("", "run_id")?,
        attempts: row.try_get::<i64>("", "attempts")?.unsigned_abs(),
        reason: text("reason")?,
        created_at: text("created_at")?,
        ended_at: row.try_get("", "ended_at")?,
        holder: text("holder")?,
        is_free: row.try_get("", "is_free")?,
        is_due: row.try_get("", "is_due")?,
        run_is_over: row.try_get("", "run_is_over")?,
        run_is_interrupted: row.try_get("", "run_is_interrupted")?,
        steering: Steering::stored(&text("steering")?)?,
    })
}
