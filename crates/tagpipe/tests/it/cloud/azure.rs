//! Azure Blob Storage, on Azurite.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::azurite::{ACCOUNT, Azurite, connection_string, reach};
use super::gate::{Gate, Verdict};
use super::{add_entries, all_fail, assert_backups_work, assert_same, at_first, exported, fails};
use crate::backup::{assert_no_clutter, done, rig_with_data};
use crate::harness::Engine;

#[tokio::test(flavor = "multi_thread")]
async fn exports_go_to_azure_by_set_and_in_blocks() {
    let azure = Azurite::start().await;
    let mut rig = rig_with_data(Engine::Sqlite).await;
    reach(&mut rig, azure.port);
    let expected = exported(&rig, "az://safe").await;
    let fetched = tempfile::tempdir().expect("a folder");
    azure.fetch_all(fetched.path());
    assert_same(fetched.path(), &expected);
    assert_eq!(azure.blocks("audit.csv"), 3);
    assert_eq!(azure.blocks("parts/schema.json"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_goes_to_azure_and_comes_back() {
    let azure = Azurite::start().await;
    let mut rig = rig_with_data(Engine::Sqlite).await;
    reach(&mut rig, azure.port);
    assert_backups_work(&rig, "az://safe/tagpipe/prod").await;
    let names = azure.blobs();
    assert_eq!(names.len(), 4, "{names:?}");
    assert!(
        names.iter().all(|name| name.starts_with("tagpipe/prod/tagpipe-")),
        "{names:?}"
    );
    assert_no_clutter(&rig);
}

/// Whatever Azure's users have at hand leads there.
#[tokio::test(flavor = "multi_thread")]
async fn azure_is_reached_by_each_of_its_own_variables() {
    let azure = Azurite::start().await;
    let rig = rig_with_data(Engine::Sqlite).await;
    let (port, address) = (azure.port, format!("http://127.0.0.1:{}", azure.port));
    let ways: [(&str, Vec<(&str, String)>); 3] = [
        (
            "string",
            vec![
                ("AZURE_STORAGE_CONNECTION_STRING", connection_string(port)),
                ("AZURE_ALLOW_HTTP", "true".to_owned()),
            ],
        ),
        (
            "emulator",
            vec![
                ("AZURE_STORAGE_USE_EMULATOR", "true".to_owned()),
                ("AZURITE_BLOB_STORAGE_URL", address.clone()),
            ],
        ),
        (
            "command-line",
            vec![
                ("AZURE_STORAGE_ACCOUNT", ACCOUNT.to_owned()),
                ("AZURE_STORAGE_KEY", super::azurite::KEY.to_owned()),
                ("AZURE_STORAGE_ENDPOINT", format!("{address}/{ACCOUNT}")),
                ("AZURE_ALLOW_HTTP", "true".to_owned()),
            ],
        ),
    ];
    let mut expected = Vec::new();
    for (name, variables) in ways {
        let to = format!("az://safe/{name}.csv");
        let mut command = rig.command(&[
            "export",
            "--table",
            "cards",
            "--to",
            &to,
            "--database-url",
            "sqlite:tagpipe.db",
        ]);
        command.envs(variables);
        let ended = crate::harness::Running::start(command).ended().await;
        assert_eq!(ended.code, Some(0), "{name}: {}", ended.stderr);
        expected.extend([format!("{name}.csv"), format!("{name}.csv.schema.json")]);
    }
    expected.sort();
    assert_eq!(azure.blobs(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_permissions_of_the_documentation_are_enough_and_none_is_one_too_many() {
    let azure = Azurite::start().await;
    let mut rig = rig_with_data(Engine::Sqlite).await;
    for (name, text) in [
        ("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT),
        ("AZURE_ALLOW_HTTP", "true"),
    ] {
        rig.set_variable(name, text);
    }
    rig.set_variable(
        "AZURE_STORAGE_ENDPOINT",
        &format!("http://127.0.0.1:{}/{ACCOUNT}", azure.port),
    );
    let to = "az://safe/backups";
    let export = ["export", "--table", "cards", "--to", "az://safe/cards.csv"];
    let backup = ["backup", "--to", to];
    let superseding = ["backup", "--to", to, "--keep", "last=1", "--verify"];
    let list = ["backup", "list", "--from", to];
    let verify = ["backup", "verify", "--from", to];
    for (permissions, enough, too_few) in [
        ("w", &[&export[..]][..], &list[..]),
        ("rwl", &[&backup, &list, &verify], &superseding),
        ("rwdl", &[&superseding, &superseding], &[]),
        ("rl", &[&list, &verify], &backup),
        ("wl", &[&backup], &verify),
    ] {
        rig.set_variable("AZURE_STORAGE_SAS_TOKEN", &azure.signature(permissions));
        for arguments in enough {
            done(&rig, arguments).await;
        }
        if !too_few.is_empty() {
            fails(&rig, too_few, &["access is denied"]).await;
        }
    }
}

/// Blocks that were sent cannot be taken back from Azure: they are seen by nobody, and Azure removes them after a week.
#[tokio::test(flavor = "multi_thread")]
async fn an_export_to_azure_that_breaks_off_leaves_the_one_before() {
    let azure = Azurite::start().await;
    let mut rig = rig_with_data(Engine::Sqlite).await;
    add_entries(&rig);
    azure.put("audit.csv", "the one before");
    for key in ["audit.csv", "new.csv"] {
        // The ids of blocks tell no order.
        let sent = AtomicUsize::new(0);
        let gate = Gate::before(azure.port, move |asked| {
            let is_block = asked.method == "PUT" && asked.target.contains("comp=block&");
            if is_block && sent.fetch_add(1, Ordering::Relaxed) > 0 {
                return Verdict::Answer("403 Forbidden", error("AuthorizationFailure"));
            }
            Verdict::Pass
        })
        .await;
        reach(&mut rig, gate.port());
        let to = format!("az://safe/{key}");
        fails(
            &rig,
            &["export", "--table", "audit_logs", "--to", &to],
            &[&to, "access is denied"],
        )
        .await;
    }
    assert_eq!(azure.blobs(), ["audit.csv"]);
    assert_eq!(azure.text("audit.csv"), "the one before");
    assert_eq!(azure.begun(), ["audit.csv", "new.csv"]);
    assert_no_clutter(&rig);
}

fn error(code: &str) -> String {
    format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>…</Message></Error>")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_azure_refuses_is_told_with_what_to_do() {
    let azure = Azurite::start().await;
    let mut rig = rig_with_data(Engine::Sqlite).await;
    reach(&mut rig, azure.port);
    all_fail(&rig, "az://nobodys/x", &["no such bucket or container"]).await;
    // A key of the right form.
    rig.set_variable("AZURE_STORAGE_ACCOUNT_KEY", "b25seS1mb3ItdGVzdHM=");
    all_fail(&rig, "az://safe/x", &["access is denied"]).await;
    reach(&mut rig, azure.port);
    rig.set_variable("AZURE_ALLOW_HTTP", "false");
    fails(
        &rig,
        &["backup", "list", "--from", "az://safe"],
        &["AZURE_ALLOW_HTTP=true"],
    )
    .await;
    rig.set_variable("AZURE_STORAGE_CONNECTION_STRING", "hush");
    let words = ["AZURE_STORAGE_CONNECTION_STRING is no connection string"];
    fails(&rig, &["backup", "list", "--from", "az://safe"], &words).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn azure_that_is_busy_for_a_while_is_waited_for() {
    let azure = Azurite::start().await;
    let mut rig = rig_with_data(Engine::Sqlite).await;
    let busy = "<Error><Code>ServerBusy</Code><Message>The server is busy.</Message></Error>";
    let gate = Gate::before(azure.port, at_first(5, "503 Server Busy", busy)).await;
    reach(&mut rig, gate.port());
    done(&rig, &["backup", "--to", "az://safe", "--keep", "last=1"]).await;
    assert!(gate.asked().len() > 5);
    assert_eq!(azure.blobs().len(), 2);
}
