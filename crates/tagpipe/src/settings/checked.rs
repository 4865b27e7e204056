//! From texts to checked values. Every wrong value names itself, where it was set, and what would be right.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use tagpipe_core::filter::{Filters, InvalidFilter, NameFilter, YearFilter};
use tagpipe_core::model::PageKind;
use tagpipe_core::policy::RetryPolicy;
use tagpipe_core::profile::SiteProfile;
use tagpipe_engine::{
    Budget, Config, FetchMode, Freshness, NewsLimits, RunSettings, Timetable, Verification,
    generated_runner_id, is_stand_in, stand_in_pace,
};
use tagpipe_sinks::backup::{Identities, InvalidRetention, Recipients, Retention};
use tagpipe_sinks::destination::Destination;
use tagpipe_store::DatabaseUrl;
use tagpipe_store::audit::{AuditLevel, AuditRetention};
use tagpipe_store::contract::KeepDocuments;
use tagpipe_web::{TlsFiles, WebSettings};
use url::Url;

use super::channels::channels;
use super::sources::{Merged, Origin, Sourced};
use crate::exit::Failure;

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    Pretty,
    Json,
}

/// Pauses begin with the delay, but never with less than this.
const FIRST_PAUSE_MIN: Duration = Duration::from_millis(100);

/// The longest time that a setting may name: some centuries, which every clock can add.
const TIME_MAX: Duration = Duration::from_secs(10_000_000_000);

/// Checks everything that `run` needs.
pub(crate) fn run_config(merged: &Merged) -> Result<Config, Failure> {
    let profile = profile(merged)?;
    time_zone(merged)?;
    schedule(merged)?;
    channels(merged)?;
    seconds(merged, "health_check_interval", 1.0..=86_400.0)?;
    let delay = seconds(merged, "delay", 0.0..=3600.0)?;
    let retry = RetryPolicy {
        max_retries: number(merged, "max_retries", 0..=100)?,
        backoff: fraction(merged, "retry_backoff", 1.0..=10.0)?,
        first_pause: delay.max(FIRST_PAUSE_MIN),
        ..RetryPolicy::default()
    };
    let run = RunSettings {
        concurrency: number(merged, "concurrency", 1..=256)? as usize,
        delay,
        interval: interval(merged, &profile)?,
        retry,
        filters: filters(merged)?,
        start_from: parsed::<PageKind>(merged, "start_from")?.unwrap_or(PageKind::Categories),
        freshness: Freshness {
            full: parsed::<bool>(merged, "full")?.unwrap_or(false),
            max_age: merged
                .get("max_age")
                .map(|_| time(merged, "max_age"))
                .transpose()?,
            audit_share: fraction(merged, "audit_share", 0.0..=1.0)?,
        },
        verification: Verification {
            share: fraction(merged, "verify_share", 0.0..=1.0)?,
        },
        budget: Budget {
            max_pages: parsed::<u64>(merged, "max_pages")?
                .map(|most| at_least_one(merged, "max_pages", most))
                .transpose()?,
            max_duration: merged
                .get("max_duration")
                .map(|_| time(merged, "max_duration"))
                .transpose()?,
        },
        order: None,
        audit_level: log_level(merged)?,
        keep_documents: keep_documents(merged)?,
        audit_retention: retention(merged)?,
        lease_term: seconds(merged, "lease_term", 1.0..=3600.0)?,
        database_patience: database_patience(merged)?,
        runner_id: runner_id(merged)?,
        news: news_limits(merged)?,
    };
    Ok(Config {
        migrate: true,
        await_database: false,
        order: None,
        dry_run: false,
        database: database_url(merged)?,
        fetch: fetch(merged)?,
        browser: merged.get("browser").map(|browser| PathBuf::from(&browser.text)),
        profile,
        run,
    })
}

/// What of a run is news.
pub(super) fn news_limits(merged: &Merged) -> Result<NewsLimits, Failure> {
    Ok(NewsLimits {
        error_rate: fraction(merged, "notify_error_rate", 0.0..=1.0)?,
        brake_closed: time(merged, "notify_brake_after")?,
    })
}

/// How long a database that is away is waited for.
pub(crate) fn database_patience(merged: &Merged) -> Result<Duration, Failure> {
    seconds(merged, "database_patience", 1.0..=86_400.0)
}

