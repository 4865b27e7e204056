//! How fast one can browse a large database, and what the search index costs those who write, on both engines.
//!
//! `cargo run --release -p tagpipe-store --all-features --example browsing -- [cards] [audit entries]`

use std::error::Error;
use std::future::Future;
use std::time::{Duration, Instant};

use sea_orm::ConnectionTrait;
use tagpipe_store::testing::TestDatabase;
use tagpipe_store::{Dialect, Store, StoreError};

/// Sets whose cards are written one set to a transaction: with a page for each card, 10,000 pages.
const SETS_WRITTEN: u64 = 101;
const CARDS_OF_A_SET: u64 = 98;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default: u64| arguments.get(at).map_or(Ok(default), |text| text.parse());
    let (cards, entries) = (number(0, 100_000)?, number(1, 1_000_000)?);
    for make in [TestDatabase::sqlite, TestDatabase::postgres] {
        let database = make();
        let store = database.open().await;
        println!("\n{:?}, {cards} cards, {entries} audit entries", store.dialect());
        for indexed in [false, true] {
            let database = make();
            let store = database.open().await;
            if !indexed {
                let (applied, _) = Store::migrations(&database.url()).await?;
                let since = applied
                    .iter()
                    .rev()
                    .take_while(|name| *name != "m0010_search")
                    .count();
                store.migrate_down(u32::try_from(since + 1)?).await?;
            }
            let (wall, processor) = write_cards(&store).await?;
            println!(
                "{SETS_WRITTEN} x {CARDS_OF_A_SET} cards written, index {indexed}: {wall:?}, of this process {processor:?}"
            );
            store.close().await;
        }
        fill(&store, cards, entries).await?;
        look(&store).await?;
        store.close().await;
    }
    Ok(())
}

/// Times of an engine, and numbers as rows.
struct Sql {
    json: &'static str,
    engine: Dialect,
}

impl Sql {
    fn of(store: &Store) -> Sql {
        let json = match store.dialect() {
            Dialect::Sqlite => "text",
            Dialect::Postgres => "jsonb",
        };
        Sql {
            json,
            engine: store.dialect(),
        }
    }

    fn ago(&self, seconds: &str) -> String {
        match self.engine {
            Dialect::Sqlite => {
                format!("strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-' || ({seconds}) || ' seconds')")
            }
            Dialect::Postgres => format!("clock_timestamp() - ({seconds}) * interval '1 second'"),
        }
    }

    fn numbers(count: u64) -> String {
        format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})")
    }

    fn counts(&self) -> String {
        format!("CAST('{{\"8.5\":1,\"9\":2,\"10\":1}}' AS {})", self.json)
    }
}

async fn fill_above(store: &Store, sets: u64, cards: u64) -> Result<(), StoreError> {
    let sql = Sql::of(store);
    let (now, counts) = (sql.ago("0"), sql.counts());
    for statement in [
        format!(
            "INSERT INTO categories (name, name_key, url, first_seen_at, changed_at, last_seen_at) {} \
             SELECT 'Category ' || i, 'category ' || i, '/c', {now}, {now}, {now} FROM n",
            Sql::numbers(10)
        ),
        format!(
            "INSERT INTO years (category_id, natural_key, year, sets_count, items_count, graded_count, url, first_seen_at, \
                 changed_at, last_seen_at) {} \
             SELECT 1 + i % 10, 'year ' || i, CAST(1980 + i / 10 AS text), {sets} / 300, {cards} / 300, {cards}, '/y', {now}, \
                 {now}, {now} FROM n",
            Sql::numbers(300)
        ),
        format!(
            "INSERT INTO sets (year_id, natural_key, brand, name, url, counts, total, first_seen_at, changed_at, last_seen_at) \
             {} SELECT 1 + i % 300, 'set ' || i, CASE i % 3 WHEN 0 THEN 'Donruss' ELSE 'Brand' || (i % 50) END, 'Series ' || i, \
                 '/s', {counts}, 100, {now}, {now}, {now} FROM n",
            Sql::numbers(sets)
        ),
    ] {
        store.connection().execute_unprepared(&statement).await?;
    }
    Ok(())
}

/// Cards `first` and the `count` after it, of a set for each `per_set`.
fn cards(sql: &Sql, first: u64, count: u64, per_set: u64) -> String {
    format!(
        "INSERT INTO cards (set_id, natural_key, number, name, variation, url, counts, total, first_seen_at, changed_at, \
             last_seen_at, read_at, verified_at) {numbers} \
         SELECT 1 + ({first} + i - 1) / {per_set}, 'card ' || ({first} + i), CAST(i % 700 AS text), \
             CASE i % 500 WHEN 0 THEN 'Ken Griffey' ELSE 'Player' || (({first} + i) % 5000) || ' Name' || (i % 77) END, \
             CASE i % 4 WHEN 0 THEN 'Refractor' ELSE '' END, '/pop-report/category/year/set/card-' || i, {counts}, 4, {now}, \
             {now}, {now}, {read}, CASE WHEN i % 3 <> 0 THEN {now} END FROM n",
        numbers = Sql::numbers(count),
        counts = sql.counts(),
        now = sql.ago("0"),
        read = sql.ago("i % 1000000"),
    )
}

async fn write_cards(store: &Store) -> Result<(Duration, Duration), Box<dyn Error>> {
    let sql = Sql::of(store);
    fill_above(store, SETS_WRITTEN + 1, SETS_WRITTEN * CARDS_OF_A_SET).await?;
    let (begun, used) = (Instant::now(), processor_time()?);
    for set in 0..SETS_WRITTEN {
        let statement = cards(&sql, set * CARDS_OF_A_SET, CARDS_OF_A_SET, CARDS_OF_A_SET);
        store.connection().execute_unprepared(&statement).await?;
    }
    Ok((begun.elapsed(), processor_time()?.saturating_sub(used)))
}

