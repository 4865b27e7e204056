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

/// The keys of the profile that `AWS_PROFILE` names, else of `default`. `None` if there are none: profiles that hand over to
/// another program or to single sign-on are not followed.
pub(super) fn from_files() -> Option<Keys> {
    let profile = std::env::var("AWS_PROFILE").unwrap_or_else(|_| "default".to_owned());
    let file = |variable: &str, name: &str| {
        let path = std::env::var_os(variable)
            .map(PathBuf::from)
            .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".aws").join(name)))?;
        // A file that is not there has no keys, and one that cannot be read has none for us.
        std::fs::read_to_string(path).ok()
    };
    let credentials = file("AWS_SHARED_CREDENTIALS_FILE", "credentials").unwrap_or_default();
    let config = file("AWS_CONFIG_FILE", "config").unwrap_or_default();
    keys(&profile, &credentials, &config)
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
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            here = name.trim() == section;
        } else if here
            && let Some((name, value)) = line.split_once('=')
            && name.trim() == key
        {
            return Some(value.trim().to_owned());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

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