/// What the orchestrator needs besides what `run` needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RunnersSettings {
    /// Runners that work at a time, 1 to 64.
    pub(crate) num_runners: usize,
    /// Time between two looks at the runners.
    pub(crate) check_interval: Duration,
    /// Where the runners work: a folder, absolute.
    pub(crate) working_directory: PathBuf,
    /// What is started as a runner: an absolute path or a name on the search path; `None` for this executable.
    pub(crate) runner_path: Option<PathBuf>,
    /// Bytes; a runner that uses more is replaced.
    pub(crate) runner_memory_max: u64,
}

/// Bytes of a MiB.
const MIB: u64 = 1024 * 1024;

/// Checks everything that `orchestrate` needs and `run` does not.
pub(crate) fn runners_settings(merged: &Merged) -> Result<RunnersSettings, Failure> {
    Ok(RunnersSettings {
        num_runners: number(merged, "num_runners", 1..=64)? as usize,
        check_interval: seconds(merged, "check_interval", 0.1..=3600.0)?,
        working_directory: merged
            .get("working_directory")
            .map(|folder| Path::new(&folder.text))
            .filter(|folder| folder.is_dir())
            .and_then(|folder| std::path::absolute(folder).ok())
            .ok_or_else(|| merged.wrong("working_directory"))?,
        runner_path: runner_path(merged)?,
        runner_memory_max: u64::from(number(merged, "runner_memory_max", 64..=1_048_576)?) * MIB,
    })
}

