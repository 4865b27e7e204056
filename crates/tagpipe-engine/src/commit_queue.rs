//! Group commit: whatever finished while the last transaction was being written shares the next one. Under
//! load many pages go together; a single page on a quiet day is written at once.

use std::time::Duration;

use tagpipe_core::model::PageKind;
use tagpipe_core::outcome::Cause;
use tagpipe_store::contract::{Ending, Fate, Finish, RowCounts, RunId};
use tagpipe_store::{Store, StoreError};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::patience::patiently;

/// Most pages in one transaction: enough to spread its cost, few enough to keep it short.
const BATCH_MAX: usize = 256;

/// What became of one page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PageEnd {
    pub(crate) kind: PageKind,
    pub(crate) ending: EndingKind,
}

/// How a page ended, without its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndingKind {
    Completed,
    Retry(Duration),
    Failed(Cause),
    Skipped,
    Released,
    Fenced,
}

/// What one transaction did.
#[derive(Debug)]
pub(crate) struct CommitReport {
    pub(crate) ends: Vec<PageEnd>,
    pub(crate) rows: RowCounts,
    pub(crate) found: [u64; 5],
    pub(crate) requests: u64,
    pub(crate) bytes: u64,
}

/// Who commits, and how patiently.
#[derive(Debug, Clone)]
pub(crate) struct Committer {
    pub(crate) store: Store,
    pub(crate) run: RunId,
    pub(crate) runner_id: String,
    pub(crate) instance: String,
    pub(crate) patience: Duration,
}

/// The queue into the committing task, and its reports.
pub(crate) struct CommitQueue {
    finishes: mpsc::UnboundedSender<Finish>,
    reports: mpsc::UnboundedReceiver<CommitReport>,
    task: JoinHandle<Result<(), StoreError>>,
    uncommitted: usize,
}

impl CommitQueue {
    pub(crate) fn start(committer: Committer) -> CommitQueue {
        let (finishes, incoming) = mpsc::unbounded_channel();
        let (outgoing, reports) = mpsc::unbounded_channel();
        // On a thread of its own: each statement's answer wakes the task, which would wait each time behind what the
        // workers have in hand, with the database idle meanwhile.
        let runtime = Handle::current();
        let task =
            tokio::task::spawn_blocking(move || runtime.block_on(commit_all(committer, incoming, outgoing)));
        CommitQueue {
            finishes,
            reports,
            task,
            uncommitted: 0,
        }
    }

    /// Queues a finished page. How many may wait is bounded by the runner, which starts no page while too
    /// many do.
    pub(crate) fn push(&mut self, finish: Finish) {
        self.uncommitted += 1;
        // Fails only when the task has ended with an error, which `report` then returns.
        let _ = self.finishes.send(finish);
    }

    /// Pages queued and not yet reported.
    pub(crate) fn uncommitted(&self) -> usize {
        self.uncommitted
    }

    /// The next report. Cancel-safe.
    ///
    /// # Errors
    /// When the database did not take a transaction, and will not.
    pub(crate) async fn report(&mut self) -> Result<CommitReport, StoreError> {
        match self.reports.recv().await {
            Some(report) => {
                self.uncommitted = self.uncommitted.saturating_sub(report.ends.len());
                Ok(report)
            }
            None => Err(self.failure().await),
        }
    }

    async fn failure(&mut self) -> StoreError {
        match (&mut self.task).await {
            Ok(Err(error)) => error,
            Ok(Ok(())) => StoreError::Bug("the committing task ended before its queue did".into()),
            Err(error) => StoreError::Bug(format!("the committing task failed: {error}")),
        }
    }
}

async fn commit_all(
    committer: Committer,
    mut incoming: mpsc::UnboundedReceiver<Finish>,
    outgoing: mpsc::UnboundedSender<CommitReport>,
) -> Result<(), StoreError> {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    while incoming.recv_many(&mut batch, BATCH_MAX).await > 0 {
        let Committer {
            store,
            run,
            runner_id,
            instance,
            patience,
        } = &committer;
        let committed = patiently(*patience, "commit", || {
            store.finish(*run, runner_id, instance, &batch)
        })
        .await?;
        let ends = batch
            .iter()
            .zip(&committed.fates)
            .map(|(finish, fate)| page_end(finish, *fate))
            .collect();
        let report = CommitReport {
            ends,
            rows: committed.rows,
            found: committed.found,
            requests: batch.iter().map(|finish| u64::from(finish.cost.requests)).sum(),
            bytes: batch.iter().map(|finish| finish.cost.bytes).sum(),
        };
        batch.clear();
        if outgoing.send(report).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

fn page_end(finish: &Finish, fate: Fate) -> PageEnd {
    let ending = match (&finish.ending, fate) {
        (_, Fate::Fenced) => EndingKind::Fenced,
        (Ending::Completed { .. }, Fate::Accepted) => EndingKind::Completed,
        (Ending::Retry { after, .. }, Fate::Accepted) => EndingKind::Retry(*after),
        (Ending::Failed { cause, .. }, Fate::Accepted) => EndingKind::Failed(*cause),
        (Ending::Skipped { .. }, Fate::Accepted) => EndingKind::Skipped,
        (Ending::Released { .. }, Fate::Accepted) => EndingKind::Released,
    };
    PageEnd {
        kind: finish.lease.kind,
        ending,
    }
}
