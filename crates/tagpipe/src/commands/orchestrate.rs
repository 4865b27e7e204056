//! `tagpipe orchestrate`: many runners on one run.

use tagpipe_engine::{Config, Start};

use super::run::new_or_resumed;
use crate::cli::{GlobalArguments, OrchestrateArguments};
use crate::exit::{Exit, Failure};
use crate::settings::{HANDED_DOWN, Merged, OrchestratorSettings, orchestrator_settings, run_config};

/// Reads the report with many runners.
pub(crate) fn orchestrate(
    global: &GlobalArguments,
    arguments: &OrchestrateArguments,
) -> Result<Exit, Failure> {
    let _prepared = prepare(global, arguments)?;
    Err(Failure::could_not_run("not yet"))
}

/// What the command line and the settings ask for.
#[expect(dead_code, reason = "the orchestrator that reads it is not there yet")]
struct Prepared {
    start: Start,
    config: Config,
    settings: OrchestratorSettings,
    /// The environment variable that gives each runner its settings, and its value. It holds the database's password.
    handed_down: (&'static str, String),
    /// For the log, when there is one.
    notes: Vec<String>,
}

fn prepare(global: &GlobalArguments, arguments: &OrchestrateArguments) -> Result<Prepared, Failure> {
    let mut given = global.given();
    given.extend(arguments.given());
    let merged = Merged::load(global.config.as_deref(), &given)?;
    let start = new_or_resumed(&arguments.crawl)?;
    let mut config = run_config(&merged)?;
    config.dry_run = arguments.crawl.dry_run;
    config.migrate = !global.no_migrate;
    let folder = std::env::current_dir()
        .map_err(|error| Failure::could_not_run(format!("the current folder is gone: {error}")))?;
    Ok(Prepared {
        start,
        config,
        settings: orchestrator_settings(&merged)?,
        handed_down: (HANDED_DOWN, merged.handed_down(&folder)?),
        notes: merged.notes().to_vec(),
    })
}
