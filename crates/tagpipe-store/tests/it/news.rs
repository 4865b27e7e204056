//! News and the outbox: news is there with what it tells, each channel is told once, and nothing that was to be sent is lost.

use std::time::Duration;

use serde_json::json;
use tagpipe_core::lifecycle::RunState;
use tagpipe_core::model::PageRows;
use tagpipe_core::news::{News, NewsKind, NewsLevel};
use tagpipe_core::profile::PaceAdvice;
use tagpipe_core::watch::{Watch, Watched};
use tagpipe_store::audit::AuditOrigin;
use tagpipe_store::contract::Refusal;
use tagpipe_store::{
    Closing, DeliveryState, MessageEnd, NewOrder, NewSchedule, NewsFilter, Overlap, RunEnding, Store,
};

use crate::harness::*;

on_both_engines! {
    news_is_there_with_the_end_that_it_tells_or_neither_is,
    news_of_one_key_is_recorded_once,
    a_channel_is_told_what_happens_since_it_was_entered,
    one_process_at_a_time_sends_to_a_channel,
    a_message_stays_the_same_until_it_has_arrived,
    a_message_that_is_given_up_is_audited_and_may_be_tried_again,
    a_message_that_some_will_never_get_is_sent_and_audited,
    a_digest_counts_all_and_shows_what_matters_most,
    old_news_goes_with_all_that_was_sent_of_it,
    news_is_found_by_what_it_is_and_by_what_became_of_it,
    a_watch_tells_what_a_run_has_changed_once,
    a_missed_time_is_news,
    a_brake_knows_since_when_it_is_closed,
}

fn news(title: &str, level: NewsLevel) -> News {
    News::new(NewsKind::RunFailed, level, title).with_fact("Ünïcode \0", "'; DROP TABLE news; --")
}

/// Ends the run as this runner, with this news; whether it had the right to.
async fn close(crawl: &Crawl, news: &[News]) -> Result<bool, tagpipe_store::StoreError> {
    let summary = json!({});
    let ending = RunEnding {
        state: RunState::Reconciled,
        summary: &summary,
        origin: AuditOrigin {
            run: Some(crawl.run),
            runner_id: "runner_1",
        },
        entries: &[],
        news,
    };
    crawl
        .store
        .close_run(crawl.run, &crawl.me.instance, &ending)
        .await
}

async fn begin_closing(crawl: &Crawl) {
    let closing = crawl
        .store
        .begin_closing(crawl.run, &crawl.me.instance, TERM)
        .await
        .unwrap();
    assert_eq!(closing, Closing::Mine);
}

/// Records these pieces and has `channel` told all of them, as the process `me`. Returns their numbers, oldest first.
async fn waiting(store: &Store, channel: &str, titles: &[(&str, NewsLevel)]) -> Vec<i64> {
    for (title, level) in titles {
        store.record_news(&[news(title, *level)]).await.unwrap();
    }
    assert!(store.hold_channel(channel, "me", TERM).await.unwrap());
    let unsorted = store.news_to_sort(channel).await.unwrap();
    let sorted: Vec<(i64, bool)> = unsorted.iter().map(|headline| (headline.id, true)).collect();
    assert!(store.sort_news(channel, "me", &sorted).await.unwrap());
    sorted.into_iter().map(|(id, _)| id).collect()
}

async fn news_is_there_with_the_end_that_it_tells_or_neither_is(crawl: Crawl) {
    let told = [news("a", NewsLevel::Error)];
    // Without the right to close.
    assert!(!close(&crawl, &told).await.unwrap());
    assert_eq!(crawl.count("news").await, 0);
    // With the right to, and a table that takes nothing.
    begin_closing(&crawl).await;
    crawl.sql("ALTER TABLE news RENAME TO elsewhere").await;
    assert!(close(&crawl, &told).await.is_err());
    assert_eq!(crawl.count("runs WHERE state = 'running'").await, 1);
    crawl.sql("ALTER TABLE elsewhere RENAME TO news").await;
    assert!(close(&crawl, &told).await.unwrap());
    assert_eq!(crawl.count("runs WHERE state = 'reconciled'").await, 1);
    let recorded = crawl.store.news(&NewsFilter::default(), None, 10).await.unwrap();
    assert_eq!(recorded.len(), 1);
    assert_eq!(recorded[0].news.title, "a");
    assert_eq!(recorded[0].news.facts[0].value, "'; DROP TABLE news; --");
    assert!(recorded[0].deliveries.is_empty());
}

