//! This process's share in the pace of the site: takes a slot from the database before each request,
//! waits for its time, and passes refusals on to the brake that all runners share.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tagpipe_core::model::PageKey;
use tagpipe_core::outcome::Outcome;
use tagpipe_core::profile::PaceAdvice;
use tagpipe_store::contract::{Brake, Refusal, Slot, SlotRequest};
use tagpipe_store::{Store, StoreError};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::patience::patiently;
use crate::settings::{RunSettings, Site};
use crate::shutdown::{Shutdown, StopRequest};
use crate::status::is_at_work;

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
/// A wait for a slot longer than this beside the interval is explained.
const LONG_WAIT: Duration = Duration::from_secs(15);

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
    /// Set while this runner's loop ends for a reason of its own, such as a budget.
    closed: watch::Sender<bool>,
    /// Whether the long wait that slots now take has been explained.
    has_explained: AtomicBool,
}

struct KnownBrake {
    brake: Brake,
    seen_at: Instant,
}

/// A slot that was taken, on this process's clock.
struct Taken {
    request: SlotRequest,
    slot: Slot,
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
        bring_back(&store, &site.origin, settings.interval).await?;
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
            closed: watch::Sender::new(false),
            has_explained: AtomicBool::new(false),
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
                    biased;
                    () = self.stopping(), if !begun => return Ok(None),
                    last_us = self.last_us.lock() => last_us,
                };
                let before_us = *last_us;
                let taken = self.take_slot(&mut last_us).await?;
                let waited = self
                    .wait_until(taken.due - AHEAD, &taken.slot.brake, begun)
                    .await?;
                if !matches!(waited, Waited::Near) {
                    *last_us = before_us;
                    self.give_back(&taken).await?;
                }
                match waited {
                    Waited::Near => taken,
                    Waited::Overtaken => continue,
                    Waited::Stopped => return Ok(None),
                }
            };
            match self.wait_until(taken.due, &taken.slot.brake, begun).await? {
                Waited::Near => {}
                Waited::Overtaken => {
                    self.give_back(&taken).await?;
                    continue;
                }
                Waited::Stopped => {
                    self.give_back(&taken).await?;
                    return Ok(None);
                }
            }
            // A slot is for its time. A process that was frozen or had no time meanwhile would go together with others.
            if taken.earliest.elapsed() > self.latest(&taken.slot.brake) && missed < MISSED_MAX {
                missed += 1;
                continue;
            }
            self.keep_distance().await;
            return Ok(Some(Permit {
                brake: taken.slot.brake,
            }));
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
        self.explain(&slot);
        Ok(Taken {
            due: Instant::now() + slot.wait,
            earliest: asked + slot.wait,
            request,
            slot,
        })
    }

    /// Leaves a slot whose request is not made to whoever comes next: or those who take slots in vain would push the
    /// pace of all further and further away.
    async fn give_back(&self, taken: &Taken) -> Result<(), StoreError> {
        patiently(self.patience, "give a slot back", || {
            self.store.give_back_slot(&self.site, taken.request, &taken.slot)
        })
        .await
    }

    /// Says once why requests wait, when they begin to wait long.
    fn explain(&self, slot: &Slot) {
        let is_long = slot.wait > self.least_interval().saturating_add(LONG_WAIT);
        if self.has_explained.swap(is_long, Ordering::Relaxed) || !is_long {
            return;
        }
        let wait_s = slot.wait.as_secs();
        let Brake {
            extra,
            blocked_for,
            reason,
            ..
        } = &slot.brake;
        if !blocked_for.is_zero() {
            tracing::warn!(
                wait_s,
                "the next request waits: the site asked to be left alone ({reason})"
            );
        } else if !extra.is_zero() {
            tracing::warn!(
                wait_s,
                brake_s = extra.as_secs_f64(),
                "the next request waits: the brake is closed ({reason})"
            );
        } else {
            tracing::warn!(
                wait_s,
                "the next request waits: slots of the site's pace are taken until then; `tagpipe status` shows by whom"
            );
        }
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
            () = self.closing() => {}
        }
    }

    async fn closing(&self) {
        let mut watcher = self.closed.subscribe();
        // The sender lives in `self`, so the channel cannot close while this waits.
        let _ = watcher.wait_for(|is_closed| *is_closed).await;
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

    /// Lets nobody wait for a slot any more, until it is opened again.
    pub(crate) fn close(&self) {
        self.closed.send_replace(true);
    }

    /// Lets requests wait for slots again: a run whose sums are verified goes on reading after its loop has ended.
    pub(crate) fn reopen(&self) {
        self.closed.send_replace(false);
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

/// A pace that stands far ahead of what requests can have moved it to is brought back, if nobody is at work on the site.
async fn bring_back(store: &Store, site: &str, interval: Duration) -> Result<(), StoreError> {
    let outlook = store.pace_outlook(site).await?;
    if !outlook.is_far_ahead(interval) {
        return Ok(());
    }
    for run in store.runs_under_way().await? {
        if run.site() == site && is_at_work(store, run.id).await? {
            return Ok(());
        }
    }
    if store.bring_pace_back(site, interval).await? {
        let ahead_s = outlook.next_slot_in.as_secs();
        tracing::warn!(
            site,
            ahead_s,
            "the pace of the site stood far ahead, though nobody was at work; it begins anew"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tagpipe_core::profile::SiteProfile;
    use tagpipe_store::DatabaseUrl;

    use super::*;

    const INTERVAL: Duration = Duration::from_millis(20);

    async fn open() -> (Store, Site, Pacer) {
        let store = Store::open(&DatabaseUrl::Memory, true)
            .await
            .expect("a database in memory");
        let profile = SiteProfile::builtin();
        let site = Site::of(&profile);
        let pacer = pacer(&store, &site).await;
        (store, site, pacer)
    }

    async fn pacer(store: &Store, site: &Site) -> Pacer {
        let settings = RunSettings {
            interval: INTERVAL,
            delay: Duration::ZERO,
            ..RunSettings::default()
        };
        let advice = SiteProfile::builtin().pace;
        Pacer::open(store.clone(), site, advice, &settings, Shutdown::default())
            .await
            .expect("a pace")
    }

    /// A run whose loop ended early is driven once more to verify its sums; a pacer that stayed closed gave it every page
    /// back and took a slot for each.
    #[tokio::test]
    async fn a_pacer_opened_again_gives_permits() {
        let (_store, _site, pacer) = open().await;
        pacer.close();
        assert!(pacer.permit(false).await.expect("an answer").is_none());
        pacer.reopen();
        assert!(pacer.permit(false).await.expect("an answer").is_some());
    }

    #[tokio::test]
    async fn requests_that_are_not_made_take_no_slots() {
        let (store, site, pacer) = open().await;
        let closed = Refusal {
            closures: 0,
            retry_after: None,
            reason: "429",
        };
        let advice = PaceAdvice {
            brake_first: Duration::from_secs(60),
            ..SiteProfile::builtin().pace
        };
        let brake = store
            .close_brake(&site.origin, &advice, &closed)
            .await
            .expect("closed");
        pacer.close();
        for begun in [false, true] {
            for _ in 0..20 {
                assert!(pacer.permit(begun).await.expect("an answer").is_none());
            }
        }
        let outlook = store.pace_outlook(&site.origin).await.expect("an outlook");
        let most = brake.extra + 2 * INTERVAL;
        assert!(outlook.next_slot_in <= most, "{:?}", outlook.next_slot_in);
    }

    #[tokio::test]
    async fn a_pace_left_far_ahead_begins_anew() {
        let (store, site, _pacer) = open().await;
        let long = SlotRequest {
            interval: Duration::from_secs(3600),
            delay: Duration::ZERO,
            last_us: 0,
        };
        for _ in 0..3 {
            store.take_slot(&site.origin, long).await.expect("a slot");
        }
        let pacer = pacer(&store, &site).await;
        assert!(pacer.permit(false).await.expect("an answer").is_some());
    }
}
