//! This process's share in the pace of the site: takes a slot from the database before each request,
//! waits for its time, and passes refusals on to the brake that all runners share.

use std::sync::Mutex;
use std::time::Duration;

use tagpipe_core::model::PageKey;
use tagpipe_core::outcome::Outcome;
use tagpipe_core::profile::PaceAdvice;
use tagpipe_store::contract::{Brake, Refusal, SlotRequest};
use tagpipe_store::{Store, StoreError};
use tokio::time::{Instant, sleep_until};

use crate::patience::patiently;
use crate::settings::{RunSettings, Site};
use crate::shutdown::{Shutdown, StopRequest};

/// Longest wait for a slot that a page in hand is granted when the runner is asked to stop.
const STOP_GRACE: Duration = Duration::from_secs(6);
/// How old this process's knowledge of the brake may be, while requests need no slot and while one is waited for.
const BRAKE_REFRESH: Duration = Duration::from_millis(500);
/// How long before its slot a request lets the next one of this process take one: enough for the database's answer. A
/// slot is not taken earlier, so that few are taken at a pace that changes meanwhile.
const AHEAD: Duration = Duration::from_millis(50);
/// Least lateness that makes a slot worthless: less is a busy machine's or a database's, and a further slot would not
/// come sooner.
const LATE_MIN: Duration = Duration::from_millis(100);
/// How often a slot that was missed is taken anew. Then the request goes late: a machine that is always late must get on.
const MISSED_MAX: u32 = 3;

pub(crate) struct Pacer {
    store: Store,
    site: String,
    advice: PaceAdvice,
    interval: Duration,
    delay: Duration,
    patience: Duration,
    /// When this process's last slot was. Held from taking a slot until shortly before it: one after the other, in the
    /// order of the workers' asking.
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
}

/// A slot that was taken, on this process's clock.
struct Taken {
    brake: Brake,
    /// When its time has come for certain.
    due: Instant,
    /// The earliest that its time can have been: the database's answer may have come late.
    earliest: Instant,
}

/// How waiting for a slot ended.
enum Waited {
    /// Its time is near, or has come.
    Near,
    /// The brake has closed further since it was taken: it counts no more.
    Overtaken,
    Stopped,
}

/// The permission for one request.
#[derive(Debug, Clone)]
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
        let mut missed = 0;
        loop {
            if let Some(brake) = self.unpaced().await? {
                return Ok(Some(Permit { brake }));
            }
            let taken = {
                let mut last_us = tokio::select! {
                    last_us = self.last_us.lock() => last_us,
                    () = self.stopping(), if !begun => return Ok(None),
                };
                let taken = self.take_slot(&mut last_us).await?;
                match self.wait_until(taken.due - AHEAD, &taken.brake, begun).await? {
                    Waited::Near => taken,
                    Waited::Overtaken => continue,
                    Waited::Stopped => return Ok(None),
                }
            };
            match self.wait_until(taken.due, &taken.brake, begun).await? {
                Waited::Near => {}
                Waited::Overtaken => continue,
                Waited::Stopped => return Ok(None),
            }
            // A slot is for its time. A process that was frozen or had no time meanwhile would go together with others.
            if taken.earliest.elapsed() > self.latest(&taken.brake) && missed < MISSED_MAX {
                missed += 1;
                continue;
            }
            self.keep_distance().await;
            return Ok(Some(Permit { brake: taken.brake }));
        }
    }

    async fn take_slot(&self, last_us: &mut i64) -> Result<Taken, StoreError> {
        let request = SlotRequest {
            interval: self.interval,
            delay: self.delay,
            last_us: *last_us,
        };
        let asked = Instant::now();
        let slot = patiently(self.patience, "take a slot", || {
            self.store.take_slot(&self.site, request)
        })
        .await?;
        *last_us = slot.at_us;
        self.learn(&slot.brake);
        Ok(Taken {
            brake: slot.brake,
            due: Instant::now() + slot.wait,
            earliest: asked + slot.wait,
        })
    }

    /// Sleeps, and looks up meanwhile whether the brake has closed since `taken`.
    async fn wait_until(&self, due: Instant, taken: &Brake, begun: bool) -> Result<Waited, StoreError> {
        loop {
            if self.known(|known| known.brake.closures) > taken.closures {
                return Ok(Waited::Overtaken);
            }
            let now = Instant::now();
            if now >= due {
                return Ok(Waited::Near);
            }
            let next = due.min(now + BRAKE_REFRESH);
            tokio::select! {
                () = sleep_until(next) => {}
                () = self.stopping(), if !begun || due > now + STOP_GRACE => return Ok(Waited::Stopped),
            }
            if self.known(|known| known.seen_at.elapsed()) >= BRAKE_REFRESH {
                self.look_at_the_brake().await?;
            }
        }
    }

    async fn stopping(&self) {
        tokio::select! {
            () = self.shutdown.wait_for(StopRequest::Graceful) => {}
            () = self.closing.wait_for(StopRequest::Graceful) => {}
        }
    }

    /// How late a request may be for its slot: half of the way to the next one.
    fn latest(&self, brake: &Brake) -> Duration {
        ((self.least_interval() + brake.extra) / 2).max(LATE_MIN)
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
        let brake = self.look_at_the_brake().await?;
        Ok(brake.is_open().then_some(brake))
    }

    async fn look_at_the_brake(&self) -> Result<Brake, StoreError> {
        let brake = patiently(self.patience, "read the pace", || self.store.brake(&self.site)).await?;
        self.learn(&brake);
        Ok(brake)
    }

    /// What not-found screens alone may make the brake add to the interval: three refusals' worth.
    fn calm_extra(&self) -> Duration {
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

    /// Tells all runners that the site refused a request made at `permit`. Returns whether it is time to give up.
    pub(crate) async fn refused(
        &self,
        page: &PageKey,
        outcome: &Outcome,
        permit: &Permit,
    ) -> Result<bool, StoreError> {
        let reason = format!("{page}: {outcome}");
        let refusal = Refusal {
            closures: permit.brake.closures,
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
        Ok(brake.refusals_in_row >= self.advice.give_up_after)
    }

    /// Tells all runners that a page was good.
    pub(crate) async fn accepted(&self) -> Result<(), StoreError> {
        if self.known(|known| known.brake.extra.is_zero() && known.brake.refusals_in_row == 0) {
            return Ok(());
        }
        let advice = self.eased_advice();
        let brake = patiently(self.patience, "ease the brake", || {
            self.store.ease_brake(&self.site, &advice)
        })
        .await?;
        self.learn(&brake);
        Ok(())
    }

    /// The advice with the interval in force: what a good page takes off depends on it.
    fn eased_advice(&self) -> PaceAdvice {
        PaceAdvice {
            interval: self.interval,
            ..self.advice.clone()
        }
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
