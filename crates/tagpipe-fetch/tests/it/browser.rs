//! Pages in a real Chromium.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tagpipe_core::model::PageKind;
use tagpipe_core::outcome::Outcome;
use tagpipe_core::profile::SiteProfile;
use tagpipe_fetch::{BrowserFetcher, BrowserSettings, FetchError, Fetcher, Next, OpenPage};

use crate::chromium;
use crate::site::{Reply, Site};

fn settings() -> BrowserSettings {
    let profile = SiteProfile::builtin();
    let rules: HashMap<_, _> = PageKind::ALL
        .into_iter()
        .map(|kind| (kind, profile.wait_rules(kind)))
        .collect();
    BrowserSettings {
        executable: None,
        tabs: 1,
        user_agent: "tagpipe/0.1 (+https://example.test/contact)".to_owned(),
        timeout: Duration::from_secs(30),
        settle: Duration::from_millis(250),
        max_bytes: 1_000_000,
        block: profile.browser.block,
        rules,
        recycle_after_pages: 100,
        recycle_after_age: Duration::from_secs(3600),
        recycle_above_bytes: u64::MAX,
    }
}

/// What the pages' scripts use: `row` makes a row of the report, `paint` shows rows and a pager.
const SCRIPT: &str = "
    const row = (name) => `<tr class=MuiTableRow-root><td class=MuiTableCell-root>${name}</td></tr>`;
    const paint = (names, pager, next) => { root.innerHTML =
        `<table><tbody>${names.map(row).join('')}</tbody></table><p class=MuiTablePagination-caption>${pager}</p>`
        + (next ? `<button onclick=\"${next}\">chevron_right</button>` : ''); };
    const after = (ms, f) => setTimeout(f, ms);";

fn page(script: &str) -> Reply {
    Reply::html(format!(
        "<!doctype html><title>x</title><body><div id=root></div><script>{SCRIPT}{script}</script>"
    ))
}

async fn open(fetcher: &BrowserFetcher, site: &Site, target: &str) -> Result<OpenPage, FetchError> {
    fetcher.open(PageKind::Years, &site.url(target)).await
}

async fn html(fetcher: &BrowserFetcher, site: &Site, target: &str) -> String {
    match open(fetcher, site, target).await {
        Ok(page) => page.document.html,
        Err(error) => panic!("{target}: {error}"),
    }
}

async fn error(fetcher: &BrowserFetcher, site: &Site, target: &str) -> String {
    match open(fetcher, site, target).await {
        Ok(page) => panic!("{target}: {}", page.document.html),
        Err(error) => error.to_string().replace(site.origin.as_str(), "SITE/"),
    }
}

/// What `opening` comes to when `event` happens before it ends.
async fn during(opening: impl Future<Output = String>, event: impl Future<Output = ()>) -> String {
    tokio::pin!(opening);
    tokio::select! {
        biased;
        early = &mut opening => panic!("ended too early: {early}"),
        () = event => {}
    }
    opening.await
}

fn rows(html: &str) -> usize {
    // As the browser writes it; the script in the page writes it without quotes.
    html.matches("<tr class=\"MuiTableRow-root\">").count()
}

