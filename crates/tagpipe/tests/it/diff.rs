//! What changed between runs is what the site says has changed, and the history leads back to every past run.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::EntityTrait;
use serde_json::Value;
use tagpipe_core::model::clean_text;
use tagpipe_demo::{DemoConfig, Grade, World};
use tagpipe_store::DatabaseUrl;
use tagpipe_store::entities::{
    cards, catalogue_history, categories, certificate_history, grade_rows, population_history, runs, sets,
    years,
};

use crate::harness::{Engine, Rig};

/// Category, year, brand, set; for a card also number and variation: what a new name leaves alone.
type Key = Vec<String>;
type Copies = BTreeMap<String, u64>;

/// What a site shows, or has shown.
#[derive(Debug, Default, PartialEq)]
struct State {
    sets: BTreeMap<Key, Copies>,
    cards: BTreeMap<Key, Copies>,
    names: BTreeMap<Key, String>,
    /// Card and grade of each certificate.
    certificates: BTreeMap<String, (Key, String)>,
}

fn key(parts: &[&str]) -> Key {
    parts.iter().map(|part| clean_text(part)).collect()
}

fn copies(counts: &Value) -> Copies {
    let counts = counts.as_object().expect("counts are an object");
    counts
        .iter()
        .map(|(code, count)| (code.clone(), count.as_u64().expect("a number")))
        .collect()
}

impl State {
    fn of(world: &World) -> State {
        let mut state = State::default();
        for row in world.set_rows() {
            let key = key(&[&row.category, &row.year, &row.brand, &row.name]);
            state.sets.insert(key, copies(&serde_json::json!(row.counts)));
        }
        for row in world.card_rows() {
            let key = key(&[
                &row.category,
                &row.year,
                &row.brand,
                &row.set,
                &row.number,
                &row.variation,
            ]);
            state.names.insert(key.clone(), clean_text(&row.name));
            state.cards.insert(key, copies(&serde_json::json!(row.counts)));
        }
        for row in world.grade_rows() {
            let key = key(&[
                &row.category,
                &row.year,
                &row.brand,
                &row.set,
                &row.number,
                &row.variation,
            ]);
            let grade = Grade::all()
                .find(|grade| grade.number() == row.grade && grade.label() == row.grade_label)
                .expect("a grade of the scale");
            state
                .certificates
                .insert(row.cert_number.to_string(), (key, grade.code().to_owned()));
        }
        state
    }
}

/// A difference: change, subject, key, certificate, grade, before and after.
type Told = (String, String, Key, String, String, String, String);

/// The difference between two states of `states`, from those alone.
fn expected(states: &[State], from: usize, to: usize) -> BTreeSet<Told> {
    let (old, new) = (&states[from], &states[to]);
    let known = &states[..=from];
    let mut told = BTreeSet::new();
    let mut tell = |change: &str, subject: &str, key: &Key, cert: &str, values: [&str; 3]| {
        let [grade, before, after] = values.map(str::to_owned);
        told.insert((
            change.to_owned(),
            subject.to_owned(),
            key.clone(),
            cert.to_owned(),
            grade,
            before,
            after,
        ));
    };
    type Table = fn(&State) -> &BTreeMap<Key, Copies>;
    let tables: [(&str, Table); 2] = [("set", |state| &state.sets), ("card", |state| &state.cards)];
    for (subject, table) in tables {
        let (before, after) = (table(old), table(new));
        for (key, has) in after {
            let Some(had) = before.get(key) else {
                if known.iter().any(|state| table(state).contains_key(key)) {
                    tell("returned", subject, key, "", ["", "", ""]);
                } else {
                    let total = has.values().sum::<u64>().to_string();
                    tell("new", subject, key, "", ["", "", &total]);
                }
                continue;
            };
            let grades: BTreeSet<_> = had.keys().chain(has.keys()).collect();
            for grade in grades {
                let (had, has) = (had.get(grade).unwrap_or(&0), has.get(grade).unwrap_or(&0));
                let change = match has.cmp(had) {
                    std::cmp::Ordering::Greater => "grown",
                    std::cmp::Ordering::Less => "fallen",
                    std::cmp::Ordering::Equal => continue,
                };
                tell(
                    change,
                    subject,
                    key,
                    "",
                    [grade, &had.to_string(), &has.to_string()],
                );
            }
        }
        for key in before.keys().filter(|key| !after.contains_key(*key)) {
            tell("vanished", subject, key, "", ["", "", ""]);
        }
    }
    for (key, name) in &new.names {
        if let Some(before) = old.names.get(key).filter(|before| *before != name) {
            let full = |name: &str| format!("{name} {}", key[5]).trim().to_owned();
            tell("renamed", "card", key, "", ["", &full(before), &full(name)]);
        }
    }
    for (cert, (key, grade)) in &new.certificates {
        let change = match old.certificates.get(cert) {
            None if known.iter().any(|state| state.certificates.contains_key(cert)) => "returned",
            None => "new",
            Some((before, _)) if before != key => "moved",
            Some((_, before)) if before != grade => "regraded",
            Some(_) => continue,
        };
        let (before, after) = match old.certificates.get(cert).filter(|_| change == "moved") {
            Some((before, _)) => (before[4].clone(), key[4].clone()),
            None => (String::new(), String::new()),
        };
        tell(change, "certificate", key, cert, [grade, &before, &after]);
    }
    for (cert, (key, grade)) in &old.certificates {
        if !new.certificates.contains_key(cert) {
            tell("vanished", "certificate", key, cert, [grade, "", ""]);
        }
    }
    told
}

