//! How fast pages are committed and claimed. PostgreSQL runs as in production, waiting for the disk.
//!
//! `cargo bench -p tagpipe-store`; elements are rows, for `claim` pages.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sea_orm::EntityTrait;
use tagpipe_core::model::{
    CardRow, CategoryRow, CertNumber, Counts, Grade, GradeCode, GradeRow, GradeValue, Identity, PageKind,
    PageRows, SetRow, YearRow,
};
use tagpipe_store::audit::{AuditEntry, AuditKind, AuditLevel};
use tagpipe_store::contract::{ChildFate, ChildPage, Ending, Finish, Lease, NewPage, ReadCost, RunId};
use tagpipe_store::entities::years;
use tagpipe_store::testing::{TestDatabase, TestPostgres};
use tagpipe_store::{RunnerIdentity, Store};
use tokio::runtime::Runtime;

const TERM: Duration = Duration::from_secs(3600);
/// Pages in a group commit.
const GROUP: usize = 64;
/// Certificates on a card's page, an ordinary number.
const CERTIFICATES: usize = 7;
/// Cards on a set's page.
const CARDS: usize = 200;
/// Pages in the frontier of a large run.
const FRONTIER: usize = 100_000;

fn bench(criterion: &mut Criterion) {
    for (engine, database) in [
        ("sqlite", TestDatabase::sqlite()),
        ("postgres", TestDatabase::Postgres(TestPostgres::start_durable())),
    ] {
        let runtime = Runtime::new().unwrap();
        let mut crawl = runtime.block_on(Crawl::on(&database));
        let mut group = criterion.benchmark_group(engine);
        group.sample_size(10);

        group.throughput(Throughput::Elements((GROUP * CERTIFICATES) as u64));
        group.bench_function("finish_grade_rows", |bencher| {
            bencher.iter_custom(|rounds| runtime.block_on(crawl.time_grade_rows(rounds, false)));
        });
        group.bench_function("finish_grade_rows_known", |bencher| {
            bencher.iter_custom(|rounds| runtime.block_on(crawl.time_grade_rows(rounds, true)));
        });
        group.throughput(Throughput::Elements(CARDS as u64));
        group.bench_function("finish_cards", |bencher| {
            bencher.iter_custom(|rounds| runtime.block_on(crawl.time_cards(rounds)));
        });
        runtime.block_on(crawl.fill_frontier());
        group.throughput(Throughput::Elements(GROUP as u64));
        group.bench_function("claim", |bencher| {
            bencher.iter_custom(|rounds| runtime.block_on(crawl.time_claims(rounds)));
        });
        group.finish();
    }
}

struct Crawl {
    store: Store,
    run: RunId,
    me: RunnerIdentity,
    /// Numbers pages, cards and certificates.
    next: usize,
}

impl Crawl {
    async fn on(database: &TestDatabase) -> Crawl {
        let store = database.open().await;
        let mut crawl = Crawl {
            store,
            run: 0,
            me: runner(),
            next: 0,
        };
        crawl.begin_run().await;
        crawl
    }

    /// A run in which a year's page is next.
    async fn begin_run(&mut self) {
        self.run = self.store.start_run(&serde_json::json!({})).await.unwrap();
        self.me = runner();
        self.store.register_runner(self.run, &self.me).await.unwrap();
        self.add(PageKind::Categories, None).await;
        self.read(PageRows::Categories(vec![CategoryRow {
            name: "Baseball".into(),
        }]))
        .await;
        self.read(PageRows::Years(vec![YearRow {
            year: "1989".into(),
            sets: 1,
            items: 1,
            graded: 1,
        }]))
        .await;
    }

    /// The time of committing `rounds` groups of new certificates, or of ones read before.
    async fn time_grade_rows(&mut self, rounds: u64, known: bool) -> Duration {
        let mut spent = Duration::ZERO;
        for _ in 0..rounds {
            let subjects = self.new_cards(GROUP).await;
            let mut batch = Vec::new();
            for lease in &subjects {
                batch.push(complete(lease, PageRows::GradeRows(self.certificates())));
            }
            if known {
                self.finish(&batch).await;
                batch = self.read_again(batch).await;
            }
            let begun = Instant::now();
            self.finish(&batch).await;
            spent += begun.elapsed();
        }
        spent
    }

