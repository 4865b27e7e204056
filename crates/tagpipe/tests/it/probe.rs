//! `tagpipe probe` and `tagpipe profile try`.

use serde_json::Value;
use tagpipe_core::profile::SiteProfile;
use tagpipe_demo::{DemoConfig, Rendering};

use crate::harness::{Ended, Rig};
use crate::proxy::{Answer, Proxy};

async fn small(rendering: Rendering) -> Rig {
    Rig::new(DemoConfig {
        pages: 120,
        seed: 21,
        rendering,
        ..DemoConfig::default()
    })
    .await
}

async fn probe(rig: &Rig, base_url: &str, more: &[&str]) -> Ended {
    let mut arguments = vec!["probe", "--base-url", base_url, "--fetch", "http"];
    arguments.extend(more);
    rig.tagpipe(&arguments).await
}

fn json(ended: &Ended, code: i32) -> Value {
    assert_eq!(ended.code, Some(code), "{}{}", ended.stderr, ended.stdout);
    serde_json::from_str(&ended.stdout).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_level_is_read_once_and_recognised() {
    let rig = small(Rendering::Server).await;
    let before = rig.files();
    let report = json(&probe(&rig, &rig.site.site_url(), &["--json"]).await, 0);
    let levels = report["levels"].as_array().expect("levels");
    let names: Vec<_> = levels
        .iter()
        .map(|level| level["level"].as_str().expect("a name"))
        .collect();
    assert_eq!(names, ["categories", "years", "sets", "cards", "grade_rows"]);
    for level in levels {
        let seen = &level["result"]["inspected"];
        assert_eq!(seen["fit"], "fits", "{level}");
        assert!(seen["rows"].as_u64() > Some(0), "{level}");
    }
    assert_eq!(report["requests"], 6);
    assert_eq!(
        rig.site.requests().len(),
        6,
        "robots.txt and one page of each level"
    );
    assert_eq!(rig.files(), before, "nothing is written");
    let told = probe(&rig, &rig.site.site_url(), &[]).await;
    assert!(
        told.stdout.contains("cert_number") && told.stdout.contains("everything fits"),
        "{}",
        told.stdout
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_choose_what_is_read() {
    let rig = small(Rendering::Server).await;
    let category = rig
        .site
        .world()
        .category_rows()
        .nth(1)
        .expect("a second category")
        .name
        .clone();
    let report = json(
        &probe(&rig, &rig.site.site_url(), &["--json", "--categories", &category]).await,
        0,
    );
    let url = report["levels"][1]["url"].as_str().expect("an address");
    assert_ne!(
        url,
        json(&probe(&rig, &rig.site.site_url(), &["--json"]).await, 0)["levels"][1]["url"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn browser_pages_are_recognised_as_well() {
    let rig = small(Rendering::Script).await;
    let url = rig.site.site_url();
    let ended = rig
        .tagpipe(&["probe", "--base-url", &url, "--fetch", "browser", "--json"])
        .await;
    let report = json(&ended, 0);
    assert_eq!(report["fetch"], "browser");
    assert_eq!(report["levels"][4]["result"]["inspected"]["fit"], "fits");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_site_is_told_with_the_part_of_the_profile() {
    let rig = small(Rendering::Server).await;
    let proxy = Proxy::start(Some(rig.site.site_addr()), |_| {
        Answer::Rewrite(Box::new(|page| page.replace("Cert Number", "Slab Number")))
    })
    .await;
    let report = json(
        &probe(&rig, &proxy.url(), &["--json", "--save", "pages"]).await,
        8,
    );
    let seen = &report["levels"][4]["result"]["inspected"];
    assert_eq!(seen["fit"], "changed");
    let detail = seen["detail"].as_str().expect("words");
    assert!(
        detail.contains("Cert Number") && detail.contains("levels.grade_rows"),
        "{detail}"
    );

    // The kept page is mended by an edited profile, without asking the site again.
    let asked = rig.site.requests().len();
    rig.write("old.toml", SiteProfile::builtin_text());
    rig.write(
        "new.toml",
        &SiteProfile::builtin_text().replace("Cert Number", "Slab Number"),
    );
    let page = "pages/grade_rows.html";
    let old = rig.tagpipe(&["profile", "try", "old.toml", page]).await;
    assert_eq!(old.code, Some(8), "{}", old.stdout);
    assert!(
        old.stdout.contains("Slab Number"),
        "what is found instead: {}",
        old.stdout
    );
    let new = rig.tagpipe(&["profile", "try", "new.toml", page]).await;
    assert_eq!(new.code, Some(0), "{}{}", new.stdout, new.stderr);
    assert!(new.stdout.contains("cert_number"), "{}", new.stdout);
    let elsewhere = rig.folder().join("alone.html");
    std::fs::copy(rig.folder().join(page), &elsewhere).expect("copied");
    let alone = rig.tagpipe(&["profile", "try", "new.toml", "alone.html"]).await;
    assert!(alone.failure(2).contains("--level"), "{}", alone.stderr);
    let given = rig
        .tagpipe(&["profile", "try", "new.toml", "alone.html", "--level", "graderows"])
        .await;
    assert_eq!(given.code, Some(0), "{}", given.stderr);
    assert_eq!(rig.site.requests().len(), asked);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_gone_and_a_refusal_are_not_called_a_change() {
    let rig = small(Rendering::Server).await;
    for (answer, code, word) in [
        ("429 Too Many Requests", 6, "REFUSED"),
        ("503 Service Unavailable", 6, "REFUSED"),
        ("500 Oops", 6, "REFUSED"),
    ] {
        let proxy = Proxy::start(Some(rig.site.site_addr()), move |path| {
            if path.matches('/').count() >= 3 {
                Answer::status(answer)
            } else {
                Answer::Forward
            }
        })
        .await;
        let ended = probe(&rig, &proxy.url(), &[]).await;
        assert_eq!(
            ended.code,
            Some(code),
            "{answer}: {}{}",
            ended.stdout,
            ended.stderr
        );
        assert!(
            ended.stdout.contains(word) && ended.stdout.contains("not reached"),
            "{}",
            ended.stdout
        );
    }
    let ended = probe(&rig, "http://127.0.0.1:1", &[]).await;
    assert!(ended.failure(1).contains("127.0.0.1:1"), "{}", ended.stderr);
}
