//! Twenty weeks of a site that changes and misbehaves, read by runs that are killed, stopped, limited and repeated: after
//! each run that came to its end the database is the site, and the history is what the site was.
//!
//! The seed is printed. `TAGPIPE_WEEKS_SEED` makes the same weeks happen again.

use std::collections::{BTreeMap, HashMap, HashSet};

use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder};
use serde_json::json;
use tagpipe_core::model::clean_text;
use tagpipe_demo::{DemoConfig, World};
use tagpipe_store::Store;
use tagpipe_store::entities::{cards, categories, grade_rows, population_history, sets, years};

use crate::harness::{Engine, Rig, fetches, signal, wait_until};
use crate::truth::{counts, place};

const WEEKS: u32 = 20;
/// No run is given up for a fault that a retry mends.
const PATIENT: [&str; 6] = [
    "--max-retries",
    "30",
    "--retry-backoff",
    "1.1",
    "--concurrency",
    "6",
];

fn seed() -> u64 {
    let given = std::env::var("TAGPIPE_WEEKS_SEED");
    let seed = given.map_or_else(|_| fastrand::u64(..), |text| text.parse().expect("a seed"));
    println!("TAGPIPE_WEEKS_SEED={seed}");
    seed
}

/// What happens to the first attempt of a week.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mishap {
    None,
    Killed,
    Stopped,
    BudgetSpent,
    ManyKilled,
}

const MISHAPS: [Mishap; 5] = [
    Mishap::None,
    Mishap::Killed,
    Mishap::Stopped,
    Mishap::BudgetSpent,
    Mishap::ManyKilled,
];

/// What the rows of sets and cards show, by their address.
type Shown = HashMap<String, Vec<(String, u64)>>;

/// What sets and cards showed when `run` had ended, replayed from the history.
async fn replayed(store: &Store, run: i64) -> Shown {
    let connection = store.connection();
    let mut addresses = HashMap::new();
    for set in sets::Entity::find().all(connection).await.expect("sets") {
        addresses.insert(("set".to_owned(), set.id), set.url);
    }
    for card in cards::Entity::find().all(connection).await.expect("cards") {
        addresses.insert(("card".to_owned(), card.id), card.url);
    }
    let history = population_history::Entity::find()
        .filter(population_history::Column::RunId.lte(run))
        .order_by_asc(population_history::Column::Id)
        .all(connection)
        .await
        .expect("history");
    let states = history.into_iter().map(|row| {
        let address = &addresses[&(row.subject, row.subject_id)];
        (place(address).0, counts(&row.counts))
    });
    // A later state of a row takes the place of an earlier one.
    states.collect()
}

/// The children that a page lists, with what it shows of each.
type Children = BTreeMap<String, String>;

/// Pages below years, sets and cards, from the top down: what each lists, by its address.
#[derive(Default)]
struct Listings([HashMap<String, Children>; 3]);

impl Listings {
    fn add(&mut self, level: usize, page: String, child: String, shows: String) {
        self.0[level].entry(page).or_default().insert(child, shows);
    }

    /// What the site lists, and what it shows of each year.
    fn promised(world: &World) -> (Children, Listings) {
        let years = world.year_rows().map(|row| {
            let shows = format!("{} {} {}", row.sets_count, row.items_count, row.graded_count);
            (format!("{}/{}", clean_text(&row.category), row.year), shows)
        });
        let years = years.collect();
        let mut listings = Listings::default();
        let mut pages = HashMap::new();
        for row in world.set_rows() {
            let page = place(&row.url).0;
            let name = [&row.category, &row.year, &row.brand, &row.name].map(String::clone);
            pages.insert(name.to_vec(), page.clone());
            let year = format!("{}/{}", clean_text(&row.category), row.year);
            listings.add(0, year, page, format!("{:?}", counts(&json!(row.counts))));
        }
        for row in world.card_rows() {
            let page = place(&row.url).0;
            let set = vec![row.category, row.year, row.brand, row.set];
            let above = pages[&set].clone();
            let own = [set, vec![row.number, row.name, row.variation]].concat();
            pages.insert(own, page.clone());
            listings.add(1, above, page, format!("{:?}", counts(&json!(row.counts))));
        }
        for row in world.grade_rows() {
            let card = vec![
                row.category,
                row.year,
                row.brand,
                row.set,
                row.number,
                row.name,
                row.variation,
            ];
            let shows = format!(
                "{} {:?} {:?}",
                clean_text(&row.grade_text),
                row.rank,
                row.chronology
            );
            listings.add(2, pages[&card].clone(), row.cert_number.to_string(), shows);
        }
        (years, listings)
    }

