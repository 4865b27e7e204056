//! A configuration of one's own: one year of one category, patient with pages, with a budget, watched while it runs.
//!
//! ```sh
//! tagpipe demo-site &
//! cargo run --example custom_configuration -- http://127.0.0.1:8000 example.db
//! ```

use std::error::Error;
use std::time::Duration;

use tagpipe_core::filter::{Filters, NameFilter, YearFilter};
use tagpipe_core::policy::RetryPolicy;
use tagpipe_core::profile::SiteProfile;
use tagpipe_engine::{Budget, Config, FetchMode, Pipeline, RunSettings, Shutdown, Start, Summary};

/// What this program wants, apart from the site and the database.
pub fn configuration(site: &str, database: &str) -> Result<Config, Box<dyn Error>> {
    let defaults = Config::for_profile(SiteProfile::builtin().with_origin(site.parse()?));
    Ok(Config {
        database: database.parse()?,
        fetch: FetchMode::Http,
        run: RunSettings {
            runner_id: "custom_runner".to_owned(),
            concurrency: 5,
            delay: Duration::from_millis(1),
            retry: RetryPolicy {
                max_retries: 5,
                backoff: 3.0,
                ..RetryPolicy::default()
            },
            filters: Filters {
                categories: NameFilter::parse("Hockey")?,
                years: YearFilter::parse("1985-1995")?,
                ..Filters::default()
            },
            budget: Budget {
                max_duration: Some(Duration::from_secs(3600)),
                ..Budget::default()
            },
            ..defaults.run
        },
        ..defaults
    })
}

/// Runs it and prints how far it is whenever that changes.
pub async fn run(config: Config) -> Result<Summary, Box<dyn Error>> {
    let mut pipeline = Pipeline::open(config).await?;
    let mut progress = pipeline.progress();
    let watching = tokio::spawn(async move {
        while progress.changed().await.is_ok() {
            let pages = progress.borrow_and_update().pages;
            eprint!("\r{pages} pages");
        }
    });
    let summary = pipeline.run(Start::New, &Shutdown::default()).await?;
    watching.abort();
    pipeline.close().await;
    Ok(summary)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [site, database] = arguments.as_slice() else {
        return Err("give the site's origin and a database".into());
    };
    let summary = run(configuration(site, database)?).await?;
    println!("\n{}: {} new rows", summary.end, summary.rows.new);
    Ok(())
}
