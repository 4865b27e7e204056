//! `tagpipe doctor`: is everything there that a run needs? Each finding comes with its remedy.
//!
//! It changes nothing: no database is made or brought up to date, and what it writes to see whether it may is taken
//! back. The site gets one request, for `robots.txt`, at the pace of all runners.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde_json::json;
use tagpipe_core::model::PageKind;
use tagpipe_core::profile::WaitRules;
use tagpipe_engine::{Config, USER_AGENT, is_stand_in};
use tagpipe_fetch::{BrowserFetcher, BrowserSettings, Fetcher, Robots, find_chromium};
use tagpipe_sinks::notify::notifier;
use tagpipe_store::contract::SlotRequest;
use tagpipe_store::{DatabaseUrl, Store, StoreError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use url::Url;

use crate::cli::{DoctorArguments, GlobalArguments};
use crate::exit::{Exit, Failure};
use crate::notifying::Receivers;
use crate::output::{duration, harmless, print, print_json};
use crate::settings::{Merged, database_url, run_config, runners_settings, time_zone};

/// Difference of two clocks, in seconds, that is worth a word.
const CLOCK_TOLERANCE_S: f64 = 5.0;
/// Free disk space that the service wants, in MiB.
const FREE_WANTED: u64 = 1024;
/// A clock that shows an earlier time is wrong: tagpipe was written after it. 2025-01-01, seconds since 1970.
const CLOCK_EARLIEST_S: u64 = 1_735_689_600;
/// Longest wait for a slot of the site's pace before the question to the site is left out.
const SLOT_PATIENCE: Duration = Duration::from_secs(60);

/// What came out of one check.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Finding {
    pub(super) check: &'static str,
    pub(super) result: Severity,
    /// What was found.
    pub(super) found: String,
    /// What to do about it; empty when nothing needs doing.
    pub(super) remedy: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Severity {
    Ok,
    /// A run will work, but not as one would like.
    Warning,
    /// A run will not work.
    Failed,
    /// It could not be looked at, for a reason that another finding names.
    Skipped,
}

impl Severity {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Severity::Ok => "ok",
            Severity::Warning => "warning",
            Severity::Failed => "failed",
            Severity::Skipped => "skipped",
        }
    }
}

impl Finding {
    fn new(check: &'static str, result: Severity, found: impl Into<String>, remedy: &str) -> Finding {
        Finding {
            check,
            result,
            found: found.into(),
            remedy: remedy.to_owned(),
        }
    }

    fn ok(check: &'static str, found: impl Into<String>) -> Finding {
        Finding::new(check, Severity::Ok, found, "")
    }
}

/// Checks everything and shows what was found.
pub(crate) async fn doctor(global: &GlobalArguments, arguments: &DoctorArguments) -> Result<Exit, Failure> {
    let mut given = global.given();
    given.extend(arguments.site.given());
    let merged = Merged::load(global.config.as_deref(), &given)?;
    let (is_usable, findings) = examine(&merged, arguments.offline, arguments.want_free).await?;
    show(&findings, global)?;
    if !is_usable {
        return Ok(Exit::Usage);
    }
    let failed = findings.iter().any(|finding| finding.result == Severity::Failed);
    Ok(if failed { Exit::CouldNotRun } else { Exit::Done })
}

/// The same for the service's system page: without a request to the site.
pub(super) async fn examine_offline(merged: &Merged) -> Vec<Finding> {
    match examine(merged, true, FREE_WANTED).await {
        Ok((_, findings)) => findings,
        Err(failure) => vec![Finding::new("settings", Severity::Failed, failure.message, "")],
    }
}

