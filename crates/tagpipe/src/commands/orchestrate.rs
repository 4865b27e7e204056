//! `tagpipe orchestrate`: many runners on one run.

use std::path::PathBuf;
use std::process::Command;

use tagpipe_engine::{Config, Orchestrator, OrchestratorSettings, RunnerOrder, Start};
use tagpipe_store::DatabaseUrl;

use super::reading::{Ended, Reading, execute, new_or_resumed, until_stopped, warn_of_pace};
use crate::cli::{GlobalArguments, OrchestrateArguments};
use crate::exit::{Exit, Failure};
use crate::notifying::{BesideRun, Receivers};
use crate::report::Display;
use crate::settings::{HANDED_DOWN, Merged, RunnersSettings, runners_settings};

/// Reads the report with many runners.
pub(crate) async fn orchestrate(
    global: &GlobalArguments,
    arguments: &OrchestrateArguments,
) -> Result<Exit, Failure> {
    let start = new_or_resumed(&arguments.crawl)?;
    let name = Some("orchestrator");
    let reading = Reading::prepare(global, arguments.given(), &arguments.crawl, start, name).await?;
    let runners = runners_settings(&reading.merged)?;
    let exports = reading.exports()?;
    let database = reading.config.database.clone();
    let receivers = reading.receivers()?;
    let ended = if reading.config.dry_run {
        let config = alone(reading.config, runners.num_runners);
        execute(config, start, &reading.display, receivers).await?
    } else {
        let program = Program::of(&runners, &reading.merged, global)?;
        run_with(
            reading.config,
            &runners,
            program,
            start,
            &reading.display,
            receivers,
        )
        .await?
    };
    ended.tell_and_export(&exports, &database, global).await
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
    receivers: Receivers,
) -> Result<Ended, Failure> {
    if config.database == DatabaseUrl::Memory {
        return Err(Failure::usage(
            "runners cannot share a database in memory; name a file or a PostgreSQL",
        ));
    }
    let (asked, advised) = (config.run.interval, config.profile.pace.clone());
    let database = config.database.clone();
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
    let telling = BesideRun::start(receivers, &database).await;
    let shown = display.watch_runners(orchestrator.picture());
    let ended = until_stopped(shown, async |shutdown| orchestrator.run(start, shutdown).await).await;
    orchestrator.close().await;
    telling.finish().await;
    ended
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
