//! The screens that are not a page of the report, the table's marks and the pager.

use regex::Regex;
use serde::Serialize;
use toml::Spanned;

use super::error::{ProfileError, Source};
use super::grades::group_index;
use super::raw::{RawPager, RawScreen, RawScreens, RawTable};
use crate::extract::Selector;

/// The alternatives of each screen.
#[derive(Debug, Clone)]
pub(crate) struct Screens {
    pub(crate) not_found: Vec<Screen>,
    pub(crate) empty: Vec<Screen>,
    pub(crate) blocked: Vec<Screen>,
}

/// One way to recognise a screen.
#[derive(Debug, Clone)]
pub(crate) struct Screen {
    pub(crate) select: Selector,
    /// In lower case; any of them is enough. None: the element alone is.
    pub(crate) contains: Vec<String>,
    pub(crate) source: ScreenSource,
}

/// The same as written, for a script in the page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ScreenSource {
    /// A CSS selector.
    pub select: String,
    /// An element counts if its text contains one of these, without case; if there are none, it counts
    /// whatever its text.
    pub contains: Vec<String>,
}

impl Screens {
    pub(super) fn check(raw: &RawScreens, source: &Source<'_>) -> Result<Screens, ProfileError> {
        let check = |name: &str, list: &Spanned<Vec<RawScreen>>| {
            let field = format!("screens.{name}");
            list.get_ref()
                .iter()
                .map(|screen| check_screen(&field, screen, source))
                .collect()
        };
        Ok(Screens {
            not_found: check("not_found", &raw.not_found)?,
            empty: check("empty", &raw.empty)?,
            blocked: raw
                .blocked
                .as_ref()
                .map(|list| check("blocked", list))
                .transpose()?
                .unwrap_or_default(),
        })
    }
}

fn check_screen(field: &str, raw: &RawScreen, source: &Source<'_>) -> Result<Screen, ProfileError> {
    let select = source.selector(&format!("{field}.select"), &raw.select)?;
    let contains_field = format!("{field}.contains");
    let contains = raw
        .contains
        .iter()
        .map(|text| source.filled(&contains_field, text).map(str::to_owned))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Screen {
        select,
        contains: contains.iter().map(|text| text.to_lowercase()).collect(),
        source: ScreenSource {
            select: raw.select.get_ref().clone(),
            contains,
        },
    })
}

/// Marks that all tables share.
#[derive(Debug, Clone)]
pub(crate) struct TableRules {
    /// Without the empty ones.
    pub(crate) icon_words: Vec<String>,
    pub(crate) value_attribute: Option<String>,
    /// Texts that mean zero; an empty one among them says that an empty cell does.
    pub(crate) zero: Vec<String>,
    pub(crate) totals: Option<String>,
}

impl TableRules {
    pub(super) fn check(raw: &RawTable, source: &Source<'_>) -> Result<TableRules, ProfileError> {
        let icon_words = raw
            .icon_words
            .iter()
            .map(|word| source.filled("table.icon_words", word).map(str::to_owned));
        let optional = |field: &str, text: Option<&super::raw::Text>| {
            text.map(|text| source.filled(field, text).map(str::to_owned))
                .transpose()
        };
        Ok(TableRules {
            icon_words: icon_words.collect::<Result<_, _>>()?,
            value_attribute: optional("table.value_attribute", raw.value_attribute.as_ref())?
                .map(|name| name.to_ascii_lowercase()),
            zero: raw.zero.iter().map(|text| text.trim().to_owned()).collect(),
            totals: optional("table.totals", raw.totals.as_ref())?,
        })
    }
}

/// How the pager is read.
#[derive(Debug, Clone)]
pub(crate) struct PagerRules {
    pub(crate) text: Selector,
    pub(crate) pattern: Regex,
    /// Indices of the groups `from`, `to` and `of`.
    pub(crate) groups: [usize; 3],
    pub(crate) next: Selector,
    /// In lower case; empty: any text.
    pub(crate) next_contains: String,
    pub(crate) source: PagerSource,
}

/// The same as written, for a script in the page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PagerSource {
    /// A CSS selector of elements, one of which holds the pager's text.
    pub text: String,
    /// A regular expression with the groups `from`, `to` and `of`; numbers may hold thousands separators.
    pub pattern: String,
    /// A CSS selector of elements, one of which leads on.
    pub next: String,
    /// That one contains this text, without case, and is not disabled.
    pub next_contains: String,
}

impl PagerRules {
    pub(super) fn check(raw: &RawPager, source: &Source<'_>) -> Result<PagerRules, ProfileError> {
        const GROUPS: [&str; 3] = ["from", "to", "of"];
        let pattern = source.pattern("pager.pattern", &raw.pattern, &GROUPS, &GROUPS)?;
        let next_contains = raw
            .next_contains
            .as_ref()
            .map_or("", |text| text.get_ref().trim());
        Ok(PagerRules {
            text: source.selector("pager.text", &raw.text)?,
            groups: GROUPS.map(|name| group_index(&pattern, name).unwrap_or_default()),
            pattern,
            next: source.selector("pager.next", &raw.next)?,
            next_contains: next_contains.to_lowercase(),
            source: PagerSource {
                text: raw.text.get_ref().clone(),
                pattern: raw.pattern.get_ref().clone(),
                next: raw.next.get_ref().clone(),
                next_contains: next_contains.to_owned(),
            },
        })
    }
}
