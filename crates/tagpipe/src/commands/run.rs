//! `tagpipe run`: one runner on one run.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tagpipe_core::model::PageKind;
use tagpipe_core::profile::{FetchNeed, SiteProfile};
use tagpipe_engine::{Pipeline, Shutdown, Start, StopRequest, Summary};
use tagpipe_fetch::{BrowserFetcher, BrowserSettings, Fetcher, HttpFetcher, HttpSettings, find_chromium};
use tagpipe_store::contract::RunId;
use tagpipe_store::{DatabaseUrl, Store};
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{GlobalArguments, RunArguments};
use crate::exit::{Exit, Failure};
use crate::logging;
use crate::report::{Display, print_summary};
use crate::settings::{FetchChoice, Merged, RunConfig, log_format, log_level, run_config};

/// Names the program and says where to complain.
pub(crate) const USER_AGENT: &str = concat!(
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

/// Reads the report.
pub(crate) async fn run(global: &GlobalArguments, arguments: &RunArguments) -> Result<Exit, Failure> {
    let mut given = global.given();
    given.extend(arguments.given());
    let merged = Merged::load(global.config.as_deref(), &given)?;
    let start = start(arguments)?;
    let config = run_config(&merged)?;
    let display = Display::new(global.quiet);
    logging::start(
        log_level(&merged)?,
        log_format(&merged)?,
        global.quiet,
        display.bars(),
    );
    let stores = open_stores(&config.database, arguments.dry_run, !global.no_migrate).await?;
    warn_of_pace(&config);
    let ended = execute(&config, stores, start, &display).await?;
    let exit = Exit::of_run(&ended.summary.end, ended.terminated);
    print_summary(&ended.summary, exit, &config.database, global)?;
    Ok(exit)
}

/// A run that came to a summary.
pub(crate) struct Ended {
    pub(crate) summary: Summary,
    /// Whether SIGTERM rather than Ctrl-C stopped it.
    pub(crate) terminated: bool,
}

/// Where a run keeps its data and finds its parents.
pub(crate) struct Stores {
    pub(crate) main: Store,
    /// Of a dry run: the database that is only read, if there is one.
    pub(crate) parents: Option<Store>,
    pub(crate) dry_run: bool,
}

async fn open_stores(url: &DatabaseUrl, dry_run: bool, migrate: bool) -> Result<Stores, Failure> {
    let failed = |error| Failure::opening(&error);
    if !dry_run {
        let main = Store::open(url, migrate).await.map_err(failed)?;
        return Ok(Stores {
            main,
            parents: None,
            dry_run,
        });
    }
    let main = Store::open(&DatabaseUrl::Memory, true).await.map_err(failed)?;
    let parents = Store::open_read_only(url).await.map_err(failed)?;
    Ok(Stores {
        main,
        parents,
        dry_run,
    })
}

/// Runs the pipeline with signals wired to it and progress shown.
pub(crate) async fn execute(
    config: &RunConfig,
    stores: Stores,
    start: Start,
    display: &Display,
) -> Result<Ended, Failure> {
    let profile = Arc::new(config.profile.clone());
    let http = http_settings(&profile);
    let fetcher = fetcher(config, &profile, &http)?;
    let store = stores.main.clone();
    let mut pipeline = Pipeline::new(
        store.clone(),
        profile,
        Arc::clone(&fetcher),
        http,
        config.run.clone(),
    );
    if stores.dry_run {
        pipeline = pipeline.dry_run(stores.parents);
    }
    let shutdown = Shutdown::default();
    let signals = tokio::spawn(listen_for_signals(shutdown.clone()));
    let watching = display.watch(pipeline.progress());
    let outcome = pipeline.run(start, &shutdown).await;
    watching.stop().await;
    fetcher.close().await;
    store.close().await;
    let terminated = shutdown.requested() != StopRequest::None && was_terminated();
    signals.abort();
    Ok(Ended {
        summary: outcome?,
        terminated,
    })
}

fn start(arguments: &RunArguments) -> Result<Start, Failure> {
    Ok(match arguments.resume.as_deref() {
        None => Start::New,
        Some(_) if arguments.dry_run => {
            return Err(Failure::usage(
                "--dry-run starts a run of its own; leave --resume out",
            ));
        }
        Some("newest") => Start::Resume(None),
        Some(text) => {
            let id: RunId = text.parse().map_err(|_| {
                Failure::usage(format!(
                    "`{text}` is not a run; --resume takes its number, or nothing for the newest"
                ))
            })?;
            Start::Resume(Some(id))
        }
    })
}

/// Asking for more than the site tolerates is the user's decision, made knowingly.
fn warn_of_pace(config: &RunConfig) {
    let advised = config.profile.pace.interval;
    let is_stand_in = config.run.interval.is_zero();
    if !is_stand_in && config.run.interval < advised {
        tracing::warn!(
            "the pace asked for ({:.1} s a request) is faster than what the site tolerates ({}); it may block you",
            config.run.interval.as_secs_f64(),
            config.profile.pace.advice
        );
    }
}

fn http_settings(profile: &SiteProfile) -> HttpSettings {
    HttpSettings {
        user_agent: USER_AGENT.to_owned(),
        timeout: profile.http.timeout,
        connect_timeout: CONNECT_TIMEOUT,
        max_bytes: profile.http.max_bytes,
    }
}

fn fetcher(
    config: &RunConfig,
    profile: &SiteProfile,
    http: &HttpSettings,
) -> Result<Arc<dyn Fetcher>, Failure> {
    let needs_browser = match config.fetch {
        FetchChoice::Auto => profile.fetch == FetchNeed::Browser,
        FetchChoice::Http => false,
        FetchChoice::Browser => true,
    };
    let failed = |error: tagpipe_fetch::FetchError| Failure::could_not_run(error.to_string());
    if !needs_browser {
        return Ok(Arc::new(HttpFetcher::new(http).map_err(failed)?));
    }
    let executable = find_chromium(config.browser.as_deref()).map_err(failed)?;
    let rules: HashMap<PageKind, _> = PageKind::ALL
        .iter()
        .map(|kind| (*kind, profile.wait_rules(*kind)))
        .collect();
    Ok(Arc::new(BrowserFetcher::new(BrowserSettings {
        executable: Some(executable),
        tabs: config.run.concurrency,
        user_agent: USER_AGENT.to_owned(),
        timeout: profile.browser.timeout,
        settle: profile.browser.settle,
        max_bytes: profile.http.max_bytes,
        block: profile.browser.block.clone(),
        rules,
        recycle_after_pages: RECYCLE_AFTER_PAGES,
        recycle_after_age: RECYCLE_AFTER_AGE,
        recycle_above_bytes: RECYCLE_ABOVE_BYTES,
    })))
}

static TERMINATED: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

fn was_terminated() -> bool {
    TERMINATED.load(std::sync::atomic::Ordering::Relaxed)
}

/// Turns each Ctrl-C or SIGTERM into a request to stop.
async fn listen_for_signals(shutdown: Shutdown) {
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        tracing::warn!("signals cannot be listened for; stopping at once loses nothing either");
        return;
    };
    loop {
        let by_term = tokio::select! {
            _ = interrupt.recv() => false,
            _ = terminate.recv() => true,
        };
        TERMINATED.store(by_term, std::sync::atomic::Ordering::Relaxed);
        shutdown.request();
        if shutdown.requested() == StopRequest::Graceful {
            tracing::warn!("stopping: finishing the pages in hand (once more to stop at once)");
        }
    }
}

/// Waits for Ctrl-C or SIGTERM and tells the exit code it asks for.
pub(crate) async fn wait_for_signal() -> Exit {
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => Exit::Interrupted,
        _ = terminate.recv() => Exit::Terminated,
    }
}
