//! Addresses as texts: which provider, which bucket, which key. No network and no environment here.

use std::fmt;
use std::path::PathBuf;

use object_store::path::{Path as Key, PathPart};
use url::Url;

/// Where something is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    /// A path of this machine, absolute or from the working folder.
    File(PathBuf),
    /// An object of a cloud, or the prefix of objects.
    Object {
        provider: Provider,
        /// The address up to the bucket, as it is shown: `s3://bucket`.
        bucket: String,
        key: Key,
    },
}

/// Who keeps objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Provider {
    /// Amazon S3, and everything that speaks its language.
    S3,
    /// Google Cloud Storage.
    Google,
    /// Azure Blob Storage.
    Azure,
}

/// A text that is no destination.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDestination {
    /// Nothing at all.
    #[error("an empty text is no destination; write a path, or {FORMS}")]
    Empty,
    /// A scheme that nobody here knows.
    #[error("`{scheme}` is not a place that tagpipe can write to{hint}; write a path, or {FORMS}")]
    UnknownScheme {
        /// As it was written.
        scheme: String,
        /// The nearest known one, in words, or nothing.
        hint: String,
    },
    /// A scheme without what must follow it.
    #[error("`{text}` lacks {what}; write {form}")]
    Incomplete {
        /// As it was written.
        text: String,
        /// What is missing.
        what: &'static str,
        /// A whole one.
        form: &'static str,
    },
    /// Credentials, or what may be some: they would end up in logs.
    #[error(
        "an address has no user, password, query or `#` (not shown here, as they may be secret): {provider} credentials are \
         taken from the environment, see docs/clouds.md"
    )]
    Secrets {
        /// Whose.
        provider: &'static str,
    },
    /// A key that cannot be one.
    #[error("`{text}` is not a valid address: {why}")]
    Invalid {
        /// As it was written.
        text: String,
        /// What is wrong.
        why: String,
    },
}

/// A name that leads out of its folder, or none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a name in a folder; it takes up to 255 bytes without `/`, `\\` and control characters, and is not `.` or `..`"
)]
pub struct InvalidName(String);

const FORMS: &str = "file:///path, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix";

/// The schemes, with who is meant. The first of a provider is the one that is shown.
const SCHEMES: [(&str, Option<Provider>); 9] = [
    ("file", None),
    ("s3", Some(Provider::S3)),
    ("s3a", Some(Provider::S3)),
    ("gs", Some(Provider::Google)),
    ("az", Some(Provider::Azure)),
    ("azure", Some(Provider::Azure)),
    ("abfs", Some(Provider::Azure)),
    ("abfss", Some(Provider::Azure)),
    ("adl", Some(Provider::Azure)),
];

/// The hosts of Azure's addresses: `https://account.blob.core.windows.net/container/prefix`.
const AZURE_HOSTS: [&str; 2] = [".blob.core.windows.net", ".dfs.core.windows.net"];

/// A name's most bytes: what file systems take.
const NAME_MAX: usize = 255;

impl Address {
    pub(super) fn parse(text: &str) -> Result<Address, InvalidDestination> {
        let text = text.trim();
        if text.is_empty() {
            return Err(InvalidDestination::Empty);
        }
        let Some((scheme, rest)) = text.split_once(':').filter(|(scheme, _)| is_scheme(scheme)) else {
            return Ok(Address::File(PathBuf::from(text)));
        };
        let known = SCHEMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(scheme));
        match known {
            Some((_, None)) => file(text, rest),
            Some((_, Some(provider))) => object(*provider, text, rest),
            None if scheme.eq_ignore_ascii_case("https") => azure_https(text),
            // `a:b` is a file's name; `ftp://host` is none.
            None if !rest.starts_with("//") => Ok(Address::File(PathBuf::from(text))),
            None => Err(unknown(scheme)),
        }
    }

    pub(super) fn join(&self, name: &str) -> Result<Address, InvalidName> {
        let invalid = || InvalidName(name.chars().filter(|one| !one.is_control()).take(80).collect());
        let leads_away = name.is_empty()
            || name.len() > NAME_MAX
            || name == "."
            || name == ".."
            || name.contains(['/', '\\'])
            || name.chars().any(char::is_control);
        if leads_away {
            return Err(invalid());
        }
        Ok(match self {
            Address::File(folder) => Address::File(folder.join(name)),
            Address::Object {
                provider,
                bucket,
                key,
            } => Address::Object {
                provider: *provider,
                bucket: bucket.clone(),
                // As it is: the library's own way from a text would write `%C3%9F` for `ß`, and no schema file would name it.
                key: key.clone().join(PathPart::parse(name).map_err(|_| invalid())?),
            },
        })
    }

    pub(super) fn split(&self) -> Option<(Address, String)> {
        match self {
            Address::File(path) => {
                let name = path.file_name()?.to_str()?.to_owned();
                let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
                Some((
                    Address::File(folder.map_or_else(|| PathBuf::from("."), PathBuf::from)),
                    name,
                ))
            }
            Address::Object {
                provider,
                bucket,
                key,
            } => {
                let name = key.filename()?.to_owned();
                let folder = Address::Object {
                    provider: *provider,
                    bucket: bucket.clone(),
                    key: key.parent().unwrap_or(Key::ROOT),
                };
                Some((folder, name))
            }
        }
    }
}

