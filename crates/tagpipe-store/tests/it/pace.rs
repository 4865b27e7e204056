//! One pace for all runners, by the database's clock.

use std::time::Duration;

use tagpipe_core::profile::PaceAdvice;
use tagpipe_store::StoreError;
use tagpipe_store::contract::{Brake, Refusal, Slot, SlotRequest};

use crate::harness::*;

on_both_engines! {
    slots_keep_the_interval,
    slots_of_many_processes_keep_the_interval,
    a_runner_keeps_its_own_delay,
    without_interval_and_delay_nobody_waits,
    the_brake_grows_to_its_cap,
    the_brake_moves_the_next_slot_by_no_more_than_its_cap,
    retry_after_blocks_everybody,
    an_absurd_retry_after_is_bounded,
    good_pages_ease_the_brake,
    not_found_is_calm_only_after_a_good_page_at_a_slow_pace,
    requests_refused_together_close_the_brake_once,
    the_brake_opens_by_equal_steps_of_the_rate,
    each_runner_keeps_its_own_interval_to_whoever_was_last,
    a_lower_limit_does_not_open_the_brake,
    the_pace_survives_reopening,
    an_unopened_site_has_no_slots,
    sites_do_not_share_a_pace,
    slots_given_back_do_not_push_the_next_one_away,
    a_slot_given_back_leaves_intervals_and_brake_as_they_were,
    a_slot_that_was_followed_stays_taken,
    a_pace_far_ahead_is_brought_back,
}

const SITE: &str = "https://example.test";
const SECOND: Duration = Duration::from_secs(1);

fn advice() -> PaceAdvice {
    PaceAdvice {
        interval: SECOND,
        advice: String::new(),
        brake_first: 2 * SECOND,
        brake_growth: 3.0,
        brake_most: 10 * SECOND,
        brake_ease: SECOND,
        give_up_after: 10,
    }
}

fn every(interval: Duration) -> SlotRequest {
    SlotRequest {
        interval,
        delay: Duration::ZERO,
        last_us: 0,
    }
}

/// A refusal of a request that was made at the pace now in force.
async fn refuse(crawl: &Crawl, retry_after: Option<Duration>) -> Brake {
    let refusal = Refusal {
        closures: crawl.store.brake(SITE).await.unwrap().closures,
        retry_after,
        reason: "429, too many \0requests",
    };
    crawl.store.close_brake(SITE, &advice(), &refusal).await.unwrap()
}

fn assert_apart(mut slots: Vec<i64>, least: Duration) {
    slots.sort_unstable();
    for pair in slots.windows(2) {
        assert!(pair[1] - pair[0] >= least.as_micros() as i64, "{pair:?}");
    }
}

async fn slots_keep_the_interval(crawl: Crawl) {
    assert_eq!(crawl.store.open_pace(SITE).await.unwrap(), 0);
    let interval = Duration::from_millis(700);
    let mut slots = Vec::new();
    for number in 0..10 {
        let Slot { wait, at_us, brake } = crawl.store.take_slot(SITE, every(interval)).await.unwrap();
        assert!(brake.is_open());
        assert!(wait <= number * interval, "slot {number} waits for {wait:?}");
        slots.push(at_us);
    }
    assert!(slots.is_sorted());
    assert_apart(slots, interval);
}

async fn slots_of_many_processes_keep_the_interval(crawl: Crawl) {
    crawl.store.open_pace(SITE).await.unwrap();
    let interval = Duration::from_millis(3);
    let mut takers = Vec::new();
    for _ in 0..4 {
        let store = crawl.database.open().await;
        takers.push(tokio::spawn(async move {
            store.open_pace(SITE).await.unwrap();
            let mut slots = Vec::new();
            for _ in 0..25 {
                slots.push(store.take_slot(SITE, every(interval)).await.unwrap().at_us);
            }
            slots
        }));
    }
    let mut slots = Vec::new();
    for taker in takers {
        slots.extend(taker.await.unwrap());
    }
    assert_eq!(slots.len(), 100);
    assert_apart(slots, interval);
}

