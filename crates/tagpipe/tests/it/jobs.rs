//! Exports and backups that the service does: ordered over HTTP, by its settings' times and after runs.

use std::fs;
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use sea_orm::ConnectionTrait;
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
pub(crate) async fn over(served: &Served, job: &Value) -> Value {
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

pub(crate) async fn ordered(served: &Served, kind: &str, options: Value) -> Value {
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
        ("export", json!({ "name": "a.csv", "format": "doc" }), "doc"),
        (
            "export",
            json!({ "name": "a", "format": "csv", "table": "cards", "split": "grade" }),
            "grade",
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

/// A folder of many files: nothing is there for it yet, and what is kept of the job is small.
#[tokio::test(flavor = "multi_thread")]
async fn an_export_of_many_files_makes_its_folders_and_tells_the_first() {
    let rig = Rig::new(site(600)).await;
    rig.run(&[]).await.summary(0);
    let served = Served::start(&rig, &[]).await;
    let options = json!({ "name": "two", "table": "cards,sets", "split": "set", "format": "jsonl" });
    let job = over(&served, &ordered(&served, "export", options).await).await;
    assert_eq!(job["state"], "done", "{job:#}");
    let schema = fs::read_to_string(rig.folder().join("exports/two/schema.json")).expect("a schema file");
    let schema: Value = serde_json::from_str(&schema).expect("JSON");
    let files = schema["files"].as_array().expect("files");
    assert!(files.len() > 100, "{}", files.len());
    assert_eq!(
        job["result"]["files"].as_array().expect("files")[..],
        files[..100]
    );
    assert_eq!(job["result"]["files_left_out"], files.len() - 100);
    for name in ["schema.json", "catalogue.csv.schema.json"] {
        let order = json!({ "kind": "export", "options": { "name": name, "table": "cards" } });
        let (status, problem) = served.post("/api/v1/jobs", &order).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem:#}");
    }
}

/// The moment of an export is one that the database knows, or the export is not ordered, by the API or by the form.
async fn a_moment_is_checked_when_an_export_is_ordered(engine: Engine) {
    let mut rig = Rig::on(engine, site(40)).await;
    rig.set_variable("PIPELINE_EXPORT_TO", "out");
    rig.run(&[]).await.summary(0);
    let served = Served::start(&rig, &[]).await;
    for (since, words) in [
        ("yesterday", "`yesterday` is not a time"),
        ("2026-13-01", "`2026-13-01` is not a time"),
        ("2999-01-01", "`2999-01-01` lies in the future"),
        ("run", "names no run"),
        ("run one", "`run one` names no run"),
        ("run 99", "there is no run 99"),
    ] {
        let options = json!({ "name": "a.csv", "table": "cards", "changed_since": since });
        let (status, problem) = served
            .post("/api/v1/jobs", &json!({ "kind": "export", "options": options }))
            .await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{since}: {problem:#}");
        let detail = problem["detail"].as_str().expect("words");
        assert!(detail.contains(words), "{since}: {detail}");
        let form = format!("name=a.csv&table=cards&changed_since={}", since.replace(' ', "+"));
        let (status, page) = served.send_form("/actions/exports", &form).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{since}");
        let fault = page.split("role=\"alert\">").nth(1).expect("a fault");
        let in_a_sentence = words.trim_start_matches("there");
        assert!(fault.contains(in_a_sentence), "{since}: {fault}");
        assert!(page.contains(&format!("value=\"{since}\"")), "{since} is kept");
    }
    assert_eq!(served.get("/api/v1/jobs").await["items"], json!([]));
    for since in ["7d", "2026-01-01", "run 1"] {
        let options = json!({ "name": "cards.csv", "table": "cards", "changed_since": since });
        let job = over(&served, &ordered(&served, "export", options).await).await;
        assert_eq!(job["state"], "done", "{job:#}");
        assert_eq!(job["result"]["warnings"], json!([]));
    }

    // As if the run had been a reparse that has corrected a row.
    let store = rig.open().await;
    let correct =
        "UPDATE runs SET config = '{\"work\": \"reparse\"}', summary = '{\"tables\": [{\"changed\": 1}]}'";
    store
        .connection()
        .execute_unprepared(correct)
        .await
        .expect("it is written");
    store.close().await;
    for (table, status) in [
        ("cards", StatusCode::UNPROCESSABLE_ENTITY),
        ("runs", StatusCode::ACCEPTED),
    ] {
        let options = json!({ "name": "a.csv", "table": table, "changed_since": "7d" });
        let order = json!({ "kind": "export", "options": options });
        let (told, said) = served.post("/api/v1/jobs", &order).await;
        assert_eq!(told, status, "{table}: {said:#}");
        let detail = said["detail"].as_str().unwrap_or("a reparse, has corrected rows");
        assert!(detail.contains("a reparse, has corrected rows"), "{detail}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_a_moment_is_checked_when_an_export_is_ordered() {
    a_moment_is_checked_when_an_export_is_ordered(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_a_moment_is_checked_when_an_export_is_ordered() {
    a_moment_is_checked_when_an_export_is_ordered(Engine::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_that_matches_nothing_is_told_with_the_result() {
    let mut rig = Rig::new(site(80)).await;
    rig.set_variable("PIPELINE_EXPORT_TO", "out");
    rig.run(&[]).await.summary(0);
    let category = rig.site.world().category_rows().next().expect("a category").name;
    let served = Served::start(&rig, &[]).await;
    for (options, rows, words) in [
        (
            json!({ "categories": "Hocky" }),
            false,
            vec![
                "no category matches `Hocky`; there are ",
                "no category matches the filters, so no row is exported",
            ],
        ),
        (
            json!({ "categories": format!("Hocky,{category}") }),
            true,
            vec!["no category matches `Hocky`; there are "],
        ),
        (
            json!({ "categories": category, "year_filter": "1700" }),
            false,
            vec!["no year matches the filters, so no row is exported"],
        ),
        (
            json!({ "set_filter": "<script>" }),
            false,
            vec!["no set matches the filters, so no row is exported"],
        ),
        (json!({ "categories": category }), true, vec![]),
        (json!({ "changed_since": "1s" }), false, vec![]),
    ] {
        let mut asked = json!({ "name": "cards.csv", "table": "cards" });
        for (key, value) in options.as_object().expect("options") {
            asked[key] = value.clone();
        }
        let job = over(&served, &ordered(&served, "export", asked).await).await;
        assert_eq!(job["state"], "done", "{job:#}");
        let warnings = job["result"]["warnings"].as_array().expect("a list").clone();
        assert_eq!(warnings.len(), words.len(), "{job:#}");
        let (_, page) = served.page("/data").await;
        for (warning, words) in warnings.iter().zip(words) {
            let warning = warning.as_str().expect("words");
            assert!(warning.starts_with(words), "{warning}");
            let shown = words.trim_start_matches("no ");
            assert!(page.contains(shown), "`{shown}` is not on the page");
        }
        // Nothing since a moment ago is no mistake.
        if options.get("changed_since").is_none() {
            assert_eq!(job["result"]["rows"] != 0, rows, "{job:#}");
        }
    }
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
