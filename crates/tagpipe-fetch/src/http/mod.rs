//! Documents as the server sends them, for sites and reports that need no script.
//!
//! One connection pool per fetcher; no cookies, no `Referer`. Whatever a server does (endless bodies,
//! compression bombs, redirects in circles, silence), a read ends within its time and size limits with an outcome.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use percent_encoding::percent_decode_str;
use tagpipe_core::model::PageKind;
use tagpipe_core::outcome::Outcome;
use url::Url;

use crate::shown::shown;
use crate::{Document, FetchError, Fetcher, Next, OpenPage, Pager};
pub(crate) use exchange::Exchange;

pub(crate) mod exchange;

/// How pages are asked for.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// Names tagpipe and a contact URL.
    pub user_agent: String,
    /// For a whole answer, redirects and body included.
    pub timeout: Duration,
    /// For one connection to be made.
    pub connect_timeout: Duration,
    /// The largest body, after decompression.
    pub max_bytes: u64,
}

/// Reads pages over HTTP.
#[derive(Debug, Clone)]
pub struct HttpFetcher {
    exchange: Exchange,
}

impl HttpFetcher {
    /// A fetcher with its own connections; nothing is sent yet.
    ///
    /// # Errors
    /// [`FetchError::Unavailable`] when the system's root certificates cannot be used or the user agent is
    /// not a valid header.
    pub fn new(settings: &HttpSettings) -> Result<HttpFetcher, FetchError> {
        Ok(HttpFetcher {
            exchange: Exchange::new(settings)?,
        })
    }
}

#[async_trait]
impl Fetcher for HttpFetcher {
    async fn open(&self, _kind: PageKind, url: &Url) -> Result<OpenPage, FetchError> {
        let (document, url) = read(&self.exchange, url).await?;
        let pager = HttpPager {
            exchange: self.exchange.clone(),
            url,
        };
        Ok(OpenPage {
            document,
            pager: Box::new(pager),
        })
    }

    async fn close(&self) {}
}

struct HttpPager {
    exchange: Exchange,
    /// Where the current document came from, after redirects.
    url: Url,
}

#[async_trait]
impl Pager for HttpPager {
    async fn next(&mut self, next: &Next) -> Result<Document, FetchError> {
        let Next::Link(href) = next else {
            let detail =
                "the pager needs a browser: its next page is behind a button, not a link (`--fetch browser`)";
            return Err(Outcome::LayoutChanged {
                detail: detail.to_owned(),
            }
            .into());
        };
        let target = page_link(&self.url, href)?;
        let (document, url) = read(&self.exchange, &target).await?;
        self.url = url;
        Ok(document)
    }
}

async fn read(exchange: &Exchange, url: &Url) -> Result<(Document, Url), Outcome> {
    let start = Instant::now();
    let (body, url) = exchange.page(url).await?;
    let bytes = body.len() as u64;
    let html = String::from_utf8(body)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
    Ok((
        Document {
            html,
            bytes,
            elapsed: start.elapsed(),
        },
        url,
    ))
}

/// The URL that `href`, a pager's link, leads to from `current`.
///
/// The site's text must not choose what is fetched next: only the query may differ.
pub(crate) fn page_link(current: &Url, href: &str) -> Result<Url, Outcome> {
    let astray = |what: &str| Outcome::Network {
        detail: format!("the pager of `{current}` leads to `{}`, {what}", shown(href)),
    };
    let mut target = current.join(href).map_err(|_| astray("which is not a URL"))?;
    if target.origin() != current.origin() {
        return Err(astray("which is another site"));
    }
    if !same_path(&target, current) {
        return Err(astray("which is another page"));
    }
    target.set_fragment(None);
    Ok(target)
}

/// Whether both paths name the same page, however their characters are escaped.
fn same_path(one: &Url, other: &Url) -> bool {
    let segments = |url: &Url| -> Option<Vec<Vec<u8>>> {
        url.path_segments()
            .map(|parts| parts.map(|part| percent_decode_str(part).collect()).collect())
    };
    segments(one) == segments(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pager_link_may_change_the_query_only() {
        let current =
            Url::parse("http://a.test/pop-report/Pok%C3%A9mon/Farfetch'd?setName=X").expect("a URL");
        let check = |href: &str, expected: Result<&str, &str>| match (page_link(&current, href), expected) {
            (Ok(url), Ok(end)) => assert_eq!(url.as_str(), format!("http://a.test{end}"), "{href}"),
            (Err(outcome), Err(end)) => assert!(outcome.to_string().ends_with(end), "{href}: {outcome}"),
            (got, _) => panic!("{href}: {got:?}"),
        };
        check("?page=2", Ok("/pop-report/Pok%C3%A9mon/Farfetch'd?page=2"));
        check("?page=2#rows", Ok("/pop-report/Pok%C3%A9mon/Farfetch'd?page=2"));
        check(
            "/pop-report/Pokémon/Farfetch%27d?page=2",
            Ok("/pop-report/Pok%C3%A9mon/Farfetch%27d?page=2"),
        );
        check("/pop-report/Pokémon", Err("which is another page"));
        check(
            "/pop-report%2FPokémon/Farfetch'd?page=2",
            Err("which is another page"),
        );
        check(
            "//b.test/pop-report/Pok%C3%A9mon/Farfetch'd?page=2",
            Err("which is another site"),
        );
        check(
            "https://a.test/pop-report/Pok%C3%A9mon/Farfetch'd?page=2",
            Err("which is another site"),
        );
        check(
            "http://a.test:81/pop-report/Pok%C3%A9mon/Farfetch'd?page=2",
            Err("which is another site"),
        );
        check("javascript:void(0)", Err("which is another site"));
        check("http://[", Err("which is not a URL"));
    }
}