async fn news_of_one_key_is_recorded_once(crawl: Crawl) {
    let store = &crawl.store;
    let once = news("a", NewsLevel::Error).once("brake/1");
    let recorders: Vec<_> = (0..6)
        .map(|_| {
            let (store, once) = (store.clone(), once.clone());
            tokio::spawn(async move { store.record_news(&[once]).await.unwrap() })
        })
        .collect();
    let mut recorded = 0;
    for recorder in recorders {
        recorded += recorder.await.unwrap();
    }
    assert_eq!(recorded, 1);
    assert_eq!(
        store
            .record_news(&[once, news("b", NewsLevel::Info)])
            .await
            .unwrap(),
        1
    );
    // Without a key each is its own.
    assert_eq!(store.record_news(&[news("b", NewsLevel::Info)]).await.unwrap(), 1);
}

async fn a_channel_is_told_what_happens_since_it_was_entered(crawl: Crawl) {
    let store = &crawl.store;
    store
        .record_news(&[news("before", NewsLevel::Error)])
        .await
        .unwrap();
    crawl
        .sql("UPDATE news SET created_at = '2020-01-01T00:00:00.000Z'")
        .await;
    store.enter_channels(&["ops", "all"]).await.unwrap();
    store
        .record_news(&[news("after", NewsLevel::Error)])
        .await
        .unwrap();
    store.enter_channels(&["ops", "all"]).await.unwrap();
    let unsorted = store.news_to_sort("ops").await.unwrap();
    assert_eq!(unsorted.len(), 1);
    let id = unsorted[0].id;
    assert!(store.hold_channel("ops", "me", TERM).await.unwrap());
    assert!(store.sort_news("ops", "me", &[(id, false)]).await.unwrap());
    // What it was not to be told does not come back, and the other channel decides for itself.
    assert!(store.news_to_sort("ops").await.unwrap().is_empty());
    assert_eq!(store.news_to_sort("all").await.unwrap().len(), 1);
    assert!(store.waiting_news("ops").await.unwrap().1.is_empty());
    let shown = store.news(&NewsFilter::default(), None, 1).await.unwrap();
    assert_eq!(shown[0].deliveries.len(), 1);
    assert_eq!(shown[0].deliveries[0].state, DeliveryState::LeftOut);
    // News that becomes visible later than newer news is not missed.
    let late = "INSERT INTO news (created_at, kind, level, title, text, facts) \
                SELECT created_at, kind, level, 'late', '', '[]' FROM news WHERE title = 'after'";
    crawl.sql(late).await;
    assert_eq!(store.news_to_sort("ops").await.unwrap().len(), 1);
}

async fn one_process_at_a_time_sends_to_a_channel(crawl: Crawl) {
    let store = &crawl.store;
    store.enter_channels(&["ops"]).await.unwrap();
    assert!(!store.hold_channel("nobody", "me", TERM).await.unwrap());
    let ids = waiting(store, "ops", &[("a", NewsLevel::Error)]).await;
    assert!(!store.hold_channel("ops", "other", TERM).await.unwrap());
    assert!(!store.sort_news("ops", "other", &[(ids[0], true)]).await.unwrap());
    assert!(!store.pack_news("ops", "other", "m1", &ids).await.unwrap());
    assert!(store.pack_news("ops", "me", "m1", &ids).await.unwrap());
    // What is packed already makes no second message.
    assert!(!store.pack_news("ops", "me", "m2", &ids).await.unwrap());
    assert_eq!(crawl.count("news_messages").await, 1);
    assert!(!store.begin_message("ops", "other", "m1").await.unwrap());
    // A term that is over is another's, and what was begun under it goes on under the same id.
    assert!(store.hold_channel("ops", "me", NO_TERM).await.unwrap());
    assert!(!store.begin_message("ops", "me", "m1").await.unwrap());
    assert!(store.hold_channel("ops", "other", TERM).await.unwrap());
    assert!(!store.pack_news("ops", "me", "m2", &ids).await.unwrap());
    assert!(store.begin_message("ops", "other", "m1").await.unwrap());
    store.leave_channels("other").await.unwrap();
    assert!(store.hold_channel("ops", "me", TERM).await.unwrap());
}

