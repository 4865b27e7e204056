//! Making failed pages available again, chosen by a person.

use std::time::Duration;

use sea_orm::{ConnectionTrait, Value};
use tagpipe_core::lifecycle::RunState;
use tagpipe_core::model::PageKind;
use tagpipe_core::outcome::Cause;

use crate::audit::{AuditEntry, AuditKind, AuditLevel, AuditOrigin, insert_audit};
use crate::connect::Store;
use crate::contract::RunId;
use crate::error::StoreError;
use crate::frontier::{REOPEN_FAILED, microseconds};

/// Which failed pages of a run are wanted; what is empty does not matter.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RetryFilter {
    /// Of one of these levels.
    pub levels: Vec<PageKind>,
    /// Failed for one of these causes.
    pub causes: Vec<Cause>,
    /// Failed no longer ago than this, by the database's clock.
    pub since: Option<Duration>,
    /// The page of this key alone.
    pub page_key: Option<String>,
}

impl Store {
    /// Makes the failed pages of `run` that `filter` lets through available again, and the run one that can be
    /// resumed. Returns how many. The page's own counters start anew; its attempts are kept.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn retry_failed(
        &self,
        run: RunId,
        filter: &RetryFilter,
        runner_id: &str,
    ) -> Result<u64, StoreError> {
        let mut values: Vec<Value> = vec![run.into()];
        let mut conditions = String::new();
        let mut place = |value: Value| {
            values.push(value);
            format!("${}", values.len())
        };
        if !filter.levels.is_empty() {
            let places: Vec<_> = filter
                .levels
                .iter()
                .map(|level| place(i64::from(level.level()).into()))
                .collect();
            conditions += &format!(" AND level IN ({})", places.join(", "));
        }
        if !filter.causes.is_empty() {
            let places: Vec<_> = filter
                .causes
                .iter()
                .map(|cause| place(cause.as_str().into()))
                .collect();
            conditions += &format!(" AND last_outcome IN ({})", places.join(", "));
        }
        if let Some(since) = filter.since {
            let from = place((-microseconds(since)).into());
            conditions += &format!(" AND finished_at > {}", self.dialect.now_plus(&from));
        }
        if let Some(page_key) = &filter.page_key {
            let key = place(self.dialect.text(page_key));
            conditions += &format!(" AND page_key = {key}");
        }
        let sql = format!("{REOPEN_FAILED}{conditions}");
        let transaction = self.begin().await?;
        let pages = transaction
            .execute_raw(self.dialect.statement(sql, values))
            .await?
            .rows_affected();
        if pages > 0 {
            let reopen = "UPDATE runs SET state = $1, finished_at = NULL WHERE id = $2 AND state = $3";
            let states = [
                RunState::Interrupted.as_str().into(),
                run.into(),
                RunState::Disputed.as_str().into(),
            ];
            transaction
                .execute_raw(self.dialect.statement(reopen, states))
                .await?;
            let entry = AuditEntry {
                level: AuditLevel::Info,
                kind: AuditKind::Operation,
                page_key: None,
                operation: "retry".into(),
                message: format!("{pages} failed pages of run {run} made available again"),
                context: serde_json::json!({
                    "pages": pages,
                    "levels": filter.levels,
                    "causes": filter.causes,
                    "since_s": filter.since.map(|since| since.as_secs()),
                }),
            };
            let origin = AuditOrigin {
                run: Some(run),
                runner_id,
            };
            insert_audit(&transaction, self.dialect, origin, &[&entry]).await?;
        }
        transaction.commit().await?;
        Ok(pages)
    }
}
