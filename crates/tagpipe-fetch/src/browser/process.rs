//! One Chromium process with its profile folder, from its start to the moment when both are gone.
//!
//! Chromium's pipes are its file descriptors 3 and 4. A small shell opens them there, waits for Chromium and
//! then removes the profile folder. Chromium ends when its pipe closes, and the pipe closes with this process,
//! however that ends: even after `kill -9` neither a process nor a folder remains. All of them are a process group of
//! their own, so that an interrupt from the terminal ends no page that is in hand.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::timeout;

use super::connection::Connection;
use super::{BrowserSettings, executable, memory};
use crate::FetchError;
use crate::shown::shown;

/// Until a healthy Chromium answers its first command, also on a machine under load.
const START_LIMIT: Duration = Duration::from_secs(30);

/// Until a healthy Chromium has ended after it was told to.
const END_LIMIT: Duration = Duration::from_secs(10);

const FOLDER_PREFIX: &str = "tagpipe-chromium-";

/// Held by the process that uses a profile folder.
const LOCK_FILE: &str = "tagpipe.lock";

/// `$1` is the profile folder, the rest the command. Descriptors 3 and 4 must be open in Chromium only, or the
/// pipe would not close with it.
const REAPER: &str = r#"
profile=$1
shift
exec 3<&0 4>&1 </dev/null >/dev/null
"$@" &
exec 3<&- 4>&-
wait
trap '' TERM
kill -TERM 0
for attempt in 1 2 3 4 5 6 7 8 9 10; do
    rm -rf -- "$profile" 2>/dev/null && break
    sleep 0.1
done
"#;

/// A running Chromium. Dropping it closes the pipe; the process and its folder are gone soon after.
pub(super) struct Process {
    pub(super) connection: Arc<Connection>,
    group: u32,
    profile: PathBuf,
    /// Turns true when the reaper has ended.
    gone: watch::Receiver<bool>,
    /// Tells others' sweeps that the folder is in use; the lock goes with this process, however it ends.
    _lock: File,
}

impl Process {
    /// Starts Chromium and waits for its first answer.
    ///
    /// # Errors
    /// [`FetchError::Unavailable`] when there is no Chromium or it does not come up.
    pub(super) async fn start(settings: &BrowserSettings) -> Result<Process, FetchError> {
        let executable = executable::find_chromium(settings.executable.as_deref())?;
        let temp = std::env::temp_dir();
        sweep(&temp);
        let (profile, lock) = make_profile(&temp)
            .map_err(|error| unavailable(format!("no profile folder in `{}`: {error}", temp.display())))?;
        let mut child = spawn(&executable, profile.path(), settings)
            .map_err(|error| unavailable(format!("`/bin/sh` cannot be run: {error}")))?;
        // From here on the reaper removes it.
        let profile = profile.keep();
        let complaints = Complaints::collect(child.stderr.take());
        let (Some(to), Some(from), Some(group)) = (child.stdin.take(), child.stdout.take(), child.id())
        else {
            return Err(unavailable("it has no pipes"));
        };
        let connection = Connection::start(to, from);
        let process = Process {
            connection,
            group,
            profile,
            gone: await_end(child),
            _lock: lock,
        };
        let what = match timeout(START_LIMIT, process.greet()).await {
            Ok(Ok(())) => return Ok(process),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer in {} s", START_LIMIT.as_secs()),
        };
        process.close().await;
        Err(unavailable(format!("{what}{}", complaints.last())))
    }

    async fn greet(&self) -> Result<(), super::connection::CommandError> {
        let version = self
            .connection
            .call(None, "Browser.getVersion", json!({}))
            .await?;
        tracing::debug!(
            product = version["product"].as_str(),
            pid = self.group,
            "Chromium started"
        );
        self.connection
            .call(None, "Browser.setDownloadBehavior", json!({ "behavior": "deny" }))
            .await?;
        Ok(())
    }

    pub(super) fn has_ended(&self) -> bool {
        self.connection.has_ended()
    }

