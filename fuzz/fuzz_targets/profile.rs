//! Any text is a profile or is refused with a place; a profile that is accepted reads any document.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tagpipe_core::extract::extract;
use tagpipe_core::model::{Identity, PageKind};
use tagpipe_core::profile::SiteProfile;

const HTML: &str = "<table><thead><tr><th>Year<th>Sets<th>Items<th>Graded<tbody><tr class=MuiTableRow-root>\
    <td class=MuiTableCell-root><a href='/pop-report/A/1989'>1989</a><td class=MuiTableCell-root>1\
    <td class=MuiTableCell-root>2<td class=MuiTableCell-root>3</table><p>1-1 of 1<button>chevron_right";

fuzz_target!(|text: &str| {
    match SiteProfile::parse(text, "fuzzed.toml") {
        Ok(profile) => {
            let identity = Identity {
                category: "A".into(),
                ..Identity::default()
            };
            for kind in PageKind::ALL {
                let _ = (extract(&profile, kind, &identity, HTML), profile.wait_rules(kind));
                let _ = profile.page_url(kind, &identity);
                let _ = profile.identity_from_href(kind, "/pop-report/A/1989?setName=x");
            }
        }
        Err(error) => {
            assert!((1..=text.lines().count() + 1).contains(&error.line), "{error}");
            assert!(!error.field.is_empty() && !error.problem.is_empty(), "{error}");
        }
    }
});
