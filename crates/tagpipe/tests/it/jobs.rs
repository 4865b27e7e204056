//! Exports and backups that the service does: ordered over HTTP, by its settings' times and after runs.

use std::fs;
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::{Value, json};
use tagpipe_demo::DemoConfig;

use crate::harness::{Engine, PATIENCE, Rig, Running};
use crate::serve::Served;

fn site(pages: u64) -> DemoConfig {
    DemoConfig {
        pages,
        ..DemoConfig::default()
    }
}

/// The job as soon as it is over.
async fn over(served: &Served, job: &Value) -> Value {
    let path = format!("/api/v1/jobs/{}", job["id"]);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let job = served.get(&path).await;
        if !matches!(job["state"].as_str(), Some("waiting" | "working")) {
            return job;
        }
        assert!(Instant::now() < deadline, "{job:#}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn ordered(served: &Served, kind: &str, options: Value) -> Value {
    let (status, job) = served
        .post("/api/v1/jobs", &json!({ "kind": kind, "options": options }))
        .await;
    assert_eq!(status, StatusCode::ACCEPTED, "{job:#}");
    job
}

async fn an_export_that_was_ordered_is_what_the_command_writes(engine: Engine) {
    let mut rig = Rig::on(engine, site(80)).await;
    rig.set_variable("PIPELINE_EXPORT_TO", "out");
    rig.run(&[]).await.summary(0);
    let served = Served::start(&rig, &[]).await;
    let options = json!({ "name": "cards.csv.gz", "table": "cards", "year_filter": "1950-2030" });
    let job = over(&served, &ordered(&served, "export", options).await).await;
    assert_eq!(job["state"], "done", "{job:#}");
    let rows = job["result"]["rows"].as_u64().expect("a number of rows");
    assert!(rows > 0, "{job:#}");
    let exported = rig
        .tagpipe(&[
            "export",
            "--database-url",
            &rig.database_text(),
            "--table",
            "cards",
            "--year-filter",
            "1950-2030",
            "--to",
            "by-hand.csv.gz",
        ])
        .await;
    assert_eq!(exported.code, Some(0), "{}", exported.stderr);
    let read = |name: &str| fs::read(rig.folder().join(name)).expect("a file");
    assert_eq!(read("out/cards.csv.gz"), read("by-hand.csv.gz"));
    let shown = served.get("/api/v1/jobs").await;
    assert_eq!(shown["items"][0]["id"], job["id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_an_export_that_was_ordered_is_what_the_command_writes() {
    an_export_that_was_ordered_is_what_the_command_writes(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_an_export_that_was_ordered_is_what_the_command_writes() {
    an_export_that_was_ordered_is_what_the_command_writes(Engine::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_orders_cannot_choose_a_place() {
    let mut rig = Rig::new(site(40)).await;
    rig.set_variable("PIPELINE_EXPORT_TO", "out");
    let served = Served::start(&rig, &[]).await;
    for (kind, options, words) in [
        (
            "export",
            json!({ "name": "../cards.csv" }),
            "`../cards.csv` is no name of a file",
        ),
        (
            "export",
            json!({ "name": "/tmp/cards.csv" }),
            "is no name of a file",
        ),
        (
            "export",
            json!({ "name": "s3://bucket/cards.csv" }),
            "is no name of a file",
        ),
        ("export", json!({ "name": "-" }), "is no name of a file"),
        ("export", json!({ "table": "cards" }), "`name` is missing"),
        (
            "export",
            json!({ "name": "a.csv", "to": "/etc/passwd" }),
            "`to` is no option of an export",
        ),
        (
            "export",
            json!({ "name": "a.csv", "table": "passwords" }),
            "passwords",
        ),
        ("export", json!({ "name": "a.doc" }), "a.doc"),
        (
            "export",
            json!({ "name": "tagpipe.toml", "format": "csv" }),
            "tagpipe.toml",
        ),
        (
            "export",
            json!({ "name": "tagpipe.db-wal", "format": "csv" }),
            "tagpipe.db-wal",
        ),
        (
            "export",
            json!({ "name": "a.csv", "table": "runs", "set_filter": "Topps" }),
            "set",
        ),
        ("backup", json!({ "to": "/tmp" }), "a backup takes no options"),
        ("backup", json!({}), "backup_to"),
    ] {
        let (status, problem) = served
            .post("/api/v1/jobs", &json!({ "kind": kind, "options": options }))
            .await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{options} {problem:#}");
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert!(detail.contains(words), "{options}: {detail}");
    }
    assert_eq!(served.get("/api/v1/jobs").await["items"], json!([]));
    assert!(!rig.folder().join("out").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_fails_says_why() {
    let mut rig = Rig::new(site(40)).await;
    rig.set_variable("PIPELINE_EXPORT_TO", "out");
    rig.run(&[]).await.summary(0);
    rig.write("out", "a file where a folder should be");
    let served = Served::start(&rig, &[]).await;
    let job = over(
        &served,
        &ordered(&served, "export", json!({ "name": "catalogue.csv" })).await,
    )
    .await;
    assert_eq!(job["state"], "failed");
    let reason = job["reason"].as_str().expect("a reason");
    assert!(reason.contains("out"), "{reason}");
    assert_eq!(job["result"], Value::Null);
}

/// A service that was killed with a job in hand: the next one begins it anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_service_leaves_a_job_that_the_next_one_does() {
    let mut rig = Rig::new(site(80)).await;
    rig.set_variable("PIPELINE_EXPORT_TO", "out");
    rig.run(&[]).await.summary(0);
    let served = Served::start(&rig, &[]).await;
    let job = ordered(&served, "export", json!({ "name": "catalogue.csv" })).await;
    served.kill().await;
    let served = Served::start(&rig, &[]).await;
    let job = over(&served, &job).await;
    assert_eq!(job["state"], "done", "{job:#}");
    assert!(rig.folder().join("out/catalogue.csv").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_made_by_the_settings_times_and_can_be_restored() {
    let mut rig = Rig::new(site(80)).await;
    rig.run(&[]).await.summary(0);
    rig.set_variable("PIPELINE_BACKUP_TO", "safe");
    rig.set_variable("PIPELINE_BACKUP_SCHEDULE", "* * * * * *");
    let served = Served::start(&rig, &[]).await;
    let deadline = Instant::now() + PATIENCE;
    let job = loop {
        let jobs = served.get("/api/v1/jobs").await;
        if let Some(job) = jobs["items"].as_array().and_then(|items| items.last()) {
            break job.clone();
        }
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(job["planned_at"].is_string());
    let job = over(&served, &job).await;
    assert_eq!(job["state"], "done", "{job:#}");
    let restored = rig
        .tagpipe(&["restore", "--from", "safe", "--database-url", "sqlite:again.db"])
        .await;
    assert_eq!(restored.code, Some(0), "{}", restored.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_run_is_exported_if_the_settings_say_so() {
    let mut rig = Rig::new(site(80)).await;
    rig.set_variable("PIPELINE_EXPORT_AFTER_RUN", "catalogue.csv,grade_rows.parquet");
    rig.set_variable("PIPELINE_EXPORT_TO", "out");
    rig.run(&[]).await.summary(0);
    for name in ["out/catalogue.csv", "out/grade_rows.parquet"] {
        assert!(rig.folder().join(name).exists(), "{name}");
    }
    // Also where nobody could be told of the run.
    fs::remove_dir_all(rig.folder().join("out")).expect("a folder");
    let line = format!(
        "\"$0\" run --full --base-url {} --fetch http --delay 0 --database-url sqlite:tagpipe.db >/dev/full",
        rig.site.site_url()
    );
    let ended = Running::start(rig.shell(&[], &line)).ended().await;
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(rig.folder().join("out/catalogue.csv").exists());
    // What cannot be written is told, and the run is what it is.
    fs::remove_dir_all(rig.folder().join("out")).expect("a folder");
    rig.write("out", "a file where a folder should be");
    let ended = rig.run(&[]).await;
    ended.summary(0);
    assert!(ended.stderr.contains("cannot be exported"), "{}", ended.stderr);
    let told = rig.audit().await;
    assert!(
        told.iter().any(|entry| entry.level == "ERROR"
            && entry.message.contains("cannot be exported to out/catalogue.csv")),
        "not in the trail"
    );
}

/// A backup that fails in the night is told, and a secret that was to be read from a file is not left out.
#[tokio::test(flavor = "multi_thread")]
async fn a_scheduled_backup_that_fails_is_news_and_an_empty_secret_is_refused() {
    let mut rig = Rig::new(site(40)).await;
    rig.run(&[]).await.summary(0);
    rig.write("safe", "a file where a folder should be");
    rig.set_variable("PIPELINE_BACKUP_TO", "safe/here");
    let served = Served::start(&rig, &[]).await;
    let job = over(&served, &ordered(&served, "backup", json!({})).await).await;
    assert_eq!(job["state"], "failed", "{job:#}");
    let told = rig
        .tagpipe(&["notify", "list", "--json", "--database-url", "sqlite:tagpipe.db"])
        .await;
    assert!(told.stdout.contains("job_failed"), "{}", told.stdout);
    served.kill().await;

    rig.write("secret", "\n");
    rig.set_variable("PIPELINE_BACKUP_PASSPHRASE_FILE", "secret");
    let ended = rig
        .tagpipe(&[
            "backup",
            "--to",
            "elsewhere",
            "--database-url",
            "sqlite:tagpipe.db",
        ])
        .await;
    assert!(ended.failure(2).contains("is empty"), "{}", ended.stderr);
    assert!(!rig.folder().join("elsewhere").exists());
}
