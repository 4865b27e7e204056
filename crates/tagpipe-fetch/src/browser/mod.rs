//! Documents as a visitor sees them: Chromium tabs, driven over a pipe.
//!
//! A page is complete when its content is there, not when its network is quiet, which a polling page never is: one
//! script per document (`wait.js`) watches the page and answers with its markup. What the markup means is
//! for the extraction to say; a not-found screen, too, is a document.
//!
//! Each page is a full navigation in a tab that showed others before. A tab that has nothing to do leaves for an empty page,
//! because the script of a page that stays open goes on asking the site.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::json;
use tagpipe_core::model::PageKind;
use tagpipe_core::outcome::Outcome;
use tagpipe_core::profile::WaitRules;
use tokio::time::{Instant, timeout_at};
use url::Url;

use crate::http::exchange::{network, too_large};
use crate::http::page_link;
use crate::{Document, FetchError, Fetcher, Next, OpenPage, Pager};
pub use executable::find_chromium;
use pool::{Lease, Pool};
use tab::Ran;

mod connection;
mod executable;
pub mod memory;
mod pool;
mod process;
mod tab;
#[cfg(feature = "testing")]
pub mod testing;

/// Watches a page until its content is there.
const WAIT_SCRIPT: &str = include_str!("wait.js");

/// How much longer than its own limit the script in the page may take to answer.
const GRACE: Duration = Duration::from_secs(3);

/// How the browser is started and used.
#[derive(Debug, Clone)]
pub struct BrowserSettings {
    /// Chromium, if it is not the one that [`find_chromium`] finds.
    pub executable: Option<PathBuf>,
    /// Pages open at the same time, at least 1; further ones wait.
    pub tabs: usize,
    /// Names tagpipe and a contact URL.
    pub user_agent: String,
    /// Until a page's content must have appeared.
    pub timeout: Duration,
    /// How long rows must stay as they are to count as all there, where no pager tells.
    pub settle: Duration,
    /// The largest document.
    pub max_bytes: u64,
    /// Addresses that are never loaded, with `*` for any text.
    pub block: Vec<String>,
    /// What is waited for on each kind of page.
    pub rules: HashMap<PageKind, WaitRules>,
    /// A tab is replaced after so many pages …
    pub recycle_after_pages: u32,
    /// … and after this time.
    pub recycle_after_age: Duration,
    /// Chromium is replaced when all its processes together use more memory than this.
    pub recycle_above_bytes: u64,
}

/// Reads pages in Chromium, which starts with the first page.
pub struct BrowserFetcher {
    settings: Arc<BrowserSettings>,
    pool: Arc<Pool>,
}

impl BrowserFetcher {
    /// A fetcher; nothing is started yet.
    #[must_use]
    pub fn new(settings: BrowserSettings) -> BrowserFetcher {
        let settings = Arc::new(settings);
        BrowserFetcher {
            pool: Pool::new(Arc::clone(&settings)),
            settings,
        }
    }

    fn rules(&self, kind: PageKind) -> Result<PageRules, FetchError> {
        let rules = self.settings.rules.get(&kind).ok_or_else(|| {
            FetchError::Unavailable(format!("there are no rules for pages of the kind {kind:?}"))
        })?;
        Ok(PageRules {
            json: json!(rules).to_string(),
            settings: Arc::clone(&self.settings),
        })
    }
}

#[async_trait]
impl Fetcher for BrowserFetcher {
    async fn open(&self, kind: PageKind, url: &Url) -> Result<OpenPage, FetchError> {
        let rules = self.rules(kind)?;
        let lease = self.pool.lend().await?;
        let mut page = BrowserPage {
            lease,
            rules,
            url: url.clone(),
        };
        let document = page.load().await?;
        Ok(OpenPage {
            document,
            pager: Box::new(page),
        })
    }

    fn memory_bytes(&self) -> u64 {
        self.pool.memory()
    }

    async fn close(&self) {
        self.pool.close().await;
    }
}

/// A page in a tab.
struct BrowserPage {
    lease: Lease,
    rules: PageRules,
    url: Url,
}

#[async_trait]
impl Pager for BrowserPage {
    async fn next(&mut self, next: &Next) -> Result<Document, FetchError> {
        match next {
            Next::Link(href) => {
                self.url = page_link(&self.url, href)?;
                Ok(self.load().await?)
            }
            Next::Button => Ok(self.press().await?),
        }
    }
}

impl BrowserPage {
    /// Goes to the page's address and waits for its content.
    async fn load(&mut self) -> Result<Document, Outcome> {
        let start = Instant::now();
        self.lease.count_page();
        self.lease
            .go(&self.url, start + self.rules.settings.timeout)
            .await?;
        self.wait(start, false).await
    }

    /// Presses the pager's button and waits for the content that follows.
    async fn press(&mut self) -> Result<Document, Outcome> {
        self.wait(Instant::now(), true).await
    }

    async fn wait(&self, start: Instant, mut press: bool) -> Result<Document, Outcome> {
        let deadline = start + self.rules.settings.timeout;
        loop {
            let document = self.lease.document();
            let script = self.rules.script(deadline, press);
            let ran = timeout_at(deadline + GRACE, self.lease.run(&script, &self.url)).await;
            match ran {
                Ok(Ok(Ran::Value(value))) => return self.document(start, value, press),
                Ok(Err(outcome)) => return Err(outcome),
                // A button may lead to another document as well, and a page may load itself again.
                Ok(Ok(Ran::Interrupted)) => {
                    press = false;
                    let next = self.lease.next_document(&document, &self.url);
                    timeout_at(deadline, next).await.map_err(|_| no_content())??;
                }
                Err(_) => {
                    self.lease.give_up("its tab does not answer");
                    return Err(no_content());
                }
            }
        }
    }

    fn document(&self, start: Instant, value: serde_json::Value, press: bool) -> Result<Document, Outcome> {
        let most = self.rules.settings.max_bytes;
        match serde_json::from_value(value) {
            Ok(Seen::Content { html }) if html.len() as u64 <= most => Ok(Document {
                bytes: html.len() as u64,
                html,
                elapsed: start.elapsed(),
            }),
            Ok(Seen::Content { .. } | Seen::TooLarge) => Err(too_large(&self.url, most)),
            Ok(Seen::Timeout) if press => Err(Outcome::Timeout {
                waited_for: "the rows of the pager's next page".to_owned(),
            }),
            Ok(Seen::Timeout) => Err(no_content()),
            Ok(Seen::NoNext) => Err(Outcome::Timeout {
                waited_for: "a pager button that can be pressed".to_owned(),
            }),
            Err(error) => Err(network(
                &self.url,
                format!("the script in the page answered oddly: {error}"),
            )),
        }
    }
}

fn no_content() -> Outcome {
    Outcome::Timeout {
        waited_for: "rows, tiles, an empty state or a not-found screen".to_owned(),
    }
}

/// What is waited for on one kind of page.
struct PageRules {
    json: String,
    settings: Arc<BrowserSettings>,
}

impl PageRules {
    fn script(&self, deadline: Instant, press: bool) -> String {
        let rest = deadline.saturating_duration_since(Instant::now());
        let task = json!({
            "timeout": rest.as_millis(),
            "settle": self.settings.settle.as_millis(),
            "most": self.settings.max_bytes,
            "press": press,
        });
        format!("({WAIT_SCRIPT})({}, {task})", self.json)
    }
}

/// The answer of the script in the page.
#[derive(Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
enum Seen {
    Content { html: String },
    Timeout,
    NoNext,
    TooLarge,
}
