//! The sums: each check sees what it is for and nothing else, and what disagrees is read once more.

use sea_orm::ConnectionTrait;
use tagpipe_core::model::{CardRow, CategoryRow, PageKind, PageRows, SetRow, YearRow};
use tagpipe_store::contract::{ChildFate, Ending, Lease};
use tagpipe_store::{Discrepancy, Verdict};

use crate::harness::*;

on_both_engines! {
    each_check_sees_what_was_planted,
    pages_that_were_not_read_are_not_judged,
    rows_of_earlier_runs_are_not_counted,
    vanished_certificates_are_not_counted,
    no_more_than_the_limit_is_listed,
    pages_in_doubt_are_verified_once,
    what_remains_is_recorded_and_later_resolved,
    a_resumed_run_may_verify_what_is_disputed_once_more,
    what_moved_is_told_apart_from_what_is_missing,
    no_more_is_verified_than_allowed,
    a_certificate_of_two_cards_is_in_doubt_until_one_lists_it_no_more,
    only_a_reading_that_agrees_resolves,
    pages_left_out_below_a_year_that_does_not_add_up_are_read,
    a_page_that_agrees_since_is_resolved_by_a_run_that_leaves_it_out,
}

/// Two cards with three certificates, all sums in agreement, all pages completed.
async fn read_all(crawl: &Crawl) {
    crawl
        .read_down_to(vec![card("1", &[("9", 2)]), card("2", &[("9", 1)])])
        .await;
    crawl.read(grade_rows(&["A1", "A2"])).await;
    crawl.read(grade_rows(&["B1"])).await;
}

/// Subject, what, promised and found.
async fn disagreements(crawl: &Crawl) -> Vec<[String; 4]> {
    let found = crawl.store.disagreements(crawl.run, 100).await.unwrap();
    found
        .into_iter()
        .map(|one| [one.subject, one.what, one.expected, one.found])
        .collect()
}

async fn each_check_sees_what_was_planted(crawl: Crawl) {
    read_all(&crawl).await;
    assert!(disagreements(&crawl).await.is_empty());
    let counts_9 = |count| format!("'{{\"9\": {count}}}'");
    for (planted, undone, expected) in [
        (
            "UPDATE years SET sets_count = 2",
            "UPDATE years SET sets_count = 1",
            vec![["year", "sets", "2", "1"]],
        ),
        (
            "UPDATE years SET graded_count = 4",
            "UPDATE years SET graded_count = 3",
            vec![["year", "graded copies", "4", "3"]],
        ),
        (
            "UPDATE years SET items_count = 5",
            "UPDATE years SET items_count = 2",
            vec![["year", "cards", "5", "2"]],
        ),
        (
            "UPDATE sets SET total = 7",
            "UPDATE sets SET total = 3",
            vec![["year", "graded copies", "3", "7"], ["set", "copies", "7", "3"]],
        ),
        (
            &format!("UPDATE sets SET counts = {}", counts_9(8)),
            &format!("UPDATE sets SET counts = {}", counts_9(3)),
            vec![["set", "copies at grade 9", "8", "3"]],
        ),
        (
            "UPDATE cards SET total = 5 WHERE number = '2'",
            "UPDATE cards SET total = 1 WHERE number = '2'",
            vec![["set", "copies", "3", "7"], ["card", "certificates", "5", "1"]],
        ),
        (
            &format!("UPDATE cards SET counts = {} WHERE number = '1'", counts_9(4)),
            &format!("UPDATE cards SET counts = {} WHERE number = '1'", counts_9(2)),
            vec![
                ["set", "copies at grade 9", "3", "5"],
                ["card", "certificates at grade 9", "4", "2"],
            ],
        ),
        (
            "UPDATE grade_rows SET grade_code = '8' WHERE cert_number = 'A1'",
            "UPDATE grade_rows SET grade_code = '9'",
            vec![["card", "certificates at grade 9", "2", "1"]],
        ),
    ] {
        crawl.sql(planted).await;
        assert_eq!(disagreements(&crawl).await, expected, "{planted}");
        crawl.sql(undone).await;
        assert!(disagreements(&crawl).await.is_empty(), "{undone}");
    }
}