/// A path is made absolute, because runners may work in another folder; a name is left to the search path.
fn runner_path(merged: &Merged) -> Result<Option<PathBuf>, Failure> {
    let Some(Sourced { text, .. }) = merged.get("runner_path") else {
        return Ok(None);
    };
    if !text.is_empty() && !text.contains('/') {
        return Ok(Some(PathBuf::from(text)));
    }
    Some(Path::new(text))
        .filter(|file| is_executable(file))
        .and_then(|file| std::path::absolute(file).ok())
        .map(Some)
        .ok_or_else(|| merged.wrong("runner_path"))
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata()
        .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// Where the data is: `database_url`, else `POSTGRES_*`, else `tagpipe.db` in this folder.
pub(crate) fn database_url(merged: &Merged) -> Result<DatabaseUrl, Failure> {
    if let Some(Sourced { text, origin }) = merged.get("database_url") {
        return text
            .parse()
            .map_err(|error| Failure::usage(format!("{error} (set by {origin})")));
    }
    let Some(host) = merged.postgres("HOST") else {
        return Ok(DatabaseUrl::Sqlite(PathBuf::from("tagpipe.db")));
    };
    // The URL encodes what has a meaning of its own in it, but takes a `%` for the beginning of something encoded.
    let part = |name: &str| merged.postgres(name).map(|part| part.text.replace('%', "%25"));
    let mut url = Url::parse("postgres://localhost").map_err(|error| Failure::usage(error.to_string()))?;
    let wrong = |what: &str, given: &Sourced| {
        Failure::usage(format!(
            "`{}` is not a valid {what} (set by {})",
            given.text, given.origin
        ))
    };
    url.set_host(Some(&host.text)).map_err(|_| wrong("host", host))?;
    if let Some(port) = merged.postgres("PORT") {
        let number = port
            .text
            .parse()
            .map_err(|_| wrong("port; it takes a number up to 65535", port))?;
        url.set_port(Some(number)).map_err(|()| wrong("port", port))?;
    }
    let user = part("USER").unwrap_or_else(|| "postgres".to_owned());
    url.set_username(&user).map_err(|()| wrong("user", host))?;
    url.set_password(part("PASSWORD").as_deref())
        .map_err(|()| wrong("password", host))?;
    url.set_path(&part("DB").unwrap_or(user));
    for (name, parameter) in [
        ("SSLMODE", "sslmode"),
        ("SSLROOTCERT", "sslrootcert"),
        ("SSLCERT", "sslcert"),
        ("SSLKEY", "sslkey"),
    ] {
        if let Some(given) = merged.postgres(name) {
            url.query_pairs_mut().append_pair(parameter, given.text.trim());
        }
    }
    if let Some(mode) = merged.postgres("SSLMODE")
        && !SSL_MODES.contains(&mode.text.trim())
    {
        return Err(wrong(
            &format!("way to encrypt; it takes {}", SSL_MODES.join(", ")),
            mode,
        ));
    }
    Ok(DatabaseUrl::Postgres(url))
}

/// How a connection to PostgreSQL is encrypted, as libpq calls it.
const SSL_MODES: [&str; 6] = [
    "disable",
    "allow",
    "prefer",
    "require",
    "verify-ca",
    "verify-full",
];

/// Where backups go, which are kept, and what opens them.
#[derive(Debug)]
pub(crate) struct BackupSettings {
    /// Where; `None` if nobody has said.
    pub(crate) to: Option<Destination>,
    /// Which are kept; all if nobody has said.
    pub(crate) keep: Option<Retention>,
    /// What opens them.
    pub(crate) identities: Identities,
}

/// Checks everything that `backup` and `restore` need.
pub(crate) fn backup_settings(merged: &Merged) -> Result<BackupSettings, Failure> {
    let told = |key: &str, error: &dyn std::fmt::Display| told_with_origin(merged, key, error);
    let text = |key: &str| merged.get(key).map(|value| value.text.as_str());
    let mut identities = Identities::default();
    if let Some(file) = text("backup_identity") {
        identities
            .add_file(Path::new(file))
            .map_err(|error| told("backup_identity", &error))?;
    }
    if let Some(text) = text("backup_passphrase") {
        identities
            .add_passphrase(text)
            .map_err(|error| told("backup_passphrase", &error))?;
    }
    Ok(BackupSettings {
        to: text("backup_to")
            .map(|to| Destination::parse(to).map_err(|error| told("backup_to", &error)))
            .transpose()?,
        keep: text("backup_keep")
            .map(|keep| {
                keep.parse()
                    .map_err(|error: InvalidRetention| told("backup_keep", &error))
            })
            .transpose()?,
        identities,
    })
}

/// For whom backups are encrypted; `None` if they are not.
pub(crate) fn backup_recipients(merged: &Merged) -> Result<Option<Recipients>, Failure> {
    let given = |key: &str| merged.get(key).map(|value| value.text.as_str());
    match (given("backup_recipients"), given("backup_passphrase")) {
        (Some(_), Some(_)) => Err(Failure::usage(
            "backup_recipients and backup_passphrase are both set; a backup is encrypted for keys or with a passphrase, not \
             both",
        )),
        (Some(list), None) => Recipients::parse(list.split(','))
            .map(Some)
            .map_err(|error| told_with_origin(merged, "backup_recipients", &error)),
        (None, Some(text)) => Recipients::passphrase(text)
            .map(Some)
            .map_err(|error| told_with_origin(merged, "backup_passphrase", &error)),
        (None, None) => Ok(None),
    }
}

/// An error about a setting, with where that was set.
fn told_with_origin(merged: &Merged, key: &str, error: &dyn std::fmt::Display) -> Failure {
    let origin = merged.get(key).map_or(&Origin::Default, |value| &value.origin);
    Failure::usage(format!("{error} (set by {origin})"))
}

/// What is logged and audited.
pub(crate) fn log_level(merged: &Merged) -> Result<AuditLevel, Failure> {
    let text = merged
        .get("log_level")
        .map_or("INFO", |level| level.text.as_str());
    AuditLevel::from_name(text).ok_or_else(|| merged.wrong("log_level"))
}

/// How logs are written.
pub(crate) fn log_format(merged: &Merged) -> Result<LogFormat, Failure> {
    match merged.get("log_format").map(|format| format.text.as_str()) {
        None | Some("pretty") => Ok(LogFormat::Pretty),
        Some("json") => Ok(LogFormat::Json),
        Some(_) => Err(merged.wrong("log_format")),
    }
}

fn fetch(merged: &Merged) -> Result<FetchMode, Failure> {
    match merged.get("fetch").map(|fetch| fetch.text.as_str()) {
        None | Some("auto") => Ok(FetchMode::Auto),
        Some("http") => Ok(FetchMode::Http),
        Some("browser") => Ok(FetchMode::Browser),
        Some(_) => Err(merged.wrong("fetch")),
    }
}

fn profile(merged: &Merged) -> Result<SiteProfile, Failure> {
    let profile = match merged.get("profile") {
        None => SiteProfile::builtin(),
        Some(Sourced { text: path, origin }) => {
            let text = std::fs::read_to_string(path).map_err(|error| {
                Failure::usage(format!(
                    "cannot read the profile `{path}` (set by {origin}): {error}"
                ))
            })?;
            SiteProfile::parse(&text, path).map_err(|error| Failure::usage(error.to_string()))?
        }
    };
    let Some(Sourced { text, .. }) = merged.get("base_url") else {
        return Ok(profile);
    };
    let origin = Url::parse(text).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.path() == "/"
            && url.query().is_none()
            && url.host_str().is_some()
            && url.username().is_empty()
    });
    let mut profile = profile.with_origin(origin.ok_or_else(|| merged.wrong("base_url"))?);
    if merged.get("profile").is_none() && is_stand_in(&profile) {
        profile.pace = stand_in_pace(profile.pace);
    }
    Ok(profile)
}