/// What this process has used of the processors, to the hundredth of a second.
fn processor_time() -> Result<Duration, Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<u64>().ok())
        .sum();
    Ok(Duration::from_millis(ticks * 10))
}

async fn fill(store: &Store, count: u64, entries: u64) -> Result<(), StoreError> {
    let sql = Sql::of(store);
    let per_set = 100;
    fill_above(store, count / per_set + 1, count).await?;
    let json = sql.json;
    for statement in [
        cards(&sql, 0, count, per_set),
        format!(
            "INSERT INTO runs (state, started_at, config) VALUES ('running', {}, CAST('{{}}' AS {json}))",
            sql.ago("100000")
        ),
        format!(
            "INSERT INTO frontier (run_id, level, page_key, url, identity, state, attempts, subject_id, elapsed_ms, finished_at) {} \
             SELECT 1, 4, 'grade_rows/' || i, '/x', CAST('{{\"category\":\"Category ' || (i % 10) || '\",\"year\":\"' || (1980 + i % 30) \
                 || '\",\"brand\":\"Donruss\",\"set\":\"\",\"name\":\"A Name\",\"number\":\"1\",\"variation\":\"\"}}' AS {json}), \
                 CASE i % 9 WHEN 0 THEN 'available' WHEN 1 THEN 'failed' ELSE 'completed' END, 1, i, (i * 7919) % 9000, {} FROM n",
            Sql::numbers(count),
            sql.ago("i % 100000")
        ),
        format!(
            "INSERT INTO audit_logs (created_at, level, kind, runner_id, run_id, page_key, operation, message, context) {} \
             SELECT {}, CASE WHEN i % 1000 = 0 THEN 'ERROR' WHEN i % 50 = 0 THEN 'WARNING' ELSE 'INFO' END, \
                 CASE WHEN i % 50 = 0 THEN 'error' ELSE 'result' END, 'runner_1', 1, 'grade_rows/' || (i % 100000), 'read_page', \
                 'a page read: 12 rows', CAST('{{\"attempt\":1,\"outcome\":\"timeout\",\"duration_ms\":1200}}' AS {json}) FROM n",
            Sql::numbers(entries),
            sql.ago("i % 2592000")
        ),
        "ANALYZE".to_owned(),
    ] {
        store.connection().execute_unprepared(&statement).await?;
    }
    Ok(())
}

async fn look(store: &Store) -> Result<(), StoreError> {
    const WEEK: Duration = Duration::from_secs(7 * 86_400);
    time("categories", || async { Ok(store.categories().await?.len()) }).await?;
    time("category", || async {
        Ok(usize::from(store.category(3).await?.is_some()))
    })
    .await?;
    time("years_of", || async { Ok(store.years_of(1).await?.len()) }).await?;
    time("sets_of", || async {
        Ok(store.sets_of(7, None, 50).await?.len())
    })
    .await?;
    time("cards_of", || async {
        Ok(store.cards_of(77, None, 100).await?.len())
    })
    .await?;
    time("card", || async {
        Ok(usize::from(store.card(4711).await?.is_some()))
    })
    .await?;
    for query in [
        "1989 donruss grif",
        "player4711",
        "donruss",
        "c",
        "1989",
        "ca re 19 do",
        "nothing",
    ] {
        let name = format!("search {query}");
        time(&name, || async {
            Ok(store.search(query, None, None, 50).await?.len())
        })
        .await?;
    }
    time("search donruss, category", || async {
        Ok(store.search("donruss", Some(3), None, 50).await?.len())
    })
    .await?;
    time("search donruss, late page", || async {
        Ok(store.search("donruss", None, Some(90_000), 50).await?.len())
    })
    .await?;
    time("throughput", || async {
        Ok(store
            .throughput(1, 100)
            .await?
            .map_or(0, |found| found.spans.len()))
    })
    .await?;
    time("error_causes, a week", || async {
        Ok(store.error_causes(WEEK).await?.len())
    })
    .await?;
    time("errors_by_hour, a week", || async {
        Ok(store.errors_by_hour(WEEK).await?.len())
    })
    .await?;
    time("latency", || async { Ok(store.latency(1).await?.pages as usize) }).await?;
    time("saved_requests", || async {
        Ok(store.saved_requests(20).await?.len())
    })
    .await?;
    time("coverage", || async { Ok(store.coverage().await?.len()) }).await?;
    time("category_progress", || async {
        Ok(store.category_progress(1).await?.len())
    })
    .await?;
    time("year_progress", || async {
        Ok(store.year_progress(1, "Category 3").await?.len())
    })
    .await?;
    time("discrepancies", || async {
        Ok(store.discrepancies(true, None, None, 50).await?.len())
    })
    .await
}

/// Prints the median time of a question.
async fn time<F, A>(name: &str, question: F) -> Result<(), StoreError>
where
    F: Fn() -> A,
    A: Future<Output = Result<usize, StoreError>>,
{
    let mut times = Vec::new();
    let mut rows = 0;
    for _ in 0..9 {
        let begun = Instant::now();
        rows = question().await?;
        times.push(begun.elapsed());
    }
    times.sort();
    println!(
        "{name:<28} {:>9.2} ms  {rows} rows",
        times[4].as_secs_f64() * 1000.0
    );
    Ok(())
}
