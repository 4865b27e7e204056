//! `tagpipe audit` and `tagpipe errors`: what happened, and why.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::json;
use tagpipe_store::Store;
use tagpipe_store::audit::{AuditKind, AuditLevel};
use tagpipe_store::audit_query::{AuditFilter, AuditRecord};
use unicode_width::UnicodeWidthStr;

use super::looking;
use super::signals::wait_for_signal;
use crate::cli::{AuditArguments, GlobalArguments};
use crate::exit::{Exit, Failure};
use crate::output::{cut, harmless, print, print_json, width, wrapped};

/// Columns before a message on a line of its own.
const INDENT: usize = 10;
/// How often new entries are looked for.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How far back each look reaches: an entry becomes visible with its transaction, which may have begun earlier
/// than that of an entry already shown.
const REACH: Duration = Duration::from_secs(30);
/// Entries of one look.
const LOOK_MAX: u32 = 10_000;

/// Shows entries of at least `least`, unless the arguments name a level.
pub(crate) async fn audit(
    global: &GlobalArguments,
    arguments: &AuditArguments,
    least: Option<AuditLevel>,
) -> Result<Exit, Failure> {
    let levels = levels(arguments, least)?;
    let store = looking::open(global).await?;
    let filter = AuditFilter {
        least: levels,
        kind: arguments.kind.as_deref().map(kind).transpose()?,
        runner_id: arguments.runner.clone(),
        run: arguments.run,
        page_key: arguments.page.clone(),
        since: looking::ago(&store, arguments.since.as_deref()).await?,
    };
    if arguments.follow {
        return follow(&store, filter, arguments.limit, global.json).await;
    }
    let entries = store
        .audit_entries(&filter, arguments.before, arguments.limit)
        .await
        .map_err(|error| Failure::reading(&error))?;
    store.close().await;
    // A full page may be followed by another.
    let older = (entries.len() == arguments.limit as usize)
        .then(|| entries.last().map(|entry| entry.id))
        .flatten();
    if global.json {
        print_json(&json!({ "entries": entries, "next_before": older }))?;
        return Ok(Exit::Done);
    }
    if entries.is_empty() {
        print("no such entries\n")?;
        return Ok(Exit::Done);
    }
    let mut text = in_words(&entries);
    if let Some(before) = older {
        text.push_str(&format!("older ones: --before {before}\n"));
    }
    print(&text)?;
    Ok(Exit::Done)
}

fn levels(arguments: &AuditArguments, least: Option<AuditLevel>) -> Result<Option<AuditLevel>, Failure> {
    let Some(name) = &arguments.level else {
        return Ok(least);
    };
    let level = AuditLevel::from_name(name).ok_or_else(|| {
        Failure::usage(format!(
            "`{name}` is not a level (set by --level); it takes DEBUG, INFO, WARNING, ERROR or CRITICAL"
        ))
    })?;
    Ok(Some(level))
}

fn kind(name: &str) -> Result<AuditKind, Failure> {
    match name.to_ascii_lowercase().as_str() {
        "operation" => Ok(AuditKind::Operation),
        "error" => Ok(AuditKind::Error),
        "result" => Ok(AuditKind::Result),
        _ => Err(Failure::usage(format!(
            "`{name}` is not a kind of entry (set by --kind); it takes operation, error or result"
        ))),
    }
}

/// Shows the newest entries, then new ones as they come, oldest first, each once.
async fn follow(store: &Store, filter: AuditFilter, limit: u32, json: bool) -> Result<Exit, Failure> {
    let failed = |error| Failure::reading(&error);
    let stopped = wait_for_signal();
    tokio::pin!(stopped);
    let mut entries = store.audit_entries(&filter, None, limit).await.map_err(failed)?;
    let recent = AuditFilter {
        since: Some(REACH),
        ..filter
    };
    // Whatever is there already and was not shown is older than what was asked for.
    let mut seen: HashSet<i64> = store
        .audit_entries(&recent, None, LOOK_MAX)
        .await
        .map_err(failed)?
        .iter()
        .map(|entry| entry.id)
        .collect();
    loop {
        entries.reverse();
        if json {
            entries.iter().try_for_each(print_json)?;
        } else {
            print(&in_words(&entries))?;
        }
        tokio::select! {
            _ = &mut stopped => return Ok(Exit::Done),
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        let look = store
            .audit_entries(&recent, None, LOOK_MAX)
            .await
            .map_err(failed)?;
        let known = std::mem::replace(&mut seen, look.iter().map(|entry| entry.id).collect());
        entries = look
            .into_iter()
            .filter(|entry| !known.contains(&entry.id))
            .collect();
    }
}

/// A line for each entry; where that would cut off what it says, the message stands on lines of its own.
fn in_words(entries: &[AuditRecord]) -> String {
    let width = width();
    let mut text = String::new();
    for entry in entries {
        let head = format!(
            "{:>8}  {}  {:<8}  {}",
            entry.id, entry.created_at, entry.level, entry.runner_id
        );
        let line = harmless(&format!("{head}  {}", entry.message));
        if line.width() <= width {
            text.push_str(&line);
            text.push('\n');
            continue;
        }
        text.push_str(&cut(&harmless(&head), width));
        text.push('\n');
        for part in wrapped(&harmless(&entry.message), width.saturating_sub(INDENT)) {
            text.push_str(&" ".repeat(INDENT));
            text.push_str(&part);
            text.push('\n');
        }
    }
    text
}
