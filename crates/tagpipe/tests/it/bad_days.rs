//! Bad days: what is said, with which exit code, and that nothing was lost. The words are snapshots.

use sea_orm::ConnectionTrait;
use tagpipe_demo::DemoConfig;
use tagpipe_store::DatabaseUrl;

use crate::harness::{Ended, Engine, Rig, Running, is_root};
use crate::proxy::{Answer, Proxy};

fn small() -> DemoConfig {
    DemoConfig {
        pages: 80,
        seed: 21,
        ..DemoConfig::default()
    }
}

/// Exit code and words, without what differs from run to run.
fn said(rig: &Rig, ended: &Ended) -> String {
    let home = rig.folder().parent().expect("a home").display().to_string();
    let words: Vec<String> = ended
        .stderr
        .lines()
        .filter(|line| line.starts_with("error:") || line.starts_with(' '))
        .map(|line| without_ports(&line.replace(&home, "HOME")))
        .collect();
    let code = ended.code.map_or("a signal".to_owned(), |code| code.to_string());
    format!("exit {code}\n{}", words.join("\n"))
}

/// `127.0.0.1:41234` as `127.0.0.1:PORT`; well-known ports stay.
fn without_ports(line: &str) -> String {
    let mut parts = line.split("127.0.0.1:");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.chars().take_while(char::is_ascii_digit).count();
        text.push_str("127.0.0.1:");
        text.push_str(if digits > 3 { "PORT" } else { &part[..digits] });
        text.push_str(&part[digits..]);
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_settings() {
    let mut rig = Rig::new(small()).await;
    let mut words = Vec::new();
    for arguments in [
        &["--delay", "soon"][..],
        &["--concurrency", "0"],
        &["--year-filter", "1990-1980"],
        &["--database-url", "mysql://u:secret@h/x"],
        &["--profile", "absent.toml"],
        &["--resume", "last"],
        &["--resume", "--dry-run"],
    ] {
        words.push(said(&rig, &rig.run(arguments).await));
    }
    rig.write("tagpipe.toml", "concurency = 3\n");
    words.push(said(&rig, &rig.run(&[]).await));
    rig.write("tagpipe.toml", "delay = [\n");
    words.push(said(&rig, &rig.run(&[]).await));
    std::fs::remove_file(rig.folder().join("tagpipe.toml")).expect("removed");
    rig.set_variable("POSTGRES_PASSWORD_FILE", "/run/secrets/absent");
    words.push(said(&rig, &rig.run(&[]).await));
    insta::assert_snapshot!(words.join("\n\n"));
    assert!(rig.site.requests().is_empty(), "the site is not asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn absent_database_wrong_password_and_missing_rights() {
    let rig = Rig::on(Engine::Postgres, small()).await;
    rig.run(&["--max-pages", "10"]).await.summary(5);
    let DatabaseUrl::Postgres(url) = rig.database_url() else {
        unreachable!("asked for PostgreSQL")
    };
    let store = rig.open().await;
    for sql in [
        "CREATE ROLE looker LOGIN PASSWORD 'right'",
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO looker",
    ] {
        store.connection().execute_unprepared(sql).await.expect("granted");
    }
    store.close().await;
    let with = |user: &str, password: &str, database: &str| {
        let mut url = url.clone();
        url.set_username(user).expect("a user");
        url.set_password(Some(password)).expect("a password");
        url.set_path(database);
        url.to_string()
    };
    let database = url.path().trim_start_matches('/').to_owned();
    let mut words = Vec::new();
    for address in [
        with(url.username(), url.password().unwrap_or_default(), "absent"),
        with("nobody", "secret", &database),
        with("looker", "right", &database),
        "postgres://tagpipe:secret@127.0.0.1:1/tagpipe".to_owned(),
    ] {
        let ended = rig.run(&["--database-url", &address]).await;
        assert!(
            !ended.stderr.contains("secret"),
            "no password is shown: {}",
            ended.stderr
        );
        words.push(said(&rig, &ended));
    }
    insta::assert_snapshot!(words.join("\n\n"));
    rig.run(&["--resume"]).await.summary(0);
    rig.assert_equals_truth().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_told_without_it() {
    let rig = Rig::on(Engine::Postgres, small()).await;
    let DatabaseUrl::Postgres(url) = rig.database_url() else {
        unreachable!("asked for PostgreSQL")
    };
    let store = rig.open().await;
    store
        .connection()
        .execute_unprepared("CREATE ROLE ada LOGIN PASSWORD 'right'")
        .await
        .expect("made");
    // From now on the server wants passwords of everybody but its owner.
    let file = "SELECT setting FROM pg_settings WHERE name = 'hba_file'";
    let row = store
        .connection()
        .query_one_raw(sea_orm::Statement::from_string(
            sea_orm::DbBackend::Postgres,
            file,
        ))
        .await
        .expect("asked")
        .expect("a row");
    let hba: String = row.try_get("", "setting").expect("a path");
    let rules = std::fs::read_to_string(&hba).expect("rules");
    std::fs::write(&hba, format!("host all ada 127.0.0.1/32 scram-sha-256\n{rules}")).expect("written");
    store
        .connection()
        .execute_unprepared("SELECT pg_reload_conf()")
        .await
        .expect("reloaded");
    store.close().await;
    let mut wrong = url.clone();
    wrong.set_username("ada").expect("a user");
    wrong.set_password(Some("wrong-secret")).expect("a password");
    let mut ended = rig.run(&["--database-url", wrong.as_str()]).await;
    // The server takes the new rules a moment later.
    for _ in 0..100 {
        if ended.stderr.contains("password") {
            break;
        }
        ended = rig.run(&["--database-url", wrong.as_str()]).await;
    }
    assert!(!ended.stderr.contains("wrong-secret"), "{}", ended.stderr);
    insta::assert_snapshot!(said(&rig, &ended));
}

#[tokio::test(flavor = "multi_thread")]
async fn old_and_newer_schemas() {
    let rig = Rig::new(small()).await;
    rig.run(&["--max-pages", "10"]).await.summary(5);
    let store = rig.open().await;
    store.migrate_down(1).await.expect("an older schema");
    store.close().await;
    let mut words = Vec::new();
    for arguments in [
        &["run", "--resume", "--no-migrate"][..],
        &["status"],
        &["retry", "--no-migrate"],
    ] {
        words.push(said(&rig, &rig.tagpipe(arguments).await));
    }
    let migrated = rig.tagpipe(&["db", "migrate"]).await;
    assert_eq!(migrated.stdout, "tagpipe.db: applied m0013_recipients\n");
    assert_eq!(rig.tagpipe(&["status"]).await.code, Some(0));

    let store = rig.open().await;
    store
        .connection()
        .execute_unprepared("INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9999_future', 0)")
        .await
        .expect("a newer schema");
    store.close().await;
    for arguments in [&["run", "--resume"][..], &["status"], &["db", "migrate"]] {
        words.push(said(&rig, &rig.tagpipe(arguments).await));
    }
    insta::assert_snapshot!(words.join("\n\n"));
    let file = rusty(
        &rig,
        "DELETE FROM seaql_migrations WHERE version = 'm9999_future'",
    )
    .await;
    assert!(file, "the row was there");
    rig.run(&["--resume"]).await.summary(0);
    rig.assert_equals_truth().await;
}

/// Changes the SQLite file past the program, whose own connection would refuse the newer schema.
async fn rusty(rig: &Rig, sql: &str) -> bool {
    let path = rig.folder().join("tagpipe.db");
    let mut options = sea_orm::ConnectOptions::new(format!("sqlite:{}", path.display()));
    options.idle_timeout(None).max_lifetime(None);
    let connection = sea_orm::Database::connect(options).await.expect("opened");
    let changed = connection
        .execute_unprepared(sql)
        .await
        .expect("changed")
        .rows_affected();
    connection.close().await.expect("closed");
    changed > 0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_may_not_be_written() {
    let rig = Rig::new(small()).await;
    let folder = rig.folder().join("locked");
    std::fs::create_dir(&folder).expect("a folder");
    let run = format!(
        "{program} run --base-url {site} --fetch http --delay 0 --database-url sqlite:{folder}/tagpipe.db",
        folder = folder.display(),
        program = env!("CARGO_BIN_EXE_tagpipe"),
        site = rig.site.site_url(),
    );
    // Root may write everywhere but to what is mounted to be read only.
    let command = if is_root() {
        let line = format!("mount -t tmpfs -o ro tmpfs {} && exec {run}", folder.display());
        rig.shell(&["unshare", "--mount"], &line)
    } else {
        let rights = std::os::unix::fs::PermissionsExt::from_mode(0o555);
        std::fs::set_permissions(&folder, rights).expect("taken away");
        rig.shell(&[], &format!("exec {run}"))
    };
    let ended = Running::start(command).ended().await;
    insta::assert_snapshot!(said(&rig, &ended));
}

/// Reads 600 pages into a database that cannot grow, then goes on with a copy that can.
async fn a_database_that_may_not_grow(limited: impl Fn(&str) -> String, before: &[&str], word: &str) {
    let rig = Rig::new(DemoConfig {
        pages: 600,
        ..small()
    })
    .await;
    std::fs::create_dir(rig.folder().join("small")).expect("a folder");
    rig.write("patience.toml", "database_patience = 1\n");
    let run = format!(
        "{program} run --base-url {site} --fetch http --delay 0 --database-url sqlite:small/tagpipe.db --config patience.toml",
        program = env!("CARGO_BIN_EXE_tagpipe"),
        site = rig.site.site_url(),
    );
    let line = format!("{}; code=$?; cp small/* .; exit $code", limited(&run));
    let ended = Running::start(rig.shell(before, &line)).ended().await;
    let said = ended.failure(7);
    assert!(
        said.contains(word) && said.contains("the same command with --resume"),
        "{said}"
    );
    // The copy, on a disk with room, goes on where the full one stopped.
    let read = rig.assert_is_consistent().await;
    assert!(read > 0, "something had been read");
    let summary = rig.run(&["--resume"]).await.summary(0);
    assert!(summary["resumed"]["completed"].as_u64() >= Some(read));
    rig.assert_equals_truth().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_up() {
    let on_a_small_disk = |run: &str| format!("mount -t tmpfs -o size=900k tmpfs small && {run}");
    if is_root() {
        a_database_that_may_not_grow(
            on_a_small_disk,
            &["unshare", "--mount"],
            "database or disk is full",
        )
        .await;
    } else {
        // Without the right to mount anything: a file that may not grow is as bad.
        a_file_that_may_not_grow().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_that_is_used_up() {
    a_file_that_may_not_grow().await;
}

async fn a_file_that_may_not_grow() {
    // In blocks of 1,024 bytes; the signal that comes with it is ignored, so that writing fails instead.
    let with_small_files = |run: &str| format!("(trap '' XFSZ; ulimit -f 800; {run})");
    a_database_that_may_not_grow(with_small_files, &[], "disk").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_browser_no_network_and_a_changed_site() {
    let mut rig = Rig::new(small()).await;
    rig.run(&["--max-pages", "20"]).await.summary(5);
    let mut words = Vec::new();
    words.push(said(
        &rig,
        &rig.run(&[
            "--resume",
            "--base-url",
            "http://127.0.0.1:1",
            "--max-retries",
            "0",
        ])
        .await,
    ));
    words.push(said(
        &rig,
        &rig.run(&["--base-url", "http://127.0.0.1:1", "--max-retries", "0"])
            .await,
    ));
    let empty = rig.folder().join("empty");
    std::fs::create_dir(&empty).expect("a folder");
    rig.set_variable("PATH", empty.to_str().expect("a path"));
    words.push(said(&rig, &rig.run(&["--resume", "--fetch", "browser"]).await));
    insta::assert_snapshot!(words.join("\n\n"));

    let proxy = Proxy::start(Some(rig.site.site_addr()), |_| {
        Answer::Rewrite(Box::new(|page| page.replace("Graded", "Slabbed")))
    })
    .await;
    let other = Rig::new(small()).await;
    let mut changed = other;
    changed.read_from(proxy.url());
    let ended = changed.run(&["--max-retries", "0"]).await;
    let summary = ended.summary(8);
    let reason = summary["reason"].as_str().expect("words");
    assert!(
        reason.contains("Graded") && reason.contains("levels.years"),
        "{reason}"
    );

    // None of it cost anything.
    rig.run(&["--resume"]).await.summary(0);
    rig.assert_equals_truth().await;
}