/// What `tagpipe diff` tells.
fn told(diff: &Value) -> BTreeSet<Told> {
    let changes = diff["changes"].as_array().expect("changes");
    let rows: BTreeSet<Told> = changes.iter().map(one_told).collect();
    assert_eq!(rows.len(), changes.len(), "no difference is told twice");
    rows
}

fn one_told(change: &Value) -> Told {
    let text = |name: &str| change[name].as_str().expect("a text").to_owned();
    let mut parts = vec![text("category"), text("year"), text("brand"), text("set")];
    if text("subject") != "set" {
        parts.extend([text("number"), text("variation")]);
    }
    let (mut before, mut after) = (text("before"), text("after"));
    if text("change") == "moved" {
        // Number and name; the number tells the card.
        let number = |card: String| card.split(' ').next().unwrap_or_default().to_owned();
        (before, after) = (number(before), number(after));
    }
    (
        text("change"),
        text("subject"),
        parts,
        text("cert_number"),
        text("grade"),
        before,
        after,
    )
}

#[track_caller]
fn assert_same(told: &BTreeSet<Told>, expected: &BTreeSet<Told>, what: &str) {
    let missing: Vec<_> = expected.difference(told).take(5).collect();
    let surplus: Vec<_> = told.difference(expected).take(5).collect();
    assert!(
        missing.is_empty() && surplus.is_empty(),
        "{what}: {} told, {} expected\nmissing: {missing:#?}\nsurplus: {surplus:#?}",
        told.len(),
        expected.len()
    );
}

/// Weeks in which everything happens that can happen to a row, each read to its end.
async fn weeks(engine: Engine, seed: u64, pages: u64) -> (Rig, Vec<State>) {
    let config = DemoConfig {
        pages,
        seed,
        churn: 0.1,
        upheaval: 0.2,
        ..DemoConfig::default()
    };
    let rig = Rig::on(engine, config).await;
    let mut states = Vec::new();
    for week in 0..4 {
        rig.site.update(|config| config.epoch = week);
        let summary = rig.run(&["--full"]).await.summary(0);
        assert_eq!(summary["end"], "reconciled", "week {week}");
        rig.assert_present_equals_truth().await;
        states.push(State::of(&rig.site.world()));
    }
    (rig, states)
}

async fn diff(rig: &Rig, arguments: &[&str]) -> Value {
    let url = match rig.database_url() {
        DatabaseUrl::Postgres(url) => url.to_string(),
        _ => "sqlite:tagpipe.db".to_owned(),
    };
    let all = [&["diff", "--json", "--database-url", &url], arguments].concat();
    let ended = rig.tagpipe(&all).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    serde_json::from_str(&ended.stdout).expect("JSON")
}