async fn a_runner_keeps_its_own_delay(crawl: Crawl) {
    crawl.store.open_pace(SITE).await.unwrap();
    let delay = 5 * SECOND;
    let first = crawl.store.take_slot(SITE, every(Duration::ZERO)).await.unwrap();
    let request = SlotRequest {
        interval: Duration::ZERO,
        delay,
        last_us: first.at_us,
    };
    let second = crawl.store.take_slot(SITE, request).await.unwrap();
    assert_eq!(second.at_us - first.at_us, delay.as_micros() as i64);
    assert!(
        second.wait <= delay && second.wait > delay - SECOND,
        "{:?}",
        second.wait
    );
}

async fn without_interval_and_delay_nobody_waits(crawl: Crawl) {
    crawl.store.open_pace(SITE).await.unwrap();
    for _ in 0..20 {
        let slot = crawl.store.take_slot(SITE, every(Duration::ZERO)).await.unwrap();
        assert!(slot.wait < Duration::from_millis(5), "{:?}", slot.wait);
    }
}

async fn the_brake_grows_to_its_cap(crawl: Crawl) {
    crawl.store.open_pace(SITE).await.unwrap();
    assert!(crawl.store.brake(SITE).await.unwrap().is_open());
    for (refusals, extra) in [(1, 2), (2, 6), (3, 10), (4, 10)] {
        let brake = refuse(&crawl, None).await;
        assert_eq!((brake.refusals_in_row, brake.extra), (refusals, extra * SECOND));
        assert_eq!(brake.reason, "429, too many \u{fffd}requests");
        assert!(brake.blocked_for.is_zero() && !brake.is_open());
        let seen = crawl.store.brake(SITE).await.unwrap();
        assert_eq!((seen.extra, seen.refusals_in_row), (brake.extra, refusals));
    }
    let first = crawl.store.take_slot(SITE, every(SECOND)).await.unwrap();
    let second = crawl.store.take_slot(SITE, every(SECOND)).await.unwrap();
    assert_eq!(second.at_us - first.at_us, 11_000_000);
    assert_eq!(second.brake.extra, 10 * SECOND);
}

async fn the_brake_moves_the_next_slot_by_no_more_than_its_cap(crawl: Crawl) {
    crawl.store.open_pace(SITE).await.unwrap();
    for _ in 0..5 {
        refuse(&crawl, None).await;
    }
    let slot = crawl.store.take_slot(SITE, every(SECOND)).await.unwrap();
    assert!(
        slot.wait <= 10 * SECOND && slot.wait > 8 * SECOND,
        "{:?}",
        slot.wait
    );
}

async fn retry_after_blocks_everybody(crawl: Crawl) {
    crawl.store.open_pace(SITE).await.unwrap();
    let brake = refuse(&crawl, Some(120 * SECOND)).await;
    assert!(
        brake.blocked_for > 118 * SECOND && brake.blocked_for <= 120 * SECOND,
        "{:?}",
        brake.blocked_for
    );
    // A shorter one does not shorten it.
    let brake = refuse(&crawl, Some(SECOND)).await;
    assert!(brake.blocked_for > 118 * SECOND, "{:?}", brake.blocked_for);
    let slot = crawl
        .database
        .open()
        .await
        .take_slot(SITE, every(SECOND))
        .await
        .unwrap();
    assert!(
        slot.wait > 118 * SECOND && slot.wait <= 120 * SECOND,
        "{:?}",
        slot.wait
    );
}

async fn an_absurd_retry_after_is_bounded(crawl: Crawl) {
    crawl.store.open_pace(SITE).await.unwrap();
    let brake = refuse(&crawl, Some(Duration::MAX)).await;
    assert!(brake.blocked_for > 300 * 24 * 3600 * SECOND);
    let slot = crawl
        .store
        .take_slot(
            SITE,
            SlotRequest {
                delay: Duration::MAX,
                ..every(Duration::MAX)
            },
        )
        .await
        .unwrap();
    assert!(slot.wait > 300 * 24 * 3600 * SECOND);
}

