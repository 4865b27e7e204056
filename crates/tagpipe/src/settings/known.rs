//! Every setting there is: its key in `tagpipe.toml`, its environment variable, its default, what it takes.

/// One setting.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known {
    /// Key in `tagpipe.toml`; the flag is the same with hyphens.
    pub(crate) key: &'static str,
    /// Environment variable, if it has one.
    pub(crate) variable: Option<&'static str>,
    /// Default, if it has one.
    pub(crate) default: Option<&'static str>,
    /// What a right value looks like.
    pub(crate) takes: &'static str,
}

const fn known(
    key: &'static str,
    variable: Option<&'static str>,
    default: Option<&'static str>,
    takes: &'static str,
) -> Known {
    Known {
        key,
        variable,
        default,
        takes,
    }
}

/// What takes a yes or a no.
pub(crate) const BOOLEAN: &str = "true or false";

/// Settings that one run of the service may have otherwise than another. No path and no address is among them: whoever may
/// order a run over the network is not to choose files of this machine or the site.
pub(crate) const RUN_OPTIONS: &[&str] = &[
    "categories",
    "year_filter",
    "set_filter",
    "card_filter",
    "start_from",
    "full",
    "max_age",
    "max_pages",
    "max_duration",
    "max_rate",
    "num_runners",
    "concurrency",
    "delay",
    "max_retries",
    "retry_backoff",
    "fetch",
    "keep_documents",
];

/// Settings that protect something, and what would be without them. Most variables may be empty, as compose files write those that are
/// not set; one of these must not turn into nothing without a word.
const PROTECTING: [(&str, &str); 6] = [
    ("backup_recipients", "backups would not be encrypted"),
    ("backup_passphrase", "backups would not be encrypted"),
    ("api_token", "the service would ask for no token"),
    ("tls_cert", "the service would not be encrypted"),
    ("tls_key", "the service would not be encrypted"),
    ("notify_webhook_secret", "messages would not be signed"),
];

