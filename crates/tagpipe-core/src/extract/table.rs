//! Tables: which rows a document has, and which column is which. Columns are known by their header text
//! alone; where one that is needed is missing or doubled, the table is not read at all.

use std::ops::Range;

use super::dom::{Document, NodeId};
use crate::profile::{Header, Level, SiteProfile};

/// Widest span of one cell that is believed.
const COLSPAN_MAX: usize = 1_000;

/// The rows that match the level's selector, in document order, none inside another.
pub(super) fn rows(document: &Document, level: &Level) -> Vec<NodeId> {
    outermost(document, document.all(), |node| level.row.matches(document, node)).collect()
}

/// The cells of a row, in order, none inside another.
pub(super) fn cells(document: &Document, level: &Level, row: NodeId) -> impl Iterator<Item = NodeId> {
    outermost(document, document.under(row), |node| {
        level.cell.matches(document, node)
    })
}

fn outermost(
    document: &Document,
    scope: Range<NodeId>,
    is_wanted: impl Fn(NodeId) -> bool,
) -> impl Iterator<Item = NodeId> {
    let mut node = scope.start;
    std::iter::from_fn(move || {
        while node < scope.end {
            let here = node;
            if is_wanted(here) {
                node = document.end(here);
                return Some(here);
            }
            node += 1;
        }
        None
    })
}

/// How many columns a cell covers.
pub(super) fn span_of(document: &Document, cell: NodeId) -> usize {
    let span = document
        .attribute_text(cell, "colspan")
        .and_then(|span| span.trim().parse::<usize>().ok());
    span.filter(|span| (1..=COLSPAN_MAX).contains(span)).unwrap_or(1)
}

/// The table around an element; `None` where tables are made of other elements.
pub(super) fn table_of(document: &Document, node: NodeId) -> Option<NodeId> {
    document
        .ancestors(node)
        .find(|above| document.name(*above) == b"table")
}

/// Which column holds what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Columns {
    /// Number of columns.
    pub(super) width: usize,
    /// Of each field of the level, in its order; `None` where the field has no column.
    pub(super) fields: Vec<Option<usize>>,
    /// Of each code of the scale, in its order; empty where the level has no counts.
    pub(super) counts: Vec<usize>,
    pub(super) total: Option<usize>,
}

/// A line of headers.
#[derive(Debug)]
struct HeaderLine {
    table: Option<NodeId>,
    /// Folded text and first column of each.
    headers: Vec<(String, usize)>,
    /// As shown.
    shown: Vec<String>,
    width: usize,
}

/// The columns of `table`: those of the first of its header lines that has all that is needed.
///
/// # Errors
/// What is missing or doubled, naming the profile's fields, and what was found.
pub(super) fn columns(
    document: &Document,
    profile: &SiteProfile,
    level: &Level,
    rows: &[NodeId],
    table: Option<NodeId>,
) -> Result<Columns, String> {
    let lines: Vec<_> = header_lines(document, profile, level, rows)
        .into_iter()
        .filter(|line| line.table == table)
        .collect();
    let mut first_problem = None;
    for line in &lines {
        match line.columns(profile, level) {
            Ok(columns) => return Ok(columns),
            Err(problem) => first_problem = first_problem.or(Some(problem)),
        }
    }
    Err(first_problem.unwrap_or_else(|| format!("headers of {}: there are none (table.header)", level.kind)))
}

/// Whether `document` has any header of the level.
pub(super) fn has_headers(document: &Document, level: &Level, rows: &[NodeId]) -> Option<NodeId> {
    super::screens::outside(document, rows).find(|node| level.header.matches(document, *node))
}

fn header_lines(
    document: &Document,
    profile: &SiteProfile,
    level: &Level,
    rows: &[NodeId],
) -> Vec<HeaderLine> {
    let mut lines: Vec<HeaderLine> = Vec::new();
    let mut last_parent = None;
    for node in super::screens::outside(document, rows).filter(|node| level.header.matches(document, *node)) {
        let parent = document.parent(node);
        if lines.is_empty() || parent != last_parent {
            last_parent = parent;
            let table = table_of(document, node);
            lines.push(HeaderLine {
                table,
                headers: Vec::new(),
                shown: Vec::new(),
                width: 0,
            });
        }
        let Some(line) = lines.last_mut() else { continue };
        let shown = header_text(document, profile, node);
        line.headers.push((shown.to_lowercase(), line.width));
        line.shown.push(shown);
        line.width += span_of(document, node);
    }
    lines
}

/// The text of a header without icon words.
fn header_text(document: &Document, profile: &SiteProfile, node: NodeId) -> String {
    let mut text = super::head(document.text(node)).into_owned();
    for word in &profile.table.icon_words {
        if text.contains(word.as_str()) {
            text = super::cleaned(text.replace(word.as_str(), " ").as_bytes()).into_owned();
        }
    }
    text
}

impl HeaderLine {
    fn columns(&self, profile: &SiteProfile, level: &Level) -> Result<Columns, String> {
        let field_path = |name: &str| format!("levels.{}.fields.{name}", level.kind);
        let mut fields = Vec::with_capacity(level.fields.len());
        for field in &level.fields {
            let column = field
                .column
                .as_ref()
                .map(|header| self.column(level, header, || field_path(field.name)));
            fields.push(column.transpose()?);
        }
        let Some(total) = &level.counts_total else {
            return Ok(Columns {
                width: self.width,
                fields,
                ..Columns::default()
            });
        };
        let codes = profile.scale().iter().map(|entry| {
            self.column(level, &Header::new(entry.code.as_str()), || {
                format!("levels.{}, grades.scale", level.kind)
            })
        });
        let counts = codes.collect::<Result<_, _>>()?;
        let total = self.column(level, total, || format!("levels.{}.counts_total", level.kind))?;
        Ok(Columns {
            width: self.width,
            fields,
            counts,
            total: Some(total),
        })
    }

    fn column(&self, level: &Level, header: &Header, path: impl Fn() -> String) -> Result<usize, String> {
        let mut found = self.headers.iter().filter(|(text, _)| *text == header.folded);
        let problem = match (found.next(), found.next()) {
            (Some((_, column)), None) => return Ok(*column),
            (None, _) => "is missing",
            (Some(_), Some(_)) => "stands twice",
        };
        let shown = super::bounded(self.shown.join(", ").as_bytes());
        Err(format!(
            "headers of {}: `{}` {problem} ({}); found: {shown}",
            level.kind,
            header.shown,
            path()
        ))
    }
}
