//! Whatever ends a process, nothing is lost and nothing doubled, and `--resume` goes on.

use sea_orm::ConnectionTrait;
use std::time::{Duration, Instant};

use tagpipe_demo::DemoConfig;

use crate::harness::{Engine, Rig, fetches, pages_of, unhurried};

async fn a_crawl_killed_often(engine: Engine, kills: usize, pages: u64, seed: u64) {
    let mut chance = fastrand::Rng::with_seed(seed);
    println!("seed {seed}");
    let rig = Rig::on(engine, unhurried(pages, 20)).await;
    let mut completed = 0;
    let mut in_reading = 0;
    for kill in 0..kills {
        let running = if kill == 0 {
            rig.start(&[])
        } else {
            rig.start(&["--resume"])
        };
        let seen = rig.documents().len();
        // Some are struck while they start, most while they read.
        let pause = if chance.u8(..6) == 0 {
            chance.u64(0..80)
        } else {
            crate::harness::wait_until("progress", || rig.documents().len() > seen || running.has_ended())
                .await;
            chance.u64(20..150)
        };
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let ended = running.kill().await;
        if ended.code == Some(1) {
            // The first one may have been struck before it had a run: then there is nothing to resume.
            assert!(
                ended.stderr.contains("start one with"),
                "kill {kill}: {}",
                ended.stderr
            );
            rig.run(&["--max-pages", "1"]).await.summary(5);
            continue;
        }
        assert_eq!(
            ended.code, None,
            "kill {kill} came after the end: {}{}",
            ended.stderr, ended.stdout
        );
        in_reading += usize::from(rig.documents().len() > seen);
        let now = rig.assert_is_consistent().await;
        assert!(now >= completed, "kill {kill}: what was committed stays");
        completed = now;
    }
    assert!(
        in_reading * 2 > kills,
        "most kills struck a reading process: {in_reading} of {kills}"
    );
    let last = rig.run(&["--resume"]).await;
    let summary = last.summary(0);
    let words = format!(
        "resuming: {} pages taken back, {} ready, {} completed",
        summary["resumed"]["taken_back"], summary["resumed"]["ready"], summary["resumed"]["completed"]
    );
    assert!(last.stderr.contains(&words), "{words} in {}", last.stderr);
    assert_eq!(summary["resumed"]["completed"], completed);
    rig.assert_equals_truth().await;
    assert_eq!(rig.assert_is_consistent().await, rig.site.world().page_count());
    rig.assert_fetches_are_counted().await;
    let fetched = fetches(&rig.documents()).values().sum::<u64>();
    let most = rig.site.world().page_count() + 12 * kills as u64;
    assert!(
        fetched <= most,
        "only pages in hand or waiting for their transaction are read again: {fetched} fetches, {most} at most"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_holds_the_site_after_a_crawl_killed_fifty_times() {
    a_crawl_killed_often(Engine::Sqlite, 50, 900, 20_261_124).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_holds_the_site_after_a_crawl_killed_fifteen_times() {
    a_crawl_killed_often(Engine::Postgres, 15, 400, 7).await;
}

async fn a_graceful_stop(signal: &str, code: i32) {
    let rig = Rig::new(unhurried(200, 30)).await;
    // Whatever the tests themselves ignore.
    let heeding = format!("--default-signal={signal}");
    let running = rig.start_by(&["env", &heeding], &[]);
    rig.wait_for_documents(30).await;
    running.signal(signal).await;
    let at_signal = rig.documents().len();
    let ended = running.ended().await;
    let summary = ended.summary(code);
    assert_eq!(summary["end"], "interrupted");
    assert!(pages_of(&summary, "open") > 0);
    let after = rig.documents().len() - at_signal;
    assert!(after <= 8, "{after} documents were asked for after the signal");
    let pages = rig.pages().await;
    assert!(
        pages.iter().all(|page| page.state != "leased"),
        "all leases are given back"
    );
    assert_eq!(pages_of(&summary, "pages"), pages.len() as u64);

    let summary = rig.run(&["--resume"]).await.summary(0);
    assert_eq!(summary["resumed"]["taken_back"], 0);
    rig.assert_equals_truth().await;
    assert!(
        fetches(&rig.documents()).values().all(|times| *times == 1),
        "no page was read twice"
    );
    assert!(rig.pages().await.iter().all(|page| page.attempts == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_finishes_the_pages_in_hand() {
    a_graceful_stop("INT", 130).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_finishes_the_pages_in_hand() {
    a_graceful_stop("TERM", 143).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_terminal_finishes_the_pages_in_hand() {
    a_graceful_stop("HUP", 143).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_terminal_means_nothing_to_what_nohup_started() {
    let rig = Rig::new(unhurried(60, 30)).await;
    // As `nohup` does, which would also take the output away.
    let running = rig.start_by(&["env", "--ignore-signal=HUP"], &[]);
    rig.wait_for_documents(10).await;
    running.signal("HUP").await;
    running.ended().await.summary(0);
    rig.assert_equals_truth().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_stops_at_once_and_nothing_is_lost() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let rig = Rig::new(unhurried(60, 0)).await;
        let running = rig.start(&["--max-pages", "5"]);
        running.ended().await.summary(5);
        rig.site.update(|config| config.latency.document_ms = 20_000);
        let running = rig.start(&["--resume"]);
        let seen = rig.documents().len();
        rig.wait_for_documents(seen + 3).await;
        running.signal(signal).await;
        running.wait_for_word("finishing the pages in hand").await;
        let asked = Instant::now();
        running.signal(signal).await;
        let summary = running.ended().await.summary(code);
        assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
        assert_eq!(summary["end"], "interrupted");

        rig.site.update(|config| config.latency.document_ms = 0);
        let resumed = Instant::now();
        let summary = rig.run(&["--resume"]).await.summary(0);
        assert!(
            resumed.elapsed() < Duration::from_secs(10),
            "no lease is waited for: {:?}",
            resumed.elapsed()
        );
        assert_eq!(summary["end"], "reconciled");
        rig.assert_equals_truth().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_does_not_wait_for_a_slow_pace() {
    let rig = Rig::new(unhurried(60, 0)).await;
    let running = rig.start(&["--delay", "15"]);
    rig.wait_for_documents(1).await;
    let asked = Instant::now();
    running.signal("INT").await;
    running.ended().await.summary(130);
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    assert!(rig.pages().await.iter().all(|page| page.state != "leased"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_worked_on_once_and_taken_up_by_number() {
    let rig = Rig::new(unhurried(120, 40)).await;
    let running = rig.start(&[]);
    rig.wait_for_documents(10).await;
    let words = rig.run(&["--resume"]).await;
    assert!(
        words.failure(2).contains("is being worked on by process"),
        "{}",
        words.stderr
    );
    running.signal("INT").await;
    let run = running.ended().await.summary(130)["run_id"].to_string();
    let other = rig.run(&["--resume", "77"]).await;
    assert!(other.failure(1).contains("no run 77"), "{}", other.stderr);
    let filters = rig.run(&["--resume", &run, "--categories", "Hockey"]).await;
    assert!(filters.failure(2).contains("other filters"), "{}", filters.stderr);
    let site = rig
        .run(&["--resume", &run, "--base-url", "http://127.0.0.1:9"])
        .await;
    assert!(site.failure(2).contains("--base-url"), "{}", site.stderr);
    rig.run(&["--resume", &run]).await.summary(0);
    rig.assert_equals_truth().await;
    let again = rig.run(&["--resume", &run]).await;
    assert!(again.failure(1).contains("is finished"), "{}", again.stderr);
    let again = rig.run(&["--resume"]).await;
    assert!(
        again.failure(1).contains("start one with `tagpipe run`"),
        "{}",
        again.stderr
    );
}

/// A run resumed without its filters would read the whole site.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_filters_are_damaged_is_not_resumed_without_them() {
    let rig = Rig::new(DemoConfig {
        pages: 60,
        ..DemoConfig::default()
    })
    .await;
    rig.run(&["--categories", "Hockey", "--max-pages", "2"])
        .await
        .summary(5);
    let store = rig.open().await;
    let damage = "UPDATE runs SET config = replace(config, '\"categories\"', '\"categorise\"')";
    store.connection().execute_unprepared(damage).await.unwrap();
    store.close().await;
    let asked = rig.documents().len();
    let resumed = rig.run(&["--resume"]).await;
    assert!(
        resumed.failure(1).contains("stored settings of run 1"),
        "{}",
        resumed.stderr
    );
    assert_eq!(rig.documents().len(), asked, "nothing is read");
}

/// What a later run of the same pages has read is not gone on with: its news would be old. Another part of the site is.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_overtaken_is_left_alone() {
    let rig = Rig::new(unhurried(60, 0)).await;
    rig.run(&["--max-pages", "5", "--categories", "Hockey"])
        .await
        .summary(5);
    rig.run(&["--max-pages", "5"]).await.summary(5);
    rig.run(&[]).await.summary(0);
    let resumed = rig.run(&["--resume"]).await.summary(0);
    assert_eq!(resumed["run_id"], 1, "the later runs were of other pages");
    let nothing = rig.run(&["--resume"]).await;
    assert!(
        nothing.failure(1).contains("a later one has read the same"),
        "{}",
        nothing.stderr
    );
    assert_eq!(rig.run(&["--resume", "2"]).await.summary(0)["run_id"], 2);
}
