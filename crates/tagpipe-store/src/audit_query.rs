//! Reading the audit trail back: newest entries first, a page at a time, from an index whatever the filter.

use std::time::Duration;

use sea_orm::QueryResult;
use serde::Serialize;
use serde_json::Value as Json;

use crate::audit::{AuditKind, AuditLevel};
use crate::conditions::Conditions;
use crate::connect::Store;
use crate::contract::RunId;
use crate::error::StoreError;
use crate::frontier::microseconds;

/// Which entries are wanted; what is `None` does not matter.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AuditFilter {
    /// Entries of this level and above.
    pub least: Option<AuditLevel>,
    /// Entries of this kind.
    pub kind: Option<AuditKind>,
    /// Entries by this runner's name.
    pub runner_id: Option<String>,
    /// Entries of this run.
    pub run: Option<RunId>,
    /// Entries about the page with this key; with `*` at its end, about all whose keys begin so.
    pub page_key: Option<String>,
    /// Entries no older than this, by the database's clock.
    pub since: Option<Duration>,
}

/// One entry as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditRecord {
    /// Its number, by which older ones are asked for.
    pub id: i64,
    /// When, in UTC.
    pub created_at: String,
    /// Its weight.
    pub level: String,
    /// `operation`, `error` or `result`.
    pub kind: String,
    /// Who wrote it.
    pub runner_id: String,
    /// The run it belongs to, if any.
    pub run_id: Option<RunId>,
    /// The page it concerns, if any.
    pub page_key: Option<String>,
    /// What was being done.
    pub operation: String,
    /// A sentence that can be read alone.
    pub message: String,
    /// Details, units in their names.
    pub context: Json,
}

impl Store {
    /// The newest `limit` entries that `filter` lets through, newest first; with `before`, those older than the entry
    /// of that number.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn audit_entries(
        &self,
        filter: &AuditFilter,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<AuditRecord>, StoreError> {
        let mut conditions = Conditions::default();
        self.add_filter(&mut conditions, filter);
        if let Some(before) = before {
            let place = conditions.place(before);
            conditions.parts.push(format!(
                "(created_at, id) < (SELECT created_at, id FROM audit_logs WHERE id = {place})"
            ));
        }
        let limit = conditions.place(i64::from(limit));
        let newest = |level: Option<AuditLevel>| {
            let mut parts = conditions.parts.clone();
            // A name of ours, not a text of anybody's.
            parts.extend(level.map(|level| format!("level = '{}'", level.as_str())));
            let filter = if parts.is_empty() {
                "true".to_owned()
            } else {
                parts.join(" AND ")
            };
            format!(
                "SELECT * FROM (SELECT id, created_at FROM audit_logs WHERE {filter} \
                 ORDER BY created_at DESC, id DESC LIMIT {limit}) AS newest"
            )
        };
        // One index scan for each level, so that ten rare errors are not looked for among ten million pages read.
        let chosen = match filter.least {
            None | Some(AuditLevel::Debug) => newest(None),
            Some(least) => AuditLevel::ALL
                .into_iter()
                .filter(|level| *level >= least)
                .map(|level| newest(Some(level)))
                .collect::<Vec<_>>()
                .join(" UNION ALL "),
        };
        let sql = format!(
            "SELECT {columns} FROM audit_logs AS entry WHERE entry.id IN \
                 (SELECT id FROM ({chosen}) AS chosen ORDER BY created_at DESC, id DESC LIMIT {limit}) \
             ORDER BY entry.created_at DESC, entry.id DESC",
            columns = self.audit_columns(),
        );
        let rows = self.rows(self.dialect.statement(sql, conditions.values)).await?;
        rows.iter().map(record).collect()
    }

    /// Number of the newest entry; 0 if there is none.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn newest_audit_entry(&self) -> Result<i64, StoreError> {
        let sql = "SELECT coalesce(max(id), 0) AS id FROM audit_logs";
        let rows = self.rows(self.dialect.statement(sql, [])).await?;
        rows.first().map_or(Ok(0), |row| Ok(row.try_get("", "id")?))
    }

    /// The first `limit` entries with numbers above `after` and up to `until` that `filter` lets through, by number.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn audit_entries_between(
        &self,
        filter: &AuditFilter,
        after: i64,
        until: i64,
        limit: u32,
    ) -> Result<Vec<AuditRecord>, StoreError> {
        let mut conditions = Conditions::default();
        self.add_filter(&mut conditions, filter);
        conditions.add("id >", after);
        conditions.add("id <=", until);
        if let Some(least) = filter.least {
            let names: Vec<_> = AuditLevel::ALL
                .into_iter()
                .filter(|level| *level >= least)
                .map(|level| format!("'{}'", level.as_str()))
                .collect();
            conditions.parts.push(format!("level IN ({})", names.join(", ")));
        }
        let limit = conditions.place(i64::from(limit));
        let sql = format!(
            "SELECT {columns} FROM audit_logs AS entry WHERE {conditions} ORDER BY id LIMIT {limit}",
            columns = self.audit_columns(),
            conditions = conditions.parts.join(" AND "),
        );
        let rows = self.rows(self.dialect.statement(sql, conditions.values)).await?;
        rows.iter().map(record).collect()
    }

    fn add_filter(&self, conditions: &mut Conditions, filter: &AuditFilter) {
        let dialect = self.dialect;
        if let Some(kind) = filter.kind {
            conditions.add("kind =", kind.as_str());
        }
        if let Some(runner_id) = &filter.runner_id {
            conditions.add("runner_id =", dialect.text(runner_id));
        }
        if let Some(run) = filter.run {
            conditions.add("run_id =", run);
        }
        match filter
            .page_key
            .as_deref()
            .map(|key| key.strip_suffix('*').ok_or(key))
        {
            None => {}
            Some(Err(key)) => conditions.add("page_key =", dialect.text(key)),
            Some(Ok(start)) => {
                let (from, until) = (
                    conditions.place(dialect.text(start)),
                    conditions.place(dialect.text(&format!("{start}\u{10ffff}"))),
                );
                let key = dialect.by_bytes("page_key");
                conditions
                    .parts
                    .push(format!("{key} >= {from} AND {key} < {until}"));
            }
        }
        if let Some(since) = filter.since {
            let place = conditions.place(-microseconds(since));
            conditions
                .parts
                .push(format!("created_at > {}", dialect.now_plus(&place)));
        }
    }

    fn audit_columns(&self) -> String {
        format!(
            "entry.id, {time} AS created_at, entry.level, entry.kind, entry.runner_id, entry.run_id, entry.page_key, \
             entry.operation, entry.message, {context} AS context",
            time = self.dialect.iso("entry.created_at"),
            context = self.dialect.as_text("entry.context"),
        )
    }
}

fn record(row: &QueryResult) -> Result<AuditRecord, StoreError> {
    let context: String = row.try_get("", "context")?;
    Ok(AuditRecord {
        id: row.try_get("", "id")?,
        created_at: row.try_get("", "created_at")?,
        level: row.try_get("", "level")?,
        kind: row.try_get("", "kind")?,
        runner_id: row.try_get("", "runner_id")?,
        run_id: row.try_get("", "run_id")?,
        page_key: row.try_get("", "page_key")?,
        operation: row.try_get("", "operation")?,
        message: row.try_get("", "message")?,
        // Entries may also be written by others, with a text of their own.
        context: serde_json::from_str(&context).unwrap_or(Json::String(context)),
    })
}
