//! Claiming, renewing, giving back, and who may still finish what.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tagpipe_core::lifecycle::PageState;
use tagpipe_core::model::PageKind;
use tagpipe_core::outcome::Cause;
use tagpipe_core::policy::PageHistory;
use tagpipe_store::contract::{Admission, Ending, Fate};
use tokio::sync::Barrier;

use crate::harness::*;

on_both_engines! {
    deeper_pages_come_first_then_the_order_found,
    a_page_is_added_once_however_it_is_spelled,
    concurrent_claimers_share_without_overlap,
    what_another_run_found_is_not_claimed,
    a_late_finish_is_fenced_and_writes_nothing,
    a_finish_after_expiry_but_before_rescue_counts,
    a_heartbeat_extends_the_leases_of_its_owner_alone,
    leases_of_a_dead_runner_are_taken_back,
    a_released_page_counts_an_attempt_only_if_a_read_began,
    a_retry_waits_until_it_is_due,
    an_absurd_pause_is_bounded,
    attempts_and_history_travel_with_the_page,
    failed_pages_are_reopened_with_fresh_retries,
    skipped_pages_are_closed_with_their_reason,
    the_outlook_tells_what_there_is,
    one_process_finishes_while_it_beats,
}

async fn deeper_pages_come_first_then_the_order_found(crawl: Crawl) {
    for kind in [PageKind::Years, PageKind::GradeRows, PageKind::Cards] {
        crawl.add(&pages(kind, 3)).await;
    }
    let first = crawl.claim(4).await;
    let rest = crawl.claim(100).await;
    let kinds: Vec<_> = first.iter().chain(&rest).map(|lease| lease.kind).collect();
    assert_eq!(first.len(), 4);
    assert_eq!(
        kinds,
        [
            [PageKind::GradeRows; 3],
            [PageKind::Cards; 3],
            [PageKind::Years; 3]
        ]
        .concat()
    );
    for lease in first.iter().chain(&rest).collect::<Vec<_>>().chunks(3) {
        let names: Vec<_> = lease.iter().map(|lease| lease.identity.name.as_str()).collect();
        assert_eq!(names, ["n0", "n1", "n2"]);
    }
    assert!(crawl.claim(100).await.is_empty());
}

async fn a_page_is_added_once_however_it_is_spelled(crawl: Crawl) {
    let mut twice = pages(PageKind::Years, 2);
    twice[0].identity.category = "Pokémon".into();
    twice[1].identity.category = "POKEMON".into();
    assert_eq!(crawl.add(&twice).await, [0, 1, 0, 0, 0]);
    assert_eq!(crawl.add(&twice).await, [0; 5]);
    assert_eq!(crawl.add(&[]).await, [0; 5]);
    let lease = crawl.claim_one().await;
    assert_eq!(lease.identity.category, "Pokémon");
    assert_eq!(lease.key.as_str(), "years/pokemon");
}

async fn concurrent_claimers_share_without_overlap(crawl: Crawl) {
    crawl.add(&pages(PageKind::GradeRows, 300)).await;
    let mut claimers = Vec::new();
    let all_have_some = Arc::new(Barrier::new(8));
    for number in 0..8 {
        let all_have_some = Arc::clone(&all_have_some);
        // As many stores as processes would have.
        let store = crawl.database.open().await;
        let run = crawl.run;
        claimers.push(tokio::spawn(async move {
            let owner = format!("claimer {number}");
            let mut mine = Vec::new();
            loop {
                let leases = store.claim(run, &owner, 7, TERM).await.unwrap();
                assert!(leases.len() <= 7, "the limit holds");
                if leases.is_empty() {
                    return mine;
                }
                if mine.is_empty() {
                    all_have_some.wait().await;
                }
                mine.extend(leases.into_iter().map(|lease| lease.page_id));
            }
        }));
    }
    let mut claimed = Vec::new();
    for claimer in claimers {
        claimed.extend(claimer.await.unwrap());
    }
    assert_eq!(claimed.len(), 300);
    assert_eq!(claimed.iter().collect::<HashSet<_>>().len(), 300);
    let counts = crawl.store.frontier_counts(crawl.run).await.unwrap();
    assert_eq!(counts.get(PageKind::GradeRows, PageState::Leased), 300);
    assert_eq!(crawl.store.lease_owners(crawl.run).await.unwrap().len(), 8);
}

