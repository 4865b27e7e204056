//! Rows for those who take them elsewhere.

use std::collections::BTreeMap;

use tagpipe_core::filter::{Filters, NameFilter, YearFilter};
use tagpipe_core::tabular::{Row, Value};
use tagpipe_store::export::{Exportable, Level, NotApplicable, Selection, Snapshot};

use crate::harness::*;

on_both_engines! {
    all_rows_come_once_and_in_order,
    filters_admit_what_their_names_say,
    all_tables_are_of_one_moment,
    rows_changed_since_a_time_are_told,
    what_comes_and_goes_with_its_category_is_told,
    a_reparse_that_has_corrected_rows_is_known,
    vanished_rows_can_be_left_out,
    rows_are_told_apart_by_category_year_and_set,
    many_rows_come_a_few_at_a_time,
    the_last_end_and_the_time_of_reading_are_known,
}

/// Categories by number, and the sets of each of their two years.
const CATEGORIES: [&str; 3] = ["Hockey", "Baseball", "Pokémon"];
const SETS: [(&str, &str); 2] = [("Topps", ""), ("Upper Deck", "Série 1")];

/// A small catalogue: in each category 1989 and 1990, in each year two sets, in each set two cards with two certificates
/// each. Numbers count from 1 on each level, in this order. All was seen at 07:00.
async fn fill(crawl: &Crawl) {
    let at = "'2026-11-24T07:00:00.000Z'";
    let seen = format!("{at}, {at}, {at}");
    let mut sql = String::new();
    let (mut year_id, mut set_id, mut card_id, mut row_id) = (0, 0, 0, 0);
    for (category_id, category) in (1..).zip(CATEGORIES) {
        sql.push_str(&format!(
            "INSERT INTO categories (id, name, name_key, url, first_seen_at, changed_at, last_seen_at) \
             VALUES ({category_id}, '{category}', 'key {category_id}', '/c', {seen});"
        ));
        for year in ["1989", "1990"] {
            year_id += 1;
            sql.push_str(&format!(
                "INSERT INTO years (id, category_id, natural_key, year, sets_count, items_count, graded_count, url, \
                     first_seen_at, changed_at, last_seen_at) \
                 VALUES ({year_id}, {category_id}, '{year}', '{year}', 2, 4, 8, '/y', {seen});"
            ));
            for (brand, name) in SETS {
                set_id += 1;
                sql.push_str(&format!(
                    "INSERT INTO sets (id, year_id, natural_key, brand, name, url, counts, total, first_seen_at, changed_at, \
                         last_seen_at, read_at) \
                     VALUES ({set_id}, {year_id}, '{brand}/{name}', '{brand}', '{name}', '/s', '{{\"9\":4}}', 4, {seen}, \
                         '2026-11-24T07:{set_id:02}:00.000Z'); \
                     INSERT INTO population_history (subject, subject_id, observed_at, run_id, counts, total) \
                     VALUES ('set', {set_id}, {at}, 1, '{{\"9\":4}}', 4);"
                ));
                for number in 1..=2 {
                    card_id += 1;
                    sql.push_str(&format!(
                        "INSERT INTO cards (id, set_id, natural_key, number, name, variation, url, counts, total, \
                             first_seen_at, changed_at, last_seen_at) \
                         VALUES ({card_id}, {set_id}, '{number}', '{number}', 'A card', '', '/k', '{{\"9\":2}}', 2, {seen}); \
                         INSERT INTO population_history (subject, subject_id, observed_at, run_id, counts, total) \
                         VALUES ('card', {card_id}, {at}, 1, '{{\"9\":2}}', 2);"
                    ));
                    for _ in 0..2 {
                        row_id += 1;
                        sql.push_str(&format!(
                            "INSERT INTO grade_rows (id, cert_number, card_id, grade_text, grade, grade_label, grade_code, \
                                 completed_on, report_url, first_seen_at, changed_at, last_seen_at) \
                             VALUES ({row_id}, 'C{row_id}', {card_id}, '9 MINT', 9, 'MINT', '9', '2026-01-31', '/r', {seen});"
                        ));
                    }
                }
            }
        }
    }
    crawl.sql(&sql).await;
}

fn table(name: &str) -> Exportable {
    Exportable::named(name).unwrap()
}

