//! Backups in S3, on a real server on loopback, over a network that breaks.

use super::*;
use crate::cloud::moto::{S3, reach};
use crate::harness::Running;
use crate::tcp_proxy::TcpProxy;

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_goes_to_s3_and_comes_back() {
    let s3 = S3::start().await;
    let mut rig = rig_with_data(Engine::Sqlite).await;
    reach(&mut rig, s3.port);
    let to = "s3://safe/tagpipe/prod";
    let made = done(&rig, &["backup", "--to", to, "--keep", "last=2", "--verify"]).await;
    let name = made["backup"]["name"].as_str().expect("a name").to_owned();
    let object = made["backup"]["object"].as_str().expect("a name");
    let mut expected = vec![
        format!("tagpipe/prod/{name}.json"),
        format!("tagpipe/prod/{object}"),
    ];
    expected.sort();
    assert_eq!(s3.objects().await, expected);
    let fetched = rig.folder().join("fetched");
    s3.fetch(&format!("tagpipe/prod/{object}"), &fetched);
    assert_eq!(sha256(&fetched), made["backup"]["stored"]["sha256"]);

    for _ in 0..2 {
        done(&rig, &["backup", "--to", to, "--keep", "last=2"]).await;
    }
    let listed = done(&rig, &["backup", "list", "--from", to]).await;
    assert_eq!(listed["backups"].as_array().map(Vec::len), Some(2));
    assert!(!listed.to_string().contains(&name), "the oldest is gone");
    sqlite(&rig.folder().join("tagpipe.db"), "DELETE FROM frontier");
    done(&rig, &["restore", "--from", to, "--force"]).await;
    rig.assert_equals_truth().await;
    rig.run(&[]).await.summary(0);

    // What goes wrong is told with what to do.
    refused(
        &rig,
        &["backup", "--to", "s3://no-such-bucket/x"],
        &["no such bucket", "s3://no-such-bucket/x"],
    )
    .await;
    assert_eq!(s3.uploads().await, Vec::<String>::new());
    assert_no_clutter(&rig);
}

/// The line breaks in the middle of an upload, for a while: nothing half is seen, and the upload goes on.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_goes_on_after_the_line_was_cut() {
    let s3 = S3::start().await;
    let proxy = TcpProxy::start(([127, 0, 0, 1], s3.port).into()).await;
    let mut rig = rig_with_data(Engine::Sqlite).await;
    add_bulk(&rig, 60);
    reach(&mut rig, proxy.address().port());
    // In the second of some four parts.
    proxy.cut_after(20 * 1024 * 1024);
    let address = address(&rig);
    let running = Running::start(rig.command(&[
        "backup",
        "--to",
        "s3://safe",
        "--json",
        "--database-url",
        &address,
    ]));
    proxy.wait_for_cut().await;
    assert_eq!(s3.objects().await, Vec::<String>::new(), "nothing half is seen");
    proxy.restore().await;
    let ended = running.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(s3.objects().await.len(), 2);
    assert_eq!(s3.uploads().await, Vec::<String>::new());
    done(&rig, &["backup", "verify", "--from", "s3://safe"]).await;
}

/// It stays cut: the word is clear, and nothing is seen.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_cannot_go_on_leaves_nothing() {
    let s3 = S3::start().await;
    let proxy = TcpProxy::start(([127, 0, 0, 1], s3.port).into()).await;
    let mut rig = rig_with_data(Engine::Sqlite).await;
    add_bulk(&rig, 60);
    reach(&mut rig, proxy.address().port());
    proxy.cut_after(20 * 1024 * 1024);
    refused(
        &rig,
        &["backup", "--to", "s3://safe/x"],
        &["s3://safe/x", "was not reached"],
    )
    .await;
    assert_eq!(s3.objects().await, Vec::<String>::new());
    assert_no_clutter(&rig);

    // A download that breaks off is no damaged backup.
    proxy.restore().await;
    done(&rig, &["backup", "--to", "s3://safe/x"]).await;
    proxy.cut_after(5 * 1024 * 1024);
    let words = refused(
        &rig,
        &["backup", "verify", "--from", "s3://safe/x"],
        &["was not reached"],
    )
    .await;
    assert!(!words.contains("damaged"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_credentials_and_rights_are_told() {
    let mut rig = rig_with_data(Engine::Sqlite).await;
    let http = "http://127.0.0.1:1";
    rig.set_variable("AWS_ALLOW_HTTP", "true");
    // Where a machine of Amazon's would ask; here nobody answers.
    rig.set_variable("AWS_METADATA_ENDPOINT", http);
    rig.set_variable("AWS_ENDPOINT_URL", http);
    refused(
        &rig,
        &["backup", "--to", "s3://safe"],
        &["no credentials", "AWS_ACCESS_KEY_ID"],
    )
    .await;
    rig.set_variable("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE");
    rig.set_variable("AWS_SECRET_ACCESS_KEY", "only-for-tests");
    rig.set_variable("AWS_ALLOW_HTTP", "false");
    refused(
        &rig,
        &["backup", "list", "--from", "s3://safe"],
        &["AWS_ALLOW_HTTP=true"],
    )
    .await;
    rig.set_variable("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere.json");
    refused(
        &rig,
        &["backup", "list", "--from", "gs://safe"],
        &["/nowhere.json"],
    )
    .await;
    refused(
        &rig,
        &["backup", "list", "--from", "az://safe"],
        &["AZURE_STORAGE_ACCOUNT_NAME"],
    )
    .await;
}
