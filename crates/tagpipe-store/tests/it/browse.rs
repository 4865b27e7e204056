//! Browsing what is stored. What comes out is compared with the world that was read, counted here without any SQL.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tagpipe_core::model::{CardRow, CategoryRow, GradeRow, PageKind, PageRows, SetRow, YearRow, fold_name};
use tagpipe_core::outcome::Cause;
use tagpipe_store::audit::{AuditEntry, AuditKind, AuditLevel, AuditOrigin};
use tagpipe_store::browse::analytics::{CategoryCoverage, ErrorCause, Latency, PagesByState};
use tagpipe_store::browse::card::Population;
use tagpipe_store::browse::catalogue::{Card, Set};
use tagpipe_store::contract::Lease;
use tagpipe_store::{Discrepancy, Store, Verdict};
use unicode_normalization::UnicodeNormalization;

use crate::harness::*;

on_both_engines! {
    the_catalogue_is_what_was_read,
    lists_come_in_pages_without_a_gap,
    every_card_is_found_by_its_words,
    queries_are_text_and_nothing_else,
    renamed_rows_are_found_by_their_new_names_only,
    search_outlives_a_migration_down_and_up,
    a_reading_that_changes_no_name_leaves_the_index_alone,
    a_card_shows_its_certificates_in_the_order_of_the_leaderboard,
    the_newest_populations_come_oldest_first,
    a_run_is_told_by_its_pages,
    errors_are_counted_by_cause_and_hour,
    saved_requests_are_told_by_summary_or_counted,
    discrepancies_name_what_they_are_about,
}

/// One card of the world, with everything above it.
#[derive(Debug, Clone)]
struct Printed {
    category: &'static str,
    year: &'static str,
    brand: &'static str,
    set: &'static str,
    number: &'static str,
    name: &'static str,
    variation: &'static str,
    copies: &'static [(&'static str, u64)],
}

impl Printed {
    fn texts(&self) -> [&'static str; 7] {
        [
            self.category,
            self.year,
            self.brand,
            self.set,
            self.number,
            self.name,
            self.variation,
        ]
    }

    fn total(&self) -> u64 {
        self.copies.iter().map(|(_, copies)| copies).sum()
    }

    fn row(&self) -> CardRow {
        CardRow {
            number: self.number.into(),
            name: self.name.into(),
            variation: self.variation.into(),
            counts: counts(self.copies),
            total: self.total(),
        }
    }
}

const SCALE: [(&str, &str); 5] = [
    ("VA", "Altered"),
    ("8.5", "NM MT+"),
    ("9", "MINT"),
    ("10", "GEM MINT"),
    ("10P", "PRISTINE"),
];

/// Sets with their cards: ordinary ones, and texts that are hostile to a query language or to an index.
const WORLD: &[Printed] = &{
    const fn card(
        above: [&'static str; 4],
        card: [&'static str; 3],
        copies: &'static [(&'static str, u64)],
    ) -> Printed {
        let [category, year, brand, set] = above;
        let [number, name, variation] = card;
        Printed {
            category,
            year,
            brand,
            set,
            number,
            name,
            variation,
            copies,
        }
    }
    const DONRUSS: [&str; 4] = ["Baseball", "1989", "Donruss", ""];
    const BASEBALL: [&str; 4] = ["Baseball", "1989", "Upper Deck", "Star Rookie 1989-90"];
    const LATER: [&str; 4] = ["Baseball", "1990", "Donruss", "Diamond Kings"];
    const POKEMON: [&str; 4] = ["Pokémon", "2021", "Sword & Shield", "Évolving Skies"];
    const ODD: [&str; 4] = [
        "Odd \"things\"",
        "19'89",
        "100% OR 50_%",
        "a:b -c *d ^e {f} (g) \\h",
    ];
    const MINT: &[(&str, u64)] = &[("9", 2)];
    [
        card(
            DONRUSS,
            ["33", "Ken Griffey Jr.", ""],
            &[("10P", 1), ("9", 3), ("VA", 2)],
        ),
        card(DONRUSS, ["33", "Ken Griffey Jr.", "Error"], &[("8.5", 1)]),
        card(DONRUSS, ["#7-A", "Gary Sheffield", ""], &[]),
        card(BASEBALL, ["1", "Ken Griffey Jr.", ""], &[("10", 5), ("9", 4)]),
        card(BASEBALL, ["1989", "Donruss", "Checklist"], MINT),
        card(LATER, ["4", "Ken Griffey Sr.", ""], MINT),
        card(LATER, ["40", "José Canseco", "Óñate"], MINT),
        card(POKEMON, ["215/203", "Umbreon VMAX", "Alternate Art"], MINT),
        card(POKEMON, ["SWSH-095", "Éevee", ""], MINT),
        card(POKEMON, ["TG30", "ピカチュウ", "特別"], MINT),
        card(POKEMON, ["🃏", "🎉 👩‍👩‍👧 Party", ""], MINT),
        card(ODD, ["\"", "'); DROP TABLE cards; --", "NEAR(a b)"], MINT),
        card(ODD, ["%", "_ %_% ' '' \"\" \\ \\\\", "AND NOT"], MINT),
        card(
            ODD,
            ["0", "a\u{fffd}b | c & !d <-> e:*", "<script>alert(1)</script>"],
            MINT,
        ),
        card(ODD, ["", "Łódź Straße ΣΙΣΥΦΟΣ Молоко", "I\u{307}"], MINT),
        card(ODD, ["x", "हिन्दी नाम", "\u{202e}right\u{200b}left"], MINT),
    ]
};

