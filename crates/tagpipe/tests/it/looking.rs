//! Looking in: status, runs, run show, audit, errors and retry, on both databases.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;
use tagpipe_demo::{DemoConfig, Latency};
use tagpipe_store::DatabaseUrl;

use crate::harness::{Engine, Rig, pages_of};
use crate::proxy::{Answer, Proxy};
use crate::truth::place;

fn small() -> DemoConfig {
    DemoConfig {
        pages: 120,
        seed: 21,
        ..DemoConfig::default()
    }
}

/// Runs a command on the rig's database and returns its JSON.
async fn json(rig: &Rig, arguments: &[&str]) -> Value {
    let url = address(rig);
    let mut all = arguments.to_vec();
    all.extend(["--json", "--database-url", &url]);
    let ended = rig.tagpipe(&all).await;
    assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.stderr);
    serde_json::from_str(&ended.stdout).expect("JSON")
}

/// The same for people.
async fn words(rig: &Rig, arguments: &[&str]) -> String {
    let url = address(rig);
    let mut all = arguments.to_vec();
    all.extend(["--database-url", &url]);
    let ended = rig.tagpipe(&all).await;
    assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.stderr);
    assert!(
        !ended.stdout.contains('\u{1b}'),
        "no colours in a pipe: {}",
        ended.stdout
    );
    ended.stdout
}

fn address(rig: &Rig) -> String {
    match rig.database_url() {
        DatabaseUrl::Postgres(url) => url.to_string(),
        _ => "sqlite:tagpipe.db".to_owned(),
    }
}

fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

/// A site on which one card's page is broken until the switch is turned.
async fn with_a_broken_page(engine: Engine) -> (Rig, Proxy, Arc<AtomicBool>) {
    let mut rig = Rig::on(engine, small()).await;
    let card = rig.site.world().card_rows().nth(5).expect("a card");
    let broken = place(&card.url).0;
    let mended = Arc::new(AtomicBool::new(false));
    let is_mended = Arc::clone(&mended);
    let proxy = Proxy::start(Some(rig.site.site_addr()), move |path| {
        if place(path).0 == broken && !is_mended.load(Ordering::Relaxed) {
            Answer::Raw(Vec::new())
        } else {
            Answer::Forward
        }
    })
    .await;
    rig.read_from(proxy.url());
    (rig, proxy, mended)
}