async fn what_another_run_found_is_not_claimed(mut crawl: Crawl) {
    crawl.add(&pages(PageKind::Years, 1)).await;
    crawl.next_run().await;
    assert!(crawl.claim(10).await.is_empty());
    assert_eq!(crawl.store.outlook(crawl.run).await.unwrap(), Default::default());
}

async fn a_late_finish_is_fenced_and_writes_nothing(crawl: Crawl) {
    crawl.read_down_to(cards(2)).await;
    let late = crawl
        .store
        .claim(crawl.run, &crawl.me.instance, 1, NO_TERM)
        .await
        .unwrap()
        .remove(0);
    assert_eq!(crawl.store.rescue_expired(crawl.run).await.unwrap(), 1);
    let before = crawl.everything().await;
    for ending in [
        with_unreadable(complete(&late, grade_rows(&["A1"])), "row 1"),
        retry(&late, TERM),
        fail(&late),
        skip(&late),
        release(&late, false),
    ] {
        assert_eq!(crawl.finish(&[ending]).await.fates, [Fate::Fenced]);
        assert_eq!(crawl.everything().await, before);
    }
    // The same while somebody else holds it, and after they have finished it.
    let other = crawl.claim_one().await;
    assert_eq!((other.page_id, other.attempt), (late.page_id, 2));
    assert_eq!(
        crawl.finish(&[complete(&late, grade_rows(&["A1"]))]).await.fates,
        [Fate::Fenced]
    );
    crawl.accept(&[complete(&other, grade_rows(&["A2"]))]).await;
    let before = crawl.everything().await;
    let committed = crawl.finish(&[complete(&late, grade_rows(&["A1"]))]).await;
    assert_eq!(
        (committed.fates, committed.rows, committed.found),
        (vec![Fate::Fenced], Default::default(), [0; 5])
    );
    assert_eq!(crawl.everything().await, before);
}

async fn a_finish_after_expiry_but_before_rescue_counts(crawl: Crawl) {
    crawl.read_down_to(cards(1)).await;
    let lease = crawl
        .store
        .claim(crawl.run, &crawl.me.instance, 1, NO_TERM)
        .await
        .unwrap()
        .remove(0);
    // Nobody else has it: the work is good.
    crawl.accept(&[complete(&lease, grade_rows(&["A1"]))]).await;
    assert_eq!(crawl.store.rescue_expired(crawl.run).await.unwrap(), 0);
}

async fn a_heartbeat_extends_the_leases_of_its_owner_alone(crawl: Crawl) {
    crawl.add(&pages(PageKind::Years, 3)).await;
    let claim = |owner: &'static str, limit| crawl.store.claim(crawl.run, owner, limit, NO_TERM);
    assert_eq!(claim("mine", 2).await.unwrap().len(), 2);
    assert_eq!(claim("other", 1).await.unwrap().len(), 1);
    assert_eq!(crawl.store.heartbeat("mine", TERM).await.unwrap(), 2);
    assert_eq!(crawl.store.heartbeat("nobody", TERM).await.unwrap(), 0);
    assert_eq!(crawl.store.rescue_expired(crawl.run).await.unwrap(), 1);
    assert_eq!(crawl.store.lease_owners(crawl.run).await.unwrap(), ["mine"]);

    let beat = "SELECT count(*) FROM runners WHERE heartbeat_at > started_at";
    assert_eq!(crawl.number(beat).await, 0);
    crawl
        .sql("UPDATE runners SET started_at = '2020-01-01T00:00:00.000Z'")
        .await;
    crawl.store.heartbeat(&crawl.me.instance, TERM).await.unwrap();
    assert_eq!(crawl.number(beat).await, 1);
}

async fn leases_of_a_dead_runner_are_taken_back(crawl: Crawl) {
    crawl.add(&pages(PageKind::Years, 4)).await;
    crawl.store.claim(crawl.run, "dead", 3, TERM).await.unwrap();
    crawl.store.claim(crawl.run, "alive", 1, TERM).await.unwrap();
    assert_eq!(crawl.store.take_back(crawl.run, "dead").await.unwrap(), 3);
    assert_eq!(crawl.store.take_back(crawl.run, "dead").await.unwrap(), 0);
    let counts = crawl.store.frontier_counts(crawl.run).await.unwrap();
    assert_eq!(
        (
            counts.in_state(PageState::Available),
            counts.in_state(PageState::Leased)
        ),
        (3, 1)
    );
    assert_eq!(
        (counts.open(), counts.all(), counts.of_kind(PageKind::Years)),
        (4, 4, 4)
    );
}

