//! Every spelling of an address leads to its page, and nothing else does.

use std::collections::BTreeSet;

use tagpipe_demo::{DemoConfig, LONGEST_NAME, Rendering};

use crate::http::{get, start};
use crate::page::{between, links, unescaped};

fn heading(html: &str) -> String {
    unescaped(between(html, "MuiTypography-h5\">", "</h1>").unwrap_or_default())
}

#[tokio::test]
async fn spellings_of_one_address_load_one_page() {
    let demo = start(DemoConfig::default()).await;
    for same in [
        &[
            "/pop-report/Pokémon",
            "/pop-report/Pokemon",
            "/pop-report/POKEMON/",
            "/pop-report/Pok%25C3%25A9mon",
        ][..],
        &["/pop-report/Marvel%2FDC", "/pop-report/marvel%252Fdc"],
        &[
            "/pop-report/Pokémon/2021/Sword & Shield/Farfetch'd/27",
            "/pop-report/Pokemon/2021/Sword%20%26%20Shield/Farfetch%27d/27?utm=1",
            "/pop-report/Pok%25C3%25A9mon/2021/Sword%2520%2526%2520Shield/Farfetch'd/27",
        ],
    ] {
        let first = get(&demo, same[0]).await;
        assert!(!first.is_not_found_screen() && first.status == 200, "{}", same[0]);
        for other in &same[1..] {
            assert_eq!(get(&demo, other).await.body, first.body, "{other}");
        }
    }
    demo.stop().await;
}

#[tokio::test]
async fn what_is_not_there_is_the_not_found_screen_with_status_200() {
    let demo = start(DemoConfig::default()).await;
    for path in [
        "/nowhere",
        "/pop-report/Chess",
        "/pop-report/Baseball/1800",
        "/pop-report/Baseball/1989/Nobrand",
        "/pop-report/Baseball/1989/Donruss?setName=None",
        "/pop-report/Baseball/1989/Donruss/Gary Carter/54",
        "/pop-report/%ZZ%FF%00",
        "/card/I1234567",
        "/pop-report/%",
    ] {
        let answer = get(&demo, path).await;
        assert!(answer.is_not_found_screen(), "{path}: {}", answer.head);
        assert!(answer.text().contains(">404<"));
    }
    demo.stop().await;
}

#[tokio::test]
async fn every_link_of_the_site_leads_to_a_page_and_every_page_is_linked_or_a_tile() {
    let demo = start(DemoConfig {
        pages: 300,
        ..DemoConfig::default()
    })
    .await;
    let pages: Vec<String> = demo.world().page_rows().map(|page| page.url_path).collect();
    let mut linked = BTreeSet::new();
    for page in &pages {
        let answer = get(&demo, page).await;
        assert!(!answer.is_not_found_screen(), "{page}");
        linked.extend(links(answer.text()));
    }
    linked.retain(|link| link.starts_with("/pop-report"));
    assert!(linked.len() > pages.len());
    for link in &linked {
        let answer = get(&demo, link).await;
        assert!(answer.status == 200 && !answer.is_not_found_screen(), "{link}");
    }
    let unlinked: Vec<&String> = pages.iter().filter(|page| !linked.contains(*page)).collect();
    assert!(
        unlinked.iter().all(|page| page.matches('/').count() == 2),
        "{unlinked:?}"
    );
    assert!(!unlinked.is_empty(), "some tiles hold no link");
    demo.stop().await;
}

#[tokio::test]
async fn breadcrumbs_are_encoded_twice_and_lead_to_the_same_page() {
    let demo = start(DemoConfig::default()).await;
    let set = demo
        .world()
        .set_rows()
        .find(|set| set.name.contains(' ') && set.total > 0)
        .expect("a set with a name");
    let card = demo
        .world()
        .card_rows()
        .find(|card| card.set == set.name && card.brand == set.brand)
        .expect("a card");
    let page = get(&demo, &card.url).await;
    let trail = between(page.text(), "<nav", "</nav>")
        .expect("breadcrumbs")
        .to_owned();
    let crumbs = links(&trail);
    assert_eq!(crumbs.len(), 4);
    assert!(crumbs[3].contains("%2520"), "{crumbs:?}");
    let through_breadcrumb = get(&demo, &crumbs[3]).await;
    let direct = get(&demo, &set.url).await;
    assert_eq!(through_breadcrumb.body, direct.body);
    assert_eq!(heading(direct.text()), format!("{} {}", set.brand, set.name));
    demo.stop().await;
}

