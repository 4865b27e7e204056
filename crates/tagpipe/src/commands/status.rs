//! `tagpipe status`: what is going on.

use std::fmt::Write;
use std::time::Duration;

use tagpipe_engine::{RunStatus, Status, status as status_of};
use tagpipe_store::Store;

use super::looking;
use super::run::wait_for_signal;
use crate::cli::{GlobalArguments, StatusArguments};
use crate::exit::{Exit, Failure};
use crate::output::{Align, Table, cut, duration, harmless, print, print_json, width};
use crate::report::{at_work, brake_in_words, grouped, resume_command, verified_in_words};

/// Shows the state of the database, once or again and again.
pub(crate) async fn status(global: &GlobalArguments, arguments: &StatusArguments) -> Result<Exit, Failure> {
    let store = looking::open(global).await?;
    let Some(every) = arguments.watch else {
        show(&store, global.json).await?;
        store.close().await;
        return Ok(Exit::Done);
    };
    let stopped = wait_for_signal();
    tokio::pin!(stopped);
    loop {
        show(&store, global.json).await?;
        tokio::select! {
            _ = &mut stopped => return Ok(Exit::Done),
            () = tokio::time::sleep(Duration::from_secs(every)) => {}
        }
    }
}

async fn show(store: &Store, json: bool) -> Result<(), Failure> {
    let status = status_of(store).await.map_err(|error| Failure::reading(&error))?;
    if json {
        return print_json(&status);
    }
    print(&in_words(&status))
}

fn in_words(status: &Status) -> String {
    let mut text = String::new();
    for run in &status.running {
        text.push_str(&run_in_words(run));
    }
    match &status.newest {
        None => text.push_str("no run yet; `tagpipe run` starts one\n"),
        Some(newest) if status.running.is_empty() => {
            text.push_str("nothing is running; the newest run:\n");
            text.push_str(&run_in_words(newest));
        }
        Some(_) => {}
    }
    if status.newest.is_some() {
        text.push_str(&verified_in_words(&status.verified));
        text.push('\n');
    }
    if status.open_discrepancies > 0 {
        // Writing to a text cannot fail.
        let _ = writeln!(
            text,
            "{} sums do not agree; `tagpipe check` names them",
            grouped(status.open_discrepancies)
        );
    }
    text
}

/// A run for people: where it is, level by level, who works on it, at which pace, what is left.
pub(super) fn run_in_words(status: &RunStatus) -> String {
    let run = &status.run;
    let mut text = format!(
        "run {}: {}, {}, started {}\n",
        run.id,
        run.state,
        duration(run.elapsed_s),
        run.started_at
    );
    let command = match status.orchestrator {
        Some(_) => "orchestrate",
        None => "run",
    };
    let resume = resume_command(command, run.id, run.site());
    match run.state.as_str() {
        "running" if status.alive == 0 => {
            text.push_str(&format!("no runner works on it any more; go on with: {resume}\n"));
        }
        "interrupted" => text.push_str(&format!("go on with: {resume}\n")),
        "disputed" => text.push_str(&format!(
            "pages failed or sums do not agree: tagpipe errors --run {}; read them again with: {resume}\n",
            run.id
        )),
        _ => {}
    }
    let mut levels = Table::new(&[
        ("level", Align::Left),
        ("pages", Align::Right),
        ("completed", Align::Right),
        ("unchanged", Align::Right),
        ("failed", Align::Right),
        ("skipped", Align::Right),
        ("open", Align::Right),
    ]);
    for level in &status.levels {
        let numbers = [
            level.pages,
            level.completed,
            level.unchanged,
            level.failed,
            level.skipped,
            level.open,
        ];
        let mut cells = vec![level.level.as_str().replace('_', " ")];
        cells.extend(numbers.map(grouped));
        levels.row(&cells);
    }
    text.push_str(&levels.render(width()));
    if let Some(orchestrator) = status.orchestrator.as_ref().filter(|one| one.is_running) {
        text.push_str(&format!(
            "orchestrated by process {} on {} with {} runners, last heard of {} ago\n",
            orchestrator.pid,
            harmless(&orchestrator.host),
            orchestrator.runners_wanted,
            duration(orchestrator.silent_s)
        ));
    }
    text.push_str(&at_work(&status.runners, width()));
    text.push_str(&pace_in_words(status));
    text.lines().map(|line| cut(line, width()) + "\n").collect()
}

fn pace_in_words(status: &RunStatus) -> String {
    let brake = &status.brake;
    let mut text = String::new();
    if status.alive > 0 {
        text.push_str(&format!(
            "pace: {:.2} pages/s, at least {:.1} s between two requests to the site\n",
            status.pages_per_s, status.interval_s
        ));
    }
    if !brake.is_open() {
        let words = brake_in_words(brake);
        text.push_str(&format!(
            "{}, {} refusals in a row\n",
            harmless(words.trim_start_matches(", ")),
            brake.refusals_in_row
        ));
    }
    if let Some(left) = status.left_s {
        text.push_str(&format!(
            "left: {} pages known, at least {}\n",
            grouped(status.open()),
            duration(left)
        ));
    }
    text
}
