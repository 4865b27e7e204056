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
    let newer = told.replace("m0013_recipients", "m9999_future");
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

/// The password stands in no command line, where everybody could read it; and PostgreSQL's programs get no key of another door.
#[tokio::test(flavor = "multi_thread")]
async fn programs_get_what_they_need_and_no_more() {
    let mut rig = rig_with_data(Engine::Postgres).await;
    let seen = rig.folder().join("seen");
    let script = format!(
        "{{ echo \"$0 $@\"; env; }} >> '{}'\nexec REAL \"$@\"",
        seen.display()
    );
    let mut path = String::new();
    for program in ["pg_dump", "pg_restore", "psql"] {
        path = path_with(&rig, program, &script);
    }
    for (name, text) in [
        ("PATH", path.as_str()),
        ("PIPELINE_BACKUP_PASSPHRASE", "hunter2 of backups"),
        ("TAGPIPE_API_TOKEN", "hunter2-of-the-service"),
        ("AWS_SECRET_ACCESS_KEY", "hunter2 of a cloud"),
        ("PIPELINE_NOTIFY_NTFY_TOKEN", "hunter2 of messages"),
        ("TZ", "Europe/Berlin"),
        ("LC_MESSAGES", "C"),
        ("PGSSLCRL", "/nowhere.crl"),
    ] {
        rig.set_variable(name, text);
    }
    done(&rig, &["backup", "--to", "safe", "--verify"]).await;
    done(&rig, &["restore", "--from", "safe", "--force"]).await;
    let seen = fs::read_to_string(seen).expect("they were called");
    for needed in [
        "pg_dump --no-password --format=custom",
        "psql ",
        "pg_restore --list",
        "TZ=Europe/Berlin",
        "LC_MESSAGES=C",
        "PGSSLCRL=/nowhere.crl",
        "PGPASSWORD=only-for-tests",
        "HOME=",
    ] {
        assert!(seen.contains(needed), "{needed} in {seen}");
    }
    assert!(!seen.contains("hunter2"), "{seen}");
    let words: Vec<&str> = seen.lines().filter(|line| line.starts_with('/')).collect();
    assert!(
        words
            .iter()
            .all(|line| !line.contains("only-for-tests") && !line.contains("postgres://")),
        "{words:?}"
    );
}

/// A trial is made in an empty database or in none: what others have in theirs is not for trying.
#[tokio::test(flavor = "multi_thread")]
async fn a_trial_does_not_touch_what_others_have() {
    let rig = rig_with_data(Engine::Postgres).await;
    let DatabaseUrl::Postgres(url) = rig.database_url() else {
        unreachable!("asked for PostgreSQL")
    };
    done(&rig, &["backup", "--to", "safe"]).await;
    for (name, content) in [
        ("empty", None),
        ("tables", Some("CREATE TABLE notes (text text)")),
        (
            "schemas",
            Some("CREATE SCHEMA theirs CREATE VIEW one AS SELECT 1 AS one"),
        ),
        (
            "functions",
            Some("CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'"),
        ),
        ("types", Some("CREATE TYPE mood AS ENUM ('good')")),
    ] {
        psql(&url, &format!("CREATE DATABASE {name}"));
        let mut scratch = url.clone();
        scratch.set_path(name);
        if let Some(content) = content {
            psql(&scratch, content);
        }
        let verify = [
            "backup",
            "verify",
            "--from",
            "safe",
            "--scratch-url",
            scratch.as_str(),
        ];
        match content {
            None => drop(done(&rig, &verify).await),
            Some(_) => drop(refused(&rig, &verify, &["is not empty", "empty database"]).await),
        }
        let ours = psql(
            &scratch,
            "SELECT count(*) FROM pg_class WHERE relname = 'grade_rows'",
        );
        assert_eq!(ours, "0", "{name}");
    }
    let own = address(&rig);
    refused(
        &rig,
        &["backup", "--to", "safe", "--verify", "--scratch-url", &own],
        &["is stored", "is not empty"],
    )
    .await;
    rig.assert_equals_truth().await;
}

/// A folder, a device: no database was ever there, so there is none to replace.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_file_is_not_moved_aside() {
    let rig = rig_with_data(Engine::Sqlite).await;
    done(&rig, &["backup", "--to", "safe"]).await;
    fs::create_dir(rig.folder().join("folder.db")).expect("a folder");
    rig.write("folder.db/dear", "mine");
    let before = names(&rig.folder());
    for (url, words) in [
        ("sqlite:folder.db", "it is a folder"),
        ("sqlite:/dev/null", "it is a device"),
    ] {
        for force in [&[][..], &["--force"]] {
            let restore = ["restore", "--from", "safe", "--database-url", url];
            let ended = rig.tagpipe(&[&restore[..], force].concat()).await;
            let told = ended.failure(1);
            assert!(told.contains(words) && told.contains("--database-url"), "{told}");
        }
    }
    assert_eq!(names(&rig.folder()), before);
    rig.write("file", "");
    let ended = rig
        .tagpipe(&[
            "restore",
            "--from",
            "safe",
            "--database-url",
            "sqlite:file/tagpipe.db",
        ])
        .await;
    let told = ended.failure(1);
    assert!(told.contains("`file` is a file"), "{told}");
}

