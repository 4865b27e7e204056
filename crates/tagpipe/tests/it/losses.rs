//! Losses that no page tells of: each is planted alone, found, and named. And a site that moves while it is read loses
//! nothing.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use serde_json::Value;
use tagpipe_demo::{CardRow, DemoConfig, World};
use tagpipe_store::DatabaseUrl;
use tagpipe_store::entities::cards;

use crate::harness::{Ended, Engine, Rig, pages_of};
use crate::proxy::{Answer, Proxy};
use crate::truth::place;

fn site(pages: u64, seed: u64) -> DemoConfig {
    DemoConfig {
        pages,
        seed,
        churn: 0.2,
        totals: false,
        ..DemoConfig::default()
    }
}

fn card(world: &World, wanted: impl Fn(&CardRow) -> bool) -> CardRow {
    world.card_rows().find(|row| wanted(row)).expect("such a card")
}

/// The certificates of a card, in the order of their rank.
fn certificates(world: &World, card: &CardRow) -> Vec<String> {
    world
        .grade_rows()
        .filter(|row| {
            [&row.category, &row.year, &row.brand, &row.set]
                == [&card.category, &card.year, &card.brand, &card.set]
                && [&row.number, &row.name, &row.variation] == [&card.number, &card.name, &card.variation]
        })
        .map(|row| row.cert_number.to_string())
        .collect()
}

/// Has the page at `address` changed on its way, always in the same manner.
async fn changing(
    rig: &mut Rig,
    address: &str,
    change: impl Fn(String) -> String + Clone + Send + Sync + 'static,
) -> Proxy {
    let address = place(address).0;
    let proxy = Proxy::start(Some(rig.site.site_addr()), move |path| {
        if place(path).0 == address {
            Answer::Rewrite(Box::new(change.clone()))
        } else {
            Answer::Forward
        }
    })
    .await;
    rig.read_from(proxy.url());
    proxy
}

/// The page without the row of a certificate, whose pager knows nothing of it.
fn without_row(html: &str, certificate: &str) -> String {
    let Some(at) = html.find(&format!(">{certificate}</td>")) else {
        return html.to_owned();
    };
    let start = html[..at].rfind("<tr ").expect("a row");
    let end = at + html[at..].find("</tr>").expect("its end") + "</tr>".len();
    let shorter = format!("{}{}", &html[..start], &html[end..]);
    let rows = shorter.matches("MuiTableRow-hover").count();
    shorter.replace(
        &format!(">1-{0} of {0}<", rows + 1),
        &format!(">1-{rows} of {rows}<"),
    )
}

/// Everything that `tagpipe check` has found, by name.
async fn findings(rig: &Rig, code: i32) -> Vec<String> {
    let url = match rig.database_url() {
        DatabaseUrl::Postgres(url) => url.to_string(),
        _ => "sqlite:tagpipe.db".to_owned(),
    };
    let ended = rig
        .tagpipe(&["check", "--json", "--limit", "100", "--database-url", &url])
        .await;
    assert_eq!(ended.code, Some(code), "{}{}", ended.stdout, ended.stderr);
    let checked: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!(checked["holds"], code == 0);
    checked["checks"]
        .as_array()
        .expect("checks")
        .iter()
        .flat_map(|check| {
            let examples = check["examples"].as_array().expect("examples");
            examples.iter().map(|one| {
                let words = |key: &str| one[key].as_str().expect("words");
                format!(
                    "{}: {}: {}",
                    check["check"].as_str().expect("a name"),
                    words("place"),
                    words("what")
                )
            })
        })
        .collect()
}

/// Whether one of `lines` has all of `words`.
#[track_caller]
fn assert_names(lines: &[String], words: &[&str]) {
    assert!(
        lines
            .iter()
            .any(|line| words.iter().all(|word| line.contains(word))),
        "{words:?} in {lines:#?}"
    );
}

/// Runs to the end, which is a dispute; what does not agree, in words.
async fn disputed(rig: &Rig) -> Vec<String> {
    let summary = rig.run(&["--max-retries", "1"]).await.summary(4);
    assert_eq!(summary["end"], "disputed", "{summary:#}");
    assert_eq!(summary["moved"], 0, "{summary:#}");
    let lines = summary["disagreements"].as_array().expect("a list");
    lines
        .iter()
        .map(|line| line.as_str().expect("words").to_owned())
        .collect()
}

