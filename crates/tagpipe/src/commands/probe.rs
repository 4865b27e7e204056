//! `tagpipe probe`: does the site still look as the profile says?

use std::path::Path;

use serde_json::json;
use tagpipe_core::inspection::{Fit, Inspection};
use tagpipe_engine::{ProbeReport, ProbeResult, ProbedLevel, Shutdown, probe as probe_site};

use crate::cli::{GlobalArguments, ProbeArguments};
use crate::exit::{Exit, Failure};
use crate::output::{cut, harmless, print, print_json, width};
use crate::report::grouped;
use crate::settings::{Merged, log_format, log_level, run_config};

/// Names the kept pages' levels and addresses, for `tagpipe profile try`.
pub(super) const INDEX_FILE: &str = "probe.json";

/// Reads one page of each level and shows what the profile makes of it.
pub(crate) async fn probe(global: &GlobalArguments, arguments: &ProbeArguments) -> Result<Exit, Failure> {
    let mut given = global.given();
    given.extend(arguments.site.given());
    let merged = Merged::load(global.config.as_deref(), &given)?;
    let config = run_config(&merged)?;
    crate::logging::start_plain(log_level(&merged)?, log_format(&merged)?);
    if let Some(folder) = &arguments.save {
        // Before anything is asked of the site.
        std::fs::create_dir_all(folder).map_err(|error| cannot_save(folder, &error))?;
    }
    let report = probe_site(&config, &Shutdown::default()).await?;
    if let Some(folder) = &arguments.save {
        save(&report, folder)?;
    }
    let exit = verdict(&report);
    if global.json {
        let mut value =
            serde_json::to_value(&report).map_err(|error| Failure::could_not_run(error.to_string()))?;
        value["exit_code"] = (exit as u8).into();
        print_json(&value)?;
    } else {
        print(&in_words(&report, exit))?;
    }
    Ok(exit)
}

fn verdict(report: &ProbeReport) -> Exit {
    if report.has_changed() {
        Exit::LayoutChanged
    } else if report.was_refused() {
        Exit::KeptRefusing
    } else if report.all_fit() {
        Exit::Done
    } else if report
        .levels
        .iter()
        .all(|level| matches!(level.result, ProbeResult::Inspected(_)))
    {
        Exit::PagesFailed
    } else {
        Exit::CouldNotRun
    }
}

/// Keeps the documents and, beside them, what they are.
fn save(report: &ProbeReport, folder: &Path) -> Result<(), Failure> {
    let mut index = serde_json::Map::new();
    for level in report.levels.iter().filter(|level| !level.document.is_empty()) {
        let name = format!("{}.html", level.level);
        let path = folder.join(&name);
        std::fs::write(&path, &level.document).map_err(|error| cannot_save(&path, &error))?;
        index.insert(name, json!({ "level": level.level, "url": level.url }));
    }
    let path = folder.join(INDEX_FILE);
    let text =
        serde_json::to_string_pretty(&index).map_err(|error| Failure::could_not_run(error.to_string()))?;
    std::fs::write(&path, text).map_err(|error| cannot_save(&path, &error))
}

fn cannot_save(path: &Path, error: &std::io::Error) -> Failure {
    Failure::could_not_run(format!("cannot write `{}`: {error}", path.display()))
}

fn in_words(report: &ProbeReport, exit: Exit) -> String {
    let mut text = format!(
        "{} as `{}` describes it, over {}\n",
        report.site, report.profile, report.fetch
    );
    for level in &report.levels {
        text.push('\n');
        text.push_str(&level_in_words(level));
    }
    let verdict = match exit {
        Exit::Done => "everything fits the profile",
        Exit::LayoutChanged => {
            "the layout no longer fits the profile: copy it with `tagpipe profile show > my.toml`, edit the part \
             named above, and try it on pages kept with `--save DIR`: `tagpipe profile try my.toml DIR/sets.html`"
        }
        Exit::KeptRefusing => "the site refused; try again in some minutes",
        Exit::PagesFailed => "the layout fits, but some cells could not be read",
        _ => "some levels could not be read",
    };
    text.push_str(&format!("\n{verdict} ({} requests)\n", report.requests));
    text
}

fn level_in_words(level: &ProbedLevel) -> String {
    let name = level.level.as_str().replace('_', " ");
    match &level.result {
        ProbeResult::Inspected(inspection) => format!(
            "{name}: {}, {} ms, {} KB, {}\n{}",
            fit_in_words(inspection.fit),
            grouped(level.elapsed_ms),
            grouped(level.bytes.div_ceil(1000)),
            harmless(&level.url),
            inspection_in_words(inspection)
        ),
        ProbeResult::NotRead(why) => {
            format!("{name}: NOT READ, {}: {}\n", harmless(&level.url), harmless(why))
        }
        ProbeResult::Refused(why) => {
            format!("{name}: REFUSED, {}: {}\n", harmless(&level.url), harmless(why))
        }
        ProbeResult::NotReached => {
            format!("{name}: not reached, the level above shows no page to go on with\n")
        }
    }
}

pub(super) fn fit_in_words(fit: Fit) -> &'static str {
    match fit {
        Fit::Fits => "fits",
        Fit::Partly => "FITS IN PART",
        Fit::Changed => "CHANGED",
        Fit::NoReport => "NO PAGE OF THE REPORT",
    }
}

/// Fields with values, fields without, and what could not be read.
pub(super) fn inspection_in_words(inspection: &Inspection) -> String {
    let width = width();
    let mut text = String::new();
    let mut line = |line: String| {
        text.push_str(&cut(&harmless(&format!("  {line}")), width));
        text.push('\n');
    };
    if !inspection.detail.is_empty() {
        line(inspection.detail.clone());
    }
    for cell in &inspection.unreadable {
        line(cell.clone());
    }
    if inspection.rows > 0 {
        let mut summary = format!("{} rows", grouped(inspection.rows as u64));
        if !inspection.pager.is_empty() {
            summary.push_str(&format!(", pager {}", inspection.pager));
        }
        if inspection.totals {
            summary.push_str(", a row of totals");
        }
        line(summary);
    }
    for field in &inspection.fields {
        let samples: Vec<&str> = field
            .samples
            .iter()
            .map(String::as_str)
            .filter(|sample| !sample.is_empty())
            .collect();
        line(format!(
            "{:<15} {:>4} of {:<4} {}",
            field.field,
            field.filled,
            inspection.rows,
            samples.join("  |  ")
        ));
    }
    text
}
