//! `tagpipe diff`: what changed between two times or runs.

use std::collections::BTreeMap;
use std::io::IsTerminal;

use serde::Serialize;
use serde_json::json;
use tagpipe_core::filter::Filters;
use tagpipe_store::Store;
use tagpipe_store::contract::RunId;
use tagpipe_store::diff::{Change, DiffWalk, RunInSpan, Span};

use super::looking::{self, FilterTexts};
use crate::cli::{DiffArguments, DiffFormat, GlobalArguments};
use crate::exit::{Exit, Failure};
use crate::output::{Align, Table, print, width};
use crate::report::grouped;

/// Rows of the history that are looked at together.
const CHUNK: u32 = 2_000;
/// Rows of a table on a terminal, unless told otherwise.
const SHOWN: u64 = 50;
/// Rows of a table whose columns line up: more are written as they come, in tables of this size.
const LINED_UP: usize = 1_000;
/// Runs that a table names.
const RUNS_NAMED: usize = 5;

/// Shows the differences.
pub(crate) async fn diff(global: &GlobalArguments, arguments: &DiffArguments) -> Result<Exit, Failure> {
    let (filters, format) = (filters(arguments)?, format(global, arguments)?);
    let store = looking::open(global).await?;
    looking::warn_of_unmatched(&store, &filters).await?;
    let span = span(&store, arguments).await?;
    let runs = store
        .runs_within(span)
        .await
        .map_err(|error| Failure::reading(&error))?;
    let mut counts = Counts::default();
    match format {
        DiffFormat::Table => {
            table(&store, span, &runs, &filters, arguments.limit, &mut counts).await?;
        }
        DiffFormat::Json => {
            let head = json!({ "from": time(span.from_us), "to": time(span.until_us), "runs": runs });
            print(&format!("{{\"span\":{head},\"changes\":["))?;
            let mut is_first = true;
            each(&store, span, &filters, &mut counts, |changes| {
                let mut text = String::new();
                for change in changes {
                    text.push_str(if is_first { "\n" } else { ",\n" });
                    text.push_str(&as_json(change)?);
                    is_first = false;
                }
                print(&text)
            })
            .await?;
            print(&format!("\n],\"counts\":{}}}\n", as_json(&counts)?))?;
        }
        DiffFormat::Csv => {
            print(&csv_line(&HEADER.map(str::to_owned)))?;
            each(&store, span, &filters, &mut counts, |changes| {
                print(
                    &changes
                        .iter()
                        .map(|change| csv_line(&cells(change)))
                        .collect::<String>(),
                )
            })
            .await?;
        }
    }
    store.close().await;
    Ok(Exit::Done)
}

fn format(global: &GlobalArguments, arguments: &DiffArguments) -> Result<DiffFormat, Failure> {
    match (global.json, arguments.format) {
        (true, Some(DiffFormat::Table | DiffFormat::Csv)) => Err(Failure::usage(
            "--json and --format ask for two formats; write one of them",
        )),
        (true, _) => Ok(DiffFormat::Json),
        (false, _) if arguments.csv => Ok(DiffFormat::Csv),
        (false, format) => Ok(format.unwrap_or(DiffFormat::Table)),
    }
}

fn filters(arguments: &DiffArguments) -> Result<Filters, Failure> {
    looking::filters(&FilterTexts {
        categories: arguments.categories.as_deref(),
        years: arguments.year_filter.as_deref(),
        sets: arguments.set_filter.as_deref(),
        cards: arguments.card_filter.as_deref(),
    })
}

