//! A small crawl to test with: a run, a runner, and rows in the shape that the pages of a report have.

use std::time::Duration;

use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection, QueryResult, Statement};
use tagpipe_core::model::{
    CardRow, CategoryRow, CertNumber, Counts, Grade, GradeCode, GradeRow, GradeValue, Identity, PageKind,
    PageRows, SetRow, YearRow,
};
use tagpipe_core::outcome::Cause;
use tagpipe_core::policy::PageHistory;
use tagpipe_store::audit::{AuditEntry, AuditKind, AuditLevel};
use tagpipe_store::contract::{
    ChildFate, ChildPage, Committed, Ending, Fate, Finish, Lease, NewPage, ReadCost, ReadDocuments, RunId,
    Unreadable,
};
use tagpipe_store::testing::TestDatabase;
use tagpipe_store::{Closing, DatabaseUrl, Discrepancy, RunnerIdentity, Store, StoreError};

/// Makes a test on SQLite and one on PostgreSQL of each case, an `async fn(Crawl)`.
macro_rules! on_both_engines {
    ($($case:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                super::$case(crate::harness::Crawl::on(tagpipe_store::testing::TestDatabase::sqlite()).await).await;
            })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                super::$case(crate::harness::Crawl::on(tagpipe_store::testing::TestDatabase::postgres()).await).await;
            })+
        }
    };
}

/// The same for cases that open the database themselves, an `async fn(TestDatabase)`.
macro_rules! on_both_databases {
    ($($case:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                super::$case(tagpipe_store::testing::TestDatabase::sqlite()).await;
            })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                super::$case(tagpipe_store::testing::TestDatabase::postgres()).await;
            })+
        }
    };
}

pub(crate) const TERM: Duration = Duration::from_secs(60);
/// A lease of this term has ended when it is given.
pub(crate) const NO_TERM: Duration = Duration::ZERO;

pub(crate) struct Crawl {
    pub(crate) database: TestDatabase,
    pub(crate) store: Store,
    pub(crate) run: RunId,
    pub(crate) me: RunnerIdentity,
}

impl Crawl {
    pub(crate) async fn on(database: TestDatabase) -> Crawl {
        let store = database.open().await;
        let run = store
            .start_run(&serde_json::json!({ "delay": 1.0 }))
            .await
            .unwrap();
        let me = runner("runner_1");
        store.register_runner(run, &me).await.unwrap();
        Crawl {
            database,
            store,
            run,
            me,
        }
    }

    /// A second run, by the same runner's next process.
    pub(crate) async fn next_run(&mut self) {
        self.run = self.store.start_run(&serde_json::json!({})).await.unwrap();
        self.me = runner("runner_1");
        self.store.register_runner(self.run, &self.me).await.unwrap();
    }

    pub(crate) async fn add(&self, pages: &[NewPage]) -> [u64; 5] {
        self.store.add_pages(self.run, pages).await.unwrap()
    }

    pub(crate) async fn claim(&self, limit: usize) -> Vec<Lease> {
        self.store
            .claim(self.run, &self.me.instance, limit, TERM)
            .await
            .unwrap()
    }

    /// Records these disagreements as whoever closes the run does, and returns how many there are now.
    pub(crate) async fn settle(&self, disagreements: &[Discrepancy]) -> u64 {
        let closer = &self.me.instance;
        let closing = self.store.begin_closing(self.run, closer, TERM).await.unwrap();
        assert_eq!(closing, Closing::Mine);
        let settled = self
            .store
            .settle_disagreements(self.run, closer, disagreements)
            .await
            .unwrap();
        settled.expect("this runner closes the run")
    }

    pub(crate) async fn claim_one(&self) -> Lease {
        self.claim(1).await.pop().expect("a page is available")
    }

    pub(crate) async fn try_finish(&self, batch: &[Finish]) -> Result<Committed, StoreError> {
        self.store
            .finish(self.run, &self.me.runner_id, &self.me.instance, batch)
            .await
    }

