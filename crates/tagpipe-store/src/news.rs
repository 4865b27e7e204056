//! News: recorded in the transaction of what it tells, so that neither is there without the other. Who is told of it is in
//! `outbox.rs`.

use std::collections::BTreeMap;
use std::time::Duration;

use sea_orm::{ConnectionTrait, DatabaseTransaction, QueryResult};
use serde::Serialize;
use tagpipe_core::news::{Fact, News, NewsKind, NewsLevel};

use crate::conditions::Conditions;
use crate::connect::Store;
use crate::contract::RunId;
use crate::dialect::{ColumnType, Columns, Dialect};
use crate::error::StoreError;
use crate::frontier::microseconds;

/// A piece of news as it is recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RecordedNews {
    /// Its number.
    pub id: i64,
    /// When it was recorded, in UTC.
    pub created_at: String,
    /// What it is about: `run_finished`, `run_failed`, `run_interrupted`, `error_rate`, `brake_closed`, `layout_changed`,
    /// `discrepancies`, `schedule_missed`, `job_failed` or `watch_changed`.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub kind: NewsKind,
    /// How much it matters: `info`, `warning`, `error` or `critical`.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub level: NewsLevel,
    /// One line that can be read alone.
    pub title: String,
    /// More, in lines; may be empty.
    pub text: String,
    /// Figures, in the order in which they are shown: each a `name` and a `value`.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<Object>))]
    pub facts: Vec<Fact>,
    /// The run it is about.
    pub run_id: Option<RunId>,
}

/// Where a piece of news stands on one channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum DeliveryState {
    /// The channel's rules leave it out.
    LeftOut,
    /// It waits for quiet hours or a digest to end.
    Waiting,
    /// It is being sent, or was put off.
    Open,
    /// It has arrived.
    Sent,
    /// It was given up.
    Failed,
}

impl DeliveryState {
    /// Every state, in the order in which they come.
    pub const ALL: [DeliveryState; 5] = [
        DeliveryState::LeftOut,
        DeliveryState::Waiting,
        DeliveryState::Open,
        DeliveryState::Sent,
        DeliveryState::Failed,
    ];

    /// As it is stored: of the delivery, or of the message that it is a part of.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            DeliveryState::LeftOut => "left_out",
            DeliveryState::Waiting => "waiting",
            DeliveryState::Open => "open",
            DeliveryState::Sent => "sent",
            DeliveryState::Failed => "failed",
        }
    }

    /// The state of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<DeliveryState> {
        DeliveryState::ALL
            .into_iter()
            .find(|state| state.as_str() == name)
    }
}

/// What became of a piece of news on one channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Delivery {
    /// The channel.
    pub channel: String,
    /// Where it stands.
    pub state: DeliveryState,
    /// The message that it is a part of.
    pub message_id: Option<String>,
    /// How often that was sent, or tried to be.
    pub attempts: u64,
    /// Why it has not arrived; of what was sent, at whom it has not and why.
    pub last_error: String,
    /// When it is tried next, in UTC, if it is.
    pub not_before: Option<String>,
    /// When it arrived or was given up, in UTC.
    pub ended_at: Option<String>,
}

/// A piece of news and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewsWithDeliveries {
    /// The news.
    #[serde(flatten)]
    pub news: RecordedNews,
    /// One for each channel that has looked at it, by name.
    pub deliveries: Vec<Delivery>,
}

/// Which news is wanted; what is `None` does not matter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NewsFilter {
    /// Of this kind.
    pub kind: Option<NewsKind>,
    /// Of this level and above.
    pub least: Option<NewsLevel>,
    /// With a delivery that stands here, on whatever channel.
    pub delivery: Option<DeliveryState>,
    /// No older than this, by the database's clock.
    pub since: Option<Duration>,
}

