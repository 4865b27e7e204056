//! Extracted pages as lines that a person can check against the document.

use std::fmt::Write;

use tagpipe_core::extract::{Extracted, ExtractedPage};
use tagpipe_core::model::{Counts, GradeRow, PageRows};

pub(crate) fn render(extracted: &Extracted) -> String {
    match extracted {
        Extracted::Page(page) => render_page(page),
        Extracted::Blocked { by } => format!("blocked by {by}"),
        Extracted::LayoutChanged { detail } => format!("layout changed: {detail}"),
        Extracted::NotFound => "not found".to_owned(),
        Extracted::NotReady => "not ready".to_owned(),
    }
}

fn render_page(page: &ExtractedPage) -> String {
    let mut text = format!("{} shown", page.rows_shown);
    if page.explicitly_empty {
        text.push_str(", explicitly empty");
    }
    for row in rows(&page.rows) {
        write!(text, "\n{row}").expect("a String takes all");
    }
    if let Some(totals) = &page.totals {
        write!(text, "\ntotals: {} = {}", counts(&totals.counts), totals.total).expect("a String takes all");
    }
    if let Some(pager) = page.pager {
        write!(text, "\npager: {} to {} of {}", pager.from, pager.to, pager.of).expect("a String takes all");
    }
    if let Some(next) = &page.next {
        write!(text, "\nnext: {next:?}").expect("a String takes all");
    }
    for cell in &page.unreadable {
        let lost = if cell.lost_row { "; row lost" } else { "" };
        write!(
            text,
            "\nunreadable: row {}, {}: `{}` {}{lost}",
            cell.row, cell.column, cell.text, cell.problem
        )
        .expect("a String takes all");
    }
    text
}

fn rows(rows: &PageRows) -> Vec<String> {
    match rows {
        PageRows::Categories(rows) => rows.iter().map(|row| row.name.clone()).collect(),
        PageRows::Years(rows) => rows
            .iter()
            .map(|row| {
                format!(
                    "{}: {} sets, {} items, {} graded",
                    row.year, row.sets, row.items, row.graded
                )
            })
            .collect(),
        PageRows::Sets(rows) => rows
            .iter()
            .map(|row| {
                format!(
                    "{} | {}: {} = {}",
                    row.brand,
                    row.name,
                    counts(&row.counts),
                    row.total
                )
            })
            .collect(),
        PageRows::Cards(rows) => rows
            .iter()
            .map(|row| {
                let counts = counts(&row.counts);
                format!(
                    "{} | {} | {}: {counts} = {}",
                    row.number, row.name, row.variation, row.total
                )
            })
            .collect(),
        PageRows::GradeRows(rows) => rows.iter().map(grade_row).collect(),
    }
}

fn grade_row(row: &GradeRow) -> String {
    let grade = &row.grade;
    format!(
        "{} | `{}`: {} {} {} in {} | {} {} {} {} | {} | {}",
        row.cert_number,
        grade.text,
        grade
            .value
            .map_or("none".to_owned(), |value| value.as_f64().to_string()),
        grade.label,
        grade.score.map_or("-".to_owned(), |score| score.to_string()),
        grade.code,
        place(row.rank),
        place(row.rank_by_grade),
        place(row.chronology),
        place(row.chron_by_grade),
        row.completed_on
            .map_or("no day".to_owned(), |day| day.to_string()),
        row.report_url,
    )
}

fn place(place: Option<u64>) -> String {
    place.map_or("-".to_owned(), |place| place.to_string())
}

fn counts(counts: &Counts) -> String {
    counts
        .iter()
        .map(|(code, count)| format!("{code}:{count}"))
        .collect::<Vec<_>>()
        .join(" ")
}
