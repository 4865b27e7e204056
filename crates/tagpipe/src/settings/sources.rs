//! Where settings come from, and their merging.

use std::collections::BTreeMap;
use std::fmt;
use std::mem::discriminant;
use std::path::{Path, PathBuf};

use serde::Serialize;
use tagpipe_store::DatabaseUrl;
use tagpipe_store::contract::RunId;

use super::channels::RawChannel;
use super::dot_env;
use super::handed_down::HANDED_DOWN;
use super::known::{self, KNOWN};
use crate::exit::Failure;

/// A setting given on the command line: its key, its flag, and its text if it was given.
pub(crate) type Given<'a> = (&'static str, &'static str, Option<&'a str>);

/// Where a value was set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    Flag(&'static str),
    Environment(String),
    DotEnv(String),
    File(PathBuf, String),
    /// By the orchestrator that started this runner.
    HandedDown,
    /// By the run that is gone on with.
    Run(RunId),
    /// By who ordered the run of the service.
    Order,
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Flag(flag) => write!(f, "{flag}"),
            Origin::Environment(name) => write!(f, "environment variable {name}"),
            Origin::DotEnv(name) => write!(f, "{name} in .env"),
            Origin::File(path, key) => write!(f, "{key} in {}", path.display()),
            Origin::HandedDown => f.write_str("the orchestrator"),
            Origin::Run(run) => write!(f, "run {run}"),
            Origin::Order => f.write_str("the order"),
            Origin::Default => f.write_str("default"),
        }
    }
}

/// A text and where it was set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sourced {
    pub(crate) text: String,
    pub(crate) origin: Origin,
}

/// All sources, merged.
#[derive(Debug, Clone, Default)]
pub(crate) struct Merged {
    values: BTreeMap<&'static str, Sourced>,
    /// `POSTGRES_*`, which together make a database URL.
    postgres: BTreeMap<String, Sourced>,
    /// Channels of the file.
    channels: Vec<RawChannel>,
    /// Settings that protect something and were set to nothing last.
    emptied: BTreeMap<&'static str, Origin>,
    /// What looks like a mistake and is none for certain.
    notes: Vec<String>,
}

/// A setting as it is shown to a person: secrets are masked.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Shown {
    /// Its key in `tagpipe.toml`, or the variable's name.
    pub(crate) key: String,
    /// Its value; null if it has none.
    pub(crate) value: Option<String>,
    /// Where it was set: `default`, a flag, a variable, a file.
    pub(crate) origin: String,
    /// What it takes.
    pub(crate) takes: String,
    /// Its environment variable, if it has one.
    pub(crate) variable: Option<&'static str>,
}

/// The table of the file that says whom to tell what.
const NOTIFY: &str = "notify";

/// Parts of `POSTGRES_*` that make the database URL; those of the server's own image mean nothing here.
const POSTGRES_PARTS: [&str; 9] = [
    "USER",
    "PASSWORD",
    "DB",
    "HOST",
    "PORT",
    "SSLMODE",
    "SSLROOTCERT",
    "SSLCERT",
    "SSLKEY",
];

