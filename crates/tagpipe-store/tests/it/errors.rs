//! What goes wrong with a database, and what the caller is told to do about it.

use std::time::{Duration, Instant};

use sea_orm::{ConnectionTrait, Statement};
use tagpipe_core::model::PageKind;
use tagpipe_store::contract::Fate;
use tagpipe_store::testing::{TestDatabase, TestPostgres};
use tagpipe_store::{DatabaseUrl, ErrorClass, Store, StoreError};

use crate::harness::*;

fn postgres_url(server: &TestPostgres, change: impl FnOnce(&mut url::Url)) -> DatabaseUrl {
    let DatabaseUrl::Postgres(mut url) = server.url() else {
        panic!("a PostgreSQL")
    };
    change(&mut url);
    DatabaseUrl::Postgres(url)
}

async fn refused(url: &DatabaseUrl) -> String {
    let error = Store::open(url, true).await.unwrap_err();
    assert!(matches!(error, StoreError::Refused(_)), "{error}");
    assert_eq!(error.class(), ErrorClass::Permanent);
    error.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_and_names_are_refused_without_showing_the_password() {
    let server = TestPostgres::start();
    let wrong = postgres_url(&server, |url| url.set_password(Some("guessed")).unwrap());
    let text = refused(&wrong).await;
    assert!(
        text.contains("password authentication failed") && !text.contains("guessed"),
        "{text}"
    );
    let text = refused(&postgres_url(&server, |url| {
        url.set_username("nobody_known").unwrap()
    }))
    .await;
    assert!(text.contains("nobody_known"), "{text}");
    let text = refused(&postgres_url(&server, |url| url.set_path("/no_such_database"))).await;
    assert!(
        text.contains("database \"no_such_database\" does not exist"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_down_is_unavailable() {
    let mut server = TestPostgres::start();
    server.stop_immediately();
    let error = Store::open(&server.url(), true).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    assert!(!error.to_string().contains("only-for-tests"), "{error}");
    server.restart();
    Store::open(&server.url(), true).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_without_rights_is_refused() {
    let server = TestPostgres::start();
    Store::open(&server.url(), true).await.unwrap();
    connect(&server.url())
        .await
        .execute_unprepared("CREATE ROLE reader LOGIN PASSWORD 'reader'")
        .await
        .unwrap();
    let url = postgres_url(&server, |url| {
        url.set_username("reader").unwrap();
        url.set_password(Some("reader")).unwrap();
    });
    let text = refused(&url).await;
    assert!(text.contains("permission denied"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn places_that_cannot_hold_a_file_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let text = refused(&DatabaseUrl::Sqlite(folder.path().join("missing/tagpipe.db"))).await;
    assert!(text.contains("missing` does not exist; create it"), "{text}");
    let text = refused(&DatabaseUrl::Sqlite(folder.path().to_owned())).await;
    assert!(text.contains("cannot open"), "{text}");
    let other = folder.path().join("holiday.jpg");
    std::fs::write(&other, "not a database ".repeat(1000)).unwrap();
    let text = refused(&DatabaseUrl::Sqlite(other.clone())).await;
    assert!(
        text.contains("holiday.jpg") && text.contains("not a database"),
        "{text}"
    );
    assert!(
        std::fs::read_to_string(other)
            .unwrap()
            .starts_with("not a database"),
        "it is left as it was"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_file_is_refused() {
    let crawl = Crawl::on(TestDatabase::sqlite()).await;
    let DatabaseUrl::Sqlite(path) = crawl.database.url() else {
        panic!("a file")
    };
    crawl.store.close().await;
    // Rights do not bind root, the file format binds everybody: a file whose format is too new for writing
    // (byte 18, <https://www.sqlite.org/fileformat2.html#file_format_version_numbers>) may only be read.
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[18] = 9;
    std::fs::write(&path, bytes).unwrap();
    let error = match Store::open(&crawl.database.url(), true).await {
        Ok(store) => store.start_run(&serde_json::json!({})).await.unwrap_err(),
        Err(error) => error,
    };
    assert!(
        matches!(&error, StoreError::Refused(text) if text.contains("readonly")),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_locked_for_long_is_unavailable_and_then_works() {
    let crawl = Crawl::on(TestDatabase::sqlite()).await;
    crawl.add(&pages(PageKind::Years, 1)).await;
    let other = crawl.connection().await;
    other.execute_unprepared("BEGIN IMMEDIATE").await.unwrap();
    let asked = Instant::now();
    let error = crawl
        .store
        .claim(crawl.run, &crawl.me.instance, 1, TERM)
        .await
        .unwrap_err();
    assert!(
        asked.elapsed() >= Duration::from_secs(4),
        "it waits for a while: {:?}",
        asked.elapsed()
    );
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    assert_eq!(error.class(), ErrorClass::Retry);
    // Readers are not kept waiting by a writer.
    assert_eq!(crawl.store.frontier_counts(crawl.run).await.unwrap().all(), 1);
    // Nor does a short lock fail anything.
    let store = crawl.store.clone();
    let (run, me) = (crawl.run, crawl.me.instance.clone());
    let claim = tokio::spawn(async move { store.claim(run, &me, 1, TERM).await });
    other.execute_unprepared("ROLLBACK").await.unwrap();
    assert_eq!(claim.await.unwrap().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_cut_off_by_a_crash_is_unavailable_and_succeeds_after_restart() {
    let TestDatabase::Postgres(mut server) = TestDatabase::Postgres(TestPostgres::start_durable()) else {
        return;
    };
    let store = Store::open(&server.url(), true).await.unwrap();
    let run = store.start_run(&serde_json::json!({})).await.unwrap();
    let me = runner("runner_1");
    store.register_runner(run, &me).await.unwrap();
    store.add_pages(run, &[categories_page()]).await.unwrap();
    let lease = store.claim(run, &me.instance, 1, TERM).await.unwrap().remove(0);
    let rows = tagpipe_core::model::CategoryRow { name: "Golf".into() };
    let batch = vec![complete(
        &lease,
        tagpipe_core::model::PageRows::Categories(vec![rows]),
    )];

    // Somebody's lock holds the commit in its middle: after the rows, before the audit entry.
    let other = connect(&server.url()).await;
    other
        .execute_unprepared("BEGIN; LOCK TABLE audit_logs IN EXCLUSIVE MODE")
        .await
        .unwrap();
    let committing = {
        let (store, me, batch) = (store.clone(), me.clone(), batch.clone());
        tokio::spawn(async move { store.finish(run, &me.runner_id, &me.instance, &batch).await })
    };
    let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted";
    loop {
        let row = other
            .query_one_raw(Statement::from_string(other.get_database_backend(), waiting))
            .await
            .unwrap();
        if row.unwrap().try_get_by_index::<i64>(0).unwrap() > 0 {
            break;
        }
        tokio::task::yield_now().await;
    }
    server.stop_immediately();
    let error = committing.await.unwrap().unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    let error = store.claim(run, &me.instance, 1, TERM).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");

    server.restart();
    let crawl = Crawl {
        database: TestDatabase::Postgres(server),
        store,
        run,
        me,
    };
    assert_eq!(crawl.count("categories").await, 0, "nothing of it was written");
    assert_eq!(crawl.finish(&batch).await.fates, [Fate::Accepted]);
    assert_eq!(crawl.finish(&batch).await.fates, [Fate::Accepted]);
    assert_eq!(
        (crawl.count("categories").await, crawl.count("audit_logs").await),
        (1, 1)
    );
}
