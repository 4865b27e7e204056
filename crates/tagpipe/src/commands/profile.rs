//! `tagpipe profile …`: site profiles.

use std::path::Path;

use serde_json::Value as Json;
use tagpipe_core::inspection::{Fit, inspect};
use tagpipe_core::model::{Identity, PageKind};
use tagpipe_core::profile::SiteProfile;

use super::probe::{INDEX_FILE, fit_in_words, inspection_in_words};
use crate::exit::{Exit, Failure};
use crate::output::{print, print_json};

/// Prints the built-in profile.
pub(crate) fn show() -> Result<Exit, Failure> {
    print(SiteProfile::builtin_text())?;
    Ok(Exit::Done)
}

/// Checks a profile and names the first thing that is wrong with it.
pub(crate) fn check(file: &Path) -> Result<Exit, Failure> {
    let profile = load(file)?;
    print(&format!(
        "{}: {} (version {}) is a valid profile\n",
        file.display(),
        profile.title,
        profile.version
    ))?;
    Ok(Exit::Done)
}

/// Reads a kept page with a profile and shows what it recognises.
pub(crate) fn try_page(
    file: &Path,
    page: &Path,
    level: Option<&str>,
    url: Option<&str>,
    json: bool,
) -> Result<Exit, Failure> {
    let profile = load(file)?;
    let html = std::fs::read(page).map_err(|error| cannot_read(page, &error))?;
    let html = String::from_utf8_lossy(&html);
    let (kind, url) = what_it_is(page, level, url)?;
    let identity = match &url {
        Some(url) => profile.identity_from_href(kind, url).ok_or_else(|| {
            Failure::usage(format!(
                "`{url}` is not the address of a page of {kind} by the profile's template"
            ))
        })?,
        None => Identity::default(),
    };
    let (inspection, _) = inspect(&profile, kind, &identity, &html);
    if json {
        print_json(&inspection)?;
    } else {
        print(&format!(
            "{} as {kind}: {}\n{}",
            page.display(),
            fit_in_words(inspection.fit),
            inspection_in_words(&inspection)
        ))?;
    }
    Ok(match inspection.fit {
        Fit::Fits => Exit::Done,
        Fit::Partly => Exit::PagesFailed,
        Fit::Changed | Fit::NoReport => Exit::LayoutChanged,
    })
}

/// The page's level and address: as given, else as the probe that kept it wrote down.
fn what_it_is(
    page: &Path,
    level: Option<&str>,
    url: Option<&str>,
) -> Result<(PageKind, Option<String>), Failure> {
    let kept = kept(page);
    let kind = match (level, kept["level"].as_str()) {
        (Some(text), _) => text.parse().map_err(|_| {
            Failure::usage(format!(
                "`{text}` is not a level (set by --level); it takes category, year, set, card or graderows"
            ))
        })?,
        (None, Some(name)) => PageKind::ALL
            .into_iter()
            .find(|kind| kind.as_str() == name)
            .ok_or_else(|| Failure::usage(format!("{INDEX_FILE}: `{name}` is not a level")))?,
        (None, None) => {
            return Err(Failure::usage(format!(
                "no {INDEX_FILE} beside `{}` says which level it is; give --level, and --url if it has links",
                page.display()
            )));
        }
    };
    let url = url.or(kept["url"].as_str()).map(str::to_owned);
    Ok((kind, url))
}

/// What the probe wrote down about `page`; null if nothing.
fn kept(page: &Path) -> Json {
    let index = page.with_file_name(INDEX_FILE);
    let read = std::fs::read_to_string(index).ok();
    let index: Json = read
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default();
    let name = page
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    index[name].clone()
}

fn load(file: &Path) -> Result<SiteProfile, Failure> {
    let text = std::fs::read_to_string(file).map_err(|error| cannot_read(file, &error))?;
    SiteProfile::parse(&text, &file.display().to_string()).map_err(|error| Failure::usage(error.to_string()))
}

fn cannot_read(path: &Path, error: &std::io::Error) -> Failure {
    Failure::usage(format!("cannot read `{}`: {error}", path.display()))
}
