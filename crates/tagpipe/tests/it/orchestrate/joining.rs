//! Runners that were started by hand.

use super::*;

async fn a_runner_started_by_hand_joins(engine: Engine) {
    let rig = Rig::on(engine, unhurried(400, 40)).await;
    let first = rig.start(&["--runner-id", "first"]);
    rig.wait_for_documents(30).await;
    let second = rig.start(&["--join", "1", "--runner-id", "second"]);
    for running in [first, second] {
        let summary = running.ended().await.summary(0);
        assert_eq!(summary["run_id"], 1);
        assert_eq!(pages_of(&summary, "open"), 0, "nobody leaves before the end");
    }
    let runners = rig.runners().await;
    assert_eq!(runners.len(), 2);
    for runner in runners {
        assert!(runner.pages_completed > 0, "{runner:?}");
        assert_eq!(runner.state, "finished");
    }
    rig.assert_equals_truth().await;
    assert_each_page_once(&rig);
    assert_eq!(rig.runs().await[0].state, "reconciled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_started_by_hand_joins_on_sqlite() {
    a_runner_started_by_hand_joins(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_started_by_hand_joins_on_postgres() {
    a_runner_started_by_hand_joins(Engine::Postgres).await;
}

/// The run goes on when the one who started it has gone.
#[tokio::test(flavor = "multi_thread")]
async fn who_joined_finishes_what_others_left() {
    let rig = Rig::on(Engine::Postgres, unhurried(200, 40)).await;
    rig.write("tagpipe.toml", SHORT_LEASES);
    let first = rig.start(&["--runner-id", "first"]);
    rig.wait_for_documents(30).await;
    let second = rig.start(&["--join", "1", "--runner-id", "second"]);
    rig.wait_for_documents(60).await;
    first.kill().await;
    second.ended().await.summary(0);
    rig.assert_equals_truth().await;
    assert_eq!(rig.assert_is_consistent().await, rig.site.world().page_count());
    assert_eq!(rig.runs().await[0].state, "reconciled");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_run_that_is_there_is_joined_and_one_that_is_done_left_alone() {
    let rig = Rig::new(small()).await;
    rig.run(&[]).await.summary(0);
    let asked = rig.documents().len();
    let unknown = rig.run(&["--join", "77", "--runner-id", "late"]).await;
    assert!(unknown.failure(1).contains("no run 77"), "{}", unknown.stderr);
    // A runner that comes too late has nothing to do, which is no failure: it says what the run came to.
    let finished = rig.run(&["--join", "1", "--runner-id", "late"]).await.summary(0);
    assert_eq!(finished["end"], "reconciled");
    assert_eq!(rig.documents().len(), asked, "nothing is read");
    assert!(
        rig.runners()
            .await
            .iter()
            .all(|runner| runner.runner_id != "late")
    );
    assert_eq!(rig.runs().await.len(), 1);
}

/// A run knows its site: who goes on with it need not name it.
#[tokio::test(flavor = "multi_thread")]
async fn who_goes_on_need_not_name_the_site() {
    let rig = Rig::new(unhurried(200, 20)).await;
    let profile = rig.profile();
    let flags = ["--fetch", "http", "--delay", "0", "--profile", &profile, "--json"];
    rig.run(&["--max-pages", "20"]).await.summary(5);
    let resumed = [&["run", "--resume", "--max-pages", "20"][..], &flags[..]].concat();
    rig.tagpipe(&resumed).await.summary(5);
    let joined = [&["run", "--join", "1"][..], &flags[..]].concat();
    let summary = rig.tagpipe(&joined).await.summary(0);
    assert_eq!(summary["joined"], true);
    rig.assert_equals_truth().await;
    assert_each_page_once(&rig);
}

/// Two of one name would be one in every table and log.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_one_runners_at_a_time() {
    let rig = Rig::on(Engine::Postgres, unhurried(200, 30)).await;
    let first = rig.start(&["--runner-id", "first"]);
    rig.wait_for_documents(20).await;
    let other = rig.run(&["--join", "1", "--runner-id", "first"]).await;
    let words = other.failure(2);
    assert!(words.contains("`first` is at work on run 1 already"), "{words}");
    let reserved = rig.run(&["--runner-id", "orchestrator"]).await;
    let words = reserved.failure(2);
    assert!(words.contains("`orchestrator` (set by --runner-id)"), "{words}");
    first.ended().await.summary(0);
    // When it is gone, its name is free.
    rig.site.update(|config| config.latency.document_ms = 0);
    rig.run(&["--runner-id", "first"]).await.summary(0);
    rig.assert_equals_truth().await;
}