/// All settings.
pub(crate) const KNOWN: &[Known] = &[
    known(
        "database_url",
        Some("DATABASE_URL"),
        None,
        "sqlite:FILE or postgres://user:password@host/name",
    ),
    known(
        "log_level",
        Some("LOG_LEVEL"),
        Some("INFO"),
        "DEBUG, INFO, WARNING, ERROR or CRITICAL",
    ),
    known("log_format", None, Some("pretty"), "pretty or json"),
    known(
        "concurrency",
        Some("PIPELINE_MAX_CONCURRENCY"),
        Some("3"),
        "a whole number from 1 to 256",
    ),
    known(
        "delay",
        Some("PIPELINE_DELAY"),
        Some("1.0"),
        "seconds from 0 to 3600",
    ),
    known(
        "max_retries",
        Some("PIPELINE_MAX_RETRIES"),
        Some("3"),
        "a whole number from 0 to 100",
    ),
    known(
        "retry_backoff",
        Some("PIPELINE_RETRY_BACKOFF"),
        Some("2.0"),
        "a factor from 1 to 10",
    ),
    known(
        "categories",
        Some("PIPELINE_CATEGORIES"),
        Some("discover"),
        "`discover` or a comma list of names",
    ),
    known(
        "start_from",
        None,
        Some("category"),
        "category, year, set, card or graderows",
    ),
    known(
        "year_filter",
        None,
        Some(""),
        "years and ranges, e.g. 1986-1989,1996",
    ),
    known("set_filter", None, Some(""), "a comma list of brands or sets"),
    known(
        "card_filter",
        None,
        Some(""),
        "a comma list of card names or numbers",
    ),
    known(
        "runner_id",
        None,
        None,
        "a name of 1 to 64 letters, digits, `_`, `-` and `.`",
    ),
    known("full", None, Some("false"), BOOLEAN),
    known("max_age", None, None, "a time such as 12h or 30d"),
    known("verify_share", None, Some("0.05"), "a share from 0 to 1"),
    known("audit_share", None, Some("0.002"), "a share from 0 to 1"),
    known(
        "keep_documents",
        Some("PIPELINE_KEEP_DOCUMENTS"),
        Some("last"),
        "last, all or none",
    ),
    known("max_pages", None, None, "a whole number of at least 1"),
    known("max_duration", None, None, "a time such as 90s, 30m or 8h"),
    known(
        "max_rate",
        None,
        None,
        "requests a second, more than 0 and at most 1000",
    ),
    known("fetch", None, Some("auto"), "auto, http or browser"),
    known("profile", None, None, "the path of a site profile"),
    known("base_url", None, None, "an origin such as https://my.example.com"),
    known(
        "browser",
        Some("CHROMIUM"),
        None,
        "the path of a Chromium executable",
    ),
    known(
        "audit_keep_days",
        None,
        None,
        "days of at least 1; all entries are kept if it is not set",
    ),
    known(
        "audit_keep_rows",
        None,
        None,
        "a whole number of at least 1; all entries are kept if it is not set",
    ),
    known(
        "schedule",
        Some("PIPELINE_SCHEDULE"),
        Some("disabled"),
        "`disabled` or cron fields, five or six with seconds, e.g. 0 2 * * 0",
    ),
    known(
        "listen",
        Some("TAGPIPE_LISTEN"),
        Some("127.0.0.1:8080"),
        "an address and a port, e.g. 127.0.0.1:8080 or [::1]:8080",
    ),
    known(
        "api_token",
        Some("TAGPIPE_API_TOKEN"),
        None,
        "at least 16 characters without spaces",
    ),
    known(
        "tls_cert",
        Some("TAGPIPE_TLS_CERT"),
        None,
        "a PEM file, together with tls_key",
    ),
    known(
        "tls_key",
        Some("TAGPIPE_TLS_KEY"),
        None,
        "a PEM file, together with tls_cert",
    ),
    known(
        "backup_to",
        Some("PIPELINE_BACKUP_TO"),
        None,
        "a folder, or file:///path, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix",
    ),
    known(
        "backup_keep",
        Some("PIPELINE_BACKUP_KEEP"),
        None,
        "how many backups to keep, e.g. daily=7,weekly=4,monthly=12,last=3; all if it is not set",
    ),
    known(
        "backup_recipients",
        Some("PIPELINE_BACKUP_RECIPIENTS"),
        None,
        "age recipients (age1…) or files with them, as a comma list",
    ),
    known(
        "backup_identity",
        Some("PIPELINE_BACKUP_IDENTITY"),
        None,
        "the path of a file with age's secret keys",
    ),
    known(
        "backup_passphrase",
        Some("PIPELINE_BACKUP_PASSPHRASE"),
        None,
        "a passphrase, in place of recipients",
    ),
    known(
        "backup_schedule",
        Some("PIPELINE_BACKUP_SCHEDULE"),
        Some("disabled"),
        "`disabled` or cron fields, five or six with seconds, e.g. 0 4 * * *: when the service makes backups",
    ),
    known(
        "export_to",
        Some("PIPELINE_EXPORT_TO"),
        Some("exports"),
        "a folder, or file:///path, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix",
    ),
    known(
        "export_after_run",
        Some("PIPELINE_EXPORT_AFTER_RUN"),
        Some("disabled"),
        "`disabled` or names of files, each that of its table, e.g. catalogue.parquet,grade_rows.csv.gz",
    ),
    known(
        "timezone",
        Some("PIPELINE_TIMEZONE"),
        Some("UTC"),
        "a time zone such as UTC or Europe/Berlin",
    ),
    known(
        "health_check_interval",
        Some("HEALTH_CHECK_INTERVAL"),
        Some("30"),
        "seconds from 1 to 86400",
    ),
    known("database_patience", None, Some("60"), "seconds from 1 to 86400"),
    known("lease_term", None, Some("30"), "seconds from 1 to 3600"),
    known(
        "num_runners",
        Some("PIPELINE_NUM_RUNNERS"),
        Some("3"),
        "a whole number from 1 to 64",
    ),
    known("check_interval", None, Some("10.0"), "seconds from 0.1 to 3600"),
    known("working_directory", None, Some("."), "a folder that exists"),
    known(
        "runner_path",
        None,
        None,
        "an executable that exists, or the name of one on the search path; this one if it is not set",
    ),
    known(
        "runner_memory_max",
        None,
        Some("2048"),
        "MiB from 64 to 1048576; a runner that uses more is replaced",
    ),
    known(
        "notify_error_rate",
        Some("PIPELINE_NOTIFY_ERROR_RATE"),
        Some("0.2"),
        "a share from 0 to 1: of the reads of a run, those that come to nothing",
    ),
    known(
        "notify_brake_after",
        Some("PIPELINE_NOTIFY_BRAKE_AFTER"),
        Some("15m"),
        "a time such as 90s or 15m for which the brake may be closed",
    ),
    known(
        "notify_dashboard_url",
        Some("PIPELINE_NOTIFY_DASHBOARD_URL"),
        None,
        "where people see the dashboard, such as https://tagpipe.example.com/: messages link to it",
    ),
    known(
        "notify_events",
        Some("PIPELINE_NOTIFY_EVENTS"),
        Some("all"),
        "`all` or a comma list of run_finished, run_failed, run_interrupted, error_rate, brake_closed, layout_changed, \
         discrepancies, schedule_missed, job_failed and watch_changed",
    ),
    known(
        "notify_level",
        Some("PIPELINE_NOTIFY_LEVEL"),
        Some("info"),
        "info, warning, error or critical",
    ),
    known(
        "notify_quiet_hours",
        Some("PIPELINE_NOTIFY_QUIET_HOURS"),
        None,
        "two times of the day in PIPELINE_TIMEZONE, e.g. 22:00-07:00",
    ),
    known(
        "notify_digest",
        Some("PIPELINE_NOTIFY_DIGEST"),
        Some("1m"),
        "a time such as 5m within which news is put into one message, or 0",
    ),
    known(
        "notify_email_server",
        Some("PIPELINE_NOTIFY_EMAIL_SERVER"),
        None,
        "a mail server such as smtp.example.com or smtp.example.com:587",
    ),
    known(
        "notify_email_security",
        Some("PIPELINE_NOTIFY_EMAIL_SECURITY"),
        None,
        "starttls, tls, or plain for a server that is to get everything unencrypted",
    ),
    known(
        "notify_email_user",
        Some("PIPELINE_NOTIFY_EMAIL_USER"),
        None,
        "a name, together with notify_email_password",
    ),
    known(
        "notify_email_password",
        Some("PIPELINE_NOTIFY_EMAIL_PASSWORD"),
        None,
        "a password, together with notify_email_user",
    ),
    known(
        "notify_email_from",
        Some("PIPELINE_NOTIFY_EMAIL_FROM"),
        None,
        "an address such as tagpipe@example.com",
    ),
    known(
        "notify_email_to",
        Some("PIPELINE_NOTIFY_EMAIL_TO"),
        None,
        "a comma list of addresses",
    ),
    known(
        "notify_email_ca_file",
        Some("PIPELINE_NOTIFY_EMAIL_CA_FILE"),
        None,
        "a PEM file with the certificates that the server's is signed by",
    ),
    known(
        "notify_slack_url",
        Some("PIPELINE_NOTIFY_SLACK_URL"),
        None,
        "the address of an incoming webhook of Slack",
    ),
    known(
        "notify_webhook_url",
        Some("PIPELINE_NOTIFY_WEBHOOK_URL"),
        None,
        "an http or https address",
    ),
    known(
        "notify_webhook_secret",
        Some("PIPELINE_NOTIFY_WEBHOOK_SECRET"),
        None,
        "at least 16 characters, or whsec_ and base64",
    ),
    known(
        "notify_ntfy_url",
        Some("PIPELINE_NOTIFY_NTFY_URL"),
        None,
        "the address of a topic, such as https://ntfy.sh/my-topic",
    ),
    known(
        "notify_ntfy_token",
        Some("PIPELINE_NOTIFY_NTFY_TOKEN"),
        None,
        "an access token",
    ),
];

