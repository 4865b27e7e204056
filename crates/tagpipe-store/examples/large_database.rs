//! Fills an empty SQLite database as a year of reading would: for measuring how fast one can look into it.
//!
//! `cargo run --release -p tagpipe-store --example large_database -- FILE [cards] [audit entries]`

use std::error::Error;

use sea_orm::ConnectionTrait;
use tagpipe_store::{DatabaseUrl, Store};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let file = arguments.first().ok_or("give a file")?;
    let number = |at: usize, default: u64| arguments.get(at).map_or(Ok(default), |text| text.parse());
    let (cards, entries) = (number(1, 1_000_000)?, number(2, 10_000_000)?);
    let store = Store::open(&DatabaseUrl::Sqlite(file.into()), true).await?;
    let numbers = |count: u64| {
        format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})")
    };
    let now = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')";
    let sets = cards.div_ceil(100);
    let profile = tagpipe_core::profile::SiteProfile::builtin();
    let runs = 50;
    for sql in [
        "PRAGMA synchronous = OFF".to_owned(),
        format!(
            "INSERT INTO categories (name, name_key, url, first_seen_at, changed_at, last_seen_at) \
             VALUES ('Hockey', 'hockey', '/pop-report/Hockey', {now}, {now}, {now})"
        ),
        format!(
            "INSERT INTO years (category_id, natural_key, year, sets_count, items_count, graded_count, url, first_seen_at, \
                 changed_at, last_seen_at) \
             VALUES (1, '1989', '1989', {sets}, {cards}, {cards}, '/pop-report/Hockey/1989', {now}, {now}, {now})"
        ),
        format!(
            "INSERT INTO sets (year_id, natural_key, brand, name, url, counts, total, first_seen_at, changed_at, last_seen_at) \
             {} SELECT 1, 'brand ' || i, 'brand ' || i, '', '/x', '{{\"9\":100}}', 100, {now}, {now}, {now} FROM n",
            numbers(sets)
        ),
        format!(
            "INSERT INTO cards (set_id, natural_key, number, name, variation, url, counts, total, first_seen_at, changed_at, \
                 last_seen_at) \
             {} SELECT 1 + (i - 1) / 100, 'card ' || i, i, 'A name', '', '/x', '{{\"9\":1}}', 1, {now}, {now}, {now} FROM n",
            numbers(cards)
        ),
        format!(
            "INSERT INTO runs (state, started_at, finished_at, config) {} \
             SELECT CASE WHEN i = {runs} THEN 'running' ELSE 'reconciled' END, {now}, \
                 CASE WHEN i = {runs} THEN NULL ELSE {now} END, \
                 '{{\"site\":{{\"origin\":\"https://my.example.com\"}},\"interval_s\":4.5}}' FROM n",
            numbers(runs)
        ),
        format!(
            "INSERT INTO runners (instance, run_id, runner_id, host, pid, state, started_at, heartbeat_at, pages_completed) {} \
             SELECT 'instance ' || i, i, 'runner_' || i, 'host', i, \
                 CASE WHEN i = {runs} THEN 'running' ELSE 'finished' END, {now}, {now}, 1000 FROM n",
            numbers(runs)
        ),
        format!(
            "INSERT INTO frontier (run_id, level, page_key, url, identity, state, attempts, elapsed_ms, finished_at) {} \
             SELECT {runs}, 4, 'grade_rows/hockey/1989/' || i, '/x', '{{}}', \
                 CASE i % 4 WHEN 0 THEN 'available' ELSE 'completed' END, 1, i % 3000, {now} FROM n",
            numbers(cards)
        ),
        format!(
            "INSERT INTO audit_logs (created_at, level, kind, runner_id, run_id, page_key, operation, message, context) {} \
             SELECT strftime('%Y-%m-%dT%H:%M:%fZ', 1750000000 + i, 'unixepoch'), \
                 CASE WHEN i % 100003 = 0 THEN 'ERROR' WHEN i % 1009 = 0 THEN 'WARNING' ELSE 'INFO' END, \
                 CASE WHEN i % 1009 = 0 THEN 'error' ELSE 'result' END, 'runner_' || (1 + i % {runs}), 1 + i % {runs}, \
                 'grade_rows/hockey/1989/' || (i % 1000000), 'read_page', 'a page read: 12 rows', \
                 '{{\"attempt\":1,\"outcome\":\"complete\",\"duration_ms\":1200}}' FROM n",
            numbers(entries)
        ),
        // All but each fiftieth card, and the rows above them, show what they showed at their last whole reading.
        "UPDATE years SET read_changes = changes".to_owned(),
        "UPDATE sets SET read_changes = changes".to_owned(),
        format!("UPDATE cards SET read_changes = changes, read_at = {now} WHERE id % 50 <> 0"),
        format!(
            "INSERT INTO reading (site, profile, version) VALUES ('{}', '{}', '{}')",
            profile.origin.origin().ascii_serialization(),
            profile.name,
            profile.version
        ),
        "ANALYZE".to_owned(),
    ] {
        store.connection().execute_unprepared(&sql).await?;
    }
    store.close().await;
    println!("{file}: {cards} cards, {entries} audit entries");
    Ok(())
}
