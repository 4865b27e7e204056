//! Everything that can die does, again and again, at times nobody has chosen. Nothing is lost and nothing doubled.
//!
//! The seed of the faults is printed. `TAGPIPE_CHAOS_SEED` makes the same ones strike again, in the same order and
//! with the same pauses; what they strike depends on the machine as well.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tagpipe_store::DatabaseUrl;

use crate::frontier_history;
use crate::harness::{Engine, PATIENCE, Rig, Running, signal, unhurried, wait_until};
use crate::orchestrate::{assert_adds_up, runner_ids};
use crate::tcp_proxy::TcpProxy;

const SETTINGS: &str = "lease_term = 2\ndatabase_patience = 60\n";
/// How long a page takes while faults strike, so that the run outlasts them.
const SLOW_MS: u64 = 300;
/// How often the site of this test is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How much of what was said is shown of each orchestrator after a failure.
const LAST_LINES: usize = 60;
/// The outage that every chaos on PostgreSQL has.
const LONG_OUTAGE: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, Copy)]
enum Fault {
    KillRunner,
    /// It is started again a moment later, by the same command.
    KillOrchestrator,
    /// A runner is stopped and woken, which its orchestrator may not wait for.
    Sleep(Duration),
    /// The same while there is no orchestrator: it wakes to find its pages given to others.
    SleepUnwatched(Duration),
    RestartDatabase,
    /// It is gone at once, and back after this time.
    CrashDatabase(Duration),
    Freeze(Duration),
    Cut(Duration),
}

/// What puts an end to a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repair {
    Wake(u32),
    StartOrchestrator,
    StartDatabase,
    RestoreNetwork,
}

struct Chaos {
    rig: Rig,
    network: Option<TcpProxy>,
    runners: usize,
    chance: fastrand::Rng,
    orchestrator: Option<Running>,
    /// What those that ended had said.
    words: Vec<String>,
    /// What is out of order, and until when.
    repairs: Vec<(Instant, Repair)>,
    began: Instant,
}

fn seed() -> u64 {
    let given = std::env::var("TAGPIPE_CHAOS_SEED").ok();
    let seed = given.map_or_else(
        || fastrand::u64(..1_000_000),
        |text| text.parse().expect("a seed"),
    );
    println!("TAGPIPE_CHAOS_SEED={seed}");
    seed
}

fn between(chance: &mut fastrand::Rng, least_ms: u64, most_ms: u64) -> Duration {
    Duration::from_millis(chance.u64(least_ms..most_ms))
}

/// Thirty faults of all kinds.
fn faults_of_a_network(chance: &mut fastrand::Rng) -> Vec<Fault> {
    let mut faults = vec![Fault::KillRunner; 11];
    faults.extend([Fault::KillOrchestrator; 4]);
    faults.extend([Fault::RestartDatabase; 2]);
    for _ in 0..4 {
        faults.push(Fault::Sleep(between(chance, 2200, 4000)));
    }
    for _ in 0..2 {
        faults.push(Fault::SleepUnwatched(between(chance, 3000, 3500)));
    }
    for _ in 0..2 {
        faults.push(Fault::CrashDatabase(between(chance, 300, 1500)));
    }
    for _ in 0..2 {
        faults.push(Fault::Freeze(between(chance, 300, 3000)));
        faults.push(Fault::Cut(between(chance, 300, 2000)));
    }
    faults.push(if chance.bool() {
        Fault::Cut(LONG_OUTAGE)
    } else {
        Fault::Freeze(LONG_OUTAGE)
    });
    assert_eq!(faults.len(), 30);
    chance.shuffle(&mut faults);
    faults
}

/// Ten faults that need no network.
fn faults_of_one_machine(chance: &mut fastrand::Rng) -> Vec<Fault> {
    let mut faults = vec![Fault::KillRunner; 5];
    faults.extend([Fault::KillOrchestrator; 2]);
    for _ in 0..2 {
        faults.push(Fault::Sleep(between(chance, 2200, 4000)));
    }
    faults.push(Fault::SleepUnwatched(between(chance, 3000, 3500)));
    assert_eq!(faults.len(), 10);
    chance.shuffle(&mut faults);
    faults
}