    /// What is stored.
    async fn stored(store: &Store) -> Listings {
        let connection = store.connection();
        let mut listings = Listings::default();
        let all = categories::Entity::find().all(connection).await.expect("rows");
        let names: HashMap<_, _> = all.into_iter().map(|row| (row.id, row.name)).collect();
        let mut pages = HashMap::new();
        for row in years::Entity::find().all(connection).await.expect("rows") {
            pages.insert(
                ("year", row.id),
                format!("{}/{}", names[&row.category_id], row.year),
            );
        }
        for row in sets::Entity::find().all(connection).await.expect("rows") {
            let page = place(&row.url).0;
            pages.insert(("set", row.id), page.clone());
            let shows = format!("{:?}", counts(&row.counts));
            listings.add(0, pages[&("year", row.year_id)].clone(), page, shows);
        }
        for row in cards::Entity::find().all(connection).await.expect("rows") {
            let page = place(&row.url).0;
            pages.insert(("card", row.id), page.clone());
            let shows = format!("{:?}", counts(&row.counts));
            listings.add(1, pages[&("set", row.set_id)].clone(), page, shows);
        }
        for row in grade_rows::Entity::find().all(connection).await.expect("rows") {
            if row.vanished_at.is_none() {
                let shows = format!("{} {:?} {:?}", row.grade_text, row.rank, row.chronology);
                listings.add(2, pages[&("card", row.card_id)].clone(), row.cert_number, shows);
            }
        }
        listings
    }
}

/// What a reader knows that looks at every page whose row shows something else than when it looked last, and at no other:
/// two changes below one row that cancel each other out are hidden from it.
#[derive(Default)]
struct Believed {
    /// What the row of each page showed when it was looked at last, by level.
    shown: [Children; 3],
    listings: Listings,
}

impl Believed {
    /// Looks at the site as it is now.
    fn look(&mut self, world: &World) {
        let (mut rows, now) = Listings::promised(world);
        for level in 0..3 {
            for (page, shows) in &rows {
                if self.shown[level].get(page) != Some(shows) {
                    let listed = now.0[level].get(page).cloned().unwrap_or_default();
                    self.listings.0[level].insert(page.clone(), listed);
                }
            }
            self.shown[level] = rows;
            rows = self.listings.0[level]
                .values()
                .flatten()
                .map(|(page, shows)| (page.clone(), shows.clone()))
                .collect();
        }
    }

    /// Compares what is stored with what must be known, or with what is true where more was read than had to be. Returns
    /// how many pages are not what they are on the site.
    fn assert_known(&self, stored: &Listings, world: &World) -> usize {
        let (_, now) = Listings::promised(world);
        let nothing = Children::new();
        let mut hidden = 0;
        for level in 0..3 {
            for (page, believed) in &self.listings.0[level] {
                let is = stored.0[level].get(page).unwrap_or(&nothing);
                let should = now.0[level].get(page).unwrap_or(&nothing);
                hidden += usize::from(is != should);
                assert!(
                    is == should || is == believed,
                    "level {level}, {page}:\nstored {is:#?}\nthe site {should:#?}\nmust be known {believed:#?}"
                );
            }
        }
        hidden
    }
}

