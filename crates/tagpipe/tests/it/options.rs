//! What each option of `run` does, seen in the database and in the site's log.

use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use serde_json::Value;
use tagpipe_demo::{DemoConfig, World};
use tagpipe_store::entities::audit_logs;

use crate::harness::{Engine, Rig, by_level, fetches, pages_of, quick_profile};
use crate::truth::Wanted;

fn site() -> DemoConfig {
    DemoConfig {
        pages: 250,
        seed: 12,
        ..DemoConfig::default()
    }
}

/// Rows of each level below the top, wanted ones and all: what is read and what is skipped.
fn skipped(world: &World, wanted: &Wanted) -> Vec<u64> {
    let (category, year) = (&wanted.category, &wanted.year);
    let categories = world.category_rows().filter(|row| !category(&row.name)).count();
    let years = world
        .year_rows()
        .filter(|row| category(&row.category) && !year(&row.year))
        .count();
    let sets = world
        .set_rows()
        .filter(|row| category(&row.category) && year(&row.year) && !(wanted.set)(&row.brand, &row.name))
        .count();
    let cards = world
        .card_rows()
        .filter(|row| {
            category(&row.category)
                && year(&row.year)
                && (wanted.set)(&row.brand, &row.set)
                && !(wanted.card)(&row.name, &row.number)
        })
        .count();
    [0, categories, years, sets, cards]
        .map(|count| count as u64)
        .to_vec()
}