    /// The same pages in another run, leased.
    async fn read_again(&mut self, mut batch: Vec<Finish>) -> Vec<Finish> {
        let pages: Vec<_> = batch
            .iter()
            .map(|one| {
                let mut identity = one.lease.identity.clone();
                identity.variation = "again".into();
                page(PageKind::GradeRows, identity, one.lease.subject_id)
            })
            .collect();
        self.store.add_pages(self.run, &pages).await.unwrap();
        let leases = self.claim(GROUP).await;
        for (one, lease) in batch.iter_mut().zip(leases) {
            assert_eq!(one.lease.subject_id, lease.subject_id);
            one.lease = lease;
        }
        batch
    }

    async fn time_cards(&mut self, rounds: u64) -> Duration {
        let mut spent = Duration::ZERO;
        for _ in 0..rounds {
            let lease = self.new_set().await;
            let batch = [complete(&lease, PageRows::Cards(self.cards(CARDS)))];
            let begun = Instant::now();
            self.finish(&batch).await;
            spent += begun.elapsed();
            // Out of the way of the next set's page.
            let leases = self.claim(CARDS).await;
            let released: Vec<_> = leases
                .iter()
                .map(|lease| complete(lease, PageRows::GradeRows(Vec::new())))
                .collect();
            self.finish(&released).await;
        }
        spent
    }

    async fn fill_frontier(&mut self) {
        let pages: Vec<_> = (0..FRONTIER)
            .map(|_| self.numbered(PageKind::GradeRows, None))
            .collect();
        for pages in pages.chunks(10_000) {
            self.store.add_pages(self.run, pages).await.unwrap();
        }
    }

    async fn time_claims(&mut self, rounds: u64) -> Duration {
        let mut spent = Duration::ZERO;
        for _ in 0..rounds {
            let begun = Instant::now();
            let leases = self.claim(GROUP).await;
            spent += begun.elapsed();
            assert_eq!(leases.len(), GROUP);
            self.store.take_back(self.run, &self.me.instance).await.unwrap();
        }
        spent
    }

    /// A new set with `count` new cards; their pages, leased.
    async fn new_cards(&mut self, count: usize) -> Vec<Lease> {
        let lease = self.new_set().await;
        let rows = PageRows::Cards(self.cards(count));
        self.finish(&[complete(&lease, rows)]).await;
        self.claim(count).await
    }

    async fn new_set(&mut self) -> Lease {
        let name = self.number();
        let set = SetRow {
            brand: "Donruss".into(),
            name,
            counts: counts(),
            total: 7,
        };
        let year = years::Entity::find().one(self.store.connection()).await.unwrap();
        self.add(PageKind::Sets, year.map(|year| year.id)).await;
        self.read(PageRows::Sets(vec![set])).await;
        self.claim(1).await.pop().unwrap()
    }

    async fn read(&mut self, rows: PageRows) {
        let lease = self.claim(1).await.pop().unwrap();
        self.finish(&[complete(&lease, rows)]).await;
    }

    async fn claim(&self, limit: usize) -> Vec<Lease> {
        self.store
            .claim(self.run, &self.me.instance, limit, TERM)
            .await
            .unwrap()
    }

    async fn finish(&self, batch: &[Finish]) {
        self.store
            .finish(self.run, &self.me.runner_id, &self.me.instance, batch)
            .await
            .unwrap();
    }

    async fn add(&mut self, kind: PageKind, subject: Option<i64>) {
        let page = self.numbered(kind, subject);
        self.store.add_pages(self.run, &[page]).await.unwrap();
    }

    fn numbered(&mut self, kind: PageKind, subject: Option<i64>) -> NewPage {
        let category = "Baseball".to_owned();
        let identity = Identity {
            category,
            year: self.number(),
            name: self.number(),
            ..Identity::default()
        };
        page(kind, identity, subject)
    }

    fn number(&mut self) -> String {
        self.next += 1;
        self.next.to_string()
    }

