//! `tagpipe run`: one runner on one run.

use std::time::Duration;

use tagpipe_core::profile::PaceAdvice;
use tagpipe_engine::{Config, Pipeline, Shutdown, Start, StopRequest, Summary, stored_site};
use tagpipe_store::contract::RunId;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::{CrawlArguments, GlobalArguments, RunArguments};
use crate::exit::{Exit, Failure};
use crate::logging::{self, Logging};
use crate::report::{Display, print_summary};
use crate::settings::{Merged, database_patience, database_url, log_format, log_level, run_config};

/// Reads the report.
pub(crate) async fn run(global: &GlobalArguments, arguments: &RunArguments) -> Result<Exit, Failure> {
    let mut given = global.given();
    given.extend(arguments.given());
    let mut merged = Merged::load(global.config.as_deref(), &given)?;
    let start = start(arguments)?;
    adopt_site(&mut merged, start).await?;
    let mut config = run_config(&merged)?;
    config.dry_run = arguments.crawl.dry_run;
    config.migrate = !global.no_migrate;
    config.await_database = start != Start::New;
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
    let name = config.run.runner_id.clone();
    let ended = execute(config, start, &display).await.map_err(|failure| {
        if merged.is_handed_down() {
            // It goes where the words of all runners go.
            failure.of_runner(&name)
        } else {
            failure
        }
    })?;
    let exit = Exit::of_run(&ended.summary.end, ended.terminated);
    print_summary(&ended.summary, exit, &database, global)?;
    Ok(exit)
}

/// Whoever goes on with a run need not name its site again.
pub(super) async fn adopt_site(merged: &mut Merged, start: Start) -> Result<(), Failure> {
    if start == Start::New || merged.get("base_url").is_some() {
        return Ok(());
    }
    let (database, patience) = (database_url(merged)?, database_patience(merged)?);
    let site = stored_site(&database, start, patience)
        .await
        .map_err(|error| Failure::of_going_on(error, start))?;
    if let Some((run, origin)) = site {
        merged.adopt_site(run, &origin);
    }
    Ok(())
}

/// A run that came to a summary.
pub(crate) struct Ended {
    pub(crate) summary: Summary,
    /// Whether SIGTERM or SIGHUP rather than Ctrl-C stopped it.
    pub(crate) terminated: bool,
}

/// Runs the pipeline with signals wired to it and progress shown.
pub(crate) async fn execute(config: Config, start: Start, display: &Display) -> Result<Ended, Failure> {
    let (asked, advised) = (config.run.interval, config.profile.pace.clone());
    let mut pipeline = Pipeline::open(config)
        .await
        .map_err(|error| Failure::of_going_on(error, start))?;
    // Whoever started the run was warned; who joins keeps its pace.
    if !matches!(start, Start::Join(_)) {
        warn_of_pace(asked, &advised);
    }
    let shutdown = Shutdown::default();
    let signals = tokio::spawn(listen_for_signals(shutdown.clone()));
    let watching = display.watch(pipeline.progress());
    let outcome = pipeline.run(start, &shutdown).await;
    watching.stop().await;
    pipeline.close().await;
    signals.abort();
    Ok(Ended {
        summary: outcome?,
        terminated: was_terminated(),
    })
}

fn start(arguments: &RunArguments) -> Result<Start, Failure> {
    match arguments.join.as_deref() {
        None => new_or_resumed(&arguments.crawl),
        Some(text) => {
            let id = run_number(text, "--join", "its number")?;
            Ok(Start::Join(id))
        }
    }
}

/// The start that the options ask for which `run` and `orchestrate` share.
pub(super) fn new_or_resumed(arguments: &CrawlArguments) -> Result<Start, Failure> {
    match arguments.resume.as_deref() {
        None => Ok(Start::New),
        Some(_) if arguments.dry_run => Err(Failure::usage(
            "--dry-run starts a run of its own; leave --resume out",
        )),
        Some("newest") => Ok(Start::Resume(None)),
        Some(text) => {
            let id = run_number(text, "--resume", "its number, or nothing for the newest")?;
            Ok(Start::Resume(Some(id)))
        }
    }
}

fn run_number(text: &str, flag: &str, takes: &str) -> Result<RunId, Failure> {
    text.parse()
        .map_err(|_| Failure::usage(format!("`{text}` is not a run; {flag} takes {takes}")))
}

/// Asking for more than the site tolerates is the user's decision, made knowingly. A stand-in tolerates all.
pub(super) fn warn_of_pace(asked: Duration, advised: &PaceAdvice) {
    if asked < advised.interval {
        tracing::warn!(
            "the pace asked for ({:.1} s a request) is faster than what the site tolerates ({}); it may block you",
            asked.as_secs_f64(),
            advised.advice
        );
    }
}

static TERMINATED: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

pub(super) fn was_terminated() -> bool {
    TERMINATED.load(std::sync::atomic::Ordering::Relaxed)
}

/// Turns each Ctrl-C, SIGTERM or SIGHUP into a request to stop.
pub(super) async fn listen_for_signals(shutdown: Shutdown) {
    let hangup = hangup();
    let (Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
        hangup,
    ) else {
        tracing::warn!("signals cannot be listened for; stopping at once loses nothing either");
        return;
    };
    loop {
        let by_term = tokio::select! {
            _ = interrupt.recv() => false,
            _ = terminate.recv() => true,
            () = next(hangup.as_mut()) => true,
        };
        TERMINATED.store(by_term, std::sync::atomic::Ordering::Relaxed);
        shutdown.request();
        if shutdown.requested() == StopRequest::Graceful {
            tracing::warn!("stopping: finishing the pages in hand (once more to stop at once)");
        } else {
            tracing::warn!("stopping at once: pages in hand are given back unread");
        }
    }
}

/// The signal of a terminal that was closed, unless it was to be ignored, as by `nohup`: to listen would undo that.
fn hangup() -> std::io::Result<Option<Signal>> {
    match std::fs::read_to_string("/proc/self/status") {
        Ok(status) if !ignores_hangup(&status) => signal(SignalKind::hangup()).map(Some),
        // Where it cannot be told, what the process was started with stays in force.
        _ => Ok(None),
    }
}

/// Whether a process with this `/proc/PID/status` ignores SIGHUP. `SigIgn` is a hexadecimal mask whose lowest bit is
/// signal 1 (proc(5)).
fn ignores_hangup(status: &str) -> bool {
    let hangup = 1_u64 << (SignalKind::hangup().as_raw_value() - 1);
    status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & hangup != 0)
}

/// Waits for a signal; for ever if it is not listened for.
async fn next(signal: Option<&mut Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ignored_hangup_is_seen_in_the_mask() {
        for (mask, expected) in [
            ("0000000000000000", false),
            ("0000000000000001", true),
            ("0000000000001000", false),
            ("0000000000001001", true),
            ("rubbish", false),
        ] {
            let status = format!("Name:\ttagpipe\nSigBlk:\t0000000000000001\nSigIgn:\t{mask}\n");
            assert_eq!(ignores_hangup(&status), expected, "{mask}");
        }
        assert!(!ignores_hangup(""));
    }
}
