//! Any text is a document of any kind: the extraction returns, and what it returns holds together.
//! The first byte chooses the kind of page; the rest is the document.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tagpipe_core::extract::{CELL_MAX_BYTES, Extracted, ExtractedPage, child_identities, extract, rows_hash};
use tagpipe_core::model::{Identity, PageKind};
use tagpipe_core::profile::SiteProfile;

static PROFILE: LazyLock<SiteProfile> = LazyLock::new(SiteProfile::builtin);

fuzz_target!(|data: &[u8]| {
    let Some((level, html)) = data.split_first() else {
        return;
    };
    let kind = PageKind::from_level(level % 5).expect("0 to 4");
    let html = String::from_utf8_lossy(html);
    let identity = identity(kind);
    if let Extracted::Page(page) = extract(&PROFILE, kind, &identity, &html) {
        check(kind, &identity, &page);
    }
});

/// The page that the links in the seeds belong to.
fn identity(kind: PageKind) -> Identity {
    let parts = ["Pokémon", "2021", "Sword & Shield", "Vivid Voltage"].map(str::to_owned);
    let [category, year, brand, set] = parts;
    match kind {
        PageKind::Categories => Identity::default(),
        PageKind::Years => Identity {
            category: "Baseball".to_owned(),
            ..Identity::default()
        },
        PageKind::Sets => Identity {
            category,
            year,
            ..Identity::default()
        },
        PageKind::Cards | PageKind::GradeRows => Identity {
            category,
            year,
            brand,
            set,
            ..Identity::default()
        },
    }
}

fn check(kind: PageKind, identity: &Identity, page: &ExtractedPage) {
    assert_eq!(page.rows.kind(), kind);
    assert!(page.rows.len() <= page.rows_shown);
    assert_eq!(page.explicitly_empty, page.rows_shown == 0);
    assert_eq!(rows_hash(&page.rows), rows_hash(&page.rows.clone()));
    if let Some(pager) = page.pager {
        assert!(pager.from <= pager.to.max(1) && pager.to <= pager.of);
    }
    for cell in &page.unreadable {
        assert!(cell.text.chars().count() <= 201);
        assert!(!cell.text.chars().any(char::is_control));
    }
    let Some(child_kind) = kind.child() else { return };
    for child in child_identities(identity, &page.rows) {
        for part in [
            &child.category,
            &child.year,
            &child.brand,
            &child.set,
            &child.name,
            &child.number,
        ] {
            assert!(part.len() <= 3 * CELL_MAX_BYTES && !part.chars().any(char::is_control));
        }
        if let Ok(url) = PROFILE.page_url(child_kind, &child) {
            assert_eq!(PROFILE.identity_from_href(child_kind, &url), Some(child));
        }
    }
}
