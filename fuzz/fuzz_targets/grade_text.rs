//! Any text in the cells of a certificate: it is read as the scale has it, or reported.
//! The lines of the input fill the cells.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tagpipe_core::extract::{Extracted, extract};
use tagpipe_core::model::{Identity, PageKind, PageRows, clean_text};
use tagpipe_core::profile::SiteProfile;

static PROFILE: LazyLock<SiteProfile> = LazyLock::new(SiteProfile::builtin);

const HEADERS: [&str; 8] = [
    "TAG Grade",
    "Completed",
    "Rank",
    "Rank by Grade",
    "Chronology",
    "Chron by Grade",
    "View Report",
    "Cert Number",
];

fuzz_target!(|text: &str| {
    let mut lines = text.split('\n');
    let grade = lines.next().unwrap_or_default();
    let mut cells = td(grade, None);
    for _ in &HEADERS[1..7] {
        let line = lines.next().unwrap_or_default();
        let (value, shown) = line
            .split_once('\t')
            .map_or((None, line), |(value, shown)| (Some(value), shown));
        cells.push_str(&td(shown, value));
    }
    let headers: String = HEADERS
        .iter()
        .map(|header| format!("<th>{header}</th>"))
        .collect();
    let html = format!(
        "<table><thead><tr>{headers}</tr></thead><tbody><tr class=MuiTableRow-root>{cells}\
         <td class=MuiTableCell-root>X3032464</td></tr></tbody></table>"
    );
    match extract(&PROFILE, PageKind::GradeRows, &Identity::default(), &html) {
        Extracted::Page(page) => {
            let PageRows::GradeRows(rows) = &page.rows else {
                panic!("grade rows")
            };
            let [row] = rows.as_slice() else { panic!("one row") };
            assert_eq!(row.grade.text, clean_text(grade));
            let entry = PROFILE
                .scale()
                .iter()
                .find(|entry| entry.code == row.grade.code)
                .expect("of the scale");
            assert_eq!(entry.value, row.grade.value);
            let places = [row.rank, row.rank_by_grade, row.chronology, row.chron_by_grade];
            assert!(
                places
                    .iter()
                    .flatten()
                    .all(|place| (1..=i64::MAX as u64).contains(place))
            );
        }
        Extracted::LayoutChanged { detail } => assert!(detail.contains("TAG Grade"), "{detail}"),
        other => panic!("{other:?}"),
    }
});

fn td(text: &str, value: Option<&str>) -> String {
    let value = value
        .map(|value| format!(" value=\"{}\"", escaped(value)))
        .unwrap_or_default();
    format!("<td class=MuiTableCell-root{value}>{}</td>", escaped(text))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('"', "&quot;")
}
