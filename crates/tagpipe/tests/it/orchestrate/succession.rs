//! One orchestrator after another, and never two: whoever follows decides how the run goes on.

use super::*;

/// Of several that begin in one instant, one does.
async fn one_of_many_begins(engine: Engine) {
    let rig = Rig::on(engine, unhurried(150, 10)).await;
    let arguments = with(&["--num-runners", "1"]);
    let begun: Vec<_> = (0..4).map(|_| rig.start_orchestrate(&arguments)).collect();
    let mut codes = Vec::new();
    for running in begun {
        let ended = running.ended().await;
        if ended.code == Some(2) {
            assert!(ended.stderr.contains("orchestrate"), "{}", ended.stderr);
        }
        codes.push(ended.code);
    }
    codes.sort_unstable();
    assert_eq!(codes, [Some(0), Some(2), Some(2), Some(2)]);
    assert_eq!(rig.runs().await.len(), 1, "one run");
    rig.assert_equals_truth().await;
    assert_each_page_once(&rig);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_many_begins_on_sqlite() {
    one_of_many_begins(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_many_begins_on_postgres() {
    one_of_many_begins(Engine::Postgres).await;
}

/// Kills an orchestrator of three runners in the midst of its work. Returns the runners, which go on.
async fn orphans(rig: &Rig) -> HashMap<String, u32> {
    let first = rig.start_orchestrate(&with(&["--num-runners", "3"]));
    rig.wait_for_documents(60).await;
    let orphans = living(rig, 3).await;
    first.kill_alone().await;
    orphans
}

#[tokio::test(flavor = "multi_thread")]
async fn a_successor_that_wants_fewer_runners_sends_the_others_home() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let rig = Rig::on(engine, unhurried(700, 100)).await;
        let before = orphans(&rig).await;
        let second = rig.start_orchestrate(&with(&["--num-runners", "1"]));
        wait_until("the others to go", || rig.runner_processes().len() == 1).await;
        let left = living(&rig, 1).await;
        assert_eq!(
            left.get("runner_1"),
            before.get("runner_1"),
            "it was told nothing else"
        );
        let summary = stop_all(&rig, second, "INT", 130).await;
        assert!(pages_of(&summary, "open") > 0);
        rig.orchestrate(&with(&["--num-runners", "3", "--resume"]))
            .await
            .summary(0);
        rig.assert_equals_truth().await;
        assert_each_page_once(&rig);
    }
}

/// Whoever is found at work has been told another budget, or none.
#[tokio::test(flavor = "multi_thread")]
async fn a_successors_budget_holds_for_whom_it_finds() {
    let rig = Rig::on(Engine::Postgres, unhurried(700, 100)).await;
    let before = orphans(&rig).await;
    let second = rig.start_orchestrate(&with(&["--num-runners", "3", "--max-pages", "30"]));
    second.wait_for_word("it was started with other settings").await;
    let seen = rig.documents().len();
    let summary = second.ended().await.summary(5);
    // What they had in hand when they were asked to stop is read beside the budget, and some of it was read before the word.
    let read = rig.documents().len() - seen;
    assert!((1..=50).contains(&read), "{read} pages were read");
    assert_eq!(rig.runner_processes(), []);
    assert!(pages_of(&summary, "open") > 0);
    assert!(
        rig.runners()
            .await
            .iter()
            .filter(|runner| before.values().any(|pid| i64::from(*pid) == runner.pid))
            .all(|runner| runner.state == "finished")
    );
    rig.orchestrate(&with(&["--num-runners", "3", "--resume"]))
        .await
        .summary(0);
    rig.assert_equals_truth().await;
    assert_each_page_once(&rig);
}

/// The pace is that of the command that goes on, be it slower or faster than before.
#[tokio::test(flavor = "multi_thread")]
async fn who_goes_on_sets_the_pace() {
    for (before, now) in [("2", "50"), ("50", "4")] {
        let rig = Rig::on(Engine::Postgres, unhurried(100, 0)).await;
        rig.orchestrate(&with(&[
            "--num-runners",
            "2",
            "--max-pages",
            "4",
            "--max-rate",
            before,
        ]))
        .await
        .summary(5);
        let seen = rig.documents().len();
        let budget = ["--max-pages", "24", "--max-rate", now, "--resume"];
        rig.orchestrate(&with(&[&["--num-runners", "2"][..], &budget[..]].concat()))
            .await
            .summary(5);
        let rate: f64 = now.parse().expect("a number");
        let stored = rig.runs().await[0].config["interval_s"].as_f64();
        assert_eq!(stored, Some(1.0 / rate));
        let requests = rig.documents().split_off(seen);
        assert_eq!(requests.len(), 24);
        let took = (requests[23].at_us - requests[0].at_us) as f64 / 1e6;
        let least = 23.0 / rate;
        assert!(took > least * 0.9, "faster than allowed: {took} s of {least} s");
        if before == "2" {
            assert!(took < 23.0 / 2.0, "as slow as before: {took} s");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn status_tells_who_is_gone() {
    let rig = Rig::on(Engine::Sqlite, unhurried(400, 50)).await;
    for pid in orphans(&rig).await.into_values() {
        signal("KILL", pid).await;
    }
    wait_until("all to be gone", || rig.runner_processes().is_empty()).await;
    let told = rig.tagpipe(&["status"]).await;
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    for word in [
        "no runner works on it any more",
        "is gone",
        "tagpipe orchestrate --resume 1",
    ] {
        assert!(told.stdout.contains(word), "{word} in {}", told.stdout);
    }
    let json = rig.tagpipe(&["status", "--json"]).await;
    let status: Value = serde_json::from_str(&json.stdout).expect("JSON");
    let run = &status["running"][0];
    assert_eq!(run["orchestrator"]["is_gone"], true);
    let states: Vec<_> = run["runners"]
        .as_array()
        .expect("runners")
        .iter()
        .map(|runner| runner["state"].as_str().expect("a state"))
        .collect();
    assert_eq!(states, ["gone", "gone", "gone"]);
}
