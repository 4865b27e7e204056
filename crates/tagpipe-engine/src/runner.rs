//! The runner's loop: claims a window of the frontier, keeps the workers busy, hands finished pages to the
//! group commit, and stops when nothing is left or somebody says so.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tagpipe_core::lifecycle::PageState;
use tagpipe_core::model::PageKind;
use tagpipe_core::outcome::Cause;
use tagpipe_store::contract::{Ending, Finish, Lease, ReadCost, ReadDocuments, RunId};
use tagpipe_store::{Store, StoreError};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::commit_queue::{CommitQueue, CommitReport, Committer, EndingKind};
use crate::error::RunError;
use crate::patience::patiently;
use crate::progress::Progress;
use crate::reader::{Alarm, Read, Reader};
use crate::settings::RunSettings;
use crate::shutdown::{Shutdown, StopRequest};

/// Most pages held beside those in hand: at a site's full speed a claim waits for the commits before it.
const RESERVE_MAX: usize = 512;
/// Pages read and not yet committed beyond which no further page is begun: memory stays bounded when the
/// database is slower than the site.
const UNCOMMITTED_MAX: usize = 512;
/// How often a runner that has nothing to do looks whether others have left something.
pub(crate) const IDLE_LOOK: Duration = Duration::from_millis(100);
/// Pages of one level whose layout does not fit, without one that does, that stop the run.
const LAYOUT_FAILURES_MAX: u64 = 3;

/// Why the loop ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Halt {
    /// No page is left open.
    Drained,
    BudgetSpent(String),
    KeptRefusing(String),
    LayoutChanged(String),
    NoFetcher(String),
    Interrupted,
    /// Asked twice: nothing was waited for.
    Aborted,
    /// Others have given this runner up, because they heard nothing of it, and have its pages.
    GivenUp,
}

type Claiming = Pin<Box<dyn Future<Output = Result<Vec<Lease>, StoreError>> + Send>>;

pub(crate) struct Runner<'a> {
    pub(crate) store: Store,
    pub(crate) run: RunId,
    pub(crate) instance: String,
    pub(crate) settings: &'a RunSettings,
    pub(crate) reader: Arc<Reader>,
    pub(crate) progress: &'a watch::Sender<Progress>,
    pub(crate) shutdown: &'a Shutdown,
    pub(crate) given_up: Shutdown,
    pub(crate) started: Instant,
    /// Reads begun in this process, against the budget.
    pub(crate) begun: u64,
}

/// What the loop keeps in hand.
struct Hand {
    queue: VecDeque<Lease>,
    workers: JoinSet<Result<Read, StoreError>>,
    commits: CommitQueue,
    claiming: Option<Claiming>,
    /// Whether there may be pages to claim.
    claimable: bool,
    /// When the next retry is due, as far as this runner knows.
    next_due: Option<Instant>,
    /// When to look whether others have left something, for want of anything to do.
    next_look: Option<Instant>,
    halt: Option<Halt>,
    layout: LayoutWatch,
    pace: PaceEstimate,
}

impl Hand {
    /// Whether what is in hand is neither finished nor given back: nobody wants to wait, or it is somebody else's.
    fn is_dropped(&self) -> bool {
        matches!(self.halt, Some(Halt::Aborted | Halt::GivenUp))
    }
}

