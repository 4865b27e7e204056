//! What shows the same as when it was last read is not read again, and nothing is missed for it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sea_orm::{ConnectionTrait, EntityTrait};
use tagpipe_demo::{DemoConfig, World};
use tagpipe_store::entities::{cards, sets};

use crate::harness::{Engine, Rig, by_level, fetches, pages_of, profile_with, wait_until};
use crate::proxy::{Answer, Proxy};

/// Without the pages that are read to be sure: their number is chance.
const NO_AUDIT: &str = "audit_share = 0\n";

fn site(pages: u64, seed: u64) -> DemoConfig {
    DemoConfig {
        pages,
        seed,
        churn: 0.02,
        ..DemoConfig::default()
    }
}

async fn rig(engine: Engine, config: DemoConfig) -> Rig {
    let rig = Rig::on(engine, config).await;
    rig.write("tagpipe.toml", NO_AUDIT);
    rig
}

/// Pages that were fetched after the first `seen` requests.
fn pages_since(rig: &Rig, seen: usize) -> u64 {
    fetches(&rig.documents()[seen..]).len() as u64
}

/// Rows of a world that show counters, by address, with what they show.
fn counters(world: &World) -> HashMap<String, String> {
    let years = world.year_rows().map(|row| {
        let counts = format!("{} {} {}", row.sets_count, row.items_count, row.graded_count);
        (format!("{}/{}", row.category, row.year), counts)
    });
    let sets = world.set_rows().map(|row| (row.url, format!("{:?}", row.counts)));
    let cards = world
        .card_rows()
        .map(|row| (row.url, format!("{:?}", row.counts)));
    years.chain(sets).chain(cards).collect()
}

/// The least number of pages that show everything which differs between two worlds: the categories, which have no
/// counters, and the page of every row that shows something else.
fn least_pages(before: &World, after: &World) -> u64 {
    let known = counters(before);
    let changed = counters(after)
        .into_iter()
        .filter(|(page, counts)| known.get(page) != Some(counts))
        .count();
    (1 + after.category_rows().count() + changed) as u64
}

