//! One question and its answer: redirects, limits, and errors that read alone.

use std::error::Error;
use std::future::Future;
use std::time::{Duration, SystemTime};

use futures_util::StreamExt;
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, HeaderName, LOCATION, RETRY_AFTER};
use reqwest::{Client, Response, redirect};
use tagpipe_core::outcome::Outcome;
use url::Url;

use super::HttpSettings;
use crate::FetchError;
use crate::shown::shown;
use crate::status::{self, Head};

/// Redirects followed for one page; also what RFC 9309 asks for `robots.txt`.
pub(crate) const MOST_REDIRECTS: usize = 5;

/// Where a redirect may lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leash {
    /// Same scheme, host and port.
    Origin,
    /// Same host: `http` to `https` is allowed.
    Host,
}

/// Asks the site and keeps to the limits. Clones share their connections.
#[derive(Debug, Clone)]
pub(crate) struct Exchange {
    client: Client,
    timeout: Duration,
    max_bytes: u64,
}

impl Exchange {
    pub(crate) fn new(settings: &HttpSettings) -> Result<Exchange, FetchError> {
        // Fails only when the process has a provider already, which then serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .user_agent(&settings.user_agent)
            .connect_timeout(settings.connect_timeout)
            .redirect(redirect::Policy::none())
            .referer(false)
            .build()
            .map_err(|error| {
                FetchError::Unavailable(format!("HTTP cannot be used: {}", root_cause(&error)))
            })?;
        Ok(Exchange {
            client,
            timeout: settings.timeout,
            max_bytes: settings.max_bytes,
        })
    }

    /// The body of the page at `url`, and where it was found after redirects on its own origin.
    pub(crate) async fn page(&self, url: &Url) -> Result<(Vec<u8>, Url), Outcome> {
        self.in_time(url, async {
            let (response, url) = self.follow(url, Leash::Origin).await?;
            if let Some(outcome) = refusal(&response, &url) {
                return Err(outcome);
            }
            let Body { bytes, complete } = read_body(response, &url, self.max_bytes).await?;
            if !complete {
                return Err(too_large(&url, self.max_bytes));
            }
            Ok((bytes, url))
        })
        .await
    }

    /// Runs `work`, all that is done for `url`, within the time limit.
    pub(crate) async fn in_time<T>(
        &self,
        url: &Url,
        work: impl Future<Output = Result<T, Outcome>>,
    ) -> Result<T, Outcome> {
        tokio::time::timeout(self.timeout, work)
            .await
            .unwrap_or_else(|_| {
                Err(Outcome::Timeout {
                    waited_for: format!("the whole answer of `{url}`"),
                })
            })
    }

    /// The first answer that is not a redirect.
    pub(crate) async fn follow(&self, url: &Url, leash: Leash) -> Result<(Response, Url), Outcome> {
        let mut seen = vec![url.clone()];
        let mut current = url.clone();
        loop {
            let response = self.ask(&current).await?;
            if !is_redirect(&response) {
                return Ok((response, current));
            }
            current = redirect_target(&current, header(response.headers(), &LOCATION), leash)?;
            if seen.contains(&current) {
                return Err(network(
                    url,
                    format!("redirects lead in a circle, back to `{current}`"),
                ));
            }
            if seen.len() > MOST_REDIRECTS {
                return Err(network(
                    url,
                    format!("more than {MOST_REDIRECTS} redirects, at last to `{current}`"),
                ));
            }
            seen.push(current.clone());
        }
    }

    async fn ask(&self, url: &Url) -> Result<Response, Outcome> {
        self.client.get(url.clone()).send().await.map_err(|error| {
            if error.is_timeout() {
                Outcome::Timeout {
                    waited_for: format!("a connection to `{url}`"),
                }
            } else {
                network(url, root_cause(&error))
            }
        })
    }
}

/// A body, or its beginning.
pub(crate) struct Body {
    pub(crate) bytes: Vec<u8>,
    /// Whether this is all of it.
    pub(crate) complete: bool,
}

/// Most bytes for which there is room at once; a server may announce what it likes.
const ROOM_MAX: usize = 256 << 10;

/// Reads at most `limit` bytes, counted after decompression, and stops there.
pub(crate) async fn read_body(response: Response, url: &Url, limit: u64) -> Result<Body, Outcome> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let announced = response
        .content_length()
        .and_then(|length| usize::try_from(length).ok())
        .unwrap_or(0);
    let mut bytes = Vec::with_capacity(announced.min(limit).min(ROOM_MAX));
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk =
            chunk.map_err(|error| network(url, format!("the answer broke off: {}", root_cause(&error))))?;
        let room = limit - bytes.len();
        if chunk.len() > room {
            bytes.extend_from_slice(&chunk[..room]);
            return Ok(Body {
                bytes,
                complete: false,
            });
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Body {
        bytes,
        complete: true,
    })
}

/// What the head of `response` leads to, if it is not a page.
pub(crate) fn refusal(response: &Response, url: &Url) -> Option<Outcome> {
    let headers = response.headers();
    let head = Head {
        status: response.status().as_u16(),
        retry_after: header(headers, &RETRY_AFTER),
        date: header(headers, &DATE),
        content_type: header(headers, &CONTENT_TYPE),
    };
    status::refusal(&head, url, SystemTime::now())
}

/// The URL that a redirect from `current` to `location` leads to, if that is allowed.
pub(crate) fn redirect_target(current: &Url, location: Option<&str>, leash: Leash) -> Result<Url, Outcome> {
    let location = location.ok_or_else(|| network(current, "a redirect that does not say where to"))?;
    let target = current
        .join(location)
        .map_err(|_| network(current, format!("a redirect to `{}`, not a URL", shown(location))))?;
    let allowed = match leash {
        Leash::Origin => target.origin() == current.origin(),
        Leash::Host => target.host() == current.host() && matches!(target.scheme(), "http" | "https"),
    };
    if allowed {
        Ok(target)
    } else {
        Err(network(
            current,
            format!("a redirect to another site, `{target}`, is not followed"),
        ))
    }
}

pub(crate) fn network(url: &Url, what: impl std::fmt::Display) -> Outcome {
    Outcome::Network {
        detail: format!("cannot read `{url}`: {what}"),
    }
}

pub(crate) fn too_large(url: &Url, limit: u64) -> Outcome {
    network(url, format!("the document is larger than {limit} bytes"))
}

fn is_redirect(response: &Response) -> bool {
    matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308)
}

fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The innermost cause: the outer ones only say that something went wrong further in.
fn root_cause(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let text = cause.to_string();
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => "no reason given".to_owned(),
    }
}
