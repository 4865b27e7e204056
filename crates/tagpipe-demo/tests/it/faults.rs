//! Faults strike at their rate, each page by its own lot, and look like what they stand for.

use std::time::{Duration, Instant};

use tagpipe_demo::{DemoConfig, Fault, Faults, Rendering, RequestKind, RunningDemo};

use crate::http::{admin, encoded, get, peek, send, start};
use crate::page::{data_rows, pager, rows, totals_row};

const LONG: &str = "/pop-report/Pokémon/2021/Sword & Shield";

async fn with(faults: Faults) -> RunningDemo {
    start(DemoConfig {
        faults,
        ..DemoConfig::default()
    })
    .await
}

#[tokio::test]
async fn refusals_carry_their_status_and_wait() {
    let demo = with(Faults {
        rate_limited: 1.0,
        retry_after_s: Some(7),
        ..Faults::default()
    })
    .await;
    let answer = get(&demo, LONG).await;
    assert_eq!((answer.status, answer.header("retry-after")), (429, Some("7")));
    demo.update(|config| {
        config.faults = Faults {
            unavailable: 1.0,
            ..Faults::default()
        }
    });
    let answer = get(&demo, LONG).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, None));
    assert_eq!(get(&demo, "/robots.txt").await.status, 200);
    demo.stop().await;
}

#[tokio::test]
async fn a_soft_404_is_the_not_found_screen_of_a_page_that_exists() {
    let demo = with(Faults {
        soft_404: 1.0,
        ..Faults::default()
    })
    .await;
    assert!(get(&demo, LONG).await.is_not_found_screen());
    assert_eq!(demo.requests()[0].fault, Some(Fault::SoftNotFound));
    demo.stop().await;
}

#[tokio::test]
async fn a_cut_off_body_is_shorter_than_announced() {
    let demo = with(Faults {
        cut_off: 1.0,
        ..Faults::default()
    })
    .await;
    let answer = get(&demo, LONG).await;
    let announced = answer.announced().expect("a length is announced");
    assert_eq!(answer.status, 200);
    assert!(
        !answer.body.is_empty() && answer.body.len() < announced,
        "{} of {announced}",
        answer.body.len()
    );
    demo.stop().await;
}

#[tokio::test]
async fn a_slow_answer_is_late_and_whole() {
    let demo = with(Faults {
        slow: 1.0,
        slow_ms: 150,
        ..Faults::default()
    })
    .await;
    let started = Instant::now();
    let answer = get(&demo, LONG).await;
    assert!(started.elapsed() >= Duration::from_millis(150));
    assert_eq!(answer.announced(), Some(answer.body.len()));
    demo.stop().await;
}

#[tokio::test]
async fn a_partial_page_has_fewer_rows_than_its_pager_and_totals_say() {
    let demo = start(DemoConfig::default()).await;
    let whole = get(&demo, LONG).await;
    demo.update(|config| config.faults.partial = 1.0);
    let partial = get(&demo, LONG).await;
    assert_eq!(pager(partial.text()), pager(whole.text()));
    assert_eq!(totals_row(partial.text()), totals_row(whole.text()));
    assert!(data_rows(partial.text()).len() < data_rows(whole.text()).len());
    let years = get(&demo, "/pop-report/Baseball").await;
    assert!(
        !data_rows(years.text()).is_empty(),
        "without a pager nobody could notice"
    );
    demo.stop().await;
}

#[tokio::test]
async fn an_empty_table_has_neither_rows_nor_an_empty_state() {
    let demo = with(Faults {
        empty_table: 1.0,
        ..Faults::default()
    })
    .await;
    for path in [
        LONG,
        "/pop-report/Baseball",
        "/pop-report/Baseball/1989/Donruss/Gary Carter/53",
    ] {
        let answer = get(&demo, path).await;
        assert!(
            answer.text().contains("<table") && rows(answer.text()).is_empty(),
            "{path}"
        );
        assert_eq!(pager(answer.text()), None);
    }
    demo.stop().await;
}

#[tokio::test]
async fn rates_hold_and_every_page_has_its_own_lot() {
    let faults = Faults {
        rate_limited: 0.2,
        soft_404: 0.2,
        seed: 5,
        ..Faults::default()
    };
    let demo = with(faults.clone()).await;
    let mut pages: Vec<String> = demo.world().page_rows().map(|page| page.url_path).collect();
    let mut forwards = Vec::new();
    for page in &pages {
        let first = get(&demo, page).await;
        let second = get(&demo, page).await;
        forwards.push([first, second].map(|answer| (answer.status, answer.body.len())));
    }
    let refused = forwards
        .iter()
        .flatten()
        .filter(|(status, _)| *status == 429)
        .count();
    let share = refused as f64 / (2 * pages.len()) as f64;
    assert!((0.16..0.24).contains(&share), "{share}");

    let again = with(faults).await;
    pages.reverse();
    forwards.reverse();
    for (page, before) in pages.iter().zip(forwards) {
        let answers = [get(&again, page).await, get(&again, page).await];
        assert_eq!(
            answers.map(|answer| (answer.status, answer.body.len())),
            before,
            "{page}"
        );
    }
    demo.stop().await;
    again.stop().await;
}

