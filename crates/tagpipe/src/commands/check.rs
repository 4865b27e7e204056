//! `tagpipe check`: whether what is stored holds together, without a request.

use serde_json::json;
use tagpipe_store::Checked;

use super::looking;
use crate::cli::{CheckArguments, GlobalArguments};
use crate::exit::{Exit, Failure};
use crate::output::{Align, Table, harmless, print, print_json, width, wrapped};
use crate::report::grouped;

/// Checks the database and tells what is wrong, where, and what to do.
pub(crate) async fn check(global: &GlobalArguments, arguments: &CheckArguments) -> Result<Exit, Failure> {
    let store = looking::open(global).await?;
    let checks = store
        .check(arguments.limit)
        .await
        .map_err(|error| Failure::reading(&error))?;
    store.close().await;
    let holds = checks.iter().all(|check| check.found == 0);
    if global.json {
        print_json(&json!({ "holds": holds, "checks": checks }))?;
    } else if !global.quiet || !holds {
        print(&in_words(&checks))?;
    }
    Ok(if holds { Exit::Done } else { Exit::SumsDisagree })
}

fn in_words(checks: &[Checked]) -> String {
    let mut table = Table::new(&[
        ("check", Align::Left),
        ("found", Align::Right),
        ("what must hold", Align::Left),
    ]);
    for check in checks {
        let found = match check.found {
            0 => "ok".to_owned(),
            found => grouped(found),
        };
        table.row(&[check.check.to_owned(), found, check.holds.to_owned()]);
    }
    let mut text = table.render(width());
    let wrong: Vec<&Checked> = checks.iter().filter(|check| check.found > 0).collect();
    for check in &wrong {
        text.push_str(&findings(check));
    }
    text.push('\n');
    text.push_str(&match wrong.iter().map(|check| check.found).sum() {
        0 => "it holds together\n".to_owned(),
        1 => "it does not hold together: 1 finding\n".to_owned(),
        findings => format!("it does not hold together: {} findings\n", grouped(findings)),
    });
    text
}

/// What one check has found: the first findings by name, how many more there are, and what to do.
fn findings(check: &Checked) -> String {
    let mut text = format!("\n{}:\n", check.check);
    for finding in &check.examples {
        text.push_str(&format!(
            "  {}: {}\n",
            harmless(&finding.place),
            harmless(&finding.what)
        ));
    }
    let more = check.found - check.examples.len() as u64;
    if more > 0 {
        text.push_str(&format!("  and {} more; --limit names them\n", grouped(more)));
    }
    for line in wrapped(check.advice, width().saturating_sub(2)) {
        text.push_str(&format!("  {line}\n"));
    }
    text
}
