//! A demo site, a database and the program in a folder of its own.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder};
use serde_json::Value;
use tagpipe_core::profile::SiteProfile;
use tagpipe_demo::{DemoConfig, DemoSite, Latency, RequestKind, RequestRecord, RunningDemo};
use tagpipe_store::entities::{
    audit_logs, cards, categories, frontier, population_history, runners, runs, sets, years,
};
use tagpipe_store::testing::TestPostgres;
use tagpipe_store::{DatabaseUrl, Store};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, BufReader};
use tokio::process::Command;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::truth::{Content, Wanted, place};

/// Nothing that a test waits for takes longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Which database a test runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
}

/// Everything one test needs. The program works in `folder()`, which holds nothing else.
pub(crate) struct Rig {
    pub(crate) site: RunningDemo,
    pub(crate) postgres: Option<TestPostgres>,
    home: TempDir,
    environment: Vec<(String, String)>,
    base_url: String,
    has_database_flag: bool,
}

/// A process that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The exit code; `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A process under way. Killed when the test ends.
pub(crate) struct Running {
    pub(crate) pid: u32,
    stderr: Arc<Mutex<String>>,
    exit: watch::Receiver<Option<ExitStatus>>,
    ending: JoinHandle<(ExitStatus, String)>,
}

/// A runner's process, as the machine knows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RunnerProcess {
    /// As its command line says.
    pub(crate) runner_id: String,
    pub(crate) pid: u32,
}

pub(crate) fn any_address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// The built-in profile with other numbers for these keys.
pub(crate) fn profile_with(changes: &[(&str, &str)]) -> String {
    let mut text = SiteProfile::builtin_text().to_owned();
    for (key, value) in changes {
        let start = format!("{key} = ");
        assert_eq!(
            text.lines().filter(|line| line.starts_with(&start)).count(),
            1,
            "{key} is one line"
        );
        text = text
            .lines()
            .map(|line| {
                if line.starts_with(&start) {
                    format!("{start}{value}\n")
                } else {
                    format!("{line}\n")
                }
            })
            .collect();
    }
    text
}

/// A site whose answers take their time, so that one reader cannot have read it all before the others begin.
pub(crate) fn unhurried(pages: u64, document_ms: u64) -> DemoConfig {
    DemoConfig {
        pages,
        latency: Latency {
            document_ms,
            ..Latency::default()
        },
        ..DemoConfig::default()
    }
}

/// A brake that is felt and does not hold a test up.
pub(crate) fn quick_profile() -> String {
    profile_with(&[
        ("brake_first", "0.01"),
        ("brake_growth", "1.5"),
        ("brake_most", "0.2"),
        ("brake_ease", "0.02"),
        ("give_up_after", "1000"),
    ])
}

impl Rig {
    pub(crate) async fn new(config: DemoConfig) -> Rig {
        Rig::on(Engine::Sqlite, config).await
    }

    pub(crate) async fn on(engine: Engine, config: DemoConfig) -> Rig {
        let site = DemoSite::start(config, any_address(), any_address())
            .await
            .expect("a demo site");
        let home = tempfile::tempdir().expect("a temporary folder");
        for folder in ["work", "tmp"] {
            std::fs::create_dir(home.path().join(folder)).expect("a folder");
        }
        std::fs::write(home.path().join("profile.toml"), quick_profile()).expect("a profile");
        let postgres = match engine {
            Engine::Sqlite => None,
            Engine::Postgres => Some(
                tokio::task::spawn_blocking(TestPostgres::start)
                    .await
                    .expect("a PostgreSQL"),
            ),
        };
        Rig {
            base_url: site.site_url(),
            site,
            postgres,
            home,
            environment: Vec::new(),
            has_database_flag: true,
        }
    }