/// The site's interval: what the user asked for, else the profile's advice.
fn interval(merged: &Merged, profile: &SiteProfile) -> Result<Duration, Failure> {
    if merged.get("max_rate").is_some() {
        let rate = fraction(merged, "max_rate", f64::MIN_POSITIVE..=1000.0)?;
        return Ok(Duration::try_from_secs_f64(1.0 / rate).unwrap_or(Duration::MAX));
    }
    Ok(if is_stand_in(profile) {
        Duration::ZERO
    } else {
        profile.pace.interval
    })
}

fn filters(merged: &Merged) -> Result<Filters, Failure> {
    let text = |key: &str| merged.get(key).map_or("", |value| value.text.as_str());
    let named = |key: &str, error: &InvalidFilter| {
        let origin = merged.get(key).map_or(&Origin::Default, |value| &value.origin);
        Failure::usage(format!("{error} (set by {origin})"))
    };
    let names = |key: &str| NameFilter::parse(text(key)).map_err(|error| named(key, &error));
    let categories = if text("categories").trim().eq_ignore_ascii_case("discover") {
        NameFilter::default()
    } else {
        names("categories")?
    };
    Ok(Filters {
        categories,
        years: YearFilter::parse(text("year_filter")).map_err(|error| named("year_filter", &error))?,
        sets: names("set_filter")?,
        cards: names("card_filter")?,
    })
}

fn retention(merged: &Merged) -> Result<AuditRetention, Failure> {
    let positive = |key: &str| -> Result<Option<u64>, Failure> {
        parsed::<u64>(merged, key)?
            .map(|number| at_least_one(merged, key, number))
            .transpose()
    };
    Ok(AuditRetention {
        max_age: positive("audit_keep_days")?.map(|days| Duration::from_secs(days.saturating_mul(86_400))),
        max_rows: positive("audit_keep_rows")?,
    })
}

fn keep_documents(merged: &Merged) -> Result<KeepDocuments, Failure> {
    match merged.get("keep_documents").map(|given| given.text.trim()) {
        None => Ok(KeepDocuments::default()),
        Some(text) => match text.to_ascii_lowercase().as_str() {
            "last" => Ok(KeepDocuments::Last),
            "all" => Ok(KeepDocuments::All),
            "none" => Ok(KeepDocuments::None),
            _ => Err(merged.wrong("keep_documents")),
        },
    }
}

fn runner_id(merged: &Merged) -> Result<String, Failure> {
    let Some(given) = merged.get("runner_id") else {
        return Ok(generated_runner_id());
    };
    let fits = |character: char| character.is_ascii_alphanumeric() || "_-.".contains(character);
    if given.text.is_empty() || given.text.len() > 64 || !given.text.chars().all(fits) {
        return Err(merged.wrong("runner_id"));
    }
    if given.text == "orchestrator" {
        return Err(Failure::usage(format!(
            "`orchestrator` (set by {}) is the name of whoever starts the runners; call this one otherwise",
            given.origin
        )));
    }
    Ok(given.text.clone())
}

fn parsed<T: FromStr>(merged: &Merged, key: &str) -> Result<Option<T>, Failure> {
    match merged.get(key) {
        None => Ok(None),
        Some(value) => value.text.trim().parse().map(Some).map_err(|_| merged.wrong(key)),
    }
}

fn at_least_one(merged: &Merged, key: &str, number: u64) -> Result<u64, Failure> {
    if number == 0 {
        Err(merged.wrong(key))
    } else {
        Ok(number)
    }
}

fn number(merged: &Merged, key: &str, range: std::ops::RangeInclusive<u32>) -> Result<u32, Failure> {
    parsed::<u32>(merged, key)?
        .filter(|number| range.contains(number))
        .ok_or_else(|| merged.wrong(key))
}

fn fraction(merged: &Merged, key: &str, range: std::ops::RangeInclusive<f64>) -> Result<f64, Failure> {
    parsed::<f64>(merged, key)?
        .filter(|number| range.contains(number))
        .ok_or_else(|| merged.wrong(key))
}

fn seconds(merged: &Merged, key: &str, range: std::ops::RangeInclusive<f64>) -> Result<Duration, Failure> {
    fraction(merged, key, range).map(Duration::from_secs_f64)
}

fn time(merged: &Merged, key: &str) -> Result<Duration, Failure> {
    merged
        .get(key)
        .and_then(|value| parse_time(&value.text))
        .ok_or_else(|| merged.wrong(key))
}

