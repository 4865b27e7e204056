//! Google Cloud Storage, as far as it can be had without Google.
//!
//! The program speaks Google's XML API: objects by their path, uploads in parts by `?uploads`, `?partNumber` and `?uploadId`,
//! lists by `?list-type=2`. Stand-ins for Google Cloud Storage speak its JSON API, and of the XML API no uploads in parts. But
//! Google has made this API after Amazon's, request by request, so that moto answers it as well: these tests run the
//! program's own connection to Google against moto.
//!
//! What that shows: each request has the form that both document, the answers are understood, parts are put together and
//! taken back, and credentials come from a machine's metadata server. What it does not show: that Google accepts them. moto checks
//! neither tokens nor rights here, does not know Google's own headers, and its errors are Amazon's. Signing in with a key file
//! cannot be tried at all: its tokens come from Google alone.

use super::gate::{Gate, Verdict};
use super::moto::S3;
use super::{all_fail, assert_backups_work, assert_same, at_first, exported, fails};
use crate::backup::{assert_no_clutter, done, rig_with_data};
use crate::harness::{Engine, Rig};

/// Has the rig's commands reach Google at `port`, as whoever has this token.
fn reach(rig: &mut Rig, port: u16) {
    rig.set_variable("GOOGLE_BASE_URL", &format!("http://127.0.0.1:{port}"));
    rig.set_variable("GOOGLE_ALLOW_HTTP", "true");
    rig.set_variable("GOOGLE_BEARER_TOKEN", "only-for-tests");
}

#[tokio::test(flavor = "multi_thread")]
async fn exports_go_to_google_by_set_and_in_parts() {
    let google = S3::start().await;
    let mut rig = rig_with_data(Engine::Sqlite).await;
    reach(&mut rig, google.port);
    let expected = exported(&rig, "gs://safe").await;
    let fetched = tempfile::tempdir().expect("a folder");
    google.fetch_all(fetched.path());
    assert_same(fetched.path(), &expected);
    assert_eq!(google.parts("audit.csv"), 3);
    assert_eq!(google.uploads().await, Vec::<String>::new());
}

/// On a machine of Google's: nothing is set, and a token is fetched from the metadata server and sent with each request.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_goes_to_google_and_comes_back() {
    let google = S3::start().await;
    let metadata = Gate::before(google.port, |asked| {
        if asked.header("metadata-flavor") != "Google"
            || !asked
                .target
                .starts_with("/computeMetadata/v1/instance/service-accounts/default/token")
        {
            return Verdict::Answer("403 Forbidden", String::new());
        }
        let token = r#"{"access_token":"of-this-machine","expires_in":3600,"token_type":"Bearer"}"#;
        Verdict::Answer("200 OK", token.to_owned())
    })
    .await;
    let gate = Gate::before(google.port, |asked| {
        if asked.header("authorization") == "Bearer of-this-machine" {
            Verdict::Pass
        } else {
            Verdict::Answer("401 Unauthorized", String::new())
        }
    })
    .await;
    let mut rig = rig_with_data(Engine::Sqlite).await;
    rig.set_variable("GOOGLE_BASE_URL", &format!("http://127.0.0.1:{}", gate.port()));
    rig.set_variable("GOOGLE_ALLOW_HTTP", "true");
    rig.set_variable("GCE_METADATA_HOST", &format!("127.0.0.1:{}", metadata.port()));
    assert_backups_work(&rig, "gs://safe/tagpipe/prod").await;
    assert_eq!(google.objects().await.len(), 4);
    assert_no_clutter(&rig);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_to_google_that_breaks_off_leaves_the_one_before_and_no_upload() {
    let google = S3::start().await;
    let mut rig = rig_with_data(Engine::Sqlite).await;
    super::add_entries(&rig);
    google.put("audit.csv", "the one before");
    let gate = Gate::before(google.port, |asked| {
        if asked.method == "PUT" && asked.target.contains("partNumber=2&") {
            Verdict::Answer(
                "403 Forbidden",
                "<Error><Code>AccessDenied</Code></Error>".to_owned(),
            )
        } else {
            Verdict::Pass
        }
    })
    .await;
    reach(&mut rig, gate.port());
    let to = "gs://safe/audit.csv";
    fails(
        &rig,
        &["export", "--table", "audit_logs", "--to", to],
        &[to, "access is denied"],
    )
    .await;
    assert_eq!(google.objects().await, ["audit.csv"]);
    assert_eq!(google.text("audit.csv"), "the one before");
    assert_eq!(google.uploads().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_google_refuses_is_told_and_what_it_delays_is_waited_for() {
    let google = S3::start().await;
    let mut rig = rig_with_data(Engine::Sqlite).await;
    reach(&mut rig, google.port);
    all_fail(&rig, "gs://nobodys/x", &["no such bucket"]).await;
    let denied = Gate::before(google.port, |_| {
        Verdict::Answer(
            "401 Unauthorized",
            "<Error><Code>AuthenticationRequired</Code></Error>".to_owned(),
        )
    })
    .await;
    reach(&mut rig, denied.port());
    all_fail(&rig, "gs://safe/x", &["access is denied"]).await;
    let busy = "<Error><Code>SlowDown</Code></Error>";
    let gate = Gate::before(google.port, at_first(5, "429 Too Many Requests", busy)).await;
    reach(&mut rig, gate.port());
    done(
        &rig,
        &["export", "--table", "cards", "--to", "gs://safe/cards.csv"],
    )
    .await;
    assert_eq!(google.objects().await, ["cards.csv", "cards.csv.schema.json"]);
    rig.set_variable("GOOGLE_ALLOW_HTTP", "false");
    fails(
        &rig,
        &["backup", "list", "--from", "gs://safe"],
        &["GOOGLE_ALLOW_HTTP=true"],
    )
    .await;
}
