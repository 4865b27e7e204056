//! What `robots.txt` allows, after RFC 9309.
//!
//! The rules themselves are in `rules.rs` and pure; here is only how the file is asked for and what its absence
//! means. The rules are our own few lines because they decide where we must not go, and the crates at hand miss
//! cases of the RFC: escapes that differ in spelling (`%7E` and `~`, `%c3` and `%C3`), a `$` inside a
//! path, one oversized rule that voids the whole file.

use tagpipe_core::outcome::Outcome;
use url::Url;

use crate::FetchError;
use crate::http::exchange::{Leash, network, read_body, refusal};
use crate::http::{Exchange, HttpSettings};
pub use rules::{PRODUCT_TOKEN, Robots};

mod rules;

/// As much of the file as is read, and as much as RFC 9309 (2.5) asks to read.
const MOST_BYTES: u64 = 500 * 1024;

impl Robots {
    /// Asks the site at `origin` for its rules for tagpipe.
    ///
    /// An answer of 4xx means that there are no rules, save 429, which is a refusal like any other. A server
    /// error or no answer means that nothing is allowed for now: an error that the caller may try again.
    ///
    /// # Errors
    /// [`FetchError::Outcome`] with `RateLimited`, `Busy`, `Timeout` or `Network`;
    /// [`FetchError::Unavailable`] as [`crate::HttpFetcher::new`].
    pub async fn read(settings: &HttpSettings, origin: &Url) -> Result<Robots, FetchError> {
        let exchange = Exchange::new(settings)?;
        let url = origin
            .join("/robots.txt")
            .map_err(|_| network(origin, "not the address of a site"))?;
        Ok(exchange.in_time(&url, ask(&exchange, &url)).await?)
    }
}

async fn ask(exchange: &Exchange, url: &Url) -> Result<Robots, Outcome> {
    let (response, url) = exchange.follow(url, Leash::Host).await?;
    match response.status().as_u16() {
        200..=299 => {
            let body = read_body(response, &url, MOST_BYTES).await?;
            let whole_lines = if body.complete {
                body.bytes.len()
            } else {
                end_of_last_line(&body.bytes)
            };
            Ok(Robots::parse(&body.bytes[..whole_lines], PRODUCT_TOKEN))
        }
        429 | 500.. => Err(refusal(&response, &url).unwrap_or_else(|| network(&url, "refused"))),
        400..=499 => Ok(Robots::allow_all()),
        status => Err(network(&url, format!("HTTP status {status}"))),
    }
}

/// Half a rule would forbid or allow more than the whole one.
fn end_of_last_line(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .rposition(|byte| matches!(byte, b'\n' | b'\r'))
        .unwrap_or(0)
}
