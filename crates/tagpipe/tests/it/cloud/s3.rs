//! Exports to S3, and what becomes of them, and of backups, where S3 refuses, fails or is not there.

use super::gate::{Asked, Gate, Verdict};
use super::moto::{S3, reach};
use super::{all_fail, assert_same, at_first, exported, fails};
use crate::backup::{address, assert_no_clutter, done, rig_with_data};
use crate::harness::{Engine, Rig, Running};

#[tokio::test(flavor = "multi_thread")]
async fn exports_go_to_s3_by_set_and_in_parts() {
    let s3 = S3::start().await;
    let mut rig = rig_with_data(Engine::Sqlite).await;
    reach(&mut rig, s3.port);
    let expected = exported(&rig, "s3://safe").await;
    let fetched = tempfile::tempdir().expect("a folder");
    s3.fetch_all(fetched.path());
    assert_same(fetched.path(), &expected);
    assert_eq!(s3.parts("audit.csv"), 3);
    assert_eq!(s3.parts("parts/schema.json"), 0);
    assert_eq!(s3.uploads().await, Vec::<String>::new());
}

/// What S3 answers, as its documentation has it.
fn refusal(code: &str, words: &str) -> String {
    format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{words}</Message></Error>")
}

/// An audit trail whose export takes three parts, and an older export of it in the cloud.
async fn with_old_export(s3: &S3) -> Rig {
    let rig = rig_with_data(Engine::Sqlite).await;
    super::add_entries(&rig);
    s3.put("audit.csv", "the one before");
    rig
}

/// The object of before is the one that is there, and nothing else.
async fn assert_old_export_alone(s3: &S3) {
    assert_eq!(s3.objects().await, ["audit.csv"]);
    assert_eq!(s3.text("audit.csv"), "the one before");
}

const EXPORT: [&str; 5] = ["export", "--table", "audit_logs", "--to", "s3://safe/audit.csv"];