/// Values in the order of their first appearance.
fn distinct<T: PartialEq>(values: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut all = Vec::new();
    for value in values {
        if !all.contains(&value) {
            all.push(value);
        }
    }
    all
}

fn below(lease: &Lease) -> Vec<&'static Printed> {
    let place = &lease.identity;
    let level = lease.kind.level();
    WORLD
        .iter()
        .filter(|card| {
            (level < 1 || card.category == place.category)
                && (level < 2 || card.year == place.year)
                && (level < 3 || (card.brand == place.brand && card.set == place.set))
                && (level < 4
                    || [card.number, card.name, card.variation]
                        == [place.number.as_str(), &place.name, &place.variation])
        })
        .collect()
}

/// What a page of the world lists.
fn rows_of(lease: &Lease) -> PageRows {
    let below = below(lease);
    match lease.kind {
        PageKind::Categories => PageRows::Categories(
            distinct(below.iter().map(|card| card.category))
                .into_iter()
                .map(|name| CategoryRow { name: name.into() })
                .collect(),
        ),
        PageKind::Years => PageRows::Years(
            distinct(below.iter().map(|card| card.year))
                .into_iter()
                .map(|year| {
                    let cards: Vec<_> = below.iter().filter(|card| card.year == year).collect();
                    YearRow {
                        year: year.into(),
                        sets: distinct(cards.iter().map(|card| (card.brand, card.set))).len() as u64,
                        items: cards.len() as u64,
                        graded: cards.iter().map(|card| card.total()).sum(),
                    }
                })
                .collect(),
        ),
        PageKind::Sets => PageRows::Sets(
            distinct(below.iter().map(|card| (card.brand, card.set)))
                .into_iter()
                .map(|(brand, name)| {
                    let copies: Vec<_> = below
                        .iter()
                        .filter(|card| (card.brand, card.set) == (brand, name))
                        .flat_map(|card| card.copies.iter().copied())
                        .collect();
                    SetRow {
                        brand: brand.into(),
                        name: name.into(),
                        counts: counts(&copies),
                        total: copies.iter().map(|(_, copies)| copies).sum(),
                    }
                })
                .collect(),
        ),
        PageKind::Cards => PageRows::Cards(below.iter().map(|card| card.row()).collect()),
        PageKind::GradeRows => {
            let place = WORLD
                .iter()
                .position(|card| std::ptr::eq(card, below[0]))
                .unwrap();
            PageRows::GradeRows(
                (0..below[0].total())
                    .map(|copy| grade_row(&format!("T{place:03}{copy:03}")))
                    .collect(),
            )
        }
    }
}

/// Reads all of the world.
async fn read_world(crawl: &Crawl) {
    let scale = SCALE.map(|(code, label)| (code.to_owned(), code.parse().ok(), label.to_owned()));
    crawl.store.set_grade_scale(&scale).await.unwrap();
    crawl.add(&[categories_page()]).await;
    loop {
        let leases = crawl.claim(100).await;
        if leases.is_empty() {
            return;
        }
        let batch: Vec<_> = leases
            .iter()
            .map(|lease| complete(lease, rows_of(lease)))
            .collect();
        crawl.accept(&batch).await;
    }
}

/// All stored cards, by going down from the categories.
async fn all_cards(store: &Store) -> Vec<Card> {
    let mut all = Vec::new();
    for category in store.categories().await.unwrap() {
        for year in store.years_of(category.id).await.unwrap() {
            for set in store.sets_of(year.id, None, 100).await.unwrap() {
                all.extend(store.cards_of(set.id, None, 100).await.unwrap());
            }
        }
    }
    all.sort_by_key(|card| card.id);
    all
}

fn texts(card: &Card) -> [&str; 7] {
    [
        &card.category.name,
        &card.year.year,
        &card.set.brand,
        &card.set.name,
        &card.number,
        &card.name,
        &card.variation,
    ]
}

fn printed(card: &Card) -> &'static Printed {
    WORLD
        .iter()
        .find(|printed| printed.texts() == texts(card))
        .unwrap_or_else(|| panic!("{card:?} is not of this world"))
}

// The catalogue. -----------------------------------------------------------------------------------------------

