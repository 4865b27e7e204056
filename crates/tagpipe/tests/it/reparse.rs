//! What was read can be read again from the kept documents: nothing is lost, nothing is invented, the site is not asked.

use std::collections::BTreeMap;

use sea_orm::{ConnectionTrait, Statement};
use tagpipe_demo::DemoConfig;
use tagpipe_store::DatabaseUrl;

use crate::harness::{Ended, Engine, Rig, Running, fetches, quick_profile};

/// The tables that a run's reading fills.
const CATALOGUE: [&str; 6] = [
    "categories",
    "years",
    "sets",
    "cards",
    "grade_rows",
    "population_history",
];

fn site(pages: u64) -> DemoConfig {
    DemoConfig {
        pages,
        seed: 11,
        churn: 0.1,
        ..DemoConfig::default()
    }
}

async fn rig(engine: Engine, pages: u64) -> Rig {
    let rig = Rig::on(engine, site(pages)).await;
    rig.write("tagpipe.toml", "audit_share = 0\n");
    rig
}

/// Every value of these tables, as the database writes it, by table.
async fn dump(rig: &Rig, tables: &[&str]) -> BTreeMap<String, Vec<String>> {
    let store = rig.open().await;
    let mut all = BTreeMap::new();
    for table in tables {
        let line = match rig.postgres {
            Some(_) => format!("CAST({table}.* AS text)"),
            None => {
                let columns = column_of(
                    &store,
                    &format!("SELECT name AS line FROM pragma_table_info('{table}')"),
                )
                .await;
                let columns: Vec<_> = columns.iter().filter(|name| *name != "body").cloned().collect();
                format!("json_array({})", columns.join(", "))
            }
        };
        let lines = column_of(&store, &format!("SELECT {line} AS line FROM {table} ORDER BY id")).await;
        all.insert((*table).to_owned(), lines);
    }
    store.close().await;
    all
}

async fn column_of(store: &tagpipe_store::Store, sql: &str) -> Vec<String> {
    let connection = store.connection();
    let statement = Statement::from_string(connection.get_database_backend(), sql);
    let rows = connection.query_all_raw(statement).await.expect("rows");
    rows.iter()
        .map(|row| row.try_get("", "line").expect("a line"))
        .collect()
}

async fn numbers(rig: &Rig, sql: &str) -> Vec<i64> {
    let store = rig.open().await;
    let lines = column_of(
        &store,
        &format!("SELECT CAST(line AS text) AS line FROM ({sql}) AS numbers"),
    )
    .await;
    store.close().await;
    lines.iter().map(|line| line.parse().expect("a number")).collect()
}

/// Starts `tagpipe reparse` on the rig's database.
fn start_reparse(rig: &Rig, arguments: &[&str]) -> Running {
    let (profile, database) = (rig.profile(), database(rig));
    let mut all = vec![
        "reparse",
        "--json",
        "--profile",
        &profile,
        "--database-url",
        &database,
    ];
    all.extend(arguments);
    Running::start(rig.command(&all))
}

/// Runs `tagpipe reparse` as `Rig::run` runs `tagpipe run`.
async fn reparse(rig: &Rig, arguments: &[&str]) -> Ended {
    start_reparse(rig, arguments).ended().await
}

fn database(rig: &Rig) -> String {
    match rig.database_url() {
        DatabaseUrl::Postgres(url) => url.to_string(),
        _ => "sqlite:tagpipe.db".to_owned(),
    }
}

fn report(ended: &Ended, code: i32) -> serde_json::Value {
    assert_eq!(ended.code, Some(code), "{}\n{}", ended.stderr, ended.stdout);
    serde_json::from_str(&ended.stdout).expect("JSON")
}

/// The built-in profile, patient and quick, with these texts replaced.
fn profile(replacements: &[(&str, &str)]) -> String {
    let mut text = quick_profile();
    for (from, to) in replacements {
        assert_eq!(text.matches(from).count(), 1, "`{from}` stands once");
        text = text.replace(from, to);
    }
    text
}

