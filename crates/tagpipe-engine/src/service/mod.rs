//! The service: makes orders when their time comes, has runs carried out by processes of their own, and looks after them.
//!
//! Everything that must survive stands in the database (`tagpipe-store/src/orders.rs`): the service may be killed at any
//! instant, and any number of them may share a database. What an order needs next is a rule over values ([`tending`]); this
//! file applies it.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tagpipe_store::contract::RunId;
use tagpipe_store::retry::RetryFilter;
use tagpipe_store::{
    NewOrder, OrderState, Ordered, Overlap, RunOrder, Schedule, Steering, Store, StoreError,
};
use tokio::sync::{Mutex as AsyncMutex, Notify};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::orchestrator::RunnerProcess;
use crate::shutdown::{Shutdown, StopRequest};
use crate::status::is_at_work;

mod jobs;
mod launcher;
mod options;
mod tending;
mod timetable;

use jobs::Working;
pub use jobs::{JobRequest, PlannedJob};
pub use launcher::{EffectiveSetting, Errand, Examined, Launcher};
pub use options::RunOptions;
use tending::{Busy, FAILURES_MAX, Facts, Process, Step, next_step};
pub use timetable::{Timetable, WrongTimetable};

/// How often the service looks at times and orders, if nobody wakes it.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long an order stays with a service that is not heard of any more.
const TERM: Duration = Duration::from_secs(10);

/// How late a planned time is still in time. A service looks every second; a machine may be busy.
const GRACE: Duration = Duration::from_secs(60);

/// How long runs have to finish what they have in hand when the service stops.
const STOP_WITHIN: Duration = Duration::from_secs(60);

/// How long a process may take to end after it has left its run.
const LEFT_WITHIN: Duration = Duration::from_secs(10);

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// The service over one database. Shared by its loop and everybody who asks it for something.
pub struct Service {
    store: Store,
    launcher: Arc<dyn Launcher>,
    /// Tells this process from every other service.
    instance: String,
    wake: Notify,
    is_draining: AtomicBool,
    /// What keeps the service from its work now, in words.
    trouble: Mutex<Option<String>>,
    tended: AsyncMutex<HashMap<i64, Tended>>,
    /// The export or backup at work.
    job: AsyncMutex<Option<Working>>,
    started_at: Timestamp,
}

/// What this service has of an order that it looks after.
#[derive(Default)]
struct Tended {
    process: Option<RunnerProcess>,
    /// Processes that have failed since one did not.
    failures: u32,
    retry_at: Option<Instant>,
    /// When the order was last taken or its term renewed.
    held_at: Option<Instant>,
}

/// Why a run was not ordered.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// An option is wrong; in words.
    #[error("{0}")]
    WrongOptions(String),
    /// A run is under way, and the order is not to wait for it.
    #[error("run {0} is under way")]
    Busy(RunId),
    /// The idempotency key belongs to an order with other words.
    #[error("the idempotency key belongs to another order")]
    KeyInUse,
    /// The service is about to stop.
    #[error("the service is stopping")]
    Draining,
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A run that somebody asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Settings of the run.
    pub options: RunOptions,
    /// What to do while another run is under way.
    pub when_busy: Overlap,
    /// What makes a repeated request the same one.
    pub idempotency_key: Option<String>,
    /// Who asks.
    pub by: String,
}

impl Service {
    /// A service over `store`; it does nothing until [`Service::run`].
    #[must_use]
    pub fn new(store: Store, launcher: Arc<dyn Launcher>) -> Arc<Service> {
        Arc::new(Service {
            store,
            launcher,
            instance: Uuid::new_v4().to_string(),
            wake: Notify::new(),
            is_draining: AtomicBool::new(false),
            trouble: Mutex::new(None),
            tended: AsyncMutex::default(),
            job: AsyncMutex::default(),
            started_at: Timestamp::now(),
        })
    }

    /// The database.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The program around it.
    #[must_use]
    pub fn launcher(&self) -> &dyn Launcher {
        &*self.launcher
    }

