//! Runs the pipeline from a program and says what came out.
//!
//! ```sh
//! tagpipe demo-site &
//! cargo run --example run_a_pipeline -- http://127.0.0.1:8000 example.db
//! ```

use std::error::Error;
use std::time::Duration;

use tagpipe_core::profile::SiteProfile;
use tagpipe_engine::{Config, FetchMode, Pipeline, RunSettings, Shutdown, Start, Summary};

/// Reads the report at `site` into the database at `database`.
pub async fn read(site: &str, database: &str) -> Result<Summary, Box<dyn Error>> {
    let profile = SiteProfile::builtin().with_origin(site.parse()?);
    let defaults = Config::for_profile(profile);
    let config = Config {
        database: database.parse()?,
        // The demo site needs no script; the real one does: leave this out there.
        fetch: FetchMode::Http,
        run: RunSettings {
            concurrency: 3,
            delay: Duration::from_millis(1),
            ..defaults.run
        },
        ..defaults
    };
    let mut pipeline = Pipeline::open(config).await?;
    // Another task may call `shutdown.request()`: pages in hand are finished, nothing is lost.
    let shutdown = Shutdown::default();
    let summary = pipeline.run(Start::New, &shutdown).await?;
    pipeline.close().await;
    Ok(summary)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [site, database] = arguments.as_slice() else {
        return Err("give the site's origin and a database".into());
    };
    let summary = read(site, database).await?;
    println!(
        "pipeline completed: {}, {} requests, {} new rows",
        summary.end, summary.requests, summary.rows.new
    );
    Ok(())
}
