//! Keys of Amazon's own files: a profile of `~/.aws/credentials`, as `aws configure` writes it.

use std::path::PathBuf;

/// Keys that were found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Keys {
    pub(super) access_key_id: String,
    pub(super) secret_access_key: String,
    pub(super) session_token: Option<String>,
    pub(super) region: Option<String>,
}

/// Why the profile that somebody has named gives no keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoKeys {
    /// No file has it.
    #[error("there is no profile `{profile}` in `{}` or `{}`", .credentials.display(), .config.display())]
    NoProfile {
        profile: String,
        credentials: PathBuf,
        config: PathBuf,
    },
    /// It hands over to another program, a role or single sign-on, which are not followed.
    #[error(
        "the profile `{0}` has no access key of its own; `aws configure export-credentials --profile {0} --format env` prints what \
         to set"
    )]
    NotItsOwn(String),
}

/// The keys of the profile that `AWS_PROFILE` names, else of `default`, which need not be there.
pub(super) fn from_files() -> Result<Option<Keys>, NoKeys> {
    let named = std::env::var("AWS_PROFILE")
        .ok()
        .filter(|name| !name.trim().is_empty());
    let files = [
        path_of("AWS_SHARED_CREDENTIALS_FILE", "credentials"),
        path_of("AWS_CONFIG_FILE", "config"),
    ];
    // A file that is not there has no keys, and one that cannot be read has none for us.
    let [credentials, config] = files
        .each_ref()
        .map(|file| std::fs::read_to_string(file).unwrap_or_default());
    let Some(profile) = named else {
        return Ok(keys("default", &credentials, &config));
    };
    match keys(&profile, &credentials, &config) {
        Some(found) => Ok(Some(found)),
        None if is_there(&profile, &credentials, &config) => Err(NoKeys::NotItsOwn(profile)),
        None => {
            let [credentials, config] = files;
            Err(NoKeys::NoProfile {
                profile,
                credentials,
                config,
            })
        }
    }
}

/// The file that the variable names, else the one of this name in Amazon's folder.
fn path_of(variable: &str, name: &str) -> PathBuf {
    std::env::var_os(variable).map_or_else(
        || {
            let home = std::env::var_os("HOME").unwrap_or_default();
            PathBuf::from(home).join(".aws").join(name)
        },
        PathBuf::from,
    )
}

/// Whether either file has a section of the profile.
fn is_there(profile: &str, credentials: &str, config: &str) -> bool {
    let has = |text: &str, section: &str| text.lines().filter_map(section_of).any(|name| name == section);
    has(credentials, profile) || has(config, &format!("profile {profile}")) || has(config, profile)
}

fn keys(profile: &str, credentials: &str, config: &str) -> Option<Keys> {
    let long = format!("profile {profile}");
    let value = |key: &str| {
        entry(credentials, profile, key)
            .or_else(|| entry(config, &long, key))
            .or_else(|| entry(config, profile, key))
    };
    Some(Keys {
        access_key_id: value("aws_access_key_id")?,
        secret_access_key: value("aws_secret_access_key")?,
        session_token: value("aws_session_token"),
        region: value("region"),
    })
}

/// The value of `key` in the section `[section]` of an INI file.
fn entry(text: &str, section: &str, key: &str) -> Option<String> {
    let mut here = false;
    for line in text.lines().map(str::trim) {
        if let Some(name) = section_of(line) {
            here = name == section;
        } else if here
            && let Some((name, value)) = line.split_once('=')
            && name.trim() == key
        {
            return Some(value.trim().to_owned());
        }
    }
    None
}

/// The name in a line such as `[default]`.
fn section_of(line: &str) -> Option<&str> {
    let name = line.trim().strip_prefix('[')?.strip_suffix(']')?;
    Some(name.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_without_keys_is_told_from_one_that_is_not_there() {
        let (credentials, config) = (
            "[own]\naws_access_key_id = A\n",
            "[profile sso]\nsso_session = work\n",
        );
        for (profile, expected) in [("own", true), ("sso", true), ("nope", false), ("profile", false)] {
            assert_eq!(is_there(profile, credentials, config), expected, "{profile}");
        }
        let nope = NoKeys::NoProfile {
            profile: "nope".to_owned(),
            credentials: "/h/.aws/credentials".into(),
            config: "/h/.aws/config".into(),
        };
        let told = nope.to_string();
        assert!(
            told.contains("`nope`") && told.contains("`/h/.aws/config`"),
            "{told}"
        );
    }

    #[test]
    fn the_profile_asked_for_is_the_one_taken() {
        let credentials = "[default]\naws_access_key_id = A\naws_secret_access_key=a=b\n\n[other]\naws_access_key_id = B\naws_secret_access_key = c\naws_session_token = t\n";
        let config = "[default]\nregion = eu-central-1\n[profile other]\nregion = eu-west-1\n";
        let found = keys("default", credentials, config).unwrap();
        assert_eq!(
            (found.access_key_id.as_str(), found.secret_access_key.as_str()),
            ("A", "a=b")
        );
        assert_eq!(found.region.as_deref(), Some("eu-central-1"));
        let other = keys("other", credentials, config).unwrap();
        assert_eq!(
            (other.session_token.as_deref(), other.region.as_deref()),
            (Some("t"), Some("eu-west-1"))
        );
        assert_eq!(keys("nobody", credentials, config), None);
    }
}
