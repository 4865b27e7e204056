//! Whole crawls: what is stored afterwards is what the site has.

use std::collections::HashSet;

use sea_orm::EntityTrait;
use tagpipe_demo::{CertNumber, DemoConfig, Faults, RequestKind};
use tagpipe_store::entities::{cards, population_history, runs};

use crate::harness::{Engine, Rig, by_level, pages_of};
use crate::truth::place;

/// Every fault at the rates of a bad day.
pub(crate) fn bad_day(seed: u64) -> Faults {
    Faults {
        rate_limited: 0.10,
        soft_404: 0.05,
        cut_off: 0.05,
        slow: 0.05,
        partial: 0.05,
        slow_ms: 60,
        seed,
        ..Faults::default()
    }
}

async fn a_calm_crawl(engine: Engine, config: DemoConfig) {
    let rig = Rig::on(engine, config).await;
    let summary = rig.run(&[]).await.summary(0);
    rig.assert_equals_truth().await;
    rig.assert_is_consistent().await;

    let truth = rig.site.world().summary();
    assert_eq!(summary["end"], "reconciled", "{summary:#}");
    assert_eq!(by_level(&summary, "completed"), truth.by_level);
    assert_eq!(pages_of(&summary, "pages"), truth.pages);
    let rows = truth.rows;
    let all_rows = rows.categories + rows.years + rows.sets + rows.cards + rows.grade_rows;
    assert_eq!(summary["rows"]["new"], all_rows);
    assert_eq!(summary["requests"], truth.requests_needed);

    let requests = rig.site.requests();
    assert_eq!(requests[0].kind, RequestKind::Robots);
    assert!(
        requests
            .iter()
            .all(|request| request.user_agent.starts_with("tagpipe/")),
        "{:?}",
        requests[0]
    );
    assert!(
        requests[0].user_agent.contains("http"),
        "says where to complain: {}",
        requests[0].user_agent
    );
    let documents = rig.documents();
    assert_eq!(documents.len() as u64, truth.requests_needed);
    assert_eq!(requests.len(), documents.len() + 1, "nothing else is asked for");
    let asked: HashSet<_> = documents
        .iter()
        .map(|document| place(&document.path_and_query))
        .collect();
    assert_eq!(asked.len(), documents.len(), "each document once");
    let pages: HashSet<_> = asked
        .iter()
        .filter(|(_, further)| further.is_none())
        .map(|(page, _)| page.clone())
        .collect();
    let known: HashSet<_> = rig
        .site
        .world()
        .page_rows()
        .map(|page| place(&page.url_path).0)
        .collect();
    assert_eq!(pages, known, "each page of the site and no other");
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_holds_the_site_after_a_calm_crawl() {
    a_calm_crawl(
        Engine::Sqlite,
        DemoConfig {
            pages: 600,
            ..DemoConfig::default()
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_holds_the_site_after_a_calm_crawl() {
    a_calm_crawl(
        Engine::Postgres,
        DemoConfig {
            pages: 600,
            seed: 2,
            ..DemoConfig::default()
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_pages_without_totals_are_the_same_pages() {
    let config = DemoConfig {
        pages: 150,
        seed: 3,
        totals: false,
        compress: true,
        ..DemoConfig::default()
    };
    a_calm_crawl(Engine::Sqlite, config).await;
}

async fn a_crawl_with_hostile_names(engine: Engine) {
    let rig = Rig::on(
        engine,
        DemoConfig {
            pages: 250,
            hostile: true,
            ..DemoConfig::default()
        },
    )
    .await;
    let summary = rig.run(&["--max-duration", "40s"]).await.summary(0);
    assert_eq!(summary["end"], "reconciled");
    rig.assert_equals_truth().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_takes_hostile_names_as_they_are() {
    a_crawl_with_hostile_names(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_takes_hostile_names_as_they_are() {
    a_crawl_with_hostile_names(Engine::Postgres).await;
}

async fn a_crawl_on_a_bad_day(engine: Engine, seed: u64) {
    let config = DemoConfig {
        pages: 300,
        seed,
        faults: bad_day(seed),
        ..DemoConfig::default()
    };
    let rig = Rig::on(engine, config).await;
    let summary = rig.run(&["--max-retries", "8"]).await.summary(0);
    assert_eq!(summary["end"], "reconciled", "{summary:#}");
    rig.assert_equals_truth().await;

    let struck: HashSet<_> = rig
        .documents()
        .iter()
        .filter_map(|document| document.fault)
        .collect();
    assert_eq!(struck.len(), 5, "all kinds of faults struck: {struck:?}");
    let retries = summary["retries"].as_array().expect("retries");
    assert!(!retries.is_empty());
    let retried: u64 = retries
        .iter()
        .map(|retry| retry["count"].as_u64().expect("a number"))
        .sum();
    let said = rig
        .audit()
        .await
        .iter()
        .filter(|entry| entry.message.contains("will be read again"))
        .count();
    assert_eq!(retried, said as u64, "each retry is in the audit trail");
    let pages = rig.pages().await;
    let attempts: i64 = pages.iter().map(|page| page.attempts).sum();
    let verified: i64 = pages.iter().map(|page| page.verifications).sum();
    assert_eq!(
        attempts as u64,
        pages_of(&summary, "completed") + retried + verified as u64
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_holds_the_site_after_a_crawl_on_a_bad_day() {
    a_crawl_on_a_bad_day(Engine::Sqlite, 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_holds_the_site_after_a_crawl_on_a_bad_day() {
    a_crawl_on_a_bad_day(Engine::Postgres, 6).await;
}

async fn a_second_crawl_of_a_moved_site(engine: Engine) {
    let rig = Rig::on(
        engine,
        DemoConfig {
            pages: 200,
            seed: 4,
            churn: 0.3,
            ..DemoConfig::default()
        },
    )
    .await;
    rig.run(&[]).await.summary(0);
    let before: Vec<_> = rig.site.world().card_rows().collect();
    let certificates = |rig: &Rig| -> HashSet<CertNumber> {
        rig.site.world().grade_rows().map(|row| row.cert_number).collect()
    };
    let certificates_before = certificates(&rig);
    rig.site.update(|config| config.epoch = 2);
    let after: Vec<_> = rig.site.world().card_rows().collect();
    let moved = before
        .iter()
        .zip(&after)
        .filter(|(old, new)| old.counts != new.counts)
        .count();
    assert!(moved > 0, "the site moved");

    let summary = rig.run(&["--full"]).await;
    let summary = if summary.code == Some(2) {
        rig.run(&[]).await.summary(0)
    } else {
        summary.summary(0)
    };
    assert_eq!(summary["end"], "reconciled");
    let gone: HashSet<_> = certificates_before
        .difference(&certificates(&rig))
        .copied()
        .collect();
    assert_eq!(
        rig.assert_present_equals_truth().await,
        gone.len(),
        "certificates that left are marked, not kept"
    );
    let store = rig.open().await;
    let history = population_history::Entity::find()
        .all(store.connection())
        .await
        .expect("history");
    let of_cards = history.iter().filter(|row| row.subject == "card").count();
    let cards = cards::Entity::find()
        .all(store.connection())
        .await
        .expect("cards")
        .len();
    assert_eq!(
        of_cards,
        cards + moved,
        "one history row for each population that moved"
    );
    let runs = runs::Entity::find().all(store.connection()).await.expect("runs");
    assert_eq!(
        runs.iter().map(|run| run.state.as_str()).collect::<Vec<_>>(),
        ["reconciled", "reconciled"]
    );
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_follows_a_site_that_moved() {
    a_second_crawl_of_a_moved_site(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_follows_a_site_that_moved() {
    a_second_crawl_of_a_moved_site(Engine::Postgres).await;
}