async fn pages_that_were_not_read_are_not_judged(crawl: Crawl) {
    crawl.add(&[categories_page()]).await;
    crawl
        .read(PageRows::Categories(vec![CategoryRow { name: "Golf".into() }]))
        .await;
    // A year that promises much, of whose two sets one is left out.
    crawl
        .read(PageRows::Years(vec![YearRow {
            year: "2000".into(),
            sets: 2,
            items: 99,
            graded: 6,
        }]))
        .await;
    let set = |brand: &str| SetRow {
        brand: brand.into(),
        name: String::new(),
        counts: counts(&[("9", 3)]),
        total: 3,
    };
    let lease = crawl.claim_one().await;
    let mut finish = complete(&lease, PageRows::Sets(vec![set("Topps"), set("Score")]));
    if let Ending::Completed { children, .. } = &mut finish.ending {
        children[1].fate = ChildFate::Skip("not among --set-filter".into());
    }
    crawl.accept(&[finish]).await;
    assert!(disagreements(&crawl).await.is_empty());
    crawl.read(PageRows::Cards(vec![card("1", &[("9", 3)])])).await;
    assert!(disagreements(&crawl).await.is_empty());
    // Its certificates are promised, but their page has failed.
    let lease = crawl.claim_one().await;
    crawl.accept(&[fail(&lease)]).await;
    assert!(disagreements(&crawl).await.is_empty());
}

async fn rows_of_earlier_runs_are_not_counted(mut crawl: Crawl) {
    read_all(&crawl).await;
    crawl.next_run().await;
    crawl.read_down_to(vec![card("1", &[("9", 2)])]).await;
    crawl.read(grade_rows(&["A1", "A2"])).await;
    assert_eq!(crawl.count("cards").await, 2);
    assert!(
        disagreements(&crawl).await.is_empty(),
        "the card that is gone is in no sum of this run"
    );
}

async fn vanished_certificates_are_not_counted(mut crawl: Crawl) {
    read_all(&crawl).await;
    crawl.next_run().await;
    crawl
        .read_down_to(vec![card("1", &[("9", 1)]), card("2", &[("9", 1)])])
        .await;
    crawl.read(grade_rows(&["A1"])).await;
    crawl.read(grade_rows(&["B1"])).await;
    assert_eq!(crawl.count("grade_rows").await, 3);
    assert!(disagreements(&crawl).await.is_empty());
}

async fn no_more_than_the_limit_is_listed(crawl: Crawl) {
    crawl.read_down_to(cards(5)).await;
    for lease in crawl.claim(5).await {
        crawl.accept(&[complete(&lease, grade_rows(&[]))]).await;
    }
    let listed = crawl.store.disagreements(crawl.run, 2).await.unwrap();
    assert_eq!(listed.len(), 4, "two of either kind: {listed:?}");
    assert_eq!(crawl.store.disagreements(crawl.run, 100).await.unwrap().len(), 10);
}