impl Chaos {
    async fn begin(engine: Engine, runners: usize, pages: u64, chance: fastrand::Rng) -> Chaos {
        let rig = Rig::on(engine, unhurried(pages, SLOW_MS)).await;
        rig.write("tagpipe.toml", SETTINGS);
        let store = rig.open().await;
        frontier_history::install(&store).await;
        store.close().await;
        let network = match rig.database_url() {
            DatabaseUrl::Postgres(url) => {
                let port = url.port().expect("a port of its own");
                Some(TcpProxy::start(SocketAddr::from(([127, 0, 0, 1], port))).await)
            }
            _ => None,
        };
        let mut chaos = Chaos {
            rig,
            network,
            runners,
            chance,
            orchestrator: None,
            words: Vec::new(),
            repairs: Vec::new(),
            began: Instant::now(),
        };
        chaos.start_orchestrator(false);
        chaos.rig.wait_for_documents(20).await;
        chaos
    }

    fn tell(&self, what: &str) {
        println!("{:6.2} s  {what}", self.began.elapsed().as_secs_f64());
    }

    /// Starts the same command as always; with `--resume` where nobody is left to be found by it.
    fn start_orchestrator(&mut self, resuming: bool) {
        let runners = self.runners.to_string();
        let mut arguments = vec!["--num-runners", &runners, "--check-interval", "0.5"];
        let through_network = self
            .network
            .as_ref()
            .map(|network| self.url_through(network.address()));
        if let Some(url) = &through_network {
            arguments.extend(["--database-url", url]);
        }
        if resuming {
            arguments.push("--resume");
        }
        self.tell(&format!(
            "the orchestrator starts {}",
            if resuming { "with --resume" } else { "" }
        ));
        self.orchestrator = Some(self.rig.start_orchestrate(&arguments));
    }

    fn url_through(&self, network: SocketAddr) -> String {
        let DatabaseUrl::Postgres(mut url) = self.rig.database_url() else {
            unreachable!("only PostgreSQL is behind a network")
        };
        url.set_port(Some(network.port())).expect("it has a port");
        url.to_string()
    }

    /// Runners that are alive and awake.
    fn awake(&self) -> Vec<u32> {
        let is_asleep = |pid| {
            self.repairs
                .iter()
                .any(|(_, repair)| *repair == Repair::Wake(pid))
        };
        let living = self.rig.runner_processes().into_iter();
        living
            .map(|process| process.pid)
            .filter(|pid| !is_asleep(*pid))
            .collect()
    }