async fn a_run_with_a_failed_page_is_looked_at(engine: Engine) {
    let (rig, _proxy, _) = with_a_broken_page(engine).await;
    let summary = rig
        .run(&["--max-retries", "1", "--runner-id", "runner_1"])
        .await
        .summary(3);
    let completed = pages_of(&summary, "completed");

    let runs = json(&rig, &["runs"]).await;
    let [run] = list(&runs, "runs") else {
        panic!("one run: {runs}")
    };
    assert_eq!(run["state"], "disputed");
    assert_eq!(run["pages_completed"], completed);
    assert_eq!(run["pages_failed"], 1);
    assert_eq!(run["summary"]["end"], "pages_failed");
    assert_eq!(
        list(&json(&rig, &["runs", "--before", "1"]).await, "runs").len(),
        0
    );

    let status = json(&rig, &["status"]).await;
    assert_eq!(list(&status, "running").len(), 0);
    assert_eq!(status["newest"]["id"], run["id"]);
    assert_eq!(status["newest"]["levels"], summary["levels"]);

    let shown = json(&rig, &["run", "show"]).await;
    assert_eq!(list(&shown, "failed").len(), 1);
    assert_eq!(shown["run"]["processes"][0]["runner_id"], "runner_1");
    assert_eq!(shown["retries"][0]["cause"], "network");

    let errors = json(&rig, &["errors"]).await;
    let [error] = list(&errors, "entries") else {
        panic!("one error: {errors}")
    };
    let key = error["page_key"].as_str().expect("a page");
    assert_eq!(error["level"], "ERROR");
    assert_eq!(key, shown["failed"][0]["page_key"]);
    assert!(words(&rig, &["errors"]).await.contains(key));

    // Every filter alone lets the failed read through, and none of them anything else.
    let all = json(&rig, &["audit", "--limit", "100000"]).await;
    let all = list(&all, "entries");
    assert_eq!(all.len(), rig.audit().await.len());
    let count = async |arguments: &[&str], fits: &dyn Fn(&Value) -> bool| {
        let mut command = vec!["audit", "--limit", "100000"];
        command.extend(arguments);
        let found = json(&rig, &command).await;
        let found = list(&found, "entries");
        assert!(found.iter().all(fits), "{arguments:?}: {found:?}");
        assert_eq!(
            found.len(),
            all.iter().filter(|entry| fits(entry)).count(),
            "{arguments:?}"
        );
        found.len()
    };
    let is = |entry: &Value, field: &str, text: &str| entry[field] == text;
    assert_eq!(
        count(&["--page", key], &|entry| is(entry, "page_key", key)).await,
        2
    );
    count(&["--page", "cards/*"], &|entry| {
        entry["page_key"]
            .as_str()
            .is_some_and(|key| key.starts_with("cards/"))
    })
    .await;
    count(&["--kind", "error"], &|entry| is(entry, "kind", "error")).await;
    count(&["--runner", "runner_1"], &|entry| {
        is(entry, "runner_id", "runner_1")
    })
    .await;
    assert_eq!(
        count(&["--runner", "nobody"], &|entry| is(entry, "runner_id", "nobody")).await,
        0
    );
    count(&["--run", "1"], &|entry| entry["run_id"] == 1).await;
    count(&["--level", "warning"], &|entry| !is(entry, "level", "INFO")).await;
    count(&["--since", "1h"], &|_| true).await;
    assert_eq!(count(&["--since", "2999-01-01"], &|_| false).await, 0);

    // Page by page, newest first, without a gap and without a repeat.
    let mut paged = Vec::new();
    let mut before: Option<i64> = None;
    loop {
        let number = before.map(|id| id.to_string());
        let mut command = vec!["audit", "--limit", "50"];
        if let Some(number) = &number {
            command.extend(["--before", number]);
        }
        let page = json(&rig, &command).await;
        paged.extend(
            list(&page, "entries")
                .iter()
                .map(|entry| entry["id"].as_i64().expect("a number")),
        );
        before = page["next_before"].as_i64();
        if before.is_none() {
            break;
        }
    }
    let ids: Vec<i64> = all
        .iter()
        .map(|entry| entry["id"].as_i64().expect("a number"))
        .collect();
    assert_eq!(paged, ids);
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_is_looked_into() {
    a_run_with_a_failed_page_is_looked_at(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_is_looked_into() {
    a_run_with_a_failed_page_is_looked_at(Engine::Postgres).await;
}

async fn failed_pages_are_chosen_and_read_again(engine: Engine) {
    let (rig, _proxy, mended) = with_a_broken_page(engine).await;
    rig.run(&["--max-retries", "0"]).await.summary(3);
    let entries = rig.audit().await.len();
    for arguments in [
        &["--level", "card"][..],
        &["--cause", "timeout,busy"],
        &["--since", "2999-01-01"],
    ] {
        let mut command = vec!["retry"];
        command.extend(arguments);
        assert_eq!(json(&rig, &command).await["pages"], 0, "{arguments:?}");
    }
    assert_eq!(rig.audit().await.len(), entries, "nothing done, nothing audited");
    assert!(
        words(&rig, &["retry", "--level", "card"])
            .await
            .contains("run show 1")
    );

    let retried = json(
        &rig,
        &[
            "retry",
            "--run",
            "1",
            "--level",
            "set,graderows",
            "--cause",
            "network",
            "--since",
            "1h",
        ],
    )
    .await;
    assert_eq!(retried["pages"], 1);
    let audit = rig.audit().await;
    assert!(
        audit
            .iter()
            .any(|entry| entry.operation == "retry" && entry.run_id == Some(1))
    );
    let status = json(&rig, &["status"]).await;
    assert_eq!(status["newest"]["state"], "interrupted");

    mended.store(true, Ordering::Relaxed);
    let resumed = rig.run(&["--resume"]).await.summary(0);
    assert_eq!(resumed["resumed"]["ready"], 1);
    assert_eq!(pages_of(&resumed, "failed"), 0);
    rig.assert_equals_truth().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_failed_pages_are_chosen_and_read_again() {
    failed_pages_are_chosen_and_read_again(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_failed_pages_are_chosen_and_read_again() {
    failed_pages_are_chosen_and_read_again(Engine::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_under_way_is_seen_and_so_is_one_that_was_killed() {
    let rig = Rig::new(DemoConfig {
        latency: Latency {
            document_ms: 20,
            ..Latency::default()
        },
        ..small()
    })
    .await;
    let running = rig.start(&["--concurrency", "1"]);
    rig.wait_for_documents(10).await;
    let status = json(&rig, &["status"]).await;
    let [run] = list(&status, "running") else {
        panic!("one run is under way: {status}")
    };
    assert_eq!((&run["state"], &run["alive"]), (&"running".into(), &1.into()));
    assert!(run["levels"][4]["open"].as_u64().is_some());
    let told = words(&rig, &["status"]).await;
    assert!(
        told.contains("run 1: running") && told.contains("pace: "),
        "{told}"
    );

    running.kill().await;
    let told = words(&rig, &["status"]).await;
    assert!(
        told.contains("run 1: running"),
        "a heartbeat may still be young: {told}"
    );
    let store = rig.open().await;
    store
        .set_run_state(1, tagpipe_core::lifecycle::RunState::Interrupted, None)
        .await
        .expect("stored");
    store.close().await;
    let told = words(&rig, &["status"]).await;
    assert!(
        told.contains("nothing is running") && told.contains("--resume 1"),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn new_entries_are_followed() {
    let rig = Rig::new(small()).await;
    rig.run(&["--max-pages", "3"]).await.summary(5);
    let before = rig.audit().await.len();
    let mut command = rig.command(&["audit", "--follow", "--limit", "100000", "--json"]);
    command.stdout(std::fs::File::create(rig.folder().join("followed")).expect("a file"));
    let mut follower = command.spawn().expect("it starts");
    let followed = || {
        let text = std::fs::read_to_string(rig.folder().join("followed")).unwrap_or_default();
        text.lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter_map(|entry| entry["id"].as_i64())
            .collect::<Vec<i64>>()
    };
    crate::harness::wait_until("what was there already", || followed().len() == before).await;
    rig.run(&["--resume"]).await.summary(0);
    let mut ids: Vec<i64> = rig.audit().await.iter().map(|entry| entry.id).collect();
    crate::harness::wait_until("what came later", || followed().len() >= ids.len()).await;
    follower.kill().await.expect("it ends");
    let mut seen = followed();
    seen.sort_unstable();
    ids.sort_unstable();
    assert_eq!(seen, ids, "each entry once");
}

#[tokio::test(flavor = "multi_thread")]
async fn looking_into_nothing_makes_nothing() {
    let rig = Rig::new(small()).await;
    let before = rig.files();
    for arguments in [
        &["status"][..],
        &["runs"],
        &["run", "show"],
        &["audit"],
        &["errors"],
        &["retry"],
    ] {
        let ended = rig.tagpipe(arguments).await;
        let said = ended.failure(1);
        assert!(
            said.contains("tagpipe.db") && said.contains("tagpipe run"),
            "{said}"
        );
    }
    assert_eq!(rig.files(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_arguments_say_what_would_be_right() {
    let rig = Rig::new(small()).await;
    rig.run(&["--max-pages", "1"]).await.summary(5);
    for (arguments, word) in [
        (&["audit", "--level", "loud"][..], "WARNING"),
        (&["audit", "--kind", "word"], "operation, error or result"),
        (&["audit", "--since", "yesterday"], "30m"),
        (&["retry", "--level", "page"], "graderows"),
        (&["retry", "--cause", "weather"], "network"),
    ] {
        let ended = rig.tagpipe(arguments).await;
        let said = ended.failure(2);
        assert!(said.contains(word) && said.contains(arguments[1]), "{said}");
    }
    for arguments in [&["run", "show", "9"][..], &["retry", "--run", "9"]] {
        let ended = rig.tagpipe(arguments).await;
        assert!(ended.failure(1).contains("there is no run 9"), "{}", ended.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_fit_the_terminal_and_names_of_any_script() {
    use unicode_width::UnicodeWidthStr;
    let rig = Rig::new(DemoConfig {
        hostile: true,
        ..small()
    })
    .await;
    rig.run(&[]).await.summary(0);
    for arguments in [
        &["status"][..],
        &["runs"],
        &["run", "show"],
        &["audit", "--limit", "1000"],
    ] {
        for columns in [80_usize, 200] {
            // `script` gives the program a terminal of that width.
            let line = format!(
                "stty rows 24 cols {columns} && {} {} --color never",
                env!("CARGO_BIN_EXE_tagpipe"),
                arguments.join(" ")
            );
            let output = std::process::Command::new("script")
                .args(["-qec", &line, "/dev/null"])
                .current_dir(rig.folder())
                .output()
                .expect("script, of util-linux or bsdutils, runs");
            let text = String::from_utf8(output.stdout).expect("UTF-8");
            assert!(text.lines().count() >= 2, "{text}");
            for line in text.lines() {
                let line = line.trim_end_matches('\r');
                assert!(
                    line.width() <= columns,
                    "{} columns of {columns}: {line}",
                    line.width()
                );
                assert!(!line.contains('\u{1b}'), "{line:?}");
            }
        }
    }
}