    /// Turns true when neither the process nor its folder exists any longer.
    pub(super) fn gone(&self) -> watch::Receiver<bool> {
        self.gone.clone()
    }

    /// Memory of all of Chromium's processes, in bytes; see [`memory::of_group`].
    pub(super) fn memory(&self) -> u64 {
        memory::of_group(self.group)
    }

    /// Ends Chromium, by force if it must be, and waits until the process and its folder are gone.
    pub(super) async fn close(&self) {
        self.connection.post(None, "Browser.close", &json!({}));
        let mut gone = self.gone.clone();
        if timeout(END_LIMIT, gone.wait_for(|gone| *gone)).await.is_ok() {
            return;
        }
        tracing::warn!(pid = self.group, "Chromium does not end, it is killed");
        kill_group(self.group).await;
        // The reaper was killed too; the next start would sweep the folder as well.
        if let Err(error) = fs::remove_dir_all(&self.profile)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, folder = %self.profile.display(), "Chromium's profile folder remains");
        }
    }
}

fn unavailable(what: impl std::fmt::Display) -> FetchError {
    FetchError::Unavailable(format!("Chromium did not start: {what}"))
}

fn spawn(executable: &Path, profile: &Path, settings: &BrowserSettings) -> io::Result<Child> {
    Command::new("/bin/sh")
        .args(["-c", REAPER, "tagpipe-chromium"])
        .arg(profile)
        .arg(executable)
        .args(flags(profile, settings))
        // Caches of its libraries, such as the list of fonts, go with the profile and not into the user's home.
        .env("XDG_CACHE_HOME", profile)
        .env("XDG_CONFIG_HOME", profile)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
}

/// Reasons, where the names do not tell them: pages must run at full speed though nobody looks at them (throttling,
/// backgrounding, occlusion); a low window means little to paint, a wide one keeps the site from its layout for
/// telephones; nothing may be asked of the network that the page did not ask for; a page that was left
/// must not be kept (back-forward cache); and an `http` address must not become an `https` one (upgrades).
fn flags(profile: &Path, settings: &BrowserSettings) -> Vec<String> {
    let mut flags: Vec<String> = [
        "--headless=new",
        "--remote-debugging-pipe",
        "--no-startup-window",
        "--no-first-run",
        "--no-default-browser-check",
        "--no-pings",
        "--disable-gpu",
        "--disable-quic",
        "--disable-background-networking",
        "--disable-background-timer-throttling",
        "--disable-backgrounding-occluded-windows",
        "--disable-renderer-backgrounding",
        "--disable-breakpad",
        "--disable-component-update",
        "--disable-default-apps",
        "--disable-dev-shm-usage",
        "--disable-domain-reliability",
        "--disable-extensions",
        "--disable-remote-fonts",
        "--disable-sync",
        "--blink-settings=imagesEnabled=false",
        "--window-size=1280,300",
        "--hide-scrollbars",
        "--mute-audio",
        "--password-store=basic",
        "--disable-features=BackForwardCache,HttpsUpgrades,MediaRouter,OptimizationHints,Translate",
    ]
    .map(str::to_owned)
    .to_vec();
    flags.push(format!("--user-agent={}", settings.user_agent));
    flags.push(format!("--user-data-dir={}", profile.display()));
    if is_root() {
        // Chromium's sandbox refuses to work for root, which is what a container usually runs as.
        flags.push("--no-sandbox".to_owned());
    }
    flags
}

fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ids = status
        .lines()
        .find_map(|line| line.strip_prefix("Uid:"))
        .unwrap_or_default();
    ids.split_ascii_whitespace().nth(1) == Some("0")
}

/// Waits for the reaper in the background, which also keeps it from staying behind as a zombie.
fn await_end(mut child: Child) -> watch::Receiver<bool> {
    let (ended, gone) = watch::channel(false);
    tokio::spawn(async move {
        if let Err(error) = child.wait().await {
            tracing::warn!(%error, "Chromium's end cannot be awaited");
        }
        ended.send_replace(true);
    });
    gone
}

