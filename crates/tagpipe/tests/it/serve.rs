//! The service: runs are ordered, watched and steered over HTTP, begin by schedule, and outlive the service's death.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, StatusCode};
use sea_orm::{ConnectionTrait, Statement};
use serde_json::{Value, json};
use tagpipe_demo::DemoConfig;

use crate::harness::{Engine, PATIENCE, Rig, Running, unhurried};

/// A service of the rig's site, and how it is asked.
pub(crate) struct Served {
    pub(crate) running: Running,
    pub(crate) address: String,
    client: Client,
    token: Option<String>,
}

impl Served {
    /// Starts a service on a free port; its runs have one runner.
    pub(crate) async fn start(rig: &Rig, more: &[&str]) -> Served {
        rig.write(
            "tagpipe.toml",
            &format!(
                "delay = 0\nfetch = \"http\"\nnum_runners = 1\nprofile = {:?}\n",
                rig.profile()
            ),
        );
        let database = rig.database_text();
        let site = rig.base_url();
        let mut arguments = vec![
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--base-url",
            site,
            "--database-url",
            &database,
        ];
        arguments.extend(more);
        let running = Running::start(rig.command(&arguments));
        running.wait_for_word("the service is up").await;
        let words = running.words();
        let url = words
            .split_whitespace()
            .find_map(|word| Some(&word[word.find("http://127.0.0.1:")?..]))
            .expect("an address in its log");
        let address = url
            .trim_matches(|character: char| !character.is_ascii_digit() && character != 'h')
            .trim_end_matches('/')
            .to_owned();
        // Another test of this process may have been faster.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Served {
            running,
            address,
            client: Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .build()
                .expect("a client"),
            token: None,
        }
    }

    /// Ends the service without a word, and nothing that it has started.
    pub(crate) async fn kill(self) {
        self.running.kill_alone().await;
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.address));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let response = self.request(Method::GET, path).send().await.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        serde_json::from_str(&response.text().await.expect("a text")).expect("JSON")
    }

    /// What may be refused.
    pub(crate) async fn ask(&self, path: &str) -> (StatusCode, Value) {
        answer(self.request(Method::GET, path)).await
    }

    /// A page as a browser gets it.
    pub(crate) async fn page(&self, path: &str) -> (StatusCode, String) {
        let response = self.request(Method::GET, path).send().await.expect("an answer");
        (response.status(), response.text().await.expect("a text"))
    }

    /// Sends a form as a browser does; the page that answers.
    pub(crate) async fn send_form(&self, path: &str, form: &str) -> (StatusCode, String) {
        let request = self
            .request(Method::POST, path)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form.to_owned());
        let response = request.send().await.expect("an answer");
        (response.status(), response.text().await.expect("a text"))
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        let request = self
            .request(Method::POST, path)
            .header("content-type", "application/json")
            .body(body.to_string());
        answer(request).await
    }

    /// The run as soon as `is_so`.
    pub(crate) async fn run_when(&self, run: i64, is_so: impl Fn(&Value) -> bool) -> Value {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            let status = self.get(&format!("/api/v1/runs/{run}")).await;
            if is_so(&status) {
                return status;
            }
            assert!(
                std::time::Instant::now() < deadline,
                "{status:#}\n{}",
                self.running.words()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

async fn answer(request: RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.expect("an answer");
    let status = response.status();
    let text = response.text().await.expect("a text");
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

pub(crate) fn is_reconciled(status: &Value) -> bool {
    status["state"] == "reconciled"
}

fn completed(status: &Value) -> u64 {
    let levels = status["levels"].as_array().expect("levels");
    levels
        .iter()
        .map(|level| level["completed"].as_u64().expect("a number"))
        .sum()
}

fn site(pages: u64) -> DemoConfig {
    DemoConfig {
        pages,
        ..DemoConfig::default()
    }
}

async fn a_run_is_ordered_once_and_watched_to_its_end(engine: Engine) {
    let rig = Rig::on(engine, unhurried(120, 10)).await;
    let served = Served::start(&rig, &[]).await;
    let order = || {
        served
            .request(Method::POST, "/api/v1/runs")
            .header("content-type", "application/json")
            .header("idempotency-key", "first of today")
            .body("{}")
    };
    let (status, first) = answer(order()).await;
    assert_eq!(status, StatusCode::CREATED, "{first:#}");
    let run = first["run"].as_i64().expect("a run");
    // The same key with other words is a mistake, another order while a run is under way a conflict.
    let (_, again) = answer(order()).await;
    assert_eq!(again["run"], run);
    let other = order().body(json!({ "options": { "full": true } }).to_string());
    assert_eq!(answer(other).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    let (status, problem) = served.post("/api/v1/runs", &json!({})).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(
        problem["detail"]
            .as_str()
            .expect("words")
            .contains(&format!("run {run}")),
        "{problem:#}"
    );

    let mut stream = served
        .request(Method::GET, &format!("/api/v1/runs/{run}/events"))
        .send()
        .await
        .expect("a stream");
    let mut text = String::new();
    while let Some(part) = stream.chunk().await.expect("a part") {
        text.push_str(&String::from_utf8_lossy(&part));
    }
    assert!(text.contains("event: ended\ndata: reconciled"), "{text}");
    let seen: Vec<u64> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: {"))
        .map(|line| completed(&serde_json::from_str(&format!("{{{line}")).expect("JSON")))
        .collect();
    assert!(
        seen.len() > 1 && seen.is_sorted() && seen.first() < seen.last(),
        "{seen:?}"
    );

    let status = served.run_when(run, is_reconciled).await;
    assert_eq!(completed(&status), *seen.last().expect("a last one"));
    rig.assert_equals_truth().await;
    let orders = served.get("/api/v1/orders").await;
    assert_eq!(orders["items"].as_array().expect("orders").len(), 1);
    served.running.signal("TERM").await;
    assert_eq!(served.running.ended().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_a_run_is_ordered_once_and_watched_to_its_end() {
    a_run_is_ordered_once_and_watched_to_its_end(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_a_run_is_ordered_once_and_watched_to_its_end() {
    a_run_is_ordered_once_and_watched_to_its_end(Engine::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_pauses_goes_on_and_stops() {
    let rig = Rig::new(unhurried(400, 20)).await;
    let served = Served::start(&rig, &[]).await;
    let (_, started) = served.post("/api/v1/runs", &json!({})).await;
    let run = started["run"].as_i64().expect("a run");
    served.run_when(run, |status| completed(status) > 5).await;
    let (status, _) = served
        .post(&format!("/api/v1/runs/{run}/pause"), &json!({}))
        .await;
    assert_eq!(status, StatusCode::OK);
    // What was in hand is finished; then nothing moves.
    let mut before = rig.documents().len();
    loop {
        tokio::time::sleep(Duration::from_millis(600)).await;
        let now = rig.documents().len();
        if now == before {
            break;
        }
        before = now;
    }
    let (status, _) = served
        .post(&format!("/api/v1/runs/{run}/resume"), &json!({}))
        .await;
    assert_eq!(status, StatusCode::OK);
    rig.wait_for_documents(before + 5).await;
    let (status, _) = served.post(&format!("/api/v1/runs/{run}/stop"), &json!({})).await;
    assert_eq!(status, StatusCode::OK);
    served
        .run_when(run, |status| status["state"] == "interrupted")
        .await;
    let order = &served.get("/api/v1/orders").await["items"][0];
    assert_eq!(order["run"], run);
    // Stopped by people: it is not taken up again by itself, but when they say so.
    let (status, _) = served
        .post(&format!("/api/v1/runs/{run}/resume"), &json!({}))
        .await;
    assert_eq!(status, StatusCode::OK);
    // Whoever watches from now on sees its end, not that it had stopped.
    let watched = served
        .request(Method::GET, &format!("/api/v1/runs/{run}/events"))
        .send()
        .await
        .expect("a stream");
    let text = watched.text().await.expect("its events");
    assert!(text.contains("event: ended\ndata: reconciled"), "{text}");
    served.run_when(run, is_reconciled).await;
    rig.assert_equals_truth().await;
}

/// Every endpoint of the contract that takes a token.
fn endpoints(document: &Value) -> Vec<(Method, String)> {
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("methods") {
            let takes_none = operation["security"].as_array().is_some_and(|all| {
                all.iter()
                    .any(|one| one.as_object().is_some_and(serde_json::Map::is_empty))
            });
            if !takes_none {
                let method = Method::from_bytes(method.to_uppercase().as_bytes()).expect("a method");
                let path = path.replace("{name}", "weekly").replace("{number}", "X3032464");
                let mut filled = String::new();
                for part in path.split_inclusive('/') {
                    filled.push_str(&match part.strip_prefix('{') {
                        Some(_) => part.replace(part.trim_end_matches('/'), "1"),
                        None => part.to_owned(),
                    });
                }
                all.push((method, filled));
            }
        }
    }
    all.push((Method::GET, "/metrics".to_owned()));
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn every_endpoint_refuses_missing_wrong_and_too_weak_tokens() {
    let rig = Rig::new(site(60)).await;
    let added = rig
        .tagpipe(&["token", "add", "looker", "--database-url", "sqlite:tagpipe.db"])
        .await;
    let read = added.stdout.trim().to_owned();
    assert!(read.starts_with("tagpipe_") && read.len() > 60, "{read}");
    let mut served = Served::start(&rig, &[]).await;
    let document = served.get("/api/v1/openapi.json").await;
    let endpoints = endpoints(&document);
    assert!(endpoints.len() > 35, "{}", endpoints.len());
    // Said before the bound on wrong ones hides it.
    served.token = Some("tagpipe_of_nobody".to_owned());
    let (status, problem) = answer(served.request(Method::GET, "/api/v1/status")).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(
        problem["detail"].as_str().expect("words").contains("revoked"),
        "{problem:#}"
    );
    for (method, path) in endpoints {
        served.token = None;
        let (status, problem) = answer(served.request(method.clone(), &path)).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{method} {path}: {problem:#}");
        assert_eq!(problem["status"], 401);
        served.token = Some("tagpipe_of_nobody".to_owned());
        let (status, problem) = answer(served.request(method.clone(), &path)).await;
        assert!(
            [401, 429].contains(&status.as_u16()),
            "{method} {path}: {problem:#}"
        );
        let changes = method != Method::GET;
        served.token = Some(read.clone());
        let request = served
            .request(method.clone(), &path)
            .header("content-type", "application/json")
            .body(if changes { "{}" } else { "" });
        if changes {
            let (status, problem) = answer(request).await;
            assert_eq!(status, StatusCode::FORBIDDEN, "{method} {path}: {problem:#}");
        } else if !path.ends_with("/events") {
            let (status, body) = answer(request).await;
            assert!(
                [200, 404, 422].contains(&status.as_u16())
                    || path.contains("search")
                    || path.contains("preview"),
                "{method} {path}: {status} {body:#}"
            );
        }
    }
    let mut stream = served
        .request(Method::GET, "/api/v1/audit/events")
        .send()
        .await
        .expect("a stream");
    assert_eq!(stream.status(), StatusCode::OK);
    served.token = Some("tagpipe_of_nobody".to_owned());
    let mut refused = BTreeSet::new();
    for _ in 0..40 {
        refused.insert(
            answer(served.request(Method::GET, "/api/v1/status"))
                .await
                .0
                .as_u16(),
        );
    }
    assert!(
        refused.contains(&429) && refused.is_subset(&BTreeSet::from([401, 429])),
        "{refused:?}"
    );
    // A token that was revoked allows nothing after a moment, also to whoever is watching.
    let revoked = rig
        .tagpipe(&["token", "revoke", "looker", "--database-url", "sqlite:tagpipe.db"])
        .await;
    assert_eq!(revoked.code, Some(0), "{}", revoked.stderr);
    while stream.chunk().await.expect("a part").is_some() {}
    served.token = Some(read.clone());
    let status = answer(served.request(Method::GET, "/api/v1/status")).await.0;
    assert!([401, 429].contains(&status.as_u16()), "{status}");
    let words = served.running.words();
    assert!(!words.contains(&read), "no secret in the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_can_reach_takes_a_token() {
    let rig = Rig::new(site(60)).await;
    let open = rig
        .tagpipe(&[
            "serve",
            "--listen",
            "0.0.0.0:0",
            "--database-url",
            "sqlite:tagpipe.db",
        ])
        .await;
    assert_eq!(open.code, Some(2), "{}", open.stderr);
    assert!(open.stderr.contains("tagpipe token add"), "{}", open.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_sites_page_can_ask_for_nothing() {
    let rig = Rig::new(site(60)).await;
    let served = Served::start(&rig, &[]).await;
    for (name, value) in [
        ("origin", "https://evil.example"),
        ("sec-fetch-site", "cross-site"),
    ] {
        let request = served
            .request(Method::POST, "/api/v1/runs")
            .header("content-type", "application/json")
            .header(name, value)
            .body("{}");
        assert_eq!(answer(request).await.0, StatusCode::FORBIDDEN, "{name}");
    }
    // Nor by a name of its own that leads here.
    let request = served
        .request(Method::GET, "/api/v1/status")
        .header("host", "evil.example");
    assert_eq!(answer(request).await.0, StatusCode::MISDIRECTED_REQUEST);
    assert_eq!(served.get("/api/v1/runs").await["items"], json!([]));
}

/// The service alone is killed: its run goes on, and the next service knows it for its own.
async fn a_killed_service_finds_its_run(engine: Engine) {
    let rig = Rig::on(engine, unhurried(300, 15)).await;
    let served = Served::start(&rig, &[]).await;
    let (_, started) = served.post("/api/v1/runs", &json!({})).await;
    let run = started["run"].as_i64().expect("a run");
    served.run_when(run, |status| completed(status) > 5).await;
    served.running.kill_alone().await;
    let served = Served::start(&rig, &[]).await;
    served.run_when(run, is_reconciled).await;
    rig.assert_equals_truth().await;
    assert_eq!(
        served.get("/api/v1/runs").await["items"]
            .as_array()
            .expect("runs")
            .len(),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_a_killed_service_finds_its_run() {
    a_killed_service_finds_its_run(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_a_killed_service_finds_its_run() {
    a_killed_service_finds_its_run(Engine::Postgres).await;
}

/// Service and run are killed together, as with a machine: the next service takes the run up.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_died_with_its_service_is_taken_up_again() {
    let rig = Rig::new(unhurried(300, 15)).await;
    let served = Served::start(&rig, &[]).await;
    let (_, started) = served.post("/api/v1/runs", &json!({})).await;
    let run = started["run"].as_i64().expect("a run");
    let status = served.run_when(run, |status| completed(status) > 5).await;
    let pid = status["processes"][0]["pid"].as_u64().expect("a process");
    served.running.kill_alone().await;
    assert!(crate::harness::signal("KILL", u32::try_from(pid).expect("a small number")).await);
    let served = Served::start(&rig, &[]).await;
    served.run_when(run, is_reconciled).await;
    rig.assert_equals_truth().await;
}

/// A service that is stopped in order stops its run in order, and the next one goes on with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_outlives_a_service_that_was_stopped() {
    let rig = Rig::new(unhurried(300, 15)).await;
    let served = Served::start(&rig, &[]).await;
    let (_, started) = served.post("/api/v1/runs", &json!({})).await;
    let run = started["run"].as_i64().expect("a run");
    served.run_when(run, |status| completed(status) > 5).await;
    served.running.signal("TERM").await;
    assert_eq!(served.running.ended().await.code, Some(0));
    let read = rig.documents().len();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(rig.documents().len(), read, "nobody reads on");
    let served = Served::start(&rig, &[]).await;
    served.run_when(run, is_reconciled).await;
    rig.assert_equals_truth().await;
}

/// Two services on one database, one of them killed in between: each planned time has one order, none is left out.
async fn a_planned_time_has_one_order(engine: Engine) {
    let rig = Rig::on(engine, site(40)).await;
    let first = Served::start(&rig, &[]).await;
    let second = Served::start(&rig, &[]).await;
    let wanted = json!({ "name": "often", "cron": "*/2 * * * * *", "overlap": "queue", "catch_up_s": 60 });
    let (status, added) = first.post("/api/v1/schedules", &wanted).await;
    assert_eq!(status, StatusCode::CREATED, "{added:#}");
    assert_eq!(added["upcoming"].as_array().expect("times").len(), 5);
    assert_eq!(
        first.post("/api/v1/schedules", &wanted).await.0,
        StatusCode::CONFLICT
    );
    tokio::time::sleep(Duration::from_secs(5)).await;
    first.running.kill_alone().await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let removed = second.request(Method::DELETE, "/api/v1/schedules/often");
    assert_eq!(answer(removed).await.0, StatusCode::NO_CONTENT);
    let store = rig.open().await;
    let sql = "SELECT CAST(planned_at AS text) AS planned_at FROM run_orders WHERE planned_at IS NOT NULL ORDER BY planned_at";
    let backend = store.connection().get_database_backend();
    let rows = store
        .connection()
        .query_all_raw(Statement::from_string(backend, sql))
        .await
        .expect("orders");
    let seconds: Vec<i64> = rows
        .iter()
        .map(|row| {
            let text: String = row.try_get("", "planned_at").expect("a time");
            text.replace(' ', "T")
                .replace("+00", "Z")
                .parse::<jiff::Timestamp>()
                .expect("a time")
                .as_second()
        })
        .collect();
    store.close().await;
    assert!(seconds.len() >= 4, "{seconds:?}");
    assert!(
        seconds.windows(2).all(|pair| pair[1] - pair[0] == 2),
        "{seconds:?}"
    );
    // Their runs are begun one after the other, each once.
    let orders = second.get("/api/v1/orders?limit=500").await;
    let runs: Vec<i64> = orders["items"]
        .as_array()
        .expect("orders")
        .iter()
        .filter_map(|order| order["run"].as_i64())
        .collect();
    let different: BTreeSet<i64> = runs.iter().copied().collect();
    assert!(!runs.is_empty());
    assert_eq!(different.len(), runs.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_a_planned_time_has_one_order() {
    a_planned_time_has_one_order(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_a_planned_time_has_one_order() {
    a_planned_time_has_one_order(Engine::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schedule_of_the_settings_is_a_schedule() {
    let mut rig = Rig::new(site(40)).await;
    rig.set_variable("PIPELINE_SCHEDULE", "30 2 * * SUN");
    rig.set_variable("PIPELINE_TIMEZONE", "Europe/Berlin");
    let served = Served::start(&rig, &[]).await;
    let schedule = served.get("/api/v1/schedules/PIPELINE_SCHEDULE").await;
    assert_eq!(schedule["cron"], "30 2 * * SUN");
    assert_eq!(schedule["time_zone"], "Europe/Berlin");
    let local = schedule["upcoming"][0]["local"].as_str().expect("a time");
    assert!(local.contains("T02:30:00+0"), "{local}");
    let shown = rig
        .tagpipe(&["schedule", "list", "--database-url", "sqlite:tagpipe.db"])
        .await;
    assert!(
        shown.stdout.contains("PIPELINE_SCHEDULE") && shown.stdout.contains("02:30:00"),
        "{}",
        shown.stdout
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_requests_are_told_what_is_wrong() {
    let rig = Rig::new(site(40)).await;
    let served = Served::start(&rig, &[]).await;
    for (path, body, status, word) in [
        (
            "/api/v1/runs",
            json!({ "options": { "max_pages": "many" } }),
            422,
            "max_pages",
        ),
        (
            "/api/v1/runs",
            json!({ "options": { "database_url": "sqlite:x" } }),
            422,
            "database_url",
        ),
        (
            "/api/v1/runs",
            json!({ "options": { "profile": "/etc/passwd" } }),
            422,
            "profile",
        ),
        ("/api/v1/runs", json!({ "option": {} }), 422, "option"),
        ("/api/v1/runs", json!([]), 422, "object"),
        ("/api/v1/runs", json!(null), 422, "object"),
        ("/api/v1/runs/99/stop", json!({}), 404, "run 99"),
        (
            "/api/v1/schedules",
            json!({ "name": "x", "cron": "61 * * * *" }),
            422,
            "61 * * * *",
        ),
        (
            "/api/v1/schedules",
            json!({ "name": "x", "cron": "0 3 * * *", "time_zone": "Mars" }),
            422,
            "Mars",
        ),
        (
            "/api/v1/schedules",
            json!({ "name": "a/b", "cron": "0 3 * * *" }),
            422,
            "name",
        ),
    ] {
        let (told, problem) = served.post(path, &body).await;
        assert_eq!(told.as_u16(), status, "{path} {body}: {problem:#}");
        let detail = problem["detail"].as_str().expect("words");
        assert!(detail.contains(word), "{path} {body}: {detail}");
    }
    let response = served
        .request(Method::POST, "/api/v1/runs")
        .header("content-type", "application/json")
        .body(" ".repeat(70 * 1024))
        .send()
        .await
        .expect("an answer");
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    for path in [
        "/api/v1/cards/abc",
        "/api/v1/runs?limit=x",
        "/api/v1/audit?level=loud",
    ] {
        let status = served
            .request(Method::GET, path)
            .send()
            .await
            .expect("an answer")
            .status();
        assert!(status.is_client_error(), "{path}: {status}");
    }
    let response = served
        .request(Method::GET, "/api/v1/categories")
        .send()
        .await
        .expect("an answer");
    let tag = response.headers()["etag"].clone();
    assert!(
        response.headers()["content-security-policy"]
            .to_str()
            .expect("a text")
            .starts_with("default-src 'none'")
    );
    let again = served
        .request(Method::GET, "/api/v1/categories")
        .header("if-none-match", tag)
        .send()
        .await
        .expect("an answer");
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
}

#[tokio::test(flavor = "multi_thread")]
async fn schedules_are_looked_after_from_the_command_line() {
    let rig = Rig::new(site(40)).await;
    let schedule = async |arguments: &[&str], code: i32| {
        let all = [&["schedule"], arguments, &["--database-url", "sqlite:tagpipe.db"]].concat();
        let ended = rig.tagpipe(&all).await;
        assert_eq!(
            ended.code,
            Some(code),
            "{arguments:?}: {}{}",
            ended.stdout,
            ended.stderr
        );
        format!("{}{}", ended.stdout, ended.stderr)
    };
    // The night in which Berlin's clocks are put forward has no 02:30.
    let shown = schedule(&["preview", "30 2 29 3 *", "--time-zone", "Europe/Berlin"], 0).await;
    assert_eq!(shown.matches("-03-29").count(), 10, "{shown}");
    let zone = ["--time-zone", "Europe/Berlin"];
    schedule(
        &[
            &["add", "weekly", "0 3 * * SUN", "--set", "categories=Hockey"],
            &zone[..],
        ]
        .concat(),
        0,
    )
    .await;
    let more = [
        "--jitter",
        "10m",
        "--catch-up",
        "6h",
        "--when-busy",
        "queue",
        "--disabled",
    ];
    schedule(&[&["add", "hourly", "0 * * * *"], &more[..]].concat(), 0).await;
    let listed = schedule(&["list"], 0).await;
    for word in [
        "weekly",
        "03:00:00 +0",
        "Sun",
        "categories=Hockey",
        "hourly",
        "disabled",
        "queue",
    ] {
        assert!(listed.contains(word), "{word}: {listed}");
    }
    schedule(&["enable", "hourly"], 0).await;
    assert!(!schedule(&["list"], 0).await.contains("disabled"));
    schedule(&["remove", "hourly"], 0).await;
    for (arguments, word) in [
        (&["add", "weekly", "0 4 * * *"][..], "there is a schedule"),
        (&["add", "x", "0 4 * *"], "4 fields"),
        (&["add", "x", "0 4 * * *", "--time-zone", "Mars"], "Mars"),
        (
            &["add", "x", "0 4 * * *", "--set", "profile=/etc/passwd"],
            "profile",
        ),
        (&["add", "x", "0 4 * * *", "--set", "max_pages=some"], "max_pages"),
        (&["add", "x", "0 4 * * *", "--jitter", "long"], "--jitter"),
        (&["remove", "hourly"], "hourly"),
    ] {
        let told = schedule(arguments, 2).await;
        assert!(told.contains(word), "{arguments:?}: {told}");
    }
}

/// Numbers of the entries in a part of a stream.
fn entries(text: &str) -> Vec<i64> {
    text.lines()
        .filter_map(|line| line.strip_prefix("id: "))
        .map(|id| id.parse().expect("a number"))
        .collect()
}

/// Reads a stream until it has had `count` entries, or nothing comes any more.
async fn entries_of(served: &Served, last: Option<i64>, count: usize) -> Vec<i64> {
    let mut request = served.request(Method::GET, "/api/v1/audit/events");
    if let Some(last) = last {
        request = request.header("last-event-id", last.to_string());
    }
    let mut stream = request.send().await.expect("a stream");
    let mut text = String::new();
    while let Ok(part) = tokio::time::timeout(Duration::from_secs(5), stream.chunk()).await {
        text.push_str(&String::from_utf8_lossy(&part.expect("a part").expect("no end")));
        if entries(&text).len() >= count && text.ends_with("\n\n") {
            break;
        }
    }
    entries(&text)
}

/// More entries in a second than are taken at a time.
async fn no_entry_of_the_trail_is_left_out(engine: Engine) {
    let rig = Rig::on(engine, site(2500)).await;
    let served = Served::start(&rig, &[]).await;
    let (_, started) = served.post("/api/v1/runs", &json!({})).await;
    let run = started["run"].as_i64().expect("a run");
    let all = entries_of(&served, Some(0), 2500).await;
    served.run_when(run, is_reconciled).await;
    let mut stored: Vec<i64> = rig.audit().await.iter().map(|entry| entry.id).collect();
    stored.sort_unstable();
    assert!(stored.len() > 2500, "{}", stored.len());
    let sent: BTreeSet<i64> = all.iter().copied().collect();
    assert_eq!(sent.len(), all.len(), "each once");
    let until = *sent.last().expect("entries");
    let expected: BTreeSet<i64> = stored.iter().copied().filter(|id| *id <= until).collect();
    assert_eq!(sent, expected);
    // Somebody who comes back gets the rest, on PostgreSQL with some that are known already.
    let (seen, rest) = stored.split_at(stored.len() - 1200);
    let later = entries_of(&served, seen.last().copied(), usize::MAX).await;
    for id in rest {
        assert!(later.contains(id), "{id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_no_entry_of_the_trail_is_left_out() {
    no_entry_of_the_trail_is_left_out(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_no_entry_of_the_trail_is_left_out() {
    no_entry_of_the_trail_is_left_out(Engine::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_found_nothing_to_read_says_so_on_its_page() {
    let rig = Rig::new(site(40)).await;
    let served = Served::start(&rig, &[]).await;
    let body = json!({ "options": { "categories": ["Hokey"] } });
    let (_, started) = served.post("/api/v1/runs", &body).await;
    let run = started["run"].as_i64().expect("a run");
    served.run_when(run, is_reconciled).await;
    let page = served
        .request(Method::GET, &format!("/runs/{run}"))
        .send()
        .await
        .expect("a page");
    let text = page.text().await.expect("a text");
    assert!(text.contains("no category matches"), "{text}");
}

/// Of the times at which no service was at work, the last one is made up for, once, where the schedule says so.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_missed_time_is_made_up_for_within_its_window_alone() {
    let rig = Rig::new(site(40)).await;
    // Half an hour away from now, and every hour: four times in the last four hours.
    let minute = (jiff::Timestamp::now().as_second() / 60 + 30) % 60;
    let cron = format!("{minute} * * * *");
    for (name, more) in [("kept", &["--catch-up", "6h"][..]), ("passed", &[])] {
        let arguments = [
            &[
                "schedule",
                "add",
                name,
                &cron,
                "--when-busy",
                "queue",
                "--database-url",
                "sqlite:tagpipe.db",
            ],
            more,
        ];
        let ended = rig.tagpipe(&arguments.concat()).await;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    }
    let store = rig.open().await;
    let back = "UPDATE schedules SET changed_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-4 hours')";
    store
        .connection()
        .execute_unprepared(back)
        .await
        .expect("an update");
    store.close().await;
    let served = Served::start(&rig, &[]).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let orders = served.get("/api/v1/orders").await;
    let orders = orders["items"].as_array().expect("orders");
    assert_eq!(orders.len(), 2, "{orders:#?}");
    let of = |name: &str| {
        orders
            .iter()
            .find(|order| order["schedule"] == name)
            .expect("its order")
    };
    assert_ne!(of("kept")["state"], "skipped", "{orders:#?}");
    assert_eq!(of("passed")["state"], "skipped", "{orders:#?}");
    let why = of("passed")["reason"].as_str().expect("words");
    assert!(
        why.contains("missed") && why.contains("at 3 times before it"),
        "{why}"
    );
}