async fn only_what_changed_is_read(engine: Engine, pages: u64, weeks: u32) {
    let rig = rig(engine, site(pages, 4)).await;
    rig.run(&[]).await.summary(0);
    let whole = pages_since(&rig, 0);
    for week in 1..=weeks {
        let (before, seen) = (rig.site.world(), rig.documents().len());
        rig.site.update(|config| config.epoch = week);
        let after = rig.site.world();
        let summary = rig.run(&[]).await.summary(0);
        assert_eq!(summary["end"], "reconciled", "week {week}");
        rig.assert_present_equals_truth().await;
        let (read, least) = (pages_since(&rig, seen), least_pages(&before, &after));
        assert!(
            read >= least && read * 10 <= least * 11,
            "week {week}: {read} pages were read, {least} at least are needed"
        );
        assert_eq!(pages_of(&summary, "completed"), read);
        assert_eq!(
            summary["left_out"]["pages"].as_u64(),
            Some(after.page_count() - read),
            "what was read and what was left out are all there is"
        );
        assert!(read * 2 < whole, "week {week}: {read} of {whole} pages");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_reads_only_what_changed() {
    only_what_changed_is_read(Engine::Sqlite, 10_000, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_reads_only_what_changed() {
    only_what_changed_is_read(Engine::Postgres, 600, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_at_rest_costs_the_pages_without_counters() {
    let rig = rig(Engine::Sqlite, site(300, 1)).await;
    let first = rig.run(&[]).await.summary(0);
    assert_eq!(first["left_out"]["pages"], 0);
    let seen = rig.documents().len();
    let summary = rig.run(&[]).await.summary(0);
    let categories = rig.site.world().category_rows().count() as u64;
    assert_eq!(pages_since(&rig, seen), 1 + categories);
    assert_eq!(by_level(&summary, "completed"), [1, categories, 0, 0, 0]);
    assert_eq!(
        by_level(&summary, "unchanged")[2],
        rig.site.world().year_rows().count() as u64
    );
    assert_eq!(summary["rows"]["new"], 0);
    rig.assert_equals_truth().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn full_and_max_age_read_again() {
    let rig = rig(Engine::Sqlite, site(120, 2)).await;
    rig.run(&[]).await.summary(0);
    let whole = pages_since(&rig, 0);
    let seen = rig.documents().len();
    rig.run(&["--full"]).await.summary(0);
    assert_eq!(pages_since(&rig, seen), whole);

    let store = rig.open().await;
    let ago = "UPDATE cards SET read_at = '2020-01-01T00:00:00.000Z' WHERE id % 2 = 0";
    store
        .connection()
        .execute_unprepared(ago)
        .await
        .expect("made old");
    let old = cards::Entity::find()
        .all(store.connection())
        .await
        .expect("cards")
        .iter()
        .filter(|card| card.id % 2 == 0)
        .count() as u64;
    store.close().await;
    let seen = rig.documents().len();
    let summary = rig.run(&["--max-age", "30d"]).await.summary(0);
    assert_eq!(
        by_level(&summary, "completed")[4],
        old,
        "below sets that were left out"
    );
    let categories = rig.site.world().category_rows().count() as u64;
    assert_eq!(pages_since(&rig, seen), 1 + categories + old);
    rig.assert_equals_truth().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_reached_is_read_by_the_next_run() {
    let rig = rig(Engine::Sqlite, site(300, 3)).await;
    rig.run(&["--max-pages", "120"]).await.summary(5);
    let read: HashSet<_> = fetches(&rig.documents()).into_keys().collect();
    let seen = rig.documents().len();
    // Not resumed: a run of its own.
    rig.run(&[]).await.summary(0);
    rig.assert_equals_truth().await;
    let again = fetches(&rig.documents()[seen..])
        .into_keys()
        .filter(|page| read.contains(page))
        .count();
    let categories = rig.site.world().category_rows().count();
    assert!(again <= 1 + categories, "{again} pages were read twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_was_filtered_out_is_read_by_the_next_run() {
    let rig = rig(Engine::Sqlite, site(300, 5)).await;
    rig.run(&["--categories", "Hockey,Baseball"]).await.summary(0);
    rig.run(&["--year-filter", "1980-2010"]).await.summary(0);
    let summary = rig.run(&[]).await.summary(0);
    assert!(
        summary["left_out"]["pages"]
            .as_u64()
            .is_some_and(|pages| pages > 20),
        "{summary}"
    );
    rig.assert_equals_truth().await;
}

/// A card's page fails; its set and its year show the same in the next run, and it is read all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_failed_is_never_left_out() {
    let mut rig = rig(Engine::Sqlite, site(120, 6)).await;
    let card = rig.site.world().card_rows().nth(20).expect("a card");
    let name = format!("/{}/", card.name);
    let is_broken = Arc::new(AtomicBool::new(true));
    let breaks = Arc::clone(&is_broken);
    let proxy = Proxy::start(Some(rig.site.site_addr()), move |asked| {
        let asked = percent_encoding::percent_decode_str(asked).decode_utf8_lossy();
        if breaks.load(Ordering::Relaxed) && asked.contains(&name) {
            Answer::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\nconnection: close\r\n\r\ncut".to_vec())
        } else {
            Answer::Forward
        }
    })
    .await;
    rig.read_from(proxy.url());
    let summary = rig.run(&["--max-retries", "0"]).await.summary(3);
    let failed = pages_of(&summary, "failed");
    assert!(failed > 0, "{summary:#}");
    is_broken.store(false, Ordering::Relaxed);
    let seen = rig.documents().len();
    let summary = rig.run(&[]).await.summary(0);
    assert_eq!(by_level(&summary, "completed")[4], failed);
    let categories = rig.site.world().category_rows().count() as u64;
    assert_eq!(pages_since(&rig, seen), 1 + categories + failed);
    rig.assert_equals_truth().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_version_of_the_profile_reads_everything() {
    let rig = rig(Engine::Sqlite, site(120, 7)).await;
    rig.run(&[]).await.summary(0);
    let whole = pages_since(&rig, 0);
    rig.set_profile(&profile_with(&[("version", "\"2026-12\"")]));
    let seen = rig.documents().len();
    rig.run(&[]).await.summary(0);
    assert_eq!(pages_since(&rig, seen), whole);
    let seen = rig.documents().len();
    rig.run(&[]).await.summary(0);
    assert!(pages_since(&rig, seen) < whole / 2, "and then only what changed");
}

/// Interrupted under a new version: what was not reached is due, although the pages above it are not.
#[tokio::test(flavor = "multi_thread")]
async fn another_version_holds_across_an_interruption() {
    let rig = rig(Engine::Sqlite, site(120, 7)).await;
    rig.run(&[]).await.summary(0);
    let whole = pages_since(&rig, 0);
    rig.set_profile(&profile_with(&[("version", "\"2026-12\"")]));
    let seen = rig.documents().len();
    rig.run(&["--max-pages", "60"]).await.summary(5);
    rig.run(&[]).await.summary(0);
    assert!(
        pages_since(&rig, seen) == whole,
        "every page under the new version"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_read_to_be_sure_are_counted_and_judged() {
    let rig = Rig::new(site(120, 8)).await;
    rig.write("tagpipe.toml", "audit_share = 1.0\n");
    rig.run(&[]).await.summary(0);
    let whole = pages_since(&rig, 0);
    let seen = rig.documents().len();
    let summary = rig.run(&[]).await.summary(0);
    assert_eq!(pages_since(&rig, seen), whole, "all of them are read");
    let categories = rig.site.world().category_rows().count() as u64;
    assert_eq!(summary["left_out"]["pages"], 0);
    assert_eq!(summary["left_out"]["audited"], whole - 1 - categories);
    assert_eq!(summary["left_out"]["missed"], 0);

    // A certificate that has moved without a trace in any counter is what leaving out would miss.
    let store = rig.open().await;
    let moved = "UPDATE grade_rows SET chronology = 99999 WHERE id = (SELECT min(id) FROM grade_rows)";
    store
        .connection()
        .execute_unprepared(moved)
        .await
        .expect("changed");
    store.close().await;
    let summary = rig.run(&[]).await.summary(0);
    assert_eq!(summary["left_out"]["missed"], 1);
    let most = summary["left_out"]["missed_share_most"]
        .as_f64()
        .expect("a bound");
    assert!(most > 0.005 && most < 0.2, "{most}");
    rig.assert_equals_truth().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sets_and_cards_tell_when_their_sums_agreed() {
    let rig = rig(Engine::Sqlite, site(120, 9)).await;
    rig.run(&[]).await.summary(0);
    let store = rig.open().await;
    let cards = cards::Entity::find()
        .all(store.connection())
        .await
        .expect("cards");
    let sets = sets::Entity::find().all(store.connection()).await.expect("sets");
    store.close().await;
    assert!(
        cards
            .iter()
            .all(|card| card.verified_at.is_some() == (card.total > 0))
    );
    assert!(
        sets.iter()
            .all(|set| set.verified_at.is_some() == (set.total > 0))
    );
}

/// Kills in the middle of weeks that change, then a run to the end: nothing is missed.
#[tokio::test(flavor = "multi_thread")]
async fn weeks_of_change_with_interruptions_end_with_the_truth() {
    let rig = rig(
        Engine::Sqlite,
        DemoConfig {
            churn: 0.1,
            ..site(300, 10)
        },
    )
    .await;
    for week in 0..6 {
        rig.site.update(|config| config.epoch = week);
        let running = rig.start(&[]);
        let seen = rig.documents().len();
        wait_until("some pages", || {
            rig.documents().len() > seen + 15 || running.has_ended()
        })
        .await;
        running.kill().await;
        // Half of the weeks go on with the run, half begin a new one.
        let arguments: &[&str] = if week % 2 == 0 { &["--resume"] } else { &[] };
        let ended = rig.run(arguments).await;
        if ended.code == Some(1) {
            rig.run(&[]).await.summary(0);
        } else {
            ended.summary(0);
        }
        rig.assert_present_equals_truth().await;
    }
}

/// What is planned is what is then read, on a site at rest.
#[tokio::test(flavor = "multi_thread")]
async fn a_plan_says_what_a_run_then_reads() {
    let rig = rig(Engine::Sqlite, site(300, 11)).await;
    rig.run(&["--max-pages", "150"]).await.summary(5);
    let base_url = rig.site.site_url();
    for filters in [
        &[][..],
        &["--categories", "Hockey,Baseball", "--year-filter", "1970-2010"],
    ] {
        let asked = rig.site.requests().len();
        let mut arguments = vec!["plan", "--json", "--base-url", &base_url, "--delay", "2"];
        arguments.extend(filters);
        let profile = rig.profile();
        arguments.extend(["--profile", profile.as_str()]);
        let planned = rig.tagpipe(&arguments).await;
        assert_eq!(planned.code, Some(0), "{}", planned.stderr);
        assert_eq!(rig.site.requests().len(), asked, "nothing is asked");
        let plan: serde_json::Value = serde_json::from_str(&planned.stdout).expect("JSON");
        let read = plan["read"].as_u64().expect("a number");
        assert_eq!(plan["least_s"].as_f64(), Some(read as f64 * 2.0));
        assert!(plan["left_out"].as_u64() > Some(20), "{plan}");
        if filters.is_empty() {
            // What lies below pages that were never read is not known yet.
            let summary = rig.run(&[]).await.summary(0);
            assert!(pages_of(&summary, "completed") >= read, "{plan} {summary}");
            let planned = rig.tagpipe(&arguments).await;
            let plan: serde_json::Value = serde_json::from_str(&planned.stdout).expect("JSON");
            let seen = rig.documents().len();
            rig.run(&[]).await.summary(0);
            assert_eq!(plan["read"].as_u64(), Some(pages_since(&rig, seen)));
            assert_eq!(
                plan["left_out"].as_u64(),
                Some(rig.site.world().page_count() - pages_since(&rig, seen))
            );
        }
    }
}

/// A world at this week, in which this share of the rows vanish, move and are renamed each week.
fn restless(rig: &Rig, epoch: u32, upheaval: f64) {
    rig.site.update(|config| {
        config.epoch = epoch;
        config.upheaval = upheaval;
    });
}

/// Another card's page takes a certificate away from a card whose row shows the same: its page is read after all.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_another_one_contradicts_is_read() {
    for (engine, weeks) in [
        (Engine::Sqlite, [4, 6]),
        (Engine::Sqlite, [2, 4]),
        (Engine::Postgres, [4, 6]),
    ] {
        let rig = rig(engine, site(300, 1)).await;
        restless(&rig, weeks[0], 0.0);
        rig.run(&[]).await.summary(0);
        restless(&rig, weeks[1], 0.3);
        rig.run(&[]).await.summary(0);
        let url = match rig.database_url() {
            tagpipe_store::DatabaseUrl::Postgres(url) => url.to_string(),
            _ => "sqlite:tagpipe.db".to_owned(),
        };
        let checked = rig.tagpipe(&["check", "--database-url", &url]).await;
        assert_eq!(checked.code, Some(0), "{}", checked.stdout);
    }
}

/// A set has lost a card and another of its cards has gained the copies: its row shows the same, and its year's count of cards
/// alone tells that its page has to be read.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_a_count_of_cards_contradicts_is_read() {
    let world = DemoConfig {
        churn: 0.05,
        ..site(300, 42)
    };
    let rig = rig(Engine::Sqlite, world).await;
    rig.run(&[]).await.summary(0);
    for week in 1..=2 {
        restless(&rig, week, 0.1);
        let ended = rig.run(&[]).await;
        assert_eq!(ended.summary(0)["end"], "reconciled", "week {week}");
    }
    let checked = rig
        .tagpipe(&["check", "--database-url", "sqlite:tagpipe.db"])
        .await;
    assert_eq!(checked.code, Some(0), "{}", checked.stdout);
}

/// A card has got another name since its set was read, and its page is due: the page that lists it is read again, and nobody
/// asks for the old address any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_card_that_was_renamed_while_due_is_found_again() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let rig = rig(engine, site(120, 1)).await;
        rig.run(&[]).await.summary(0);
        let store = rig.open().await;
        // As if it had been called so when its set was read last.
        let renamed = "UPDATE cards SET name = 'Nobody', natural_key = number || '/Nobody/' || variation, \
                           url = '/pop-report/Nothing/1901/Nowhere/Nobody/1', read_changes = -1 \
                       WHERE id = (SELECT min(id) FROM cards)";
        store
            .connection()
            .execute_unprepared(renamed)
            .await
            .expect("renamed");
        store.close().await;
        let summary = rig.run(&[]).await.summary(0);
        assert_eq!(summary["end"], "reconciled");
        assert_eq!(pages_of(&summary, "skipped"), 1, "the old address: {summary:#}");
        rig.assert_equals_truth().await;
        let asked = rig.documents().len();
        rig.run(&[]).await.summary(0);
        let again = rig.documents().split_off(asked);
        assert!(
            again
                .iter()
                .all(|request| !request.path_and_query.contains("Nobody"))
        );
    }
}
