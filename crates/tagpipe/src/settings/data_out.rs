//! What leaves by itself: exports after runs, and when backups are made.

use tagpipe_engine::Timetable;
use tagpipe_sinks::destination::Destination;

use super::checked::time_zone;
use super::sources::Merged;
use crate::exit::Failure;

/// Exports that are not asked for at a command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExportSettings {
    /// The folder or address they go to.
    pub(crate) to: String,
    /// Names of files that are written after each run.
    pub(crate) after_run: Vec<String>,
}

/// Where exports go, and which there are after each run.
pub(crate) fn export_settings(merged: &Merged) -> Result<ExportSettings, Failure> {
    let text = |key: &str| merged.get(key).map_or("", |value| value.text.as_str());
    let to = text("export_to").to_owned();
    Destination::parse(&to).map_err(|_| merged.wrong("export_to"))?;
    let after_run = text("export_after_run");
    let names = after_run.split(',').map(str::trim).map(ToOwned::to_owned);
    Ok(ExportSettings {
        to,
        after_run: match after_run.trim() {
            "" | "disabled" => Vec::new(),
            _ => names.collect(),
        },
    })
}

/// When the service makes backups, as a cron pattern: `None` for never.
pub(crate) fn backup_schedule(merged: &Merged) -> Result<Option<String>, Failure> {
    let text = merged
        .get("backup_schedule")
        .map_or("disabled", |schedule| schedule.text.as_str());
    if text.eq_ignore_ascii_case("disabled") {
        return Ok(None);
    }
    Timetable::new(text, &time_zone(merged)?).map_err(|_| merged.wrong("backup_schedule"))?;
    Ok(Some(text.to_owned()))
}
