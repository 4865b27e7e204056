//! One row: where its fields stand, and the report of what could not be read.

use std::borrow::Cow;

use super::dom::{Document, NodeId};
use super::table::Columns;
use super::values;
use super::{CELL_MAX_BYTES, Page, UnreadableCell};
use crate::model::{Counts, Identity, clean_text, fold_name};
use crate::profile::{FieldRule, Pick, holds_escape};

/// A row that is left out because a needed cell could not be read; the report says which.
#[derive(Debug)]
pub(super) struct Lost;

/// The reader of one row.
pub(super) struct RowReader<'a> {
    pub(super) page: &'a Page<'a>,
    pub(super) columns: &'a Columns,
    /// From 1, among all rows of the page.
    pub(super) number: usize,
    pub(super) node: NodeId,
    /// The cell in each column; the row's last cells may be missing.
    pub(super) cells: &'a [NodeId],
    /// What the row's own link leads to.
    pub(super) child: Option<Identity>,
    pub(super) unreadable: &'a mut Vec<UnreadableCell>,
}

/// What stands at a field's place.
struct Found<'a> {
    /// The raw value behind the text, if there is one.
    value: Option<Cow<'a, str>>,
    text: Cow<'a, str>,
}

impl Found<'_> {
    /// The value before the text.
    fn candidates(&self) -> impl Iterator<Item = &str> {
        self.value
            .as_deref()
            .into_iter()
            .chain(std::iter::once(self.text.as_ref()))
    }
}

impl<'a> RowReader<'a> {
    /// A part of the identity of the page this row leads to: from the row's link, else from its cells.
    pub(super) fn part(&mut self, name: &'static str) -> Result<String, Lost> {
        let Some(rule) = self.page.level.field(name) else {
            return Ok(String::new());
        };
        if let Some(part) = self
            .child
            .as_ref()
            .zip(rule.link)
            .and_then(|(child, link)| child.part(link))
        {
            return Ok(part.to_owned());
        }
        let found = self.found(rule);
        let text = found
            .as_ref()
            .and_then(|found| found.candidates().next())
            .unwrap_or_default();
        let text = clean_cell(text).map_err(|problem| self.lose(rule, text, problem))?;
        if text.is_empty() && self.page.next_level_needs(rule) {
            return Err(self.lose(rule, "", "holds no name"));
        }
        Ok(text)
    }

    /// A number that a row cannot be without.
    pub(super) fn number(&mut self, name: &'static str) -> Result<u64, Lost> {
        let Some(rule) = self.page.level.field(name) else {
            return Ok(0);
        };
        let Some(found) = self.found(rule) else {
            return Err(self.lose(rule, "", "is not there"));
        };
        let zero = &self.page.profile.table.zero;
        read_first(&found, |text| values::count(text, zero))
            .map_err(|problem| self.lose(rule, &found.text, problem))
    }

    /// The counts by grade.
    pub(super) fn counts(&mut self) -> Result<Counts, Lost> {
        let profile = self.page.profile;
        let mut counts = Counts::default();
        for (entry, column) in profile.scale().iter().zip(&self.columns.counts) {
            counts.add(entry.code, self.count_at(*column, entry.code.as_str())?);
        }
        Ok(counts)
    }

    /// The total as shown.
    pub(super) fn total(&mut self) -> Result<u64, Lost> {
        match (self.columns.total, &self.page.level.counts_total) {
            (Some(column), Some(header)) => self.count_at(column, &header.shown),
            _ => Ok(0),
        }
    }

    fn count_at(&mut self, column: usize, header: &str) -> Result<u64, Lost> {
        let Some(cell) = self.cells.get(column) else {
            return Err(self.lose_at(header, "", "is not there"));
        };
        let found = self.found_in(*cell, &Pick::Whole);
        let found = found.unwrap_or(Found {
            value: None,
            text: Cow::Borrowed(""),
        });
        let zero = &self.page.profile.table.zero;
        read_first(&found, |text| values::count(text, zero))
            .map_err(|problem| self.lose_at(header, &found.text, problem))
    }

    /// A text that a row cannot be without, from the first of value and text that `is_it` accepts.
    pub(super) fn needed_text(
        &mut self,
        name: &'static str,
        problem: &'static str,
        is_it: impl Fn(&str) -> bool,
    ) -> Result<String, Lost> {
        let Some(rule) = self.page.level.field(name) else {
            return Ok(String::new());
        };
        let Some(found) = self.found(rule) else {
            return Err(self.lose(rule, "", "is not there"));
        };
        let wanted = found
            .candidates()
            .filter_map(|text| clean_cell(text).ok())
            .find(|text| is_it(text));
        wanted.ok_or_else(|| self.lose(rule, &found.text, problem))
    }

    /// A text that a row cannot be without, as shown, whatever value stands behind it.
    pub(super) fn shown<T>(
        &mut self,
        name: &'static str,
        read: impl Fn(&str) -> Result<T, &'static str>,
    ) -> Result<T, Lost> {
        let Some(rule) = self.page.level.field(name) else {
            return Err(Lost);
        };
        let text = self.found(rule).map(|found| found.text).unwrap_or_default();
        clean_cell(&text)
            .and_then(|text| read(&text))
            .map_err(|problem| self.lose(rule, &text, problem))
    }

    /// A value that may be missing: what is there and cannot be read is reported, and the row is kept.
    /// `read` gets the text and whether it is the raw value.
    pub(super) fn optional<T>(
        &mut self,
        name: &'static str,
        read: impl Fn(&str, bool) -> Result<Option<T>, &'static str>,
    ) -> Option<T> {
        let rule = self.page.level.field(name)?;
        let found = self.found(rule)?;
        if let Some(Ok(read)) = found.value.as_ref().map(|value| read(value, true)) {
            return read;
        }
        read(&found.text, false).unwrap_or_else(|problem| {
            self.report(rule, &found.text, problem, false);
            None
        })
    }