async fn good_pages_ease_the_brake(crawl: Crawl) {
    crawl.store.open_pace(SITE).await.unwrap();
    refuse(&crawl, None).await;
    refuse(&crawl, None).await;
    // T' = T / (1 + T * 1/2²), less the interval, or a whole ease off if that is more.
    for (extra_ms, reason) in [(1545, false), (545, false), (0, true), (0, true)] {
        let brake = crawl.store.ease_brake(SITE, &advice()).await.unwrap();
        let apart = brake.extra.as_millis().abs_diff(extra_ms);
        assert!(apart <= 1, "{:?} instead of {extra_ms} ms", brake.extra);
        assert_eq!((brake.refusals_in_row, brake.reason.is_empty()), (0, reason));
    }
}

async fn a_lower_limit_does_not_open_the_brake(crawl: Crawl) {
    crawl.store.open_pace(SITE).await.unwrap();
    for _ in 0..3 {
        refuse(&crawl, None).await;
    }
    let before = crawl.store.brake(SITE).await.unwrap().extra;
    let lower = PaceAdvice {
        brake_most: SECOND,
        ..advice()
    };
    let refusal = Refusal {
        closures: u64::MAX >> 1,
        retry_after: None,
        reason: "not found",
    };
    let after = crawl
        .store
        .close_brake(SITE, &lower, &refusal)
        .await
        .unwrap()
        .extra;
    assert!(before > SECOND);
    assert_eq!(after, before);
}

async fn not_found_is_calm_only_after_a_good_page_at_a_slow_pace(crawl: Crawl) {
    crawl.store.open_pace(SITE).await.unwrap();
    assert!(
        !crawl.store.brake(SITE).await.unwrap().is_calm(),
        "nothing is slowed down yet"
    );
    assert!(!refuse(&crawl, None).await.is_calm(), "the site gives nothing");
    let brake = crawl.store.ease_brake(SITE, &advice()).await.unwrap();
    assert!(brake.is_calm());
    assert!(!refuse(&crawl, None).await.is_calm());
    for _ in 0..20 {
        crawl.store.ease_brake(SITE, &advice()).await.unwrap();
    }
    assert!(
        !crawl.store.brake(SITE).await.unwrap().is_calm(),
        "nothing is slowed down any more"
    );
}

/// Fifteen requests under way when the site begins to refuse are one reason to slow down, not fifteen.
async fn requests_refused_together_close_the_brake_once(crawl: Crawl) {
    crawl.store.open_pace(SITE).await.unwrap();
    let refusal = Refusal {
        closures: 0,
        retry_after: None,
        reason: "429",
    };
    for _ in 0..15 {
        let brake = crawl.store.close_brake(SITE, &advice(), &refusal).await.unwrap();
        assert_eq!(
            (brake.extra, brake.refusals_in_row, brake.closures),
            (2 * SECOND, 1, 1)
        );
    }
    let slot = crawl.store.take_slot(SITE, every(SECOND)).await.unwrap();
    assert_eq!(slot.brake.closures, 1);
    let later = Refusal {
        closures: slot.brake.closures,
        ..refusal
    };
    let brake = crawl.store.close_brake(SITE, &advice(), &later).await.unwrap();
    assert_eq!(
        (brake.extra, brake.refusals_in_row, brake.closures),
        (6 * SECOND, 2, 2)
    );
    // One that was under way for long still says that the site does not give everything.
    crawl.store.ease_brake(SITE, &advice()).await.unwrap();
    let brake = crawl.store.close_brake(SITE, &advice(), &refusal).await.unwrap();
    assert_eq!((brake.refusals_in_row, brake.closures), (1, 2));
}

