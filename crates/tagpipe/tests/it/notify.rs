//! Notifications: what a run has to say reaches people, once, whatever they are reached by, and never at the run's expense.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use sea_orm::{ConnectionTrait, Statement};
use serde_json::{Value, json};
use tagpipe_core::news::{News, NewsKind, NewsLevel};
use tagpipe_demo::{DemoConfig, Faults, Layout, Level};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::harness::{Engine, PATIENCE, Rig, profile_with, unhurried, wait_until};
use crate::serve::Served;
use receiver::{Answer, Receiver, Request};

mod mail;
pub(crate) mod receiver;

/// A signing key of the tests, and its secret.
const KEY: &str = "0123456789abcdef01234567";
const SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3";

fn small() -> DemoConfig {
    DemoConfig {
        pages: 60,
        seed: 21,
        ..DemoConfig::default()
    }
}

/// A signed webhook to `receiver` in the rig's settings, with further lines.
fn webhook(rig: &Rig, receiver: &Receiver, more: &str) {
    rig.write(
        "tagpipe.toml",
        &format!(
            "[[notify.channels]]\nname = \"ops\"\nkind = \"webhook\"\nurl = \"{}\"\nsecret = \"{SECRET}\"\n{more}\n",
            receiver.url("/hook?token=opensesame")
        ),
    );
}

/// All deliveries, those of the newest news first.
async fn deliveries(rig: &Rig) -> Vec<Value> {
    let news = listed(rig).await;
    news.iter()
        .flat_map(|one| one["deliveries"].as_array().expect("a list").clone())
        .collect()
}

/// All news, newest first.
async fn listed(rig: &Rig) -> Vec<Value> {
    let url = url_of(rig);
    let ended = rig
        .tagpipe(&[
            "notify",
            "list",
            "--limit",
            "1000",
            "--json",
            "--database-url",
            &url,
        ])
        .await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    serde_json::from_str(&ended.stdout).expect("JSON")
}

fn url_of(rig: &Rig) -> String {
    match rig.database_url() {
        tagpipe_store::DatabaseUrl::Postgres(url) => url.to_string(),
        _ => "sqlite:tagpipe.db".to_owned(),
    }
}

/// The kinds of all news, oldest first.
async fn kinds(rig: &Rig) -> Vec<String> {
    let news = listed(rig).await;
    let kinds = news
        .iter()
        .rev()
        .map(|one| one["kind"].as_str().expect("a kind").to_owned());
    kinds.collect()
}

async fn send(rig: &Rig, more: &[&str]) -> (Option<i32>, Value) {
    let url = url_of(rig);
    let mut arguments = vec!["notify", "send", "--json", "--database-url", &url];
    arguments.extend(more);
    let ended = rig.tagpipe(&arguments).await;
    let said = serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{}", ended.stderr));
    (ended.code, said)
}

/// Sends again and again as is due, until `receiver` has got so many requests.
async fn send_until(rig: &Rig, receiver: &Receiver, requests: usize) {
    let deadline = Instant::now() + PATIENCE;
    while receiver.requests().len() < requests {
        send(rig, &[]).await;
        assert!(Instant::now() < deadline, "{:#?}", deliveries(rig).await);
    }
}

/// Sends again and again without a pause, until nothing is put off any more.
async fn send_until_done(rig: &Rig) {
    let deadline = Instant::now() + PATIENCE;
    while send(rig, &["--again"]).await.0 != Some(0) {
        assert!(Instant::now() < deadline, "{:#?}", deliveries(rig).await);
    }
}

/// Records news as the program would.
async fn record(rig: &Rig, news: &[News]) {
    let store = rig.open().await;
    store
        .enter_channels(&["ops"])
        .await
        .expect("the channel is entered");
    store.record_news(news).await.expect("it is recorded");
    store.close().await;
}

/// So much news about what is watched.
pub(crate) fn storm(count: usize) -> Vec<News> {
    (0..count)
        .map(|number| {
            News::new(
                NewsKind::WatchChanged,
                NewsLevel::Warning,
                &format!("news {number}"),
            )
        })
        .collect()
}

