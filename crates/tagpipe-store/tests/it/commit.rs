//! The page commit: whole or not at all, once, and what becomes of each row.

use std::sync::Arc;

use tagpipe_core::lifecycle::PageState;
use tagpipe_core::model::{CardRow, CategoryRow, PageKind, PageRows, SetRow, YearRow};
use tagpipe_store::contract::{ChildFate, Ending, Fate, Lease, RowCounts};
use tagpipe_store::testing::TestDatabase;
use tagpipe_store::{ErrorClass, StoreError};
use tokio::sync::Barrier;

use crate::harness::*;

on_both_engines! {
    a_page_leaves_rows_children_and_audit_together,
    an_error_at_any_table_leaves_nothing,
    rows_that_do_not_fit_their_page_are_refused,
    a_group_is_one_transaction,
    in_a_group_the_fenced_one_alone_is_dropped,
    the_same_batch_after_a_lost_answer_doubles_nothing,
    an_empty_batch_is_nothing,
    children_are_read_skipped_or_ignored,
    rows_are_new_changed_or_same,
    a_certificate_vanishes_and_comes_back,
    only_a_whole_page_makes_certificates_vanish,
    a_certificate_moves_to_another_card,
    two_runners_meet_over_the_same_certificates,
    history_has_one_row_for_each_change,
    readings_within_one_tick_of_the_clock_are_told_apart,
    hostile_texts_come_back_as_they_are,
    counts_end_at_a_bigint,
    one_key_twice_in_a_batch_is_one_row,
    five_thousand_rows_are_one_commit,
    unreadable_cells_are_recorded_once,
}

fn some(new: u64, changed: u64, same: u64, vanished: u64) -> RowCounts {
    RowCounts {
        new,
        changed,
        same,
        vanished,
    }
}

/// One finish that touches every table a commit can write.
fn thorough(lease: &Lease) -> tagpipe_store::contract::Finish {
    with_unreadable(complete(lease, PageRows::Cards(cards(3))), "row 2, column 9")
}

/// Reads down to the page of a set and leases it.
async fn lease_of_a_set(crawl: &Crawl) -> Lease {
    crawl.add(&[categories_page()]).await;
    crawl
        .read(PageRows::Categories(vec![CategoryRow {
            name: "Hockey".into(),
        }]))
        .await;
    crawl
        .read(PageRows::Years(vec![YearRow {
            year: "1990".into(),
            sets: 1,
            items: 3,
            graded: 3,
        }]))
        .await;
    let set = SetRow {
        brand: "Score".into(),
        name: "Rookies".into(),
        counts: counts(&[("9", 3)]),
        total: 3,
    };
    crawl.read(PageRows::Sets(vec![set])).await;
    crawl.claim_one().await
}

async fn a_page_leaves_rows_children_and_audit_together(crawl: Crawl) {
    let lease = lease_of_a_set(&crawl).await;
    assert_eq!((lease.kind, lease.expected), (PageKind::Cards, Some(3)));
    let committed = crawl.accept(&[thorough(&lease)]).await;
    assert_eq!(
        (committed.rows, committed.found),
        (some(3, 0, 0, 0), [0, 0, 0, 0, 3])
    );
    for (table, rows) in [
        ("cards", 3),
        ("population_history WHERE subject = 'card'", 3),
        (
            "frontier WHERE state = 'available' AND level = 4 AND expected = 1",
            3,
        ),
        (
            "frontier WHERE state = 'completed' AND level = 3 AND lease_owner IS NULL AND finished_at IS NOT NULL",
            1,
        ),
        (
            "frontier JOIN cards ON cards.id = frontier.subject_id AND frontier.level = 4",
            3,
        ),
        (
            "audit_logs WHERE runner_id = 'runner_1' AND message LIKE '%cards/hockey%'",
            1,
        ),
        ("discrepancies WHERE subject = 'page' AND found = 'n/a'", 1),
        (
            "runners WHERE pages_completed = 4 AND requests = 8 AND bytes = 4000 AND busy_ms = 600 AND rows_new = 6",
            1,
        ),
    ] {
        assert_eq!(crawl.count(table).await, rows, "{table}");
    }
}

