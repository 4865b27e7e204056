//! Clouds: exports, backups and restores through `s3://`, `az://` and `gs://`, on real servers on loopback.
//!
//! Who plays whom: moto (from PyPI) is S3, and asks for Amazon's signatures and rights where a test wants it. Azurite (from
//! npm), Microsoft's own stand-in, is Azure. Nobody plays Google Cloud Storage's XML API: `google.rs` says what stands in for it,
//! and what that leaves open. What is stored is read by the providers' own libraries, boto3 and `@azure/storage-blob`.

mod azure;
mod azurite;
mod gate;
mod google;
pub(crate) mod moto;
mod s3;
mod server;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use self::gate::{Asked, Verdict};
use crate::backup::{done, on_database, sqlite};
use crate::export::files;
use crate::harness::Rig;

/// Where this build's files are.
fn target() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_tagpipe"))
        .ancestors()
        .nth(2)
        .expect("a target folder")
}

/// Adds entries to the audit trail of an SQLite database, so that its export as CSV takes three parts of 16 MiB.
fn add_entries(rig: &Rig) {
    let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) \
               INSERT INTO audit_logs (created_at, level, kind, runner_id, operation, message, context) \
               SELECT '2026-11-24T07:48:09.567Z', 'INFO', 'operation', 'r', 'test', hex(randomblob(1000)), '{}' FROM n";
    sqlite(&rig.folder().join("tagpipe.db"), sql);
}

/// Exports two things to a cloud and the same to this machine: files by set with their schema file, and one large file. Returns
/// what is on this machine, by path: the bytes that the cloud should have.
async fn exported(rig: &Rig, cloud: &str) -> BTreeMap<String, Vec<u8>> {
    add_entries(rig);
    std::fs::create_dir(rig.folder().join("here")).expect("a folder");
    for to in ["here", cloud] {
        let parts = format!("{to}/parts/");
        let by_set = [
            "export", "--table", "cards", "--split", "set", "--format", "csv.gz", "--to", &parts,
        ];
        done(rig, &by_set).await;
        let large = format!("{to}/audit.csv");
        done(rig, &["export", "--table", "audit_logs", "--to", &large]).await;
    }
    let expected = files(&rig.folder().join("here"));
    for name in ["audit.csv", "audit.csv.schema.json", "parts/schema.json"] {
        assert!(expected.contains_key(name), "{name} in {:?}", expected.keys());
    }
    assert!(expected.len() > 5, "{:?}", expected.keys());
    assert!(expected["audit.csv"].len() > 2 * PART, "three parts");
    expected
}

/// Bytes of a part of an upload.
const PART: usize = 16 * 1024 * 1024;

/// What was fetched from a cloud is what is on this machine, name by name and byte by byte.
fn assert_same(fetched: &Path, expected: &BTreeMap<String, Vec<u8>>) {
    let fetched = files(fetched);
    assert!(
        fetched.keys().eq(expected.keys()),
        "{:?} and {:?}",
        fetched.keys(),
        expected.keys()
    );
    for (name, bytes) in expected {
        assert!(fetched[name] == *bytes, "{name} differs");
    }
}

/// A backup is made, verified, listed, superseded and brought back.
async fn assert_backups_work(rig: &Rig, cloud: &str) {
    let made = done(rig, &["backup", "--to", cloud, "--keep", "last=2", "--verify"]).await;
    let oldest = made["backup"]["name"].as_str().expect("a name");
    for _ in 0..2 {
        done(rig, &["backup", "--to", cloud, "--keep", "last=2"]).await;
    }
    let listed = done(rig, &["backup", "list", "--from", cloud]).await;
    assert_eq!(listed["backups"].as_array().map(Vec::len), Some(2), "{listed:#}");
    assert!(!listed.to_string().contains(oldest), "the oldest is gone");
    done(rig, &["backup", "verify", "--from", cloud]).await;
    sqlite(&rig.folder().join("tagpipe.db"), "DELETE FROM frontier");
    done(rig, &["restore", "--from", cloud, "--force"]).await;
    rig.assert_equals_truth().await;
    rig.run(&[]).await.summary(0);
}

/// Runs a command that must fail with exit code 1 and these words.
async fn fails(rig: &Rig, arguments: &[&str], words: &[&str]) {
    let ended = on_database(rig, arguments).await;
    let said = ended.failure(1);
    for word in words {
        assert!(said.contains(word), "{arguments:?}: `{word}` in {said}");
    }
}

/// Every command that writes to a cloud or reads from it fails with these words, and the database stays as it is.
async fn all_fail(rig: &Rig, folder: &str, words: &[&str]) {
    let file = format!("{folder}/cards.csv");
    for arguments in [
        &["export", "--table", "cards", "--to", &file][..],
        &["backup", "--to", folder],
        &["backup", "list", "--from", folder],
        &["backup", "verify", "--from", folder],
        &["restore", "--from", folder, "--force"],
    ] {
        fails(rig, arguments, &[words, &[folder]].concat()).await;
    }
    rig.assert_equals_truth().await;
}

/// Gives one answer to so many requests and passes the others on.
fn at_first(times: usize, status: &'static str, body: &'static str) -> impl Fn(&Asked) -> Verdict {
    let left = AtomicUsize::new(times);
    move |_| {
        let counted = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        match counted {
            Ok(_) => Verdict::Answer(status, body.to_owned()),
            Err(_) => Verdict::Pass,
        }
    }
}