#[tokio::test]
async fn content_is_waited_for_however_it_comes() {
    let site = Site::start(|target| match target {
        "/two-paints" => page(
            "paint([], '1-3 of 3'); after(80, () => { paint(['a'], '1-3 of 3');
            after(80, () => paint(['a', 'b', 'c'], '1-3 of 3')); });",
        ),
        "/no-pager" => {
            page("after(50, () => { paint(['a'], ''); after(100, () => paint(['a', 'b', 'c'], '')); });")
        }
        "/totals" => page(
            "paint(['a', 'b', 'TOTALS'], '1-3 of 3');
            after(600, () => paint(['a', 'b', 'c', 'TOTALS'], '1-3 of 3'));",
        ),
        "/polling" => page(
            "setInterval(() => { fetch('/poll'); root.dataset.x = Math.random(); }, 5);
            after(80, () => paint(['a', 'b', 'c'], ''));",
        ),
        "/alert" => page(
            "alert('x'); confirm('y'); window.onbeforeunload = (e) => e.preventDefault();
            paint(['a', 'b', 'c'], '');",
        ),
        "/reload" => {
            page("if (!location.search) location.replace('/reload?again'); else paint(['a', 'b', 'c'], '');")
        }
        "/reload?again" => page("after(50, () => paint(['a', 'b', 'c'], '1-3 of 3'));"),
        "/tampering" => page(
            "window.MutationObserver = null; window.setTimeout = null; window.Promise = null;
            paint(['a', 'b', 'c'], '1-3 of 3');",
        ),
        "/empty" => page("after(50, () => paint(['No records to display'], '0-0 of 0'));"),
        "/flash" => {
            page("paint(['No records to display'], ''); after(60, () => paint(['a', 'b', 'c'], '1-3 of 3'));")
        }
        _ => page("after(50, () => root.innerHTML = '<h1>Page Not Found</h1>');"),
    })
    .await;
    let fetcher = BrowserFetcher::new(settings());
    for target in [
        "/two-paints",
        "/no-pager",
        "/polling",
        "/alert",
        "/reload",
        "/tampering",
        "/flash",
    ] {
        assert_eq!(rows(&html(&fetcher, &site, target).await), 3, "{target}");
    }
    assert_eq!(rows(&html(&fetcher, &site, "/totals").await), 4);
    assert!(html(&fetcher, &site, "/empty").await.contains("No records"));
    assert!(
        html(&fetcher, &site, "/not-found")
            .await
            .contains("Page Not Found")
    );
    fetcher.close().await;
}

#[tokio::test]
async fn the_pager_is_followed_by_button_and_by_link() {
    let site = Site::start(|target| match target {
        // The pager's text changes first, the rows in two paints later.
        "/button" => page("const next = () => after(700, () => { paint(['a', 'b'], '3-4 of 5');
                after(60, () => paint(['c', 'b'], '3-4 of 5')); after(120, () => paint(['c', 'd'], '3-4 of 5', 'last()')); });
            const last = () => after(30, () => paint(['e'], '5-5 of 5'));
            paint(['a', 'b'], '1-2 of 5', 'next()');"),
        "/a" => page("paint(['a'], '1-1 of 2'); root.innerHTML += '<a href=\"?page=2\">chevron_right</a>'"),
        "/a?page=2" => page("paint(['b'], '2-2 of 2');"),
        _ => Reply::new(404, "", ""),
    })
    .await;
    let fetcher = BrowserFetcher::new(settings());
    assert_eq!(fetcher.memory_bytes(), 0, "nothing is started yet");
    let mut page = open(&fetcher, &site, "/button").await.expect("a page");
    let second = page.pager.next(&Next::Button).await.expect("a second page").html;
    assert!(second.contains(">c<") && second.contains(">d<"), "{second}");
    let third = page.pager.next(&Next::Button).await.expect("a third page").html;
    assert!(third.contains(">e<"), "{third}");
    drop(page);

    for next in [Next::Link("?page=2".to_owned()), Next::Button] {
        let mut page = open(&fetcher, &site, "/a").await.expect("a page");
        let second = page.pager.next(&next).await.expect("a second page").html;
        assert!(second.contains(">b<"), "{next:?}: {second}");
    }
    let mut page = open(&fetcher, &site, "/a").await.expect("a page");
    let error = page
        .pager
        .next(&Next::Link("/b".to_owned()))
        .await
        .expect_err("another page");
    assert!(error.to_string().ends_with("which is another page"), "{error}");
    assert_eq!(site.count("/b"), 0);
    assert!(
        fetcher.memory_bytes() > 10 << 20,
        "a Chromium takes more than 10 MiB"
    );
    fetcher.close().await;
}