async fn the_catalogue_is_what_was_read(crawl: Crawl) {
    assert_eq!(crawl.store.categories().await.unwrap(), []);
    read_world(&crawl).await;
    let categories = crawl.store.categories().await.unwrap();
    let names: Vec<_> = categories.iter().map(|category| category.name.as_str()).collect();
    assert_eq!(names, distinct(WORLD.iter().map(|card| card.category)));
    for category in &categories {
        let cards: Vec<_> = WORLD
            .iter()
            .filter(|card| card.category == category.name)
            .collect();
        assert_eq!(
            (
                category.items,
                category.cards_stored,
                category.cards_verified,
                category.graded
            ),
            (
                cards.len() as u64,
                cards.len() as u64,
                0,
                cards.iter().map(|card| card.total()).sum()
            ),
            "{category:?}"
        );
        let sets = distinct(cards.iter().map(|card| (card.year, card.brand, card.set)));
        let years = distinct(cards.iter().map(|card| card.year));
        assert_eq!(
            (category.years, category.sets),
            (years.len() as u64, sets.len() as u64)
        );
        assert!(category.oldest_read_at.is_some() && category.oldest_read_at <= category.newest_read_at);
        assert_eq!(
            crawl.store.category(category.id).await.unwrap().as_ref(),
            Some(category)
        );

        for year in crawl.store.years_of(category.id).await.unwrap() {
            assert_eq!(year.category.name, category.name);
            let of_year = cards.iter().filter(|card| card.year == year.year).count();
            assert_eq!(year.items, of_year as u64);
            assert_eq!(crawl.store.year(year.id).await.unwrap(), Some(year.clone()));
            for set in crawl.store.sets_of(year.id, None, 100).await.unwrap() {
                check_set(&crawl.store, &set).await;
            }
        }
    }
    let cards = all_cards(&crawl.store).await;
    assert_eq!(cards.len(), WORLD.len());
    for card in &cards {
        let printed = printed(card);
        assert_eq!(card.total, printed.total());
        let mut expected = Vec::new();
        for (code, label) in SCALE {
            for (_, copies) in printed.copies.iter().filter(|(its, _)| *its == code) {
                expected.push((code, label, *copies));
            }
        }
        let shown: Vec<_> = card
            .counts
            .iter()
            .map(|count| (count.grade_code.as_str(), count.label.as_str(), count.copies))
            .collect();
        assert_eq!(shown, expected);
        assert!(card.url.starts_with("/grade_rows/"), "{card:?}");
        assert!(card.seen.read_at.is_some() && card.seen.vanished_at.is_none());
        assert_eq!(crawl.store.card(card.id).await.unwrap().as_ref(), Some(card));
    }
    assert_eq!(crawl.store.card(i64::MAX).await.unwrap(), None);
    assert_eq!(crawl.store.set(0).await.unwrap(), None);
    assert_eq!(crawl.store.category(-1).await.unwrap(), None);
}

async fn check_set(store: &Store, set: &Set) {
    let mut copies = BTreeMap::new();
    for card in WORLD.iter().filter(|card| {
        [card.category, card.year, card.brand, card.set]
            == [set.category.name.as_str(), &set.year.year, &set.brand, &set.name]
    }) {
        for (code, count) in card.copies {
            *copies.entry(*code).or_insert(0) += count;
        }
    }
    assert_eq!(set.total, copies.values().sum::<u64>());
    let shown: BTreeMap<_, _> = set
        .counts
        .iter()
        .map(|count| (count.grade_code.as_str(), count.copies))
        .collect();
    assert_eq!(shown, copies);
    assert_eq!(store.set(set.id).await.unwrap().as_ref(), Some(set));
}

async fn lists_come_in_pages_without_a_gap(crawl: Crawl) {
    crawl.read_down_to(cards(23)).await;
    let set = all_cards(&crawl.store).await[0].set.id;
    for limit in [1, 5, 23, 24] {
        let mut after = None;
        let mut numbers = Vec::new();
        let mut found = Vec::new();
        loop {
            let page = crawl.store.cards_of(set, after, limit).await.unwrap();
            assert!(page.len() <= limit as usize);
            // The same cards by search: all are Donruss.
            let hits = crawl.store.search("donruss", None, after, limit).await.unwrap();
            found.extend(hits.iter().map(|card| card.number.clone()));
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            numbers.extend(page.iter().map(|card| card.number.clone()));
        }
        let expected: Vec<_> = (1..=23).map(|number| number.to_string()).collect();
        assert_eq!(numbers, expected);
        assert_eq!(found, expected);
    }
}

// Search. ------------------------------------------------------------------------------------------------------