/// Whether the settings can be used, and what was found.
async fn examine(merged: &Merged, offline: bool, want_free: u64) -> Result<(bool, Vec<Finding>), Failure> {
    let mut findings = Vec::new();
    let checked = run_config(merged).and_then(|config| runners_settings(merged).map(|_| config));
    let config = match checked {
        Ok(config) => config,
        Err(failure) => {
            findings.push(Finding::new(
                "settings",
                Severity::Failed,
                failure.message,
                "correct it there; `tagpipe config show` lists every setting",
            ));
            return Ok((false, findings));
        }
    };
    findings.push(settings_finding(merged));
    let url = database_url(merged)?;
    let store = check_database(&url, &mut findings).await;
    findings.push(check_disk(&url, want_free));
    findings.push(check_browser(&config).await);
    findings.push(if offline {
        Finding::new("site", Severity::Skipped, "not asked (--offline)", "")
    } else {
        check_site(&config, store.as_ref()).await
    });
    findings.push(check_pace(&config, store.as_ref()).await);
    findings.push(check_clock(store.as_ref()).await);
    findings.push(check_time_zone(merged));
    findings.extend(check_channels(merged));
    if let Some(store) = store {
        store.close().await;
    }
    Ok((true, findings))
}

fn show(findings: &[Finding], global: &GlobalArguments) -> Result<(), Failure> {
    if global.json {
        return print_json(&json!({ "findings": findings }));
    }
    let mut text = String::new();
    for finding in findings {
        let mark = match finding.result {
            Severity::Ok => "\u{1b}[32mok     \u{1b}[0m",
            Severity::Warning => "\u{1b}[33mwarning\u{1b}[0m",
            Severity::Failed => "\u{1b}[31mFAILED \u{1b}[0m",
            Severity::Skipped => "skipped",
        };
        text.push_str(&format!(
            "{mark}  {:<11} {}\n",
            finding.check,
            harmless(&finding.found)
        ));
        if !finding.remedy.is_empty() {
            text.push_str(&format!("{:22}→ {}\n", "", harmless(&finding.remedy)));
        }
    }
    print(&text)
}

fn settings_finding(merged: &Merged) -> Finding {
    match merged.notes() {
        [] => Finding::ok("settings", "all settings are valid"),
        notes => Finding::new(
            "settings",
            Severity::Warning,
            notes.join("; "),
            "correct or remove them; `tagpipe config show` lists every setting",
        ),
    }
}

/// Reachable, of this build's schema, and writable. Returns the store if it is all that.
async fn check_database(url: &DatabaseUrl, findings: &mut Vec<Finding>) -> Option<Store> {
    let check = "database";
    if let DatabaseUrl::Sqlite(path) = url
        && !path.exists()
    {
        findings.push(check_folder(path));
        return None;
    }
    let (applied, pending) = match Store::migrations(url).await {
        Ok(migrations) => migrations,
        Err(error) => {
            let remedy = match url {
                DatabaseUrl::Postgres(_) => {
                    "is the server running, and are host, port, user, password and database right? \
                     (`tagpipe config show` tells where they are set)"
                }
                _ => "name another file with --database-url, or correct its rights",
            };
            findings.push(Finding::new(check, Severity::Failed, error.to_string(), remedy));
            return None;
        }
    };
    if applied.is_empty() {
        findings.push(match Store::open(url, false).await {
            Err(StoreError::Schema(what)) if what.contains("another program") => Finding::new(
                check,
                Severity::Failed,
                format!("{url}: {what}"),
                "name another database with --database-url or POSTGRES_DB",
            ),
            _ => Finding::ok(
                check,
                format!("{url}: reachable, without tables yet; the first run makes them"),
            ),
        });
        return None;
    }
    match Store::open(url, false).await {
        Ok(store) => {
            findings.push(check_rights(&store, url, applied.len()).await);
            Some(store)
        }
        Err(error) if !pending.is_empty() => {
            findings.push(Finding::new(
                check,
                Severity::Warning,
                format!("{url}: {error}"),
                "the next run does it, or `tagpipe db migrate`; make a copy of the database first",
            ));
            None
        }
        Err(error) => {
            findings.push(Finding::new(
                check,
                Severity::Failed,
                format!("{url}: {error}"),
                "use the tagpipe that wrote it, or another database",
            ));
            None
        }
    }
}

async fn check_rights(store: &Store, url: &DatabaseUrl, migrations: usize) -> Finding {
    let version = store.engine_version().await.unwrap_or_default();
    match store.check_writable().await {
        Ok(()) => Finding::ok(
            "database",
            format!(
                "{url}: {version}{}, {migrations} migrations, may be written",
                encryption(store, url).await
            ),
        ),
        Err(error) => Finding::new(
            "database",
            Severity::Failed,
            format!("{url}: cannot be written: {error}"),
            "grant the user the rights to the tables, or make the file and its folder writable",
        ),
    }
}

