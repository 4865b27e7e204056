//! `tagpipe plan`: what a run would read, without a request.

use tagpipe_engine::{Plan, plan as plan_of};

use super::looking;
use crate::cli::{GlobalArguments, PlanArguments};
use crate::exit::{Exit, Failure};
use crate::output::{Align, Table, duration, print, print_json, width};
use crate::report::grouped;
use crate::settings::{Merged, run_config};

/// Shows the plan.
pub(crate) async fn plan(global: &GlobalArguments, arguments: &PlanArguments) -> Result<Exit, Failure> {
    let mut given = global.given();
    given.extend(arguments.given());
    let config = run_config(&Merged::load(global.config.as_deref(), &given)?)?;
    let store = looking::open(global).await?;
    let planned = plan_of(&store, &config)
        .await
        .map_err(|error| Failure::reading(&error))?;
    store.close().await;
    if global.json {
        print_json(&planned)?;
    } else {
        print(&in_words(&planned))?;
    }
    Ok(Exit::Done)
}

fn in_words(plan: &Plan) -> String {
    let mut table = Table::new(&[
        ("level", Align::Left),
        ("to read", Align::Right),
        ("left out", Align::Right),
    ]);
    for level in &plan.levels {
        table.row(&[
            level.level.as_str().replace('_', " "),
            grouped(level.read),
            grouped(level.left_out),
        ]);
    }
    table.row(&["all".to_owned(), grouped(plan.read), grouped(plan.left_out)]);
    let mut text = table.render(width());
    if let Some(why) = &plan.whole_because {
        text.push_str(&format!("everything is read: {why}\n"));
    }
    text.push_str(&match plan.interval_s {
        0.0 => "no pace is asked for\n".to_owned(),
        interval => format!(
            "at {interval:.1} s a request: at least {}\n",
            duration(plan.least_s)
        ),
    });
    text.push_str("As far as the database knows; what the site has changed since comes on top.\n");
    text
}
