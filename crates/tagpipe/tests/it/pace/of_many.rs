//! The pace of many runners together: no faster than one would be, and no slower.

use std::time::Duration;

use tagpipe_demo::{Fault, RequestRecord};

use crate::harness::{Engine, Rig, fetches, pages_of, profile_with, unhurried};

const SECOND_US: u64 = 1_000_000;

/// The most requests in any second, wherever it begins.
fn most_in_a_second(documents: &[RequestRecord]) -> usize {
    let from = |number: usize| {
        let until_us = documents[number].at_us + SECOND_US;
        let since = documents[number..].iter();
        since.take_while(|one| one.at_us < until_us).count()
    };
    (0..documents.len()).map(from).max().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn max_rate_is_kept_and_used_by_five_runners_together() {
    let rig = Rig::on(Engine::Postgres, unhurried(170, 30)).await;
    let arguments = ["--num-runners", "5", "--check-interval", "1", "--max-rate", "5"];
    let summary = rig.orchestrate(&arguments).await.summary(0);
    assert_eq!(pages_of(&summary, "failed"), 0);
    rig.assert_equals_truth().await;
    let documents = rig.documents();
    assert!(documents.len() > 140, "enough to tell: {}", documents.len());
    let most = most_in_a_second(&documents);
    assert!(most <= 6, "{most} requests in a second");
    let took_us = documents[documents.len() - 1].at_us - documents[0].at_us;
    let at_the_rate_us = (documents.len() as u64 - 1) * SECOND_US / 5;
    let used = at_the_rate_us as f64 / took_us as f64;
    assert!(used >= 0.97, "{:.1} % of the rate is used", used * 100.0);
    // One request may come early, as many as a burst is.
    assert!(
        took_us + SECOND_US / 5 >= at_the_rate_us,
        "{took_us} µs instead of {at_the_rate_us} µs"
    );
}

/// A brake like the real one, quicker.
fn storm_profile() -> String {
    profile_with(&[
        ("brake_first", "0.2"),
        ("brake_growth", "2.0"),
        ("brake_most", "3.0"),
        ("brake_ease", "0.2"),
        ("give_up_after", "1000"),
    ])
}

/// What the site saw of a storm.
struct Storm {
    documents: Vec<RequestRecord>,
    /// Its first and its last victim.
    from_us: u64,
    to_us: u64,
}

impl Storm {
    fn in_log_of(rig: &Rig) -> Storm {
        let documents = rig.documents();
        let struck = |one: &&RequestRecord| one.fault == Some(Fault::SoftNotFound);
        let from_us = documents.iter().find(struck).expect("a victim").at_us;
        let to_us = documents.iter().rev().find(struck).expect("a victim").at_us;
        Storm {
            documents,
            from_us,
            to_us,
        }
    }

    /// Requests a second between two moments.
    fn rate(&self, from_us: u64, to_us: u64) -> f64 {
        let within = |one: &&RequestRecord| (from_us..to_us).contains(&one.at_us);
        let count = self.documents.iter().filter(within).count();
        count as f64 * SECOND_US as f64 / (to_us - from_us) as f64
    }

    fn rate_before(&self) -> f64 {
        self.rate(self.from_us - 2 * SECOND_US, self.from_us)
    }

    /// From two seconds after the first victim on, while the storm lasts and for a second at least.
    fn rate_within(&self) -> f64 {
        let from_us = self.from_us + 2 * SECOND_US;
        self.rate(from_us, self.to_us.max(from_us + SECOND_US))
    }

    /// The best two seconds afterwards.
    fn rate_after(&self) -> f64 {
        let last_us = self.documents[self.documents.len() - 1].at_us;
        let rates = self
            .documents
            .iter()
            .map(|one| one.at_us)
            .filter(|at_us| (self.to_us..last_us - 2 * SECOND_US).contains(at_us))
            .map(|at_us| self.rate(at_us, at_us + 2 * SECOND_US));
        rates.fold(0.0, f64::max)
    }
}

/// Takes the site, in the middle of a run, into a time in which every page says that it does not exist.
async fn a_storm(arguments: &[&str], pages: u64, lasting: Duration, orchestrated: bool) {
    let rig = Rig::on(Engine::Postgres, unhurried(pages, 20)).await;
    rig.set_profile(&storm_profile());
    let mut all = vec!["--max-rate", "20"];
    all.extend(arguments);
    let running = if orchestrated {
        rig.start_orchestrate(&all)
    } else {
        rig.start(&all)
    };
    rig.wait_for_documents(60).await;
    rig.site.update(|config| config.faults.soft_404 = 1.0);
    tokio::time::sleep(lasting).await;
    rig.site.update(|config| config.faults.soft_404 = 0.0);
    let ended = running.ended().await;

    let storm = Storm::in_log_of(&rig);
    let (before, within, after) = (storm.rate_before(), storm.rate_within(), storm.rate_after());
    println!("{before:.1} requests a second before the storm, {within:.1} within it, {after:.1} afterwards");
    assert!(before > 15.0, "{before:.1} requests a second before the storm");
    // Retries that wait make it half by themselves: the brake is felt below that.
    assert!(
        within < before / 4.0,
        "{within:.1} requests a second within the storm, {before:.1} before"
    );
    assert!(
        after > before * 0.8,
        "{after:.1} requests a second after the storm, {before:.1} before"
    );

    let summary = ended.summary(0);
    assert_eq!(
        pages_of(&summary, "failed"),
        0,
        "no page is given up: {summary:#}"
    );
    rig.assert_equals_truth().await;
    // Nobody was spared by giving up, and none was hammered.
    let most = fetches(&storm.documents).into_values().max().expect("pages");
    assert!(most <= 8, "a page was asked for {most} times");
}

const FIVE: [&str; 4] = ["--num-runners", "5", "--check-interval", "1"];

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_slows_down_all_runners_and_passes() {
    a_storm(&FIVE, 320, Duration::from_secs(3), true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_page_is_given_up_in_a_long_storm() {
    a_storm(&FIVE, 320, Duration::from_secs(12), true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_slows_down_a_single_runner_and_passes() {
    a_storm(&[], 320, Duration::from_secs(3), false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_page_is_given_up_by_a_single_runner_in_a_long_storm() {
    a_storm(&[], 320, Duration::from_secs(12), false).await;
}

#[test]
fn a_second_is_counted_wherever_it_begins() {
    let at = |at_us: u64| RequestRecord {
        at_us,
        path_and_query: String::new(),
        kind: tagpipe_demo::RequestKind::Document,
        status: 200,
        fault: None,
        user_agent: String::new(),
    };
    let spread: Vec<_> = (0..20).map(|number| at(number * SECOND_US / 5)).collect();
    assert_eq!(most_in_a_second(&spread), 5);
    let mut early = spread;
    early[9].at_us -= 150_000;
    assert_eq!(most_in_a_second(&early), 6);
    let bunched: Vec<_> = [900_000, 1_000_000, 1_100_000, 1_200_000, 1_899_999, 1_900_000]
        .map(at)
        .to_vec();
    assert_eq!(most_in_a_second(&bunched), 5);
}
