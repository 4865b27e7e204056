//! Pages that a script paints, through Chromium.

use tagpipe_demo::{DemoConfig, Rendering, RequestKind};

use crate::crawl::bad_day;
use crate::harness::{Rig, pages_of, quick_profile};

fn painted(seed: u64) -> DemoConfig {
    DemoConfig {
        pages: 60,
        seed,
        rendering: Rendering::Script,
        ..DemoConfig::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn painted_pages_are_the_same_pages() {
    let rig = Rig::new(painted(1)).await;
    let summary = rig.run(&["--fetch", "browser"]).await.summary(0);
    assert_eq!(summary["end"], "reconciled");
    rig.assert_equals_truth().await;
    let documents = rig.documents();
    assert_eq!(
        documents.len() as u64,
        rig.site.world().summary().pages,
        "each page is loaded once"
    );
    assert_eq!(rig.site.requests()[0].kind, RequestKind::Robots);
    assert!(
        documents
            .iter()
            .all(|document| document.user_agent.contains("tagpipe/"))
    );
    assert_eq!(
        rig.files().keys().filter(|path| path.starts_with("tmp")).count(),
        0,
        "no folder is left behind"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn painted_pages_on_a_bad_day_are_the_same_pages() {
    let config = DemoConfig {
        faults: bad_day(9),
        ..painted(9)
    };
    let rig = Rig::new(config).await;
    rig.set_profile(&quick_profile().replace("timeout = 30.0", "timeout = 5.0"));
    let summary = rig
        .run(&["--fetch", "browser", "--max-retries", "8"])
        .await
        .summary(0);
    assert_eq!(summary["end"], "reconciled");
    assert!(pages_of(&summary, "completed") >= 50);
    rig.assert_equals_truth().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_painted_pages_are_the_same_pages() {
    let rig = Rig::new(DemoConfig {
        hostile: true,
        ..painted(3)
    })
    .await;
    rig.run(&["--fetch", "browser", "--max-duration", "60s"])
        .await
        .summary(0);
    rig.assert_equals_truth().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_run_of_painted_pages_goes_on() {
    let rig = Rig::new(painted(4)).await;
    for round in 0..3 {
        let arguments: &[&str] = if round == 0 {
            &["--fetch", "browser"]
        } else {
            &["--fetch", "browser", "--resume"]
        };
        let running = rig.start(arguments);
        rig.wait_for_documents(rig.documents().len() + 8).await;
        running.kill().await;
        rig.assert_is_consistent().await;
    }
    let summary = rig.run(&["--fetch", "browser", "--resume"]).await.summary(0);
    assert!(
        summary["resumed"]["taken_back"].as_u64() >= Some(1),
        "{summary:#}"
    );
    rig.assert_equals_truth().await;
}