impl Store {
    /// Records news that is told outside any other transaction. Returns how much of it was new.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn record_news(&self, news: &[News]) -> Result<u64, StoreError> {
        let transaction = self.begin().await?;
        let recorded = insert_news(&transaction, self.dialect, news).await?;
        transaction.commit().await?;
        Ok(recorded)
    }

    /// The newest `limit` pieces of news that `filter` lets through, newest first, and what became of each; with `before`, those
    /// older than the piece of that number.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn news(
        &self,
        filter: &NewsFilter,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<NewsWithDeliveries>, StoreError> {
        let mut conditions = self.conditions_of(filter);
        conditions.add("news.id <", before.unwrap_or(i64::MAX));
        let limit = conditions.place(i64::from(limit));
        let sql = format!(
            "SELECT {columns} FROM news WHERE {conditions} ORDER BY news.id DESC LIMIT {limit}",
            columns = news_columns(self.dialect),
            conditions = conditions.parts.join(" AND "),
        );
        let rows = self.rows(self.dialect.statement(sql, conditions.values)).await?;
        let news: Vec<RecordedNews> = rows.iter().map(recorded).collect::<Result<_, _>>()?;
        let mut deliveries = self.deliveries_of(&news).await?;
        Ok(news
            .into_iter()
            .map(|news| NewsWithDeliveries {
                deliveries: deliveries.remove(&news.id).unwrap_or_default(),
                news,
            })
            .collect())
    }

    fn conditions_of(&self, filter: &NewsFilter) -> Conditions {
        let mut conditions = Conditions::default();
        if let Some(kind) = filter.kind {
            conditions.add("news.kind =", kind.as_str());
        }
        if let Some(least) = filter.least {
            // Names of ours, not texts of anybody's.
            let levels = NewsLevel::ALL.into_iter().filter(|level| *level >= least);
            let names: Vec<String> = levels.map(|level| format!("'{level}'")).collect();
            conditions
                .parts
                .push(format!("news.level IN ({})", names.join(", ")));
        }
        if let Some(delivery) = filter.delivery {
            let state = conditions.place(delivery.as_str());
            conditions.parts.push(format!(
                "EXISTS (SELECT 1 FROM {DELIVERIES} WHERE d.news_id = news.id AND {STATE} = {state})"
            ));
        }
        if let Some(since) = filter.since {
            let place = conditions.place(-microseconds(since));
            conditions
                .parts
                .push(format!("news.created_at > {}", self.dialect.now_plus(&place)));
        }
        conditions
    }

    /// What became of each of these, by its number.
    async fn deliveries_of(&self, news: &[RecordedNews]) -> Result<BTreeMap<i64, Vec<Delivery>>, StoreError> {
        #[derive(Serialize)]
        struct Row {
            news_id: i64,
        }
        const COLUMNS: Columns = &[("news_id", ColumnType::Int)];
        let dialect = self.dialect;
        let sql = format!(
            "SELECT d.news_id, d.channel, d.message_id, {STATE} AS state, \
                 coalesce(m.attempts, 0) AS attempts, coalesce(m.last_error, '') AS last_error, \
                 CASE WHEN m.state = 'open' THEN {not_before} END AS not_before, {ended} AS ended_at \
             FROM {DELIVERIES} \
             WHERE d.news_id IN (SELECT r.news_id FROM {source}) ORDER BY d.news_id, d.channel",
            not_before = dialect.iso("m.not_before"),
            ended = dialect.iso("m.ended_at"),
            source = dialect.rows(COLUMNS),
        );
        let ids: Vec<Row> = news.iter().map(|one| Row { news_id: one.id }).collect();
        let rows = self
            .rows(dialect.statement(sql, [dialect.json_rows(&ids)]))
            .await?;
        let mut deliveries: BTreeMap<i64, Vec<Delivery>> = BTreeMap::new();
        for row in &rows {
            let of_one = deliveries.entry(row.try_get("", "news_id")?).or_default();
            of_one.push(delivery(row)?);
        }
        Ok(deliveries)
    }

    /// The channels that news is for, by name.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn news_channels(&self) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT name FROM news_channels ORDER BY name";
        let rows = self.rows(self.dialect.statement(sql, [])).await?;
        rows.iter().map(|row| Ok(row.try_get("", "name")?)).collect()
    }

    /// Removes news older than `age`, and what was sent of it. Returns how much.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn prune_news(&self, age: Duration) -> Result<u64, StoreError> {
        let dialect = self.dialect;
        let before = dialect.now_plus("$1");
        let transaction = self.begin().await?;
        let mut removed = 0;
        for sql in [
            format!(
                "DELETE FROM news_deliveries WHERE news_id IN (SELECT id FROM news WHERE created_at < {before})"
            ),
            format!(
                "DELETE FROM news_messages WHERE created_at < {before} \
                     AND NOT EXISTS (SELECT 1 FROM news_deliveries WHERE message_id = news_messages.id)"
            ),
            format!("DELETE FROM news WHERE created_at < {before}"),
        ] {
            let statement = dialect.statement(sql, [(-microseconds(age)).into()]);
            removed = transaction.execute_raw(statement).await?.rows_affected();
        }
        transaction.commit().await?;
        Ok(removed)
    }
}

