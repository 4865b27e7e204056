//! How fast runners claim pages from a large frontier, while the pages they have finished pile up in it.
//!
//! `bench/claims` runs it: `claiming sqlite|postgres [pages] [pages of the long run] [seconds a measurement]`.
//! PostgreSQL runs as in production, waiting for the disk. Each claimer has a [`Store`] of its own, as a runner
//! that is another process has; what it claims it finishes at once, as a runner that reads infinitely fast would.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sea_orm::ConnectionTrait;
use tagpipe_core::model::{PageKind, PageRows};
use tagpipe_store::audit::{AuditEntry, AuditKind, AuditLevel};
use tagpipe_store::contract::{Ending, Finish, Lease, ReadCost, RunId};
use tagpipe_store::testing::{TestDatabase, TestPostgres};
use tagpipe_store::{DatabaseUrl, Dialect, ErrorClass, RunnerIdentity, Store, StoreError};
use tokio::task::JoinSet;

/// Longer than the whole program: no lease ends by itself.
const TERM: Duration = Duration::from_secs(3600);
const CLAIMERS: [usize; 4] = [1, 2, 4, 8];
const BATCHES: [usize; 3] = [1, 10, 100];
/// Claimers and pages a claim of the long run.
const LONG_RUN: (usize, usize) = (4, 10);
const TENTHS: usize = 10;

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default: usize| arguments.get(at).map_or(Ok(default), |text| text.parse());
    let (pages, long_run) = (number(1, 1_000_000)?, number(2, 200_000)?);
    let seconds = arguments.get(3).map_or(Ok(4.0), |text| text.parse())?;
    let database = match arguments.first().map(String::as_str) {
        Some("sqlite") => TestDatabase::sqlite(),
        Some("postgres") => TestDatabase::Postgres(TestPostgres::start_durable()),
        _ => return Err("give `sqlite` or `postgres`".into()),
    };
    let frontier = Frontier::fill(database.url(), pages).await?;
    frontier.report_long_run(long_run).await?;
    frontier.report_table(Duration::try_from_secs_f64(seconds)?).await
}

/// A frontier full of pages that can be claimed.
struct Frontier {
    url: DatabaseUrl,
    /// For everything but claiming.
    store: Store,
    run: RunId,
}

