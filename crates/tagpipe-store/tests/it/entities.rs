//! Every table, read back through its entity: all columns, the same on both engines, times in UTC.

use sea_orm::EntityTrait;
use sea_orm::prelude::TimeDateTimeWithTimeZone as Time;
use serde_json::json;
use tagpipe_core::lifecycle::RunState;
use tagpipe_core::model::{CardRow, CategoryRow, Identity, PageKind, PageRows, SetRow, YearRow};
use tagpipe_core::outcome::Cause;
use tagpipe_core::policy::PageHistory;
use tagpipe_store::contract::{Ending, Lease, SlotRequest};
use tagpipe_store::entities::{
    audit_logs, cards, categories, discrepancies, frontier, grade_rows, grade_scale, orchestrators, pace,
    population_history, retry_counts, runners, runs, sets, years,
};
use tagpipe_store::{OrchestratorIdentity, RunnerReport};

use crate::harness::*;

on_both_engines! {
    every_table_reads_back_what_was_committed,
}

/// The time of this machine, which the database's clock is too.
fn is_now(time: Time) -> bool {
    let age = (Time::now_utc() - time).whole_seconds();
    time.offset().is_utc() && (-5..60).contains(&age)
}

/// A time that must be the database's now; returned so that the rest of a row can be compared whole.
#[track_caller]
fn now(time: Time) -> Time {
    assert!(is_now(time), "{time}");
    time
}

async fn read_everything(crawl: &Crawl) -> Vec<Lease> {
    crawl.add(&[categories_page()]).await;
    crawl
        .read(PageRows::Categories(vec![CategoryRow {
            name: "Pokémon".into(),
        }]))
        .await;
    crawl
        .read(PageRows::Years(vec![YearRow {
            year: "1999-00".into(),
            sets: 1,
            items: 2,
            graded: 3,
        }]))
        .await;
    let set = SetRow {
        brand: "Wizards".into(),
        name: "Base".into(),
        counts: counts(&[("10P", 1), ("9", 2)]),
        total: 3,
    };
    crawl.read(PageRows::Sets(vec![set])).await;
    let second = CardRow {
        variation: "Holo".into(),
        ..card("5/102", &[("9", 2), ("10P", 1)])
    };
    crawl
        .read(PageRows::Cards(vec![second, card("6/102", &[])]))
        .await;
    let leases = crawl.claim(2).await;
    let mut bare = grade_row("B2");
    (
        bare.rank,
        bare.rank_by_grade,
        bare.chronology,
        bare.chron_by_grade,
    ) = (None, None, None, None);
    (bare.completed_on, bare.grade.value, bare.grade.score) = (None, None, None);
    (bare.grade.text, bare.report_url) = ("VA".into(), String::new());
    let rows = PageRows::GradeRows(vec![grade_row("A1"), bare]);
    let history = PageHistory {
        failures: 1,
        refusals: 2,
        calm_not_founds: 3,
        last_rows_hash: Some(u64::MAX),
    };
    let again = Ending::Retry {
        after: TERM,
        cause: Cause::Soft404,
        reason: "the not-found screen".into(),
        history,
    };
    let first = with_unreadable(complete(&leases[0], rows), "row 2, Score");
    crawl.accept(&[first, finish(&leases[1], again)]).await;
    leases
}

