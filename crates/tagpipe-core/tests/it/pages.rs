//! One document for each kind of page and each oddity, beside the rows it must yield.

use std::path::Path;

use tagpipe_core::extract::{Extracted, ExtractedPage, NextPage, child_identities, extract, rows_hash};
use tagpipe_core::model::{Identity, PageKind, PageRows};
use tagpipe_core::profile::SiteProfile;

use crate::render::render;

fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fixtures/pages")
        .join(name)
        .with_extension("html");
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn pokemon() -> Identity {
    Identity {
        category: "Pokemon".into(),
        year: "2021".into(),
        ..Identity::default()
    }
}

fn vivid_voltage() -> Identity {
    Identity {
        brand: "Sword & Shield".into(),
        set: "Vivid Voltage".into(),
        ..pokemon()
    }
}

fn odd_set() -> Identity {
    Identity {
        category: "Baseball".into(),
        year: "1990".into(),
        brand: "Odd".into(),
        ..Identity::default()
    }
}

fn gary_carter() -> Identity {
    Identity {
        category: "Baseball".into(),
        year: "1989".into(),
        brand: "Donruss".into(),
        name: "Gary Carter".into(),
        number: "53".into(),
        ..Identity::default()
    }
}

fn read(kind: PageKind, identity: &Identity, name: &str) -> Extracted {
    extract(&SiteProfile::builtin(), kind, identity, &fixture(name))
}

fn read_page(kind: PageKind, identity: &Identity, name: &str) -> ExtractedPage {
    match read(kind, identity, name) {
        Extracted::Page(page) => *page,
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn every_document_yields_its_rows() {
    let baseball = Identity {
        category: "Baseball".into(),
        ..Identity::default()
    };
    for (kind, identity, names) in [
        (
            PageKind::Categories,
            Identity::default(),
            &["categories", "before-script", "not-found", "captcha"][..],
        ),
        (
            PageKind::Years,
            baseball,
            &["years", "years-totals-alone", "login"],
        ),
        (PageKind::Sets, pokemon(), &["sets-totals-in-first-cell"]),
        (
            PageKind::Cards,
            vivid_voltage(),
            &[
                "cards-totals-in-second-cell",
                "cards-first-of-two",
                "cards-first-of-two-by-link",
                "cards-next-leads-elsewhere",
                "cards-header-missing",
                "cards-header-doubled",
                "cards-header-renamed",
                "cards-columns-moved",
                "cards-row-class-changed",
                "cards-cut-off",
                "cards-empty",
                "cards-loading",
                "captcha-over-rows",
            ],
        ),
        (
            PageKind::Cards,
            odd_set(),
            &["cards-hostile-names", "cards-numbers", "cards-mostly-unreadable"],
        ),
        (
            PageKind::GradeRows,
            gary_carter(),
            &["grade-rows", "grade-rows-many", "grade-rows-odd"],
        ),
    ] {
        for name in names {
            insta::assert_snapshot!(*name, render(&read(kind, &identity, name)));
        }
    }
}

#[test]
fn run_together_titles_come_apart_and_totals_are_no_row() {
    let page = read_page(PageKind::Sets, &pokemon(), "sets-totals-in-first-cell");
    let PageRows::Sets(rows) = &page.rows else {
        panic!("sets")
    };
    let names: Vec<_> = rows
        .iter()
        .map(|row| (row.brand.as_str(), row.name.as_str()))
        .collect();
    let expected = [
        ("Classic", ""),
        ("Classic", "Light Blue"),
        ("Promo", "Stamp Box"),
        ("Sword & Shield", "Vivid Voltage"),
    ];
    assert_eq!(names, expected);
    let totals = page.totals.expect("shown");
    assert_eq!(totals.total, rows.iter().map(|row| row.total).sum::<u64>());
    assert_eq!(
        totals.counts.sum(),
        rows.iter().map(|row| row.counts.sum()).sum::<u64>()
    );
}

#[test]
fn a_stranger_s_names_stay_names() {
    let page = read_page(PageKind::Cards, &odd_set(), "cards-hostile-names");
    let PageRows::Cards(rows) = &page.rows else {
        panic!("cards")
    };
    let names: Vec<_> = rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "<script>alert(1)</script> & <b>Bold</b>",
            "../../admin",
            "..",
            "Who? #1",
            "No records to display",
            "TOTALS",
            "Are you a robot? chevron_right",
            "100% \u{fffd}[31mred",
            "Other Set",
            "Twice %20 Encoded",
            "Pokémon Trainer Red",
        ]
    );
    let profile = SiteProfile::builtin();
    let urls: Vec<_> = child_identities(&odd_set(), &page.rows)
        .map(|child| {
            profile
                .page_url(PageKind::GradeRows, &child)
                .unwrap_or_else(|error| error.to_string())
        })
        .collect();
    assert_eq!(urls[1], "/pop-report/Baseball/1990/Odd/..%2F..%2Fadmin/2");
    assert_eq!(
        urls[2],
        "the address of this page of grade_rows cannot be built: `name` is a step of a path, not a name"
    );
    assert_eq!(urls[3], "/pop-report/Baseball/1990/Odd/Who%3F%20%231/4");
    assert_eq!(page.next, None, "a card's name is not the pager's next button");
}

