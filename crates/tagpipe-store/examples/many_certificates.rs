//! Fills an empty SQLite database with certificates, twenty to a card: for measuring exports.
//!
//! `cargo run --release -p tagpipe-store --example many_certificates -- FILE CERTIFICATES`

use std::error::Error;

use sea_orm::ConnectionTrait;
use tagpipe_store::{DatabaseUrl, Store};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, certificates] = arguments.as_slice() else {
        return Err("give a file and a number of certificates".into());
    };
    let certificates: u64 = certificates.parse()?;
    let cards = certificates.div_ceil(20);
    let store = Store::open(&DatabaseUrl::Sqlite(file.into()), true).await?;
    let numbers = |count: u64| {
        format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})")
    };
    let at = "'2026-11-24T07:48:09.567Z'";
    for sql in [
        "PRAGMA synchronous = OFF".to_owned(),
        format!(
            "INSERT INTO categories (id, name, name_key, url, first_seen_at, changed_at, last_seen_at) \
             VALUES (1, 'Hockey', 'hockey', '/pop-report/Hockey', {at}, {at}, {at})"
        ),
        format!(
            "INSERT INTO years (id, category_id, natural_key, year, sets_count, items_count, graded_count, url, \
                 first_seen_at, changed_at, last_seen_at) \
             VALUES (1, 1, '1989', '1989', 1, {cards}, {certificates}, '/pop-report/Hockey/1989', {at}, {at}, {at})"
        ),
        format!(
            "INSERT INTO sets (id, year_id, natural_key, brand, name, url, counts, total, first_seen_at, changed_at, \
                 last_seen_at, read_at) VALUES (1, 1, 'Topps', 'Topps', '', '/x', '{{}}', 0, {at}, {at}, {at}, {at})"
        ),
        format!(
            "INSERT INTO cards (set_id, natural_key, number, name, variation, url, counts, total, first_seen_at, \
                 changed_at, last_seen_at) \
             {} SELECT 1, 'card ' || i, i, 'A name', '', '/x', '{{\"9\":12,\"10\":8}}', 20, {at}, {at}, {at} FROM n",
            numbers(cards)
        ),
        // Numbers and days that repeat as little as those of the site do.
        format!(
            "INSERT INTO grade_rows (cert_number, card_id, rank, grade_text, grade, grade_label, grade_code, score, \
                 rank_by_grade, chronology, chron_by_grade, completed_on, report_url, first_seen_at, changed_at, last_seen_at) \
             {} SELECT printf('%c%07d', 65 + i % 26, i), 1 + (i - 1) / 20, i % 20, \
                 CASE i % 5 WHEN 0 THEN '10 GEM MINT (' || (950 + i % 50) || ')' ELSE '9 MINT (' || (850 + i % 100) || ')' END, \
                 CASE i % 5 WHEN 0 THEN 10 ELSE 9 END, CASE i % 5 WHEN 0 THEN 'GEM MINT' ELSE 'MINT' END, \
                 CASE i % 5 WHEN 0 THEN '10' ELSE '9' END, 850 + i * 7919 % 150, i % 12, i % 20, \
                 CASE WHEN i % 7 > 0 THEN i % 12 END, date(1700000000 + i * 7919 % 60000000, 'unixepoch'), \
                 '/card/' || i, {at}, {at}, {at} FROM n",
            numbers(certificates)
        ),
        "ANALYZE".to_owned(),
    ] {
        store.connection().execute_unprepared(&sql).await?;
    }
    store.close().await;
    println!("{file}: {certificates} certificates of {cards} cards");
    Ok(())
}
