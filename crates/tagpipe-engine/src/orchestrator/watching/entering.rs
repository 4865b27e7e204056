//! How a process becomes the orchestrator of a run: there is one at most, and one that is gone is followed.

use std::time::Duration;

use tagpipe_store::contract::RunId;
use tagpipe_store::{OrchestratorIdentity, OrchestratorRecord};
use uuid::Uuid;

use super::super::Orchestrator;
use crate::error::RunError;
use crate::pipeline::Entry;
use crate::process::{Presence, host_name, own_mark, presence};

/// A run under way of the same pages whose orchestrator is gone.
pub(super) async fn left_behind(of: &Orchestrator) -> Result<Option<RunId>, RunError> {
    let store = of.pipeline.store();
    for record in store.orchestrators_at_work().await? {
        let Some(run) = store.run(record.run).await? else {
            continue;
        };
        if !of.pipeline.is_of_the_same_pages(&run) {
            continue;
        }
        match whereabouts(&record, of.pipeline.settings().lease_term) {
            Presence::Gone => return Ok(Some(run.id)),
            Presence::Here => return Err(orchestrated_already(&record)),
            Presence::Unknown => {}
        }
    }
    Ok(None)
}

/// Where an orchestrator is. One on another machine that has not been heard of for long is gone, too.
fn whereabouts(record: &OrchestratorRecord, lease_term: Duration) -> Presence {
    let who = &record.identity;
    match presence(&who.host, who.pid, &who.process_mark) {
        Presence::Unknown
            if record.silent_for > lease_term.saturating_mul(4).max(Duration::from_secs(120)) =>
        {
            Presence::Gone
        }
        known => known,
    }
}

fn orchestrated_already(record: &OrchestratorRecord) -> RunError {
    let who = &record.identity;
    RunError::Usage(format!(
        "run {} is orchestrated by process {} on {} already; `tagpipe status` shows it, and it stops in order when it is sent \
         a Ctrl-C or SIGTERM",
        record.run, who.pid, who.host
    ))
}

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

/// Enters this process as the orchestrator of `run`, unless it was with the run's start.
pub(super) async fn enter(of: &Orchestrator, run: RunId, entry: &Entry) -> Result<(), RunError> {
    let store = of.pipeline.store();
    let before = store.orchestrator(run).await?;
    if let Some(record) = &before {
        if record.identity.instance == entry.identity.instance {
            return Ok(());
        }
        if record.is_running && whereabouts(record, of.pipeline.settings().lease_term) != Presence::Gone {
            return Err(orchestrated_already(record));
        }
    }
    let before = before.map(|record| record.identity.instance);
    let entered = store
        .register_orchestrator(run, &entry.identity, entry.runners_wanted, before.as_deref())
        .await?;
    if entered {
        return Ok(());
    }
    Err(RunError::Usage(format!(
        "another process has just begun to orchestrate run {run}; `tagpipe status` shows it"
    )))
}
