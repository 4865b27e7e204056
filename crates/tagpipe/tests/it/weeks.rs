//! Twenty weeks of a site that changes and misbehaves, read by runs that are killed, stopped, limited and repeated: after
//! each run that came to its end the database is the site, and the history is what the site was.
//!
//! The seed is printed. `TAGPIPE_WEEKS_SEED` makes the same weeks happen again.

use std::collections::{HashMap, HashSet};

use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder};
use serde_json::json;
use tagpipe_demo::{DemoConfig, World};
use tagpipe_store::Store;
use tagpipe_store::entities::{cards, population_history, sets};

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

fn promised(world: &World) -> Shown {
    let sets = world
        .set_rows()
        .map(|row| (place(&row.url).0, counts(&json!(row.counts))));
    let cards = world
        .card_rows()
        .map(|row| (place(&row.url).0, counts(&json!(row.counts))));
    sets.chain(cards).collect()
}

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
    for week in 0..WEEKS {
        rig.site.update(|config| config.epoch = week);
        let seen = rig.documents().len();
        let mishap = MISHAPS[chance.usize(..MISHAPS.len())];
        println!("week {week}: {mishap:?}");
        fail(&rig, mishap, chance.usize(3..25)).await;
        let run = read_to_the_end(&rig, chance.bool()).await;
        rig.assert_present_equals_truth().await;

        let now = promised(&rig.site.world());
        if let Some((_, before)) = past.last() {
            // Whatever shows something else than a week ago was asked for: its row, if nothing else, says so.
            let asked: HashSet<String> = fetches(&rig.documents()[seen..]).into_keys().collect();
            for (page, shows) in &now {
                let is_changed = before.get(page) != Some(shows);
                assert!(
                    !is_changed || asked.contains(page),
                    "{page} has changed and was not read"
                );
            }
        }
        past.push((run, now));
    }
    let store = rig.open().await;
    for (week, (run, shown)) in past.iter().enumerate() {
        let replayed = replayed(&store, *run).await;
        assert_eq!(replayed.len(), shown.len(), "week {week}");
        for (page, shows) in shown {
            assert_eq!(replayed.get(page), Some(shows), "week {week}: {page}");
        }
    }
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_weeks_on_sqlite() {
    weeks(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_weeks_on_postgres() {
    weeks(Engine::Postgres).await;
}