#[tokio::test]
async fn answers_that_are_no_page_are_outcomes() {
    let other = Site::start(|_| Reply::html("other")).await;
    let away = other.url("/x").to_string();
    let site = Site::start(move |target| match target {
        "/429" => Reply::new(429, "Retry-After: 7\r\n", "slow down"),
        "/503" => Reply::new(503, "", ""),
        "/404" => Reply::new(404, "Content-Type: text/html\r\n", "<h1>404</h1>"),
        "/401" => Reply::new(401, "WWW-Authenticate: Basic realm=x\r\n", ""),
        "/file" => Reply::new(200, "Content-Type: application/octet-stream\r\n", "x"),
        "/away" => Reply::redirect(&away),
        "/script-away" => page(&format!("location.href = '{away}'")),
        "/circle" => Reply::redirect("/circle"),
        "/large" => page("paint(['x'.repeat(2000000)], '1-1 of 1')"),
        "/broken" => Reply::raw("rubbish"),
        "/back" => Reply::redirect("/fine"),
        _ => page("paint(['a'], '1-1 of 1')"),
    })
    .await;
    let fetcher = BrowserFetcher::new(settings());
    let check = async |target: &str, expected: &str| {
        let error = error(&fetcher, &site, target)
            .await
            .replace(other.origin.as_str(), "OTHER/");
        assert_eq!(error, expected, "{target}");
    };
    check("/429", "429, too many requests, retry after 7 s").await;
    check("/503", "HTTP status 503").await;
    check("/404", "the not-found screen on a linked page").await;
    check("/401", "HTTP status 401").await;
    check(
        "/file",
        "`SITE/file` is not a page but `application/octet-stream`",
    )
    .await;
    check(
        "/away",
        "cannot read `SITE/away`: a redirect to another site, `OTHER/x`, is not followed",
    )
    .await;
    check(
        "/script-away",
        "cannot read `SITE/script-away`: a redirect to another site, `OTHER/x`, is not followed",
    )
    .await;
    check(
        "/circle",
        "cannot read `SITE/circle`: more than 5 redirects, at last to `SITE/circle`",
    )
    .await;
    check(
        "/large",
        "cannot read `SITE/large`: the document is larger than 1000000 bytes",
    )
    .await;
    check("/broken", "cannot read `SITE/broken`: invalid http response").await;
    assert_eq!(rows(&html(&fetcher, &site, "/back").await), 1);
    assert!(other.targets().is_empty(), "{:?}", other.targets());
    assert_eq!(site.count("/circle"), 6);
    fetcher.close().await;
}

#[tokio::test]
async fn no_content_in_time_is_a_timeout() {
    let site = Site::start(|target| match target {
        "/nothing" => page(""),
        "/partial" => page("paint(['a'], '1-2 of 2')"),
        "/busy" => page("for (;;);"),
        "/silent" => Reply::raw("").then_stall(),
        "/no-next" => {
            page("paint(['a'], '1-1 of 2'); root.innerHTML += '<button disabled>chevron_right</button>'")
        }
        "/stuck" => page("paint(['a'], '1-1 of 2', '0')"),
        _ => page("paint(['a', 'b'], '1-2 of 2')"),
    })
    .await;
    let fetcher = BrowserFetcher::new(BrowserSettings {
        timeout: Duration::from_secs(3),
        ..settings()
    });
    let nothing = "timed out waiting for rows, tiles, an empty state or a not-found screen";
    assert_eq!(error(&fetcher, &site, "/nothing").await, nothing);
    assert_eq!(error(&fetcher, &site, "/busy").await, nothing);
    assert_eq!(
        error(&fetcher, &site, "/silent").await,
        "timed out waiting for an answer of `SITE/silent`"
    );
    assert_eq!(rows(&html(&fetcher, &site, "/partial").await), 1);
    for (target, expected) in [
        ("/no-next", "a pager button that can be pressed"),
        ("/stuck", "the rows of the pager's next page"),
    ] {
        let mut page = open(&fetcher, &site, target).await.expect("a page");
        let error = page.pager.next(&Next::Button).await.expect_err("no next page");
        assert_eq!(error.to_string(), format!("timed out waiting for {expected}"));
    }
    assert_eq!(rows(&html(&fetcher, &site, "/fine").await), 2);
    fetcher.close().await;
}

