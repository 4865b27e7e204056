//! Processes die, hang and oversleep: nothing is lost, and they are replaced.

use super::*;

async fn runners_outlive_a_killed_orchestrator(engine: Engine) {
    let rig = Rig::on(engine, unhurried(700, 100)).await;
    let arguments = with(&["--num-runners", "3"]);
    let first = rig.start_orchestrate(&arguments);
    rig.wait_for_documents(60).await;
    let before = living(&rig, 3).await;
    first.kill_alone().await;
    let seen = rig.documents().len();
    rig.wait_for_documents(seen + 60).await;
    assert_eq!(living(&rig, 3).await, before, "they go on alone");

    let second = rig.start_orchestrate(&arguments);
    let seen = rig.documents().len();
    rig.wait_for_documents(seen + 120).await;
    assert!(!second.has_ended(), "{}", second.words());
    assert_eq!(
        living(&rig, 3).await,
        before,
        "they are found again, and nobody is added"
    );
    let summary = second.ended().await.summary(0);
    assert_adds_up(&rig, &summary, &runner_ids(3)).await;
    assert_eq!(rig.runs().await.len(), 1, "no new run was started");
    assert_eq!(rig.runners().await.len(), 3, "nobody was replaced");
    rig.assert_equals_truth().await;
    assert_each_page_once(&rig);
}