async fn pages_in_doubt_are_verified_once(crawl: Crawl) {
    read_all(&crawl).await;
    assert_eq!(crawl.store.verify_again(crawl.run, &[], 100).await.unwrap(), 0);
    crawl.sql("DELETE FROM grade_rows WHERE cert_number = 'B1'").await;
    let doubt = crawl.store.disagreements(crawl.run, 100).await.unwrap();
    assert_eq!(doubt.len(), 2);
    // The set's page with the card's row, and directly after it the card's page.
    assert_eq!(crawl.store.verify_again(crawl.run, &doubt, 100).await.unwrap(), 1);
    let lease = only_one(crawl.claim(10).await);
    assert_eq!(
        (lease.key.as_str(), lease.verifications, lease.attempt),
        ("cards/baseball/1989/Donruss/", 1, 2)
    );
    let again = PageRows::Cards(vec![card("1", &[("9", 2)]), card("2", &[("9", 3)])]);
    let committed = crawl.accept(&[complete(&lease, again)]).await;
    assert_eq!(
        committed.found,
        [0, 0, 0, 0, 1],
        "no page is new, one waited for this one"
    );
    let lease = only_one(crawl.claim(10).await);
    assert_eq!(
        (
            lease.key.as_str(),
            lease.verifications,
            lease.attempt,
            lease.expected
        ),
        ("grade_rows/baseball/1989/Donruss//Player 2/2/", 1, 2, Some(3)),
        "what is expected is what the row says now"
    );
    crawl.accept(&[complete(&lease, grade_rows(&[]))]).await;
    crawl
        .sql("UPDATE cards SET total = 1, counts = '{\"9\": 1}' WHERE number = '2'")
        .await;
    crawl.sql("UPDATE cards SET changed_at = first_seen_at").await;
    // Read twice, they say the same: no third time.
    let doubt = crawl.store.disagreements(crawl.run, 100).await.unwrap();
    assert_eq!(doubt.len(), 2);
    assert_eq!(crawl.store.verify_again(crawl.run, &doubt, 100).await.unwrap(), 0);
    assert!(crawl.claim(10).await.is_empty());
    let counts = crawl.store.frontier_counts(crawl.run).await.unwrap();
    assert_eq!((counts.open(), counts.all()), (0, 6));

    // For a set in doubt it is the set's page and the year's, for a year the year's and the category's.
    for (planted, kinds) in [
        ("UPDATE sets SET total = 9", [PageKind::Sets, PageKind::Cards]),
        (
            "UPDATE years SET sets_count = 9",
            [PageKind::Years, PageKind::Sets],
        ),
    ] {
        crawl
            .sql("UPDATE frontier SET verifications = 0, doubt = NULL; UPDATE grade_rows SET vanished_at = NULL")
            .await;
        crawl
            .sql("UPDATE sets SET total = 3; UPDATE cards SET total = 2, counts = '{}' WHERE number = '1'")
            .await;
        crawl
            .sql(
                "UPDATE cards SET total = 1, counts = '{}' WHERE number = '2'; UPDATE sets SET counts = '{}'",
            )
            .await;
        crawl.sql(planted).await;
        let doubt = crawl.store.disagreements(crawl.run, 100).await.unwrap();
        let doubt: Vec<_> = doubt.into_iter().filter(|one| one.expected == "9").collect();
        assert_eq!(doubt.len(), 1, "{planted}");
        assert_eq!(
            crawl.store.verify_again(crawl.run, &doubt, 100).await.unwrap(),
            1,
            "{planted}"
        );
        for kind in kinds {
            let lease = only_one(crawl.claim(10).await);
            assert_eq!(lease.kind, kind, "{planted}");
            crawl.accept(&[skip(&lease)]).await;
        }
        crawl
            .sql(
                "UPDATE frontier SET state = 'completed', finished_at = (SELECT min(last_seen_at) FROM sets)",
            )
            .await;
        crawl.sql("UPDATE years SET sets_count = 1").await;
    }
}

async fn what_remains_is_recorded_and_later_resolved(mut crawl: Crawl) {
    crawl
        .read_down_to(vec![card("1", &[("9", 2)]), card("2", &[("9", 1)])])
        .await;
    let leases = crawl.claim(2).await;
    let first = with_unreadable(complete(&leases[0], grade_rows(&["A1"])), "row 1");
    crawl
        .accept(&[first, complete(&leases[1], grade_rows(&["B1"]))])
        .await;
    let remain = crawl.store.disagreements(crawl.run, 100).await.unwrap();
    assert_eq!(remain.len(), 2);
    for _ in 0..2 {
        let open = crawl.settle(&remain).await;
        assert_eq!(open, 3, "settling again doubles nothing");
    }
    let subject = crawl.number("SELECT id FROM cards WHERE number = '1'").await;
    let recorded = format!(
        "discrepancies WHERE subject = 'card' AND subject_id = {subject} AND what = 'certificates' \
         AND expected = '2' AND found = '1' AND expected_by = 'the set''s page' AND resolved_at IS NULL \
         AND page_key LIKE 'grade_rows/%' AND run_id = {}",
        crawl.run
    );
    assert_eq!(crawl.count(&recorded).await, 1);

    // A later run that reads another card resolves nothing of this one.
    let first_run = crawl.run;
    crawl.next_run().await;
    crawl
        .read_down_to(vec![card("1", &[("9", 2)]), card("2", &[("9", 1)])])
        .await;
    let leases = crawl.claim(2).await;
    crawl.accept(&[complete(&leases[1], grade_rows(&["B1"]))]).await;
    assert_eq!(crawl.settle(&[]).await, 0);
    assert_eq!(crawl.count("discrepancies WHERE resolved_at IS NULL").await, 3);
    // One that reads it whole does.
    crawl
        .accept(&[complete(&leases[0], grade_rows(&["A1", "A2"]))])
        .await;
    assert!(disagreements(&crawl).await.is_empty());
    assert_eq!(crawl.settle(&[]).await, 0);
    assert_eq!(crawl.count("discrepancies WHERE resolved_at IS NULL").await, 0);
    assert_eq!(
        crawl
            .count(&format!("discrepancies WHERE run_id = {first_run}"))
            .await,
        3
    );
}