#[tokio::test]
async fn pictures_fonts_films_and_trackers_never_reach_the_site() {
    let site = Site::start(|target| match target {
        "/page" => Reply::html(format!(
            "<!doctype html><link rel=icon href=/icon.png><link rel=manifest href=/manifest><link rel=stylesheet href=/style.css><body>
             <img src=/image.png><div style='background: url(/background.png)'>x</div>
             <p style='font-family: F'>text</p><video src=/film.mp4 autoplay></video><audio src=/sound.mp3 autoplay></audio>
             <iframe src=/frame></iframe><object data=/object.png></object><svg><image href=/svg.png></image></svg>
             <script src=/static/tracker.js></script><div id=root></div>
             <script>{SCRIPT} new Image().src = '/script.png';
             navigator.sendBeacon('/beacon'); fetch('/static/tracker/fetch').catch(() => {{}});
             window.onload = () => fetch('/data').then(() => paint(['a'], '1-1 of 1'));</script>"
        )),
        "/style.css" => {
            let css = "@font-face { font-family: F; src: url(/font.woff2) } body { background: url(/css.png) }";
            Reply::new(200, "Content-Type: text/css\r\n", css)
        }
        _ => Reply::html("x"),
    })
    .await;
    let fetcher = BrowserFetcher::new(settings());
    assert_eq!(rows(&html(&fetcher, &site, "/page").await), 1);
    fetcher.close().await;
    let mut targets = site.targets();
    targets.sort();
    assert_eq!(targets, ["/data", "/page", "/style.css"]);
    let agent = "user-agent: tagpipe/0.1 (+https://example.test/contact)\r\n";
    assert!(
        site.requests()
            .iter()
            .all(|request| request.head.to_lowercase().contains(agent))
    );
}

#[tokio::test]
async fn a_page_that_was_left_asks_for_nothing_more() {
    let site = Site::start(|target| match target {
        "/polling" => {
            page("fetch('/long-poll'); setInterval(() => fetch('/poll'), 1); paint(['a'], '1-1 of 1')")
        }
        "/long-poll" => Reply::raw("").then_stall(),
        _ => page("paint(['a'], '1-1 of 1')"),
    })
    .await;
    let fetcher = BrowserFetcher::new(settings());
    let polling = open(&fetcher, &site, "/polling").await.expect("a page");
    site.asked_for("/long-poll").await;
    drop(polling);
    // No further page is needed to end it.
    site.given_up("/long-poll").await;
    html(&fetcher, &site, "/one").await;
    let polls = site.count("/poll");
    html(&fetcher, &site, "/two").await;
    assert_eq!(site.count("/poll"), polls);
    fetcher.close().await;
}

#[tokio::test]
async fn another_place_of_the_page_just_read_is_read_again() {
    let site = Site::start(|_| page("paint(['a'], '1-1 of 1')")).await;
    let fetcher = BrowserFetcher::new(settings());
    for target in ["/page", "/page#below", "/page#below", "/page"] {
        assert_eq!(rows(&html(&fetcher, &site, target).await), 1);
    }
    assert_eq!(site.count("/page"), 4);
    fetcher.close().await;
}

#[tokio::test]
async fn every_chromium_of_this_machine_reads_pages() {
    let site = Site::start(|_| page("paint(['a'], '1-1 of 1')")).await;
    let mut read = 0;
    for name in ["chromium", "chromium-headless-shell", "google-chrome"] {
        let executable = Some(PathBuf::from(name));
        let fetcher = BrowserFetcher::new(BrowserSettings {
            executable,
            ..settings()
        });
        match fetcher.open(PageKind::Years, &site.url("/page")).await {
            Ok(page) => assert_eq!(rows(&page.document.html), 1, "{name}"),
            Err(error) => {
                assert!(
                    error.to_string().contains("which the setting names"),
                    "{name}: {error}"
                );
                continue;
            }
        }
        read += 1;
        fetcher.close().await;
    }
    assert!(read > 0, "there is no Chromium");
}

