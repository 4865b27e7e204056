//! What is read first, and what is noted of rows to know it.

use tagpipe_core::model::{CategoryRow, PageKind, PageRows, SetRow, YearRow};
use tagpipe_store::ReadingOrder;
use tagpipe_store::contract::NewPage;

use crate::harness::*;

on_both_engines! {
    what_is_out_of_date_longest_comes_first,
    without_a_budget_the_level_decides,
    a_run_taken_up_is_put_in_order_anew,
    what_is_due_is_known_at_the_start,
    a_change_is_noted_between_two_looks,
    a_page_that_waits_is_read_for_what_its_row_shows_now,
    pages_of_categories_have_a_history,
}

/// 1 February 2020, in microseconds since 1970, and a week later.
const FEBRUARY: i64 = 1_580_515_200_000_000;
const WEEK_LATER: i64 = 1_581_120_000_000_000;

fn stale(page: NewPage, stale_since_us: i64) -> NewPage {
    NewPage {
        stale_since_us,
        ..page
    }
}

async fn names(crawl: &Crawl) -> Vec<String> {
    let leases = crawl.claim(100).await;
    leases.into_iter().map(|lease| lease.identity.name).collect()
}

async fn add_some(crawl: &Crawl) {
    let since = [5, 0, 3, 0, 4, 3];
    let kinds = [
        PageKind::GradeRows,
        PageKind::Cards,
        PageKind::Cards,
        PageKind::GradeRows,
    ];
    let kinds = kinds.into_iter().chain([PageKind::Sets, PageKind::GradeRows]);
    for (n, (since, kind)) in since.into_iter().zip(kinds).enumerate() {
        let page = pages(kind, 6).swap_remove(n);
        crawl.add(&[stale(page, since)]).await;
    }
}

async fn what_is_out_of_date_longest_comes_first(crawl: Crawl) {
    crawl.store.order(crawl.run, ReadingOrder::Stalest).await.unwrap();
    add_some(&crawl).await;
    // Deeper levels first among those of one time.
    assert_eq!(names(&crawl).await, ["n3", "n1", "n5", "n2", "n4", "n0"]);
}

async fn without_a_budget_the_level_decides(crawl: Crawl) {
    add_some(&crawl).await;
    assert_eq!(names(&crawl).await, ["n0", "n3", "n5", "n1", "n2", "n4"]);
    assert_eq!(crawl.count("frontier WHERE stale_since_us <> 0").await, 0);
}

async fn a_run_taken_up_is_put_in_order_anew(crawl: Crawl) {
    crawl.store.order(crawl.run, ReadingOrder::Stalest).await.unwrap();
    add_some(&crawl).await;
    crawl.store.order(crawl.run, ReadingOrder::Deepest).await.unwrap();
    assert_eq!(names(&crawl).await, ["n0", "n3", "n5", "n1", "n2", "n4"]);
}

/// Four cards whose pages have been read.
async fn read_cards(crawl: &Crawl) {
    crawl.read_down_to(cards(4)).await;
    for lease in crawl.claim(10).await {
        let cert = format!("cert{}", lease.identity.number);
        crawl.accept(&[complete(&lease, grade_rows(&[&cert]))]).await;
    }
}

/// Card 1 was seen to change in the first week of February, card 2 was never read, card 3 has failed since, card 4 shows
/// what it showed: nobody has looked at it twice, so it is expected to change after thirty days, at the end of January.
async fn what_is_due_is_known_at_the_start(mut crawl: Crawl) {
    read_cards(&crawl).await;
    crawl
        .sql(
            "UPDATE cards SET tried_at = '2020-01-01T00:00:00.000Z', read_at = '2020-01-01T00:00:00.000Z'; \
             UPDATE cards SET changes = 2, same_until = '2020-02-01T00:00:00.000Z', \
                 differs_since = '2020-02-08T00:00:00.000Z' WHERE number = '1'; \
             UPDATE cards SET read_changes = -1, read_at = NULL, tried_at = NULL WHERE number = '2'; \
             UPDATE cards SET read_changes = -1, tried_at = '2020-01-15T00:00:00.000Z' WHERE number = '3';",
        )
        .await;
    crawl.next_run().await;
    for (all, expected) in [(false, vec!["2", "3", "1"]), (true, vec!["2", "3", "4", "1"])] {
        let mut seeding = crawl.store.begin_run(&serde_json::json!({})).await.unwrap();
        let due = seeding.due(PageKind::GradeRows, all, None, 0, 100).await.unwrap();
        let found: Vec<_> = due
            .into_iter()
            .map(|subject| NewPage {
                subject_id: Some(subject.id),
                ..page(PageKind::GradeRows, subject.identity)
            })
            .collect();
        seeding.add(&found).await.unwrap();
        seeding.order(ReadingOrder::Stalest).await.unwrap();
        crawl.run = seeding.commit().await.unwrap();
        let placed = format!(
            "frontier JOIN cards ON cards.id = subject_id WHERE run_id = {} AND number = '1' \
             AND stale_since_us BETWEEN {FEBRUARY} AND {WEEK_LATER}",
            crawl.run
        );
        assert_eq!(crawl.count(&placed).await, 1, "between the two looks");
        let leases = crawl.claim(100).await;
        let numbers: Vec<_> = leases
            .iter()
            .map(|lease| lease.identity.number.as_str())
            .collect();
        assert_eq!(numbers, expected);
    }
}

