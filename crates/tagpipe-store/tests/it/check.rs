//! What must hold of a database: each thing that can be wrong is planted alone, and found by name.

use tagpipe_core::lifecycle::RunState;
use tagpipe_core::model::{CategoryRow, PageRows, SetRow, YearRow};
use tagpipe_store::audit::AuditOrigin;
use tagpipe_store::testing::TestDatabase;
use tagpipe_store::{Checked, RunEnding};

use crate::harness::*;

on_both_engines! {
    what_was_read_holds_together,
    each_wrong_thing_is_found_and_named,
    what_is_due_is_not_wrong,
    sets_that_were_left_behind_say_nothing_of_their_year,
    all_findings_are_counted_and_some_named,
}

mod sqlite_alone {
    /// PostgreSQL takes no such text.
    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_no_json_is_found_and_named() {
        super::what_is_no_json_is_found_and_named().await;
    }
}

/// Certificates of one card in the order of their rank.
fn ranked(certs: &[&str]) -> PageRows {
    let row = |(place, cert): (u64, &&str)| {
        let mut row = grade_row(cert);
        let place = Some(place);
        (row.rank, row.rank_by_grade) = (place, place);
        (row.chronology, row.chron_by_grade) = (place, place);
        row
    };
    PageRows::GradeRows((1..).zip(certs).map(row).collect())
}

/// Two cards with four certificates, everything in agreement, and the run at its end.
async fn read_all(crawl: &Crawl) {
    let scale = [("9".into(), Some(9.0), String::new())];
    crawl.store.set_grade_scale(&scale).await.unwrap();
    crawl
        .read_down_to(vec![card("1", &[("9", 3)]), card("2", &[("9", 1)])])
        .await;
    crawl.read(ranked(&["C0000001", "C0000002", "C0000003"])).await;
    crawl.read(ranked(&["D0000009"])).await;
    crawl.settle(&[]).await;
    let levels = ["categories", "years", "sets", "cards", "grade_rows"]
        .iter()
        .zip([1, 1, 1, 1, 2])
        .map(|(level, completed)| {
            serde_json::json!({ "level": level, "completed": completed, "unchanged": 0, "failed": 0, "skipped": 0 })
        })
        .collect::<Vec<_>>();
    let ending = RunEnding {
        state: RunState::Reconciled,
        summary: &serde_json::json!({ "levels": levels }),
        origin: AuditOrigin {
            run: Some(crawl.run),
            runner_id: "runner_1",
        },
        entries: &[],
        news: &[],
    };
    let me = &crawl.me.instance;
    assert!(crawl.store.close_run(crawl.run, me, &ending).await.unwrap());
}

async fn wrong(crawl: &Crawl) -> Vec<Checked> {
    let mut checks = crawl.store.check(10).await.unwrap();
    checks.retain(|check| check.found > 0);
    checks
}

async fn what_was_read_holds_together(crawl: Crawl) {
    read_all(&crawl).await;
    assert_eq!(wrong(&crawl).await, []);
    assert!(crawl.store.check(10).await.unwrap().len() > 15);
}

/// What is planted, how it is undone, and the checks that find it, with words of the finding.
type Plant = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
);