async fn a_resumed_run_may_verify_what_is_disputed_once_more(crawl: Crawl) {
    read_all(&crawl).await;
    crawl.sql("DELETE FROM grade_rows WHERE cert_number = 'B1'").await;
    let doubt = crawl.store.disagreements(crawl.run, 100).await.unwrap();
    verify(&crawl, &doubt, &[("1", 2), ("2", 1)], &[]).await;
    let doubt = crawl.store.disagreements(crawl.run, 100).await.unwrap();
    assert_eq!(
        crawl.store.allow_verification(crawl.run).await.unwrap(),
        0,
        "nothing is recorded yet"
    );
    crawl.settle(&doubt).await;
    assert_eq!(crawl.store.verify_again(crawl.run, &doubt, 100).await.unwrap(), 0);
    assert_eq!(
        crawl.store.allow_verification(crawl.run).await.unwrap(),
        1,
        "the page in dispute"
    );
    verify(&crawl, &doubt, &[("1", 2), ("2", 1)], &["B1"]).await;
    assert!(disagreements(&crawl).await.is_empty());
    assert_eq!(crawl.settle(&[]).await, 0);
}

#[track_caller]
fn only_one(mut leases: Vec<Lease>) -> Lease {
    assert_eq!(leases.len(), 1, "{leases:?}");
    leases.pop().unwrap()
}

/// Verifies `doubt` of one card: its set's page shows these cards with so many copies at grade 9, its own page then
/// these certificates.
async fn verify(crawl: &Crawl, doubt: &[Discrepancy], cards: &[(&str, u64)], certificates: &[&str]) {
    assert_eq!(crawl.store.verify_again(crawl.run, doubt, 100).await.unwrap(), 1);
    let lease = only_one(crawl.claim(10).await);
    let cards = cards
        .iter()
        .map(|(number, copies)| card(number, &[("9", *copies)]));
    crawl
        .accept(&[complete(&lease, PageRows::Cards(cards.collect()))])
        .await;
    let lease = only_one(crawl.claim(10).await);
    crawl.accept(&[complete(&lease, grade_rows(certificates))]).await;
}

async fn of_card_2(crawl: &Crawl) -> Vec<Discrepancy> {
    let mut all = crawl.store.disagreements(crawl.run, 100).await.unwrap();
    all.retain(|one| one.what == "certificates");
    crawl.store.judged(crawl.run, all).await.unwrap()
}

