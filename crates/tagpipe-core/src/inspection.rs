//! What a profile recognises on one document and what it misses, for the person who looks after the profile.
//!
//! A pure function like the extraction, on which it is built: it decides nothing that the extraction does not.

use serde::Serialize;

use crate::extract::{Extracted, ExtractedPage, extract};
use crate::model::{Identity, PageKind, PageRows};
use crate::profile::SiteProfile;

/// Rows shown as samples.
const SAMPLES: usize = 2;
/// Cells that are listed as unreadable.
const UNREADABLE_LISTED: usize = 5;
/// Most characters of a sample value.
const VALUE_MAX_CHARS: usize = 80;

/// How well a document fits the profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// Rows were found and every cell could be read.
    Fits,
    /// Rows were found, but some cells could not be read.
    Partly,
    /// The profile no longer describes the page.
    Changed,
    /// The page is not one of the report: the not-found screen, a captcha, a login.
    NoReport,
}

/// One field of the rows of a page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldSeen {
    /// Name of the field, as in the table of the same level.
    pub field: &'static str,
    /// Rows in which it has a value.
    pub filled: usize,
    /// Values of the first rows, empty where there is none.
    pub samples: Vec<String>,
}

/// What the profile made of one document.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Inspection {
    /// The kind of page it was read as.
    pub level: PageKind,
    /// The verdict.
    pub fit: Fit,
    /// What does not fit and which part of the profile it is about; empty when all does.
    pub detail: String,
    /// Rows that were read.
    pub rows: usize,
    /// The pager's text as numbers, e.g. `1-200 of 232`; empty without one.
    pub pager: String,
    /// Whether a row of totals stands there.
    pub totals: bool,
    /// The fields of the rows.
    pub fields: Vec<FieldSeen>,
    /// The first cells that could not be read.
    pub unreadable: Vec<String>,
}

/// Reads `html` as the page of `kind` with `identity`. The rows come along for whoever wants to follow them.
#[must_use]
pub fn inspect(
    profile: &SiteProfile,
    kind: PageKind,
    identity: &Identity,
    html: &str,
) -> (Inspection, Option<ExtractedPage>) {
    let blank = |fit, detail: String| Inspection {
        level: kind,
        fit,
        detail,
        rows: 0,
        pager: String::new(),
        totals: false,
        fields: Vec::new(),
        unreadable: Vec::new(),
    };
    match extract(profile, kind, identity, html) {
        Extracted::Page(page) => (of_page(kind, &page), Some(*page)),
        Extracted::NotFound => {
            let detail = "the not-found screen; see [screens] not_found".to_owned();
            (blank(Fit::NoReport, detail), None)
        }
        Extracted::Blocked { by } => {
            let detail = format!("the site asks for a person: {by}; see [screens] blocked");
            (blank(Fit::NoReport, detail), None)
        }
        Extracted::NotReady => {
            let detail = format!(
                "no element matches the rows `{}` of {kind}, and no empty state of [screens] empty is shown",
                profile.rows_selector(kind)
            );
            (blank(Fit::Changed, detail), None)
        }
        Extracted::LayoutChanged { detail } => (blank(Fit::Changed, detail), None),
    }
}

fn of_page(kind: PageKind, page: &ExtractedPage) -> Inspection {
    let unreadable: Vec<String> = page
        .unreadable
        .iter()
        .take(UNREADABLE_LISTED)
        .map(|cell| {
            format!(
                "row {}, {}: `{}` {}",
                cell.row, cell.column, cell.text, cell.problem
            )
        })
        .collect();
    let detail = match page.unreadable.len() {
        0 => String::new(),
        1 => "1 cell could not be read".to_owned(),
        more => format!("{more} cells could not be read"),
    };
    Inspection {
        level: kind,
        fit: if unreadable.is_empty() {
            Fit::Fits
        } else {
            Fit::Partly
        },
        detail,
        rows: page.rows.len(),
        pager: page
            .pager
            .map(|pager| format!("{}-{} of {}", pager.from, pager.to, pager.of))
            .unwrap_or_default(),
        totals: page.totals.is_some(),
        fields: fields(&page.rows),
        unreadable,
    }
}