/// Tries to read the week, and fails as `mishap` says.
async fn fail(rig: &Rig, mishap: Mishap, after: usize) {
    let seen = rig.documents().len();
    let many = [&PATIENT[..], &["--num-runners", "2", "--check-interval", "0.5"]].concat();
    let running = match mishap {
        Mishap::None => return,
        Mishap::BudgetSpent => {
            let budget = after.to_string();
            let limited = [&PATIENT[..], &["--max-pages", &budget]].concat();
            let code = rig.run(&limited).await.code;
            assert!(matches!(code, Some(0 | 5)), "{code:?}");
            return;
        }
        Mishap::Killed | Mishap::Stopped => rig.start(&PATIENT),
        Mishap::ManyKilled => rig.start_orchestrate(&many),
    };
    wait_until("some pages", || {
        rig.documents().len() > seen + after || running.has_ended()
    })
    .await;
    if mishap == Mishap::Stopped {
        if !running.has_ended() {
            // It may end by itself in this very moment.
            signal("INT", running.pid).await;
        }
        running.ended().await;
        return;
    }
    for runner in rig.runner_processes() {
        signal("KILL", runner.pid).await;
    }
    running.kill_alone().await;
}

/// Reads the week to its end: goes on with what is left, or begins anew. Returns the run.
async fn read_to_the_end(rig: &Rig, goes_on: bool) -> i64 {
    if goes_on {
        let resumed = rig.run(&[&PATIENT[..], &["--resume"]].concat()).await;
        // With nothing left to go on with, a new run is made.
        if resumed.code == Some(0) {
            return resumed.summary(0)["run_id"].as_i64().expect("a number");
        }
        assert!(
            resumed.stderr.contains("no run was left unfinished"),
            "{}",
            resumed.stderr
        );
    }
    let summary = rig.run(&PATIENT).await.summary(0);
    assert_eq!(summary["end"], "reconciled", "{summary:#}");
    summary["run_id"].as_i64().expect("a number")
}

async fn weeks(engine: Engine) {
    let mut chance = fastrand::Rng::with_seed(seed());
    let mut config = DemoConfig {
        pages: 150,
        seed: chance.u64(..1000),
        churn: 0.08,
        ..DemoConfig::default()
    };
    config.faults.unavailable = 0.03;
    config.faults.cut_off = 0.03;
    config.faults.partial = 0.03;
    let rig = Rig::on(engine, config).await;
    rig.write("tagpipe.toml", "audit_share = 0.02\nlease_term = 2\n");
    let mut past: Vec<(i64, Shown)> = Vec::new();
    let (mut believed, mut hidden) = (Believed::default(), 0);
    for week in 0..WEEKS {
        rig.site.update(|config| config.epoch = week);
        let seen = rig.documents().len();
        let mishap = MISHAPS[chance.usize(..MISHAPS.len())];
        println!("week {week}: {mishap:?}");
        fail(&rig, mishap, chance.usize(3..25)).await;
        let run = read_to_the_end(&rig, chance.bool()).await;
        let world = rig.site.world();
        believed.look(&world);
        let store = rig.open().await;
        hidden += believed.assert_known(&Listings::stored(&store).await, &world);
        let now = replayed(&store, run).await;
        store.close().await;
        // Whatever shows something else than a week ago was asked for.
        let asked: HashSet<String> = fetches(&rig.documents()[seen..]).into_keys().collect();
        for (page, shows) in &now {
            let is_changed = past
                .last()
                .is_none_or(|(_, before)| before.get(page) != Some(shows));
            assert!(
                !is_changed || asked.contains(page),
                "{page} has changed and was not read"
            );
        }
        past.push((run, now));
    }
    println!(
        "{hidden} pages were out of date at the end of a week, hidden by changes that cancel each other out"
    );
    assert!(hidden < 60, "that is rare: {hidden}");
    let store = rig.open().await;
    for (week, (run, shown)) in past.iter().enumerate() {
        let replayed = replayed(&store, *run).await;
        assert_eq!(replayed.len(), shown.len(), "week {week}");
        for (page, shows) in shown {
            assert_eq!(replayed.get(page), Some(shows), "week {week}: {page}");
        }
    }
    store.close().await;
    // Whoever wants to be sure looks at everything.
    rig.run(&[&PATIENT[..], &["--full"]].concat()).await.summary(0);
    rig.assert_present_equals_truth().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_weeks_on_sqlite() {
    weeks(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_weeks_on_postgres() {
    weeks(Engine::Postgres).await;
}