    /// The first link of the level in the field's place: its address as written.
    pub(super) fn href(&self, name: &'static str) -> Option<Cow<'a, str>> {
        let document = self.page.document;
        let scope = document.under(self.place(self.page.level.field(name)?)?);
        let link = self.page.level.link.as_ref()?.first(document, scope)?;
        document.attribute_text(link, "href")
    }

    pub(super) fn report_field(&mut self, name: &'static str, text: &str, problem: &str) {
        if let Some(rule) = self.page.level.field(name) {
            self.report(rule, text, problem, false);
        }
    }

    fn found(&self, rule: &'a FieldRule) -> Option<Found<'a>> {
        self.found_in(self.place(rule)?, &rule.pick)
    }

    /// The cell of a field, or the whole row where the field has no column.
    fn place(&self, rule: &FieldRule) -> Option<NodeId> {
        if rule.column.is_none() {
            return Some(self.node);
        }
        let index = self
            .page
            .level
            .fields
            .iter()
            .position(|field| field.name == rule.name)?;
        let column = self.columns.fields.get(index).copied().flatten()?;
        self.cells.get(column).copied()
    }

    fn found_in(&self, place: NodeId, pick: &Pick) -> Option<Found<'a>> {
        let document: &'a Document = self.page.document;
        let as_text = |bytes: &'a [u8]| super::trimmed(bytes);
        match pick {
            Pick::Whole => {
                let attribute = self.page.profile.table.value_attribute.as_deref();
                let value = attribute.and_then(|name| document.attribute_text(place, name));
                let value = value.filter(|value| !value.trim().is_empty());
                Some(Found {
                    value,
                    text: as_text(document.text(place)),
                })
            }
            Pick::Element(selector) => {
                let element = selector.first(document, document.under(place))?;
                Some(Found {
                    value: None,
                    text: as_text(document.text(element)),
                })
            }
            Pick::After(selector) => {
                let element = selector.first(document, document.under(place))?;
                Some(Found {
                    value: None,
                    text: as_text(document.text_after(place, element)),
                })
            }
        }
    }

    fn lose(&mut self, rule: &FieldRule, text: &str, problem: &str) -> Lost {
        self.report(rule, text, problem, true);
        Lost
    }

    fn lose_at(&mut self, column: &str, text: &str, problem: &str) -> Lost {
        self.push(column.to_owned(), text, problem, true);
        Lost
    }

    fn report(&mut self, rule: &FieldRule, text: &str, problem: &str, lost_row: bool) {
        let column = rule
            .column
            .as_ref()
            .map_or(rule.name, |header| header.shown.as_str());
        self.push(column.to_owned(), text, problem, lost_row);
    }

    pub(super) fn push(&mut self, column: String, text: &str, problem: &str, lost_row: bool) {
        self.unreadable.push(UnreadableCell {
            row: self.number,
            column,
            text: super::bounded(text.as_bytes()),
            problem: problem.to_owned(),
            lost_row,
        });
    }
}

/// The clean text of a cell that is not longer than a cell may be.
fn clean_cell(text: &str) -> Result<String, &'static str> {
    if text.len() > CELL_MAX_BYTES {
        Err("is longer than any cell can be")
    } else {
        Ok(clean_text(text))
    }
}

/// What `read` makes of the value or else of the text; the problem is the text's.
fn read_first<T>(
    found: &Found<'_>,
    read: impl Fn(&str) -> Result<T, &'static str>,
) -> Result<T, &'static str> {
    match found.value.as_deref().map(&read) {
        Some(Ok(value)) => Ok(value),
        _ => read(&found.text),
    }
}

/// What the row's own link leads to: the first link that is an address of the next level and has the
/// identity of this page. Twice encoded links lead there too, but name it wrongly.
pub(super) fn child_of(page: &Page<'_>, row: NodeId) -> Option<(Identity, Option<String>)> {
    let kind = page.level.kind.child()?;
    let document = page.document;
    let links = page.level.link.as_ref()?.select(document, document.subtree(row));
    links.take(LINKS_MAX).find_map(|link| {
        let href = document.attribute_text(link, "href")?;
        let (child, url) = page.profile.child_from_href(kind, &href)?;
        let parts = page.profile.level(kind).address.parts();
        let is_clean = parts
            .into_iter()
            .all(|part| child.part(part).is_none_or(|text| !holds_escape(text)));
        (is_clean && is_child_of(&child, page)).then_some((child, url))
    })
}

/// The address of a row's child where only an address with an escape in a name leads there: not enough to name
/// the child by, but right if the cells name it so.
pub(super) fn odd_address_of(page: &Page<'_>, row: NodeId) -> Option<(Identity, String)> {
    let kind = page.level.kind.child()?;
    let document = page.document;
    let links = page.level.link.as_ref()?.select(document, document.subtree(row));
    links.take(LINKS_MAX).find_map(|link| {
        let href = document.attribute_text(link, "href")?;
        let (child, url) = page.profile.child_from_href(kind, &href)?;
        is_child_of(&child, page).then_some((child, url?))
    })
}

/// Most links of one row that are looked at; a row of cards has one for each count above zero.
const LINKS_MAX: usize = 8;

fn is_child_of(child: &Identity, page: &Page<'_>) -> bool {
    let is_same = |part: &str| {
        let (one, other) = (child.part(part), page.identity.part(part));
        if part == "category" {
            return one.map(fold_name) == other.map(fold_name);
        }
        one == other
    };
    page.parts.iter().all(|part| is_same(part))
}