async fn every_table_reads_back_what_was_committed(crawl: Crawl) {
    let leases = read_everything(&crawl).await;
    let connection = crawl.store.connection();

    let category = categories::Entity::find().one(connection).await.unwrap().unwrap();
    let expected = categories::Model {
        id: category.id,
        name: "Pokémon".into(),
        name_key: "pokemon".into(),
        url: "/years/pokemon".into(),
        first_seen_at: now(category.first_seen_at),
        changed_at: category.first_seen_at,
        last_seen_at: category.first_seen_at,
        vanished_at: None,
        seen_by_run: Some(crawl.run),
        seen_times: 1,
        changes: 1,
        tried_at: category.tried_at,
        read_at: category.read_at,
    };
    assert_eq!(category, expected);

    let year = years::Entity::find().one(connection).await.unwrap().unwrap();
    let expected = years::Model {
        id: year.id,
        category_id: category.id,
        natural_key: "1999-00".into(),
        year: "1999-00".into(),
        sets_count: 1,
        items_count: 2,
        graded_count: 3,
        url: "/sets/pokemon/1999-00".into(),
        first_seen_at: now(year.first_seen_at),
        changed_at: year.first_seen_at,
        last_seen_at: year.first_seen_at,
        changes: 1,
        read_changes: 1,
        read_at: year.read_at,
        vanished_at: None,
        seen_by_run: Some(crawl.run),
        seen_times: 1,
        tried_at: year.tried_at,
        same_until: None,
        differs_since: None,
    };
    now(year.read_at.unwrap());
    now(year.tried_at.unwrap());
    assert_eq!(year, expected);

    let set = sets::Entity::find().one(connection).await.unwrap().unwrap();
    let expected = sets::Model {
        id: set.id,
        year_id: year.id,
        natural_key: "Wizards/Base".into(),
        brand: "Wizards".into(),
        name: "Base".into(),
        url: "/cards/pokemon/1999-00/Wizards/Base".into(),
        counts: json!({ "9": 2, "10P": 1 }),
        total: 3,
        first_seen_at: now(set.first_seen_at),
        changed_at: set.first_seen_at,
        last_seen_at: set.first_seen_at,
        changes: 1,
        read_changes: 1,
        read_at: set.read_at,
        seen_times: 1,
        tried_at: set.tried_at,
        same_until: None,
        differs_since: None,
        verified_at: None,
        vanished_at: None,
        seen_by_run: Some(crawl.run),
    };
    now(set.read_at.unwrap());
    now(set.tried_at.unwrap());
    assert_eq!(set, expected);

    let stored = cards::Entity::find().all(connection).await.unwrap();
    assert_eq!(stored.len(), 2);
    let card = stored.iter().find(|card| card.total > 0).unwrap();
    let expected = cards::Model {
        id: card.id,
        set_id: set.id,
        natural_key: "5%2F102/Player 5%2F102".to_owned() + "/Holo",
        number: "5/102".into(),
        name: "Player 5/102".into(),
        variation: "Holo".into(),
        url: "/grade_rows/pokemon/1999-00/Wizards/Base/Player 5%2F102/5%2F102/Holo".into(),
        counts: json!({ "9": 2, "10P": 1 }),
        total: 3,
        first_seen_at: now(card.first_seen_at),
        changed_at: card.first_seen_at,
        last_seen_at: card.first_seen_at,
        changes: 1,
        read_changes: 1,
        read_at: card.read_at,
        seen_times: 1,
        tried_at: card.tried_at,
        same_until: None,
        differs_since: None,
        verified_at: None,
        vanished_at: None,
        seen_by_run: Some(crawl.run),
    };
    now(card.read_at.unwrap());
    now(card.tried_at.unwrap());
    assert_eq!(*card, expected);
    assert!(
        stored
            .iter()
            .any(|card| card.counts == json!({}) && card.total == 0)
    );

    let certificates = grade_rows::Entity::find().all(connection).await.unwrap();
    let row = certificates.iter().find(|row| row.cert_number == "A1").unwrap();
    let expected = grade_rows::Model {
        id: row.id,
        cert_number: "A1".into(),
        card_id: card.id,
        rank: Some(1),
        grade_text: "9 MINT (900)".into(),
        grade: Some(9.0),
        grade_label: "MINT".into(),
        grade_code: "9".into(),
        score: Some(900),
        rank_by_grade: Some(1),
        chronology: Some(1),
        chron_by_grade: Some(1),
        completed_on: Some(time::macros::date!(2023 - 04 - 05)),
        report_url: "/card/A1".into(),
        first_seen_at: now(row.first_seen_at),
        changed_at: row.first_seen_at,
        last_seen_at: row.first_seen_at,
        vanished_at: None,
        seen_by_run: Some(crawl.run),
    };
    assert_eq!(*row, expected);
    let bare = certificates.iter().find(|row| row.cert_number == "B2").unwrap();
    let nothing = (
        bare.rank,
        bare.grade,
        bare.score,
        bare.rank_by_grade,
        bare.chronology,
        bare.chron_by_grade,
    );
    assert_eq!(nothing, (None, None, None, None, None, None));
    assert_eq!((bare.completed_on, bare.report_url.as_str()), (None, ""));

    let history = population_history::Entity::find().all(connection).await.unwrap();
    assert_eq!(history.len(), 3);
    let of_card = history
        .iter()
        .find(|one| one.subject == "card" && one.subject_id == card.id)
        .unwrap();
    let expected = population_history::Model {
        id: of_card.id,
        subject: "card".into(),
        subject_id: card.id,
        observed_at: now(of_card.observed_at),
        run_id: crawl.run,
        counts: card.counts.clone(),
        total: 3,
    };
    assert_eq!(*of_card, expected);

    check_frontier(&crawl, &leases, card.id).await;
    check_bookkeeping(&crawl, card.id).await;
}