async fn a_released_page_counts_an_attempt_only_if_a_read_began(crawl: Crawl) {
    crawl.add(&pages(PageKind::Years, 1)).await;
    for (began, next_attempt) in [(false, 1), (true, 2), (false, 2)] {
        let lease = crawl.claim_one().await;
        crawl.accept(&[release(&lease, began)]).await;
        let again = crawl.claim_one().await;
        assert_eq!(again.attempt, next_attempt, "{began}");
        assert_ne!(again.token, lease.token);
        crawl.accept(&[release(&again, false)]).await;
    }
}

async fn a_retry_waits_until_it_is_due(crawl: Crawl) {
    crawl.add(&pages(PageKind::Years, 2)).await;
    let leases = crawl.claim(2).await;
    crawl
        .accept(&[
            retry(&leases[0], Duration::from_secs(3600)),
            retry(&leases[1], Duration::from_millis(30)),
        ])
        .await;
    let due = crawl
        .store
        .outlook(crawl.run)
        .await
        .unwrap()
        .next_due
        .expect("two pages wait");
    assert!(due <= Duration::from_millis(31), "{due:?}");
    // Until then nobody gets it; by the database's clock, then, the one and not the other.
    loop {
        let due = crawl
            .store
            .outlook(crawl.run)
            .await
            .unwrap()
            .next_due
            .expect("two pages wait");
        if due.is_zero() {
            break;
        }
        tokio::time::sleep(due).await;
    }
    let again = crawl.claim(2).await;
    assert_eq!(
        again.iter().map(|lease| lease.page_id).collect::<Vec<_>>(),
        [leases[1].page_id]
    );
    assert_eq!((again[0].attempt, again[0].history.failures), (2, 1));
    let due = crawl
        .store
        .outlook(crawl.run)
        .await
        .unwrap()
        .next_due
        .expect("one page waits");
    assert!(
        due > Duration::from_secs(3500) && due <= Duration::from_secs(3600),
        "{due:?}"
    );
}

async fn an_absurd_pause_is_bounded(crawl: Crawl) {
    crawl.add(&pages(PageKind::Years, 1)).await;
    let lease = crawl
        .store
        .claim(crawl.run, &crawl.me.instance, 1, Duration::MAX)
        .await
        .unwrap()
        .remove(0);
    assert_eq!(
        crawl
            .store
            .heartbeat(&crawl.me.instance, Duration::MAX)
            .await
            .unwrap(),
        1
    );
    crawl.accept(&[retry(&lease, Duration::MAX)]).await;
    let outlook = crawl.store.outlook(crawl.run).await.unwrap();
    assert!(
        outlook
            .next_due
            .is_some_and(|due| due > Duration::from_secs(90 * 365 * 24 * 3600))
    );
}

async fn attempts_and_history_travel_with_the_page(crawl: Crawl) {
    let mut page = pages(PageKind::Cards, 1).remove(0);
    page.expected = Some(u64::MAX);
    page.subject_id = Some(77);
    crawl.add(std::slice::from_ref(&page)).await;
    let lease = crawl.claim_one().await;
    assert_eq!(
        (lease.subject_id, lease.expected),
        (Some(77), Some(i64::MAX as u64)),
        "counts end at a bigint"
    );
    assert_eq!(
        (lease.url.as_str(), &lease.identity, lease.verifications),
        (page.url.as_str(), &page.identity, 0)
    );
    assert_eq!((lease.attempt, lease.history), (1, PageHistory::default()));
    let history = PageHistory {
        failures: 3,
        refusals: 2,
        calm_not_founds: 1,
        last_rows_hash: Some(u64::MAX - 5),
    };
    crawl
        .store
        .take_back(crawl.run, &crawl.me.instance)
        .await
        .unwrap();
    let lease = crawl.claim_one().await;
    let ending = Ending::Retry {
        after: Duration::ZERO,
        cause: Cause::Incomplete,
        reason: "one \0 of two".into(),
        history: history.clone(),
    };
    crawl.accept(&[finish(&lease, ending)]).await;
    let again = crawl.claim_one().await;
    assert_eq!((again.attempt, &again.history), (3, &history));
    let error: String = crawl.rows("SELECT last_error FROM frontier").await[0]
        .try_get("", "last_error")
        .unwrap();
    assert_eq!(error, "one \u{fffd} of two");
    // What it came to is not forgotten when the next lease is merely given back.
    crawl.accept(&[release(&again, true)]).await;
    assert_eq!(
        crawl
            .count("frontier WHERE last_outcome = 'incomplete' AND last_error LIKE 'one%'")
            .await,
        1
    );
    assert_eq!(crawl.claim_one().await.history, history);
}

