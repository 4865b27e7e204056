//! Real databases for tests: an SQLite file, or a PostgreSQL server started for the one test that asks for it.
//!
//! Why a server for each test: a fault test kills, freezes and restarts it, and a test that counts locks or
//! times must not meet another one's. A server starts in a fraction of a second from a copied data folder.
//! What must hold: nothing outlives its test. A server ends with its [`TestPostgres`]; should the test be
//! killed, the kernel kills the server. A missing PostgreSQL fails a test and never skips it.
//!
//! Everything here panics instead of returning errors: a test that cannot have its database has failed.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;

use tempfile::TempDir;

use crate::connect::{DatabaseUrl, Store};

/// The user whom PostgreSQL runs as where the tests run as root, which PostgreSQL refuses.
const SERVER_USER: &str = "nobody";
const SUPERUSER: &str = "tagpipe";
const PASSWORD: &str = "only-for-tests";
/// Another process may take a port between finding it free and listening on it.
const PORT_ATTEMPTS: u32 = 5;

/// A database of one test.
#[derive(Debug)]
pub enum TestDatabase {
    /// A file in a folder of its own.
    Sqlite(TempDir),
    /// A server of its own.
    Postgres(TestPostgres),
}

impl TestDatabase {
    /// An SQLite file that does not exist yet.
    ///
    /// # Panics
    /// When no temporary folder can be made.
    #[must_use]
    pub fn sqlite() -> TestDatabase {
        TestDatabase::Sqlite(tempfile::tempdir().expect("a temporary folder can be made"))
    }

    /// An empty PostgreSQL.
    ///
    /// # Panics
    /// When PostgreSQL is missing or does not start.
    #[must_use]
    pub fn postgres() -> TestDatabase {
        TestDatabase::Postgres(TestPostgres::start())
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> DatabaseUrl {
        match self {
            TestDatabase::Sqlite(folder) => DatabaseUrl::Sqlite(folder.path().join("tagpipe.db")),
            TestDatabase::Postgres(server) => server.url(),
        }
    }

    /// Opens it and brings its schema up to date.
    ///
    /// # Panics
    /// When that fails.
    pub async fn open(&self) -> Store {
        Store::open(&self.url(), true)
            .await
            .expect("a test's database can be opened")
    }
}

/// A PostgreSQL server on a loopback port of its own, stopped when dropped.
#[derive(Debug)]
pub struct TestPostgres {
    folder: TempDir,
    programs: PathBuf,
    port: u16,
    durable: bool,
    /// Further settings, as `name=value`.
    settings: Vec<String>,
    server: Option<Server>,
}

/// A running server.
#[derive(Debug)]
struct Server {
    pid: u32,
    /// Ends when the last process of the server has closed its log.
    watcher: JoinHandle<()>,
}

impl TestPostgres {
    /// Starts an empty server. It does not wait for the disk: its data survives its own crash, not the machine's.
    ///
    /// # Panics
    /// When PostgreSQL is missing or does not start.
    #[must_use]
    pub fn start() -> TestPostgres {
        Self::start_with(false, None)
    }

    /// Starts an empty server that waits for the disk, as one in production does.
    ///
    /// # Panics
    /// When PostgreSQL is missing or does not start.
    #[must_use]
    pub fn start_durable() -> TestPostgres {
        Self::start_with(true, None)
    }

    /// Starts an empty server that offers encryption with this certificate and its key, PEM files.
    ///
    /// # Panics
    /// When PostgreSQL is missing or does not start.
    #[must_use]
    pub fn start_encrypted(certificate: &Path, key: &Path) -> TestPostgres {
        Self::start_with(false, Some((certificate, key)))
    }

    fn start_with(durable: bool, encryption: Option<(&Path, &Path)>) -> TestPostgres {
        let programs = find_programs();
        let template = template(&programs);
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        give_to_server_user(folder.path());
        copy_folder(&template, &folder.path().join("data"));
        let settings = encryption.map_or_else(Vec::new, |(certificate, key)| {
            encryption_settings(folder.path(), certificate, key)
        });
        let mut postgres = TestPostgres {
            folder,
            programs,
            port: 0,
            durable,
            settings,
            server: None,
        };
        for attempt in 1.. {
            postgres.port = free_port();
            match postgres.launch() {
                Ok(server) => {
                    postgres.server = Some(server);
                    break;
                }
                Err(log) if attempt < PORT_ATTEMPTS && log.contains("Address already in use") => {}
                Err(log) => panic!("PostgreSQL does not start; its log:\n{log}"),
            }
        }
        postgres
    }