const PLANTS: &[Plant] = &[
    (
        "UPDATE years SET sets_count = 2",
        "UPDATE years SET sets_count = 1",
        &[("year_sums", "Baseball 1989: sets: 2 promised, 1 stored")],
    ),
    (
        "UPDATE years SET items_count = 3",
        "UPDATE years SET items_count = 2",
        &[("year_sums", "Baseball 1989: cards: 3 promised, 2 stored")],
    ),
    (
        "UPDATE sets SET counts = '{\"9\": 3, \"8\": 1}'",
        "UPDATE sets SET counts = '{\"9\": 4}'",
        &[
            (
                "set_sums",
                "Baseball 1989 Donruss: copies at grade 9: 3 promised, 4 stored",
            ),
            ("grades_of_populations", "1 copies at grade 8"),
            (
                "population_history",
                "its row says 4 copies, its history has them at other grades",
            ),
        ],
    ),
    (
        "UPDATE sets SET total = 5",
        "UPDATE sets SET total = 4",
        &[
            ("year_sums", "graded copies: 4 promised, 5 stored"),
            ("set_sums", "Baseball 1989 Donruss: copies: 5 promised, 4 stored"),
            ("row_sums", "the total is 5, its grades sum up to 4"),
            (
                "population_history",
                "Baseball 1989 Donruss: its row says 5 copies, its history 4",
            ),
        ],
    ),
    // Populations that are JSON, and no counts.
    (
        "UPDATE cards SET counts = '[3]' WHERE number = '1'",
        "UPDATE cards SET counts = '{\"9\":3}' WHERE number = '1'",
        &[("json", "#1 Player 1: counts is no JSON object of whole numbers")],
    ),
    (
        "UPDATE cards SET counts = '{\"9\": \"3\"}' WHERE number = '1'",
        "UPDATE cards SET counts = '{\"9\":3}' WHERE number = '1'",
        &[("json", "#1 Player 1: counts is no JSON object of whole numbers")],
    ),
    (
        "UPDATE cards SET counts = '{\"9\": 4, \"8\": -1}' WHERE number = '1'",
        "UPDATE cards SET counts = '{\"9\":3}' WHERE number = '1'",
        &[("json", "#1 Player 1: counts is no JSON object of whole numbers")],
    ),
    (
        "UPDATE sets SET counts = '{\"9\": 4.5}'",
        "UPDATE sets SET counts = '{\"9\":4}'",
        &[("json", "Donruss : counts is no JSON object of whole numbers")],
    ),
    (
        "UPDATE sets SET counts = '{\"9\": 99999999999999999999}'",
        "UPDATE sets SET counts = '{\"9\":4}'",
        &[("json", "Donruss : counts is no JSON object of whole numbers")],
    ),
    // A row that was dropped, in the middle and at the end.
    (
        "UPDATE grade_rows SET vanished_at = last_seen_at WHERE cert_number = 'C0000002'",
        "UPDATE grade_rows SET vanished_at = NULL",
        &[
            (
                "card_sums",
                "Baseball 1989 Donruss #1 Player 1: certificates: 3 promised, 2 stored",
            ),
            (
                "ranks",
                "Baseball 1989 Donruss #1 Player 1: 2 different places of 2, the last is 3; at certificate C0000003",
            ),
            ("ranks_by_grade", "at certificate C0000003"),
            ("chronology", "at certificate C0000003"),
            ("chronology_by_grade", "at certificate C0000003"),
        ],
    ),
    (
        "UPDATE grade_rows SET vanished_at = last_seen_at WHERE cert_number = 'C0000003'",
        "UPDATE grade_rows SET vanished_at = NULL",
        &[("card_sums", "#1 Player 1: certificates: 3 promised, 2 stored")],
    ),
    (
        "UPDATE grade_rows SET rank = 2 WHERE cert_number = 'C0000003'",
        "UPDATE grade_rows SET rank = 3 WHERE cert_number = 'C0000003'",
        &[(
            "ranks",
            "#1 Player 1: 2 different places of 3, the last is 2; at certificate C0000002",
        )],
    ),
    (
        "UPDATE grade_rows SET chron_by_grade = 2 WHERE cert_number = 'D0000009'",
        "UPDATE grade_rows SET chron_by_grade = 1 WHERE cert_number = 'D0000009'",
        &[(
            "chronology_by_grade",
            "#2 Player 2: 1 different places of 1, the last is 2 at grade 9",
        )],
    ),
    // A history that was lost, and one that says something else.
    (
        "DELETE FROM population_history WHERE subject = 'set'",
        "INSERT INTO population_history (subject, subject_id, observed_at, run_id, counts, total) \
         SELECT 'set', sets.id, sets.last_seen_at, (SELECT min(id) FROM runs), counts, total FROM sets",
        &[(
            "population_history",
            "Baseball 1989 Donruss: its row says 4 copies, its history nothing",
        )],
    ),
    (
        "UPDATE cards SET vanished_at = last_seen_at WHERE number = '2'; \
         UPDATE grade_rows SET vanished_at = last_seen_at WHERE cert_number = 'D0000009'; \
         UPDATE sets SET total = 3, counts = '{\"9\":3}'; UPDATE years SET items_count = 1, graded_count = 3; \
         UPDATE population_history SET total = 3, counts = '{\"9\":3}' WHERE subject = 'set'; \
         DELETE FROM population_history WHERE subject = 'card' AND total = 1; \
         DELETE FROM catalogue_history; DELETE FROM certificate_history",
        "UPDATE cards SET vanished_at = NULL; UPDATE grade_rows SET vanished_at = NULL; \
         UPDATE sets SET total = 4, counts = '{\"9\":4}'; UPDATE years SET items_count = 2, graded_count = 4; \
         UPDATE population_history SET total = 4, counts = '{\"9\":4}' WHERE subject = 'set'; \
         INSERT INTO population_history (subject, subject_id, observed_at, run_id, counts, total) \
         SELECT 'card', cards.id, cards.last_seen_at, (SELECT min(id) FROM runs), counts, total FROM cards \
         WHERE number = '2'",
        &[
            (
                "population_history",
                "#2 Player 2: its row says 1 copies, its history nothing",
            ),
            (
                "presence",
                "#2 Player 2: has vanished, and its history does not say so",
            ),
            (
                "presence",
                "certificate D0000009 has vanished, and its history does not say so",
            ),
        ],
    ),
    (
        "INSERT INTO catalogue_history (subject, subject_id, event, observed_at) \
         SELECT 'category', id, 'vanished', last_seen_at FROM categories; \
         INSERT INTO catalogue_history (subject, subject_id, event, observed_at) \
         SELECT 'year', id, 'vanished', last_seen_at FROM years; \
         INSERT INTO certificate_history (grade_row_id, event, observed_at) \
         SELECT id, 'vanished', last_seen_at FROM grade_rows WHERE cert_number = 'C0000002'",
        "DELETE FROM catalogue_history; DELETE FROM certificate_history",
        &[
            ("presence", "Baseball: is listed, and has vanished by its history"),
            (
                "presence",
                "Baseball 1989: is listed, and has vanished by its history",
            ),
            (
                "presence",
                "certificate C0000002 is listed, and has vanished by its history",
            ),
        ],
    ),
    // Documents that are not kept, or not whole.
    (
        "UPDATE runs SET config = '{\"keep_documents\": \"last\"}'",
        "UPDATE runs SET config = '{}'",
        &[(
            "documents",
            "grade_rows/baseball/1989/Donruss//Player 2/2/: run 1 has read it, and its document is not kept",
        )],
    ),
    (
        "INSERT INTO documents (level, subject_id, part, run_id, page_key, url, fetched_at, profile, hash, bytes, body) \
         SELECT 4, 1, 2, id, 'grade_rows/x', '/x', started_at, 'tag 1', 'short', 10, 'x' FROM runs",
        "DELETE FROM documents",
        &[
            ("documents", "grade_rows/x: run 1: no hash of document"),
            (
                "documents",
                "grade_rows/x: run 1: 1 documents, the last is number 2",
            ),
        ],
    ),
    // A card that has left, and its certificate that has not.
    (
        "UPDATE cards SET vanished_at = last_seen_at WHERE number = '2'",
        "UPDATE cards SET vanished_at = NULL",
        &[
            ("year_sums", "cards: 2 promised, 1 stored"),
            ("set_sums", "Baseball 1989 Donruss: copies: 4 promised, 3 stored"),
            (
                "vanished",
                "#2 Player 2: has vanished, and 1 of its certificates have not",
            ),
        ],
    ),
    // Two spellings of one certificate.
    (
        "UPDATE grade_rows SET cert_number = 'c 000009' WHERE cert_number = 'C0000003'; \
         UPDATE grade_rows SET cert_number = 'C9' WHERE cert_number = 'D0000009'",
        "UPDATE grade_rows SET cert_number = 'C0000003' WHERE cert_number = 'c 000009'; \
         UPDATE grade_rows SET cert_number = 'D0000009' WHERE cert_number = 'C9'",
        &[(
            "certificates_spelled_alike",
            "certificate C9: 2 spellings, up to c 000009",
        )],
    ),
    // Swapped columns.
    (
        "UPDATE grade_rows SET grade = 8.5 WHERE cert_number = 'D0000009'",
        "UPDATE grade_rows SET grade = 9",
        &[(
            "grades_of_certificates",
            "#2 Player 2: certificate D0000009: 9 MINT (900) has another number",
        )],
    ),
    (
        "UPDATE grade_rows SET grade_code = '7' WHERE cert_number = 'D0000009'",
        "UPDATE grade_rows SET grade_code = '9'",
        &[
            (
                "card_sums",
                "#2 Player 2: certificates at grade 9: 1 promised, 0 stored",
            ),
            (
                "grades_of_certificates",
                "certificate D0000009: 9 MINT (900) is not on the scale",
            ),
        ],
    ),
    // What a certificate says of itself, and where it stands.
    (
        "UPDATE grade_rows SET grade_text = '1 POOR (900)' WHERE cert_number = 'D0000009'",
        "UPDATE grade_rows SET grade_text = '9 MINT (900)'",
        &[(
            "grade_texts",
            "#2 Player 2: certificate D0000009: 1 POOR (900) does not show the label MINT",
        )],
    ),
    (
        "UPDATE grade_rows SET grade_text = '19 MINT (900)' WHERE cert_number = 'D0000009'",
        "UPDATE grade_rows SET grade_text = '9 MINT (900)'",
        &[("grade_texts", "19 MINT (900) does not show the grade 9")],
    ),
    (
        "UPDATE grade_rows SET score = 90 WHERE cert_number = 'D0000009'",
        "UPDATE grade_rows SET score = 900",
        &[("grade_texts", "9 MINT (900) does not show the score 90")],
    ),
    (
        "UPDATE grade_rows SET grade_label = 'NM' WHERE cert_number = 'D0000009'",
        "UPDATE grade_rows SET grade_label = 'MINT'",
        &[("grade_texts", "9 MINT (900) does not show the label NM")],
    ),
    (
        "INSERT INTO grade_scale (code, position, grade, label) VALUES ('9P', 1, 9, 'MI')",
        "DELETE FROM grade_scale WHERE code = '9P'",
        &[("grade_texts", "9 MINT (900) has not the label of grade 9")],
    ),
    (
        "UPDATE grade_rows SET score = 1001, grade_text = '9 MINT (1001)' WHERE cert_number = 'D0000009'",
        "UPDATE grade_rows SET score = 900, grade_text = '9 MINT (900)'",
        &[("scores", "#2 Player 2: certificate D0000009: 1001")],
    ),
    (
        "UPDATE grade_rows SET completed_on = '1999-12-31' WHERE cert_number = 'C0000001'; \
         UPDATE grade_rows SET completed_on = '2099-12-31' WHERE cert_number = 'C0000002'",
        "UPDATE grade_rows SET completed_on = '2023-04-05'",
        &[
            (
                "completion_dates",
                "certificate C0000001: completed on 1999-12-31",
            ),
            (
                "completion_dates",
                "certificate C0000002: completed on 2099-12-31",
            ),
        ],
    ),
    (
        "INSERT INTO grade_scale (code, position, grade, label) VALUES ('8', -1, 8, ''); \
         UPDATE grade_rows SET grade_code = '8', grade = 8, grade_text = '8 NM', grade_label = 'NM', score = NULL, \
             rank_by_grade = 1, chron_by_grade = 1 WHERE cert_number = 'C0000001'; \
         UPDATE grade_rows SET rank_by_grade = rank_by_grade - 1, chron_by_grade = chron_by_grade - 1 \
         WHERE cert_number IN ('C0000002', 'C0000003'); \
         UPDATE cards SET counts = '{\"8\":1,\"9\":2}' WHERE number = '1'; UPDATE sets SET counts = '{\"8\":1,\"9\":3}'; \
         UPDATE population_history SET counts = '{\"8\":1,\"9\":2}' WHERE total = 3; \
         UPDATE population_history SET counts = '{\"8\":1,\"9\":3}' WHERE total = 4",
        "UPDATE grade_rows SET grade_code = '9', grade = 9, grade_text = '9 MINT (900)', grade_label = 'MINT', score = 900; \
         UPDATE grade_rows SET rank_by_grade = rank, chron_by_grade = rank; DELETE FROM grade_scale WHERE code = '8'; \
         UPDATE cards SET counts = '{\"9\":3}' WHERE number = '1'; UPDATE sets SET counts = '{\"9\":4}'; \
         UPDATE population_history SET counts = '{\"9\":3}' WHERE total = 3; \
         UPDATE population_history SET counts = '{\"9\":4}' WHERE total = 4",
        &[(
            "rank_order",
            "#1 Player 1: certificate C0000002 has grade 9 on rank 2, below grade 8",
        )],
    ),
    (
        "UPDATE grade_rows SET report_url = '' WHERE cert_number = 'D0000009'",
        "UPDATE grade_rows SET report_url = '/card/D0000009' WHERE cert_number = 'D0000009'",
        &[("empty_values", "certificate D0000009: no address of its report")],
    ),
    (
        "INSERT INTO population_history (subject, subject_id, observed_at, run_id, counts, total) \
         SELECT 'card', 4711, started_at, id, '{}', 0 FROM runs",
        "DELETE FROM population_history WHERE subject_id = 4711",
        &[("orphans", "history of a card 4711: belongs to nothing")],
    ),
    (
        "UPDATE frontier SET state = 'available' WHERE page_key LIKE 'grade_rows/%/Player 2/2/'",
        "UPDATE frontier SET state = 'completed'",
        &[
            (
                "ended_runs",
                "reconciled, but available: grade_rows/baseball/1989/Donruss//Player 2/2/ (1 pages)",
            ),
            (
                "summaries",
                "grade_rows completed: its summary says 2, its frontier 1",
            ),
        ],
    ),
    (
        "UPDATE frontier SET subject_id = 4711 WHERE page_key LIKE 'grade_rows/%/Player 2/2/'",
        "UPDATE frontier SET subject_id = (SELECT max(id) FROM cards) WHERE subject_id = 4711",
        &[(
            "frontier",
            "Player 2/2/: run 1: completed without the row it belongs to",
        )],
    ),
    (
        "INSERT INTO discrepancies (subject, subject_id, page_key, what, expected, expected_by, found, run_id, created_at) \
         SELECT 'card', 1, 'grade_rows/x', 'certificates', '3', 'the set''s page', '2', id, started_at FROM runs",
        "DELETE FROM discrepancies",
        &[
            ("ended_runs", "reconciled, but 1 of its discrepancies are open"),
            (
                "discrepancies",
                "grade_rows/x: certificates: the set's page says 3, read 2 in run 1",
            ),
        ],
    ),
];