/// Additive in the rate: from far closed it opens by much, and near the end by `brake_ease`, never by less.
async fn the_brake_opens_by_equal_steps_of_the_rate(crawl: Crawl) {
    crawl.store.open_pace(SITE).await.unwrap();
    let advice = PaceAdvice {
        interval: 4 * SECOND,
        brake_first: 4 * SECOND,
        brake_growth: 100.0,
        brake_most: 300 * SECOND,
        brake_ease: SECOND / 5,
        ..advice()
    };
    let mut extra = Duration::ZERO;
    for closures in 0..2 {
        let refusal = Refusal {
            closures,
            retry_after: None,
            reason: "429",
        };
        extra = crawl
            .store
            .close_brake(SITE, &advice, &refusal)
            .await
            .unwrap()
            .extra;
    }
    assert_eq!(extra, 300 * SECOND);
    let rate = |extra: Duration| 1.0 / (advice.interval + extra).as_secs_f64();
    let step = 0.2 / (4.0 * 4.0);
    let mut pages = 0;
    while !extra.is_zero() {
        let eased = crawl.store.ease_brake(SITE, &advice).await.unwrap().extra;
        let gained = rate(eased) - rate(extra);
        assert!(
            eased.is_zero() || gained >= step * 0.999,
            "{extra:?} to {eased:?} gains {gained}"
        );
        assert!(
            eased.is_zero() || extra - eased >= advice.brake_ease,
            "{extra:?} to {eased:?}"
        );
        extra = eased;
        pages += 1;
    }
    assert!((15..=25).contains(&pages), "{pages} good pages");
}

/// The most careful runner is not outrun by one that asks for a shorter interval.
async fn each_runner_keeps_its_own_interval_to_whoever_was_last(crawl: Crawl) {
    crawl.store.open_pace(SITE).await.unwrap();
    let slow = every(5 * SECOND);
    let quick = every(SECOND);
    let mut last = crawl.store.take_slot(SITE, quick).await.unwrap().at_us;
    for request in [slow, quick, slow, slow, quick] {
        let at = crawl.store.take_slot(SITE, request).await.unwrap().at_us;
        assert!(
            at - last >= request.interval.as_micros() as i64,
            "{} µs",
            at - last
        );
        last = at;
    }
}

async fn the_pace_survives_reopening(crawl: Crawl) {
    crawl.store.open_pace(SITE).await.unwrap();
    crawl.store.take_slot(SITE, every(30 * SECOND)).await.unwrap();
    let last = crawl.store.take_slot(SITE, every(30 * SECOND)).await.unwrap();
    refuse(&crawl, None).await;
    crawl.store.close().await;
    let store = crawl.database.open().await;
    assert_eq!(store.open_pace(SITE).await.unwrap(), last.at_us);
    assert_eq!(store.brake(SITE).await.unwrap().extra, 2 * SECOND);
    let next = store.take_slot(SITE, every(SECOND)).await.unwrap();
    assert!(next.at_us - last.at_us >= 30_000_000);
}

async fn an_unopened_site_has_no_slots(crawl: Crawl) {
    let error = crawl.store.take_slot(SITE, every(SECOND)).await.unwrap_err();
    assert!(matches!(error, StoreError::NotFound(_)), "{error}");
    assert_eq!(crawl.store.brake(SITE).await.unwrap(), Brake::default());
    assert_eq!(
        crawl.store.ease_brake(SITE, &advice()).await.unwrap(),
        Brake::default()
    );
    assert_eq!(refuse(&crawl, None).await, Brake::default());
}

async fn sites_do_not_share_a_pace(crawl: Crawl) {
    crawl.store.open_pace(SITE).await.unwrap();
    crawl.store.open_pace("https://other.test").await.unwrap();
    refuse(&crawl, Some(100 * SECOND)).await;
    let slot = crawl
        .store
        .take_slot("https://other.test", every(SECOND))
        .await
        .unwrap();
    assert!(slot.wait < SECOND && slot.brake.is_open());
}

