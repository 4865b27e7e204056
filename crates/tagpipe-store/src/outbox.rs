//! From news to messages: what each channel is told, packed into messages, and what became of those.
//!
//! - **One process sends to a channel** (`holder`, `held_until`), for a term that it renews, by the database's clock.
//! - **A message is packed once**: its id and its news stay the same however often it is sent. What was sent and not recorded,
//!   because the process died in between, is sent again under the same id.
//! - What a channel wants, and when, is decided elsewhere: here are the facts and the transitions.

use std::time::Duration;

use sea_orm::{ConnectionTrait, DatabaseTransaction, Value};
use serde::Serialize;
use tagpipe_core::news::{NewsKind, NewsLevel};

use crate::audit::{AuditEntry, AuditKind, AuditLevel, AuditOrigin, insert_audit};
use crate::connect::Store;
use crate::dialect::{ColumnType, Columns};
use crate::error::StoreError;
use crate::frontier::microseconds;
use crate::news::{RecordedNews, kind, level, news_columns, recorded};

/// News that a channel has not looked at yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Headline {
    /// Its number.
    pub id: i64,
    /// What it is about.
    pub kind: NewsKind,
    /// How much it matters.
    pub level: NewsLevel,
}

/// News that waits for a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitingNews {
    /// Its number.
    pub id: i64,
    /// How much it matters.
    pub level: NewsLevel,
    /// When it was recorded, in microseconds since 1970.
    pub created_us: i64,
}

/// A message that has not arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenMessage {
    /// Its id.
    pub id: String,
    /// How often it was tried.
    pub attempts: u32,
    /// Whether it may be tried now.
    pub is_due: bool,
    /// Whether any of its news is critical.
    pub is_critical: bool,
    /// The recipients that have it already, as the channel names them.
    pub reached: Vec<String>,
}

/// What a message is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedNews {
    /// All its news, counted by kind and level.
    pub counts: Vec<(NewsKind, NewsLevel, u64)>,
    /// The first of it: what matters most, oldest first.
    pub first: Vec<RecordedNews>,
}

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MessageEnd {
    /// It arrived.
    Sent,
    /// It arrived at some recipients; the others will never get it.
    SentInPart {
        /// Who has not got it and why, in words.
        why: String,
    },
    /// It is tried again.
    Retry {
        /// Pause from now.
        after: Duration,
        /// Why, in words.
        why: String,
        /// The recipients that have it, from this attempt and from those before.
        reached: Vec<String>,
    },
    /// It is given up.
    Failed {
        /// Why, in words.
        why: String,
    },
}

/// Rows that one step takes in hand.
const ROWS_MAX: i64 = 10_000;

/// How far back a channel looks for news that became visible after newer news: no transaction takes that long.
const LATECOMERS: Duration = Duration::from_secs(3600);