/// Whether others could listen, in words.
async fn encryption(store: &Store, url: &DatabaseUrl) -> String {
    match (url, store.encryption().await) {
        (DatabaseUrl::Postgres(_), Ok(Some(version))) => format!(", encrypted ({version})"),
        (DatabaseUrl::Postgres(_), Ok(None)) => ", not encrypted".to_owned(),
        // A server that does not tell, or a file.
        _ => String::new(),
    }
}

/// Whether the file could be made where it is to be.
fn check_folder(path: &Path) -> Finding {
    let folder = folder_of(path);
    match tempfile_in(&folder) {
        Ok(()) => Finding::ok(
            "database",
            format!("{} is not there yet; the first run makes it", path.display()),
        ),
        Err(error) => Finding::new(
            "database",
            Severity::Failed,
            format!("{} cannot be made: {error}", path.display()),
            "make the folder, correct its rights, or name another file with --database-url",
        ),
    }
}

/// Makes a file in `folder` and takes it away again.
fn tempfile_in(folder: &Path) -> std::io::Result<()> {
    let file = folder.join(format!(".tagpipe-doctor-{}", std::process::id()));
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&file)?;
    std::fs::remove_file(file)
}

fn folder_of(path: &Path) -> PathBuf {
    let parent = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    parent.unwrap_or_else(|| Path::new(".")).to_owned()
}

fn check_disk(url: &DatabaseUrl, want_mib: u64) -> Finding {
    let folder = match url {
        DatabaseUrl::Sqlite(path) => folder_of(path),
        // Chromium's profile folders are made here.
        _ => std::env::temp_dir(),
    };
    let space = match rustix::fs::statvfs(&folder) {
        Ok(space) => space,
        Err(error) => {
            return Finding::new(
                "disk",
                Severity::Failed,
                format!("{}: {error}", folder.display()),
                "make the folder, or name another file with --database-url",
            );
        }
    };
    let free_mib = (space.f_bavail.saturating_mul(space.f_frsize)) >> 20;
    let found = format!("{free_mib} MiB free in {}", folder.display());
    if free_mib < want_mib {
        return Finding::new(
            "disk",
            Severity::Failed,
            format!("{found}, {want_mib} MiB are wanted"),
            "make room; a full disk ends a run, though nothing that was read is lost",
        );
    }
    Finding::ok("disk", found)
}

/// Found, starts, and shows a page that a script paints.
async fn check_browser(config: &Config) -> Finding {
    let check = "browser";
    let needed = config.needs_browser();
    let lacking = if needed { Severity::Failed } else { Severity::Ok };
    let executable = match find_chromium(config.browser.as_deref()) {
        Ok(executable) => executable,
        Err(error) if needed => {
            return Finding::new(
                check,
                lacking,
                error.to_string(),
                "install it; the site's pages are painted by a script",
            );
        }
        Err(_) => return Finding::ok(check, "none, and none is needed with `--fetch http`"),
    };
    let name = executable.display().to_string();
    match render(executable).await {
        Ok(took) => Finding::ok(
            check,
            format!("{name}: showed a page after {} ms", took.as_millis()),
        ),
        Err(error) => Finding::new(
            check,
            lacking,
            format!("{name}: {error}"),
            "try another Chromium with the variable CHROMIUM, and see docs/operations.md on containers",
        ),
    }
}

/// Lets the browser show a page of our own whose one row is painted by a script.
async fn render(executable: PathBuf) -> Result<Duration, String> {
    let failed = |error: std::io::Error| error.to_string();
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let serving = tokio::spawn(serve(listener));
    let url = Url::parse(&format!("http://{address}/")).map_err(|error| error.to_string())?;
    let kind = PageKind::Categories;
    let rules = WaitRules {
        row: "#painted".to_owned(),
        cell: None,
        totals: None,
        empty: Vec::new(),
        not_found: Vec::new(),
        blocked: Vec::new(),
        pager: None,
    };
    let fetcher = BrowserFetcher::new(BrowserSettings {
        executable: Some(executable),
        tabs: 1,
        user_agent: USER_AGENT.to_owned(),
        timeout: Duration::from_secs(20),
        settle: Duration::from_millis(50),
        max_bytes: 1 << 20,
        block: Vec::new(),
        rules: HashMap::from([(kind, rules)]),
        recycle_after_pages: 1,
        recycle_after_age: Duration::from_secs(60),
        recycle_above_bytes: u64::MAX,
    });
    let opened = fetcher.open(kind, &url).await;
    let took = opened
        .map(|page| page.document.elapsed)
        .map_err(|error| error.to_string());
    fetcher.close().await;
    serving.abort();
    took
}