    pub(crate) async fn finish(&self, batch: &[Finish]) -> Committed {
        self.try_finish(batch).await.unwrap()
    }

    /// Finishes pages whose leases are in force.
    pub(crate) async fn accept(&self, batch: &[Finish]) -> Committed {
        let committed = self.finish(batch).await;
        assert_eq!(committed.fates, vec![Fate::Accepted; batch.len()]);
        committed
    }

    /// Claims the page of `kind` and completes it with `rows`.
    pub(crate) async fn read(&self, rows: PageRows) -> Committed {
        let lease = self.claim_one().await;
        assert_eq!(lease.kind, rows.kind());
        self.accept(&[complete(&lease, rows)]).await
    }

    /// Reads one category, one year and one set, whose page has `cards`: their pages become available.
    pub(crate) async fn read_down_to(&self, cards: Vec<CardRow>) {
        let graded = cards.iter().map(|card| card.total).sum();
        let mut counts = Counts::default();
        for (code, count) in cards.iter().flat_map(|card| card.counts.iter()) {
            counts.add(code, count);
        }
        self.add(&[categories_page()]).await;
        self.read(PageRows::Categories(vec![CategoryRow {
            name: "Baseball".into(),
        }]))
        .await;
        let items = cards.len() as u64;
        self.read(PageRows::Years(vec![YearRow {
            year: "1989".into(),
            sets: 1,
            items,
            graded,
        }]))
        .await;
        let set = SetRow {
            brand: "Donruss".into(),
            name: String::new(),
            counts,
            total: graded,
        };
        self.read(PageRows::Sets(vec![set])).await;
        self.read(PageRows::Cards(cards)).await;
    }

    /// A connection of its own, as another program would have.
    pub(crate) async fn connection(&self) -> DatabaseConnection {
        connect(&self.database.url()).await
    }

    /// Runs statements as another program would.
    pub(crate) async fn sql(&self, statements: &str) {
        self.connection()
            .await
            .execute_unprepared(statements)
            .await
            .unwrap();
    }

    pub(crate) async fn rows(&self, query: &str) -> Vec<QueryResult> {
        let connection = self.connection().await;
        let backend = connection.get_database_backend();
        connection
            .query_all_raw(Statement::from_string(backend, query))
            .await
            .unwrap()
    }

    pub(crate) async fn number(&self, query: &str) -> i64 {
        self.rows(query).await[0].try_get_by_index(0).unwrap()
    }

    pub(crate) async fn count(&self, table_and_condition: &str) -> i64 {
        self.number(&format!("SELECT count(*) AS n FROM {table_and_condition}"))
            .await
    }

    /// Everything that a commit can write, as one text for each table.
    pub(crate) async fn everything(&self) -> Vec<String> {
        let mut all = Vec::new();
        for table in [
            "categories",
            "years",
            "sets",
            "cards",
            "grade_rows",
            "population_history",
            "catalogue_history",
            "certificate_history",
            "frontier",
            "audit_logs",
            "discrepancies",
            "runners",
            "retry_counts",
        ] {
            let order = if table == "retry_counts" { "cause" } else { "1" };
            let as_text = match self.database {
                TestDatabase::Sqlite(_) => {
                    let columns = self
                        .rows(&format!("SELECT name FROM pragma_table_info('{table}')"))
                        .await;
                    let columns: Vec<String> = columns
                        .iter()
                        .map(|row| row.try_get("", "name").unwrap())
                        .collect();
                    format!("json_array({})", columns.join(", "))
                }
                TestDatabase::Postgres(_) => format!("CAST({table}.* AS text)"),
            };
            let rows = self
                .rows(&format!("SELECT {as_text} AS line FROM {table} ORDER BY {order}"))
                .await;
            let lines: Vec<String> = rows.iter().map(|row| row.try_get("", "line").unwrap()).collect();
            all.push(format!("{table}\n{}", lines.join("\n")));
        }
        all
    }
}

