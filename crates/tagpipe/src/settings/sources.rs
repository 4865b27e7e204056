//! Where settings come from, and their merging.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

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
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Flag(flag) => write!(f, "{flag}"),
            Origin::Environment(name) => write!(f, "environment variable {name}"),
            Origin::DotEnv(name) => write!(f, "{name} in .env"),
            Origin::File(path, key) => write!(f, "{key} in {}", path.display()),
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
}

impl Merged {
    /// Reads and merges all sources.
    pub(crate) fn load(config: Option<&Path>, given: &[Given<'_>]) -> Result<Merged, Failure> {
        let mut merged = Merged::default();
        merged.add_defaults();
        merged.add_file(config)?;
        merged.add_dot_env()?;
        merged.add_environment();
        for (key, flag, text) in given {
            if let Some(text) = text {
                merged.set(key, text, Origin::Flag(flag));
            }
        }
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
            Some(Sourced { text, origin }) => Failure::usage(format!(
                "`{text}` is not a valid {key} (set by {origin}); it takes {takes}"
            )),
            None => Failure::usage(format!("{key} is not set; it takes {takes}")),
        }
    }

    fn set(&mut self, key: &'static str, text: &str, origin: Origin) {
        self.values.insert(
            key,
            Sourced {
                text: text.to_owned(),
                origin,
            },
        );
    }

    fn add_defaults(&mut self) {
        for known in KNOWN {
            if let Some(default) = known.default {
                self.set(known.key, default, Origin::Default);
            }
        }
    }

    fn add_file(&mut self, config: Option<&Path>) -> Result<(), Failure> {
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
            Failure::usage(format!("{}: {}", path.display(), error.to_string().trim_end()))
        })?;
        for (key, value) in table {
            let Some(known) = known::by_key(&key) else {
                let hint = known::nearest(&key)
                    .map(|near| format!("; did you mean `{near}`?"))
                    .unwrap_or_default();
                return Err(Failure::usage(format!(
                    "{}: `{key}` is not a setting{hint}",
                    path.display()
                )));
            };
            let text = value_text(&value).ok_or_else(|| {
                Failure::usage(format!("{}: `{key}` takes {}", path.display(), known.takes))
            })?;
            self.set(known.key, &text, Origin::File(path.to_owned(), key));
        }
        Ok(())
    }

    fn add_dot_env(&mut self) -> Result<(), Failure> {
        let entries = match dotenvy::from_path_iter(".env") {
            Ok(entries) => entries,
            Err(error) if error.not_found() => return Ok(()),
            Err(error) => return Err(Failure::usage(format!("cannot read `.env`: {error}"))),
        };
        for entry in entries {
            let (name, text) = entry.map_err(|error| Failure::usage(format!(".env: {error}")))?;
            self.add_variable(&name, &text, Origin::DotEnv(name.clone()));
        }
        Ok(())
    }

    fn add_environment(&mut self) {
        for (name, text) in std::env::vars_os() {
            // A name that is no text is none of ours; a value that is none will not pass its check.
            let Some(name) = name.to_str() else { continue };
            self.add_variable(
                name,
                &text.to_string_lossy(),
                Origin::Environment(name.to_owned()),
            );
        }
    }

    /// An empty variable counts as not set, as compose files write them.
    fn add_variable(&mut self, name: &str, text: &str, origin: Origin) {
        if text.trim().is_empty() {
            return;
        }
        if let Some(known) = KNOWN.iter().find(|known| known.variable == Some(name)) {
            self.set(known.key, text.trim(), origin);
        } else if let Some(part) = name.strip_prefix("POSTGRES_") {
            self.postgres.insert(
                part.to_owned(),
                Sourced {
                    text: text.to_owned(),
                    origin,
                },
            );
        }
    }
}

/// A TOML value as the text a flag would have: lists become comma lists.
fn value_text(value: &toml::Value) -> Option<String> {
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