/// Encryption that was meant is never left out without a word.
#[tokio::test(flavor = "multi_thread")]
async fn an_empty_passphrase_is_no_wish_for_plain_backups() {
    let mut rig = rig_with_data(Engine::Sqlite).await;
    rig.set_variable("PIPELINE_BACKUP_PASSPHRASE", "");
    refused(
        &rig,
        &["backup", "--to", "safe"],
        &["PIPELINE_BACKUP_PASSPHRASE", "would not be encrypted", "unset it"],
    )
    .await;
    assert_eq!(names(&rig.folder().join("safe")), Vec::<String>::new());
}

/// A damaged database is called that, whatever SQLite says of it: of a page number beyond all bounds, that the disk is full.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_database_is_not_called_a_full_disk() {
    let rig = rig_with_data(Engine::Sqlite).await;
    add_bulk(&rig, 1);
    let database = rig.folder().join("tagpipe.db");
    sqlite(&database, "PRAGMA wal_checkpoint(TRUNCATE)");
    let page_size: usize = sqlite(&database, "PRAGMA page_size").parse().expect("a number");
    let whole = fs::read(&database).expect("a file");
    // Pages that a long value goes on in begin with the number of the next one.
    let mut led_astray = whole.clone();
    let link = (1..whole.len() / page_size)
        .map(|page| page * page_size)
        .find(|at| whole[*at..*at + 4] == u32::try_from(at / page_size + 2).expect("a number").to_be_bytes())
        .expect("a page that leads to the one after it");
    led_astray[link..link + 4].fill(0xff);
    let mut all = vec![led_astray];
    let mut chance = fastrand::Rng::with_seed(20_261_130);
    for _ in 0..6 {
        let mut scribbled = whole.clone();
        for _ in 0..400 {
            scribbled[chance.usize(page_size..whole.len())] = chance.u8(..);
        }
        all.push(scribbled);
    }
    let copy = rig.folder().join("copy.db");
    for (number, damaged) in all.iter().enumerate() {
        fs::write(&database, damaged).expect("a file");
        let said = Command::new("sqlite3")
            .args([&database, Path::new(&format!("VACUUM INTO '{}'", copy.display()))])
            .output()
            .expect("this test needs `sqlite3`");
        let said_full = String::from_utf8_lossy(&said.stderr).contains("disk is full");
        assert!(said_full || number > 0, "{said:?}");
        if said.status.success() {
            fs::remove_file(&copy).expect("a file");
            continue;
        }
        let words = refused(
            &rig,
            &["backup", "--to", "safe"],
            &["`tagpipe.db`", "is damaged", "tagpipe restore"],
        )
        .await;
        assert!(!words.contains("full"), "{number}: {words}");
        assert_eq!(words.trim_end().lines().count(), 1, "{words}");
        // Not there if SQLite has removed it.
        let _ = fs::remove_file(&copy);
    }
    assert_eq!(names(&rig.folder().join("safe")), Vec::<String>::new());
    assert_no_clutter(&rig);
}

/// Each says what, where, and what to do.
#[tokio::test(flavor = "multi_thread")]
async fn wrong_places_are_told_with_what_is_wrong_with_them() {
    let mut rig = rig_with_data(Engine::Sqlite).await;
    rig.write("file.txt", "mine");
    for to in ["file.txt", "file.txt/below", "/dev/full"] {
        let (place, _) = to.split_once("/below").unwrap_or((to, ""));
        for command in [&["backup", "--to", to], &["restore", "--from", to]] {
            let told = refused(&rig, command, &["name a folder", &format!("`{place}`")]).await;
            assert!(!told.contains("mkdir"), "{told}");
        }
    }
    assert_eq!(
        fs::read_to_string(rig.folder().join("file.txt")).expect("a file"),
        "mine"
    );
    refused(&rig, &["backup", "--to", "no/such"], &["mkdir -p"]).await;

    rig.set_variable("AWS_PROFILE", "nope");
    let told = refused(
        &rig,
        &["backup", "--to", "s3://bucket/x"],
        &["`nope`", ".aws/credentials", "AWS_PROFILE"],
    )
    .await;
    assert!(!told.contains("no credentials"), "{told}");
}