async fn each_wrong_thing_is_found_and_named(crawl: Crawl) {
    read_all(&crawl).await;
    find_each(&crawl, PLANTS).await;
}

/// Texts where JSON or a date should be: nothing else is said of these rows.
const NO_SUCH_TEXT: &[Plant] = &[
    (
        "UPDATE cards SET counts = 'nope' WHERE number = '1'",
        "UPDATE cards SET counts = '{\"9\":3}' WHERE number = '1'",
        &[("json", "#1 Player 1: counts is no JSON object of whole numbers")],
    ),
    (
        "UPDATE sets SET counts = '{\"9\": 4'",
        "UPDATE sets SET counts = '{\"9\":4}'",
        &[("json", "Donruss : counts is no JSON object of whole numbers")],
    ),
    (
        "UPDATE population_history SET counts = '' WHERE subject = 'set'",
        "UPDATE population_history SET counts = '{\"9\":4}' WHERE subject = 'set'",
        &[("json", "history of set 1, entry 1: counts is no JSON object")],
    ),
    (
        "UPDATE runs SET config = 'nope'",
        "UPDATE runs SET config = '{}'",
        &[("json", "run 1: config is no JSON object")],
    ),
    (
        "CREATE TABLE saved AS SELECT summary FROM runs; UPDATE runs SET summary = 'nope'",
        "UPDATE runs SET summary = (SELECT summary FROM saved); DROP TABLE saved",
        &[("json", "run 1: summary is no JSON object")],
    ),
    (
        "UPDATE frontier SET identity = 'nope' WHERE level = 0",
        "UPDATE frontier SET identity = '{}' WHERE level = 0",
        &[("json", "categories of run 1: identity is no JSON object")],
    ),
    // A date that is none.
    (
        "UPDATE grade_rows SET completed_on = '2023-02-30' WHERE cert_number = 'C0000001'",
        "UPDATE grade_rows SET completed_on = '2023-04-05'",
        &[(
            "completion_dates",
            "certificate C0000001: completed on 2023-02-30",
        )],
    ),
];