async fn an_error_at_any_table_leaves_nothing(crawl: Crawl) {
    let lease = lease_of_a_set(&crawl).await;
    let steps = [
        "cards",
        "population_history",
        "frontier",
        "audit_logs",
        "discrepancies",
        "runners",
    ];
    for table in steps {
        let operation = if table == "runners" { "UPDATE" } else { "INSERT" };
        let before = crawl.everything().await;
        let (plant, remove) = match crawl.database {
            TestDatabase::Sqlite(_) => (
                format!(
                    "CREATE TRIGGER planted BEFORE {operation} ON {table} BEGIN SELECT raise(ABORT, 'planted'); END"
                ),
                "DROP TRIGGER planted".to_owned(),
            ),
            TestDatabase::Postgres(_) => (
                format!(
                    "CREATE FUNCTION planted() RETURNS trigger LANGUAGE plpgsql AS \
                     $$ BEGIN RAISE EXCEPTION 'planted'; END $$; \
                     CREATE TRIGGER planted BEFORE {operation} ON {table} FOR EACH ROW EXECUTE FUNCTION planted()"
                ),
                format!("DROP TRIGGER planted ON {table}; DROP FUNCTION planted()"),
            ),
        };
        crawl.sql(&plant).await;
        let error = crawl.try_finish(&[thorough(&lease)]).await.unwrap_err();
        assert!(error.to_string().contains("planted"), "{table}: {error}");
        assert_eq!(error.class(), ErrorClass::Bug);
        assert_eq!(crawl.everything().await, before, "{table}");
        crawl.sql(&remove).await;
    }
    // The lease is as it was: the same finish goes through.
    crawl.accept(&[thorough(&lease)]).await;
}

async fn rows_that_do_not_fit_their_page_are_refused(crawl: Crawl) {
    let lease = lease_of_a_set(&crawl).await;
    let before = crawl.everything().await;
    let mut one_child_less = complete(&lease, PageRows::Cards(cards(3)));
    if let Ending::Completed { children, .. } = &mut one_child_less.ending {
        children.pop();
    }
    let mut orphan = complete(&lease, PageRows::Cards(cards(1)));
    orphan.lease.subject_id = None;
    for wrong in [one_child_less, complete(&lease, grade_rows(&["A1"])), orphan] {
        // A good page in the same group is not committed either: the group is one transaction.
        let error = crawl.try_finish(&[thorough(&lease), wrong]).await.unwrap_err();
        assert!(
            matches!(&error, StoreError::Bug(text) if text.contains("cards/hockey/1990/Score/Rookies")),
            "{error}"
        );
        assert_eq!(crawl.everything().await, before);
    }
}

async fn a_group_is_one_transaction(crawl: Crawl) {
    crawl.read_down_to(cards(3)).await;
    let leases = crawl.claim(3).await;
    let before = crawl.everything().await;
    let mut broken = complete(&leases[2], grade_rows(&["C1"]));
    broken.lease.subject_id = Some(999_999);
    let group = [
        complete(&leases[0], grade_rows(&["A1", "A2"])),
        complete(&leases[1], grade_rows(&["B1"])),
        broken,
    ];
    crawl.try_finish(&group).await.unwrap_err();
    assert_eq!(crawl.everything().await, before);
    let committed = crawl.accept(&group[..2]).await;
    assert_eq!(committed.rows, some(3, 0, 0, 0));
}

async fn in_a_group_the_fenced_one_alone_is_dropped(crawl: Crawl) {
    crawl.read_down_to(cards(2)).await;
    let lost = crawl
        .store
        .claim(crawl.run, "slow", 1, NO_TERM)
        .await
        .unwrap()
        .remove(0);
    crawl.store.rescue_expired(crawl.run).await.unwrap();
    let held = crawl.claim(2).await;
    let kept = held.iter().find(|lease| lease.page_id != lost.page_id).unwrap();
    let group = [
        complete(&lost, grade_rows(&["A1"])),
        complete(kept, grade_rows(&["B1"])),
    ];
    let committed = crawl.finish(&group).await;
    assert_eq!(committed.fates, [Fate::Fenced, Fate::Accepted]);
    assert_eq!(committed.rows, some(1, 0, 0, 0));
    assert_eq!(crawl.count("grade_rows WHERE cert_number = 'B1'").await, 1);
    assert_eq!(crawl.count("grade_rows").await, 1);
}