async fn reads_only(arguments: &[&str], wanted: Wanted) {
    let rig = Rig::new(site()).await;
    let summary = rig.run(arguments).await.summary(0);
    rig.assert_holds(&wanted).await;
    let skipped = skipped(&rig.site.world(), &wanted);
    assert!(
        skipped.iter().any(|count| *count > 0),
        "the filter leaves something out"
    );
    assert_eq!(by_level(&summary, "skipped"), skipped, "{summary:#}");
    assert_eq!(
        fetches(&rig.documents()).len() as u64,
        pages_of(&summary, "completed")
    );
    let pages = rig.pages().await;
    assert!(
        pages
            .iter()
            .filter(|page| page.state == "skipped")
            .all(|page| page.last_error.is_some())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn categories_match_without_accents_and_case_and_with_stars() {
    let wanted = Wanted {
        category: Box::new(|name| name == "Pokémon" || name.starts_with("Hoc")),
        ..Wanted::everything()
    };
    reads_only(&["--categories", "POKEMON,hoc*"], wanted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn years_are_taken_from_ranges_and_single_ones() {
    let rig = Rig::new(site()).await;
    let mut years: Vec<u32> = rig
        .site
        .world()
        .year_rows()
        .map(|row| row.year.parse().expect("a number"))
        .collect();
    years.sort_unstable();
    years.dedup();
    let (from, to, single) = (years[1], years[years.len() / 2], years[years.len() - 1]);
    let wanted = Wanted {
        year: Box::new(move |year| {
            let year: u32 = year.parse().expect("a number");
            (from..=to).contains(&year) || year == single
        }),
        ..Wanted::everything()
    };
    reads_only(&["--year-filter", &format!("{from}-{to}, {single}")], wanted).await;
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == ' ')
}

#[tokio::test(flavor = "multi_thread")]
async fn sets_are_chosen_by_brand_by_name_or_by_both() {
    let rig = Rig::new(site()).await;
    let rows: Vec<_> = rig.site.world().set_rows().collect();
    let with_both = rows
        .iter()
        .find(|row| is_plain(&row.brand) && is_plain(&row.name))
        .expect("such a set");
    let both = format!("{} {}", with_both.brand, with_both.name);
    let other = rows
        .iter()
        .find(|row| is_plain(&row.brand) && row.brand != with_both.brand)
        .expect("another");
    let start = other.brand[..4].to_lowercase();
    let filter = format!("{}*,{}", start.to_uppercase(), both.to_uppercase());
    let both = both.to_lowercase();
    let wanted = Wanted {
        set: Box::new(move |brand, name| {
            let (brand, name) = (brand.to_lowercase(), name.to_lowercase());
            brand.starts_with(&start)
                || name.starts_with(&start)
                || format!("{brand} {name}").trim_end() == both
        }),
        ..Wanted::everything()
    };
    reads_only(&["--set-filter", &filter], wanted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cards_are_chosen_by_name_and_number() {
    let rig = Rig::new(site()).await;
    let rows: Vec<_> = rig.site.world().card_rows().collect();
    let named = rows.iter().find(|row| is_plain(&row.name)).expect("such a card");
    let start = named.name[..3].to_lowercase();
    let numbered = rows
        .iter()
        .rev()
        .find(|row| is_plain(&row.number) && row.name != named.name)
        .expect("another");
    let (filter, number) = (format!("{start}*,{}", numbered.number), numbered.number.clone());
    let wanted = Wanted {
        card: Box::new(move |name, own| {
            name.to_lowercase().starts_with(&start)
                || own.to_lowercase().starts_with(&start)
                || *own == number
        }),
        ..Wanted::everything()
    };
    reads_only(&["--card-filter", &filter], wanted).await;
}

const LEVELS: [&str; 5] = ["category", "year", "set", "card", "graderows"];

async fn starts_from_each_level(engine: Engine) {
    let rig = Rig::on(engine, DemoConfig { pages: 120, ..site() }).await;
    rig.run(&[]).await.summary(0);
    let truth = rig.site.world().summary();
    for (level, name) in LEVELS.iter().enumerate() {
        rig.site.clear_requests();
        let summary = rig.run(&["--full", "--start-from", name]).await.summary(0);
        let expected: Vec<u64> = (0..5)
            .map(|at| if at < level { 0 } else { truth.by_level[at] })
            .collect();
        let completed: Vec<u64> = by_level(&summary, "completed")
            .iter()
            .zip(by_level(&summary, "unchanged"))
            .map(|(completed, unchanged)| completed + unchanged)
            .collect();
        assert_eq!(completed, expected, "--start-from {name}");
        assert_eq!(
            fetches(&rig.documents()).len() as u64,
            pages_of(&summary, "completed"),
            "--start-from {name}"
        );
        rig.assert_equals_truth().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_level_can_be_started_from_on_sqlite() {
    starts_from_each_level(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_level_can_be_started_from_on_postgres() {
    starts_from_each_level(Engine::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn starting_below_an_empty_level_names_the_command_that_fills_it() {
    let rig = Rig::new(site()).await;
    for (level, above) in [
        ("year", "categories"),
        ("set", "years"),
        ("card", "sets"),
        ("graderows", "cards"),
    ] {
        let ended = rig.run(&["--start-from", level]).await;
        let words = ended.failure(1);
        assert!(
            words.contains(&format!("no {above} yet")) && words.contains("`tagpipe run"),
            "{words}"
        );
        assert!(rig.documents().is_empty(), "no page is read");
    }
    rig.run(&["--max-pages", "2"]).await.summary(5);
    let none = rig
        .run(&["--start-from", "year", "--categories", "Nonsense"])
        .await;
    assert!(none.failure(1).contains("fits the filters"), "{}", none.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_budget_ends_a_run_that_goes_on_later() {
    let rig = Rig::new(DemoConfig { pages: 100, ..site() }).await;
    let summary = rig.run(&["--max-pages", "10"]).await.summary(5);
    assert_eq!(summary["end"], "budget_spent");
    assert!(
        summary["reason"]
            .as_str()
            .expect("a reason")
            .contains("--max-pages"),
        "{summary:#}"
    );
    assert_eq!(pages_of(&summary, "completed"), 10);
    assert_eq!(fetches(&rig.documents()).len(), 10);
    let mut rounds = 1;
    loop {
        rounds += 1;
        let ended = rig.run(&["--resume", "--max-pages", "30"]).await;
        if ended.code == Some(0) {
            break;
        }
        ended.summary(5);
        assert!(rounds < 10);
    }
    rig.assert_equals_truth().await;
    assert!(fetches(&rig.documents()).values().all(|times| *times == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_that_is_just_enough_still_proves_the_sums() {
    let rig = Rig::new(DemoConfig { pages: 60, ..site() }).await;
    let pages = rig.site.world().page_count().to_string();
    let summary = rig.run(&["--max-pages", &pages]).await.summary(0);
    assert_eq!(summary["end"], "reconciled");
    rig.assert_equals_truth().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_budget_ends_a_run_that_goes_on_later() {
    let rig = Rig::new(site()).await;
    rig.site.update(|config| config.latency.document_ms = 40);
    let summary = rig.run(&["--max-duration", "0.8s"]).await.summary(5);
    assert!(
        summary["reason"]
            .as_str()
            .expect("a reason")
            .contains("--max-duration"),
        "{summary:#}"
    );
    assert!(
        summary["elapsed_s"].as_f64().expect("a time") < 3.0,
        "{summary:#}"
    );
    assert!(pages_of(&summary, "completed") > 0 && pages_of(&summary, "open") > 0);
    rig.site.update(|config| config.latency.document_ms = 0);
    rig.run(&["--resume"]).await.summary(0);
    rig.assert_equals_truth().await;
}

fn shown_rows(summary: &Value) -> u64 {
    assert_eq!(summary["dry_run"], true);
    summary["rows"]["new"].as_u64().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_writes_nothing_and_shows_what_it_would_write() {
    let mut rig = Rig::new(DemoConfig { pages: 60, ..site() }).await;
    rig.without_database_flag();
    let before = rig.files();
    let summary = rig.run(&["--dry-run"]).await.summary(0);
    let rows = rig.site.world().summary().rows;
    assert_eq!(
        shown_rows(&summary),
        rows.categories + rows.years + rows.sets + rows.cards + rows.grade_rows,
        "{summary:#}"
    );
    assert_eq!(rig.files(), before, "nothing was written");
    let part = rig.run(&["--dry-run", "--max-pages", "5"]).await.summary(5);
    assert!(shown_rows(&part) > 0);
    assert_eq!(rig.files(), before, "nothing was written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_leaves_an_existing_database_as_it_is() {
    let rig = Rig::new(DemoConfig { pages: 60, ..site() }).await;
    rig.run(&[]).await.summary(0);
    let before = rig.files();
    let summary = rig
        .run(&["--dry-run", "--full", "--start-from", "card"])
        .await
        .summary(0);
    assert!(shown_rows(&summary) > 0);
    assert_eq!(
        by_level(&summary, "pages")[3],
        rig.site.world().summary().rows.sets
    );
    let after = rig.files();
    assert_eq!(
        after.keys().collect::<Vec<_>>(),
        before.keys().collect::<Vec<_>>(),
        "no file came or went"
    );
    assert!(after == before, "no byte changed");
    let both = rig.run(&["--dry-run", "--resume"]).await;
    assert!(both.failure(2).contains("--resume"), "{}", both.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_runner_is_named_in_the_audit_trail() {
    let rig = Rig::new(DemoConfig { pages: 60, ..site() }).await;
    rig.run(&["--runner-id", "night.shift-1"]).await.summary(0);
    let audit = rig.audit().await;
    assert!(!audit.is_empty());
    assert!(audit.iter().all(|entry| entry.runner_id == "night.shift-1"));
    for operation in ["run_started", "run_ended"] {
        assert_eq!(
            audit.iter().filter(|entry| entry.operation == operation).count(),
            1,
            "{operation}"
        );
    }
    let context = &audit
        .iter()
        .find(|entry| entry.operation == "read_page")
        .expect("an entry")
        .context;
    for field in [
        "level",
        "url",
        "attempt",
        "outcome",
        "duration_ms",
        "requests",
        "bytes",
        "rows",
    ] {
        assert!(!context[field].is_null(), "{field} in {context}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_log_line_tells_its_runner() {
    let rig = Rig::new(site()).await;
    let arguments = [
        "--runner-id",
        "runner_1",
        "--log-level",
        "DEBUG",
        "--max-pages",
        "3",
    ];
    let people = rig.run(&arguments).await;
    people.summary(5);
    assert!(people.stderr.lines().count() >= 2, "{}", people.stderr);
    for line in people.stderr.lines() {
        assert!(line.ends_with(" runner_id=runner_1"), "{line}");
    }
    let programs = rig
        .run(&[&arguments[..], &["--log-format", "json"]].concat())
        .await;
    programs.summary(5);
    assert!(programs.stderr.lines().count() >= 2, "{}", programs.stderr);
    for line in programs.stderr.lines() {
        let event: Value = serde_json::from_str(line).expect(line);
        assert_eq!(event["runner_id"], "runner_1", "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_level_is_the_level_of_the_audit_trail() {
    let mut config = DemoConfig { pages: 60, ..site() };
    config.faults.cut_off = 0.1;
    let mut rig = Rig::new(config).await;
    rig.set_variable("LOG_LEVEL", "ERROR");
    let ended = rig.run(&[]).await;
    ended.summary(0);
    assert!(
        !ended.stderr.contains("INFO") && !ended.stderr.contains("WARN"),
        "{}",
        ended.stderr
    );
    let audit = rig.audit().await;
    assert!(
        audit
            .iter()
            .all(|entry| ["ERROR", "CRITICAL"].contains(&entry.level.as_str())),
        "{audit:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_trail_is_kept_as_long_as_asked() {
    let rig = Rig::new(DemoConfig { pages: 60, ..site() }).await;
    rig.run(&[]).await.summary(0);
    let all = rig.audit().await;
    assert!(all.len() > 60);
    let store = rig.open().await;
    let long_ago = all[0].created_at - std::time::Duration::from_secs(3 * 86_400);
    audit_logs::Entity::update_many()
        .col_expr(audit_logs::Column::CreatedAt, Expr::value(long_ago))
        .filter(audit_logs::Column::Id.lte(all[9].id))
        .exec(store.connection())
        .await
        .expect("ten entries are made old");
    store.close().await;
    rig.write("tagpipe.toml", "audit_keep_days = 2\n");
    rig.run(&["--max-pages", "1"]).await.summary(5);
    let kept = rig.audit().await;
    assert!(
        kept.iter().all(|entry| entry.id > all[9].id),
        "old entries are gone"
    );
    assert!(
        kept.iter().any(|entry| entry.id == all[10].id),
        "younger ones are not"
    );
    rig.write("tagpipe.toml", "audit_keep_rows = 7\n");
    rig.run(&["--max-pages", "1"]).await.summary(5);
    assert_eq!(rig.audit().await.len(), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_brake_does_not_hold_up_a_time_budget() {
    let mut config = DemoConfig { pages: 60, ..site() };
    config.refuse_all = true;
    let rig = Rig::new(config).await;
    rig.set_profile(
        &quick_profile()
            .replace("brake_first = 0.01", "brake_first = 60")
            .replace("brake_most = 0.2", "brake_most = 60"),
    );
    let started = std::time::Instant::now();
    rig.run(&["--max-duration", "1s"]).await.summary(5);
    assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
}