    /// Lets time pass, in which what is out of order is repaired as its time comes.
    async fn pass(&mut self, time: Duration) {
        let until = Instant::now() + time;
        loop {
            self.look_after_orchestrator();
            self.repair_what_is_due().await;
            if Instant::now() >= until {
                return;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Lets time pass until this holds.
    async fn pass_until(&mut self, what: &str, holds: impl Fn(&Chaos) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds(self) {
            assert!(Instant::now() < deadline, "waited in vain for {what}");
            self.pass(LOOK_EVERY).await;
        }
    }

    async fn repair_what_is_due(&mut self) {
        let now = Instant::now();
        let (due, later) = self.repairs.iter().partition(|(at, _)| *at <= now);
        self.repairs = later;
        for (_, repair) in due {
            self.tell(&format!("{repair:?}"));
            match repair {
                Repair::Wake(pid) => drop(signal("CONT", pid).await),
                Repair::StartOrchestrator => {
                    let is_alone = self.awake().is_empty();
                    self.start_orchestrator(is_alone);
                }
                Repair::StartDatabase => self.restart_database(),
                Repair::RestoreNetwork => self.network().restore().await,
            }
        }
    }

    /// One that could not bear a fault and has said so is started again, like one that was killed.
    fn look_after_orchestrator(&mut self) {
        let Some(code) = self.orchestrator.as_ref().and_then(Running::exit_code) else {
            return;
        };
        let words = self
            .orchestrator
            .take()
            .map(|ended| ended.words())
            .unwrap_or_default();
        self.words.push(words.clone());
        assert!(
            [Some(1), Some(7)].contains(&code),
            "the orchestrator ended with {code:?} in the middle; it said:\n{words}"
        );
        let last = words.lines().rev().take(8).collect::<Vec<_>>();
        self.tell(&format!(
            "the orchestrator ended with {code:?}; it said {last:#?}"
        ));
        self.repair_after(Duration::from_millis(500), Repair::StartOrchestrator);
    }

    fn repair_after(&mut self, time: Duration, repair: Repair) {
        self.repairs.push((Instant::now() + time, repair));
    }

    fn restart_database(&mut self) {
        let postgres = self.rig.postgres.as_mut().expect("a chaos on PostgreSQL");
        tokio::task::block_in_place(|| postgres.restart());
    }

    fn network(&self) -> &TcpProxy {
        self.network.as_ref().expect("a chaos with a network")
    }

    fn has_database(&self) -> bool {
        let is_outage = |repair| [Repair::StartDatabase, Repair::RestoreNetwork].contains(&repair);
        !self.repairs.iter().any(|(_, repair)| is_outage(*repair))
    }

    async fn any_runner(&mut self) -> u32 {
        self.pass_until("a runner", |chaos| !chaos.awake().is_empty())
            .await;
        let awake = self.awake();
        awake[self.chance.usize(..awake.len())]
    }

    async fn kill_orchestrator(&mut self) {
        self.pass_until("an orchestrator", |chaos| chaos.orchestrator.is_some())
            .await;
        if let Some(orchestrator) = self.orchestrator.take() {
            self.words.push(orchestrator.words());
            orchestrator.kill_alone().await;
        }
    }

    async fn put_to_sleep(&mut self, pid: u32, time: Duration) {
        signal("STOP", pid).await;
        self.repair_after(time, Repair::Wake(pid));
    }

    async fn strike(&mut self, fault: Fault) {
        // The database is away for one reason at a time; whatever else there is strikes at any time.
        match fault {
            Fault::KillRunner | Fault::KillOrchestrator | Fault::Sleep(_) => {}
            _ => self.pass_until("the database", Chaos::has_database).await,
        }
        self.tell(&format!("{fault:?}"));
        match fault {
            Fault::KillRunner => {
                let pid = self.any_runner().await;
                signal("KILL", pid).await;
            }
            Fault::KillOrchestrator => {
                self.kill_orchestrator().await;
                let pause = between(&mut self.chance, 0, 1500);
                self.repair_after(pause, Repair::StartOrchestrator);
            }
            Fault::Sleep(time) => {
                let pid = self.any_runner().await;
                self.put_to_sleep(pid, time).await;
            }
            Fault::SleepUnwatched(time) => {
                self.pass_until("an orchestrator", |chaos| chaos.orchestrator.is_some())
                    .await;
                let pid = self.any_runner().await;
                self.kill_orchestrator().await;
                self.put_to_sleep(pid, time).await;
                self.repair_after(time + Duration::from_millis(500), Repair::StartOrchestrator);
            }
            Fault::RestartDatabase => self.restart_database(),
            Fault::CrashDatabase(time) => {
                let postgres = self.rig.postgres.as_mut().expect("a chaos on PostgreSQL");
                tokio::task::block_in_place(|| postgres.stop_immediately());
                self.repair_after(time, Repair::StartDatabase);
            }
            Fault::Freeze(time) => {
                self.network().freeze().await;
                self.repair_after(time, Repair::RestoreNetwork);
            }
            Fault::Cut(time) => {
                self.network().cut().await;
                self.repair_after(time, Repair::RestoreNetwork);
            }
        }
    }

    async fn strike_all(&mut self, faults: &[Fault]) {
        for fault in faults {
            let pause = between(&mut self.chance, 50, 900);
            self.pass(pause).await;
            self.strike(*fault).await;
        }
        self.pass_until("everything to be in order", |chaos| {
            chaos.repairs.is_empty() && chaos.orchestrator.is_some()
        })
        .await;
        let seen = self.rig.documents().len();
        let further = |chaos: &Chaos| chaos.rig.documents().len() > seen + 40;
        self.pass_until("the run to go on", further).await;
        let open = self.rig.pages().await;
        let open = open.iter().filter(|page| page.finished_at.is_none()).count();
        assert!(
            open > 0,
            "the run ended before the faults did: give it more pages"
        );
        self.tell(&format!("{open} pages are open"));
    }

    /// Reads the rest at full speed, with nothing in the way, and judges everything.
    async fn conclude(mut self) {
        self.rig.site.update(|config| config.latency.document_ms = 0);
        let is_over =
            |chaos: &Chaos| chaos.orchestrator.as_ref().and_then(Running::exit_code) == Some(Some(0));
        let deadline = Instant::now() + PATIENCE;
        while !is_over(&self) {
            assert!(Instant::now() < deadline, "the run does not end");
            self.look_after_orchestrator();
            self.repair_what_is_due().await;
            tokio::time::sleep(LOOK_EVERY).await;
        }
        self.tell("the run is over");
        let orchestrator = self.orchestrator.take().expect("it is over");
        wait_until("all runners to go", || self.rig.runner_processes().is_empty()).await;
        self.words.push(orchestrator.words());
        let summary = orchestrator.ended().await.summary(0);
        assert_eq!(summary["end"], "reconciled");
        let runs = self.rig.runs().await;
        let runners = self.rig.runners().await;
        assert_eq!(runs.len(), 1, "all of it was one run: {runs:#?}, {runners:#?}");

        self.rig.assert_equals_truth().await;
        let pages = self.rig.site.world().page_count();
        assert_eq!(self.rig.assert_is_consistent().await, pages);
        self.rig.assert_fetches_are_counted().await;
        self.assert_one_result_a_page(pages).await;
        assert_adds_up(&self.rig, &summary, &runner_ids(self.runners)).await;

        let store = self.rig.open().await;
        let witnessed = frontier_history::witnessed(&store).await;
        store.close().await;
        let tally = frontier_history::check(&witnessed).unwrap_or_else(|what| panic!("{what}"));
        self.tell(&format!("{tally:?}, {} runners were lost", witnessed.lost.len()));
        assert_eq!(tally.pages as u64, pages);
        assert_eq!(tally.completions, tally.pages + tally.verifications);
        assert!(
            tally.returned > 0 && !witnessed.lost.is_empty(),
            "the faults were felt"
        );
    }

    async fn assert_one_result_a_page(&self, pages: u64) {
        let mut results: HashMap<String, usize> = HashMap::new();
        for entry in self.rig.audit().await {
            if entry.operation == "read_page" && entry.kind == "result" {
                let page = entry.page_key.expect("the page that was read");
                *results.entry(page).or_default() += 1;
            }
        }
        let again: Vec<_> = results.iter().filter(|(_, times)| **times != 1).collect();
        assert!(again.is_empty(), "committed more than once: {again:#?}");
        assert_eq!(results.len() as u64, pages);
    }
}

/// A failure is understood from what was said last.
impl Drop for Chaos {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        self.words.extend(self.orchestrator.as_ref().map(Running::words));
        for (number, words) in self.words.iter().enumerate() {
            let lines: Vec<_> = words.lines().collect();
            let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
            println!("orchestrator {} said at last:\n{}", number + 1, last.join("\n"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_on_postgres() {
    let mut chance = fastrand::Rng::with_seed(seed());
    let faults = faults_of_a_network(&mut chance);
    let mut chaos = Chaos::begin(Engine::Postgres, 4, 3000, chance).await;
    chaos.strike_all(&faults).await;
    chaos.conclude().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_on_sqlite() {
    let mut chance = fastrand::Rng::with_seed(seed());
    let faults = faults_of_one_machine(&mut chance);
    let mut chaos = Chaos::begin(Engine::Sqlite, 3, 1500, chance).await;
    chaos.strike_all(&faults).await;
    chaos.conclude().await;
}
