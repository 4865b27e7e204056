//! Documents from the site: over HTTP, through Chromium tabs, and what `robots.txt` says about them.
//!
//! A [`Fetcher`] turns one URL into one [`Document`] and, where the page has a pager, each next one. It owns
//! the network and the browser; it knows neither the meaning of a page nor the pace: whoever calls
//! takes a slot before every call.
//!
//! [`HttpFetcher`] reads what the server sends, [`BrowserFetcher`] what a visitor sees after the page's script
//! ran. Both judge an answer's status by one table ([`status`]) and both stay on the origin they were sent to.

use std::time::Duration;

use async_trait::async_trait;
use tagpipe_core::model::PageKind;
use tagpipe_core::outcome::Outcome;
use url::Url;

pub use browser::{BrowserFetcher, BrowserSettings, find_chromium};
pub use http::{HttpFetcher, HttpSettings};
pub use robots::Robots;

pub mod browser;
pub mod http;
pub mod robots;
mod shown;
pub mod status;

/// One document as a visitor sees it, after its content appeared.
#[derive(Debug, Clone)]
pub struct Document {
    /// The markup, valid UTF-8; invalid bytes are replaced by U+FFFD.
    pub html: String,
    /// Bytes received for it, after decompression (for a browser: the size of the markup).
    pub bytes: u64,
    /// From the request to the complete document.
    pub elapsed: Duration,
}

/// A page that is open: its first document, and the way to the next ones of its pager.
pub struct OpenPage {
    /// What the page shows first.
    pub document: Document,
    /// The open page itself; dropping it gives its tab or connection back.
    pub pager: Box<dyn Pager>,
}

/// How the extraction found the way to the pager's next page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// A link with this `href`.
    Link(String),
    /// A button: only a browser can press it.
    Button,
}

/// Leads through the further documents of one page.
#[async_trait]
pub trait Pager: Send {
    /// The document after the current one.
    ///
    /// # Errors
    /// As [`Fetcher::open`].
    async fn next(&mut self, next: &Next) -> Result<Document, FetchError>;
}

/// A source of documents. Implement it to read pages from somewhere else (a cache, another browser).
#[async_trait]
pub trait Fetcher: Send + Sync {
    /// Opens the page of `kind` at `url` and waits for its content.
    ///
    /// # Errors
    /// [`FetchError::Outcome`] when this page could not be read this time; [`FetchError::Unavailable`]
    /// when no page can be (no browser on this machine).
    async fn open(&self, kind: PageKind, url: &Url) -> Result<OpenPage, FetchError>;

    /// Memory used by processes that the fetcher started, in bytes; 0 if it has none, or if that is unknown.
    fn memory_bytes(&self) -> u64 {
        0
    }

    /// Ends everything the fetcher started. Calling it twice is fine.
    async fn close(&self);
}

/// Why there is no document.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FetchError {
    /// The read came to this; the policy says what follows.
    #[error("{0}")]
    Outcome(Outcome),
    /// Nothing can be fetched at all; the text says what to do.
    #[error("{0}")]
    Unavailable(String),
}

impl From<Outcome> for FetchError {
    fn from(outcome: Outcome) -> FetchError {
        FetchError::Outcome(outcome)
    }
}
