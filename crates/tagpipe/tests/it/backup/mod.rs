//! Backups: taken while a run writes, brought back, refused where they are not what they should be.
//!
//! What a backup holds is told by other programs: `sqlite3`, `psql`, `zstd` and `sha256sum`.

mod kills;
mod refusals;
mod retention;
mod round_trip;
mod s3;
mod tls;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tagpipe_demo::DemoConfig;
use tagpipe_store::DatabaseUrl;

use crate::harness::{Ended, Engine, Rig};

/// A small site.
fn small() -> DemoConfig {
    DemoConfig {
        pages: 80,
        seed: 9,
        ..DemoConfig::default()
    }
}

/// A rig whose database has read its site.
pub(crate) async fn rig_with_data(engine: Engine) -> Rig {
    let rig = Rig::on(engine, small()).await;
    rig.run(&[]).await.summary(0);
    rig
}

/// The address of the rig's database, as a command takes it.
pub(crate) fn address(rig: &Rig) -> String {
    match rig.database_url() {
        DatabaseUrl::Postgres(url) => url.to_string(),
        _ => "sqlite:tagpipe.db".to_owned(),
    }
}

/// Runs a command on the rig's database and returns what it printed.
pub(crate) async fn done(rig: &Rig, arguments: &[&str]) -> Value {
    let ended = on_database(rig, arguments).await;
    assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.stderr);
    serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{arguments:?}: {}", ended.stdout))
}

/// Runs a command on the rig's database.
pub(crate) async fn on_database(rig: &Rig, arguments: &[&str]) -> Ended {
    let address = address(rig);
    let mut all = arguments.to_vec();
    all.extend(["--json", "--database-url", &address]);
    rig.tagpipe(&all).await
}

/// Runs a command that must fail with these words, and returns all of them.
async fn refused(rig: &Rig, arguments: &[&str], words: &[&str]) -> String {
    let ended = on_database(rig, arguments).await;
    assert!(matches!(ended.code, Some(1 | 2)), "{arguments:?}: {ended:#?}");
    for word in words {
        assert!(ended.stderr.contains(word), "`{word}` in {}", ended.stderr);
    }
    ended.stderr
}

/// Restores the newest backup of `safe` into a new database on the server of `url`; its address.
async fn restored_beside(rig: &Rig, url: &url::Url) -> url::Url {
    psql(url, "CREATE DATABASE other");
    let mut other = url.clone();
    other.set_path("other");
    let restored = rig
        .tagpipe(&["restore", "--from", "safe", "--database-url", other.as_str()])
        .await;
    assert_eq!(restored.code, Some(0), "{}", restored.stderr);
    other
}

/// What a program prints.
pub(crate) fn printed(program: &str, arguments: &[&str], variables: &[(&str, String)]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .envs(variables.iter().map(|(name, text)| (name, text)))
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("this test needs `{program}`: {error}"));
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("it prints text")
}

/// One line of `sqlite3`'s answer.
pub(crate) fn sqlite(file: &Path, sql: &str) -> String {
    printed("sqlite3", &[file.to_str().expect("a path"), sql], &[])
        .trim_end()
        .to_owned()
}

/// One line of `psql`'s answer.
fn psql(url: &url::Url, sql: &str) -> String {
    let variables = [("PGPASSWORD", url.password().unwrap_or_default().to_owned())];
    let mut shown = url.clone();
    shown.set_password(None).expect("a host");
    printed("psql", &["-XAtq", "-d", shown.as_str(), "-c", sql], &variables)
        .trim_end()
        .to_owned()
}

/// Rows of each of the manifest's tables, as the database's own client counts them.
fn counted(rig: &Rig, manifest: &Value) -> BTreeMap<String, u64> {
    let tables = manifest["tables"].as_object().expect("tables");
    let counts: Vec<String> = tables
        .keys()
        .map(|table| format!("SELECT '{table}', count(*) FROM \"{table}\""))
        .collect();
    let sql = counts.join(" UNION ALL ");
    let told = match rig.database_url() {
        DatabaseUrl::Postgres(url) => psql(&url, &sql),
        _ => sqlite(&rig.folder().join("tagpipe.db"), &sql),
    };
    told.lines()
        .map(|line| {
            let (table, rows) = line.split_once('|').expect("two columns");
            (table.to_owned(), rows.parse().expect("a number"))
        })
        .collect()
}

/// Rows of each table, as the manifest promises them.
fn promised(manifest: &Value) -> BTreeMap<String, u64> {
    serde_json::from_value(manifest["tables"].clone()).expect("tables")
}

/// The rows after a restore: the audit trail has one more, which tells of it.
fn with_note(mut rows: BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    *rows.get_mut("audit_logs").expect("a trail") += 1;
    rows
}

/// The SHA-256 of a file, by another program.
fn sha256(file: &Path) -> String {
    let said = printed("sha256sum", &[file.to_str().expect("a path")], &[]);
    said.split_whitespace().next().expect("a sum").to_owned()
}

/// The files in a folder, by name.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .map(|entries| {
            entries
                .flatten()
                .filter_map(|entry| entry.file_name().into_string().ok())
                .collect()
        })
        .unwrap_or_default();
    names.sort();
    names
}

/// A folder of the rig with a program that does what `script` says, `REAL` being the program of this name itself; the search path
/// that finds it first.
fn path_with(rig: &Rig, program: &str, script: &str) -> String {
    let tools = rig.folder().join("tools");
    std::fs::create_dir_all(&tools).expect("a folder");
    let real = printed("sh", &["-c", &format!("command -v {program}")], &[]);
    let file = tools.join(program);
    std::fs::write(
        &file,
        format!("#!/bin/sh\n{}\n", script.replace("REAL", real.trim())),
    )
    .expect("a file");
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("its rights");
    format!("{}:{}", tools.display(), std::env::var("PATH").expect("a path"))
}

/// Nothing is left of what lay on the disk meanwhile.
pub(crate) fn assert_no_clutter(rig: &Rig) {
    let left: Vec<PathBuf> = rig
        .files()
        .into_keys()
        .filter(|path| {
            path.file_name()
                .and_then(|name| name.to_str())
                .is_some_and(|name| name.starts_with(".tagpipe"))
        })
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Fills an SQLite database with bytes that nothing compresses, so that its backup takes its time.
fn add_bulk(rig: &Rig, mebibytes: u32) {
    let sql = format!(
        "CREATE TABLE bulk (data blob); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {mebibytes}) \
         INSERT INTO bulk SELECT randomblob(1048576) FROM n"
    );
    sqlite(&rig.folder().join("tagpipe.db"), &sql);
}