    /// Whether it is about to stop: nothing is begun any more.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Relaxed)
    }

    /// What keeps it from its work now, in words; `None` if nothing does.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Orders a run. The order is carried out soon after, if no other run is in the way.
    ///
    /// # Errors
    /// [`OrderError`] says why not.
    pub async fn order(&self, request: Request) -> Result<Ordered, OrderError> {
        if self.is_draining() {
            return Err(OrderError::Draining);
        }
        self.launcher
            .check(&request.options)
            .map_err(OrderError::WrongOptions)?;
        let order = NewOrder {
            planned: None,
            schedule_name: String::new(),
            after: Duration::ZERO,
            idempotency_key: request.idempotency_key,
            ordered_by: request.by,
            options: request.options.to_json(),
            when_busy: request.when_busy,
        };
        // A repeated request gets its first answer, whatever has begun since.
        let known = match &order.idempotency_key {
            Some(key) => self.store.order_by_key(key).await?.is_some(),
            None => false,
        };
        if !known
            && request.when_busy == Overlap::Skip
            && let Some(run) = self.run_at_work().await?
        {
            return Err(OrderError::Busy(run));
        }
        match self.store.order_run(&order).await? {
            Ordered::KeyInUse => Err(OrderError::KeyInUse),
            made => {
                self.wake.notify_one();
                Ok(made)
            }
        }
    }

    /// Has a run go on, pause or stop. `false` if it is not under way.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn steer(&self, run: RunId, wanted: Steering, by: &str) -> Result<bool, StoreError> {
        let steered = self.store.steer(run, wanted, by).await?;
        self.wake.notify_one();
        Ok(steered)
    }

    /// Has a run that stopped before its end go on. Returns the order; `None` if somebody works on it.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn go_on(&self, run: RunId, by: &str) -> Result<Option<i64>, StoreError> {
        if is_at_work(&self.store, run).await? {
            return Ok(None);
        }
        self.left(run).await?;
        self.store.forget_stop(run).await?;
        let order = self.store.order_to_go_on(run, by).await?;
        self.wake.notify_one();
        Ok(Some(order))
    }

    /// Waits a moment for a process that has left its run and not ended yet: its end is not to be taken for that of what is
    /// ordered now.
    async fn left(&self, run: RunId) -> Result<(), StoreError> {
        let deadline = Instant::now() + LEFT_WITHIN;
        while Instant::now() < deadline {
            match self.store.order_of_run(run).await? {
                Some(order) if order.state == OrderState::Taken && !order.is_free => {
                    sleep(Duration::from_millis(100)).await;
                }
                _ => break,
            }
        }
        Ok(())
    }

    /// Makes failed pages of a run available again, and has the run go on. Returns how many pages, and the order if one was
    /// needed.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn retry(
        &self,
        run: RunId,
        filter: &RetryFilter,
        by: &str,
    ) -> Result<(u64, Option<i64>), StoreError> {
        let pages = self.store.retry_failed(run, filter, "service").await?;
        let order = match pages {
            0 => None,
            _ => self.go_on(run, by).await?,
        };
        Ok((pages, order))
    }

    /// Waits, for at most `patience`, until the order has a run or is over; then says how it stands.
    ///
    /// # Errors
    /// See [`StoreError::class`].
    pub async fn begun(&self, id: i64, patience: Duration) -> Result<Option<RunOrder>, StoreError> {
        let deadline = Instant::now() + patience;
        loop {
            let order = self.store.run_order(id).await?;
            let is_settled = order.as_ref().is_none_or(|order| {
                order.run.is_some()
                    || !matches!(
                        order.state,
                        OrderState::Waiting | OrderState::Taken | OrderState::Suspended
                    )
            });
            if is_settled || Instant::now() >= deadline {
                return Ok(order);
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Does the service's work until it is asked to stop; then lets its runs finish what they have in hand. They are taken up
    /// again when a service is started next.
    pub async fn run(&self, shutdown: &Shutdown) {
        loop {
            self.look().await;
            tokio::select! {
                () = self.wake.notified() => {}
                () = sleep(LOOK_EVERY) => {}
                () = shutdown.wait_for(StopRequest::Graceful) => break,
            }
        }
        self.is_draining.store(true, Ordering::Relaxed);
        self.drain(shutdown).await;
        self.drain_jobs().await;
    }

    async fn look(&self) {
        let looked = self.do_what_is_due().await;
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        match (looked, trouble.is_some()) {
            (Ok(()), true) => {
                tracing::info!("the service is at work again");
                *trouble = None;
            }
            (Ok(()), false) => {}
            (Err(error), was_troubled) => {
                if !was_troubled {
                    tracing::warn!(%error, "the service cannot do its work; it tries again every second");
                }
                *trouble = Some(error.to_string());
            }
        }
    }

    async fn do_what_is_due(&self) -> Result<(), StoreError> {
        self.plan().await?;
        self.tend().await?;
        self.plan_jobs().await?;
        self.tend_jobs().await
    }

    /// Makes the orders whose planned time has come.
    async fn plan(&self) -> Result<(), StoreError> {
        let now = Timestamp::now();
        for schedule in self.store.schedules().await? {
            if !schedule.plan.enabled {
                continue;
            }
            // Written by somebody else's hand: what is wrong with it is shown where schedules are.
            let Ok(timetable) = Timetable::new(&schedule.plan.cron, &schedule.plan.time_zone) else {
                continue;
            };
            let since = schedule
                .since_us
                .max(schedule.planned_until_us.unwrap_or(i64::MIN));
            let Ok(since) = Timestamp::from_microsecond(since) else {
                continue;
            };
            if let Some((planned, before)) = timetable.latest(since, now) {
                self.plan_at(&schedule, planned, before, now).await?;
            }
        }
        Ok(())
    }

    async fn plan_at(
        &self,
        schedule: &Schedule,
        planned: Timestamp,
        before: u64,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let plan = &schedule.plan;
        let window = GRACE.max(Duration::from_secs(u64::from(plan.catch_up_s)));
        let late = now.duration_since(planned).unsigned_abs();
        let delay = jitter(&plan.name, planned, plan.jitter_s).saturating_sub(late);
        let order = NewOrder {
            planned: Some((schedule.id, planned.as_microsecond())),
            schedule_name: plan.name.clone(),
            after: delay,
            idempotency_key: None,
            ordered_by: format!("schedule {}", plan.name),
            options: plan.options.clone(),
            when_busy: plan.overlap,
        };
        if late > window {
            let why = format!(
                "the time was missed by {} s: no service was at work{}",
                late.as_secs(),
                match before {
                    0 => String::new(),
                    more => format!(", also at {more} times before it"),
                }
            );
            if self.store.skip_planned(&order, &why).await? {
                tracing::warn!(schedule = plan.name, %planned, "{why}");
            }
            return Ok(());
        }
        if let Ordered::Order { is_new: true, .. } = self.store.order_run(&order).await? {
            tracing::info!(schedule = plan.name, %planned, "a scheduled run is ordered");
        }
        Ok(())
    }

    /// Gives each open order what it needs next.
    async fn tend(&self) -> Result<(), StoreError> {
        let orders = self.store.open_orders().await?;
        let at_work = self.runs_at_work().await?;
        let mut tended = self.tended.lock().await;
        tended.retain(|id, _| orders.iter().any(|order| order.id == *id));
        let mut begun = None;
        // Orders that are over since this look began are in nobody's way.
        let mut over = HashSet::new();
        for order in &orders {
            let is_alive = order.run.is_some_and(|run| at_work.contains(&run));
            let facts = Facts {
                order,
                is_mine: order.state == OrderState::Taken && order.holder == self.instance,
                process: tended.get_mut(&order.id).map_or(Process::None, Tended::process),
                is_alive,
                busy_with: busy_with(
                    order,
                    orders.iter().filter(|other| !over.contains(&other.id)),
                    &at_work,
                    begun,
                ),
            };
            let step = next_step(&facts);
            if matches!(step, Step::Leave(..)) {
                over.insert(order.id);
            }
            if matches!(step, Step::Begin | Step::Resume(_)) {
                begun = Some(order.id);
            }
            self.take_step(order, step, &mut tended).await?;
        }
        Ok(())
    }

    async fn take_step(
        &self,
        order: &RunOrder,
        step: Step,
        tended: &mut HashMap<i64, Tended>,
    ) -> Result<(), StoreError> {
        match step {
            Step::Wait => return Ok(()),
            Step::StopOther(run) => {
                self.store.steer(run, Steering::Stop, &order.ordered_by).await?;
                return Ok(());
            }
            // Nothing changes, and the term is long enough.
            Step::Watch
                if tended
                    .get(&order.id)
                    .and_then(|one| one.held_at)
                    .is_some_and(|at| at.elapsed() < TERM / 4) =>
            {
                return Ok(());
            }
            _ => {}
        }
        if !self.store.hold_order(order.id, &self.instance, TERM).await? {
            // Somebody else was faster, or has taken over what this service was too slow to renew.
            tended.remove(&order.id);
            return Ok(());
        }
        let entry = tended.entry(order.id).or_default();
        entry.held_at = Some(Instant::now());
        match step {
            Step::Begin => self.start(order, None, entry).await?,
            Step::Resume(run) => self.start(order, Some(run), entry).await?,
            Step::Retry(why) => {
                entry.process = None;
                entry.failures += 1;
                if entry.failures >= FAILURES_MAX {
                    self.leave(order, OrderState::Failed, &why).await?;
                } else {
                    let pause = FIRST_PAUSE
                        .saturating_mul(1 << entry.failures.min(16))
                        .min(LONGEST_PAUSE);
                    tracing::warn!(
                        order = order.id,
                        "{why}; it is started again in {} s",
                        pause.as_secs()
                    );
                    entry.retry_at = Some(Instant::now() + pause);
                }
            }
            Step::Leave(state, why) => {
                // Its process is of the past, should the order stand again.
                tended.remove(&order.id);
                self.leave(order, state, &why).await?;
            }
            Step::Watch | Step::Wait | Step::StopOther(_) => {}
        }
        Ok(())
    }

    async fn start(
        &self,
        order: &RunOrder,
        resume: Option<RunId>,
        entry: &mut Tended,
    ) -> Result<(), StoreError> {
        let options = match RunOptions::from_json(&order.options) {
            Ok(options) => options,
            Err(why) => return self.leave(order, OrderState::Failed, &why).await,
        };
        let errand = Errand {
            order: order.id,
            options: &options,
            resume,
        };
        let checked = self.launcher.check(&options);
        let command = match checked.and_then(|()| self.launcher.command(&errand)) {
            Ok(command) => command,
            Err(why) => return self.leave(order, OrderState::Failed, &why).await,
        };
        if !self.store.count_attempt(order.id, &self.instance).await? {
            return Ok(());
        }
        match RunnerProcess::start(command, None) {
            Ok(process) => {
                tracing::info!(
                    order = order.id,
                    run = resume,
                    pid = process.pid(),
                    "{}: {}",
                    order.ordered_by,
                    if resume.is_some() { "goes on" } else { "begins" },
                );
                entry.process = Some(process);
                entry.retry_at = None;
                Ok(())
            }
            Err(error) => {
                self.leave(
                    order,
                    OrderState::Failed,
                    &format!("no process could be started: {error}"),
                )
                .await
            }
        }
    }

    async fn leave(&self, order: &RunOrder, state: OrderState, why: &str) -> Result<(), StoreError> {
        if self.store.leave_order(order, &self.instance, state, why).await? {
            let run = order.run;
            match state {
                OrderState::Failed => tracing::error!(order = order.id, run, "the order failed: {why}"),
                _ if why.is_empty() => tracing::info!(order = order.id, run, "the order is carried out"),
                _ => tracing::info!(order = order.id, run, "the order is {}: {why}", state.as_str()),
            }
        }
        Ok(())
    }

    /// A run that somebody works on now.
    async fn run_at_work(&self) -> Result<Option<RunId>, StoreError> {
        Ok(self.runs_at_work().await?.first().copied())
    }

    async fn runs_at_work(&self) -> Result<Vec<RunId>, StoreError> {
        let mut at_work = Vec::new();
        for run in self.store.runs_under_way().await? {
            if is_at_work(&self.store, run.id).await? {
                at_work.push(run.id);
            }
        }
        Ok(at_work)
    }

    /// Has the processes stop in order, and notes that their runs are to be taken up again.
    async fn drain(&self, shutdown: &Shutdown) {
        let mut tended = self.tended.lock().await;
        for one in tended.values() {
            if let Some(process) = &one.process {
                process.ask_to_stop();
            }
        }
        let deadline = Instant::now() + STOP_WITHIN;
        let mut is_hurried = false;
        while tended.values_mut().any(|one| one.process() == Process::Running) {
            let hurry = shutdown.requested() == StopRequest::Now || Instant::now() >= deadline;
            if hurry && !is_hurried {
                is_hurried = true;
                tended
                    .values()
                    .filter_map(|one| one.process.as_ref())
                    .for_each(RunnerProcess::hurry);
            }
            if hurry && Instant::now() >= deadline + Duration::from_secs(5) {
                break;
            }
            sleep(Duration::from_millis(50)).await;
        }
        if let Err(error) = self.suspend(&mut tended).await {
            tracing::warn!(%error, "the runs are taken up again when their term is over");
        }
    }

    async fn suspend(&self, tended: &mut HashMap<i64, Tended>) -> Result<(), StoreError> {
        for order in self.store.open_orders().await? {
            if order.state != OrderState::Taken || order.holder != self.instance {
                continue;
            }
            let process = tended.get_mut(&order.id).map_or(Process::None, Tended::process);
            let facts = Facts {
                order: &order,
                is_mine: true,
                process,
                is_alive: false,
                busy_with: None,
            };
            let step = match process {
                // Its own stop has interrupted it.
                Process::Ended(crate::orchestrator::Exit::Code(130 | 143)) => Step::Wait,
                _ => next_step(&facts),
            };
            let (state, why) = match (step, order.run) {
                (Step::Leave(state, why), _) => (state, why),
                (_, Some(_)) => (OrderState::Suspended, "its service was stopped".to_owned()),
                (_, None) => (OrderState::Waiting, "its service was stopped".to_owned()),
            };
            self.leave(&order, state, &why).await?;
        }
        Ok(())
    }
}

impl Tended {
    fn process(&mut self) -> Process {
        match (&mut self.process, self.retry_at) {
            (None, Some(at)) if Instant::now() < at => Process::Pausing,
            (None, _) => Process::None,
            (Some(process), _) => process.exit().map_or(Process::Running, Process::Ended),
        }
    }
}

/// What is in the way of beginning `order`: one run at a time is enough for a site that has one pace.
fn busy_with<'a>(
    order: &RunOrder,
    mut orders: impl Iterator<Item = &'a RunOrder>,
    at_work: &[RunId],
    begun: Option<i64>,
) -> Option<Busy> {
    if let Some(run) = at_work.iter().find(|run| order.run != Some(**run)) {
        return Some(Busy::Run(*run));
    }
    let carried_out = orders.find(|other| {
        other.id != order.id && matches!(other.state, OrderState::Taken | OrderState::Suspended)
    });
    let other = carried_out.map(|other| other.id).or(begun)?;
    Some(Busy::Order(other))
}

/// A delay from zero to `most_s`, random from one time to the next, and the same for every service.
fn jitter(name: &str, planned: Timestamp, most_s: u32) -> Duration {
    let mut hasher = DefaultHasher::new();
    (name, planned.as_microsecond()).hash(&mut hasher);
    Duration::from_secs(hasher.finish() % (u64::from(most_s) + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_within_its_bound_and_is_the_same_for_all() {
        let start: Timestamp = "2026-11-01T00:00:00Z".parse().expect("a time");
        let times: Vec<_> = (0..200)
            .map(|day| start + jiff::SignedDuration::from_hours(24 * day))
            .collect();
        let delays: Vec<_> = times.iter().map(|time| jitter("weekly", *time, 600)).collect();
        assert!(delays.iter().all(|delay| *delay <= Duration::from_secs(600)));
        let different: std::collections::HashSet<_> = delays.iter().collect();
        assert!(different.len() > 100, "{different:?}");
        assert_eq!(jitter("weekly", times[3], 600), delays[3]);
        assert_eq!(jitter("weekly", times[3], 0), Duration::ZERO);
    }
}
