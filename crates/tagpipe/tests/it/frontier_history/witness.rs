//! The triggers, and what they wrote.

use std::collections::{HashMap, HashSet};

use sea_orm::{ConnectionTrait, QueryResult, Statement};
use tagpipe_store::{Dialect, Store};

use super::{Change, Image, Witnessed};

/// What is written down of a page, with its type in both engines.
const COLUMNS: [(&str, &str); 7] = [
    ("state", "text"),
    ("lease_token", "text"),
    ("lease_owner", "text"),
    ("attempts", "bigint"),
    ("verifications", "bigint"),
    ("lease_expires_at", "bigint"),
    ("not_before", "bigint"),
];

/// Has every change of a page written down from now on, but for what a heartbeat changes. The schema must be there.
pub(crate) async fn install(store: &Store) {
    let script = match store.dialect() {
        Dialect::Sqlite => sqlite_triggers(),
        Dialect::Postgres => postgres_triggers(),
    };
    let installed = store.connection().execute_unprepared(&script).await;
    installed.expect("the triggers are installed");
}

/// What has been written down so far.
pub(crate) async fn witnessed(store: &Store) -> Witnessed {
    let changes = rows(store, "SELECT * FROM witnessed_changes ORDER BY seq").await;
    let mut sessions: HashMap<String, HashSet<String>> = HashMap::new();
    for row in rows(store, "SELECT DISTINCT session, instance FROM witnessed_sessions").await {
        let session = text(&row, "session").expect("a session");
        sessions
            .entry(session)
            .or_default()
            .extend(text(&row, "instance"));
    }
    let lost = rows(store, "SELECT instance FROM runners WHERE state = 'lost'").await;
    Witnessed {
        changes: changes.iter().map(change).collect(),
        sessions,
        lost: lost.iter().filter_map(|row| text(row, "instance")).collect(),
    }
}

async fn rows(store: &Store, sql: &str) -> Vec<QueryResult> {
    let connection = store.connection();
    let statement = Statement::from_string(connection.get_database_backend(), sql);
    connection.query_all_raw(statement).await.expect("rows")
}

fn text(row: &QueryResult, column: &str) -> Option<String> {
    row.try_get("", column).expect("a text")
}

fn change(row: &QueryResult) -> Change {
    Change {
        page: text(row, "page").expect("a key"),
        before: image(row, "old"),
        after: image(row, "new"),
        at_us: row.try_get("", "at_us").expect("a time"),
        session: text(row, "session"),
    }
}

fn image(row: &QueryResult, which: &str) -> Option<Image> {
    let column = |name: &str| format!("{which}_{name}");
    let number = |name: &str| row.try_get::<Option<i64>>("", &column(name)).expect("a number");
    Some(Image {
        state: text(row, &column("state"))?,
        token: text(row, &column("lease_token")),
        owner: text(row, &column("lease_owner")),
        attempts: number("attempts").expect("attempts"),
        verifications: number("verifications").expect("verifications"),
        expires_us: number("lease_expires_at"),
        due_us: number("not_before"),
    })
}

fn names(which: &str) -> String {
    COLUMNS.map(|(name, _)| format!("{which}_{name}")).join(", ")
}

/// The columns of `row` (`OLD` or `NEW`), times in microseconds by `us`.
fn values(row: &str, us: impl Fn(&str) -> String) -> String {
    let value = |(name, kind): (&str, &str)| {
        let column = format!("{row}.{name}");
        let is_time = kind == "bigint" && (name.ends_with("_at") || name == "not_before");
        if is_time { us(&column) } else { column }
    };
    COLUMNS.map(value).join(", ")
}

fn tables(seq: &str) -> String {
    let columns = ["old", "new"].map(|which| {
        COLUMNS
            .map(|(name, kind)| format!("{which}_{name} {kind}"))
            .join(", ")
    });
    format!(
        "CREATE TABLE witnessed_changes (seq {seq}, page text NOT NULL, {}, {}, at_us bigint NOT NULL, session text); \
         CREATE TABLE witnessed_sessions (session text NOT NULL, instance text NOT NULL, \
             PRIMARY KEY (session, instance));",
        columns[0], columns[1]
    )
}

