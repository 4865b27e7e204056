//! Settings that an orchestrator hands down to its runners, by one environment variable.
//!
//! A runner has to read the report exactly as its orchestrator was told to, wherever it works: so it gets what came out
//! of the merging, and looks at no other source but its flags. By the environment and not by flags, because there are
//! settings without a flag, and because everybody on a machine may read the arguments of a process.

use std::collections::BTreeMap;
use std::path::Path;

use tagpipe_store::DatabaseUrl;

use super::checked::database_url;
use super::known;
use super::sources::{Merged, Origin};
use crate::exit::Failure;

/// The environment variable that holds them: a JSON object of keys and texts.
pub(crate) const HANDED_DOWN: &str = "TAGPIPE_HANDED_DOWN";

/// What is the orchestrator's own, or each runner's.
const NOT_HANDED_DOWN: [&str; 20] = [
    "runner_id",
    "max_pages",
    "max_duration",
    "num_runners",
    "check_interval",
    "working_directory",
    "runner_path",
    "runner_memory_max",
    "schedule",
    "timezone",
    "listen",
    "api_token",
    "tls_cert",
    "tls_key",
    "backup_to",
    "backup_keep",
    "backup_recipients",
    "backup_identity",
    "backup_passphrase",
    "backup_schedule",
];

/// What an export or a backup that the service starts needs, beside the database.
const HANDED_TO_JOBS: [&str; 7] = [
    "backup_to",
    "backup_keep",
    "backup_recipients",
    "backup_identity",
    "backup_passphrase",
    "log_level",
    "log_format",
];

impl Merged {
    /// The database and what else an export or a backup needs, for a process in `folder`, where this one works.
    ///
    /// # Errors
    /// The database's address is wrong, or a path is no text.
    pub(crate) fn handed_to_job(&self, folder: &Path) -> Result<String, Failure> {
        self.handed(folder, |key| HANDED_TO_JOBS.contains(&key))
    }

    /// All settings that differ from the defaults, and the database, for the runners of this orchestrator. What is
    /// relative to `folder`, where this process works, is so no longer: a runner may work elsewhere.
    ///
    /// # Errors
    /// The database's address is wrong, or a path is no text.
    pub(crate) fn handed_down(&self, folder: &Path) -> Result<String, Failure> {
        self.handed(folder, |key| !is_own(key))
    }

    fn handed(&self, folder: &Path, is_wanted: impl Fn(&str) -> bool) -> Result<String, Failure> {
        let mut handed_down =
            BTreeMap::from([("database_url", database_text(&database_url(self)?, folder)?)]);
        for (key, value) in self.set_anywhere() {
            if !is_wanted(key) || key == "database_url" {
                continue;
            }
            let text = if is_relative_path(key, &value.text) {
                joined(folder, Path::new(&value.text))?
            } else {
                value.text.clone()
            };
            handed_down.insert(key, text);
        }
        serde_json::to_string(&handed_down).map_err(|error| Failure::could_not_run(error.to_string()))
    }

    /// Takes what an orchestrator handed down.
    pub(super) fn add_handed_down(&mut self, text: &str) -> Result<(), Failure> {
        let values: BTreeMap<String, String> = serde_json::from_str(text).map_err(|error| {
            // The words of the error may repeat a part of the text, and that a password.
            Failure::usage(format!(
                "{HANDED_DOWN} holds no settings as `tagpipe orchestrate` hands them to its runners (column {}); unset it",
                error.column()
            ))
        })?;
        for (key, text) in values {
            let known = known::by_key(&key).ok_or_else(|| {
                Failure::usage(format!(
                    "`{key}` (set by the orchestrator) is not a setting; are runner and orchestrator of one version?"
                ))
            })?;
            self.set(known.key, &text, Origin::HandedDown);
        }
        Ok(())
    }
}

/// What a runner does not need: the orchestrator's own settings, and whom it tells what. When something is news is for the
/// runners to know.
fn is_own(key: &str) -> bool {
    let is_limit = matches!(key, "notify_error_rate" | "notify_brake_after");
    NOT_HANDED_DOWN.contains(&key) || (key.starts_with("notify_") && !is_limit)
}

/// A database's address with all that is needed to open it.
fn database_text(url: &DatabaseUrl, folder: &Path) -> Result<String, Failure> {
    Ok(match url {
        DatabaseUrl::Sqlite(path) => format!("sqlite://{}", joined(folder, path)?),
        DatabaseUrl::Memory => "sqlite::memory:".to_owned(),
        DatabaseUrl::Postgres(url) => url.as_str().to_owned(),
    })
}

/// Whether a value means another file in another folder. A browser's bare name does not: it is on the search path.
fn is_relative_path(key: &str, text: &str) -> bool {
    let path = Path::new(text);
    match key {
        "profile" => path.is_relative(),
        "browser" => path.is_relative() && path.components().count() > 1,
        _ => false,
    }
}

