//! Whom to tell what: the channels of `[[notify.channels]]`, and one of each kind by settings of its own, which have environment
//! variables.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::tz::TimeZone;
use tagpipe_core::news::{NewsKind, NewsLevel};
use tagpipe_sinks::notify::rules::{Hours, QuietHours, Rules};
use tagpipe_sinks::notify::{
    Channel, EmailSettings, NtfySettings, Secret, Security, SlackSettings, Way, WebhookSettings, signing_key,
};
use url::Url;

use super::checked::{news_limits, parse_time, time_zone};
use super::known;
use super::sources::{Merged, Origin, Shown, Sourced, value_text};
use crate::exit::Failure;

/// A channel as it is written: keys and texts.
#[derive(Debug, Clone)]
pub(super) struct RawChannel {
    name: String,
    kind: &'static Kind,
    /// Where its kind was set.
    origin: Origin,
    values: BTreeMap<&'static str, Sourced>,
}

/// What a channel of a kind takes, besides name, kind and rules.
#[derive(Debug)]
struct Kind {
    name: &'static str,
    /// The key that there is no channel without.
    first: &'static str,
    keys: &'static [&'static str],
}

const KINDS: [Kind; 4] = [
    Kind {
        name: "email",
        first: "server",
        keys: &["server", "security", "user", "password", "from", "to", "ca_file"],
    },
    Kind {
        name: "slack",
        first: "url",
        keys: &["url"],
    },
    Kind {
        name: "webhook",
        first: "url",
        keys: &["url", "secret"],
    },
    Kind {
        name: "ntfy",
        first: "url",
        keys: &["url", "token"],
    },
];

/// Keys that each channel takes; those that are missing are taken from the settings of the same name.
const RULES: [&str; 4] = ["events", "level", "quiet_hours", "digest"];

/// What is shown to nobody. Each may also be given as `…_env`, the name of an environment variable, or `…_file`.
const SECRETS: [&str; 4] = ["password", "url", "secret", "token"];

/// The channels that there are, checked.
///
/// # Errors
/// A value is wrong: it names itself, where it was set, and what would be right.
pub(crate) fn channels(merged: &Merged) -> Result<Vec<Channel>, Failure> {
    let mut raw: Vec<RawChannel> = KINDS
        .iter()
        .filter_map(|kind| RawChannel::of_settings(kind, merged))
        .collect();
    raw.extend(merged.raw_channels().iter().cloned());
    let mut channels: Vec<Channel> = Vec::new();
    for one in &raw {
        if channels.iter().any(|other| other.name == one.name) {
            return Err(Failure::usage(format!(
                "there are two channels `{}`; each takes a name of its own",
                one.name
            )));
        }
        channels.push(one.checked(merged)?);
    }
    // Nobody sends by these; but wrong ones are wrong for whoever is told.
    dashboard_url(merged)?;
    news_limits(merged)?;
    Ok(channels)
}

