//! The site profile: everything tagpipe knows about a site's markup, in one declarative file. Addresses,
//! selectors, header names, grade labels, screens and pacing advice live here and nowhere else, so a
//! changed site, or another grader's report, needs an edited copy of the file and no other program.
//!
//! A profile is checked whole when it is loaded; after that nothing of it can fail. It knows no page's
//! content: that is [`crate::extract`].

mod address;
mod check;
mod error;
mod grades;
mod levels;
mod raw;
mod screens;

use std::borrow::Cow;
use std::time::Duration;

use serde::Serialize;
use url::Url;

pub use address::UnfetchableIdentity;
pub(crate) use address::{holds_escape, query_pairs};
pub use error::ProfileError;
pub(crate) use grades::GradeRules;
pub use grades::ScaleEntry;
pub(crate) use levels::{FieldRule, Header, Level, Pick};
pub(crate) use screens::{PagerRules, Screen, Screens, TableRules};
pub use screens::{PagerSource, ScreenSource};

use crate::extract::DOCUMENT_MAX_BYTES;
use crate::model::{Identity, PageKind, fold_name};
use error::Source;
use raw::{RawBrowser, RawFormat, RawHttp, RawPace, RawProfile, RawSite};

/// The format of profile files that this version reads.
const FORMAT: i64 = 1;

/// A checked site profile.
#[derive(Debug, Clone)]
pub struct SiteProfile {
    /// Short name, e.g. `tag`.
    pub name: String,
    /// Version of the reading rules: rows read under another version may differ.
    pub version: String,
    /// Name for people.
    pub title: String,
    /// The site's origin: scheme, host and port, path `/`.
    pub origin: Url,
    /// What a page needs before it has content.
    pub fetch: FetchNeed,
    /// What the site tolerates.
    pub pace: PaceAdvice,
    /// Limits of a plain request.
    pub http: HttpLimits,
    /// Rules of a browser.
    pub browser: BrowserRules,
    pub(crate) screens: Screens,
    pub(crate) table: TableRules,
    pub(crate) pager: Option<PagerRules>,
    pub(crate) grades: GradeRules,
    levels: [Level; 5],
}

/// What a page needs before it has content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchNeed {
    /// Script: only a browser shows it.
    Browser,
    /// Nothing: the first answer holds it.
    Http,
}

/// What the site tolerates for long periods, and how to yield when it refuses.
#[derive(Debug, Clone, PartialEq)]
pub struct PaceAdvice {
    /// Between two page loads, over all runners together.
    pub interval: Duration,
    /// The same in words.
    pub advice: String,
    /// Added to the interval by the first refusal.
    pub brake_first: Duration,
    /// Each further refusal multiplies the addition by this, at least 1.
    pub brake_growth: f64,
    /// Most that is ever added.
    pub brake_most: Duration,
    /// Taken off again by each good page.
    pub brake_ease: Duration,
    /// Refusals in a row, over all runners, after which the run stops; at least 1.
    pub give_up_after: u32,
}

/// Limits of a plain request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpLimits {
    /// For a whole answer.
    pub timeout: Duration,
    /// Largest document in bytes.
    pub max_bytes: u64,
}

/// Rules of a browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrowserRules {
    /// Until content must have appeared.
    pub timeout: Duration,
    /// Time without a further row before rows count as all there, where no pager tells.
    pub settle: Duration,
    /// Addresses that are never loaded, with `*` for any text.
    pub block: Vec<String>,
}

/// What a script in the page waits for. Serialises to JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WaitRules {
    /// A CSS selector of rows (or tiles); a row of totals and the one cell of an empty table match it too.
    pub row: String,
    /// A CSS selector of the cells of a row; `null` where rows are tiles.
    pub cell: Option<String>,
    /// The text in the first or second cell that makes a row one of totals.
    pub totals: Option<String>,
    /// The site says that there are no rows.
    pub empty: Vec<ScreenSource>,
    /// The not-found screen; counts only where there are no rows.
    pub not_found: Vec<ScreenSource>,
    /// A captcha or a login.
    pub blocked: Vec<ScreenSource>,
    /// How the pager is read, if the site has one.
    pub pager: Option<PagerSource>,
}