impl Runner<'_> {
    /// Reads until the frontier is drained or something stops the run. Whatever was in hand is committed or
    /// given back.
    pub(crate) async fn drive(&mut self) -> Result<Halt, RunError> {
        let mut hand = Hand {
            queue: VecDeque::new(),
            workers: JoinSet::new(),
            commits: CommitQueue::start(self.committer()),
            claiming: None,
            claimable: true,
            next_due: None,
            next_look: None,
            halt: None,
            layout: LayoutWatch::default(),
            pace: PaceEstimate::new(),
        };
        self.reader.pacer.reopen();
        let ended = self.turn(&mut hand).await;
        if ended.is_ok() && !hand.is_dropped() {
            self.give_back_queue(&mut hand).await?;
        }
        self.reader.activity.rests();
        ended?;
        Ok(hand.halt.unwrap_or(Halt::Drained))
    }

    async fn turn(&mut self, hand: &mut Hand) -> Result<(), RunError> {
        loop {
            self.check_shutdown(hand);
            self.check_budget(hand);
            if hand.halt.is_some() {
                self.reader.pacer.close();
                if hand.is_dropped() {
                    return Ok(());
                }
                if hand.workers.is_empty() && hand.commits.uncommitted() == 0 && hand.claiming.is_none() {
                    return Ok(());
                }
            } else {
                self.claim_more(hand);
                self.begin_reads(hand);
                let idle = hand.workers.is_empty() && hand.queue.is_empty() && hand.claiming.is_none();
                if idle && hand.commits.uncommitted() == 0 && !hand.claimable {
                    if self.is_drained(hand).await? {
                        return Ok(());
                    }
                    if hand.claimable {
                        continue;
                    }
                }
            }
            self.wait(hand).await?;
        }
    }

    /// Waits for the next thing to happen, and takes it in.
    async fn wait(&mut self, hand: &mut Hand) -> Result<(), RunError> {
        let (due, look) = (hand.next_due, hand.next_look);
        // Woken by the next request this loop has not acted on; [`Self::check_shutdown`] acts on it. A request that
        // came while the loop was busy is there already, and wakes at once.
        let stop = if hand.halt.is_none() {
            StopRequest::Graceful
        } else {
            StopRequest::Now
        };
        tokio::select! {
            biased;
            () = self.shutdown.wait_for(stop) => {}
            () = self.given_up.wait_for(StopRequest::Graceful), if !hand.is_dropped() => {
                hand.halt = Some(Halt::GivenUp);
            }
            report = hand.commits.report(), if hand.commits.uncommitted() > 0 => self.take_report(hand, &report?),
            Some(joined) = hand.workers.join_next() => self.take_read(hand, joined)?,
            leases = poll(&mut hand.claiming), if hand.claiming.is_some() => {
                hand.claiming = None;
                self.take_leases(hand, leases?);
            }
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() && hand.halt.is_none() => {
                hand.next_due = None;
                hand.claimable = true;
            }
            () = sleep_until(look.unwrap_or_else(Instant::now)), if look.is_some() && hand.halt.is_none() => {
                hand.next_look = None;
            }
            () = sleep_until(self.deadline()), if self.has_deadline() && hand.halt.is_none() => {}
        }
        Ok(())
    }

    fn check_shutdown(&self, hand: &mut Hand) {
        if let Some(halt) = halt_for(self.shutdown.requested(), hand.halt.as_ref()) {
            hand.halt = Some(halt);
        }
    }

    fn check_budget(&self, hand: &mut Hand) {
        if hand.halt.is_some() {
            return;
        }
        // Pages in hand are within the budget and are read to their end, even if their slots are far.
        let pages_are_spent = self
            .settings
            .budget
            .max_pages
            .is_some_and(|most| self.begun >= most);
        if pages_are_spent && hand.workers.is_empty() {
            hand.halt = Some(Halt::BudgetSpent(format!(
                "{} page reads, as --max-pages allows",
                self.begun
            )));
        } else if self.has_deadline() && Instant::now() >= self.deadline() {
            let allowed = self.settings.budget.max_duration.unwrap_or_default();
            hand.halt = Some(Halt::BudgetSpent(format!(
                "{:.0} s, as --max-duration allows",
                allowed.as_secs_f64()
            )));
        }
    }

    fn has_deadline(&self) -> bool {
        self.settings.budget.max_duration.is_some()
    }

    fn deadline(&self) -> Instant {
        self.started + self.settings.budget.max_duration.unwrap_or_default()
    }

    /// Asks for more pages before the queue runs dry, without waiting for the answer. No more are asked for than will
    /// soon be begun: what a slow runner held back would be missing to an idle one.
    fn claim_more(&self, hand: &mut Hand) {
        let reserve = hand.pace.reserve();
        let idle = self.settings.concurrency.saturating_sub(hand.workers.len());
        let wanted = (idle + reserve).saturating_sub(hand.queue.len());
        let is_low = hand.queue.len() < idle || hand.queue.len() <= reserve / 2;
        if !hand.claimable || hand.claiming.is_some() || wanted == 0 || !is_low {
            return;
        }
        let (store, run, owner) = (self.store.clone(), self.run, self.instance.clone());
        let (term, patience) = (self.settings.lease_term, self.settings.database_patience);
        // What is found while this claim is under way makes the frontier claimable again.
        hand.claimable = false;
        hand.claiming = Some(Box::pin(async move {
            patiently(patience, "claim pages", || store.claim(run, &owner, wanted, term)).await
        }));
        hand.pace.asked = wanted;
    }

    fn take_leases(&self, hand: &mut Hand, leases: Vec<Lease>) {
        if leases.len() >= hand.pace.asked {
            hand.claimable = true;
        }
        hand.queue.extend(leases);
    }

    fn begin_reads(&mut self, hand: &mut Hand) {
        while hand.workers.len() < self.settings.concurrency
            && hand.commits.uncommitted() < UNCOMMITTED_MAX
            && self
                .settings
                .budget
                .max_pages
                .is_none_or(|most| self.begun < most)
            && let Some(lease) = hand.queue.pop_front()
        {
            self.begun += 1;
            let reader = Arc::clone(&self.reader);
            hand.workers.spawn(async move { reader.read(lease).await });
        }
    }

    fn take_read(
        &mut self,
        hand: &mut Hand,
        joined: Result<Result<Read, StoreError>, tokio::task::JoinError>,
    ) -> Result<(), RunError> {
        let read = joined
            .map_err(|error| StoreError::Bug(format!("a worker failed: {error}")))
            .and_then(|read| read)?;
        log_read(&read);
        hand.pace.count();
        if let Some(alarm) = read.alarm {
            hand.halt.get_or_insert(match alarm {
                Alarm::KeptRefusing(reason) => {
                    Halt::KeptRefusing(format!("the site kept refusing: {reason}"))
                }
                Alarm::Blocked(reason) => Halt::KeptRefusing(reason),
                Alarm::NoFetcher(reason) => Halt::NoFetcher(reason),
            });
        }
        hand.commits.push(read.finish);
        Ok(())
    }

    fn take_report(&self, hand: &mut Hand, report: &CommitReport) {
        for end in &report.ends {
            match end.ending {
                EndingKind::Retry(after) => {
                    let due = Instant::now() + after;
                    hand.next_due = Some(hand.next_due.map_or(due, |known| known.min(due)));
                }
                EndingKind::Fenced => {
                    tracing::warn!(level = %end.kind, "a lease ran out before its page was committed; the page is read by whoever has it now");
                }
                _ => {}
            }
            if let Some(reason) = hand.layout.watch(end.kind, end.ending) {
                hand.halt.get_or_insert(Halt::LayoutChanged(reason));
            }
        }
        if report.found.iter().any(|found| *found > 0) {
            hand.claimable = true;
        }
        self.progress.send_modify(|progress| {
            progress.count_commit(report);
            progress.brake = self.reader.pacer.brake();
        });
    }

    /// Whether the whole frontier is done. If not, arranges when to look again.
    async fn is_drained(&self, hand: &mut Hand) -> Result<bool, RunError> {
        let patience = self.settings.database_patience;
        let outlook = patiently(patience, "look at the frontier", || self.store.outlook(self.run)).await?;
        if outlook.available || outlook.next_due.is_some_and(|due| due.is_zero()) {
            hand.claimable = true;
            return Ok(false);
        }
        if outlook.leased {
            patiently(patience, "rescue pages", || self.store.rescue_expired(self.run)).await?;
        }
        let now = Instant::now();
        hand.next_due = outlook.next_due.map(|after| now + after);
        hand.next_look = outlook.leased.then(|| now + IDLE_LOOK);
        Ok(outlook.next_due.is_none() && !outlook.leased)
    }

    /// Gives back what was claimed and not begun.
    async fn give_back_queue(&self, hand: &mut Hand) -> Result<(), RunError> {
        if let Some(claiming) = hand.claiming.take() {
            hand.queue.extend(claiming.await?);
        }
        let batch: Vec<Finish> = hand.queue.drain(..).map(unused).collect();
        if batch.is_empty() {
            return Ok(());
        }
        let Committer {
            store,
            run,
            runner_id,
            instance,
            patience,
        } = self.committer();
        patiently(patience, "give pages back", || {
            store.finish(run, &runner_id, &instance, &batch)
        })
        .await?;
        Ok(())
    }

    fn committer(&self) -> Committer {
        Committer {
            store: self.store.clone(),
            run: self.run,
            runner_id: self.settings.runner_id.clone(),
            instance: self.instance.clone(),
            patience: self.settings.database_patience,
        }
    }
}