#[test]
fn long_names_are_kept_whole_up_to_the_bound() {
    let page = read_page(PageKind::Cards, &odd_set(), "cards-long-name");
    let PageRows::Cards(rows) = &page.rows else {
        panic!("cards")
    };
    let lengths: Vec<_> = rows.iter().map(|row| row.name.len()).collect();
    assert_eq!(lengths, [10_000, 5]);
    let cell = &page.unreadable[0];
    assert_eq!((cell.row, cell.column.as_str(), cell.lost_row), (2, "Name", true));
    assert_eq!(cell.text.chars().count(), 201, "200 and an ellipsis");
}

#[test]
fn the_known_certificate_is_read() {
    let page = read_page(PageKind::GradeRows, &gary_carter(), "grade-rows");
    let PageRows::GradeRows(rows) = &page.rows else {
        panic!("grade rows")
    };
    let [row] = rows.as_slice() else { panic!("one row") };
    assert_eq!(row.cert_number.as_str(), "X3032464");
    assert_eq!(
        (row.rank, row.grade.text.as_str(), row.grade.score),
        (Some(1), "8.5 NM MT+ (890)", Some(890))
    );
    assert_eq!(
        row.completed_on.map(|day| day.to_string()).as_deref(),
        Some("2023-11-21")
    );
    assert_eq!(row.report_url, "/card/X3032464");
}

#[test]
fn the_pager_leads_on_within_the_page() {
    let own = "/pop-report/Pokemon/2021/Sword%20%26%20Shield?setName=Vivid+Voltage&page=2";
    for (name, next) in [
        ("cards-first-of-two", Some(NextPage::Button)),
        ("cards-first-of-two-by-link", Some(NextPage::Link(own.into()))),
        ("cards-next-leads-elsewhere", None),
        ("cards-totals-in-second-cell", None),
    ] {
        assert_eq!(
            read_page(PageKind::Cards, &vivid_voltage(), name).next,
            next,
            "{name}"
        );
    }
}

#[test]
fn children_have_the_identity_of_their_parent_and_their_row() {
    let page = read_page(PageKind::Cards, &vivid_voltage(), "cards-totals-in-second-cell");
    let children: Vec<_> = child_identities(&vivid_voltage(), &page.rows).collect();
    assert_eq!(children.len(), 4);
    let expected = Identity {
        name: "Pikachu V".into(),
        number: "14/111".into(),
        variation: "Reverse Holo".into(),
        ..vivid_voltage()
    };
    assert_eq!(children[2], expected);
    let grade_rows = read_page(PageKind::GradeRows, &gary_carter(), "grade-rows");
    assert_eq!(child_identities(&gary_carter(), &grade_rows.rows).count(), 0);
}

#[test]
fn the_same_document_has_the_same_fingerprint() {
    let read = |name| rows_hash(&read_page(PageKind::Cards, &vivid_voltage(), name).rows);
    assert_eq!(read("cards-first-of-two"), read("cards-first-of-two-by-link"));
    assert_ne!(read("cards-first-of-two"), read("cards-totals-in-second-cell"));
}
