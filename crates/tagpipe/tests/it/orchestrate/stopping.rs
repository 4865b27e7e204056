//! Everything stops in order, and soon.

use super::*;

async fn one_signal_stops_all(engine: Engine, name: &str, code: i32, resume: &str) {
    let rig = Rig::on(engine, unhurried(400, 30)).await;
    let running = rig.start_orchestrate(&with(&["--num-runners", "3"]));
    rig.wait_for_documents(80).await;
    let summary = stop_all(&rig, running, name, code).await;
    assert!(pages_of(&summary, "open") > 0);
    assert_adds_up(&rig, &summary, &runner_ids(3)).await;

    let resumed = match resume {
        "orchestrate" => rig.orchestrate(&with(&["--num-runners", "3", "--resume"])).await,
        _ => rig.run(&["--resume"]).await,
    };
    let resumed = resumed.summary(0);
    assert_eq!(resumed["run_id"], summary["run_id"]);
    rig.assert_equals_truth().await;
    assert_each_page_once(&rig);
    assert!(rig.pages().await.iter().all(|page| page.attempts == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_ctrl_c_stops_all_on_postgres() {
    one_signal_stops_all(Engine::Postgres, "INT", 130, "orchestrate").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_ctrl_c_stops_all_on_sqlite_and_a_single_runner_goes_on() {
    one_signal_stops_all(Engine::Sqlite, "INT", 130, "run").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_sigterm_stops_all() {
    one_signal_stops_all(Engine::Postgres, "TERM", 143, "orchestrate").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_ctrl_c_does_not_wait_for_slow_pages() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let rig = Rig::on(engine, unhurried(150, 0)).await;
        rig.run(&["--max-pages", "30"]).await.summary(5);
        rig.site.update(|config| config.latency.document_ms = 20_000);
        let seen = rig.documents().len();
        let running = rig.start_orchestrate(&with(&["--num-runners", "3", "--resume"]));
        rig.wait_for_documents(seen + 9).await;
        stop_all(&rig, running, "INT", 130).await;
        rig.site.update(|config| config.latency.document_ms = 0);
        rig.orchestrate(&with(&["--num-runners", "3", "--resume"]))
            .await
            .summary(0);
        rig.assert_equals_truth().await;
        rig.assert_fetches_are_counted().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_ctrl_c_does_not_wait_for_a_slow_pace() {
    let rig = Rig::on(Engine::Postgres, unhurried(100, 0)).await;
    rig.run(&["--max-pages", "20"]).await.summary(5);
    let seen = rig.documents().len();
    let running = rig.start_orchestrate(&with(&["--num-runners", "3", "--resume", "--delay", "15"]));
    living(&rig, 3).await;
    rig.wait_for_documents(seen + 1).await;
    stop_all(&rig, running, "INT", 130).await;
    rig.orchestrate(&with(&["--num-runners", "3", "--resume"]))
        .await
        .summary(0);
    rig.assert_equals_truth().await;
}

/// A second Ctrl-C waits for nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_ctrl_c_stops_all_at_once() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let rig = Rig::on(engine, unhurried(150, 0)).await;
        rig.run(&["--max-pages", "30"]).await.summary(5);
        rig.site.update(|config| config.latency.document_ms = 60_000);
        let seen = rig.documents().len();
        let running = rig.start_orchestrate(&with(&["--num-runners", "3", "--resume"]));
        rig.wait_for_documents(seen + 9).await;
        running.signal("INT").await;
        running.wait_for_word("once more to stop at once").await;
        let asked = Instant::now();
        running.signal("INT").await;
        running.wait_for_word("stopping at once").await;
        let ended = running.ended().await;
        // A stop in order would be pressed on after seven seconds.
        assert!(asked.elapsed() < Duration::from_secs(6), "{:?}", asked.elapsed());
        ended.summary(130);
        assert_eq!(rig.runner_processes(), []);
        assert_nothing_is_leased(&rig).await;
        rig.site.update(|config| config.latency.document_ms = 0);
        rig.orchestrate(&with(&["--num-runners", "3", "--resume"]))
            .await
            .summary(0);
        rig.assert_equals_truth().await;
    }
}

/// A database that stays away ends the work of all, with the code for that, and nothing is lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_stays_away_ends_the_work() {
    let mut rig = Rig::on(Engine::Postgres, unhurried(300, 30)).await;
    rig.write("tagpipe.toml", "database_patience = 5\n");
    let running = rig.start_orchestrate(&with(&["--num-runners", "2"]));
    rig.wait_for_documents(60).await;
    rig.postgres.as_mut().expect("PostgreSQL").stop_immediately();
    running.wait_for_word("the database does not answer").await;
    let ended = running.ended().await;
    let words = ended.failure(7);
    assert!(words.contains("the database has not answered for"), "{words}");
    assert_eq!(rig.runner_processes(), []);
    rig.postgres.as_mut().expect("PostgreSQL").restart();
    rig.orchestrate(&with(&["--num-runners", "2", "--resume"]))
        .await
        .summary(0);
    rig.assert_equals_truth().await;
}

/// Nobody goes on writing into a file that is no longer there.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_removed_ends_the_work() {
    for many in [false, true] {
        let rig = Rig::on(Engine::Sqlite, unhurried(300, 30)).await;
        let running = match many {
            true => rig.start_orchestrate(&with(&["--num-runners", "2"])),
            false => rig.start(&[]),
        };
        rig.wait_for_documents(60).await;
        for name in ["tagpipe.db", "tagpipe.db-wal", "tagpipe.db-shm"] {
            std::fs::remove_file(rig.folder().join(name)).expect("it is there");
        }
        let ended = running.ended().await;
        let words = ended.failure(7);
        assert!(words.contains("tagpipe.db` was removed or moved away"), "{words}");
        assert_eq!(rig.runner_processes(), []);
        assert!(
            !rig.folder().join("tagpipe.db").exists(),
            "no empty one takes its place"
        );
    }
}
