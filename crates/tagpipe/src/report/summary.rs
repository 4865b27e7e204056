//! The closing summary, as a table for people and as JSON for programs.

use std::fmt::Write;

use tagpipe_engine::{LeftOutSummary, LevelSummary, RunEnd, Summary};
use tagpipe_store::{DatabaseUrl, Verified, VerifiedRows};

use super::runners::parts;
use crate::cli::GlobalArguments;
use crate::exit::{Exit, Failure};
use crate::output::{print, print_json, width};

/// Prints the summary in the form asked for.
pub(crate) fn print_summary(
    summary: &Summary,
    exit: Exit,
    database: &DatabaseUrl,
    global: &GlobalArguments,
) -> Result<(), Failure> {
    if global.json {
        let mut value =
            serde_json::to_value(summary).map_err(|error| Failure::could_not_run(error.to_string()))?;
        value["database"] = database.to_string().into();
        value["exit_code"] = (exit as u8).into();
        return print_json(&value);
    } else if !global.quiet {
        return print(&table(summary, database, global));
    }
    Ok(())
}

/// A number with thousands separators.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A column of the table: its header and the number it shows of a level.
type Column = (&'static str, fn(&LevelSummary) -> u64);

const COLUMNS: &[Column] = &[
    ("pages", |level| level.pages),
    ("completed", |level| level.completed),
    ("unchanged", |level| level.unchanged),
    ("failed", |level| level.failed),
    ("skipped", |level| level.skipped),
    ("open", |level| level.open),
];

fn table(summary: &Summary, database: &DatabaseUrl, global: &GlobalArguments) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write_table(&mut text, summary, database, global);
    text
}

fn write_table(
    text: &mut String,
    summary: &Summary,
    database: &DatabaseUrl,
    global: &GlobalArguments,
) -> std::fmt::Result {
    if let Some(resumed) = summary.resumed {
        writeln!(
            text,
            "resumed run {}: {} pages taken back, {} ready, {} completed before",
            summary.run_id,
            grouped(resumed.taken_back),
            grouped(resumed.ready),
            grouped(resumed.completed)
        )?;
    }
    if summary.joined {
        writeln!(
            text,
            "{} joined run {}; the numbers are those of all its runners",
            summary.runner_id, summary.run_id
        )?;
    }
    write!(text, "\n{:<11}", "level")?;
    for (header, _) in COLUMNS {
        write!(text, "{header:>11}")?;
    }
    writeln!(text)?;
    for level in &summary.levels {
        write!(text, "{:<11}", level.level.as_str().replace('_', " "))?;
        write_numbers(text, |of| of(level))?;
    }
    write!(text, "{:<11}", "all")?;
    write_numbers(text, |of| summary.pages(of))?;
    let rows = summary.rows;
    let verb = if summary.dry_run {
        "rows (dry run, nothing written)"
    } else {
        "rows"
    };
    writeln!(
        text,
        "\n{verb}: {} new, {} changed, {} same, {} vanished",
        grouped(rows.new),
        grouped(rows.changed),
        grouped(rows.same),
        grouped(rows.vanished)
    )?;
    writeln!(
        text,
        "{} requests, {:.1} MB, {:.1} s, {:.1} requests/s (least interval {} s)",
        grouped(summary.requests),
        summary.bytes as f64 / 1e6,
        summary.elapsed_s,
        summary.requests_per_s,
        brief(summary.interval_s)
    )?;
    if summary.left_out.pages > 0 {
        writeln!(text, "{}", left_out_in_words(&summary.left_out))?;
    }
    if summary.runners.len() > 1 {
        write!(text, "\n{}\n", parts(&summary.runners, width()))?;
    }
    writeln!(text, "{}", verified_in_words(&summary.verified))?;
    write_details(text, summary)?;
    writeln!(text, "run {}: {}", summary.run_id, ending(summary))?;
    if !summary.dry_run {
        writeln!(text, "data: {database}")?;
    }
    if !summary.end.is_final() && summary.run_id != 0 && !summary.dry_run {
        writeln!(
            text,
            "go on with: {}",
            command_to_go_on(way_on(summary), summary.run_id, global)
        )?;
    }
    Ok(())
}

/// How whoever was told this summary goes on with its run.
fn way_on(summary: &Summary) -> WayOn {
    match summary.runner_id.as_str() {
        "orchestrator" => WayOn::Orchestrate,
        _ if summary.joined => WayOn::Join,
        _ => WayOn::Run,
    }
}

/// How a run is gone on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WayOn {
    Run,
    Orchestrate,
    Join,
}

