//! There and back, on both engines.

use std::path::Path;

use super::*;
use crate::harness::{unhurried, wait_until};

/// A backup is exactly what other programs find in it, and what comes back is what was there.
async fn what_comes_back_is_what_was_there(engine: Engine) {
    let rig = rig_with_data(engine).await;
    let before = counted_all(&rig);
    let made = done(&rig, &["backup", "--to", "safe", "--verify"]).await;
    let manifest = &made["backup"];
    assert_eq!(made["verified"], true);
    assert_eq!(promised(manifest), before);
    let last = "SELECT max(version) FROM seaql_migrations";
    let last = match rig.database_url() {
        DatabaseUrl::Postgres(url) => psql(&url, last),
        _ => sqlite(&rig.folder().join("tagpipe.db"), last),
    };
    let migrations = manifest["migrations"].as_array().expect("a list");
    assert_eq!(migrations.last().expect("some"), &last);

    // The files, by other programs. Nobody else has any business with them.
    let object = rig.folder().join("safe").join(text(&manifest["object"]));
    let told = object.with_file_name(format!("{}.json", text(&manifest["name"])));
    for file in [&object, &told] {
        assert_eq!(printed("stat", &["-c", "%a", path(file)], &[]).trim(), "600");
    }
    assert_eq!(sha256(&object), text(&manifest["stored"]["sha256"]));
    let opened = rig.folder().join("opened");
    printed("zstd", &["-dq", path(&object), "-o", path(&opened)], &[]);
    assert_eq!(sha256(&opened), text(&manifest["content"]["sha256"]));
    if engine == Engine::Sqlite {
        assert_eq!(sqlite(&opened, "PRAGMA integrity_check"), "ok");
        assert_eq!(
            sqlite(&opened, "SELECT count(*) FROM grade_rows"),
            manifest["tables"]["grade_rows"].to_string()
        );
    } else {
        let listed = printed("pg_restore", &["--list", path(&opened)], &[]);
        assert!(listed.contains("TABLE DATA public cards"), "{listed}");
    }
    std::fs::remove_file(&opened).expect("a file");

    // What happens after the backup is undone by it, and nothing else.
    let undone = "DELETE FROM frontier";
    match rig.database_url() {
        DatabaseUrl::Postgres(url) => psql(&url, undone),
        _ => sqlite(&rig.folder().join("tagpipe.db"), undone),
    };
    let refusal = refused(&rig, &["restore", "--from", "safe"], &["--force", "1 runs"]).await;
    assert!(refusal.contains("cards"), "{refusal}");
    let restored = done(&rig, &["restore", "--from", "safe", "--force"]).await;
    assert_eq!(restored["backup"]["name"], manifest["name"]);
    assert_eq!(counted(&rig, manifest), with_note(before));
    rig.assert_equals_truth().await;

    // Both stand in the audit trail: the restore in the one that was restored.
    let audit = rig.audit().await;
    let last = audit.iter().max_by_key(|entry| entry.id).expect("entries");
    assert_eq!(
        (last.operation.as_str(), last.runner_id.as_str()),
        ("restore", "tagpipe restore")
    );
    assert!(last.message.contains(text(&manifest["name"])), "{}", last.message);
    done(&rig, &["backup", "--to", "safe"]).await;
    let audit = rig.audit().await;
    assert!(audit.iter().any(|entry| entry.operation == "backup"));
    // Further runs go on as ever.
    rig.run(&[]).await.summary(0);
    rig.assert_equals_truth().await;
    assert_no_clutter(&rig);
}

