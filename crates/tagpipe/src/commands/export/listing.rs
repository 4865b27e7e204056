//! `tagpipe export --list`: what can be exported.

use serde_json::json;
use tagpipe_store::export::Exportable;

use super::plan;
use crate::cli::{ExportArguments, GlobalArguments};
use crate::exit::{Exit, Failure};
use crate::output::{Align, Table, print, print_json, width};

/// Shows all tables, or the columns of those that were named.
pub(super) fn list(global: &GlobalArguments, arguments: &ExportArguments) -> Result<Exit, Failure> {
    let named = match arguments.table.as_slice() {
        [] => None,
        names => Some(plan::tables(names)?),
    };
    if global.json {
        let all: Vec<_> = named.unwrap_or_else(|| Exportable::all().collect());
        print_json(&all.into_iter().map(as_json).collect::<Vec<_>>())?;
        return Ok(Exit::Done);
    }
    let text = match named {
        None => tables(),
        Some(named) => named.into_iter().map(columns).collect::<Vec<_>>().join("\n"),
    };
    print(&text)?;
    Ok(Exit::Done)
}

fn as_json(table: Exportable) -> serde_json::Value {
    json!({
        "name": table.table().name,
        "meaning": table.table().meaning,
        "columns": table.table().columns,
        "order": table.table().order,
        "deepest_level": table.deepest_level().map(|level| level.as_str()),
        "changed_since": table.is_dated(),
        "current": table.knows_vanished(),
    })
}

fn tables() -> String {
    let mut shown = Table::new(&[
        ("table", Align::Left),
        ("columns", Align::Right),
        ("rows", Align::Left),
    ]);
    for one in Exportable::all() {
        let table = one.table();
        shown.row(&[
            table.name.to_owned(),
            table.columns.len().to_string(),
            table.meaning.to_owned(),
        ]);
    }
    shown.render(width()) + "\n`tagpipe export --list --table NAME` shows its columns\n"
}

fn columns(one: Exportable) -> String {
    let mut shown = Table::new(&[
        ("column", Align::Left),
        ("kind", Align::Left),
        ("unit", Align::Left),
        ("null", Align::Left),
        ("meaning", Align::Left),
    ]);
    for column in one.table().columns {
        shown.row(&[
            column.name.to_owned(),
            column.kind.as_str().to_owned(),
            column.unit.unwrap_or_default().to_owned(),
            if column.nullable { "yes" } else { "" }.to_owned(),
            column.meaning.to_owned(),
        ]);
    }
    format!(
        "{}: {}\n{}",
        one.table().name,
        one.table().meaning,
        shown.render(width())
    )
}
