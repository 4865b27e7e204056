//! How many requests a second reading takes when a share of the cards has changed: for `bench/pruning`.
//!
//! `requests_saved [pages]` reads a demo site whole, lets 0, 1, 2, 5 and 20 % of the cards change, reads it again, and
//! prints a Markdown table. The least is what any reader needs that looks only at what shows a change: the categories,
//! which have no counters, and the page of every row whose counters have changed.

use std::collections::HashMap;
use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tagpipe_core::profile::SiteProfile;
use tagpipe_demo::{DemoConfig, DemoSite, RequestKind, RunningDemo, World};
use tagpipe_engine::{Config, FetchMode, Freshness, Pipeline, RunEnd, Shutdown, Start, Summary};
use tagpipe_store::DatabaseUrl;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let pages = std::env::args().nth(1).map_or(Ok(10_000), |text| text.parse())?;
    println!(
        "| cards changed | rows changed | least pages | pages read | times the least | requests | of a full run | saved |"
    );
    println!("|--:|--:|--:|--:|--:|--:|--:|--:|");
    for share in [0.0, 0.01, 0.02, 0.05, 0.2] {
        println!("{}", measure(pages, share).await?);
    }
    Ok(())
}

/// One line of the table.
async fn measure(pages: u64, share: f64) -> Result<String, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let config = DemoConfig {
        pages,
        churn: share,
        ..DemoConfig::default()
    };
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let site = DemoSite::start(config, any, any).await?;
    let file = folder.path().join("tagpipe.db");
    read(&site, file.clone()).await?;
    let whole = requests(&site);
    let before = site.world();
    site.update(|config| config.epoch = 1);
    let after = site.world();
    let summary = read(&site, file).await?;
    let asked = requests(&site) - whole;
    let (changed, cards) = changed_rows(&before, &after);
    let least = 1 + after.category_rows().count() + changed;
    let completed: u64 = summary.levels.iter().map(|level| level.completed).sum();
    Ok(format!(
        "| {:.1} % | {changed} | {least} | {completed} | {:.3} | {asked} | {whole} | {:.1} % |",
        100.0 * cards as f64 / before.card_rows().count() as f64,
        completed as f64 / least as f64,
        100.0 * (1.0 - asked as f64 / whole as f64),
    ))
}

/// Reads everything that is due.
async fn read(site: &RunningDemo, file: PathBuf) -> Result<Summary, Box<dyn Error>> {
    let origin = site.site_url().parse()?;
    let mut config = Config::for_profile(SiteProfile::builtin().with_origin(origin));
    config.database = DatabaseUrl::Sqlite(file);
    config.fetch = FetchMode::Http;
    config.run.concurrency = 16;
    config.run.delay = Duration::ZERO;
    // Pages that are read to be sure come on top; their number is chance.
    config.run.freshness = Freshness {
        audit_share: 0.0,
        ..Freshness::default()
    };
    let mut pipeline = Pipeline::open(config).await?;
    let summary = pipeline.run(Start::New, &Shutdown::default()).await?;
    pipeline.close().await;
    if summary.end != RunEnd::Reconciled {
        return Err(format!("the run ended {}", summary.end).into());
    }
    Ok(summary)
}

fn requests(site: &RunningDemo) -> usize {
    site.requests()
        .iter()
        .filter(|request| request.kind == RequestKind::Document)
        .count()
}

/// Rows that show other counters than before, and how many of them are cards.
fn changed_rows(before: &World, after: &World) -> (usize, usize) {
    let known = counters(before);
    let changed: Vec<_> = counters(after)
        .into_iter()
        .filter(|(row, counts)| known.get(row) != Some(counts))
        .collect();
    let cards = changed.iter().filter(|((level, _), _)| *level == "card");
    (changed.len(), cards.count())
}

type Row = (&'static str, String);

fn counters(world: &World) -> HashMap<Row, String> {
    let years = world.year_rows().map(|row| {
        let counts = format!("{} {} {}", row.sets_count, row.items_count, row.graded_count);
        (("year", format!("{}/{}", row.category, row.year)), counts)
    });
    let sets = world
        .set_rows()
        .map(|row| (("set", row.url), format!("{:?}", row.counts)));
    let cards = world
        .card_rows()
        .map(|row| (("card", row.url), format!("{:?}", row.counts)));
    years.chain(sets).chain(cards).collect()
}
