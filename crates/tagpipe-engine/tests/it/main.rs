//! The engine as a library: the programs in `examples/`, each run on a demo site.

use std::net::SocketAddr;

use sea_orm::EntityTrait;
use tagpipe_demo::{DemoConfig, DemoSite, RunningDemo};
use tagpipe_engine::{Pipeline, RunEnd, Start};
use tagpipe_store::Store;
use tagpipe_store::entities::{audit_logs, grade_rows, runs};
use tempfile::TempDir;

#[expect(dead_code, unreachable_pub, reason = "an example is a program of its own")]
#[path = "../../../../examples/custom_audit_entries.rs"]
mod custom_audit_entries;
#[expect(dead_code, unreachable_pub, reason = "an example is a program of its own")]
#[path = "../../../../examples/custom_configuration.rs"]
mod custom_configuration;
#[expect(dead_code, unreachable_pub, reason = "an example is a program of its own")]
#[path = "../../../../examples/own_fetcher.rs"]
mod own_fetcher;
#[expect(dead_code, unreachable_pub, reason = "an example is a program of its own")]
#[path = "../../../../examples/run_a_pipeline.rs"]
mod run_a_pipeline;

struct Rig {
    site: RunningDemo,
    folder: TempDir,
}

impl Rig {
    async fn new() -> Rig {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let config = DemoConfig {
            pages: 120,
            ..DemoConfig::default()
        };
        Rig {
            site: DemoSite::start(config, any, any).await.expect("a demo site"),
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    fn database(&self) -> String {
        format!("sqlite:{}", self.folder.path().join("example.db").display())
    }

    async fn open(&self) -> Store {
        Store::open(&self.database().parse().expect("an address"), true)
            .await
            .expect("it opens")
    }

    async fn certificates(&self) -> usize {
        let store = self.open().await;
        let rows = grade_rows::Entity::find().all(store.connection()).await;
        store.close().await;
        rows.expect("rows").len()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_is_run_from_a_program() {
    let rig = Rig::new().await;
    let summary = run_a_pipeline::read(&rig.site.site_url(), &rig.database())
        .await
        .expect("it runs");
    assert_eq!(summary.end, RunEnd::Reconciled);
    assert_eq!(rig.certificates().await, rig.site.world().grade_rows().count());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_writes_audit_entries_of_its_own() {
    let rig = Rig::new().await;
    custom_audit_entries::write_entries(&rig.database())
        .await
        .expect("written");
    let store = rig.open().await;
    let entries = audit_logs::Entity::find()
        .all(store.connection())
        .await
        .expect("entries");
    store.close().await;
    let kinds: Vec<_> = entries
        .iter()
        .map(|entry| {
            (
                entry.level.as_str(),
                entry.kind.as_str(),
                entry.runner_id.as_str(),
            )
        })
        .collect();
    assert_eq!(
        kinds,
        [
            ("INFO", "operation", "custom_runner"),
            ("ERROR", "error", "custom_runner")
        ]
    );
    assert_eq!(entries[1].context["error_details"], "detailed error information");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_of_ones_own_is_kept() {
    let rig = Rig::new().await;
    let config =
        custom_configuration::configuration(&rig.site.site_url(), &rig.database()).expect("a configuration");
    let summary = custom_configuration::run(config).await.expect("it runs");
    assert_eq!(summary.end, RunEnd::Reconciled);
    assert_eq!(summary.runner_id, "custom_runner");
    let store = rig.open().await;
    let run = runs::Entity::find()
        .one(store.connection())
        .await
        .expect("asked")
        .expect("a run");
    store.close().await;
    assert_eq!(run.config["max_retries"], 5);
    assert_eq!(run.config["filters"]["categories"][0], "Hockey");
    assert!(rig.certificates().await < rig.site.world().grade_rows().count());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetcher_of_ones_own_is_used() {
    let rig = Rig::new().await;
    let folder = rig.folder.path().join("pages");
    let site = rig.site.site_url();
    let (first, kept) = own_fetcher::read(&site, &rig.database(), folder.clone())
        .await
        .expect("it runs");
    assert_eq!((first.end, kept), (RunEnd::Reconciled, 0));
    let pages = first.levels.iter().map(|level| level.completed).sum::<u64>();
    let asked = rig.site.requests().len();
    let (second, kept) = own_fetcher::read(&site, &rig.database(), folder)
        .await
        .expect("it runs");
    assert_eq!((second.end, kept), (RunEnd::Reconciled, pages));
    assert_eq!(second.rows.new, 0);
    let more = rig.site.requests().len() - asked;
    assert!(more < asked / 2, "{more} further requests: robots.txt and pagers");
}

/// A program of its own, as its runners are processes of it.
#[tokio::test(flavor = "multi_thread")]
async fn runners_of_ones_own_are_orchestrated() {
    let rig = Rig::new().await;
    let tests = std::env::current_exe().expect("this program has a file");
    let built = tests.ancestors().nth(2).expect("it is where cargo puts it");
    let ended = tokio::process::Command::new(built.join("examples/custom_runners"))
        .args([rig.site.site_url(), rig.database()])
        .output()
        .await
        .expect("the example was built");
    let (said, wrong) = (
        String::from_utf8_lossy(&ended.stdout),
        String::from_utf8_lossy(&ended.stderr),
    );
    assert!(ended.status.success(), "{said}{wrong}");
    for line in ["runner_1: ", "runner_2: ", "runner_3: ", "reconciled: "] {
        assert!(
            said.lines().any(|said| said.starts_with(line)),
            "{line} in {said}"
        );
    }
    assert_eq!(rig.certificates().await, rig.site.world().grade_rows().count());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_from_a_program_makes_no_file() {
    let rig = Rig::new().await;
    let mut config =
        custom_configuration::configuration(&rig.site.site_url(), &rig.database()).expect("a configuration");
    config.dry_run = true;
    let mut pipeline = Pipeline::open(config).await.expect("it opens");
    let summary = pipeline
        .run(Start::New, &Default::default())
        .await
        .expect("it runs");
    pipeline.close().await;
    assert!(summary.rows.new > 0);
    let files = std::fs::read_dir(rig.folder.path()).expect("a folder").count();
    assert_eq!(files, 0);
}
