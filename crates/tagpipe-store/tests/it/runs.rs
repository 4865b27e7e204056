//! Runs, the processes on them, and what is summed up of them.

use std::time::Duration;

use serde_json::json;
use tagpipe_core::lifecycle::RunState;
use tagpipe_core::model::PageKind;
use tagpipe_core::outcome::Cause;
use tagpipe_core::policy::PageHistory;
use tagpipe_store::RunnerEnd;
use tagpipe_store::contract::{Admission, Ending, Finish, Lease, RowCounts};

use crate::harness::*;

on_both_engines! {
    a_run_has_a_life,
    a_run_begins_with_its_first_pages_or_not_at_all,
    robots_denials_are_counted_apart_from_filters,
    the_newest_unfinished_run_is_resumed,
    runners_come_and_go,
    totals_are_over_all_runners,
    retry_causes_are_counted_most_frequent_first,
    slowest_and_failed_pages_are_listed,
    the_grade_scale_is_replaced_by_many_runners_at_once,
}

async fn a_run_has_a_life(crawl: Crawl) {
    let run = crawl.store.run(crawl.run).await.unwrap().unwrap();
    assert_eq!(
        (run.id, run.state, run.config),
        (crawl.run, RunState::Running, json!({ "delay": 1.0 }))
    );
    assert_eq!(crawl.store.run(crawl.run + 1).await.unwrap(), None);
    assert_eq!(
        crawl
            .count("runs WHERE finished_at IS NULL AND summary IS NULL")
            .await,
        1
    );
    let summary = json!({ "pages": 3, "text": "a \0 b" });
    crawl
        .store
        .set_run_state(crawl.run, RunState::Disputed, Some(&summary))
        .await
        .unwrap();
    assert_eq!(
        crawl
            .count("runs WHERE finished_at >= started_at AND summary IS NOT NULL")
            .await,
        1
    );
    assert_eq!(
        crawl.store.run(crawl.run).await.unwrap().unwrap().state,
        RunState::Disputed
    );
    crawl
        .store
        .set_run_state(crawl.run, RunState::Running, None)
        .await
        .unwrap();
    assert_eq!(
        crawl
            .count("runs WHERE finished_at IS NULL AND summary IS NULL")
            .await,
        1
    );
}

async fn the_newest_unfinished_run_is_resumed(mut crawl: Crawl) {
    let first = crawl.run;
    crawl.next_run().await;
    let second = crawl.run;
    let newest = async || {
        let store = &crawl.store;
        let unfinished = store.unfinished_runs().await.unwrap().first().map(|run| run.id);
        (store.newest_run().await.unwrap().map(|run| run.id), unfinished)
    };
    assert_eq!(newest().await, (Some(second), Some(second)));
    crawl
        .store
        .set_run_state(second, RunState::Interrupted, None)
        .await
        .unwrap();
    assert_eq!(newest().await, (Some(second), Some(second)));
    crawl
        .store
        .set_run_state(second, RunState::Reconciled, None)
        .await
        .unwrap();
    assert_eq!(newest().await, (Some(second), Some(first)));
    crawl
        .store
        .set_run_state(first, RunState::Disputed, None)
        .await
        .unwrap();
    assert_eq!(newest().await, (Some(second), None));
    // A newest run that left something in dispute can be taken up again.
    crawl
        .store
        .set_run_state(second, RunState::Disputed, None)
        .await
        .unwrap();
    assert_eq!(newest().await, (Some(second), Some(second)));
}

