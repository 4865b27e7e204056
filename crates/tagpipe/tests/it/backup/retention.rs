//! Which backups go: by the rule, after success only, and never what is not tagpipe's.

use std::fs;

use super::*;

/// Puts a copy of the backup in `safe` there under another time, `2026-11-30T00:30:00Z` as `20261130T003000Z`.
fn copy_as(rig: &Rig, manifest: &Value, time: &str) -> String {
    let folder = rig.folder().join("safe");
    let name = manifest["name"].as_str().expect("a name");
    let copy = format!("tagpipe-{time}-0000");
    let object = manifest["object"].as_str().expect("a name");
    fs::copy(folder.join(object), folder.join(object.replace(name, &copy))).expect("a copy");
    let told = fs::read_to_string(folder.join(format!("{name}.json"))).expect("a manifest");
    fs::write(folder.join(format!("{copy}.json")), told.replace(name, &copy)).expect("a manifest");
    copy
}

fn listed_names(listed: &Value) -> Vec<String> {
    listed["backups"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| one["name"].as_str().expect("a name").to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rule_says_what_goes_and_nothing_else_does() {
    let rig = rig_with_data(Engine::Sqlite).await;
    let made = done(&rig, &["backup", "--to", "safe"]).await;
    let newest = made["backup"]["name"].as_str().expect("a name").to_owned();
    let days = [
        "20250110T020000Z",
        "20250110T010000Z",
        "20250109T020000Z",
        "20250108T020000Z",
        "20241224T020000Z",
    ];
    let copies: Vec<String> = days
        .iter()
        .map(|time| copy_as(&rig, &made["backup"], time))
        .collect();
    let folder = rig.folder().join("safe");
    // Somebody else's, one under way, and one given up long ago.
    let theirs = ["tagpipe.db", "notes.txt", "tagpipe-20240101T000000Z-0000.txt"];
    for name in theirs {
        fs::write(folder.join(name), "mine").expect("a file");
    }
    let under_way = "tagpipe-20250107T020000Z-0001.sqlite.zst";
    let given_up = "tagpipe-20250107T020000Z-0002.sqlite.zst";
    for name in [under_way, given_up] {
        fs::write(folder.join(name), "half").expect("a file");
    }
    printed(
        "touch",
        &[
            "-d",
            "2025-01-07",
            folder.join(given_up).to_str().expect("a path"),
        ],
        &[],
    );
    let before = names(&folder);

    let keep = ["backup", "--to", "safe", "--keep", "daily=3,monthly=2"];
    let rehearsed = done(&rig, &[&keep[..], &["--dry-run"]].concat()).await;
    assert_eq!(rehearsed["dry_run"], true);
    assert_eq!(names(&folder), before, "a rehearsal changes nothing");
    let gone: Vec<&str> = rehearsed["removed"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|name| name.as_str().expect("a name"))
        .collect();
    // Today's newest, the 10th and the 9th of January; of months this one and January.
    let expected = [&newest, &copies[1], &copies[3], &copies[4]];
    assert_eq!(gone, expected, "{rehearsed:#}");
    assert_eq!(
        rehearsed["abandoned"],
        serde_json::json!(["tagpipe-20250107T020000Z-0002"])
    );

    let second = done(&rig, &keep).await;
    assert_eq!(second["removed"], rehearsed["removed"]);
    let listed = done(&rig, &["backup", "list", "--from", "safe"]).await;
    let second = second["backup"]["name"].as_str().expect("a name").to_owned();
    assert_eq!(
        listed_names(&listed),
        [second, copies[0].clone(), copies[2].clone()]
    );
    let left = names(&folder);
    for name in theirs.iter().chain([&under_way]) {
        assert!(left.iter().any(|one| one == name), "{name} in {left:?}");
    }
    assert!(!left.iter().any(|one| one == given_up), "{left:?}");

    // A backup that fails removes nothing.
    let count = left.len();
    fs::rename(rig.folder().join("tagpipe.db"), rig.folder().join("aside.db")).expect("moved");
    refused(
        &rig,
        &["backup", "--to", "safe", "--keep", "last=1"],
        &["no data of tagpipe"],
    )
    .await;
    assert_eq!(names(&folder).len(), count);
    refused(
        &rig,
        &["backup", "--to", "safe", "--keep", "hourly=1"],
        &["daily=7"],
    )
    .await;
}

/// Names tell the second alone: which of several came last, their manifests tell.
#[tokio::test(flavor = "multi_thread")]
async fn of_backups_of_one_second_the_last_one_is_the_newest() {
    let rig = rig_with_data(Engine::Sqlite).await;
    let mut made = Vec::new();
    for _ in 0..6 {
        let backup = done(&rig, &["backup", "--to", "safe", "--keep", "last=2"]).await;
        made.push(backup["backup"]["name"].as_str().expect("a name").to_owned());
        let listed = listed_names(&done(&rig, &["backup", "list", "--from", "safe"]).await);
        let expected: Vec<String> = made.iter().rev().take(2).cloned().collect();
        assert_eq!(listed, expected, "{made:?}");
    }
    let restored = done(&rig, &["restore", "--from", "safe", "--force"]).await;
    assert_eq!(
        restored["backup"]["name"].as_str(),
        made.last().map(String::as_str)
    );
}
