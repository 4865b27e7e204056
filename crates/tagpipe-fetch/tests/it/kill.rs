//! What is left of Chromium when its user is killed: nothing.

use std::path::PathBuf;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::chromium;
use crate::site::{Reply, Site};

/// Starts the example that opens a page and waits until it has.
async fn hold_a_page(site: &Site) -> Child {
    let mut child = Command::new(example("hold_a_page"))
        .arg(site.url("/").as_str())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the example is built with the tests");
    let mut line = String::new();
    let stdout = child.stdout.take().expect("its output");
    BufReader::new(stdout).read_line(&mut line).await.expect("a line");
    assert!(line.starts_with("open: "), "{line:?}");
    child
}

/// Examples are built beside the folder of this test's executable.
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("this test");
    let build = test.ancestors().nth(2).expect("target/<profile>/deps/<test>");
    build.join("examples").join(name)
}

async fn site() -> std::sync::Arc<Site> {
    Site::start(|_| Reply::html("<table><tbody><tr class=MuiTableRow-root><td>a</table>")).await
}

#[tokio::test]
async fn kill_9_leaves_neither_process_nor_folder() {
    let site = site().await;
    let mut child = hold_a_page(&site).await;
    let id = child.id().expect("it runs");
    let group = chromium::groups(id)[0];
    assert_eq!(chromium::folders(id).len(), 1);
    assert!(!chromium::members(group, "").is_empty());

    child.kill().await.expect("killed");

    chromium::wait_until("no process", || chromium::members(group, "").is_empty());
    chromium::wait_until("no folder", || chromium::folders(id).is_empty());
}

#[tokio::test]
async fn what_a_killed_reaper_leaves_is_swept_by_the_next_start() {
    let site = site().await;
    let mut child = hold_a_page(&site).await;
    let id = child.id().expect("it runs");
    let group = chromium::groups(id)[0];
    chromium::kill(group);
    child.kill().await.expect("killed");
    chromium::wait_until("no process", || chromium::members(group, "").is_empty());
    assert_eq!(chromium::folders(id).len(), 1, "nobody was left to remove it");

    let mut next = hold_a_page(&site).await;

    assert!(chromium::folders(id).is_empty());
    next.kill().await.expect("killed");
}

#[tokio::test]
async fn an_interrupt_from_the_terminal_reaches_only_its_own_process() {
    let site = site().await;
    let child = hold_a_page(&site).await;
    let id = child.id().expect("it runs");
    let group = chromium::groups(id)[0];
    // The shell that leads the group has the group's number: it is not the group of whoever started it.
    assert_ne!(group, id);
    assert_eq!(chromium::groups(id), [group]);
}