async fn the_same_batch_after_a_lost_answer_doubles_nothing(crawl: Crawl) {
    crawl.read_down_to(cards(3)).await;
    let leases = crawl.claim(3).await;
    let batch = [
        complete(&leases[0], grade_rows(&["A1"])),
        fail(&leases[1]),
        skip(&leases[2]),
    ];
    crawl.accept(&batch).await;
    let before = crawl.everything().await;
    let again = crawl.accept(&batch).await;
    assert_eq!((again.rows, again.found), (RowCounts::default(), [0; 5]));
    assert_eq!(crawl.everything().await, before);
    // Not so when it claims to have ended otherwise.
    assert_eq!(crawl.finish(&[fail(&leases[0])]).await.fates, [Fate::Fenced]);
}

async fn an_empty_batch_is_nothing(crawl: Crawl) {
    assert!(crawl.finish(&[]).await.fates.is_empty());
}

async fn children_are_read_skipped_or_ignored(crawl: Crawl) {
    let lease = lease_of_a_set(&crawl).await;
    let mut finish = complete(&lease, PageRows::Cards(cards(3)));
    if let Ending::Completed { children, .. } = &mut finish.ending {
        children[1].fate = ChildFate::Skip("not among --card-filter".into());
        children[2].fate = ChildFate::Ignore;
    }
    let committed = crawl.accept(&[finish]).await;
    assert_eq!((committed.rows.new, committed.found), (3, [0, 0, 0, 0, 2]));
    let counts = crawl.store.frontier_counts(crawl.run).await.unwrap();
    let of = |state| counts.get(PageKind::GradeRows, state);
    assert_eq!((of(PageState::Available), of(PageState::Skipped)), (1, 1));
}

async fn rows_are_new_changed_or_same(mut crawl: Crawl) {
    let category = |name: &str| PageRows::Categories(vec![CategoryRow { name: name.into() }]);
    let years = |graded| {
        PageRows::Years(vec![YearRow {
            year: "1989".into(),
            sets: 1,
            items: 2,
            graded,
        }])
    };
    let sets = |entries: &[(&str, u64)]| {
        let counts = counts(entries);
        let total = counts.sum();
        PageRows::Sets(vec![SetRow {
            brand: "Topps".into(),
            name: String::new(),
            counts,
            total,
        }])
    };
    let two_cards =
        |entries: &[(&str, u64)]| PageRows::Cards(vec![card("1", entries), card("2", &[("9", 1)])]);
    for (round, expected) in [
        (
            0,
            [
                some(1, 0, 0, 0),
                some(1, 0, 0, 0),
                some(1, 0, 0, 0),
                some(2, 0, 0, 0),
            ],
        ),
        (
            1,
            [
                some(0, 1, 0, 0),
                some(0, 1, 0, 0),
                some(0, 1, 0, 0),
                some(0, 1, 1, 0),
            ],
        ),
        (
            1,
            [
                some(0, 0, 1, 0),
                some(0, 0, 1, 0),
                some(0, 0, 1, 0),
                some(0, 0, 2, 0),
            ],
        ),
    ] {
        crawl.next_run().await;
        crawl.add(&[categories_page()]).await;
        let name = if round == 0 { "Pokemon" } else { "Pokémon" };
        let entries: &[(&str, u64)] = if round == 0 {
            &[("9", 1)]
        } else {
            &[("9", 1), ("10", 1)]
        };
        let found = [
            crawl.read(category(name)).await.rows,
            crawl.read(years(2 + round)).await.rows,
            crawl.read(sets(entries)).await.rows,
            crawl.read(two_cards(entries)).await.rows,
        ];
        assert_eq!(found, expected, "round {round}");
    }
    assert_eq!(crawl.count("categories WHERE name = 'Pokémon'").await, 1);
    assert_eq!(crawl.count("categories").await, 1);
    // Only the moments of the last reading moved on.
    for table in ["categories", "years", "sets", "cards"] {
        let wrong = format!("{table} WHERE first_seen_at > changed_at OR changed_at >= last_seen_at");
        assert_eq!(crawl.count(&wrong).await, 0, "{table}");
    }
}

