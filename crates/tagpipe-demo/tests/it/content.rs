//! What single pages look like: the guide's tables, one by one.

use std::collections::HashMap;

use tagpipe_demo::{DemoConfig, Grade};

use crate::http::{get, start};
use crate::page::{between, count, data_rows, headers, links, next_link, pager, rows, totals_row};

fn grade_codes() -> Vec<String> {
    Grade::all()
        .map(|grade| grade.code().to_owned())
        .chain(["Total".to_owned()])
        .collect()
}

#[tokio::test]
async fn headers_are_those_of_the_guide() {
    let demo = start(DemoConfig::default()).await;
    let years = get(&demo, "/pop-report/Baseball").await;
    assert_eq!(headers(years.text()), ["Year", "Sets", "Items", "Graded"]);
    let sets = get(&demo, "/pop-report/Baseball/1989").await;
    assert_eq!(headers(sets.text())[0], "Grade unfold_more");
    assert_eq!(headers(sets.text())[1..], grade_codes());
    let cards = get(&demo, "/pop-report/Baseball/1989/Donruss").await;
    assert_eq!(headers(cards.text())[..2], ["Card # arrow_upward", "Name"]);
    assert_eq!(headers(cards.text())[2..], grade_codes());
    let board = get(&demo, "/pop-report/Baseball/1989/Donruss/Gary Carter/53").await;
    let words: Vec<String> = headers(board.text());
    assert_eq!(words[0], "Rank arrow_downward");
    let named: Vec<&str> = words
        .iter()
        .map(|header| header.trim_end_matches(" unfold_more"))
        .collect();
    let rest = [
        "TAG Grade",
        "View Report",
        "Rank by Grade",
        "Chronology",
        "Chron by Grade",
        "Completed",
        "Cert Number",
    ];
    assert_eq!(named[1..], rest);
    demo.stop().await;
}

#[tokio::test]
async fn known_rows_stand_on_their_pages_at_every_seed_and_size() {
    for (seed, pages) in [(1, 60), (2, 600), (77, 3000)] {
        let demo = start(DemoConfig {
            seed,
            pages,
            epoch: 9,
            ..DemoConfig::default()
        })
        .await;
        let carter = get(&demo, "/pop-report/Baseball/1989/Donruss/Gary Carter/53").await;
        let row = &data_rows(carter.text())[0];
        let texts: Vec<&str> = row.iter().map(|cell| cell.text.as_str()).collect();
        assert_eq!(
            [texts[0], texts[1], texts[6], texts[7]],
            ["1", "8.5 NM MT+", "11-21-2023", "X3032464"]
        );
        let lemieux = get(&demo, "/pop-report/Hockey/1989/Topps/Mario Lemieux/1?grades=").await;
        let rows = data_rows(lemieux.text());
        let found: Vec<[&str; 3]> = rows
            .iter()
            .map(|row| [1, 6, 7].map(|at| row[at].text.as_str()))
            .collect();
        let expected = [
            ["8.5 NM MT+", "08-20-2025", "T1352175"],
            ["8 NM MT", "08-20-2025", "P2848695"],
        ];
        assert_eq!(found, expected);
        demo.stop().await;
    }
}

#[tokio::test]
async fn the_empty_state_says_so() {
    let demo = start(DemoConfig::default()).await;
    let world = demo.world();
    let empty_set = world
        .set_rows()
        .find(|set| set.total == 0)
        .expect("an empty set")
        .url;
    let year = world
        .year_rows()
        .find(|year| year.sets_count == 0)
        .expect("an empty year");
    let filtered = "/pop-report/Baseball/1989/Donruss/Gary Carter/53?grades=10P".to_owned();
    let empty_year = format!("/pop-report/{}/{}", year.category, year.year);
    for path in [empty_set, empty_year, filtered, "/pop-report/MetaZoo".to_owned()] {
        let answer = get(&demo, &path).await;
        let rows = rows(answer.text());
        assert_eq!(rows.len(), 1, "{path}");
        assert_eq!(rows[0][0].text, "No records to display");
        assert_eq!(pager(answer.text()), None);
    }
    demo.stop().await;
}

