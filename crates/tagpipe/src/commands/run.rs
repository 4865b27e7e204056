//! `tagpipe run`: one runner on one run.

use tagpipe_engine::Start;

use super::export::AfterRun;
use super::reading::{Reading, execute, new_or_resumed, run_number};
use crate::cli::{GlobalArguments, RunArguments};
use crate::exit::{Exit, Failure};

/// Reads the report.
pub(crate) async fn run(global: &GlobalArguments, arguments: &RunArguments) -> Result<Exit, Failure> {
    let start = start(arguments)?;
    let reading = Reading::prepare(global, arguments.given(), &arguments.crawl, start, None).await?;
    let exports = match start {
        // Of many runners, their orchestrator exports.
        Start::Join(_) => AfterRun::default(),
        _ => reading.exports()?,
    };
    let database = reading.config.database.clone();
    let name = reading.config.run.runner_id.clone();
    let receivers = reading.receivers()?;
    let ended = execute(reading.config, start, &reading.display, receivers).await;
    let ended = ended.map_err(|failure| match reading.merged.is_handed_down() {
        // It goes where the words of all runners go.
        true => failure.of_runner(&name),
        false => failure,
    })?;
    ended.tell_and_export(&exports, &database, global).await
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
