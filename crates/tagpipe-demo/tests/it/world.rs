//! The truth holds together: sums, uniqueness, size, repeatability.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tagpipe_demo::{DemoConfig, Grade, Summary, World};

use crate::http::start;

async fn world(config: DemoConfig) -> Arc<World> {
    let demo = start(config).await;
    let world = demo.world();
    demo.stop().await;
    world
}

fn assert_sums_agree(world: &World) {
    let mut of_card: HashMap<String, (u32, HashMap<String, u32>)> = HashMap::new();
    for row in world.grade_rows() {
        let key = [
            &row.category,
            &row.year,
            &row.brand,
            &row.set,
            &row.number,
            &row.name,
            &row.variation,
        ]
        .map(String::as_str)
        .join("|");
        let code = row.grade_text.split(' ').next().unwrap_or_default();
        let code = if row.grade_label == Some("PRIS") {
            "10P"
        } else {
            code
        };
        let (total, grades) = of_card.entry(key).or_default();
        *total += 1;
        *grades.entry(code.to_owned()).or_default() += 1;
    }
    let mut of_set: HashMap<String, (u32, u32, [u32; 20])> = HashMap::new();
    for row in world.card_rows() {
        let key = [
            &row.category,
            &row.year,
            &row.brand,
            &row.set,
            &row.number,
            &row.name,
            &row.variation,
        ]
        .map(String::as_str)
        .join("|");
        let (total, grades) = &of_card[&key];
        assert_eq!((row.total, row.total), (*total, row.counts.total()), "{key}");
        for grade in Grade::all() {
            assert_eq!(
                row.counts.of(grade),
                grades.get(grade.code()).copied().unwrap_or(0),
                "{key} {grade:?}"
            );
        }
        let set = of_set
            .entry(
                [&row.category, &row.year, &row.brand, &row.set]
                    .map(String::as_str)
                    .join("|"),
            )
            .or_default();
        set.0 += 1;
        set.1 += row.total;
        Grade::all().for_each(|grade| set.2[grade.index()] += row.counts.of(grade));
    }
    let mut of_year: HashMap<String, [u32; 3]> = HashMap::new();
    for row in world.set_rows() {
        let key = [&row.category, &row.year, &row.brand, &row.name]
            .map(String::as_str)
            .join("|");
        let (items, total, grades) = of_set.get(&key).copied().unwrap_or_default();
        assert_eq!((row.total, row.total), (total, row.counts.total()), "{key}");
        assert!(
            Grade::all().all(|grade| row.counts.of(grade) == grades[grade.index()]),
            "{key}"
        );
        let year = of_year
            .entry(format!("{}|{}", row.category, row.year))
            .or_default();
        *year = [year[0] + 1, year[1] + items, year[2] + total];
    }
    for row in world.year_rows() {
        let sums = of_year
            .get(&format!("{}|{}", row.category, row.year))
            .copied()
            .unwrap_or_default();
        assert_eq!(
            [row.sets_count, row.items_count, row.graded_count],
            sums,
            "{} {}",
            row.category,
            row.year
        );
    }
}

#[tokio::test]
async fn sums_agree_at_all_levels() {
    for (seed, pages, epoch) in [(1, 60, 0), (2, 600, 0), (3, 600, 30), (4, 10_000, 2)] {
        assert_sums_agree(
            &*world(DemoConfig {
                seed,
                pages,
                epoch,
                ..DemoConfig::default()
            })
            .await,
        );
    }
}

#[tokio::test]
async fn the_size_is_the_one_asked_for() {
    for seed in [1, 8] {
        for pages in [60, 600, 10_000, 100_000] {
            let world = world(DemoConfig {
                seed,
                pages,
                ..DemoConfig::default()
            })
            .await;
            let Summary {
                pages: drawn,
                by_level,
                rows,
                requests_needed,
            } = world.summary();
            let off = (drawn as f64 - pages as f64).abs() / pages as f64;
            assert!(off <= 0.15, "{drawn} for {pages}");
            assert_eq!(by_level.iter().sum::<u64>(), drawn);
            assert!(requests_needed > drawn, "some pages have more rows than fit");
            let per_card = rows.grade_rows as f64 / rows.cards as f64;
            assert!((3.0..40.0).contains(&per_card), "{per_card} certificates a card");
        }
    }
}

