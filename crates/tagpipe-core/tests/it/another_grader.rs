//! A quite different site is read by its profile alone.

use tagpipe_core::extract::{Extracted, ExtractedPage, NextPage, child_identities, extract};
use tagpipe_core::model::{Identity, PageKind};
use tagpipe_core::profile::{FetchNeed, SiteProfile};

use crate::render::render;

fn profile() -> SiteProfile {
    let text = include_str!("../fixtures/second-grader.toml");
    SiteProfile::parse(text, "second-grader.toml").unwrap_or_else(|error| panic!("{error}"))
}

fn read(kind: PageKind, identity: &Identity, html: &str) -> Extracted {
    extract(&profile(), kind, identity, html)
}

fn page(extracted: Extracted) -> ExtractedPage {
    match extracted {
        Extracted::Page(page) => *page,
        other => panic!("{other:?}"),
    }
}

fn table(headers: &str, rows: &str) -> String {
    let headers: String = headers.split(',').map(|header| format!("<th>{header}")).collect();
    format!("<!doctype html><body><table class=census><thead><tr>{headers}<tbody>{rows}</table>")
}

#[test]
fn every_level_is_read_down_to_the_certificates() {
    let profile = profile();
    assert_eq!(profile.fetch, FetchNeed::Http);
    let top = Identity::default();
    let categories = page(read(
        PageKind::Categories,
        &top,
        "<ul class=games><li><a href='/census/Ice%20Hockey'>Ice Hockey</a><li><a>Golf</a></ul>",
    ));
    insta::assert_snapshot!(
        "second-grader-categories",
        render(&Extracted::Page(Box::new(categories.clone())))
    );
    let hockey = child_identities(&top, &categories.rows).next().expect("two");

    let html = table(
        "Season,Series,Cards,Slabs",
        "<tr><th><a href='/census/Ice%20Hockey/y/1989-90'>1989-90</a><td>2<td>.<td data-raw=1204>1.2k",
    );
    let years = read(PageKind::Years, &hockey, &html);
    insta::assert_snapshot!("second-grader-years", render(&years));
    let season = child_identities(&hockey, &page(years).rows).next().expect("one");
    assert_eq!(
        profile.page_url(PageKind::Sets, &season).as_deref(),
        Ok("/census/Ice%20Hockey/y/1989-90")
    );

    let html = table(
        "Series,Auth,8,9,10,10 BL,All",
        "<tr><td><a href='/census/Ice Hockey/y/1989-90/series?s=O-Pee-Chee+%26+Co'>O-Pee-Chee &amp; Co</a><td>.<td>1<td>0<td>2<td>1<td>4\
         <tr><td>Sum<td>.<td>1<td>0<td>2<td>1<td>4",
    );
    let sets = read(PageKind::Sets, &season, &html);
    insta::assert_snapshot!("second-grader-sets", render(&sets));
    let series = child_identities(&season, &page(sets).rows).next().expect("one");
    assert_eq!(
        (series.brand.as_str(), series.set.as_str()),
        ("O-Pee-Chee & Co", "")
    );

    let html = table(
        "No.,Player,Auth,8,9,10,10 BL,All",
        "<tr><td>1<td><a href='/census/Ice Hockey/y/1989-90/card?s=O-Pee-Chee+%26+Co&no=1&player=Mario+Lemieux'>M. Lemieux</a>\
         <td>.<td>1<td>0<td>2<td>1<td>4",
    ) + "<nav class=pages><span>Entries 1 to 1 (of 1,204)</span><a class=next href='?from=2'>on</a></nav>";
    let cards = page(read(PageKind::Cards, &series, &html));
    assert_eq!(
        cards.next,
        Some(NextPage::Link(
            "/census/Ice%20Hockey/y/1989-90/series?s=O-Pee-Chee+%26+Co&from=2".into()
        ))
    );
    insta::assert_snapshot!(
        "second-grader-cards",
        render(&Extracted::Page(Box::new(cards.clone())))
    );
    let lemieux = child_identities(&series, &cards.rows).next().expect("one");
    assert_eq!(lemieux.name, "Mario Lemieux");

    let html = table(
        "Place,Grade,Slab,Graded on,Remarks",
        "<tr><td>#1<td>BLACK LABEL 10<td><a class=slab href=/slab/00000001>00000001</a><td>20 Aug 2025<td>\
         <tr><td>#2<td>GEM MT 10<td><a class=slab href=/slab/00000002>00000002</a><td>20 Aug 2025<td>\
         <tr><td>.<td>NM-MT 8<td>12345678<td>.<td>x<tr><td>.<td>Auth<td>12345679<td>.<td>",
    );
    let grade_rows = read(PageKind::GradeRows, &lemieux, &html);
    insta::assert_snapshot!("second-grader-grade-rows", render(&grade_rows));
}

#[test]
fn its_screens_are_its_own() {
    let at = Identity {
        category: "Golf".into(),
        ..Identity::default()
    };
    for (html, expected) in [
        (
            "<p class=notice>Nothing graded yet.</p>",
            "0 shown, explicitly empty",
        ),
        ("<div id=error>No such entry</div>", "not found"),
        ("<h1>404</h1>", "not ready"),
        ("<div class=challenge></div>", "blocked by .challenge"),
    ] {
        assert_eq!(render(&read(PageKind::Years, &at, html)), expected, "{html}");
    }
}