/// The halt that a request to stop asks for, if the loop is not stopping that urgently already.
fn halt_for(requested: StopRequest, halt: Option<&Halt>) -> Option<Halt> {
    match (requested, halt) {
        (StopRequest::None, _) | (StopRequest::Graceful, Some(_)) => None,
        (StopRequest::Graceful, None) => Some(Halt::Interrupted),
        (StopRequest::Now, _) => Some(Halt::Aborted),
    }
}

async fn poll(claiming: &mut Option<Claiming>) -> Result<Vec<Lease>, StoreError> {
    match claiming {
        Some(claiming) => claiming.await,
        None => std::future::pending().await,
    }
}

fn unused(lease: Lease) -> Finish {
    Finish {
        lease,
        cost: ReadCost::default(),
        ending: Ending::Released { began: false },
        documents: ReadDocuments::default(),
        audit: Vec::new(),
    }
}

fn log_read(read: &Read) {
    let Some(outcome) = &read.outcome else { return };
    let lease = &read.finish.lease;
    let elapsed_ms = u64::try_from(read.finish.cost.elapsed.as_millis()).unwrap_or(u64::MAX);
    let (page, attempt) = (&lease.key, lease.attempt);
    match &read.finish.ending {
        Ending::Completed { rows, .. } => {
            tracing::debug!(%page, attempt, elapsed_ms, rows = rows.len(), %outcome, "page read");
        }
        Ending::Retry { after, .. } => {
            let retry_in_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
            tracing::info!(%page, attempt, elapsed_ms, retry_in_ms, "page will be read again: {outcome}");
        }
        Ending::Failed { .. } => tracing::error!(%page, attempt, elapsed_ms, "page failed: {outcome}"),
        Ending::Skipped { .. } => tracing::warn!(%page, "page skipped: {outcome}"),
        Ending::Released { .. } => tracing::debug!(%page, "page given back"),
    }
}

