//! No text chooses a path, a query or a host; an identity survives its address. The first line is read as
//! a link, the next seven are the parts of an identity.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tagpipe_core::model::{Identity, PageKind, clean_text};
use tagpipe_core::profile::SiteProfile;

static PROFILE: LazyLock<SiteProfile> = LazyLock::new(SiteProfile::builtin);

fuzz_target!(|text: &str| {
    let mut lines = text.split('\n');
    let href = lines.next().unwrap_or_default();
    for kind in PageKind::ALL {
        if let Some(found) = PROFILE.identity_from_href(kind, href) {
            check(kind, &found);
        }
    }
    let mut part = || clean_text(lines.next().unwrap_or_default());
    let identity = Identity {
        category: part(),
        year: part(),
        brand: part(),
        set: part(),
        name: part(),
        number: part(),
        variation: part(),
    };
    check(PageKind::GradeRows, &identity);
});

fn check(kind: PageKind, identity: &Identity) {
    let Ok(url) = PROFILE.page_url(kind, identity) else {
        return;
    };
    assert_eq!(PROFILE.identity_from_href(kind, &url).as_ref(), Some(identity));
    let asked = PROFILE.origin.join(&url).expect("a path");
    assert_eq!(asked.origin(), PROFILE.origin.origin());
    let query = asked.query().map(|query| format!("?{query}")).unwrap_or_default();
    assert_eq!(format!("{}{query}", asked.path()), url);
    assert_eq!(asked.fragment(), None);
}
