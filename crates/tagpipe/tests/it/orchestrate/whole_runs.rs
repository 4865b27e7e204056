//! Runs from their start to their end.

use super::*;

async fn many_runners_read_the_site(engine: Engine, runners: usize) {
    let rig = Rig::on(engine, unhurried(400, 20)).await;
    let ended = rig
        .orchestrate(&with(&["--num-runners", &runners.to_string()]))
        .await;
    let summary = ended.summary(0);
    assert_eq!(summary["end"], "reconciled");
    rig.assert_equals_truth().await;
    assert_each_page_once(&rig);
    assert_eq!(rig.assert_is_consistent().await, rig.site.world().page_count());
    assert_adds_up(&rig, &summary, &runner_ids(runners)).await;
    for (name, row) in by_runner(&summary) {
        assert!(number(&row, "pages") > 0, "{name} did nothing: {row:#}");
        assert_eq!(number(&row, "processes"), 1, "{name} was never replaced");
    }
    let runs = rig.runs().await;
    assert_eq!(runs.len(), 1);
    assert_eq!(runs[0].state, "reconciled");
    let stored = runs[0].summary.as_ref().expect("its summary is stored");
    assert_adds_up(&rig, stored, &runner_ids(runners)).await;
    assert!(
        rig.runners()
            .await
            .iter()
            .all(|runner| runner.state == "finished")
    );
    assert_eq!(rig.runner_processes(), [], "nobody is left behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn five_runners_on_postgres() {
    many_runners_read_the_site(Engine::Postgres, 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_runners_on_sqlite() {
    many_runners_read_the_site(Engine::Sqlite, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_runner_needs_no_others() {
    let rig = Rig::new(unhurried(80, 5)).await;
    let summary = rig.orchestrate(&with(&["--num-runners", "1"])).await.summary(0);
    assert_adds_up(&rig, &summary, &runner_ids(1)).await;
    assert_each_page_once(&rig);
    rig.assert_equals_truth().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_add_up_on_a_bad_site() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let mut config = unhurried(250, 10);
        config.faults.unavailable = 0.05;
        config.faults.cut_off = 0.05;
        config.faults.partial = 0.05;
        let rig = Rig::on(engine, config).await;
        let arguments = [
            "--num-runners",
            "3",
            "--max-retries",
            "20",
            "--retry-backoff",
            "1.1",
        ];
        let summary = rig.orchestrate(&with(&arguments)).await.summary(0);
        let retries = summary["retries"].as_array().expect("retries");
        assert!(!retries.is_empty(), "the site was bad: {summary:#}");
        assert_adds_up(&rig, &summary, &runner_ids(3)).await;
        rig.assert_equals_truth().await;
        rig.assert_fetches_are_counted().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_of_pages_is_for_all_together() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let rig = Rig::on(engine, unhurried(200, 20)).await;
        let arguments = with(&["--num-runners", "3", "--max-pages", "20"]);
        let summary = rig.orchestrate(&arguments).await.summary(5);
        assert_eq!(fetches(&rig.documents()).values().sum::<u64>(), 20);
        assert_eq!(pages_of(&summary, "completed"), 20);
        assert!(pages_of(&summary, "open") > 0);
        assert_nothing_is_leased(&rig).await;
        rig.orchestrate(&with(&["--num-runners", "3", "--resume"]))
            .await
            .summary(0);
        assert_each_page_once(&rig);
        rig.assert_equals_truth().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_of_many_writes_nothing() {
    let mut rig = Rig::new(small()).await;
    rig.without_database_flag();
    let before = rig.files();
    let ended = rig.orchestrate(&with(&["--num-runners", "3", "--dry-run"])).await;
    assert_eq!(ended.summary(0)["dry_run"], true);
    assert_eq!(rig.files(), before, "nothing was written");
    assert_eq!(rig.runner_processes(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_layout_stops_all() {
    a_changed_layout_is_told(200).await;
}

/// With few pages each has failed before a runner makes anything of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_layout_is_told_when_nothing_is_left_to_read() {
    a_changed_layout_is_told(12).await;
}

async fn a_changed_layout_is_told(pages: u64) {
    let mut rig = Rig::on(Engine::Postgres, unhurried(pages, 20)).await;
    let proxy = Proxy::start(Some(rig.site.site_addr()), |_| {
        Answer::Rewrite(Box::new(|page| page.replace("Graded", "Slabbed")))
    })
    .await;
    rig.read_from(proxy.url());
    let ended = rig
        .orchestrate(&with(&["--num-runners", "3", "--max-retries", "0"]))
        .await;
    let summary = ended.summary(8);
    let reason = summary["reason"].as_str().expect("words");
    assert!(
        reason.contains("Graded") && reason.contains("levels.years"),
        "{reason}"
    );
    assert_eq!(rig.runner_processes(), []);
    assert_nothing_is_leased(&rig).await;
    assert_eq!(rig.runs().await[0].state, "interrupted");
}