/// The wanted rows of a table, with the part of each.
async fn read(snapshot: &mut Snapshot, name: &str, selection: &Selection) -> Vec<(Option<i64>, Row)> {
    selection.check(table(name)).unwrap();
    let admitted = match selection.filtered_level() {
        Some(level) => snapshot.parts(level, &selection.filters).await.unwrap(),
        None => Vec::new(),
    };
    let mut reader = snapshot.read(table(name), selection, &admitted).await.unwrap();
    let mut rows = Vec::new();
    while let Some(batch) = reader.next().await.unwrap() {
        rows.extend(batch.rows.into_iter().map(|row| (batch.part, row)));
    }
    rows
}

/// The first column of the wanted rows: their numbers.
async fn ids(crawl: &Crawl, name: &str, selection: &Selection) -> Vec<i64> {
    let mut snapshot = crawl.store.snapshot().await.unwrap();
    let rows = read(&mut snapshot, name, selection).await;
    snapshot.close().await.unwrap();
    rows.iter()
        .map(|(_, row)| match row[0] {
            Value::Integer(id) => id,
            ref other => panic!("{name} begins with {other:?}"),
        })
        .collect()
}

async fn all_rows_come_once_and_in_order(crawl: Crawl) {
    fill(&crawl).await;
    let mut snapshot = crawl.store.snapshot().await.unwrap();
    for one in Exportable::all() {
        let table = one.table();
        let rows = read(&mut snapshot, table.name, &Selection::default()).await;
        assert_eq!(rows.len() as i64, crawl.count(table.name).await, "{}", table.name);
        let places: Vec<usize> = table
            .order
            .iter()
            .map(|name| {
                table
                    .columns
                    .iter()
                    .position(|column| column.name == *name)
                    .unwrap()
            })
            .collect();
        let keys: Vec<Vec<String>> = rows
            .iter()
            .map(|(_, row)| places.iter().map(|place| sortable(&row[*place])).collect())
            .collect();
        assert!(
            keys.is_sorted_by(|one, next| one < next),
            "{}: {keys:?}",
            table.name
        );
    }
    snapshot.close().await.unwrap();
}

fn sortable(value: &Value) -> String {
    match value {
        Value::Integer(number) => format!("{number:020}"),
        Value::Timestamp(moment) => moment.to_string(),
        Value::Text(text) => text.clone(),
        other => panic!("rows are ordered by {other:?}"),
    }
}

async fn filters_admit_what_their_names_say(crawl: Crawl) {
    fill(&crawl).await;
    let with = |categories: &str, years: &str, sets: &str| Selection {
        filters: Filters {
            categories: NameFilter::parse(categories).unwrap(),
            years: YearFilter::parse(years).unwrap(),
            sets: NameFilter::parse(sets).unwrap(),
            ..Filters::default()
        },
        ..Selection::default()
    };
    // Twelve sets in three categories of two years of two sets; each set has cards 2n-1 and 2n.
    for (selection, sets) in [
        (with("pokemon", "", ""), vec![9, 10, 11, 12]),
        (with("*ball,HOCKEY", "1990", ""), vec![3, 4, 7, 8]),
        (with("", "1985-1989", "*serie*"), vec![2, 6, 10]),
        (with("", "", "Topps"), vec![1, 3, 5, 7, 9, 11]),
        (with("nothing", "", ""), vec![]),
    ] {
        let cards: Vec<i64> = sets.iter().flat_map(|set| [2 * set - 1, 2 * set]).collect();
        let rows: Vec<i64> = cards.iter().flat_map(|card| [2 * card - 1, 2 * card]).collect();
        assert_eq!(ids(&crawl, "sets", &selection).await, sets);
        assert_eq!(ids(&crawl, "cards", &selection).await, cards);
        assert_eq!(ids(&crawl, "catalogue", &selection).await, cards);
        assert_eq!(ids(&crawl, "card_population", &selection).await, cards);
        assert_eq!(ids(&crawl, "grade_rows", &selection).await, rows);
        let history = ids(&crawl, "population_history", &selection).await;
        assert_eq!(history.len(), sets.len() + cards.len());
    }
    assert_eq!(ids(&crawl, "years", &with("hockey", "1990", "")).await, [2]);
    assert_eq!(ids(&crawl, "categories", &with("*ball", "", "")).await, [2]);
    let too_deep = with("", "", "Topps").check(table("years"));
    assert_eq!(
        too_deep,
        Err(NotApplicable::Level {
            table: "years",
            level: Level::Set
        })
    );
}

