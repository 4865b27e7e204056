//! Level 4: the leaderboard of a card, one row for each graded certificate.

use std::borrow::Cow;

use jiff::civil::Date;

use super::collect::PageRow;
use super::row::{Lost, RowReader};
use super::values;
use crate::model::{CertNumber, GradeRow, PageRows, clean_text};

/// Longest address of a certificate's report, in bytes.
const REPORT_URL_MAX: usize = 2_048;

impl PageRow for GradeRow {
    fn read(row: &mut RowReader<'_>) -> Result<Self, Lost> {
        let rules = &row.page.profile.grades;
        let cert_number = row.needed_text(
            "cert_number",
            "is not a certificate number (grades.cert)",
            |text| rules.cert.is_match(text),
        )?;
        Ok(GradeRow {
            cert_number: CertNumber::new_checked(cert_number),
            grade: row.shown("grade", |text| values::grade(text, rules))?,
            rank: place(row, "rank"),
            rank_by_grade: place(row, "rank_by_grade"),
            chronology: place(row, "chronology"),
            chron_by_grade: place(row, "chron_by_grade"),
            completed_on: completed_on(row),
            report_url: report_url(row),
        })
    }

    fn key(&self) -> [Cow<'_, str>; 3] {
        [
            Cow::Borrowed(self.cert_number.as_str()),
            Cow::Borrowed(""),
            Cow::Borrowed(""),
        ]
    }

    fn pack(rows: Vec<Self>) -> PageRows {
        PageRows::GradeRows(rows)
    }
}

fn place(row: &mut RowReader<'_>, field: &'static str) -> Option<u64> {
    let (rules, zero) = (&row.page.profile.grades, &row.page.profile.table.zero);
    row.optional(field, |text, _| values::ordinal(text, rules, zero))
}

fn completed_on(row: &mut RowReader<'_>) -> Option<Date> {
    let (rules, zero) = (&row.page.profile.grades, &row.page.profile.table.zero);
    row.optional("completed", |text, is_value| {
        let text = text.trim();
        if text.is_empty() || text == "0" || zero.iter().any(|zero| zero == text) {
            return Ok(None);
        }
        let day = if is_value {
            values::iso_day(text)
        } else {
            values::written_day(text, rules)
        };
        day.map(Some).ok_or("is not a date (grades.dates)")
    })
}

/// The path of the certificate's own report on this site; a link to another site is reported and left out.
fn report_url(row: &mut RowReader<'_>) -> String {
    let Some(href) = row.href("report") else {
        return String::new();
    };
    let path = row
        .page
        .profile
        .path_and_query(&href)
        .map(|path| clean_text(&path));
    if let Some(path) = path.filter(|path| path.len() <= REPORT_URL_MAX) {
        return path;
    }
    row.report_field("report", &href, "is not an address on this site");
    String::new()
}
