//! How stale the data is after weeks of one budget, in two reading orders: what has been out of date longest first, and
//! deeper levels first, which is the order of runs that read everything.
//!
//! `bench/freshness` runs it: `freshness PAGES CHURN BUDGET WEEKS JSON`. Real runs on a demo site beside it, into SQLite.
//! A week passes as its site moves on by an epoch and all times in the database back by seven days: only the clock is
//! simulated. The site is read whole once; then the weeks begin, each with one new run of the budget. What is stored of
//! each page is compared with what the site shows on it, and if it differs, with what it showed in earlier weeks.

use std::collections::HashMap;
use std::error::Error;
use std::net::SocketAddr;

use sea_orm::{ConnectionTrait, Statement};
use serde::Serialize;
use tagpipe_core::profile::SiteProfile;
use tagpipe_demo::{DemoConfig, DemoSite, World};
use tagpipe_engine::{Budget, Config, FetchMode, Freshness, Pipeline, RunSettings, Shutdown, Start};
use tagpipe_store::{ReadingOrder, Store};

type Failure = Box<dyn Error>;
/// What stands on a page, by the page's place.
type Contents = HashMap<String, Vec<String>>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [pages, churn, budget, weeks, json] = arguments.as_slice() else {
        return Err("give PAGES CHURN BUDGET WEEKS JSON".into());
    };
    let world = Setting {
        pages: pages.parse()?,
        churn: churn.parse()?,
        budget: budget.parse()?,
        weeks: weeks.parse()?,
    };
    let mut orders = Vec::new();
    for (name, order) in [
        ("stalest first", ReadingOrder::Stalest),
        ("deepest first", ReadingOrder::Deepest),
    ] {
        orders.push((name, world.measure(order).await?));
    }
    world.print(&orders);
    let orders: HashMap<_, _> = orders.iter().map(|(name, weeks)| (*name, weeks)).collect();
    std::fs::write(
        json,
        serde_json::to_string_pretty(&serde_json::json!({ "setting": world, "orders": orders }))?,
    )?;
    Ok(())
}

#[derive(Debug, Clone, Copy, Serialize)]
struct Setting {
    pages: u64,
    churn: f64,
    budget: u64,
    weeks: u32,
}

/// The data after the run of a week.
#[derive(Debug, Clone, Copy, Serialize)]
struct Week {
    week: u32,
    /// Pages read.
    read: u64,
    /// Share of the pages whose stored rows differ from what the site shows.
    stale_share: f64,
    /// How long the stored rows have been out of date, over all pages; 0 for those that are not.
    mean_age_weeks: f64,
    /// The same of the page that is worst.
    worst_age_weeks: u32,
}

impl Setting {
    async fn measure(&self, order: ReadingOrder) -> Result<Vec<Week>, Failure> {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let config = DemoConfig {
            pages: self.pages,
            churn: self.churn,
            uneven_churn: true,
            record_requests: false,
            ..DemoConfig::default()
        };
        let site = DemoSite::start(config, any, any).await?;
        let folder = tempfile::tempdir()?;
        let database = format!("sqlite:{}", folder.path().join("freshness.db").display());
        let whole = Budget::default();
        read(&site.site_url(), &database, whole, None).await?;
        let mut shown = vec![contents_of(&site.world())];
        let mut measured = Vec::new();
        for week in 1..=self.weeks {
            let store = Store::open(&database.parse()?, true).await?;
            pass_a_week(&store).await?;
            site.update(|config| config.epoch = week);
            shown.push(contents_of(&site.world()));
            let budget = Budget {
                max_pages: Some(self.budget),
                ..Budget::default()
            };
            let read = read(&site.site_url(), &database, budget, Some(order)).await?;
            let stored = stored_contents(&store).await?;
            store.close().await;
            measured.push(compare(week, read, &stored, &shown)?);
        }
        Ok(measured)
    }