#[tokio::test]
async fn the_pager_leads_through_all_rows_and_keeps_the_query() {
    let demo = start(DemoConfig {
        pages: 10_000,
        ..DemoConfig::default()
    })
    .await;
    let world = demo.world();
    let crowded = world
        .year_rows()
        .find(|year| year.sets_count > 200)
        .expect("a crowded year");
    let mut rows_of: HashMap<[String; 4], u32> = HashMap::new();
    for card in world.card_rows() {
        *rows_of
            .entry([card.category, card.year, card.brand, card.set])
            .or_default() += 1;
    }
    let long = world.set_rows().find(|set| {
        let key = [&set.category, &set.year, &set.brand, &set.name].map(String::clone);
        !set.name.is_empty() && rows_of.get(&key).is_some_and(|&rows| rows > 200)
    });
    let paths = [
        format!("/pop-report/{}/{}", crowded.category, crowded.year),
        "/pop-report/Pokémon/2021/Sword & Shield".to_owned(),
        "/pop-report/Pokémon/2021/Sword & Shield/Farfetch'd/27".to_owned(),
    ];
    for path in paths.into_iter().chain(long.map(|set| set.url)) {
        let mut at = path.clone();
        let mut seen = Vec::new();
        let mut totals = Vec::new();
        let of = loop {
            let answer = get(&demo, &at).await;
            let (from, to, of) = pager(answer.text()).expect("a pager");
            let rows = data_rows(answer.text());
            assert_eq!(from as usize, seen.len() + 1);
            assert_eq!(rows.len() as u32, to - from + 1);
            seen.extend(rows);
            totals.push(totals_row(answer.text()));
            match next_link(answer.text()) {
                Some(next) => at = next,
                None => break of,
            }
            assert!(at.starts_with(&path) && at.contains("page="), "{at}");
        };
        assert!(of > 200 && seen.len() as u32 == of, "{path}");
        assert!(
            totals.windows(2).all(|pair| pair[0] == pair[1]),
            "TOTALS are those of the whole list"
        );
    }
    demo.stop().await;
}

#[tokio::test]
async fn a_pager_within_a_grade_keeps_the_grade() {
    let demo = start(DemoConfig {
        pages: 20_000,
        ..DemoConfig::default()
    })
    .await;
    let world = demo.world();
    let row = world
        .card_rows()
        .find(|card| Grade::all().any(|grade| card.counts.of(grade) > 200))
        .expect("a chased card");
    let grade = Grade::all()
        .find(|&grade| row.counts.of(grade) > 200)
        .expect("a common grade");
    let glue = if row.url.contains('?') { '&' } else { '?' };
    let answer = get(&demo, &format!("{}{glue}grades={}", row.url, grade.code())).await;
    assert_eq!(pager(answer.text()), Some((1, 200, row.counts.of(grade))));
    let next = next_link(answer.text()).expect("a next page");
    assert!(
        next.contains(&format!("grades={}", grade.code())) && next.ends_with("page=2"),
        "{next}"
    );
    let second = get(&demo, &next).await;
    assert_eq!(data_rows(second.text()).len() as u32, row.counts.of(grade) - 200);
    demo.stop().await;
}

#[tokio::test]
async fn counts_above_zero_link_to_the_grade_and_only_those() {
    let demo = start(DemoConfig::default()).await;
    let answer = get(&demo, "/pop-report/Pokémon/2021/Sword & Shield").await;
    for row in data_rows(answer.text()) {
        for (grade, cell) in Grade::all().zip(&row[2..]) {
            let targets = links(&cell.html);
            assert_eq!(count(&cell.text) > 0, targets.len() == 1);
            let expected = format!("grades={}", grade.code());
            assert!(targets.iter().all(|link| link.ends_with(&expected)));
        }
    }
    demo.stop().await;
}