#[tokio::test]
async fn all_open_pages_are_visible_and_run_at_full_speed() {
    let site = Site::start(|_| {
        page(
            "let n = 0; const step = () => ++n < 20 ? requestAnimationFrame(step)
            : paint([document.visibilityState], '1-1 of 1'); step();",
        )
    })
    .await;
    let fetcher = BrowserFetcher::new(BrowserSettings {
        tabs: 3,
        ..settings()
    });
    let pages =
        futures_util::future::join_all(["/1", "/2", "/3"].map(|target| open(&fetcher, &site, target))).await;
    let pages: Vec<OpenPage> = pages.into_iter().map(|page| page.expect("a page")).collect();
    for page in &pages {
        assert!(page.document.html.contains(">visible<"), "{}", page.document.html);
    }
    drop(pages);
    fetcher.close().await;
}

#[tokio::test]
async fn further_pages_wait_for_a_tab() {
    let site = Site::start(|_| page("paint(['a'], '1-1 of 1')")).await;
    let fetcher = BrowserFetcher::new(settings());
    let held = open(&fetcher, &site, "/held").await.expect("a page");
    let waiting = open(&fetcher, &site, "/waiting");
    tokio::pin!(waiting);
    tokio::select! {
        biased;
        _ = &mut waiting => panic!("there is only one tab"),
        () = std::future::ready(()) => {}
    }
    drop(held);
    drop(waiting.await.expect("a page"));
    fetcher.close().await;
}

#[tokio::test]
async fn abandoned_openings_leave_no_tab_behind() {
    let site = Site::start(|target| match target {
        "/last" => page("paint(['a'], '1-1 of 1')"),
        _ => page(""),
    })
    .await;
    // Every page gets a tab of its own, so that openings are abandoned while their tab is made as well.
    let fetcher = BrowserFetcher::new(BrowserSettings {
        recycle_after_pages: 1,
        ..settings()
    });
    html(&fetcher, &site, "/last").await;
    for round in 0..12 {
        let target = format!("/never?{round}");
        tokio::select! {
            opened = open(&fetcher, &site, &target) => panic!("{:?}", opened.map(|page| page.document.html)),
            () = turns(1 << round) => {}
            () = site.asked_for(&target) => {}
        }
    }
    html(&fetcher, &site, "/last").await;
    let group = chromium::groups(std::process::id())[0];
    // The tab's own, that of the tab before it which may still be closing, and one that Chromium keeps ready.
    chromium::wait_until("only one tab's renderers", || {
        chromium::members(group, "--type=renderer").len() <= 3
    });
    fetcher.close().await;
}

