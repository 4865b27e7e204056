//! The programs that exported files are read back with.

use std::path::{Path, PathBuf};

use tokio::process::Command;

const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/export/read_back.py");

/// Compares exported files, by table, with the SQLite database that they came from, and returns the rows that were compared.
///
/// # Panics
/// At the first difference; and where the readers cannot be had, because a test that compares nothing has failed.
pub(super) async fn read_back(database: &Path, format: &str, files: &[(&str, PathBuf)]) -> u64 {
    let mut command = Command::new(python().await);
    command.arg(SCRIPT).arg(database).arg(format);
    for (table, file) in files {
        command.arg(format!("{table}={}", file.display()));
    }
    said(command).await.trim().parse().expect("a number of rows")
}

/// A Python with the readers, installed by the first test that asks.
async fn python() -> PathBuf {
    let target = Path::new(env!("CARGO_BIN_EXE_tagpipe")).ancestors().nth(2);
    let mut command = Command::new(format!("{REPOSITORY}/scripts/python-readers"));
    command.arg(target.expect("a program is in a folder of the target folder"));
    PathBuf::from(said(command).await.trim())
}

async fn said(mut command: Command) -> String {
    let output = command.output().await.expect("a program that is there");
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("UTF-8")
}