async fn kill_group(group: u32) {
    let killed = Command::new("/bin/sh")
        .args(["-c", &format!("kill -KILL -- -{group}")])
        .status()
        .await;
    if let Err(error) = killed {
        tracing::warn!(%error, pid = group, "Chromium cannot be killed");
    }
}

/// The end of what Chromium writes to its standard error: why it did not start.
struct Complaints(Arc<Mutex<Vec<u8>>>);

impl Complaints {
    const KEPT: usize = 2048;

    fn collect(from: Option<impl AsyncRead + Send + Unpin + 'static>) -> Complaints {
        let kept = Arc::default();
        if let Some(from) = from {
            tokio::spawn(Complaints::keep(from, Arc::clone(&kept)));
        }
        Complaints(kept)
    }

    async fn keep(mut from: impl AsyncRead + Unpin, kept: Arc<Mutex<Vec<u8>>>) {
        let mut buffer = [0; 1024];
        while let Ok(read @ 1..) = from.read(&mut buffer).await {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.extend_from_slice(&buffer[..read]);
            let surplus = kept.len().saturating_sub(Complaints::KEPT);
            kept.drain(..surplus);
        }
    }

    /// The last line, to be put behind an error's text.
    fn last(&self) -> String {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&kept);
        text.lines()
            .rfind(|line| !line.trim().is_empty())
            .map_or_else(String::new, |line| format!(" (it says: {})", shown(line)))
    }
}

fn make_profile(temp: &Path) -> io::Result<(TempDir, File)> {
    let prefix = format!("{FOLDER_PREFIX}{}-", std::process::id());
    let folder = tempfile::Builder::new().prefix(&prefix).tempdir_in(temp)?;
    let lock = File::create(folder.path().join(LOCK_FILE))?;
    lock.lock()?;
    Ok((folder, lock))
}

/// Removes the profile folders whose owner is gone, in case the reaper was killed as well.
fn sweep(temp: &Path) {
    let Ok(entries) = fs::read_dir(temp) else { return };
    for folder in entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| is_abandoned(path))
    {
        match fs::remove_dir_all(&folder) {
            Ok(()) => tracing::info!(folder = %folder.display(), "removed an abandoned profile folder"),
            Err(error) => {
                tracing::debug!(%error, folder = %folder.display(), "an abandoned profile folder remains")
            }
        }
    }
}

/// The process number in the name may belong to another machine's or container's process, therefore the lock as well.
fn is_abandoned(folder: &Path) -> bool {
    let name = folder
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let Some(owner) = name
        .strip_prefix(FOLDER_PREFIX)
        .and_then(|rest| rest.split('-').next())
    else {
        return false;
    };
    let is_number = owner.parse::<u32>().is_ok();
    is_number && !Path::new("/proc").join(owner).exists() && is_unlocked(&folder.join(LOCK_FILE))
}

fn is_unlocked(lock: &Path) -> bool {
    File::open(lock).map_or_else(
        |error| error.kind() == io::ErrorKind::NotFound,
        |file| file.try_lock().is_ok(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_abandoned_folders_are_swept() {
        let temp = tempfile::tempdir().expect("a folder");
        let make = |name: &str| {
            let folder = temp.path().join(name);
            fs::create_dir(&folder).expect("a folder");
            fs::write(folder.join(LOCK_FILE), "").expect("a file");
            folder
        };
        let ours = make(&format!("{FOLDER_PREFIX}{}-a", std::process::id()));
        // Process numbers end at 2^22 on Linux.
        let gone = make(&format!("{FOLDER_PREFIX}4194999-b"));
        let elsewhere = make(&format!("{FOLDER_PREFIX}4194999-c"));
        let other = make("another-4194999-d");
        let odd = make(&format!("{FOLDER_PREFIX}x-e"));
        let lock = File::open(elsewhere.join(LOCK_FILE)).expect("a file");
        lock.lock().expect("locked");

        sweep(temp.path());

        assert!(!gone.exists());
        for kept in [ours, elsewhere, other, odd] {
            assert!(kept.exists(), "{}", kept.display());
        }
    }
}
