//! `tagpipe orchestrate`: many runners on one run.

use std::path::PathBuf;
use std::process::Command;

use tagpipe_engine::{Config, Orchestrator, OrchestratorSettings, RunnerOrder, Shutdown, Start};
use tagpipe_store::DatabaseUrl;

use super::run::{
    Ended, adopt_site, execute, listen_for_signals, new_or_resumed, warn_of_pace, was_terminated,
};
use crate::cli::{GlobalArguments, OrchestrateArguments};
use crate::exit::{Exit, Failure};
use crate::logging::{self, Logging};
use crate::report::{Display, print_summary};
use crate::settings::{
    HANDED_DOWN, Merged, RunnersSettings, log_format, log_level, run_config, runners_settings,
};

/// Reads the report with many runners.
pub(crate) async fn orchestrate(
    global: &GlobalArguments,
    arguments: &OrchestrateArguments,
) -> Result<Exit, Failure> {
    let mut given = global.given();
    given.extend(arguments.given());
    let mut merged = Merged::load(global.config.as_deref(), &given)?;
    let start = new_or_resumed(&arguments.crawl)?;
    adopt_site(&mut merged, start).await?;
    let mut config = run_config(&merged)?;
    config.dry_run = arguments.crawl.dry_run;
    config.migrate = !global.no_migrate;
    config.await_database = start != Start::New;
    let runners = runners_settings(&merged)?;
    let display = Display::new(global.quiet);
    let logging = Logging {
        level: log_level(&merged)?,
        format: log_format(&merged)?,
        is_quiet: global.quiet,
        runner_id: Some("orchestrator"),
    };
    logging::start(logging, display.bars());
    for note in merged.notes() {
        tracing::warn!("{note}");
    }
    let database = config.database.clone();
    let ended = if config.dry_run {
        execute(alone(config, runners.num_runners), start, &display).await?
    } else {
        let program = Program::of(&runners, &merged, global)?;
        run_with(config, &runners, program, start, &display).await?
    };
    let exit = Exit::of_run(&ended.summary.end, ended.terminated);
    print_summary(&ended.summary, exit, &database, global)?;
    Ok(exit)
}

/// A dry run keeps its rows in memory, which processes do not share: one runner does the work of all.
fn alone(mut config: Config, num_runners: usize) -> Config {
    config.run.concurrency = config.run.concurrency.saturating_mul(num_runners).min(256);
    tracing::warn!(
        "a dry run is done by this process alone, in memory, with {} pages in hand",
        config.run.concurrency
    );
    config
}

async fn run_with(
    config: Config,
    runners: &RunnersSettings,
    program: Program,
    start: Start,
    display: &Display,
) -> Result<Ended, Failure> {
    if config.database == DatabaseUrl::Memory {
        return Err(Failure::usage(
            "runners cannot share a database in memory; name a file or a PostgreSQL",
        ));
    }
    let (asked, advised) = (config.run.interval, config.profile.pace.clone());
    let settings = OrchestratorSettings {
        num_runners: runners.num_runners,
        check_interval: runners.check_interval,
        runner_memory_max: runners.runner_memory_max,
        ..OrchestratorSettings::default()
    };
    let mut orchestrator = Orchestrator::open(config, settings, move |order| program.command(order))
        .await
        .map_err(|error| Failure::of_going_on(error, start))?;
    if let Some(above_bars) = display.lines_above_bars() {
        orchestrator = orchestrator.with_log_lines(above_bars);
    }
    warn_of_pace(asked, &advised);
    let shutdown = Shutdown::default();
    let signals = tokio::spawn(listen_for_signals(shutdown.clone()));
    let watching = display.watch_runners(orchestrator.picture());
    let outcome = orchestrator.run(start, &shutdown).await;
    watching.stop().await;
    orchestrator.close().await;
    signals.abort();
    Ok(Ended {
        summary: outcome?,
        terminated: was_terminated(),
    })
}

/// How a runner is started.
struct Program {
    executable: PathBuf,
    folder: PathBuf,
    /// All settings, the database's password among them: in the environment, where only this user can see them.
    handed_down: String,
    is_quiet: bool,
}

impl Program {
    fn of(runners: &RunnersSettings, merged: &Merged, global: &GlobalArguments) -> Result<Program, Failure> {
        let gone =
            |what: &str, error: std::io::Error| Failure::could_not_run(format!("{what} is gone: {error}"));
        let folder = std::env::current_dir().map_err(|error| gone("the current folder", error))?;
        let executable = match &runners.runner_path {
            Some(path) => path.clone(),
            None => std::env::current_exe().map_err(|error| gone("this program's file", error))?,
        };
        Ok(Program {
            executable,
            folder: runners.working_directory.clone(),
            handed_down: merged.handed_down(&folder)?,
            is_quiet: global.quiet,
        })
    }

    /// The process's name in `ps` ends with the runner's.
    fn command(&self, order: &RunnerOrder) -> Command {
        let mut command = Command::new(&self.executable);
        command
            .current_dir(&self.folder)
            .env(HANDED_DOWN, &self.handed_down)
            .args(["run", "--no-migrate"]);
        if self.is_quiet {
            command.arg("--quiet");
        }
        if let Some(pages) = order.max_pages {
            command.arg("--max-pages").arg(pages.to_string());
        }
        if let Some(time) = order.max_duration {
            command
                .arg("--max-duration")
                .arg(format!("{}s", time.as_secs_f64()));
        }
        command
            .arg("--join")
            .arg(order.run.to_string())
            .arg("--runner-id")
            .arg(&order.runner_id);
        command
    }
}