impl Frontier {
    async fn fill(url: DatabaseUrl, pages: usize) -> Result<Frontier, Failure> {
        let store = Store::open(&url, true).await?;
        let run = store.start_run(&serde_json::json!({})).await?;
        let begun = Instant::now();
        let numbers = match store.dialect() {
            Dialect::Sqlite => {
                format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {pages}) ")
            }
            Dialect::Postgres => format!("WITH n(i) AS (SELECT generate_series(1, {pages})) "),
        };
        let json = match store.dialect() {
            Dialect::Sqlite => "text",
            Dialect::Postgres => "jsonb",
        };
        // Of a hundred pages 90 of certificates, 9 of cards and one of sets.
        let insert = format!(
            "INSERT INTO frontier (run_id, level, page_key, url, identity, subject_id, expected, state) {numbers} \
             SELECT {run}, CASE WHEN i % 100 < 90 THEN 4 WHEN i % 100 < 99 THEN 3 ELSE 2 END, \
                 'grade_rows/hockey/1989/o-pee-chee//a player of some name/' || i || '/', \
                 '/pop-report/Hockey/1989/O-Pee-Chee/card/A%20player%20of%20some%20name/' || i, \
                 CAST('{{\"category\":\"Hockey\",\"year\":\"1989\",\"brand\":\"O-Pee-Chee\",\"set\":\"\",\
                     \"name\":\"A player of some name\",\"variation\":\"\",\"number\":\"' || i || '\"}}' AS {json}), \
                 i, 7, 'available' FROM n"
        );
        for sql in [insert.as_str(), "ANALYZE"] {
            store.connection().execute_unprepared(sql).await?;
        }
        eprintln!(
            "== {pages} pages entered in {:.1} s",
            begun.elapsed().as_secs_f64()
        );
        Ok(Frontier { url, store, run })
    }

    /// Takes `pages` out and shows what that does to the time of a claim.
    async fn report_long_run(&self, pages: usize) -> Result<(), Failure> {
        let (claimers, batch) = LONG_RUN;
        let until = Until::Pages(pages);
        let measured = self.measure(claimers, batch, until).await?;
        println!(
            "{pages} pages taken out of the full frontier, {claimers} claimers, {batch} pages a claim:\n\n\
             | tenth of the pages | pages/s | p50 ms | p99 ms | max ms |\n|---|--:|--:|--:|--:|"
        );
        for tenth in 0..TENTHS {
            let part: Vec<&Claim> = measured
                .claims
                .iter()
                .filter(|claim| claim.pages_before * TENTHS / pages == tenth)
                .collect();
            let ended = |claims: &[&Claim]| claims.iter().map(|claim| claim.ended).max();
            let before: Vec<&Claim> = measured
                .claims
                .iter()
                .filter(|claim| claim.pages_before * TENTHS / pages < tenth)
                .collect();
            let spent = ended(&part).unwrap_or_default() - ended(&before).unwrap_or_default();
            let claimed: usize = part.iter().map(|claim| claim.pages).sum();
            println!(
                "| {} | {:.0} | {} |",
                tenth + 1,
                claimed as f64 / spent.as_secs_f64(),
                quantiles(part.iter().map(|claim| claim.latency))
            );
        }
        println!();
        Ok(())
    }

    async fn report_table(&self, time: Duration) -> Result<(), Failure> {
        println!(
            "| claimers | pages a claim | claims/s | pages/s | p50 ms | p99 ms | max ms | refused |\n\
             |--:|--:|--:|--:|--:|--:|--:|--:|"
        );
        for claimers in CLAIMERS {
            for batch in BATCHES {
                let measured = self.measure(claimers, batch, Until::Time(time)).await?;
                let pages: usize = measured.claims.iter().map(|claim| claim.pages).sum();
                let seconds = measured.time.as_secs_f64();
                println!(
                    "| {claimers} | {batch} | {:.0} | **{:.0}** | {} | {} |",
                    measured.claims.len() as f64 / seconds,
                    pages as f64 / seconds,
                    quantiles(measured.claims.iter().map(|claim| claim.latency)),
                    measured.claims.iter().map(|claim| claim.refused).sum::<usize>(),
                );
            }
        }
        println!();
        Ok(())
    }

    async fn measure(&self, claimers: usize, batch: usize, until: Until) -> Result<Measured, Failure> {
        let mut ready = Vec::new();
        for number in 1..=claimers {
            ready.push(Claimer::join(self, number).await?);
        }
        let taken = Arc::new(AtomicUsize::new(0));
        let begun = Instant::now();
        let mut tasks = JoinSet::new();
        for claimer in ready {
            tasks.spawn(claimer.work(batch, until, Arc::clone(&taken), begun));
        }
        let mut claims = Vec::new();
        while let Some(done) = tasks.join_next().await {
            claims.extend(done??);
        }
        let time = begun.elapsed();
        if claims.iter().any(|claim| claim.pages < batch) {
            return Err("the frontier ran dry: give it more pages".into());
        }
        Ok(Measured { claims, time })
    }
}

/// When claimers stop.
#[derive(Clone, Copy)]
enum Until {
    Pages(usize),
    Time(Duration),
}

struct Measured {
    claims: Vec<Claim>,
    time: Duration,
}

struct Claim {
    /// From asking to having, refusals included.
    latency: Duration,
    /// Since the claimers began.
    ended: Duration,
    pages: usize,
    /// Pages that all claimers had taken before it.
    pages_before: usize,
    /// How often the database was busy too long.
    refused: usize,
}

struct Claimer {
    store: Store,
    run: RunId,
    me: RunnerIdentity,
}

