//! What keeping documents costs and what reading them again brings, for `bench/documents`: prints a Markdown table.
//!
//! Fails if reading the documents again gives other tables than reading the site gave.

use std::error::Error;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Instant;

use sea_orm::{ConnectionTrait, Statement};
use tagpipe_core::profile::SiteProfile;
use tagpipe_demo::{DemoConfig, DemoSite};
use tagpipe_engine::{Config, FetchMode, Pipeline, Shutdown, Start, reparse};
use tagpipe_store::contract::KeepDocuments;
use tagpipe_store::{DatabaseUrl, Store};
use url::Url;

/// Every value that reading fills in, times included.
const TABLES: [&str; 6] = [
    "categories",
    "years",
    "sets",
    "cards",
    "grade_rows",
    "population_history",
];

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let pages: u64 = std::env::args().nth(1).map_or(Ok(10_000), |text| text.parse())?;
    let folder = tempfile::tempdir()?;
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let site = DemoSite::start(
        DemoConfig {
            pages,
            ..DemoConfig::default()
        },
        any,
        any,
    )
    .await?;
    println!("| | |\n|---|---:|");
    for (name, keep) in [("without", KeepDocuments::None), ("with", KeepDocuments::Last)] {
        let path = folder.path().join(format!("{name}.db"));
        let config = config(&site.site_url(), &path, keep)?;
        let started = Instant::now();
        let mut pipeline = Pipeline::open(config).await?;
        let summary = pipeline.run(Start::New, &Shutdown::default()).await?;
        pipeline.close().await;
        let read: u64 = summary.levels.iter().map(|level| level.completed).sum();
        let rate = read as f64 / started.elapsed().as_secs_f64();
        println!("| pages/s of a run {name} documents | {rate:.0} |");
        let size = std::fs::metadata(&path)?.len() as f64 / read as f64;
        println!("| bytes of the database for each page, {name} documents | {size:.0} |");
    }
    let path = folder.path().join("with.db");
    let config = config(&site.site_url(), &path, KeepDocuments::Last)?;
    let store = Store::open(&config.database, false).await?;
    let totals = store.document_totals().await?;
    println!("| documents of {} pages | {} |", totals.pages, totals.documents);
    println!(
        "| bytes of a page's documents | {} |",
        totals.bytes / totals.pages.max(1)
    );
    println!(
        "| the same as kept | {} |",
        totals.stored_bytes / totals.pages.max(1)
    );
    println!(
        "| pages whose body another page has, too | {} |",
        shared(&store).await?
    );
    let before = dump(&store).await?;
    let report = reparse(&store, &config, &Shutdown::default()).await?;
    println!(
        "| pages/s read again | {:.0} |",
        report.pages as f64 / report.elapsed_s
    );
    if report.pages != totals.pages || dump(&store).await? != before {
        return Err("reading the documents again gave other tables than reading the site".into());
    }
    println!("| the tables are the same afterwards | yes |");
    store.close().await;
    Ok(())
}

fn config(site: &str, path: &Path, keep: KeepDocuments) -> Result<Config, Box<dyn Error>> {
    let mut profile = SiteProfile::builtin();
    profile.origin = Url::parse(site)?;
    let mut config = Config::for_profile(profile);
    config.database = DatabaseUrl::Sqlite(path.to_owned());
    config.fetch = FetchMode::Http;
    config.run.concurrency = 16;
    config.run.delay = std::time::Duration::ZERO;
    config.run.keep_documents = keep;
    Ok(config)
}

async fn dump(store: &Store) -> Result<Vec<String>, Box<dyn Error>> {
    let mut all = Vec::new();
    for table in TABLES {
        let columns = lines(
            store,
            &format!("SELECT name AS line FROM pragma_table_info('{table}')"),
        )
        .await?;
        let columns = columns.join(", ");
        all.extend(
            lines(
                store,
                &format!("SELECT json_array({columns}) AS line FROM {table} ORDER BY id"),
            )
            .await?,
        );
    }
    Ok(all)
}

async fn shared(store: &Store) -> Result<String, Box<dyn Error>> {
    let sql = "SELECT CAST(count(*) - count(DISTINCT hash) AS text) AS line FROM documents";
    Ok(lines(store, sql).await?.join(""))
}

async fn lines(store: &Store, sql: &str) -> Result<Vec<String>, Box<dyn Error>> {
    let connection = store.connection();
    let statement = Statement::from_string(connection.get_database_backend(), sql);
    let rows = connection.query_all_raw(statement).await?;
    rows.iter().map(|row| Ok(row.try_get("", "line")?)).collect()
}