impl Provider {
    /// As its users call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Provider::S3 => "S3",
            Provider::Google => "Google Cloud Storage",
            Provider::Azure => "Azure",
        }
    }

    fn form(self) -> &'static str {
        match self {
            Provider::S3 => "s3://bucket/prefix",
            Provider::Google => "gs://bucket/prefix",
            Provider::Azure => "az://container/prefix",
        }
    }

    fn has_account_in_address(self) -> bool {
        self == Provider::Azure
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::File(path) => path.display().fmt(f),
            Address::Object { bucket, key, .. } if key.as_ref().is_empty() => f.write_str(bucket),
            Address::Object { bucket, key, .. } => write!(f, "{bucket}/{key}"),
        }
    }
}

/// Whether it could be a scheme: a file's name such as `2026:11` has none in front.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text
            .chars()
            .all(|one| one.is_ascii_alphanumeric() || "+-.".contains(one))
}

fn file(text: &str, rest: &str) -> Result<Address, InvalidDestination> {
    let incomplete = || InvalidDestination::Incomplete {
        text: text.to_owned(),
        what: "an absolute path",
        form: "file:///path, or the path alone",
    };
    let url = Url::parse(text).map_err(|_| incomplete())?;
    if !rest.starts_with('/') || url.path().len() < 2 {
        return Err(incomplete());
    }
    url.to_file_path().map(Address::File).map_err(|()| incomplete())
}

fn object(provider: Provider, text: &str, rest: &str) -> Result<Address, InvalidDestination> {
    let incomplete = |what| InvalidDestination::Incomplete {
        text: shown(text),
        what,
        form: provider.form(),
    };
    if !rest.starts_with("//") {
        return Err(incomplete("`//`"));
    }
    let url = Url::parse(text).map_err(|_| incomplete("a bucket"))?;
    let has_account = provider.has_account_in_address() && url.password().is_none();
    if url.query().is_some()
        || url.fragment().is_some()
        || (!url.username().is_empty() && !has_account)
        || url.password().is_some()
    {
        return Err(InvalidDestination::Secrets {
            provider: provider.name(),
        });
    }
    let host = url
        .host_str()
        .filter(|host| !host.is_empty())
        .ok_or_else(|| incomplete("a bucket"))?;
    if url.port().is_some() {
        return Err(InvalidDestination::Invalid {
            text: text.to_owned(),
            why: "a bucket has no port; another server's address belongs into AWS_ENDPOINT_URL".to_owned(),
        });
    }
    let bucket = match url.username() {
        "" => format!("{}://{host}", url.scheme()),
        container => format!("{}://{container}@{host}", url.scheme()),
    };
    Ok(Address::Object {
        provider,
        bucket,
        key: key(text, url.path())?,
    })
}

/// `https://account.blob.core.windows.net/container/prefix`.
fn azure_https(text: &str) -> Result<Address, InvalidDestination> {
    let url = Url::parse(text).map_err(|_| unknown("https"))?;
    let host = url.host_str().unwrap_or_default();
    if !AZURE_HOSTS.iter().any(|end| host.ends_with(end)) {
        return Err(unknown("https"));
    }
    let has_secrets = url.query().is_some() || !url.username().is_empty() || url.password().is_some();
    if has_secrets {
        return Err(InvalidDestination::Secrets {
            provider: Provider::Azure.name(),
        });
    }
    let path = url.path().trim_start_matches('/');
    let (container, rest) = path.split_once('/').unwrap_or((path, ""));
    if container.is_empty() {
        return Err(InvalidDestination::Incomplete {
            text: text.to_owned(),
            what: "a container",
            form: "https://account.blob.core.windows.net/container/prefix",
        });
    }
    Ok(Address::Object {
        provider: Provider::Azure,
        bucket: format!("https://{host}/{container}"),
        key: key(text, rest)?,
    })
}

fn key(text: &str, path: &str) -> Result<Key, InvalidDestination> {
    Key::from_url_path(path.trim_end_matches('/')).map_err(|error| InvalidDestination::Invalid {
        text: text.to_owned(),
        why: error.to_string(),
    })
}

fn unknown(scheme: &str) -> InvalidDestination {
    let scheme = scheme.to_ascii_lowercase();
    let hint = match scheme.as_str() {
        "http" | "https" => {
            "; for a server that speaks S3 write s3://bucket/prefix and set AWS_ENDPOINT_URL".to_owned()
        }
        "gcs" => "; did you mean `gs://`?".to_owned(),
        "aws" | "minio" | "r2" => "; did you mean `s3://`?".to_owned(),
        "blob" | "wasb" | "wasbs" => "; did you mean `az://`?".to_owned(),
        _ => SCHEMES
            .iter()
            .find(|(known, _)| has_swapped(known, &scheme))
            .or_else(|| SCHEMES.iter().find(|(known, _)| differs_by_one(known, &scheme)))
            .map(|(known, _)| format!("; did you mean `{known}://`?"))
            .unwrap_or_default(),
    };
    InvalidDestination::UnknownScheme {
        scheme: format!("{scheme}://"),
        hint,
    }
}

