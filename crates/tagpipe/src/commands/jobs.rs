//! Exports and backups that the service is asked for, as command lines of this program. Who orders one chooses what is
//! written, never where to.

use clap::Parser;
use tagpipe_engine::{OrderError, PlannedJob, RunOptions};
use tagpipe_sinks::destination::Destination;
use tagpipe_sinks::export::{FileFormat, SCHEMA_FILE};
use tagpipe_store::{JobKind, Store};

use super::export::{self, Trouble};
use crate::cli::{Cli, Command, ExportArguments};
use crate::exit::Failure;
use crate::settings::{Merged, backup_schedule, backup_settings, export_settings, time_zone};

/// Options of an export that are flags of the command.
const FLAGS: [(&str, &str); 7] = [
    ("table", "--table"),
    ("format", "--format"),
    ("categories", "--categories"),
    ("year_filter", "--year-filter"),
    ("set_filter", "--set-filter"),
    ("changed_since", "--changed-since"),
    ("split", "--split"),
];

/// The longest name of an exported file.
const NAME_MAX: usize = 128;

/// Checks everything about a job that can be told before it is begun, with what is in `store` now.
pub(super) async fn check(
    store: &Store,
    kind: JobKind,
    options: &RunOptions,
    settings: &Merged,
) -> Result<(), OrderError> {
    let arguments = arguments(kind, options, settings).map_err(OrderError::WrongOptions)?;
    if kind == JobKind::Backup {
        return Ok(());
    }
    let checked = match parsed(&arguments) {
        Ok(wanted) => export::check_moment(store, &wanted).await,
        Err(failure) => Err(Trouble::from(failure)),
    };
    checked.map_err(|trouble| match trouble {
        Trouble::Store(error) => OrderError::Store(error),
        other => OrderError::WrongOptions(Failure::from(other).message),
    })
}

/// What follows the program's name, if these options are right; in words, if one is wrong.
pub(super) fn arguments(
    kind: JobKind,
    options: &RunOptions,
    settings: &Merged,
) -> Result<Vec<String>, String> {
    let arguments = match kind {
        JobKind::Export => export_arguments(options, settings),
        JobKind::Backup => backup_arguments(options, settings),
    };
    arguments.map_err(|failure| failure.message)
}

/// The jobs that the settings order by a timetable. Checks what all jobs need of the settings.
pub(super) fn planned(settings: &Merged) -> Result<Vec<PlannedJob>, Failure> {
    export_settings(settings)?;
    let Some(cron) = backup_schedule(settings)? else {
        return Ok(Vec::new());
    };
    // Where to and for whom, found out before the time comes.
    backup_arguments(&RunOptions::default(), settings)?;
    Ok(vec![PlannedJob {
        kind: JobKind::Backup,
        cron,
        time_zone: time_zone(settings)?,
    }])
}

fn export_arguments(options: &RunOptions, settings: &Merged) -> Result<Vec<String>, Failure> {
    let mut arguments = vec!["--json".to_owned(), "export".to_owned()];
    let mut name = None;
    for (key, value) in options.iter() {
        // One word for flag and value: a value that begins with a dash is no flag.
        match (key, FLAGS.iter().find(|(known, _)| *known == key)) {
            (_, Some((_, flag))) => arguments.push(format!("{flag}={value}")),
            ("name", None) => name = Some(value),
            ("current", None) if value == "true" => arguments.push("--current".to_owned()),
            ("current", None) if value == "false" => {}
            ("current", None) => {
                return Err(Failure::usage(format!(
                    "`current` is `{value}`; it takes true or false"
                )));
            }
            _ => {
                return Err(Failure::usage(format!(
                    "`{key}` is no option of an export; it takes name, current, {}",
                    FLAGS.map(|(key, _)| key).join(", ")
                )));
            }
        }
    }
    let name =
        name.ok_or_else(|| Failure::usage("`name` is missing: what the exported file is to be called"))?;
    // A name without an ending is a folder's; what has one says its format by it, and takes no other file's place.
    if name.contains('.') {
        FileFormat::choose(options.get("format"), Some(name))
            .map_err(|error| Failure::usage(error.to_string()))?;
        FileFormat::choose(None, Some(name)).map_err(|error| Failure::usage(error.to_string()))?;
    }
    if name.ends_with(SCHEMA_FILE) {
        return Err(Failure::usage(format!(
            "`{name}` is how schema files are called, and would take the place of one; take another name"
        )));
    }
    let folder = export_settings(settings)?.to;
    arguments.push(format!("--to={}", place(&folder, name)?));
    let parsed = parsed(&arguments)?;
    export::check(&parsed)?;
    Ok(arguments)
}

/// A file of this name below `folder`. What others have written into the name can lead to no other place.
fn place(folder: &str, name: &str) -> Result<String, Failure> {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
    if name.is_empty() || name.len() > NAME_MAX || name.starts_with(['.', '-']) || !name.chars().all(is_plain)
    {
        return Err(Failure::usage(format!(
            "`{name}` is no name of a file here; it takes up to {NAME_MAX} letters, digits, dots, dashes and underscores, a letter \
             or digit first"
        )));
    }
    Ok(format!("{}/{name}", folder.trim_end_matches('/')))
}

/// Makes the folder of all exports, if it alone is missing: what a job writes may be a folder in it.
pub(super) fn make_folder_of_exports(settings: &Merged) -> Result<(), Failure> {
    let folder = export_settings(settings)?.to;
    let place = Destination::parse(&folder).map_err(|error| Failure::usage(error.to_string()))?;
    if let Some(path) = place.local_path() {
        // It may be there; if it cannot be made, the export says why.
        let _ = std::fs::create_dir(path);
    }
    Ok(())
}

fn parsed(arguments: &[String]) -> Result<Box<ExportArguments>, Failure> {
    let words = std::iter::once("tagpipe".to_owned()).chain(arguments.iter().cloned());
    let wrong = |why: String| Failure::usage(why);
    match Cli::try_parse_from(words) {
        Ok(Cli {
            command: Command::Export(arguments),
            ..
        }) => Ok(arguments),
        Ok(_) => Err(wrong("an export was expected".to_owned())),
        Err(error) => {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default();
            Err(wrong(first.trim_start_matches("error: ").to_owned()))
        }
    }
}

fn backup_arguments(options: &RunOptions, settings: &Merged) -> Result<Vec<String>, Failure> {
    if let Some((key, _)) = options.iter().next() {
        return Err(Failure::usage(format!(
            "`{key}`: a backup takes no options; the settings say where to and how"
        )));
    }
    if backup_settings(settings)?.to.is_none() {
        return Err(Failure::usage(
            "the settings say nowhere to put backups; set backup_to or PIPELINE_BACKUP_TO for the service",
        ));
    }
    Ok(vec!["--json".to_owned(), "backup".to_owned()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_to_no_other_place() {
        assert_eq!(
            place("s3://bucket/a/", "x_1-2.csv.gz").unwrap(),
            "s3://bucket/a/x_1-2.csv.gz"
        );
        for name in [
            "",
            ".",
            "..",
            "../a.csv",
            "a/b.csv",
            "a\\b.csv",
            "-",
            ".csv",
            "a b.csv",
            "ä.csv",
            "a%2fb.csv",
            "a\0.csv",
        ] {
            assert!(place("out", name).is_err(), "{name:?}");
        }
        assert!(place("out", &"a".repeat(NAME_MAX + 1)).is_err());
    }
}
