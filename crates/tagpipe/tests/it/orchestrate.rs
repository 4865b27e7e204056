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

// Numbers. ----------------------------------------------------------------------------------------------------

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

// Whole runs. -------------------------------------------------------------------------------------------------

async fn many_runners_read_the_site(engine: Engine, runners: usize) {
    let rig = Rig::on(engine, unhurried(400, 20)).await;
    let ended = rig
        .orchestrate(&with(&["--num-runners", &runners.to_string()]))
        .await;
    let summary = ended.summary(0);
    assert_eq!(summary["end"], "reconciled");
    rig.assert_equals_truth().await;
    assert_each_page_once(&rig);
    assert_eq!(rig.assert_is_consistent().await, rig.site.world().page_count());
    assert_adds_up(&rig, &summary, &runner_ids(runners)).await;
    for (name, row) in by_runner(&summary) {
        assert!(number(&row, "pages") > 0, "{name} did nothing: {row:#}");
        assert_eq!(number(&row, "processes"), 1, "{name} was never replaced");
    }
    let runs = rig.runs().await;
    assert_eq!(runs.len(), 1);
    assert_eq!(runs[0].state, "reconciled");
    let stored = runs[0].summary.as_ref().expect("its summary is stored");
    assert_adds_up(&rig, stored, &runner_ids(runners)).await;
    assert!(
        rig.runners()
            .await
            .iter()
            .all(|runner| runner.state == "finished")
    );
    assert_eq!(rig.runner_processes(), [], "nobody is left behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn five_runners_on_postgres() {
    many_runners_read_the_site(Engine::Postgres, 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_runners_on_sqlite() {
    many_runners_read_the_site(Engine::Sqlite, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_runner_needs_no_others() {
    let rig = Rig::new(unhurried(80, 5)).await;
    let summary = rig.orchestrate(&with(&["--num-runners", "1"])).await.summary(0);
    assert_adds_up(&rig, &summary, &runner_ids(1)).await;
    assert_each_page_once(&rig);
    rig.assert_equals_truth().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_add_up_on_a_bad_site() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let mut config = unhurried(250, 10);
        config.faults.unavailable = 0.05;
        config.faults.cut_off = 0.05;
        config.faults.partial = 0.05;
        let rig = Rig::on(engine, config).await;
        let arguments = [
            "--num-runners",
            "3",
            "--max-retries",
            "20",
            "--retry-backoff",
            "1.1",
        ];
        let summary = rig.orchestrate(&with(&arguments)).await.summary(0);
        let retries = summary["retries"].as_array().expect("retries");
        assert!(!retries.is_empty(), "the site was bad: {summary:#}");
        assert_adds_up(&rig, &summary, &runner_ids(3)).await;
        rig.assert_equals_truth().await;
        rig.assert_fetches_are_counted().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_of_pages_is_for_all_together() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let rig = Rig::on(engine, unhurried(200, 20)).await;
        let arguments = with(&["--num-runners", "3", "--max-pages", "20"]);
        let summary = rig.orchestrate(&arguments).await.summary(5);
        assert_eq!(fetches(&rig.documents()).values().sum::<u64>(), 20);
        assert_eq!(pages_of(&summary, "completed"), 20);
        assert!(pages_of(&summary, "open") > 0);
        assert_nothing_is_leased(&rig).await;
        rig.orchestrate(&with(&["--num-runners", "3", "--resume"]))
            .await
            .summary(0);
        assert_each_page_once(&rig);
        rig.assert_equals_truth().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_of_many_writes_nothing() {
    let mut rig = Rig::new(small()).await;
    rig.without_database_flag();
    let before = rig.files();
    let ended = rig.orchestrate(&with(&["--num-runners", "3", "--dry-run"])).await;
    assert_eq!(ended.summary(0)["dry_run"], true);
    assert_eq!(rig.files(), before, "nothing was written");
    assert_eq!(rig.runner_processes(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_layout_stops_all() {
    let mut rig = Rig::on(Engine::Postgres, unhurried(200, 20)).await;
    let proxy = Proxy::start(Some(rig.site.site_addr()), |_| {
        Answer::Rewrite(Box::new(|page| page.replace("Graded", "Slabbed")))
    })
    .await;
    rig.read_from(proxy.url());
    let ended = rig
        .orchestrate(&with(&["--num-runners", "3", "--max-retries", "0"]))
        .await;
    let summary = ended.summary(8);
    let reason = summary["reason"].as_str().expect("words");
    assert!(
        reason.contains("Graded") && reason.contains("levels.years"),
        "{reason}"
    );
    assert_eq!(rig.runner_processes(), []);
    assert_nothing_is_leased(&rig).await;
    assert_eq!(rig.runs().await[0].state, "interrupted");
}

// Names. ------------------------------------------------------------------------------------------------------

/// What the runners have said: to the terminal, or into a file beside their work.
fn said(rig: &Rig, ended: &Ended) -> String {
    let logs = rig
        .files()
        .into_iter()
        .filter(|(path, _)| path.extension().is_some_and(|it| it == "log"));
    logs.fold(ended.stderr.clone(), |said, (_, log)| {
        said + &String::from_utf8_lossy(&log)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn runners_go_by_their_names_everywhere() {
    let rig = Rig::on(Engine::Postgres, unhurried(300, 40)).await;
    let running = rig.start_orchestrate(&with(&["--num-runners", "3", "--log-level", "DEBUG"]));
    let by_command_line = living(&rig, 3).await;
    let mut names: Vec<_> = by_command_line.keys().cloned().collect();
    names.sort();
    assert_eq!(names, runner_ids(3));
    wait_until("all to have read", || rig.documents().len() > 60).await;
    for runner in rig.runners().await {
        assert_eq!(
            i64::from(by_command_line[&runner.runner_id]),
            runner.pid,
            "{runner:?}"
        );
    }
    for pid in by_command_line.values() {
        assert_eq!(
            process_group(*pid),
            *pid,
            "Ctrl-C at the terminal is the orchestrator's alone"
        );
    }
    let ended = running.ended().await;
    ended.summary(0);

    let said = said(&rig, &ended);
    for name in runner_ids(3) {
        let own = said
            .lines()
            .filter(|line| line.contains(&format!("runner_id={name}")));
        let read = own.filter(|line| line.contains("page read")).count();
        assert!(read > 0, "{name} in the log:\n{said}");
    }
    let read = said.lines().filter(|line| line.contains("page read"));
    for line in read {
        assert!(line.contains("runner_id=runner_"), "whose line is this? {line}");
    }
    let mut entries: HashMap<String, usize> = HashMap::new();
    for entry in rig.audit().await {
        if entry.operation == "read_page" && entry.kind == "result" {
            *entries.entry(entry.runner_id).or_default() += 1;
        }
    }
    for runner in rig.runners().await {
        assert_eq!(
            entries.remove(&runner.runner_id),
            usize::try_from(runner.pages_completed).ok()
        );
    }
    assert!(entries.is_empty(), "entries of nobody: {entries:?}");
}

/// The process group of a process.
fn process_group(pid: u32) -> u32 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let (_, rest) = stat.rsplit_once(") ").expect("a name in parentheses");
    // State, parent, group.
    rest.split(' ')
        .nth(2)
        .expect("a group")
        .parse()
        .expect("a number")
}

// Stopping. ---------------------------------------------------------------------------------------------------

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

async fn one_signal_stops_all(engine: Engine, name: &str, code: i32, resume: &str) {
    let rig = Rig::on(engine, unhurried(400, 30)).await;
    let running = rig.start_orchestrate(&with(&["--num-runners", "3"]));
    rig.wait_for_documents(80).await;
    let summary = stop_all(&rig, running, name, code).await;
    assert!(pages_of(&summary, "open") > 0);
    assert_adds_up(&rig, &summary, &runner_ids(3)).await;

    let resumed = match resume {
        "orchestrate" => rig.orchestrate(&with(&["--num-runners", "3", "--resume"])).await,
        _ => rig.run(&["--resume"]).await,
    };
    let resumed = resumed.summary(0);
    assert_eq!(resumed["run_id"], summary["run_id"]);
    rig.assert_equals_truth().await;
    assert_each_page_once(&rig);
    assert!(rig.pages().await.iter().all(|page| page.attempts == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_ctrl_c_stops_all_on_postgres() {
    one_signal_stops_all(Engine::Postgres, "INT", 130, "orchestrate").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_ctrl_c_stops_all_on_sqlite_and_a_single_runner_goes_on() {
    one_signal_stops_all(Engine::Sqlite, "INT", 130, "run").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_sigterm_stops_all() {
    one_signal_stops_all(Engine::Postgres, "TERM", 143, "orchestrate").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_ctrl_c_does_not_wait_for_slow_pages() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let rig = Rig::on(engine, unhurried(150, 0)).await;
        rig.run(&["--max-pages", "30"]).await.summary(5);
        rig.site.update(|config| config.latency.document_ms = 20_000);
        let seen = rig.documents().len();
        let running = rig.start_orchestrate(&with(&["--num-runners", "3", "--resume"]));
        rig.wait_for_documents(seen + 9).await;
        stop_all(&rig, running, "INT", 130).await;
        rig.site.update(|config| config.latency.document_ms = 0);
        rig.orchestrate(&with(&["--num-runners", "3", "--resume"]))
            .await
            .summary(0);
        rig.assert_equals_truth().await;
        rig.assert_fetches_are_counted().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_ctrl_c_does_not_wait_for_a_slow_pace() {
    let rig = Rig::on(Engine::Postgres, unhurried(100, 0)).await;
    rig.run(&["--max-pages", "20"]).await.summary(5);
    let seen = rig.documents().len();
    let running = rig.start_orchestrate(&with(&["--num-runners", "3", "--resume", "--delay", "15"]));
    living(&rig, 3).await;
    rig.wait_for_documents(seen + 1).await;
    stop_all(&rig, running, "INT", 130).await;
    rig.orchestrate(&with(&["--num-runners", "3", "--resume"]))
        .await
        .summary(0);
    rig.assert_equals_truth().await;
}

// Deaths. -----------------------------------------------------------------------------------------------------

async fn runners_outlive_a_killed_orchestrator(engine: Engine) {
    let rig = Rig::on(engine, unhurried(700, 100)).await;
    let arguments = with(&["--num-runners", "3"]);
    let first = rig.start_orchestrate(&arguments);
    rig.wait_for_documents(60).await;
    let before = living(&rig, 3).await;
    first.kill_alone().await;
    let seen = rig.documents().len();
    rig.wait_for_documents(seen + 60).await;
    assert_eq!(living(&rig, 3).await, before, "they go on alone");

    let second = rig.start_orchestrate(&arguments);
    let seen = rig.documents().len();
    rig.wait_for_documents(seen + 120).await;
    assert!(!second.has_ended(), "{}", second.words());
    assert_eq!(
        living(&rig, 3).await,
        before,
        "they are found again, and nobody is added"
    );
    let summary = second.ended().await.summary(0);
    assert_adds_up(&rig, &summary, &runner_ids(3)).await;
    assert_eq!(rig.runs().await.len(), 1, "no new run was started");
    assert_eq!(rig.runners().await.len(), 3, "nobody was replaced");
    rig.assert_equals_truth().await;
    assert_each_page_once(&rig);
}

#[tokio::test(flavor = "multi_thread")]
async fn runners_on_postgres_outlive_a_killed_orchestrator() {
    runners_outlive_a_killed_orchestrator(Engine::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runners_on_sqlite_outlive_a_killed_orchestrator() {
    runners_outlive_a_killed_orchestrator(Engine::Sqlite).await;
}

/// A killed orchestrator's successor stops its predecessor's runners as its own.
#[tokio::test(flavor = "multi_thread")]
async fn adopted_runners_of_a_killed_orchestrator_stop_too() {
    let rig = Rig::on(Engine::Postgres, unhurried(700, 100)).await;
    let arguments = with(&["--num-runners", "3"]);
    let first = rig.start_orchestrate(&arguments);
    rig.wait_for_documents(60).await;
    let before = living(&rig, 3).await;
    first.kill_alone().await;
    let second = rig.start_orchestrate(&arguments);
    let seen = rig.documents().len();
    rig.wait_for_documents(seen + 120).await;
    assert_eq!(living(&rig, 3).await, before);
    stop_all(&rig, second, "INT", 130).await;
    rig.orchestrate(&with(&["--num-runners", "3", "--resume"]))
        .await
        .summary(0);
    rig.assert_equals_truth().await;
    assert_each_page_once(&rig);
}

async fn a_lost_runner_is_replaced(engine: Engine, how: &str) {
    let rig = Rig::on(engine, unhurried(700, 100)).await;
    rig.write("tagpipe.toml", SHORT_LEASES);
    let running = rig.start_orchestrate(&with(&["--num-runners", "3"]));
    rig.wait_for_documents(60).await;
    let struck = living(&rig, 3).await["runner_2"];
    assert!(signal(how, struck).await);
    replaced(&rig, "runner_2", struck).await;
    let summary = running.ended().await.summary(0);
    assert_adds_up(&rig, &summary, &runner_ids(3)).await;
    assert_eq!(number(&by_runner(&summary)["runner_2"], "processes"), 2);
    for runner in rig.runners().await {
        let expected = if runner.pid == i64::from(struck) {
            "lost"
        } else {
            "finished"
        };
        assert_eq!(runner.state, expected, "{runner:?}");
    }
    assert_eq!(rig.runner_processes(), [], "one that hangs is not left behind");
    rig.assert_equals_truth().await;
    assert_eq!(rig.assert_is_consistent().await, rig.site.world().page_count());
    rig.assert_fetches_are_counted().await;
    // Three pages were in hand, and what was read and not yet committed; its window was given to others unread.
    let again = fetches(&rig.documents())
        .values()
        .filter(|times| **times > 1)
        .count();
    assert!(again <= 12, "{again} pages were read again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_runner_on_postgres_is_replaced() {
    a_lost_runner_is_replaced(Engine::Postgres, "KILL").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_runner_on_sqlite_is_replaced() {
    a_lost_runner_is_replaced(Engine::Sqlite, "KILL").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_runner_on_postgres_is_killed_and_replaced() {
    a_lost_runner_is_replaced(Engine::Postgres, "STOP").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_runner_on_sqlite_is_killed_and_replaced() {
    a_lost_runner_is_replaced(Engine::Sqlite, "STOP").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_that_cannot_live_ends_the_run_with_a_word() {
    let rig = Rig::on(Engine::Postgres, small()).await;
    rig.write("broken", "#!/bin/sh\necho 'out of order' >&2\nexit 1\n");
    let path = rig.folder().join("broken");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("its rights");
    let path = path.display().to_string();
    let ended = rig
        .orchestrate(&with(&["--num-runners", "2", "--runner-path", &path]))
        .await;
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    for word in [
        "runner_1 is not started again",
        "runner_2 is not started again",
        "exit code 1",
    ] {
        assert!(ended.stderr.contains(word), "{word} in {}", ended.stderr);
    }
    assert_eq!(rig.runs().await[0].state, "interrupted");
    assert_eq!(rig.documents().len(), 0);
    rig.run(&["--resume"]).await.summary(0);
    rig.assert_equals_truth().await;
}

/// One place that cannot be filled costs the others nothing.
#[tokio::test(flavor = "multi_thread")]
async fn one_runner_that_cannot_live_leaves_the_work_to_the_others() {
    let rig = Rig::on(Engine::Postgres, unhurried(150, 20)).await;
    let program = env!("CARGO_BIN_EXE_tagpipe");
    rig.write(
        "choosy",
        &format!("#!/bin/sh\ncase \"$*\" in *runner_2*) exit 1;; esac\nexec {program} \"$@\"\n"),
    );
    let path = rig.folder().join("choosy");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("its rights");
    let path = path.display().to_string();
    let ended = rig
        .orchestrate(&with(&["--num-runners", "3", "--runner-path", &path]))
        .await;
    ended.summary(0);
    assert!(ended.stderr.contains("runner_2"), "{}", ended.stderr);
    rig.assert_equals_truth().await;
    assert_each_page_once(&rig);
}

/// Whoever sleeps past its lease has lost it: what it read before and commits when it wakes is dropped, while somebody
/// else reads the page.
#[tokio::test(flavor = "multi_thread")]
async fn a_runner_that_slept_past_its_lease_commits_nothing_of_it() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let rig = Rig::on(engine, unhurried(250, 0)).await;
        rig.write("tagpipe.toml", SHORT_LEASES);
        let store = rig.open().await;
        frontier_history::install(&store).await;
        rig.run(&["--max-pages", "40"]).await.summary(5);
        rig.site.update(|config| config.latency.document_ms = 700);
        let seen = rig.documents().len();
        let sleeper = rig.start(&["--resume", "--runner-id", "sleeper"]);
        rig.wait_for_documents(seen + 3).await;
        let other = rig.start(&["--join", "1", "--runner-id", "other"]);
        rig.wait_for_documents(seen + 12).await;
        sleep_past_its_leases(&store, &sleeper, "sleeper").await;
        sleeper
            .wait_for_word("a lease ran out before its page was committed")
            .await;
        rig.site.update(|config| config.latency.document_ms = 20);
        for running in [sleeper, other] {
            running.ended().await.summary(0);
        }
        rig.assert_equals_truth().await;
        assert_eq!(rig.assert_is_consistent().await, rig.site.world().page_count());
        rig.assert_fetches_are_counted().await;
        let witnessed = frontier_history::witnessed(&store).await;
        frontier_history::check(&witnessed).unwrap_or_else(|what| panic!("{what}"));
        store.close().await;
    }
}

/// Puts a runner to sleep until somebody else holds pages that were its own, and wakes it.
async fn sleep_past_its_leases(store: &Store, running: &Running, name: &str) {
    for _ in 0..10 {
        running.signal("STOP").await;
        let own = leases_of(store, name).await;
        let mut passed_on = false;
        let deadline = Instant::now() + Duration::from_secs(8);
        while !passed_on && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let others = leases_of(store, "other").await;
            passed_on = own.iter().any(|page| others.contains(page));
        }
        running.signal("CONT").await;
        if passed_on {
            return;
        }
        // It slept within a transaction, which keeps others from its pages, or between two pages.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{name} never lost its leases");
}

/// Pages that the runner of this name holds.
async fn leases_of(store: &Store, name: &str) -> Vec<i64> {
    let connection = store.connection();
    let sql = format!(
        "SELECT id FROM frontier WHERE state = 'leased' \
         AND lease_owner IN (SELECT instance FROM runners WHERE runner_id = '{name}')"
    );
    let asked = connection.query_all_raw(Statement::from_string(connection.get_database_backend(), sql));
    let rows = asked.await.expect("rows");
    rows.iter()
        .map(|row| row.try_get("", "id").expect("an id"))
        .collect()
}

// Joining. ----------------------------------------------------------------------------------------------------

async fn a_runner_started_by_hand_joins(engine: Engine) {
    let rig = Rig::on(engine, unhurried(400, 40)).await;
    let first = rig.start(&["--runner-id", "first"]);
    rig.wait_for_documents(30).await;
    let second = rig.start(&["--join", "1", "--runner-id", "second"]);
    for running in [first, second] {
        let summary = running.ended().await.summary(0);
        assert_eq!(summary["run_id"], 1);
        assert_eq!(pages_of(&summary, "open"), 0, "nobody leaves before the end");
    }
    let runners = rig.runners().await;
    assert_eq!(runners.len(), 2);
    for runner in runners {
        assert!(runner.pages_completed > 0, "{runner:?}");
        assert_eq!(runner.state, "finished");
    }
    rig.assert_equals_truth().await;
    assert_each_page_once(&rig);
    assert_eq!(rig.runs().await[0].state, "reconciled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_started_by_hand_joins_on_sqlite() {
    a_runner_started_by_hand_joins(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_started_by_hand_joins_on_postgres() {
    a_runner_started_by_hand_joins(Engine::Postgres).await;
}

/// The run goes on when the one who started it has gone.
#[tokio::test(flavor = "multi_thread")]
async fn who_joined_finishes_what_others_left() {
    let rig = Rig::on(Engine::Postgres, unhurried(200, 40)).await;
    rig.write("tagpipe.toml", SHORT_LEASES);
    let first = rig.start(&["--runner-id", "first"]);
    rig.wait_for_documents(30).await;
    let second = rig.start(&["--join", "1", "--runner-id", "second"]);
    rig.wait_for_documents(60).await;
    first.kill().await;
    second.ended().await.summary(0);
    rig.assert_equals_truth().await;
    assert_eq!(rig.assert_is_consistent().await, rig.site.world().page_count());
    assert_eq!(rig.runs().await[0].state, "reconciled");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_run_that_is_there_is_joined_and_one_that_is_done_left_alone() {
    let rig = Rig::new(small()).await;
    rig.run(&[]).await.summary(0);
    let asked = rig.documents().len();
    let unknown = rig.run(&["--join", "77", "--runner-id", "late"]).await;
    assert!(unknown.failure(1).contains("no run 77"), "{}", unknown.stderr);
    // A runner that comes too late has nothing to do, which is no failure: it says what the run came to.
    let finished = rig.run(&["--join", "1", "--runner-id", "late"]).await.summary(0);
    assert_eq!(finished["end"], "reconciled");
    assert_eq!(rig.documents().len(), asked, "nothing is read");
    assert!(
        rig.runners()
            .await
            .iter()
            .all(|runner| runner.runner_id != "late")
    );
    assert_eq!(rig.runs().await.len(), 1);
}
