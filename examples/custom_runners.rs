//! Many runners with a configuration of one's own. The program is both: it orchestrates, and each runner is another
//! process of it.
//!
//! ```sh
//! tagpipe demo-site &
//! cargo run --example custom_runners -- http://127.0.0.1:8000 example.db
//! ```

use std::error::Error;
use std::process::{Command, ExitCode};
use std::time::Duration;

use tagpipe_core::policy::RetryPolicy;
use tagpipe_core::profile::SiteProfile;
use tagpipe_engine::{
    Config, FetchMode, Orchestrator, OrchestratorSettings, Pipeline, RunEnd, RunSettings, Shutdown, Start,
    Summary,
};
use tagpipe_store::contract::RunId;

/// What every runner is told, and the orchestrator too.
fn configuration(site: &str, database: &str) -> Result<Config, Box<dyn Error>> {
    let defaults = Config::for_profile(SiteProfile::builtin().with_origin(site.parse()?));
    Ok(Config {
        database: database.parse()?,
        fetch: FetchMode::Http,
        run: RunSettings {
            concurrency: 5,
            delay: Duration::from_millis(10),
            retry: RetryPolicy {
                max_retries: 3,
                backoff: 2.0,
                ..RetryPolicy::default()
            },
            ..defaults.run
        },
        ..defaults
    })
}

/// Keeps three runners at work until the report is read.
async fn orchestrate(site: String, database: String) -> Result<Summary, Box<dyn Error>> {
    let settings = OrchestratorSettings {
        num_runners: 3,
        check_interval: Duration::from_secs(5),
        ..OrchestratorSettings::default()
    };
    let config = configuration(&site, &database)?;
    let program = std::env::current_exe()?;
    let mut orchestrator = Orchestrator::open(config, settings, move |order| {
        let mut command = Command::new(&program);
        let run = order.run.to_string();
        command.args(["runner", &run, &order.runner_id, &site, &database]);
        command
    })
    .await?;
    // Another task may call `shutdown.request()`: all runners finish the pages in hand.
    let summary = orchestrator.run(Start::New, &Shutdown::default()).await?;
    orchestrator.close().await;
    Ok(summary)
}

/// Joins the run under the name that the orchestrator gave.
async fn join(run: RunId, runner_id: &str, site: &str, database: &str) -> Result<Summary, Box<dyn Error>> {
    let mut config = configuration(site, database)?;
    runner_id.clone_into(&mut config.run.runner_id);
    let mut pipeline = Pipeline::open(config).await?;
    let summary = pipeline.run(Start::Join(run), &Shutdown::default()).await?;
    pipeline.close().await;
    Ok(summary)
}

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["runner", run, runner_id, site, database] => {
            let summary = join(run.parse()?, runner_id, site, database).await?;
            // The orchestrator takes the exit codes of `tagpipe run`: 0 when the run is read, 1 for what is to be tried again.
            let is_read = matches!(
                summary.end,
                RunEnd::Reconciled | RunEnd::Disputed | RunEnd::PagesFailed
            );
            Ok(ExitCode::from(u8::from(!is_read)))
        }
        [site, database] => {
            let summary = orchestrate((*site).to_owned(), (*database).to_owned()).await?;
            for runner in &summary.runners {
                println!("{}: {} pages", runner.runner_id, runner.pages);
            }
            println!(
                "{}: {} requests, {} new rows",
                summary.end, summary.requests, summary.rows.new
            );
            Ok(ExitCode::SUCCESS)
        }
        _ => Err("give the site's origin and a database".into()),
    }
}