fn sqlite_triggers() -> String {
    let us = |column: &str| format!("CAST(round(unixepoch({column}, 'subsec') * 1000000) AS bigint)");
    let write = |page: &str, columns: String, values: String| {
        format!(
            "BEGIN INSERT INTO witnessed_changes (page, {columns}, at_us) \
             VALUES ({page}.run_id || '/' || {page}.page_key, {values}, CAST(unixepoch('subsec') * 1000000 AS bigint)); END;"
        )
    };
    let changed = COLUMNS[..5]
        .iter()
        .map(|(name, _)| format!("OLD.{name} IS NOT NEW.{name}"))
        .collect::<Vec<_>>()
        .join(" OR ");
    let (old, new) = (values("OLD", us), values("NEW", us));
    let both = format!("{}, {}", names("old"), names("new"));
    format!(
        "{tables} \
         CREATE TRIGGER witness_insert AFTER INSERT ON frontier {inserted} \
         CREATE TRIGGER witness_update AFTER UPDATE ON frontier WHEN {changed} {updated} \
         CREATE TRIGGER witness_delete AFTER DELETE ON frontier {deleted}",
        tables = tables("integer PRIMARY KEY AUTOINCREMENT"),
        inserted = write("NEW", names("new"), new.clone()),
        updated = write("NEW", both, format!("{old}, {new}")),
        deleted = write("OLD", names("old"), old),
    )
}