fn counted_all(rig: &Rig) -> BTreeMap<String, u64> {
    let names = match rig.database_url() {
        DatabaseUrl::Postgres(url) => psql(
            &url,
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'",
        ),
        _ => sqlite(
            &rig.folder().join("tagpipe.db"),
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' \
             AND name NOT LIKE 'card_search%'",
        ),
    };
    let tables: serde_json::Map<String, Value> =
        names.lines().map(|name| (name.to_owned(), Value::Null)).collect();
    counted(rig, &serde_json::json!({ "tables": tables }))
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a path")
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_comes_back_as_it_was() {
    what_comes_back_is_what_was_there(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_comes_back_as_it_was() {
    what_comes_back_is_what_was_there(Engine::Postgres).await;
}

/// The job that made a backup is under way in it: begun once more after a restore, it would push other backups out.
async fn jobs_that_were_open_end_with_a_restore(engine: Engine) {
    let rig = rig_with_data(engine).await;
    let ask = |sql: &str| match rig.database_url() {
        DatabaseUrl::Postgres(url) => psql(&url, sql),
        _ => sqlite(&rig.folder().join("tagpipe.db"), sql),
    };
    ask(
        "INSERT INTO jobs (kind, options, ordered_by, state, holder, held_until, attempts, created_at) \
         VALUES ('backup', '{}', 'somebody', 'working', 'a service', '2026-11-24T07:00:00.000Z', 1, '2026-11-24T06:00:00.000Z'), \
                ('export', '{}', 'somebody', 'waiting', '', NULL, 0, '2026-11-24T06:00:00.000Z'), \
                ('export', '{}', 'somebody', 'done', '', NULL, 1, '2026-11-24T06:00:00.000Z')",
    );
    let address = address(&rig);
    let of_database = |words: &[&'static str]| [words, &["--database-url"]].concat();
    let added = [
        &of_database(&["token", "add", "looker", "--scope", "read"])[..],
        &[&address],
    ]
    .concat();
    assert_eq!(rig.tagpipe(&added).await.code, Some(0));
    done(&rig, &["backup", "--to", "safe"]).await;
    let restore = [
        &of_database(&["restore", "--from", "safe", "--force"])[..],
        &[&address],
    ]
    .concat();
    let restored = rig.tagpipe(&restore).await;
    assert_eq!(restored.code, Some(0), "{}", restored.stderr);
    assert!(
        restored.stdout.contains("tokens are those of that time"),
        "{}",
        restored.stdout
    );
    assert_eq!(
        ask("SELECT state FROM jobs ORDER BY id"),
        "failed\ncancelled\ndone"
    );
    assert_eq!(
        ask(
            "SELECT count(*) FROM jobs WHERE reason LIKE '%restored from a backup%' AND ended_at IS NOT NULL"
        ),
        "2"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_ends_open_jobs_with_a_restore() {
    jobs_that_were_open_end_with_a_restore(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_ends_open_jobs_with_a_restore() {
    jobs_that_were_open_end_with_a_restore(Engine::Postgres).await;
}

/// A link to a disk that is not mounted is not made a file.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_leads_nowhere_stays_one() {
    let rig = rig_with_data(Engine::Sqlite).await;
    done(&rig, &["backup", "--to", "safe"]).await;
    let link = rig.folder().join("link.db");
    std::os::unix::fs::symlink("gone/tagpipe.db", &link).expect("a link");
    let ended = rig
        .tagpipe(&["restore", "--from", "safe", "--database-url", "sqlite:link.db"])
        .await;
    assert!(
        ended
            .failure(1)
            .contains("is a link to `gone/tagpipe.db`, where nothing is"),
        "{}",
        ended.stderr
    );
    assert!(link.is_symlink());
}

/// tagpipe's tables may be in a schema of their own: they are tried, and brought back, where they were, be the schema there or not.
#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_schema_of_ones_own_comes_back() {
    let rig = Rig::on(Engine::Postgres, small()).await;
    let DatabaseUrl::Postgres(server) = rig.database_url() else {
        unreachable!("asked for PostgreSQL")
    };
    psql(&server, "CREATE SCHEMA \"My Cards\"");
    psql(&server, "CREATE DATABASE other");
    psql(&server, "CREATE DATABASE elsewhere");
    let in_schema = |database: &str| {
        let mut url = server.clone();
        url.set_path(database);
        // As libpq reads it, too: search_path="My\ Cards".
        url.set_query(Some("options=-csearch_path%3D%22My%5C%20Cards%22"));
        url
    };
    let (here, other) = (in_schema("postgres"), in_schema("other"));
    rig.run(&["--database-url", here.as_str()]).await.summary(0);
    let on = async |url: &url::Url, arguments: &[&str]| {
        let mut all = arguments.to_vec();
        all.extend(["--json", "--database-url", url.as_str()]);
        rig.tagpipe(&all).await
    };
    for _ in 0..2 {
        let made = on(&here, &["backup", "--to", "safe", "--verify", "--keep", "last=1"]).await;
        assert_eq!(made.code, Some(0), "{}", made.stderr);
    }
    assert_eq!(names(&rig.folder().join("safe")).len(), 2, "the rule was applied");
    let scratch = "SELECT count(*) FROM pg_database WHERE datname LIKE 'tagpipe_verify%'";
    assert_eq!(psql(&server, scratch), "0");

    let refused = on(&elsewhere(&server), &["restore", "--from", "safe"]).await;
    let words = refused.failure(1);
    assert!(
        words.contains("`My Cards`") && words.contains("search_path"),
        "{words}"
    );
    assert_eq!(
        psql(
            &elsewhere(&server),
            "SELECT count(*) FROM pg_namespace WHERE nspname = 'My Cards'"
        ),
        "0",
        "nothing is changed"
    );

    for (url, force) in [(&other, &[][..]), (&here, &["--force"][..])] {
        let restored = on(url, &[&["restore", "--from", "safe"], force].concat()).await;
        assert_eq!(restored.code, Some(0), "{}", restored.stderr);
        let checked = on(url, &["check"]).await;
        assert_eq!(checked.code, Some(0), "{}{}", checked.stdout, checked.stderr);
    }
    let rows = "SELECT count(*), sum(id) FROM \"My Cards\".grade_rows";
    assert_eq!(psql(&other, rows), psql(&server, rows));
    let in_public = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace";
    for url in [&other, &here] {
        assert_eq!(psql(url, in_public), "0");
    }
}

/// A database of the server that nothing leads to a schema of its own.
fn elsewhere(server: &url::Url) -> url::Url {
    let mut url = server.clone();
    url.set_path("elsewhere");
    url
}

/// A backup in the middle of a run at full speed is one moment of it: brought back, the run goes on from there to the truth.
async fn a_backup_in_mid_run_goes_on(engine: Engine) {
    let rig = Rig::on(engine, unhurried(500, 30)).await;
    let running = rig.start(&[]);
    rig.wait_for_documents(100).await;
    let made = done(&rig, &["backup", "--to", "safe"]).await;
    let manifest = made["backup"].clone();
    // As many as fit into the run: each one must be a whole moment.
    for _ in 0..3 {
        let before = rig.documents().len();
        done(&rig, &["backup", "--to", "safe"]).await;
        wait_until("the run to go on", || {
            rig.documents().len() > before || running.has_ended()
        })
        .await;
    }
    running.ended().await.summary(0);
    rig.assert_equals_truth().await;
    let whole = counted_all(&rig);
    let promised_rows = promised(&manifest);
    assert!(
        promised_rows["grade_rows"] < whole["grade_rows"],
        "the backup is of the middle: {promised_rows:?}"
    );
    for name in names(&rig.folder().join("safe")) {
        if let Some(name) = name.strip_suffix(".json") {
            done(&rig, &["backup", "verify", "--from", &format!("safe/{name}")]).await;
        }
    }

    let first = format!("safe/{}", text(&manifest["name"]));
    let restored = done(&rig, &["restore", "--from", &first, "--force"]).await;
    assert_eq!(restored["backup"]["name"], manifest["name"]);
    assert_eq!(counted(&rig, &manifest), with_note(promised_rows));
    rig.assert_is_consistent().await;
    let summary = rig.run(&["--resume"]).await.summary(0);
    assert!(
        summary["resumed"]["completed"].as_u64().expect("a number") > 0,
        "{summary:#}"
    );
    rig.assert_equals_truth().await;
    let checked = on_database(&rig, &["check"]).await;
    assert_eq!(checked.code, Some(0), "{}{}", checked.stdout, checked.stderr);
    assert_no_clutter(&rig);
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_goes_on_from_a_backup_in_mid_run() {
    a_backup_in_mid_run_goes_on(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_goes_on_from_a_backup_in_mid_run() {
    a_backup_in_mid_run_goes_on(Engine::Postgres).await;
}

/// A backup may be restored elsewhere: into a new file, and into an empty PostgreSQL.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_can_be_restored_elsewhere() {
    let rig = rig_with_data(Engine::Sqlite).await;
    done(&rig, &["backup", "--to", "safe"]).await;
    let elsewhere = rig
        .tagpipe(&["restore", "--from", "safe", "--database-url", "sqlite:other.db"])
        .await;
    assert_eq!(elsewhere.code, Some(0), "{}", elsewhere.stderr);
    assert!(
        elsewhere.stdout.contains("tagpipe run --resume"),
        "{}",
        elsewhere.stdout
    );
    let tables = ["cards", "grade_rows", "runs"];
    for table in tables {
        let sql = format!("SELECT count(*), sum(id) FROM {table}");
        assert_eq!(
            sqlite(&rig.folder().join("other.db"), &sql),
            sqlite(&rig.folder().join("tagpipe.db"), &sql),
            "{table}"
        );
    }

    let rig = rig_with_data(Engine::Postgres).await;
    let DatabaseUrl::Postgres(url) = rig.database_url() else {
        unreachable!("asked for PostgreSQL")
    };
    done(&rig, &["backup", "--to", "safe"]).await;
    let other = restored_beside(&rig, &url).await;
    for table in tables {
        let sql = format!("SELECT count(*) FROM {table}");
        assert_eq!(psql(&other, &sql), psql(&url, &sql), "{table}");
    }
    // What was restored is whole: its triggers and its search work, too.
    let checked = rig.tagpipe(&["check", "--database-url", other.as_str()]).await;
    assert_eq!(checked.code, Some(0), "{}{}", checked.stdout, checked.stderr);
}

/// A backup of an older schema is restored as it is, and the next start brings it up to date.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_schema_is_brought_up_to_date_afterwards() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let rig = rig_with_data(engine).await;
        let store = rig.open().await;
        store.migrate_down(2).await.expect("an older schema");
        store.close().await;
        let made = done(&rig, &["backup", "--to", "safe"]).await;
        let (applied, pending) = tagpipe_store::Store::migrations(&rig.database_url())
            .await
            .expect("a schema");
        assert_eq!(made["backup"]["migrations"], serde_json::json!(applied));
        assert_eq!(pending.len(), 2);
        // The database that is replaced has gone on.
        done_plain(&rig, &["db", "migrate"]).await;
        done(&rig, &["restore", "--from", "safe", "--force"]).await;
        rig.run(&[]).await.summary(0);
        rig.assert_equals_truth().await;
    }
}

async fn done_plain(rig: &Rig, arguments: &[&str]) {
    let ended = on_database(rig, arguments).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

/// Settings from the environment do what flags do, and a passphrase is as good as a key.
#[tokio::test(flavor = "multi_thread")]
async fn encrypted_backups_need_their_key() {
    let mut rig = rig_with_data(Engine::Sqlite).await;
    let (key, recipient) = new_key(&rig, "key.txt");
    let made = done(
        &rig,
        &[
            "backup",
            "--to",
            "safe",
            "--recipient",
            &recipient,
            "--verify",
            "--identity",
            &key,
        ],
    )
    .await;
    assert_eq!(made["backup"]["encryption"], "age");
    let object = rig.folder().join("safe").join(text(&made["backup"]["object"]));
    let stored = std::fs::read(&object).expect("a file");
    assert!(stored.starts_with(b"age-encryption.org/v1"), "age's own format");

    let from = ["restore", "--from", "safe", "--force"];
    refused(&rig, &from, &["encrypted", "--identity"]).await;
    let (other, _) = new_key(&rig, "other.txt");
    refused(
        &rig,
        &["restore", "--from", "safe", "--force", "--identity", &other],
        &["another key"],
    )
    .await;
    refused(
        &rig,
        &["backup", "--to", "safe", "--recipient", &recipient, "--verify"],
        &["--identity"],
    )
    .await;
    done(
        &rig,
        &["restore", "--from", "safe", "--force", "--identity", &key],
    )
    .await;
    rig.assert_equals_truth().await;

    rig.set_variable("PIPELINE_BACKUP_TO", "by-setting");
    rig.set_variable("PIPELINE_BACKUP_PASSPHRASE", "correct horse battery staple");
    rig.set_variable("PIPELINE_BACKUP_KEEP", "last=1");
    for _ in 0..2 {
        done(&rig, &["backup"]).await;
    }
    let listed = done(&rig, &["backup", "list"]).await;
    assert_eq!(listed["backups"].as_array().map(Vec::len), Some(1), "{listed:#}");
    done(&rig, &["backup", "verify"]).await;
    done(&rig, &["restore", "--force"]).await;
    rig.set_variable("PIPELINE_BACKUP_PASSPHRASE", "wrong horse");
    refused(&rig, &["restore", "--force"], &["another key or passphrase"]).await;
    let shown = rig.tagpipe(&["config", "show"]).await;
    assert!(!shown.stdout.contains("horse"), "{}", shown.stdout);
    rig.assert_equals_truth().await;
}

/// A new key of age's: the path of its file, and its public half.
pub(super) fn new_key(rig: &Rig, name: &str) -> (String, String) {
    use age::secrecy::ExposeSecret as _;
    let key = age::x25519::Identity::generate();
    rig.write(name, &format!("# a key\n{}\n", key.to_string().expose_secret()));
    (
        rig.folder().join(name).display().to_string(),
        key.to_public().to_string(),
    )
}

/// Tables of others in the file that is replaced are in no backup: the file is moved aside, not thrown away. What comes in its
/// place has its mode.
#[tokio::test(flavor = "multi_thread")]
async fn what_others_keep_in_the_file_is_not_thrown_away() {
    use std::os::unix::fs::PermissionsExt as _;
    let rig = rig_with_data(Engine::Sqlite).await;
    let database = rig.folder().join("tagpipe.db");
    done(&rig, &["backup", "--to", "safe"]).await;
    let restored = done(&rig, &["restore", "--from", "safe", "--force"]).await;
    assert_eq!(
        restored["moved_aside"],
        serde_json::Value::Null,
        "all in it was tagpipe's"
    );

    sqlite(
        &database,
        "CREATE TABLE my_notes (note text); INSERT INTO my_notes VALUES ('dear')",
    );
    std::fs::set_permissions(&database, std::fs::Permissions::from_mode(0o600)).expect("its mode");
    let restored = done(&rig, &["restore", "--from", "safe", "--force"]).await;
    let aside = rig.folder().join(text(&restored["moved_aside"]));
    assert_eq!(sqlite(&aside, "SELECT note FROM my_notes"), "dear");
    let mode = std::fs::metadata(&database).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    rig.assert_equals_truth().await;
}