async fn check_frontier(crawl: &Crawl, leases: &[Lease], card_id: i64) {
    let pages = frontier::Entity::find()
        .all(crawl.store.connection())
        .await
        .unwrap();
    assert_eq!(pages.len(), 6);
    let completed = pages.iter().find(|page| page.id == leases[0].page_id).unwrap();
    let identity: Identity = serde_json::from_value(completed.identity.clone()).unwrap();
    assert_eq!(identity, leases[0].identity);
    let expected = frontier::Model {
        id: completed.id,
        run_id: crawl.run,
        level: PageKind::GradeRows.level().into(),
        page_key: leases[0].key.to_string(),
        url: leases[0].url.clone(),
        identity: completed.identity.clone(),
        subject_id: Some(card_id),
        expected: Some(3),
        state: "completed".into(),
        attempts: 1,
        failures: 0,
        refusals: 0,
        calm_not_founds: 0,
        verifications: 0,
        rows_hash: None,
        not_before: None,
        lease_owner: None,
        lease_token: Some(leases[0].token.clone()),
        lease_expires_at: None,
        last_outcome: Some("complete".into()),
        last_error: None,
        elapsed_ms: Some(150),
        finished_at: completed.finished_at,
        subject_changes: Some(1),
        stale_since_us: 0,
        seen_again: 0,
        audited: 0,
        rows_moved: None,
        doubt: None,
        verify_after: None,
    };
    assert_eq!(*completed, expected);
    now(completed.finished_at.unwrap());

    let waiting = pages.iter().find(|page| page.id == leases[1].page_id).unwrap();
    assert_eq!(
        (waiting.state.as_str(), waiting.attempts, waiting.finished_at),
        ("retryable", 1, None)
    );
    assert_eq!(
        (waiting.failures, waiting.refusals, waiting.calm_not_founds),
        (1, 2, 3)
    );
    assert_eq!(
        (waiting.rows_hash, waiting.lease_token.as_deref()),
        (Some(-1), None)
    );
    assert_eq!(waiting.last_outcome.as_deref(), Some("soft_404"));
    let due = waiting.not_before.unwrap();
    now(due - TERM);

    let added = add_one(crawl).await;
    let lease = crawl
        .store
        .claim(crawl.run, "me", 1, TERM)
        .await
        .unwrap()
        .remove(0);
    assert_eq!(lease.page_id, added);
    let leased = frontier::Entity::find_by_id(added)
        .one(crawl.store.connection())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (leased.state.as_str(), leased.lease_owner.as_deref()),
        ("leased", Some("me"))
    );
    assert_eq!(leased.lease_token.as_deref(), Some(lease.token.as_str()));
    now(leased.lease_expires_at.unwrap() - TERM);
}

/// Adds a page and returns its id.
async fn add_one(crawl: &Crawl) -> i64 {
    crawl.add(&pages(PageKind::Years, 1)).await;
    crawl.number("SELECT max(id) FROM frontier").await
}