/// Quiet hours for two hours around now, on this machine's clock, which the database's is, too.
fn quiet_now() -> String {
    let hour = jiff::Timestamp::now().as_second() / 3600;
    format!(
        "quiet_hours = \"{:02}:00-{:02}:00\"",
        (hour + 23) % 24,
        (hour + 2) % 24
    )
}

/// What `openssl` makes of a message, for `webhook-signature`.
async fn signed(request: &Request) -> String {
    let mut openssl = Command::new("openssl")
        .args([
            "dgst",
            "-sha256",
            "-mac",
            "HMAC",
            "-macopt",
            &format!("key:{KEY}"),
            "-binary",
        ])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("openssl is installed");
    let head = format!(
        "{}.{}.",
        request.header("webhook-id"),
        request.header("webhook-timestamp")
    );
    let mut stdin = openssl.stdin.take().expect("its input is piped");
    stdin.write_all(head.as_bytes()).await.expect("it reads");
    stdin.write_all(&request.body).await.expect("it reads");
    drop(stdin);
    let digest = openssl.wait_with_output().await.expect("it ends").stdout;
    assert_eq!(digest.len(), 32);
    let mut encode = Command::new("base64")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("base64 is installed");
    encode
        .stdin
        .take()
        .expect("piped")
        .write_all(&digest)
        .await
        .expect("it reads");
    let encoded = encode.wait_with_output().await.expect("it ends").stdout;
    format!("v1,{}", String::from_utf8(encoded).expect("ASCII").trim())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_tried_again_until_it_is_taken_and_is_the_same_each_time() {
    let rig = Rig::new(small()).await;
    let receiver = Receiver::start(&[
        Answer::with_header("429 Too Many Requests", "retry-after: 2"),
        Answer::status("500 Internal Server Error"),
        Answer::Cut,
        Answer::Nothing,
    ])
    .await;
    webhook(&rig, &receiver, "");
    rig.run(&[]).await.summary(0);
    receiver.wait_for_requests(1).await;
    assert_eq!(
        receiver.requests().len(),
        1,
        "nobody asks again before it is time"
    );
    assert_eq!(send(&rig, &[]).await.1["put_off"], 1);
    send_until(&rig, &receiver, 2).await;
    send_until_done(&rig).await;
    let requests = receiver.requests();
    assert_eq!(requests.len(), 5, "four that were not taken, and one that was");
    assert!(
        requests[1].at - requests[0].at >= Duration::from_secs(2),
        "as it was asked to"
    );
    for request in &requests {
        assert_eq!(request.path, "/hook?token=opensesame");
        assert_eq!(request.header("webhook-id"), requests[0].header("webhook-id"));
        assert_eq!(request.body, requests[0].body);
        assert_eq!(request.header("webhook-signature"), signed(request).await);
    }
    let body = requests[4].json();
    assert_eq!(body["data"]["id"], requests[0].header("webhook-id"));
    assert_eq!(body["data"]["title"], "Run 1: reconciled");
    assert_eq!(body["data"]["news"][0]["run"], 1);
    assert_eq!(send(&rig, &[]).await.1["sent"], 0);
    assert_eq!(send(&rig, &["--again"]).await.1["sent"], 0);
    assert_eq!(receiver.requests().len(), 5);
    let delivery = deliveries(&rig).await.remove(0);
    assert_eq!(
        (&delivery["state"], &delivery["attempts"]),
        (&json!("sent"), &json!(5))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_will_never_be_taken_is_given_up_and_said_and_no_redirect_is_followed() {
    let rig = Rig::new(small()).await;
    let elsewhere = Receiver::start(&[]).await;
    let location = format!("location: {}", elsewhere.url("/"));
    for (answer, word) in [
        (Answer::with_header("307 Temporary Redirect", &location), "307"),
        (
            Answer::Status("404 Not Found", String::new(), "no such \u{1b}[31m hook"),
            "404",
        ),
    ] {
        let receiver = Receiver::start(&[answer]).await;
        webhook(&rig, &receiver, "");
        rig.run(&[]).await.summary(0);
        assert_eq!(receiver.requests().len(), 1);
        let delivery = deliveries(&rig).await.remove(0);
        assert_eq!(delivery["state"], "failed");
        let why = delivery["last_error"].as_str().expect("words");
        assert!(why.contains(word) && !why.contains('\u{1b}'), "{why}");
        let shown = rig.tagpipe(&["notify", "list"]).await.stdout;
        assert!(shown.contains("given up"), "{shown}");
    }
    assert!(elsewhere.requests().is_empty());
    let audit = rig.audit().await;
    let errors = audit
        .iter()
        .filter(|entry| entry.level == "ERROR" && entry.operation == "notify");
    assert_eq!(errors.count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn slack_and_ntfy_are_told_in_their_own_ways() {
    let mut rig = Rig::new(small()).await;
    let slack = Receiver::start(&[Answer::with_header("429 Too Many Requests", "retry-after: 1")]).await;
    let ntfy = Receiver::ntfy(&[Answer::status("503 Service Unavailable")]).await;
    rig.set_variable(
        "PIPELINE_NOTIFY_SLACK_URL",
        &slack.url("/services/T0/B0/secretslack"),
    );
    rig.set_variable("PIPELINE_NOTIFY_NTFY_URL", &ntfy.url("/cards"));
    rig.set_variable("PIPELINE_NOTIFY_NTFY_TOKEN", "tk_secretntfy");
    rig.set_variable("PIPELINE_NOTIFY_DASHBOARD_URL", "https://tagpipe.example.com");
    rig.run(&[]).await.summary(0);
    send_until_done(&rig).await;
    let (slack, ntfy) = (slack.requests(), ntfy.requests());
    assert_eq!((slack.len(), ntfy.len()), (2, 2));
    assert_eq!(slack[0].body, slack[1].body);
    let blocks = slack[1].json()["blocks"].as_array().expect("blocks").clone();
    assert_eq!(blocks[0]["type"], "header");
    assert!(
        blocks[0]["text"]["text"]
            .as_str()
            .is_some_and(|text| text.ends_with("Run 1: reconciled"))
    );
    let text = Value::from(blocks).to_string();
    assert!(
        text.contains("<https://tagpipe.example.com/runs/1|dashboard>"),
        "{text}"
    );

    assert_eq!(ntfy[0].body, ntfy[1].body);
    assert_eq!(ntfy[1].path, "/");
    assert_eq!(ntfy[1].header("authorization"), "Bearer tk_secretntfy");
    let body = ntfy[1].json();
    assert_eq!(
        (&body["topic"], &body["title"]),
        (&json!("cards"), &json!("Run 1: reconciled"))
    );
    assert_eq!(body["click"], "https://tagpipe.example.com/runs/1");
    let of_ntfy = deliveries(&rig).await;
    let id = of_ntfy
        .iter()
        .find(|one| one["channel"] == "ntfy")
        .expect("it was told");
    assert_eq!(body["sequence_id"], id["message_id"]);
}

async fn killed_between_commit_and_send_nothing_is_lost(engine: Engine) {
    let rig = Rig::on(engine, small()).await;
    let receiver = Receiver::silent().await;
    webhook(&rig, &receiver, "");
    let running = rig.start(&[]);
    receiver.wait_for_requests(1).await;
    running.kill().await;
    assert_eq!(
        kinds(&rig).await,
        ["run_finished"],
        "it was committed with the run"
    );
    assert_eq!(rig.runs().await[0].state, "reconciled");
    let first = receiver.requests().remove(0);
    receiver.answers_always(Answer::status("200 OK"));
    // The killed process has the channel until its term is over.
    let (code, said) = send(&rig, &[]).await;
    assert_eq!((code, &said["sent"]), (Some(0), &json!(1)), "{said:#}");
    let requests = receiver.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[1].header("webhook-id"), first.header("webhook-id"));
    assert_eq!(requests[1].body, first.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_killed_between_commit_and_send_nothing_is_lost() {
    killed_between_commit_and_send_nothing_is_lost(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_killed_between_commit_and_send_nothing_is_lost() {
    killed_between_commit_and_send_nothing_is_lost(Engine::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_does_not_fail_for_a_channel_that_does_not_answer() {
    let rig = Rig::new(small()).await;
    let receiver = Receiver::silent().await;
    webhook(&rig, &receiver, "");
    let ended = rig.run(&[]).await;
    ended.summary(0);
    assert!(ended.stderr.contains("tagpipe notify send"), "{}", ended.stderr);
    let delivery = deliveries(&rig).await.remove(0);
    assert_eq!(delivery["state"], "open");
    // Somebody who does not want to wait need not.
    let running = rig.start(&[]);
    let deadline = Instant::now() + PATIENCE;
    while rig.runs().await.get(1).is_none_or(|run| run.state == "running") {
        assert!(Instant::now() < deadline, "{}", running.words());
    }
    running.signal("INT").await;
    running.ended().await.summary(0);
    rig.assert_equals_truth().await;
}

async fn many_that_send_at_once_send_once(engine: Engine) {
    let rig = Rig::on(engine, small()).await;
    let receiver = Receiver::start(&[]).await;
    webhook(&rig, &receiver, "");
    for number in 0..3 {
        record(&rig, &storm(number + 1)).await;
        let senders: Vec<_> = (0..4).map(|_| send(&rig, &[])).collect();
        let mut sent = 0;
        for (code, said) in join_all(senders).await {
            assert_eq!(code, Some(0), "{said:#}");
            sent += said["sent"].as_u64().expect("a number");
        }
        assert_eq!(sent, 1);
    }
    let requests = receiver.requests();
    let ids: BTreeSet<&str> = requests
        .iter()
        .map(|request| request.header("webhook-id"))
        .collect();
    assert_eq!((requests.len(), ids.len()), (3, 3));
    let told: Vec<u64> = requests
        .iter()
        .map(|request| request.json()["data"]["total"].as_u64().expect("a number"))
        .collect();
    assert_eq!(told, [1, 2, 3]);
}

/// The results of all of them, which run at the same time.
async fn join_all<T>(futures: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut pinned: Vec<_> = futures.into_iter().map(Box::pin).collect();
    let mut results: Vec<Option<T>> = pinned.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, result) in pinned.iter_mut().zip(&mut results) {
            if result.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(context)
            {
                *result = Some(value);
            }
        }
        match results.iter().all(Option::is_some) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    results.into_iter().flatten().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_many_that_send_at_once_send_once() {
    many_that_send_at_once_send_once(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_many_that_send_at_once_send_once() {
    many_that_send_at_once_send_once(Engine::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn quiet_hours_hold_back_a_storm_which_is_one_message_then() {
    let rig = Rig::new(small()).await;
    let receiver = Receiver::start(&[]).await;
    let quiet = quiet_now();
    webhook(&rig, &receiver, &quiet);
    record(&rig, &storm(500)).await;
    let (code, said) = send(&rig, &[]).await;
    assert_eq!((code, &said["waiting"]), (Some(0), &json!(500)));
    assert!(receiver.requests().is_empty());
    let worst = News::new(NewsKind::LayoutChanged, NewsLevel::Critical, "worst");
    record(&rig, &[worst]).await;
    assert_eq!(send(&rig, &[]).await.1["waiting"], 500);
    assert_eq!(receiver.requests()[0].json()["data"]["title"], "worst");

    webhook(&rig, &receiver, "");
    assert_eq!(send(&rig, &[]).await.1["sent"], 1);
    let requests = receiver.requests();
    assert_eq!(requests.len(), 2);
    // What was not taken before they begin is not tried within them.
    receiver.answers_always(Answer::status("500 Internal Server Error"));
    record(&rig, &storm(1)).await;
    assert_eq!(send(&rig, &[]).await.0, Some(1));
    webhook(&rig, &receiver, &quiet);
    assert_eq!(send(&rig, &["--again"]).await.0, Some(0));
    assert_eq!(receiver.requests().len(), 3);
    let digest = &requests[1].json()["data"];
    assert_eq!(digest["total"], 500);
    assert_eq!(
        digest["counts"],
        json!([{ "kind": "watch_changed", "level": "warning", "count": 500 }])
    );
    let told = digest["news"].as_array().expect("news");
    assert_eq!((told.len(), &told[0]["title"]), (20, &json!("news 0")));
    assert!(requests[1].body.len() < 20_000, "{}", requests[1].body.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_critical_goes_out_whatever_waits_for_quiet_hours_to_end() {
    let rig = Rig::new(small()).await;
    let receiver = Receiver::start(&[]).await;
    receiver.answers_always(Answer::status("500 Internal Server Error"));
    webhook(&rig, &receiver, "digest = \"0\"");
    // As many messages as a channel has on their way at most.
    for number in 1..=3 {
        record(&rig, &storm(1)).await;
        assert_eq!(send(&rig, &[]).await.1["put_off"], number);
    }
    let worst = |title| News::new(NewsKind::LayoutChanged, NewsLevel::Critical, title);
    // While the other side takes nothing, the worst is tried all the same, and takes along what waits.
    record(&rig, &storm(1)).await;
    record(&rig, &[worst("bad")]).await;
    assert_eq!(send(&rig, &[]).await.1["waiting"], 0);
    receiver.answers_always(Answer::status("200 OK"));
    webhook(&rig, &receiver, &format!("digest = \"0\"\n{}", quiet_now()));
    record(&rig, &storm(1)).await;
    record(&rig, &[worst("worse")]).await;
    let before = receiver.requests().len();
    let (code, said) = send(&rig, &["--again"]).await;
    assert_eq!((code, &said["sent"]), (Some(0), &json!(2)), "{said:#}");
    let requests = receiver.requests();
    let titles: Vec<Value> = requests[before..]
        .iter()
        .map(|request| request.json()["data"]["news"][0]["title"].clone())
        .collect();
    assert_eq!(titles, ["bad", "worse"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_says_yes_is_no_receipt_where_the_answer_is_one() {
    let rig = Rig::new(small()).await;
    let page = "<!doctype html><html>Sign in to this network</html>";
    for (kind, body, state) in [
        ("slack", "invalid_payload", "failed"),
        ("slack", r#"{"ok":false,"error":"channel_is_archived"}"#, "failed"),
        ("slack", page, "open"),
        ("slack", r#"{"success":true}"#, "sent"),
        ("ntfy", "ok", "failed"),
        ("ntfy", page, "open"),
        ("webhook", page, "sent"),
    ] {
        let receiver = Receiver::start(&[]).await;
        receiver.answers_always(Answer::Status("200 OK", String::new(), body));
        let url = receiver.url("/cards");
        rig.write(
            "tagpipe.toml",
            &format!("[[notify.channels]]\nname = \"ops\"\nkind = \"{kind}\"\nurl = \"{url}\"\n"),
        );
        let tested = rig.tagpipe(&["notify", "test"]).await;
        record(&rig, &storm(1)).await;
        send(&rig, &[]).await;
        let delivery = deliveries(&rig).await.remove(0);
        assert_eq!(delivery["state"], state, "{kind} {body}: {delivery:#}");
        let is_taken = state == "sent";
        assert_eq!(
            tested.code,
            Some(if is_taken { 0 } else { 1 }),
            "{}",
            tested.stdout
        );
        let said = delivery["last_error"].as_str().expect("words");
        assert_eq!(said.contains(body), !is_taken, "{said}");
        assert_eq!(tested.stdout.contains(body), !is_taken, "{}", tested.stdout);
        // What is open would be tried again at the next channel.
        receiver.answers_always(Answer::status("404 Not Found"));
        send(&rig, &["--again"]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_is_told_what_its_rules_say() {
    let rig = Rig::new(small()).await;
    let receiver = Receiver::start(&[]).await;
    webhook(
        &rig,
        &receiver,
        "events = \"run_failed, layout_changed\"\nlevel = \"error\"",
    );
    let news = |kind, level| News::new(kind, level, kind.as_str());
    record(
        &rig,
        &[
            news(NewsKind::RunFailed, NewsLevel::Warning),
            news(NewsKind::RunFinished, NewsLevel::Critical),
            news(NewsKind::LayoutChanged, NewsLevel::Critical),
        ],
    )
    .await;
    assert_eq!(send(&rig, &[]).await.1["sent"], 1);
    let told = receiver.requests().remove(0).json();
    assert_eq!(
        (&told["data"]["total"], &told["data"]["title"]),
        (&json!(1), &json!("layout_changed"))
    );
    let states: Vec<Value> = deliveries(&rig)
        .await
        .iter()
        .map(|one| one["state"].clone())
        .collect();
    assert_eq!(states, ["sent", "left_out", "left_out"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_tells_what_happens_and_stops_in_order() {
    let mut rig = Rig::new(unhurried(120, 20)).await;
    let receiver = Receiver::start(&[]).await;
    rig.set_variable("PIPELINE_NOTIFY_WEBHOOK_URL", &receiver.url("/hook"));
    rig.set_variable("PIPELINE_NOTIFY_DIGEST", "0");
    rig.set_variable("PIPELINE_NOTIFY_EVENTS", "run_finished,run_interrupted");
    let served = Served::start(&rig, &[]).await;
    let (status, order) = served.post("/api/v1/runs", &json!({})).await;
    assert_eq!(status, reqwest::StatusCode::CREATED, "{order:#}");
    receiver.wait_for_requests(1).await;
    assert_eq!(
        receiver.requests()[0].json()["data"]["title"],
        "Run 1: reconciled"
    );
    // A run that is stopped with the service is told by the service's last look.
    let (_, order) = served
        .post("/api/v1/runs", &json!({ "options": { "full": true } }))
        .await;
    assert_eq!(order["run"], 2, "{order:#}");
    let before = rig.documents().len();
    wait_until("pages", || rig.documents().len() > before + 5).await;
    served.running.signal("TERM").await;
    assert_eq!(served.running.ended().await.code, Some(0));
    let requests = receiver.requests();
    let titles: Vec<Value> = requests
        .iter()
        .map(|request| request.json()["data"]["title"].clone())
        .collect();
    assert_eq!(titles, ["Run 1: reconciled", "Run 2: interrupted"]);
    assert_eq!(
        requests[0].header("webhook-signature"),
        "",
        "without a secret nothing is signed"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn each_end_of_a_run_is_news_once() {
    let rig = Rig::new(small()).await;
    rig.run(&["--max-pages", "10"]).await.summary(5);
    rig.site
        .update(|config| config.layout = Layout::MissingHeader { level: Level::Cards });
    rig.run(&["--max-retries", "0"]).await.summary(8);
    rig.site.update(|config| {
        config.layout = Layout::Normal;
        config.captcha = true;
    });
    rig.run(&[]).await.summary(6);
    rig.site.update(|config| config.captcha = false);
    assert_eq!(
        kinds(&rig).await,
        ["run_finished", "run_failed", "layout_changed", "run_failed"]
    );
    let news = listed(&rig).await;
    let levels: Vec<&Value> = news.iter().rev().map(|one| &one["level"]).collect();
    assert_eq!(levels, ["info", "error", "critical", "error"]);
    assert!(
        news[0]["deliveries"].as_array().expect("a list").is_empty(),
        "there is no channel"
    );
    assert!(news[1]["text"].as_str().expect("words").contains("tagpipe probe"));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_runners_tell_the_end_of_their_run_once() {
    let rig = Rig::new(unhurried(150, 20)).await;
    let receiver = Receiver::start(&[]).await;
    webhook(&rig, &receiver, "");
    let running = rig.start_orchestrate(&["--num-runners", "2"]);
    rig.wait_for_documents(20).await;
    running.signal("INT").await;
    running.ended().await.summary(130);
    assert_eq!(kinds(&rig).await, ["run_interrupted"]);
    rig.orchestrate(&["--num-runners", "2", "--resume"])
        .await
        .summary(0);
    assert_eq!(kinds(&rig).await, ["run_interrupted", "run_finished"]);
    let titles: Vec<Value> = receiver
        .requests()
        .iter()
        .map(|request| request.json()["data"]["title"].clone())
        .collect();
    assert_eq!(titles, ["Run 1: interrupted", "Run 1: reconciled"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_watched_is_told_at_the_end_of_the_run_that_changed_it() {
    let rig = Rig::new(small()).await;
    let receiver = Receiver::start(&[]).await;
    webhook(&rig, &receiver, "events = \"watch_changed\"");
    let card = rig.site.world().card_rows().nth(3).expect("a card");
    let address = format!("{}{}", rig.base_url(), card.url);
    let watch = async |arguments: &[&str]| {
        let mut all = vec!["notify", "watch"];
        all.extend(arguments);
        rig.tagpipe(&all).await
    };
    rig.run(&["--max-pages", "3"]).await.summary(5);
    assert_eq!(
        watch(&["add", "card", &address]).await.code,
        Some(2),
        "the profile's site has another address"
    );
    let profile = format!("profile = {:?}\nbase_url = {:?}\n", rig.profile(), rig.base_url());
    rig.write("site.toml", &profile);
    let added = watch(&["add", "card", &address, "--config", "site.toml"]).await;
    assert_eq!(added.code, Some(0), "{}", added.stderr);
    let again = watch(&["add", "card", &address, "--config", "site.toml"]).await;
    assert_eq!(again.code, Some(2));
    assert_eq!(watch(&["add", "set", "No such/*/*"]).await.code, Some(0));
    assert_eq!(watch(&["add", "set", "a/b"]).await.code, Some(2));
    rig.run(&["--resume"]).await.summary(0);
    let requests = receiver.requests();
    assert_eq!(requests.len(), 1);
    let told = &requests[0].json()["data"];
    assert_eq!(
        (&told["total"], &told["news"][0]["kind"]),
        (&json!(1), &json!("watch_changed"))
    );
    let text = told["news"][0]["text"].as_str().expect("words");
    assert!(text.contains("new, "), "{text}");
    // Nothing has changed since.
    rig.run(&["--full"]).await.summary(0);
    assert_eq!(receiver.requests().len(), 1);
    let list = watch(&["list", "--json"]).await.stdout;
    let list: Value = serde_json::from_str(&list).expect("JSON");
    assert_eq!(list.as_array().map(Vec::len), Some(2));
    assert_eq!(watch(&["remove", "1"]).await.code, Some(0));
    assert_eq!(watch(&["remove", "1"]).await.code, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_errors_and_a_brake_that_stays_closed_are_news_once_while_the_run_goes_on() {
    let rig = Rig::new(DemoConfig {
        faults: Faults {
            cut_off: 0.4,
            rate_limited: 0.05,
            ..Faults::default()
        },
        ..unhurried(400, 20)
    })
    .await;
    rig.set_profile(&profile_with(&[
        ("brake_first", "0.01"),
        ("brake_growth", "1.5"),
        ("brake_most", "0.02"),
        ("brake_ease", "0.0001"),
        ("give_up_after", "1000"),
    ]));
    rig.write(
        "tagpipe.toml",
        "lease_term = 1\nmax_retries = 30\nretry_backoff = 1.0\n[notify]\nerror_rate = 0.1\nbrake_after = \"1s\"\n",
    );
    rig.orchestrate(&["--num-runners", "2"]).await.summary(0);
    let kinds = kinds(&rig).await;
    for kind in ["error_rate", "brake_closed"] {
        let told = kinds.iter().filter(|one| *one == kind).count();
        assert_eq!(told, 1, "{kind}: {kinds:?}");
    }
    assert_eq!(kinds.last().map(String::as_str), Some("run_finished"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_message_says_what_each_channel_answers() {
    let rig = Rig::new(small()).await;
    let (good, bad) = (
        Receiver::ntfy(&[]).await,
        Receiver::start(&[Answer::Status("403 Forbidden", String::new(), "invalid_token")]).await,
    );
    let none = rig.tagpipe(&["notify", "test"]).await;
    assert!(none.failure(2).contains("[[notify.channels]]"), "{}", none.stderr);
    rig.write(
        "tagpipe.toml",
        &format!(
            "[[notify.channels]]\nname = \"good\"\nkind = \"ntfy\"\nurl = \"{}\"\n\
             [[notify.channels]]\nname = \"bad\"\nkind = \"slack\"\nurl = \"{}\"\n",
            good.url("/cards"),
            bad.url("/services/opensesame")
        ),
    );
    let all = rig.tagpipe(&["notify", "test"]).await;
    assert_eq!(all.code, Some(1));
    assert_eq!(
        all.stdout,
        "good (ntfy): delivered\nbad (slack): not delivered: HTTP status 403 Forbidden: invalid_token\n"
    );
    let one = rig.tagpipe(&["notify", "test", "good", "--json"]).await;
    assert_eq!(one.code, Some(0));
    let answers: Value = serde_json::from_str(&one.stdout).expect("JSON");
    assert_eq!(answers[0]["delivered"], true);
    let unknown = rig.tagpipe(&["notify", "test", "ugly"]).await;
    assert!(unknown.failure(2).contains("good, bad"), "{}", unknown.stderr);
    // Nothing is recorded, and no database is made.
    assert!(!rig.folder().join("tagpipe.db").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_said_or_stored() {
    const SECRETS: [&str; 4] = ["opensesame", SECRET, KEY, "tk_secretntfy"];
    let mut rig = Rig::new(small()).await;
    let receiver = Receiver::start(&[Answer::status("500 Internal Server Error")]).await;
    webhook(&rig, &receiver, "");
    rig.set_variable("PIPELINE_NOTIFY_NTFY_URL", "http://127.0.0.1:1/opensesame");
    rig.set_variable("PIPELINE_NOTIFY_NTFY_TOKEN", "tk_secretntfy");
    let mut said = String::new();
    let ended = rig.run(&["--log-level", "DEBUG"]).await;
    ended.summary(0);
    said.push_str(&format!("{}{}", ended.stdout, ended.stderr));
    for arguments in [
        &["notify", "test"][..],
        &["notify", "list"],
        &["notify", "list", "--json"],
        &["notify", "send", "--log-level", "DEBUG"],
        &["config", "show"],
        &["config", "show", "--json"],
        &["doctor", "--offline"],
        &["audit"],
    ] {
        let ended = rig.tagpipe(arguments).await;
        said.push_str(&format!("{}{}", ended.stdout, ended.stderr));
    }
    assert!(said.contains("notify.channels.ops.url"), "{said}");
    assert!(said.contains("ntfy (ntfy), ops (webhook)"), "{said}");
    for secret in SECRETS {
        assert!(!said.contains(secret), "`{secret}` was said:\n{said}");
    }
    let store = rig.open().await;
    let sql = "SELECT group_concat(last_error) FROM news_messages";
    let row = store
        .connection()
        .query_one_raw(Statement::from_string(sea_orm::DbBackend::Sqlite, sql))
        .await
        .expect("a row")
        .expect("a row");
    let errors: String = row.try_get_by_index(0).expect("words");
    assert!(errors.contains("refused"), "{errors}");
    store.close().await;
    for (path, bytes) in rig.files() {
        let is_settings = path.file_name().is_some_and(|name| name == "tagpipe.toml");
        let text = String::from_utf8_lossy(&bytes);
        let found = SECRETS.iter().find(|secret| text.contains(**secret));
        assert!(is_settings || found.is_none(), "{}: {found:?}", path.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_channel_is_refused_before_anything_is_read() {
    let rig = Rig::new(small()).await;
    rig.write(
        "tagpipe.toml",
        "[[notify.channels]]\nname = \"ops\"\nkind = \"slack\"\nurl = \"https://hooks.example.com/\"\nlevle = \"error\"\n",
    );
    let ended = rig.run(&[]).await;
    assert!(
        ended.failure(2).contains("did you mean `level`?"),
        "{}",
        ended.stderr
    );
    rig.write(
        "tagpipe.toml",
        "[notify]\nquiet_hours = \"22-7\"\nslack_url = \"https://hooks.example.com/\"\n",
    );
    let ended = rig.run(&[]).await;
    assert!(ended.failure(2).contains("22:00-07:00"), "{}", ended.stderr);
    rig.write(
        "tagpipe.toml",
        "[notify]\nemail_server = \"localhost\"\nemail_from = \"a@example.com\"\nemail_to = \"b@example.com\"\n\
         email_ca_file = \"/nowhere/ca.pem\"\n",
    );
    let examined = rig.tagpipe(&["doctor", "--offline"]).await.stdout;
    assert!(examined.contains("/nowhere/ca.pem"), "{examined}");
    assert!(rig.site.requests().is_empty());
}