pub(crate) async fn connect(url: &DatabaseUrl) -> DatabaseConnection {
    let url = match url {
        DatabaseUrl::Sqlite(path) => format!("sqlite://{}?mode=rwc", path.display()),
        DatabaseUrl::Postgres(url) => url.to_string(),
        DatabaseUrl::Memory => unreachable!("another program cannot see it"),
    };
    let mut options = ConnectOptions::new(url);
    options.max_connections(1).sqlx_logging(false);
    // No task that goes over the pool's connections: it can fall into an endless loop.
    options.idle_timeout(None).max_lifetime(None);
    Database::connect(options).await.unwrap()
}

pub(crate) fn runner(name: &str) -> RunnerIdentity {
    RunnerIdentity {
        instance: uuid::Uuid::new_v4().to_string(),
        runner_id: name.to_owned(),
        host: "here".to_owned(),
        pid: 42,
        process_mark: "boot/1".to_owned(),
    }
}

// Pages. ------------------------------------------------------------------------------------------------------

pub(crate) fn categories_page() -> NewPage {
    page(PageKind::Categories, Identity::default())
}

pub(crate) fn page(kind: PageKind, identity: Identity) -> NewPage {
    NewPage {
        kind,
        url: format!("/{}", identity.key(kind)),
        identity,
        subject_id: None,
        expected: None,
        subject_changes: None,
        stale_since_us: 0,
        admission: tagpipe_store::contract::Admission::Read,
    }
}

/// Pages of `kind` that differ in their years and names.
pub(crate) fn pages(kind: PageKind, count: usize) -> Vec<NewPage> {
    let identity = |n: usize| Identity {
        category: format!("c{n}"),
        name: format!("n{n}"),
        ..Identity::default()
    };
    (0..count).map(|n| page(kind, identity(n))).collect()
}

// Rows. -------------------------------------------------------------------------------------------------------

pub(crate) fn counts(entries: &[(&str, u64)]) -> Counts {
    let mut counts = Counts::default();
    for (code, count) in entries {
        counts.add(GradeCode::new(code).unwrap(), *count);
    }
    counts
}

pub(crate) fn card(number: &str, entries: &[(&str, u64)]) -> CardRow {
    let counts = counts(entries);
    let total = counts.sum();
    CardRow {
        number: number.into(),
        name: format!("Player {number}"),
        variation: String::new(),
        counts,
        total,
    }
}

/// `count` cards with one copy at grade 9 each.
pub(crate) fn cards(count: usize) -> Vec<CardRow> {
    (1..=count)
        .map(|number| card(&number.to_string(), &[("9", 1)]))
        .collect()
}

pub(crate) fn grade_row(cert: &str) -> GradeRow {
    GradeRow {
        cert_number: CertNumber::new_checked(cert.to_owned()),
        rank: Some(1),
        grade: Grade {
            text: "9 MINT (900)".into(),
            value: Some(GradeValue::from_tenths(90)),
            label: "MINT".into(),
            score: Some(900),
            code: GradeCode::new("9").unwrap(),
        },
        rank_by_grade: Some(1),
        chronology: Some(1),
        chron_by_grade: Some(1),
        completed_on: Some("2023-04-05".parse().unwrap()),
        report_url: format!("/card/{cert}"),
    }
}

pub(crate) fn grade_rows(certs: &[&str]) -> PageRows {
    PageRows::GradeRows(certs.iter().map(|cert| grade_row(cert)).collect())
}

