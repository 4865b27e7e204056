//! What the commands that read the site share: settings, logs, signals, progress, and how they end.

use std::time::Duration;

use tagpipe_core::profile::PaceAdvice;
use tagpipe_engine::{Config, Pipeline, RunError, Shutdown, Start, Summary, stored_site};
use tagpipe_store::DatabaseUrl;
use tagpipe_store::contract::RunId;

use super::export::AfterRun;
use super::signals::{listen_for_signals, was_terminated};
use crate::cli::{CrawlArguments, GlobalArguments};
use crate::exit::{Exit, Failure};
use crate::logging::{self, Logging};
use crate::notifying::{BesideRun, Receivers};
use crate::report::{Display, ShownProgress, print_summary};
use crate::settings::{Given, Merged, database_patience, database_url, log_format, log_level, run_config};

/// A command that is about to read.
pub(super) struct Reading {
    pub(super) merged: Merged,
    pub(super) config: Config,
    pub(super) display: Display,
}

impl Reading {
    /// Whom this process tells what happens: nobody, where another process does.
    pub(super) fn receivers(&self) -> Result<Receivers, Failure> {
        match self.config.dry_run || self.merged.is_handed_down() {
            true => Ok(Receivers::default()),
            false => Receivers::of(&self.merged),
        }
    }

    /// What is exported when the run has ended: nothing of a dry run.
    pub(super) fn exports(&self) -> Result<AfterRun, Failure> {
        match self.config.dry_run {
            true => Ok(AfterRun::default()),
            false => AfterRun::of(&self.merged),
        }
    }
}

impl Reading {
    /// Checks the settings and starts the log. Whoever goes on with a run need not name its site again.
    pub(super) async fn prepare(
        global: &GlobalArguments,
        given: Vec<Given<'_>>,
        crawl: &CrawlArguments,
        start: Start,
        name: Option<&str>,
    ) -> Result<Reading, Failure> {
        let mut all = global.given();
        all.extend(given);
        let mut merged = Merged::load(global.config.as_deref(), &all)?;
        adopt_site(&mut merged, start).await?;
        let mut config = run_config(&merged)?;
        config.dry_run = crawl.dry_run;
        config.order = crawl.order;
        config.migrate = !global.no_migrate;
        config.await_database = start != Start::New;
        let display = Display::new(global.quiet);
        let logging = Logging {
            level: log_level(&merged)?,
            format: log_format(&merged)?,
            is_quiet: global.quiet,
            runner_id: Some(name.unwrap_or(&config.run.runner_id)),
        };
        logging::start(logging, display.bars());
        for note in merged.notes() {
            tracing::warn!("{note}");
        }
        Ok(Reading {
            merged,
            config,
            display,
        })
    }
}

/// A run that came to a summary.
pub(crate) struct Ended {
    pub(crate) summary: Summary,
    /// Whether SIGTERM or SIGHUP rather than Ctrl-C stopped it.
    pub(crate) terminated: bool,
}

impl Ended {
    /// Tells what it came to, and exports what the settings want after it, whether or not anybody could be told.
    pub(super) async fn tell_and_export(
        &self,
        exports: &AfterRun,
        database: &DatabaseUrl,
        global: &GlobalArguments,
    ) -> Result<Exit, Failure> {
        let exit = Exit::of_run(&self.summary.end, self.terminated);
        let told = print_summary(&self.summary, exit, database, global);
        exports.carry_out(exit, global).await;
        told?;
        Ok(exit)
    }
}

/// Runs the pipeline with signals wired to it, progress shown, and `receivers` told what happens.
pub(super) async fn execute(
    config: Config,
    start: Start,
    display: &Display,
    receivers: Receivers,
) -> Result<Ended, Failure> {
    let (asked, advised) = (config.run.interval, config.profile.pace.clone());
    let database = config.database.clone();
    let mut pipeline = Pipeline::open(config)
        .await
        .map_err(|error| Failure::of_going_on(error, start))?;
    // Whoever started the run was warned; who joins keeps its pace.
    if !matches!(start, Start::Join(_)) {
        warn_of_pace(asked, &advised);
    }
    let telling = BesideRun::start(receivers, &database).await;
    let shown = display.watch(pipeline.progress());
    let ended = until_stopped(shown, async |shutdown| pipeline.run(start, shutdown).await).await;
    pipeline.close().await;
    telling.finish().await;
    ended
}

/// Does `work` with signals wired to its shutdown and `shown` on the screen.
pub(super) async fn until_stopped(
    shown: ShownProgress,
    work: impl AsyncFnOnce(&Shutdown) -> Result<Summary, RunError>,
) -> Result<Ended, Failure> {
    let shutdown = Shutdown::default();
    let signals = tokio::spawn(listen_for_signals(shutdown.clone()));
    let outcome = work(&shutdown).await;
    shown.stop().await;
    signals.abort();
    Ok(Ended {
        summary: outcome?,
        terminated: was_terminated(),
    })
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

pub(super) fn run_number(text: &str, flag: &str, takes: &str) -> Result<RunId, Failure> {
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

async fn adopt_site(merged: &mut Merged, start: Start) -> Result<(), Failure> {
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