async fn runners_come_and_go(crawl: Crawl) {
    let other = runner("runner_2");
    crawl.store.register_runner(crawl.run, &other).await.unwrap();
    let running = async || {
        let running = crawl.store.running_runners(crawl.run).await.unwrap();
        assert!(running.iter().all(|runner| runner.silent_for < TERM));
        let mut running: Vec<_> = running.into_iter().map(|runner| runner.identity).collect();
        running.sort_by(|a, b| a.runner_id.cmp(&b.runner_id));
        running
    };
    assert_eq!(running().await, [crawl.me.clone(), other.clone()]);
    crawl
        .store
        .end_runner(&other.instance, RunnerEnd::Lost("killed"))
        .await
        .unwrap();
    assert_eq!(running().await, std::slice::from_ref(&crawl.me));
    // Who is lost stays lost.
    crawl
        .store
        .end_runner(&other.instance, RunnerEnd::Finished("done"))
        .await
        .unwrap();
    crawl
        .store
        .end_runner(&crawl.me.instance, RunnerEnd::Finished("done"))
        .await
        .unwrap();
    assert!(running().await.is_empty());
    for state in ["lost", "finished"] {
        assert_eq!(crawl.count(&format!("runners WHERE state = '{state}'")).await, 1);
    }
}

async fn totals_are_over_all_runners(mut crawl: Crawl) {
    crawl.add(&pages(PageKind::Years, 4)).await;
    let mut leases = crawl.claim(2).await;
    crawl
        .accept(&[retry(&leases[0], TERM), complete_empty(&leases[1])])
        .await;
    crawl.me = runner("runner_2");
    crawl.store.register_runner(crawl.run, &crawl.me).await.unwrap();
    leases = crawl.claim(2).await;
    crawl
        .accept(&[release(&leases[0], false), fail(&leases[1])])
        .await;
    let totals = crawl.store.runner_totals(crawl.run).await.unwrap();
    assert_eq!(
        (totals.runners, totals.retries, totals.requests, totals.bytes),
        (2, 1, 8, 4000)
    );
    assert_eq!(totals.rows, RowCounts::default());
    assert_eq!(
        crawl
            .count("runners WHERE pages_completed = 1 AND pages_failed = 0 AND busy_ms = 300")
            .await,
        1
    );
    assert_eq!(
        crawl
            .count("runners WHERE pages_completed = 0 AND pages_failed = 1")
            .await,
        1
    );
    assert_eq!(
        crawl.store.runner_totals(crawl.run + 1).await.unwrap(),
        Default::default()
    );
}

fn retry_for(lease: &Lease, cause: Cause) -> Finish {
    let history = PageHistory::default();
    finish(
        lease,
        Ending::Retry {
            after: Duration::ZERO,
            cause,
            reason: "again".into(),
            history,
        },
    )
}

async fn retry_causes_are_counted_most_frequent_first(mut crawl: Crawl) {
    crawl.add(&pages(PageKind::Years, 3)).await;
    for causes in [
        [Cause::Timeout, Cause::Soft404, Cause::Timeout],
        [Cause::Busy, Cause::Timeout, Cause::Busy],
    ] {
        let leases = crawl.claim(3).await;
        let batch: Vec<_> = leases
            .iter()
            .zip(causes)
            .map(|(lease, cause)| retry_for(lease, cause))
            .collect();
        crawl.accept(&batch).await;
        crawl.me = runner("runner_2");
        crawl.store.register_runner(crawl.run, &crawl.me).await.unwrap();
    }
    let causes = crawl.store.retry_causes(crawl.run).await.unwrap();
    assert_eq!(
        causes,
        [
            ("timeout".to_owned(), 3),
            ("busy".to_owned(), 2),
            ("soft_404".to_owned(), 1)
        ]
    );
    assert!(crawl.store.retry_causes(crawl.run + 1).await.unwrap().is_empty());
}

