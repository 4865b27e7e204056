//! The audit trail: operations, errors and results, as the original guide's users query them.

use std::time::Duration;

use sea_orm::{ConnectionTrait, DatabaseTransaction};
use serde::Serialize;
use serde_json::Value as Json;

use crate::connect::Store;
use crate::contract::RunId;
use crate::dialect::{ColumnType, Columns, Dialect};
use crate::error::StoreError;
use crate::frontier::microseconds;

/// Weight of an entry, lowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum AuditLevel {
    /// Each step.
    Debug,
    /// What was done.
    Info,
    /// What deserves a look.
    Warning,
    /// What failed.
    Error,
    /// What stopped the run.
    Critical,
}

impl AuditLevel {
    /// Every level, lowest first.
    pub const ALL: [AuditLevel; 5] = [
        AuditLevel::Debug,
        AuditLevel::Info,
        AuditLevel::Warning,
        AuditLevel::Error,
        AuditLevel::Critical,
    ];

    /// The name in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            AuditLevel::Debug => "DEBUG",
            AuditLevel::Info => "INFO",
            AuditLevel::Warning => "WARNING",
            AuditLevel::Error => "ERROR",
            AuditLevel::Critical => "CRITICAL",
        }
    }

    /// The level with this name, in any case; `WARN` will do as well.
    #[must_use]
    pub fn from_name(name: &str) -> Option<AuditLevel> {
        let name = name.to_ascii_uppercase();
        let name = if name == "WARN" { "WARNING" } else { &name };
        AuditLevel::ALL.into_iter().find(|level| level.as_str() == name)
    }
}

/// What an entry is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AuditKind {
    /// Something was begun or ended.
    Operation,
    /// Something failed.
    Error,
    /// Something was obtained.
    Result,
}

impl AuditKind {
    /// The name in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            AuditKind::Operation => "operation",
            AuditKind::Error => "error",
            AuditKind::Result => "result",
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<AuditKind> {
        [AuditKind::Operation, AuditKind::Error, AuditKind::Result]
            .into_iter()
            .find(|kind| kind.as_str() == name)
    }
}

/// One entry. The time is the database's, the runner and run are its writer's.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEntry {
    /// Its weight.
    pub level: AuditLevel,
    /// What it is about.
    pub kind: AuditKind,
    /// The page it concerns, by key.
    pub page_key: Option<String>,
    /// What was being done, e.g. `read_page`.
    pub operation: String,
    /// A sentence that can be read alone.
    pub message: String,
    /// Fields for queries, units in their names.
    pub context: Json,
}

/// Who writes an entry.
#[derive(Debug, Clone, Copy)]
pub struct AuditOrigin<'a> {
    /// The run, if any.
    pub run: Option<RunId>,
    /// The runner's name, e.g. `runner_1`.
    pub runner_id: &'a str,
}

/// How long the trail is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AuditRetention {
    /// Greatest age; `None` keeps all.
    pub max_age: Option<Duration>,
    /// Greatest number of entries; `None` keeps all.
    pub max_rows: Option<u64>,
}

/// Entries removed in one transaction, so that nobody waits long for a lock.
const RETENTION_CHUNK: i64 = 10_000;

impl Store {
    /// Writes entries of their own, outside any page commit.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn audit(&self, origin: AuditOrigin<'_>, entries: &[AuditEntry]) -> Result<(), StoreError> {
        let transaction = self.begin().await?;
        insert_audit(
            &transaction,
            self.dialect,
            origin,
            &entries.iter().collect::<Vec<_>>(),
        )
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Enters in the audit trail what people have changed about the service itself.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub(crate) async fn note_change(&self, operation: &str, message: String) -> Result<(), StoreError> {
        let entry = AuditEntry {
            level: AuditLevel::Info,
            kind: AuditKind::Operation,
            page_key: None,
            operation: operation.into(),
            message,
            context: serde_json::json!({}),
        };
        let origin = AuditOrigin {
            run: None,
            runner_id: "service",
        };
        self.audit(origin, &[entry]).await
    }

    /// Removes entries beyond `retention`, oldest first. Returns how many.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn prune_audit(&self, retention: AuditRetention) -> Result<u64, StoreError> {
        let mut removed = 0;
        if let Some(age) = retention.max_age {
            let sql = format!(
                "DELETE FROM audit_logs WHERE id IN (SELECT id FROM audit_logs WHERE created_at < {} \
                 ORDER BY created_at LIMIT $2)",
                self.dialect.now_plus("$1")
            );
            removed += self.delete_in_chunks(&sql, -microseconds(age)).await?;
        }
        if let Some(rows) = retention.max_rows {
            let sql = "DELETE FROM audit_logs WHERE id IN (SELECT id FROM audit_logs WHERE id <= \
                       (SELECT id FROM audit_logs ORDER BY id DESC LIMIT 1 OFFSET $1) ORDER BY id LIMIT $2)";
            removed += self
                .delete_in_chunks(sql, i64::try_from(rows).unwrap_or(i64::MAX))
                .await?;
        }
        Ok(removed)
    }

    async fn delete_in_chunks(&self, sql: &str, bound: i64) -> Result<u64, StoreError> {
        let mut removed = 0;
        loop {
            let now = self
                .write(
                    self.dialect
                        .statement(sql, [bound.into(), RETENTION_CHUNK.into()]),
                )
                .await?;
            removed += now;
            if now == 0 {
                return Ok(removed);
            }
        }
    }
}

#[derive(Serialize)]
struct Row<'a> {
    level: AuditLevel,
    kind: AuditKind,
    page_key: Option<&'a str>,
    operation: &'a str,
    message: &'a str,
    context: &'a Json,
}

const COLUMNS: Columns = &[
    ("level", ColumnType::Text),
    ("kind", ColumnType::Text),
    ("page_key", ColumnType::Text),
    ("operation", ColumnType::Text),
    ("message", ColumnType::Text),
    ("context", ColumnType::Json),
];

/// Writes entries within a transaction.
pub(crate) async fn insert_audit(
    transaction: &DatabaseTransaction,
    dialect: Dialect,
    origin: AuditOrigin<'_>,
    entries: &[&AuditEntry],
) -> Result<(), StoreError> {
    if entries.is_empty() {
        return Ok(());
    }
    let nothing = serde_json::json!({});
    let rows: Vec<Row<'_>> = entries
        .iter()
        .map(|entry| Row {
            level: entry.level,
            kind: entry.kind,
            page_key: entry.page_key.as_deref(),
            operation: &entry.operation,
            message: &entry.message,
            context: if entry.context.is_null() {
                &nothing
            } else {
                &entry.context
            },
        })
        .collect();
    let sql = format!(
        "INSERT INTO audit_logs (created_at, level, kind, runner_id, run_id, page_key, operation, message, context) \
         SELECT {now}, r.level, r.kind, $2, $3, r.page_key, r.operation, r.message, r.context FROM {source}",
        now = dialect.now(),
        source = dialect.ordered_rows(COLUMNS),
    );
    let values = [
        dialect.json_ordered_rows(COLUMNS, &rows),
        dialect.text(origin.runner_id),
        origin.run.into(),
    ];
    transaction.execute_raw(dialect.statement(sql, values)).await?;
    Ok(())
}