/// Lets the run read the page of card `number` once more, and completes it.
async fn read_again(crawl: &mut Crawl, whole: bool, certs: &[&str]) -> RowCounts {
    crawl.next_run().await;
    let subject = crawl.number("SELECT id FROM cards WHERE number = '1'").await;
    let mut again = pages(PageKind::GradeRows, 1).remove(0);
    again.subject_id = Some(subject);
    crawl.add(&[again]).await;
    let lease = crawl.claim_one().await;
    let mut finish = complete(&lease, grade_rows(certs));
    if let Ending::Completed { whole: is_whole, .. } = &mut finish.ending {
        *is_whole = whole;
    }
    crawl.accept(&[finish]).await.rows
}

async fn a_certificate_vanishes_and_comes_back(mut crawl: Crawl) {
    crawl.read_down_to(vec![card("1", &[("9", 2)])]).await;
    assert_eq!(crawl.read(grade_rows(&["A1", "A2"])).await.rows, some(2, 0, 0, 0));
    assert_eq!(read_again(&mut crawl, true, &["A1"]).await, some(0, 0, 1, 1));
    assert_eq!(
        crawl
            .count("grade_rows WHERE cert_number = 'A2' AND vanished_at = changed_at")
            .await,
        1
    );
    assert_eq!(
        read_again(&mut crawl, true, &["A1"]).await,
        some(0, 0, 1, 0),
        "it vanishes once"
    );
    assert_eq!(
        read_again(&mut crawl, true, &["A2", "A1"]).await,
        some(0, 1, 1, 0),
        "coming back is a change"
    );
    assert_eq!(crawl.count("grade_rows WHERE vanished_at IS NULL").await, 2);
    assert_eq!(
        read_again(&mut crawl, true, &[]).await,
        some(0, 0, 0, 2),
        "an explicitly empty page"
    );
}

async fn only_a_whole_page_makes_certificates_vanish(mut crawl: Crawl) {
    crawl.read_down_to(vec![card("1", &[("9", 2)])]).await;
    crawl.read(grade_rows(&["A1", "A2"])).await;
    assert_eq!(read_again(&mut crawl, false, &["A1"]).await, some(0, 0, 1, 0));
    assert_eq!(crawl.count("grade_rows WHERE vanished_at IS NULL").await, 2);
}

async fn a_certificate_moves_to_another_card(mut crawl: Crawl) {
    crawl.read_down_to(cards(2)).await;
    let leases = crawl.claim(2).await;
    crawl
        .accept(&[
            complete(&leases[0], grade_rows(&["A1"])),
            complete(&leases[1], grade_rows(&["B1"])),
        ])
        .await;
    // The second card now lists the first one's certificate; whichever page of the two is read first.
    for order in [[0, 1], [1, 0]] {
        crawl.next_run().await;
        let mut two = pages(PageKind::GradeRows, 2);
        for (page, lease) in two.iter_mut().zip(&leases) {
            page.subject_id = lease.subject_id;
        }
        crawl.add(&two).await;
        let again = crawl.claim(2).await;
        for index in order {
            let certs: &[&str] = if index == 0 { &[] } else { &["A1", "B1"] };
            crawl.accept(&[complete(&again[index], grade_rows(certs))]).await;
        }
        let moved = format!(
            "grade_rows WHERE vanished_at IS NULL AND card_id = {}",
            leases[1].subject_id.unwrap()
        );
        assert_eq!(crawl.count(&moved).await, 2, "{order:?}");
        // Back to where it was, for the other order.
        let back = leases[0].subject_id.unwrap();
        crawl
            .sql(&format!(
                "UPDATE grade_rows SET card_id = {back} WHERE cert_number = 'A1'"
            ))
            .await;
    }
}