/// Notices when a level's pages stop fitting the profile: one odd page is a failed page, several without a
/// good one are a changed site.
#[derive(Debug, Default)]
struct LayoutWatch {
    failed: [u64; 5],
}

impl LayoutWatch {
    fn watch(&mut self, kind: PageKind, ending: EndingKind) -> Option<String> {
        let failed = &mut self.failed[usize::from(kind.level())];
        match ending {
            EndingKind::Completed => *failed = 0,
            EndingKind::Failed(Cause::LayoutChanged) => *failed += 1,
            _ => {}
        }
        let most = if kind == PageKind::Categories {
            1
        } else {
            LAYOUT_FAILURES_MAX
        };
        (*failed >= most).then(|| format!("{failed} {kind} pages in a row do not fit the profile"))
    }
}

/// How many pages to hold beside those in hand: about half a second's work, so that none is held back when the pace is
/// slow and none is waited for when it is fast.
#[derive(Debug)]
struct PaceEstimate {
    since: Instant,
    counted: u32,
    per_second: f64,
    asked: usize,
}

impl PaceEstimate {
    fn new() -> PaceEstimate {
        PaceEstimate {
            since: Instant::now(),
            counted: 0,
            per_second: 0.0,
            asked: 0,
        }
    }

    fn count(&mut self) {
        self.counted += 1;
        let elapsed = self.since.elapsed();
        if elapsed >= Duration::from_millis(200) {
            self.per_second = f64::from(self.counted) / elapsed.as_secs_f64();
            self.counted = 0;
            self.since = Instant::now();
        }
    }

    fn reserve(&self) -> usize {
        ((self.per_second * 0.5) as usize).min(RESERVE_MAX)
    }
}

/// Whether pages of some level failed for their layout and none of that level was read.
pub(crate) fn level_without_layout(
    counts: &tagpipe_store::contract::FrontierCounts,
    failed: &[tagpipe_store::FailedPage],
) -> Option<String> {
    let of_no_page = failed
        .iter()
        .filter(|page| page.cause == Cause::LayoutChanged.as_str())
        .find(|page| counts.get(page.level, PageState::Completed) == 0)?;
    Some(format!(
        "no {} page fits the profile; {}: {}",
        of_no_page.level, of_no_page.page_key, of_no_page.reason
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_to_stop_is_acted_on_whenever_it_came() {
        let spent = Halt::BudgetSpent(String::new());
        for (requested, halt, expected) in [
            (StopRequest::None, None, None),
            (StopRequest::Graceful, None, Some(Halt::Interrupted)),
            (StopRequest::Graceful, Some(&Halt::Interrupted), None),
            (StopRequest::Graceful, Some(&spent), None),
            (StopRequest::Now, None, Some(Halt::Aborted)),
            (StopRequest::Now, Some(&Halt::Interrupted), Some(Halt::Aborted)),
        ] {
            assert_eq!(
                halt_for(requested, halt),
                expected,
                "{requested:?} while {halt:?}"
            );
        }
    }
}