/// Who takes a slot and makes no request, again and again, takes nothing from others.
async fn slots_given_back_do_not_push_the_next_one_away(crawl: Crawl) {
    crawl.store.open_pace(SITE).await.unwrap();
    for _ in 0..3 {
        refuse(&crawl, None).await;
    }
    let first = crawl.store.take_slot(SITE, every(SECOND)).await.unwrap();
    crawl
        .store
        .give_back_slot(SITE, every(SECOND), &first)
        .await
        .unwrap();
    for _ in 0..50 {
        let slot = crawl.store.take_slot(SITE, every(SECOND)).await.unwrap();
        assert_eq!(slot.at_us, first.at_us, "the same slot again");
        crawl
            .store
            .give_back_slot(SITE, every(SECOND), &slot)
            .await
            .unwrap();
    }
    let outlook = crawl.store.pace_outlook(SITE).await.unwrap();
    assert!(outlook.next_slot_in <= 10 * SECOND, "{:?}", outlook.next_slot_in);
    assert!(!outlook.is_far_ahead(SECOND));
}

async fn a_slot_given_back_leaves_intervals_and_brake_as_they_were(crawl: Crawl) {
    crawl.store.open_pace(SITE).await.unwrap();
    let used = crawl.store.take_slot(SITE, every(SECOND)).await.unwrap();
    let unused = crawl.store.take_slot(SITE, every(SECOND)).await.unwrap();
    crawl
        .store
        .give_back_slot(SITE, every(SECOND), &unused)
        .await
        .unwrap();
    // The longer interval is kept to the slot that was used.
    let slow = crawl.store.take_slot(SITE, every(5 * SECOND)).await.unwrap();
    assert!(slow.at_us - used.at_us >= 5_000_000);
    assert!(slow.at_us - used.at_us <= 5_000_000 + 500_000);
    // The brake closes while a slot is out: what is given back is not earlier than the brake allows.
    let unused = crawl.store.take_slot(SITE, every(SECOND)).await.unwrap();
    let before_us = crawl.store.now_us().await.unwrap();
    let brake = refuse(&crawl, None).await;
    crawl
        .store
        .give_back_slot(SITE, every(SECOND), &unused)
        .await
        .unwrap();
    let next = crawl.store.take_slot(SITE, every(SECOND)).await.unwrap();
    assert!(next.at_us >= before_us + brake.extra.as_micros() as i64);
    assert!(next.at_us - slow.at_us >= (SECOND + brake.extra).as_micros() as i64);
}

async fn a_slot_that_was_followed_stays_taken(crawl: Crawl) {
    crawl.store.open_pace(SITE).await.unwrap();
    let first = crawl.store.take_slot(SITE, every(SECOND)).await.unwrap();
    let second = crawl.store.take_slot(SITE, every(SECOND)).await.unwrap();
    crawl
        .store
        .give_back_slot(SITE, every(SECOND), &first)
        .await
        .unwrap();
    let third = crawl.store.take_slot(SITE, every(SECOND)).await.unwrap();
    assert!(third.at_us - second.at_us >= 1_000_000);
}

async fn a_pace_far_ahead_is_brought_back(crawl: Crawl) {
    crawl.store.open_pace(SITE).await.unwrap();
    assert!(!crawl.store.bring_pace_back(SITE, SECOND).await.unwrap());
    // Some slots that are out, a brake and a block are what they are.
    let brake = refuse(&crawl, Some(1000 * SECOND)).await;
    for _ in 0..3 {
        crawl.store.take_slot(SITE, every(SECOND)).await.unwrap();
    }
    let outlook = crawl.store.pace_outlook(SITE).await.unwrap();
    assert!(!outlook.is_far_ahead(SECOND), "{outlook:?}");
    assert!(!crawl.store.bring_pace_back(SITE, SECOND).await.unwrap());
    for _ in 0..20 {
        crawl.store.take_slot(SITE, every(60 * SECOND)).await.unwrap();
    }
    let outlook = crawl.store.pace_outlook(SITE).await.unwrap();
    assert!(outlook.is_far_ahead(SECOND), "{outlook:?}");
    assert!(crawl.store.bring_pace_back(SITE, SECOND).await.unwrap());
    let outlook = crawl.store.pace_outlook(SITE).await.unwrap();
    assert_eq!(outlook.brake.extra, brake.extra);
    let blocked = outlook.brake.blocked_for;
    assert!(blocked > 990 * SECOND, "a block stays: {blocked:?}");
    assert_eq!(outlook.next_slot_in, blocked);
}
