//! The dashboard's pages, forms and live parts.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::http::{StatusCode, header};
use futures_util::StreamExt;
use tagpipe_demo::Faults;
use tagpipe_store::Scope;

use crate::rig::Rig;

const PAGES: [&str; 18] = [
    "/",
    "/?start=1",
    "/runs",
    "/runs/1",
    "/catalogue",
    "/search?q=a",
    "/search?q=%3Cscript%3Ealert(1)%3C%2Fscript%3E",
    "/audit",
    "/audit?level=INFO&since=24h&follow=true",
    "/audit?run=x%22%3E%3Cscript%3E",
    "/analytics",
    "/schedules",
    "/data",
    "/news",
    "/news?level=info&delivery=sent&since=24h",
    "/news?kind=x%22%3E%3Cscript%3E",
    "/system?examine=true",
    "/login?next=%22%3E%3Cscript%3E",
];

/// The addresses in the first column of a page's table.
fn rows(text: &str) -> Vec<String> {
    let parts = text.split("<th scope=\"row\"").skip(1);
    let found = parts.filter_map(|part| part.split_once("href=\"")?.1.split_once('"'));
    found.map(|(address, _)| address.to_owned()).collect()
}

/// Nothing that a stranger's text would bring: every `<` begins an element of ours, without scripts or styles in it.
fn check_is_ours(path: &str, text: &str) {
    for part in text.split('<').skip(1) {
        let element = outside_quotes(part);
        for strange in ["img", "iframe", "style", "object"] {
            assert!(!element.starts_with(strange), "{path} has <{element}>");
        }
        assert!(
            !element.starts_with("script") || part.starts_with("script src=\"/assets/"),
            "{path} has <{part}"
        );
        assert!(
            !element.contains(" on") && !element.contains(" style="),
            "{path} has <{element}>"
        );
    }
    assert!(!text.contains("href=\"javascript:"), "{path} leads to a script");
}