    /// Where the program works.
    pub(crate) fn folder(&self) -> PathBuf {
        self.home.path().join("work")
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder().join(name), text).expect("a file");
    }

    /// The file of this rig's profile.
    pub(crate) fn profile(&self) -> String {
        self.home.path().join("profile.toml").display().to_string()
    }

    /// Another profile for this rig's runs.
    pub(crate) fn set_profile(&self, text: &str) {
        std::fs::write(self.home.path().join("profile.toml"), text).expect("a profile");
    }

    /// Reads another address than the demo site's.
    pub(crate) fn read_from(&mut self, base_url: String) {
        self.base_url = base_url;
    }

    /// The origin that this rig's runs read.
    pub(crate) fn base_url(&self) -> &str {
        &self.base_url
    }

    pub(crate) fn set_variable(&mut self, name: &str, text: &str) {
        self.environment.push((name.to_owned(), text.to_owned()));
    }

    /// Leaves `--database-url` out of the command line.
    pub(crate) fn without_database_flag(&mut self) {
        self.has_database_flag = false;
    }

    pub(crate) fn database_url(&self) -> DatabaseUrl {
        match &self.postgres {
            None => DatabaseUrl::Sqlite(self.folder().join("tagpipe.db")),
            Some(postgres) => postgres.url(),
        }
    }

    /// The database as an option names it.
    pub(crate) fn database_text(&self) -> String {
        match self.database_url() {
            DatabaseUrl::Postgres(url) => url.to_string(),
            _ => "sqlite:tagpipe.db".to_owned(),
        }
    }

    /// The program with these arguments in its folder and a clean environment.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.command_by(&[], arguments)
    }

    /// `line` in a shell that `before` starts, with the rig's folder and environment; `$0` is this program.
    pub(crate) fn shell(&self, before: &[&str], line: &str) -> Command {
        let starter = [before, &["bash", "-c", line]].concat();
        self.command_by(&starter, &[])
    }

    /// The same, started by `starter`: a program with options that becomes what follows them.
    fn command_by(&self, starter: &[&str], arguments: &[&str]) -> Command {
        let words = [starter, &[env!("CARGO_BIN_EXE_tagpipe")], arguments].concat();
        let mut command = Command::new(words[0]);
        command
            .args(&words[1..])
            .current_dir(self.folder())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home.path())
            .env("TMPDIR", self.home.path().join("tmp"))
            .envs(self.environment.iter().map(|(name, text)| (name, text)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Starts `tagpipe run` on the site; `arguments` take the place of the rig's own.
    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        self.start_by(&[], arguments)
    }

    /// The same, started by a program with options that becomes what follows them, such as `env`.
    pub(crate) fn start_by(&self, starter: &[&str], arguments: &[&str]) -> Running {
        self.start_reading(starter, "run", arguments)
    }

    /// Starts `tagpipe orchestrate` on the site; `arguments` take the place of the rig's own.
    pub(crate) fn start_orchestrate(&self, arguments: &[&str]) -> Running {
        self.start_reading(&[], "orchestrate", arguments)
    }

    fn start_reading(&self, starter: &[&str], command: &str, arguments: &[&str]) -> Running {
        let url = match self.database_url() {
            DatabaseUrl::Postgres(url) => url.to_string(),
            _ => "sqlite:tagpipe.db".to_owned(),
        };
        let profile = self.home.path().join("profile.toml");
        let mut all = vec![command.to_owned(), "--json".to_owned()];
        let mut defaults = vec![
            ("--base-url", self.base_url.clone()),
            ("--fetch", "http".to_owned()),
            ("--delay", "0".to_owned()),
            ("--profile", profile.display().to_string()),
        ];
        if self.has_database_flag {
            defaults.push(("--database-url", url));
        }
        for (flag, text) in defaults {
            if !arguments.contains(&flag) {
                all.extend([flag.to_owned(), text]);
            }
        }
        all.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        Running::start(self.command_by(starter, &all))
    }

    /// Runs `tagpipe run` on the site to its end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Ended {
        self.start(arguments).ended().await
    }

    /// Runs `tagpipe orchestrate` on the site to its end.
    pub(crate) async fn orchestrate(&self, arguments: &[&str]) -> Ended {
        self.start_orchestrate(arguments).ended().await
    }

    /// Runs any command to its end.
    pub(crate) async fn tagpipe(&self, arguments: &[&str]) -> Ended {
        Running::start(self.command(arguments)).ended().await
    }

    /// The database, for looking into. An SQLite file that was left behind is recovered first.
    pub(crate) async fn open(&self) -> Store {
        Store::open(&self.database_url(), true)
            .await
            .expect("the database opens")
    }

    /// What is stored is what the site has, row by row and column by column.
    pub(crate) async fn assert_equals_truth(&self) {
        self.assert_holds(&Wanted::everything()).await;
    }

    /// What is stored and has not vanished is what the site has. Returns how many certificates have vanished.
    pub(crate) async fn assert_present_equals_truth(&self) -> usize {
        let store = self.open().await;
        let stored = Content::stored(&store).await;
        store.close().await;
        stored.assert_equals(&Content::promised(&self.site.world(), &Wanted::everything()));
        stored.vanished
    }

    /// What is stored is the wanted part of what the site has.
    pub(crate) async fn assert_holds(&self, wanted: &Wanted) {
        let store = self.open().await;
        let stored = Content::stored(&store).await;
        store.close().await;
        assert_eq!(stored.vanished, 0, "nothing vanished from a site at rest");
        stored.assert_equals(&Content::promised(&self.site.world(), wanted));
    }

    /// All pages of the newest run.
    pub(crate) async fn pages(&self) -> Vec<frontier::Model> {
        let store = self.open().await;
        let mut pages = frontier::Entity::find()
            .all(store.connection())
            .await
            .expect("pages");
        store.close().await;
        let newest = pages.iter().map(|page| page.run_id).max();
        pages.retain(|page| Some(page.run_id) == newest);
        pages
    }

    pub(crate) async fn audit(&self) -> Vec<audit_logs::Model> {
        let store = self.open().await;
        let entries = audit_logs::Entity::find()
            .all(store.connection())
            .await
            .expect("entries");
        store.close().await;
        entries
    }

    /// All processes that ever worked on a run.
    pub(crate) async fn runners(&self) -> Vec<runners::Model> {
        let store = self.open().await;
        let runners = runners::Entity::find()
            .all(store.connection())
            .await
            .expect("rows");
        store.close().await;
        runners
    }

    /// All runs.
    pub(crate) async fn runs(&self) -> Vec<runs::Model> {
        let store = self.open().await;
        let runs = runs::Entity::find()
            .order_by_asc(runs::Column::Id)
            .all(store.connection())
            .await
            .expect("rows");
        store.close().await;
        runs
    }

    /// The runners of this rig's orchestrator that are alive, sorted, as the machine tells: whoever started them, and
    /// whether the database knows them or not.
    pub(crate) fn runner_processes(&self) -> Vec<RunnerProcess> {
        let mut found: Vec<_> = self
            .processes()
            .into_iter()
            .filter_map(|(pid, words)| {
                words.iter().any(|word| word == "--join").then_some(())?;
                let name = words.iter().position(|word| word == "--runner-id")?;
                Some(RunnerProcess {
                    runner_id: words.get(name + 1)?.clone(),
                    pid,
                })
            })
            .collect();
        found.sort();
        found
    }

    /// Processes that work below this rig's folder, with their command lines.
    fn processes(&self) -> Vec<(u32, Vec<String>)> {
        std::fs::read_dir("/proc")
            .expect("Linux")
            .flatten()
            .filter_map(|entry| {
                let pid = entry.file_name().to_str()?.parse().ok()?;
                // One that is not ours, or has just ended, cannot be looked into.
                let folder = std::fs::read_link(entry.path().join("cwd")).ok()?;
                folder.starts_with(self.home.path()).then_some(())?;
                let line = std::fs::read(entry.path().join("cmdline")).ok()?;
                let words = line.split(|byte| *byte == 0);
                Some((
                    pid,
                    words
                        .map(|word| String::from_utf8_lossy(word).into_owned())
                        .collect(),
                ))
            })
            .collect()
    }

    /// Requests for pages, in the order of their arrival.
    pub(crate) fn documents(&self) -> Vec<RequestRecord> {
        self.site
            .requests()
            .into_iter()
            .filter(|request| request.kind == RequestKind::Document)
            .collect()
    }

    /// Waits until the site was asked for this many pages.
    pub(crate) async fn wait_for_documents(&self, count: usize) {
        wait_until("the site to be asked", || self.documents().len() >= count).await;
    }

    /// Every file under the program's folders with its bytes.
    pub(crate) fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        collect_files(self.home.path(), &mut found);
        found
    }

    /// Each page was asked for at most as often as its row in the frontier says.
    pub(crate) async fn assert_fetches_are_counted(&self) {
        let pages = self.pages().await;
        let attempts: HashMap<_, _> = pages
            .iter()
            .map(|page| (place(&page.url).0, page.attempts as u64))
            .collect();
        assert_eq!(attempts.len(), pages.len());
        for (page, times) in fetches(&self.documents()) {
            assert!(
                times <= attempts[&page],
                "{page} was fetched {times} times in {} attempts",
                attempts[&page]
            );
        }
    }

    /// What must hold of the database whenever it is looked at, however its processes ended.
    pub(crate) async fn assert_is_consistent(&self) -> u64 {
        let store = self.open().await;
        let connection = store.connection();
        let pages = frontier::Entity::find().all(connection).await.expect("pages");
        let mut by_level = [0_u64; 5];
        let mut completed = 0;
        for page in &pages {
            by_level[usize::try_from(page.level).expect("a level")] += 1;
            completed += u64::from(page.state == "completed");
            let states = ["available", "leased", "retryable", "completed"];
            assert!(
                states.contains(&page.state.as_str()),
                "{} is {}",
                page.page_key,
                page.state
            );
            assert_eq!(
                page.state == "leased",
                page.lease_token.is_some() && page.lease_owner.is_some(),
                "{page:?}"
            );
            assert!(
                page.state != "completed" || (page.attempts >= 1 && page.finished_at.is_some()),
                "{page:?}"
            );
        }
        let rows = [
            categories::Entity::find()
                .all(connection)
                .await
                .expect("rows")
                .len() as u64,
            years::Entity::find().all(connection).await.expect("rows").len() as u64,
            sets::Entity::find().all(connection).await.expect("rows").len() as u64,
            cards::Entity::find().all(connection).await.expect("rows").len() as u64,
        ];
        assert_eq!(rows, by_level[1..], "each row has its page and each page its row");
        let history = population_history::Entity::find()
            .all(connection)
            .await
            .expect("history");
        assert_eq!(
            history.len() as u64,
            rows[2] + rows[3],
            "one history row for each set and card"
        );
        let read = audit_logs::Entity::find()
            .filter(audit_logs::Column::Operation.eq("read_page"))
            .filter(audit_logs::Column::Kind.eq("result"))
            .all(connection)
            .await
            .expect("entries");
        assert_eq!(read.len() as u64, completed, "one entry for each completed page");
        store.close().await;
        completed
    }
}