async fn serve(listener: TcpListener) {
    const PAGE: &str = "<!doctype html><body><script>setTimeout(() => { \
        document.body.innerHTML = '<p id=painted>painted</p>'; }, 0)</script></body>";
    while let Ok((mut stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let mut request = [0; 4096];
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{PAGE}",
                PAGE.len()
            );
            // A browser that hangs up is found out by what it shows.
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        });
    }
}

/// Reachable, and it allows the report to be read.
async fn check_site(config: &Config, store: Option<&Store>) -> Finding {
    let check = "site";
    let origin = config.profile.origin.origin().ascii_serialization();
    if let Some(store) = store
        && let Some(wait) = take_slot(config, store, &origin).await
    {
        if wait > SLOT_PATIENCE {
            return Finding::new(
                check,
                Severity::Skipped,
                format!(
                    "{origin}: not asked, the next request may be made in {} only",
                    duration(wait.as_secs_f64())
                ),
                "`tagpipe status` shows why",
            );
        }
        tokio::time::sleep(wait).await;
    }
    let robots = match Robots::read(&config.http_settings(), &config.profile.origin).await {
        Ok(robots) => robots,
        Err(error) => {
            return Finding::new(
                check,
                Severity::Failed,
                format!("{origin} does not answer: {error}"),
                "check the network, HTTP_PROXY and HTTPS_PROXY, and the address (--base-url)",
            );
        }
    };
    let first = config.profile.page_url(PageKind::Categories, &Default::default());
    let path = first.unwrap_or_else(|_| "/".to_owned());
    if !robots.allows(&path) {
        return Finding::new(
            check,
            Severity::Failed,
            format!("{origin}: robots.txt does not allow {path}"),
            "tagpipe obeys it; ask the site",
        );
    }
    match robots.crawl_delay() {
        Some(delay) => Finding::ok(
            check,
            format!(
                "{origin} answers, robots.txt allows {path} with {} s between requests, which is kept",
                delay.as_secs_f64()
            ),
        ),
        None => Finding::ok(check, format!("{origin} answers, robots.txt allows {path}")),
    }
}

/// The time to wait for a slot of the site's shared pace; `None` when there is none to be had.
async fn take_slot(config: &Config, store: &Store, origin: &str) -> Option<Duration> {
    let last_us = store.open_pace(origin).await.ok()?;
    // A slot that is not waited for would be missing to others.
    let outlook = store.pace_outlook(origin).await.ok()?;
    if outlook.next_slot_in > SLOT_PATIENCE {
        return Some(outlook.next_slot_in);
    }
    let request = SlotRequest {
        interval: config.run.interval,
        delay: config.run.delay,
        last_us,
    };
    let slot = store.take_slot(origin, request).await.ok()?;
    if slot.wait > SLOT_PATIENCE {
        store.give_back_slot(origin, request, &slot).await.ok()?;
    }
    Some(slot.wait)
}