/// Whether it is the same characters in another order.
fn has_swapped(left: &str, right: &str) -> bool {
    let sorted = |text: &str| {
        let mut characters: Vec<char> = text.chars().collect();
        characters.sort_unstable();
        characters
    };
    sorted(left) == sorted(right)
}

/// Whether one character was forgotten, added or mistaken.
fn differs_by_one(left: &str, right: &str) -> bool {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let same_in_front = left
        .iter()
        .zip(&right)
        .take_while(|(one, other)| one == other)
        .count();
    let (left, right) = (&left[same_in_front..], &right[same_in_front..]);
    match (left, right) {
        ([_, rest @ ..], [_, others @ ..]) if rest == others => true,
        ([_, rest @ ..], others) if rest == others => true,
        (rest, [_, others @ ..]) => rest == others,
        _ => false,
    }
}

/// An address that could not be read, without what stands before an `@` or after a `?`.
fn shown(text: &str) -> String {
    let text = text.split(['?', '#']).next().unwrap_or_default();
    match (text.split_once(':'), text.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, place))) => format!("{scheme}:…@{place}"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> String {
        match Address::parse(text) {
            Ok(Address::File(path)) => format!("file {}", path.display()),
            Ok(Address::Object {
                provider,
                bucket,
                key,
            }) => format!("{provider:?} {bucket} {key}"),
            Err(error) => format!("error: {error}"),
        }
    }

    #[test]
    fn addresses_are_what_they_look_like() {
        for (text, expected) in [
            ("backups", "file backups"),
            ("./a/b.csv", "file ./a/b.csv"),
            ("2026:11", "file 2026:11"),
            ("cards:old.csv", "file cards:old.csv"),
            ("/var/backups/", "file /var/backups/"),
            ("file:///var/my%20backups", "file /var/my backups"),
            ("s3://bucket", "S3 s3://bucket "),
            ("s3://bucket/a/b/", "S3 s3://bucket a/b"),
            ("S3://bucket/a", "S3 s3://bucket a"),
            ("gs://bucket/a", "Google gs://bucket a"),
            ("az://container/a", "Azure az://container a"),
            (
                "abfss://container@account.dfs.core.windows.net/a",
                "Azure abfss://container@account.dfs.core.windows.net a",
            ),
            (
                "https://account.blob.core.windows.net/container/a/b",
                "Azure https://account.blob.core.windows.net/container a/b",
            ),
        ] {
            assert_eq!(parsed(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_what_would_be_right() {
        for (text, words) in [
            ("", &["path", "s3://"][..]),
            ("ftp://host/a", &["ftp://", "s3://bucket/prefix"]),
            ("s4://bucket", &["did you mean `s3://`"]),
            ("sg://bucket", &["did you mean `gs://`"]),
            ("gcs://bucket", &["did you mean `gs://`"]),
            ("flie:///a", &["did you mean `file://`"]),
            ("http://localhost:9000/bucket", &["AWS_ENDPOINT_URL"]),
            ("https://example.com/a", &["AWS_ENDPOINT_URL"]),
            ("s3:bucket", &["`//`", "s3://bucket/prefix"]),
            ("s3://", &["a bucket"]),
            ("s3://bucket:9000/a", &["AWS_ENDPOINT_URL"]),
            ("file:a", &["absolute path"]),
            ("https://account.blob.core.windows.net/", &["a container"]),
        ] {
            let told = parsed(text);
            assert!(told.starts_with("error: "), "{text}: {told}");
            for word in words {
                assert!(told.contains(word), "{text}: `{word}` in {told}");
            }
        }
    }

    #[test]
    fn secrets_are_refused_and_not_repeated() {
        for text in [
            "s3://AKIASECRET:hush@bucket/a",
            "s3://AKIASECRET@bucket/a",
            "s3:AKIASECRET:hush@bucket/a",
            "gs://bucket/a?token=hush",
            "az://container:hush@account.blob.core.windows.net/a",
            "https://account.blob.core.windows.net/container?sig=hush",
        ] {
            let told = parsed(text);
            assert!(told.starts_with("error: "), "{text}: {told}");
            assert!(!told.contains("hush") && !told.contains("SECRET"), "{told}");
        }
    }

    #[test]
    fn a_name_stays_in_its_folder() {
        for text in ["backups", "s3://bucket/a", "s3://bucket"] {
            let folder = Address::parse(text).unwrap();
            for name in ["", ".", "..", "a/b", "/etc", "a\\b", "a\nb", &"x".repeat(256)] {
                assert!(folder.join(name).is_err(), "{name:?}");
            }
            for name in ["50%25 #1?.csv", "weiß~schwarz.csv", "ヴァイス"] {
                let inside = folder.join(name).unwrap();
                assert_eq!(inside.split().unwrap(), (folder.clone(), name.to_owned()));
                assert_eq!(inside.to_string(), format!("{text}/{name}"));
            }
        }
    }
}
