//! `tagpipe run`: one runner on one run.

use std::time::Duration;

use tagpipe_core::profile::PaceAdvice;
use tagpipe_engine::{Config, Pipeline, Shutdown, Start, StopRequest, Summary};
use tagpipe_store::contract::RunId;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{GlobalArguments, RunArguments};
use crate::exit::{Exit, Failure};
use crate::logging::{self, Logging};
use crate::report::{Display, print_summary};
use crate::settings::{Merged, log_format, log_level, run_config};

/// Reads the report.
pub(crate) async fn run(global: &GlobalArguments, arguments: &RunArguments) -> Result<Exit, Failure> {
    let mut given = global.given();
    given.extend(arguments.given());
    let merged = Merged::load(global.config.as_deref(), &given)?;
    let start = start(arguments)?;
    let mut config = run_config(&merged)?;
    config.dry_run = arguments.dry_run;
    config.migrate = !global.no_migrate;
    let display = Display::new(global.quiet);
    let logging = Logging {
        level: log_level(&merged)?,
        format: log_format(&merged)?,
        is_quiet: global.quiet,
        runner_id: Some(&config.run.runner_id),
    };
    logging::start(logging, display.bars());
    for note in merged.notes() {
        tracing::warn!("{note}");
    }
    let database = config.database.clone();
    let ended = execute(config, start, &display).await?;
    let exit = Exit::of_run(&ended.summary.end, ended.terminated);
    print_summary(&ended.summary, exit, &database, global)?;
    Ok(exit)
}

/// A run that came to a summary.
pub(crate) struct Ended {
    pub(crate) summary: Summary,
    /// Whether SIGTERM rather than Ctrl-C stopped it.
    pub(crate) terminated: bool,
}

/// Runs the pipeline with signals wired to it and progress shown.
pub(crate) async fn execute(config: Config, start: Start, display: &Display) -> Result<Ended, Failure> {
    let (asked, advised) = (config.run.interval, config.profile.pace.clone());
    let mut pipeline = Pipeline::open(config).await?;
    warn_of_pace(asked, &advised);
    let shutdown = Shutdown::default();
    let signals = tokio::spawn(listen_for_signals(shutdown.clone()));
    let watching = display.watch(pipeline.progress());
    let outcome = pipeline.run(start, &shutdown).await;
    watching.stop().await;
    pipeline.close().await;
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

/// Asking for more than the site tolerates is the user's decision, made knowingly. A stand-in tolerates all.
fn warn_of_pace(asked: Duration, advised: &PaceAdvice) {
    if asked < advised.interval {
        tracing::warn!(
            "the pace asked for ({:.1} s a request) is faster than what the site tolerates ({}); it may block you",
            asked.as_secs_f64(),
            advised.advice
        );
    }
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