async fn a_message_stays_the_same_until_it_has_arrived(crawl: Crawl) {
    let store = &crawl.store;
    store.enter_channels(&["ops"]).await.unwrap();
    let ids = waiting(store, "ops", &[("a", NewsLevel::Error), ("b", NewsLevel::Info)]).await;
    assert!(store.pack_news("ops", "me", "m1", &ids).await.unwrap());
    assert!(store.waiting_news("ops").await.unwrap().1.is_empty());
    let more = waiting(store, "ops", &[("c", NewsLevel::Error)]).await;
    assert_eq!(more.len(), 1);
    let first = store.packed_news("m1", 10).await.unwrap();
    for attempt in 0..3 {
        let open = store.open_messages("ops").await.unwrap();
        assert_eq!(
            (open.len(), open[0].id.as_str(), open[0].attempts),
            (1, "m1", attempt)
        );
        assert!(!open[0].is_critical);
        assert!(store.begin_message("ops", "me", "m1").await.unwrap());
        assert_eq!(store.packed_news("m1", 10).await.unwrap(), first);
        let end = MessageEnd::Retry {
            after: Duration::ZERO,
            why: "busy \0".to_owned(),
            reached: vec!["ä\0@example.com".to_owned()],
        };
        store.end_message("ops", "m1", &end).await.unwrap();
    }
    let later = MessageEnd::Retry {
        after: TERM,
        why: "busy".to_owned(),
        reached: Vec::new(),
    };
    store.end_message("ops", "m1", &later).await.unwrap();
    let open = store.open_messages("ops").await.unwrap().remove(0);
    assert!(!open.is_due);
    // Who has it has it, whether or not the next attempt got as far.
    assert_eq!(open.reached, ["ä\u{fffd}@example.com"]);
    assert!(!store.begin_message("ops", "me", "m1").await.unwrap());
    store.end_message("ops", "m1", &MessageEnd::Sent).await.unwrap();
    assert!(store.open_messages("ops").await.unwrap().is_empty());
    // The first word stands.
    store.end_message("ops", "m1", &later).await.unwrap();
    assert!(store.open_messages("ops").await.unwrap().is_empty());
    let shown = store.news(&NewsFilter::default(), None, 10).await.unwrap();
    let states: Vec<(&str, DeliveryState, u64)> = shown
        .iter()
        .map(|one| {
            let delivery = &one.deliveries[0];
            (one.news.title.as_str(), delivery.state, delivery.attempts)
        })
        .collect();
    let (waiting, sent) = (DeliveryState::Waiting, DeliveryState::Sent);
    assert_eq!(states, [("c", waiting, 0), ("b", sent, 3), ("a", sent, 3)]);
}

async fn a_message_that_is_given_up_is_audited_and_may_be_tried_again(crawl: Crawl) {
    let store = &crawl.store;
    store.enter_channels(&["ops"]).await.unwrap();
    let ids = waiting(store, "ops", &[("a", NewsLevel::Error)]).await;
    assert!(store.pack_news("ops", "me", "m1", &ids).await.unwrap());
    let end = MessageEnd::Failed {
        why: "HTTP status 404".to_owned(),
    };
    store.end_message("ops", "m1", &end).await.unwrap();
    store.end_message("ops", "m1", &end).await.unwrap();
    let audited = "audit_logs WHERE level = 'ERROR' AND operation = 'notify' AND message LIKE '%ops%404%'";
    assert_eq!(crawl.count(audited).await, 1);
    assert_eq!(
        store.news(&NewsFilter::default(), None, 1).await.unwrap()[0].deliveries[0].state,
        DeliveryState::Failed
    );
    assert!(!store.begin_message("ops", "me", "m1").await.unwrap());
    assert_eq!(store.reopen_messages().await.unwrap(), 1);
    assert!(store.begin_message("ops", "me", "m1").await.unwrap());
}

