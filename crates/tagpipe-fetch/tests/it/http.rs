//! Pages over HTTP: manners, limits and odd servers.

use std::io::Write;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use tagpipe_core::model::PageKind;
use tagpipe_core::outcome::Outcome;
use tagpipe_fetch::{Document, FetchError, Fetcher, HttpFetcher, HttpSettings, Next, OpenPage};
use url::Url;

use crate::site::{Reply, Site};

const AGENT: &str = "tagpipe/0.1 (+https://example.test/contact)";
const MOST: u64 = 100_000;

pub(crate) fn settings() -> HttpSettings {
    HttpSettings {
        user_agent: AGENT.to_owned(),
        timeout: Duration::from_secs(20),
        connect_timeout: Duration::from_secs(20),
        max_bytes: MOST,
    }
}

async fn open(url: &Url) -> Result<OpenPage, FetchError> {
    HttpFetcher::new(&settings())
        .expect("a client")
        .open(PageKind::Years, url)
        .await
}

async fn read(url: &Url) -> Document {
    open(url)
        .await
        .unwrap_or_else(|error| panic!("{url}: {error}"))
        .document
}

async fn outcome(url: &Url) -> Outcome {
    match open(url).await {
        Err(FetchError::Outcome(outcome)) => outcome,
        Err(error) => panic!("{url}: {error}"),
        Ok(page) => panic!("{url}: a document of {} bytes", page.document.bytes),
    }
}

/// The detail of the network outcome at `target`, with the site's address as `SITE`.
async fn detail(site: &Site, target: &str) -> String {
    match outcome(&site.url(target)).await {
        Outcome::Network { detail } => detail.replace(site.origin.as_str(), "SITE/"),
        other => panic!("{target}: {other:?}"),
    }
}

#[tokio::test]
async fn a_page_is_read_with_our_name_and_without_cookies_or_referer() {
    let site = Site::start(|target| match target {
        "/pop-report/Pok%C3%A9mon" => Reply::new(
            200,
            "Content-Type: text/html\r\nSet-Cookie: a=b\r\n",
            "<p>Pok\u{e9}mon</p>",
        ),
        _ => Reply::html("second"),
    })
    .await;
    let mut page = open(&site.url("/pop-report/Pokémon")).await.expect("a page");
    assert_eq!(page.document.html, "<p>Pokémon</p>");
    assert_eq!(page.document.bytes, 15);
    let second = page
        .pager
        .next(&Next::Link("?page=2".to_owned()))
        .await
        .expect("a second page");
    assert_eq!(second.html, "second");
    assert_eq!(
        site.targets(),
        ["/pop-report/Pok%C3%A9mon", "/pop-report/Pok%C3%A9mon?page=2"]
    );
    for request in site.requests() {
        let head = request.head.to_lowercase();
        assert!(head.contains(&format!("user-agent: {AGENT}\r\n")), "{head}");
        assert!(!head.contains("cookie:") && !head.contains("referer:"), "{head}");
    }
}

#[tokio::test]
async fn a_pager_leads_nowhere_else() {
    let site = Site::start(|_| Reply::html("first")).await;
    let mut page = open(&site.url("/a")).await.expect("a page");
    let mut next = async |next: Next| page.pager.next(&next).await.expect_err("refused").to_string();
    assert!(next(Next::Button).await.contains("the pager needs a browser"));
    assert!(
        next(Next::Link("/b".to_owned()))
            .await
            .ends_with("leads to `/b`, which is another page")
    );
    let elsewhere = next(Next::Link("http://127.0.0.1:1/a".to_owned())).await;
    assert!(elsewhere.ends_with("which is another site"), "{elsewhere}");
    assert_eq!(site.targets(), ["/a"]);
}

#[tokio::test]
async fn refusals_are_outcomes() {
    let site = Site::start(|target| match target {
        "/429" => Reply::new(429, "Retry-After: 7\r\n", "slow down"),
        "/429-soon" => Reply::new(429, "Retry-After: -3\r\n", ""),
        "/503" => Reply::new(503, "Retry-After: 999999\r\n", ""),
        "/date" => {
            let headers =
                "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nRetry-After: Sun, 06 Nov 1994 08:50:07 GMT\r\n";
            Reply::new(503, headers, "")
        }
        "/403" => Reply::new(403, "", ""),
        _ => Reply::new(404, "", "no"),
    })
    .await;
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    let cases = [
        (
            "/429",
            Outcome::RateLimited {
                retry_after: seconds(7),
            },
        ),
        ("/429-soon", Outcome::RateLimited { retry_after: None }),
        (
            "/503",
            Outcome::Busy {
                status: 503,
                retry_after: seconds(3600),
            },
        ),
        (
            "/date",
            Outcome::Busy {
                status: 503,
                retry_after: seconds(30),
            },
        ),
        (
            "/403",
            Outcome::Busy {
                status: 403,
                retry_after: None,
            },
        ),
        ("/404", Outcome::SuspectedSoft404),
    ];
    for (target, expected) in cases {
        assert_eq!(outcome(&site.url(target)).await, expected, "{target}");
    }
}

