//! What the service keeps: orders are made once, held by one, and have one run; schedules, tokens, steering.

use std::time::Duration;

use serde_json::json;
use tagpipe_store::{NewOrder, NewSchedule, OrderState, Ordered, Overlap, RunOrder, Scope, Steering, Store};

use crate::harness::*;

on_both_engines! {
    a_planned_time_is_ordered_once,
    a_key_makes_a_repeated_order_the_same,
    an_order_is_held_by_one_service_for_a_term,
    an_order_has_one_run,
    a_later_holder_alone_may_leave_an_order,
    a_waiting_order_may_be_taken_back,
    a_schedule_keeps_its_past_and_forgets_times_before_it_changed,
    a_removed_schedule_takes_its_waiting_orders_along,
    a_revoked_token_allows_nothing_and_its_name_is_free,
    a_paused_run_gives_no_page_away,
    a_stop_lasts_until_somebody_takes_the_run_up,
}

const MINUTE: Duration = Duration::from_secs(60);

fn plan(name: &str) -> NewSchedule {
    NewSchedule {
        name: name.to_owned(),
        cron: "0 3 * * *".to_owned(),
        time_zone: "Europe/Berlin".to_owned(),
        options: json!({ "categories": "Hockey, 'Ball\" ü" }),
        enabled: true,
        jitter_s: 60,
        overlap: Overlap::Queue,
        catch_up_s: 3600,
    }
}

fn order(planned: Option<(i64, i64)>, key: Option<&str>) -> NewOrder {
    NewOrder {
        planned,
        schedule_name: String::new(),
        after: Duration::ZERO,
        idempotency_key: key.map(str::to_owned),
        ordered_by: "somebody".to_owned(),
        options: json!({ "full": "true" }),
        when_busy: Overlap::Queue,
    }
}

async fn made(store: &Store, new: &NewOrder) -> (RunOrder, bool) {
    match store.order_run(new).await.unwrap() {
        Ordered::Order { order, is_new } => (*order, is_new),
        Ordered::KeyInUse => panic!("the key is in use"),
    }
}

async fn a_planned_time_is_ordered_once(crawl: Crawl) {
    let store = &crawl.store;
    store.put_schedule(&plan("nightly"), false).await.unwrap();
    let id = store.schedule("nightly").await.unwrap().unwrap().id;
    let (at, later) = (1_790_000_000_000_000, 1_790_086_400_000_000);
    let makers: Vec<_> = (0..8)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { made(&store, &order(Some((id, at)), None)).await })
        })
        .collect();
    let mut new = 0;
    let mut numbers = std::collections::HashSet::new();
    for maker in makers {
        let (order, is_new) = maker.await.unwrap();
        new += usize::from(is_new);
        numbers.insert(order.id);
    }
    assert_eq!((new, numbers.len()), (1, 1));
    assert!(made(store, &order(Some((id, later)), None)).await.1);
    // A time that was let pass is known as well.
    assert!(
        !store
            .skip_planned(&order(Some((id, at)), None), "late")
            .await
            .unwrap()
    );
    let planned = store.schedule("nightly").await.unwrap().unwrap().planned_until_us;
    assert_eq!(planned, Some(later));
    let shown = store.orders(None, 10).await.unwrap();
    assert_eq!(shown.len(), 2);
    assert_eq!(shown[1].planned_at.as_deref(), Some("2026-09-21T14:13:20.000Z"));
}

async fn a_key_makes_a_repeated_order_the_same(crawl: Crawl) {
    let store = &crawl.store;
    let (first, is_new) = made(store, &order(None, Some("k1"))).await;
    assert!(is_new);
    let (again, is_new) = made(store, &order(None, Some("k1"))).await;
    assert_eq!((again.id, is_new), (first.id, false));
    let other = NewOrder {
        options: json!({ "full": "false" }),
        ..order(None, Some("k1"))
    };
    assert_eq!(store.order_run(&other).await.unwrap(), Ordered::KeyInUse);
    // Without a key each is its own.
    assert_ne!(
        made(store, &order(None, None)).await.0.id,
        made(store, &order(None, None)).await.0.id
    );
}