/// The words of a text, as a reader sees them: accents are of Latin letters, and what stands above kana is none.
fn words(text: &str) -> Vec<String> {
    let without_accent = |one: char| {
        let base = one.nfd().next().unwrap_or(one);
        if base.is_ascii_alphabetic() { base } else { one }
    };
    let folded: String = text
        .nfc()
        .map(without_accent)
        .flat_map(char::to_lowercase)
        .collect();
    folded
        .split(|one: char| !one.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Ids of the cards that have a word beginning with each word of the query.
fn expected_hits(cards: &[Card], query: &str) -> Vec<i64> {
    let asked = words(query);
    let fits = |card: &&Card| {
        let has: Vec<_> = texts(card).iter().flat_map(|text| words(text)).collect();
        !asked.is_empty()
            && asked
                .iter()
                .all(|word| has.iter().any(|one| one.starts_with(word.as_str())))
    };
    cards.iter().filter(fits).map(|card| card.id).collect()
}

async fn hits(store: &Store, query: &str) -> Vec<i64> {
    let found = store.search(query, None, None, 1000).await.unwrap();
    found.iter().map(|card| card.id).collect()
}

async fn every_card_is_found_by_its_words(crawl: Crawl) {
    read_world(&crawl).await;
    let cards = all_cards(&crawl.store).await;
    let mut queries: BTreeSet<String> = BTreeSet::new();
    for text in WORLD.iter().flat_map(Printed::texts) {
        // Devanagari is asked for below: what a word of it is, the model does not know.
        if text.is_ascii() || !text.contains('\u{939}') {
            for word in words(text) {
                queries.extend([2, 4, 20].map(|length| word.chars().take(length).collect()));
                queries.insert(word.to_uppercase());
            }
            queries.insert(text.to_owned());
        }
    }
    let more = [
        "1989 donruss grif",
        "GRIF 1989 don",
        "griffey baseball error",
        "pokemon eevee",
        "POKÉMON ÉEVEE",
        "Pokemo\u{301}n",
        "jose onate",
        "215/203",
        "203 215",
        "swsh 095",
        "łódź",
        "straße молоко",
        "МОЛОКО",
        "ピカ",
        "riffey",
        "1989 pokemon",
        "nothing of the kind",
    ];
    queries.extend(more.map(str::to_owned));
    assert!(queries.len() > 100);
    for query in &queries {
        assert_eq!(
            hits(&crawl.store, query).await,
            expected_hits(&cards, query),
            "{query}"
        );
    }
    for query in ["हिन्दी", "हिन", "नाम हिन्दी"] {
        let found = crawl.store.search(query, None, None, 10).await.unwrap();
        assert_eq!(found.len(), 1, "{query}");
    }
    // Within a category.
    let pokemon = crawl.store.categories().await.unwrap()[1].clone();
    for query in ["2021", "e", "donruss", "ken"] {
        let found = crawl
            .store
            .search(query, Some(pokemon.id), None, 1000)
            .await
            .unwrap();
        let expected: Vec<_> = expected_hits(&cards, query)
            .into_iter()
            .filter(|id| {
                cards
                    .iter()
                    .any(|card| card.id == *id && card.category.id == pokemon.id)
            })
            .collect();
        assert_eq!(
            found.iter().map(|card| card.id).collect::<Vec<_>>(),
            expected,
            "{query}"
        );
    }
}

async fn queries_are_text_and_nothing_else(crawl: Crawl) {
    read_world(&crawl).await;
    let cards = all_cards(&crawl.store).await;
    for query in [
        "",
        " ",
        "\"",
        "\"\"\"",
        "'",
        "''; DROP TABLE card_search; --",
        "*",
        "%",
        "_",
        "words:ken",
        "words : ken",
        "-ken",
        "NOT ken",
        "ken OR jose",
        "ken AND",
        "NEAR(ken griffey, 2)",
        "^ken",
        "{words}",
        "ken:* & jose:*",
        "ken | jose",
        "!ken",
        "ken <-> griffey",
        "(ken",
        "ken)",
        "\\",
        "'\\''",
        "\u{1}\u{2}\u{7f}",
        "a\0b",
        "🃏",
        "👩‍👩‍👧 party",
        "\u{202e}",
        "\u{fffd}",
        "ken+griffey",
        "$1",
        "?1",
        ":ken",
        "ken griffey jr 33 1989 donruss baseball error and not looked at",
    ] {
        let asked: String = words(query).into_iter().take(8).collect::<Vec<_>>().join(" ");
        assert_eq!(
            hits(&crawl.store, query).await,
            expected_hits(&cards, &asked),
            "{query:?}"
        );
    }
    assert_eq!(
        hits(&crawl.store, &"ken ".repeat(10_000)).await,
        expected_hits(&cards, "ken")
    );
    assert_eq!(hits(&crawl.store, &"k".repeat(100_000)).await, Vec::<i64>::new());
    // A name longer than any index likes is found by the words it begins with.
    let long = format!("{} {} tail", "q".repeat(9_000), "z\u{e9}".repeat(3_000));
    crawl
        .sql(&format!(
            "UPDATE cards SET name = '{long}' WHERE id = {}",
            cards[0].id
        ))
        .await;
    for query in ["qqqqqq", &"q".repeat(64), &"q".repeat(500), "zeze", "tail", &long] {
        assert_eq!(hits(&crawl.store, query).await, [cards[0].id]);
    }
}

async fn renamed_rows_are_found_by_their_new_names_only(mut crawl: Crawl) {
    let named = |number: &str, name: &str| CardRow {
        name: name.into(),
        ..card(number, &[("9", 1)])
    };
    crawl
        .read_down_to(vec![named("1", "Ken Griffey"), named("2", "Nolan Ryan")])
        .await;
    let all = all_cards(&crawl.store).await;
    // By the reading of another run.
    crawl.next_run().await;
    crawl
        .read_down_to(vec![named("1", "George Griffey"), named("2", "Nolan Ryan")])
        .await;
    assert_eq!(hits(&crawl.store, "george").await, [all[0].id]);
    assert_eq!(hits(&crawl.store, "griffey").await, [all[0].id]);
    assert_eq!(hits(&crawl.store, "ken").await, Vec::<i64>::new());
    // By whoever writes: a set, a card's other texts, another set, a card that is gone.
    crawl.sql("UPDATE sets SET brand = 'Fleer', name = 'Ultra'").await;
    assert_eq!(hits(&crawl.store, "fleer ultra").await, [all[0].id, all[1].id]);
    assert_eq!(hits(&crawl.store, "donruss").await, Vec::<i64>::new());
    let of = |what: &str, index: usize| format!("UPDATE cards SET {what} WHERE id = {}", all[index].id);
    crawl.sql(&of("number = '77', variation = 'Gold'", 1)).await;
    assert_eq!(hits(&crawl.store, "77 gold").await, [all[1].id]);
    crawl
        .sql(
            "INSERT INTO sets (year_id, natural_key, brand, name, url, counts, total, first_seen_at, changed_at, last_seen_at) \
             SELECT year_id, 'other', 'Topps', '', url, counts, total, first_seen_at, changed_at, last_seen_at FROM sets",
        )
        .await;
    crawl
        .sql(&of("set_id = (SELECT id FROM sets WHERE brand = 'Topps')", 1))
        .await;
    assert_eq!(hits(&crawl.store, "topps").await, [all[1].id]);
    assert_eq!(hits(&crawl.store, "fleer").await, [all[0].id]);
    crawl
        .sql(&format!("DELETE FROM cards WHERE id = {}", all[1].id))
        .await;
    assert_eq!(hits(&crawl.store, "topps").await, Vec::<i64>::new());
    let entries = match crawl.store.dialect() {
        tagpipe_store::Dialect::Sqlite => "card_search_docsize",
        tagpipe_store::Dialect::Postgres => "card_search",
    };
    assert_eq!(crawl.count(entries).await, 1);
}

async fn search_outlives_a_migration_down_and_up(crawl: Crawl) {
    read_world(&crawl).await;
    let cards = all_cards(&crawl.store).await;
    let queries = ["1989 donruss grif", "pokemon", "łódź", "ピカチュウ", "2021 e"];
    let mut before = Vec::new();
    for query in queries {
        before.push(hits(&crawl.store, query).await);
        assert_eq!(before.last(), Some(&expected_hits(&cards, query)));
    }
    let (applied, _) = Store::migrations(&crawl.database.url()).await.unwrap();
    let own = applied.iter().position(|name| name == "m0010_search").unwrap();
    crawl
        .store
        .migrate_down((applied.len() - own) as u32)
        .await
        .unwrap();
    assert!(crawl.store.search("donruss", None, None, 1).await.is_err());
    // What changes meanwhile is there afterwards.
    crawl
        .sql(&format!(
            "UPDATE cards SET name = 'Zzyzx' WHERE id = {}",
            cards[0].id
        ))
        .await;
    let store = crawl.database.open().await;
    assert_eq!(hits(&store, "zzyzx").await, [cards[0].id]);
    let now = all_cards(&store).await;
    for query in queries {
        assert_eq!(hits(&store, query).await, expected_hits(&now, query), "{query}");
    }
    // And the triggers are back.
    crawl
        .sql(&format!(
            "UPDATE cards SET name = 'Yucca' WHERE id = {}",
            cards[0].id
        ))
        .await;
    assert_eq!(hits(&store, "zzyzx").await, Vec::<i64>::new());
    assert_eq!(hits(&store, "yucca").await, [cards[0].id]);
    store.close().await;
}

async fn a_reading_that_changes_no_name_leaves_the_index_alone(mut crawl: Crawl) {
    let state = match crawl.store.dialect() {
        // Each write of the index makes a segment, and the row with the averages another one.
        tagpipe_store::Dialect::Sqlite => {
            "SELECT CAST(sum(length(block)) + count(*) AS bigint) AS n FROM card_search_data"
        }
        tagpipe_store::Dialect::Postgres => {
            "SELECT CAST(sum(CAST(CAST(xmin AS text) AS bigint)) AS bigint) AS n FROM card_search"
        }
    };
    crawl.read_down_to(cards(5)).await;
    let before = crawl.number(state).await;
    crawl.next_run().await;
    let moved: Vec<_> = (1..=5)
        .map(|number| card(&number.to_string(), &[("9", 7)]))
        .collect();
    crawl.read_down_to(moved).await;
    assert_eq!(crawl.number(state).await, before);
}

// A card's page. -----------------------------------------------------------------------------------------------

async fn a_card_shows_its_certificates_in_the_order_of_the_leaderboard(crawl: Crawl) {
    crawl.read_down_to(vec![card("1", &[("9", 30)])]).await;
    let ranks = |index: u64| (!index.is_multiple_of(7)).then_some(index % 11 + 1);
    let rows: Vec<GradeRow> = (0..30)
        .map(|index| GradeRow {
            rank: ranks(index),
            completed_on: (index % 2 == 0).then(|| "2023-04-05".parse().unwrap()),
            ..grade_row(&format!("A{index:04}"))
        })
        .collect();
    crawl.read(PageRows::GradeRows(rows.clone())).await;
    let id = all_cards(&crawl.store).await[0].id;
    let all = crawl.store.grade_rows_of(id, None, 1000).await.unwrap();
    let mut expected: Vec<_> = rows.iter().map(|row| row.cert_number.to_string()).collect();
    let place_of = |cert: &String| all.iter().find(|row| row.cert_number == *cert).unwrap();
    expected.sort_by_key(|cert| (place_of(cert).rank.unwrap_or(u64::MAX), place_of(cert).id));
    for limit in [1, 7, 30, 31] {
        let mut shown = Vec::new();
        let mut after = None;
        loop {
            let page = crawl.store.grade_rows_of(id, after, limit).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some(last.cursor());
            shown.extend(page.into_iter().map(|row| row.cert_number));
        }
        assert_eq!(shown, expected);
    }
    for (index, row) in rows.iter().enumerate() {
        let stored = place_of(&row.cert_number.to_string());
        assert_eq!(stored.rank, ranks(index as u64));
        assert_eq!((stored.grade, stored.score), (Some(9.0), Some(900)));
        assert_eq!(
            stored.completed_on.as_deref(),
            (index % 2 == 0).then_some("2023-04-05")
        );
        assert_eq!(stored.vanished_at, None);
        for number in [stored.cert_number.clone(), stored.cert_number.to_lowercase()] {
            assert_eq!(crawl.store.card_of_certificate(&number).await.unwrap(), Some(id));
        }
    }
    for number in ["", "A", "' OR 1 = 1", "A\0"] {
        assert_eq!(crawl.store.card_of_certificate(number).await.unwrap(), None);
    }
}

async fn the_newest_populations_come_oldest_first(mut crawl: Crawl) {
    let mut runs = Vec::new();
    for copies in [1, 2, 2, 3] {
        if !runs.is_empty() {
            crawl.next_run().await;
        }
        crawl
            .read_down_to(vec![card("1", &[("9", copies), ("VA", 1)])])
            .await;
        runs.push(crawl.run);
    }
    let card = all_cards(&crawl.store).await.remove(0);
    for (of, id) in [(Population::Card, card.id), (Population::Set, card.set.id)] {
        let all = crawl.store.population_history_of(of, id, 100).await.unwrap();
        let shown: Vec<_> = all.iter().map(|point| (point.run_id, point.total)).collect();
        assert_eq!(shown, [(runs[0], 2), (runs[1], 3), (runs[3], 4)]);
        assert_eq!(all[2].counts.len(), 2);
        assert!(all.is_sorted_by(|left, right| left.observed_at <= right.observed_at));
        let newest = crawl.store.population_history_of(of, id, 2).await.unwrap();
        assert_eq!(newest, all[1..]);
    }
}

// Analytics. ---------------------------------------------------------------------------------------------------

async fn a_run_is_told_by_its_pages(crawl: Crawl) {
    read_world(&crawl).await;
    let store = &crawl.store;
    let run = crawl.run;
    // Some pages end otherwise, each takes its own time and ends in its own second of the last hundred.
    let minute = |seconds: &str| match store.dialect() {
        tagpipe_store::Dialect::Sqlite => {
            format!("strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-' || ({seconds}) || ' seconds')")
        }
        tagpipe_store::Dialect::Postgres => format!("clock_timestamp() - ({seconds}) * interval '1 second'"),
    };
    crawl
        .sql(&format!(
            "UPDATE runs SET started_at = {}; \
             UPDATE frontier SET elapsed_ms = (id * 37) % 101, finished_at = {}; \
             UPDATE frontier SET state = 'failed' WHERE id % 5 = 0 AND level > 0; \
             UPDATE frontier SET state = 'unchanged' WHERE id % 7 = 0 AND level > 0; \
             UPDATE frontier SET state = 'available' WHERE id % 11 = 0 AND level > 0",
            minute("100"),
            minute("id % 100"),
        ))
        .await;
    let pages = crawl
        .rows("SELECT CAST(level AS bigint) AS level, state, elapsed_ms, page_key FROM frontier ORDER BY id")
        .await;
    let pages: Vec<(i64, String, u64, String)> = pages
        .iter()
        .map(|row| {
            let elapsed: i64 = row.try_get("", "elapsed_ms").unwrap();
            (
                row.try_get("", "level").unwrap(),
                row.try_get("", "state").unwrap(),
                elapsed.unsigned_abs(),
                row.try_get("", "page_key").unwrap(),
            )
        })
        .collect();
    let in_state = |state: &str| pages.iter().filter(|page| page.1 == state).count() as u64;

    for spans in [1, 10, 100, 2_000] {
        let throughput = store.throughput(run, spans).await.unwrap().unwrap();
        assert_eq!(throughput.spans.len(), spans as usize);
        assert!(throughput.span_ms * u64::from(spans) >= 100_000);
        let completed: u64 = throughput.spans.iter().map(|span| span.completed).sum();
        let failed: u64 = throughput.spans.iter().map(|span| span.failed).sum();
        assert_eq!((completed, failed), (in_state("completed"), in_state("failed")));
        assert!(
            spans < 10 || throughput.spans.iter().all(|span| span.completed < completed),
            "not all in one: {throughput:?}"
        );
    }
    assert_eq!(store.throughput(run + 1, 10).await.unwrap(), None);

    let mut times: Vec<_> = pages
        .iter()
        .filter(|page| page.1 == "completed")
        .map(|page| page.2)
        .collect();
    times.sort_unstable();
    let at_least = |percent: usize| times[(times.len() * percent).div_ceil(100) - 1];
    assert_eq!(
        store.latency(run).await.unwrap(),
        Latency {
            pages: times.len() as u64,
            p50_ms: at_least(50),
            p90_ms: at_least(90),
            p99_ms: at_least(99),
            max_ms: at_least(100),
        }
    );
    assert_eq!(store.latency(run + 1).await.unwrap(), Latency::default());

    // Keys are `kind/category/year/…`, categories folded.
    let counted = |level: i64, start: &dyn Fn(&str) -> String| {
        let of = |state: &str| {
            let belongs = |page: &&(i64, String, u64, String)| {
                let kind = page.3.split('/').next().unwrap();
                let inside = format!("{}/", start(kind));
                page.0 >= level && page.1 == state && format!("{}/", page.3).starts_with(&inside)
            };
            pages.iter().filter(belongs).count() as u64
        };
        PagesByState {
            available: of("available"),
            completed: of("completed"),
            unchanged: of("unchanged"),
            failed: of("failed"),
            ..PagesByState::default()
        }
    };
    let progress = store.category_progress(run).await.unwrap();
    let names: BTreeSet<_> = WORLD.iter().map(|card| card.category).collect();
    assert_eq!(
        progress.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(),
        Vec::from_iter(names)
    );
    for category in progress.iter().filter(|category| !category.name.contains(' ')) {
        let folded = fold_name(&category.name);
        assert_eq!(category.pages, counted(1, &|kind| format!("{kind}/{folded}")));
        let years = store.year_progress(run, &category.name).await.unwrap();
        let below: u64 = years.iter().map(|year| year.pages.total()).sum();
        assert_eq!(below + 1, category.pages.total());
        for year in years {
            let expected = counted(2, &|kind| format!("{kind}/{folded}/{}", year.name));
            assert_eq!(year.pages, expected, "{}", year.name);
        }
    }
    let all: u64 = progress.iter().map(|category| category.pages.total()).sum();
    assert_eq!(all + 1, pages.len() as u64);
    assert_eq!(store.year_progress(run, "' OR '1'='1").await.unwrap(), []);

    let coverage = store.coverage().await.unwrap();
    let cards = all_cards(store).await;
    for CategoryCoverage {
        category,
        cards_promised,
        cards_stored,
        cards_read,
        cards_verified,
        oldest_read_at,
        median_read_at,
        newest_read_at,
    } in coverage
    {
        let mut readings: Vec<_> = cards
            .iter()
            .filter(|card| card.category == category)
            .map(|card| card.seen.read_at.clone())
            .collect();
        readings.sort();
        let stored = readings.len();
        assert_eq!(
            (cards_promised, cards_stored, cards_read, cards_verified),
            (stored as u64, stored as u64, stored as u64, 0)
        );
        assert_eq!(oldest_read_at, readings[0]);
        assert_eq!(median_read_at, readings[stored.div_ceil(2) - 1]);
        assert_eq!(newest_read_at, readings[stored - 1]);
    }
}

async fn errors_are_counted_by_cause_and_hour(crawl: Crawl) {
    let causes = [Cause::Timeout, Cause::Network, Cause::Timeout];
    let origin = AuditOrigin {
        run: Some(crawl.run),
        runner_id: "runner_1",
    };
    let mut entries = Vec::new();
    for level in AuditLevel::ALL {
        for cause in causes {
            entries.push(AuditEntry {
                context: serde_json::json!({ "outcome": cause.as_str() }),
                kind: AuditKind::Error,
                ..entry(level, "it failed")
            });
        }
        entries.push(AuditEntry {
            kind: AuditKind::Error,
            operation: "export".into(),
            ..entry(level, "no cause is told")
        });
    }
    crawl.store.audit(origin, &entries).await.unwrap();
    let expected = [
        (Cause::Timeout.as_str(), 2, 4),
        ("export", 1, 2),
        (Cause::Network.as_str(), 1, 2),
    ]
    .map(|(cause, retries, failures)| ErrorCause {
        cause: cause.to_owned(),
        retries,
        failures,
    });
    let mut found = crawl.store.error_causes(Duration::from_secs(3600)).await.unwrap();
    found.sort_by(|left, right| (right.failures, &right.cause).cmp(&(left.failures, &left.cause)));
    let mut expected = expected.to_vec();
    expected.sort_by(|left, right| (right.failures, &right.cause).cmp(&(left.failures, &left.cause)));
    assert_eq!(found, expected);
    assert_eq!(crawl.store.error_causes(Duration::ZERO).await.unwrap(), []);

    // Entries of other hours, and one whose context is no JSON where the engine takes any text.
    let others = [
        ("2026-01-02", 3, "ERROR", 2),
        ("2026-01-02", 4, "ERROR", 1),
        ("2026-01-02", 4, "WARNING", 3),
        ("2026-01-03", 23, "CRITICAL", 1),
    ];
    let context = match crawl.store.dialect() {
        tagpipe_store::Dialect::Sqlite => "'no JSON'",
        tagpipe_store::Dialect::Postgres => "'\"a text\"'",
    };
    for (day, hour, level, count) in others {
        for minute in 0..count {
            crawl
                .sql(&format!(
                    "INSERT INTO audit_logs (created_at, level, kind, runner_id, operation, message, context) \
                     VALUES ('{day}T{hour:02}:{minute:02}:59.999Z', '{level}', 'error', 'r', 'other', '', {context})"
                ))
                .await;
        }
    }
    let century = Duration::from_secs(100 * 365 * 86_400);
    let by_hour = crawl.store.errors_by_hour(century).await.unwrap();
    let shown: Vec<_> = by_hour
        .iter()
        .map(|one| (one.day.as_str(), one.hour, one.level.as_str(), one.entries))
        .collect();
    assert_eq!(shown[..4], others);
    let (now, later): (u64, Vec<_>) = (
        by_hour[4..].iter().map(|one| one.entries).sum(),
        shown[4..].to_vec(),
    );
    assert_eq!(now, 12, "{later:?}");
    let other = crawl.store.error_causes(century).await.unwrap();
    let other = other.iter().find(|one| one.cause == "other").unwrap();
    assert_eq!((other.retries, other.failures), (3, 4));
}

async fn saved_requests_are_told_by_summary_or_counted(mut crawl: Crawl) {
    read_world(&crawl).await;
    let first = crawl.run;
    let summary = serde_json::json!({ "left_out": { "pages": 12, "audited": 3, "missed": 1, "missed_share_most": 0.7 } });
    crawl
        .store
        .set_run_state(
            first,
            tagpipe_core::lifecycle::RunState::Reconciled,
            Some(&summary),
        )
        .await
        .unwrap();
    crawl.next_run().await;
    let pages = crawl.number("SELECT count(*) FROM frontier").await.unsigned_abs();
    crawl.add(&[categories_page()]).await;
    let saved = crawl.store.saved_requests(10).await.unwrap();
    let shown: Vec<_> = saved
        .iter()
        .map(|run| (run.run_id, run.read, run.left_out, run.audited, run.missed))
        .collect();
    assert_eq!(shown, [(crawl.run, 0, 0, 0, 0), (first, pages, 12, 3, 1)]);
    assert_eq!(crawl.store.saved_requests(1).await.unwrap().len(), 1);
}

// Discrepancies. -----------------------------------------------------------------------------------------------

async fn discrepancies_name_what_they_are_about(crawl: Crawl) {
    read_world(&crawl).await;
    let card = all_cards(&crawl.store).await.remove(0);
    let about = |subject: &str, subject_id: i64, verdict: Verdict| Discrepancy {
        subject: subject.into(),
        subject_id,
        page_key: format!("page of {subject}"),
        what: "copies".into(),
        expected: "2".into(),
        expected_by: "the set's page".into(),
        found: "1".into(),
        verdict,
    };
    let all = [
        about("year", card.year.id, Verdict::Disagrees),
        about("set", card.set.id, Verdict::Moved),
        about("card", card.id, Verdict::Unverified),
        about("page", 0, Verdict::Disagrees),
    ];
    crawl.settle(&all).await;
    let shown = crawl.store.discrepancies(true, None, None, 10).await.unwrap();
    assert_eq!(shown.len(), all.len());
    let places: BTreeMap<_, _> = shown
        .iter()
        .map(|one| (one.subject.as_str(), one.place.join("/")))
        .collect();
    let place = texts(&card).map(str::to_owned);
    let upto = |parts: usize| {
        let parts = place[..parts].iter().filter(|part| !part.is_empty());
        parts.cloned().collect::<Vec<_>>().join("/")
    };
    assert_eq!(
        places,
        BTreeMap::from([
            ("year", upto(2)),
            ("set", upto(4)),
            ("card", upto(7)),
            ("page", String::new())
        ])
    );
    for one in &shown {
        let written = all.iter().find(|written| written.subject == one.subject).unwrap();
        assert_eq!(
            (one.verdict, one.run_id, &one.page_key),
            (written.verdict, crawl.run, &written.page_key)
        );
    }
    crawl
        .sql("UPDATE discrepancies SET resolved_at = created_at WHERE subject = 'set'")
        .await;
    let open = crawl.store.discrepancies(true, None, None, 10).await.unwrap();
    assert!(open.iter().all(|one| one.subject != "set") && open.len() == 3);
    let sets = crawl
        .store
        .discrepancies(false, Some("set"), None, 10)
        .await
        .unwrap();
    assert!(sets.len() == 1 && sets[0].resolved_at.is_some());
    let mut after = None;
    let mut paged = Vec::new();
    while let Some(next) = crawl
        .store
        .discrepancies(false, None, after, 1)
        .await
        .unwrap()
        .pop()
    {
        after = Some(next.id);
        paged.push(next.id);
    }
    assert_eq!(paged.len(), 4);
    assert!(paged.is_sorted());
    assert_eq!(
        crawl
            .store
            .discrepancies(false, Some("' OR 1=1"), None, 10)
            .await
            .unwrap(),
        []
    );
}