impl SiteProfile {
    /// The text of the profile that is built in, with comments: what users copy and edit.
    #[must_use]
    pub fn builtin_text() -> &'static str {
        include_str!("../../profiles/tag.toml")
    }

    /// The profile of the TAG population report.
    #[must_use]
    pub fn builtin() -> SiteProfile {
        SiteProfile::parse(SiteProfile::builtin_text(), "the built-in profile")
            .expect("the built-in profile is part of the program and tested")
    }

    /// Reads and checks a profile. `source` names the text in errors: its path.
    ///
    /// # Errors
    /// The first thing in `text` that cannot be used, with line and field.
    pub fn parse(text: &str, source: &str) -> Result<SiteProfile, ProfileError> {
        let source = Source { file: source, text };
        check_format(&source)?;
        let raw: RawProfile = toml::from_str(text).map_err(|error| source.shape_error(&error))?;
        let (origin, fetch) = check_site(&raw.site, &source)?;
        let grades = GradeRules::check(&raw.grades, &source)?;
        Ok(SiteProfile {
            name: source.filled("name", &raw.name)?.to_owned(),
            version: source.filled("version", &raw.version)?.to_owned(),
            title: raw.title,
            origin,
            fetch,
            pace: check_pace(raw.pace, &source)?,
            http: check_http(&raw.http, &source)?,
            browser: check_browser(raw.browser, &source)?,
            screens: Screens::check(&raw.screens, &source)?,
            table: TableRules::check(&raw.table, &source)?,
            pager: raw
                .pager
                .as_ref()
                .map(|pager| PagerRules::check(pager, &source))
                .transpose()?,
            levels: levels::check_levels(&raw.levels, &raw.table, &grades.scale, &source)?,
            grades,
        })
    }

    /// The same profile for a site at another origin, such as the demo site.
    #[must_use]
    pub fn with_origin(mut self, origin: Url) -> SiteProfile {
        self.origin = origin;
        self
    }

    /// The count columns in order: code, grade and label.
    #[must_use]
    pub fn scale(&self) -> &[ScaleEntry] {
        &self.grades.scale
    }

    /// Path and query, percent-encoded, of the page of `kind` with `identity`.
    ///
    /// # Errors
    /// When a part without which there is no address is empty, or is `.` or `..`.
    pub fn page_url(&self, kind: PageKind, identity: &Identity) -> Result<String, UnfetchableIdentity> {
        self.level(kind).address.write(identity)
    }

    /// The identity of the page of `kind` that `href`, as found in a page, leads to. `None` when it leads
    /// elsewhere or when that is not certain: to another origin, to another shape of address, by a relative
    /// path, or over a raw `#`, `\` or `?` that may belong to a name. Parameters the template does not
    /// name are ignored.
    #[must_use]
    pub fn identity_from_href(&self, kind: PageKind, href: &str) -> Option<Identity> {
        self.level(kind).address.read(&self.path_and_query(href)?)
    }

    /// The identity that the page of `kind` had when it was read from `url`, path and query: `now`, with what the address
    /// says of its parts. A row may have been renamed since, and the links of the page lead by the old name.
    #[must_use]
    pub fn identity_when_read(&self, kind: PageKind, now: &Identity, url: &str) -> Identity {
        let mut identity = now.clone();
        let Some(then) = self.identity_from_href(kind, url) else {
            return identity;
        };
        for part in self.level(kind).address.parts() {
            let Some((one, other)) = identity.part_mut(part).zip(then.part(part)) else {
                continue;
            };
            // Of a category the spelling that is shown is kept, which addresses need not have.
            if fold_name(one) != fold_name(other) || part != "category" {
                other.clone_into(one);
            }
        }
        identity
    }

    /// As [`SiteProfile::identity_from_href`], with the page's address where the clean identity would lead
    /// elsewhere: a name with a tab in it is shown without, but only found with it.
    pub(crate) fn child_from_href(&self, kind: PageKind, href: &str) -> Option<(Identity, Option<String>)> {
        let address = &self.level(kind).address;
        let written = address.read_as_written(&self.path_and_query(href)?)?;
        let clean = written.clone().cleaned();
        let url = if written == clean {
            None
        } else {
            Some(address.write(&written).ok()?)
        };
        Some((clean, url))
    }

    /// What a script in a page of `kind` waits for.
    #[must_use]
    pub fn wait_rules(&self, kind: PageKind) -> WaitRules {
        let level = self.level(kind);
        let sources = |screens: &[Screen]| screens.iter().map(|screen| screen.source.clone()).collect();
        WaitRules {
            row: level.row_source.clone(),
            cell: level.is_table().then(|| level.cell_source.clone()),
            totals: self.table.totals.clone(),
            empty: sources(&self.screens.empty),
            not_found: sources(&self.screens.not_found),
            blocked: sources(&self.screens.blocked),
            pager: self.pager.as_ref().map(|pager| pager.source.clone()),
        }
    }

    /// The CSS selector of the rows (or tiles) of pages of `kind`.
    #[must_use]
    pub fn rows_selector(&self, kind: PageKind) -> &str {
        &self.level(kind).row_source
    }

    pub(crate) fn level(&self, kind: PageKind) -> &Level {
        &self.levels[usize::from(kind.level())]
    }

    /// Path and query of `href`, as written, if it leads to this site by an absolute path or URL.
    pub(crate) fn path_and_query<'h>(&self, href: &'h str) -> Option<Cow<'h, str>> {
        let href = href.trim();
        if href.contains('\\') {
            return None;
        }
        if href.starts_with('/') && !href.starts_with("//") {
            return Some(Cow::Borrowed(href));
        }
        let (scheme, _) = href.split_once("//")?;
        if !["", "http:", "https:"]
            .iter()
            .any(|known| scheme.eq_ignore_ascii_case(known))
        {
            return None;
        }
        let authority_start = scheme.len() + 2;
        let path_start = href[authority_start..]
            .find(['/', '?', '#'])
            .map_or(href.len(), |n| authority_start + n);
        let found = self.origin.join(&href[..path_start]).ok()?;
        let is_own = found.origin() == self.origin.origin()
            && found.username().is_empty()
            && found.password().is_none();
        let rest = &href[path_start..];
        match (is_own, rest.starts_with('/')) {
            (false, _) => None,
            (true, true) => Some(Cow::Borrowed(rest)),
            (true, false) => Some(Cow::Owned(format!("/{rest}"))),
        }
    }
}