/// The cards' page read again, with this many copies of the first card. Returns what was found.
async fn read_set_again(crawl: &mut Crawl, copies: u64) -> [u64; 5] {
    crawl.next_run().await;
    let subject = crawl.number("SELECT id FROM sets").await;
    let identity = tagpipe_core::model::Identity {
        category: "Baseball".into(),
        year: "1989".into(),
        brand: "Donruss".into(),
        ..Default::default()
    };
    let set = NewPage {
        subject_id: Some(subject),
        subject_changes: Some(1),
        ..page(PageKind::Cards, identity)
    };
    crawl.add(&[set]).await;
    let lease = crawl.claim_one().await;
    let rows = PageRows::Cards(vec![card("1", &[("9", copies)])]);
    crawl.accept(&[complete(&lease, rows)]).await.found
}

async fn a_change_is_noted_between_two_looks(mut crawl: Crawl) {
    crawl.read_down_to(vec![card("1", &[("9", 1)])]).await;
    let lease = crawl.claim_one().await;
    crawl.accept(&[complete(&lease, grade_rows(&["c1"]))]).await;
    read_set_again(&mut crawl, 1).await;
    assert_eq!(
        crawl
            .count("cards WHERE seen_times = 2 AND changes = 1 AND same_until IS NULL")
            .await,
        1
    );
    read_set_again(&mut crawl, 2).await;
    let noted = "cards WHERE same_until > first_seen_at AND differs_since = last_seen_at";
    assert_eq!(crawl.count(noted).await, 1);
    // A further change while the page is due does not make it younger.
    read_set_again(&mut crawl, 3).await;
    let kept = "cards WHERE seen_times = 4 AND changes = 3 AND differs_since < last_seen_at";
    assert_eq!(crawl.count(kept).await, 1);
}

async fn a_page_that_waits_is_read_for_what_its_row_shows_now(crawl: Crawl) {
    crawl.read_down_to(vec![card("1", &[("9", 1)])]).await;
    // Its page waits from here on: it is the row's that shows more by then.
    let waiting = crawl.claim_one().await;
    crawl.accept(&[release(&waiting, false)]).await;
    let run = crawl.run;
    let year = crawl.number("SELECT id FROM years").await;
    let sets_page = NewPage {
        subject_id: Some(year),
        subject_changes: Some(1),
        ..page(PageKind::Sets, tagpipe_core::model::Identity::default())
    };
    crawl.add(&[sets_page]).await;
    crawl
        .sql(&format!(
            "UPDATE frontier SET stale_since_us = CASE level WHEN 2 THEN 0 ELSE 9 END WHERE run_id = {run}"
        ))
        .await;
    let lease = crawl.claim_one().await;
    assert_eq!(lease.kind, PageKind::Sets);
    let set = SetRow {
        brand: "Donruss".into(),
        name: String::new(),
        counts: counts(&[("9", 2)]),
        total: 2,
    };
    crawl
        .sql(
            "UPDATE frontier SET state = 'available', finished_at = NULL, lease_token = NULL WHERE level = 3",
        )
        .await;
    let mut found = complete(&lease, PageRows::Sets(vec![set]));
    if let tagpipe_store::contract::Ending::Completed { children, .. } = &mut found.ending {
        children[0].identity = tagpipe_core::model::Identity {
            category: "Baseball".into(),
            year: "1989".into(),
            brand: "Donruss".into(),
            ..Default::default()
        };
    }
    let committed = crawl.accept(&[found]).await;
    assert_eq!(committed.found, [0; 5], "it is not a new one");
    let renewed = "frontier WHERE level = 3 AND subject_changes = 2 AND expected = 2 AND stale_since_us = 9";
    assert_eq!(crawl.count(renewed).await, 1);
}

async fn pages_of_categories_have_a_history(mut crawl: Crawl) {
    for (reading, graded) in [(1, 5), (2, 5), (3, 6)] {
        crawl.next_run().await;
        crawl.add(&[categories_page()]).await;
        let name = "Hockey".to_owned();
        crawl.read(PageRows::Categories(vec![CategoryRow { name }])).await;
        let lease = crawl.claim_one().await;
        let year = YearRow {
            year: "1989".into(),
            sets: 1,
            items: 2,
            graded,
        };
        crawl
            .accept(&[complete(&lease, PageRows::Years(vec![year]))])
            .await;
        let changes = if reading == 3 { 2 } else { 1 };
        let noted =
            format!("categories WHERE seen_times = {reading} AND changes = {changes} AND read_at = tried_at");
        assert_eq!(crawl.count(&noted).await, 1, "reading {reading}");
    }
}
