//! What a site may answer: its page fails with a reason, and nothing else suffers.

use std::collections::HashMap;
use std::sync::Arc;

use sea_orm::EntityTrait;
use tagpipe_demo::DemoConfig;
use tagpipe_store::entities::{cards, categories, grade_rows, sets, years};

use crate::harness::{Rig, pages_of};
use crate::proxy::{Answer, Proxy};
use crate::truth::{Wanted, place};

/// By the path that was asked for.
type Mischief = fn(&str) -> Answer;

/// Each with words of the reason that must be given.
const MISCHIEFS: &[(&str, Mischief, &str)] = &[
    (
        "another host",
        |_| Answer::redirect("http://localhost.invalid/pop-report"),
        "localhost.invalid",
    ),
    ("a loop", |path| Answer::redirect(path), "redirect"),
    (
        "an endless body",
        |_| Answer::Repeat(vec![b'x'; 65_536], None),
        "bytes",
    ),
    (
        "200 MB",
        |_| Answer::Repeat(vec![b' '; 65_536], Some(3200)),
        "bytes",
    ),
    (
        "not UTF-8",
        |_| {
            let mut answer =
                b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\n\r\n".to_vec();
            answer.extend(b"<h1>Pok\xe9mon \xff\xfe</h1>\0\0");
            Answer::Raw(answer)
        },
        "",
    ),
    (
        "no HTTP",
        |_| Answer::Raw(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()),
        "",
    ),
    (
        "an image",
        |_| {
            Answer::Raw(b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncontent-length: 4\r\nconnection: close\r\n\r\n\x89PNG".to_vec())
        },
        "image/png",
    ),
    (
        "a cut",
        |_| {
            Answer::Raw(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 9000\r\n\r\n<table>".to_vec(),
            )
        },
        "",
    ),
    ("nothing at all", |_| Answer::Page(String::new()), ""),
    ("deep nesting", |_| Answer::Page("<div>".repeat(200_000)), ""),
    ("a file", |_| Answer::redirect("file:///etc/passwd"), ""),
    ("a redirect without a target", |_| Answer::status("302 Found"), ""),
];

#[tokio::test(flavor = "multi_thread")]
async fn mischief_on_some_pages_of_a_crawl_harms_no_other() {
    let mut rig = Rig::new(DemoConfig {
        pages: 120,
        seed: 31,
        ..DemoConfig::default()
    })
    .await;
    let victims: Vec<_> = rig
        .site
        .world()
        .card_rows()
        .step_by(3)
        .take(MISCHIEFS.len())
        .collect();
    assert_eq!(victims.len(), MISCHIEFS.len());
    let mischief: HashMap<String, Mischief> = victims
        .iter()
        .zip(MISCHIEFS)
        .map(|(card, (_, answer, _))| (place(&card.url).0, *answer))
        .collect();
    let mischief = Arc::new(mischief);
    let here = Arc::clone(&mischief);
    let proxy = Proxy::start(Some(rig.site.site_addr()), move |path| {
        here.get(&place(path).0)
            .map_or(Answer::Forward, |answer| answer(path))
    })
    .await;
    rig.read_from(proxy.url());
    let summary = rig.run(&["--max-retries", "0"]).await.summary(3);
    assert_eq!(
        pages_of(&summary, "failed"),
        MISCHIEFS.len() as u64,
        "{summary:#}"
    );
    assert_eq!(pages_of(&summary, "open"), 0);
    let pages = rig.pages().await;
    for (card, (what, _, words)) in victims.iter().zip(MISCHIEFS) {
        let victim = place(&card.url).0;
        let page = pages
            .iter()
            .find(|page| place(&page.url).0 == victim)
            .expect("the page");
        let reason = page.last_error.as_deref().unwrap_or_default();
        assert_eq!(page.state, "failed", "{what}: {reason}");
        assert!(reason.len() > 10 && reason.contains(words), "{what}: {reason}");
        assert!(reason.len() < 2000, "{what}: a reason is bounded");
        println!("{what}: {reason}");
    }
    let unread = victims.iter().map(|card| card.url.clone()).collect();
    rig.assert_holds(&Wanted {
        unread,
        ..Wanted::everything()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pager_that_leads_astray_is_not_followed() {
    let mut rig = Rig::new(DemoConfig {
        pages: 120,
        seed: 31,
        ..DemoConfig::default()
    })
    .await;
    let long = rig
        .site
        .world()
        .card_rows()
        .find(|row| row.total > 200)
        .expect("a card with a pager");
    let victim = place(&long.url).0;
    let proxy = Proxy::start(Some(rig.site.site_addr()), move |path| {
        let (page, further) = place(path);
        if page == victim && further.is_none() {
            Answer::Rewrite(Box::new(|html| {
                let at = html.find("page=2").expect("a link to the next page");
                let start = html[..at].rfind("href=\"").expect("its start") + 6;
                let end = at + html[at..].find('"').expect("its end");
                format!("{}/pop-report/stolen{}", &html[..start], &html[end..])
            }))
        } else {
            Answer::Forward
        }
    })
    .await;
    rig.read_from(proxy.url());
    // What the page shows is kept with a warning, and the sums say that it is not all.
    let summary = rig.run(&["--max-retries", "0"]).await.summary(4);
    let stolen = rig
        .documents()
        .iter()
        .filter(|document| document.path_and_query.contains("stolen"))
        .count();
    assert_eq!(stolen, 0, "the pager was followed to another page");
    let words = summary["disagreements"].to_string();
    assert!(
        words.contains(&format!("says {}, read 200", long.total)),
        "{words}"
    );
    let audit = rig.audit().await;
    let warned = audit
        .iter()
        .filter(|entry| entry.level == "WARNING" && entry.message.contains("read with a warning"));
    assert!(warned.count() >= 1);
}

const GRADER_PROFILE: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../tagpipe-core/tests/fixtures/second-grader.toml"
));

fn table(headers: &str, rows: &str) -> Answer {
    let headers: String = headers
        .split(',')
        .map(|header| format!("<th>{header}</th>"))
        .collect();
    Answer::Page(format!(
        "<!doctype html><body><table class=census><thead><tr>{headers}</tr></thead><tbody>{rows}</tbody></table>"
    ))
}

/// The site of another grader, written by hand: other addresses, other grades, other words.
fn another_grader(path: &str) -> Answer {
    let decoded = percent_encoding::percent_decode_str(&path.replace('+', " "))
        .decode_utf8_lossy()
        .into_owned();
    match decoded.as_str() {
        "/census" => Answer::Page(
            "<ul class=games><li><a href='/census/Ice%20Hockey'>Ice Hockey</a><li><a>Golf</a></ul>".into(),
        ),
        "/census/Golf" => Answer::Page("<p class=notice>Nothing graded yet.</p>".into()),
        "/census/Ice Hockey" => table(
            "Season,Series,Cards,Slabs",
            "<tr><th><a href='/census/Ice%20Hockey/y/1989-90'>1989-90</a></th><td>1<td>2<td data-raw=5>a few",
        ),
        "/census/Ice Hockey/y/1989-90" => table(
            "Series,Auth,8,9,10,10 BL,All",
            "<tr><td><a href='/census/Ice Hockey/y/1989-90/series?s=O-Pee-Chee+%26+Co'>O-Pee-Chee &amp; Co</a>\
             <td>1<td>1<td>0<td>2<td>1<td>5<tr><td>Sum<td>1<td>1<td>0<td>2<td>1<td>5",
        ),
        "/census/Ice Hockey/y/1989-90/series?s=O-Pee-Chee & Co" => table(
            "No.,Player,Auth,8,9,10,10 BL,All",
            "<tr><td>1<td><a href='/census/Ice Hockey/y/1989-90/card?s=O-Pee-Chee+%26+Co&no=1&player=Mario+Lemieux'>M. Lemieux</a>\
             <td>1<td>1<td>.<td>2<td>1<td>5\
             <tr><td>2<td><a href='/census/Ice Hockey/y/1989-90/card?s=O-Pee-Chee+%26+Co&no=2&player=Joe+Sakic'>J. Sakic</a>\
             <td>.<td>.<td>.<td>.<td>.<td>0",
        ),
        path if path.contains("no=1&") => table(
            "Place,Grade,Slab,Graded on,Remarks",
            "<tr><td>#1<td>BLACK LABEL 10<td><a class=slab href=/slab/00000001>00000001</a><td>20 Aug 2025<td>\
             <tr><td>#2<td>GEM MT 10<td><a class=slab href=/slab/00000002>00000002</a><td>21 Aug 2025<td>\
             <tr><td>#3<td>GEM MT 10<td><a class=slab href=/slab/00000003>00000003</a><td>21 Aug 2025<td>\
             <tr><td>.<td>NM-MT 8<td>12345678<td>.<td>x<tr><td>.<td>Auth<td>12345679<td>.<td>",
        ),
        path if path.contains("no=2&") => Answer::Page("<p class=notice>Nothing graded yet.</p>".into()),
        _ => Answer::status("404 Not Found"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_grader_is_read_by_its_profile_alone() {
    let mut rig = Rig::new(DemoConfig {
        pages: 60,
        ..DemoConfig::default()
    })
    .await;
    let site = Proxy::start(None, another_grader).await;
    rig.read_from(site.url());
    rig.set_profile(GRADER_PROFILE);
    let ended = rig.run(&["--fetch", "auto"]).await;
    let summary = ended.summary(0);
    assert_eq!(summary["end"], "reconciled");
    let store = rig.open().await;
    let connection = store.connection();
    let categories = categories::Entity::find().all(connection).await.expect("rows");
    assert_eq!(
        categories.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(),
        ["Ice Hockey", "Golf"]
    );
    let years = years::Entity::find().all(connection).await.expect("rows");
    assert_eq!(
        (years.len(), years[0].year.as_str(), years[0].graded_count),
        (1, "1989-90", 5)
    );
    let sets = sets::Entity::find().all(connection).await.expect("rows");
    assert_eq!(
        (sets.len(), sets[0].brand.as_str(), sets[0].total),
        (1, "O-Pee-Chee & Co", 5)
    );
    assert_eq!(
        sets[0].counts,
        serde_json::json!({"Auth": 1, "8": 1, "10": 2, "10 BL": 1})
    );
    let cards = cards::Entity::find().all(connection).await.expect("rows");
    let names: Vec<_> = cards
        .iter()
        .map(|row| (row.number.as_str(), row.name.as_str(), row.total))
        .collect();
    assert_eq!(names, [("1", "Mario Lemieux", 5), ("2", "Joe Sakic", 0)]);
    let certificates = grade_rows::Entity::find().all(connection).await.expect("rows");
    store.close().await;
    let read: Vec<_> = certificates
        .iter()
        .map(|row| {
            let on = row.completed_on.map(|day| day.to_string()).unwrap_or_default();
            format!(
                "{} {} {:?} {} {:?} {on}",
                row.cert_number, row.grade_code, row.grade, row.grade_label, row.rank
            )
        })
        .collect();
    assert_eq!(
        read,
        [
            "00000001 10 BL Some(10.0) BLACK LABEL Some(1) 2025-08-20",
            "00000002 10 Some(10.0) GEM MT Some(2) 2025-08-21",
            "00000003 10 Some(10.0) GEM MT Some(3) 2025-08-21",
            "12345678 8 Some(8.0) NM-MT None ",
            "12345679 Auth None Authentic None ",
        ]
    );
}
