//! Settings: where they come from, which wins, and what is said of a wrong one.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use sea_orm::EntityTrait;
use serde_json::Value;
use tagpipe_demo::DemoConfig;
use tagpipe_store::entities::runs;

use crate::harness::{Ended, Rig, Running};

async fn small() -> Rig {
    Rig::new(DemoConfig {
        pages: 60,
        ..DemoConfig::default()
    })
    .await
}

/// The program refuses `arguments` with exit code 2 and all of these words, and has not written anything.
async fn check(rig: &Rig, arguments: &[&str], words: &[&str]) {
    let before = rig.files();
    let ended = rig.run(arguments).await;
    assert_refused(rig, arguments, words, &before, &ended);
}

fn assert_refused(
    rig: &Rig,
    arguments: &[&str],
    words: &[&str],
    before: &BTreeMap<PathBuf, Vec<u8>>,
    ended: &Ended,
) {
    let said = ended.failure(2);
    for word in words {
        assert!(
            said.contains(word),
            "`{word}` in what is said of {arguments:?}: {said}"
        );
    }
    assert_eq!(
        rig.files().keys().collect::<Vec<_>>(),
        before.keys().collect::<Vec<_>>(),
        "{arguments:?}"
    );
    assert!(rig.site.requests().is_empty(), "{arguments:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_flag_names_itself_and_what_would_be_right() {
    let rig = small().await;
    let cases: &[(&[&str], &[&str])] = &[
        (
            &["--concurrency", "0"],
            &["`0`", "concurrency", "--concurrency", "from 1 to 256"],
        ),
        (&["--concurrency", "many"], &["`many`", "--concurrency"]),
        (&["--delay", "-1"], &["-1"]),
        (&["--delay", "NaN"], &["`NaN`", "--delay", "from 0 to 3600"]),
        (&["--max-retries", "1e3"], &["`1e3`", "--max-retries", "0 to 100"]),
        (
            &["--retry-backoff", "0.5"],
            &["`0.5`", "--retry-backoff", "1 to 10"],
        ),
        (&["--log-level", "LOUD"], &["`LOUD`", "--log-level", "WARNING"]),
        (
            &["--log-format", "xml"],
            &["`xml`", "--log-format", "pretty or json"],
        ),
        (
            &["--fetch", "pigeon"],
            &["`pigeon`", "--fetch", "auto, http or browser"],
        ),
        (
            &["--start-from", "grade"],
            &["`grade`", "--start-from", "graderows"],
        ),
        (&["--max-pages", "0"], &["`0`", "--max-pages", "at least 1"]),
        (
            &["--max-duration", "5 fortnights"],
            &["`5 fortnights`", "--max-duration", "30m"],
        ),
        (&["--max-duration", "99999999999999999999"], &["--max-duration"]),
        (&["--max-duration", "10000000000000000000"], &["--max-duration"]),
        (&["--max-rate", "0"], &["`0`", "--max-rate", "more than 0"]),
        (
            &["--base-url", "localhost:8000"],
            &["`localhost:8000`", "--base-url", "https://my.example.com"],
        ),
        (&["--base-url", "http://127.0.0.1/pop-report"], &["--base-url"]),
        (
            &["--year-filter", "1990-1980"],
            &["`1990-1980`", "--year-filter", "earlier year first"],
        ),
        (
            &["--categories", "Baseball,,Hockey"],
            &["--categories", "empty entry"],
        ),
        (&["--runner-id", "a b"], &["`a b`", "--runner-id", "letters"]),
        (
            &["--database-url", "mysql://localhost/tag"],
            &["--database-url", "postgres://"],
        ),
        (&["--profile", "no-such.toml"], &["no-such.toml", "--profile"]),
        (&["--config", "no-such.toml"], &["no-such.toml"]),
        (&["--resume", "abc"], &["`abc`", "--resume"]),
        (&["--dry-run", "--resume"], &["--dry-run", "--resume"]),
        (&["--dry-run", "--resume", "1"], &["--dry-run", "--resume"]),
        (&["--join", "newest"], &["`newest`", "--join", "its number"]),
        (&["--join", "1", "--resume"], &["--join", "--resume"]),
        (&["--join", "1", "--dry-run"], &["--join", "--dry-run"]),
        (
            &["--join", "1", "--start-from", "card"],
            &["--join", "--start-from"],
        ),
        (&["--concurency", "3"], &["--concurency", "--concurrency"]),
    ];
    for (arguments, words) in cases {
        check(&rig, arguments, words).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_flag_of_the_orchestrator_names_itself_and_what_would_be_right() {
    let rig = small().await;
    rig.write("file", "");
    let before = rig.files();
    let cases: &[(&[&str], &[&str])] = &[
        (
            &["--num-runners", "0"],
            &["`0`", "num_runners", "--num-runners", "from 1 to 64"],
        ),
        (&["--num-runners", "65"], &["`65`", "--num-runners"]),
        (
            &["--check-interval", "0.05"],
            &["`0.05`", "--check-interval", "from 0.1 to 3600"],
        ),
        (
            &["--working-directory", "no-such-folder"],
            &["`no-such-folder`", "--working-directory", "a folder that exists"],
        ),
        (
            &["--working-directory", "file"],
            &["`file`", "--working-directory"],
        ),
        (&["--working-directory", ""], &["``", "--working-directory"]),
        (
            &["--runner-path", "./no-such-file"],
            &["`./no-such-file`", "--runner-path", "an executable that exists"],
        ),
        (&["--runner-path", "./"], &["`./`", "--runner-path"]),
        (
            &["--runner-memory-max", "32"],
            &["`32`", "--runner-memory-max", "MiB from 64"],
        ),
        (&["--concurrency", "0"], &["`0`", "--concurrency"]),
        (&["--resume", "abc"], &["`abc`", "--resume"]),
        (&["--dry-run", "--resume"], &["--dry-run", "--resume"]),
        (&["--join", "1"], &["--join"]),
        (&["--runner-id", "me"], &["--runner-id"]),
    ];
    for (arguments, words) in cases {
        let ended = rig.tagpipe(&[&["orchestrate"], *arguments].concat()).await;
        assert_refused(&rig, arguments, words, &before, &ended);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_looks_at_what_its_orchestrator_hands_down_and_at_its_flags() {
    let mut rig = small().await;
    rig.write("tagpipe.toml", "concurrency = 0\n");
    rig.write(".env", "PIPELINE_MAX_RETRIES=many\n");
    rig.set_variable("PIPELINE_DELAY", "fast");
    rig.set_variable(
        "TAGPIPE_HANDED_DOWN",
        "{\"concurrency\": \"2\", \"database_url\": \"postgres://tag:hunter2@db/tag\"}",
    );
    let ended = rig
        .tagpipe(&["config", "show", "--log-level", "DEBUG", "--json"])
        .await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(!ended.stdout.contains("hunter2"), "{}", ended.stdout);
    let shown: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    for (key, value, origin) in [
        ("concurrency", "2", "the orchestrator"),
        ("database_url", "postgres://tag:***@db/tag", "the orchestrator"),
        ("max_retries", "3", "default"),
        ("delay", "1.0", "default"),
        ("log_level", "DEBUG", "--log-level"),
    ] {
        let settings = shown["settings"].as_array().expect("settings");
        let setting = settings.iter().find(|setting| setting["key"] == key).expect(key);
        assert_eq!(setting["value"], value, "{key}");
        assert_eq!(setting["origin"], origin, "{key}");
    }
    rig.set_variable("TAGPIPE_HANDED_DOWN", "\"hunter2\"");
    let ended = rig.run(&[]).await;
    assert!(
        ended.failure(2).contains("TAGPIPE_HANDED_DOWN"),
        "{}",
        ended.stderr
    );
    assert!(!ended.stderr.contains("hunter2"), "{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_variable_names_its_place() {
    let cases = [
        ("PIPELINE_DELAY", "fast", "seconds from 0 to 3600"),
        ("PIPELINE_MAX_CONCURRENCY", "0", "1 to 256"),
        ("PIPELINE_MAX_RETRIES", "some", "0 to 100"),
        ("PIPELINE_RETRY_BACKOFF", "11", "1 to 10"),
        ("PIPELINE_CATEGORIES", "a,,b", "empty entry"),
        ("LOG_LEVEL", "LOUD", "DEBUG"),
    ];
    let flag_wins = |name: &str| name == "PIPELINE_DELAY";
    for (name, text, takes) in cases.into_iter().filter(|(name, _, _)| !flag_wins(name)) {
        let mut rig = small().await;
        rig.set_variable(name, text);
        check(&rig, &[], &[text, &format!("environment variable {name}"), takes]).await;
        let rig = small().await;
        rig.write(".env", &format!("{name}={text}\n"));
        check(&rig, &[], &[text, &format!("{name} in .env"), takes]).await;
    }
    let mut rig = small().await;
    rig.without_database_flag();
    rig.set_variable("POSTGRES_HOST", "localhost");
    rig.set_variable("POSTGRES_PORT", "high");
    check(
        &rig,
        &[],
        &["`high`", "environment variable POSTGRES_PORT", "65535"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_file_names_its_line_and_the_nearest_key() {
    let cases: &[(&str, &[&str])] = &[
        (
            "retry_backoff = 0.5\n",
            &["`0.5`", "retry_backoff in tagpipe.toml", "1 to 10"],
        ),
        (
            "concurency = 3\n",
            &["tagpipe.toml", "`concurency`", "did you mean `concurrency`"],
        ),
        (
            "audit_keep_rows = 0\n",
            &["audit_keep_rows in tagpipe.toml", "at least 1"],
        ),
        ("lease_term = 0\n", &["lease_term in tagpipe.toml", "1 to 3600"]),
        (
            "max_retries = true\n",
            &["tagpipe.toml", "`max_retries`", "0 to 100"],
        ),
        ("concurrency = \n", &["tagpipe.toml", "line 1"]),
    ];
    for (text, words) in cases {
        let rig = small().await;
        rig.write("tagpipe.toml", text);
        check(&rig, &[], words).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn flags_win_over_variables_over_dot_env_over_the_file() {
    let mut rig = small().await;
    rig.write(
        "tagpipe.toml",
        "concurrency = 4\nmax_retries = 4\nretry_backoff = 4.0\ndelay = 4\n",
    );
    rig.write(
        ".env",
        "PIPELINE_MAX_RETRIES=5\nPIPELINE_RETRY_BACKOFF=5\nPIPELINE_DELAY=5\n",
    );
    rig.set_variable("PIPELINE_RETRY_BACKOFF", "6");
    rig.set_variable("PIPELINE_DELAY", "6");
    rig.set_variable("PIPELINE_CATEGORIES", "  ");
    rig.run(&["--delay", "0", "--max-pages", "1"]).await.summary(5);
    let store = rig.open().await;
    let run = runs::Entity::find()
        .one(store.connection())
        .await
        .expect("runs")
        .expect("one");
    store.close().await;
    assert_eq!(run.config["concurrency"], 4);
    assert_eq!(run.config["max_retries"], 5);
    assert_eq!(run.config["retry_backoff"], 6.0);
    assert_eq!(run.config["delay_s"], 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn variables_that_are_no_text_disturb_nothing() {
    let rig = small().await;
    let mut command = rig.command(&["db", "migrate"]);
    command
        .env("SOMEBODY", OsStr::from_bytes(b"caf\xe9"))
        .env(OsStr::from_bytes(b"\xff"), "x");
    let ended = Running::start(command).ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_are_not_shown() {
    let rig = small().await;
    for url in [
        "postgres://tag:hunter2@127.0.0.1:1/tag",
        "mysql://tag:hunter2@localhost/tag",
    ] {
        let ended = rig.run(&["--database-url", url]).await;
        assert_ne!(ended.code, Some(0));
        assert!(
            !format!("{}{}", ended.stdout, ended.stderr).contains("hunter2"),
            "{}",
            ended.stderr
        );
    }
}
