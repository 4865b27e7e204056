//! The pager: how many rows there are in all, and what leads to the next of them.

use super::dom::{Document, NodeId};
use super::screens::{LOOKED_AT_MAX, outside};
use super::values;
use super::{NextPage, PagerState, UnreadableCell};
use crate::model::{Identity, PageKind, fold_name};
use crate::profile::{PagerRules, SiteProfile, query_pairs};

/// What the pager says, or why it cannot be read.
pub(super) fn state(
    rules: &PagerRules,
    document: &Document,
    rows: &[NodeId],
) -> Result<Option<PagerState>, UnreadableCell> {
    let selected = outside(document, rows).filter(|node| rules.text.matches(document, *node));
    for node in selected.take(LOOKED_AT_MAX) {
        let text = super::head(document.text(node));
        let Some(groups) = rules.pattern.captures(&text) else {
            continue;
        };
        let [from, to, of] = rules.groups.map(|index| {
            let group = groups.get(index).map_or("", |group| group.as_str());
            values::count(group, &[])
        });
        let read = || {
            Some(PagerState {
                from: from.ok()?,
                to: to.ok()?,
                of: of.ok()?,
            })
        };
        return match read().filter(PagerState::is_possible) {
            Some(state) => Ok(Some(state)),
            None => Err(unreadable(
                "pager.pattern",
                &text,
                "does not count from 1 to the number of rows",
            )),
        };
    }
    Ok(None)
}

/// What leads on from this page, unless it is disabled; `Err` for a link that leads elsewhere.
pub(super) fn next(
    profile: &SiteProfile,
    rules: &PagerRules,
    kind: PageKind,
    identity: &Identity,
    document: &Document,
    rows: &[NodeId],
) -> Result<Option<NextPage>, UnreadableCell> {
    let selected = outside(document, rows).filter(|node| rules.next.matches(document, *node));
    let is_next = |node: &NodeId| {
        super::head(document.text(*node))
            .to_lowercase()
            .contains(&rules.next_contains)
            && !is_disabled(document, *node)
    };
    let Some(node) = selected.take(LOOKED_AT_MAX).find(is_next) else {
        return Ok(None);
    };
    let Some(href) = document
        .attribute_text(node, "href")
        .filter(|href| leads_somewhere(href))
    else {
        return Ok(Some(NextPage::Button));
    };
    match next_link(profile, kind, identity, &href) {
        Some(link) => Ok(Some(NextPage::Link(link))),
        None => Err(unreadable(
            "pager.next",
            &href,
            "leads to no further rows of this page",
        )),
    }
}

fn unreadable(column: &str, text: &str, problem: &str) -> UnreadableCell {
    UnreadableCell {
        row: 0,
        column: column.to_owned(),
        text: super::bounded(text.as_bytes()),
        problem: problem.to_owned(),
        lost_row: false,
    }
}

fn is_disabled(document: &Document, node: NodeId) -> bool {
    let has_word = |class: &[u8]| {
        class
            .split(u8::is_ascii_whitespace)
            .any(|word| word.to_ascii_lowercase().ends_with(b"disabled"))
    };
    document.attribute(node, "disabled").is_some()
        || document.attribute(node, "aria-disabled") == Some(b"true")
        || document.attribute(node, "class").is_some_and(has_word)
}

fn leads_somewhere(href: &str) -> bool {
    let href = href.trim();
    !(href.is_empty() || href.starts_with('#') || href.starts_with("javascript:"))
}

/// Most parameters that a link of the pager may add, and their longest name or value in bytes.
const PARAMETERS_MAX: usize = 4;
const PARAMETER_LEN_MAX: usize = 100;

/// The page's own address with the parameters that the link adds, such as `page=2`. Nothing else of the
/// link is used: a link to another page leads nowhere.
fn next_link(profile: &SiteProfile, kind: PageKind, identity: &Identity, href: &str) -> Option<String> {
    let href = href.trim();
    let own = profile.page_url(kind, identity).ok()?;
    let query = if let Some(query) = href.strip_prefix('?') {
        Some(query.to_owned())
    } else {
        let leads_to = profile.identity_from_href(kind, href)?;
        if !is_same_page(&leads_to, identity) {
            return None;
        }
        profile
            .path_and_query(href)?
            .split_once('?')
            .map(|(_, query)| query.to_owned())
    };
    let address = &profile.level(kind).address;
    let added: Vec<_> = query_pairs(query.as_deref())?
        .into_iter()
        .filter(|(key, _)| !address.owns_parameter(key))
        .collect();
    let is_small = added
        .iter()
        .all(|(key, value)| key.len() <= PARAMETER_LEN_MAX && value.len() <= PARAMETER_LEN_MAX);
    if added.is_empty() || added.len() > PARAMETERS_MAX || !is_small {
        return None;
    }
    let encoded = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(added)
        .finish();
    let separator = if own.contains('?') { '&' } else { '?' };
    Some(format!("{own}{separator}{encoded}"))
}

fn is_same_page(one: &Identity, other: &Identity) -> bool {
    let rest = |identity: &Identity| Identity {
        category: String::new(),
        ..identity.clone()
    };
    fold_name(&one.category) == fold_name(&other.category) && rest(one) == rest(other)
}

impl PagerState {
    /// From 1 up to the number of rows; without rows, sites write `0-0 of 0` or `1-0 of 0`.
    fn is_possible(&self) -> bool {
        match self.of {
            0 => self.from <= 1 && self.to == 0,
            of => (1..=self.to).contains(&self.from) && self.to <= of,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pagers_that_can_be_true_are_believed() {
        for (from, to, of, is_possible) in [
            (1, 200, 232, true),
            (201, 232, 232, true),
            (1, 1, 1, true),
            (0, 0, 0, true),
            (1, 0, 0, true),
            (5, 0, 9, false),
            (0, 5, 9, false),
            (3, 2, 9, false),
            (1, 10, 9, false),
            (2, 0, 0, false),
        ] {
            assert_eq!(
                PagerState { from, to, of }.is_possible(),
                is_possible,
                "{from}-{to} of {of}"
            );
        }
    }
}
