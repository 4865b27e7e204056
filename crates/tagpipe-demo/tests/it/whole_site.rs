//! A whole reading of the site yields exactly what the admin address says is true.

use serde_json::{Value, json};
use tagpipe_demo::{DemoConfig, Grade, RunningDemo};

use crate::http::{admin, get, start};
use crate::page::{Cell, between, count, data_rows, next_link, totals_row, unescaped};

async fn truth(demo: &RunningDemo, table: &str) -> Vec<Value> {
    let answer = admin(demo, &format!("/truth/{table}")).await;
    answer
        .text()
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line is JSON"))
        .collect()
}

/// All rows of a page, over its pager, each page's TOTALS checked against the sum of all rows.
async fn read_all(demo: &RunningDemo, path: &str) -> Vec<Vec<Cell>> {
    let mut rows = Vec::new();
    let mut totals = None;
    let mut at = Some(path.to_owned());
    while let Some(path) = at {
        let answer = get(demo, &path).await;
        rows.extend(
            data_rows(answer.text())
                .into_iter()
                .filter(|row| row[0].text != "No records to display"),
        );
        totals = totals_row(answer.text());
        at = next_link(answer.text());
    }
    if let Some(totals) = totals {
        let counts = totals.len().min(21);
        for column in 0..counts {
            let sum: u32 = rows
                .iter()
                .map(|row| count(&row[row.len() - 1 - column].text))
                .sum();
            assert_eq!(count(&totals[totals.len() - 1 - column].text), sum, "{path}");
        }
    }
    rows
}

fn counts(cells: &[Cell]) -> Value {
    let pairs = Grade::all()
        .zip(cells)
        .map(|(grade, cell)| (grade.code().to_owned(), count(&cell.text)));
    Value::Object(
        pairs
            .filter(|(_, count)| *count > 0)
            .map(|(code, count)| (code, json!(count)))
            .collect(),
    )
}

fn place(cell: &Cell) -> Value {
    let given = cell.value.clone().unwrap_or_else(|| cell.text.clone());
    match given.trim_end_matches(char::is_alphabetic) {
        "" | "-" | "0" => Value::Null,
        digits => json!(
            digits
                .replace(',', "")
                .parse::<u32>()
                .expect("a place is a number")
        ),
    }
}

fn date(cell: &Cell) -> Value {
    let parts: Vec<&str> = cell.text.split('-').collect();
    match parts[..] {
        [month, day, year] => json!(format!("{year}-{month}-{day}")),
        _ => Value::Null,
    }
}

async fn assert_site_shows_truth(demo: &RunningDemo) {
    let categories = truth(demo, "categories").await;
    let tiles = get(demo, "/pop-report").await;
    let shown: Vec<String> = tiles
        .text()
        .split("<h6")
        .skip(1)
        .map(|tile| unescaped(between(tile, ">", "</h6>").expect("a name")))
        .collect();
    let named: Vec<&str> = categories.iter().filter_map(|row| row["name"].as_str()).collect();
    assert_eq!(shown, named);

    let years = truth(demo, "years").await;
    let mut shown = Vec::new();
    for category in &categories {
        for row in read_all(demo, category["url"].as_str().expect("a url")).await {
            shown.push(json!({
                "category": category["name"], "year": row[0].text, "sets_count": count(&row[1].text),
                "items_count": count(&row[2].text), "graded_count": count(&row[3].text),
            }));
        }
    }
    assert_eq!(shown, years);

    let sets = truth(demo, "sets").await;
    let mut shown = Vec::new();
    for year in &years {
        let path = format!(
            "/pop-report/{}/{}",
            year["category"].as_str().expect("a name").replace('/', "%2F"),
            year["year"].as_str().expect("a year")
        );
        for row in read_all(demo, &path).await {
            let brand = unescaped(between(&row[0].html, "<b>", "</b>").expect("a brand"));
            shown.push(json!({
                "category": year["category"], "year": year["year"], "name": row[0].text[brand.len()..], "brand": brand,
                "url": unescaped(between(&row[0].html, "href=\"", "\"").expect("a link")),
                "counts": counts(&row[1..]), "total": count(&row[21].text),
            }));
        }
    }
    assert_eq!(shown, sets);

    let cards = truth(demo, "cards").await;
    let mut shown = Vec::new();
    for set in &sets {
        for row in read_all(demo, set["url"].as_str().expect("a url")).await {
            let variation = between(&row[1].html, "caption\">", "</span>")
                .map(unescaped)
                .unwrap_or_default();
            shown.push(json!({
                "category": set["category"], "year": set["year"], "brand": set["brand"], "set": set["name"],
                "number": row[0].text, "variation": variation,
                "name": row[1].text.strip_suffix(&variation).expect("the variation follows the name"),
                "url": unescaped(between(&row[1].html, "href=\"", "\"").expect("a link")),
                "counts": counts(&row[2..]), "total": count(&row[22].text),
            }));
        }
    }
    assert_eq!(shown, cards);

    let mut grade_rows = truth(demo, "grade_rows").await.into_iter();
    for card in &cards {
        for row in read_all(demo, card["url"].as_str().expect("a url")).await {
            let expected = grade_rows.next().expect("the site shows no more than there is");
            for (column, shown) in [
                ("number", card["number"].clone()),
                ("name", card["name"].clone()),
                ("variation", card["variation"].clone()),
                ("rank", place(&row[0])),
                ("grade_text", json!(row[1].text)),
                ("rank_by_grade", place(&row[3])),
                ("chronology", place(&row[4])),
                ("chron_by_grade", place(&row[5])),
                ("completed_on", date(&row[6])),
                ("cert_number", json!(row[7].text)),
                ("report_url", json!(between(&row[2].html, "href=\"", "\""))),
            ] {
                assert_eq!(shown, expected[column], "{column} of {expected}");
            }
        }
    }
    assert_eq!(grade_rows.next(), None);
}

#[tokio::test]
async fn the_pages_show_what_the_truth_says() {
    let demo = start(DemoConfig::default()).await;
    assert_site_shows_truth(&demo).await;
    let summary: Value = serde_json::from_str(admin(&demo, "/truth/summary").await.text()).expect("JSON");
    let documents = demo.requests().len() as u64;
    assert_eq!(
        summary["requests_needed"],
        json!(documents),
        "exactly one request for each page of each pager"
    );
    demo.stop().await;
}

#[tokio::test]
async fn they_do_at_another_seed_and_epoch() {
    let demo = start(DemoConfig {
        seed: 4711,
        pages: 150,
        epoch: 7,
        churn: 0.4,
        ..DemoConfig::default()
    })
    .await;
    assert_site_shows_truth(&demo).await;
    demo.stop().await;
}

#[tokio::test]
async fn the_truth_lists_every_page_once() {
    let demo = start(DemoConfig::default()).await;
    let pages = truth(&demo, "pages").await;
    let summary = demo.world().summary();
    assert_eq!(pages.len() as u64, summary.pages);
    for level in 0..5 {
        let of_level = pages.iter().filter(|page| page["level"] == json!(level)).count() as u64;
        assert_eq!(of_level, summary.by_level[level]);
    }
    let distinct: std::collections::HashSet<_> =
        pages.iter().map(|page| page["url_path"].to_string()).collect();
    assert_eq!(distinct.len(), pages.len());
    demo.stop().await;
}