#[tokio::test]
async fn redirects_stay_on_their_origin_and_end() {
    let other = Site::start(|_| Reply::html("other")).await;
    let away = other.url("/x").to_string();
    let site = Site::start(move |target| match target {
        "/old" => Reply::redirect("/new?x=1"),
        "/away" => Reply::redirect(&away),
        "/circle" => Reply::redirect("/elcric"),
        "/elcric" => Reply::redirect("/circle"),
        "/nowhere" => Reply::new(302, "", ""),
        target => match target
            .strip_prefix("/stairs/")
            .and_then(|step| step.parse::<u32>().ok())
        {
            Some(5) => Reply::html("up"),
            Some(step) => Reply::redirect(&format!("/stairs/{}", if step == 99 { 99 } else { step + 1 })),
            None => Reply::html("new"),
        },
    })
    .await;
    assert_eq!(read(&site.url("/old")).await.html, "new");
    assert_eq!(read(&site.url("/stairs/0")).await.html, "up");
    let check = async |target: &str, expected: &str| assert_eq!(detail(&site, target).await, expected);
    check(
        "/stairs/6",
        "cannot read `SITE/stairs/6`: more than 5 redirects, at last to `SITE/stairs/12`",
    )
    .await;
    check(
        "/circle",
        "cannot read `SITE/circle`: redirects lead in a circle, back to `SITE/circle`",
    )
    .await;
    check(
        "/stairs/99",
        "cannot read `SITE/stairs/99`: redirects lead in a circle, back to `SITE/stairs/99`",
    )
    .await;
    check(
        "/nowhere",
        "cannot read `SITE/nowhere`: a redirect that does not say where to",
    )
    .await;
    let away = detail(&site, "/away")
        .await
        .replace(other.origin.as_str(), "OTHER/");
    assert_eq!(
        away,
        "cannot read `SITE/away`: a redirect to another site, `OTHER/x`, is not followed"
    );
    assert!(other.targets().is_empty());
}

#[tokio::test]
async fn large_bodies_are_not_read_to_their_end() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n";
    let site = Site::start(move |target| match target {
        "/endless" => Reply::raw(format!("{head}\r\n")).then_repeat(vec![b'x'; 8192]),
        "/200MB" => {
            Reply::raw(format!("{head}Content-Length: 200000000\r\n\r\n")).then_repeat(vec![b'x'; 8192])
        }
        "/bomb" => {
            let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
            gzip.write_all(&vec![0; 50_000_000]).expect("compressed");
            let bytes = gzip.finish().expect("compressed");
            assert!((bytes.len() as u64) < MOST, "the bomb itself is small");
            Reply::new(
                200,
                "Content-Type: text/html\r\nContent-Encoding: gzip\r\n",
                bytes,
            )
        }
        _ => Reply::html(vec![b'x'; usize::try_from(MOST).expect("small")]),
    })
    .await;
    for target in ["/endless", "/200MB", "/bomb"] {
        let expected = format!("cannot read `SITE{target}`: the document is larger than {MOST} bytes");
        assert_eq!(detail(&site, target).await, expected);
    }
    assert!(site.sent() < 50_000_000, "{} bytes were sent", site.sent());
    assert_eq!(read(&site.url("/just-right")).await.bytes, MOST);
}

#[tokio::test]
async fn broken_answers_are_network_outcomes() {
    let site = Site::start(|target| match target {
        "/short" => {
            Reply::raw("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 99\r\n\r\n<table>")
        }
        "/chunk" => Reply::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"),
        "/gzip" => Reply::new(200, "Content-Encoding: gzip\r\n", "no gzip"),
        "/pdf" => Reply::new(200, "Content-Type: application/pdf\r\n", "%PDF"),
        "/silence" => Reply::raw(""),
        _ => Reply::raw("rubbish\r\n\r\n"),
    })
    .await;
    for target in ["/short", "/chunk", "/gzip"] {
        let detail = detail(&site, target).await;
        assert!(
            detail.starts_with(&format!("cannot read `SITE{target}`: the answer broke off: ")),
            "{detail}"
        );
    }
    assert_eq!(
        detail(&site, "/pdf").await,
        "`SITE/pdf` is not a page but `application/pdf`"
    );
    for target in ["/silence", "/rubbish"] {
        let detail = detail(&site, target).await;
        assert!(
            detail.starts_with(&format!("cannot read `SITE{target}`: ")),
            "{detail}"
        );
        assert_eq!(detail.matches("SITE").count(), 1, "{detail}");
    }
}

#[tokio::test]
async fn nobody_there_is_a_network_outcome() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port");
    let url = Url::parse(&format!("http://{}/", listener.local_addr().expect("an address"))).expect("a URL");
    drop(listener);
    let expected = format!("cannot read `{url}`: connection refused (os error 111)");
    assert_eq!(outcome(&url).await, Outcome::Network { detail: expected });
}

#[tokio::test]
async fn slow_answers_end_with_the_time_limit() {
    let site = Site::start(|target| match target {
        "/silent" => Reply::raw("").then_stall(),
        _ => Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n<").then_stall(),
    })
    .await;
    let settings = HttpSettings {
        timeout: Duration::from_millis(300),
        ..settings()
    };
    let fetcher = HttpFetcher::new(&settings).expect("a client");
    for target in ["/silent", "/drip"] {
        let url = site.url(target);
        let error = fetcher.open(PageKind::Years, &url).await.err().expect("too slow");
        assert_eq!(
            error.to_string(),
            format!("timed out waiting for the whole answer of `{url}`")
        );
    }
}

#[tokio::test]
async fn invalid_utf8_is_replaced() {
    let site = Site::start(|_| Reply::html(b"a\xff\xfeb")).await;
    let document = read(&site.url("/")).await;
    assert_eq!(
        (document.html.as_str(), document.bytes),
        ("a\u{fffd}\u{fffd}b", 4)
    );
}