async fn an_order_is_held_by_one_service_for_a_term(crawl: Crawl) {
    let store = &crawl.store;
    let (order, _) = made(store, &order(None, None)).await;
    assert!(store.hold_order(order.id, "a", MINUTE).await.unwrap());
    assert!(!store.hold_order(order.id, "b", MINUTE).await.unwrap());
    assert!(store.hold_order(order.id, "a", Duration::ZERO).await.unwrap());
    assert!(store.hold_order(order.id, "b", MINUTE).await.unwrap());
    assert!(!store.hold_order(order.id, "a", MINUTE).await.unwrap());
    assert!(!store.count_attempt(order.id, "a").await.unwrap());
    assert!(store.count_attempt(order.id, "b").await.unwrap());
    let stored = store.run_order(order.id).await.unwrap().unwrap();
    assert_eq!(
        (stored.state, stored.attempts, stored.is_free),
        (OrderState::Taken, 1, false)
    );
}

async fn an_order_has_one_run(crawl: Crawl) {
    let store = &crawl.store;
    let (order, _) = made(store, &order(None, None)).await;
    // Not before somebody has taken it.
    let mut early = store.begin_run(&json!({})).await.unwrap();
    assert!(!early.fulfil(order.id).await.unwrap());
    drop(early);
    store.hold_order(order.id, "a", MINUTE).await.unwrap();
    let mut first = store.begin_run(&json!({})).await.unwrap();
    assert!(first.fulfil(order.id).await.unwrap());
    let run = first.commit().await.unwrap();
    let mut second = store.begin_run(&json!({})).await.unwrap();
    assert!(!second.fulfil(order.id).await.unwrap());
    drop(second);
    let stored = store.order_of_run(run).await.unwrap().unwrap();
    assert_eq!((stored.id, stored.run), (order.id, Some(run)));
    // A run that was not committed leaves nothing behind.
    assert_eq!(crawl.count("runs").await, 2);
}

async fn a_later_holder_alone_may_leave_an_order(crawl: Crawl) {
    let store = &crawl.store;
    let (order, _) = made(store, &order(None, None)).await;
    store.hold_order(order.id, "a", Duration::ZERO).await.unwrap();
    store.hold_order(order.id, "b", MINUTE).await.unwrap();
    assert!(
        !store
            .leave_order(&order, "a", OrderState::Failed, "slow")
            .await
            .unwrap()
    );
    assert!(
        store
            .leave_order(&order, "b", OrderState::Suspended, "stopped")
            .await
            .unwrap()
    );
    assert_eq!(store.open_orders().await.unwrap().len(), 1);
    store.hold_order(order.id, "c", MINUTE).await.unwrap();
    assert!(
        store
            .leave_order(&order, "c", OrderState::Ended, "")
            .await
            .unwrap()
    );
    let stored = store.run_order(order.id).await.unwrap().unwrap();
    assert_eq!(stored.state, OrderState::Ended);
    assert!(stored.ended_at.is_some());
    assert!(!store.hold_order(order.id, "d", MINUTE).await.unwrap());
    assert_eq!(store.open_orders().await.unwrap(), []);
}

async fn a_waiting_order_may_be_taken_back(crawl: Crawl) {
    let store = &crawl.store;
    let (first, _) = made(store, &order(None, None)).await;
    let (second, _) = made(store, &order(None, None)).await;
    store.hold_order(second.id, "a", MINUTE).await.unwrap();
    assert!(store.cancel_order(first.id, "me").await.unwrap());
    assert!(!store.cancel_order(first.id, "me").await.unwrap());
    assert!(!store.cancel_order(second.id, "me").await.unwrap());
    let stored = store.run_order(first.id).await.unwrap().unwrap();
    assert_eq!(
        (stored.state, stored.reason.as_str()),
        (OrderState::Skipped, "taken back by me")
    );
}

async fn a_schedule_keeps_its_past_and_forgets_times_before_it_changed(crawl: Crawl) {
    let store = &crawl.store;
    assert!(store.add_schedule(&plan("nightly")).await.unwrap());
    assert!(!store.add_schedule(&plan("nightly")).await.unwrap());
    let before = store.schedule("nightly").await.unwrap().unwrap();
    assert_eq!(before.plan, plan("nightly"));
    tokio::time::sleep(Duration::from_millis(5)).await;
    // Other options do not make other times.
    let other = NewSchedule {
        options: json!({}),
        ..plan("nightly")
    };
    store.put_schedule(&other, true).await.unwrap();
    let after = store.schedule("nightly").await.unwrap().unwrap();
    assert_eq!(
        (after.since_us, after.id, after.from_settings),
        (before.since_us, before.id, true)
    );
    let moved = NewSchedule {
        cron: "0 4 * * *".to_owned(),
        ..other
    };
    store.put_schedule(&moved, true).await.unwrap();
    let since = store.schedule("nightly").await.unwrap().unwrap().since_us;
    assert!(since > before.since_us);
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert!(store.enable_schedule("nightly", false).await.unwrap());
    assert!(store.enable_schedule("nightly", true).await.unwrap());
    assert!(store.schedule("nightly").await.unwrap().unwrap().since_us > since);
    assert!(!store.enable_schedule("weekly", true).await.unwrap());
}