async fn what_is_no_json_is_found_and_named() {
    let crawl = Crawl::on(TestDatabase::sqlite()).await;
    read_all(&crawl).await;
    find_each(&crawl, NO_SUCH_TEXT).await;
}

/// Plants each of these alone, sees that it is found by these checks and no other, and undoes it.
async fn find_each(crawl: &Crawl, plants: &[Plant]) {
    for (planted, undone, expected) in plants {
        crawl.sql(planted).await;
        let found = wrong(crawl).await;
        let names: Vec<_> = found.iter().map(|check| check.check).collect();
        let mut sorted: Vec<_> = expected.iter().map(|(check, _)| *check).collect();
        sorted.sort_by_key(|name| names.iter().position(|found| found == name));
        sorted.dedup();
        assert_eq!(names, sorted, "{planted}\n{found:#?}");
        for (check, words) in *expected {
            let examples = &found.iter().find(|one| one.check == *check).unwrap().examples;
            assert!(
                examples
                    .iter()
                    .any(|one| format!("{}: {}", one.place, one.what).contains(words)),
                "{planted}: {words}\n{examples:#?}"
            );
        }
        crawl.sql(undone).await;
        assert_eq!(wrong(crawl).await, [], "{undone}");
    }
}

/// A row that has changed since the page below it was read is not wrong: the next run reads it.
async fn what_is_due_is_not_wrong(mut crawl: Crawl) {
    read_all(&crawl).await;
    crawl.next_run().await;
    crawl
        .read_down_to(vec![card("1", &[("9", 4)]), card("2", &[("9", 1)])])
        .await;
    assert_eq!(wrong(&crawl).await, []);
    crawl.read(ranked(&["C0000001", "C0000002", "C0000003"])).await;
    let found = wrong(&crawl).await;
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0].check, "card_sums");
}