impl Claimer {
    async fn join(frontier: &Frontier, number: usize) -> Result<Claimer, StoreError> {
        let me = RunnerIdentity {
            instance: uuid::Uuid::new_v4().to_string(),
            runner_id: format!("runner_{number}"),
            host: "here".into(),
            pid: 1,
            process_mark: String::new(),
        };
        frontier.store.register_runner(frontier.run, &me).await?;
        Ok(Claimer {
            store: Store::open(&frontier.url, false).await?,
            run: frontier.run,
            me,
        })
    }

    async fn work(
        self,
        batch: usize,
        until: Until,
        taken: Arc<AtomicUsize>,
        begun: Instant,
    ) -> Result<Vec<Claim>, StoreError> {
        let mut claims = Vec::new();
        loop {
            let is_over = match until {
                Until::Pages(pages) => taken.load(Ordering::Relaxed) >= pages,
                Until::Time(time) => begun.elapsed() >= time,
            };
            if is_over {
                break;
            }
            let asked = Instant::now();
            let (leases, refused) = self.claim(batch).await?;
            claims.push(Claim {
                latency: asked.elapsed(),
                ended: begun.elapsed(),
                pages: leases.len(),
                pages_before: taken.fetch_add(leases.len(), Ordering::Relaxed),
                refused,
            });
            self.finish(leases).await?;
        }
        self.store.close().await;
        Ok(claims)
    }

    /// Claims, however often that takes; returns how often it was refused.
    async fn claim(&self, batch: usize) -> Result<(Vec<Lease>, usize), StoreError> {
        let mut refused = 0;
        loop {
            match self.store.claim(self.run, &self.me.instance, batch, TERM).await {
                Err(error) if error.class() == ErrorClass::Retry => refused += 1,
                other => return Ok((other?, refused)),
            }
        }
    }

    async fn finish(&self, leases: Vec<Lease>) -> Result<(), StoreError> {
        let batch: Vec<Finish> = leases.into_iter().map(complete).collect();
        loop {
            let finished = self
                .store
                .finish(self.run, &self.me.runner_id, &self.me.instance, &batch)
                .await;
            match finished {
                Err(error) if error.class() == ErrorClass::Retry => {}
                other => return other.map(|_| ()),
            }
        }
    }
}

/// The lease's page read whole, with nothing on it.
fn complete(lease: Lease) -> Finish {
    let rows = match lease.kind {
        PageKind::Sets => PageRows::Sets(Vec::new()),
        PageKind::Cards => PageRows::Cards(Vec::new()),
        _ => PageRows::GradeRows(Vec::new()),
    };
    let entry = AuditEntry {
        level: AuditLevel::Info,
        kind: AuditKind::Result,
        page_key: Some(lease.key.to_string()),
        operation: "read_page".into(),
        message: format!("read 0 rows of {}", lease.key),
        context: serde_json::json!({ "rows": 0, "elapsed_ms": 150 }),
    };
    Finish {
        lease,
        cost: ReadCost {
            requests: 1,
            bytes: 50_000,
            elapsed: Duration::from_millis(150),
        },
        documents: Default::default(),
        ending: Ending::Completed {
            rows,
            children: Vec::new(),
            whole: true,
            agrees: true,
            unreadable: Vec::new(),
        },
        audit: vec![entry],
    }
}

/// Median, 99th percentile and maximum in milliseconds, as cells of a table.
fn quantiles(latencies: impl Iterator<Item = Duration>) -> String {
    let mut all: Vec<Duration> = latencies.collect();
    all.sort_unstable();
    let at = |share: f64| {
        let index = (all.len().saturating_sub(1)) as f64 * share;
        all.get(index.round() as usize)
            .map_or(0.0, |latency| latency.as_secs_f64() * 1000.0)
    };
    format!("{:.2} | {:.2} | {:.1}", at(0.5), at(0.99), at(1.0))
}