/// The times that are compared: of a run, its end.
async fn span(store: &Store, arguments: &DiffArguments) -> Result<Span, Failure> {
    let failed = |error| Failure::reading(&error);
    let now_us = store.now_us().await.map_err(failed)?;
    let until_us = match arguments.to.or(arguments.to_run) {
        Some(run) => end_of(store, run).await?,
        None => now_us,
    };
    let from_us = match (&arguments.since, arguments.from.or(arguments.from_run)) {
        (Some(since), _) => {
            let ago = looking::past(store, since).await?;
            now_us - i64::try_from(ago.as_micros()).unwrap_or(now_us)
        }
        (None, Some(run)) => end_of(store, run).await?,
        (None, None) => {
            // What kept documents were read again for is no news of the site.
            let readings = store.newest_readings(2).await.map_err(failed)?;
            match readings.get(1) {
                Some(before) => end_of(store, before.id).await?,
                None => 0,
            }
        }
    };
    if from_us > until_us {
        return Err(Failure::usage(format!(
            "the first time, {}, lies after the second, {}; name the older one first",
            time(from_us),
            time(until_us)
        )));
    }
    Ok(Span { from_us, until_us })
}

async fn end_of(store: &Store, run: RunId) -> Result<i64, Failure> {
    store
        .end_of_run_us(run)
        .await
        .map_err(|error| Failure::reading(&error))?
        .ok_or_else(|| Failure::usage(format!("there is no run {run}; `tagpipe runs` lists them")))
}

/// Changes by subject and kind.
#[derive(Debug, Default, Serialize)]
#[serde(transparent)]
struct Counts(BTreeMap<&'static str, BTreeMap<&'static str, u64>>);

impl Counts {
    fn add(&mut self, change: &Change) {
        let of_subject = self.0.entry(change.subject.as_str()).or_default();
        *of_subject.entry(change.change.as_str()).or_default() += 1;
    }

    fn sum(&self) -> u64 {
        self.0.values().flat_map(BTreeMap::values).sum()
    }

    fn in_words(&self) -> String {
        let mut words = Vec::new();
        for (subject, changes) in &self.0 {
            for (change, count) in changes {
                let what = match (*subject, *change) {
                    ("set" | "card", "grown" | "fallen") => format!("grades of {subject}s"),
                    ("category", _) => "categories".to_owned(),
                    _ => format!("{subject}s"),
                };
                words.push(format!("{} {what} {change}", grouped(*count)));
            }
        }
        words.join(", ")
    }
}

/// Calls `show` with the differences that the filters admit, a bounded number at a time.
async fn each(
    store: &Store,
    span: Span,
    filters: &Filters,
    counts: &mut Counts,
    mut show: impl FnMut(&[Change]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut walk = DiffWalk::new(span);
    while let Some(mut changes) = store
        .next_changes(&mut walk, CHUNK)
        .await
        .map_err(|error| Failure::reading(&error))?
    {
        changes.retain(|change| {
            filters
                .rejects(change.subject.page_kind(), &change.identity)
                .is_none()
        });
        changes.iter().for_each(|change| counts.add(change));
        show(&changes)?;
    }
    Ok(())
}

async fn table(
    store: &Store,
    span: Span,
    runs: &[RunInSpan],
    filters: &Filters,
    limit: Option<u64>,
    counts: &mut Counts,
) -> Result<(), Failure> {
    let limit = limit.unwrap_or_else(|| {
        if std::io::stdout().is_terminal() {
            SHOWN
        } else {
            u64::MAX
        }
    });
    print(&format!("{}\n", covered(span, runs)))?;
    let mut shown = 0;
    let mut waiting = Vec::new();
    each(store, span, filters, counts, |changes| {
        for change in changes
            .iter()
            .take(usize::try_from(limit - shown).unwrap_or(usize::MAX))
        {
            shown += 1;
            waiting.push(row(change));
            if waiting.len() == LINED_UP {
                print_rows(&std::mem::take(&mut waiting))?;
            }
        }
        Ok(())
    })
    .await?;
    print_rows(&waiting)?;
    let all = counts.sum();
    if all > shown {
        print(&format!(
            "and {} more; --limit shows more of them, --format csv all\n",
            grouped(all - shown)
        ))?;
    }
    let summary = if all == 0 {
        "nothing changed".to_owned()
    } else {
        counts.in_words()
    };
    print(&format!("{summary}\n"))
}

/// Which time and which runs it is about, and how those ended.
fn covered(span: Span, runs: &[RunInSpan]) -> String {
    let named: Vec<_> = runs
        .iter()
        .rev()
        .take(RUNS_NAMED)
        .map(|run| format!("run {} {}", run.id, run.state))
        .collect();
    let mut text = format!("{} to {}: ", time(span.from_us), time(span.until_us));
    if named.is_empty() {
        text.push_str("no run");
    } else {
        text.push_str(&named.join(", "));
    }
    if runs.len() > RUNS_NAMED {
        text.push_str(&format!(" and {} older ones", runs.len() - RUNS_NAMED));
    }
    text
}

fn print_rows(rows: &[[String; 5]]) -> Result<(), Failure> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(&[
        ("change", Align::Left),
        ("what", Align::Left),
        ("grade", Align::Left),
        ("before → after", Align::Left),
        ("where", Align::Left),
    ]);
    rows.iter().for_each(|row| table.row(row));
    print(&table.render(width()))
}