/// Lets everything else run `count` times.
async fn turns(count: usize) {
    for _ in 0..count {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_crashed_tab_costs_one_page() {
    let site = Site::start(|target| match target {
        "/never" => page(""),
        _ => page("paint(['a'], '1-1 of 1')"),
    })
    .await;
    let fetcher = BrowserFetcher::new(settings());
    let crash = async {
        site.asked_for("/never").await;
        let group = chromium::groups(std::process::id())[0];
        for renderer in chromium::members(group, "--type=renderer") {
            chromium::kill(renderer);
        }
    };
    let error = during(error(&fetcher, &site, "/never"), crash).await;
    assert_eq!(error, "cannot read `SITE/never`: its tab crashed");
    assert_eq!(rows(&html(&fetcher, &site, "/fine").await), 1);
    fetcher.close().await;
}

#[tokio::test]
async fn a_dead_chromium_costs_its_pages_and_is_replaced() {
    let site = Site::start(|target| match target {
        "/never" => page(""),
        _ => page("paint(['a'], '1-1 of 1')"),
    })
    .await;
    let fetcher = BrowserFetcher::new(settings());
    let kill = async {
        site.asked_for("/never").await;
        chromium::kill(chromium::browser(chromium::groups(std::process::id())[0]));
    };
    let error = during(error(&fetcher, &site, "/never"), kill).await;
    assert_eq!(error, "cannot read `SITE/never`: Chromium has ended");
    assert_eq!(rows(&html(&fetcher, &site, "/fine").await), 1);
    fetcher.close().await;
    assert!(chromium::folders(std::process::id()).is_empty());
}

#[tokio::test]
async fn worn_out_tabs_and_large_browsers_are_replaced() {
    let site = Site::start(|_| page("paint(['a'], '1-1 of 1')")).await;
    let fetcher = BrowserFetcher::new(BrowserSettings {
        recycle_after_pages: 2,
        recycle_above_bytes: 1,
        ..settings()
    });
    let held = open(&fetcher, &site, "/1").await.expect("a page");
    let first = chromium::groups(std::process::id());
    drop(held);
    for _ in 0..5 {
        html(&fetcher, &site, "/2").await;
    }
    chromium::wait_until("the first Chromium is gone", || {
        chromium::members(first[0], "").is_empty()
    });
    assert_eq!(chromium::groups(std::process::id()).len(), 1);
    fetcher.close().await;
}

#[tokio::test]
async fn closing_leaves_nothing_and_may_be_repeated() {
    let site = Site::start(|_| page("paint(['a'], '1-1 of 1')")).await;
    let fetcher = BrowserFetcher::new(settings());
    let held = open(&fetcher, &site, "/1").await.expect("a page");
    assert_eq!(chromium::folders(std::process::id()).len(), 1);
    let group = chromium::groups(std::process::id())[0];
    fetcher.close().await;
    assert!(chromium::folders(std::process::id()).is_empty());
    assert!(chromium::members(group, "").is_empty());
    fetcher.close().await;
    drop(held);
    assert_eq!(error(&fetcher, &site, "/2").await, "the browser was closed");
}

#[tokio::test]
async fn without_chromium_nothing_can_be_fetched() {
    let executable = Some(PathBuf::from("/no/such/chromium"));
    let fetcher = BrowserFetcher::new(BrowserSettings {
        executable,
        ..settings()
    });
    let site = Site::start(|_| page("")).await;
    let Err(FetchError::Unavailable(text)) = open(&fetcher, &site, "/").await else {
        panic!("a page")
    };
    assert!(
        text.starts_with("Chromium is not at `/no/such/chromium`"),
        "{text}"
    );
    assert!(
        text.contains("apt-get install chromium") && text.contains("--fetch http"),
        "{text}"
    );

    let fetcher = BrowserFetcher::new(BrowserSettings {
        executable: Some("/bin/false".into()),
        ..settings()
    });
    let Err(FetchError::Unavailable(text)) = open(&fetcher, &site, "/").await else {
        panic!("a page")
    };
    assert!(
        text.starts_with("Chromium did not start: Chromium has ended"),
        "{text}"
    );
    fetcher.close().await;
    assert!(chromium::folders(std::process::id()).is_empty());
}

#[tokio::test]
async fn rules_that_the_browser_does_not_understand_are_named() {
    let site = Site::start(|_| page("paint(['a'], '1-1 of 1')")).await;
    let mut settings = settings();
    settings.rules.get_mut(&PageKind::Years).expect("rules").row = "tr[".to_owned();
    let fetcher = BrowserFetcher::new(settings);
    let outcome = open(&fetcher, &site, "/").await.err();
    let Some(FetchError::Outcome(Outcome::LayoutChanged { detail })) = outcome else {
        panic!("{outcome:?}")
    };
    assert!(detail.contains("'tr['"), "{detail}");
    fetcher.close().await;
}

/// Kept here so that the type stays usable from several tasks.
#[test]
fn the_fetcher_is_shared_between_tasks() {
    fn check<T: Send + Sync>(_: &T) {}
    check(&Arc::new(BrowserFetcher::new(settings())));
}
