//! Exports and backups that are asked for: made once, done by one service, begun anew when it goes away.

use std::time::Duration;

use serde_json::json;
use tagpipe_store::audit_query::AuditFilter;
use tagpipe_store::{JobEnd, JobKind, JobState, NewJob, Store};

use crate::harness::*;

on_both_engines! {
    a_planned_time_has_one_job_of_a_kind,
    a_key_has_one_job,
    a_job_is_done_by_one_service_for_a_term,
    a_later_holder_alone_may_end_a_job,
    a_job_that_was_given_back_waits_again,
    only_a_waiting_job_is_taken_back,
    what_came_of_a_job_is_in_the_trail,
}

const MINUTE: Duration = Duration::from_secs(60);
const AT: i64 = 1_790_000_000_000_000;

fn job(planned_us: Option<i64>, key: Option<&str>) -> NewJob {
    NewJob {
        kind: JobKind::Export,
        options: json!({ "name": "a'b\"ü.csv" }),
        ordered_by: "somebody".to_owned(),
        planned_us,
        idempotency_key: key.map(str::to_owned),
    }
}

async fn ordered(store: &Store) -> i64 {
    store.order_job(&job(None, None)).await.unwrap().unwrap()
}

async fn state(store: &Store, id: i64) -> JobState {
    store.job(id).await.unwrap().unwrap().state
}

async fn a_planned_time_has_one_job_of_a_kind(crawl: Crawl) {
    let store = &crawl.store;
    let makers: Vec<_> = (0..8)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.order_job(&job(Some(AT), None)).await.unwrap() })
        })
        .collect();
    let mut made = Vec::new();
    for maker in makers {
        made.extend(maker.await.unwrap());
    }
    assert_eq!(made.len(), 1);
    let backup = NewJob {
        kind: JobKind::Backup,
        ..job(Some(AT + 1_000), None)
    };
    assert!(store.order_job(&backup).await.unwrap().is_some());
    let last = |kind| store.last_planned_job(kind);
    assert_eq!(last(JobKind::Export).await.unwrap(), Some(AT));
    assert_eq!(last(JobKind::Backup).await.unwrap(), Some(AT + 1_000));
    let shown = store.jobs(None, 10).await.unwrap();
    assert_eq!(shown.len(), 2);
    assert_eq!(shown[1].planned_at.as_deref(), Some("2026-09-21T14:13:20.000Z"));
    assert_eq!(shown[1].options["name"], "a'b\"ü.csv");
}

async fn a_key_has_one_job(crawl: Crawl) {
    let store = &crawl.store;
    let first = store.order_job(&job(None, Some("k"))).await.unwrap();
    assert_eq!(store.order_job(&job(None, Some("k"))).await.unwrap(), None);
    let known = store.job_by_key("k").await.unwrap().unwrap();
    assert_eq!(Some(known.id), first);
    // Without a key each is its own.
    assert_ne!(ordered(store).await, ordered(store).await);
}

async fn a_job_is_done_by_one_service_for_a_term(crawl: Crawl) {
    let store = &crawl.store;
    let id = ordered(store).await;
    assert!(store.begin_job(id, "a", MINUTE).await.unwrap());
    assert!(!store.begin_job(id, "b", MINUTE).await.unwrap());
    assert!(!store.job(id).await.unwrap().unwrap().is_free);
    // Its term is over: another service takes it, and the first one can keep it no longer.
    assert!(store.keep_job(id, "a", Duration::ZERO).await.unwrap());
    assert!(store.job(id).await.unwrap().unwrap().is_free);
    assert!(store.begin_job(id, "b", MINUTE).await.unwrap());
    assert!(!store.keep_job(id, "a", MINUTE).await.unwrap());
    assert_eq!(store.job(id).await.unwrap().unwrap().attempts, 2);
}

async fn a_later_holder_alone_may_end_a_job(crawl: Crawl) {
    let store = &crawl.store;
    let id = ordered(store).await;
    assert!(store.begin_job(id, "a", Duration::ZERO).await.unwrap());
    assert!(store.begin_job(id, "b", MINUTE).await.unwrap());
    let known = store.job(id).await.unwrap().unwrap();
    let done = JobEnd::Done(json!({ "rows": 3 }));
    assert!(!store.end_job(&known, "a", &done).await.unwrap());
    assert!(store.end_job(&known, "b", &done).await.unwrap());
    let ended = store.job(id).await.unwrap().unwrap();
    assert_eq!(
        (ended.state, ended.result),
        (JobState::Done, Some(json!({ "rows": 3 })))
    );
    assert!(ended.ended_at.is_some());
    // What is over stays as it is.
    assert!(
        !store
            .end_job(&known, "b", &JobEnd::Failed("late".into()))
            .await
            .unwrap()
    );
    assert!(!store.begin_job(id, "c", MINUTE).await.unwrap());
    assert!(store.open_jobs().await.unwrap().is_empty());
}

async fn a_job_that_was_given_back_waits_again(crawl: Crawl) {
    let store = &crawl.store;
    let id = ordered(store).await;
    assert!(store.begin_job(id, "a", MINUTE).await.unwrap());
    assert!(!store.give_back_job(id, "b", "not its").await.unwrap());
    assert!(
        store
            .give_back_job(id, "a", "its service was stopped")
            .await
            .unwrap()
    );
    let waiting = store.job(id).await.unwrap().unwrap();
    assert_eq!(
        (waiting.state, waiting.reason.as_str()),
        (JobState::Waiting, "its service was stopped")
    );
    assert!(store.begin_job(id, "b", MINUTE).await.unwrap());
    assert_eq!(store.job(id).await.unwrap().unwrap().attempts, 1);
}

async fn only_a_waiting_job_is_taken_back(crawl: Crawl) {
    let store = &crawl.store;
    let (first, second) = (ordered(store).await, ordered(store).await);
    assert!(store.begin_job(first, "a", MINUTE).await.unwrap());
    assert!(!store.cancel_job(first, "grafana").await.unwrap());
    assert!(store.cancel_job(second, "grafana").await.unwrap());
    assert_eq!(state(store, first).await, JobState::Working);
    let cancelled = store.job(second).await.unwrap().unwrap();
    assert_eq!(
        (cancelled.state, cancelled.reason.as_str()),
        (JobState::Cancelled, "taken back by grafana")
    );
}

async fn what_came_of_a_job_is_in_the_trail(crawl: Crawl) {
    let store = &crawl.store;
    let id = ordered(store).await;
    store.begin_job(id, "a", MINUTE).await.unwrap();
    let known = store.job(id).await.unwrap().unwrap();
    let failed = JobEnd::Failed("no space is left\0".into());
    assert!(store.end_job(&known, "a", &failed).await.unwrap());
    assert_eq!(state(store, id).await, JobState::Failed);
    let entries = store
        .audit_entries(&AuditFilter::default(), None, 2)
        .await
        .unwrap();
    let told: Vec<_> = entries
        .iter()
        .map(|entry| {
            (
                entry.level.as_str(),
                entry.message.trim_end_matches(['\0', '\u{fffd}']),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("ERROR", "an export ordered by somebody failed: no space is left"),
            ("INFO", "somebody orders an export"),
        ]
    );
}