async fn a_dropped_row(engine: Engine) {
    let mut rig = Rig::on(engine, site(120, 1)).await;
    let world = rig.site.world();
    let card = card(&world, |row| (4..100).contains(&row.total));
    let lost = certificates(&world, &card)[1].clone();
    let _proxy = changing(&mut rig, &card.url, move |html| without_row(&html, &lost)).await;
    let said = disputed(&rig).await;
    let (expected, read) = (card.total.to_string(), (card.total - 1).to_string());
    assert_names(
        &said,
        &[
            &format!("{}/", card.name),
            "certificates",
            &format!("says {expected}, read {read}"),
        ],
    );
    let found = findings(&rig, 4).await;
    let name = format!("#{} {}", card.number, card.name);
    assert_names(
        &found,
        &["card_sums", &name, &format!("{expected} promised, {read} stored")],
    );
    assert_names(&found, &["ranks", &name]);
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_finds_a_dropped_row() {
    a_dropped_row(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_finds_a_dropped_row() {
    a_dropped_row(Engine::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_further_page_that_the_pager_hides_is_found() {
    let mut rig = Rig::new(site(300, 1)).await;
    let card = card(&rig.site.world(), |row| row.total > 200);
    let pager = format!(">1-200 of {}<", card.total);
    let _proxy = changing(&mut rig, &card.url, move |html| {
        html.replace(&pager, ">1-200 of 200<")
    })
    .await;
    let said = disputed(&rig).await;
    let numbers = format!("says {}, read 200", card.total);
    assert_names(&said, &[&format!("{}/", card.name), &numbers]);
    let numbers = format!("certificates: {} promised, 200 stored", card.total);
    assert_names(&findings(&rig, 4).await, &["card_sums", &card.name, &numbers]);
}

#[tokio::test(flavor = "multi_thread")]
async fn swapped_columns_are_found() {
    let mut rig = Rig::new(site(120, 1)).await;
    let world = rig.site.world();
    let card = card(&world, |row| row.total > 3);
    let set = world
        .set_rows()
        .find(|row| {
            [&row.category, &row.year, &row.brand, &row.name]
                == [&card.category, &card.year, &card.brand, &card.set]
        })
        .expect("its set");
    let link = format!("{}\">", card.url.replace('&', "&amp;"));
    let swap = move |html: String| {
        let at = html.find(&link).expect("the card's row");
        let start = html[..at].rfind("<tr ").expect("a row");
        let end = at + html[at..].find("</tr>").expect("its end");
        let mut cells: Vec<&str> = html[start..end].split("</td>").collect();
        // The grades stand behind number and name, the total and the end of the row behind the grades.
        let last = cells.len() - 2;
        let filled = (2..last).find(|at| cells[*at].contains("<a ")).expect("a count");
        let empty = (2..last).find(|at| !cells[*at].contains("<a ")).expect("a zero");
        cells.swap(filled, empty);
        format!("{}{}{}", &html[..start], cells.join("</td>"), &html[end..])
    };
    let _proxy = changing(&mut rig, &set.url, swap).await;
    let said = disputed(&rig).await;
    assert_names(&said, &["cards/", "copies at grade"]);
    let found = findings(&rig, 4).await;
    assert_names(&found, &["set_sums", &card.brand, "copies at grade"]);
    assert_names(&found, &["card_sums", &card.name, "certificates at grade"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_document_is_found() {
    let mut rig = Rig::new(site(120, 1)).await;
    let before = rig.site.world();
    rig.site.update(|config| config.epoch = 1);
    let grown = card(&rig.site.world(), |row| {
        before
            .card_rows()
            .any(|old| old.url == row.url && old.total < row.total)
    });
    rig.site.update(|config| config.epoch = 0);
    let cache: Arc<Mutex<Option<String>>> = Arc::default();
    let stale = move |html: String| cache.lock().expect("a lock").get_or_insert(html).clone();
    let _proxy = changing(&mut rig, &grown.url, stale).await;
    rig.run(&[]).await.summary(0);
    assert_eq!(findings(&rig, 0).await, Vec::<String>::new());
    rig.site.update(|config| config.epoch = 1);
    let said = disputed(&rig).await;
    assert_names(
        &said,
        &[&format!("{}/", grown.name), &format!("says {}", grown.total)],
    );
    let promised = format!("certificates: {} promised", grown.total);
    assert_names(&findings(&rig, 4).await, &["card_sums", &grown.name, &promised]);
}

async fn a_certificate_of_two_cards(engine: Engine) {
    let mut rig = Rig::on(engine, site(120, 1)).await;
    let world = rig.site.world();
    let one = card(&world, |row| row.total > 2);
    let other = card(&world, |row| row.total > 2 && row.name != one.name);
    let twice = certificates(&world, &one)[0].clone();
    let (own, listed) = (certificates(&world, &other)[0].clone(), twice.clone());
    let _proxy = changing(&mut rig, &other.url, move |html| html.replace(&own, &listed)).await;
    let said = disputed(&rig).await;
    let certificate = format!("certificate {twice}");
    assert_names(&said, &[&certificate, &one.name, &other.name]);
    assert_names(
        &findings(&rig, 4).await,
        &["certificates_on_two_cards", &certificate, &one.name, &other.name],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_finds_a_certificate_of_two_cards() {
    a_certificate_of_two_cards(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_finds_a_certificate_of_two_cards() {
    a_certificate_of_two_cards(Engine::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_twice_on_a_page_is_found() {
    let mut rig = Rig::new(site(120, 1)).await;
    let world = rig.site.world();
    let card = card(&world, |row| (3..100).contains(&row.total));
    let certificates = certificates(&world, &card);
    let (first, second) = (certificates[0].clone(), certificates[1].clone());
    let twice = first.clone();
    let _proxy = changing(&mut rig, &card.url, move |html| html.replace(&second, &first)).await;
    let said = disputed(&rig).await;
    let numbers = format!("says {}, read {}", card.total, card.total - 1);
    assert_names(&said, &[&format!("{}/", card.name), &numbers]);
    assert_names(&findings(&rig, 4).await, &[&twice, "stands twice"]);
    assert_names(&findings(&rig, 4).await, &["card_sums", &card.name]);
}

/// Runs to the end while populations move after every so many documents.
async fn run_while_it_moves(rig: &Rig, documents: usize) -> Ended {
    let running = rig.start(&["--max-retries", "1"]);
    let mut moved = 0;
    while !running.has_ended() {
        let due = u32::try_from(rig.documents().len() / documents).expect("few documents");
        if due > moved {
            moved = due;
            rig.site.update(|config| config.epoch = due);
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(moved > 5, "it moved {moved} times");
    running.ended().await
}

fn restless(seed: u64) -> DemoConfig {
    DemoConfig {
        churn: 0.01,
        ..site(400, seed)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_moves_has_lost_nothing() {
    for seed in 1..=3 {
        let rig = Rig::new(restless(seed)).await;
        let summary = run_while_it_moves(&rig, 20).await.summary(0);
        assert_eq!(summary["end"], "reconciled", "{summary:#}");
        assert_eq!(summary["discrepancies"], 0, "{summary:#}");
        let verified: i64 = rig.pages().await.iter().map(|page| page.verifications).sum();
        assert!(verified > 0, "movement was seen and looked at");
        assert_eq!(findings(&rig, 0).await, Vec::<String>::new());
        // At rest, the next run has the rest.
        let summary = rig.run(&[]).await.summary(0);
        assert_eq!(summary["moved"], 0, "{summary:#}");
        rig.assert_present_equals_truth().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loss_on_a_site_that_moves_is_found() {
    for seed in 1..=3 {
        let mut rig = Rig::new(restless(seed)).await;
        let world = rig.site.world();
        let card = card(&world, |row| (4..100).contains(&row.total));
        let lost = certificates(&world, &card)[0].clone();
        let _proxy = changing(&mut rig, &card.url, move |html| without_row(&html, &lost)).await;
        let summary = run_while_it_moves(&rig, 20).await.summary(4);
        assert_eq!(summary["end"], "disputed", "{summary:#}");
        let lines = summary["disagreements"].as_array().expect("a list");
        let name = format!("{}/", card.name);
        for line in lines.iter().map(|line| line.as_str().expect("words")) {
            assert!(
                line.contains(&name) || line.contains("moved while it was read"),
                "only what was lost is missing: {line}"
            );
        }
        assert_names(
            &lines
                .iter()
                .map(|line| line.as_str().expect("words").to_owned())
                .collect::<Vec<_>>(),
            &[&name, "certificates"],
        );
        assert_names(&findings(&rig, 4).await, &["card_sums", &card.name]);
    }
}

/// A run that begins at the cards' pages does not read the rows above them, which are older. What has grown since looks like
/// a surplus until those rows are read again, too.
async fn a_run_that_begins_below_reads_the_rows_above_before_it_disputes(engine: Engine) {
    let rig = Rig::on(
        engine,
        DemoConfig {
            churn: 0.1,
            ..site(120, 1)
        },
    )
    .await;
    rig.run(&[]).await.summary(0);
    let before = rig.site.world();
    rig.site.update(|config| config.epoch = 1);
    let grown = card(&rig.site.world(), |row| {
        before
            .card_rows()
            .any(|old| old.url == row.url && old.total < row.total)
    });
    let ended = rig.run(&["--start-from", "graderows", "--full"]).await;
    let summary = ended.summary(0);
    assert_eq!(summary["end"], "reconciled", "{summary:#}");
    let stored = cards::Entity::find()
        .filter(cards::Column::Number.eq(&grown.number))
        .filter(cards::Column::Name.eq(&grown.name))
        .all(rig.open().await.connection())
        .await
        .expect("rows");
    let total = i64::from(grown.total);
    assert!(
        stored.iter().any(|row| row.total == total),
        "{total} in {stored:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_reads_the_rows_above_before_it_disputes() {
    a_run_that_begins_below_reads_the_rows_above_before_it_disputes(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_reads_the_rows_above_before_it_disputes() {
    a_run_that_begins_below_reads_the_rows_above_before_it_disputes(Engine::Postgres).await;
}

/// The last pages do not fit the profile, which ends the runner's loop, and the brake is closed. Then the sums have pages read
/// again: they are read, and no slot is taken in vain.
#[tokio::test(flavor = "multi_thread")]
async fn sums_are_verified_after_odd_pages_have_ended_the_reading() {
    let mut rig = Rig::new(site(60, 1)).await;
    let world = rig.site.world();
    let lacking = card(&world, |row| (3..100).contains(&row.total));
    let certificate = certificates(&world, &lacking)[0].clone();
    let lacking = place(&lacking.url).0;
    let all: Vec<String> = world.card_rows().map(|row| place(&row.url).0).collect();
    let seen: Mutex<Vec<String>> = Mutex::default();
    let refusals = AtomicU64::new(0);
    let proxy = Proxy::start(Some(rig.site.site_addr()), move |path| {
        let page = place(path).0;
        if !all.contains(&page) {
            return Answer::Forward;
        }
        let mut seen = seen.lock().expect("a lock");
        let number = seen.iter().position(|one| *one == page).unwrap_or(seen.len());
        if number == seen.len() {
            seen.push(page.clone());
        }
        if number + 1 == all.len() && refusals.fetch_add(1, Ordering::Relaxed) < 4 {
            Answer::status("503 Service Unavailable")
        } else if number + 3 >= all.len() {
            Answer::Page("<!doctype html><title>Nothing</title>".to_owned())
        } else if page == lacking {
            let certificate = certificate.clone();
            Answer::Rewrite(Box::new(move |html| without_row(&html, &certificate)))
        } else {
            Answer::Forward
        }
    })
    .await;
    rig.read_from(proxy.url());
    let summary = rig
        .run(&["--concurrency", "1", "--max-retries", "1"])
        .await
        .summary(3);
    assert_eq!(pages_of(&summary, "failed"), 3, "{summary:#}");
    assert!(summary["discrepancies"].as_u64() >= Some(1), "{summary:#}");
    let verified: i64 = rig.pages().await.iter().map(|page| page.verifications).sum();
    assert!(verified >= 2, "the card's page and its set's were read again");
    let store = rig.open().await;
    let outlook = store.pace_outlook(&proxy.url()).await.expect("a pace");
    let ahead = outlook.next_slot_in;
    assert!(ahead < Duration::from_secs(10), "{ahead:?}");
    store.close().await;
}
