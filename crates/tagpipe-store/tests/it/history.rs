//! What a page no longer lists, what comes back, and what goes on under another name.

use tagpipe_core::model::{CardRow, PageKind, PageRows};
use tagpipe_store::contract::{Ending, Finish, Lease};

use crate::harness::*;

on_both_engines! {
    a_card_vanishes_with_its_certificates_and_comes_back,
    a_set_takes_its_cards_along,
    only_a_whole_page_makes_cards_vanish,
    a_renamed_card_stays_the_same_row,
    two_cards_of_one_number_are_not_confused,
    a_certificate_that_moves_or_gets_another_grade_is_on_record,
    vanished_cards_are_neither_due_nor_a_place_to_start_from,
}

/// A second reading of the only set, in a run of its own.
async fn read_set_again(crawl: &mut Crawl, cards: Vec<CardRow>) {
    let lease = lease_set_again(crawl).await;
    crawl.accept(&[complete(&lease, PageRows::Cards(cards))]).await;
}

async fn lease_set_again(crawl: &mut Crawl) -> Lease {
    crawl.next_run().await;
    let set = crawl.number("SELECT max(id) FROM sets").await;
    let mut page = page(PageKind::Cards, Default::default());
    page.subject_id = Some(set);
    page.subject_changes = Some(1);
    crawl.add(&[page]).await;
    crawl.claim_one().await
}

/// The events on record, oldest first, as `subject event`.
async fn events(crawl: &Crawl) -> Vec<String> {
    texts(
        crawl,
        "SELECT subject || ' ' || event AS line FROM catalogue_history ORDER BY id",
    )
    .await
}

async fn certificate_events(crawl: &Crawl) -> Vec<String> {
    texts(
        crawl,
        "SELECT grade_rows.cert_number || ' ' || event || ' ' || coalesce(grade_before, '-') || ' ' \
             || coalesce(grade_after, '-') AS line \
         FROM certificate_history JOIN grade_rows ON grade_rows.id = grade_row_id ORDER BY certificate_history.id",
    )
    .await
}

async fn texts(crawl: &Crawl, query: &str) -> Vec<String> {
    let rows = crawl.rows(query).await;
    rows.iter().map(|row| row.try_get("", "line").unwrap()).collect()
}

async fn a_card_vanishes_with_its_certificates_and_comes_back(mut crawl: Crawl) {
    crawl.read_down_to(cards(2)).await;
    let first = crawl.claim_one().await;
    crawl.accept(&[complete(&first, grade_rows(&["A1"]))]).await;
    let second = crawl.claim_one().await;
    crawl.accept(&[complete(&second, grade_rows(&["B1"]))]).await;
    let known = crawl.number("SELECT max(id) FROM cards").await;

    read_set_again(&mut crawl, cards(1)).await;
    assert_eq!(crawl.count("cards WHERE vanished_at IS NULL").await, 1);
    assert_eq!(crawl.count("grade_rows WHERE vanished_at IS NULL").await, 1);
    assert_eq!(crawl.count("catalogue").await, 1);
    assert_eq!(events(&crawl).await, ["card vanished"]);
    assert_eq!(certificate_events(&crawl).await, ["B1 vanished 9 -"]);
    // A third reading that does not list it either says nothing new.
    read_set_again(&mut crawl, cards(1)).await;
    assert_eq!(events(&crawl).await, ["card vanished"]);
    assert_eq!(crawl.count("population_history WHERE subject = 'card'").await, 2);

    read_set_again(&mut crawl, cards(2)).await;
    assert_eq!(events(&crawl).await, ["card vanished", "card returned"]);
    assert_eq!(
        crawl.number("SELECT max(id) FROM cards").await,
        known,
        "the same row"
    );
    assert_eq!(
        crawl
            .count("cards WHERE vanished_at IS NULL AND read_changes <> changes")
            .await,
        1,
        "its page is to be read again"
    );
    let lease = loop {
        let lease = crawl.claim_one().await;
        if lease.subject_id == Some(known) {
            break lease;
        }
    };
    crawl.accept(&[complete(&lease, grade_rows(&["B1"]))]).await;
    assert_eq!(
        certificate_events(&crawl).await,
        ["B1 vanished 9 -", "B1 returned - 9"]
    );
    assert_eq!(
        crawl
            .count(&format!("certificate_history WHERE run_id = {}", crawl.run))
            .await,
        1
    );
}

async fn a_set_takes_its_cards_along(mut crawl: Crawl) {
    crawl.read_down_to(cards(2)).await;
    let first = crawl.claim_one().await;
    crawl.accept(&[complete(&first, grade_rows(&["A1"]))]).await;
    crawl.next_run().await;
    let mut page = page(PageKind::Sets, Default::default());
    page.subject_id = Some(crawl.number("SELECT max(id) FROM years").await);
    crawl.add(&[page]).await;
    let lease = crawl.claim_one().await;
    let committed = crawl
        .accept(&[complete(&lease, PageRows::Sets(Vec::new()))])
        .await;
    assert_eq!(committed.rows.vanished, 4, "a set, two cards, a certificate");
    for table in [
        "sets",
        "cards",
        "grade_rows",
        "set_population",
        "card_population",
        "catalogue",
    ] {
        let living = if table.contains("population") || table == "catalogue" {
            table.to_owned()
        } else {
            format!("{table} WHERE vanished_at IS NULL")
        };
        assert_eq!(crawl.count(&living).await, 0, "{table}");
    }
}

