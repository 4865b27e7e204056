//! What people want of a run that is under way. It stands in the database, so that it reaches the runners of all machines
//! and outlives each of them.

use serde::{Deserialize, Serialize};

use crate::audit::{AuditEntry, AuditKind, AuditLevel, AuditOrigin, insert_audit};
use crate::connect::Store;
use crate::contract::RunId;
use crate::error::StoreError;

/// What people want of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Steering {
    /// It goes on.
    #[default]
    Go,
    /// No page is begun until it may go on; the runners stay.
    Pause,
    /// Its runners finish what they have in hand and leave. Its state is kept.
    Stop,
}

impl Steering {
    /// As it is stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Steering::Go => "go",
            Steering::Pause => "pause",
            Steering::Stop => "stop",
        }
    }

    pub(crate) fn stored(name: &str) -> Result<Steering, StoreError> {
        [Steering::Go, Steering::Pause, Steering::Stop]
            .into_iter()
            .find(|steering| steering.as_str() == name)
            .ok_or_else(|| StoreError::Bug(format!("`{name}` is no steering")))
    }
}

impl Store {
    /// Has the run under way do what is wanted, and enters in the audit trail who wanted it. `false` if it is not under way.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn steer(&self, run: RunId, wanted: Steering, who: &str) -> Result<bool, StoreError> {
        use sea_orm::ConnectionTrait;
        let transaction = self.begin().await?;
        let sql = "UPDATE runs SET steering = $2 WHERE id = $1 AND state = 'running' AND steering <> 'stop'";
        let values = [run.into(), wanted.as_str().into()];
        let steered = transaction
            .execute_raw(self.dialect.statement(sql, values))
            .await?
            .rows_affected()
            > 0;
        if steered {
            let entry = AuditEntry {
                level: AuditLevel::Info,
                kind: AuditKind::Operation,
                page_key: None,
                operation: "steer".into(),
                message: format!("{who} wants run {run} to {}", wanted.as_str()),
                context: serde_json::json!({ "steering": wanted, "by": who }),
            };
            let origin = AuditOrigin {
                run: Some(run),
                runner_id: "service",
            };
            insert_audit(&transaction, self.dialect, origin, &[&entry]).await?;
        }
        transaction.commit().await?;
        Ok(steered)
    }

    /// Forgets that people wanted the run to stop: somebody takes it up again. A pause lasts.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn forget_stop(&self, run: RunId) -> Result<(), StoreError> {
        let sql = "UPDATE runs SET steering = 'go' WHERE id = $1 AND steering = 'stop'";
        self.write(self.dialect.statement(sql, [run.into()])).await?;
        Ok(())
    }

    /// What is wanted of a run; `Go` if there is none.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn steering(&self, run: RunId) -> Result<Steering, StoreError> {
        let rows = self
            .rows(
                self.dialect
                    .statement("SELECT steering FROM runs WHERE id = $1", [run.into()]),
            )
            .await?;
        rows.first().map_or(Ok(Steering::Go), |row| {
            Steering::stored(&row.try_get::<String>("", "steering")?)
        })
    }
}