impl Merged {
    /// Reads and merges all sources. What an orchestrator handed down takes the place of file, `.env` and environment,
    /// which it has read itself, perhaps in another folder.
    pub(crate) fn load(config: Option<&Path>, given: &[Given<'_>]) -> Result<Merged, Failure> {
        let mut merged = Merged::default();
        merged.add_defaults();
        if let Some(handed_down) = std::env::var_os(HANDED_DOWN).filter(|text| !text.is_empty()) {
            merged.add_handed_down(&handed_down.to_string_lossy())?;
            merged.add_flags(given);
            return Ok(merged);
        }
        merged.add_file(config)?;
        merged.add_dot_env()?;
        merged.add_environment()?;
        merged.add_flags(given);
        merged.refuse_empty_protection()?;
        merged.note_what_is_not_in_effect();
        Ok(merged)
    }

    /// The value of a setting.
    pub(crate) fn get(&self, key: &str) -> Option<&Sourced> {
        self.values.get(key)
    }

    /// The value of a `POSTGRES_*` variable.
    pub(crate) fn postgres(&self, name: &str) -> Option<&Sourced> {
        self.postgres.get(name)
    }

    /// Says that the value of `key` is wrong: which, where it was set, and what would be right.
    pub(crate) fn wrong(&self, key: &str) -> Failure {
        let takes = known::by_key(key).map_or("", |known| known.takes);
        match self.get(key) {
            Some(Sourced { text, origin }) => {
                let text = masked(key, text);
                Failure::usage(format!(
                    "`{text}` is not a valid {key} (set by {origin}); it takes {takes}"
                ))
            }
            None => Failure::usage(format!("{key} is not set; it takes {takes}")),
        }
    }

    /// The settings that were set anywhere, by key.
    pub(super) fn set_anywhere(&self) -> impl Iterator<Item = (&'static str, &Sourced)> {
        self.values
            .iter()
            .filter(|(_, value)| value.origin != Origin::Default)
            .map(|(key, value)| (*key, value))
    }

    /// A run that is gone on with is about a site already: it need not be named again.
    pub(crate) fn adopt_site(&mut self, run: RunId, origin: &str) {
        if self.get("base_url").is_none() {
            self.set("base_url", origin, Origin::Run(run));
        }
    }

    /// Whether these settings come from an orchestrator.
    pub(crate) fn is_handed_down(&self) -> bool {
        self.set_anywhere()
            .any(|(_, value)| value.origin == Origin::HandedDown)
    }

    pub(super) fn set(&mut self, key: &'static str, text: &str, origin: Origin) {
        self.emptied.remove(key);
        self.values.insert(
            key,
            Sourced {
                text: text.to_owned(),
                origin,
            },
        );
    }

    /// A setting of one run of the service.
    pub(crate) fn set_option(&mut self, key: &'static str, text: &str) {
        self.set(key, text, Origin::Order);
    }

    pub(super) fn add_defaults(&mut self) {
        for known in KNOWN {
            if let Some(default) = known.default {
                self.set(known.key, default, Origin::Default);
            }
        }
    }

    pub(super) fn add_flags(&mut self, given: &[Given<'_>]) {
        for (key, flag, text) in given {
            if let Some(text) = text {
                self.set(key, text, Origin::Flag(flag));
            }
        }
    }

    pub(super) fn add_file(&mut self, config: Option<&Path>) -> Result<(), Failure> {
        let path = config.unwrap_or_else(|| Path::new("tagpipe.toml"));
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if config.is_none() && error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => {
                return Err(Failure::usage(format!(
                    "cannot read `{}`: {error}",
                    path.display()
                )));
            }
        };
        let table: toml::Table = toml::from_str(&text).map_err(|error| {
            // Without the line itself, which may hold a secret.
            let line = error
                .span()
                .map_or(0, |span| text[..span.start].lines().count().max(1));
            Failure::usage(format!("{}, line {line}: {}", path.display(), error.message()))
        })?;
        for (key, value) in table {
            if let (NOTIFY, toml::Value::Table(table)) = (key.as_str(), &value) {
                self.add_notify_table(path, table)?;
                continue;
            }
            let Some(known) = known::by_key(&key) else {
                let hint = known::nearest(&key)
                    .map(|near| format!("; did you mean `{near}`?"))
                    .unwrap_or_default();
                return Err(Failure::usage(format!(
                    "{}: `{key}` is not a setting{hint}",
                    path.display()
                )));
            };
            let text = match &value {
                toml::Value::Boolean(yes) if known.takes == known::BOOLEAN => Some(yes.to_string()),
                other => value_text(other),
            };
            let text = text.ok_or_else(|| {
                Failure::usage(format!("{}: `{key}` takes {}", path.display(), known.takes))
            })?;
            self.set(known.key, &text, Origin::File(path.to_owned(), key));
        }
        Ok(())
    }

    /// `[notify]`: settings without the `notify_` that they begin with elsewhere, and channels.
    fn add_notify_table(&mut self, path: &Path, table: &toml::Table) -> Result<(), Failure> {
        for (key, value) in table {
            if key == "channels" {
                self.channels = RawChannel::of_file(path, value)?;
                continue;
            }
            let Some(known) = known::by_key(&format!("{NOTIFY}_{key}")) else {
                let names = KNOWN.iter().filter_map(|known| known.key.strip_prefix("notify_"));
                let hint = known::nearest_of(key, names.chain(["channels"]))
                    .map(|near| format!("; did you mean `{near}`?"))
                    .unwrap_or_default();
                return Err(Failure::usage(format!(
                    "{}: `{NOTIFY}.{key}` is not a setting{hint}",
                    path.display()
                )));
            };
            let text = value_text(value).ok_or_else(|| {
                Failure::usage(format!(
                    "{}: `{NOTIFY}.{key}` takes {}",
                    path.display(),
                    known.takes
                ))
            })?;
            let origin = Origin::File(path.to_owned(), format!("{NOTIFY}.{key}"));
            self.set(known.key, &text, origin);
        }
        Ok(())
    }

    /// The channels of the file.
    pub(super) fn raw_channels(&self) -> &[RawChannel] {
        &self.channels
    }

    fn add_dot_env(&mut self) -> Result<(), Failure> {
        let text = match std::fs::read_to_string(".env") {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(Failure::usage(format!("cannot read `.env`: {error}"))),
        };
        let variables =
            dot_env::variables(&text).map_err(|error| Failure::usage(format!(".env: {error}")))?;
        for (name, text) in variables {
            self.add_variable(&name, &text, Origin::DotEnv(name.clone()))?;
        }
        Ok(())
    }

    fn add_environment(&mut self) -> Result<(), Failure> {
        for (name, text) in std::env::vars_os() {
            // A name that is no text is none of ours; a value that is none will not pass its check.
            let Some(name) = name.to_str() else { continue };
            self.add_variable(
                name,
                &text.to_string_lossy(),
                Origin::Environment(name.to_owned()),
            )?;
        }
        Ok(())
    }

    /// An empty variable counts as not set, as compose files write them, unless it should protect something. `…_FILE` names a file that holds the value,
    /// as container platforms hand out secrets.
    pub(super) fn add_variable(&mut self, name: &str, text: &str, origin: Origin) -> Result<(), Failure> {
        if text.trim().is_empty() {
            self.add_empty_variable(name, origin);
            return Ok(());
        }
        if let Some(secret) = name.strip_suffix("_FILE").filter(|secret| is_variable(secret)) {
            let content = std::fs::read_to_string(text.trim()).map_err(|error| {
                Failure::usage(format!(
                    "cannot read `{}` (set by {origin}): {error}",
                    text.trim()
                ))
            })?;
            // A secret that was to be there and is not must not turn into none: encryption would be off without a word.
            if content.trim().is_empty() {
                return Err(Failure::usage(format!(
                    "`{}` (set by {origin}) is empty; put the value into it, or unset {name}",
                    text.trim()
                )));
            }
            return self.add_variable(secret, content.trim_end_matches(['\r', '\n']), origin);
        }
        if let Some(known) = KNOWN.iter().find(|known| known.variable == Some(name)) {
            self.set(known.key, text.trim(), origin);
        } else if let Some(part) = name
            .strip_prefix("POSTGRES_")
            .filter(|part| POSTGRES_PARTS.contains(part))
        {
            self.postgres.insert(
                part.to_owned(),
                Sourced {
                    text: text.to_owned(),
                    origin,
                },
            );
        } else if name.starts_with("PIPELINE_") {
            let hint = known::nearest_variable(name)
                .map(|near| format!("; did you mean {near}?"))
                .unwrap_or_default();
            self.notes.push(format!("{origin} is not a setting{hint}"));
        }
        Ok(())
    }

    /// Remembers one that should protect something, unless the same source has it by its other name, with or without `_FILE`.
    fn add_empty_variable(&mut self, name: &str, origin: Origin) {
        let setting = name.strip_suffix("_FILE").unwrap_or(name);
        let known = KNOWN.iter().find(|known| known.variable == Some(setting));
        let Some(key) = known.map(|known| known.key) else {
            return;
        };
        let is_of_same_source = |value: &Sourced| discriminant(&value.origin) == discriminant(&origin);
        if known::protection(key).is_some() && !self.get(key).is_some_and(is_of_same_source) {
            self.emptied.insert(key, origin);
        }
    }

    fn refuse_empty_protection(&self) -> Result<(), Failure> {
        let Some((key, origin)) = self.emptied.first_key_value() else {
            return Ok(());
        };
        let without = known::protection(key).unwrap_or_default();
        Err(Failure::usage(format!(
            "{key} is set to nothing ({origin}), and {without}; give it a value, or unset it if that is meant"
        )))
    }

    /// Settings that look as if they did something and do not.
    fn note_what_is_not_in_effect(&mut self) {
        let without_host = self.get("database_url").is_none() && self.postgres("HOST").is_none();
        if let (true, Some(part)) = (without_host, self.postgres.values().next()) {
            self.notes.push(format!(
                "{} is set, but neither POSTGRES_HOST nor DATABASE_URL: the database is the file tagpipe.db; \
                 for PostgreSQL set POSTGRES_HOST, too",
                part.origin
            ));
        }
    }

    /// What looks like a mistake and is none for certain.
    pub(crate) fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Every setting in the order of the list, then the parts of the database's address that are set.
    pub(crate) fn shown(&self) -> Vec<Shown> {
        let of_known = KNOWN.iter().map(|known| {
            let given = self.get(known.key).filter(|given| !given.text.is_empty());
            Shown {
                key: known.key.to_owned(),
                value: given.map(|given| masked(known.key, &given.text)),
                origin: given.map_or_else(|| "default".to_owned(), |given| given.origin.to_string()),
                takes: known.takes.to_owned(),
                variable: known.variable,
            }
        });
        let of_postgres = POSTGRES_PARTS.iter().filter_map(|part| {
            let given = self.postgres(part)?;
            Some(Shown {
                key: format!("POSTGRES_{part}"),
                value: Some(masked(part, &given.text)),
                origin: given.origin.to_string(),
                takes: "a part of the database's address".to_owned(),
                variable: None,
            })
        });
        let of_channels = self.channels.iter().flat_map(RawChannel::shown);
        of_known.chain(of_postgres).chain(of_channels).collect()
    }
}

fn is_variable(name: &str) -> bool {
    KNOWN.iter().any(|known| known.variable == Some(name))
        || name
            .strip_prefix("POSTGRES_")
            .is_some_and(|part| POSTGRES_PARTS.contains(&part))
}

/// A value fit to be shown.
fn masked(key: &str, text: &str) -> String {
    match key {
        "PASSWORD" | "api_token" | "backup_passphrase" => "***".to_owned(),
        // Who knows one of these addresses may write there.
        "notify_email_password"
        | "notify_slack_url"
        | "notify_webhook_url"
        | "notify_webhook_secret"
        | "notify_ntfy_url"
        | "notify_ntfy_token" => "***".to_owned(),
        // What is no address is not shown at all: a password may stand anywhere in it.
        "database_url" => text
            .parse::<DatabaseUrl>()
            .map_or_else(|_| "*** (not an address)".to_owned(), |url| url.to_string()),
        // Credentials in it are refused, and then they are in it.
        "backup_to" | "export_to" => tagpipe_sinks::destination::Destination::parse(text)
            .map_or_else(|_| "*** (not a destination)".to_owned(), |to| to.to_string()),
        "backup_recipients" if text.to_ascii_uppercase().contains("AGE-SECRET-KEY") => "***".to_owned(),
        "base_url" => match text.rsplit_once('@') {
            Some((_, host)) => format!("***@{host}"),
            None => text.to_owned(),
        },
        _ => text.to_owned(),
    }
}

/// A TOML value as the text a flag would have: lists become comma lists.
pub(super) fn value_text(value: &toml::Value) -> Option<String> {
    Some(match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Integer(number) => number.to_string(),
        toml::Value::Float(number) => number.to_string(),
        toml::Value::Array(values) => values
            .iter()
            .map(value_text)
            .collect::<Option<Vec<_>>>()?
            .join(","),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of these variables of the environment, after those of `.env`.
    fn checked(dot_env: &[(&str, &str)], environment: &[(&str, &str)]) -> Result<Merged, String> {
        let mut merged = Merged::default();
        merged.add_defaults();
        let of_dot_env = dot_env
            .iter()
            .map(|(name, text)| (*name, *text, Origin::DotEnv((*name).to_owned())));
        let of_environment = environment
            .iter()
            .map(|(name, text)| (*name, *text, Origin::Environment((*name).to_owned())));
        for (name, text, origin) in of_dot_env.chain(of_environment) {
            merged
                .add_variable(name, text, origin)
                .map_err(|failure| failure.message)?;
        }
        merged
            .refuse_empty_protection()
            .map_err(|failure| failure.message)?;
        Ok(merged)
    }

    #[test]
    fn what_should_protect_does_not_turn_into_nothing() {
        const PASSPHRASE: &str = "PIPELINE_BACKUP_PASSPHRASE";
        let filled = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(filled.path(), "correct horse\n").expect("it is written");
        let by_file = (
            "PIPELINE_BACKUP_PASSPHRASE_FILE",
            filled.path().to_str().expect("a path"),
        );
        for name in [
            PASSPHRASE,
            "PIPELINE_BACKUP_PASSPHRASE_FILE",
            "PIPELINE_BACKUP_RECIPIENTS",
            "TAGPIPE_API_TOKEN",
            "TAGPIPE_TLS_CERT",
            "PIPELINE_NOTIFY_WEBHOOK_SECRET",
        ] {
            for text in ["", " "] {
                let refused = checked(&[], &[(name, text)]).expect_err(name);
                assert!(
                    refused.contains(&format!("environment variable {name}")),
                    "{refused}"
                );
            }
        }
        // What wins decides.
        let refused = checked(&[(PASSPHRASE, "horse")], &[(PASSPHRASE, "")]).expect_err("emptied");
        assert!(
            refused.contains("would not be encrypted") && !refused.contains("horse"),
            "{refused}"
        );
        for (dot_env, environment) in [
            (&[(PASSPHRASE, "")][..], &[(PASSPHRASE, "correct horse")][..]),
            (&[], &[(PASSPHRASE, ""), by_file]),
            (&[], &[by_file, (PASSPHRASE, "")]),
        ] {
            let merged = checked(dot_env, environment).expect("it is set");
            let passphrase = merged.get("backup_passphrase").expect("it is set");
            assert_eq!(passphrase.text, "correct horse");
        }
        // All else may be empty, as compose files write it.
        checked(
            &[],
            &[
                ("PIPELINE_BACKUP_TO", ""),
                ("LOG_LEVEL", ""),
                ("SOMETHING_ELSE", ""),
            ],
        )
        .expect("not set");
    }
}
