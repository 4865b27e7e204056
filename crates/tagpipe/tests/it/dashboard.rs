//! The dashboard as a visitor sees it: in a real Chromium, before a real service that reads the demo site.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sea_orm::{ConnectionTrait, DbBackend, Statement};
use serde_json::{Value, json};
use tagpipe_core::news::{News, NewsKind, NewsLevel};
use tagpipe_demo::{CardRow, DemoConfig, World};
use tagpipe_fetch::browser::testing::{Browser, Page};
use tagpipe_store::MessageEnd;

use crate::harness::{PATIENCE, Rig, unhurried};
use crate::jobs;
use crate::proxy::{Answer, Proxy};
use crate::serve::Served;
use crate::truth::place;

/// Looks for what makes a page hard to use for some; see `tests/axe`.
const AXE: &str = include_str!("../axe/axe.min.js");

const PHONE: u32 = 390;
const DESKTOP: u32 = 1440;

/// Whether every chart of a page is drawn or says why not.
const CHARTS_ARE_DRAWN: &str = "[...document.querySelectorAll('[data-chart]')] \
     .every((place) => place.dataset.drawn || place.querySelector('.chart-note'))";

fn site(pages: u64, hostile: bool) -> DemoConfig {
    DemoConfig {
        pages,
        hostile,
        ..DemoConfig::default()
    }
}

/// Has the page of one card be something else while the flag is set.
async fn failing(rig: &mut Rig) -> (Proxy, Arc<AtomicBool>) {
    let card = rig.site.world().card_rows().nth(3).expect("a card");
    let page = place(&card.url).0;
    let fails = Arc::new(AtomicBool::new(true));
    let still = Arc::clone(&fails);
    let proxy = Proxy::start(Some(rig.site.site_addr()), move |path| {
        if place(path).0 == page && still.load(Ordering::Relaxed) {
            Answer::Page("<!doctype html><title>Nothing</title>".to_owned())
        } else {
            Answer::Forward
        }
    })
    .await;
    rig.read_from(proxy.url());
    (proxy, fails)
}

/// Nothing went wrong that only a browser sees, and nobody else was asked.
#[track_caller]
fn assert_is_quiet(page: &Page, served: &Served, what: &str) {
    let seen = page.sightings();
    assert_eq!(seen.errors, Vec::<String>::new(), "{what}");
    assert_eq!(seen.dialogs, Vec::<String>::new(), "{what}");
    let host = served.address.trim_start_matches("http://");
    assert!(seen.hosts.iter().all(|asked| asked == host), "{what}: {seen:?}");
}

async fn text(page: &Page, selector: &str) -> String {
    let found = page
        .evaluate(&format!(
            "document.querySelector({})?.textContent.trim() ?? ''",
            json!(selector)
        ))
        .await;
    found.as_str().expect("a text").to_owned()
}

