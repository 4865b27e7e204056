//! `tagpipe doctor`: every check is seen to fail.

use std::time::Duration;

use serde_json::Value;
use tagpipe_demo::DemoConfig;
use tagpipe_store::contract::SlotRequest;

use crate::harness::{Engine, Rig};

async fn rig(engine: Engine) -> Rig {
    Rig::on(
        engine,
        DemoConfig {
            pages: 60,
            ..DemoConfig::default()
        },
    )
    .await
}

/// Runs the doctor and returns (exit code, finding of the check).
async fn finding(rig: &Rig, check: &str, more: &[&str]) -> (i32, Value) {
    let site = rig.site.site_url();
    let mut arguments = vec!["doctor", "--json"];
    if !more.contains(&"--want-free") {
        arguments.extend(["--want-free", "1"]);
    }
    if !more.contains(&"--base-url") {
        arguments.extend(["--base-url", &site]);
    }
    if !more.contains(&"--fetch") {
        arguments.extend(["--fetch", "http"]);
    }
    arguments.extend(more);
    let ended = rig.tagpipe(&arguments).await;
    let report: Value = serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{}", ended.stderr));
    let findings = report["findings"].as_array().expect("findings");
    let found = findings.iter().find(|finding| finding["check"] == check);
    let found = found
        .unwrap_or_else(|| panic!("no {check} in {report:#}"))
        .clone();
    (ended.code.expect("a code"), found)
}