async fn two_runners_meet_over_the_same_certificates(crawl: Crawl) {
    crawl.read_down_to(cards(40)).await;
    let certs: Vec<String> = (0..200).map(|n| format!("X{n:03}")).collect();
    let mut runners = Vec::new();
    let both_have_one = Arc::new(Barrier::new(2));
    for number in 0..2 {
        let both_have_one = Arc::clone(&both_have_one);
        let store = crawl.database.open().await;
        let (run, certs) = (crawl.run, certs.clone());
        let me = runner(&format!("runner_{number}"));
        store.register_runner(run, &me).await.unwrap();
        runners.push(tokio::spawn(async move {
            for round in 0.. {
                let Some(lease) = store.claim(run, &me.instance, 1, TERM).await.unwrap().pop() else {
                    return;
                };
                if round == 0 {
                    both_have_one.wait().await;
                }
                // Each page lists all of them, each in an order of its own.
                let mut order: Vec<&str> = certs.iter().map(String::as_str).collect();
                order.rotate_left((lease.page_id as usize * 37) % certs.len());
                if lease.page_id % 2 == 0 {
                    order.reverse();
                }
                let finish = complete(&lease, grade_rows(&order));
                store
                    .finish(run, &me.runner_id, &me.instance, &[finish])
                    .await
                    .unwrap();
            }
        }));
    }
    for runner in runners {
        runner.await.unwrap();
    }
    assert_eq!(crawl.count("grade_rows").await, 200);
    assert_eq!(crawl.count("runners WHERE pages_completed > 0").await, 3);
}

async fn history_has_one_row_for_each_change(mut crawl: Crawl) {
    let sets = |entries: &[(&str, u64)], total| {
        PageRows::Sets(vec![SetRow {
            brand: "Topps".into(),
            name: String::new(),
            counts: counts(entries),
            total,
        }])
    };
    for (entries, total, changes) in [
        (&[("9", 1)][..], 1, 1),
        (&[("9", 1)], 1, 1),
        (&[("9", 1), ("10", 1)], 2, 2),
        // The same population, its columns in another order.
        (&[("10", 1), ("9", 1)], 2, 2),
        (&[("10", 1), ("9", 1)], 3, 3),
        (&[("9", 2)], 3, 4),
        (&[("9", 2)], 3, 4),
    ] {
        crawl.next_run().await;
        crawl.add(&[categories_page()]).await;
        crawl
            .read(PageRows::Categories(vec![CategoryRow { name: "Golf".into() }]))
            .await;
        crawl
            .read(PageRows::Years(vec![YearRow {
                year: "2000".into(),
                sets: 1,
                items: 1,
                graded: 1,
            }]))
            .await;
        crawl.read(sets(entries, total)).await;
        let counts = counts(entries);
        crawl
            .read(PageRows::Cards(vec![CardRow {
                counts,
                total,
                ..card("1", &[])
            }]))
            .await;
        for subject in ["set", "card"] {
            let history = format!("population_history WHERE subject = '{subject}'");
            assert_eq!(
                crawl.count(&history).await,
                changes,
                "{subject} {entries:?} {total}"
            );
        }
    }
    let newest = format!("population_history WHERE run_id < {} AND total = 3", crawl.run);
    assert_eq!(crawl.count(&newest).await, 4);
}

/// A clock that has gone back, or stands still between two readings, must not make an old row look new.
async fn readings_within_one_tick_of_the_clock_are_told_apart(mut crawl: Crawl) {
    crawl.read_down_to(vec![card("1", &[("9", 1)])]).await;
    crawl.read(grade_rows(&["A1"])).await;
    let future = "'2100-01-01T00:00:00.000Z'";
    let sql = format!(
        "UPDATE grade_rows SET first_seen_at = {future}, changed_at = {future}, last_seen_at = {future}"
    );
    crawl.sql(&sql).await;
    for _ in 0..3 {
        assert_eq!(read_again(&mut crawl, true, &["A1"]).await, some(0, 0, 1, 0));
    }
    let still = format!(
        "grade_rows WHERE first_seen_at = {future} AND changed_at = {future} AND last_seen_at > {future}"
    );
    assert_eq!(crawl.count(&still).await, 1);
}