async fn check_bookkeeping(crawl: &Crawl, card_id: i64) {
    let connection = crawl.store.connection();
    let entries = audit_logs::Entity::find().all(connection).await.unwrap();
    assert_eq!(entries.len(), 6);
    let expected = audit_logs::Model {
        id: entries[0].id,
        created_at: now(entries[0].created_at),
        level: "INFO".into(),
        kind: "operation".into(),
        runner_id: "runner_1".into(),
        run_id: Some(crawl.run),
        page_key: Some("categories".into()),
        operation: "read_page".into(),
        message: "categories was dealt with".into(),
        context: json!({ "rows": 3 }),
    };
    assert_eq!(entries[0], expected);

    let discrepancy = discrepancies::Entity::find()
        .one(connection)
        .await
        .unwrap()
        .unwrap();
    let expected = discrepancies::Model {
        id: discrepancy.id,
        subject: "page".into(),
        subject_id: card_id,
        page_key: "grade_rows/pokemon/1999-00/Wizards/Base/Player 5%2F102/5%2F102/Holo".into(),
        what: "row 2, Score".into(),
        expected: "a number".into(),
        expected_by: "the profile".into(),
        found: "n/a".into(),
        run_id: crawl.run,
        created_at: now(discrepancy.created_at),
        resolved_at: None,
        verdict: "disagrees".into(),
    };
    assert_eq!(discrepancy, expected);

    let report = RunnerReport {
        current_page: "cards/x",
        memory_bytes: 12_345,
    };
    let me = &crawl.me.instance;
    assert!(crawl.store.report_runner(me, &report).await.unwrap());
    let runner = runners::Entity::find().one(connection).await.unwrap().unwrap();
    let expected = runners::Model {
        instance: crawl.me.instance.clone(),
        run_id: crawl.run,
        runner_id: "runner_1".into(),
        host: "here".into(),
        pid: 42,
        state: "running".into(),
        started_at: now(runner.started_at),
        heartbeat_at: now(runner.heartbeat_at),
        pages_completed: 5,
        pages_failed: 0,
        retries: 1,
        requests: 12,
        bytes: 6000,
        rows_new: 7,
        rows_changed: 0,
        rows_same: 0,
        rows_vanished: 0,
        busy_ms: 900,
        process_mark: "boot/1".into(),
        current_page: "cards/x".into(),
        memory_bytes: 12_345,
        ended_why: String::new(),
    };
    assert_eq!(runner, expected);

    let retries = retry_counts::Entity::find().all(connection).await.unwrap();
    let expected = retry_counts::Model {
        instance: crawl.me.instance.clone(),
        cause: "soft_404".into(),
        retries: 1,
    };
    assert_eq!(retries, [expected]);

    let summary = json!({ "pages": [1, 2.5, null, "three"] });
    crawl
        .store
        .set_run_state(crawl.run, RunState::Reconciled, Some(&summary))
        .await
        .unwrap();
    let run = runs::Entity::find().one(connection).await.unwrap().unwrap();
    let expected = runs::Model {
        id: crawl.run,
        state: "reconciled".into(),
        started_at: now(run.started_at),
        finished_at: run.finished_at,
        config: json!({ "delay": 1.0 }),
        summary: Some(summary),
        closing_by: None,
        closing_until: None,
        reading_order: "deepest".into(),
    };
    assert_eq!(run, expected);
    now(run.finished_at.unwrap());

    crawl
        .store
        .set_grade_scale(&[("9".into(), Some(9.0), "MINT".into())])
        .await
        .unwrap();
    let scale = grade_scale::Entity::find().all(connection).await.unwrap();
    let expected = grade_scale::Model {
        code: "9".into(),
        position: 0,
        grade: Some(9.0),
        label: "MINT".into(),
    };
    assert_eq!(scale, [expected]);

    let identity = OrchestratorIdentity {
        instance: "uuid".into(),
        host: "here".into(),
        pid: 43,
        process_mark: "boot/2".into(),
    };
    let entered = crawl
        .store
        .register_orchestrator(crawl.run, &identity, 5, None)
        .await
        .unwrap();
    assert!(entered);
    let orchestrator = orchestrators::Entity::find()
        .one(connection)
        .await
        .unwrap()
        .unwrap();
    let expected = orchestrators::Model {
        run_id: crawl.run,
        instance: "uuid".into(),
        host: "here".into(),
        pid: 43,
        process_mark: "boot/2".into(),
        state: "running".into(),
        runners_wanted: 5,
        started_at: now(orchestrator.started_at),
        heartbeat_at: orchestrator.started_at,
    };
    assert_eq!(orchestrator, expected);

    crawl.store.open_pace("site").await.unwrap();
    let request = SlotRequest {
        interval: TERM,
        delay: TERM,
        last_us: 0,
    };
    let slot = crawl.store.take_slot("site", request).await.unwrap();
    let stored = pace::Entity::find().one(connection).await.unwrap().unwrap();
    assert_eq!((stored.site.as_str(), stored.last_slot_us), ("site", slot.at_us));
    assert!(stored.next_slot_us >= slot.at_us + 60_000_000 && stored.next_slot_us < slot.at_us + 60_100_000);
    let rest = (
        stored.blocked_until_us,
        stored.extra_us,
        stored.refusals_in_row,
        stored.reason,
        stored.closures,
    );
    assert_eq!(rest, (0, 0, 0, String::new(), 0));
    now(Time::from_unix_timestamp_nanos(i128::from(slot.at_us) * 1000).unwrap());
}
