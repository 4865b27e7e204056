//! Processes of this machine, told apart for certain: a process id alone may have passed to another program, and
//! containers give the same ids to different processes. Read from `/proc`; elsewhere than on Linux nothing is known.

use std::fs;

/// Where a process is, as far as can be told from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// It runs on this machine.
    Here,
    /// It ran on this machine and does no more.
    Gone,
    /// It is on another machine, or in a container of its own: only its silence can tell.
    Unknown,
}

/// What tells this very process from every other: boot of the machine, process namespace, start of the process.
pub(crate) fn own_mark() -> String {
    mark_of(std::process::id()).unwrap_or_default()
}

/// The mark of the process that has this id now, seen from this process's namespace; `None` if there is none, or if it
/// is dead and only not yet collected by its parent.
pub(crate) fn mark_of(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(format!("{}/{}", namespace(), parse_start(&stat)?))
}

/// Where the process `pid` of `host` is, which once said this mark of itself.
pub(crate) fn presence(host: &str, pid: u32, mark: &str) -> Presence {
    let Some((their_namespace, _)) = mark.rsplit_once('/') else {
        return Presence::Unknown;
    };
    if host != host_name() || their_namespace != namespace() {
        return Presence::Unknown;
    }
    match mark_of(pid) {
        Some(now) if now == mark => Presence::Here,
        _ => Presence::Gone,
    }
}

/// The process group of a process, if it is there.
pub(crate) fn group_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    after_name(&stat)?.nth(2)?.parse().ok()
}

/// Whether anybody is still in this process group, other than the dead that nobody has collected.
pub(crate) fn has_group(group: u32) -> bool {
    let Ok(processes) = fs::read_dir("/proc") else {
        return false;
    };
    processes
        .flatten()
        .filter_map(|process| fs::read_to_string(process.path().join("stat")).ok())
        .any(|stat| is_of_group(&stat, group))
}

fn is_of_group(stat: &str, group: u32) -> bool {
    let fields: Option<Vec<_>> = after_name(stat).map(|fields| fields.take(3).collect());
    match fields.as_deref() {
        Some([state, _, own]) => !matches!(*state, "Z" | "X") && own.parse() == Ok(group),
        _ => false,
    }
}

/// Name of this machine.
pub(crate) fn host_name() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|name| name.trim().to_owned())
        .or_else(|_| std::env::var("HOSTNAME"))
        .unwrap_or_else(|_| "localhost".to_owned())
}

/// Boot of the machine and namespace of process ids: ids of one such pair mean the same.
fn namespace() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let namespace = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    format!("{} {}", boot.trim(), namespace.display())
}

/// `pid (name) state parent group …`: the fields from the state on. The name may hold anything, also `)`.
fn after_name(stat: &str) -> Option<std::str::SplitAsciiWhitespace<'_>> {
    Some(stat.rsplit_once(')')?.1.split_ascii_whitespace())
}

/// When the process of a `/proc/PID/stat` was started, in ticks since the machine's boot; `None` if it is dead.
fn parse_start(stat: &str) -> Option<u64> {
    let mut fields = after_name(stat)?;
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_here_and_another_start_of_its_id_is_not() {
        let (host, mark) = (host_name(), own_mark());
        let pid = std::process::id();
        assert_eq!(presence(&host, pid, &mark), Presence::Here);
        let (namespace, start) = mark.rsplit_once('/').expect("a mark has a start");
        let earlier = start.parse::<u64>().expect("ticks") - 1;
        assert_eq!(
            presence(&host, pid, &format!("{namespace}/{earlier}")),
            Presence::Gone
        );
        for (host, mark) in [
            ("elsewhere", mark.clone()),
            (host.as_str(), String::new()),
            (host.as_str(), format!("another boot/{start}")),
        ] {
            assert_eq!(presence(host, pid, &mark), Presence::Unknown, "{host} {mark}");
        }
    }

    #[test]
    fn the_dead_are_no_longer_of_their_group() {
        for (stat, expected) in [
            ("7 (a) b) S 1 42 42 0 -1", true),
            ("7 (sh) Z 1 42 42 0 -1", false),
            ("7 (sh) S 1 43 42 0 -1", false),
            ("rubbish", false),
        ] {
            assert_eq!(is_of_group(stat, 42), expected, "{stat}");
        }
        let own = group_of(std::process::id()).expect("it runs");
        assert!(has_group(own), "this test is of its own group");
    }

    #[test]
    fn a_dead_process_has_no_start() {
        let stat =
            |state: &str| format!("7 (a) b) {state} 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4711 9 9");
        assert_eq!(parse_start(&stat("S")), Some(4711));
        assert_eq!(parse_start(&stat("Z")), None);
        assert_eq!(parse_start("rubbish"), None);
    }
}
