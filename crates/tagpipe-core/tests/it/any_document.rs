//! What holds for every document, hostile ones included.

use proptest::prelude::*;
use tagpipe_core::extract::{Extracted, extract, rows_hash};
use tagpipe_core::model::{Identity, PageKind};
use tagpipe_core::profile::SiteProfile;

/// Pieces that tables, screens and pagers are made of, in any order.
const PIECES: &[&str] = &[
    "<table>",
    "</table>",
    "<thead>",
    "<tbody>",
    "</tbody>",
    "<tr class=MuiTableRow-root>",
    "<tr>",
    "</tr>",
    "<td class=MuiTableCell-root>",
    "<td class=MuiTableCell-root colspan=21>",
    "</td>",
    "<th>",
    "<th>Year",
    "<th>Sets",
    "<th>Items",
    "<th>Graded",
    "<th>Cert Number",
    "<th>TAG Grade",
    "<b>",
    "</b>",
    "<a href='/pop-report/A'>",
    "<a href='/pop-report/A/1989'>",
    "</a>",
    "1,204",
    "TOTALS",
    "No records to display",
    "<h1>",
    "404",
    "1-2 of 3",
    "<p class=MuiTablePagination-caption>",
    "<button>chevron_right",
    "<div class='MuiGrid-item MuiGrid-grid-lg-2'>",
    "<h6>",
    "X3032464",
    "8.5 NM MT+ (890)",
    "<script>",
    "<!--",
    "-->",
    "&",
    "&#0;",
    "<svg/>",
    "<select><option>",
    "<iframe src=captcha>",
    "é",
    "\0",
    "9999999999999999999999",
];

/// Documents that would cost far more than their size, were the bounds not there.
#[test]
fn hostile_documents_cost_no_more_than_their_size() {
    const SIZE: usize = 1 << 18;
    let profile = SiteProfile::builtin();
    let row = "<tr class=MuiTableRow-root><td class=MuiTableCell-root>";
    for (start, piece) in [
        ("", "<h1>".to_owned()),
        ("", "<h1>".repeat(200) + &"x".repeat(2_000) + &"</h1>".repeat(200)),
        ("", "<a href=/pop-report/A>".to_owned()),
        ("", "<th>".to_owned()),
        ("<table><tbody>", row.to_owned()),
        (
            "<table><tbody>",
            format!("{row}x<td class=MuiTableCell-root colspan=1000>y"),
        ),
        (
            "<table><tbody><tr class=MuiTableRow-root>",
            "<td class=MuiTableCell-root>x".to_owned(),
        ),
        (
            "",
            format!("<table><thead><tr><th>Year<tbody>{row}x{row}y</table>"),
        ),
        ("<div ", "a=1 ".to_owned()),
        ("<div class='", "x ".to_owned()),
        ("<svg>", "<path/>".to_owned()),
        ("<p>", "<p><ul><li>".to_owned()),
        ("<textarea>", "</textarea".to_owned()),
        ("<p class=MuiTablePagination-caption>", "1-1 of 1,".to_owned()),
    ] {
        let html = start.to_owned() + &piece.repeat(SIZE / piece.len());
        for kind in PageKind::ALL {
            let _ = extract(&profile, kind, &Identity::default(), &html);
        }
    }
}

fn document_of_pieces() -> impl Strategy<Value = String> {
    let piece =
        prop_oneof![8 => proptest::sample::select(PIECES).prop_map(str::to_owned), 1 => any::<String>()];
    proptest::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn extraction_always_returns_and_never_invents(html in document_of_pieces(), level in 0u8..5) {
        let profile = SiteProfile::builtin();
        let kind = PageKind::from_level(level).expect("0 to 4");
        let identity = Identity { category: "A".into(), ..Identity::default() };
        if let Extracted::Page(page) = extract(&profile, kind, &identity, &html) {
            prop_assert_eq!(page.rows.kind(), kind);
            prop_assert!(page.rows.len() <= page.rows_shown);
            prop_assert_eq!(page.explicitly_empty, page.rows_shown == 0);
            let _ = rows_hash(&page.rows);
        }
    }

    #[test]
    fn any_text_is_a_document(html in any::<String>(), level in 0u8..5) {
        let kind = PageKind::from_level(level).expect("0 to 4");
        let _ = extract(&SiteProfile::builtin(), kind, &Identity::default(), &html);
    }
}