    fn print(&self, orders: &[(&str, Vec<Week>)]) {
        println!(
            "{} pages, of whose cards {} % change in a week, some often and most seldom; {} pages are read a week.\n",
            self.pages,
            self.churn * 100.0,
            self.budget
        );
        let heads: Vec<_> = orders
            .iter()
            .map(|(name, _)| format!(" {name}: stale % | mean age | worst | pages |"))
            .collect();
        println!(
            "| week |{}\n|--:|{}",
            heads.concat(),
            "--:|--:|--:|--:|".repeat(orders.len())
        );
        for week in 0..self.weeks as usize {
            let cells: Vec<_> = orders
                .iter()
                .map(|(_, weeks)| {
                    let Week {
                        read,
                        stale_share,
                        mean_age_weeks,
                        worst_age_weeks,
                        ..
                    } = weeks[week];
                    let share = stale_share * 100.0;
                    format!(" {share:.1} | {mean_age_weeks:.3} | {worst_age_weeks} | {read} |")
                })
                .collect();
            println!("| {} |{}", week + 1, cells.concat());
        }
        println!("\nAges in weeks, the mean over all pages.");
    }
}

/// Pages read by one run.
async fn read(
    site: &str,
    database: &str,
    budget: Budget,
    order: Option<ReadingOrder>,
) -> Result<u64, Failure> {
    let defaults = Config::for_profile(SiteProfile::builtin().with_origin(site.parse()?));
    let config = Config {
        database: database.parse()?,
        fetch: FetchMode::Http,
        run: RunSettings {
            concurrency: 8,
            delay: std::time::Duration::ZERO,
            freshness: Freshness {
                audit_share: 0.0,
                ..Freshness::default()
            },
            budget,
            order,
            ..defaults.run
        },
        ..defaults
    };
    let mut pipeline = Pipeline::open(config).await?;
    let summary = pipeline.run(Start::New, &Shutdown::default()).await?;
    pipeline.close().await;
    Ok(summary.levels.iter().map(|level| level.completed).sum())
}

/// Everything that was known is a week older.
async fn pass_a_week(store: &Store) -> Result<(), Failure> {
    let seen = ["first_seen_at", "changed_at", "last_seen_at"];
    let read = ["read_at", "tried_at"];
    let due = ["same_until", "differs_since"];
    for (table, columns) in [
        ("categories", [&seen[..], &read].concat()),
        ("years", [&seen[..], &read, &due].concat()),
        ("sets", [&seen[..], &read, &due].concat()),
        ("cards", [&seen[..], &read, &due].concat()),
        ("grade_rows", vec!["first_seen_at", "last_seen_at"]),
    ] {
        let changes: Vec<_> = columns
            .iter()
            .map(|column| format!("{column} = strftime('%Y-%m-%dT%H:%M:%fZ', {column}, '-7 days')"))
            .collect();
        let sql = format!("UPDATE {table} SET {}", changes.join(", "));
        store.connection().execute_unprepared(&sql).await?;
    }
    Ok(())
}

/// What the site shows on each page.
fn contents_of(world: &World) -> Contents {
    let mut contents = Contents::new();
    let mut add = |page: [&str; 7], row: String| contents.entry(page.join("/")).or_default().push(row);
    for row in world.category_rows() {
        add([""; 7], row.name);
    }
    for row in world.year_rows() {
        let shown = format!(
            "{} {} {} {}",
            row.year, row.sets_count, row.items_count, row.graded_count
        );
        add([&row.category, "", "", "", "", "", ""], shown);
    }
    for row in world.set_rows() {
        let shown = format!(
            "{}/{} {} {}",
            row.brand,
            row.name,
            row.total,
            counts(&serde_json::json!(row.counts))
        );
        add([&row.category, &row.year, "", "", "", "", ""], shown);
    }
    for row in world.card_rows() {
        let own = format!("{}/{}/{}", row.number, row.name, row.variation);
        let shown = format!("{own} {} {}", row.total, counts(&serde_json::json!(row.counts)));
        add(
            [&row.category, &row.year, "/", &row.brand, &row.set, "", ""],
            shown,
        );
        // A card without certificates has a page all the same.
        add(
            [
                &row.category,
                &row.year,
                &row.brand,
                &row.set,
                &row.number,
                &row.name,
                &row.variation,
            ],
            String::new(),
        );
    }
    for row in world.grade_rows() {
        let shown = format!("{} {}", row.cert_number, row.grade_text);
        add(
            [
                &row.category,
                &row.year,
                &row.brand,
                &row.set,
                &row.number,
                &row.name,
                &row.variation,
            ],
            shown,
        );
    }
    contents.values_mut().for_each(|rows| rows.sort_unstable());
    contents
}