fn is_part(asked: &Asked, number: u32) -> bool {
    asked.method == "PUT" && asked.target.contains(&format!("partNumber={number}&"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_that_breaks_off_leaves_the_one_before_and_no_upload() {
    let s3 = S3::start().await;
    let mut rig = with_old_export(&s3).await;
    type Fault = fn() -> Verdict;
    let faults: [(Fault, &str); 4] = [
        (
            || Verdict::Answer("403 Forbidden", refusal("AccessDenied", "Access Denied")),
            "access is denied",
        ),
        (
            || {
                Verdict::Answer(
                    "400 Bad Request",
                    refusal("ExpiredToken", "The provided token has expired."),
                )
            },
            "have expired",
        ),
        (
            || {
                Verdict::Answer(
                    "503 Slow Down",
                    refusal("SlowDown", "Please reduce your request rate."),
                )
            },
            "too busy",
        ),
        (|| Verdict::Cut, "was not reached"),
    ];
    for (fault, words) in faults {
        let gate = Gate::before(
            s3.port,
            move |asked| if is_part(asked, 2) { fault() } else { Verdict::Pass },
        )
        .await;
        reach(&mut rig, gate.port());
        fails(&rig, &EXPORT, &["s3://safe/audit.csv", words]).await;
        assert!(
            gate.asked().iter().any(|asked| is_part(asked, 1)),
            "{words}: it was under way"
        );
        assert_old_export_alone(&s3).await;
        assert_eq!(s3.uploads().await, Vec::<String>::new(), "{words}");
    }
    assert_no_clutter(&rig);
    reach(&mut rig, s3.port);
    done(&rig, &EXPORT).await;
    assert_eq!(s3.objects().await, ["audit.csv", "audit.csv.schema.json"]);
    assert_eq!(s3.parts("audit.csv"), 3);
}

/// Stopped while a line hangs, it takes back what it has sent, whether it waits for room to send more or for the last part.
/// Killed, it cannot: that is what the rule in docs/clouds.md is for.
#[tokio::test(flavor = "multi_thread")]
async fn an_export_that_is_stopped_in_either_way_leaves_the_one_before() {
    let s3 = S3::start().await;
    let mut rig = with_old_export(&s3).await;
    // Two of five parts are under way at a time: with the second and the third the export hangs in the middle.
    super::add_entries(&rig);
    for (hanging, signal, code, left) in [
        (&[2, 3][..], "TERM", Some(143), 0),
        (&[5], "TERM", Some(143), 0),
        (&[5], "KILL", None, 1),
    ] {
        let hangs = |asked: &Asked| hanging.iter().any(|number| is_part(asked, *number));
        let gate = Gate::before(s3.port, move |asked| {
            if hangs(asked) {
                Verdict::Wait
            } else {
                Verdict::Pass
            }
        })
        .await;
        reach(&mut rig, gate.port());
        let address = address(&rig);
        let running = Running::start(rig.command(&[&EXPORT[..], &["--database-url", &address]].concat()));
        for number in hanging {
            gate.wait_for("a part that hangs", |asked| is_part(asked, *number))
                .await;
        }
        assert_old_export_alone(&s3).await;
        running.signal(signal).await;
        let ended = running.ended().await;
        assert_eq!(ended.code, code, "{}", ended.stderr);
        assert_old_export_alone(&s3).await;
        assert_eq!(s3.uploads().await.len(), left, "after {signal} at {hanging:?}");
    }
    s3.set_lifecycle(documented(|text| text.contains("AbortIncompleteMultipartUpload")).trim());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_busy_for_a_while_is_waited_for() {
    let s3 = S3::start().await;
    let mut rig = rig_with_data(Engine::Sqlite).await;
    let slow = "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>";
    for arguments in [
        &["export", "--table", "cards", "--to", "s3://safe/cards.csv"][..],
        &["backup", "--to", "s3://safe/backups"],
        &["backup", "verify", "--from", "s3://safe/backups"],
    ] {
        let gate = Gate::before(s3.port, at_first(5, "503 Slow Down", slow)).await;
        reach(&mut rig, gate.port());
        done(&rig, arguments).await;
        assert!(gate.asked().len() > 5, "{arguments:?}");
    }
    assert_eq!(s3.objects().await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_s3_refuses_is_told_with_what_to_do() {
    let s3 = S3::start().await;
    let mut rig = rig_with_data(Engine::Sqlite).await;
    reach(&mut rig, s3.port);
    all_fail(
        &rig,
        "s3://nobodys/x",
        &["no such bucket", "make it, or correct its name"],
    )
    .await;
    // Keys that nobody has.
    s3.ask_for_rights(true).await;
    all_fail(
        &rig,
        "s3://safe/x",
        &["access is denied", "the credentials are wrong"],
    )
    .await;
    s3.ask_for_rights(false).await;

    // moto has all regions in one place. Amazon answers a wrong one so: with a redirect to nowhere, or with the name of the
    // right one, by how old the region is.
    let elsewhere = [
        (
            "301 Moved Permanently",
            "PermanentRedirect",
            "The bucket you are attempting to access must be addressed using the specified endpoint.",
        ),
        (
            "400 Bad Request",
            "AuthorizationHeaderMalformed",
            "The authorization header is malformed; the region 'us-east-1' is wrong; expecting 'eu-central-1'",
        ),
    ];
    for (status, code, words) in elsewhere {
        let gate = Gate::before(s3.port, move |_| Verdict::Answer(status, refusal(code, words))).await;
        reach(&mut rig, gate.port());
        all_fail(&rig, "s3://safe/x", &["in another region", "AWS_REGION"]).await;
    }
    // Nobody is there.
    let gate = Gate::before(s3.port, |_| Verdict::Pass).await;
    reach(&mut rig, gate.port());
    drop(gate);
    fails(
        &rig,
        &["export", "--table", "cards", "--to", "s3://safe/cards.csv"],
        &[
            "s3://safe/cards.csv",
            "was not reached",
            "is the network up, and the endpoint right?",
        ],
    )
    .await;
    assert_eq!(s3.objects().await, Vec::<String>::new());
    assert_no_clutter(&rig);
}

/// The first text between fences of docs/clouds.md that is the one.
fn documented(is_it: impl Fn(&str) -> bool) -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/clouds.md");
    let document = std::fs::read_to_string(path).expect("docs/clouds.md is there");
    let mut texts = document.split("```json\n").skip(1);
    let found = texts.find_map(|rest| {
        let (text, _) = rest.split_once("```")?;
        is_it(text).then(|| text.to_owned())
    });
    found.expect("docs/clouds.md has it")
}

/// The policy of docs/clouds.md for this test's bucket.
///
/// For the removal of many objects in one request moto asks for a right to the bucket, Amazon for one to each of the objects.
fn policy(is_it: impl Fn(&str) -> bool) -> String {
    documented(is_it)
        .replace("my-bucket/*", "safe*")
        .replace("my-bucket", "safe")
}

fn without(policy: &str, action: &str) -> String {
    assert!(policy.contains(action), "{action} in {policy}");
    policy.replace(action, "s3:GetBucketLogging")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rights_of_the_documentation_are_enough_and_none_is_one_too_many() {
    let s3 = S3::start().await;
    let mut rig = rig_with_data(Engine::Sqlite).await;
    reach(&mut rig, s3.port);
    let keys = s3.make_user();
    rig.set_variable("AWS_ACCESS_KEY_ID", &keys.id);
    rig.set_variable("AWS_SECRET_ACCESS_KEY", &keys.secret);
    let all = policy(|text| text.contains("s3:ListBucket"));
    let to = "s3://safe/backups";
    let backup = ["backup", "--to", to, "--keep", "last=1", "--verify"];
    s3.set_rights(&all);
    s3.ask_for_rights(true).await;
    for arguments in [
        &backup[..],
        &backup,
        &["backup", "list", "--from", to],
        &["restore", "--from", to, "--force"],
        &["export", "--table", "cards", "--to", "s3://safe/cards.csv"],
    ] {
        done(&rig, arguments).await;
    }
    for (action, arguments) in [
        ("s3:PutObject", &["backup", "--to", to][..]),
        ("s3:GetObject", &["backup", "verify", "--from", to]),
        ("s3:ListBucket", &["backup", "list", "--from", to]),
        ("s3:DeleteObject", &["backup", "--to", to, "--keep", "last=1"]),
    ] {
        s3.ask_for_rights(false).await;
        s3.set_rights(&without(&all, action));
        s3.ask_for_rights(true).await;
        fails(&rig, arguments, &["access is denied"]).await;
    }

    // Exports need two rights, one of them for when they break off.
    super::add_entries(&rig);
    let exports = policy(|text| text.contains("s3:PutObject") && !text.contains("s3:ListBucket"));
    let gate = Gate::before(s3.port, |asked| {
        if is_part(asked, 2) {
            Verdict::Answer("403 Forbidden", refusal("AccessDenied", "Access Denied"))
        } else {
            Verdict::Pass
        }
    })
    .await;
    for (policy, left) in [
        (exports.clone(), 0),
        (without(&exports, "s3:AbortMultipartUpload"), 1),
    ] {
        s3.ask_for_rights(false).await;
        s3.set_rights(&policy);
        s3.ask_for_rights(true).await;
        rig.set_variable("AWS_ENDPOINT_URL", &format!("http://127.0.0.1:{}", s3.port));
        done(&rig, &EXPORT).await;
        rig.set_variable("AWS_ENDPOINT_URL", &format!("http://127.0.0.1:{}", gate.port()));
        fails(&rig, &EXPORT, &["access is denied"]).await;
        s3.ask_for_rights(false).await;
        assert_eq!(s3.uploads().await.len(), left, "{policy}");
    }
}
