//! One run, many processes: who is counted on, who closes the run, who is the last to leave, who orchestrates.

use std::time::Duration;

use serde_json::json;
use tagpipe_core::lifecycle::RunState;
use tagpipe_core::model::PageKind;
use tagpipe_store::audit::{AuditEntry, AuditKind, AuditLevel, AuditOrigin};
use tagpipe_store::{Closing, OrchestratorIdentity, RunEnding, RunnerEnd, RunnerReport};

use crate::harness::*;

on_both_engines! {
    a_runner_that_was_given_up_is_told_so,
    one_runner_closes_a_run,
    the_right_to_close_runs_out,
    who_lost_the_right_to_close_writes_nothing,
    the_last_runner_to_leave_ends_the_run,
    a_runner_that_was_not_heard_of_counts_as_gone,
    what_is_taken_back_is_the_owners_alone,
    one_process_orchestrates_a_run,
    a_run_begins_with_its_orchestrator_or_not_at_all,
}

fn entry() -> AuditEntry {
    AuditEntry {
        level: AuditLevel::Info,
        kind: AuditKind::Operation,
        page_key: None,
        operation: "run_ended".into(),
        message: "run ended".into(),
        context: json!({}),
    }
}

async fn ended(crawl: &Crawl) -> (String, u64) {
    let run = crawl.store.run_overview(crawl.run).await.unwrap().unwrap();
    let entries = crawl.count("audit_logs WHERE operation = 'run_ended'").await;
    (run.state, u64::try_from(entries).unwrap())
}

/// Ends the run as `instance`, closing or leaving it.
async fn end(crawl: &Crawl, instance: &str, state: RunState) -> bool {
    let (summary, entries) = (json!({ "by": instance }), [entry()]);
    let ending = RunEnding {
        state,
        summary: &summary,
        origin: AuditOrigin {
            run: Some(crawl.run),
            runner_id: "runner_1",
        },
        entries: &entries,
        news: &[],
    };
    let store = &crawl.store;
    match state {
        RunState::Interrupted => store.leave_run(crawl.run, instance, TERM, &ending).await,
        _ => store.close_run(crawl.run, instance, &ending).await,
    }
    .unwrap()
}

async fn a_runner_that_was_given_up_is_told_so(crawl: Crawl) {
    let report = RunnerReport {
        current_page: "cards/a \0 b",
        memory_bytes: u64::MAX,
    };
    let me = &crawl.me.instance;
    assert!(crawl.store.report_runner(me, &report).await.unwrap());
    assert_eq!(
        crawl
            .count("runners WHERE current_page LIKE 'cards/a % b' AND memory_bytes = 9223372036854775807")
            .await,
        1
    );
    let lost = RunnerEnd::Lost("not heard of for 30 s");
    crawl.store.end_runner(me, lost).await.unwrap();
    assert!(!crawl.store.report_runner(me, &report).await.unwrap());
    assert_eq!(
        crawl
            .count(
                "runners WHERE state = 'lost' AND ended_why = 'not heard of for 30 s' AND current_page = ''"
            )
            .await,
        1
    );
}

async fn one_runner_closes_a_run(crawl: Crawl) {
    let (one, other) = ("one", "other");
    let ask = async |who| crawl.store.begin_closing(crawl.run, who, TERM).await.unwrap();
    assert_eq!(ask(one).await, Closing::Mine);
    assert_eq!(ask(other).await, Closing::Others);
    assert_eq!(ask(one).await, Closing::Mine, "it is renewed");
    crawl.store.give_up_closing(crawl.run, other).await.unwrap();
    assert_eq!(
        ask(other).await,
        Closing::Others,
        "nobody gives up another's right"
    );
    crawl.store.give_up_closing(crawl.run, one).await.unwrap();
    assert_eq!(ask(other).await, Closing::Mine);
    assert!(end(&crawl, other, RunState::Reconciled).await);
    assert_eq!(ask(one).await, Closing::Over);
    assert_eq!(ask(other).await, Closing::Over);
    assert_eq!(ended(&crawl).await, ("reconciled".into(), 1));
    assert_eq!(
        crawl.store.begin_closing(crawl.run + 1, one, TERM).await.unwrap(),
        Closing::Over
    );
}

async fn the_right_to_close_runs_out(crawl: Crawl) {
    let closing = crawl.store.begin_closing(crawl.run, "frozen", NO_TERM).await;
    assert_eq!(closing.unwrap(), Closing::Mine);
    let closing = crawl.store.begin_closing(crawl.run, "other", TERM).await;
    assert_eq!(closing.unwrap(), Closing::Mine);
}

async fn who_lost_the_right_to_close_writes_nothing(crawl: Crawl) {
    crawl
        .store
        .begin_closing(crawl.run, "frozen", NO_TERM)
        .await
        .unwrap();
    crawl.store.begin_closing(crawl.run, "other", TERM).await.unwrap();
    let settled = crawl
        .store
        .settle_disagreements(crawl.run, "frozen", &[])
        .await
        .unwrap();
    assert_eq!(settled, None);
    assert!(!end(&crawl, "frozen", RunState::Disputed).await);
    assert_eq!(ended(&crawl).await, ("running".into(), 0));
    assert!(end(&crawl, "other", RunState::Reconciled).await);
    assert!(!end(&crawl, "other", RunState::Disputed).await, "a run ends once");
    assert_eq!(ended(&crawl).await, ("reconciled".into(), 1));
}