/// Runners outlive whoever started them. They must not outlive the test.
impl Drop for Rig {
    fn drop(&mut self) {
        for (pid, _) in self.processes() {
            // It may have ended by itself.
            let _ = std::process::Command::new("kill")
                .args(["-KILL", &pid.to_string()])
                .stderr(Stdio::null())
                .status();
        }
    }
}

fn collect_files(folder: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.insert(path.clone(), Vec::new());
            collect_files(&path, found);
        } else {
            found.insert(path.clone(), std::fs::read(&path).unwrap_or_default());
        }
    }
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Running {
        let mut child = command.spawn().expect("the program starts");
        let pid = child.id().expect("it runs");
        let stderr = Arc::new(Mutex::new(String::new()));
        let mut out = child.stdout.take().expect("its output is piped");
        let mut err = BufReader::new(child.stderr.take().expect("its errors are piped"));
        let heard = Arc::clone(&stderr);
        let (exited, exit) = watch::channel(None);
        let ending = tokio::spawn(async move {
            let listen = async {
                let mut portion = [0; 4096];
                while let Ok(count @ 1..) = err.read(&mut portion).await {
                    heard
                        .lock()
                        .expect("a lock")
                        .push_str(&String::from_utf8_lossy(&portion[..count]));
                }
            };
            let read = async {
                let mut bytes = Vec::new();
                out.read_to_end(&mut bytes).await.expect("its output is read");
                String::from_utf8(bytes).expect("its output is UTF-8")
            };
            let wait = async {
                let status = child.wait().await.expect("it ends");
                exited.send_replace(Some(status));
                status
            };
            let ((), stdout, status) = tokio::join!(listen, read, wait);
            (status, stdout)
        });
        Running {
            pid,
            stderr,
            exit,
            ending,
        }
    }

    /// Sends a signal: `INT`, `TERM`, `HUP`, `KILL`.
    pub(crate) async fn signal(&self, name: &str) {
        assert!(signal(name, self.pid).await, "the process is there");
    }

    /// What it has said so far.
    pub(crate) fn words(&self) -> String {
        self.stderr.lock().expect("a lock").clone()
    }

    /// Waits until the program has said this.
    pub(crate) async fn wait_for_word(&self, word: &str) {
        wait_until(word, || self.stderr.lock().expect("a lock").contains(word)).await;
    }

    /// Whether the process is gone. What it started may still be there.
    pub(crate) fn has_ended(&self) -> bool {
        self.exit.borrow().is_some()
    }

    /// Its exit code once the process is gone: `None` within for one that a signal ended.
    pub(crate) fn exit_code(&self) -> Option<Option<i32>> {
        self.exit.borrow().map(|status| status.code())
    }

    /// Waits for the end.
    pub(crate) async fn ended(self) -> Ended {
        let Ok(joined) = tokio::time::timeout(PATIENCE, self.ending).await else {
            panic!(
                "the program does not end; it said:\n{}",
                self.stderr.lock().expect("a lock")
            );
        };
        let (status, stdout) = joined.expect("the reading task does not panic");
        let stderr = self.stderr.lock().expect("a lock").clone();
        let ended = Ended {
            code: status.code(),
            stdout,
            stderr,
        };
        assert!(!ended.stderr.contains("panicked"), "{ended:#?}");
        ended
    }

    /// Kills it as a crash would, and waits for no more than its own end: what it started may go on and hold its
    /// output open.
    pub(crate) async fn kill_alone(mut self) {
        if !self.has_ended() {
            // It may end by itself in this very moment.
            signal("KILL", self.pid).await;
        }
        let gone = tokio::time::timeout(PATIENCE, self.exit.wait_for(Option::is_some)).await;
        gone.expect("a killed process ends")
            .expect("somebody waits for it");
    }

    /// Kills it as a crash would.
    pub(crate) async fn kill(self) -> Ended {
        if !self.has_ended() {
            // It may end by itself in this very moment.
            signal("KILL", self.pid).await;
        }
        self.ended().await
    }
}