async fn slowest_and_failed_pages_are_listed(crawl: Crawl) {
    crawl.add(&pages(PageKind::Cards, 2)).await;
    crawl.add(&pages(PageKind::Years, 2)).await;
    let leases = crawl.claim(4).await;
    let batch: Vec<_> = leases
        .iter()
        .zip([30, 10, 40, 20])
        .map(|(lease, milliseconds)| {
            let mut failed = fail(lease);
            failed.cost.elapsed = Duration::from_millis(milliseconds);
            failed
        })
        .collect();
    crawl.accept(&batch).await;
    let slowest = crawl.store.slowest_pages(crawl.run, 2).await.unwrap();
    let slowest: Vec<_> = slowest
        .iter()
        .map(|page| (page.page_key.as_str(), page.elapsed_ms))
        .collect();
    assert_eq!(
        slowest,
        [(leases[2].key.as_str(), 40), (leases[0].key.as_str(), 30)]
    );
    let failed = crawl.store.failed_pages(crawl.run, 3).await.unwrap();
    let levels: Vec<_> = failed.iter().map(|page| page.level).collect();
    assert_eq!(levels, [PageKind::Years, PageKind::Years, PageKind::Cards]);
    assert_eq!(
        (failed[0].cause.as_str(), failed[0].reason.as_str()),
        ("network", "reset")
    );
    assert_eq!(failed[0].page_key, leases[2].key.as_str());
}

async fn the_grade_scale_is_replaced_by_many_runners_at_once(crawl: Crawl) {
    let scale = |codes: &[&str]| -> Vec<(String, Option<f64>, String)> {
        codes
            .iter()
            .map(|code| ((*code).to_owned(), code.parse().ok(), format!("label {code}")))
            .collect()
    };
    crawl
        .store
        .set_grade_scale(&scale(&["AUTH", "9", "10"]))
        .await
        .unwrap();
    let mut setters = Vec::new();
    for _ in 0..6 {
        let (store, scale) = (
            crawl.database.open().await,
            scale(&["VA", "8.5", "9", "10", "10P"]),
        );
        setters.push(tokio::spawn(async move { store.set_grade_scale(&scale).await }));
    }
    for setter in setters {
        setter.await.unwrap().unwrap();
    }
    let rows = crawl
        .rows("SELECT code, grade FROM grade_scale ORDER BY position")
        .await;
    let rows: Vec<(String, Option<f64>)> = rows
        .iter()
        .map(|row| {
            (
                row.try_get("", "code").unwrap(),
                row.try_get("", "grade").unwrap(),
            )
        })
        .collect();
    let expected = [
        ("VA", None),
        ("8.5", Some(8.5)),
        ("9", Some(9.0)),
        ("10", Some(10.0)),
        ("10P", None),
    ];
    assert_eq!(rows, expected.map(|(code, grade)| (code.to_owned(), grade)));
}

async fn a_run_begins_with_its_first_pages_or_not_at_all(crawl: Crawl) {
    let mut seeding = crawl.store.begin_run(&json!({ "n": 1 })).await.unwrap();
    assert_eq!(seeding.add(&pages(PageKind::Years, 3)).await.unwrap(), 3);
    assert_eq!(seeding.add(&pages(PageKind::Years, 4)).await.unwrap(), 1);
    drop(seeding);
    assert_eq!((crawl.count("runs").await, crawl.count("frontier").await), (1, 0));
    let mut seeding = crawl.store.begin_run(&json!({ "n": 2 })).await.unwrap();
    seeding.add(&pages(PageKind::Years, 3)).await.unwrap();
    let run = seeding.commit().await.unwrap();
    assert_eq!(crawl.store.frontier_counts(run).await.unwrap().all(), 3);
    assert_eq!(
        crawl.store.newest_run().await.unwrap().map(|run| run.config),
        Some(json!({ "n": 2 }))
    );
}

async fn robots_denials_are_counted_apart_from_filters(crawl: Crawl) {
    let mut three = pages(PageKind::Years, 3);
    three[0].admission = Admission::Skipped("not among --categories".into());
    crawl.add(&three).await;
    assert_eq!(crawl.store.denied_by_robots(crawl.run).await.unwrap(), 0);
    let leases = crawl.claim(2).await;
    crawl.accept(&[skip(&leases[0]), fail(&leases[1])]).await;
    assert_eq!(crawl.store.denied_by_robots(crawl.run).await.unwrap(), 1);
}