async fn a_removed_schedule_takes_its_waiting_orders_along(crawl: Crawl) {
    let store = &crawl.store;
    store.add_schedule(&plan("nightly")).await.unwrap();
    let id = store.schedule("nightly").await.unwrap().unwrap().id;
    let (waiting, _) = made(store, &order(Some((id, 1_790_000_000_000_000)), None)).await;
    let (taken, _) = made(store, &order(Some((id, 1_790_086_400_000_000)), None)).await;
    store.hold_order(taken.id, "a", MINUTE).await.unwrap();
    assert!(store.remove_schedule("nightly").await.unwrap());
    assert!(!store.remove_schedule("nightly").await.unwrap());
    let states: Vec<_> = [waiting.id, taken.id].to_vec();
    let mut found = Vec::new();
    for id in states {
        found.push(store.run_order(id).await.unwrap().unwrap().state);
    }
    assert_eq!(found, [OrderState::Skipped, OrderState::Taken]);
    assert_eq!(crawl.count("audit_logs WHERE operation = 'schedule'").await, 2);
}

async fn a_revoked_token_allows_nothing_and_its_name_is_free(crawl: Crawl) {
    let store = &crawl.store;
    assert!(store.add_token("grafana", Scope::Read, "aa").await.unwrap());
    assert!(!store.add_token("grafana", Scope::Control, "bb").await.unwrap());
    let token = &store.tokens().await.unwrap()[0];
    assert_eq!((token.scope, token.secret_hash.as_str()), (Scope::Read, "aa"));
    store.note_token_use(token.id).await.unwrap();
    assert!(store.tokens().await.unwrap()[0].last_used_at.is_some());
    assert!(store.revoke_token("grafana").await.unwrap());
    assert!(!store.revoke_token("grafana").await.unwrap());
    assert!(store.tokens().await.unwrap()[0].revoked_at.is_some());
    assert!(store.add_token("grafana", Scope::Control, "bb").await.unwrap());
    assert_eq!(crawl.count("audit_logs WHERE operation = 'token'").await, 3);
    let tokens = store.tokens().await.unwrap();
    assert_eq!(tokens.len(), 1);
    assert_eq!(
        (
            tokens[0].scope,
            tokens[0].revoked_at.clone(),
            tokens[0].last_used_at.clone()
        ),
        (Scope::Control, None, None)
    );
}

async fn a_paused_run_gives_no_page_away(crawl: Crawl) {
    crawl.add(&[categories_page()]).await;
    assert!(crawl.store.steer(crawl.run, Steering::Pause, "me").await.unwrap());
    let claim = || crawl.store.claim(crawl.run, "a", 5, MINUTE);
    assert_eq!(claim().await.unwrap().len(), 0);
    assert!(crawl.store.steer(crawl.run, Steering::Go, "me").await.unwrap());
    assert_eq!(claim().await.unwrap().len(), 1);
    assert_eq!(crawl.count("audit_logs WHERE operation = 'steer'").await, 2);
}

async fn a_stop_lasts_until_somebody_takes_the_run_up(crawl: Crawl) {
    let store = &crawl.store;
    assert!(store.steer(crawl.run, Steering::Stop, "me").await.unwrap());
    // A second thought comes too late: its runners are leaving.
    assert!(!store.steer(crawl.run, Steering::Go, "me").await.unwrap());
    assert_eq!(store.steering(crawl.run).await.unwrap(), Steering::Stop);
    store.forget_stop(crawl.run).await.unwrap();
    assert_eq!(store.steering(crawl.run).await.unwrap(), Steering::Go);
    assert!(!store.steer(crawl.run + 1, Steering::Pause, "me").await.unwrap());
}