async fn differences_are_those_of_the_site(engine: Engine, seed: u64, pages: u64) {
    let (rig, states) = weeks(engine, seed, pages).await;
    let mut kinds = BTreeSet::new();
    for from in 0..states.len() {
        for to in from..states.len() {
            let runs = [(from + 1).to_string(), (to + 1).to_string()];
            let diff = diff(&rig, &[&runs[0], &runs[1]]).await;
            let expected = expected(&states, from, to);
            assert_same(
                &told(&diff),
                &expected,
                &format!("run {} to run {}", runs[0], runs[1]),
            );
            let ran: Vec<_> = diff["span"]["runs"]
                .as_array()
                .expect("runs")
                .iter()
                .map(|run| run["id"].as_i64().expect("an id"))
                .collect();
            assert_eq!(ran, (from as i64 + 2..=to as i64 + 1).collect::<Vec<_>>());
            kinds.extend(expected.into_iter().map(|one| format!("{} {}", one.1, one.0)));
        }
    }
    // The weeks were hard enough.
    for kind in [
        "set vanished",
        "set returned",
        "card new",
        "card vanished",
        "card returned",
        "card renamed",
        "card grown",
        "card fallen",
        "set grown",
        "set fallen",
        "certificate new",
        "certificate vanished",
        "certificate returned",
        "certificate moved",
    ] {
        assert!(kinds.contains(kind), "{kind} is not among {kinds:?}");
    }
    let newest = diff(&rig, &[]).await;
    assert_same(&told(&newest), &expected(&states, 2, 3), "the newest run");
    let replayed = replayed(&rig).await;
    for (week, (replayed, state)) in replayed.iter().zip(&states).enumerate() {
        assert!(replayed == state, "the history does not lead back to week {week}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_tells_what_changed() {
    differences_are_those_of_the_site(Engine::Sqlite, 1, 600).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_tells_what_changed() {
    differences_are_those_of_the_site(Engine::Postgres, 2, 600).await;
}

/// What was known at the end of each run, from the histories alone.
async fn replayed(rig: &Rig) -> Vec<State> {
    let store = rig.open().await;
    let connection = store.connection();
    macro_rules! all {
        ($table:ident) => {
            $table::Entity::find().all(connection).await.expect("rows")
        };
    }
    let (mut runs, events, moves) = (all!(runs), all!(catalogue_history), all!(certificate_history));
    let (categories, years, sets, cards) = (all!(categories), all!(years), all!(sets), all!(cards));
    let (certificates, populations) = (all!(grade_rows), all!(population_history));
    store.close().await;
    runs.sort_by_key(|run| run.id);
    let name_of_category: BTreeMap<_, _> = categories.iter().map(|row| (row.id, row.name.clone())).collect();
    let of_year: BTreeMap<_, _> = years
        .iter()
        .map(|row| {
            (
                row.id,
                [name_of_category[&row.category_id].clone(), row.year.clone()],
            )
        })
        .collect();
    let key_of_set: BTreeMap<i64, Key> = sets
        .iter()
        .map(|row| {
            let [category, year] = of_year[&row.year_id].clone();
            (row.id, vec![category, year, row.brand.clone(), row.name.clone()])
        })
        .collect();
    let key_of_card: BTreeMap<i64, Key> = cards
        .iter()
        .map(|row| {
            let own = [row.number.clone(), row.variation.clone()];
            (
                row.id,
                key_of_set[&row.set_id].iter().cloned().chain(own).collect(),
            )
        })
        .collect();
    let mut states = Vec::new();
    for run in &runs {
        let end = run.finished_at.expect("the run has ended");
        let is_listed = |subject: &str, id: i64| {
            let last = events
                .iter()
                .filter(|one| one.subject == subject && one.subject_id == id && one.event != "renamed")
                .filter(|one| one.observed_at <= end)
                .max_by_key(|one| (one.observed_at, one.id));
            last.is_none_or(|one| one.event == "returned")
        };
        let shown = |subject: &str, id: i64| {
            let last = populations
                .iter()
                .filter(|one| one.subject == subject && one.subject_id == id && one.observed_at <= end)
                .max_by_key(|one| (one.observed_at, one.id))?;
            is_listed(subject, id).then(|| copies(&last.counts))
        };
        let mut state = State::default();
        for row in &sets {
            if let Some(copies) = shown("set", row.id) {
                state.sets.insert(key_of_set[&row.id].clone(), copies);
            }
        }
        for row in &cards {
            if let Some(copies) = shown("card", row.id) {
                let key = &key_of_card[&row.id];
                let later = events
                    .iter()
                    .filter(|one| one.subject == "card" && one.subject_id == row.id && one.event == "renamed")
                    .filter(|one| one.observed_at > end)
                    .min_by_key(|one| (one.observed_at, one.id));
                let name = later.and_then(|one| one.name_before.clone());
                state
                    .names
                    .insert(key.clone(), name.unwrap_or_else(|| row.name.clone()));
                state.cards.insert(key.clone(), copies);
            }
        }
        for row in certificates.iter().filter(|row| row.first_seen_at <= end) {
            let next = moves
                .iter()
                .filter(|one| one.grade_row_id == row.id && one.observed_at > end)
                .min_by_key(|one| (one.observed_at, one.id));
            let then = match next {
                Some(next) => next.card_before.zip(next.grade_before.clone()),
                None => row
                    .vanished_at
                    .is_none()
                    .then(|| (row.card_id, row.grade_code.clone())),
            };
            if let Some((card, grade)) = then {
                state
                    .certificates
                    .insert(row.cert_number.clone(), (key_of_card[&card].clone(), grade));
            }
        }
        states.push(state);
    }
    states
}

#[tokio::test(flavor = "multi_thread")]
async fn a_difference_is_filtered_limited_and_written_as_csv() {
    let (rig, _) = weeks(Engine::Sqlite, 3, 300).await;
    let all = diff(&rig, &["1", "4"]).await;
    let hockey = diff(&rig, &["1", "4", "--categories", "hock*"]).await;
    let wanted: BTreeSet<Told> = told(&all)
        .into_iter()
        .filter(|one| one.2.first().is_some_and(|category| category == "Hockey"))
        .collect();
    assert!(!wanted.is_empty());
    assert_eq!(told(&hockey), wanted);

    let ended = rig.tagpipe(&["diff", "1", "4", "--csv"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let count = all["changes"].as_array().expect("changes").len();
    assert_eq!(ended.stdout.lines().count(), count + 1);
    assert!(
        ended.stdout.starts_with("change,subject,category,"),
        "{}",
        ended.stdout
    );

    let ended = rig
        .tagpipe(&["diff", "--from", "1", "--to", "4", "--limit", "3"])
        .await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let lines: Vec<_> = ended.stdout.lines().collect();
    assert!(
        lines[0].contains("run 4 reconciled, run 3 reconciled"),
        "{}",
        lines[0]
    );
    assert_eq!(
        lines.len(),
        1 + 1 + 3 + 1 + 1,
        "span, header, rows, rest, summary: {lines:#?}"
    );
    assert!(lines[5].starts_with("and "), "{lines:#?}");
    let sum: u64 = all["counts"]
        .as_object()
        .expect("counts")
        .values()
        .flat_map(|of| of.as_object().expect("counts").values())
        .map(|count| count.as_u64().expect("a number"))
        .sum();
    assert_eq!(sum, count as u64);

    let ended = rig.tagpipe(&["diff", "3", "2"]).await;
    assert!(ended.failure(2).contains("older one first"));
    let ended = rig.tagpipe(&["diff", "77"]).await;
    assert!(ended.failure(2).contains("there is no run 77"));
    for contradiction in [
        ["diff", "--json", "--format", "csv"],
        ["diff", "--json", "--format", "table"],
        ["diff", "--csv", "--format", "json"],
    ] {
        rig.tagpipe(&contradiction).await.failure(2);
    }
    let ended = rig.tagpipe(&["diff", "--json", "--format", "json"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let ended = rig.tagpipe(&["diff", "--since", "2999-01-01"]).await;
    assert!(ended.failure(2).contains("lies in the future"));
    let ended = rig.tagpipe(&["diff", "--categories", "hock*,Bridge"]).await;
    assert_eq!(ended.code, Some(0));
    assert!(
        ended.stderr.contains("no category matches `Bridge`; there are ")
            && !ended.stderr.contains("`hock*`"),
        "{}",
        ended.stderr
    );

    // Kept documents that are read again are no reading of the site.
    let newest = diff(&rig, &[]).await["changes"].clone();
    assert!(newest.as_array().is_some_and(|changes| !changes.is_empty()));
    let reparsed = rig.tagpipe(&["reparse"]).await;
    assert_eq!(reparsed.code, Some(0), "{}", reparsed.stderr);
    assert_eq!(diff(&rig, &[]).await["changes"], newest);

    let since = diff(&rig, &["--since", "1970-01-01"]).await;
    assert!(
        since["changes"]
            .as_array()
            .is_some_and(|changes| changes.len() > count)
    );
}