/// Where people see the dashboard.
///
/// # Errors
/// It is no address.
pub(crate) fn dashboard_url(merged: &Merged) -> Result<Option<Url>, Failure> {
    let Some(given) = merged.get("notify_dashboard_url") else {
        return Ok(None);
    };
    let mut text = given.text.clone();
    if !text.ends_with('/') {
        text.push('/');
    }
    Url::parse(&text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https"))
        .map(Some)
        .ok_or_else(|| merged.wrong("notify_dashboard_url"))
}

impl RawChannel {
    /// The channel that settings such as `notify_slack_url` make, if they do.
    fn of_settings(kind: &'static Kind, merged: &Merged) -> Option<RawChannel> {
        let setting = |key: &str| merged.get(&format!("notify_{}_{key}", kind.name));
        let origin = setting(kind.first)?.origin.clone();
        let values = kind
            .keys
            .iter()
            .filter_map(|key| Some((*key, setting(key)?.clone())))
            .collect();
        Some(RawChannel {
            name: kind.name.to_owned(),
            kind,
            origin,
            values,
        })
    }

    /// The channels of a file.
    pub(super) fn of_file(path: &Path, value: &toml::Value) -> Result<Vec<RawChannel>, Failure> {
        let tables: Option<Vec<&toml::Table>> = value
            .as_array()
            .and_then(|channels| channels.iter().map(toml::Value::as_table).collect());
        let tables = tables.ok_or_else(|| {
            Failure::usage(format!(
                "{}: each channel is a table [[notify.channels]]",
                path.display()
            ))
        })?;
        tables
            .into_iter()
            .map(|table| RawChannel::of_table(path, table))
            .collect()
    }

    fn of_table(path: &Path, table: &toml::Table) -> Result<RawChannel, Failure> {
        let text = |key: &str| table.get(key).and_then(toml::Value::as_str).unwrap_or_default();
        let (name, kind_name) = (text("name").to_owned(), text("kind"));
        let refused = |words: String| Failure::usage(format!("{}: {words}", path.display()));
        let is_name = |character: char| character.is_ascii_alphanumeric() || "_-.".contains(character);
        if name.is_empty() || name.len() > 64 || !name.chars().all(is_name) {
            return Err(refused(format!(
                "`{name}` is not a valid name of a channel; it takes 1 to 64 letters, digits, `_`, `-` and `.`"
            )));
        }
        let kind = KINDS.iter().find(|kind| kind.name == kind_name).ok_or_else(|| {
            refused(format!(
                "`{kind_name}` is not a valid kind of channel `{name}`; it takes email, slack, webhook or ntfy"
            ))
        })?;
        let mut channel = RawChannel {
            origin: Origin::File(path.to_owned(), format!("notify.channels.{name}.kind")),
            name,
            kind,
            values: BTreeMap::new(),
        };
        for (key, value) in table {
            if key != "name" && key != "kind" {
                channel.add(path, key, value)?;
            }
        }
        Ok(channel)
    }

    fn add(&mut self, path: &Path, key: &str, value: &toml::Value) -> Result<(), Failure> {
        let name = &self.name;
        let keys = || self.kind.keys.iter().chain(&RULES).copied();
        let secret_key = |key: &str| {
            SECRETS
                .into_iter()
                .find(|secret| *secret == key && self.kind.keys.contains(secret))
        };
        let by_name = key.strip_suffix("_env").and_then(secret_key);
        // `ca_file` is a key of its own.
        let by_file = key.strip_suffix("_file").and_then(secret_key);
        let Some(known) = keys().find(|known| *known == key).or(by_name).or(by_file) else {
            let hint = known::nearest_of(key, keys())
                .map(|near| format!("; did you mean `{near}`?"))
                .unwrap_or_default();
            return Err(Failure::usage(format!(
                "{}: `{key}` is not a setting of channel `{name}` ({}){hint}",
                path.display(),
                self.kind.name
            )));
        };
        let origin = Origin::File(path.to_owned(), format!("notify.channels.{name}.{key}"));
        let text = value_text(value).ok_or_else(|| {
            Failure::usage(format!(
                "{}: `{key}` of channel `{name}` takes a text",
                path.display()
            ))
        })?;
        let text = if by_name.is_some() {
            std::env::var(&text).map_err(|_| {
                Failure::usage(format!(
                    "the environment variable {text} is not set, which is to hold the {known} of channel `{name}` (set by {origin})"
                ))
            })?
        } else if by_file.is_some() {
            let content = std::fs::read_to_string(&text).map_err(|error| {
                Failure::usage(format!("cannot read `{text}` (set by {origin}): {error}"))
            })?;
            content.trim_end_matches(['\r', '\n']).to_owned()
        } else {
            text
        };
        if self.values.insert(known, Sourced { text, origin }).is_some() {
            return Err(Failure::usage(format!(
                "{}: the {known} of channel `{name}` is given twice",
                path.display()
            )));
        }
        Ok(())
    }

    /// Its settings as they are shown: secrets are masked.
    pub(super) fn shown(&self) -> Vec<Shown> {
        let kind = Shown {
            key: format!("notify.channels.{}.kind", self.name),
            value: Some(self.kind.name.to_owned()),
            origin: self.origin.to_string(),
            takes: "email, slack, webhook or ntfy".to_owned(),
            variable: None,
        };
        let values = self.values.iter().map(|(key, value)| Shown {
            key: format!("notify.channels.{}.{key}", self.name),
            value: Some(match SECRETS.contains(key) {
                true => "***".to_owned(),
                false => value.text.clone(),
            }),
            origin: value.origin.to_string(),
            takes: self.takes(key).to_owned(),
            variable: None,
        });
        std::iter::once(kind).chain(values).collect()
    }

    fn checked(&self, merged: &Merged) -> Result<Channel, Failure> {
        Ok(Channel {
            name: self.name.clone(),
            way: self.way()?,
            rules: self.rules(merged)?,
        })
    }

    fn way(&self) -> Result<Way, Failure> {
        Ok(match self.kind.name {
            "email" => Way::Email(self.email()?),
            "slack" => Way::Slack(SlackSettings {
                url: self.address("url")?,
            }),
            "webhook" => Way::Webhook(WebhookSettings {
                url: self.address("url")?,
                secret: match self.text("secret") {
                    Some(secret) if signing_key(secret).is_none() => return Err(self.wrong("secret")),
                    secret => secret.map(Secret::new),
                },
            }),
            _ => Way::Ntfy(NtfySettings {
                url: self.address("url")?,
                token: self.text("token").map(Secret::new),
            }),
        })
    }

    fn email(&self) -> Result<EmailSettings, Failure> {
        let server = self.needed("server")?;
        let (host, port) = match server.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().map_err(|_| self.wrong("server"))?)),
            None => (server, None),
        };
        if host.is_empty() || host.contains(['/', '@', ' ']) {
            return Err(self.wrong("server"));
        }
        let login = match (self.text("user"), self.text("password")) {
            (Some(user), Some(password)) => Some((user.to_owned(), Secret::new(password))),
            (None, None) => None,
            (Some(_), None) => return Err(self.wrong("password")),
            (None, Some(_)) => return Err(self.wrong("user")),
        };
        let to = self.needed("to")?.split(',').map(|to| to.trim().to_owned());
        Ok(EmailSettings {
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
            security: Security::from_name(self.text("security").unwrap_or("starttls"))
                .ok_or_else(|| self.wrong("security"))?,
            login,
            from: self.needed("from")?.to_owned(),
            to: to.collect(),
            ca_file: self.text("ca_file").map(PathBuf::from),
        })
    }

    fn rules(&self, merged: &Merged) -> Result<Rules, Failure> {
        Ok(Rules {
            kinds: self.rule(merged, "events", kinds)?.flatten(),
            level: self
                .rule(merged, "level", NewsLevel::from_name)?
                .unwrap_or(NewsLevel::Info),
            quiet_hours: match self.rule(merged, "quiet_hours", |text| text.parse::<Hours>().ok())? {
                None => None,
                Some(hours) => {
                    let zone = TimeZone::get(&time_zone(merged)?).map_err(|_| merged.wrong("timezone"))?;
                    Some(QuietHours::new(hours, zone))
                }
            },
            digest: self.rule(merged, "digest", span)?.unwrap_or_default(),
        })
    }

    /// A rule of this channel, else the one that holds for all.
    fn rule<T>(
        &self,
        merged: &Merged,
        key: &'static str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, Failure> {
        if let Some(text) = self.text(key) {
            return read(text).map(Some).ok_or_else(|| self.wrong(key));
        }
        let of_all = format!("notify_{key}");
        match merged.get(&of_all) {
            Some(given) => read(&given.text).map(Some).ok_or_else(|| merged.wrong(&of_all)),
            None => Ok(None),
        }
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(|value| value.text.as_str())
    }

    fn needed(&self, key: &str) -> Result<&str, Failure> {
        self.text(key)
            .filter(|text| !text.trim().is_empty())
            .ok_or_else(|| self.wrong(key))
    }

    fn address(&self, key: &str) -> Result<Secret, Failure> {
        let text = self.needed(key)?;
        Url::parse(text)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .map(|_| Secret::new(text))
            .ok_or_else(|| self.wrong(key))
    }

    fn wrong(&self, key: &str) -> Failure {
        let (name, takes) = (&self.name, self.takes(key));
        match self.values.get(key) {
            Some(Sourced { text, origin }) => {
                let text = if SECRETS.contains(&key) { "***" } else { text };
                Failure::usage(format!(
                    "`{text}` is not a valid {key} of channel `{name}` (set by {origin}); it takes {takes}"
                ))
            }
            None => Failure::usage(format!("channel `{name}` has no {key}; it takes {takes}")),
        }
    }

    /// What a right value looks like: of rules what the setting for all takes, else that of the channel that has settings.
    fn takes(&self, key: &str) -> &'static str {
        let setting = match RULES.contains(&key) {
            true => format!("notify_{key}"),
            false => format!("notify_{}_{key}", self.kind.name),
        };
        known::by_key(&setting).map_or("", |known| known.takes)
    }
}