/// The child pages of `rows`, all to be read.
pub(crate) fn children(parent: &Identity, rows: &PageRows) -> Vec<ChildPage> {
    let child = |change: &dyn Fn(&mut Identity), kind: PageKind, expected: Option<u64>| {
        let mut identity = parent.clone();
        change(&mut identity);
        ChildPage {
            url: format!("/{}", identity.key(kind)),
            identity,
            expected,
            fate: ChildFate::Read,
        }
    };
    match rows {
        PageRows::Categories(rows) => rows
            .iter()
            .map(|row| {
                child(
                    &|identity| identity.category = row.name.clone(),
                    PageKind::Years,
                    None,
                )
            })
            .collect(),
        PageRows::Years(rows) => rows
            .iter()
            .map(|row| {
                child(
                    &|identity| identity.year = row.year.clone(),
                    PageKind::Sets,
                    Some(row.sets),
                )
            })
            .collect(),
        PageRows::Sets(rows) => rows
            .iter()
            .map(|row| {
                let change = |identity: &mut Identity| {
                    identity.brand = row.brand.clone();
                    identity.set = row.name.clone();
                };
                child(&change, PageKind::Cards, Some(row.total))
            })
            .collect(),
        PageRows::Cards(rows) => rows
            .iter()
            .map(|row| {
                let change = |identity: &mut Identity| {
                    identity.number = row.number.clone();
                    identity.name = row.name.clone();
                    identity.variation = row.variation.clone();
                };
                child(&change, PageKind::GradeRows, Some(row.total))
            })
            .collect(),
        PageRows::GradeRows(_) => Vec::new(),
    }
}

// Endings. ----------------------------------------------------------------------------------------------------

pub(crate) fn finish(lease: &Lease, ending: Ending) -> Finish {
    let cost = ReadCost {
        requests: 2,
        bytes: 1000,
        elapsed: Duration::from_millis(150),
    };
    let audit = vec![entry(AuditLevel::Info, &format!("{} was dealt with", lease.key))];
    Finish {
        lease: lease.clone(),
        cost,
        ending,
        documents: ReadDocuments::default(),
        audit,
    }
}

pub(crate) fn complete(lease: &Lease, rows: PageRows) -> Finish {
    let children = children(&lease.identity, &rows);
    finish(
        lease,
        Ending::Completed {
            rows,
            children,
            whole: true,
            agrees: true,
            unreadable: Vec::new(),
        },
    )
}

/// Completes a page with no rows.
pub(crate) fn complete_empty(lease: &Lease) -> Finish {
    let mut lease = lease.clone();
    // Pages added by hand have no parent row; without rows it is not needed.
    lease.subject_id = lease.subject_id.or(Some(0));
    let rows = PageRows::none(lease.kind);
    finish(
        &lease,
        Ending::Completed {
            rows,
            children: Vec::new(),
            whole: false,
            agrees: false,
            unreadable: Vec::new(),
        },
    )
}

pub(crate) fn with_unreadable(mut finish: Finish, place: &str) -> Finish {
    if let Ending::Completed { unreadable, .. } = &mut finish.ending {
        unreadable.push(Unreadable {
            place: place.into(),
            text: "n/a".into(),
            expected: "a number".into(),
        });
    }
    finish
}

pub(crate) fn retry(lease: &Lease, after: Duration) -> Finish {
    let history = PageHistory {
        failures: lease.history.failures + 1,
        ..lease.history.clone()
    };
    finish(
        lease,
        Ending::Retry {
            after,
            cause: Cause::Timeout,
            reason: "timed out".into(),
            history,
        },
    )
}

pub(crate) fn fail(lease: &Lease) -> Finish {
    let history = PageHistory {
        failures: lease.history.failures + 1,
        ..lease.history.clone()
    };
    finish(
        lease,
        Ending::Failed {
            cause: Cause::Network,
            reason: "reset".into(),
            history,
        },
    )
}

pub(crate) fn skip(lease: &Lease) -> Finish {
    finish(
        lease,
        Ending::Skipped {
            cause: Cause::Robots,
            reason: "robots".into(),
        },
    )
}

pub(crate) fn release(lease: &Lease, began: bool) -> Finish {
    finish(lease, Ending::Released { began })
}

pub(crate) fn entry(level: AuditLevel, message: &str) -> AuditEntry {
    AuditEntry {
        level,
        kind: if level >= AuditLevel::Error {
            AuditKind::Error
        } else {
            AuditKind::Operation
        },
        page_key: Some("categories".into()),
        operation: "read_page".into(),
        message: message.into(),
        context: serde_json::json!({ "rows": 3 }),
    }
}
