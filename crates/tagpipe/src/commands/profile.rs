//! `tagpipe profile …`: site profiles.

use std::path::Path;

use tagpipe_core::profile::SiteProfile;

use crate::exit::{Exit, Failure};

/// Prints the built-in profile.
pub(crate) fn show() -> Result<Exit, Failure> {
    print!("{}", SiteProfile::builtin_text());
    Ok(Exit::Done)
}

/// Checks a profile and names the first thing that is wrong with it.
pub(crate) fn check(file: &Path) -> Result<Exit, Failure> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::usage(format!("cannot read `{}`: {error}", file.display())))?;
    let profile = SiteProfile::parse(&text, &file.display().to_string())
        .map_err(|error| Failure::usage(error.to_string()))?;
    println!(
        "{}: {} (version {}) is a valid profile",
        file.display(),
        profile.title,
        profile.version
    );
    Ok(Exit::Done)
}