async fn what_moved_is_told_apart_from_what_is_missing(crawl: Crawl) {
    crawl
        .read_down_to(vec![card("1", &[("9", 2)]), card("2", &[("9", 1)])])
        .await;
    crawl.read(grade_rows(&["A1", "A2"])).await;
    // It has grown since its set was read.
    crawl.read(grade_rows(&["B1", "B2"])).await;
    let doubt = of_card_2(&crawl).await;
    assert_eq!(doubt[0].verdict, Verdict::Unverified);
    // Again between the two readings: a surplus beside other numbers is movement.
    verify(&crawl, &doubt, &[("1", 2), ("2", 2)], &["B1", "B2", "B3"]).await;
    let doubt = of_card_2(&crawl).await;
    assert_eq!(doubt[0].verdict, Verdict::Moved);
    // A lack that was not there before is looked at once more; one that stays beside other numbers is a lack.
    verify(&crawl, &doubt, &[("1", 2), ("2", 4)], &["B1", "B2", "B3"]).await;
    let doubt = of_card_2(&crawl).await;
    assert_eq!(doubt[0].verdict, Verdict::Moved);
    verify(&crawl, &doubt, &[("1", 2), ("2", 5)], &["B1", "B2", "B3", "B4"]).await;
    let doubt = of_card_2(&crawl).await;
    assert_eq!(doubt[0].verdict, Verdict::Disagrees, "{doubt:?}");
    assert_eq!(crawl.store.verify_again(crawl.run, &doubt, 100).await.unwrap(), 0);
    assert_eq!(crawl.settle(&doubt).await, 1);

    // What moved is recorded, is no discrepancy, and is not verified.
    let moved: Vec<_> = doubt
        .into_iter()
        .map(|one| Discrepancy {
            verdict: Verdict::Moved,
            ..one
        })
        .collect();
    assert_eq!(crawl.settle(&moved).await, 0);
    assert_eq!(crawl.store.open_by_verdict(crawl.run).await.unwrap().moved, 1);
    let verified = crawl.store.verified().await.unwrap();
    assert_eq!((verified.cards.of, verified.sets.of), (2, 1));
    assert_eq!(
        crawl
            .count("cards WHERE number = '2' AND verified_at IS NOT NULL")
            .await,
        0
    );
    // What has left the site is neither verified nor missing.
    let leave = "UPDATE cards SET vanished_at = last_seen_at WHERE number = '2'";
    let connection = crawl.store.connection();
    connection.execute_unprepared(leave).await.unwrap();
    assert_eq!(crawl.store.verified().await.unwrap().cards.of, 1);
}

async fn no_more_is_verified_than_allowed(crawl: Crawl) {
    crawl.read_down_to(cards(3)).await;
    for lease in crawl.claim(3).await {
        crawl.accept(&[complete(&lease, grade_rows(&[]))]).await;
    }
    let doubt = crawl.store.disagreements(crawl.run, 100).await.unwrap();
    for (allowed, read) in [(0, 0), (1, 0), (3, 3)] {
        let first = crawl
            .store
            .verify_again(crawl.run, &doubt, allowed)
            .await
            .unwrap();
        assert_eq!(first, u64::from(read > 0), "the set's page first");
    }
    let lease = only_one(crawl.claim(10).await);
    crawl.accept(&[complete(&lease, PageRows::Cards(cards(3)))]).await;
    let leases = crawl.claim(10).await;
    assert_eq!(leases.len(), 2, "one of three is left over");
    for lease in &leases {
        crawl.accept(&[complete(lease, grade_rows(&[]))]).await;
    }
    let doubt = crawl.store.disagreements(crawl.run, 100).await.unwrap();
    assert_eq!(crawl.store.verify_again(crawl.run, &doubt, 3).await.unwrap(), 0);
    let judged = crawl.store.judged(crawl.run, doubt).await.unwrap();
    let of = |verdict| {
        judged
            .iter()
            .filter(|one| one.what == "certificates" && one.verdict == verdict)
            .count()
    };
    assert_eq!(
        (of(Verdict::Disagrees), of(Verdict::Unverified)),
        (2, 1),
        "{judged:#?}"
    );
    crawl.settle(&judged).await;
    assert_eq!(
        crawl.store.open_by_verdict(crawl.run).await.unwrap().unverified,
        2
    );
}