async fn all_tables_are_of_one_moment(crawl: Crawl) {
    fill(&crawl).await;
    let mut snapshot = crawl.store.snapshot().await.unwrap();
    crawl
        .sql(
            "UPDATE sets SET total = 5 WHERE id = 1; DELETE FROM grade_rows WHERE id = 1; \
             INSERT INTO grade_scale (code, position, grade, label) VALUES ('9', 1, 9, '');",
        )
        .await;
    let whole = Selection::default();
    let sets = read(&mut snapshot, "sets", &whole).await;
    assert!(sets.iter().all(|(_, row)| row.contains(&Value::Integer(4))));
    assert_eq!(read(&mut snapshot, "grade_rows", &whole).await.len(), 48);
    assert_eq!(read(&mut snapshot, "grade_scale", &whole).await.len(), 0);
    snapshot.close().await.unwrap();
    let mut later = crawl.store.snapshot().await.unwrap();
    assert_eq!(read(&mut later, "grade_rows", &whole).await.len(), 47);
    later.close().await.unwrap();
}

async fn rows_changed_since_a_time_are_told(crawl: Crawl) {
    fill(&crawl).await;
    let nine = "'2026-11-24T09:00:00.000Z'";
    crawl
        .sql(&format!(
            "UPDATE cards SET counts = '{{\"9\":3}}', total = 3, changed_at = {nine}, last_seen_at = {nine} WHERE id = 5; \
             UPDATE cards SET vanished_at = {nine}, changed_at = {nine} WHERE id = 6; \
             UPDATE cards SET last_seen_at = {nine} WHERE id = 7; \
             UPDATE sets SET brand = 'Bowman', last_seen_at = {nine} WHERE id = 4; \
             UPDATE cards SET name = 'Another name', last_seen_at = {nine} WHERE id = 9; \
             INSERT INTO discrepancies (id, subject, subject_id, page_key, what, expected, expected_by, found, run_id, \
                 created_at, resolved_at) \
             VALUES (1, 'card', 1, 'k', 'w', '1', 'b', '2', 1, '2026-11-24T07:00:00.000Z', {nine}), \
                    (2, 'card', 1, 'k', 'w', '1', 'b', '2', 1, '2026-11-24T07:00:00.000Z', NULL);"
        ))
        .await;
    let since = |hour: i64| Selection {
        // 2026-11-24T00:00Z is 1,795,478,400 s after 1970.
        changed_since_us: Some((1_795_478_400 + hour * 3600) * 1_000_000),
        ..Selection::default()
    };
    assert_eq!(ids(&crawl, "cards", &since(8)).await, [5, 6, 9]);
    assert_eq!(ids(&crawl, "cards", &since(6)).await.len(), 24);
    assert_eq!(ids(&crawl, "cards", &since(9)).await, Vec::<i64>::new());
    assert_eq!(ids(&crawl, "sets", &since(8)).await, [4]);
    // A card's row of the catalogue is another one when it or its set has another name, and gone when the card is.
    assert_eq!(ids(&crawl, "catalogue", &since(8)).await, [5, 7, 8, 9]);
    assert_eq!(ids(&crawl, "card_population", &since(8)).await, [5]);
    assert_eq!(ids(&crawl, "catalogue_history", &since(8)).await.len(), 3);
    assert_eq!(ids(&crawl, "discrepancies", &since(8)).await, [1]);
    let not_dated = since(8).check(table("grade_scale"));
    assert_eq!(not_dated, Err(NotApplicable::Dates { table: "grade_scale" }));
}

