//! `tagpipe demo`: the whole main job in a minute, on a site that comes with the program.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Instant;

use tagpipe_core::profile::SiteProfile;
use tagpipe_demo::{DemoConfig, DemoSite, Rendering, RunningDemo};
use tagpipe_engine::{Config, FetchMode, RunEnd, Start};
use tagpipe_fetch::find_chromium;
use tagpipe_store::DatabaseUrl;
use url::Url;

use super::reading::{Ended, execute};
use crate::cli::{DemoArguments, GlobalArguments};
use crate::exit::{Exit, Failure};
use crate::logging::{self, Logging};
use crate::notifying::Receivers;
use crate::output::say;
use crate::report::{Display, grouped, print_summary};
use crate::settings::{Merged, database_url, log_format, log_level};

/// Where the demo keeps its data: its own file, made anew each time.
const DEMO_FILE: &str = "tagpipe-demo.db";
/// Pages of the script-rendered form: enough to see it, few enough to be done soon.
const RENDERED_PAGES: u64 = 60;

/// Reads the demo site into SQLite and shows what came out and where to look next.
pub(crate) async fn demo(global: &GlobalArguments, arguments: &DemoArguments) -> Result<Exit, Failure> {
    let merged = Merged::load(global.config.as_deref(), &global.given())?;
    let display = Display::new(global.quiet);
    let logging = Logging {
        level: log_level(&merged)?,
        format: log_format(&merged)?,
        is_quiet: true,
        runner_id: None,
    };
    logging::start(logging, display.bars());
    let is_quiet = global.quiet || global.json;
    let database = match global.database_url {
        Some(_) => database_url(&merged)?,
        None => fresh_file(Path::new(DEMO_FILE))?,
    };
    let site = start_site(arguments.seed, arguments.pages, Rendering::Server).await?;
    if !is_quiet {
        say!(
            "demo site with {} pages at {}/pop-report",
            grouped(site.world().page_count()),
            site.site_url()
        );
    }
    let ended = read_site(&site, database.clone(), FetchMode::Http, &display).await?;
    site.stop().await;
    let mut exit = Exit::of_run(&ended.summary.end, ended.terminated);
    print_summary(&ended.summary, exit, &database, global)?;
    if !is_quiet && !arguments.no_browser && exit == Exit::Done {
        exit = show_rendered(arguments.seed, &display).await?;
    }
    if !is_quiet {
        print_next_steps(&database)?;
    }
    Ok(exit)
}

async fn start_site(seed: u64, pages: u64, rendering: Rendering) -> Result<RunningDemo, Failure> {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let config = DemoConfig {
        seed,
        pages,
        rendering,
        ..DemoConfig::default()
    };
    DemoSite::start(config, any, any)
        .await
        .map_err(|error| Failure::could_not_run(format!("cannot start the demo site: {error}")))
}

async fn read_site(
    site: &RunningDemo,
    database: DatabaseUrl,
    fetch: FetchMode,
    display: &Display,
) -> Result<Ended, Failure> {
    let origin = Url::parse(&site.site_url()).map_err(|error| Failure::could_not_run(error.to_string()))?;
    let mut config = Config::for_profile(SiteProfile::builtin().with_origin(origin));
    config.database = database;
    config.fetch = fetch;
    config.run.delay = std::time::Duration::ZERO;
    config.run.concurrency = 4;
    execute(config, Start::New, display, Receivers::default()).await
}

/// The real case: pages that a script paints. Needs Chromium, and says so if there is none.
async fn show_rendered(seed: u64, display: &Display) -> Result<Exit, Failure> {
    if find_chromium(None).is_err() {
        say!(
            "\nWith Chromium installed (`apt-get install chromium`) the demo also reads script-rendered pages."
        );
        return Ok(Exit::Done);
    }
    let site = start_site(seed, RENDERED_PAGES, Rendering::Script).await?;
    let started = Instant::now();
    let ended = read_site(&site, DatabaseUrl::Memory, FetchMode::Browser, display).await?;
    site.stop().await;
    say!(
        "\nthe same through Chromium: {} script-rendered pages, {} rows, {}, in {:.1} s",
        grouped(ended.summary.pages(|level| level.completed)),
        grouped(ended.summary.rows.new),
        if ended.summary.end == RunEnd::Reconciled {
            "sums agree"
        } else {
            "but not all is well"
        },
        started.elapsed().as_secs_f64()
    );
    Ok(Exit::of_run(&ended.summary.end, ended.terminated))
}

fn fresh_file(path: &Path) -> Result<DatabaseUrl, Failure> {
    for ending in ["", "-wal", "-shm"] {
        let file = PathBuf::from(format!("{}{ending}", path.display()));
        match std::fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Failure::could_not_run(format!(
                    "cannot replace `{}`: {error}",
                    file.display()
                )));
            }
            _ => {}
        }
    }
    Ok(DatabaseUrl::Sqlite(path.to_owned()))
}

fn print_next_steps(database: &DatabaseUrl) -> Result<(), Failure> {
    let DatabaseUrl::Sqlite(path) = database else {
        return Ok(());
    };
    let path = path.display();
    say!("\nLook at it:");
    say!("  tagpipe status --database-url sqlite:{path}");
    say!("  tagpipe check --database-url sqlite:{path}");
    say!("  tagpipe serve --database-url sqlite:{path}   # dashboard and API");
    say!("  tagpipe show X3032464 --database-url sqlite:{path}");
    say!("  sqlite3 {path} \"SELECT * FROM catalogue ORDER BY total DESC LIMIT 10\"");
    say!(
        "  sqlite3 {path} \"SELECT grade_text, cert_number FROM grade_rows WHERE cert_number = 'X3032464'\""
    );
    say!("  sqlite3 {path} \"SELECT * FROM audit_logs ORDER BY created_at DESC LIMIT 10\"");
    say!("Read the real report, one year of one sport first:");
    say!("  tagpipe run --categories Hockey --year-filter 1989");
    Ok(())
}