fn row(change: &Change) -> [String; 5] {
    let what = match change.cert_number.as_str() {
        "" => change.subject.as_str(),
        cert => cert,
    };
    let values = match (change.before.as_str(), change.after.as_str()) {
        ("", "") => String::new(),
        ("", after) => after.to_owned(),
        (before, after) => format!("{before} → {after}"),
    };
    let identity = &change.identity;
    let parts = [
        &identity.category,
        &identity.year,
        &identity.brand,
        &identity.set,
        &identity.number,
        &identity.name,
        &identity.variation,
    ];
    let place: Vec<_> = parts
        .into_iter()
        .filter(|part| !part.is_empty())
        .map(String::as_str)
        .collect();
    [
        change.change.as_str().to_owned(),
        what.to_owned(),
        change.grade.clone(),
        values,
        place.join(" · "),
    ]
}

const HEADER: [&str; 15] = [
    "change",
    "subject",
    "category",
    "year",
    "brand",
    "set",
    "number",
    "name",
    "variation",
    "cert_number",
    "grade",
    "before",
    "after",
    "observed_at",
    "run_id",
];

fn cells(change: &Change) -> [String; 15] {
    let Change {
        subject,
        change,
        identity,
        cert_number,
        grade,
        before,
        after,
        observed_at,
        run_id,
    } = change.clone();
    [
        change.as_str().to_owned(),
        subject.as_str().to_owned(),
        identity.category,
        identity.year,
        identity.brand,
        identity.set,
        identity.number,
        identity.name,
        identity.variation,
        cert_number,
        grade,
        before,
        after,
        observed_at,
        run_id.map(|run| run.to_string()).unwrap_or_default(),
    ]
}

/// A line by RFC 4180, with a bare line end.
fn csv_line(cells: &[String; 15]) -> String {
    let quoted = cells.iter().map(|cell| {
        if cell.contains(['"', ',', '\n', '\r']) {
            format!("\"{}\"", cell.replace('"', "\"\""))
        } else {
            cell.clone()
        }
    });
    quoted.collect::<Vec<_>>().join(",") + "\n"
}

fn as_json(value: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|error| Failure::could_not_run(error.to_string()))
}

/// A time in UTC, to the second.
fn time(us: i64) -> String {
    jiff::Timestamp::from_microsecond(us).map_or_else(
        |_| us.to_string(),
        |time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_of_the_site_stays_one_cell() {
        let mut cells = HEADER.map(|_| String::new());
        cells[0] = "a,b".into();
        cells[1] = "say \"x\"\n".into();
        assert_eq!(
            csv_line(&cells),
            format!("\"a,b\",\"say \"\"x\"\"\n\"{}\n", ",".repeat(13))
        );
    }
}