async fn a_certificate_of_two_cards_is_in_doubt_until_one_lists_it_no_more(crawl: Crawl) {
    crawl
        .read_down_to(vec![card("1", &[("9", 2)]), card("2", &[("9", 2)])])
        .await;
    let leases = crawl.claim(2).await;
    // In one commit and in two.
    crawl
        .accept(&[
            complete(&leases[0], grade_rows(&["A1", "X1"])),
            complete(&leases[1], grade_rows(&["B1", "X1"])),
        ])
        .await;
    let mut doubt = crawl.store.disagreements(crawl.run, 100).await.unwrap();
    doubt.retain(|one| one.what == "certificate X1");
    assert_eq!(doubt.len(), 1);
    assert!(doubt[0].page_key.contains("Player 1"), "{doubt:?}");
    assert_eq!(doubt[0].found, "it on Donruss #2 Player 2, too");
    verify(&crawl, &doubt, &[("1", 2), ("2", 2)], &["A1", "X1"]).await;
    let mut doubt = crawl.store.disagreements(crawl.run, 100).await.unwrap();
    doubt.retain(|one| one.what == "certificate X1");
    assert!(
        doubt[0].page_key.contains("Player 2"),
        "now it is the other one: {doubt:?}"
    );
    let found = crawl.store.check(10).await.unwrap();
    let shared = found
        .iter()
        .find(|one| one.check == "certificates_on_two_cards")
        .unwrap();
    assert_eq!(shared.found, 1);
    assert_eq!(shared.examples[0].what, "certificate X1 is on Player 2 #2, too");
    assert_eq!(shared.examples[0].place, "Baseball 1989 Donruss #1 Player 1");
    // It had moved: the other card lists it no more.
    verify(&crawl, &doubt, &[("1", 2), ("2", 1)], &["B1"]).await;
    assert!(disagreements(&crawl).await.iter().all(|one| one[0] != "card"));
    let found = crawl.store.check(10).await.unwrap();
    let shared = found
        .iter()
        .find(|one| one.check == "certificates_on_two_cards")
        .unwrap();
    assert_eq!(shared.found, 0);
}

async fn only_a_reading_that_agrees_resolves(mut crawl: Crawl) {
    for (certificates, open) in [(&["A1"][..], 2), (&["A1"], 2), (&["A1", "A2"], 0)] {
        crawl.read_down_to(vec![card("1", &[("9", 2)])]).await;
        crawl.read(grade_rows(certificates)).await;
        let doubt = crawl.store.disagreements(crawl.run, 100).await.unwrap();
        crawl.settle(&doubt).await;
        assert_eq!(crawl.store.open_discrepancies().await.unwrap(), open);
        crawl.next_run().await;
    }
    assert_eq!(crawl.count("discrepancies").await, 4);
    assert_eq!(crawl.count("discrepancies WHERE resolved_at IS NULL").await, 0);
}

/// Reads one category and one year of two sets down to their rows; `items` cards are promised. Gives the sets' page's lease
/// back as completed, with its cards' pages admitted by `fate`.
async fn read_down_to_two_sets(crawl: &Crawl, items: u64, fate: &ChildFate) {
    crawl.add(&[categories_page()]).await;
    crawl
        .read(PageRows::Categories(vec![CategoryRow {
            name: "Baseball".into(),
        }]))
        .await;
    crawl
        .read(PageRows::Years(vec![YearRow {
            year: "1989".into(),
            sets: 2,
            items,
            graded: 4,
        }]))
        .await;
    let set = |brand: &str| SetRow {
        brand: brand.into(),
        name: String::new(),
        counts: counts(&[("9", 2)]),
        total: 2,
    };
    let lease = crawl.claim_one().await;
    let mut finish = complete(&lease, PageRows::Sets(vec![set("Score"), set("Topps")]));
    if let Ending::Completed { children, .. } = &mut finish.ending {
        for child in children {
            child.fate = fate.clone();
        }
    }
    crawl.accept(&[finish]).await;
}

/// Completes the cards' page of `lease` without asking for the cards' own pages.
async fn read_cards_alone(crawl: &Crawl, lease: &Lease, rows: Vec<CardRow>) {
    let mut finish = complete(lease, PageRows::Cards(rows));
    if let Ending::Completed { children, .. } = &mut finish.ending {
        for child in children {
            child.fate = ChildFate::Skip("not asked for".into());
        }
    }
    crawl.accept(&[finish]).await;
}