async fn assert_finding(rig: &Rig, check: &str, more: &[&str], result: &str, words: &[&str]) {
    let (code, finding) = finding(rig, check, more).await;
    assert_eq!(finding["result"], result, "{finding:#}");
    let expected = match (check, result) {
        ("settings", "failed") => 2,
        (_, "failed") => 1,
        _ => 0,
    };
    assert_eq!(code, expected, "{finding:#}");
    for word in words {
        assert!(finding.to_string().contains(word), "`{word}` in {finding:#}");
    }
    let needs_remedy = result == "failed" || result == "warning";
    assert_eq!(finding["remedy"] != "", needs_remedy, "{finding:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_machine_is_called_healthy_and_nothing_is_changed() {
    let rig = rig(Engine::Sqlite).await;
    let before = rig.files();
    for check in [
        "settings",
        "database",
        "disk",
        "browser",
        "site",
        "pace",
        "clock",
        "time zone",
    ] {
        assert_finding(&rig, check, &[], "ok", &[]).await;
    }
    assert_eq!(
        rig.files().keys().collect::<Vec<_>>(),
        before.keys().collect::<Vec<_>>()
    );
    rig.run(&["--max-pages", "5"]).await.summary(5);
    assert_finding(
        &rig,
        "database",
        &[],
        "ok",
        &["SQLite", "migrations", "may be written"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_seen_to_be_wrong() {
    let mut rig = rig(Engine::Sqlite).await;
    assert_finding(
        &rig,
        "settings",
        &["--max-rate", "0"],
        "failed",
        &["--max-rate", "more than 0"],
    )
    .await;
    rig.set_variable("PIPELINE_CONCURRENCY", "3");
    assert_finding(&rig, "settings", &[], "warning", &["PIPELINE_MAX_CONCURRENCY"]).await;
    rig.set_variable("PIPELINE_TIMEZONE", "Mars/Base");
    assert_finding(&rig, "settings", &[], "failed", &["Mars/Base", "Europe/Berlin"]).await;
    rig.set_variable("PIPELINE_TIMEZONE", "Europe/Berlin");
    rig.set_variable("PIPELINE_SCHEDULE", "every full moon");
    assert_finding(
        &rig,
        "settings",
        &[],
        "failed",
        &["every full moon", "PIPELINE_SCHEDULE"],
    )
    .await;
    rig.set_variable("PIPELINE_SCHEDULE", "0 2 * * 0");
    assert_finding(&rig, "time zone", &[], "ok", &["Europe/Berlin"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_seen_to_be_away_unwritable_old_new_or_none() {
    let rig = rig(Engine::Postgres).await;
    let url = match rig.database_url() {
        tagpipe_store::DatabaseUrl::Postgres(url) => url.to_string(),
        _ => unreachable!("asked for PostgreSQL"),
    };
    assert_finding(
        &rig,
        "database",
        &["--database-url", &url],
        "ok",
        &["without tables"],
    )
    .await;
    rig.run(&["--max-pages", "3"]).await.summary(5);
    assert_finding(
        &rig,
        "database",
        &["--database-url", &url],
        "ok",
        &["PostgreSQL 1"],
    )
    .await;

    let store = rig.open().await;
    use sea_orm::ConnectionTrait;
    for sql in [
        "CREATE ROLE looker LOGIN PASSWORD 'x'",
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO looker",
    ] {
        store.connection().execute_unprepared(sql).await.expect("granted");
    }
    let mut looker = url::Url::parse(&url).expect("an address");
    looker.set_username("looker").expect("a user");
    looker.set_password(Some("x")).expect("a password");
    assert_finding(
        &rig,
        "database",
        &["--database-url", looker.as_str()],
        "failed",
        &["cannot be written", "permission denied", "grant"],
    )
    .await;
    store
        .connection()
        .execute_unprepared("INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9999_future', 0)")
        .await
        .expect("a newer schema");
    assert_finding(
        &rig,
        "database",
        &["--database-url", &url],
        "failed",
        &["newer tagpipe", "m9999_future"],
    )
    .await;
    store
        .connection()
        .execute_unprepared("DELETE FROM seaql_migrations WHERE version = 'm9999_future'")
        .await
        .expect("taken back");
    store.migrate_down(1).await.expect("an older schema");
    assert_finding(
        &rig,
        "database",
        &["--database-url", &url],
        "warning",
        &["lacks 1 of 13 migrations", "db migrate"],
    )
    .await;
    store.close().await;

    let away = "postgres://tagpipe:x@127.0.0.1:1/tagpipe";
    assert_finding(
        &rig,
        "database",
        &["--database-url", away],
        "failed",
        &["127.0.0.1:1", "is the server running"],
    )
    .await;
    rig.write(
        "text.db",
        "this is no database, however long it may be; not at all, not even nearly so.\n",
    );
    assert_finding(
        &rig,
        "database",
        &["--database-url", "sqlite:text.db"],
        "failed",
        &["text.db"],
    )
    .await;
    assert_finding(
        &rig,
        "database",
        &["--database-url", "sqlite:no/folder/x.db"],
        "failed",
        &["no/folder"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn disk_browser_site_and_pace_are_seen_to_fail() {
    let mut rig = rig(Engine::Sqlite).await;
    assert_finding(
        &rig,
        "disk",
        &["--want-free", "99999999999"],
        "failed",
        &["MiB free", "make room"],
    )
    .await;
    assert_finding(
        &rig,
        "site",
        &["--base-url", "http://127.0.0.1:1"],
        "failed",
        &["127.0.0.1:1", "HTTPS_PROXY"],
    )
    .await;
    assert_finding(&rig, "site", &["--offline"], "skipped", &["--offline"]).await;
    rig.set_variable("CHROMIUM", "/nonexistent/chromium");
    assert_finding(
        &rig,
        "browser",
        &["--fetch", "browser"],
        "failed",
        &["/nonexistent", "install"],
    )
    .await;
    assert_finding(&rig, "browser", &["--fetch", "http"], "ok", &["none is needed"]).await;
    rig.write("broken", "#!/bin/sh\nexit 1\n");
    let broken = rig.folder().join("broken");
    let rights = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&broken, rights).expect("made executable");
    rig.set_variable("CHROMIUM", broken.to_str().expect("a path"));
    assert_finding(
        &rig,
        "browser",
        &["--fetch", "browser"],
        "failed",
        &["did not start"],
    )
    .await;

    // A site that is not on this machine has a pace to be kept; it is not asked.
    let far = &["--base-url", "https://report.example.com", "--offline"][..];
    assert_finding(&rig, "pace", far, "ok", &["4.5 s"]).await;
    let mut fast = far.to_vec();
    fast.extend(["--max-rate", "2"]);
    assert_finding(&rig, "pace", &fast, "warning", &["0.5 s", "may block you"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn robots_that_forbid_the_report_are_told() {
    let rig = Rig::new(DemoConfig {
        pages: 60,
        robots_txt: Some("User-agent: *\nDisallow: /pop-report\n".to_owned()),
        ..DemoConfig::default()
    })
    .await;
    assert_finding(
        &rig,
        "site",
        &[],
        "failed",
        &["robots.txt does not allow", "/pop-report"],
    )
    .await;
    let rig = Rig::new(DemoConfig {
        pages: 60,
        robots_txt: Some("User-agent: *\nCrawl-delay: 2\n".to_owned()),
        ..DemoConfig::default()
    })
    .await;
    assert_finding(&rig, "site", &[], "ok", &["2 s between requests"]).await;
    assert_eq!(rig.site.requests().len(), 1, "one request");
}

#[tokio::test(flavor = "multi_thread")]
async fn findings_are_words_for_people() {
    let rig = rig(Engine::Sqlite).await;
    let ended = rig
        .tagpipe(&[
            "doctor",
            "--offline",
            "--fetch",
            "http",
            "--want-free",
            "99999999999",
            "--color",
            "never",
        ])
        .await;
    assert_eq!(ended.code, Some(1));
    assert!(!ended.stdout.contains('\u{1b}'), "{:?}", ended.stdout);
    assert!(
        ended
            .stdout
            .lines()
            .any(|line| line.starts_with("FAILED") && line.contains("disk"))
    );
    assert!(
        ended
            .stdout
            .lines()
            .any(|line| line.trim_start().starts_with('→'))
    );
}

/// Slots that nobody will use: `doctor` and `status` tell, and the next run does not wait for them.
#[tokio::test(flavor = "multi_thread")]
async fn a_pace_far_ahead_is_told_and_begun_anew() {
    let rig = Rig::new(DemoConfig {
        pages: 60,
        ..DemoConfig::default()
    })
    .await;
    rig.run(&[]).await.summary(0);
    assert_finding(&rig, "pace", &["--offline"], "ok", &["0 runners"]).await;
    let store = rig.open().await;
    let site = rig.site.site_url();
    let hours = SlotRequest {
        interval: Duration::from_secs(2 * 3600),
        delay: Duration::ZERO,
        last_us: 0,
    };
    for _ in 0..2 {
        let site = site.trim_end_matches('/');
        store.open_pace(site).await.expect("a pace");
        store.take_slot(site, hours).await.expect("a slot");
    }
    store.close().await;
    let told = &[
        "further away than the pace explains",
        "the next run begins the pace anew",
    ];
    assert_finding(&rig, "pace", &["--offline"], "warning", told).await;
    let (_, site) = finding(&rig, "site", &[]).await;
    assert_eq!(site["result"], "skipped", "{site:#}");
    let status = rig
        .tagpipe(&["status", "--database-url", "sqlite:tagpipe.db"])
        .await;
    assert!(
        status.stdout.contains("begins the pace anew"),
        "{}",
        status.stdout
    );
    let ended = rig.run(&[]).await;
    assert!(ended.stderr.contains("it begins anew"), "{}", ended.stderr);
    ended.summary(0);
    assert_finding(&rig, "pace", &["--offline"], "ok", &["0 runners"]).await;
}
