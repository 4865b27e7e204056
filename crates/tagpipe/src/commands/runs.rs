//! `tagpipe runs` and `tagpipe run show`: what was read, run by run.

use serde_json::json;
use tagpipe_engine::run_status;
use tagpipe_store::monitor::RunOverview;

use super::looking;
use super::status::run_in_words;
use crate::cli::{GlobalArguments, RunsArguments};
use crate::exit::{Exit, Failure};
use crate::output::{Align, Table, cut, duration, harmless, print, print_json, width};
use crate::report::grouped;

/// Failed pages that are listed of one run.
const FAILED_LISTED: u32 = 100;

/// Lists runs, newest first.
pub(crate) async fn runs(global: &GlobalArguments, arguments: &RunsArguments) -> Result<Exit, Failure> {
    let store = looking::open(global).await?;
    let runs = store
        .runs(arguments.before, arguments.limit)
        .await
        .map_err(|error| Failure::reading(&error))?;
    store.close().await;
    if global.json {
        print_json(&json!({ "runs": runs }))?;
        return Ok(Exit::Done);
    }
    if runs.is_empty() {
        print(match arguments.before {
            Some(_) => "no older runs\n",
            None => "no runs; `tagpipe run` starts one\n",
        })?;
        return Ok(Exit::Done);
    }
    let mut table = Table::new(&[
        ("run", Align::Right),
        ("state", Align::Left),
        ("started", Align::Left),
        ("took", Align::Right),
        ("pages", Align::Right),
        ("failed", Align::Right),
        ("requests", Align::Right),
        ("new", Align::Right),
        ("changed", Align::Right),
        ("site", Align::Left),
    ]);
    for run in &runs {
        table.row(&cells(run));
    }
    print(&table.render(width()))?;
    Ok(Exit::Done)
}

fn cells(run: &RunOverview) -> Vec<String> {
    vec![
        run.id.to_string(),
        run.state.clone(),
        run.started_at
            .get(..16)
            .unwrap_or(&run.started_at)
            .replace('T', " "),
        duration(run.elapsed_s),
        grouped(run.pages_completed),
        grouped(run.pages_failed),
        grouped(run.requests),
        grouped(run.rows_new),
        grouped(run.rows_changed),
        run.site().to_owned(),
    ]
}

/// Shows one run with everything that is known of it.
pub(crate) async fn show(global: &GlobalArguments, run: Option<i64>) -> Result<Exit, Failure> {
    let store = looking::open(global).await?;
    let failed = |error| Failure::reading(&error);
    let id = match run {
        Some(id) => id,
        None => match store.newest_run().await.map_err(failed)? {
            Some(newest) => newest.id,
            None => {
                return Err(Failure::could_not_run(
                    "there is no run yet; `tagpipe run` starts one",
                ));
            }
        },
    };
    let status = run_status(&store, id)
        .await
        .map_err(failed)?
        .ok_or_else(|| Failure::could_not_run(format!("there is no run {id}; `tagpipe runs` lists them")))?;
    let failed_pages = store.failed_pages(id, FAILED_LISTED).await.map_err(failed)?;
    let retries = store.retry_causes(id).await.map_err(failed)?;
    let slowest = store.slowest_pages(id, 5).await.map_err(failed)?;
    store.close().await;
    if global.json {
        let retries: Vec<_> = retries
            .iter()
            .map(|(cause, count)| json!({ "cause": cause, "count": count }))
            .collect();
        print_json(&json!({
            "run": status, "failed": failed_pages, "retries": retries, "slowest": slowest
        }))?;
        return Ok(Exit::Done);
    }
    let width = width();
    let mut text = run_in_words(&status, global);
    text.push_str(&cut(
        &format!("settings: {}", status.run.config),
        width.min(10_000),
    ));
    text.push('\n');
    if !retries.is_empty() {
        let causes: Vec<_> = retries
            .iter()
            .map(|(cause, count)| format!("{} {cause}", grouped(*count)))
            .collect();
        text.push_str(&format!("read again: {}\n", causes.join(", ")));
    }
    for page in &slowest {
        let line = format!(
            "slow: {} ms {}",
            grouped(page.elapsed_ms.unsigned_abs()),
            page.page_key
        );
        text.push_str(&cut(&harmless(&line), width));
        text.push('\n');
    }
    for page in &failed_pages {
        let line = format!("failed ({}): {}: {}", page.cause, page.page_key, page.reason);
        text.push_str(&cut(&harmless(&line), width));
        text.push('\n');
    }
    if !failed_pages.is_empty() {
        text.push_str(&format!(
            "read them again: tagpipe retry --run {id} && tagpipe run --resume {id}\n"
        ));
    }
    print(&text)?;
    Ok(Exit::Done)
}
