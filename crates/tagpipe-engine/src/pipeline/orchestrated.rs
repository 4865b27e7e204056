//! Which runs have an orchestrator already: the same pages are not read twice at a time by two of them.

use std::time::Duration;

use tagpipe_store::contract::RunId;
use tagpipe_store::{OrchestratorIdentity, OrchestratorRecord};

use super::Pipeline;
use super::beginning::is_overtaken;
use crate::error::RunError;
use crate::process::{Presence, presence};

/// An orchestrator that is there and was not heard of for so long probably hangs.
const HANGS_AFTER: Duration = Duration::from_secs(60);

/// The process that orchestrates a run, as it is entered.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) identity: OrchestratorIdentity,
    pub(crate) runners_wanted: u64,
}

impl Pipeline {
    /// Of runs under way and their orchestrators, one of the same pages whose orchestrator is gone.
    ///
    /// # Errors
    /// [`RunError::Usage`] when such a run has an orchestrator that is not.
    pub(crate) async fn find_left_behind(
        &self,
        records: Vec<OrchestratorRecord>,
    ) -> Result<Option<RunId>, RunError> {
        for record in records {
            let Some(run) = self.store.run(record.run).await? else {
                continue;
            };
            if !self.is_of_the_same_pages(&run) {
                continue;
            }
            match self.whereabouts(&record) {
                Presence::Gone if is_overtaken(&self.store, &run).await? => {}
                Presence::Gone => return Ok(Some(run.id)),
                Presence::Here | Presence::Unknown => return Err(orchestrated_already(&record)),
            }
        }
        Ok(None)
    }

    /// Where an orchestrator is. One on another machine that has not been heard of for long is gone, too.
    pub(crate) fn whereabouts(&self, record: &OrchestratorRecord) -> Presence {
        let who = &record.identity;
        match presence(&who.host, who.pid, &who.process_mark) {
            Presence::Unknown if record.silent_for > self.orchestrator_silence_max() => Presence::Gone,
            known => known,
        }
    }

    fn orchestrator_silence_max(&self) -> Duration {
        self.settings
            .lease_term
            .saturating_mul(4)
            .max(Duration::from_secs(120))
    }
}

pub(crate) fn orchestrated_already(record: &OrchestratorRecord) -> RunError {
    let who = &record.identity;
    let remedy = if record.silent_for > HANGS_AFTER {
        format!(
            "if it hangs, end it there with `kill -9 {}`: nothing is lost",
            who.pid
        )
    } else {
        "it stops in order when it is sent a Ctrl-C or SIGTERM".to_owned()
    };
    RunError::Usage(format!(
        "run {} is orchestrated by process {} on {} already, heard of {} s ago; `tagpipe status` shows it, and {remedy}",
        record.run,
        who.pid,
        who.host,
        record.silent_for.as_secs()
    ))
}
