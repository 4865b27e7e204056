//! Runners go by their names.

use super::*;

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
