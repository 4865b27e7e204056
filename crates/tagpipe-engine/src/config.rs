//! Everything a [`Pipeline`](crate::Pipeline) is told, and the parts that are built from it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tagpipe_core::model::PageKind;
use tagpipe_core::profile::{FetchNeed, PaceAdvice, SiteProfile};
use tagpipe_fetch::{
    BrowserFetcher, BrowserSettings, FetchError, Fetcher, HttpFetcher, HttpSettings, find_chromium,
};
use tagpipe_store::DatabaseUrl;

use crate::settings::RunSettings;

/// Names the program and says where to complain.
pub const USER_AGENT: &str = concat!(
    "tagpipe/",
    env!("CARGO_PKG_VERSION"),
    " (+",
    env!("CARGO_PKG_REPOSITORY"),
    ")"
);

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const RECYCLE_AFTER_PAGES: u32 = 500;
const RECYCLE_AFTER_AGE: Duration = Duration::from_secs(3600);
const RECYCLE_ABOVE_BYTES: u64 = 1 << 30;

/// How pages are fetched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FetchMode {
    /// As the profile says its pages need.
    #[default]
    Auto,
    /// With plain requests.
    Http,
    /// Through Chromium.
    Browser,
}

/// The settings of a pipeline. The defaults read the TAG report at its advised pace into `tagpipe.db`.
///
/// ```
/// use std::time::Duration;
/// use tagpipe_engine::{Config, RunSettings};
///
/// let config = Config {
///     run: RunSettings {
///         concurrency: 2,
///         delay: Duration::from_secs(2),
///         ..RunSettings::default()
///     },
///     ..Config::default()
/// };
/// assert_eq!(config.database.to_string(), "tagpipe.db");
/// ```
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the data is kept.
    pub database: DatabaseUrl,
    /// Whether an old schema is brought up to date rather than refused.
    pub migrate: bool,
    /// Whether a database that is away is waited for, as long as the run's patience says, rather than an error at once:
    /// for what goes on with a run, which has to be there.
    pub await_database: bool,
    /// The order of the service that a new run carries out; it is begun only if no run does yet.
    pub order: Option<i64>,
    /// Write nothing, not even a file: rows are kept in memory and counted.
    pub dry_run: bool,
    /// The site.
    pub profile: SiteProfile,
    /// How its pages are fetched.
    pub fetch: FetchMode,
    /// Chromium, if it is not to be looked for.
    pub browser: Option<PathBuf>,
    /// What the runner is told.
    pub run: RunSettings,
}

impl Default for Config {
    fn default() -> Config {
        Config::for_profile(SiteProfile::builtin())
    }
}

impl Config {
    /// The defaults for a site. On a site on this machine, such as the demo site, no pace is kept but the delay.
    #[must_use]
    pub fn for_profile(profile: SiteProfile) -> Config {
        let mut config = Config {
            database: DatabaseUrl::Sqlite(PathBuf::from("tagpipe.db")),
            migrate: true,
            await_database: false,
            order: None,
            dry_run: false,
            fetch: FetchMode::Auto,
            browser: None,
            run: RunSettings {
                interval: profile.pace.interval,
                ..RunSettings::default()
            },
            profile,
        };
        if is_stand_in(&config.profile) {
            config.profile.pace = stand_in_pace(config.profile.pace);
            config.run.interval = Duration::ZERO;
        }
        config
    }

    /// How plain requests, the one for `robots.txt` among them, are made.
    #[must_use]
    pub fn http_settings(&self) -> HttpSettings {
        HttpSettings {
            user_agent: USER_AGENT.to_owned(),
            timeout: self.profile.http.timeout,
            connect_timeout: CONNECT_TIMEOUT,
            max_bytes: self.profile.http.max_bytes,
        }
    }

    /// Whether pages go through Chromium.
    #[must_use]
    pub fn needs_browser(&self) -> bool {
        match self.fetch {
            FetchMode::Auto => self.profile.fetch == FetchNeed::Browser,
            FetchMode::Http => false,
            FetchMode::Browser => true,
        }
    }

    /// The fetcher that these settings ask for; a browser is looked for, but not started yet.
    ///
    /// # Errors
    /// [`FetchError::Unavailable`] when there is no Chromium and one is needed; the text says what to do.
    pub fn fetcher(&self) -> Result<Arc<dyn Fetcher>, FetchError> {
        if !self.needs_browser() {
            return Ok(Arc::new(HttpFetcher::new(&self.http_settings())?));
        }
        let executable = find_chromium(self.browser.as_deref())?;
        Ok(Arc::new(BrowserFetcher::new(self.browser_settings(executable))))
    }

    fn browser_settings(&self, executable: PathBuf) -> BrowserSettings {
        let profile = &self.profile;
        let rules: HashMap<PageKind, _> = PageKind::ALL
            .iter()
            .map(|kind| (*kind, profile.wait_rules(*kind)))
            .collect();
        BrowserSettings {
            executable: Some(executable),
            tabs: self.run.concurrency,
            user_agent: USER_AGENT.to_owned(),
            timeout: profile.browser.timeout,
            settle: profile.browser.settle,
            max_bytes: profile.http.max_bytes,
            block: profile.browser.block.clone(),
            rules,
            recycle_after_pages: RECYCLE_AFTER_PAGES,
            recycle_after_age: RECYCLE_AFTER_AGE,
            recycle_above_bytes: RECYCLE_ABOVE_BYTES,
        }
    }
}

/// Whether the site is on this machine. A profile's advice is about its own site; a stand-in for it, such as
/// the demo site, needs no such care.
#[must_use]
pub fn is_stand_in(profile: &SiteProfile) -> bool {
    match profile.origin.host_str() {
        Some("localhost") => true,
        Some(host) => host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback()),
        None => false,
    }
}

/// A brake for a site on this machine: it closes and opens as the real one does, in a small part of its time.
#[must_use]
pub fn stand_in_pace(pace: PaceAdvice) -> PaceAdvice {
    PaceAdvice {
        interval: Duration::ZERO,
        brake_first: pace.brake_first / 100,
        brake_most: pace.brake_most / 1500,
        brake_ease: pace.brake_ease / 4,
        ..pace
    }
}