/// The setting with this key.
pub(crate) fn by_key(key: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.key == key)
}

/// What would be without the setting, if it protects something.
pub(super) fn protection(key: &str) -> Option<&'static str> {
    let found = PROTECTING.iter().find(|(protecting, _)| *protecting == key);
    found.map(|(_, without)| *without)
}

/// The known key most like `wrong`, if one is near.
pub(crate) fn nearest(wrong: &str) -> Option<&'static str> {
    nearest_of(wrong, KNOWN.iter().map(|known| known.key))
}

/// The known environment variable most like `wrong`, if one is near.
pub(crate) fn nearest_variable(wrong: &str) -> Option<&'static str> {
    nearest_of(wrong, KNOWN.iter().filter_map(|known| known.variable))
}

pub(super) fn nearest_of(wrong: &str, names: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    names
        .map(|name| (distance(wrong, name), name))
        .min()
        .filter(|(distance, key)| *distance <= 1 + key.len() / 3)
        .map(|(_, key)| key)
}

/// Edits (insertions, deletions, replacements) from one text to the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (line, left) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, right) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(left != *right);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key_is_found_and_a_far_one_is_not() {
        assert_eq!(nearest("concurency"), Some("concurrency"));
        assert_eq!(nearest("max-pages"), Some("max_pages"));
        assert_eq!(nearest("colour_of_money"), None);
    }
}