impl Store {
    /// Enters channels: from now on, news is for them. Those that are known stay as they are.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn enter_channels(&self, names: &[&str]) -> Result<(), StoreError> {
        let sql = format!(
            "INSERT INTO news_channels (name, since) VALUES ($1, {}) ON CONFLICT (name) DO NOTHING",
            self.dialect.now()
        );
        for name in names {
            self.write(self.dialect.statement(&sql, [self.dialect.text(name)]))
                .await?;
        }
        Ok(())
    }

    /// Takes the right to send to `channel` for `term`, or renews it. `false` if another process has it, or there is no such
    /// channel.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn hold_channel(
        &self,
        channel: &str,
        holder: &str,
        term: Duration,
    ) -> Result<bool, StoreError> {
        let sql = format!(
            "UPDATE news_channels SET holder = $2, held_until = {until} \
             WHERE name = $1 AND (holder = $2 OR holder = '' OR held_until <= {now})",
            until = self.dialect.now_plus("$3"),
            now = self.dialect.now(),
        );
        let values = [
            self.dialect.text(channel),
            holder.into(),
            microseconds(term).into(),
        ];
        Ok(self.write(self.dialect.statement(sql, values)).await? > 0)
    }

    /// Gives back the right to send to `channel`, if `holder` has it.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn leave_channel(&self, channel: &str, holder: &str) -> Result<(), StoreError> {
        let sql = "UPDATE news_channels SET holder = '', held_until = NULL WHERE name = $1 AND holder = $2";
        let values = [self.dialect.text(channel), holder.into()];
        self.write(self.dialect.statement(sql, values)).await?;
        Ok(())
    }

    /// Gives back the right to send to any channel.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn leave_channels(&self, holder: &str) -> Result<(), StoreError> {
        let sql = "UPDATE news_channels SET holder = '', held_until = NULL WHERE holder = $1";
        self.write(self.dialect.statement(sql, [holder.into()])).await?;
        Ok(())
    }

    /// News that `channel` has not looked at, oldest first, at most a few thousand.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn news_to_sort(&self, channel: &str) -> Result<Vec<Headline>, StoreError> {
        let dialect = self.dialect;
        let sql = format!(
            "SELECT news.id, news.kind, news.level FROM news JOIN news_channels AS c ON c.name = $1 \
             WHERE news.created_at >= {greatest}(c.since, coalesce({back}, c.since)) \
                 AND NOT EXISTS (SELECT 1 FROM news_deliveries AS d WHERE d.news_id = news.id AND d.channel = c.name) \
             ORDER BY news.created_at, news.id LIMIT {ROWS_MAX}",
            greatest = dialect.greatest(),
            back = dialect.time_at_us(&format!(
                "({} - {})",
                dialect.as_us("c.seen_until"),
                LATECOMERS.as_micros()
            )),
        );
        let rows = self.rows(dialect.statement(sql, [dialect.text(channel)])).await?;
        rows.iter()
            .map(|row| {
                Ok(Headline {
                    id: row.try_get("", "id")?,
                    kind: kind(row)?,
                    level: level(row)?,
                })
            })
            .collect()
    }

    /// Notes which news `channel` is told and which it is not. `false`, and nothing is written, if `holder` has not the right to
    /// send to it.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn sort_news(
        &self,
        channel: &str,
        holder: &str,
        sorted: &[(i64, bool)],
    ) -> Result<bool, StoreError> {
        #[derive(Serialize)]
        struct Row {
            news_id: i64,
            state: &'static str,
        }
        const COLUMNS: Columns = &[("news_id", ColumnType::Int), ("state", ColumnType::Text)];
        let rows: Vec<Row> = sorted
            .iter()
            .map(|(news_id, is_wanted)| Row {
                news_id: *news_id,
                state: if *is_wanted { "waiting" } else { "left_out" },
            })
            .collect();
        let dialect = self.dialect;
        let transaction = self.begin().await?;
        if !self.is_held(&transaction, channel, holder).await? {
            transaction.rollback().await?;
            return Ok(false);
        }
        let insert = format!(
            "INSERT INTO news_deliveries (news_id, channel, state) SELECT r.news_id, $2, r.state FROM {source} \
             WHERE true ON CONFLICT (news_id, channel) DO NOTHING",
            source = dialect.rows(COLUMNS),
        );
        let values = [dialect.json_rows(&rows), dialect.text(channel)];
        transaction.execute_raw(dialect.statement(insert, values)).await?;
        let seen = "UPDATE news_channels SET seen_until = (SELECT max(news.created_at) FROM news_deliveries AS d \
                        JOIN news ON news.id = d.news_id WHERE d.channel = $1 AND d.news_id >= $2) WHERE name = $1";
        let newest = sorted.iter().map(|(id, _)| *id).max().unwrap_or(i64::MAX);
        transaction
            .execute_raw(dialect.statement(seen, [dialect.text(channel), newest.into()]))
            .await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// What waits for `channel`, oldest first, and the database's time in microseconds since 1970.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn waiting_news(&self, channel: &str) -> Result<(i64, Vec<WaitingNews>), StoreError> {
        let dialect = self.dialect;
        let sql = format!(
            "SELECT d.news_id, news.level, {created} AS created_us FROM news_deliveries AS d \
             JOIN news ON news.id = d.news_id WHERE d.channel = $1 AND d.state = 'waiting' \
             ORDER BY d.news_id LIMIT {ROWS_MAX}",
            created = dialect.as_us("news.created_at"),
        );
        let rows = self.rows(dialect.statement(sql, [dialect.text(channel)])).await?;
        let waiting = rows
            .iter()
            .map(|row| {
                Ok(WaitingNews {
                    id: row.try_get("", "news_id")?,
                    level: level(row)?,
                    created_us: row.try_get("", "created_us")?,
                })
            })
            .collect::<Result<_, StoreError>>()?;
        Ok((self.now_us().await?, waiting))
    }

    /// Makes a message with the id `message` of news that waits for `channel`. `false`, and nothing is written, if none of it waits
    /// any more, or `holder` has not the right to send to it.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn pack_news(
        &self,
        channel: &str,
        holder: &str,
        message: &str,
        news: &[i64],
    ) -> Result<bool, StoreError> {
        #[derive(Serialize)]
        struct Row {
            news_id: i64,
        }
        const COLUMNS: Columns = &[("news_id", ColumnType::Int)];
        let dialect = self.dialect;
        let transaction = self.begin().await?;
        if news.is_empty() || !self.is_held(&transaction, channel, holder).await? {
            transaction.rollback().await?;
            return Ok(false);
        }
        let make = format!(
            "INSERT INTO news_messages (id, channel, state, not_before, created_at) VALUES ($1, $2, 'open', {now}, {now})",
            now = dialect.statement_time(),
        );
        transaction
            .execute_raw(dialect.statement(make, [message.into(), dialect.text(channel)]))
            .await?;
        let pack = format!(
            "UPDATE news_deliveries SET state = 'packed', message_id = $3 WHERE channel = $2 AND state = 'waiting' \
                 AND news_id IN (SELECT r.news_id FROM {source})",
            source = dialect.rows(COLUMNS),
        );
        let rows: Vec<Row> = news.iter().map(|news_id| Row { news_id: *news_id }).collect();
        let values = [dialect.json_rows(&rows), dialect.text(channel), message.into()];
        let packed = transaction
            .execute_raw(dialect.statement(pack, values))
            .await?
            .rows_affected();
        // Another process may have packed all of it since this one looked.
        if packed == 0 {
            transaction.rollback().await?;
            return Ok(false);
        }
        transaction.commit().await?;
        Ok(true)
    }

    /// The messages to `channel` that have not arrived and were not given up, oldest first.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn open_messages(&self, channel: &str) -> Result<Vec<OpenMessage>, StoreError> {
        let dialect = self.dialect;
        let sql = format!(
            "SELECT id, attempts, not_before <= {now} AS is_due, {reached} AS reached, \
                 EXISTS (SELECT 1 FROM news_deliveries AS d JOIN news ON news.id = d.news_id \
                         WHERE d.message_id = news_messages.id AND news.level = 'critical') AS is_critical \
             FROM news_messages WHERE channel = $1 AND state = 'open' ORDER BY created_at, id LIMIT {ROWS_MAX}",
            now = dialect.now(),
            reached = dialect.as_text("reached"),
        );
        let rows = self.rows(dialect.statement(sql, [dialect.text(channel)])).await?;
        rows.iter()
            .map(|row| {
                let reached: String = row.try_get("", "reached")?;
                let attempts: i64 = row.try_get("", "attempts")?;
                Ok(OpenMessage {
                    id: row.try_get("", "id")?,
                    attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
                    is_due: row.try_get("", "is_due")?,
                    is_critical: row.try_get("", "is_critical")?,
                    reached: serde_json::from_str(&reached).map_err(|error| {
                        StoreError::Bug(format!("news_messages.reached is damaged: {error}"))
                    })?,
                })
            })
            .collect()
    }

    /// What a message is about: counts of all its news, and the first `limit` pieces.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn packed_news(&self, message: &str, limit: u32) -> Result<PackedNews, StoreError> {
        const OF_MESSAGE: &str =
            "FROM news_deliveries AS d JOIN news ON news.id = d.news_id WHERE d.message_id = $1";
        let dialect = self.dialect;
        let counting = format!(
            "SELECT news.kind, news.level, count(*) AS pieces {OF_MESSAGE} GROUP BY news.kind, news.level"
        );
        let rows = self.rows(dialect.statement(counting, [message.into()])).await?;
        let mut counts = rows
            .iter()
            .map(|row| {
                let pieces: i64 = row.try_get("", "pieces")?;
                Ok((kind(row)?, level(row)?, pieces.unsigned_abs()))
            })
            .collect::<Result<Vec<_>, StoreError>>()?;
        counts.sort_unstable_by_key(|(kind, level, _)| (std::cmp::Reverse(*level), *kind));
        let listing = format!(
            "SELECT {columns} {OF_MESSAGE} ORDER BY CASE news.level WHEN 'critical' THEN 0 WHEN 'error' THEN 1 \
                 WHEN 'warning' THEN 2 ELSE 3 END, news.id LIMIT $2",
            columns = news_columns(dialect),
        );
        let values = [message.into(), i64::from(limit).into()];
        let rows = self.rows(dialect.statement(listing, values)).await?;
        Ok(PackedNews {
            counts,
            first: rows.iter().map(recorded).collect::<Result<_, _>>()?,
        })
    }

    /// Counts that a message is sent now. `false` if it is not to be: it has ended, is not due, or `holder` has not the right to
    /// send it.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn begin_message(
        &self,
        channel: &str,
        holder: &str,
        message: &str,
    ) -> Result<bool, StoreError> {
        let sql = format!(
            "UPDATE news_messages SET attempts = attempts + 1 WHERE id = $3 AND state = 'open' AND not_before <= {now} \
                 AND EXISTS (SELECT 1 FROM news_channels WHERE name = $1 AND holder = $2 AND held_until > {now})",
            now = self.dialect.now()
        );
        let values = [self.dialect.text(channel), holder.into(), message.into()];
        Ok(self.write(self.dialect.statement(sql, values)).await? > 0)
    }

    /// Writes what became of an attempt to send a message, whoever has the right to send it by now: what has arrived has arrived.
    /// One that is given up, for all or for some, is entered in the audit trail.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn end_message(
        &self,
        channel: &str,
        message: &str,
        end: &MessageEnd,
    ) -> Result<(), StoreError> {
        let dialect = self.dialect;
        let (state, after, why) = match end {
            MessageEnd::Sent => ("sent", Duration::ZERO, ""),
            MessageEnd::SentInPart { why } => ("sent", Duration::ZERO, why.as_str()),
            MessageEnd::Retry { after, why, .. } => ("open", *after, why.as_str()),
            MessageEnd::Failed { why } => ("failed", Duration::ZERO, why.as_str()),
        };
        let reached = match end {
            MessageEnd::Retry { reached, .. } if !reached.is_empty() => Some(dialect.json(reached)),
            _ => None,
        };
        let sql = format!(
            "UPDATE news_messages SET state = $2, not_before = {next}, last_error = $4, ended_at = {ended}{reached} \
             WHERE id = $1 AND state = 'open'",
            next = dialect.now_plus("$3"),
            ended = if state == "open" { "NULL" } else { dialect.now() },
            reached = match &reached {
                Some(_) => format!(", reached = {}", dialect.json_parameter("$5")),
                None => String::new(),
            },
        );
        let mut values: Vec<Value> = vec![
            message.into(),
            state.into(),
            microseconds(after).into(),
            dialect.text(why),
        ];
        values.extend(reached);
        let transaction = self.begin().await?;
        let ended = transaction
            .execute_raw(dialect.statement(sql, values))
            .await?
            .rows_affected();
        let trouble = match end {
            MessageEnd::Failed { why } => Some(format!("a message to {channel} was given up: {why}")),
            MessageEnd::SentInPart { why } => {
                Some(format!("a message to {channel} did not reach everybody: {why}"))
            }
            MessageEnd::Sent | MessageEnd::Retry { .. } => None,
        };
        if let (Some(trouble), 1..) = (trouble, ended) {
            let entry = AuditEntry {
                level: AuditLevel::Error,
                kind: AuditKind::Error,
                page_key: None,
                operation: "notify".into(),
                message: trouble,
                context: serde_json::json!({ "channel": channel, "message": message }),
            };
            let origin = AuditOrigin {
                run: None,
                runner_id: "notify",
            };
            insert_audit(&transaction, dialect, origin, &[&entry]).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Has the messages that were given up or put off be tried at once. Returns how many.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn reopen_messages(&self) -> Result<u64, StoreError> {
        let sql = format!(
            "UPDATE news_messages SET attempts = CASE WHEN state = 'failed' THEN 0 ELSE attempts END, state = 'open', \
                 not_before = {now}, ended_at = NULL WHERE state = 'failed' OR (state = 'open' AND not_before > {now})",
            now = self.dialect.now()
        );
        self.write(self.dialect.statement(sql, [])).await
    }

    /// Whether `holder` has the right to send to `channel`; nobody else can take it before the transaction ends.
    async fn is_held(
        &self,
        transaction: &DatabaseTransaction,
        channel: &str,
        holder: &str,
    ) -> Result<bool, StoreError> {
        let sql = format!(
            "UPDATE news_channels SET holder = holder WHERE name = $1 AND holder = $2 AND held_until > {}",
            self.dialect.now()
        );
        let values = [self.dialect.text(channel), holder.into()];
        let held = transaction
            .execute_raw(self.dialect.statement(sql, values))
            .await?
            .rows_affected();
        Ok(held > 0)
    }
}
