//! This process's share in the pace of the site: takes a slot from the database before each request,
//! waits for its time, and passes refusals on to the brake that all runners share.

use std::sync::Mutex;
use std::time::Duration;

use tagpipe_core::model::PageKey;
use tagpipe_core::outcome::Outcome;
use tagpipe_core::profile::PaceAdvice;
use tagpipe_store::contract::{Brake, Refusal, SlotRequest};
use tagpipe_store::{Store, StoreError};
use tokio::time::{Instant, sleep, sleep_until};

use crate::patience::patiently;
use crate::settings::{RunSettings, Site};
use crate::shutdown::{Shutdown, StopRequest};

/// Longest wait for a slot that a page in hand is granted when the runner is asked to stop.
const STOP_GRACE: Duration = Duration::from_secs(6);
/// How old this process's knowledge of the brake may be while requests need no slot of their own.
const BRAKE_REFRESH: Duration = Duration::from_millis(500);

pub(crate) struct Pacer {
    store: Store,
    site: String,
    advice: PaceAdvice,
    interval: Duration,
    delay: Duration,
    patience: Duration,
    /// Slots are asked for one after the other, in the order of the workers' asking.
    last_us: tokio::sync::Mutex<i64>,
    /// When this process really let a request go: on a busy machine later than its slot said.
    last_let_go: tokio::sync::Mutex<Option<Instant>>,
    known: Mutex<KnownBrake>,
    shutdown: Shutdown,
    /// Set when this runner's loop ends for a reason of its own, such as a budget.
    closing: Shutdown,
}

struct KnownBrake {
    brake: Brake,
    seen_at: Instant,
    /// Grows with each refusal: a slot taken before it was taken at the old pace.
    refusals: u64,
}

/// The permission for one request.
pub(crate) struct Permit {
    /// The brake as it stood.
    pub(crate) brake: Brake,
}

impl Pacer {
    pub(crate) async fn open(
        store: Store,
        site: &Site,
        advice: PaceAdvice,
        settings: &RunSettings,
        shutdown: Shutdown,
    ) -> Result<Pacer, StoreError> {
        let last_us = patiently(settings.database_patience, "open the pace", || {
            store.open_pace(&site.origin)
        })
        .await?;
        let brake = patiently(settings.database_patience, "read the pace", || {
            store.brake(&site.origin)
        })
        .await?;
        Ok(Pacer {
            store,
            site: site.origin.clone(),
            advice,
            interval: settings.interval,
            delay: settings.delay,
            patience: settings.database_patience,
            last_us: tokio::sync::Mutex::new(last_us),
            last_let_go: tokio::sync::Mutex::default(),
            known: Mutex::new(KnownBrake {
                brake,
                seen_at: Instant::now(),
                refusals: 0,
            }),
            shutdown,
            closing: Shutdown::default(),
        })
    }

    /// Makes `delay` the least interval to the site, if it is longer than the one in force.
    pub(crate) fn keep_at_least(&mut self, delay: Duration) {
        self.interval = self.interval.max(delay);
    }

    /// Least time between two requests of this runner.
    pub(crate) fn least_interval(&self) -> Duration {
        self.interval.max(self.delay)
    }

    /// Waits until the next request may be made. `None` when somebody asked to stop meanwhile; a page that is
    /// `begun` is finished all the same, unless its slot is far away.
    pub(crate) async fn permit(&self, begun: bool) -> Result<Option<Permit>, StoreError> {
        loop {
            if let Some(brake) = self.unpaced().await? {
                return Ok(Some(Permit { brake }));
            }
            let (slot, refusals) = {
                let mut last_us = self.last_us.lock().await;
                let request = SlotRequest {
                    interval: self.interval,
                    delay: self.delay,
                    last_us: *last_us,
                };
                let refusals = self.known(|known| known.refusals);
                let slot = patiently(self.patience, "take a slot", || {
                    self.store.take_slot(&self.site, request)
                })
                .await?;
                *last_us = slot.at_us;
                (slot, refusals)
            };
            self.learn(&slot.brake);
            let stoppable = !begun || slot.wait > STOP_GRACE;
            tokio::select! {
                () = sleep(slot.wait) => {}
                () = self.shutdown.wait_for(StopRequest::Graceful), if stoppable => return Ok(None),
                () = self.closing.wait_for(StopRequest::Graceful), if stoppable => return Ok(None),
            }
            // The brake closed while this slot was waited for: it was taken at a pace that is no longer right.
            if self.known(|known| known.refusals) == refusals {
                self.keep_distance().await;
                return Ok(Some(Permit { brake: slot.brake }));
            }
        }
    }

