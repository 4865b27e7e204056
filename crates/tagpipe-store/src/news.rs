//! News: recorded in the transaction of what it tells, so that neither is there without the other. Who is told of it is in
//! `outbox.rs`.

use std::collections::BTreeMap;
use std::time::Duration;

use sea_orm::{ConnectionTrait, DatabaseTransaction, QueryResult};
use serde::Serialize;
use tagpipe_core::news::{Fact, News, NewsKind, NewsLevel};

use crate::connect::Store;
use crate::contract::RunId;
use crate::dialect::{ColumnType, Columns, Dialect};
use crate::error::StoreError;
use crate::frontier::microseconds;

/// A piece of news as it is recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecordedNews {
    /// Its number.
    pub id: i64,
    /// When it was recorded, in UTC.
    pub created_at: String,
    /// What it is about.
    pub kind: NewsKind,
    /// How much it matters.
    pub level: NewsLevel,
    /// One line that can be read alone.
    pub title: String,
    /// More, in lines; may be empty.
    pub text: String,
    /// Figures, in the order in which they are shown.
    pub facts: Vec<Fact>,
    /// The run it is about.
    pub run_id: Option<RunId>,
}

/// What became of a piece of news on one channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Delivery {
    /// The channel.
    pub channel: String,
    /// `left_out` by the channel's rules, `waiting` for quiet hours or a digest to end, `open` while it is being sent, `sent` or
    /// `failed`.
    pub state: String,
    /// The message that it is a part of.
    pub message_id: Option<String>,
    /// How often that was sent, or tried to be.
    pub attempts: u64,
    /// Why it has not arrived.
    pub last_error: String,
    /// When it is tried next, in UTC, if it is.
    pub not_before: Option<String>,
    /// When it arrived or was given up, in UTC.
    pub ended_at: Option<String>,
}

/// A piece of news and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NewsWithDeliveries {
    /// The news.
    #[serde(flatten)]
    pub news: RecordedNews,
    /// One for each channel that has looked at it, by name.
    pub deliveries: Vec<Delivery>,
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

    /// The newest `limit` pieces of news, newest first, and what became of each.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn newest_news(&self, limit: u32) -> Result<Vec<NewsWithDeliveries>, StoreError> {
        let sql = format!(
            "SELECT {} FROM news ORDER BY id DESC LIMIT $1",
            news_columns(self.dialect)
        );
        let rows = self
            .rows(self.dialect.statement(sql, [i64::from(limit).into()]))
            .await?;
        let news: Vec<RecordedNews> = rows.iter().map(recorded).collect::<Result<_, _>>()?;
        let oldest = news.last().map_or(i64::MAX, |one| one.id);
        let mut deliveries = self.deliveries_from(oldest).await?;
        Ok(news
            .into_iter()
            .map(|news| NewsWithDeliveries {
                deliveries: deliveries.remove(&news.id).unwrap_or_default(),
                news,
            })
            .collect())
    }

    async fn deliveries_from(&self, oldest: i64) -> Result<BTreeMap<i64, Vec<Delivery>>, StoreError> {
        let dialect = self.dialect;
        let sql = format!(
            "SELECT d.news_id, d.channel, d.message_id, coalesce(m.state, d.state) AS state, \
                 coalesce(m.attempts, 0) AS attempts, coalesce(m.last_error, '') AS last_error, \
                 CASE WHEN m.state = 'open' THEN {not_before} END AS not_before, {ended} AS ended_at \
             FROM news_deliveries AS d LEFT JOIN news_messages AS m ON m.id = d.message_id \
             WHERE d.news_id >= $1 ORDER BY d.news_id, d.channel",
            not_before = dialect.iso("m.not_before"),
            ended = dialect.iso("m.ended_at"),
        );
        let rows = self.rows(dialect.statement(sql, [oldest.into()])).await?;
        let mut deliveries: BTreeMap<i64, Vec<Delivery>> = BTreeMap::new();
        for row in &rows {
            let attempts: i64 = row.try_get("", "attempts")?;
            deliveries
                .entry(row.try_get("", "news_id")?)
                .or_default()
                .push(Delivery {
                    channel: row.try_get("", "channel")?,
                    state: row.try_get("", "state")?,
                    message_id: row.try_get("", "message_id")?,
                    attempts: attempts.unsigned_abs(),
                    last_error: row.try_get("", "last_error")?,
                    not_before: row.try_get("", "not_before")?,
                    ended_at: row.try_get("", "ended_at")?,
                });
        }
        Ok(deliveries)
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