#[tokio::test]
async fn a_script_page_is_struck_in_its_content() {
    let config = DemoConfig {
        rendering: Rendering::Script,
        faults: Faults {
            soft_404: 1.0,
            ..Faults::default()
        },
        ..DemoConfig::default()
    };
    let demo = start(config).await;
    assert!(
        get(&demo, "/pop-report/Baseball")
            .await
            .text()
            .contains("<div id=\"root\"></div>")
    );
    let data = get(&demo, "/_app/page?page=1&path=%2Fpop-report%2FBaseball").await;
    assert!(data.text().contains("Page Not Found"));
    let kinds: Vec<_> = demo
        .requests()
        .into_iter()
        .map(|request| (request.kind, request.fault))
        .collect();
    assert_eq!(
        kinds,
        [
            (RequestKind::Document, None),
            (RequestKind::Data, Some(Fault::SoftNotFound))
        ]
    );
    demo.stop().await;
}

#[tokio::test]
async fn a_site_that_refuses_all_refuses_every_page() {
    let demo = start(DemoConfig {
        refuse_all: true,
        ..DemoConfig::default()
    })
    .await;
    for path in ["/pop-report", LONG, "/nowhere"] {
        assert_eq!(get(&demo, path).await.status, 429);
    }
    demo.update(|config| {
        config.refuse_all = false;
        config.captcha = true;
    });
    let answer = get(&demo, LONG).await;
    assert!(
        answer.text().contains("Verify you are human</h1>")
            && answer.text().contains("src=\"/static/captcha")
    );
    demo.stop().await;
}

#[tokio::test]
async fn evil_paths_are_evil() {
    let demo = start(DemoConfig::default()).await;
    assert!(peek(&demo, "/evil/endless", 3_000_000).await.ends_with(b"xxxx"));
    let head = String::from_utf8_lossy(&peek(&demo, "/evil/huge", 1000).await).to_lowercase();
    assert!(head.contains("content-length: 209715200"));
    let turn = get(&demo, "/evil/loop?n=4").await;
    assert_eq!(
        (turn.status, turn.header("location")),
        (302, Some("/evil/loop?n=5"))
    );
    let elsewhere = get(&demo, "/evil/elsewhere").await;
    assert!(
        elsewhere
            .header("location")
            .is_some_and(|it| it.starts_with("http://localhost.invalid/"))
    );
    assert!(std::str::from_utf8(&get(&demo, "/evil/latin1").await.body).is_err());
    assert!(!peek(&demo, "/evil/slowloris", 60).await.is_empty());
    demo.stop().await;
}

#[tokio::test]
async fn a_stop_ends_even_endless_answers() {
    let demo = start(DemoConfig::default()).await;
    let address = demo.site_addr();
    assert!(!peek(&demo, "/evil/slowloris", 60).await.is_empty());
    let started = Instant::now();
    demo.stop().await;
    assert!(started.elapsed() < Duration::from_secs(4));
    assert!(
        tokio::net::TcpStream::connect(address).await.is_err(),
        "nobody listens any more"
    );
}

#[tokio::test]
async fn a_dropped_site_stops_listening() {
    let demo = start(DemoConfig::default()).await;
    let addresses = [demo.site_addr(), demo.admin_addr()];
    drop(demo);
    for address in addresses {
        while tokio::net::TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn requests_are_recorded_as_they_came() {
    let demo = start(DemoConfig::default()).await;
    get(&demo, LONG).await;
    get(&demo, "/static/tracker.js").await;
    get(&demo, "/robots.txt").await;
    let requests = demo.requests();
    let kinds: Vec<_> = requests.iter().map(|request| request.kind).collect();
    assert_eq!(
        kinds,
        [RequestKind::Document, RequestKind::Asset, RequestKind::Robots]
    );
    assert_eq!(requests[0].path_and_query, encoded(LONG));
    assert_eq!(requests[0].user_agent, "test/1");
    assert!(requests.windows(2).all(|pair| pair[0].at_us <= pair[1].at_us));
    let lines = admin(&demo, "/requests").await;
    assert_eq!(lines.text().lines().count(), 3);
    assert_eq!(
        send(demo.admin_addr(), "DELETE", "/requests", "", "")
            .await
            .status,
        204
    );
    assert!(demo.requests().is_empty());
    demo.update(|config| config.record_requests = false);
    get(&demo, LONG).await;
    assert!(demo.requests().is_empty());
    demo.stop().await;
}
