//! What left the house, seen over HTTP: each piece of news with what became of it on each channel, as the database has it.

use std::collections::BTreeSet;

use reqwest::StatusCode;
use sea_orm::{ConnectionTrait, Statement};
use serde_json::{Value, json};
use tagpipe_demo::DemoConfig;

use crate::harness::{Engine, PATIENCE, Rig};
use crate::notify::receiver::{Answer, Receiver};
use crate::notify::storm;
use crate::serve::Served;

fn small() -> DemoConfig {
    DemoConfig {
        pages: 40,
        ..DemoConfig::default()
    }
}

/// Deliveries as the tables have them: title, channel, state, attempts, last error, whether it is tried again.
type Stored = (String, String, String, i64, String, bool);

/// By SQL of this test's own.
async fn stored(rig: &Rig) -> BTreeSet<Stored> {
    let store = rig.open().await;
    let sql = "SELECT news.title, d.channel, CASE d.state WHEN 'packed' THEN m.state ELSE d.state END AS state, \
               CASE d.state WHEN 'packed' THEN m.attempts ELSE 0 END AS attempts, \
               CASE d.state WHEN 'packed' THEN m.last_error ELSE '' END AS last_error \
               FROM news_deliveries d JOIN news ON news.id = d.news_id LEFT JOIN news_messages m ON m.id = d.message_id";
    let backend = store.connection().get_database_backend();
    let rows = store
        .connection()
        .query_all_raw(Statement::from_string(backend, sql))
        .await
        .expect("rows");
    let found = rows
        .iter()
        .map(|row| {
            let text = |column: &str| row.try_get::<String>("", column).expect("a text");
            let state = text("state");
            let attempts = row.try_get("", "attempts").expect("a number");
            let is_open = state == "open";
            (
                text("title"),
                text("channel"),
                state,
                attempts,
                text("last_error"),
                is_open,
            )
        })
        .collect();
    store.close().await;
    found
}

fn told(news: &Value) -> BTreeSet<Stored> {
    let mut all = BTreeSet::new();
    for one in news["items"].as_array().expect("items") {
        for delivery in one["deliveries"].as_array().expect("deliveries") {
            let text = |field: &Value| field.as_str().expect("a text").to_owned();
            all.insert((
                text(&one["title"]),
                text(&delivery["channel"]),
                text(&delivery["state"]),
                delivery["attempts"].as_i64().expect("a number"),
                text(&delivery["last_error"]),
                delivery["not_before"].is_string(),
            ));
        }
    }
    all
}