/// A time such as `90`, `90s`, `30m`, `8h` or `2d`; more than nothing.
pub(crate) fn parse_time(text: &str) -> Option<Duration> {
    let text = text.trim();
    let unit_at = text
        .find(|character: char| character.is_ascii_alphabetic())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let factor = match unit {
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return None,
    };
    let number: f64 = number.trim().parse().ok()?;
    let time = Duration::try_from_secs_f64(number * factor).ok()?;
    (!time.is_zero() && time <= TIME_MAX).then_some(time)
}

/// The time zone of schedules.
pub(crate) fn time_zone(merged: &Merged) -> Result<String, Failure> {
    let name = merged.get("timezone").map_or("UTC", |zone| zone.text.as_str());
    jiff::tz::TimeZone::get(name).map_err(|_| merged.wrong("timezone"))?;
    Ok(name.to_owned())
}

/// When runs begin by themselves, as a cron pattern: `None` for never. Used by `tagpipe serve`, checked by everybody.
pub(crate) fn schedule(merged: &Merged) -> Result<Option<String>, Failure> {
    let text = merged
        .get("schedule")
        .map_or("disabled", |schedule| schedule.text.as_str());
    if text.eq_ignore_ascii_case("disabled") {
        return Ok(None);
    }
    Timetable::new(text, &time_zone(merged)?).map_err(|_| merged.wrong("schedule"))?;
    Ok(Some(text.to_owned()))
}

/// How the service is reached.
pub(crate) fn web_settings(merged: &Merged, config: &Config) -> Result<WebSettings, Failure> {
    let text = |key: &str| merged.get(key).map(|value| value.text.as_str());
    let listen = text("listen").unwrap_or_default();
    let api_token = text("api_token").map(str::to_owned);
    let is_token = |token: &String| token.len() >= API_TOKEN_MIN && !token.contains(char::is_whitespace);
    if api_token.as_ref().is_some_and(|token| !is_token(token)) {
        return Err(merged.wrong("api_token"));
    }
    let tls = match (text("tls_cert"), text("tls_key")) {
        (Some(certificate), Some(key)) => Some(TlsFiles {
            certificate: PathBuf::from(certificate),
            key: PathBuf::from(key),
        }),
        (None, None) => None,
        (Some(_), None) => return Err(merged.wrong("tls_key")),
        (None, Some(_)) => return Err(merged.wrong("tls_cert")),
    };
    Ok(WebSettings {
        listen: listen
            .replace("localhost:", "127.0.0.1:")
            .parse()
            .map_err(|_| merged.wrong("listen"))?,
        api_token,
        tls,
        site: Some(config.profile.origin.clone()),
    })
}

/// The shortest token that settings may give: nobody guesses 16 random characters.
const API_TOKEN_MIN: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    /// What the orchestrator needs, with these flags.
    fn orchestrator(flags: &[(&'static str, &str)]) -> RunnersSettings {
        let mut merged = Merged::default();
        merged.add_defaults();
        for (key, text) in flags {
            merged.add_flags(&[(*key, "--flag", Some(*text))]);
        }
        runners_settings(&merged).expect("right settings")
    }

    #[test]
    fn the_orchestrator_has_defaults_for_all_it_needs() {
        assert_eq!(
            orchestrator(&[]),
            RunnersSettings {
                num_runners: 3,
                check_interval: Duration::from_secs(10),
                working_directory: std::env::current_dir().expect("a folder"),
                runner_path: None,
                runner_memory_max: 2_147_483_648,
            }
        );
    }

    #[test]
    fn a_runners_path_does_not_depend_on_its_folder_and_a_name_is_left_to_the_search_path() {
        let here = std::env::current_dir().expect("a folder");
        for (given, expected) in [
            ("/bin/sh", PathBuf::from("/bin/sh")),
            ("tagpipe", PathBuf::from("tagpipe")),
        ] {
            let settings = orchestrator(&[("runner_path", given)]);
            assert_eq!(settings.runner_path, Some(expected), "{given}");
        }
        let folder = tempfile::tempdir_in(&here).expect("a folder");
        let script = folder.path().join("runner");
        std::fs::write(&script, "#!/bin/sh\n").expect("a file");
        let relative = script.strip_prefix(&here).expect("below this folder");
        let given = [("runner_path", "--runner-path", relative.to_str())];
        let mut merged = Merged::default();
        merged.add_defaults();
        merged.add_flags(&given);
        let refused = runners_settings(&merged).expect_err("nobody may execute it");
        assert!(refused.message.contains("executable"), "{}", refused.message);
        std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .expect("its rights");
        let settings = runners_settings(&merged).expect("right settings");
        assert_eq!(settings.runner_path, Some(script));
    }
}