#[tokio::test]
async fn certificates_are_unique_and_well_formed() {
    for pages in [600, 30_000] {
        let world = world(DemoConfig {
            pages,
            epoch: 5,
            ..DemoConfig::default()
        })
        .await;
        let mut seen = HashSet::new();
        for row in world.grade_rows() {
            let text = row.cert_number.as_str().as_bytes().to_vec();
            assert!((b'C'..=b'Z').contains(&text[0]) && text[0] != b'I' && text[0] != b'O');
            assert!(text.len() == 8 && text[1..].iter().all(u8::is_ascii_digit));
            assert!(seen.insert(row.cert_number), "{} twice", row.cert_number);
        }
        assert_eq!(seen.len() as u64, world.summary().rows.grade_rows);
    }
}

#[tokio::test]
async fn a_large_site_has_the_shape_of_the_real_one() {
    let world = world(DemoConfig {
        pages: 100_000,
        ..DemoConfig::default()
    })
    .await;
    let mut sets_of: HashMap<String, u32> = HashMap::new();
    for year in world.year_rows() {
        *sets_of.entry(year.category).or_default() += year.sets_count;
    }
    assert!(
        (2500..6000).contains(&sets_of["Baseball"]),
        "{}",
        sets_of["Baseball"]
    );
    let years = world
        .year_rows()
        .filter(|year| year.category == "Baseball")
        .count();
    assert!((30..=57).contains(&years), "{years}");
    assert!(world.year_rows().any(|year| year.sets_count > 200));
    assert!(world.year_rows().all(|year| year.sets_count < 500));
    assert!(world.year_rows().any(|year| year.sets_count == 0));
    let pokemon: Vec<_> = world
        .year_rows()
        .filter(|year| year.category == "Pokémon")
        .collect();
    let (items, graded) = pokemon.iter().fold((0, 0), |(items, graded), year| {
        (items + year.items_count, graded + year.graded_count)
    });
    assert!(
        (18_000..35_000).contains(&items) && graded > 8 * items,
        "{items} {graded}"
    );
    for set in world.set_rows().step_by(997) {
        let sum: u32 = world
            .card_rows()
            .filter(|card| {
                (&card.category, &card.year, &card.brand, &card.set)
                    == (&set.category, &set.year, &set.brand, &set.name)
            })
            .map(|card| card.total)
            .sum();
        assert_eq!(sum, set.total);
    }
}

#[tokio::test]
async fn names_are_sorted_and_distinct_within_their_parent() {
    let world = world(DemoConfig {
        pages: 10_000,
        ..DemoConfig::default()
    })
    .await;
    let sets: Vec<_> = world.set_rows().collect();
    for pair in sets
        .windows(2)
        .filter(|pair| (&pair[0].category, &pair[0].year) == (&pair[1].category, &pair[1].year))
    {
        assert!(
            (&pair[0].brand, &pair[0].name) < (&pair[1].brand, &pair[1].name),
            "{pair:?}"
        );
    }
    let years: Vec<_> = world.year_rows().collect();
    assert!(
        years
            .windows(2)
            .all(|pair| pair[0].category != pair[1].category || pair[0].year < pair[1].year)
    );
    let cards: HashSet<String> = world.card_rows().map(|card| card.url).collect();
    assert_eq!(cards.len() as u64, world.summary().rows.cards);
}

#[tokio::test]
async fn one_name_stands_under_two_numbers_and_one_number_has_variations() {
    let world = world(DemoConfig::default()).await;
    let cards: Vec<_> = world.card_rows().collect();
    let same_set = |a: &tagpipe_demo::CardRow, b: &tagpipe_demo::CardRow| {
        (&a.category, &a.year, &a.brand, &a.set) == (&b.category, &b.year, &b.brand, &b.set)
    };
    let pairs = || {
        cards
            .windows(2)
            .map(|pair| (&pair[0], &pair[1]))
            .filter(|(a, b)| same_set(a, b))
    };
    assert!(pairs().any(|(a, b)| a.name == b.name && a.number != b.number));
    assert!(pairs().any(|(a, b)| a.number == b.number && a.name == b.name && a.variation != b.variation));
    assert!(cards.iter().any(|card| card.number.contains('/')) && cards.iter().any(|card| card.total > 200));
}

#[tokio::test]
async fn the_same_settings_yield_the_same_world_and_another_seed_another() {
    let config = DemoConfig {
        epoch: 3,
        ..DemoConfig::default()
    };
    let (first, second) = (world(config.clone()).await, world(config.clone()).await);
    assert!(first.grade_rows().eq(second.grade_rows()));
    let other = world(DemoConfig { seed: 2, ..config }).await;
    assert!(!first.card_rows().eq(other.card_rows()));
}
