//! A runner's sign of life, from a task of its own so that a busy loop cannot delay it: it reports, renews what this
//! runner holds, and takes back what others have let run out.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tagpipe_core::news::News;
use tagpipe_fetch::Fetcher;
use tagpipe_fetch::browser::memory;
use tagpipe_store::contract::RunId;
use tagpipe_store::{ReadCounts, RunnerReport, Steering, Store, StoreError};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::news::{Judged, brake_closed, error_rate};
use crate::settings::NewsLimits;
use crate::shutdown::{Shutdown, StopRequest};

/// How often a runner reports, if its term is not too short for that.
const REPORT_EVERY: Duration = Duration::from_secs(2);

/// What a runner is doing, as its workers say.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    current_page: Mutex<String>,
    is_closing: AtomicBool,
}

impl Activity {
    /// A page was taken in hand.
    pub(crate) fn takes(&self, page: &str) {
        page.clone_into(&mut self.current_page.lock().expect("no holder of this lock panics"));
    }

    /// Nothing is in hand.
    pub(crate) fn rests(&self) {
        self.takes("");
    }

    /// Whether this runner closes its run: the right to do so is then renewed like a lease.
    pub(crate) fn closes(&self, closes: bool) {
        self.is_closing.store(closes, Ordering::Relaxed);
    }

    fn page(&self) -> String {
        self.current_page
            .lock()
            .expect("no holder of this lock panics")
            .clone()
    }
}

/// Who beats.
pub(crate) struct Heart {
    pub(crate) store: Store,
    pub(crate) run: RunId,
    /// Origin of the site.
    pub(crate) site: String,
    /// What is wrong enough to be news.
    pub(crate) limits: NewsLimits,
    pub(crate) instance: String,
    pub(crate) term: Duration,
    pub(crate) activity: Arc<Activity>,
    pub(crate) fetcher: Arc<dyn Fetcher>,
    /// Asked to stop when this runner has been given up by others.
    pub(crate) given_up: Shutdown,
    /// Asked to stop when people want the run to.
    pub(crate) stopped: Shutdown,
}

/// The beating, until dropped.
pub(crate) struct Heartbeat(JoinHandle<()>);

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Heart {
    pub(crate) fn start(self) -> Heartbeat {
        Heartbeat(tokio::spawn(self.beat()))
    }

    async fn beat(self) {
        let every = REPORT_EVERY.min(self.term / 3);
        let (mut renewed, mut rescued) = (Instant::now(), Instant::now());
        let mut judged = None;
        loop {
            sleep(every).await;
            if !self.report().await {
                self.given_up.request();
                return;
            }
            let steering = self.bounded("look at the steering", self.store.steering(self.run));
            if steering.await == Some(Steering::Stop) && self.stopped.requested() == StopRequest::None {
                tracing::info!(run = self.run, "people want the run to stop");
                self.stopped.request();
            }
            if renewed.elapsed() >= self.term / 3 {
                renewed = Instant::now();
                self.renew().await;
            }
            if rescued.elapsed() >= self.term {
                rescued = Instant::now();
                self.bounded("rescue", self.store.rescue_expired(self.run)).await;
            }
            self.look_for_trouble(&mut judged).await;
        }
    }

    /// Whether this runner is still counted on. What cannot be asked is answered by the next beat.
    async fn report(&self) -> bool {
        let page = self.activity.page();
        let report = RunnerReport {
            current_page: &page,
            memory_bytes: memory::of_process(std::process::id()) + self.fetcher.memory_bytes(),
        };
        self.bounded("report", self.store.report_runner(&self.instance, &report))
            .await
            .unwrap_or(true)
    }

    async fn renew(&self) {
        self.bounded("renewal", self.store.heartbeat(&self.instance, self.term))
            .await;
        if self.activity.is_closing.load(Ordering::Relaxed) {
            let renewal = self.store.begin_closing(self.run, &self.instance, self.term);
            self.bounded("renewal", renewal).await;
        }
    }

    /// Records what is wrong enough to be news. All runners of a run look at the same figures; of what they find, the first is
    /// recorded. `judged` are the reads up to which the rate of errors was looked at.
    async fn look_for_trouble(&self, judged: &mut Option<ReadCounts>) {
        let mut news: Vec<News> = Vec::new();
        if let Some(now) = self
            .bounded("look at the reads", self.store.read_counts(self.run))
            .await
        {
            match error_rate(self.run, *judged.get_or_insert(now), now, &self.limits) {
                Judged::TooFew => {}
                Judged::Judged(found) => {
                    *judged = Some(now);
                    news.extend(found);
                }
            }
        }
        let brake = self.bounded("look at the brake", self.store.closed_brake(&self.site));
        if let Some(Some(brake)) = brake.await {
            news.extend(brake_closed(self.run, &self.site, &brake, &self.limits));
        }
        if !news.is_empty() {
            self.bounded("record of news", self.store.record_news(&news))
                .await;
        }
    }

    /// A beat that fails is made up for by the next one; if none succeeds in time, the leases run out, which is what
    /// they are for.
    async fn bounded<T>(&self, what: &str, action: impl Future<Output = Result<T, StoreError>>) -> Option<T> {
        match timeout(self.term / 2, action).await {
            Ok(Ok(value)) => Some(value),
            Ok(Err(error)) => {
                tracing::debug!(%error, "a {what} failed");
                None
            }
            Err(_) => {
                tracing::debug!("a {what} had no answer");
                None
            }
        }
    }
}
