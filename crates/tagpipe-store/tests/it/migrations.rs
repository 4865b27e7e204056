//! Opening databases of every age. Taking migrations back is tested beside them.

use std::ffi::OsString;

use sea_orm::ConnectionTrait;
use tagpipe_store::testing::TestDatabase;
use tagpipe_store::{ErrorClass, Store, StoreError};

use crate::harness::*;

on_both_databases! {
    an_empty_database_is_refused_without_migrating,
    opening_again_changes_nothing,
    a_newer_database_is_refused,
    many_processes_open_a_new_database_at_once,
    the_applied_and_pending_ones_are_listed,
    a_dry_run_opens_what_is_there_and_changes_nothing,
}

async fn an_empty_database_is_refused_without_migrating(database: TestDatabase) {
    let error = Store::open(&database.url(), false).await.unwrap_err();
    assert!(
        matches!(&error, StoreError::Schema(text) if text.contains("run `tagpipe db migrate`")),
        "{error}"
    );
    assert_eq!(error.class(), ErrorClass::Permanent);
    assert!(
        Store::open(&database.url(), false).await.is_err(),
        "the refusal has written nothing"
    );
    database.open().await.close().await;
    Store::open(&database.url(), false).await.unwrap();
}

async fn opening_again_changes_nothing(database: TestDatabase) {
    let store = database.open().await;
    let run = store.start_run(&serde_json::json!({})).await.unwrap();
    store.close().await;
    assert!(database.open().await.run(run).await.unwrap().is_some());
}

async fn a_newer_database_is_refused(database: TestDatabase) {
    database.open().await.close().await;
    let future = "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9999_future', 0)";
    connect(&database.url())
        .await
        .execute_unprepared(future)
        .await
        .unwrap();
    for migrate in [true, false] {
        let error = Store::open(&database.url(), migrate).await.unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, StoreError::Schema(_)), "{text}");
        assert!(
            text.contains("newer tagpipe") && text.contains("`m9999_future`"),
            "{text}"
        );
    }
}

async fn many_processes_open_a_new_database_at_once(database: TestDatabase) {
    let openers: Vec<_> = (0..6)
        .map(|_| {
            let url = database.url();
            tokio::spawn(async move { Store::open(&url, true).await.map(|_| ()) })
        })
        .collect();
    for opener in openers {
        opener.await.unwrap().unwrap();
    }
}

async fn the_applied_and_pending_ones_are_listed(database: TestDatabase) {
    let all = [
        "m0001_initial",
        "m0002_audit_lookups",
        "m0003_many_runners",
        "m0004_reading",
        "m0005_documents",
        "m0006_history",
        "m0007_expected_change",
        "m0008_check",
        "m0009_service",
        "m0010_search",
        "m0011_outbox",
        "m0012_jobs",
        "m0013_recipients",
    ]
    .map(str::to_owned)
    .to_vec();
    assert_eq!(
        Store::migrations(&database.url()).await.unwrap(),
        (vec![], all.clone())
    );
    database.open().await;
    assert_eq!(Store::migrations(&database.url()).await.unwrap(), (all, vec![]));
}

/// Every file of an SQLite database's folder.
fn files(database: &TestDatabase) -> Vec<(OsString, Vec<u8>)> {
    let TestDatabase::Sqlite(folder) = database else {
        return Vec::new();
    };
    let mut files: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name(), std::fs::read(entry.path()).unwrap()))
        .collect();
    files.sort();
    files
}

async fn a_dry_run_opens_what_is_there_and_changes_nothing(database: TestDatabase) {
    assert!(Store::open_read_only(&database.url()).await.unwrap().is_none());
    assert!(files(&database).is_empty(), "not even a file is made");

    let store = database.open().await;
    let run = store.start_run(&serde_json::json!({})).await.unwrap();
    let names = || {
        files(&database)
            .into_iter()
            .map(|file| file.0)
            .collect::<Vec<_>>()
    };
    // While another process has it open, with a commit that stands in the log alone.
    let before = names();
    let reading = Store::open_read_only(&database.url()).await.unwrap().unwrap();
    assert_eq!(reading.newest_run().await.unwrap().map(|run| run.id), Some(run));
    if matches!(database, TestDatabase::Sqlite(_)) {
        assert!(reading.start_run(&serde_json::json!({})).await.is_err());
    }
    reading.close().await;
    assert_eq!(names(), before);
    store.close().await;
    // And alone.
    let before = files(&database);
    let reading = Store::open_read_only(&database.url()).await.unwrap().unwrap();
    assert_eq!(reading.newest_run().await.unwrap().map(|run| run.id), Some(run));
    reading.close().await;
    assert_eq!(files(&database), before);

    let future = "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9999_future', 0)";
    connect(&database.url())
        .await
        .execute_unprepared(future)
        .await
        .unwrap();
    let error = Store::open_read_only(&database.url()).await.unwrap_err();
    assert!(matches!(error, StoreError::Schema(_)), "{error}");
}
