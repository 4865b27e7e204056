//! `tagpipe status`: what is going on.

use std::fmt::Write;
use std::time::Duration;

use tagpipe_engine::{RunStatus, Status, status as status_of};
use tagpipe_store::{OrchestratorOverview, Store};

use super::looking;
use super::signals::wait_for_signal;
use crate::cli::{GlobalArguments, StatusArguments};
use crate::exit::{Exit, Failure};
use crate::output::{Align, Table, cut, duration, harmless, print, print_json, width};
use crate::report::{WayOn, at_work, brake_in_words, brief, command_to_go_on, grouped, verified_in_words};

/// Shows the state of the database, once or again and again.
pub(crate) async fn status(global: &GlobalArguments, arguments: &StatusArguments) -> Result<Exit, Failure> {
    let store = looking::open(global).await?;
    let Some(every) = arguments.watch else {
        show(&store, global).await?;
        store.close().await;
        return Ok(Exit::Done);
    };
    let stopped = wait_for_signal();
    tokio::pin!(stopped);
    loop {
        show(&store, global).await?;
        tokio::select! {
            _ = &mut stopped => return Ok(Exit::Done),
            () = tokio::time::sleep(Duration::from_secs(every)) => {}
        }
    }
}

async fn show(store: &Store, global: &GlobalArguments) -> Result<(), Failure> {
    let status = status_of(store).await.map_err(|error| Failure::reading(&error))?;
    if global.json {
        return print_json(&status);
    }
    print(&in_words(&status, global))
}

fn in_words(status: &Status, global: &GlobalArguments) -> String {
    let mut text = String::new();
    for run in &status.running {
        text.push_str(&run_in_words(run, global));
    }
    match &status.newest {
        None => text.push_str("no run yet; `tagpipe run` starts one\n"),
        Some(newest) if status.running.is_empty() => {
            text.push_str("nothing is running; the newest run:\n");
            text.push_str(&run_in_words(newest, global));
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
pub(super) fn run_in_words(status: &RunStatus, global: &GlobalArguments) -> String {
    let run = &status.run;
    let mut text = format!(
        "run {}: {}, {}, started {}\n",
        run.id,
        run.state,
        duration(run.elapsed_s),
        run.started_at
    );
    let way = match status.orchestrator {
        Some(_) => WayOn::Orchestrate,
        None => WayOn::Run,
    };
    let resume = command_to_go_on(way, run.id, global);
    let is_orchestrated = status
        .orchestrator
        .as_ref()
        .is_some_and(|one| one.is_running && !one.is_gone);
    match run.state.as_str() {
        "running" if status.alive == 0 && is_orchestrated => {
            text.push_str("no runner is at work just now; its orchestrator is there and starts them\n");
        }
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
        text.push_str(&orchestrator_in_words(orchestrator));
    }
    text.push_str(&at_work(&status.runners, width()));
    text.push_str(&pace_in_words(status));
    text.lines().map(|line| cut(line, width()) + "\n").collect()
}

fn orchestrator_in_words(orchestrator: &OrchestratorOverview) -> String {
    let who = format!("process {} on {}", orchestrator.pid, harmless(&orchestrator.host));
    let heard_of = duration(orchestrator.silent_s);
    if orchestrator.is_gone {
        return format!(
            "its orchestrator, {who}, is gone, last heard of {heard_of} ago; `tagpipe orchestrate` takes the run up\n"
        );
    }
    format!(
        "orchestrated by {who} with {} runners, last heard of {heard_of} ago\n",
        orchestrator.runners_wanted
    )
}

fn pace_in_words(status: &RunStatus) -> String {
    let brake = &status.brake;
    let mut text = String::new();
    if status.alive > 0 {
        text.push_str(&format!(
            "pace: {:.2} pages/s, at least {} s between two requests to the site\n",
            status.pages_per_s,
            brief(status.interval_s)
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
    if let Some(ahead) = status.pace_ahead_s {
        text.push_str(&format!(
            "next request to the site in {}, later than its pace explains;\n\
             once no runner is at work, the next run begins the pace anew\n",
            duration(ahead)
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
