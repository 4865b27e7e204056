//! What an export is to be, from the command line: which tables, which rows, in which format, where to.

use tagpipe_core::filter::Filters;
use tagpipe_core::tabular::Timestamp;
use tagpipe_sinks::destination::Destination;
use tagpipe_sinks::export::FileFormat;
use tagpipe_store::Store;
use tagpipe_store::export::{Exportable, NotApplicable, Selection};

use super::{Asked, Trouble};
use crate::cli::ExportArguments;
use crate::commands::looking::{self, FilterTexts};
use crate::exit::Failure;

/// What is exported unless somebody says otherwise.
const DEFAULT_TABLE: &str = "catalogue";

/// An export, fit to be carried out.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) tables: Vec<Exportable>,
    pub(super) selection: Selection,
    pub(super) target: Target,
    /// Which rows were asked for, as the schema file tells it.
    pub(super) asked: serde_json::Value,
}

/// Where an export goes.
#[derive(Debug)]
pub(super) enum Target {
    StandardOutput(FileFormat),
    /// One file in a folder.
    File(FileFormat, Destination, String),
    /// As many files in a folder as it takes.
    Folder(FileFormat, Destination),
}

impl Target {
    pub(super) fn format(&self) -> FileFormat {
        match self {
            Target::StandardOutput(format) | Target::File(format, ..) | Target::Folder(format, _) => *format,
        }
    }
}

impl Plan {
    pub(super) async fn new(
        store: &Store,
        arguments: &ExportArguments,
        asked: Asked,
    ) -> Result<Plan, Trouble> {
        let Asked {
            tables,
            target,
            filters,
        } = asked;
        let changed_since_us = changed_since_us(store, arguments).await?;
        let selection = selection(arguments, filters, changed_since_us);
        let asked = serde_json::json!({
            "categories": arguments.categories,
            "years": arguments.year_filter,
            "sets": arguments.set_filter,
            "changed_since": changed_since_us.map(|us| Timestamp(us).to_string()),
            "current": arguments.current,
            "split": selection.split.map(|level| level.as_str()),
        });
        Ok(Plan {
            tables,
            selection,
            target,
            asked,
        })
    }
}

/// Whether each filter applies to each table.
pub(super) fn applicable(
    arguments: &ExportArguments,
    tables: &[Exportable],
    filters: &Filters,
) -> Result<(), Failure> {
    // Which moment it is makes no difference here.
    let moment = arguments.changed_since.as_ref().map(|_| 0);
    let selection = selection(arguments, filters.clone(), moment);
    for table in tables {
        selection
            .check(*table)
            .map_err(|why| not_applicable(&why, &selection))?;
    }
    Ok(())
}

fn selection(arguments: &ExportArguments, filters: Filters, changed_since_us: Option<i64>) -> Selection {
    Selection {
        filters,
        changed_since_us,
        is_current: arguments.current,
        split: arguments.split.map(Into::into),
    }
}

/// The tables with these names, each once.
pub(super) fn tables(names: &[String]) -> Result<Vec<Exportable>, Failure> {
    if names.is_empty() {
        return tables(&[DEFAULT_TABLE.to_owned()]);
    }
    let mut tables: Vec<Exportable> = Vec::new();
    for name in names.iter().map(|name| name.trim()) {
        let table = Exportable::named(name).ok_or_else(|| {
            Failure::usage(format!(
                "`{name}` is not a table or view that can be exported; `tagpipe export --list` shows them"
            ))
        })?;
        if tables.iter().all(|known| known.table().name != name) {
            tables.push(table);
        }
    }
    Ok(tables)
}

pub(super) fn filters(arguments: &ExportArguments) -> Result<Filters, Failure> {
    looking::filters(&FilterTexts {
        categories: arguments.categories.as_deref(),
        years: arguments.year_filter.as_deref(),
        sets: arguments.set_filter.as_deref(),
        cards: None,
    })
}

