//! Weeks of a budget that is less than what changes: it is spent on what has been out of date longest, nothing starves,
//! and nothing that was not reached counts as read.

use std::collections::{HashMap, HashSet};

use tagpipe_demo::{DemoConfig, World};

use crate::harness::{Engine, Rig, fetches, pages_of};
use crate::truth::place;

/// Pages that a weekly run may read; about half of what changes in a week.
const BUDGET: &str = "30";

async fn rig(engine: Engine) -> Rig {
    let config = DemoConfig {
        pages: 150,
        seed: 12,
        churn: 0.2,
        ..DemoConfig::default()
    };
    let rig = Rig::on(engine, config).await;
    rig.write("tagpipe.toml", "audit_share = 0\n");
    rig.run(&[]).await.summary(0);
    rig
}

/// The cards of a world by address, with what they show.
fn cards(world: &World) -> HashMap<String, String> {
    world
        .card_rows()
        .map(|row| (place(&row.url).0, format!("{:?}", row.counts)))
        .collect()
}

fn changed(before: &HashMap<String, String>, after: &HashMap<String, String>) -> HashSet<String> {
    let differs = |page: &&String| before.get(*page) != after.get(*page);
    after.keys().filter(differs).cloned().collect()
}

/// Every card that changed is read within as many weeks as the whole site would take, however much changes elsewhere.
async fn nothing_starves(engine: Engine) {
    let rig = rig(engine).await;
    let pages = rig.site.world().page_count();
    let budget: u64 = BUDGET.parse().expect("a number");
    let patience = pages.div_ceil(budget) + 2;
    let (mut waiting, mut before) = (HashMap::new(), cards(&rig.site.world()));
    let mut is_short = 0;
    for week in 1..=patience as u32 + 4 {
        rig.site.update(|config| config.epoch = week);
        let (now, seen) = (cards(&rig.site.world()), rig.documents().len());
        for card in changed(&before, &now) {
            waiting.entry(card).or_insert(week);
        }
        before = now;
        let summary = rig.run(&["--max-pages", BUDGET]).await.summary(5);
        assert_eq!(pages_of(&summary, "failed"), 0, "{summary}");
        for page in fetches(&rig.documents()[seen..]).keys() {
            waiting.remove(page);
        }
        is_short += u32::from(!waiting.is_empty());
        let forgotten: Vec<_> = waiting
            .iter()
            .filter(|(_, since)| u64::from(week - **since) > patience)
            .collect();
        assert!(forgotten.is_empty(), "week {week}: {forgotten:?}");
    }
    assert!(is_short > 5, "a budget that is enough proves nothing");
}

/// When the site rests, the same budget catches up with it: new runs each time, or one that is resumed.
async fn a_budget_catches_up(engine: Engine, is_resumed: bool) {
    let rig = rig(engine).await;
    for week in 1..=3 {
        rig.site.update(|config| config.epoch = week);
        rig.run(&["--max-pages", BUDGET]).await.summary(5);
    }
    let mut code = Some(5);
    let mut runs = 0;
    while code == Some(5) {
        runs += 1;
        assert!(runs < 12, "it never ends");
        let mut arguments = vec!["--max-pages", BUDGET];
        // What changed above the pages of a run that is resumed is found by the next one.
        if is_resumed && runs % 4 != 0 {
            arguments.push("--resume");
        }
        code = rig.run(&arguments).await.code;
    }
    assert_eq!(code, Some(0));
    if is_resumed {
        rig.run(&[]).await.summary(0);
    }
    rig.assert_present_equals_truth().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_lets_nothing_starve() {
    nothing_starves(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_lets_nothing_starve() {
    nothing_starves(Engine::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_runs_of_one_budget_catch_up() {
    a_budget_catches_up(Engine::Sqlite, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resumed_run_of_one_budget_catches_up() {
    a_budget_catches_up(Engine::Postgres, true).await;
}