async fn the_last_runner_to_leave_ends_the_run(crawl: Crawl) {
    let other = runner("runner_2");
    crawl.store.register_runner(crawl.run, &other).await.unwrap();
    let me = &crawl.me.instance;
    let done = RunnerEnd::Finished("stopped");
    crawl.store.end_runner(me, done).await.unwrap();
    assert!(
        !end(&crawl, me, RunState::Interrupted).await,
        "runner_2 still works on it"
    );
    assert_eq!(ended(&crawl).await, ("running".into(), 0));
    crawl.store.end_runner(&other.instance, done).await.unwrap();
    assert!(end(&crawl, &other.instance, RunState::Interrupted).await);
    assert_eq!(ended(&crawl).await, ("interrupted".into(), 1));
    crawl.store.set_running(crawl.run).await.unwrap();
    assert_eq!(ended(&crawl).await.0, "running");
}

async fn a_runner_that_was_not_heard_of_counts_as_gone(crawl: Crawl) {
    let silent = runner("runner_2");
    crawl.store.register_runner(crawl.run, &silent).await.unwrap();
    let long_ago = match crawl.store.dialect() {
        tagpipe_store::Dialect::Sqlite => "'2020-01-01T00:00:00.000Z'",
        tagpipe_store::Dialect::Postgres => "now() - interval '1 day'",
    };
    crawl
        .sql(&format!(
            "UPDATE runners SET heartbeat_at = {long_ago} WHERE runner_id = 'runner_2'"
        ))
        .await;
    assert!(end(&crawl, &crawl.me.instance, RunState::Interrupted).await);
}

async fn what_is_taken_back_is_the_owners_alone(crawl: Crawl) {
    crawl.add(&pages(PageKind::Years, 4)).await;
    let other = runner("runner_2");
    crawl.store.register_runner(crawl.run, &other).await.unwrap();
    let mine = crawl.claim(2).await;
    let theirs = crawl
        .store
        .claim(crawl.run, &other.instance, 2, TERM)
        .await
        .unwrap();
    let taken = crawl.store.take_back(crawl.run, &other.instance).await.unwrap();
    assert_eq!(taken, 2);
    let late: Vec<_> = theirs.iter().map(complete_empty).collect();
    let fates = crawl
        .store
        .finish(crawl.run, "runner_2", &other.instance, &late)
        .await
        .unwrap()
        .fates;
    assert_eq!(fates, [tagpipe_store::contract::Fate::Fenced; 2]);
    let accepted: Vec<_> = mine.iter().map(complete_empty).collect();
    crawl.accept(&accepted).await;
}

fn process(instance: &str) -> OrchestratorIdentity {
    OrchestratorIdentity {
        instance: instance.into(),
        host: "here".into(),
        pid: 7,
        process_mark: "boot/7".into(),
    }
}

/// Killed between the two, an orchestrator would leave a run that its successor does not know for its own.
async fn a_run_begins_with_its_orchestrator_or_not_at_all(crawl: Crawl) {
    let settings = json!({});
    let mut given_up = crawl.store.begin_run(&settings).await.unwrap();
    given_up.enter_orchestrator(&process("one"), 2).await.unwrap();
    drop(given_up);
    let mut seeding = crawl.store.begin_run(&settings).await.unwrap();
    seeding.enter_orchestrator(&process("two"), 2).await.unwrap();
    let run = seeding.commit().await.unwrap();
    let at_work = crawl.store.orchestrators_at_work().await.unwrap();
    assert_eq!(at_work.len(), 1);
    assert_eq!((at_work[0].run, &at_work[0].identity), (run, &process("two")));
}

async fn one_process_orchestrates_a_run(crawl: Crawl) {
    let (store, run) = (&crawl.store, crawl.run);
    let enter = async |instance: &str, before: Option<&str>| {
        store
            .register_orchestrator(run, &process(instance), 3, before)
            .await
            .unwrap()
    };
    assert_eq!(store.orchestrator(run).await.unwrap(), None);
    assert!(enter("one", None).await);
    assert!(!enter("two", None).await, "there is one");
    assert!(!enter("two", Some("three")).await);
    assert!(store.report_orchestrator(run, "one").await.unwrap());
    let entered = store.orchestrator(run).await.unwrap().unwrap();
    assert_eq!((&entered.identity, entered.runners_wanted), (&process("one"), 3));
    assert!(entered.is_running && entered.silent_for < Duration::from_secs(30));
    assert_eq!(store.orchestrators_at_work().await.unwrap().len(), 1);

    assert!(enter("two", Some("one")).await, "its place is taken");
    assert!(!store.report_orchestrator(run, "one").await.unwrap());
    store.end_orchestrator(run, "one").await.unwrap();
    assert!(store.orchestrator(run).await.unwrap().unwrap().is_running);
    store.end_orchestrator(run, "two").await.unwrap();
    assert!(!store.orchestrator(run).await.unwrap().unwrap().is_running);
    assert!(store.orchestrators_at_work().await.unwrap().is_empty());
    assert!(enter("three", Some("two")).await);
    store
        .set_run_state(run, RunState::Interrupted, None)
        .await
        .unwrap();
    assert!(
        store.orchestrators_at_work().await.unwrap().is_empty(),
        "the run is not under way"
    );
}