/// The numbers in the cells of one column, by the text of its heading.
async fn column(page: &Page, table: &str, heading: &str) -> Vec<u64> {
    let cells = page
        .evaluate(&format!(
            "(() => {{ const table = document.querySelector({}); \
             const at = [...table.tHead.rows[0].cells].findIndex((cell) => cell.textContent === {}); \
             return [...table.tBodies[0].rows].map((row) => Number(row.cells[at].textContent.replaceAll(/\\D/g, ''))); }})()",
            json!(table),
            json!(heading)
        ))
        .await;
    serde_json::from_value(cells).expect("numbers")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_started_and_watched_to_its_end() {
    let rig = Rig::new(unhurried(300, 60)).await;
    let served = Served::start(&rig, &[]).await;
    let browser = Browser::start().await;
    let page = browser.open(&served.address, DESKTOP, false).await;
    page.click("#start > summary").await;
    page.click("#start button.primary").await;
    page.wait_for("location.pathname === '/runs/1'").await;
    page.wait_for("document.readyState === 'complete'").await;
    page.evaluate("window.stayed = true").await;

    let mut seen: Vec<String> = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    while text(&page, "[sse-swap=head] .badge").await != "reconciled" {
        let done = text(&page, "[sse-swap=head] .figures .note").await;
        if seen.last() != Some(&done) {
            seen.push(done);
            if seen.len() == 2 {
                page.screenshot(&screenshots().join("run-under-way-1440-light.png"))
                    .await;
            }
        }
        assert!(Instant::now() < deadline, "{seen:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(seen.len() >= 3, "the progress moved twice: {seen:?}");
    assert_eq!(
        page.evaluate("window.stayed").await,
        true,
        "nobody loaded it again"
    );

    let truth = rig.site.world().summary();
    page.wait_for("document.querySelector('[sse-swap=head] .figures dd').textContent === '100 %'")
        .await;
    for heading in ["Pages", "Read"] {
        let shown = column(&page, "[sse-swap=levels] table", heading).await;
        assert_eq!(shown, truth.by_level, "{heading}");
    }
    page.go(&served.address).await;
    let stored = page
        .evaluate(
            "[...document.querySelectorAll('.pairs dd')].map((dd) => Number(dd.textContent.replaceAll(/\\D/g, '')))",
        )
        .await;
    let rows = &truth.rows;
    assert_eq!(
        stored,
        json!([rows.categories, rows.sets, rows.cards, rows.grade_rows])
    );
    assert_is_quiet(&page, &served, "a run");
    rig.assert_equals_truth().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_page_is_retried_by_its_button() {
    let mut rig = Rig::new(site(80, false)).await;
    let (_proxy, fails) = failing(&mut rig).await;
    rig.run(&["--max-retries", "0"]).await.summary(3);
    fails.store(false, Ordering::Relaxed);
    let served = Served::start(&rig, &[]).await;
    let browser = Browser::start().await;
    let page = browser
        .open(&format!("{}/runs/1", served.address), PHONE, true)
        .await;
    assert_eq!(text(&page, "#failed-title .number").await, "1");
    page.click("#retry-1").await;
    page.wait_for("location.search === '?done=retried'").await;
    page.evaluate("window.stayed = true").await;
    page.wait_for("document.querySelector('h1 + .badge')?.textContent === 'reconciled'")
        .await;
    page.wait_for("document.querySelector('#failed-title') === null")
        .await;
    assert_eq!(
        page.evaluate("window.stayed").await,
        true,
        "nobody loaded it again"
    );
    assert_is_quiet(&page, &served, "a retry");
    rig.assert_equals_truth().await;
}

/// A card with a name of its own whose population has moved.
fn moved(before: &World, after: &World) -> CardRow {
    let old: Vec<CardRow> = before.card_rows().collect();
    let is_alone = |card: &CardRow| old.iter().filter(|other| other.name == card.name).count() == 1;
    let has_moved = |card: &CardRow| {
        old.iter()
            .any(|other| other.url == card.url && other.total < card.total)
    };
    let mut all = after.card_rows();
    all.find(|card| is_alone(card) && has_moved(card))
        .expect("such a card")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_is_found_and_its_chart_drawn() {
    let rig = Rig::new(DemoConfig {
        churn: 0.5,
        ..site(150, false)
    })
    .await;
    let before = rig.site.world();
    rig.run(&[]).await.summary(0);
    rig.site.update(|config| config.epoch = 3);
    rig.run(&[]).await.summary(0);
    let card = moved(&before, &rig.site.world());
    let served = Served::start(&rig, &[]).await;
    let browser = Browser::start().await;
    let page = browser.open(&served.address, DESKTOP, false).await;
    page.type_text("#q", &card.name.to_lowercase()).await;
    page.press("Enter").await;
    page.wait_for("location.pathname === '/search' && document.querySelector('th a[href^=\"/cards/\"]')")
        .await;
    page.click("th a[href^=\"/cards/\"]").await;
    page.wait_for("document.querySelector('#history canvas')").await;
    assert_eq!(text(&page, "h1").await, card.name);
    assert_eq!(text(&page, ".figures dd").await, card.total.to_string());
    assert_eq!(
        page.evaluate("history.length > 1 && document.querySelector('#history').dataset.drawn")
            .await,
        "2"
    );
    // In the colour of the line, which nothing else of the chart has.
    let drawn = page
        .evaluate(
            "(() => { const canvas = document.querySelector('#history canvas'); \
             const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data; \
             const one = new OffscreenCanvas(1, 1).getContext('2d'); \
             one.fillStyle = getComputedStyle(document.documentElement).getPropertyValue('--bar-done').trim(); \
             one.fillRect(0, 0, 1, 1); \
             const line = one.getImageData(0, 0, 1, 1).data; \
             let count = 0; \
             for (let at = 0; at < pixels.length; at += 4) \
               if ([0, 1, 2, 3].every((part) => pixels[at + part] === line[part])) count += 1; \
             return count; })()",
        )
        .await;
    assert!(drawn.as_u64() > Some(200), "{drawn} pixels of the line");
    assert_is_quiet(&page, &served, "a card");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_is_added_with_a_preview_and_removed() {
    let rig = Rig::new(site(50, false)).await;
    let served = Served::start(&rig, &[]).await;
    let browser = Browser::start().await;
    let page = browser
        .open(&format!("{}/schedules", served.address), DESKTOP, true)
        .await;
    page.click("#add > summary").await;
    page.type_text("#name", "nightly").await;
    page.type_text("#cron", "99 3 * * *").await;
    page.wait_for("document.querySelector('#preview .fault')?.textContent.includes('99')")
        .await;
    page.evaluate("document.querySelector('#cron').value = ''").await;
    page.type_text("#cron", "30 2 * * SUN").await;
    page.wait_for("document.querySelectorAll('#preview li').length === 5")
        .await;
    let first = text(&page, "#preview li span").await;
    assert!(first.contains("02:30"), "{first}");
    page.click("#add button.primary").await;
    page.wait_for("document.querySelectorAll('.facts ol li').length === 5")
        .await;
    let heading = text(&page, "section.panel h2").await;
    assert_eq!(heading, "nightly");
    let schedules = served.get("/api/v1/schedules").await;
    assert_eq!(schedules[0]["cron"], "30 2 * * SUN", "{schedules:#}");
    page.click("button.danger").await;
    page.wait_for("document.querySelector('.empty strong')?.textContent === 'No schedule yet'")
        .await;
    let schedules = served.get("/api/v1/schedules").await;
    assert_eq!(schedules, json!([]));
    assert_is_quiet(&page, &served, "a schedule");
}

/// What a stranger's server may say, and what a stranger may call things.
const HOSTILE: &str = "HTTP status 404 Not Found: <img src=x onerror=alert(1)> \"&amp; \u{202e}ünïcode";

/// News of each level, on two channels: what arrived, was put off or given up, waits, or is not wanted.
async fn tell(rig: &Rig) {
    const TERM: Duration = Duration::from_secs(3_600);
    let store = rig.open().await;
    store
        .enter_channels(&["ops", "collectors"])
        .await
        .expect("entered");
    for level in NewsLevel::ALL {
        let title = format!("{level}: <script>alert(1)</script>");
        let one = News::new(NewsKind::RunFailed, level, &title)
            .with_text("two\nlines & <b>")
            .with_fact("Pages read", "12")
            .about_run(1);
        store.record_news(&[one]).await.expect("recorded");
    }
    let put_off = MessageEnd::Retry {
        after: TERM,
        why: "HTTP status 503 Service Unavailable".to_owned(),
        reached: Vec::new(),
    };
    let given_up = || MessageEnd::Failed {
        why: HOSTILE.to_owned(),
    };
    for (channel, ends) in [
        ("ops", vec![put_off, MessageEnd::Sent, given_up()]),
        ("collectors", vec![given_up()]),
    ] {
        assert!(store.hold_channel(channel, "me", TERM).await.expect("held"));
        let unsorted = store.news_to_sort(channel).await.expect("news");
        let ids: Vec<i64> = unsorted.iter().map(|one| one.id).collect();
        let sorted: Vec<(i64, bool)> = ids.iter().map(|id| (*id, *id != ids[0])).collect();
        assert!(store.sort_news(channel, "me", &sorted).await.expect("sorted"));
        for (id, end) in ids[1..].iter().zip(ends) {
            let message = format!("{channel}-{id}");
            let packed = store.pack_news(channel, "me", &message, &[*id]).await;
            assert!(packed.expect("packed"));
            assert!(store.begin_message(channel, "me", &message).await.expect("begun"));
            store.end_message(channel, &message, &end).await.expect("ended");
        }
        store.leave_channels("me").await.expect("left");
    }
    store.close().await;
}

/// The deliveries that were given up, as the tables have them: title, level, channel, attempts, why, and when, to the second.
async fn given_up(rig: &Rig) -> Vec<Value> {
    let store = rig.open().await;
    let sql = "SELECT news.title, news.level, m.channel, m.attempts, m.last_error, substr(m.ended_at, 1, 19) || 'Z' AS at \
               FROM news_messages m JOIN news_deliveries d ON d.message_id = m.id JOIN news ON news.id = d.news_id \
               WHERE m.state = 'failed' ORDER BY news.id DESC, m.channel";
    let rows = store
        .connection()
        .query_all_raw(Statement::from_string(DbBackend::Sqlite, sql))
        .await
        .expect("rows");
    let text = |row: &sea_orm::QueryResult, column: &str| row.try_get::<String>("", column).expect("a text");
    let found = rows
        .iter()
        .map(|row| {
            let attempts: i64 = row.try_get("", "attempts").expect("a number");
            json!([
                text(row, "title"),
                text(row, "level"),
                text(row, "channel"),
                format!("{attempts} attempt{}", if attempts == 1 { "" } else { "s" }),
                text(row, "last_error"),
                text(row, "at"),
            ])
        })
        .collect();
    store.close().await;
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_was_given_up_is_shown_as_the_database_has_it() {
    let rig = Rig::new(site(40, false)).await;
    rig.run(&[]).await.summary(0);
    tell(&rig).await;
    let served = Served::start(&rig, &[]).await;
    let browser = Browser::start().await;
    let page = browser
        .open(
            &format!("{}/news?delivery=failed", served.address),
            DESKTOP,
            false,
        )
        .await;
    let shown = page
        .evaluate(
            "[...document.querySelectorAll('.entry')].flatMap((entry) => [...entry.querySelectorAll('.told li')] \
             .filter((told) => told.querySelector('.badge.is-failed')?.textContent === 'given up') \
             .map((told) => [entry.querySelector('.body > p').textContent, entry.querySelector('.badge').textContent, \
             told.querySelector('.mono').textContent, told.querySelector('.tried').textContent, \
             told.querySelector('.why').textContent, told.querySelector('time').dateTime]))",
        )
        .await;
    let stored = given_up(&rig).await;
    assert_eq!(stored.len(), 2, "{stored:#?}");
    assert_eq!(shown, Value::from(stored));
    // The run that it is about is one click away, and what was put off says when it is tried again.
    page.click(".entry .meta a").await;
    page.wait_for("location.pathname === '/runs/1'").await;
    page.go(&format!("{}/news?delivery=open", served.address)).await;
    let next = text(&page, ".told li:has(.is-open)").await;
    assert!(next.contains("put off") && next.contains("next in "), "{next}");
    assert!(next.contains("HTTP status 503"), "{next}");
    assert_is_quiet(&page, &served, "the news");
}

/// A service with something on each page: two runs, a failed page, names that nobody would choose, a schedule, news, a job.
async fn furnished() -> (Rig, Proxy, Served) {
    let mut rig = Rig::new(DemoConfig {
        churn: 0.3,
        ..site(400, true)
    })
    .await;
    rig.run(&[]).await.summary(0);
    let (proxy, _) = failing(&mut rig).await;
    rig.site.update(|config| config.epoch = 2);
    rig.run(&["--full", "--max-retries", "0"]).await.summary(3);
    let served = Served::start(&rig, &[]).await;
    let wanted = json!({ "name": "nightly", "cron": "0 3 * * *", "time_zone": "Europe/Berlin" });
    served.post("/api/v1/schedules", &wanted).await;
    tell(&rig).await;
    let nothing = json!({ "name": "none.csv", "table": "cards", "categories": "<b>Hocky</b>" });
    let job = jobs::ordered(&served, "export", nothing).await;
    assert_eq!(jobs::over(&served, &job).await["state"], "done");
    (rig, proxy, served)
}

/// The addresses below `beginning` to which the rows of a page lead.
async fn addresses(page: &Page, beginning: &str) -> Vec<String> {
    let found = page
        .evaluate(&format!(
            "[...document.querySelectorAll('main th a[href^=\"{beginning}\"]')].map((one) => one.getAttribute('href'))"
        ))
        .await;
    serde_json::from_value(found).expect("addresses")
}

/// The ways from the categories down to a card: a name for each page, and its path.
async fn down_to_a_card(page: &Page, served: &Served, hostile: bool) -> Vec<(&'static str, String)> {
    let mut way = vec![("catalogue", "/catalogue".to_owned())];
    for (name, beginning) in [
        ("category", "/catalogue/categories/"),
        ("year", "/catalogue/years/"),
        ("set", "/catalogue/sets/"),
        ("card", "/cards/"),
    ] {
        let (_, from) = way.last().expect("a page");
        page.go(&format!("{}{from}", served.address)).await;
        let mut found = addresses(page, beginning).await;
        // The category with such names is the last one.
        let wanted = if hostile && name == "category" {
            found.len() - 1
        } else {
            0
        };
        way.push((name, found.swap_remove(wanted)));
    }
    way
}

fn screenshots() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("a folder");
    let folder = target.join("screenshots");
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// What axe-core finds wrong with the page as it is shown.
async fn violations(page: &Page, only_colours: bool) -> Vec<Value> {
    page.evaluate(&format!("window.axe ? true : (() => {{ {AXE} }})()"))
        .await;
    let only = if only_colours {
        "runOnly: { type: 'rule', values: ['color-contrast'] }"
    } else {
        ""
    };
    let found = page
        .evaluate(&format!(
            "axe.run(document, {{ {only} }}).then((found) => [found.passes.length, found.violations.map((one) => \
             [one.id, ...one.nodes.slice(0, 5).map((node) => [node.html.slice(0, 300), node.failureSummary])])])"
        ))
        .await;
    let (passes, violations): (usize, Vec<Value>) = serde_json::from_value(found).expect("a pair");
    let least = if only_colours { 1 } else { 10 };
    assert!(passes >= least, "only {passes} rules found something to look at");
    violations
}

/// Looks at each page in both colours at one width. All faults are told together.
async fn look_at(browser: &Browser, served: &Served, pages: &[(&str, String)], width: u32) {
    let folder = screenshots();
    let page = browser
        .open(&format!("{}/login", served.address), width, false)
        .await;
    let mut faults = Vec::new();
    for (name, path) in pages {
        page.forget();
        page.prefer(false).await;
        page.go(&format!("{}{path}", served.address)).await;
        page.wait_for(CHARTS_ARE_DRAWN).await;
        for dark in [false, true] {
            page.prefer(dark).await;
            let colours = if dark { "dark" } else { "light" };
            for violation in violations(&page, dark).await {
                faults.push(format!("{name} at {width} px, {colours}: {violation:#}"));
            }
            page.screenshot(&folder.join(format!("{name}-{width}-{colours}.png")))
                .await;
        }
        let wide = page.evaluate("document.documentElement.scrollWidth").await;
        if wide.as_u64() > Some(u64::from(width)) {
            faults.push(format!("{name} at {width} px is {wide} px wide"));
        }
        let mut seen = page.sightings();
        // That a page does not exist, the browser calls an error.
        seen.errors
            .retain(|error| *name != "missing" || !error.contains("status of 404"));
        let host = served.address.trim_start_matches("http://");
        seen.hosts.remove(host);
        if !seen.errors.is_empty() || !seen.hosts.is_empty() || !seen.dialogs.is_empty() {
            faults.push(format!("{name} at {width} px: {seen:#?}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

async fn every_page_can_be_used(width: u32) {
    let (_rig, _proxy, served) = furnished().await;
    let browser = Browser::start().await;
    let page = browser.open(&served.address, width, false).await;
    let mut pages = down_to_a_card(&page, &served, false).await;
    let hostile = down_to_a_card(&page, &served, true).await;
    pages.extend([
        ("hostile-set", hostile[3].1.clone()),
        ("hostile-card", hostile[4].1.clone()),
    ]);
    drop(page);
    for (name, path) in [
        ("overview", "/"),
        ("overview-start", "/?start=1"),
        ("runs", "/runs"),
        ("run", "/runs/2"),
        ("search", "/search?q=to"),
        ("search-nothing", "/search?q=qqqqqq"),
        ("audit", "/audit"),
        ("analytics", "/analytics"),
        ("schedules", "/schedules"),
        ("data", "/data"),
        ("news", "/news"),
        ("news-fault", "/news?level=loud&since=yesterday"),
        ("system", "/system"),
        ("system-examined", "/system?examine=true"),
        ("reference", "/api"),
        ("login", "/login"),
        ("missing", "/no/such/page"),
    ] {
        pages.push((name, path.to_owned()));
    }
    look_at(&browser, &served, &pages, width).await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_can_be_used_on_a_phone() {
    every_page_can_be_used(PHONE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_can_be_used_on_a_desktop() {
    every_page_can_be_used(DESKTOP).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_has_read_nothing_says_so() {
    let rig = Rig::new(site(50, false)).await;
    let served = Served::start(&rig, &[]).await;
    let browser = Browser::start().await;
    let pages = [
        ("empty-overview", "/"),
        ("empty-runs", "/runs"),
        ("empty-catalogue", "/catalogue"),
        ("empty-audit", "/audit"),
        ("empty-analytics", "/analytics"),
        ("empty-schedules", "/schedules"),
        ("empty-data", "/data"),
        ("empty-news", "/news"),
    ]
    .map(|(name, path)| (name, path.to_owned()));
    look_at(&browser, &served, &pages, PHONE).await;
    let (_, news) = served.page("/news").await;
    for words in [
        "No news yet",
        "Nobody is told.",
        "PIPELINE_NOTIFY_NTFY_URL=",
        "[[notify.channels]]",
        "tagpipe notify test",
    ] {
        assert!(news.contains(words), "`{words}` is not on the page");
    }
}

/// The demo site has cards whose names are scripts, event handlers and ends of attributes.
#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_scripts_run_nowhere() {
    let rig = Rig::new(site(120, true)).await;
    rig.run(&[]).await.summary(0);
    tell(&rig).await;
    let served = Served::start(&rig, &[]).await;
    let browser = Browser::start().await;
    let page = browser.open(&served.address, DESKTOP, false).await;
    let (_, category) = down_to_a_card(&page, &served, true).await.swap_remove(1);
    let mut paths = vec!["/catalogue".to_owned(), category.clone()];
    let mut level = vec![category];
    for beginning in ["/catalogue/years/", "/catalogue/sets/", "/cards/"] {
        let mut below = Vec::new();
        for path in &level {
            page.go(&format!("{}{path}", served.address)).await;
            below.extend(addresses(&page, beginning).await);
        }
        paths.extend(below.iter().cloned());
        level = below;
    }
    assert!(level.len() > 12, "{} cards", level.len());
    paths.extend(
        [
            "/search?q=alert",
            "/search?q=%3Cscript%3Ealert(1)%3C/script%3E",
            "/search?q=%22%3E%3Cimg+src=x+onerror=alert(1)%3E",
            "/audit",
            "/audit?run=%22%3E%3Cscript%3Ealert(1)%3C/script%3E",
            "/news",
            "/news?kind=%22%3E%3Cscript%3Ealert(1)%3C/script%3E",
            "/runs/1",
            "/",
        ]
        .map(ToOwned::to_owned),
    );
    let mut names = String::new();
    for path in &paths {
        page.go(&format!("{}{path}", served.address)).await;
        names.push_str(&text(&page, "main").await);
        // What lies under the pointer gets its events.
        page.evaluate("for (const one of document.querySelectorAll('main *')) one.dispatchEvent(new Event('mouseover'))")
            .await;
        let strange = page
            .evaluate(
                "[...document.querySelectorAll('img, iframe, object, script:not([src^=\"/assets/\"]), [onmouseover], [onerror]')] \
                 .map((one) => one.outerHTML)",
            )
            .await;
        assert_eq!(strange, json!([]), "{path}");
        assert_is_quiet(&page, &served, path);
    }
    for name in ["<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>"] {
        assert!(names.contains(name), "{name} is shown as it is");
    }
}