#[tokio::test]
async fn hostile_names_are_escaped_and_addressable() {
    let demo = start(DemoConfig {
        hostile: true,
        pages: 100,
        ..DemoConfig::default()
    })
    .await;
    let world = demo.world();
    let cards: Vec<_> = world
        .card_rows()
        .filter(|card| card.category.contains("Hostile"))
        .collect();
    assert!(cards.iter().any(|card| card.name.contains("<script>")));
    assert!(cards.iter().any(|card| card.name.chars().count() == LONGEST_NAME));
    let sets = world
        .set_rows()
        .filter(|set| set.category.contains("Hostile"))
        .map(|set| set.url);
    for url in cards.iter().map(|card| card.url.clone()).chain(sets) {
        let answer = get(&demo, &url).await;
        assert!(answer.status == 200 && !answer.is_not_found_screen(), "{url}");
        let html = answer.text();
        assert_eq!(html.matches("<script").count(), 1, "only the tracker's");
        assert!(
            !html.contains("<img") && !html.contains("<i>") && !html.contains("\"onmouse"),
            "{html}"
        );
    }
    demo.stop().await;
}

#[tokio::test]
async fn hostile_data_is_there_only_when_asked_for() {
    let plain = start(DemoConfig::default()).await;
    assert!(
        plain
            .world()
            .category_rows()
            .all(|category| !category.name.contains("Hostile"))
    );
    let before: Vec<_> = plain.world().card_rows().collect();
    plain.update(|config| config.hostile = true);
    assert!(
        plain
            .world()
            .category_rows()
            .any(|category| category.name.contains("Hostile"))
    );
    let after: Vec<_> = plain.world().card_rows().take(before.len()).collect();
    assert_eq!(after, before, "the rest of the site stays as it was");
    plain.stop().await;
}

#[tokio::test]
async fn a_script_page_is_empty_until_its_data_is_asked_for() {
    let demo = start(DemoConfig {
        rendering: Rendering::Script,
        ..DemoConfig::default()
    })
    .await;
    let shell = get(&demo, "/pop-report/Baseball").await;
    assert!(shell.text().contains("<div id=\"root\"></div>"));
    assert!(!shell.text().contains("<table") && shell.text().contains("/static/js/main.js"));
    assert_eq!(get(&demo, "/nowhere").await.status, 200);
    assert!(
        get(&demo, "/static/js/main.js")
            .await
            .text()
            .contains("/_app/page")
    );
    for asset in [
        "/static/img/3.svg",
        "/static/font/report-sans.woff2",
        "/static/tracker.js",
        "/_app/poll?n=1",
    ] {
        assert_eq!(get(&demo, asset).await.status, 200, "{asset}");
    }
    demo.stop().await;
}

#[tokio::test]
async fn both_renderings_yield_the_same_markup() {
    let demo = start(DemoConfig {
        pages: 100,
        ..DemoConfig::default()
    })
    .await;
    let pages: Vec<String> = demo.world().page_rows().map(|page| page.url_path).collect();
    let mut served = Vec::new();
    for page in &pages {
        served.push(get(&demo, page).await);
    }
    demo.update(|config| {
        config.rendering = Rendering::Script;
        config.latency.median_ms = 0;
        config.latency.tail_ms = 0;
    });
    for (page, served) in pages.iter().zip(served) {
        let wanted: String = page.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let answer = get(&demo, &format!("/_app/page?page=1&path={wanted}")).await;
        let json: serde_json::Value = serde_json::from_str(answer.text()).expect("data is JSON");
        let rows: String = json["rows"]
            .as_array()
            .expect("rows")
            .iter()
            .filter_map(|row| row.as_str())
            .collect();
        let top = json["top"].as_str().expect("a top");
        let bottom = json["bottom"].as_str().expect("a bottom");
        let whole = format!("{top}{rows}{bottom}");
        let root = between(served.text(), "<div id=\"root\">", "</div></body>").expect("a root");
        let root = if root.contains("title=\"Next page\"") {
            as_button(root)
        } else {
            root.to_owned()
        };
        assert_eq!(whole, root, "{page}");
    }
    demo.stop().await;
}

/// The pager's next link as the script rendering writes it: the one place where the two differ.
fn as_button(root: &str) -> String {
    let link = "<a class=\"MuiButtonBase-root MuiIconButton-root\" href=\"";
    let Some((before, rest)) = root.split_once(link) else {
        return root.to_owned();
    };
    let (_, rest) = rest.split_once('"').expect("an attribute ends");
    let button = "<button class=\"MuiButtonBase-root MuiIconButton-root\" type=\"button\" data-page=\"2\"";
    format!("{before}{button}{}", rest.replacen("</a>", "</button>", 1))
}