fn fields(rows: &PageRows) -> Vec<FieldSeen> {
    let lines: Vec<Vec<(&'static str, String)>> = match rows {
        PageRows::Categories(rows) => rows.iter().map(|row| vec![("name", row.name.clone())]).collect(),
        PageRows::Years(rows) => rows
            .iter()
            .map(|row| {
                vec![
                    ("year", row.year.clone()),
                    ("sets_count", row.sets.to_string()),
                    ("items_count", row.items.to_string()),
                    ("graded_count", row.graded.to_string()),
                ]
            })
            .collect(),
        PageRows::Sets(rows) => rows
            .iter()
            .map(|row| {
                vec![
                    ("brand", row.brand.clone()),
                    ("name", row.name.clone()),
                    ("counts", json(&row.counts)),
                    ("total", row.total.to_string()),
                ]
            })
            .collect(),
        PageRows::Cards(rows) => rows
            .iter()
            .map(|row| {
                vec![
                    ("number", row.number.clone()),
                    ("name", row.name.clone()),
                    ("variation", row.variation.clone()),
                    ("counts", json(&row.counts)),
                    ("total", row.total.to_string()),
                ]
            })
            .collect(),
        PageRows::GradeRows(rows) => rows
            .iter()
            .map(|row| {
                let number =
                    |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
                vec![
                    ("cert_number", row.cert_number.to_string()),
                    ("rank", number(row.rank)),
                    ("grade_text", row.grade.text.clone()),
                    ("score", number(row.grade.score.map(u64::from))),
                    ("rank_by_grade", number(row.rank_by_grade)),
                    ("chronology", number(row.chronology)),
                    ("chron_by_grade", number(row.chron_by_grade)),
                    (
                        "completed_on",
                        row.completed_on.map(|day| day.to_string()).unwrap_or_default(),
                    ),
                    ("report_url", row.report_url.clone()),
                ]
            })
            .collect(),
    };
    let Some(first) = lines.first() else {
        return Vec::new();
    };
    let names: Vec<&'static str> = first.iter().map(|(name, _)| *name).collect();
    names
        .into_iter()
        .enumerate()
        .map(|(at, field)| FieldSeen {
            field,
            filled: lines
                .iter()
                .filter(|line| !matches!(line[at].1.as_str(), "" | "{}"))
                .count(),
            samples: lines
                .iter()
                .take(SAMPLES)
                .map(|line| bounded(&line[at].1))
                .collect(),
        })
        .collect()
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn bounded(text: &str) -> String {
    if text.chars().count() <= VALUE_MAX_CHARS {
        return text.to_owned();
    }
    let cut: String = text.chars().take(VALUE_MAX_CHARS - 1).collect();
    format!("{cut}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    const YEARS: &str = "<table><thead><tr><th>Year</th><th>Sets</th><th>Items</th><th>Graded</th></tr></thead><tbody>\
        <tr class=MuiTableRow-root><td class=MuiTableCell-root>1989</td><td class=MuiTableCell-root>12</td>\
        <td class=MuiTableCell-root>1,204</td><td class=MuiTableCell-root>GRADED</td></tr>\
        <tr class=MuiTableRow-root><td class=MuiTableCell-root>1990</td><td class=MuiTableCell-root>3</td>\
        <td class=MuiTableCell-root>7</td><td class=MuiTableCell-root>9</td></tr></tbody></table>";

    fn inspected(html: &str) -> Inspection {
        let identity = Identity {
            category: "Hockey".into(),
            ..Identity::default()
        };
        inspect(&SiteProfile::builtin(), PageKind::Years, &identity, html).0
    }

    #[test]
    fn what_is_read_is_shown_and_what_is_not_is_named() {
        let good = inspected(&YEARS.replace("GRADED", "5"));
        assert_eq!((good.fit, good.rows, good.detail.as_str()), (Fit::Fits, 2, ""));
        let items = good
            .fields
            .iter()
            .find(|field| field.field == "items_count")
            .expect("a field");
        assert_eq!(items.samples, ["1204", "7"]);

        let odd = inspected(&YEARS.replace("GRADED", "lots"));
        assert_eq!(odd.fit, Fit::Partly);
        assert!(odd.unreadable[0].contains("`lots`"), "{:?}", odd.unreadable);
    }

    #[test]
    fn a_changed_page_names_what_is_missing() {
        let renamed = inspected(&YEARS.replace("<th>Sets</th>", "<th>Lots</th>"));
        assert_eq!(renamed.fit, Fit::Changed);
        assert!(renamed.detail.contains("Sets"), "{}", renamed.detail);
        let other = inspected("<p>We moved</p>");
        assert_eq!(other.fit, Fit::Changed);
        assert!(other.detail.contains("MuiTableRow-root"), "{}", other.detail);
        assert_eq!(inspected("<h1>Page Not Found</h1>").fit, Fit::NoReport);
    }
}