/// What is listed, as somebody knows it who only ever takes what changed, is what is listed.
async fn what_comes_and_goes_with_its_category_is_told(crawl: Crawl) {
    fill(&crawl).await;
    // The second of three categories has the sets 5 to 8; its second year the sets 7 and 8, of the cards 13 to 16.
    let set = |table: &str, id: i64, hour: u32, is_listed: bool| {
        let at = format!("'2026-11-24T{hour:02}:00:00.000Z'");
        let vanished = if is_listed { "NULL" } else { &at };
        format!(
            "UPDATE {table} SET vanished_at = {vanished}, changed_at = {at}, last_seen_at = {at} WHERE id = {id};"
        )
    };
    let since = |hour: i64, is_current: bool| Selection {
        changed_since_us: Some((1_795_478_400 + hour * 3600) * 1_000_000),
        is_current,
        ..Selection::default()
    };
    crawl.sql(&set("categories", 2, 8, false)).await;
    assert_eq!(
        ids(&crawl, "catalogue", &since(7, false)).await,
        Vec::<i64>::new()
    );
    assert_eq!(ids(&crawl, "cards", &since(7, true)).await, Vec::<i64>::new());
    // Without --current they are told, too: that they are listed no more stands above them.
    assert_eq!(
        ids(&crawl, "cards", &since(7, false)).await,
        Vec::from_iter(9..=16)
    );
    crawl.sql(&set("categories", 2, 9, true)).await;
    for table in ["catalogue", "cards"] {
        assert_eq!(
            ids(&crawl, table, &since(8, true)).await,
            Vec::from_iter(9..=16),
            "{table}"
        );
        assert_eq!(
            ids(&crawl, table, &since(9, true)).await,
            Vec::<i64>::new(),
            "{table}"
        );
    }
    assert_eq!(ids(&crawl, "years", &since(8, true)).await, [3, 4]);
    assert_eq!(ids(&crawl, "sets", &since(8, true)).await, [5, 6, 7, 8]);
    assert_eq!(
        ids(&crawl, "grade_rows", &since(8, true)).await,
        Vec::from_iter(17..=32)
    );
    for (table, id, cards) in [("years", 4, vec![13, 14, 15, 16]), ("sets", 8, vec![15, 16])] {
        crawl.sql(&set(table, id, 10, false)).await;
        crawl.sql(&set(table, id, 11, true)).await;
        assert_eq!(
            ids(&crawl, "catalogue", &since(10, false)).await,
            cards,
            "{table}"
        );
        crawl
            .sql("UPDATE catalogue_history SET observed_at = '2026-11-24T07:00:00.000Z';")
            .await;
    }
}

async fn a_reparse_that_has_corrected_rows_is_known(crawl: Crawl) {
    let reparse = |id: i64, finished: &str, summary: &str| {
        format!(
            "INSERT INTO runs (id, state, config, started_at, finished_at, summary) \
             VALUES ({id}, 'reconciled', '{{\"work\":\"reparse\"}}', '2026-11-24T07:00:00.000Z', {finished}, {summary});"
        )
    };
    let of = |changed: u32| format!("'{{\"tables\":[{{\"new\":0,\"changed\":{changed},\"vanished\":0}}]}}'");
    let at = async |hour: i64| {
        let snapshot = crawl.store.snapshot().await.unwrap();
        let corrected = snapshot
            .corrected_since((1_795_478_400 + hour * 3600) * 1_000_000)
            .await;
        snapshot.close().await.unwrap();
        corrected.unwrap()
    };
    assert_eq!(at(0).await, None, "the run of the harness has asked the site");
    crawl
        .sql(&reparse(101, "'2026-11-24T08:00:00.000Z'", &of(3)))
        .await;
    crawl
        .sql(&reparse(102, "'2026-11-24T09:00:00.000Z'", &of(0)))
        .await;
    assert_eq!((at(7).await, at(8).await), (Some(101), None));
    crawl.sql(&reparse(103, "NULL", "NULL")).await;
    assert_eq!(at(20).await, Some(103));
}

async fn vanished_rows_can_be_left_out(crawl: Crawl) {
    fill(&crawl).await;
    crawl
        .sql("UPDATE cards SET vanished_at = '2026-11-24T09:00:00.000Z' WHERE id > 3;")
        .await;
    let current = Selection {
        is_current: true,
        ..Selection::default()
    };
    assert_eq!(ids(&crawl, "cards", &Selection::default()).await.len(), 24);
    assert_eq!(ids(&crawl, "cards", &current).await, [1, 2, 3]);
    assert_eq!(ids(&crawl, "catalogue", &Selection::default()).await, [1, 2, 3]);
    assert_eq!(ids(&crawl, "catalogue", &current).await, [1, 2, 3]);
    // What is below something that vanished is not listed either.
    assert_eq!(ids(&crawl, "grade_rows", &current).await, [1, 2, 3, 4, 5, 6]);
    for (table, id) in [("sets", 1), ("years", 1), ("categories", 1)] {
        crawl
            .sql(&format!(
                "UPDATE {table} SET vanished_at = '2026-11-24T09:00:00.000Z' WHERE id = {id};"
            ))
            .await;
        let left = if table == "sets" { vec![3] } else { vec![] };
        assert_eq!(ids(&crawl, "cards", &current).await, left, "{table}");
        assert_eq!(ids(&crawl, "catalogue", &current).await, left, "{table}");
    }
    assert_eq!(ids(&crawl, "years", &current).await, [3, 4, 5, 6]);
    assert_eq!(
        current.check(table("runs")),
        Err(NotApplicable::Presence { table: "runs" })
    );
}