/// The command that goes on with a run; a database and settings that were named have to be named again.
pub(crate) fn command_to_go_on(way: WayOn, run: i64, global: &GlobalArguments) -> String {
    let mut command = match way {
        WayOn::Run => format!("tagpipe run --resume {run}"),
        WayOn::Orchestrate => format!("tagpipe orchestrate --resume {run}"),
        WayOn::Join => format!("tagpipe run --join {run}"),
    };
    if let Some(file) = &global.config {
        command.push_str(&format!(" --config {}", file.display()));
    }
    if let Some(text) = &global.database_url {
        let shown = match text.parse::<DatabaseUrl>() {
            Ok(url @ DatabaseUrl::Postgres(_)) => url.to_string(),
            _ => text.clone(),
        };
        command.push_str(&format!(" --database-url {shown}"));
    }
    command
}

/// Seconds with as many places as they need, at most three.
pub(crate) fn brief(seconds: f64) -> String {
    let text = format!("{seconds:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn write_numbers(text: &mut String, value: impl Fn(fn(&LevelSummary) -> u64) -> u64) -> std::fmt::Result {
    for (_, of) in COLUMNS {
        write!(text, "{:>11}", grouped(value(*of)))?;
    }
    writeln!(text)
}

fn write_details(text: &mut String, summary: &Summary) -> std::fmt::Result {
    if !summary.retries.is_empty() {
        let causes: Vec<_> = summary
            .retries
            .iter()
            .map(|retry| format!("{} {}", grouped(retry.count), retry.cause))
            .collect();
        writeln!(text, "read again: {}", causes.join(", "))?;
    }
    if let Some(slowest) = summary.slowest.first() {
        writeln!(
            text,
            "slowest: {} ({} ms)",
            shortened(&slowest.page_key),
            slowest.elapsed_ms
        )?;
    }
    for page in &summary.failed {
        writeln!(
            text,
            "failed: {}: {}",
            shortened(&page.page_key),
            shortened(&page.reason)
        )?;
    }
    if summary.denied_by_robots > 0 {
        writeln!(
            text,
            "not allowed by robots.txt: {} pages",
            grouped(summary.denied_by_robots)
        )?;
    }
    for note in &summary.notes {
        writeln!(text, "note: {}", shortened(note))?;
    }
    for disagreement in &summary.disagreements {
        writeln!(text, "does not agree: {}", shortened(disagreement))?;
    }
    Ok(())
}

/// How much of the catalogue is verified, and since when.
pub(crate) fn verified_in_words(verified: &Verified) -> String {
    let of = |rows: &VerifiedRows| format!("{} of {}", grouped(rows.verified), grouped(rows.of));
    let oldest = [&verified.sets, &verified.cards]
        .iter()
        .filter_map(|rows| rows.oldest_at.as_deref())
        .min();
    // The day says enough to people; programs have the moment.
    let since = oldest
        .and_then(|at| at.get(..10))
        .map_or_else(String::new, |day| format!(", the oldest on {day}"));
    format!(
        "verified: {} sets, {} cards{since}",
        of(&verified.sets),
        of(&verified.cards)
    )
}

/// What was not read, and how sure it is that nothing was missed.
fn left_out_in_words(left_out: &LeftOutSummary) -> String {
    let mut words = format!(
        "left out as unchanged: {} pages, as many requests saved",
        grouped(left_out.pages)
    );
    if let Some(most) = left_out.missed_share_most {
        words.push_str(&format!(
            "; {} others read to be sure: {} had changed, so at most {:.1} % of those left out (95 % confidence)",
            grouped(left_out.audited),
            grouped(left_out.missed),
            most * 100.0
        ));
    }
    words
}

fn ending(summary: &Summary) -> String {
    match &summary.end {
        RunEnd::Reconciled if summary.pages(|level| level.pages) == 0 => "nothing to do".to_owned(),
        RunEnd::Reconciled if summary.moved > 0 => format!(
            "reconciled: everything was read and the sums agree, but for {} that moved while they were read",
            grouped(summary.moved)
        ),
        RunEnd::Reconciled => "reconciled: everything was read and the sums agree".to_owned(),
        RunEnd::PagesFailed => "finished, but some pages could not be read".to_owned(),
        RunEnd::Disputed => {
            let unverified = match summary.unverified {
                0 => String::new(),
                some => format!(", {} of them not verified", grouped(some)),
            };
            format!(
                "disputed: everything was read, but {} sums do not agree{unverified}; `tagpipe check` tells more",
                grouped(summary.discrepancies)
            )
        }
        RunEnd::BudgetSpent(reason) => format!("stopped after {reason}"),
        RunEnd::KeptRefusing(reason) | RunEnd::LayoutChanged(reason) | RunEnd::RunnersLost(reason) => {
            reason.clone()
        }
        RunEnd::Interrupted => "interrupted; nothing is lost".to_owned(),
    }
}

/// A text from the site, cut to a line's length at a character's border.
fn shortened(text: &str) -> String {
    const MOST: usize = 160;
    if text.chars().count() <= MOST {
        return text.to_owned();
    }
    let cut: String = text.chars().take(MOST - 1).collect();
    format!("{cut}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }
}
