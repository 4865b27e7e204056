//! The views for people.

use crate::harness::*;

on_both_engines! {
    populations_have_one_row_for_each_grade,
    the_catalogue_shows_each_card_with_its_top_grade,
}

const SCALE: [&str; 6] = ["VA", "1", "8.5", "9", "10", "10P"];

async fn set_scale(crawl: &Crawl) {
    let scale = SCALE.map(|code| (code.to_owned(), code.parse().ok(), String::new()));
    crawl.store.set_grade_scale(&scale).await.unwrap();
}

async fn populations_have_one_row_for_each_grade(crawl: Crawl) {
    crawl
        .read_down_to(vec![
            card("1", &[("9", 2), ("10P", 1)]),
            card("2", &[]),
            card("3", &[("9", 5)]),
        ])
        .await;
    for (view, id, expected) in [
        ("card_population", "card_id", vec![("10P", 1), ("9", 2), ("9", 5)]),
        ("set_population", "set_id", vec![("10P", 1), ("9", 7)]),
    ] {
        let rows = crawl
            .rows(&format!(
                "SELECT grade_code, copies FROM {view} ORDER BY {id}, grade_code"
            ))
            .await;
        let rows: Vec<(String, i64)> = rows
            .iter()
            .map(|row| {
                (
                    row.try_get("", "grade_code").unwrap(),
                    row.try_get("", "copies").unwrap(),
                )
            })
            .collect();
        let rows: Vec<_> = rows
            .iter()
            .map(|(code, copies)| (code.as_str(), *copies))
            .collect();
        assert_eq!(rows, expected, "{view}");
    }
}

async fn the_catalogue_shows_each_card_with_its_top_grade(crawl: Crawl) {
    set_scale(&crawl).await;
    /// Copies by grade of a card, and its top grade with its copies.
    type Case = (&'static [(&'static str, u64)], Option<(&'static str, i64)>);
    let cases: [Case; 6] = [
        (&[("9", 4), ("10", 3), ("10P", 2), ("VA", 1)], Some(("10P", 2))),
        (&[("10", 3), ("9", 4)], Some(("10", 3))),
        (&[("VA", 9), ("9", 4), ("8.5", 7)], Some(("9", 4))),
        (&[("VA", 9)], Some(("VA", 9))),
        (&[], None),
        (&[("a code", 1)], None),
    ];
    let cards = (1..)
        .zip(cases)
        .map(|(number, (entries, _))| card(&number.to_string(), entries));
    crawl.read_down_to(cards.collect()).await;
    let rows = crawl
        .rows(
            "SELECT category, year, brand, set_name, number, name, variation, total, top_grade, top_grade_copies \
             FROM catalogue ORDER BY card_id",
        )
        .await;
    assert_eq!(rows.len(), cases.len());
    for (number, (row, (entries, top))) in (1..).zip(rows.iter().zip(cases)) {
        let text = |column: &str| row.try_get::<String>("", column).unwrap();
        let texts = [
            "category",
            "year",
            "brand",
            "set_name",
            "number",
            "name",
            "variation",
        ]
        .map(text);
        assert_eq!(
            texts,
            [
                "Baseball",
                "1989",
                "Donruss",
                "",
                &number.to_string(),
                &format!("Player {number}"),
                ""
            ]
        );
        let total: i64 = row.try_get("", "total").unwrap();
        assert_eq!(total, entries.iter().map(|(_, count)| *count as i64).sum::<i64>());
        let top_grade: Option<String> = row.try_get("", "top_grade").unwrap();
        let copies: Option<i64> = row.try_get("", "top_grade_copies").unwrap();
        assert_eq!(
            (top_grade.as_deref(), copies),
            (top.map(|top| top.0), top.map(|top| top.1))
        );
    }
}
