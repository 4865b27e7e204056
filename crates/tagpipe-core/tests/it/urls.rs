//! Addresses, from and to identities, of the built-in profile.

use proptest::prelude::*;
use tagpipe_core::model::{Identity, PageKind, clean_text};
use tagpipe_core::profile::SiteProfile;

#[test]
fn links_of_other_sites_lead_nowhere() {
    let profile = SiteProfile::builtin();
    for (href, is_ours) in [
        ("/pop-report/Baseball", true),
        (" /pop-report/Baseball ", true),
        ("https://my.taggrading.com/pop-report/Baseball", true),
        ("HTTPS://My.TagGrading.com:443/pop-report/Baseball", true),
        ("//my.taggrading.com/pop-report/Baseball", true),
        ("http://my.taggrading.com/pop-report/Baseball", false),
        ("https://my.taggrading.com:8443/pop-report/Baseball", false),
        ("https://user@my.taggrading.com/pop-report/Baseball", false),
        (
            "https://my.taggrading.com.evil.example/pop-report/Baseball",
            false,
        ),
        ("https://evil.example/pop-report/Baseball", false),
        ("//evil.example/pop-report/Baseball", false),
        ("/\\evil.example/pop-report/Baseball", false),
        ("javascript://my.taggrading.com/pop-report/Baseball", false),
        ("pop-report/Baseball", false),
        ("x//pop-report/Baseball", false),
        ("?page=2", false),
        ("", false),
    ] {
        assert_eq!(
            profile.identity_from_href(PageKind::Years, href).is_some(),
            is_ours,
            "{href}"
        );
    }
}

#[test]
fn a_page_is_known_by_the_name_it_was_read_by() {
    let profile = SiteProfile::builtin();
    let then = Identity {
        category: "Pokémon".into(),
        year: "1999".into(),
        brand: "Wizards".into(),
        set: "Base Set".into(),
        name: "Old / Name".into(),
        number: "4/102".into(),
        variation: "Holo".into(),
    };
    let url = profile.page_url(PageKind::GradeRows, &then).expect("an address");
    let now = Identity {
        name: "New Name".into(),
        ..then.clone()
    };
    let read = |url: &str| profile.identity_when_read(PageKind::GradeRows, &now, url);
    assert_eq!(read(&url), then);
    assert_eq!(read("/pop-report"), now);
    let spelled = url.replace("Pok%C3%A9mon", "pokemon");
    assert_eq!(read(&spelled), then);
}

#[test]
fn another_origin_has_its_own_links() {
    let demo = SiteProfile::builtin().with_origin("http://127.0.0.1:8089".parse().expect("a URL"));
    assert!(
        demo.identity_from_href(PageKind::Years, "http://127.0.0.1:8089/pop-report/A")
            .is_some()
    );
    assert!(
        demo.identity_from_href(PageKind::Years, "https://my.taggrading.com/pop-report/A")
            .is_none()
    );
}

#[test]
fn wait_rules_are_json_for_a_script() {
    let rules = serde_json::to_value(SiteProfile::builtin().wait_rules(PageKind::Cards)).expect("plain data");
    insta::assert_json_snapshot!(rules);
    let tiles = SiteProfile::builtin().wait_rules(PageKind::Categories);
    assert_eq!(
        (tiles.row.as_str(), tiles.cell),
        (".MuiGrid-item.MuiGrid-grid-lg-2", None)
    );
}

proptest! {
    #[test]
    fn an_identity_survives_its_address(parts in proptest::array::uniform7("\\PC{0,20}"), level in 0u8..5) {
        let profile = SiteProfile::builtin();
        let kind = PageKind::from_level(level).expect("0 to 4");
        let names = ["category", "year", "brand", "set", "name", "number", "variation"];
        let mut identity = Identity::default();
        for (name, part) in names.iter().zip(&parts).take([0, 1, 2, 4, 7][usize::from(level)]) {
            *identity.part_mut(name).expect("a part") = clean_text(part);
        }
        if let Ok(url) = profile.page_url(kind, &identity) {
            prop_assert_eq!(profile.identity_from_href(kind, &url), Some(identity));
            // What a client asks for is what was written: no part moved path, query or host.
            let asked = profile.origin.join(&url).expect("a path");
            prop_assert_eq!(&asked[url::Position::BeforePath..], url.as_str());
            prop_assert_eq!(asked.origin(), profile.origin.origin());
        }
    }

    #[test]
    fn no_link_panics(href in any::<String>(), level in 0u8..5) {
        let kind = PageKind::from_level(level).expect("0 to 4");
        let _ = SiteProfile::builtin().identity_from_href(kind, &href);
    }
}