/// The same of what is stored.
async fn stored_contents(store: &Store) -> Result<Contents, Failure> {
    const ABOVE_SETS: &str =
        "JOIN years ON years.id = sets.year_id JOIN categories ON categories.id = years.category_id";
    let queries = [
        "SELECT '//////' AS page, name AS line, NULL AS counts FROM categories".to_owned(),
        "SELECT categories.name || '//////' AS page, NULL AS counts, \
             year || ' ' || sets_count || ' ' || items_count || ' ' || graded_count AS line \
         FROM years JOIN categories ON categories.id = years.category_id"
            .to_owned(),
        format!(
            "SELECT categories.name || '/' || year || '/////' AS page, sets.counts AS counts, \
                 brand || '/' || sets.name || ' ' || sets.total AS line FROM sets {ABOVE_SETS}"
        ),
        format!(
            "SELECT categories.name || '/' || year || '///' || brand || '/' || sets.name || '//' AS page, cards.counts AS counts, \
                 number || '/' || cards.name || '/' || variation || ' ' || cards.total AS line \
             FROM cards JOIN sets ON sets.id = cards.set_id {ABOVE_SETS}"
        ),
        format!(
            "SELECT categories.name || '/' || year || '/' || brand || '/' || sets.name || '/' || number || '/' || cards.name \
                 || '/' || variation AS page, '' AS line, NULL AS counts \
             FROM cards JOIN sets ON sets.id = cards.set_id {ABOVE_SETS}"
        ),
        format!(
            "SELECT categories.name || '/' || year || '/' || brand || '/' || sets.name || '/' || number || '/' || cards.name \
                 || '/' || variation AS page, cert_number || ' ' || grade_text AS line, NULL AS counts \
             FROM grade_rows JOIN cards ON cards.id = grade_rows.card_id JOIN sets ON sets.id = cards.set_id {ABOVE_SETS} \
             WHERE grade_rows.vanished_at IS NULL"
        ),
    ];
    let mut contents = Contents::new();
    for sql in queries {
        let connection = store.connection();
        let statement = Statement::from_string(connection.get_database_backend(), sql);
        for row in connection.query_all_raw(statement).await? {
            let (page, mut line): (String, String) = (row.try_get("", "page")?, row.try_get("", "line")?);
            if let Some(stored) = row.try_get::<Option<String>>("", "counts")? {
                line = format!("{line} {}", counts(&serde_json::from_str(&stored)?));
            }
            contents.entry(page).or_default().push(line);
        }
    }
    contents.values_mut().for_each(|rows| rows.sort_unstable());
    Ok(contents)
}

/// Counts in one form: by the order of their codes, without those that are 0.
fn counts(counts: &serde_json::Value) -> String {
    let mut entries: Vec<_> = counts
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, count)| count.as_u64() != Some(0))
        .map(|(code, count)| format!("{code}:{count}"))
        .collect();
    entries.sort_unstable();
    entries.join(",")
}

fn compare(week: u32, read: u64, stored: &Contents, shown: &[Contents]) -> Result<Week, Failure> {
    let now = shown.last().ok_or("a site shows something")?;
    let (mut stale, mut ages, mut worst) = (0, 0, 0);
    for (page, rows) in now {
        let stored = stored.get(page);
        if stored == Some(rows) {
            continue;
        }
        // The last week whose rows these are; the change came in the week after.
        let last = shown.iter().rposition(|earlier| earlier.get(page) == stored);
        let last =
            last.ok_or_else(|| format!("`{page}` is stored as the site never showed it: {stored:?}"))?;
        let age = week - last as u32;
        stale += 1;
        ages += u64::from(age);
        worst = worst.max(age);
    }
    let pages = now.len() as f64;
    Ok(Week {
        week,
        read,
        stale_share: f64::from(stale) / pages,
        mean_age_weeks: ages as f64 / pages,
        worst_age_weeks: worst,
    })
}