/// Deliveries, and the messages that they are parts of.
const DELIVERIES: &str = "news_deliveries AS d LEFT JOIN news_messages AS m ON m.id = d.message_id";
/// Where a delivery stands: once it is packed, its message does.
const STATE: &str = "coalesce(m.state, d.state)";

fn delivery(row: &QueryResult) -> Result<Delivery, StoreError> {
    let state: String = row.try_get("", "state")?;
    let attempts: i64 = row.try_get("", "attempts")?;
    Ok(Delivery {
        channel: row.try_get("", "channel")?,
        state: DeliveryState::from_name(&state)
            .ok_or_else(|| StoreError::Bug(format!("`{state}` is no state of a delivery")))?,
        message_id: row.try_get("", "message_id")?,
        attempts: attempts.unsigned_abs(),
        last_error: row.try_get("", "last_error")?,
        not_before: row.try_get("", "not_before")?,
        ended_at: row.try_get("", "ended_at")?,
    })
}

#[derive(Serialize)]
struct Row<'a> {
    kind: NewsKind,
    level: NewsLevel,
    title: &'a str,
    text: &'a str,
    facts: &'a [Fact],
    run_id: Option<RunId>,
    unique_key: Option<&'a str>,
}

const COLUMNS: Columns = &[
    ("kind", ColumnType::Text),
    ("level", ColumnType::Text),
    ("title", ColumnType::Text),
    ("text", ColumnType::Text),
    ("facts", ColumnType::Json),
    ("run_id", ColumnType::Int),
    ("unique_key", ColumnType::Text),
];

/// Records news within a transaction. Returns how much of it was new.
pub(crate) async fn insert_news(
    transaction: &DatabaseTransaction,
    dialect: Dialect,
    news: &[News],
) -> Result<u64, StoreError> {
    if news.is_empty() {
        return Ok(0);
    }
    let rows: Vec<Row<'_>> = news
        .iter()
        .map(|one| Row {
            kind: one.kind,
            level: one.level,
            title: &one.title,
            text: &one.text,
            facts: &one.facts,
            run_id: one.run,
            unique_key: one.unique_key.as_deref(),
        })
        .collect();
    let sql = format!(
        "INSERT INTO news (created_at, kind, level, title, text, facts, run_id, unique_key) \
         SELECT {now}, r.kind, r.level, r.title, r.text, r.facts, r.run_id, r.unique_key FROM {source} WHERE true \
         ON CONFLICT (unique_key) DO NOTHING",
        now = dialect.statement_time(),
        source = dialect.rows(COLUMNS),
    );
    let statement = dialect.statement(sql, [dialect.json_rows(&rows)]);
    Ok(transaction.execute_raw(statement).await?.rows_affected())
}

/// What [`recorded`] reads, of a table called `news`.
pub(crate) fn news_columns(dialect: Dialect) -> String {
    format!(
        "news.id, {created} AS created_at, news.kind, news.level, news.title, news.text, {facts} AS facts, news.run_id",
        created = dialect.iso("news.created_at"),
        facts = dialect.as_text("news.facts"),
    )
}

pub(crate) fn recorded(row: &QueryResult) -> Result<RecordedNews, StoreError> {
    let facts: String = row.try_get("", "facts")?;
    Ok(RecordedNews {
        id: row.try_get("", "id")?,
        created_at: row.try_get("", "created_at")?,
        kind: kind(row)?,
        level: level(row)?,
        title: row.try_get("", "title")?,
        text: row.try_get("", "text")?,
        facts: serde_json::from_str(&facts)
            .map_err(|error| StoreError::Bug(format!("news.facts is damaged: {error}")))?,
        run_id: row.try_get("", "run_id")?,
    })
}

pub(crate) fn kind(row: &QueryResult) -> Result<NewsKind, StoreError> {
    let name: String = row.try_get("", "kind")?;
    NewsKind::from_name(&name).ok_or_else(|| StoreError::Bug(format!("`{name}` is no kind of news")))
}

pub(crate) fn level(row: &QueryResult) -> Result<NewsLevel, StoreError> {
    let name: String = row.try_get("", "level")?;
    NewsLevel::from_name(&name).ok_or_else(|| StoreError::Bug(format!("`{name}` is no level of news")))
}
