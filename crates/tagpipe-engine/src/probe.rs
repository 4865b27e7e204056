//! One look at each level of the site: does it still look as the profile says?
//!
//! Six requests at most: `robots.txt` and one page of each level, each the child of the one before. They take their
//! slots from the same pace as every runner.

use std::sync::Arc;

use serde::Serialize;
use tagpipe_core::extract::{ExtractedPage, child_identities};
use tagpipe_core::inspection::{Fit, Inspection, inspect};
use tagpipe_core::model::{Identity, PageKind};
use tagpipe_core::outcome::Outcome;
use tagpipe_fetch::{FetchError, Fetcher, Robots};
use tagpipe_store::{DatabaseUrl, Store};

use crate::config::Config;
use crate::error::RunError;
use crate::pacer::Pacer;
use crate::pipeline::unreachable;
use crate::reader::promises;
use crate::settings::Site;
use crate::shutdown::Shutdown;

/// What a probe saw.
#[derive(Debug, Clone, Serialize)]
pub struct ProbeReport {
    /// The site's origin.
    pub site: String,
    /// Name and version of the profile.
    pub profile: String,
    /// `http` or `browser`.
    pub fetch: &'static str,
    /// Requests made, at most six.
    pub requests: u32,
    /// One for each level, top down.
    pub levels: Vec<ProbedLevel>,
}

/// What a probe saw of one level.
#[derive(Debug, Clone, Serialize)]
pub struct ProbedLevel {
    /// The level.
    pub level: PageKind,
    /// Path and query of the page that was read; empty if none was.
    pub url: String,
    /// How the look ended.
    pub result: ProbeResult,
    /// From the request until the content was there, in milliseconds.
    pub elapsed_ms: u64,
    /// Size of the document.
    pub bytes: u64,
    /// The document, to be kept.
    #[serde(skip)]
    pub document: String,
}

/// How the look at one level ended.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeResult {
    /// A document came; this is what the profile makes of it.
    Inspected(Inspection),
    /// No document came.
    NotRead(String),
    /// The site refused: too fast, or `robots.txt` forbids it.
    Refused(String),
    /// The level above showed no page to go on with.
    NotReached,
}

impl ProbeReport {
    /// Whether some level no longer looks as the profile says.
    #[must_use]
    pub fn has_changed(&self) -> bool {
        self.fits().any(|fit| fit == Fit::Changed)
    }

    /// Whether every level was read and fits.
    #[must_use]
    pub fn all_fit(&self) -> bool {
        self.fits().filter(|fit| *fit == Fit::Fits).count() == self.levels.len()
    }

    /// Whether the site refused.
    #[must_use]
    pub fn was_refused(&self) -> bool {
        let refused = |level: &ProbedLevel| match &level.result {
            ProbeResult::Refused(_) => true,
            ProbeResult::Inspected(inspection) => inspection.fit == Fit::NoReport,
            _ => false,
        };
        self.levels.iter().any(refused)
    }

    fn fits(&self) -> impl Iterator<Item = Fit> + '_ {
        self.levels.iter().filter_map(|level| match &level.result {
            ProbeResult::Inspected(inspection) => Some(inspection.fit),
            _ => None,
        })
    }
}

/// Reads one page of each level, as `config`'s filters choose. Writes nothing but the pace, and that only into a
/// database that is there.
///
/// # Errors
/// When nothing can be fetched at all, or the database that keeps the pace cannot be used.
pub async fn probe(config: &Config, shutdown: &Shutdown) -> Result<ProbeReport, RunError> {
    let fetcher = config
        .fetcher()
        .map_err(|error| RunError::Fetch(error.to_string()))?;
    let store = pace_store(config).await?;
    let report = Probe::open(config, Arc::clone(&fetcher), &store, shutdown).await;
    let report = match report {
        Ok(probe) => probe.look().await,
        Err(error) => Err(error),
    };
    fetcher.close().await;
    store.close().await;
    report
}

/// The database whose pace is kept, if there is one; else none of ours runs, and one in memory will do.
async fn pace_store(config: &Config) -> Result<Store, RunError> {
    let stored = Store::open_read_only(&config.database)
        .await
        .map_err(RunError::Opening)?;
    let url = match stored {
        Some(stored) => {
            stored.close().await;
            &config.database
        }
        None => &DatabaseUrl::Memory,
    };
    Store::open(url, true).await.map_err(RunError::Opening)
}

struct Probe<'a> {
    config: &'a Config,
    fetcher: Arc<dyn Fetcher>,
    robots: Robots,
    pacer: Pacer,
    report: ProbeReport,
}