/// A set loses a card, another of its cards gains the copies: its row is the same, its page is left out, and the year's
/// count of cards alone tells.
async fn pages_left_out_below_a_year_that_does_not_add_up_are_read(mut crawl: Crawl) {
    read_down_to_two_sets(&crawl, 4, &ChildFate::Read).await;
    for lease in crawl.claim(2).await {
        read_cards_alone(&crawl, &lease, cards(2)).await;
    }
    assert!(disagreements(&crawl).await.is_empty());
    assert_eq!(crawl.settle(&[]).await, 0);

    crawl.next_run().await;
    let if_due = ChildFate::ReadIfDue {
        max_age: None,
        audit: false,
    };
    read_down_to_two_sets(&crawl, 3, &if_due).await;
    assert!(crawl.claim(9).await.is_empty(), "both sets show what they showed");
    assert_eq!(disagreements(&crawl).await, [["year", "cards", "3", "4"]]);
    let doubt = crawl.store.disagreements(crawl.run, 100).await.unwrap();
    let left_out = |reads_max| crawl.store.read_left_out(crawl.run, &doubt, reads_max);
    assert_eq!(left_out(0).await.unwrap(), 0);
    assert_eq!(left_out(1).await.unwrap(), 1, "no more than allowed");
    assert_eq!(left_out(1).await.unwrap(), 0, "what was spent is spent");
    let lease = only_one(crawl.claim(9).await);
    assert_eq!(lease.identity.brand, "Score", "read longest ago");
    read_cards_alone(&crawl, &lease, cards(2)).await;
    assert_eq!(left_out(100).await.unwrap(), 1);
    let lease = only_one(crawl.claim(9).await);
    read_cards_alone(&crawl, &lease, vec![card("1", &[("9", 2)])]).await;
    assert!(disagreements(&crawl).await.is_empty());
    assert_eq!(left_out(100).await.unwrap(), 0, "nothing is left out any more");
}

async fn open_ones(crawl: &Crawl) -> i64 {
    crawl.count("discrepancies WHERE resolved_at IS NULL").await
}

/// The run that read the page again ended before it compared anything, and the next one has no reason to read it.
async fn a_page_that_agrees_since_is_resolved_by_a_run_that_leaves_it_out(mut crawl: Crawl) {
    let rows = || vec![card("1", &[("9", 2)])];
    crawl.read_down_to(rows()).await;
    let lease = crawl.claim_one().await;
    let unreadable = with_unreadable(complete(&lease, grade_rows(&["A1"])), "row 2, Score");
    crawl.accept(&[unreadable]).await;
    crawl
        .sql("UPDATE years SET items_count = 2, sets_count = 2, graded_count = 4")
        .await;
    crawl.sql("UPDATE sets SET total = 3").await;
    let doubt = crawl.store.disagreements(crawl.run, 100).await.unwrap();
    assert_eq!(doubt.len(), 6, "{doubt:#?}");
    crawl.settle(&doubt).await;
    assert_eq!(open_ones(&crawl).await, 7);

    // Whoever compares nothing resolves nothing, and neither does a run that comes before the page is read again.
    crawl.next_run().await;
    crawl.settle(&[]).await;
    assert_eq!(open_ones(&crawl).await, 7);
    crawl.next_run().await;
    crawl.read_down_to(rows()).await;
    crawl.next_run().await;
    crawl.settle(&[]).await;
    assert_eq!(open_ones(&crawl).await, 3, "the card's page was not read again");

    crawl.next_run().await;
    crawl.read_down_to(rows()).await;
    crawl.read(grade_rows(&["A1", "A2"])).await;
    // One that the next run finds to disagree all the same stays open.
    crawl.sql("UPDATE years SET items_count = 5").await;
    crawl
        .sql("UPDATE discrepancies SET resolved_at = NULL WHERE what = 'cards'")
        .await;
    crawl.next_run().await;
    crawl.settle(&[]).await;
    assert_eq!(open_ones(&crawl).await, 1);
    crawl.sql("UPDATE years SET items_count = 1").await;
    crawl.settle(&[]).await;
    assert_eq!(open_ones(&crawl).await, 0);
}
