//! The stored rows that a run may start from.

use tagpipe_core::model::{Identity, PageKind};

use crate::harness::*;

on_both_engines! {
    every_level_is_found_with_its_whole_identity,
    rows_come_in_portions,
}

async fn every_level_is_found_with_its_whole_identity(crawl: Crawl) {
    crawl.read_down_to(vec![card("7", &[("9", 2)])]).await;
    let of_category = Identity {
        category: "Baseball".into(),
        ..Identity::default()
    };
    let of_year = Identity {
        year: "1989".into(),
        ..of_category.clone()
    };
    let of_set = Identity {
        brand: "Donruss".into(),
        ..of_year.clone()
    };
    let of_card = Identity {
        name: "Player 7".into(),
        number: "7".into(),
        ..of_set.clone()
    };
    for (kind, table, identity, expected) in [
        (PageKind::Years, "categories", of_category, None),
        (PageKind::Sets, "years", of_year, Some(1)),
        (PageKind::Cards, "sets", of_set, Some(2)),
        (PageKind::GradeRows, "cards", of_card, Some(2)),
    ] {
        let found = crawl.store.stored_subjects(kind, 0, 10).await.unwrap();
        assert_eq!(found.len(), 1, "{kind}");
        assert_eq!(
            found[0].id,
            crawl.number(&format!("SELECT id FROM {table}")).await
        );
        assert_eq!(
            (&found[0].identity, found[0].expected),
            (&identity, expected),
            "{kind}"
        );
    }
    assert!(
        crawl
            .store
            .stored_subjects(PageKind::Categories, 0, 10)
            .await
            .unwrap()
            .is_empty()
    );
}

async fn rows_come_in_portions(crawl: Crawl) {
    crawl.read_down_to(cards(5)).await;
    let (mut after, mut numbers) = (0, Vec::new());
    loop {
        let portion = crawl
            .store
            .stored_subjects(PageKind::GradeRows, after, 2)
            .await
            .unwrap();
        assert!(portion.len() <= 2);
        let Some(last) = portion.last() else { break };
        after = last.id;
        numbers.extend(portion.into_iter().map(|subject| subject.identity.number));
    }
    assert_eq!(numbers, ["1", "2", "3", "4", "5"]);
}