/// The news as soon as every delivery is in one of these states.
async fn settled(served: &Served, states: &[(&str, &str)]) -> Value {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let news = served.get("/api/v1/news").await;
        let found: BTreeSet<(String, String)> = told(&news)
            .into_iter()
            .map(|(_, channel, state, ..)| (channel, state))
            .collect();
        let wanted = states
            .iter()
            .map(|(channel, state)| ((*channel).to_owned(), (*state).to_owned()))
            .collect();
        // One that is open and has no error yet is under way.
        let rests = told(&news)
            .iter()
            .all(|(_, _, state, _, why, _)| state != "open" || !why.is_empty());
        if found == wanted && rests {
            return news;
        }
        assert!(
            std::time::Instant::now() < deadline,
            "{news:#}\n{}",
            served.running.words()
        );
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

/// A job that fails is told to four channels: one takes it, one will never, one asks to be left alone for an hour, and one does not
/// want it.
async fn each_delivery_is_told_as_the_database_has_it(engine: Engine) {
    let mut rig = Rig::on(engine, small()).await;
    let takes = Receiver::start(&[]).await;
    let refuses = Receiver::start(&[]).await;
    refuses.answers_always(Answer::Status(
        "404 Not Found",
        String::new(),
        "Cannot POST /hook?token=opensesame <b>\u{1b}[31m",
    ));
    let puts_off = Receiver::start(&[]).await;
    puts_off.answers_always(Answer::with_header("429 Too Many Requests", "retry-after: 3600"));
    rig.set_variable("PIPELINE_NOTIFY_DIGEST", "0");
    rig.set_variable("PIPELINE_NOTIFY_EVENTS", "job_failed");
    rig.set_variable(
        "PIPELINE_NOTIFY_SLACK_URL",
        &takes.url("/services/T0/B0/secretslack"),
    );
    rig.set_variable(
        "PIPELINE_NOTIFY_WEBHOOK_URL",
        &refuses.url("/hook?token=opensesame"),
    );
    rig.set_variable("PIPELINE_NOTIFY_NTFY_URL", &puts_off.url("/secrettopic"));
    rig.set_variable("PIPELINE_NOTIFY_NTFY_TOKEN", "tk_secretntfy");
    rig.set_variable("PIPELINE_EXPORT_TO", "out");
    rig.run(&[]).await.summary(0);
    rig.write("out", "a file where a folder should be");
    let served = Served::start(&rig, &[]).await;
    let job = json!({ "kind": "export", "options": { "name": "catalogue.csv" } });
    let (status, job) = served.post("/api/v1/jobs", &job).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{job:#}");
    let states = [
        ("ntfy", "open"),
        ("slack", "sent"),
        ("webhook", "failed"),
        ("ntfy", "left_out"),
        ("slack", "left_out"),
        ("webhook", "left_out"),
    ];
    let news = settled(&served, &states).await;

    let first = &news["items"][0];
    assert_eq!(
        (&first["kind"], &first["level"]),
        (&json!("job_failed"), &json!("error"))
    );
    assert_eq!(told(&news), stored(&rig).await);
    let text = news.to_string();
    let addresses = [&takes, &refuses, &puts_off].map(|receiver| receiver.url(""));
    let secrets = ["opensesame", "secretslack", "tk_secretntfy", "secrettopic"];
    for secret in secrets.into_iter().chain(addresses.iter().map(String::as_str)) {
        assert!(!text.contains(secret), "`{secret}` is told: {news:#}");
    }
    let why = first["deliveries"]
        .as_array()
        .and_then(|all| all.iter().find(|one| one["channel"] == "webhook"))
        .and_then(|one| one["last_error"].as_str());
    assert_eq!(
        why,
        Some("HTTP status 404 Not Found: Cannot POST /hook?token=*** <b> [31m")
    );
    served.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_each_delivery_is_told_as_the_database_has_it() {
    each_delivery_is_told_as_the_database_has_it(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_each_delivery_is_told_as_the_database_has_it() {
    each_delivery_is_told_as_the_database_has_it(Engine::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn news_comes_by_the_page_and_by_what_is_asked_for() {
    let rig = Rig::new(small()).await;
    rig.run(&[]).await.summary(0);
    let store = rig.open().await;
    store.record_news(&storm(7)).await.expect("recorded");
    store.close().await;
    let served = Served::start(&rig, &[]).await;
    let titles = async |query: &str| -> Vec<String> {
        let page = served.get(&format!("/api/v1/news?{query}")).await;
        let items = page["items"].as_array().expect("items").clone();
        items
            .iter()
            .map(|one| one["title"].as_str().expect("a title").to_owned())
            .collect()
    };
    let mut all = Vec::new();
    let mut next = String::new();
    loop {
        let page = served.get(&format!("/api/v1/news?limit=3{next}")).await;
        let items = page["items"].as_array().expect("items");
        assert!((1..=3).contains(&items.len()));
        all.extend(
            items
                .iter()
                .map(|one| one["title"].as_str().expect("a title").to_owned()),
        );
        match page["next"].as_str() {
            Some(id) => next = format!("&before={id}"),
            None => break,
        }
    }
    let mut expected: Vec<String> = (0..7).rev().map(|number| format!("news {number}")).collect();
    expected.push("Run 1: reconciled".to_owned());
    assert_eq!(all, expected);
    assert_eq!(titles("level=warning").await, expected[..7]);
    assert_eq!(titles("kind=run_finished").await, expected[7..]);
    assert_eq!(titles("since_s=3600").await, expected);
    assert_eq!(titles("since_s=0").await, Vec::<String>::new());
    assert_eq!(titles("delivery=failed").await, Vec::<String>::new());
    for (query, words) in [
        (
            "kind=everything",
            "`everything` is no kind of news; there are run_finished",
        ),
        (
            "level=loud",
            "`loud` is no level of news; there are info, warning",
        ),
        (
            "delivery=lost",
            "`lost` is no state of a delivery; there are left_out, waiting",
        ),
        ("since_s=4294967295", "`since_s`"),
        ("limit=0", "`limit`"),
    ] {
        let (status, problem) = served.ask(&format!("/api/v1/news?{query}")).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{query}");
        let detail = problem["detail"].as_str().expect("words");
        assert!(detail.contains(words), "{query}: {detail}");
    }
}