    /// Where it is, its password included.
    #[must_use]
    pub fn url(&self) -> DatabaseUrl {
        format!(
            "postgres://{SUPERUSER}:{PASSWORD}@127.0.0.1:{}/postgres",
            self.port
        )
        .parse()
        .expect("a complete URL is one")
    }

    /// Kills it as a crash would, and returns when its last process is gone.
    pub fn stop_immediately(&mut self) {
        self.stop("KILL");
    }

    /// Starts it again on the same port, after stopping it in order if it still runs.
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart(&mut self) {
        self.stop("INT");
        match self.launch() {
            Ok(server) => self.server = Some(server),
            Err(log) => panic!("PostgreSQL does not start again; its log:\n{log}"),
        }
    }

    /// Freezes it: connections stay open, and nothing answers.
    pub fn pause(&self) {
        let Some(server) = &self.server else { return };
        // The parent first, so that it starts no further process.
        signal("STOP", &[server.pid]);
        signal("STOP", &children_of(server.pid));
    }

    /// Lets it go on after [`TestPostgres::pause`].
    pub fn resume(&self) {
        let Some(server) = &self.server else { return };
        signal("CONT", &children_of(server.pid));
        signal("CONT", &[server.pid]);
    }

    fn stop(&mut self, how: &str) {
        self.resume();
        let Some(server) = self.server.take() else { return };
        signal(how, &[server.pid]);
        if server.watcher.join().is_err() {
            eprintln!("the watcher of a PostgreSQL server panicked");
        }
    }

    /// Starts the server and waits until it says that it accepts connections. Returns its log if it ends before.
    fn launch(&self) -> Result<Server, String> {
        let mut command = as_server_user(&self.programs.join("postgres"));
        command.arg("-D").arg(self.folder.path().join("data"));
        let flush = if self.durable { "on" } else { "off" };
        for setting in [
            "listen_addresses=127.0.0.1",
            &format!("port={}", self.port),
            "unix_socket_directories=",
            "max_connections=60",
            "shared_buffers=64MB",
            "autovacuum_naptime=5s",
            "lc_messages=C",
            &format!("fsync={flush}"),
            &format!("full_page_writes={flush}"),
        ] {
            command.arg("-c").arg(setting);
        }
        for setting in &self.settings {
            command.arg("-c").arg(setting);
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let (started, when_started) = mpsc::channel();
        // The kernel's word to kill a child holds for the thread that started it: this one lives as long as the server.
        let watcher = std::thread::spawn(move || {
            let mut child = command.spawn().expect("a program that was found can be started");
            let log = child.stderr.take().expect("stderr is piped");
            let mut seen = String::new();
            for line in BufReader::new(log).lines().map_while(Result::ok) {
                if line.contains("database system is ready to accept connections") {
                    // Nobody listens any more if the caller has panicked.
                    let _ = started.send(Ok(child.id()));
                }
                seen.push_str(&line);
                seen.push('\n');
            }
            child.wait().expect("a child can be waited for");
            // As above; and a server that came up has said so already.
            let _ = started.send(Err(seen));
        });
        match when_started.recv() {
            Ok(Ok(pid)) => Ok(Server { pid, watcher }),
            Ok(Err(log)) => Err(log),
            Err(_) => Err("its watcher ended".to_owned()),
        }
    }
}

impl Drop for TestPostgres {
    fn drop(&mut self) {
        // Not KILL: that would leave the server's small piece of shared memory to the machine.
        self.stop("QUIT");
    }
}

/// The folder with `postgres` and `initdb`: on the path, or the newest of Debian's.
fn find_programs() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let has_both = |folder: &PathBuf| folder.join("postgres").is_file() && folder.join("initdb").is_file();
    if let Some(folder) = std::env::split_paths(&path).find(has_both) {
        return folder;
    }
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            Some((
                entry.file_name().to_str()?.parse().ok()?,
                entry.path().join("bin"),
            ))
        })
        .filter(|(_, folder)| has_both(folder))
        .collect();
    versions.sort();
    versions.pop().map(|(_, folder)| folder).expect(
        "this test needs PostgreSQL 14 or newer: install it (Debian: `apt-get install postgresql`), or put the folder \
         with `postgres` and `initdb` on PATH",
    )
}

