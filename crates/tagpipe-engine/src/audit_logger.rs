//! The audit trail for programs that use tagpipe: entries of their own beside the runner's.

use serde_json::Value as Json;
use tagpipe_store::audit::{AuditEntry, AuditKind, AuditLevel, AuditOrigin};
use tagpipe_store::contract::RunId;
use tagpipe_store::{Store, StoreError};

/// Writes entries into `audit_logs` under one runner's name. What is written is there when the call returns.
#[derive(Debug, Clone)]
pub struct AuditLogger {
    store: Store,
    runner_id: String,
    run: Option<RunId>,
    least: AuditLevel,
}

impl AuditLogger {
    /// A logger for the program, or the part of it, called `runner_id`.
    #[must_use]
    pub fn new(store: &Store, runner_id: impl Into<String>) -> AuditLogger {
        AuditLogger {
            store: store.clone(),
            runner_id: runner_id.into(),
            run: None,
            least: AuditLevel::Info,
        }
    }

    /// The same, for entries that belong to `run`.
    #[must_use]
    pub fn for_run(mut self, run: RunId) -> AuditLogger {
        self.run = Some(run);
        self
    }

    /// The same, dropping entries below `level` (INFO by default).
    #[must_use]
    pub fn with_level(mut self, level: AuditLevel) -> AuditLogger {
        self.least = level;
        self
    }

    /// Something was begun or ended. `context` is a JSON object for queries.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn log_operation(
        &self,
        level: AuditLevel,
        operation: &str,
        message: &str,
        context: Json,
    ) -> Result<(), StoreError> {
        self.log(level, AuditKind::Operation, operation, message, context)
            .await
    }

    /// Something failed.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn log_error(&self, operation: &str, message: &str, context: Json) -> Result<(), StoreError> {
        self.log(AuditLevel::Error, AuditKind::Error, operation, message, context)
            .await
    }

    /// Something was obtained.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn log_result(&self, operation: &str, message: &str, context: Json) -> Result<(), StoreError> {
        self.log(AuditLevel::Info, AuditKind::Result, operation, message, context)
            .await
    }

    async fn log(
        &self,
        level: AuditLevel,
        kind: AuditKind,
        operation: &str,
        message: &str,
        context: Json,
    ) -> Result<(), StoreError> {
        if level < self.least {
            return Ok(());
        }
        let entry = AuditEntry {
            level,
            kind,
            page_key: None,
            operation: operation.to_owned(),
            message: message.to_owned(),
            context,
        };
        let origin = AuditOrigin {
            run: self.run,
            runner_id: &self.runner_id,
        };
        self.store.audit(origin, &[entry]).await
    }
}
