//! A process may be killed at any instant: nothing half is left that could be taken for whole, and the database is the one
//! that it was, or the one that was to be restored.

use std::time::{Duration, Instant};

use super::*;
use crate::harness::Running;

/// How long a command takes on this machine, undisturbed.
async fn time_of(rig: &Rig, arguments: &[&str]) -> Duration {
    let begun = Instant::now();
    done(rig, arguments).await;
    begun.elapsed()
}

/// Starts a command on the rig's database and kills it after a while.
async fn killed(rig: &Rig, arguments: &[&str], after: Duration) -> Ended {
    let address = address(rig);
    let mut all = arguments.to_vec();
    all.extend(["--json", "--database-url", &address]);
    let running = Running::start(rig.command(&all));
    tokio::time::sleep(after).await;
    running.kill().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_backup_is_none() {
    let mut chance = fastrand::Rng::with_seed(1);
    let rig = rig_with_data(Engine::Sqlite).await;
    add_bulk(&rig, 30);
    let command = ["backup", "--to", "safe"];
    let whole = time_of(&rig, &command).await;
    let mut struck = 0;
    for _ in 0..12 {
        let ended = killed(&rig, &command, whole.mul_f64(chance.f64())).await;
        struck += usize::from(ended.code.is_none());
        for name in names(&rig.folder().join("safe")) {
            assert!(name.starts_with("tagpipe-"), "nothing half is seen: {name}");
        }
        let listed = done(&rig, &["backup", "list", "--from", "safe"]).await;
        for one in listed["incomplete"].as_array().expect("a list") {
            assert!(one["why"].to_string().contains("no manifest"), "{one:#}");
        }
    }
    assert!(struck >= 4, "{struck} were struck");
    let listed = done(&rig, &["backup", "list", "--from", "safe"]).await;
    for one in listed["backups"].as_array().expect("a list") {
        let place = format!("safe/{}", one["name"].as_str().expect("a name"));
        done(&rig, &["backup", "verify", "--from", &place]).await;
    }
    // The next one clears up after them.
    done(&rig, &["backup", "--to", "safe", "--verify"]).await;
    assert_no_clutter(&rig);
    rig.assert_equals_truth().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_restore_leaves_the_one_or_the_other() {
    let mut chance = fastrand::Rng::with_seed(2);
    let rig = rig_with_data(Engine::Sqlite).await;
    add_bulk(&rig, 20);
    let database = rig.folder().join("tagpipe.db");
    sqlite(&database, "CREATE TABLE mark (attempt)");
    done(&rig, &["backup", "--to", "safe"]).await;
    let mark = "SELECT coalesce(max(attempt), 'restored') FROM mark";
    let command = ["restore", "--from", "safe", "--force"];
    let whole = time_of(&rig, &command).await;
    let (mut struck, mut old, mut new) = (0, 0, 0);
    for attempt in 0..14 {
        sqlite(&database, &format!("INSERT INTO mark VALUES ({attempt})"));
        let ended = killed(&rig, &command, whole.mul_f64(chance.f64())).await;
        struck += usize::from(ended.code.is_none());
        assert_eq!(
            sqlite(&database, "PRAGMA integrity_check"),
            "ok",
            "attempt {attempt}"
        );
        let found = sqlite(&database, mark);
        if found == "restored" {
            new += 1;
        } else {
            assert_eq!(found, attempt.to_string(), "as it was");
            old += 1;
        }
        assert!(
            ended.code != Some(0) || found == "restored",
            "what was said to be done is done"
        );
    }
    assert!(struck >= 4 && old > 0, "{struck} struck, {old} old, {new} new");
    done(&rig, &["restore", "--from", "safe", "--force"]).await;
    assert_no_clutter(&rig);
    rig.assert_equals_truth().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_restore_leaves_a_postgres_whole() {
    let mut chance = fastrand::Rng::with_seed(3);
    let rig = rig_with_data(Engine::Postgres).await;
    let DatabaseUrl::Postgres(url) = rig.database_url() else {
        unreachable!("asked for PostgreSQL")
    };
    let made = done(&rig, &["backup", "--to", "safe"]).await;
    let manifest = made["backup"].clone();
    let command = ["restore", "--from", "safe", "--force"];
    let whole = time_of(&rig, &command).await;
    let (mut struck, mut old) = (0, 0);
    for attempt in 0..7 {
        psql(&url, "DELETE FROM frontier");
        let before = counted(&rig, &manifest);
        let ended = killed(&rig, &command, whole.mul_f64(chance.f64())).await;
        struck += usize::from(ended.code.is_none());
        // What the killed one had begun is taken back when the server notices.
        let busy = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tagpipe backup'";
        crate::harness::wait_until("its sessions to end", || psql(&url, busy) == "0").await;
        let found = counted(&rig, &manifest);
        let is_old = found == before;
        assert!(
            is_old || found == with_note(promised(&manifest)),
            "attempt {attempt}: {found:?}"
        );
        assert!(
            ended.code != Some(0) || !is_old,
            "what was said to be done is done"
        );
        old += usize::from(is_old);
    }
    assert!(
        struck >= 3 && old > 0,
        "{struck} were struck, {old} left the old one"
    );
    done(&rig, &["restore", "--from", "safe", "--force"]).await;
    rig.assert_equals_truth().await;
}

/// What a killed trial leaves is removed by the next backup, and not before its process is gone, whichever database of the server
/// the next one is of.
#[tokio::test(flavor = "multi_thread")]
async fn the_database_of_a_trial_lasts_as_long_as_its_process() {
    let rig = rig_with_data(Engine::Postgres).await;
    let DatabaseUrl::Postgres(url) = rig.database_url() else {
        unreachable!("asked for PostgreSQL")
    };
    done(&rig, &["backup", "--to", "safe"]).await;
    let other = restored_beside(&rig, &url).await;

    // A `psql` that stands still until its tagpipe is gone, and is connected to nothing.
    let started = rig.folder().join("started");
    let script = format!(
        "if [ \"$1\" = --version ]; then exec REAL --version; fi\ntouch '{}'\nwhile kill -0 $PPID; do sleep 0.02; done",
        started.display()
    );
    let path = path_with(&rig, "psql", &script);
    let mut command = rig.command(&[
        "backup",
        "verify",
        "--from",
        "safe",
        "--database-url",
        url.as_str(),
    ]);
    command.env("PATH", &path);
    let trial = Running::start(command);
    crate::harness::wait_until("the trial to begin", || started.exists()).await;
    let scratch = || {
        psql(
            &url,
            "SELECT count(*) FROM pg_database WHERE datname LIKE 'tagpipe_verify%'",
        )
    };
    for of in [url.as_str(), other.as_str()] {
        let made = rig
            .tagpipe(&["backup", "--to", "second", "--verify", "--database-url", of])
            .await;
        assert_eq!(made.code, Some(0), "{}", made.stderr);
        assert_eq!(scratch(), "1", "it is in use");
    }

    trial.kill().await;
    let busy = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tagpipe backup'";
    crate::harness::wait_until("its sessions to end", || psql(&url, busy) == "0").await;
    assert_eq!(scratch(), "1", "nobody has come by yet");
    let made = rig
        .tagpipe(&["backup", "--to", "second", "--database-url", other.as_str()])
        .await;
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    assert_eq!(scratch(), "0");
}

/// The same of files: a trial's are among the temporary ones, where a backup of SQLite writes none of its own.
#[tokio::test(flavor = "multi_thread")]
async fn the_files_of_a_killed_trial_are_removed_by_the_next_backup() {
    let rig = rig_with_data(Engine::Sqlite).await;
    let temporary = rig.folder().with_file_name("tmp");
    let left = temporary.join(".tagpipe-scratch-1-dead");
    let held = temporary.join(".tagpipe-scratch-1-held");
    for folder in [&left, &held] {
        std::fs::create_dir(folder).expect("a folder");
        std::fs::write(folder.join("opened"), "half a database").expect("a file");
    }
    std::fs::write(left.join("lock"), "").expect("a file");
    let lock = std::fs::File::create(held.join("lock")).expect("a file");
    lock.lock().expect("its lock");
    done(&rig, &["backup", "--to", "safe"]).await;
    assert_eq!(names(&temporary), [".tagpipe-scratch-1-held"]);
    drop(lock);
    done(&rig, &["backup", "--to", "safe"]).await;
    assert_eq!(names(&temporary), Vec::<String>::new());
}

/// Who is asked to stop cleans up.
#[tokio::test(flavor = "multi_thread")]
async fn sigterm_leaves_nothing() {
    let rig = rig_with_data(Engine::Sqlite).await;
    add_bulk(&rig, 60);
    let command = ["backup", "--to", "safe"];
    let whole = time_of(&rig, &command).await;
    for share in [0.3, 0.6, 0.9] {
        let address = address(&rig);
        let mut all = command.to_vec();
        all.extend(["--json", "--database-url", &address]);
        let running = Running::start(rig.command(&all));
        tokio::time::sleep(whole.mul_f64(share)).await;
        if !running.has_ended() {
            running.signal("TERM").await;
        }
        let ended = running.ended().await;
        assert!(
            matches!(ended.code, Some(143 | 0)),
            "{:?} {}",
            ended.code,
            ended.stderr
        );
        if ended.code == Some(143) {
            assert!(ended.stderr.contains("nothing was changed"), "{}", ended.stderr);
        }
        let listed = done(&rig, &["backup", "list", "--from", "safe"]).await;
        assert_eq!(listed["incomplete"], serde_json::json!([]), "{listed:#}");
        assert_no_clutter(&rig);
    }
}
