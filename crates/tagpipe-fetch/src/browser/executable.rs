//! Where Chromium is.

use std::env;
use std::path::{Path, PathBuf};

use crate::FetchError;

/// Variables that name it, the first one first.
const VARIABLES: [&str; 2] = ["CHROMIUM", "CHROME"];

/// Names it goes by on the `PATH`. The shells without a window come first: the same engine at half the CPU time a page.
const NAMES: [&str; 7] = [
    "chromium-headless-shell",
    "chrome-headless-shell",
    "headless_shell",
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
];

/// The Chromium to use: `setting`, else what the environment names, else the first on the `PATH`.
///
/// # Errors
/// [`FetchError::Unavailable`] when there is none; what is named but missing is not replaced by another.
pub fn find_chromium(setting: Option<&Path>) -> Result<PathBuf, FetchError> {
    find(
        setting,
        |name| env::var_os(name).map(PathBuf::from),
        &search_path(),
    )
}

fn search_path() -> Vec<PathBuf> {
    env::var_os("PATH")
        .map(|path| env::split_paths(&path).collect())
        .unwrap_or_default()
}

fn find(
    setting: Option<&Path>,
    variable: impl Fn(&str) -> Option<PathBuf>,
    folders: &[PathBuf],
) -> Result<PathBuf, FetchError> {
    if let Some(path) = setting {
        return named(path, "the setting", folders);
    }
    for name in VARIABLES {
        if let Some(path) = variable(name).filter(|path| !path.as_os_str().is_empty()) {
            return named(&path, &format!("the environment's `{name}`"), folders);
        }
    }
    NAMES
        .into_iter()
        .find_map(|name| on_path(Path::new(name), folders))
        .ok_or_else(|| unavailable("was not found"))
}

fn named(path: &Path, source: &str, folders: &[PathBuf]) -> Result<PathBuf, FetchError> {
    let is_bare_name = path.components().count() == 1;
    let found = if is_bare_name {
        on_path(path, folders)
    } else {
        path.is_file().then(|| path.to_owned())
    };
    found.ok_or_else(|| unavailable(&format!("is not at `{}`, which {source} names", path.display())))
}

fn on_path(name: &Path, folders: &[PathBuf]) -> Option<PathBuf> {
    folders
        .iter()
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}

fn unavailable(what: &str) -> FetchError {
    FetchError::Unavailable(format!(
        "Chromium {what}; install it with `apt-get install chromium` (Debian, Ubuntu; `chromium-headless-shell` is twice as \
         fast) or `dnf install chromium` (Fedora), or name it with the environment variable `CHROMIUM`, or use `--fetch http` \
         for a site that needs no script"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_comes_before_the_environment_and_that_before_the_path() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["chromium", "google-chrome", "headless_shell", "mine", "theirs"] {
            std::fs::write(folder.path().join(name), "").expect("a file");
        }
        let folders = [PathBuf::from("/nowhere"), folder.path().to_owned()];
        let check = |setting: Option<&str>, variable: Option<&str>, expected: Result<&str, &str>| {
            let setting = setting.map(Path::new);
            let found = find(
                setting,
                |name| variable.filter(|_| name == "CHROME").map(PathBuf::from),
                &folders,
            );
            match (found, expected) {
                (Ok(path), Ok(name)) => assert_eq!(path, folder.path().join(name)),
                (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
                (found, _) => panic!("{found:?}, not {expected:?}"),
            }
        };
        check(Some("mine"), Some("theirs"), Ok("mine"));
        check(None, Some("theirs"), Ok("theirs"));
        check(None, Some(""), Ok("headless_shell"));
        check(None, None, Ok("headless_shell"));
        check(
            Some("/no/such"),
            None,
            Err("Chromium is not at `/no/such`, which the setting names; install"),
        );
        check(
            None,
            Some("absent"),
            Err("which the environment's `CHROME` names"),
        );
        let nothing = find(None, |_| None, &[]).expect_err("nothing there").to_string();
        assert!(
            nothing.starts_with("Chromium was not found; install it with"),
            "{nothing}"
        );
    }
}
