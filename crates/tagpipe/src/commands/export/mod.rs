//! `tagpipe export`: the tables and views of the database as files, here or in a cloud.
//!
//! The one place that joins the store, which gives rows, and the formats, which take them. `plan.rs` says what is wanted,
//! `output.rs` where rows go, `listing.rs` shows what there is, `after_run.rs` what the settings want after each run.

mod after_run;
mod listing;
mod output;
mod plan;

use std::io::IsTerminal;
use std::path::PathBuf;

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget};
use serde_json::json;
use tagpipe_core::filter::Filters;
use tagpipe_sinks::export::ExportError;
use tagpipe_store::export::{Exportable, Part, RunStanding, Snapshot, Standing};
use tagpipe_store::{DatabaseUrl, Store, StoreError};

pub(crate) use self::after_run::AfterRun;
use self::output::{Exported, Output};
use self::plan::{Plan, Target};
use super::looking;
use super::signals::wait_for_signal;
use crate::cli::{ExportArguments, GlobalArguments};
use crate::exit::{Exit, Failure};
use crate::output::{harmless, print, print_json};
use crate::report::grouped;
use crate::settings::{Merged, database_url};

/// Files that the result names one by one. The schema file names all of them; what a service keeps of its jobs stays small.
const FILES_TOLD: usize = 100;

/// Exports what was asked for, or shows what can be.
pub(crate) async fn export(global: &GlobalArguments, arguments: &ExportArguments) -> Result<Exit, Failure> {
    if arguments.list {
        return listing::list(global, arguments);
    }
    let asked = check(arguments)?;
    let goes_to_output = matches!(asked.target, Target::StandardOutput(_));
    if goes_to_output && global.json {
        return Err(Failure::usage(
            "--json and --to - both want standard output; write to a file, or leave --json out",
        ));
    }
    let exported = match carry_out(global, arguments, asked).await {
        // `head` has seen enough.
        Err(Trouble::Export(ExportError::NobodyReads)) => return Ok(Exit::Done),
        other => other.map_err(Failure::from)?,
    };
    if global.json {
        print_json(&as_json(&exported))?;
    } else if goes_to_output && !global.quiet {
        anstream::eprintln!("{}", in_words(&exported));
    } else if !global.quiet {
        print(&format!("{}\n", in_words(&exported)))?;
    }
    Ok(Exit::Done)
}

/// What was asked for, as far as it is told without the database.
#[derive(Debug)]
pub(super) struct Asked {
    tables: Vec<Exportable>,
    target: Target,
    filters: Filters,
}

/// Checks everything about an export that is known without the database.
pub(super) fn check(arguments: &ExportArguments) -> Result<Asked, Failure> {
    let tables = plan::tables(&arguments.table)?;
    let target = plan::target(arguments, &tables)?;
    let filters = plan::filters(arguments)?;
    plan::applicable(arguments, &tables, &filters)?;
    Ok(Asked {
        tables,
        target,
        filters,
    })
}

/// Checks what the database alone knows of an export: since when rows are to have changed, and whether that can be told.
pub(super) async fn check_moment(store: &Store, arguments: &ExportArguments) -> Result<(), Trouble> {
    let tables = plan::tables(&arguments.table)?;
    let since_us = plan::changed_since_us(store, arguments).await?;
    let snapshot = store.snapshot().await?;
    let refused = refuse_after_correction(&snapshot, &tables, since_us).await;
    snapshot.close().await?;
    refused
}

/// Exports what was asked for.
async fn carry_out(
    global: &GlobalArguments,
    arguments: &ExportArguments,
    asked: Asked,
) -> Result<Exported, Trouble> {
    let database = database_file(global)?;
    let store = looking::open(global).await?;
    let plan = Plan::new(&store, arguments, asked).await?;
    let exported = export_to(&store, &plan, database, &progress(global)).await?;
    store.close().await;
    Ok(exported)
}