async fn a_message_that_some_will_never_get_is_sent_and_audited(crawl: Crawl) {
    let store = &crawl.store;
    store.enter_channels(&["ops"]).await.unwrap();
    let ids = waiting(store, "ops", &[("a", NewsLevel::Error)]).await;
    assert!(store.pack_news("ops", "me", "m1", &ids).await.unwrap());
    let end = MessageEnd::SentInPart {
        why: "`b@example.com`: no such user".to_owned(),
    };
    store.end_message("ops", "m1", &end).await.unwrap();
    let audited =
        "audit_logs WHERE level = 'ERROR' AND operation = 'notify' AND message LIKE '%ops%b@example.com%'";
    assert_eq!(crawl.count(audited).await, 1);
    let delivery = store
        .news(&NewsFilter::default(), None, 1)
        .await
        .unwrap()
        .remove(0)
        .deliveries
        .remove(0);
    assert_eq!(
        (delivery.state, delivery.last_error.as_str()),
        (DeliveryState::Sent, "`b@example.com`: no such user")
    );
    assert_eq!(store.reopen_messages().await.unwrap(), 0);
}

async fn a_digest_counts_all_and_shows_what_matters_most(crawl: Crawl) {
    let store = &crawl.store;
    store.enter_channels(&["ops"]).await.unwrap();
    let storm: Vec<News> = (0..500)
        .map(|number| news(&format!("w{number}"), NewsLevel::Warning))
        .collect();
    store.record_news(&storm).await.unwrap();
    let ids = waiting(store, "ops", &[("worst", NewsLevel::Critical)]).await;
    assert_eq!(ids.len(), 501);
    let (now_us, waits) = store.waiting_news("ops").await.unwrap();
    assert_eq!(waits.len(), 501);
    assert!(
        waits
            .iter()
            .all(|one| (now_us - 60_000_000..=now_us).contains(&one.created_us))
    );
    assert!(store.pack_news("ops", "me", "m1", &ids).await.unwrap());
    assert!(store.open_messages("ops").await.unwrap()[0].is_critical);
    let packed = store.packed_news("m1", 3).await.unwrap();
    assert_eq!(
        packed.counts,
        [
            (NewsKind::RunFailed, NewsLevel::Critical, 1),
            (NewsKind::RunFailed, NewsLevel::Warning, 500)
        ]
    );
    let titles: Vec<&str> = packed.first.iter().map(|one| one.title.as_str()).collect();
    assert_eq!(titles, ["worst", "w0", "w1"]);
}

async fn old_news_goes_with_all_that_was_sent_of_it(crawl: Crawl) {
    let store = &crawl.store;
    store.enter_channels(&["ops"]).await.unwrap();
    let ids = waiting(store, "ops", &[("a", NewsLevel::Error)]).await;
    assert!(store.pack_news("ops", "me", "m1", &ids).await.unwrap());
    assert_eq!(store.prune_news(TERM).await.unwrap(), 0);
    for table in ["news", "news_messages"] {
        crawl
            .sql(&format!(
                "UPDATE {table} SET created_at = '2020-01-01T00:00:00.000Z'"
            ))
            .await;
    }
    assert_eq!(store.prune_news(TERM).await.unwrap(), 1);
    for table in ["news", "news_messages", "news_deliveries"] {
        assert_eq!(crawl.count(table).await, 0, "{table}");
    }
}

/// One piece of news in each state of delivery, on one channel; another channel leaves all of it out.
async fn in_each_state(store: &Store) {
    store.enter_channels(&["ops", "quiet"]).await.unwrap();
    let titles = ["left out", "waits", "put off", "arrived", "given up"];
    let levels = [
        NewsLevel::Info,
        NewsLevel::Warning,
        NewsLevel::Error,
        NewsLevel::Critical,
        NewsLevel::Error,
    ];
    for (title, level) in titles.into_iter().zip(levels) {
        store.record_news(&[news(title, level)]).await.unwrap();
    }
    let ids: Vec<i64> = store
        .news_to_sort("ops")
        .await
        .unwrap()
        .iter()
        .map(|one| one.id)
        .collect();
    for (channel, is_wanted) in [("ops", true), ("quiet", false)] {
        assert!(store.hold_channel(channel, "me", TERM).await.unwrap());
        let sorted: Vec<(i64, bool)> = ids.iter().map(|id| (*id, is_wanted && *id != ids[0])).collect();
        assert!(store.sort_news(channel, "me", &sorted).await.unwrap());
    }
    let put_off = MessageEnd::Retry {
        after: TERM,
        why: "busy".to_owned(),
        reached: Vec::new(),
    };
    let given_up = MessageEnd::Failed {
        why: "gone".to_owned(),
    };
    for (id, end) in ids[2..].iter().zip([put_off, MessageEnd::Sent, given_up]) {
        let message = format!("m{id}");
        assert!(store.pack_news("ops", "me", &message, &[*id]).await.unwrap());
        assert!(store.begin_message("ops", "me", &message).await.unwrap());
        store.end_message("ops", &message, &end).await.unwrap();
    }
}