impl<'a> Probe<'a> {
    async fn open(
        config: &'a Config,
        fetcher: Arc<dyn Fetcher>,
        store: &Store,
        shutdown: &Shutdown,
    ) -> Result<Probe<'a>, RunError> {
        let profile = &config.profile;
        let site = Site::of(profile);
        let mut pacer = Pacer::open(
            store.clone(),
            &site,
            profile.pace.clone(),
            &config.run,
            shutdown.clone(),
        )
        .await?;
        pacer.permit(false).await?;
        let robots = Robots::read(&config.http_settings(), &profile.origin)
            .await
            .map_err(|error| unreachable(&profile.origin, &error))?;
        if let Some(delay) = robots.crawl_delay() {
            pacer.keep_at_least(delay);
        }
        Ok(Probe {
            config,
            fetcher,
            robots,
            pacer,
            report: ProbeReport {
                site: site.origin,
                profile: format!("{} {}", profile.name, profile.version),
                fetch: if config.needs_browser() { "browser" } else { "http" },
                requests: 1,
                levels: Vec::new(),
            },
        })
    }

    async fn look(mut self) -> Result<ProbeReport, RunError> {
        let mut next = Some((Identity::default(), None));
        for kind in PageKind::ALL {
            let Some((identity, written)) = next.take() else {
                self.report
                    .levels
                    .push(not_read(kind, String::new(), ProbeResult::NotReached));
                continue;
            };
            let (level, page) = self.look_at(kind, &identity, written).await?;
            self.report.levels.push(level);
            next = page.and_then(|page| self.child(kind, &identity, &page));
        }
        Ok(self.report)
    }

    async fn look_at(
        &mut self,
        kind: PageKind,
        identity: &Identity,
        written: Option<String>,
    ) -> Result<(ProbedLevel, Option<ExtractedPage>), RunError> {
        let profile = &self.config.profile;
        let address = match written {
            Some(url) => Ok(url),
            None => profile.page_url(kind, identity),
        };
        let failed = |url: &str, result| Ok((not_read(kind, url.to_owned(), result), None));
        let path = match address {
            Ok(path) => path,
            Err(error) => return failed("", ProbeResult::NotRead(error.to_string())),
        };
        if !self.robots.allows(&path) {
            return failed(&path, ProbeResult::Refused(Outcome::DeniedByRobots.to_string()));
        }
        let url = match profile.origin.join(&path) {
            Ok(url) => url,
            Err(error) => return failed(&path, ProbeResult::NotRead(error.to_string())),
        };
        let Some(permit) = self.pacer.permit(false).await? else {
            return failed(&path, ProbeResult::NotRead("interrupted".to_owned()));
        };
        self.report.requests += 1;
        let document = match self.fetcher.open(kind, &url).await {
            Ok(open) => open.document,
            Err(FetchError::Unavailable(reason)) => return Err(RunError::Fetch(reason)),
            Err(FetchError::Outcome(outcome)) if outcome.cause().is_refusal() => {
                // Its database is told, like a runner would.
                self.pacer.refused(&identity.key(kind), &outcome, &permit).await?;
                return failed(&path, ProbeResult::Refused(outcome.to_string()));
            }
            Err(FetchError::Outcome(outcome)) => {
                return failed(&path, ProbeResult::NotRead(outcome.to_string()));
            }
        };
        let (inspection, page) = inspect(profile, kind, identity, &document.html);
        let level = ProbedLevel {
            level: kind,
            url: path,
            result: ProbeResult::Inspected(inspection),
            elapsed_ms: u64::try_from(document.elapsed.as_millis()).unwrap_or(u64::MAX),
            bytes: document.bytes,
            document: document.html,
        };
        Ok((level, page))
    }

    /// The first child that the filters let through and that is not said to be empty, with its odd address if it
    /// has one.
    fn child(
        &self,
        kind: PageKind,
        identity: &Identity,
        page: &ExtractedPage,
    ) -> Option<(Identity, Option<String>)> {
        let below = kind.child()?;
        let child = child_identities(identity, &page.rows)
            .zip(promises(&page.rows))
            .filter(|(_, expected)| *expected != Some(0))
            .map(|(child, _)| child)
            .find(|child| self.config.run.filters.rejects(below, child).is_none())?;
        let written = page
            .odd_addresses
            .iter()
            .find(|(odd, _)| odd.key(below) == child.key(below))
            .map(|(_, url)| url.clone());
        Some((child, written))
    }
}

fn not_read(level: PageKind, url: String, result: ProbeResult) -> ProbedLevel {
    ProbedLevel {
        level,
        url,
        result,
        elapsed_ms: 0,
        bytes: 0,
        document: String::new(),
    }
}
