//! Every exit code, through the program.

use std::time::Duration;

use sea_orm::EntityTrait;
use tagpipe_demo::{DemoConfig, Latency, Layout, Level};
use tagpipe_store::entities::discrepancies;

use crate::harness::{Engine, Rig, fetches, pages_of, profile_with};
use crate::proxy::{Answer, Proxy};
use crate::truth::{Wanted, place};

fn small() -> DemoConfig {
    DemoConfig {
        pages: 80,
        seed: 21,
        ..DemoConfig::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn zero_all_is_read_and_the_sums_agree() {
    let rig = Rig::new(small()).await;
    rig.run(&[]).await.summary(0);
    for arguments in [
        &["db", "migrate"][..],
        &["profile", "show"],
        &["--version"],
        &["--help"],
    ] {
        assert_eq!(rig.tagpipe(arguments).await.code, Some(0), "{arguments:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_it_could_not_run() {
    let mut rig = Rig::new(small()).await;
    let ended = rig
        .run(&["--base-url", "http://127.0.0.1:1", "--max-retries", "0"])
        .await;
    let words = ended.failure(1);
    assert!(
        words.contains("robots.txt") && words.contains("http://127.0.0.1:1"),
        "{words}"
    );
    let ended = rig
        .run(&["--database-url", "sqlite:no/such/folder/tagpipe.db"])
        .await;
    assert!(ended.failure(1).contains("no/such/folder"), "{}", ended.stderr);
    let ended = rig
        .run(&["--database-url", "postgres://tag@127.0.0.1:1/tag"])
        .await;
    assert!(ended.failure(1).contains("127.0.0.1:1"), "{}", ended.stderr);
    rig.write(
        "text.db",
        "this is no database, however long it may be; not at all, not even nearly so.\n",
    );
    let ended = rig.run(&["--database-url", "sqlite:text.db"]).await;
    assert!(ended.failure(1).contains("text.db"), "{}", ended.stderr);
    let ended = rig
        .run(&["--no-migrate", "--database-url", "sqlite:new.db"])
        .await;
    assert!(
        ended.failure(1).contains("tagpipe db migrate"),
        "{}",
        ended.stderr
    );
    rig.set_variable("CHROMIUM", "/nonexistent");
    let ended = rig.run(&["--fetch", "browser"]).await;
    assert!(ended.failure(1).contains("/nonexistent"), "{}", ended.stderr);
    assert!(rig.documents().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_wrong_usage() {
    let rig = Rig::new(small()).await;
    for arguments in [
        &["fly"][..],
        &[],
        &["run", "--fly"],
        &["demo", "--pages", "5"],
        &["profile", "check", "none.toml"],
    ] {
        assert_eq!(rig.tagpipe(arguments).await.code, Some(2), "{arguments:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_some_pages_failed_and_nothing_else_is_lost() {
    let mut rig = Rig::new(small()).await;
    let card = rig.site.world().card_rows().nth(5).expect("a card");
    let broken = place(&card.url).0;
    let proxy = Proxy::start(Some(rig.site.site_addr()), move |path| {
        if place(path).0 == broken {
            Answer::Raw(Vec::new())
        } else {
            Answer::Forward
        }
    })
    .await;
    rig.read_from(proxy.url());
    let summary = rig.run(&["--max-retries", "2"]).await.summary(3);
    assert_eq!(summary["end"], "pages_failed");
    assert_eq!(pages_of(&summary, "failed"), 1);
    assert_eq!(pages_of(&summary, "open"), 0);
    let failed = &summary["failed"][0];
    assert!(
        failed["page_key"]
            .as_str()
            .is_some_and(|key| key.starts_with("grade_rows/")),
        "{failed}"
    );
    assert!(
        failed["reason"].as_str().is_some_and(|reason| !reason.is_empty()),
        "{failed}"
    );
    let page = rig
        .pages()
        .await
        .into_iter()
        .find(|page| page.state == "failed")
        .expect("a failed page");
    assert_eq!(
        (page.attempts, page.failures),
        (3, 3),
        "the first read and two retries"
    );
    let audit = rig.audit().await;
    let errors: Vec<_> = audit.iter().filter(|entry| entry.level == "ERROR").collect();
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].page_key.as_deref(), Some(page.page_key.as_str()));
    rig.assert_holds(&Wanted {
        unread: vec![card.url],
        ..Wanted::everything()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_robots_forbid_a_part() {
    let robots_txt =
        Some("User-agent: *\nDisallow: /pop-report/Hockey/\n\nUser-agent: other\nDisallow: /\n".to_owned());
    let rig = Rig::new(DemoConfig {
        robots_txt,
        ..small()
    })
    .await;
    let summary = rig.run(&[]).await.summary(3);
    let years = rig
        .site
        .world()
        .year_rows()
        .filter(|row| row.category == "Hockey")
        .count() as u64;
    assert!(years > 0);
    assert_eq!(summary["denied_by_robots"], years, "{summary:#}");
    assert_eq!(pages_of(&summary, "skipped"), years);
    assert!(
        rig.documents()
            .iter()
            .all(|document| !document.path_and_query.starts_with("/pop-report/Hockey/"))
    );
    // The years of the forbidden part are known; nothing below them is.
    let hockey: Vec<String> = rig
        .site
        .world()
        .year_rows()
        .filter(|row| row.category == "Hockey")
        .map(|row| row.year)
        .collect();
    let store = rig.open().await;
    let sets = tagpipe_store::entities::sets::Entity::find()
        .all(store.connection())
        .await
        .expect("sets")
        .len();
    let years = tagpipe_store::entities::years::Entity::find()
        .all(store.connection())
        .await
        .expect("years");
    store.close().await;
    assert_eq!(
        sets,
        rig.site
            .world()
            .set_rows()
            .filter(|row| row.category != "Hockey")
            .count()
    );
    assert!(
        hockey
            .iter()
            .all(|year| years.iter().any(|row| row.year == *year))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn three_a_site_that_forbids_everything_is_not_read() {
    let robots_txt = Some("User-agent: *\nDisallow: /\n".to_owned());
    let rig = Rig::new(DemoConfig {
        robots_txt,
        ..small()
    })
    .await;
    let summary = rig.run(&[]).await.summary(3);
    assert_eq!(summary["denied_by_robots"], 1);
    assert!(rig.documents().is_empty());
}

/// A site that says of one year that it has one more certificate than it shows.
async fn boasting(rig: &Rig) -> (Proxy, String) {
    let row = rig
        .site
        .world()
        .year_rows()
        .find(|row| row.graded_count > 9)
        .expect("a year");
    let own = format!(">{}</td></tr>", row.graded_count);
    let boast = format!(">{}</td></tr>", row.graded_count + 1);
    let address = place(&format!("/pop-report/{}", row.category)).0;
    let link = format!("/{}\">", row.year);
    let proxy = Proxy::start(Some(rig.site.site_addr()), move |path| {
        if place(path).0 != address {
            return Answer::Forward;
        }
        let (own, boast, link) = (own.clone(), boast.clone(), link.clone());
        Answer::Rewrite(Box::new(move |html| {
            let at = html.find(&link).expect("the year's link");
            let (before, after) = html.split_at(at);
            assert!(after.contains(&own));
            format!("{before}{}", after.replacen(&own, &boast, 1))
        }))
    })
    .await;
    (proxy, row.year)
}

#[tokio::test(flavor = "multi_thread")]
async fn four_sums_disagree_even_after_a_second_look() {
    let mut rig = Rig::new(small()).await;
    let (proxy, year) = boasting(&rig).await;
    rig.read_from(proxy.url());
    let ended = rig.run(&[]).await;
    let summary = ended.summary(4);
    assert_eq!(summary["end"], "disputed");
    assert_eq!(summary["discrepancies"], 1, "{summary:#}");
    let words = summary["disagreements"][0].as_str().expect("words");
    assert!(
        words.contains("graded copies") && words.contains(&year),
        "{words}"
    );
    let twice: Vec<_> = fetches(&rig.documents())
        .into_values()
        .filter(|times| *times == 2)
        .collect();
    assert_eq!(
        twice.len(),
        2,
        "the year's page and the category's page were read once more"
    );
    let store = rig.open().await;
    let stored = discrepancies::Entity::find()
        .all(store.connection())
        .await
        .expect("rows");
    store.close().await;
    assert_eq!(stored.len(), 1);
    assert_eq!(stored[0].subject, "year");
    assert!(stored[0].resolved_at.is_none());
    let audit = rig.audit().await;
    assert_eq!(
        audit
            .iter()
            .filter(|entry| entry.operation == "reconcile")
            .count(),
        1
    );

    // When the site no longer boasts, the next run settles it.
    rig.read_from(proxy.url());
    drop(proxy);
    let upright = Proxy::start(Some(rig.site.site_addr()), |_| Answer::Forward).await;
    rig.read_from(upright.url());
    rig.run(&[]).await.summary(0);
    rig.assert_equals_truth().await;
    let store = rig.open().await;
    let stored = discrepancies::Entity::find()
        .all(store.connection())
        .await
        .expect("rows");
    store.close().await;
    assert!(stored.iter().all(|row| row.resolved_at.is_some()), "{stored:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn four_a_budget_that_is_just_enough_does_not_hide_a_disagreement() {
    let mut rig = Rig::new(small()).await;
    let (proxy, _) = boasting(&rig).await;
    rig.read_from(proxy.url());
    let pages = rig.site.world().page_count().to_string();
    let ended = rig.run(&["--max-pages", &pages]).await;
    assert!(
        [Some(4), Some(5)].contains(&ended.code),
        "{:?} {}",
        ended.code,
        ended.stdout
    );
    if ended.code == Some(5) {
        rig.run(&["--resume"]).await.summary(4);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn four_or_zero_a_site_that_moves_under_the_reader_is_read_again() {
    let rig = Rig::new(DemoConfig {
        pages: 150,
        churn: 0.5,
        latency: Latency {
            document_ms: 10,
            ..Latency::default()
        },
        ..small()
    })
    .await;
    let running = rig.start(&[]);
    rig.wait_for_documents(60).await;
    rig.site.update(|config| config.epoch = 1);
    let ended = running.ended().await;
    let summary = ended.summary(ended.code.expect("no signal"));
    assert!([Some(0), Some(4)].contains(&ended.code), "{summary:#}");
    assert_eq!(
        summary["discrepancies"] == 0,
        ended.code == Some(0),
        "{summary:#}"
    );
    // A run on a site at rest finds what it has now.
    rig.run(&[]).await.summary(0);
    rig.assert_present_equals_truth().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_a_budget_ended_it() {
    let rig = Rig::new(small()).await;
    let summary = rig.run(&["--max-pages", "3"]).await.summary(5);
    assert_eq!(summary["end"], "budget_spent");
}

#[tokio::test(flavor = "multi_thread")]
async fn six_the_site_kept_refusing() {
    let rig = Rig::new(DemoConfig {
        refuse_all: true,
        ..small()
    })
    .await;
    let few = [
        ("brake_first", "0.01"),
        ("brake_most", "0.05"),
        ("brake_ease", "0.01"),
        ("give_up_after", "6"),
    ];
    rig.set_profile(&profile_with(&few));
    let summary = rig.run(&[]).await.summary(6);
    assert_eq!(summary["end"], "kept_refusing");
    assert!(
        summary["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("kept refusing")),
        "{summary:#}"
    );
    assert!(
        (6..=9).contains(&rig.documents().len()),
        "{}",
        rig.documents().len()
    );
    rig.site.update(|config| config.refuse_all = false);
    rig.run(&["--resume"]).await.summary(0);
    rig.assert_equals_truth().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn six_a_captcha_needs_a_person() {
    let rig = Rig::new(small()).await;
    rig.run(&["--max-pages", "10"]).await.summary(5);
    rig.site.update(|config| config.captcha = true);
    let before = rig.documents().len();
    let summary = rig.run(&["--resume"]).await.summary(6);
    assert_eq!(summary["end"], "kept_refusing");
    assert!(rig.documents().len() - before <= 4, "it stops at once");
    assert_eq!(pages_of(&summary, "failed"), 0);
    rig.site.update(|config| config.captcha = false);
    rig.run(&["--resume"]).await.summary(0);
    rig.assert_equals_truth().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn seven_the_database_went_away_in_a_crawl() {
    let mut rig = Rig::on(
        Engine::Postgres,
        DemoConfig {
            pages: 300,
            ..small()
        },
    )
    .await;
    rig.site.update(|config| config.latency.document_ms = 25);
    rig.write("tagpipe.toml", "database_patience = 1\n");
    let running = rig.start(&[]);
    rig.wait_for_documents(60).await;
    let mut postgres = rig.postgres.take().expect("PostgreSQL");
    let postgres = tokio::task::spawn_blocking(move || {
        postgres.stop_immediately();
        postgres
    });
    rig.postgres = Some(postgres.await.expect("it stops"));
    let ended = running.ended().await;
    assert!(
        ended.failure(7).contains("the same command with --resume"),
        "{}",
        ended.stderr
    );
    restart(&mut rig).await;
    rig.site.update(|config| config.latency.document_ms = 0);
    let summary = rig.run(&["--resume"]).await.summary(0);
    assert!(summary["resumed"]["completed"].as_u64() > Some(0), "{summary:#}");
    rig.assert_equals_truth().await;
    rig.assert_is_consistent().await;
}

async fn restart(rig: &mut Rig) {
    let mut postgres = rig.postgres.take().expect("PostgreSQL");
    let restarted = tokio::task::spawn_blocking(move || {
        postgres.restart();
        postgres
    });
    rig.postgres = Some(restarted.await.expect("it starts"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_comes_back_is_waited_for_in_a_crawl() {
    let mut rig = Rig::on(
        Engine::Postgres,
        DemoConfig {
            pages: 300,
            ..small()
        },
    )
    .await;
    rig.site.update(|config| config.latency.document_ms = 25);
    rig.write("tagpipe.toml", "database_patience = 60\n");
    let running = rig.start(&[]);
    rig.wait_for_documents(60).await;
    let mut postgres = rig.postgres.take().expect("PostgreSQL");
    let stopped = tokio::task::spawn_blocking(move || {
        postgres.stop_immediately();
        postgres
    });
    rig.postgres = Some(stopped.await.expect("it stops"));
    tokio::time::sleep(Duration::from_secs(3)).await;
    restart(&mut rig).await;
    let ended = running.ended().await;
    ended.summary(0);
    rig.assert_equals_truth().await;
    rig.assert_is_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_the_layout_no_longer_fits() {
    let rig = Rig::new(small()).await;
    for level in [Level::Years, Level::Sets, Level::Cards, Level::GradeRows] {
        for layout in [
            Layout::RenamedHeader { level },
            Layout::MissingHeader { level },
            Layout::DoubledHeader { level },
        ] {
            rig.site.update(|config| config.layout = layout);
            let ended = rig.run(&["--max-retries", "0"]).await;
            assert_eq!(
                ended.code,
                Some(8),
                "{layout:?}: {}{}",
                ended.stderr,
                ended.stdout
            );
            let summary = ended.summary(8);
            assert_eq!(summary["end"], "layout_changed", "{layout:?}");
            let reason = summary["failed"][0]["reason"].as_str().expect("a reason");
            assert!(
                reason.contains('`') || reason.contains("header"),
                "{layout:?}: it names what is missing: {reason}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_pages_that_are_not_the_report_are_never_believed_to_be_empty() {
    // The app's shell, as a site that needs a script answers a plain request, and somebody else's page.
    for page in [
        "<!doctype html><div id=root></div><script src=/app.js></script>",
        "<h1>Hello shop</h1><table><tr><td>Shoes</td></tr></table>",
    ] {
        let mut rig = Rig::new(small()).await;
        let real = rig.site.site_url();
        let proxy = Proxy::start(Some(rig.site.site_addr()), move |path| {
            if path.starts_with("/pop-report") {
                Answer::Page(page.to_owned())
            } else {
                Answer::Forward
            }
        })
        .await;
        rig.read_from(proxy.url());
        let summary = rig.run(&["--max-retries", "1"]).await.summary(8);
        let reason = summary["reason"].as_str().expect("words");
        assert!(
            reason.contains("--fetch browser") && reason.contains("tagpipe probe"),
            "{reason}"
        );

        // Nor on a database that is full already, from whatever level.
        rig.read_from(real);
        rig.run(&[]).await.summary(0);
        rig.read_from(proxy.url());
        for level in ["category", "year", "set", "card", "graderows"] {
            let summary = rig
                .run(&["--full", "--start-from", level, "--max-retries", "1"])
                .await
                .summary(8);
            assert_ne!(summary["end"], "reconciled", "{level}");
        }
        assert_eq!(rig.assert_present_equals_truth().await, 0, "nothing has vanished");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_robots_txt_that_hangs_holds_up_neither_budget_nor_signal() {
    let mut rig = Rig::new(small()).await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    rig.read_from(format!("http://{}", silent.local_addr().expect("an address")));
    let summary = rig.run(&["--max-duration", "1s"]).await.summary(5);
    assert!(
        summary["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("robots.txt")),
        "{summary}"
    );
    let running = rig.start(&["--log-level", "DEBUG"]);
    silent.accept().await.expect("asked once before");
    silent.accept().await.expect("asked");
    running.signal("TERM").await;
    running.ended().await.summary(143);
}