async fn news_is_found_by_what_it_is_and_by_what_became_of_it(crawl: Crawl) {
    let store = &crawl.store;
    in_each_state(store).await;
    let finished = News::new(NewsKind::RunFinished, NewsLevel::Info, "finished");
    store.record_news(&[finished]).await.unwrap();
    let titles = async |filter: NewsFilter| -> Vec<String> {
        let found = store.news(&filter, None, 100).await.unwrap();
        found.into_iter().map(|one| one.news.title).collect()
    };
    let all = NewsFilter::default();
    assert_eq!(
        titles(all).await,
        ["finished", "given up", "arrived", "put off", "waits", "left out"]
    );
    let (kind, least) = (Some(NewsKind::RunFinished), Some(NewsLevel::Error));
    assert_eq!(titles(NewsFilter { kind, ..all }).await, ["finished"]);
    assert_eq!(
        titles(NewsFilter { least, ..all }).await,
        ["given up", "arrived", "put off"]
    );
    for (delivery, title) in [
        (DeliveryState::Waiting, "waits"),
        (DeliveryState::Open, "put off"),
        (DeliveryState::Sent, "arrived"),
        (DeliveryState::Failed, "given up"),
    ] {
        let delivery = Some(delivery);
        assert_eq!(titles(NewsFilter { delivery, ..all }).await, [title]);
    }
    // Any channel will do.
    let delivery = Some(DeliveryState::LeftOut);
    assert_eq!(titles(NewsFilter { delivery, ..all }).await.len(), 5);
    assert_eq!(
        titles(NewsFilter {
            delivery,
            least,
            ..all
        })
        .await,
        ["given up", "arrived", "put off"]
    );

    crawl
        .sql("UPDATE news SET created_at = '2020-01-01T00:00:00.000Z' WHERE title <> 'finished'")
        .await;
    let since = Some(TERM);
    assert_eq!(titles(NewsFilter { since, ..all }).await, ["finished"]);

    let mut seen: Vec<(i64, usize)> = Vec::new();
    loop {
        let before = seen.last().map(|(id, _)| *id);
        let page = store.news(&all, before, 2).await.unwrap();
        if page.is_empty() {
            break;
        }
        seen.extend(page.iter().map(|one| (one.news.id, one.deliveries.len())));
    }
    assert_eq!(seen.len(), 6);
    assert!(seen.is_sorted_by(|one, next| one.0 > next.0), "{seen:?}");
    assert_eq!(
        seen.iter().map(|(_, deliveries)| *deliveries).collect::<Vec<_>>(),
        [0, 2, 2, 2, 2, 2]
    );
    assert_eq!(store.news_channels().await.unwrap(), ["ops", "quiet"]);
}

async fn a_watch_tells_what_a_run_has_changed_once(mut crawl: Crawl) {
    let watch = |subject, text| Watch::parse(subject, text).unwrap();
    for (subject, text) in [
        (Watched::Card, "player 1"),
        (Watched::Card, "*/1989/Donruss/2 *"),
        (Watched::Set, "cards/baseball/1989/Donruss/"),
        (Watched::Card, "Nobody"),
    ] {
        assert!(crawl.store.add_watch(&watch(subject, text)).await.unwrap());
    }
    assert!(
        !crawl
            .store
            .add_watch(&watch(Watched::Card, "Nobody"))
            .await
            .unwrap()
    );
    crawl.read_down_to(cards(3)).await;
    let told = crawl.store.watched_changes(crawl.run).await.unwrap();
    let titles = |told: &[News]| -> Vec<String> { told.iter().map(|news| news.title.clone()).collect() };
    assert_eq!(
        titles(&told),
        [
            "Watched card */*/*/player 1: 1 change",
            "Watched card */1989/Donruss/2 *: 1 change",
            "Watched set baseball/1989/Donruss: 4 changes",
        ]
    );
    assert!(
        told[0].text.contains("1 Player 1: new, 1 graded"),
        "{}",
        told[0].text
    );
    begin_closing(&crawl).await;
    assert!(close(&crawl, &told).await.unwrap());
    // It is told once, even if the run is ended again.
    assert!(crawl.store.watched_changes(crawl.run).await.unwrap().is_empty());

    crawl.next_run().await;
    let mut changed = cards(3);
    changed[1] = card("2", &[("9", 1), ("10P", 2)]);
    crawl.read_down_to(changed).await;
    let told = crawl.store.watched_changes(crawl.run).await.unwrap();
    assert_eq!(
        titles(&told),
        [
            "Watched card */1989/Donruss/2 *: 1 change",
            "Watched set baseball/1989/Donruss: 2 changes",
        ]
    );
    assert!(
        told[0].text.contains("2 Player 2: 10P grown from 0 to 2"),
        "{}",
        told[0].text
    );
    assert_eq!(told[0].run, Some(crawl.run));

    let watches = crawl.store.watches().await.unwrap();
    assert_eq!(watches.len(), 4);
    for watch in &watches {
        assert!(crawl.store.remove_watch(watch.id).await.unwrap());
    }
    assert!(!crawl.store.remove_watch(watches[0].id).await.unwrap());
    assert!(crawl.store.watched_changes(crawl.run).await.unwrap().is_empty());
    // An empty page changes nothing of what is below.
    crawl.read(PageRows::GradeRows(vec![grade_row("A1")])).await;
}