async fn hostile_texts_come_back_as_they_are(crawl: Crawl) {
    let long = "𝕏".repeat(10_000);
    let texts = [
        "Robert'); DROP TABLE cards;--",
        "\"double\" and \\back\\",
        "a NUL-like \\u0000 and \\0 and \u{fffd}",
        "%_*?$1 {now} ' || 'x",
        "🃏👩‍👩‍👧 e\u{301} \u{202e}right to left",
        "{\"json\": [1, null]}",
        "null",
        "1e400",
        long.as_str(),
    ];
    let rows: Vec<CardRow> = texts
        .iter()
        .enumerate()
        .map(|(number, text)| CardRow {
            name: (*text).into(),
            variation: (*text).into(),
            ..card(&number.to_string(), &[("9", 1)])
        })
        .collect();
    crawl.read_down_to(rows).await;
    let stored = crawl
        .rows("SELECT name, variation, number FROM cards ORDER BY id")
        .await;
    for (row, text) in stored.iter().zip(texts) {
        let (name, variation): (String, String) = (
            row.try_get("", "name").unwrap(),
            row.try_get("", "variation").unwrap(),
        );
        assert_eq!((name.as_str(), variation.as_str()), (text, text));
    }
    let leases = crawl.claim(100).await;
    assert_eq!(leases.len(), texts.len());
    for (lease, text) in leases.iter().zip(texts) {
        assert_eq!(lease.identity.name, text);
        assert!(lease.key.as_str().len() <= 600);
    }
    // A second reading knows all of them.
    let again = crawl.claim(1).await;
    assert!(again.is_empty());
    let mut row = grade_row("A1");
    row.grade.text = texts[2].into();
    row.grade.label = long.clone();
    row.report_url = texts[0].into();
    let mut finish = complete(&leases[0], PageRows::GradeRows(vec![row]));
    finish.audit[0].message = "a true NUL: \0".into();
    finish.audit[0].context = serde_json::json!({ "nul\0": "\0", "not": "\\u0000" });
    finish.audit.push(tagpipe_store::audit::AuditEntry {
        context: serde_json::Value::Null,
        ..finish.audit[0].clone()
    });
    finish.audit.push(tagpipe_store::audit::AuditEntry {
        context: "only a text".into(),
        ..finish.audit[0].clone()
    });
    crawl.accept(&[finish]).await;
    let stored = crawl
        .rows("SELECT grade_text, grade_label, report_url FROM grade_rows")
        .await;
    let stored: [String; 3] = [0, 1, 2].map(|column| stored[0].try_get_by_index(column).unwrap());
    assert_eq!(stored, [texts[2], long.as_str(), texts[0]]);
    let audit = crawl
        .rows("SELECT CAST(context AS text) AS context FROM audit_logs ORDER BY id DESC LIMIT 3")
        .await;
    let audit: Vec<serde_json::Value> = audit
        .iter()
        .map(|row| serde_json::from_str(&row.try_get::<String>("", "context").unwrap()).unwrap())
        .collect();
    let expected = serde_json::json!(["only a text", {}, { "nul\u{fffd}": "\u{fffd}", "not": "\\u0000" }]);
    assert_eq!(serde_json::Value::from(audit), expected);
}

async fn counts_end_at_a_bigint(crawl: Crawl) {
    let most = i64::MAX as u64;
    let huge = |number: &str, count| CardRow {
        counts: counts(&[("10", count)]),
        total: count,
        ..card(number, &[])
    };
    let lease = lease_of_a_set(&crawl).await;
    let rows = vec![huge("1", u64::MAX), huge("2", most + 1), huge("3", most)];
    crawl.accept(&[complete(&lease, PageRows::Cards(rows))]).await;
    assert_eq!(crawl.count(&format!("cards WHERE total = {most}")).await, 3);
    assert_eq!(
        crawl
            .count(&format!("card_population WHERE copies = {most}"))
            .await,
        3
    );
    assert_eq!(crawl.count(&format!("frontier WHERE expected = {most}")).await, 3);
    let mut row = grade_row("A1");
    (row.rank, row.chronology, row.grade.score) = (Some(u64::MAX), Some(most), Some(u32::MAX));
    crawl.read(PageRows::GradeRows(vec![row])).await;
    assert_eq!(
        crawl
            .count(&format!("grade_rows WHERE rank = {most} AND chronology = {most}"))
            .await,
        1
    );
    // Sums of such numbers disagree with what was promised; they do not fail.
    let disagreements = crawl.store.disagreements(crawl.run, 10).await.unwrap();
    assert!(
        disagreements
            .iter()
            .any(|one| one.what == "copies" && one.found == most.to_string()),
        "{disagreements:?}"
    );
}

