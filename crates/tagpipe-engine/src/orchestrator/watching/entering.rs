//! How a process becomes the orchestrator of a run: there is one at most, and one that is gone is followed.

use tagpipe_store::contract::RunId;
use tagpipe_store::{OrchestratorIdentity, OrchestratorRecord};
use uuid::Uuid;

use super::super::Orchestrator;
use crate::error::RunError;
use crate::pipeline::{Entry, orchestrated_already};
use crate::process::{Presence, host_name, own_mark};

/// This process as an orchestrator.
pub(super) fn own_entry(of: &Orchestrator) -> Entry {
    Entry {
        identity: OrchestratorIdentity {
            instance: Uuid::new_v4().to_string(),
            host: host_name(),
            pid: std::process::id(),
            process_mark: own_mark(),
        },
        runners_wanted: of.settings.num_runners as u64,
    }
}

/// Enters this process as the orchestrator of a run that is gone on with. Returns its predecessor, if it had one.
pub(super) async fn enter(
    of: &Orchestrator,
    run: RunId,
    entry: &Entry,
) -> Result<Option<OrchestratorRecord>, RunError> {
    let store = of.pipeline.store();
    let before = store.orchestrator(run).await?;
    if let Some(record) = &before
        && record.is_running
        && of.pipeline.whereabouts(record) != Presence::Gone
    {
        return Err(orchestrated_already(record));
    }
    let instance = before.as_ref().map(|record| record.identity.instance.as_str());
    let entered = store
        .register_orchestrator(run, &entry.identity, entry.runners_wanted, instance)
        .await?;
    if entered {
        return Ok(before);
    }
    Err(RunError::Usage(format!(
        "another process has just begun to orchestrate run {run}; `tagpipe status` shows it"
    )))
}