/// An initialised data folder, made once for each user, PostgreSQL and layout, and shared by all test processes.
fn template(programs: &Path) -> PathBuf {
    let version = Command::new(programs.join("postgres")).arg("--version").output();
    let version = version.expect("a program that was found can be started").stdout;
    let version: String = String::from_utf8_lossy(&version)
        .chars()
        .filter(|one| one.is_ascii_digit() || *one == '.')
        .collect();
    let own = own_uid();
    let folder = std::env::temp_dir().join(format!("tagpipe-test-postgres-{own}-{version}"));
    fs::create_dir_all(&folder).expect("the temporary folder can be written");
    // Not this user's: somebody has put it there. Initialising under a stranger's eyes is not worth it.
    let owner = fs::metadata(&folder)
        .expect("a folder just made can be looked at")
        .uid();
    assert_eq!(
        owner,
        own,
        "`{}` belongs to another user; remove it",
        folder.display()
    );
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).expect("own folders can be changed");

    let ready = folder.join("data");
    let lock = File::create(folder.join("lock")).expect("own folders can be written");
    lock.lock().expect("a file of our own can be locked");
    if ready.is_dir() {
        return ready;
    }
    let password = folder.join("password");
    fs::write(&password, PASSWORD).expect("own folders can be written");
    fs::set_permissions(&password, fs::Permissions::from_mode(0o644)).expect("own files can be changed");
    let making = tempfile::tempdir_in(&folder).expect("own folders can be written");
    give_to_server_user(making.path());
    let made = as_server_user(&programs.join("initdb"))
        .args([
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
            "--wal-segsize=1",
        ])
        .arg(format!("--username={SUPERUSER}"))
        .arg("--pwfile")
        .arg(&password)
        .arg("-D")
        .arg(making.path().join("data"))
        .output()
        .expect("a program that was found can be started");
    assert!(
        made.status.success(),
        "initdb failed: {}",
        String::from_utf8_lossy(&made.stderr)
    );
    fs::rename(making.path().join("data"), &ready).expect("a folder moves within its file system");
    ready
}

fn own_uid() -> u32 {
    fs::metadata("/proc/self")
        .expect("these tests need /proc, as Linux has it")
        .uid()
}

/// `program` as it may be run: by [`SERVER_USER`] if we are root, and killed by the kernel if we die.
fn as_server_user(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.arg("--pdeathsig=KILL");
    if own_uid() == 0 {
        let (user, group) = server_user();
        command
            .arg(format!("--reuid={user}"))
            .arg(format!("--regid={group}"))
            .arg("--clear-groups");
    }
    command.arg("--").arg(program).env("LC_ALL", "C").current_dir("/");
    command
}

/// User and group of [`SERVER_USER`].
fn server_user() -> (u32, u32) {
    let users = fs::read_to_string("/etc/passwd").expect("/etc/passwd can be read");
    users
        .lines()
        .find_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            (fields[0] == SERVER_USER)
                .then(|| Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?)))?
        })
        .expect("PostgreSQL does not run as root, and /etc/passwd has no user `nobody` to run it as")
}

fn give_to_server_user(folder: &Path) {
    if own_uid() == 0 {
        let (user, group) = server_user();
        chown(folder, Some(user), Some(group)).expect("root may change owners");
    }
}

/// Gives the server a copy of certificate and key, which it takes only as its own and hidden from others.
fn encryption_settings(folder: &Path, certificate: &Path, key: &Path) -> Vec<String> {
    let mut settings = vec!["ssl=on".to_owned()];
    for (name, from) in [("ssl_cert_file", certificate), ("ssl_key_file", key)] {
        let to = folder.join(name);
        fs::copy(from, &to).expect("certificate and key can be copied");
        fs::set_permissions(&to, fs::Permissions::from_mode(0o600)).expect("own files can be changed");
        give_to_server_user(&to);
        settings.push(format!("{name}={}", to.display()));
    }
    settings
}

/// Copies with owners and rights; shares the blocks where the file system can.
fn copy_folder(from: &Path, to: &Path) {
    let copied = Command::new("cp")
        .args(["-a", "--reflink=auto"])
        .arg(from)
        .arg(to)
        .status();
    assert!(
        copied.is_ok_and(|status| status.success()),
        "cannot copy `{}`",
        from.display()
    );
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port is free");
    listener
        .local_addr()
        .expect("a bound socket has an address")
        .port()
}

fn signal(name: &str, processes: &[u32]) {
    // A process that has just ended cannot get it, and need not.
    let _ = Command::new("kill")
        .arg(format!("-{name}"))
        .args(processes.iter().map(u32::to_string))
        .stderr(Stdio::null())
        .status();
}

fn children_of(parent: u32) -> Vec<u32> {
    let parent_line = format!("PPid:\t{parent}");
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid: &u32| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            status.lines().any(|line| line == parent_line)
        })
        .collect()
}