fn not_whole(mut finish: Finish) -> Finish {
    if let Ending::Completed { whole, .. } = &mut finish.ending {
        *whole = false;
    }
    finish
}

async fn only_a_whole_page_makes_cards_vanish(mut crawl: Crawl) {
    crawl.read_down_to(cards(2)).await;
    let lease = lease_set_again(&mut crawl).await;
    let committed = crawl
        .accept(&[not_whole(complete(&lease, PageRows::Cards(cards(1))))])
        .await;
    assert_eq!(committed.rows.vanished, 0);
    assert_eq!(crawl.count("cards WHERE vanished_at IS NULL").await, 2);
    let lease = lease_set_again(&mut crawl).await;
    let renamed = vec![named("2", "Somebody Else")];
    crawl
        .accept(&[not_whole(complete(&lease, PageRows::Cards(renamed)))])
        .await;
    assert_eq!(
        crawl.count("cards").await,
        3,
        "the rest of the page may have the old one"
    );
}

fn named(number: &str, name: &str) -> CardRow {
    CardRow {
        name: name.into(),
        ..card(number, &[("9", 1)])
    }
}

async fn a_renamed_card_stays_the_same_row(mut crawl: Crawl) {
    crawl.read_down_to(cards(2)).await;
    let known = crawl.number("SELECT id FROM cards WHERE number = '2'").await;
    let grown = CardRow {
        name: "Player Two".into(),
        ..card("2", &[("9", 3)])
    };
    read_set_again(&mut crawl, vec![card("1", &[("9", 1)]), grown]).await;
    assert_eq!(crawl.count("cards").await, 2);
    assert_eq!(
        crawl
            .count(&format!(
                "cards WHERE id = {known} AND name = 'Player Two' AND total = 3"
            ))
            .await,
        1
    );
    assert_eq!(
        crawl
            .count(&format!(
                "population_history WHERE subject = 'card' AND subject_id = {known}"
            ))
            .await,
        2
    );
    assert_eq!(
        crawl
            .count(&format!(
                "catalogue_history WHERE event = 'renamed' AND subject_id = {known} AND run_id = {} \
                     AND name_before = 'Player 2' AND name_after = 'Player Two'",
                crawl.run
            ))
            .await,
        1
    );
    // Back again: the same row still.
    read_set_again(&mut crawl, cards(2)).await;
    assert_eq!(crawl.count("cards WHERE vanished_at IS NULL").await, 2);
    assert_eq!(events(&crawl).await, ["card renamed", "card renamed"]);
}

async fn two_cards_of_one_number_are_not_confused(mut crawl: Crawl) {
    crawl
        .read_down_to(vec![named("7", "A"), named("7", "B"), named("8", "C")])
        .await;
    // Which of the two was it? Nobody can tell.
    read_set_again(&mut crawl, vec![named("7", "D"), named("8", "C")]).await;
    assert_eq!(crawl.count("cards WHERE vanished_at IS NOT NULL").await, 2);
    // One of two that remain is another one's name already.
    read_set_again(&mut crawl, vec![named("7", "A"), named("8", "C")]).await;
    assert_eq!(
        events(&crawl).await,
        ["card vanished", "card vanished", "card vanished", "card returned"]
    );
}

async fn a_certificate_that_moves_or_gets_another_grade_is_on_record(mut crawl: Crawl) {
    crawl.read_down_to(cards(2)).await;
    let leases = crawl.claim(2).await;
    crawl.accept(&[complete(&leases[0], grade_rows(&["A1"]))]).await;
    crawl
        .accept(&[complete(&leases[1], grade_rows(&["A1", "B1"]))])
        .await;
    assert_eq!(certificate_events(&crawl).await, ["A1 moved 9 9"]);
    let moved = "SELECT card_after - card_before FROM certificate_history";
    let between = leases[1].subject_id.unwrap() - leases[0].subject_id.unwrap();
    assert_eq!(crawl.number(moved).await, between);
    crawl.next_run().await;
    let mut page = page(PageKind::GradeRows, Default::default());
    page.subject_id = leases[1].subject_id;
    crawl.add(&[page]).await;
    let lease = crawl.claim_one().await;
    let mut again = grade_row("B1");
    again.grade.code = tagpipe_core::model::GradeCode::new("10").unwrap();
    let rows = PageRows::GradeRows(vec![grade_row("A1"), again]);
    crawl.accept(&[complete(&lease, rows)]).await;
    assert_eq!(
        certificate_events(&crawl).await,
        ["A1 moved 9 9", "B1 regraded 9 10"]
    );
}

async fn vanished_cards_are_neither_due_nor_a_place_to_start_from(mut crawl: Crawl) {
    crawl.read_down_to(cards(3)).await;
    read_set_again(&mut crawl, cards(2)).await;
    let stored = crawl
        .store
        .stored_subjects(PageKind::GradeRows, 0, 10)
        .await
        .unwrap();
    assert_eq!(stored.len(), 2);
    let (due, fresh) = crawl.store.count_due(PageKind::GradeRows, None).await.unwrap();
    assert_eq!((due, fresh), (2, 0));
}