fn check_format(source: &Source<'_>) -> Result<(), ProfileError> {
    let found: RawFormat = toml::from_str(source.text).map_err(|error| source.shape_error(&error))?;
    match found.format {
        Some(format) if format.get_ref().as_integer() == Some(FORMAT) => Ok(()),
        Some(format) => {
            let problem = format!(
                "{} is not a format this version reads; it reads {FORMAT}",
                format.get_ref()
            );
            Err(source.error(&format.span(), "format", problem))
        }
        None => Err(source.error(&(0..0), "format", format!("is missing; write format = {FORMAT}"))),
    }
}

fn check_site(raw: &RawSite, source: &Source<'_>) -> Result<(Url, FetchNeed), ProfileError> {
    let text = raw.origin.get_ref();
    let origin = Url::parse(text).ok().filter(|url| {
        let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        matches!(url.scheme(), "http" | "https")
            && is_bare
            && url.username().is_empty()
            && url.password().is_none()
    });
    let origin = origin.ok_or_else(|| {
        let problem = format!("`{text}` is not an origin; write one such as https://my.example.com");
        source.error(&raw.origin.span(), "site.origin", problem)
    })?;
    let fetch = match raw.fetch.get_ref().as_str() {
        "browser" => FetchNeed::Browser,
        "http" => FetchNeed::Http,
        other => {
            let problem = format!("`{other}` is not known; write \"browser\" or \"http\"");
            return Err(source.error(&raw.fetch.span(), "site.fetch", problem));
        }
    };
    Ok((origin, fetch))
}

/// Longest interval a profile may ask for, in seconds.
const INTERVAL_MAX: f64 = 86_400.0;
/// Longest wait for one page, in seconds.
const TIMEOUT_MAX: f64 = 3_600.0;

fn check_pace(raw: RawPace, source: &Source<'_>) -> Result<PaceAdvice, ProfileError> {
    let seconds = |field: &str, number| source.seconds(&format!("pace.{field}"), number, 0.0..=INTERVAL_MAX);
    Ok(PaceAdvice {
        interval: seconds("interval", &raw.interval)?,
        brake_first: seconds("brake_first", &raw.brake_first)?,
        brake_growth: source.number("pace.brake_growth", &raw.brake_growth, 1.0..=100.0)?,
        brake_most: seconds("brake_most", &raw.brake_most)?,
        brake_ease: seconds("brake_ease", &raw.brake_ease)?,
        give_up_after: source.whole_number("pace.give_up_after", &raw.give_up_after, 1..=1_000_000)?,
        advice: raw.advice,
    })
}

fn check_http(raw: &RawHttp, source: &Source<'_>) -> Result<HttpLimits, ProfileError> {
    let bytes_max = u32::try_from(DOCUMENT_MAX_BYTES).unwrap_or(u32::MAX);
    let timeout = raw
        .timeout
        .as_ref()
        .map(|number| source.seconds("http.timeout", number, 0.1..=TIMEOUT_MAX));
    let max_bytes = raw
        .max_bytes
        .as_ref()
        .map(|number| source.whole_number("http.max_bytes", number, 1024..=bytes_max));
    Ok(HttpLimits {
        timeout: timeout.transpose()?.unwrap_or(Duration::from_secs(30)),
        max_bytes: u64::from(max_bytes.transpose()?.unwrap_or(16 << 20)),
    })
}

fn check_browser(raw: RawBrowser, source: &Source<'_>) -> Result<BrowserRules, ProfileError> {
    let timeout = raw
        .timeout
        .as_ref()
        .map(|number| source.seconds("browser.timeout", number, 0.1..=TIMEOUT_MAX));
    let settle = raw
        .settle
        .as_ref()
        .map(|number| source.seconds("browser.settle", number, 0.0..=60.0));
    Ok(BrowserRules {
        timeout: timeout.transpose()?.unwrap_or(Duration::from_secs(30)),
        settle: settle.transpose()?.unwrap_or(Duration::from_millis(250)),
        block: raw.block,
    })
}