/// What of an element stands outside of its attributes' values.
fn outside_quotes(part: &str) -> String {
    let mut quote = None;
    let mut outside = String::new();
    for character in part.chars() {
        match quote {
            Some(end) if character == end => quote = None,
            Some(_) => {}
            None if character == '"' || character == '\'' => quote = Some(character),
            None if character == '>' => break,
            None => outside.push(character),
        }
    }
    outside
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_shown_whatever_the_site_has_called_things() {
    let rig = Rig::new().await;
    let mut paths: Vec<String> = PAGES.map(ToOwned::to_owned).to_vec();
    let mut seen = BTreeSet::new();
    let mut texts = String::new();
    while let Some(path) = paths.pop() {
        if !seen.insert(path.clone()) {
            continue;
        }
        let answer = rig.get(&path, None).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        assert!(
            answer
                .header(header::CONTENT_SECURITY_POLICY)
                .contains("script-src 'self'")
        );
        check_is_ours(&path, &answer.text);
        if path.starts_with("/catalogue") {
            paths.extend(rows(&answer.text).into_iter().take(60));
        }
        texts.push_str(&answer.text);
    }
    assert!(
        seen.iter().filter(|path| path.starts_with("/cards/")).count() > 20,
        "{seen:?}"
    );
    assert!(texts.contains("&#60;Hostile&#62;"), "no hostile name was shown");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_told_on_a_page() {
    let rig = Rig::new().await;
    for path in [
        "/nope",
        "/runs/999",
        "/runs/x",
        "/cards/99999",
        "/catalogue/sets/-1",
        "/live/runs/999",
    ] {
        let answer = rig.get(path, None).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert!(answer.text.contains("Nothing here"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_has_its_population_its_history_and_its_grade_rows() {
    let rig = Rig::new().await;
    let found = rig.get("/search?q=a", None).await;
    let card = rows(&found.text).into_iter().next().expect("a card");
    let page = rig.get(&card, None).await;
    for part in ["Population by grade", "History", "Grade rows", "On the site"] {
        assert!(page.text.contains(part), "{card} has no `{part}`");
    }
    let history = rig.get(&format!("{card}/history.json"), None).await;
    let history: serde_json::Value = serde_json::from_str(&history.text).expect("JSON");
    assert_eq!(history["series"][0]["label"], "All");
    let times = history["times"].as_array().expect("times").len();
    assert!(times > 0);
    assert_eq!(
        history["series"][0]["values"].as_array().expect("values").len(),
        times
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_order_runs_and_keep_what_was_written_in_them() {
    let rig = Rig::new().await;
    let sent = rig
        .post(
            "/actions/runs",
            None,
            "categories=Hockey&years=1989&runners=2&when_busy=queue",
        )
        .await;
    assert_eq!(sent.status, StatusCode::SEE_OTHER);
    assert_eq!(sent.header(header::LOCATION), "/?done=ordered");
    let orders = rig.store.open_orders().await.expect("orders");
    assert_eq!(orders.len(), 1);
    assert_eq!(orders[0].options["categories"], "Hockey");
    assert_eq!(orders[0].options["year_filter"], "1989");

    let page = rig.get("/?done=ordered", None).await;
    assert!(page.text.contains("The run is ordered."), "no notice");
    let taken_back = rig
        .post(&format!("/actions/orders/{}/cancel", orders[0].id), None, "")
        .await;
    assert_eq!(taken_back.header(header::LOCATION), "/?done=cancelled");

    let wrong = rig
        .post("/actions/runs", None, "categories=%22%3E%3Cscript%3E&years=19x6")
        .await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(wrong.text.contains("value=\"19x6\""));
    assert!(wrong.text.contains("is no year"));
    check_is_ours("/actions/runs", &wrong.text);

    let ended = rig.post("/actions/runs/1/pause", None, "").await;
    assert_eq!(ended.status, StatusCode::CONFLICT);
    let none = rig.post("/actions/runs/1/retry", None, "page=cards%2Fnone").await;
    assert_eq!(none.header(header::LOCATION), "/runs/1?done=nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn exports_and_backups_are_ordered_shown_and_taken_back() {
    let rig = Rig::new().await;
    let sent = rig
        .post(
            "/actions/exports",
            None,
            "name=hockey.csv&table=cards&categories=Hockey&changed_since=7d&current=true",
        )
        .await;
    assert_eq!(sent.header(header::LOCATION), "/data?done=exporting");
    let backup = rig.post("/actions/backups", None, "").await;
    assert_eq!(backup.header(header::LOCATION), "/data?done=backing-up");
    let jobs = rig.store.jobs(None, 10).await.expect("jobs");
    assert_eq!(jobs.len(), 2);
    assert_eq!(
        jobs[1].options,
        serde_json::json!({
            "name": "hockey.csv", "table": "cards", "categories": "Hockey", "changed_since": "7d", "current": "true",
        })
    );
    let page = rig.get("/data?done=exporting", None).await;
    check_is_ours("/data", &page.text);
    for words in [
        "The export is ordered.",
        "hockey.csv; cards",
        "Backup 2",
        "waiting",
        "every 1s",
    ] {
        assert!(page.text.contains(words), "`{words}` is not on the page");
    }

    for job in [1, 2] {
        let taken_back = rig.post(&format!("/actions/jobs/{job}/cancel"), None, "").await;
        assert_eq!(taken_back.header(header::LOCATION), "/data?done=taken-back");
    }
    let again = rig.post("/actions/jobs/1/cancel", None, "").await;
    assert_eq!(again.status, StatusCode::CONFLICT);
    let part = rig.get("/data/jobs", None).await;
    assert!(part.text.contains("Taken back by this machine."), "{}", part.text);
    assert!(!part.text.contains("every 1s"), "nothing moves any more");

    let wrong = rig
        .post(
            "/actions/exports",
            None,
            "name=../etc/passwd&sets=%22%3E%3Cscript%3E",
        )
        .await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(wrong.text.contains("is no name of a file"));
    check_is_ours("/actions/exports", &wrong.text);
    assert_eq!(rig.store.jobs(None, 10).await.expect("jobs").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_failed_page_is_retried_or_all_of_them() {
    let rig = Rig::over(Faults {
        cut_off: 0.15,
        ..Faults::default()
    })
    .await;
    let before = rig.store.failed_pages(1, 1_000).await.expect("pages").len();
    assert!(before > 1, "{before} pages failed");
    let page = rig.get("/runs/1", None).await;
    assert!(page.text.contains("Retry all"));
    check_is_ours("/runs/1", &page.text);

    let first = rig.store.failed_pages(1, 1).await.expect("a page").remove(0);
    let key = percent_encoding::utf8_percent_encode(&first.page_key, percent_encoding::NON_ALPHANUMERIC);
    let one = rig
        .post("/actions/runs/1/retry", None, &format!("page={key}"))
        .await;
    assert_eq!(one.header(header::LOCATION), "/runs/1?done=retried");
    let left = rig.store.failed_pages(1, 1_000).await.expect("pages");
    assert_eq!(left.len(), before - 1);
    assert!(left.iter().all(|page| page.page_key != first.page_key));
    // The run is to go on.
    let orders = rig.store.open_orders().await.expect("orders");
    assert_eq!(
        orders.iter().filter_map(|order| order.run).collect::<Vec<_>>(),
        [1]
    );

    rig.post("/actions/runs/1/retry", None, "page=").await;
    assert!(rig.store.failed_pages(1, 1_000).await.expect("pages").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn schedules_are_previewed_added_changed_and_removed() {
    let rig = Rig::new().await;
    let preview = rig
        .get("/schedules/preview?cron=0+3+*+*+*&timezone=Europe%2FBerlin", None)
        .await;
    assert_eq!(preview.text.matches("<li>").count(), 5);
    let wrong = rig.get("/schedules/preview?cron=61+*+*+*+*", None).await;
    assert!(wrong.text.contains("class=\"fault\""));

    let form = "name=nightly&cron=0+3+*+*+*&timezone=Europe%2FBerlin&overlap=queue&categories=Hockey";
    let added = rig.post("/actions/schedules", None, form).await;
    assert_eq!(added.header(header::LOCATION), "/schedules?done=added");
    let again = rig.post("/actions/schedules", None, form).await;
    assert!(again.text.contains("There is a schedule"), "{}", again.status);
    let id = rig.store.schedules().await.expect("schedules")[0].id;
    rig.post(&format!("/actions/schedules/{id}/disable"), None, "")
        .await;
    assert!(!rig.store.schedules().await.expect("schedules")[0].plan.enabled);
    rig.post(&format!("/actions/schedules/{id}/remove"), None, "")
        .await;
    assert!(rig.store.schedules().await.expect("schedules").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_decides_what_is_shown_and_done() {
    let rig = Rig::new().await;
    rig.add_token("looks", Scope::Read).await;
    rig.add_token("steers", Scope::Control).await;

    let nobody = rig.get("/runs?before=9", None).await;
    assert_eq!(
        nobody.header(header::LOCATION),
        "/login?next=%2Fruns%3Fbefore%3D9"
    );
    let wrong = rig.get("/", Some("wrong")).await;
    assert_eq!(wrong.status, StatusCode::SEE_OTHER);
    for path in [
        "/live/overview",
        "/live/audit",
        "/news",
        "/cards/1/history.json",
        "/runs/1/years?category=Hockey",
    ] {
        assert_eq!(rig.get(path, None).await.status, StatusCode::SEE_OTHER, "{path}");
    }

    let looking = rig.get("/", Some("looks")).await;
    assert!(!looking.text.contains("Start a run"));
    assert!(rig.get("/", Some("steers")).await.text.contains("Start a run"));
    for path in [
        "/actions/runs",
        "/actions/runs/1/stop",
        "/actions/runs/1/retry",
        "/actions/schedules",
        "/actions/schedules/1/remove",
    ] {
        let refused = rig.post(path, Some("looks"), "").await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{path}");
    }

    let refused = rig.post("/actions/login", None, "token=wrong&next=%2Fruns").await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.headers.get(header::SET_COOKIE).is_none());
    let signed_in = rig
        .post("/actions/login", None, "token=steers&next=%2Fruns")
        .await;
    assert_eq!(signed_in.header(header::LOCATION), "/runs");
    let cookie = signed_in.header(header::SET_COOKIE);
    for part in ["tagpipe_token=steers", "HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains("Secure"), "{cookie}");
    assert!(
        rig.cookie_behind_proxy("https", "steers")
            .await
            .ends_with("; Secure")
    );
    assert!(!rig.cookie_behind_proxy("http", "steers").await.contains("Secure"));
    let elsewhere = rig
        .post("/actions/login", None, "token=steers&next=%2F%2Fother.example")
        .await;
    assert_eq!(elsewhere.header(header::LOCATION), "/");
}

#[tokio::test(flavor = "multi_thread")]
async fn live_parts_are_the_ones_that_the_page_has_places_for() {
    let rig = Rig::new().await;
    for (page, stream) in [("/", "/live/overview"), ("/runs/1", "/live/runs/1")] {
        let page = rig.get(page, None).await;
        let answer = rig.begin("GET", stream, None, String::new()).await;
        let mut body = answer.into_body().into_data_stream();
        let mut text = String::new();
        let read = async {
            // A run that has ended ends its stream; the overview's goes on, and its first state has three parts.
            while text.matches("event: ").count() < 3 {
                let Some(part) = body.next().await else { break };
                text.push_str(&String::from_utf8_lossy(&part.expect("a part")));
            }
        };
        tokio::time::timeout(Duration::from_secs(20), read)
            .await
            .expect("parts");
        for line in text.lines().filter_map(|line| line.strip_prefix("event: ")) {
            let place = format!("sse-swap=\"{line}\"");
            assert!(page.text.contains(&place) || line == "ended", "{stream}: {line}");
        }
    }
}
