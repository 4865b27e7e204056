//! What is not as it should be is refused with a word that tells why, and nothing is changed.

use std::fs;

use super::round_trip::new_key;
use super::*;
use crate::harness::Running;

/// The one backup in a folder of the rig: its object and its manifest.
fn files_of(rig: &Rig, folder: &str) -> (PathBuf, PathBuf) {
    let folder = rig.folder().join(folder);
    let named = |end: &str| {
        let name = names(&folder)
            .into_iter()
            .find(|name| name.ends_with(end))
            .unwrap_or_else(|| panic!("{end} in {:?}", names(&folder)));
        folder.join(name)
    };
    let object = names(&folder)
        .into_iter()
        .find(|name| !name.ends_with(".json"))
        .expect("an object");
    (folder.join(object), named(".json"))
}

/// Bits flipped at any place, of plain and encrypted backups: the backup is refused, or it is restored to the letter.
#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_is_seen() {
    let mut chance = fastrand::Rng::with_seed(20_261_130);
    let rig = rig_with_data(Engine::Sqlite).await;
    let (key, recipient) = new_key(&rig, "key.txt");
    done(&rig, &["backup", "--to", "plain"]).await;
    done(&rig, &["backup", "--to", "sealed", "--recipient", &recipient]).await;
    for folder in ["plain", "sealed"] {
        let (object, manifest) = files_of(&rig, folder);
        for file in [&object, &manifest] {
            let whole = fs::read(file).expect("a file");
            for _ in 0..15 {
                let mut damaged = whole.clone();
                let at = chance.usize(..damaged.len());
                damaged[at] ^= 1 << chance.u8(..8);
                fs::write(file, &damaged).expect("a file");
                let ended = rig
                    .tagpipe(&[
                        "restore",
                        "--from",
                        folder,
                        "--identity",
                        &key,
                        "--database-url",
                        "sqlite:restored.db",
                    ])
                    .await;
                let restored = rig.folder().join("restored.db");
                if ended.code == Some(0) {
                    assert_eq!(file, &manifest, "byte {at}: {}", ended.stdout);
                    let sql = "SELECT count(*), sum(id) FROM grade_rows";
                    assert_eq!(
                        sqlite(&restored, sql),
                        sqlite(&rig.folder().join("tagpipe.db"), sql)
                    );
                    fs::remove_file(&restored).expect("a file");
                    continue;
                }
                assert!(ended.stderr.contains("error: "), "byte {at}: {}", ended.stderr);
                if file == &object {
                    assert!(ended.stderr.contains("damaged"), "byte {at}: {}", ended.stderr);
                }
                assert!(!restored.exists(), "byte {at}: nothing is left");
            }
            fs::write(file, &whole).expect("a file");
        }
    }
    assert_no_clutter(&rig);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cut_short_foreign_or_newer_is_refused_and_nothing_is_changed() {
    let rig = rig_with_data(Engine::Sqlite).await;
    done(&rig, &["backup", "--to", "safe"]).await;
    let (object, manifest) = files_of(&rig, "safe");
    let (whole, told) = (
        fs::read(&object).expect("a file"),
        fs::read_to_string(&manifest).expect("a file"),
    );
    let database = fs::read(rig.folder().join("tagpipe.db")).expect("a file");
    let from = ["restore", "--from", "safe", "--force"];

    for length in [0, 1, whole.len() / 2, whole.len() - 1] {
        fs::write(&object, &whole[..length]).expect("a file");
        refused(&rig, &from, &["damaged", "in place of"]).await;
    }
    // Of the right length, and something else.
    fs::write(&object, vec![7; whole.len()]).expect("a file");
    refused(&rig, &from, &["damaged", "checksum"]).await;
    fs::remove_file(&object).expect("a file");
    refused(&rig, &from, &["damaged", "is not there"]).await;
    fs::write(&object, &whole).expect("a file");

    for (wrong, words) in [
        ("{\"format\": \"somebody's\"}", &["not a backup of tagpipe's"][..]),
        ("not even JSON", &["damaged", "manifest"]),
        ("", &["damaged", "manifest"]),
    ] {
        fs::write(&manifest, wrong).expect("a file");
        refused(&rig, &from, words).await;
    }
    let newer = told.replace("\"version\": 1", "\"version\": 2");
    fs::write(&manifest, newer).expect("a file");
    refused(&rig, &from, &["newer tagpipe"]).await;
    let newer = told.replace("m0012_jobs", "m9999_future");
    assert_ne!(newer, told);
    fs::write(&manifest, newer).expect("a file");
    refused(&rig, &from, &["newer tagpipe", "m9999_future"]).await;
    let other_rows = told.replace("\"categories\": ", "\"categories\": 1");
    fs::write(&manifest, other_rows).expect("a file");
    refused(&rig, &from, &["`categories`", "instead of"]).await;
    // A manifest cannot choose another file.
    let elsewhere = told.replace("\"object\": \"", "\"object\": \"../");
    fs::write(&manifest, elsewhere).expect("a file");
    refused(&rig, &from, &["another backup"]).await;
    fs::remove_file(&manifest).expect("a file");
    refused(&rig, &from, &["no backup at"]).await;

    refused(
        &rig,
        &["restore", "--from", "nowhere", "--force"],
        &["no backup at"],
    )
    .await;
    refused(&rig, &["restore", "--from", "s4://bucket", "--force"], &["s3://"]).await;
    refused(&rig, &["restore"], &["--from"]).await;
    refused(&rig, &["backup"], &["--to"]).await;
    assert!(
        fs::read(rig.folder().join("tagpipe.db")).expect("a file") == database,
        "the database is as it was"
    );
    assert_no_clutter(&rig);
}