#[tokio::test]
async fn cells_vary_as_the_guide_says() {
    let demo = start(DemoConfig::default()).await;
    let answer = get(&demo, "/pop-report/Pokémon/2021/Sword & Shield/Farfetch'd/27").await;
    let rows = data_rows(answer.text());
    let times: Vec<_> = rows.iter().map(|row| &row[6]).collect();
    assert!(
        times
            .iter()
            .any(|cell| cell.value.as_deref().is_some_and(|value| value.ends_with('Z')))
    );
    assert!(times.iter().any(|cell| cell.value.is_none()));
    for cell in times
        .iter()
        .filter(|cell| cell.value.as_deref().is_some_and(|value| value != "0"))
    {
        let (month_day, year) = cell.text.rsplit_once('-').expect("a date");
        assert!(
            cell.value
                .as_deref()
                .unwrap_or_default()
                .starts_with(&format!("{year}-{month_day}T"))
        );
    }
    assert!(
        rows.iter()
            .any(|row| row[4].text == "1ST" || row[4].text == "2ND")
    );
    assert!(rows.iter().any(|row| row[5].value.as_deref() == Some("0")));
    let grades: Vec<&str> = rows.iter().map(|row| row[1].text.as_str()).collect();
    assert!(
        grades.iter().any(|text| text.ends_with(')')) && grades.contains(&"10 GEM"),
        "{grades:?}"
    );
    assert!(
        rows.iter()
            .all(|row| row[2].html.contains(&format!("href=\"/card/{}\"", row[7].text)))
    );
    demo.stop().await;
}

#[tokio::test]
async fn tiles_have_image_and_name_and_some_no_link() {
    let demo = start(DemoConfig::default()).await;
    let answer = get(&demo, "/pop-report").await;
    let html = answer.text();
    let tiles: Vec<&str> = html.split("MuiGrid-item MuiGrid-grid").skip(1).collect();
    assert_eq!(html.matches("MuiGrid-grid-lg-2").count(), 33);
    assert!(
        tiles
            .iter()
            .all(|tile| tile.contains("<img") && between(tile, "<h6", "</h6>").is_some())
    );
    let unlinked = tiles.iter().filter(|tile| !tile.contains("href=")).count();
    assert!((1..10).contains(&unlinked), "{unlinked}");
    for name in [
        "Pokémon",
        "Marvel/DC",
        "Weiß Schwarz",
        "Yu-Gi-Oh!",
        "One Piece",
        "Baseball",
        "Hockey",
    ] {
        assert!(html.contains(&format!(">{name}</h6>")), "{name}");
    }
    demo.stop().await;
}

#[tokio::test]
async fn totals_can_be_left_out() {
    let demo = start(DemoConfig {
        totals: false,
        ..DemoConfig::default()
    })
    .await;
    for path in [
        "/pop-report/Baseball/1989",
        "/pop-report/Pokémon/2021/Sword & Shield",
    ] {
        assert_eq!(totals_row(get(&demo, path).await.text()), None);
        demo.update(|config| config.totals = true);
        assert!(totals_row(get(&demo, path).await.text()).is_some());
        demo.update(|config| config.totals = false);
    }
    demo.stop().await;
}

#[tokio::test]
async fn a_typical_cards_page_weighs_what_a_real_one_does() {
    let demo = start(DemoConfig {
        pages: 3000,
        ..DemoConfig::default()
    })
    .await;
    let world = demo.world();
    let mut sizes = Vec::new();
    for set in world.set_rows().filter(|set| set.total > 0) {
        sizes.push(get(&demo, &set.url).await.body.len());
    }
    sizes.sort_unstable();
    let median = sizes[sizes.len() / 2];
    assert!((12_000..30_000).contains(&median), "{median}");
    demo.stop().await;
}