/// `all`, or kinds of news.
fn kinds(text: &str) -> Option<Option<Vec<NewsKind>>> {
    match text.trim() {
        "all" => Some(None),
        list => list
            .split(',')
            .map(NewsKind::from_name)
            .collect::<Option<Vec<_>>>()
            .map(Some),
    }
}

/// A time, or none.
fn span(text: &str) -> Option<Duration> {
    match text.trim() {
        "0" | "0s" => Some(Duration::ZERO),
        text => parse_time(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The channels of this file.
    fn of_file(text: &str) -> Result<Vec<Channel>, Failure> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), text).expect("it is written");
        let mut merged = Merged::default();
        merged.add_defaults();
        merged.add_file(Some(file.path()))?;
        channels(&merged)
    }

    #[test]
    fn channels_have_the_rules_of_all_or_their_own() {
        let found = of_file(
            "timezone = \"Europe/Berlin\"\n[notify]\nlevel = \"error\"\ndigest = \"0\"\n\
             [[notify.channels]]\nname = \"ops\"\nkind = \"slack\"\nurl = \"https://hooks.example.com/x\"\n\
             quiet_hours = \"22:00-07:00\"\n\
             [[notify.channels]]\nname = \"me\"\nkind = \"email\"\nserver = \"[::1]:2525\"\nsecurity = \"plain\"\n\
             from = \"a@example.com\"\nto = [\"b@example.com\", \"c@example.com\"]\nlevel = \"info\"\n\
             events = [\"run_failed\", \"layout-changed\"]\n",
        )
        .expect("right channels");
        assert_eq!(found.len(), 2);
        let (ops, me) = (&found[0], &found[1]);
        assert_eq!((ops.name.as_str(), ops.rules.level), ("ops", NewsLevel::Error));
        assert!(ops.rules.kinds.is_none() && ops.rules.quiet_hours.is_some());
        assert_eq!(ops.rules.digest, Duration::ZERO);
        assert_eq!(me.rules.level, NewsLevel::Info);
        let kinds = vec![NewsKind::RunFailed, NewsKind::LayoutChanged];
        assert_eq!(me.rules.kinds, Some(kinds));
        let Way::Email(email) = &me.way else {
            panic!("it is mail");
        };
        assert_eq!((email.port, email.to.len()), (Some(2525), 2));
    }

    #[test]
    fn what_is_wrong_names_itself_and_no_secret() {
        let slack = "[[notify.channels]]\nname = \"ops\"\nkind = \"slack\"\n";
        for (text, words) in [
            (
                "[notify]\nlevle = \"error\"\n",
                &["notify.levle", "did you mean `level`"][..],
            ),
            ("[[notify.channels]]\nkind = \"slack\"\n", &["name of a channel"]),
            (
                "[[notify.channels]]\nname = \"ops\"\nkind = \"pigeon\"\n",
                &["`pigeon`", "email, slack"],
            ),
            (slack, &["`ops` has no url"]),
            (
                &format!("{slack}url = \"hunter2\"\n"),
                &["`***`", "url of channel `ops`"],
            ),
            (
                &format!("{slack}adress = \"x\"\n"),
                &["`adress`", "channel `ops`"],
            ),
            (&format!("{slack}urll = \"x\"\n"), &["did you mean `url`"]),
            (
                &format!("{slack}url = \"https://x.example/hunter2\"\nlevel = \"loud\"\n"),
                &["`loud`", "level of channel `ops`", "critical"],
            ),
            (
                &format!("{slack}url = \"https://x.example/\"\nurl_env = \"HOME\"\n"),
                &["url of channel `ops` is given twice"],
            ),
            (
                &format!("{slack}url_env = \"NOT_SET_ANYWHERE\"\n"),
                &["NOT_SET_ANYWHERE", "not set"],
            ),
            (
                &format!("{slack}url = \"https://x.example/\"\n{slack}url = \"https://x.example/\"\n"),
                &["two channels `ops`"],
            ),
            (
                "[[notify.channels]]\nname = \"w\"\nkind = \"webhook\"\nurl = \"https://x.example/\"\nsecret = \"hunter2\"\n",
                &["`***`", "secret of channel `w`", "16"],
            ),
            (
                "[[notify.channels]]\nname = \"m\"\nkind = \"email\"\nserver = \"x\"\nuser = \"me\"\n",
                &["`m` has no password"],
            ),
            (
                "[notify]\nerror_rate = 20\n",
                &["`20`", "notify_error_rate", "0 to 1"],
            ),
            (
                "[notify]\nbrake_after = \"soon\"\n",
                &["`soon`", "notify_brake_after", "15m"],
            ),
        ] {
            let refused = of_file(text).expect_err(text);
            for word in words {
                assert!(refused.message.contains(word), "`{word}` in {}", refused.message);
            }
            assert!(!refused.message.contains("hunter2"), "{}", refused.message);
        }
    }

    #[test]
    fn each_value_of_a_channel_tells_where_it_was_set() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let text = "[[notify.channels]]\nlevel = \"error\"\nname = \"ops\"\nkind = \"slack\"\nurl = \"https://x.example/\"\n";
        std::fs::write(file.path(), text).expect("it is written");
        let mut merged = Merged::default();
        merged.add_file(Some(file.path())).expect("a right file");
        for key in ["kind", "level", "url"] {
            let key = format!("notify.channels.ops.{key}");
            let shown = merged.shown().into_iter().find(|one| one.key == key);
            let origin = shown.expect("it is shown").origin;
            assert_eq!(origin, format!("{key} in {}", file.path().display()));
        }
    }

    #[test]
    fn a_variable_makes_a_channel_of_its_kind() {
        let mut merged = Merged::default();
        merged.add_defaults();
        for (name, text) in [
            ("PIPELINE_NOTIFY_NTFY_URL", "https://ntfy.sh/cards"),
            ("PIPELINE_NOTIFY_LEVEL", "warning"),
            ("PIPELINE_NOTIFY_EVENTS", "run_failed,watch_changed"),
        ] {
            merged
                .add_variable(name, text, Origin::Environment(name.to_owned()))
                .expect("a right variable");
        }
        let found = channels(&merged).expect("a right channel");
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].name.as_str(), found[0].way.kind()), ("ntfy", "ntfy"));
        assert_eq!(found[0].rules.level, NewsLevel::Warning);
        let shown = merged.shown();
        let url = shown
            .iter()
            .find(|one| one.key == "notify_ntfy_url")
            .expect("it is shown");
        assert_eq!(url.value.as_deref(), Some("***"));
    }
}
