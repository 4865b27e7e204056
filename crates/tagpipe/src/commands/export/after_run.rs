//! The exports that the settings want after each run.

use tagpipe_store::audit::{AuditEntry, AuditKind, AuditLevel, AuditOrigin};
use tagpipe_store::{Store, StoreError};

use super::{Trouble, carry_out, check, in_words};
use crate::cli::{ExportArguments, GlobalArguments};
use crate::exit::{Exit, Failure};
use crate::settings::{Merged, database_url, export_settings};

/// What is exported after a run.
#[derive(Debug, Default)]
pub(crate) struct AfterRun {
    exports: Vec<ExportArguments>,
}

impl AfterRun {
    /// Of the settings, checked before the run begins.
    pub(crate) fn of(settings: &Merged) -> Result<AfterRun, Failure> {
        let wanted = export_settings(settings)?;
        let folder = wanted.to.trim_end_matches('/');
        let exports = wanted.after_run.iter().map(|name| {
            let (table, _) = name.split_once('.').unwrap_or((name, ""));
            let export = ExportArguments {
                table: vec![table.to_owned()],
                to: Some(format!("{folder}/{name}")),
                ..ExportArguments::default()
            };
            check(&export).map_err(|failure| Failure {
                message: format!(
                    "{} (set by export_after_run, which takes names such as catalogue.csv and grade_rows.parquet)",
                    failure.message
                ),
                ..failure
            })?;
            Ok(export)
        });
        Ok(AfterRun {
            exports: exports.collect::<Result<_, Failure>>()?,
        })
    }

    /// Exports, if the run came to its end. What goes wrong with it is told, and takes nothing from the run.
    pub(crate) async fn carry_out(&self, exit: Exit, global: &GlobalArguments) {
        // The sums agree, or some pages failed, or sums disagree: in each case all was read that could be.
        if !matches!(exit, Exit::Done | Exit::PagesFailed | Exit::SumsDisagree) {
            return;
        }
        for export in &self.exports {
            let carried_out = match check(export) {
                Ok(asked) => carry_out(global, export, asked).await,
                Err(failure) => Err(Trouble::from(failure)),
            };
            match carried_out.map_err(Failure::from) {
                Ok(exported) => tracing::info!("exported: {}", in_words(&exported)),
                Err(failure) => {
                    let to = export.to.as_deref().unwrap_or_default();
                    let message = format!("the run cannot be exported to {to}: {}", failure.message);
                    tracing::error!("{message}");
                    note(global, message).await;
                }
            }
        }
    }
}

/// Enters a failure in the audit trail.
async fn note(global: &GlobalArguments, message: String) {
    let entry = AuditEntry {
        level: AuditLevel::Error,
        kind: AuditKind::Error,
        page_key: None,
        operation: "export".to_owned(),
        message,
        context: serde_json::json!({}),
    };
    let origin = AuditOrigin {
        run: None,
        runner_id: "tagpipe export",
    };
    let noted = async {
        let merged = Merged::load(global.config.as_deref(), &global.given())?;
        let reading = |error: StoreError| Failure::reading(&error);
        let store = Store::open(&database_url(&merged)?, false)
            .await
            .map_err(reading)?;
        let noted = store.audit(origin, &[entry]).await.map_err(reading);
        store.close().await;
        noted
    };
    if let Err(failure) = noted.await {
        tracing::warn!("that is not in the audit trail: {}", failure.message);
    }
}