/// Why an export did not come about.
#[derive(Debug)]
pub(super) enum Trouble {
    Failure(Failure),
    Store(StoreError),
    Export(ExportError),
    Interrupted(Exit),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Trouble {
        Trouble::Failure(failure)
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Trouble {
        Trouble::Store(error)
    }
}

impl From<ExportError> for Trouble {
    fn from(error: ExportError) -> Trouble {
        Trouble::Export(error)
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Failure {
        match trouble {
            Trouble::Failure(failure) => failure,
            Trouble::Store(error) => Failure::reading(&error),
            Trouble::Export(ExportError::Usage(message)) => Failure::usage(message),
            Trouble::Export(error) => Failure::could_not_run(error.to_string()),
            Trouble::Interrupted(exit) => Failure {
                exit,
                message: "stopped before the end; files that were whole are there, nothing half is".into(),
            },
        }
    }
}

/// Exports one moment of `store` by `plan`. `database` is the file that must not be written over.
async fn export_to(
    store: &Store,
    plan: &Plan,
    database: Option<PathBuf>,
    progress: &ProgressBar,
) -> Result<Exported, Trouble> {
    let mut snapshot = store.snapshot().await?;
    let standing = snapshot.standing().await?;
    refuse_after_correction(&snapshot, &plan.tables, plan.selection.changed_since_us).await?;
    let admitted = admitted(&snapshot, plan).await?;
    let warnings = warnings(store, plan, &admitted).await?;
    let mut output = Output::new(plan, database, &parts(&snapshot, plan).await?);
    let exporting = async {
        copy(&mut snapshot, plan, &admitted, &mut output, progress).await?;
        let schema_version = snapshot.schema_version().await?;
        output.finish(&standing, schema_version).await
    };
    let ended = tokio::select! {
        // Listened for before anything is written.
        biased;
        exit = wait_for_signal() => Err(Trouble::Interrupted(exit)),
        ended = exporting => ended,
    };
    progress.finish_and_clear();
    if ended.is_err() {
        // Whoever does not want to wait for what was sent to be taken back asks once more.
        tokio::select! {
            () = output.abandon() => {}
            _ = wait_for_signal() => {}
        }
    }
    let exported = ended?;
    snapshot.close().await?;
    Ok(Exported { warnings, ..exported })
}

/// The categories, years or sets that the filters admit; none where there is no filter.
async fn admitted(snapshot: &Snapshot, plan: &Plan) -> Result<Vec<Part>, Trouble> {
    Ok(match plan.selection.filtered_level() {
        Some(level) => snapshot.parts(level, &plan.selection.filters).await?,
        None => Vec::new(),
    })
}

/// Filters that match nothing are told, in the log and in the result: they are probably misspelt, which is no error in a script.
async fn warnings(store: &Store, plan: &Plan, admitted: &[Part]) -> Result<Vec<String>, Trouble> {
    let mut warnings = looking::unmatched(store, &plan.selection.filters).await?;
    if let (Some(level), []) = (plan.selection.filtered_level(), admitted) {
        warnings.push(format!(
            "no {} matches the filters, so no row is exported",
            level.as_str()
        ));
    }
    for warning in &warnings {
        tracing::warn!("{warning}");
    }
    Ok(warnings)
}

/// A reparse leaves the times of what it corrects: `--changed-since` would miss that.
async fn refuse_after_correction(
    snapshot: &Snapshot,
    tables: &[Exportable],
    changed_since_us: Option<i64>,
) -> Result<(), Trouble> {
    let is_concerned = tables.iter().any(|table| table.deepest_level().is_some());
    let Some(since_us) = changed_since_us.filter(|_| is_concerned) else {
        return Ok(());
    };
    match snapshot.corrected_since(since_us).await? {
        None => Ok(()),
        Some(run) => Err(Trouble::Failure(Failure::could_not_run(format!(
            "run {run}, a reparse, has corrected rows since then, and a correction keeps the time of its reading: which rows \
             those are cannot be told; export once without --changed-since, and go on from there"
        )))),
    }
}

/// What files are named after, where rows are spread over them.
async fn parts(snapshot: &Snapshot, plan: &Plan) -> Result<Vec<Part>, Trouble> {
    Ok(match plan.selection.split {
        // All of them: a name must not depend on which others are wanted.
        Some(level) => snapshot.parts(level, &Filters::default()).await?,
        None => Vec::new(),
    })
}

async fn copy(
    snapshot: &mut Snapshot,
    plan: &Plan,
    admitted: &[Part],
    output: &mut Output<'_>,
    progress: &ProgressBar,
) -> Result<(), Trouble> {
    output.begin().await?;
    for table in &plan.tables {
        output.begin_table(table.table()).await?;
        let mut reader = snapshot.read(*table, &plan.selection, admitted).await?;
        while let Some(batch) = reader.next().await? {
            output.rows(table.table(), batch).await?;
            progress.set_message(format!(
                "{}: {} rows",
                table.table().name,
                grouped(output.rows_of_table())
            ));
            progress.tick();
        }
        output.end_table().await?;
    }
    Ok(())
}

/// The file of the database, if it is one.
fn database_file(global: &GlobalArguments) -> Result<Option<PathBuf>, Failure> {
    let merged = Merged::load(global.config.as_deref(), &global.given())?;
    Ok(match database_url(&merged)? {
        DatabaseUrl::Sqlite(path) => Some(path),
        DatabaseUrl::Memory | DatabaseUrl::Postgres(_) => None,
    })
}

fn progress(global: &GlobalArguments) -> ProgressBar {
    let is_shown = !global.quiet && std::io::stderr().is_terminal();
    let target = if is_shown {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    ProgressBar::with_draw_target(None, target).with_style(indicatif::ProgressStyle::default_spinner())
}

fn as_json(exported: &Exported) -> serde_json::Value {
    let schema = &exported.schema;
    let tables: Vec<_> = schema
        .tables
        .iter()
        .map(|table| json!({ "name": table.table.name, "rows": table.rows }))
        .collect();
    json!({
        "to": exported.to,
        "format": schema.format,
        "compression": schema.compression,
        "rows": exported.rows(),
        "bytes": exported.bytes(),
        "tables": tables,
        "files": &schema.files[..schema.files.len().min(FILES_TOLD)],
        "files_left_out": schema.files.len().saturating_sub(FILES_TOLD),
        "schema_file": exported.schema_file,
        "standing": exported.standing,
        "warnings": exported.warnings,
    })
}

fn in_words(exported: &Exported) -> String {
    let files = exported.schema.files.len();
    format!(
        "{} rows, {} in {} to {}; {}",
        grouped(exported.rows()),
        HumanBytes(exported.bytes()),
        if files == 1 {
            "1 file".to_owned()
        } else {
            format!("{files} files")
        },
        harmless(&exported.to),
        standing_in_words(&exported.standing)
    )
}

/// How far the data may be trusted.
fn standing_in_words(standing: &Standing) -> String {
    let ended = |run: &RunStanding| format!("run {} ended {}", run.id, run.state);
    let mut words = match (&standing.newest_run, &standing.newest_ended_run) {
        (None, _) => "no run has read the site yet".to_owned(),
        (Some(newest), None) if newest.finished_at.is_some() && newest.state != "interrupted" => {
            ended(newest)
        }
        (Some(newest), None) => format!("run {} is {}", newest.id, newest.state),
        (Some(newest), Some(before)) => format!("run {} is {}, {}", newest.id, newest.state, ended(before)),
    };
    if let (Some(from), Some(until)) = (&standing.read_from, &standing.read_until) {
        words.push_str(&format!("; cards read {from} to {until}"));
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standing_names_the_last_end() {
        let run = |id, state: &str, finished: bool| RunStanding {
            id,
            state: state.to_owned(),
            started_at: "2026-11-24T07:00:00.000Z".to_owned(),
            finished_at: finished.then(|| "2026-11-24T08:00:00.000Z".to_owned()),
        };
        for (newest, before, words) in [
            (None, None, "no run has read the site yet"),
            (Some(run(2, "disputed", true)), None, "run 2 ended disputed"),
            (Some(run(1, "running", false)), None, "run 1 is running"),
            (Some(run(1, "interrupted", true)), None, "run 1 is interrupted"),
            (
                Some(run(2, "running", false)),
                Some(run(1, "reconciled", true)),
                "run 2 is running, run 1 ended reconciled",
            ),
        ] {
            let standing = Standing {
                newest_run: newest,
                newest_ended_run: before,
                ..Standing::default()
            };
            assert_eq!(standing_in_words(&standing), words);
        }
    }
}