/// The pace asked for against the profile's advice, and who else is at work.
async fn check_pace(config: &Config, store: Option<&Store>) -> Finding {
    let check = "pace";
    let advice = &config.profile.pace;
    let asked = config.run.interval;
    let mut found = format!("one request in {:.1} s over all runners", asked.as_secs_f64());
    let mut at_work = 0;
    if let Some(store) = store {
        let site = config.profile.origin.origin().ascii_serialization();
        for run in store.runs_under_way().await.unwrap_or_default() {
            if run.site() == site {
                let runners = store.runners(run.id).await.unwrap_or_default();
                at_work += runners.iter().filter(|runner| runner.state == "running").count();
            }
        }
        found.push_str(&format!(", {at_work} runners at work now"));
        let outlook = store.pace_outlook(&site).await.unwrap_or_default();
        if outlook.is_far_ahead(asked) {
            let ahead = duration(outlook.next_slot_in.as_secs_f64());
            return Finding::new(
                check,
                Severity::Warning,
                format!(
                    "{found}; the next request may be made in {ahead} only, further away than the pace explains"
                ),
                match at_work {
                    0 => "the next run begins the pace anew",
                    _ => "stop the runners; the next run begins the pace anew when nobody is at work",
                },
            );
        }
    }
    if asked < advice.interval && !is_stand_in(&config.profile) {
        return Finding::new(
            check,
            Severity::Warning,
            format!("{found}; the site tolerates {}", advice.advice),
            "leave --max-rate out, or lower it: the site may block you",
        );
    }
    if at_work > 1 && config.run.delay < asked {
        found.push_str(": more runners do not make it faster, they share it");
    }
    Finding::ok(check, found)
}

async fn check_clock(store: Option<&Store>) -> Finding {
    let here = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let there = match store {
        Some(store) => store.now_us().await.ok(),
        None => None,
    };
    clock_finding(here, there)
}

/// Judges this machine's clock, in time since 1970, and the database's, in microseconds since 1970.
fn clock_finding(here: Duration, database_us: Option<i64>) -> Finding {
    let check = "clock";
    let remedy = "set the clock, e.g. with `timedatectl set-ntp true`";
    if here.as_secs() < CLOCK_EARLIEST_S {
        return Finding::new(
            check,
            Severity::Failed,
            "this machine's clock is years behind: certificates of the site would not be believed",
            remedy,
        );
    }
    let Some(database_us) = database_us else {
        return Finding::ok(check, "this machine's clock is plausible");
    };
    let apart = (here.as_secs_f64() - database_us as f64 / 1e6).abs();
    if apart > CLOCK_TOLERANCE_S {
        return Finding::new(
            check,
            Severity::Warning,
            format!(
                "this machine and the database are {apart:.0} s apart; leases and pace go by the database's"
            ),
            remedy,
        );
    }
    Finding::ok(check, "this machine and the database agree")
}

/// Whether each channel can be sent to by its settings; nothing is sent. `None` if there is none.
fn check_channels(merged: &Merged) -> Option<Finding> {
    const CHECK: &str = "notifications";
    let receivers = Receivers::of(merged)
        .ok()
        .filter(|receivers| !receivers.is_empty())?;
    let wrong: Vec<String> = receivers
        .channels()
        .iter()
        .filter_map(|channel| Some(format!("{}: {}", channel.name, notifier(&channel.way).err()?)))
        .collect();
    if !wrong.is_empty() {
        let remedy = "correct the channel's settings; `tagpipe notify test` sends it a message";
        return Some(Finding::new(CHECK, Severity::Warning, wrong.join("; "), remedy));
    }
    let names: Vec<String> = receivers
        .channels()
        .iter()
        .map(|channel| format!("{} ({})", channel.name, channel.way.kind()))
        .collect();
    let found = format!("{}; not asked, `tagpipe notify test` does", names.join(", "));
    Some(Finding::ok(CHECK, found))
}

fn check_time_zone(merged: &Merged) -> Finding {
    match time_zone(merged) {
        Ok(zone) => Finding::ok("time zone", format!("{zone} for schedules; data is in UTC")),
        Err(failure) => Finding::new(
            "time zone",
            Severity::Failed,
            failure.message,
            "name one as in /usr/share/zoneinfo, or UTC",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_judged() {
        let now = Duration::from_secs(1_800_000_000);
        let us = |seconds: i64| Some(seconds * 1_000_000);
        for (here, database, expected) in [
            (now, None, Severity::Ok),
            (now, us(1_800_000_004), Severity::Ok),
            (now, us(1_800_000_060), Severity::Warning),
            (now, us(1_799_999_000), Severity::Warning),
            (Duration::from_secs(3600), None, Severity::Failed),
        ] {
            assert_eq!(
                clock_finding(here, database).result,
                expected,
                "{here:?} {database:?}"
            );
        }
    }
}
