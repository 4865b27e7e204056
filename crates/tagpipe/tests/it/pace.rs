//! The pace belongs to the site: judged from when its requests arrive.

mod of_many;

use std::time::Duration;

use tagpipe_demo::{DemoConfig, RequestRecord};

use crate::harness::Rig;

/// What the machine adds to or takes from the time between two arrivals while it has time for both.
const NOISE_US: u64 = 15_000;
/// The same where other tests keep the machine busy: it may happen to few.
const BUSY_NOISE_US: u64 = 60_000;

fn small() -> DemoConfig {
    DemoConfig {
        pages: 60,
        seed: 8,
        ..DemoConfig::default()
    }
}

/// No two arrivals are closer than the machine explains, and one in twenty at most is closer than `NOISE_US` explains.
fn assert_apart(documents: &[RequestRecord], least: Duration) {
    let least_us = least.as_micros() as u64;
    let apart_us: Vec<u64> = documents
        .windows(2)
        .map(|pair| pair[1].at_us - pair[0].at_us)
        .collect();
    let closest = apart_us.iter().min().expect("more than one document");
    assert!(*closest + BUSY_NOISE_US >= least_us, "{closest} µs apart");
    let close = apart_us
        .iter()
        .filter(|apart| **apart + NOISE_US < least_us)
        .count();
    assert!(
        close * 20 <= apart_us.len().max(20),
        "{close} of {} are too close",
        apart_us.len()
    );
}

fn assert_not_slower(documents: &[RequestRecord], interval: Duration) {
    let took_us = documents[documents.len() - 1].at_us - documents[0].at_us;
    let least_us = interval.as_micros() as u64 * (documents.len() as u64 - 1);
    let most_us = least_us + least_us * 3 / 100 + 1_000_000;
    assert!(
        took_us <= most_us,
        "{} ms instead of {} ms",
        took_us / 1000,
        least_us / 1000
    );
}

async fn keeps_a_pace(arguments: &[&str]) {
    let interval = Duration::from_millis(200);
    let rig = Rig::new(small()).await;
    let mut all = vec!["--concurrency", "3"];
    all.extend(arguments);
    rig.run(&all).await.summary(0);
    rig.assert_equals_truth().await;
    let documents = rig.documents();
    assert_apart(&documents, interval);
    assert_not_slower(&documents, interval);
}

#[tokio::test(flavor = "multi_thread")]
async fn delay_is_kept_by_three_workers_together() {
    keeps_a_pace(&["--delay", "0.2"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn max_rate_is_kept_by_three_workers_together() {
    keeps_a_pace(&["--max-rate", "5"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn delay_is_kept_across_a_kill() {
    let interval = Duration::from_millis(200);
    let rig = Rig::new(small()).await;
    for round in 1..=3 {
        let arguments: &[&str] = if round == 1 {
            &["--delay", "0.2"]
        } else {
            &["--delay", "0.2", "--resume"]
        };
        let running = rig.start(arguments);
        rig.wait_for_documents(round * 8).await;
        running.kill().await;
    }
    rig.run(&["--delay", "0.2", "--resume", "--max-pages", "10"])
        .await
        .summary(5);
    assert_apart(&rig.documents(), interval);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_runs_of_one_database_share_the_pace() {
    let rig = Rig::new(small()).await;
    let first = rig.start(&["--max-rate", "8", "--max-pages", "15", "--categories", "Baseball"]);
    let second = rig.start(&["--max-rate", "8", "--max-pages", "15", "--categories", "Hockey"]);
    for running in [first, second] {
        let ended = running.ended().await;
        assert!([Some(0), Some(5)].contains(&ended.code), "{}", ended.stderr);
    }
    assert_apart(&rig.documents(), Duration::from_millis(125));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_crawl_delay_of_robots_is_the_least() {
    let robots_txt = Some("User-agent: *\nCrawl-delay: 0.3\n".to_owned());
    let rig = Rig::new(DemoConfig {
        robots_txt,
        ..small()
    })
    .await;
    let summary = rig.run(&["--delay", "0.1", "--max-pages", "8"]).await.summary(5);
    assert_apart(&rig.documents(), Duration::from_millis(300));
    assert_eq!(summary["interval_s"], 0.3);
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_after_is_obeyed_by_all_workers() {
    let mut config = small();
    config.faults.rate_limited = 0.08;
    config.faults.retry_after_s = Some(1);
    config.faults.seed = 2;
    let rig = Rig::new(config).await;
    rig.run(&[]).await.summary(0);
    rig.assert_equals_truth().await;
    let documents = rig.documents();
    let refused: Vec<_> = documents
        .iter()
        .filter(|document| document.status == 429)
        .collect();
    assert!(!refused.is_empty());
    for refusal in refused {
        let until_us = refusal.at_us + 1_000_000 - NOISE_US;
        // What the other two workers had already sent is not called back.
        let too_early = documents
            .iter()
            .filter(|document| document.at_us > refusal.at_us + 50_000 && document.at_us < until_us)
            .count();
        assert_eq!(too_early, 0, "requests while the site asked for silence");
    }
}