fn joined(folder: &Path, path: &Path) -> Result<String, Failure> {
    let path = folder.join(path);
    path.to_str().map(str::to_owned).ok_or_else(|| {
        Failure::usage(format!(
            "`{}` is not UTF-8 and cannot be handed down to runners",
            path.display()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Given, run_config};

    const FOLDER: &str = "/home/somebody/cards";

    /// What a runner has of what its orchestrator has.
    fn of_a_runner(orchestrator: &Merged, flags: &[Given<'_>]) -> Merged {
        let text = orchestrator
            .handed_down(Path::new(FOLDER))
            .expect("it is handed down");
        let mut runner = Merged::default();
        runner.add_defaults();
        runner.add_handed_down(&text).expect("it is understood");
        runner.add_flags(flags);
        runner
    }

    fn text<'a>(merged: &'a Merged, key: &str) -> Option<&'a str> {
        merged.get(key).map(|value| value.text.as_str())
    }

    fn with_defaults() -> Merged {
        let mut merged = Merged::default();
        merged.add_defaults();
        merged
    }

    #[test]
    fn every_source_reaches_the_runner_and_only_flags_win_over_it() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let written =
            "lease_term = 7\naudit_keep_rows = 9\ndelay = 1.0\nyear_filter = [1986, 1989]\nmax_pages = 5\n";
        std::fs::write(file.path(), written).expect("it is written");
        let mut orchestrator = with_defaults();
        orchestrator.add_file(Some(file.path())).expect("a right file");
        let variable = Origin::Environment("PIPELINE_MAX_CONCURRENCY".to_owned());
        orchestrator
            .add_variable("PIPELINE_MAX_CONCURRENCY", "4", variable)
            .expect("a right variable");
        orchestrator.add_flags(&[
            ("max_retries", "--max-retries", Some("1")),
            ("num_runners", "--num-runners", Some("2")),
            ("runner_id", "--runner-id", Some("me")),
        ]);
        let runner = of_a_runner(&orchestrator, &[("runner_id", "--runner-id", Some("runner_1"))]);
        for (key, expected) in [
            ("lease_term", Some("7")),
            ("audit_keep_rows", Some("9")),
            ("year_filter", Some("1986,1989")),
            ("concurrency", Some("4")),
            ("max_retries", Some("1")),
            ("delay", Some("1")),
            ("retry_backoff", Some("2.0")),
            ("runner_id", Some("runner_1")),
            ("num_runners", Some("3")),
            ("max_pages", None),
        ] {
            assert_eq!(text(&runner, key), expected, "{key}");
        }
        let config = run_config(&runner).expect("right settings");
        assert_eq!(config.run.lease_term, std::time::Duration::from_secs(7));
        assert_eq!(config.run.audit_retention.max_rows, Some(9));
        let origin = &runner.get("lease_term").expect("it is set").origin;
        assert_eq!(origin.to_string(), "the orchestrator");
    }

    #[test]
    fn what_is_relative_to_the_orchestrators_folder_is_made_absolute() {
        for (key, given, expected) in [
            (
                "database_url",
                "sqlite:x.db",
                "sqlite:///home/somebody/cards/x.db",
            ),
            (
                "database_url",
                "sub dir/x.db",
                "sqlite:///home/somebody/cards/sub dir/x.db",
            ),
            ("database_url", "sqlite:///x.db", "sqlite:///x.db"),
            ("database_url", "sqlite::memory:", "sqlite::memory:"),
            ("profile", "my.toml", "/home/somebody/cards/my.toml"),
            ("profile", "/etc/my.toml", "/etc/my.toml"),
            ("browser", "bin/chromium", "/home/somebody/cards/bin/chromium"),
            ("browser", "./chromium", "/home/somebody/cards/./chromium"),
            ("browser", "chromium", "chromium"),
        ] {
            let mut orchestrator = with_defaults();
            orchestrator.add_flags(&[(key, "--flag", Some(given))]);
            let runner = of_a_runner(&orchestrator, &[]);
            assert_eq!(text(&runner, key), Some(expected), "{given}");
        }
        let runner = of_a_runner(&with_defaults(), &[]);
        assert_eq!(
            database_url(&runner),
            Ok(DatabaseUrl::Sqlite(Path::new(FOLDER).join("tagpipe.db")))
        );
    }

    #[test]
    fn parts_of_a_databases_address_arrive_as_the_whole_of_it() {
        for password in ["hunter2", "a b:c/d@e?f#g%41h\"i\\j'ü", "%"] {
            let mut orchestrator = with_defaults();
            for (name, value) in [
                ("POSTGRES_HOST", "db.example.com"),
                ("POSTGRES_PORT", "5433"),
                ("POSTGRES_USER", "cards"),
                ("POSTGRES_PASSWORD", password),
                ("POSTGRES_DB", "tag"),
            ] {
                orchestrator
                    .add_variable(name, value, Origin::DotEnv(name.to_owned()))
                    .expect("a right variable");
            }
            let expected = database_url(&orchestrator).expect("an address");
            let runner = of_a_runner(&orchestrator, &[]);
            assert_eq!(database_url(&runner), Ok(expected), "{password}");
            let Ok(DatabaseUrl::Postgres(url)) = database_url(&runner) else {
                panic!("it is a PostgreSQL");
            };
            let arrived = percent_encoding::percent_decode_str(url.password().expect("a password"));
            assert_eq!(arrived.decode_utf8_lossy(), password);
        }
    }

    #[test]
    fn what_no_orchestrator_wrote_is_refused_and_not_repeated() {
        for (text, word) in [
            ("", "unset it"),
            ("{", "unset it"),
            ("[]", "unset it"),
            ("\"postgres://me:hunter2@db/tag\"", "TAGPIPE_HANDED_DOWN"),
            ("{\"delay\": {\"hunter2\": 1}}", "TAGPIPE_HANDED_DOWN"),
            ("{\"dealy\": \"1\"}", "`dealy`"),
        ] {
            let refused = Merged::default().add_handed_down(text).expect_err(text);
            assert_eq!(refused.exit, crate::exit::Exit::Usage, "{text}");
            assert!(refused.message.contains(word), "{text}: {}", refused.message);
            assert!(!refused.message.contains("hunter2"), "{}", refused.message);
        }
        let mut runner = with_defaults();
        runner.add_handed_down("{\"delay\": \"fast\"}").expect("texts");
        let refused = run_config(&runner).expect_err("no delay");
        assert!(
            refused.message.contains("set by the orchestrator"),
            "{}",
            refused.message
        );
    }
}
