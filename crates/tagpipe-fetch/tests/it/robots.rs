//! `robots.txt` as sites really answer.

use std::time::Duration;

use tagpipe_core::outcome::Outcome;
use tagpipe_fetch::{FetchError, HttpSettings, Robots};

use crate::http::settings;
use crate::site::{Reply, Site};

async fn read(reply: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Result<Robots, FetchError> {
    let site = Site::start(reply).await;
    Robots::read(&settings(), &site.origin).await
}

fn outcome(result: Result<Robots, FetchError>) -> Outcome {
    match result {
        Err(FetchError::Outcome(outcome)) => outcome,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn rules_are_obeyed() {
    let body = "User-agent: *\nDisallow: /private\nCrawl-delay: 2\n";
    let robots = read(move |target| {
        assert_eq!(target, "/robots.txt");
        Reply::new(200, "Content-Type: text/plain\r\n", body)
    })
    .await
    .expect("rules");
    assert!(robots.allows("/pop-report"));
    assert!(!robots.allows("/private/x"));
    assert_eq!(robots.crawl_delay(), Some(Duration::from_secs(2)));
}

#[tokio::test]
async fn no_file_means_no_rules() {
    for status in [400, 401, 403, 404, 410] {
        let robots = read(move |_| Reply::new(status, "", "User-agent: *\nDisallow: /"))
            .await
            .expect("no rules");
        assert!(robots.allows("/x"), "{status}");
    }
}

#[tokio::test]
async fn a_site_in_trouble_allows_nothing_for_now() {
    let result = read(|_| Reply::new(503, "Retry-After: 5\r\n", "")).await;
    let retry_after = Some(Duration::from_secs(5));
    assert_eq!(
        outcome(result),
        Outcome::Busy {
            status: 503,
            retry_after
        }
    );
    let result = read(|_| Reply::new(429, "Retry-After: 5\r\n", "")).await;
    assert_eq!(outcome(result), Outcome::RateLimited { retry_after });
    let result = read(|_| Reply::raw("")).await;
    assert!(matches!(outcome(result), Outcome::Network { .. }));
    let site = Site::start(|_| Reply::raw("").then_stall()).await;
    let hasty = HttpSettings {
        timeout: Duration::from_millis(200),
        ..settings()
    };
    let result = Robots::read(&hasty, &site.origin).await;
    assert!(matches!(outcome(result), Outcome::Timeout { .. }));
}

#[tokio::test]
async fn redirects_stay_on_the_host() {
    let robots = read(|target| match target {
        "/robots.txt" => Reply::redirect("/r"),
        _ => Reply::new(200, "", "User-agent: tagpipe\nDisallow: /a"),
    })
    .await
    .expect("rules");
    assert!(!robots.allows("/a") && robots.allows("/b"));
    let result = read(|_| Reply::redirect("http://localhost:1/robots.txt")).await;
    let Outcome::Network { detail } = outcome(result) else {
        panic!("not a network outcome")
    };
    assert!(
        detail.ends_with("a redirect to another site, `http://localhost:1/robots.txt`, is not followed"),
        "{detail}"
    );
}

#[tokio::test]
async fn an_endless_file_counts_as_far_as_it_is_read() {
    let site = Site::start(|_| {
        let head = "HTTP/1.1 200 OK\r\n\r\nUser-agent: *\nDisallow: /a\n";
        Reply::raw(head).then_repeat("Disallow: /long/enough/to/be/cut/somewhere\n".into())
    })
    .await;
    let robots = Robots::read(&settings(), &site.origin).await.expect("rules");
    assert!(!robots.allows("/a"));
    assert!(!robots.allows("/long/enough/to/be/cut/somewhere"));
    // The last line was cut in the middle: half a rule is no rule.
    assert!(robots.allows("/b") && robots.allows("/long"));
}