    /// Slots are far enough apart; what this machine makes of them may not be. A process that was late waits before
    /// its next request, too, so that the site never sees two closer than they should be.
    async fn keep_distance(&self) {
        let mut last_let_go = self.last_let_go.lock().await;
        if let Some(last) = *last_let_go {
            sleep_until(last + self.least_interval()).await;
        }
        *last_let_go = Some(Instant::now());
    }

    /// Without interval, delay and brake there is nothing to wait for and no slot to take; only the brake
    /// is looked at from time to time, as another runner may have closed it.
    async fn unpaced(&self) -> Result<Option<Brake>, StoreError> {
        if !self.interval.is_zero() || !self.delay.is_zero() {
            return Ok(None);
        }
        let (brake, age) = self.known(|known| (known.brake.clone(), known.seen_at.elapsed()));
        if age < BRAKE_REFRESH {
            return Ok(brake.is_open().then_some(brake));
        }
        let brake = patiently(self.patience, "read the pace", || self.store.brake(&self.site)).await?;
        self.learn(&brake);
        Ok(brake.is_open().then_some(brake))
    }

    /// What the brake must add to the interval for a not-found screen to be believed whatever else is refused:
    /// three refusals' worth.
    pub(crate) fn calm_extra(&self) -> Duration {
        let PaceAdvice {
            brake_first,
            brake_growth,
            brake_most,
            ..
        } = self.advice;
        brake_first.mul_f64(brake_growth.powi(3)).min(brake_most)
    }

    /// Lets nobody wait for a slot any more.
    pub(crate) fn close(&self) {
        self.closing.request();
    }

    /// Tells all runners that the site refused. Returns whether it is time to give up.
    pub(crate) async fn refused(&self, page: &PageKey, outcome: &Outcome) -> Result<bool, StoreError> {
        let reason = format!("{page}: {outcome}");
        let refusal = Refusal {
            page,
            retry_after: outcome.retry_after(),
            reason: &reason,
        };
        let mut advice = self.advice.clone();
        if *outcome == Outcome::SuspectedSoft404 {
            // Pages that are truly gone must not slow the site down further and further.
            advice.brake_most = self.calm_extra();
        }
        let brake = patiently(self.patience, "close the brake", || {
            self.store.close_brake(&self.site, &advice, &refusal)
        })
        .await?;
        self.learn(&brake);
        self.known(|known| known.refusals += 1);
        Ok(brake.refusals_in_row >= self.advice.give_up_after)
    }

    /// Tells all runners that a page was good.
    pub(crate) async fn accepted(&self) -> Result<(), StoreError> {
        if self.known(|known| known.brake.extra.is_zero() && known.brake.refusals_in_row == 0) {
            return Ok(());
        }
        let brake = patiently(self.patience, "ease the brake", || {
            self.store.ease_brake(&self.site, &self.advice, 1)
        })
        .await?;
        self.learn(&brake);
        Ok(())
    }

    /// The brake as this process knows it.
    pub(crate) fn brake(&self) -> Brake {
        self.known(|known| known.brake.clone())
    }

    fn learn(&self, brake: &Brake) {
        self.known(|known| {
            known.brake = brake.clone();
            known.seen_at = Instant::now();
        });
    }

    fn known<T>(&self, action: impl FnOnce(&mut KnownBrake) -> T) -> T {
        action(&mut self.known.lock().expect("no holder of this lock panics"))
    }
}