async fn an_unchanged_profile_changes_nothing(engine: Engine) {
    let rig = rig(engine, 250).await;
    rig.run(&[]).await.summary(0);
    rig.site.update(|config| config.epoch = 1);
    // Some pages are read anew, others are left out as unchanged.
    rig.run(&[]).await.summary(0);
    let (before, requests) = (dump(&rig, &CATALOGUE).await, rig.site.requests().len());
    let documents = dump(&rig, &["documents"]).await;
    let report = report(&reparse(&rig, &[]).await, 0);
    assert_eq!(rig.site.requests().len(), requests, "the site was asked");
    for table in CATALOGUE {
        assert_eq!(dump(&rig, &[table]).await[table], before[table], "{table}");
    }
    assert_eq!(dump(&rig, &["documents"]).await, documents);
    assert_eq!(report["pages"].as_u64(), Some(rig.site.world().page_count()));
    let tables = report["tables"].as_array().expect("tables");
    for table in tables {
        let (new, changed) = (&table["new"], &table["changed"]);
        assert!(new == 0 && changed == 0 && table["vanished"] == 0, "{table}");
    }
    let runs = rig.runs().await;
    let last = runs.last().expect("runs");
    assert_eq!((runs.len(), last.state.as_str()), (3, "reconciled"));
    let entries = rig.audit().await;
    let of_run: Vec<_> = entries
        .iter()
        .filter(|entry| entry.run_id == Some(last.id))
        .collect();
    for operation in ["reparse_started", "reparse_page", "reparse_ended"] {
        assert!(
            of_run.iter().any(|entry| entry.operation == operation),
            "{operation}"
        );
    }
    // A run that is resumed is never this one.
    let refused = rig.run(&["--resume", &last.id.to_string()]).await;
    assert!(
        refused.failure(2).contains("tagpipe reparse"),
        "{}",
        refused.stderr
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_reparses_into_the_same_tables() {
    an_unchanged_profile_changes_nothing(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_reparses_into_the_same_tables() {
    an_unchanged_profile_changes_nothing(Engine::Postgres).await;
}

/// Columns of years and certificates swapped: whole numbers in the place of other whole numbers.
const SWAPPED: [(&str, &str); 5] = [
    ("version = \"2026-11\"", "version = \"wrong\""),
    (
        "fields.items = { column = \"Items\" }",
        "fields.items = { column = \"Graded\" }",
    ),
    (
        "fields.graded = { column = \"Graded\" }",
        "fields.graded = { column = \"Items\" }",
    ),
    (
        "fields.rank = { column = \"Rank\" }",
        "fields.rank = { column = \"Chronology\" }",
    ),
    (
        "fields.chronology = { column = \"Chronology\" }",
        "fields.chronology = { column = \"Rank\" }",
    ),
];

async fn a_corrected_profile_gives_what_reading_with_it_gives(engine: Engine) {
    let rig = rig(engine, 120).await;
    rig.set_profile(&profile(&SWAPPED));
    let wrong = rig.run(&[]).await;
    assert_eq!(wrong.code, Some(4), "{}", wrong.stderr);
    let seen = "SELECT last_seen_at FROM grade_rows ORDER BY cert_number";
    let store = rig.open().await;
    let times = column_of(
        &store,
        &format!("SELECT CAST(last_seen_at AS text) AS line FROM ({seen}) AS seen"),
    )
    .await;
    store.close().await;
    let requests = rig.site.requests().len();

    rig.set_profile(&quick_profile());
    let rehearsed = report(&reparse(&rig, &["--dry-run"]).await, 0);
    let report = report(&reparse(&rig, &[]).await, 0);
    assert_eq!(
        rehearsed["tables"], report["tables"],
        "a rehearsal says what will be"
    );
    assert!(report["tables"][1]["changed"].as_u64() > Some(0), "{report}");
    assert_eq!(rig.site.requests().len(), requests, "the site was asked");
    rig.assert_equals_truth().await;
    let store = rig.open().await;
    let after = column_of(
        &store,
        &format!("SELECT CAST(last_seen_at AS text) AS line FROM ({seen}) AS seen"),
    )
    .await;
    store.close().await;
    assert_eq!(after, times, "nothing was seen at another time");

    // The corrected profile counts as the one that has read it all: only pages without counters are asked for.
    let before = rig.documents().len();
    rig.run(&[]).await.summary(0);
    let categories = rig.site.world().category_rows().count();
    let asked = fetches(&rig.documents()[before..]);
    assert_eq!(asked.len(), 1 + categories, "{asked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_reparses_what_a_wrong_profile_has_read() {
    a_corrected_profile_gives_what_reading_with_it_gives(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_reparses_what_a_wrong_profile_has_read() {
    a_corrected_profile_gives_what_reading_with_it_gives(Engine::Postgres).await;
}

async fn a_killed_reparse_loses_nothing(engine: Engine) {
    let rig = rig(engine, 400).await;
    rig.set_profile(&profile(&SWAPPED));
    assert_eq!(rig.run(&[]).await.code, Some(4));
    rig.set_profile(&quick_profile());
    let running = start_reparse(&rig, &[]);
    let reread = "SELECT count(*) AS line FROM frontier WHERE run_id = 2";
    while numbers(&rig, reread).await[0] == 0 && !running.has_ended() {
        tokio::task::yield_now().await;
    }
    running.kill_alone().await;
    // What the corrected profile has not read is due: a run would ask the site for it.
    let report = report(&reparse(&rig, &[]).await, 0);
    assert_eq!(report["pages"].as_u64(), Some(rig.site.world().page_count()));
    rig.assert_equals_truth().await;
    let before = rig.documents().len();
    rig.run(&[]).await.summary(0);
    let categories = rig.site.world().category_rows().count();
    assert_eq!(fetches(&rig.documents()[before..]).len(), 1 + categories);
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_loses_nothing_when_a_reparse_is_killed() {
    a_killed_reparse_loses_nothing(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_loses_nothing_when_a_reparse_is_killed() {
    a_killed_reparse_loses_nothing(Engine::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_is_corrected_and_does_not_grow() {
    // One grade's column is not known, so its copies are missing in every population.
    let rig = rig(Engine::Sqlite, 120).await;
    let history = ["population_history"];
    rig.run(&[]).await.summary(0);
    let right = dump(&rig, &history).await;
    let store = rig.open().await;
    let spoil = [
        "UPDATE cards SET counts = '{}', total = 0",
        "UPDATE population_history SET counts = '{}', total = 0 WHERE subject = 'card'",
    ];
    for sql in spoil {
        store.connection().execute_unprepared(sql).await.expect("spoilt");
    }
    store.close().await;
    assert_ne!(dump(&rig, &history).await, right);
    report(&reparse(&rig, &[]).await, 0);
    assert_eq!(
        dump(&rig, &history).await,
        right,
        "the entries that were wrong are right"
    );
    rig.assert_equals_truth().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_that_do_not_fit_are_named_and_touch_nothing() {
    let rig = rig(Engine::Sqlite, 80).await;
    rig.run(&[]).await.summary(0);
    let before = dump(&rig, &["cards", "grade_rows", "population_history"]).await;
    rig.set_profile(&profile(&[("column = \"Card #\"", "column = \"Card No.\"")]));
    let report = report(&reparse(&rig, &[]).await, 3);
    let sets = numbers(&rig, "SELECT count(*) AS line FROM sets").await[0];
    assert_eq!(report["failed"].as_i64(), Some(sets));
    let first = &report["failed_pages"][0];
    assert!(
        first["page_key"].as_str().expect("a key").starts_with("cards/"),
        "{first}"
    );
    assert!(
        first["reason"].as_str().expect("why").contains("Card No."),
        "{first}"
    );
    assert_eq!(
        dump(&rig, &["cards", "grade_rows", "population_history"]).await,
        before
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rehearsal_writes_nothing() {
    let rig = rig(Engine::Sqlite, 80).await;
    rig.set_profile(&profile(&SWAPPED));
    assert_eq!(rig.run(&[]).await.code, Some(4));
    rig.set_profile(&quick_profile());
    let everything = [
        &CATALOGUE[..],
        &["runs", "frontier", "documents", "audit_logs", "discrepancies"],
    ]
    .concat();
    let before = dump(&rig, &everything).await;
    let report = report(&reparse(&rig, &["--dry-run"]).await, 0);
    assert_eq!(report["run_id"], serde_json::Value::Null);
    assert_eq!(dump(&rig, &everything).await, before);
}

async fn every_row_leads_to_its_document(engine: Engine) {
    let rig = rig(engine, 400).await;
    rig.run(&[]).await.summary(0);
    let parts = numbers(&rig, "SELECT count(*) AS line FROM documents WHERE part > 1").await[0];
    assert!(parts > 0, "the site has pages of several documents");
    for table in &CATALOGUE[..5] {
        let lost = format!(
            "SELECT count(*) AS line FROM {table} WHERE (SELECT count(*) FROM lineage \
             WHERE row_table = '{table}' AND row_id = {table}.id) <> 1"
        );
        assert_eq!(numbers(&rig, &lost).await, [0], "{table}");
    }
    let world = rig.site.world();
    let deep = world.grade_rows().filter(|row| row.rank > Some(200));
    let near = world.grade_rows().take(3);
    for row in near.chain(deep.take(3)) {
        let (cert, database) = (row.cert_number.to_string(), database(&rig));
        let shown = rig
            .tagpipe(&["show", &cert, "--database-url", &database, "--document"])
            .await;
        assert_eq!(shown.code, Some(0), "{}", shown.stderr);
        assert!(shown.stdout.contains(&cert), "the document shows {cert}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_leads_from_every_row_to_its_document() {
    every_row_leads_to_its_document(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_leads_from_every_row_to_its_document() {
    every_row_leads_to_its_document(Engine::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_is_what_was_asked_for() {
    let rig = rig(Engine::Sqlite, 60).await;
    let of_run = |run: i64| format!("SELECT count(*) AS line FROM documents WHERE run_id = {run}");
    rig.run(&["--keep-documents", "none"]).await.summary(0);
    assert_eq!(numbers(&rig, &of_run(1)).await, [0]);
    let nothing = reparse(&rig, &[]).await;
    assert!(
        nothing.failure(1).contains("no document is kept"),
        "{}",
        nothing.stderr
    );

    rig.run(&["--full"]).await.summary(0);
    let kept = numbers(&rig, &of_run(2)).await;
    assert!(kept[0] as u64 >= rig.site.world().page_count());
    rig.run(&["--full", "--keep-documents", "all"]).await.summary(0);
    assert_eq!(
        [numbers(&rig, &of_run(2)).await, numbers(&rig, &of_run(3)).await],
        [kept.clone(), kept.clone()]
    );
    rig.run(&["--full"]).await.summary(0);
    assert_eq!(
        [numbers(&rig, &of_run(2)).await, numbers(&rig, &of_run(3)).await],
        [kept.clone(), vec![0]],
        "the newest reading replaces the one before it"
    );
    rig.run(&["--full", "--keep-documents", "none"]).await.summary(0);
    let stale = reparse(&rig, &[]).await;
    assert!(
        stale.failure(1).contains("no document is kept"),
        "older readings do not stand for newer ones: {}",
        stale.stderr
    );
    let wrong = rig.run(&["--keep-documents", "some"]).await;
    assert!(wrong.failure(2).contains("last, all or none"), "{}", wrong.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_tells_where_it_was_read() {
    let rig = rig(Engine::Sqlite, 60).await;
    rig.run(&[]).await.summary(0);
    let world = rig.site.world();
    let row = world.grade_rows().next().expect("a certificate");
    let cert = row.cert_number.to_string();
    let shown = rig.tagpipe(&["show", &cert.to_lowercase(), "--json"]).await;
    let shown = report(&shown, 0);
    assert_eq!(shown["cert_number"], cert.as_str());
    assert_eq!(shown["row"]["grade_text"], row.grade_text.as_str());
    assert_eq!(shown["row"]["rank"].as_u64(), row.rank.map(u64::from));
    assert_eq!(shown["lineage"]["run_id"], 1);
    let page = shown["lineage"]["page_key"].as_str().expect("a key");
    assert!(page.starts_with("grade_rows/"), "{page}");
    let place = shown["place"].as_array().expect("a place");
    assert!(place.iter().any(|part| part == row.year.as_str()), "{place:?}");

    let text = rig.tagpipe(&["show", &cert]).await;
    assert_eq!(text.code, Some(0), "{}", text.stderr);
    assert!(
        text.stdout.contains("by run 1") && text.stdout.contains("SHA-256"),
        "{}",
        text.stdout
    );
    // What becomes of it later is on record.
    let store = rig.open().await;
    let regraded = format!("UPDATE grade_rows SET grade_code = 'VA' WHERE cert_number = '{cert}'");
    store
        .connection()
        .execute_unprepared(&regraded)
        .await
        .expect("regraded");
    store.close().await;
    let shown = report(&rig.tagpipe(&["show", &cert, "--json"]).await, 0);
    let history = shown["history"].as_array().expect("a history");
    let event = history
        .iter()
        .find(|event| event["what"] == "regraded")
        .expect("an event");
    let after = event["after"].as_str().expect("words");
    assert!(
        after.ends_with("grade VA") && after.contains(&format!("#{}", row.number)),
        "{after}"
    );

    let mistyped = format!("{}?", &cert[..cert.len() - 1]);
    let unknown = rig.tagpipe(&["show", &mistyped]).await;
    assert!(
        unknown.failure(1).contains(&format!("`{cert}`")),
        "{}",
        unknown.stderr
    );
}

/// Only what was compared and agrees is resolved.
async fn what_was_not_compared_stays_in_dispute(engine: Engine) {
    let rig = rig(engine, 120).await;
    rig.run(&[]).await.summary(0);
    let dispute = |subject: &str, id: &str, what: &str| {
        format!(
            "INSERT INTO discrepancies (subject, subject_id, page_key, what, expected, expected_by, found, run_id, \
                 created_at) SELECT '{subject}', {id}, 'x', '{what}', '2', 'a page', '1', id, started_at FROM runs"
        )
    };
    // The document of one set is not kept, so nobody can say how many cards its year has.
    let lost = "(SELECT min(id) FROM sets)";
    let store = rig.open().await;
    for sql in [
        format!("DELETE FROM documents WHERE level = 3 AND subject_id = {lost}"),
        dispute("set", lost, "copies"),
        dispute("set", lost, "copies at grade 9"),
        dispute(
            "year",
            &format!("(SELECT year_id FROM sets WHERE id = {lost})"),
            "cards",
        ),
        dispute("set", "(SELECT max(id) FROM sets)", "copies"),
        dispute("set", "(SELECT max(id) FROM sets)", "copies at grade nobody has"),
        dispute("year", "(SELECT min(id) FROM years)", "sets"),
        dispute("card", "(SELECT min(id) FROM cards)", "certificate none"),
        dispute(
            "card",
            "(SELECT card_id FROM grade_rows ORDER BY id LIMIT 1)",
            "certificate still",
        ),
        "UPDATE discrepancies SET what = 'certificate ' || (SELECT cert_number FROM grade_rows ORDER BY id LIMIT 1) \
         WHERE what = 'certificate still'"
            .to_owned(),
    ] {
        store.connection().execute_unprepared(&sql).await.expect("planted");
    }
    store.close().await;
    report(&reparse(&rig, &[]).await, 0);
    let open = "SELECT id AS line FROM discrepancies WHERE resolved_at IS NULL ORDER BY id";
    assert_eq!(numbers(&rig, open).await, [1, 2, 3, 8]);
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_leaves_in_dispute_what_a_reparse_has_not_compared() {
    what_was_not_compared_stays_in_dispute(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_leaves_in_dispute_what_a_reparse_has_not_compared() {
    what_was_not_compared_stays_in_dispute(Engine::Postgres).await;
}

/// A pager's link leads by the name that the card had when it was read.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_several_documents_is_reparsed_under_the_name_it_had() {
    let rig = Rig::new(DemoConfig {
        pages: 300,
        seed: 41,
        churn: 0.05,
        ..DemoConfig::default()
    })
    .await;
    for epoch in 0..3 {
        rig.site.update(|config| {
            config.epoch = epoch;
            config.upheaval = f64::from(epoch.min(1)) * 0.1;
        });
        rig.run(&[]).await.summary(0);
    }
    let renamed = "SELECT count(*) AS line FROM documents JOIN cards ON cards.id = documents.subject_id \
                   WHERE documents.level = 4 AND part = 2 AND superseded_at IS NULL AND vanished_at IS NULL \
                       AND replace(page_key, name, '') = page_key";
    assert!(numbers(&rig, renamed).await[0] > 0, "such a card was renamed");
    let before = dump(&rig, &CATALOGUE).await;
    let report = report(&reparse(&rig, &[]).await, 0);
    assert_eq!(
        (&report["failed"], &report["discrepancies"]),
        (&0.into(), &0.into())
    );
    for table in CATALOGUE {
        assert_eq!(dump(&rig, &[table]).await[table], before[table], "{table}");
    }
    let unreadable = "SELECT count(*) AS line FROM discrepancies WHERE subject = 'page'";
    assert_eq!(numbers(&rig, unreadable).await, [0]);
}

/// What has left the site stays away when the pages it once had are read again.
async fn what_has_vanished_stays_away(engine: Engine) {
    let rig = rig(engine, 300).await;
    rig.run(&[]).await.summary(0);
    rig.site.update(|config| {
        config.epoch = 2;
        config.upheaval = 0.1;
    });
    rig.run(&["--full"]).await.summary(0);
    let tables = [&CATALOGUE[..], &["catalogue_history", "certificate_history"]].concat();
    let before = dump(&rig, &tables).await;
    let gone = "SELECT count(*) AS line FROM grade_rows WHERE vanished_at IS NOT NULL";
    assert!(numbers(&rig, gone).await[0] > 0, "some have vanished");
    report(&reparse(&rig, &[]).await, 0);
    for table in tables {
        assert_eq!(dump(&rig, &[table]).await[table], before[table], "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_vanished_stays_away_on_sqlite() {
    what_has_vanished_stays_away(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_vanished_stays_away_on_postgres() {
    what_has_vanished_stays_away(Engine::Postgres).await;
}
