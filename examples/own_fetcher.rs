//! Pages from somewhere else: a fetcher that keeps every page it reads in a folder and, on a second run, takes it from
//! there instead of asking the site.
//!
//! ```sh
//! tagpipe demo-site &
//! cargo run --example own_fetcher -- http://127.0.0.1:8000 example.db pages
//! ```

use std::collections::hash_map::DefaultHasher;
use std::error::Error;
use std::hash::{Hash, Hasher};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tagpipe_core::model::PageKind;
use tagpipe_core::profile::SiteProfile;
use tagpipe_engine::{Config, FetchMode, Pipeline, Shutdown, Start, Summary};
use tagpipe_fetch::{Document, FetchError, Fetcher, Next, OpenPage, Pager};
use url::Url;

/// Keeps what another fetcher reads.
pub struct KeepingFetcher {
    site: Arc<dyn Fetcher>,
    folder: PathBuf,
    /// Pages that came from the folder.
    pub from_folder: AtomicU64,
}

impl KeepingFetcher {
    /// Reads through `site` what `folder` does not have yet.
    pub fn new(site: Arc<dyn Fetcher>, folder: PathBuf) -> KeepingFetcher {
        KeepingFetcher {
            site,
            folder,
            from_folder: AtomicU64::new(0),
        }
    }

    fn file(&self, url: &Url) -> PathBuf {
        let mut hasher = DefaultHasher::new();
        url[url::Position::BeforePath..].hash(&mut hasher);
        self.folder.join(format!("{:016x}.html", hasher.finish()))
    }
}

#[async_trait]
impl Fetcher for KeepingFetcher {
    async fn open(&self, kind: PageKind, url: &Url) -> Result<OpenPage, FetchError> {
        if let Ok(html) = std::fs::read_to_string(self.file(url)) {
            self.from_folder.fetch_add(1, Ordering::Relaxed);
            let document = Document {
                bytes: html.len() as u64,
                html,
                elapsed: Duration::ZERO,
            };
            // The further documents of a pager are asked of the site.
            let pager = Box::new(AskTheSite {
                site: Arc::clone(&self.site),
                kind,
                url: url.clone(),
            });
            return Ok(OpenPage { document, pager });
        }
        let page = self.site.open(kind, url).await?;
        std::fs::write(self.file(url), &page.document.html)
            .map_err(|error| FetchError::Unavailable(format!("cannot keep a page: {error}")))?;
        Ok(page)
    }

    async fn close(&self) {
        self.site.close().await;
    }
}

struct AskTheSite {
    site: Arc<dyn Fetcher>,
    kind: PageKind,
    url: Url,
}

#[async_trait]
impl Pager for AskTheSite {
    async fn next(&mut self, next: &Next) -> Result<Document, FetchError> {
        self.site.open(self.kind, &self.url).await?.pager.next(next).await
    }
}

/// Reads the report at `site`, keeping its pages. Returns the summary and how many pages came from the folder.
pub async fn read(site: &str, database: &str, folder: PathBuf) -> Result<(Summary, u64), Box<dyn Error>> {
    std::fs::create_dir_all(&folder)?;
    let mut config = Config::for_profile(SiteProfile::builtin().with_origin(site.parse()?));
    config.database = database.parse()?;
    config.fetch = FetchMode::Http;
    config.run.delay = Duration::ZERO;
    // Kept pages cost nothing: there is no need to leave any out.
    config.run.freshness.full = true;
    let fetcher = Arc::new(KeepingFetcher::new(config.fetcher()?, folder));
    let mut pipeline = Pipeline::open_with(config, Arc::clone(&fetcher) as Arc<dyn Fetcher>).await?;
    let summary = pipeline.run(Start::New, &Shutdown::default()).await?;
    pipeline.close().await;
    Ok((summary, fetcher.from_folder.load(Ordering::Relaxed)))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [site, database, folder] = arguments.as_slice() else {
        return Err("give the site's origin, a database and a folder".into());
    };
    let (summary, kept) = read(site, database, folder.into()).await?;
    println!(
        "{}: {} new rows, {kept} pages from the folder",
        summary.end, summary.rows.new
    );
    Ok(())
}