async fn a_missed_time_is_news(crawl: Crawl) {
    let store = &crawl.store;
    let plan = NewSchedule {
        name: "nightly".to_owned(),
        cron: "0 3 * * *".to_owned(),
        time_zone: "UTC".to_owned(),
        options: json!({}),
        enabled: true,
        jitter_s: 0,
        overlap: Overlap::Skip,
        catch_up_s: 0,
    };
    store.put_schedule(&plan, false).await.unwrap();
    let id = store.schedule("nightly").await.unwrap().unwrap().id;
    let order = NewOrder {
        planned: Some((id, 1_790_000_000_000_000)),
        schedule_name: "nightly".to_owned(),
        after: Duration::ZERO,
        idempotency_key: None,
        ordered_by: "schedule nightly".to_owned(),
        options: json!({}),
        when_busy: Overlap::Skip,
    };
    assert!(
        store
            .skip_planned(&order, "no service was at work")
            .await
            .unwrap()
    );
    assert!(
        !store
            .skip_planned(&order, "no service was at work")
            .await
            .unwrap()
    );
    let told = store.news(&NewsFilter::default(), None, 10).await.unwrap();
    assert_eq!(told.len(), 1);
    let news = &told[0].news;
    assert_eq!(
        (news.kind, news.level),
        (NewsKind::ScheduleMissed, NewsLevel::Warning)
    );
    assert!(
        news.title.contains("nightly") && news.text.contains("no service"),
        "{news:?}"
    );
}

async fn a_brake_knows_since_when_it_is_closed(crawl: Crawl) {
    const SITE: &str = "https://brake.example";
    let second = Duration::from_secs(1);
    let advice = PaceAdvice {
        interval: second,
        advice: String::new(),
        brake_first: second,
        brake_growth: 2.0,
        brake_most: 10 * second,
        brake_ease: 20 * second,
        give_up_after: 10,
    };
    let store = &crawl.store;
    store.open_pace(SITE).await.unwrap();
    assert_eq!(store.closed_brake(SITE).await.unwrap(), None);
    let refuse = async |closures| {
        let refusal = Refusal {
            closures,
            retry_after: None,
            reason: "HTTP status 429",
        };
        store.close_brake(SITE, &advice, &refusal).await.unwrap();
        store.closed_brake(SITE).await.unwrap().expect("it is closed")
    };
    let first = refuse(0).await;
    assert_eq!((first.extra, first.reason.as_str()), (second, "HTTP status 429"));
    crawl
        .sql("UPDATE pace SET closed_since_us = closed_since_us - 60000000")
        .await;
    let longer = refuse(1).await;
    assert_eq!(
        longer.since_us,
        first.since_us - 60_000_000,
        "it has not been open since"
    );
    assert!(longer.closed_for >= Duration::from_secs(60));
    store.ease_brake(SITE, &advice).await.unwrap();
    assert_eq!(store.closed_brake(SITE).await.unwrap(), None);
    assert!(refuse(2).await.since_us >= first.since_us);
}