    fn cards(&mut self, count: usize) -> Vec<CardRow> {
        let card = |number| CardRow {
            number,
            name: "Ken Griffey Jr.".into(),
            variation: String::new(),
            counts: counts(),
            total: 7,
        };
        (0..count).map(|_| card(self.number())).collect()
    }

    fn certificates(&mut self) -> Vec<GradeRow> {
        (0..CERTIFICATES)
            .map(|index| certificate(&format!("C{:0>8}", self.number()), index))
            .collect()
    }
}

fn certificate(cert: &str, index: usize) -> GradeRow {
    GradeRow {
        cert_number: CertNumber::new_checked(cert.to_owned()),
        rank: Some(index as u64 + 1),
        grade: Grade {
            text: "8.5 NM MT+ (890)".into(),
            value: Some(GradeValue::from_tenths(85)),
            label: "NM MT+".into(),
            score: Some(890),
            code: GradeCode::new("8.5").unwrap(),
        },
        rank_by_grade: Some(1),
        chronology: Some(2),
        chron_by_grade: Some(3),
        completed_on: Some("2023-04-05".parse().unwrap()),
        report_url: format!("/card/{cert}"),
    }
}

fn counts() -> Counts {
    let mut counts = Counts::default();
    for (code, count) in [("VA", 1), ("8", 2), ("8.5", 1), ("9", 2), ("10", 1)] {
        counts.add(GradeCode::new(code).unwrap(), count);
    }
    counts
}

fn runner() -> RunnerIdentity {
    let instance = uuid::Uuid::new_v4().to_string();
    RunnerIdentity {
        instance,
        runner_id: "runner_1".into(),
        host: "here".into(),
        pid: 1,
        process_mark: String::new(),
    }
}

fn page(kind: PageKind, identity: Identity, subject_id: Option<i64>) -> NewPage {
    NewPage {
        kind,
        url: format!("/{}", identity.key(kind)),
        identity,
        subject_id,
        expected: Some(7),
        subject_changes: None,
        stale_since_us: 0,
        admission: tagpipe_store::contract::Admission::Read,
    }
}

fn complete(lease: &Lease, rows: PageRows) -> Finish {
    let names: Vec<(String, String)> = match &rows {
        PageRows::Categories(rows) => rows.iter().map(|row| (row.name.clone(), String::new())).collect(),
        PageRows::Years(rows) => rows.iter().map(|row| (row.year.clone(), String::new())).collect(),
        PageRows::Sets(rows) => rows
            .iter()
            .map(|row| (row.brand.clone(), row.name.clone()))
            .collect(),
        PageRows::Cards(rows) => rows
            .iter()
            .map(|row| (row.number.clone(), row.name.clone()))
            .collect(),
        PageRows::GradeRows(_) => Vec::new(),
    };
    let children = names.into_iter().map(|(first, second)| {
        let mut identity = lease.identity.clone();
        match lease.kind {
            PageKind::Categories => identity.category = first,
            PageKind::Years => identity.year = first,
            PageKind::Sets => (identity.brand, identity.set) = (first, second),
            _ => (identity.number, identity.name) = (first, second),
        }
        let kind = lease.kind.child().unwrap_or(lease.kind);
        let fate = if lease.kind == PageKind::Years {
            ChildFate::Ignore
        } else {
            ChildFate::Read
        };
        ChildPage {
            url: format!("/{}", identity.key(kind)),
            identity,
            expected: Some(7),
            fate,
        }
    });
    let children = children.collect();
    let entry = AuditEntry {
        level: AuditLevel::Info,
        kind: AuditKind::Result,
        page_key: Some(lease.key.to_string()),
        operation: "read_page".into(),
        message: format!("read {} rows of {}", rows.len(), lease.key),
        context: serde_json::json!({ "rows": rows.len(), "elapsed_ms": 150 }),
    };
    Finish {
        lease: lease.clone(),
        cost: ReadCost {
            requests: 1,
            bytes: 50_000,
            elapsed: Duration::from_millis(150),
        },
        documents: Default::default(),
        ending: Ending::Completed {
            rows,
            children,
            whole: true,
            agrees: true,
            unreadable: Vec::new(),
        },
        audit: vec![entry],
    }
}

criterion_group! {
    name = store;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(4)).without_plots();
    targets = bench
}
criterion_main!(store);
