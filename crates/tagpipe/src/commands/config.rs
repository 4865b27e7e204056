//! `tagpipe config show`: every effective setting and where it was set.

use serde_json::json;

use crate::cli::GlobalArguments;
use crate::exit::{Exit, Failure};
use crate::output::{Align, Table, print, print_json, width};
use crate::settings::{Merged, Shown, database_url, run_config, runners_settings};

/// Shows all settings, or those that differ from the defaults, and complains about wrong ones.
pub(crate) fn show(global: &GlobalArguments, changed: bool) -> Result<Exit, Failure> {
    let merged = Merged::load(global.config.as_deref(), &global.given())?;
    let mut settings = merged.shown();
    if changed {
        settings.retain(|setting| setting.origin != "default");
    }
    let database = database_url(&merged)?.to_string();
    if global.json {
        print_json(&json!({ "settings": settings, "database": database, "notes": merged.notes() }))?;
    } else {
        print(&in_words(&settings, &database))?;
        for note in merged.notes() {
            print(&format!("note: {note}\n"))?;
        }
    }
    // Shown first, so that a wrong value can be seen in its place.
    run_config(&merged)?;
    runners_settings(&merged)?;
    Ok(Exit::Done)
}

fn in_words(settings: &[Shown], database: &str) -> String {
    let mut table = Table::new(&[
        ("setting", Align::Left),
        ("value", Align::Left),
        ("set by", Align::Left),
    ]);
    for setting in settings {
        table.row(&[
            setting.key.clone(),
            setting.value.clone().unwrap_or_else(|| "-".to_owned()),
            setting.origin.clone(),
        ]);
    }
    format!("{}database: {database}\n", table.render(width()))
}