async fn failed_pages_are_reopened_with_fresh_retries(crawl: Crawl) {
    crawl.add(&pages(PageKind::Years, 2)).await;
    let leases = crawl.claim(2).await;
    crawl.accept(&[fail(&leases[0]), skip(&leases[1])]).await;
    assert_eq!(
        crawl
            .count("frontier WHERE state = 'failed' AND finished_at IS NOT NULL")
            .await,
        1
    );
    assert_eq!(crawl.store.reopen_failed(crawl.run).await.unwrap(), 1);
    assert_eq!(crawl.store.reopen_failed(crawl.run).await.unwrap(), 0);
    let again = crawl.claim(2).await;
    assert_eq!(again.len(), 1, "skipped pages stay skipped");
    assert_eq!(
        (again[0].page_id, again[0].history.failures, again[0].attempt),
        (leases[0].page_id, 0, 2)
    );
    assert_eq!(
        crawl
            .count("frontier WHERE state = 'leased' AND finished_at IS NULL")
            .await,
        1
    );
    // The lease under which it failed is no longer in force.
    assert_eq!(crawl.finish(&[fail(&leases[0])]).await.fates, [Fate::Fenced]);
}

async fn skipped_pages_are_closed_with_their_reason(crawl: Crawl) {
    let mut two = pages(PageKind::Years, 2);
    two[0].admission = Admission::Skipped("not among --categories".into());
    assert_eq!(crawl.add(&two).await, [0, 2, 0, 0, 0]);
    let leases = crawl.claim(5).await;
    assert_eq!(leases.len(), 1);
    crawl.accept(&[skip(&leases[0])]).await;
    let counts = crawl.store.frontier_counts(crawl.run).await.unwrap();
    assert_eq!(
        (counts.get(PageKind::Years, PageState::Skipped), counts.open()),
        (2, 0)
    );
    let closed = "frontier WHERE finished_at IS NOT NULL AND last_error";
    assert_eq!(
        crawl
            .count(&format!(
                "{closed} = 'not among --categories' AND last_outcome = 'filter'"
            ))
            .await,
        1
    );
    assert_eq!(
        crawl
            .count(&format!("{closed} = 'robots' AND last_outcome = 'robots'"))
            .await,
        1
    );
}

async fn the_outlook_tells_what_there_is(crawl: Crawl) {
    let outlook = async || {
        let outlook = crawl.store.outlook(crawl.run).await.unwrap();
        (outlook.available, outlook.leased, outlook.next_due.is_some())
    };
    assert_eq!(outlook().await, (false, false, false));
    crawl.add(&pages(PageKind::Years, 1)).await;
    assert_eq!(outlook().await, (true, false, false));
    let lease = crawl.claim_one().await;
    assert_eq!(outlook().await, (false, true, false));
    crawl.accept(&[retry(&lease, TERM)]).await;
    assert_eq!(outlook().await, (false, false, true));
}

async fn one_process_finishes_while_it_beats(crawl: Crawl) {
    crawl.add(&pages(PageKind::Years, 400)).await;
    let (store, me) = (crawl.store.clone(), crawl.me.instance.clone());
    let (done, mut is_done) = tokio::sync::oneshot::channel::<()>();
    let beating = tokio::spawn(async move {
        while is_done.try_recv().is_err() {
            store.heartbeat(&me, TERM).await.unwrap();
        }
    });
    loop {
        let leases = crawl.claim(40).await;
        if leases.is_empty() {
            break;
        }
        // In the reverse of the order in which a heartbeat meets them.
        let batch: Vec<_> = leases.iter().rev().map(complete_empty).collect();
        crawl.accept(&batch).await;
    }
    done.send(()).unwrap();
    beating.await.unwrap();
    assert_eq!(
        crawl
            .store
            .frontier_counts(crawl.run)
            .await
            .unwrap()
            .in_state(PageState::Completed),
        400
    );
}