/// Sends a signal by name. Returns whether there was a process to get it.
pub(crate) async fn signal(name: &str, pid: u32) -> bool {
    let mut kill = Command::new("kill");
    kill.arg(format!("-{name}")).arg(pid.to_string());
    kill.stderr(Stdio::null())
        .status()
        .await
        .expect("kill runs")
        .success()
}

impl Ended {
    /// The summary, after checking that it ended so. Summary, exit code and text say the same.
    #[track_caller]
    pub(crate) fn summary(&self, code: i32) -> Value {
        assert_eq!(self.code, Some(code), "{}\n{}", self.stderr, self.stdout);
        let summary: Value = serde_json::from_str(&self.stdout).expect("the summary is JSON");
        assert_eq!(summary["exit_code"], code, "{summary:#}");
        summary
    }

    /// The words of a program that ended without a summary.
    #[track_caller]
    pub(crate) fn failure(&self, code: i32) -> &str {
        assert_eq!(self.code, Some(code), "{}\n{}", self.stderr, self.stdout);
        assert_eq!(self.stdout, "", "there is no result");
        assert!(self.stderr.contains("error: "), "{}", self.stderr);
        assert!(
            !self.stderr.contains('\u{1b}'),
            "no colours without a terminal: {}",
            self.stderr
        );
        &self.stderr
    }
}

/// A number of pages over all levels of a summary.
pub(crate) fn pages_of(summary: &Value, state: &str) -> u64 {
    by_level(summary, state).iter().sum()
}

/// A number of pages by level.
pub(crate) fn by_level(summary: &Value, state: &str) -> Vec<u64> {
    let levels = summary["levels"].as_array().expect("levels");
    levels
        .iter()
        .map(|level| level[state].as_u64().expect("a number"))
        .collect()
}

/// Waits for a condition with a deadline.
pub(crate) async fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// How often each page was fetched, the further documents of its pager not counted.
pub(crate) fn fetches(documents: &[RequestRecord]) -> HashMap<String, u64> {
    let mut fetches = HashMap::new();
    for document in documents {
        let (page, further) = place(&document.path_and_query);
        if further.is_none() {
            *fetches.entry(page).or_insert(0) += 1;
        }
    }
    fetches
}

/// Whether the tests run as root, who may do what others may not.
pub(crate) fn is_root() -> bool {
    std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").expect("Linux")) == 0
}
