//! How much memory a process group uses, from `/proc`. Elsewhere than on Linux it is zero: unknown.

use std::fs;
use std::path::Path;

/// Memory of all processes of `group`, in bytes: what they allocated or share among themselves. Pages of the
/// executable's file are left out, or each further process would seem to use them again.
pub(super) fn of_group(group: u32) -> u64 {
    let Ok(entries) = fs::read_dir("/proc") else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|process| group_of(process) == Some(group))
        .map(|process| of(&process))
        .sum()
}

/// Memory of the process `pid` alone, in bytes, counted in the same way.
#[must_use]
pub fn of_process(pid: u32) -> u64 {
    of(&Path::new("/proc").join(pid.to_string()))
}

fn of(process: &Path) -> u64 {
    fs::read_to_string(process.join("status")).map_or(0, |status| resident_bytes(&status))
}

fn group_of(process: &Path) -> Option<u32> {
    process.file_name()?.to_str()?.parse::<u32>().ok()?;
    parse_group(&fs::read_to_string(process.join("stat")).ok()?)
}

/// `pid (name) state parent group …`; the name may hold anything, also `)`.
fn parse_group(stat: &str) -> Option<u32> {
    stat.rsplit_once(')')?
        .1
        .split_ascii_whitespace()
        .nth(2)?
        .parse()
        .ok()
}

fn resident_bytes(status: &str) -> u64 {
    let kibibytes = |line: &str| line.split_ascii_whitespace().nth(1)?.parse::<u64>().ok();
    status
        .lines()
        .filter(|line| line.starts_with("RssAnon:") || line.starts_with("RssShmem:"))
        .filter_map(kibibytes)
        .sum::<u64>()
        * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_files_are_read() {
        assert_eq!(parse_group("12 (a ) b) S 1 77 77 0 -1"), Some(77));
        assert_eq!(parse_group("12 (a"), None);
        let status = "VmRSS:\t 900 kB\nRssAnon:\t 300 kB\nRssFile:\t 500 kB\nRssShmem:\t 100 kB\n";
        assert_eq!(resident_bytes(status), 400 * 1024);
    }

    #[test]
    fn our_own_group_uses_something() {
        let stat = fs::read_to_string("/proc/self/stat").expect("Linux");
        let group = parse_group(&stat).expect("a group");
        assert!(of_group(group) > 0);
    }
}
