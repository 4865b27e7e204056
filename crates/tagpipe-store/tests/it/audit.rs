//! The audit trail: what is written, how long it is kept, how fast it answers.

use std::time::Duration;

use tagpipe_store::audit::{AuditEntry, AuditKind, AuditLevel, AuditOrigin, AuditRetention};
use tagpipe_store::testing::TestDatabase;

use crate::harness::*;

on_both_engines! {
    entries_of_every_level_and_kind_are_kept,
    old_entries_are_removed_by_age,
    entries_are_removed_down_to_a_number,
    retention_goes_on_beyond_one_chunk,
    the_usual_question_is_answered_from_an_index,
}

async fn entries_of_every_level_and_kind_are_kept(crawl: Crawl) {
    let levels = [
        AuditLevel::Debug,
        AuditLevel::Info,
        AuditLevel::Warning,
        AuditLevel::Error,
        AuditLevel::Critical,
    ];
    let kinds = [AuditKind::Operation, AuditKind::Error, AuditKind::Result];
    let entries: Vec<_> = levels
        .into_iter()
        .flat_map(|level| {
            kinds.map(|kind| AuditEntry {
                kind,
                page_key: None,
                ..entry(level, "said")
            })
        })
        .collect();
    let origin = AuditOrigin {
        run: None,
        runner_id: "serve",
    };
    crawl.store.audit(origin, &entries).await.unwrap();
    crawl.store.audit(origin, &[]).await.unwrap();
    for level in ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] {
        assert_eq!(
            crawl
                .count(&format!(
                    "audit_logs WHERE level = '{level}' AND runner_id = 'serve'"
                ))
                .await,
            3
        );
    }
    for view in ["audit_operations", "audit_errors", "audit_results"] {
        assert_eq!(crawl.count(view).await, 5, "{view}");
    }
    assert_eq!(
        crawl
            .count("audit_logs WHERE run_id IS NULL AND page_key IS NULL")
            .await,
        15
    );
}

/// Writes `count` entries, the newest now and each older one a minute before the next.
async fn plant(crawl: &Crawl, count: usize) {
    let (numbers, time) = match crawl.database {
        TestDatabase::Sqlite(_) => (
            format!(
                "(WITH RECURSIVE counted(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < {count}) \
                 SELECT n FROM counted) AS numbers"
            ),
            format!("strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-' || ({count} - n) || ' minutes')"),
        ),
        TestDatabase::Postgres(_) => (
            format!("generate_series(1, {count}) AS numbers(n)"),
            format!("now() - ({count} - n) * interval '1 minute'"),
        ),
    };
    crawl
        .sql(&format!(
            "INSERT INTO audit_logs (created_at, level, kind, runner_id, operation, message, context) \
             SELECT {time}, CASE n % 200 WHEN 0 THEN 'ERROR' WHEN 1 THEN 'WARNING' ELSE 'INFO' END, 'operation', \
                 'runner_1', 'read_page', 'entry ' || n, '{{}}' FROM {numbers}"
        ))
        .await;
}

async fn old_entries_are_removed_by_age(crawl: Crawl) {
    plant(&crawl, 100).await;
    let by_age = |minutes: u64| AuditRetention {
        max_age: Some(Duration::from_secs(minutes * 60 + 30)),
        max_rows: None,
    };
    assert_eq!(
        crawl.store.prune_audit(AuditRetention::default()).await.unwrap(),
        0
    );
    assert_eq!(crawl.store.prune_audit(by_age(200)).await.unwrap(), 0);
    assert_eq!(crawl.store.prune_audit(by_age(59)).await.unwrap(), 40);
    assert_eq!(
        crawl
            .count("audit_logs WHERE message IN ('entry 41', 'entry 100')")
            .await,
        2
    );
    let all = AuditRetention {
        max_age: Some(Duration::MAX),
        max_rows: Some(u64::MAX),
    };
    assert_eq!(crawl.store.prune_audit(all).await.unwrap(), 0);
}

async fn entries_are_removed_down_to_a_number(crawl: Crawl) {
    plant(&crawl, 100).await;
    let keep = |rows| AuditRetention {
        max_age: None,
        max_rows: Some(rows),
    };
    assert_eq!(crawl.store.prune_audit(keep(100)).await.unwrap(), 0);
    assert_eq!(crawl.store.prune_audit(keep(30)).await.unwrap(), 70);
    assert_eq!(
        crawl
            .count("audit_logs WHERE message IN ('entry 71', 'entry 100')")
            .await,
        2
    );
    assert_eq!(crawl.count("audit_logs").await, 30);
    assert_eq!(crawl.store.prune_audit(keep(0)).await.unwrap(), 30);
}

async fn retention_goes_on_beyond_one_chunk(crawl: Crawl) {
    plant(&crawl, 25_000).await;
    let keep = AuditRetention {
        max_age: None,
        max_rows: Some(10),
    };
    assert_eq!(crawl.store.prune_audit(keep).await.unwrap(), 24_990);
    assert_eq!(crawl.count("audit_logs WHERE message = 'entry 24991'").await, 1);
}

async fn the_usual_question_is_answered_from_an_index(crawl: Crawl) {
    plant(&crawl, 200_000).await;
    crawl.sql("ANALYZE audit_logs").await;
    for (question, index) in [
        (
            "SELECT * FROM audit_logs WHERE level = 'ERROR' ORDER BY created_at DESC LIMIT 10",
            "audit_logs_by_level",
        ),
        (
            "SELECT * FROM audit_logs ORDER BY created_at DESC LIMIT 10",
            "audit_logs_by_time",
        ),
    ] {
        let (explain, column) = match crawl.database {
            TestDatabase::Sqlite(_) => ("EXPLAIN QUERY PLAN", "detail"),
            TestDatabase::Postgres(_) => ("EXPLAIN", "QUERY PLAN"),
        };
        let plan = crawl.rows(&format!("{explain} {question}")).await;
        let plan: Vec<String> = plan.iter().map(|row| row.try_get("", column).unwrap()).collect();
        let plan = plan.join("\n");
        assert!(plan.contains(index), "{plan}");
        assert!(!plan.contains("Sort") && !plan.contains("TEMP B-TREE"), "{plan}");
        assert_eq!(crawl.rows(question).await.len(), 10);
    }
}