async fn one_key_twice_in_a_batch_is_one_row(crawl: Crawl) {
    let lease = lease_of_a_set(&crawl).await;
    let twice = vec![card("7", &[("9", 1)]), card("7", &[("9", 5)])];
    let committed = crawl.accept(&[complete(&lease, PageRows::Cards(twice))]).await;
    assert_eq!(
        (committed.rows, committed.found),
        (some(1, 0, 0, 0), [0, 0, 0, 0, 1])
    );
    assert_eq!(
        crawl.count("cards WHERE total = 1").await,
        1,
        "the first one stands"
    );

    // A certificate on two pages of one group: the later page's.
    crawl
        .add(&{
            let mut other = pages(PageKind::GradeRows, 1);
            other[0].subject_id = Some(crawl.number("SELECT id FROM cards").await);
            other
        })
        .await;
    let leases = crawl.claim(2).await;
    let [mut first, mut second] = ["A1", "A1"].map(grade_row);
    (first.rank, second.rank) = (Some(1), Some(2));
    let group = [
        complete(&leases[0], PageRows::GradeRows(vec![first])),
        complete(&leases[1], PageRows::GradeRows(vec![second])),
    ];
    assert_eq!(crawl.accept(&group).await.rows, some(1, 0, 0, 0));
    assert_eq!(crawl.count("grade_rows WHERE rank = 2").await, 1);
}

async fn five_thousand_rows_are_one_commit(crawl: Crawl) {
    crawl.read_down_to(cards(5_000)).await;
    assert_eq!(
        crawl
            .store
            .frontier_counts(crawl.run)
            .await
            .unwrap()
            .of_kind(PageKind::GradeRows),
        5_000
    );
    let lease = crawl.claim_one().await;
    let certs: Vec<String> = (0..5_000).map(|n| format!("C{n}")).collect();
    let certs: Vec<&str> = certs.iter().map(String::as_str).collect();
    assert_eq!(
        crawl.accept(&[complete(&lease, grade_rows(&certs))]).await.rows,
        some(5_000, 0, 0, 0)
    );
    let totals = crawl.store.runner_totals(crawl.run).await.unwrap();
    assert_eq!(totals.rows, some(10_003, 0, 0, 0));
}

async fn unreadable_cells_are_recorded_once(crawl: Crawl) {
    crawl.read_down_to(vec![card("1", &[("9", 2)])]).await;
    let lease = crawl.claim_one().await;
    crawl
        .accept(&[with_unreadable(complete(&lease, grade_rows(&["A1"])), "row 2")])
        .await;
    assert_eq!(
        crawl
            .count("discrepancies WHERE subject = 'page' AND what = 'row 2'")
            .await,
        1
    );
    let disagreements = crawl.store.disagreements(crawl.run, 10).await.unwrap();
    assert!(
        crawl
            .store
            .verify_again(crawl.run, &disagreements, 100)
            .await
            .unwrap()
            > 0
    );
    let above = crawl.claim_one().await;
    let rows = PageRows::Cards(vec![card("1", &[("9", 2)])]);
    crawl.accept(&[complete(&above, rows)]).await;
    let leases = crawl.claim(10).await;
    let again = leases
        .iter()
        .find(|lease| lease.kind == PageKind::GradeRows)
        .unwrap();
    assert_eq!(again.verifications, 1);
    crawl
        .accept(&[with_unreadable(complete(again, grade_rows(&["A1"])), "row 3")])
        .await;
    assert_eq!(
        crawl.count("discrepancies WHERE subject = 'page'").await,
        1,
        "the newest reading stands"
    );
}