/// Where it goes, and in which format.
pub(super) fn target(arguments: &ExportArguments, tables: &[Exportable]) -> Result<Target, Failure> {
    let to = arguments.to.as_deref().unwrap_or_default();
    let asked = arguments.format.as_deref();
    let is_split = arguments.split.is_some();
    let usage = |error: &dyn std::fmt::Display| Failure::usage(error.to_string());
    if to == "-" {
        let format = FileFormat::choose(asked, None).map_err(|error| usage(&error))?;
        return standard_output(format, is_split || tables.len() > 1);
    }
    let place = Destination::parse(to).map_err(|error| usage(&error))?;
    let named = if is_folder(to, &place) {
        None
    } else {
        place.split()
    };
    let Some((folder, name)) = named else {
        let format = FileFormat::choose(asked, None).map_err(|error| usage(&error))?;
        return Ok(Target::Folder(format, place));
    };
    let format = FileFormat::choose(asked, Some(&name)).map_err(|error| usage(&error))?;
    if !is_split && (tables.len() == 1 || format.format.takes_many_tables()) {
        return Ok(Target::File(format, folder, name));
    }
    if FileFormat::choose(None, Some(&name)).is_ok() {
        let what = if is_split {
            "--split makes many files; name a folder and give --format".to_owned()
        } else {
            let format = format.format.name();
            format!(
                "{format} takes one table in a file; name a folder and give --format, or take xlsx or sqlite"
            )
        };
        return Err(Failure::usage(format!("`{name}` is one file, but {what}")));
    }
    Ok(Target::Folder(format, place))
}

fn standard_output(format: FileFormat, is_too_much: bool) -> Result<Target, Failure> {
    if !format.format.is_text() {
        return Err(Failure::usage(format!(
            "{} cannot be written to standard output; give a file, or take csv, jsonl or json",
            format.format.name()
        )));
    }
    if is_too_much {
        return Err(Failure::usage(
            "standard output takes one table; give a folder, or export one after the other",
        ));
    }
    Ok(Target::StandardOutput(format))
}

/// Whether an address is that of a folder: it ends so, or there is one.
fn is_folder(to: &str, place: &Destination) -> bool {
    to.ends_with('/') || place.local_path().is_some_and(std::path::Path::is_dir)
}

/// The moment that `--changed-since` names: a time, or the end of a run.
pub(super) async fn changed_since_us(
    store: &Store,
    arguments: &ExportArguments,
) -> Result<Option<i64>, Trouble> {
    let Some(text) = &arguments.changed_since else {
        return Ok(None);
    };
    let Some(run) = text.trim().strip_prefix("run") else {
        let now_us = store.now_us().await?;
        return Ok(Some(looking::moment(now_us, text, "--changed-since")?));
    };
    let number = run.trim_start_matches([' ', ':', '=']);
    let run = number.parse().map_err(|_| {
        Failure::usage(format!(
            "`{text}` names no run (set by --changed-since); write 'run 12'; `tagpipe runs` lists them"
        ))
    })?;
    let unknown = || {
        Failure::usage(format!(
            "there is no run {run} (set by --changed-since); `tagpipe runs` lists them"
        ))
    };
    let found = store.run_overview(run).await?.ok_or_else(unknown)?;
    if found.finished_at.is_none() {
        let why = format!("run {run} has no end yet (set by --changed-since); name one that has, or a time");
        return Err(Failure::usage(why).into());
    }
    let end = store.end_of_run_us(run).await?.ok_or_else(unknown)?;
    Ok(Some(end))
}

/// Which flag asked for what a table cannot give.
fn not_applicable(why: &NotApplicable, selection: &Selection) -> Failure {
    let flag = match why {
        NotApplicable::Level { level, .. } if selection.split == Some(*level) => "--split".to_owned(),
        NotApplicable::Level { level, .. } => match level.as_str() {
            "category" => "--categories".to_owned(),
            level => format!("--{level}-filter"),
        },
        NotApplicable::Dates { .. } => "--changed-since".to_owned(),
        NotApplicable::Presence { .. } => "--current".to_owned(),
    };
    Failure::usage(format!(
        "{flag} does not apply: {why}; leave the table or {flag} out"
    ))
}
