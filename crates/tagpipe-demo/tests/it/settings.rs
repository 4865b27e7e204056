//! Settings change at run time, through the admin address as well.

use tagpipe_demo::{DemoConfig, Layout, Level, Rendering, RunningDemo};

use crate::http::{Answer, admin, get, send, start};
use crate::page::{data_rows, headers};

async fn put(demo: &RunningDemo, json: &str) -> Answer {
    send(
        demo.admin_addr(),
        "PUT",
        "/settings",
        "Content-Type: application/json\r\n",
        json,
    )
    .await
}

#[tokio::test]
async fn named_settings_change_and_others_stay() {
    let demo = start(DemoConfig::default()).await;
    let change = r#"{"faults": {"soft_404": 0.5}, "layout": {"kind": "missing_header", "level": "cards"}, "robots_txt": "hands off"}"#;
    assert_eq!(put(&demo, change).await.status, 200);
    let config = demo.config();
    assert_eq!(config.faults.soft_404, 0.5);
    assert_eq!(config.layout, Layout::MissingHeader { level: Level::Cards });
    assert_eq!((config.pages, config.totals), (600, true));
    assert_eq!(get(&demo, "/robots.txt").await.text(), "hands off");
    assert_eq!(put(&demo, r#"{"layout": {"kind": "normal"}}"#).await.status, 200);
    assert_eq!(demo.config().layout, Layout::Normal);
    let shown: DemoConfig =
        serde_json::from_str(admin(&demo, "/settings").await.text()).expect("settings are JSON");
    assert_eq!(shown, demo.config());
    demo.stop().await;
}

#[tokio::test]
async fn wrong_settings_change_nothing() {
    let demo = start(DemoConfig::default()).await;
    for wrong in [
        r#"{"pagse": 5}"#,
        r#"{"faults": {"slow": "often"}}"#,
        r#"{"rendering": "none"}"#,
    ] {
        let answer = put(&demo, wrong).await;
        assert_eq!(answer.status, 400, "{wrong}");
        assert!(!answer.body.is_empty());
    }
    assert_eq!(demo.config(), DemoConfig::default());
    demo.stop().await;
}

#[tokio::test]
async fn the_usual_robots_txt_closes_only_what_is_private() {
    let demo = start(DemoConfig::default()).await;
    assert_eq!(
        get(&demo, "/robots.txt").await.text(),
        "User-agent: *\nDisallow: /private\n"
    );
    demo.stop().await;
}

#[tokio::test]
async fn an_epoch_moves_the_pages_and_the_truth_alike() {
    let demo = start(DemoConfig {
        churn: 0.3,
        ..DemoConfig::default()
    })
    .await;
    let before: Vec<_> = demo.world().card_rows().collect();
    assert_eq!(put(&demo, r#"{"epoch": 1}"#).await.status, 200);
    let after: Vec<_> = demo.world().card_rows().collect();
    let moved: Vec<_> = before
        .iter()
        .zip(&after)
        .filter(|(old, new)| old.counts != new.counts)
        .collect();
    let share = moved.len() as f64 / before.len() as f64;
    assert!((0.2..0.4).contains(&share), "{share}");
    assert!(before.iter().zip(&after).all(|(old, new)| old.url == new.url));
    let (_, new) = moved[0];
    let page = get(&demo, &new.url).await;
    assert_eq!(data_rows(page.text()).len() as u32, new.total);
    demo.update(|config| config.epoch = 0);
    assert!(
        demo.world().card_rows().eq(before),
        "an epoch can be gone back to"
    );
    demo.stop().await;
}

#[tokio::test]
async fn a_changed_layout_strikes_one_level() {
    let demo = start(DemoConfig::default()).await;
    let paths = [
        (Level::Years, "/pop-report/Baseball", "Graded"),
        (Level::Sets, "/pop-report/Baseball/1989", "Total"),
        (Level::Cards, "/pop-report/Baseball/1989/Donruss", "Total"),
        (
            Level::GradeRows,
            "/pop-report/Baseball/1989/Donruss/Gary Carter/53",
            "Cert Number unfold_more",
        ),
    ];
    for (level, path, last) in paths {
        let normal = get(&demo, path).await;
        let width = headers(normal.text()).len();
        let copies = |html: &str| headers(html).iter().filter(|header| *header == last).count();
        for (layout, expected_copies, expected_width) in [
            (Layout::RenamedHeader { level }, 0, width),
            (Layout::MissingHeader { level }, 0, width - 1),
            (Layout::DoubledHeader { level }, 2, width + 1),
        ] {
            demo.update(|config| config.layout = layout);
            let struck = get(&demo, path).await;
            assert_eq!(copies(struck.text()), expected_copies, "{layout:?}");
            assert_eq!(headers(struck.text()).len(), expected_width);
            assert_eq!(data_rows(struck.text())[0].len(), expected_width);
            let other = paths
                .iter()
                .find(|(other, ..)| *other != level)
                .expect("another level");
            assert!(
                headers(get(&demo, other.1).await.text())
                    .iter()
                    .any(|header| header == other.2)
            );
        }
        demo.update(|config| config.layout = Layout::Normal);
        assert_eq!(get(&demo, path).await.body, normal.body);
    }
    demo.update(|config| {
        config.layout = Layout::MissingHeader {
            level: Level::Categories,
        }
    });
    assert!(!get(&demo, "/pop-report").await.text().contains("<h6"));
    demo.stop().await;
}

#[tokio::test]
async fn pages_are_compressed_when_both_sides_agree() {
    let demo = start(DemoConfig {
        compress: true,
        ..DemoConfig::default()
    })
    .await;
    let plain = get(&demo, "/pop-report").await;
    assert_eq!(plain.header("content-encoding"), None);
    let packed = send(
        demo.site_addr(),
        "GET",
        "/pop-report",
        "Accept-Encoding: br, gzip\r\n",
        "",
    )
    .await;
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    assert!(packed.body.starts_with(&[0x1f, 0x8b]) && packed.body.len() < plain.body.len() / 3);
    demo.stop().await;
}

#[tokio::test]
async fn rendering_can_be_switched() {
    let demo = start(DemoConfig::default()).await;
    demo.update(|config| config.rendering = Rendering::Script);
    assert!(
        get(&demo, "/pop-report")
            .await
            .text()
            .contains("<div id=\"root\"></div>")
    );
    assert_eq!(admin(&demo, "/truth/nothing").await.status, 404);
    demo.stop().await;
}
