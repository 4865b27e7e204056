//! The test servers themselves: what other tests rely on.

use sea_orm::{ConnectionTrait, Statement};
use tagpipe_store::testing::TestPostgres;

use crate::harness::connect;

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_keeps_what_was_committed_and_the_port() {
    let mut server = TestPostgres::start_durable();
    let url = server.url();
    connect(&url)
        .await
        .execute_unprepared("CREATE TABLE kept (n bigint)")
        .await
        .unwrap();
    server.stop_immediately();
    server.restart();
    assert_eq!(server.url(), url);
    connect(&url)
        .await
        .execute_unprepared("INSERT INTO kept VALUES (1)")
        .await
        .unwrap();
    server.restart();
    let connection = connect(&url).await;
    let count = Statement::from_string(connection.get_database_backend(), "SELECT count(*) FROM kept");
    let count: i64 = connection
        .query_one_raw(count)
        .await
        .unwrap()
        .unwrap()
        .try_get_by_index(0)
        .unwrap();
    assert_eq!(count, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_server_answers_after_it_is_resumed() {
    let server = TestPostgres::start();
    let connection = connect(&server.url()).await;
    server.pause();
    let mut asked = tokio::spawn(async move {
        connection
            .execute_unprepared("CREATE TABLE late (n bigint)")
            .await
    });
    // The absence of an answer has no event to wait for.
    let answer = tokio::time::timeout(std::time::Duration::from_millis(300), &mut asked).await;
    assert!(answer.is_err(), "a frozen server does not answer");
    server.resume();
    asked.await.unwrap().unwrap();
}

#[test]
fn a_dropped_server_is_gone() {
    let server = TestPostgres::start();
    let tagpipe_store::DatabaseUrl::Postgres(url) = server.url() else {
        panic!("a PostgreSQL")
    };
    let address = ("127.0.0.1", url.port().unwrap());
    std::net::TcpStream::connect(address).unwrap();
    drop(server);
    assert!(std::net::TcpStream::connect(address).is_err());
}