/// Reads what stands above the cards: one year with so many of them, one set with so many copies.
async fn read_above_the_cards(crawl: &Crawl, items: u64, copies: u64) {
    crawl.add(&[categories_page()]).await;
    let name = "Baseball".into();
    crawl.read(PageRows::Categories(vec![CategoryRow { name }])).await;
    let year = YearRow {
        year: "1989".into(),
        sets: 1,
        items,
        graded: copies,
    };
    crawl.read(PageRows::Years(vec![year])).await;
    let set = SetRow {
        brand: "Donruss".into(),
        name: String::new(),
        counts: counts(&[("9", copies)]),
        total: copies,
    };
    crawl.read(PageRows::Sets(vec![set])).await;
}

/// A filter or a budget leaves the page of a set unread: its cards are those of before, whether its row shows it or only
/// the one of its year.
async fn sets_that_were_left_behind_say_nothing_of_their_year(mut crawl: Crawl) {
    read_all(&crawl).await;
    crawl.next_run().await;
    read_above_the_cards(&crawl, 3, 4).await;
    assert_eq!(wrong(&crawl).await, []);
    crawl.next_run().await;
    read_above_the_cards(&crawl, 3, 5).await;
    assert_eq!(wrong(&crawl).await, []);
    crawl
        .read(PageRows::Cards(vec![
            card("1", &[("9", 3)]),
            card("2", &[("9", 2)]),
        ]))
        .await;
    let found = wrong(&crawl).await;
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0].check, "year_sums");
    assert_eq!(found[0].examples[0].what, "cards: 3 promised, 2 stored");
}

async fn all_findings_are_counted_and_some_named(crawl: Crawl) {
    read_all(&crawl).await;
    crawl.sql("UPDATE grade_rows SET grade_code = '7'").await;
    for limit in [0, 2, 3, 10] {
        let checks = crawl.store.check(limit).await.unwrap();
        let found = checks
            .iter()
            .find(|check| check.check == "grades_of_certificates")
            .unwrap();
        assert_eq!(found.found, 4);
        assert_eq!(found.examples.len(), (limit as usize).min(4));
    }
}