/// What is no database of tagpipe's is never overwritten; a damaged one only by force, and it is kept.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_tagpipes_is_never_overwritten() {
    let rig = rig_with_data(Engine::Sqlite).await;
    done(&rig, &["backup", "--to", "safe"]).await;
    let theirs = rig.folder().join("theirs.db");
    sqlite(&theirs, "CREATE TABLE notes (text)");
    let to_theirs = [
        "restore",
        "--from",
        "safe",
        "--force",
        "--database-url",
        "sqlite:theirs.db",
    ];
    let ended = rig.tagpipe(&to_theirs).await;
    assert!(ended.failure(1).contains("`notes`"), "{}", ended.stderr);
    assert_eq!(sqlite(&theirs, "SELECT count(*) FROM notes"), "0");

    let garbage =
        "no database, however long it may be, and this is long enough to be looked at twice\n".repeat(50);
    rig.write("garbage.db", &garbage);
    let plain = ["restore", "--from", "safe", "--database-url", "sqlite:garbage.db"];
    let ended = rig.tagpipe(&plain).await;
    assert!(ended.failure(1).contains("--force"), "{}", ended.stderr);
    let forced = [&plain[..], &["--force"]].concat();
    let ended = rig.tagpipe(&forced).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let aside = names(&rig.folder())
        .into_iter()
        .find(|name| name.starts_with("garbage.db.replaced-"))
        .expect("it is kept");
    assert_eq!(
        fs::read_to_string(rig.folder().join(&aside)).expect("a file"),
        garbage
    );
    assert!(ended.stdout.contains(&aside), "{}", ended.stdout);
    assert_eq!(
        sqlite(&rig.folder().join("garbage.db"), "PRAGMA integrity_check"),
        "ok"
    );

    // A log of writes without its database would be played into the one that is put there.
    rig.write("alone.db-wal", "left by a database that is gone");
    let ended = rig
        .tagpipe(&["restore", "--from", "safe", "--database-url", "sqlite:alone.db"])
        .await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(
        names(&rig.folder())
            .iter()
            .filter(|name| name.starts_with("alone.db"))
            .count(),
        1
    );

    let ended = rig
        .tagpipe(&[
            "restore",
            "--from",
            "safe",
            "--database-url",
            "postgres://x@127.0.0.1:1/x",
        ])
        .await;
    assert!(ended.failure(2).contains("of SQLite"), "{}", ended.stderr);
}

