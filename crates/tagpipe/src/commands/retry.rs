//! `tagpipe retry`: failed pages become available again.

use serde_json::json;
use tagpipe_core::model::PageKind;
use tagpipe_core::outcome::Cause;
use tagpipe_engine::run_status;
use tagpipe_store::retry::RetryFilter;

use super::looking;
use crate::cli::{GlobalArguments, RetryArguments};
use crate::exit::{Exit, Failure};
use crate::output::{print, print_json};
use crate::report::{WayOn, command_to_go_on, grouped};

/// Who did it, in the audit trail.
const ACTOR: &str = "tagpipe retry";

/// Makes the chosen failed pages of a run available again and says how to go on.
pub(crate) async fn retry(global: &GlobalArguments, arguments: &RetryArguments) -> Result<Exit, Failure> {
    let levels = arguments
        .level
        .iter()
        .map(|name| level(name))
        .collect::<Result<_, _>>()?;
    let causes = arguments
        .cause
        .iter()
        .map(|name| cause(name))
        .collect::<Result<_, _>>()?;
    let store = looking::open_to_write(global).await?;
    let failed = |error| Failure::reading(&error);
    let run = match arguments.run {
        Some(id) => store.run(id).await.map_err(failed)?,
        None => store.newest_run().await.map_err(failed)?,
    };
    let run = run.ok_or_else(|| {
        Failure::could_not_run(match arguments.run {
            Some(id) => format!("there is no run {id}; `tagpipe runs` lists them"),
            None => "there is no run yet; `tagpipe run` starts one".to_owned(),
        })
    })?;
    if run.config["work"] == "reparse" {
        return Err(Failure::usage(format!(
            "run {} has read kept documents again; `tagpipe run` asks the site for the pages that did not fit",
            run.id
        )));
    }
    let filter = RetryFilter {
        levels,
        causes,
        since: looking::ago(&store, arguments.since.as_deref()).await?,
        page_key: None,
    };
    let pages = store.retry_failed(run.id, &filter, ACTOR).await.map_err(failed)?;
    let is_worked_on = run_status(&store, run.id)
        .await
        .map_err(failed)?
        .is_some_and(|status| status.alive > 0);
    let all = store.failed_pages(run.id, 1).await.map_err(failed)?;
    store.close().await;
    if global.json {
        print_json(&json!({ "run": run.id, "pages": pages }))?;
    } else if pages > 0 {
        let next = if is_worked_on {
            "the runner at work reads them".to_owned()
        } else {
            format!("read them with: {}", command_to_go_on(WayOn::Run, run.id, global))
        };
        print(&format!(
            "failed pages of run {} that are available again: {}; {next}\n",
            run.id,
            grouped(pages)
        ))?;
    } else if all.is_empty() {
        print(&format!("nothing to do: no page of run {} has failed\n", run.id))?;
    } else {
        print(&format!(
            "nothing to do: no failed page of run {} is of that level, cause and time; `tagpipe run show {}` lists them\n",
            run.id, run.id
        ))?;
    }
    Ok(Exit::Done)
}

fn level(name: &str) -> Result<PageKind, Failure> {
    name.trim().parse().map_err(|_| {
        Failure::usage(format!(
            "`{name}` is not a level (set by --level); it takes category, year, set, card or graderows"
        ))
    })
}

fn cause(name: &str) -> Result<Cause, Failure> {
    let name = name.trim().to_ascii_lowercase();
    Cause::from_name(&name).ok_or_else(|| {
        let known: Vec<_> = Cause::ALL.iter().map(|cause| cause.as_str()).collect();
        Failure::usage(format!(
            "`{name}` is not a cause (set by --cause); there are {}",
            known.join(", ")
        ))
    })
}
