//! The Chromium processes that a test started, as the system sees them.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// Ids of the process groups that `parent` started Chromium in.
pub(crate) fn groups(parent: u32) -> Vec<u32> {
    let mut groups: Vec<u32> = processes()
        .into_iter()
        .filter(|process| process.parent == parent)
        .map(|process| process.group)
        .collect();
    groups.retain(|group| *group != own_group());
    groups
}

/// Ids of the processes of `group` whose command line contains `part`.
pub(crate) fn members(group: u32, part: &str) -> Vec<u32> {
    let of_group = processes()
        .into_iter()
        .filter(|process| process.group == group && process.state != "Z");
    of_group
        .filter(|process| command_line(process.id).contains(part))
        .map(|process| process.id)
        .collect()
}

/// The browser process itself: it alone has the pipe among its flags and no type.
pub(crate) fn browser(group: u32) -> u32 {
    let all = members(group, "--remote-debugging-pipe");
    let main = all.into_iter().find(|id| {
        let line = command_line(*id);
        !line.contains("--type=") && !line.starts_with("/bin/sh")
    });
    main.expect("a browser process")
}

pub(crate) fn kill(id: u32) {
    let killed = Command::new("kill")
        .args(["-KILL", &id.to_string()])
        .status()
        .expect("kill can be run");
    assert!(killed.success());
}

/// The profile folders that process `owner` made.
pub(crate) fn folders(owner: u32) -> Vec<PathBuf> {
    let prefix = format!("tagpipe-chromium-{owner}-");
    let entries = fs::read_dir(std::env::temp_dir()).expect("a temporary folder");
    let names = entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix));
    names.map(|entry| entry.path()).collect()
}

/// Waits until `reached`, which no event tells.
pub(crate) fn wait_until(what: &str, mut reached: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !reached() {
        assert!(Instant::now() < deadline, "not reached: {what}");
        std::thread::yield_now();
    }
}

struct Process {
    id: u32,
    state: String,
    parent: u32,
    group: u32,
}

fn processes() -> Vec<Process> {
    let entries = fs::read_dir("/proc").expect("Linux").flatten();
    entries
        .filter_map(|entry| process(entry.file_name().to_str()?.parse().ok()?))
        .collect()
}

fn process(id: u32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?.to_owned();
    let parent = fields.next()?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    Some(Process {
        id,
        state,
        parent,
        group,
    })
}

fn own_group() -> u32 {
    process(std::process::id()).expect("this process").group
}

fn command_line(id: u32) -> String {
    let bytes = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}