/// Whoever uses a database is not robbed of it.
async fn a_database_in_use_is_not_replaced(engine: Engine) {
    let rig = Rig::on(engine, crate::harness::unhurried(300, 100)).await;
    let running: Running = rig.start(&[]);
    rig.wait_for_documents(40).await;
    done(&rig, &["backup", "--to", "safe"]).await;
    refused(
        &rig,
        &["restore", "--from", "safe", "--force"],
        &["in use", "tagpipe status"],
    )
    .await;
    running.ended().await.summary(0);
    rig.assert_equals_truth().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_sqlite_in_use_is_not_replaced() {
    a_database_in_use_is_not_replaced(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_in_use_is_not_replaced() {
    a_database_in_use_is_not_replaced(Engine::Postgres).await;
}

/// PostgreSQL takes all of a backup or nothing: here somebody's view stands in the way, and a table of the dump is missing.
#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_takes_all_or_nothing() {
    let rig = rig_with_data(Engine::Postgres).await;
    let DatabaseUrl::Postgres(url) = rig.database_url() else {
        unreachable!("asked for PostgreSQL")
    };
    psql(
        &url,
        "CREATE TABLE theirs (id serial); INSERT INTO theirs VALUES (1); CREATE VIEW also AS SELECT * FROM theirs",
    );
    done(&rig, &["backup", "--to", "safe"]).await;
    let certificates = || psql(&url, "SELECT count(*), sum(id) FROM grade_rows");
    let before = certificates();
    psql(&url, "CREATE VIEW mine AS SELECT name FROM cards");
    refused(
        &rig,
        &["restore", "--from", "safe", "--force"],
        &["is as it was", "mine"],
    )
    .await;
    assert_eq!(certificates(), before);
    psql(&url, "DROP VIEW mine");

    let (_, manifest) = files_of(&rig, "safe");
    let told = fs::read_to_string(&manifest).expect("a file");
    fs::write(&manifest, told.replace("\"categories\": ", "\"categories\": 1")).expect("a file");
    refused(
        &rig,
        &["restore", "--from", "safe", "--force"],
        &["is as it was", "categories"],
    )
    .await;
    assert_eq!(certificates(), before);
    refused(&rig, &["backup", "verify", "--from", "safe"], &["categories"]).await;
    let databases = psql(
        &url,
        "SELECT count(*) FROM pg_database WHERE datname LIKE 'tagpipe_verify%'",
    );
    assert_eq!(databases, "0", "nothing is left of the trial");
    fs::write(&manifest, told).expect("a file");
    done(&rig, &["restore", "--from", "safe", "--force"]).await;
    assert_eq!(
        psql(&url, "SELECT count(*) FROM also"),
        "1",
        "somebody else's stays"
    );
    rig.assert_equals_truth().await;
}

/// PostgreSQL's programs: missing, or older than the server.
#[tokio::test(flavor = "multi_thread")]
async fn missing_and_old_programs_are_told() {
    let mut rig = rig_with_data(Engine::Postgres).await;
    let tools = rig.folder().join("tools");
    fs::create_dir(&tools).expect("a folder");
    rig.set_variable("PATH", tools.to_str().expect("a path"));
    refused(
        &rig,
        &["backup", "--to", "safe"],
        &["no `pg_dump`", "postgresql-client"],
    )
    .await;
    let old = tools.join("pg_dump");
    fs::write(&old, "#!/bin/sh\necho 'pg_dump (PostgreSQL) 9.6.24'\n").expect("a file");
    fs::set_permissions(&old, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("its rights");
    refused(
        &rig,
        &["backup", "--to", "safe"],
        &["`pg_dump`", "of PostgreSQL 9", "newer on PATH"],
    )
    .await;
    // One that breaks off leaves nothing.
    fs::write(
        &old,
        "#!/bin/sh\nif [ \"$1\" = --version ]; then echo 'pg_dump (PostgreSQL) 99.1'; exit; fi\necho half; echo 'it broke' >&2; exit 1\n",
    )
    .expect("a file");
    refused(&rig, &["backup", "--to", "safe"], &["it broke"]).await;
    assert_eq!(names(&rig.folder().join("safe")), Vec::<String>::new());
}

/// The password stands in no command line, where everybody could read it.
#[tokio::test(flavor = "multi_thread")]
async fn the_password_is_in_no_command_line() {
    let mut rig = rig_with_data(Engine::Postgres).await;
    let tools = rig.folder().join("tools");
    fs::create_dir(&tools).expect("a folder");
    let spy = tools.join("pg_dump");
    let real = printed("sh", &["-c", "command -v pg_dump"], &[]);
    fs::write(
        &spy,
        format!(
            "#!/bin/sh\necho \"$@\" >> '{}/arguments'\nexec {} \"$@\"\n",
            tools.display(),
            real.trim()
        ),
    )
    .expect("a file");
    fs::set_permissions(&spy, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("its rights");
    let path = format!("{}:{}", tools.display(), std::env::var("PATH").expect("a path"));
    rig.set_variable("PATH", &path);
    done(&rig, &["backup", "--to", "safe"]).await;
    let arguments = fs::read_to_string(tools.join("arguments")).expect("it was called");
    assert!(arguments.contains("--format=custom"), "{arguments}");
    assert!(
        !arguments.contains("only-for-tests") && !arguments.contains("postgres://"),
        "{arguments}"
    );
}
