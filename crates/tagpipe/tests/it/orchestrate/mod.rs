//! Many runners on one run: each page is read once, whoever dies, and their numbers are the run's.

use std::collections::{BTreeMap, HashMap};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use sea_orm::{ConnectionTrait, Statement};
use serde_json::Value;
use tagpipe_demo::DemoConfig;
use tagpipe_store::Store;

use crate::frontier_history;
use crate::harness::{Ended, Engine, Rig, Running, fetches, pages_of, signal, unhurried, wait_until};
use crate::proxy::{Answer, Proxy};

/// How soon all runners are gone after one Ctrl-C.
const STOPS_WITHIN: Duration = Duration::from_secs(10);
/// Runs with this file notice a hanging runner soon.
const SHORT_LEASES: &str = "lease_term = 2\n";
/// Looks after the runners often enough for a test.
const OFTEN: [&str; 2] = ["--check-interval", "0.5"];

fn with<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    OFTEN.iter().chain(arguments).copied().collect()
}

fn small() -> DemoConfig {
    DemoConfig {
        pages: 60,
        seed: 5,
        ..DemoConfig::default()
    }
}

mod deaths;
mod joining;
mod names;
mod scripts;
mod stopping;
mod succession;
mod whole_runs;

fn number(value: &Value, name: &str) -> u64 {
    value[name]
        .as_u64()
        .unwrap_or_else(|| panic!("{name} is a number in {value:#}"))
}

pub(crate) fn runner_ids(count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("runner_{number}")).collect()
}

/// The runners' rows of a summary, by name.
fn by_runner(summary: &Value) -> BTreeMap<String, Value> {
    let rows = summary["runners"].as_array().expect("a row for each runner");
    let named = rows
        .iter()
        .map(|row| (row["runner_id"].as_str().expect("a name").to_owned(), row.clone()));
    let by_runner: BTreeMap<_, _> = named.collect();
    assert_eq!(by_runner.len(), rows.len(), "one row for each name: {summary:#}");
    by_runner
}

/// Row by row the summary says what the database says, and the rows add up to the totals.
pub(crate) async fn assert_adds_up(rig: &Rig, summary: &Value, names: &[String]) {
    let by_runner = by_runner(summary);
    assert_eq!(by_runner.keys().cloned().collect::<Vec<_>>(), names);
    let processes = rig.runners().await;
    for (name, row) in &by_runner {
        let own: Vec<_> = processes
            .iter()
            .filter(|process| process.runner_id == *name)
            .collect();
        let stored = [
            ("processes", own.len() as u64),
            (
                "pages",
                own.iter().map(|process| process.pages_completed as u64).sum(),
            ),
            (
                "failed",
                own.iter().map(|process| process.pages_failed as u64).sum(),
            ),
            ("retries", own.iter().map(|process| process.retries as u64).sum()),
            (
                "requests",
                own.iter().map(|process| process.requests as u64).sum(),
            ),
            ("bytes", own.iter().map(|process| process.bytes as u64).sum()),
        ];
        for (column, stored) in stored {
            assert_eq!(number(row, column), stored, "{column} of {name}: {summary:#}");
        }
        assert_eq!(row["host"].as_str(), Some(own[0].host.as_str()));
    }
    let sum = |column: &str| by_runner.values().map(|row| number(row, column)).sum::<u64>();
    assert_eq!(sum("requests"), number(summary, "requests"));
    assert_eq!(sum("bytes"), number(summary, "bytes"));
    let retries = summary["retries"].as_array().expect("retries by cause");
    assert_eq!(
        sum("retries"),
        retries.iter().map(|one| number(one, "count")).sum::<u64>()
    );
    assert_eq!(sum("pages"), pages_of(summary, "completed"));
    assert_eq!(sum("failed"), pages_of(summary, "failed"));

    let pages = rig.pages().await;
    for state in ["completed", "failed", "skipped"] {
        let stored = pages.iter().filter(|page| page.state == state).count() as u64;
        assert_eq!(pages_of(summary, state), stored, "{state}");
    }
    assert_eq!(pages_of(summary, "pages"), pages.len() as u64);
}

fn assert_each_page_once(rig: &Rig) {
    let fetches = fetches(&rig.documents());
    assert_eq!(fetches.len() as u64, rig.site.world().page_count());
    let again: Vec<_> = fetches.iter().filter(|(_, times)| **times != 1).collect();
    assert!(again.is_empty(), "read more than once: {again:#?}");
}

async fn assert_nothing_is_leased(rig: &Rig) {
    let leased = rig
        .pages()
        .await
        .into_iter()
        .filter(|page| page.state == "leased");
    assert_eq!(leased.count(), 0, "all leases are given back");
}

/// Waits until each of these runners is a process, and returns their ids.
async fn living(rig: &Rig, count: usize) -> HashMap<String, u32> {
    wait_until("all runners", || rig.runner_processes().len() == count).await;
    let living = rig.runner_processes().into_iter();
    living.map(|process| (process.runner_id, process.pid)).collect()
}

/// Waits until the runner of this name is another process than `than`.
async fn replaced(rig: &Rig, name: &str, than: u32) {
    let is_new = |rig: &Rig| {
        let mut living = rig.runner_processes().into_iter();
        living.any(|process| process.runner_id == name && process.pid != than)
    };
    wait_until("a new process", || is_new(rig)).await;
}

/// Stops everything with one signal, which must not take long.
async fn stop_all(rig: &Rig, running: Running, name: &str, code: i32) -> Value {
    let asked = Instant::now();
    running.signal(name).await;
    let summary = running.ended().await.summary(code);
    assert!(asked.elapsed() < STOPS_WITHIN, "{:?}", asked.elapsed());
    assert_eq!(summary["end"], "interrupted");
    assert_eq!(
        rig.runner_processes(),
        [],
        "no runner outlives an orchestrator that stops in order"
    );
    assert_nothing_is_leased(rig).await;
    assert_eq!(rig.runs().await[0].state, "interrupted");
    assert!(
        rig.runners()
            .await
            .iter()
            .all(|runner| runner.state == "finished")
    );
    summary
}