async fn rows_are_told_apart_by_category_year_and_set(crawl: Crawl) {
    fill(&crawl).await;
    // Not in the order of their sets.
    crawl
        .sql("UPDATE cards SET set_id = 13 - set_id, natural_key = 'moved ' || id;")
        .await;
    for (level, parts, cards_of_part) in [(Level::Category, 3, 8), (Level::Year, 6, 4), (Level::Set, 12, 2)] {
        let selection = Selection {
            split: Some(level),
            ..Selection::default()
        };
        let mut snapshot = crawl.store.snapshot().await.unwrap();
        let rows = read(&mut snapshot, "cards", &selection).await;
        let named = snapshot.parts(level, &Filters::default()).await.unwrap();
        snapshot.close().await.unwrap();
        assert_eq!(named.len(), parts);
        let order: Vec<i64> = rows.iter().map(|(part, _)| part.unwrap()).collect();
        assert!(order.is_sorted(), "{level:?}: {order:?}");
        let mut sizes: BTreeMap<i64, usize> = BTreeMap::new();
        for part in order {
            *sizes.entry(part).or_default() += 1;
        }
        assert_eq!(sizes.len(), parts);
        assert!(sizes.values().all(|size| *size == cards_of_part), "{sizes:?}");
        for (part, row) in rows {
            let (Value::Integer(card), Value::Integer(set)) = (&row[0], &row[1]) else {
                panic!("{row:?}");
            };
            assert_eq!(*set, 13 - (card + 1) / 2);
            let expected = match level {
                Level::Category => (set + 3) / 4,
                Level::Year => (set + 1) / 2,
                Level::Set => *set,
            };
            assert_eq!(part, Some(expected));
        }
    }
}

async fn many_rows_come_a_few_at_a_time(crawl: Crawl) {
    crawl
        .sql(
            "INSERT INTO audit_logs (id, created_at, level, kind, runner_id, operation, message, context) \
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500) \
             SELECT i, '2026-11-24T07:00:00.000Z', 'INFO', 'result', 'r', 'o', 'm', '{\"b\": 1, \"a\": 2}' FROM n;",
        )
        .await;
    let mut snapshot = crawl.store.snapshot().await.unwrap();
    let mut reader = snapshot
        .read(table("audit_logs"), &Selection::default(), &[])
        .await
        .unwrap();
    let mut sizes = Vec::new();
    while let Some(batch) = reader.next().await.unwrap() {
        assert_eq!(
            batch.rows[0].last(),
            Some(&Value::Json("{\"a\":2,\"b\":1}".into()))
        );
        sizes.push(batch.rows.len());
    }
    assert_eq!(sizes, [1000, 1000, 500]);
}

async fn the_last_end_and_the_time_of_reading_are_known(crawl: Crawl) {
    fill(&crawl).await;
    let standing = |crawl: &Crawl| {
        let store = crawl.store.clone();
        async move {
            let snapshot = store.snapshot().await.unwrap();
            let standing = snapshot.standing().await.unwrap();
            snapshot.close().await.unwrap();
            standing
        }
    };
    let first = standing(&crawl).await;
    assert_eq!(
        first.newest_run.as_ref().map(|run| run.state.as_str()),
        Some("running")
    );
    assert_eq!(first.newest_ended_run, None);
    assert_eq!(first.read_from.as_deref(), Some("2026-11-24T07:01:00.000Z"));
    assert_eq!(first.read_until.as_deref(), Some("2026-11-24T07:12:00.000Z"));
    crawl
        .sql(
            "UPDATE runs SET state = 'disputed', finished_at = '2026-11-24T08:00:00.000Z'; \
             INSERT INTO runs (id, state, started_at, config) VALUES (7, 'interrupted', '2026-11-24T09:00:00.000Z', '{}'), \
                 (8, 'reconciled', '2026-11-24T10:00:00.000Z', '{\"work\":\"reparse\"}');",
        )
        .await;
    let then = standing(&crawl).await;
    let told = |run: Option<tagpipe_store::export::RunStanding>| run.map(|run| (run.id, run.state));
    assert_eq!(told(then.newest_run), Some((7, "interrupted".to_owned())));
    assert_eq!(
        told(then.newest_ended_run),
        Some((crawl.run, "disputed".to_owned()))
    );
}