#[tokio::test(flavor = "multi_thread")]
async fn runners_on_postgres_outlive_a_killed_orchestrator() {
    runners_outlive_a_killed_orchestrator(Engine::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runners_on_sqlite_outlive_a_killed_orchestrator() {
    runners_outlive_a_killed_orchestrator(Engine::Sqlite).await;
}

/// A killed orchestrator's successor stops its predecessor's runners as its own.
#[tokio::test(flavor = "multi_thread")]
async fn adopted_runners_of_a_killed_orchestrator_stop_too() {
    let rig = Rig::on(Engine::Postgres, unhurried(700, 100)).await;
    let arguments = with(&["--num-runners", "3"]);
    let first = rig.start_orchestrate(&arguments);
    rig.wait_for_documents(60).await;
    let before = living(&rig, 3).await;
    first.kill_alone().await;
    let second = rig.start_orchestrate(&arguments);
    let seen = rig.documents().len();
    rig.wait_for_documents(seen + 120).await;
    assert_eq!(living(&rig, 3).await, before);
    stop_all(&rig, second, "INT", 130).await;
    rig.orchestrate(&with(&["--num-runners", "3", "--resume"]))
        .await
        .summary(0);
    rig.assert_equals_truth().await;
    assert_each_page_once(&rig);
}

async fn a_lost_runner_is_replaced(engine: Engine, how: &str) {
    let rig = Rig::on(engine, unhurried(700, 100)).await;
    rig.write("tagpipe.toml", SHORT_LEASES);
    let running = rig.start_orchestrate(&with(&["--num-runners", "3"]));
    rig.wait_for_documents(60).await;
    let struck = living(&rig, 3).await["runner_2"];
    assert!(signal(how, struck).await);
    replaced(&rig, "runner_2", struck).await;
    let summary = running.ended().await.summary(0);
    assert_adds_up(&rig, &summary, &runner_ids(3)).await;
    assert_eq!(number(&by_runner(&summary)["runner_2"], "processes"), 2);
    for runner in rig.runners().await {
        let expected = if runner.pid == i64::from(struck) {
            "lost"
        } else {
            "finished"
        };
        assert_eq!(runner.state, expected, "{runner:?}");
    }
    assert_eq!(rig.runner_processes(), [], "one that hangs is not left behind");
    rig.assert_equals_truth().await;
    assert_eq!(rig.assert_is_consistent().await, rig.site.world().page_count());
    rig.assert_fetches_are_counted().await;
    // Three pages were in hand, and what was read and not yet committed; its window was given to others unread.
    let again = fetches(&rig.documents())
        .values()
        .filter(|times| **times > 1)
        .count();
    assert!(again <= 12, "{again} pages were read again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_runner_on_postgres_is_replaced() {
    a_lost_runner_is_replaced(Engine::Postgres, "KILL").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_runner_on_sqlite_is_replaced() {
    a_lost_runner_is_replaced(Engine::Sqlite, "KILL").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_runner_on_postgres_is_killed_and_replaced() {
    a_lost_runner_is_replaced(Engine::Postgres, "STOP").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_runner_on_sqlite_is_killed_and_replaced() {
    a_lost_runner_is_replaced(Engine::Sqlite, "STOP").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_that_cannot_live_ends_the_run_with_a_word() {
    let rig = Rig::on(Engine::Postgres, small()).await;
    rig.write("broken", "#!/bin/sh\necho 'out of order' >&2\nexit 1\n");
    let path = rig.folder().join("broken");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("its rights");
    let path = path.display().to_string();
    let ended = rig
        .orchestrate(&with(&["--num-runners", "2", "--runner-path", &path]))
        .await;
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    for word in [
        "runner_1 is not started again",
        "runner_2 is not started again",
        "exit code 1",
    ] {
        assert!(ended.stderr.contains(word), "{word} in {}", ended.stderr);
    }
    assert_eq!(rig.runs().await[0].state, "interrupted");
    assert_eq!(rig.documents().len(), 0);
    rig.run(&["--resume"]).await.summary(0);
    rig.assert_equals_truth().await;
}

/// One place that cannot be filled costs the others nothing.
#[tokio::test(flavor = "multi_thread")]
async fn one_runner_that_cannot_live_leaves_the_work_to_the_others() {
    let rig = Rig::on(Engine::Postgres, unhurried(150, 20)).await;
    let program = env!("CARGO_BIN_EXE_tagpipe");
    rig.write(
        "choosy",
        &format!("#!/bin/sh\ncase \"$*\" in *runner_2*) exit 1;; esac\nexec {program} \"$@\"\n"),
    );
    let path = rig.folder().join("choosy");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("its rights");
    let path = path.display().to_string();
    let ended = rig
        .orchestrate(&with(&["--num-runners", "3", "--runner-path", &path]))
        .await;
    ended.summary(0);
    assert!(ended.stderr.contains("runner_2"), "{}", ended.stderr);
    rig.assert_equals_truth().await;
    assert_each_page_once(&rig);
}

/// Whoever sleeps past its lease has lost it: what it read before and commits when it wakes is dropped, while somebody
/// else reads the page.
#[tokio::test(flavor = "multi_thread")]
async fn a_runner_that_slept_past_its_lease_commits_nothing_of_it() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let rig = Rig::on(engine, unhurried(250, 0)).await;
        rig.write("tagpipe.toml", SHORT_LEASES);
        let store = rig.open().await;
        frontier_history::install(&store).await;
        rig.run(&["--max-pages", "40"]).await.summary(5);
        rig.site.update(|config| config.latency.document_ms = 700);
        let seen = rig.documents().len();
        let sleeper = rig.start(&["--resume", "--runner-id", "sleeper"]);
        rig.wait_for_documents(seen + 3).await;
        let other = rig.start(&["--join", "1", "--runner-id", "other"]);
        rig.wait_for_documents(seen + 12).await;
        sleep_past_its_leases(&store, &sleeper, "sleeper").await;
        sleeper
            .wait_for_word("a lease ran out before its page was committed")
            .await;
        rig.site.update(|config| config.latency.document_ms = 20);
        for running in [sleeper, other] {
            running.ended().await.summary(0);
        }
        rig.assert_equals_truth().await;
        assert_eq!(rig.assert_is_consistent().await, rig.site.world().page_count());
        rig.assert_fetches_are_counted().await;
        let witnessed = frontier_history::witnessed(&store).await;
        frontier_history::check(&witnessed).unwrap_or_else(|what| panic!("{what}"));
        store.close().await;
    }
}

/// Puts a runner to sleep until somebody else holds pages that were its own, and wakes it.
async fn sleep_past_its_leases(store: &Store, running: &Running, name: &str) {
    for _ in 0..10 {
        running.signal("STOP").await;
        let own = leases_of(store, name).await;
        let mut passed_on = false;
        let deadline = Instant::now() + Duration::from_secs(8);
        while !passed_on && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let others = leases_of(store, "other").await;
            passed_on = own.iter().any(|page| others.contains(page));
        }
        running.signal("CONT").await;
        if passed_on {
            return;
        }
        // It slept within a transaction, which keeps others from its pages, or between two pages.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{name} never lost its leases");
}

/// Pages that the runner of this name holds.
async fn leases_of(store: &Store, name: &str) -> Vec<i64> {
    let connection = store.connection();
    let sql = format!(
        "SELECT id FROM frontier WHERE state = 'leased' \
         AND lease_owner IN (SELECT instance FROM runners WHERE runner_id = '{name}')"
    );
    let asked = connection.query_all_raw(Statement::from_string(connection.get_database_backend(), sql));
    let rows = asked.await.expect("rows");
    rows.iter()
        .map(|row| row.try_get("", "id").expect("an id"))
        .collect()
}