/// SQLite has no sessions. Here a backend's process id and its start are one, and whose it is says the row of a runner
/// that it counts or beats in, which it does in the transaction of every finish.
fn postgres_triggers() -> String {
    let us = |column: &str| format!("CAST(extract(epoch FROM {column}) * 1000000 AS bigint)");
    let changed = |row: &str| {
        COLUMNS[..5]
            .iter()
            .map(|(name, _)| format!("{row}.{name}"))
            .collect::<Vec<_>>()
    };
    let old = COLUMNS.map(|_| "NULL").join(", ");
    format!(
        "{tables} \
         CREATE FUNCTION witness_session() RETURNS text LANGUAGE sql AS $$ \
             SELECT pg_backend_pid() || '@' || extract(epoch FROM backend_start) \
             FROM pg_stat_get_activity(pg_backend_pid()) $$; \
         CREATE FUNCTION witness_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             IF TG_OP = 'INSERT' THEN \
                 INSERT INTO witnessed_changes (page, {both}, at_us, session) \
                 VALUES (NEW.run_id || '/' || NEW.page_key, {none}, {new}, {now}, witness_session()); \
             ELSIF TG_OP = 'DELETE' THEN \
                 INSERT INTO witnessed_changes (page, {both}, at_us, session) \
                 VALUES (OLD.run_id || '/' || OLD.page_key, {old}, {none}, {now}, witness_session()); \
             ELSIF ({before}) IS DISTINCT FROM ({after}) THEN \
                 INSERT INTO witnessed_changes (page, {both}, at_us, session) \
                 VALUES (NEW.run_id || '/' || NEW.page_key, {old}, {new}, {now}, witness_session()); \
             END IF; RETURN NULL; END $$; \
         CREATE TRIGGER witness AFTER INSERT OR UPDATE OR DELETE ON frontier \
             FOR EACH ROW EXECUTE FUNCTION witness_change(); \
         CREATE FUNCTION witness_work() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             INSERT INTO witnessed_sessions VALUES (witness_session(), NEW.instance) ON CONFLICT DO NOTHING; \
             RETURN NULL; END $$; \
         CREATE TRIGGER witness_work AFTER UPDATE ON runners \
             FOR EACH ROW WHEN (OLD.state = NEW.state) EXECUTE FUNCTION witness_work();",
        tables = tables("bigserial PRIMARY KEY"),
        both = format!("{}, {}", names("old"), names("new")),
        none = old,
        old = values("OLD", us),
        new = values("NEW", us),
        now = us("clock_timestamp()"),
        before = changed("OLD").join(", "),
        after = changed("NEW").join(", "),
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tagpipe_core::model::{Identity, PageKind, PageRows};
    use tagpipe_core::outcome::Cause;
    use tagpipe_core::policy::PageHistory;
    use tagpipe_store::contract::{Ending, Finish, Lease, NewPage, ReadCost, RunId};
    use tagpipe_store::testing::TestDatabase;
    use tagpipe_store::{RunnerEnd, RunnerIdentity};

    use super::*;
    use crate::frontier_history::check;

    const TERM: Duration = Duration::from_secs(60);

    /// A run with two pages, and a store for each runner, as each process has its own.
    struct Crawl {
        database: TestDatabase,
        watcher: Store,
        run: RunId,
    }

    struct Runner {
        store: Store,
        run: RunId,
        identity: RunnerIdentity,
    }

    impl Crawl {
        async fn on(database: TestDatabase) -> Crawl {
            let watcher = database.open().await;
            install(&watcher).await;
            let run = watcher.start_run(&serde_json::json!({})).await.unwrap();
            let pages = ["a", "b"].map(|category| NewPage {
                kind: PageKind::Years,
                url: format!("/{category}"),
                identity: Identity {
                    category: category.to_owned(),
                    ..Identity::default()
                },
                subject_id: Some(0),
                expected: None,
                subject_changes: None,
                stale_since_us: 0,
                admission: tagpipe_store::contract::Admission::Read,
            });
            watcher.add_pages(run, &pages).await.unwrap();
            Crawl {
                database,
                watcher,
                run,
            }
        }

        async fn runner(&self, name: &str) -> Runner {
            let identity = RunnerIdentity {
                instance: format!("instance of {name}"),
                runner_id: name.to_owned(),
                host: "here".to_owned(),
                pid: 42,
                process_mark: String::new(),
            };
            let store = self.database.open().await;
            store.register_runner(self.run, &identity).await.unwrap();
            Runner {
                store,
                run: self.run,
                identity,
            }
        }

        async fn verdict(&self) -> Result<(usize, usize, usize), String> {
            let tally = check(&witnessed(&self.watcher).await)?;
            Ok((tally.claims, tally.completions, tally.returned))
        }

        async fn sql(&self, statement: &str) {
            self.watcher
                .connection()
                .execute_unprepared(statement)
                .await
                .unwrap();
        }
    }

    impl Runner {
        async fn claim(&self, limit: usize, term: Duration) -> Vec<Lease> {
            let claimed = self
                .store
                .claim(self.run, &self.identity.instance, limit, term)
                .await;
            claimed.unwrap()
        }

        async fn finish(&self, lease: &Lease, ending: Ending) {
            let finish = Finish {
                lease: lease.clone(),
                cost: ReadCost::default(),
                ending,
                documents: Default::default(),
                audit: Vec::new(),
            };
            let RunnerIdentity {
                runner_id, instance, ..
            } = &self.identity;
            self.store
                .finish(self.run, runner_id, instance, &[finish])
                .await
                .unwrap();
        }

        async fn complete(&self, lease: &Lease) {
            let ending = Ending::Completed {
                rows: PageRows::none(lease.kind),
                children: Vec::new(),
                whole: true,
                agrees: true,
                unreadable: Vec::new(),
            };
            self.finish(lease, ending).await;
        }
    }

    fn retry_at_once() -> Ending {
        Ending::Retry {
            after: Duration::ZERO,
            cause: Cause::Timeout,
            reason: "timed out".to_owned(),
            history: PageHistory::default(),
        }
    }

    async fn what_the_store_does_is_legal(database: TestDatabase) {
        let crawl = Crawl::on(database).await;
        let (one, two) = (crawl.runner("one").await, crawl.runner("two").await);
        let late = one.claim(1, Duration::ZERO).await.remove(0);
        two.store.rescue_expired(crawl.run).await.unwrap();
        let leases = two.claim(2, TERM).await;
        one.complete(&late).await;
        two.complete(&leases[0]).await;
        two.store.heartbeat(&two.identity.instance, TERM).await.unwrap();
        two.finish(&leases[1], retry_at_once()).await;
        let again = one.claim(1, TERM).await.remove(0);
        one.finish(&again, Ending::Released { began: false }).await;
        let held = one.claim(1, TERM).await;
        assert_eq!(held.len(), 1);
        crawl
            .watcher
            .take_back(crawl.run, &one.identity.instance)
            .await
            .unwrap();
        crawl
            .watcher
            .end_runner(&one.identity.instance, RunnerEnd::Lost("gone"))
            .await
            .unwrap();
        let last = two.claim(1, TERM).await.remove(0);
        two.complete(&last).await;
        assert_eq!(crawl.verdict().await, Ok((6, 2, 3)));
    }

    async fn what_it_must_not_do_is_seen(database: TestDatabase) {
        let crawl = Crawl::on(database).await;
        let one = crawl.runner("one").await;
        for lease in one.claim(2, TERM).await {
            one.complete(&lease).await;
        }
        assert_eq!(crawl.verdict().await, Ok((2, 2, 0)));
        crawl
            .sql("UPDATE frontier SET lease_token = 'another' WHERE page_key = 'years/a'")
            .await;
        let refusal = crawl.verdict().await.unwrap_err();
        assert!(refusal.contains("a completed page changed"), "{refusal}");
        crawl
            .sql("DELETE FROM witnessed_changes WHERE new_lease_token = 'another'")
            .await;
        crawl.sql("DELETE FROM frontier WHERE page_key = 'years/b'").await;
        let refusal = crawl.verdict().await.unwrap_err();
        assert!(refusal.contains("a page was deleted"), "{refusal}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_the_store_does_on_sqlite_is_legal() {
        what_the_store_does_is_legal(TestDatabase::sqlite()).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_the_store_does_on_postgres_is_legal() {
        what_the_store_does_is_legal(TestDatabase::postgres()).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_the_store_must_not_do_on_sqlite_is_seen() {
        what_it_must_not_do_is_seen(TestDatabase::sqlite()).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_the_store_must_not_do_on_postgres_is_seen() {
        what_it_must_not_do_is_seen(TestDatabase::postgres()).await;
    }

    /// PostgreSQL knows who did it: a lease in force that is taken from a runner nobody has given up.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_theft_is_seen() {
        let crawl = Crawl::on(TestDatabase::postgres()).await;
        let (one, two) = (crawl.runner("one").await, crawl.runner("two").await);
        one.claim(1, TERM).await;
        two.store
            .take_back(crawl.run, &one.identity.instance)
            .await
            .unwrap();
        for lease in two.claim(2, TERM).await {
            two.complete(&lease).await;
        }
        let refusal = crawl.verdict().await.unwrap_err();
        assert!(refusal.contains("taken from a living holder"), "{refusal}");
        crawl
            .watcher
            .end_runner(&one.identity.instance, RunnerEnd::Lost("gone"))
            .await
            .unwrap();
        assert_eq!(crawl.verdict().await, Ok((3, 2, 1)));

        let (leased, finished) = ("new_state = 'leased'", "new_state = 'completed'");
        for (what, word) in [
            (finished, "somebody else than its holder"),
            (leased, "somebody else than who asked"),
        ] {
            let sessions = "(SELECT session FROM witnessed_sessions WHERE instance = 'instance of one')";
            crawl
                .sql(&format!(
                    "INSERT INTO witnessed_sessions VALUES ('of one', 'instance of one') ON CONFLICT DO NOTHING; \
                     UPDATE witnessed_changes SET session = 'of one' \
                     WHERE {what} AND (session IS NULL OR session NOT IN {sessions})"
                ))
                .await;
            let refusal = crawl.verdict().await.unwrap_err();
            assert!(refusal.contains(word), "{word} in {refusal}");
            crawl.sql("UPDATE witnessed_changes SET session = NULL").await;
        }
    }
}
