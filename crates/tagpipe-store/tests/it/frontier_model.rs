//! Random orders of everything that can happen to the leases of three runners, against a model of the frontier:
//! whatever the order, states, holders and attempts are the model's, no page is completed twice, none gets lost, and
//! nobody finishes, renews or loses what is somebody else's.

use std::collections::HashSet;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use tagpipe_core::lifecycle::PageState;
use tagpipe_core::model::{CategoryRow, Identity, PageKind, PageRows, YearRow};
use tagpipe_store::contract::{Ending, Fate, Finish, Lease, NewPage, RunId};
use tagpipe_store::entities::{frontier, runners};
use tagpipe_store::testing::TestDatabase;
use tagpipe_store::{DatabaseUrl, ReadingOrder, RunnerIdentity, Store};

use crate::harness::*;

const RUNNERS: usize = 3;

#[derive(Debug, Clone, Copy)]
enum How {
    Complete { children: usize },
    RetryNow,
    RetryLater,
    Fail,
    Skip,
    Release { began: bool },
}

/// What one of the runners, or somebody else, does.
#[derive(Debug, Clone)]
enum Step {
    /// Claims some pages, for a term that has ended when it begins or one that lasts.
    Claim {
        runner: usize,
        limit: usize,
        lasting: bool,
    },
    /// Finishes some of the leases ever given to the runner, in force or not, in one group.
    Finish {
        runner: usize,
        which: Vec<(prop::sample::Index, How)>,
    },
    /// Does the runner's last group again: its answer got lost.
    FinishAgain {
        runner: usize,
    },
    Heartbeat {
        runner: usize,
    },
    /// Takes everything back from the runner, which is held to be dead and goes on all the same.
    TakeBack {
        runner: usize,
    },
    Rescue,
    Reopen,
    /// A page is found that has been out of date since then.
    Find {
        stale_since_us: i64,
    },
}

fn how() -> impl Strategy<Value = How> {
    prop_oneof![
        4 => (0usize..3).prop_map(|children| How::Complete { children }),
        2 => Just(How::RetryNow),
        1 => Just(How::RetryLater),
        2 => Just(How::Fail),
        1 => Just(How::Skip),
        2 => any::<bool>().prop_map(|began| How::Release { began }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let which = prop::collection::vec((any::<prop::sample::Index>(), how()), 1..4);
    let runner = || 0..RUNNERS;
    prop_oneof![
        4 => (runner(), 1usize..4, any::<bool>())
            .prop_map(|(runner, limit, lasting)| Step::Claim { runner, limit, lasting }),
        6 => (runner(), which).prop_map(|(runner, which)| Step::Finish { runner, which }),
        1 => runner().prop_map(|runner| Step::FinishAgain { runner }),
        2 => Just(Step::Rescue),
        2 => runner().prop_map(|runner| Step::Heartbeat { runner }),
        2 => runner().prop_map(|runner| Step::TakeBack { runner }),
        1 => Just(Step::Reopen),
        2 => (0i64..4).prop_map(|stale_since_us| Step::Find { stale_since_us }),
    ]
}

/// A page as the model knows it. Their order is the order in which they were found.
#[derive(Debug, Clone)]
struct Page {
    kind: PageKind,
    key: String,
    state: PageState,
    /// What decides before its level; 0 where only the level does.
    stale_since_us: i64,
    attempts: i64,
    /// Of the lease in force, or of the one that closed the page.
    token: Option<String>,
    /// Who holds the lease in force.
    holder: Option<usize>,
    lasting: bool,
    due: bool,
    /// By each runner.
    completions: [i64; RUNNERS],
}

impl Page {
    fn new(kind: PageKind, identity: &Identity) -> Page {
        Page {
            kind,
            key: identity.key(kind).to_string(),
            state: PageState::Available,
            stale_since_us: 0,
            attempts: 0,
            token: None,
            holder: None,
            lasting: false,
            due: false,
            completions: [0; RUNNERS],
        }
    }

    fn free(&mut self) {
        (self.state, self.token, self.holder) = (PageState::Available, None, None);
    }

    fn is_held_by(&self, runner: usize) -> bool {
        self.holder == Some(runner)
    }
}

/// A process that reads pages, with everything it ever had a right to: it may come back to that at any time.
struct Runner {
    identity: RunnerIdentity,
    leases: Vec<Lease>,
    last_group: Vec<(Finish, How)>,
}

impl Runner {
    /// Puts together the group it finishes next: at most one lease of each page, as a window holds.
    fn choose(&mut self, which: Vec<(prop::sample::Index, How)>) {
        self.last_group.clear();
        for (index, how) in which {
            if self.leases.is_empty() {
                return;
            }
            let lease = index.get(&self.leases);
            let is_another = |(chosen, _): &(Finish, How)| chosen.lease.page_id != lease.page_id;
            if self.last_group.iter().all(is_another) {
                self.last_group.push((as_finish(lease, how), how));
            }
        }
    }
}

struct Model {
    store: Store,
    run: RunId,
    order: ReadingOrder,
    runners: Vec<Runner>,
    pages: Vec<Page>,
}

impl Model {
    /// A frontier of three years of one category, ready to be read.
    async fn on(store: Store, order: ReadingOrder) -> Model {
        let run = store.start_run(&serde_json::json!({})).await.unwrap();
        store.order(run, order).await.unwrap();
        let mut runners = Vec::new();
        for number in 1..=RUNNERS {
            let identity = runner(&format!("runner_{number}"));
            store.register_runner(run, &identity).await.unwrap();
            runners.push(Runner {
                identity,
                leases: Vec::new(),
                last_group: Vec::new(),
            });
        }
        let first = &runners[0].identity;
        store.add_pages(run, &[categories_page()]).await.unwrap();
        let lease = store
            .claim(run, &first.instance, 1, TERM)
            .await
            .unwrap()
            .remove(0);
        let names: Vec<_> = (0..3)
            .map(|n| CategoryRow {
                name: category(run, n),
            })
            .collect();
        let finish = complete(&lease, PageRows::Categories(names));
        store
            .finish(run, &first.runner_id, &first.instance, &[finish])
            .await
            .unwrap();
        let mut categories = Page::new(PageKind::Categories, &Identity::default());
        (categories.state, categories.attempts, categories.completions[0]) = (PageState::Completed, 1, 1);
        let mut pages = vec![categories];
        pages.extend((0..3).map(|n| {
            Page::new(
                PageKind::Years,
                &Identity {
                    category: category(run, n),
                    ..Identity::default()
                },
            )
        }));
        Model {
            store,
            run,
            order,
            runners,
            pages,
        }
    }

    fn instance(&self, runner: usize) -> &str {
        &self.runners[runner].identity.instance
    }

    async fn take(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Claim {
                runner,
                limit,
                lasting,
            } => self.claim(runner, limit, lasting).await?,
            Step::Finish { runner, which } => {
                self.runners[runner].choose(which);
                self.finish(runner).await?;
            }
            Step::FinishAgain { runner } => self.finish(runner).await?,
            Step::Rescue => {
                let rescued = self.free_where(|page| page.state == PageState::Leased && !page.lasting);
                prop_assert_eq!(self.store.rescue_expired(self.run).await.unwrap(), rescued);
            }
            Step::Heartbeat { runner } => {
                let held = self.pages.iter_mut().filter(|page| page.is_held_by(runner));
                let renewed = held.map(|page| page.lasting = true).count() as u64;
                let beaten = self.store.heartbeat(self.instance(runner), TERM).await;
                prop_assert_eq!(beaten.unwrap(), renewed);
            }
            Step::TakeBack { runner } => {
                let taken = self.free_where(|page| page.is_held_by(runner));
                let taken_back = self.store.take_back(self.run, self.instance(runner)).await;
                prop_assert_eq!(taken_back.unwrap(), taken);
            }
            Step::Reopen => {
                let reopened = self.free_where(|page| page.state == PageState::Failed);
                prop_assert_eq!(self.store.reopen_failed(self.run).await.unwrap(), reopened);
            }
            Step::Find { stale_since_us } => self.find(stale_since_us).await,
        }
        self.compare().await
    }

    async fn find(&mut self, stale_since_us: i64) {
        let number = self.pages.len();
        let identity = Identity {
            name: format!("n{number}"),
            ..Identity::default()
        };
        let found = NewPage {
            subject_id: Some(1_000_000 + number as i64),
            stale_since_us,
            ..page(PageKind::GradeRows, identity.clone())
        };
        self.store.add_pages(self.run, &[found]).await.unwrap();
        let mut page = Page::new(PageKind::GradeRows, &identity);
        if self.order == ReadingOrder::Stalest {
            page.stale_since_us = stale_since_us;
        }
        self.pages.push(page);
    }

    fn free_where(&mut self, wanted: impl Fn(&Page) -> bool) -> u64 {
        let chosen: Vec<_> = self.pages.iter_mut().filter(|page| wanted(page)).collect();
        let count = chosen.len() as u64;
        chosen.into_iter().for_each(Page::free);
        count
    }

    async fn claim(&mut self, runner: usize, limit: usize, lasting: bool) -> Result<(), TestCaseError> {
        let term = if lasting { TERM } else { NO_TERM };
        let leases = self
            .store
            .claim(self.run, self.instance(runner), limit, term)
            .await
            .unwrap();
        for page in self
            .pages
            .iter_mut()
            .filter(|page| page.state == PageState::Retryable && page.due)
        {
            page.free();
        }
        let mut wanted: Vec<_> = self
            .pages
            .iter_mut()
            .filter(|page| page.state == PageState::Available)
            .collect();
        wanted.sort_by_key(|page| (page.stale_since_us, std::cmp::Reverse(page.kind)));
        wanted.truncate(limit);
        let claimed: Vec<_> = leases.iter().map(|lease| lease.key.as_str()).collect();
        prop_assert_eq!(
            claimed,
            wanted.iter().map(|page| page.key.as_str()).collect::<Vec<_>>()
        );
        for (page, lease) in wanted.into_iter().zip(&leases) {
            page.attempts += 1;
            prop_assert_eq!(i64::from(lease.attempt), page.attempts);
            (page.state, page.lasting, page.token) = (PageState::Leased, lasting, Some(lease.token.clone()));
            page.holder = Some(runner);
        }
        let tokens = |leases: &[Lease]| {
            leases
                .iter()
                .map(|lease| lease.token.clone())
                .collect::<HashSet<_>>()
        };
        let known: HashSet<_> = self.runners.iter().flat_map(|one| tokens(&one.leases)).collect();
        prop_assert!(
            known.is_disjoint(&tokens(&leases)),
            "every claim has a fresh token"
        );
        self.runners[runner].leases.extend(leases);
        Ok(())
    }

    async fn finish(&mut self, runner: usize) -> Result<(), TestCaseError> {
        let Runner {
            identity, last_group, ..
        } = &self.runners[runner];
        let batch: Vec<_> = last_group.iter().map(|(finish, _)| finish.clone()).collect();
        let fates = self
            .store
            .finish(self.run, &identity.runner_id, &identity.instance, &batch)
            .await
            .unwrap()
            .fates;
        let mut expected = Vec::new();
        let mut found = Vec::new();
        for (finish, how) in last_group {
            let page = self
                .pages
                .iter_mut()
                .find(|page| page.key == finish.lease.key.as_str())
                .unwrap();
            let holds = page.token.as_deref() == Some(finish.lease.token.as_str());
            expected.push(match (holds, page.state) {
                (true, PageState::Leased) => {
                    page.completions[runner] += i64::from(matches!(how, How::Complete { .. }));
                    end(page, *how);
                    found.extend(children_of(finish));
                    Fate::Accepted
                }
                (true, state) if state == end_state(*how) => Fate::Accepted,
                _ => Fate::Fenced,
            });
        }
        prop_assert_eq!(fates, expected);
        for page in found {
            if self.pages.iter().all(|known| known.key != page.key) {
                self.pages.push(page);
            }
        }
        Ok(())
    }

    async fn compare(&self) -> Result<(), TestCaseError> {
        let stored = frontier::Entity::find()
            .filter(frontier::Column::RunId.eq(self.run))
            .all(self.store.connection())
            .await
            .unwrap();
        let mut stored: Vec<_> = stored
            .into_iter()
            .map(|page| (page.page_key, page.state, page.attempts, page.lease_owner))
            .collect();
        stored.sort_unstable();
        let known = self.pages.iter().map(|page| {
            let holder = page.holder.map(|runner| self.instance(runner).to_owned());
            (page.key.clone(), page.state.to_string(), page.attempts, holder)
        });
        let mut known: Vec<_> = known.collect();
        known.sort_unstable();
        prop_assert_eq!(stored, known);

        let counts = self.store.frontier_counts(self.run).await.unwrap();
        prop_assert_eq!(counts.all(), self.pages.len() as u64);
        let sum: u64 = PageState::ALL.iter().map(|state| counts.in_state(*state)).sum();
        prop_assert_eq!(sum, self.pages.len() as u64);

        let completions_of = |page: &Page| page.completions.iter().sum::<i64>();
        prop_assert!(self.pages.iter().all(|page| completions_of(page) <= 1));
        for (number, runner) in self.runners.iter().enumerate() {
            let row = runners::Entity::find_by_id(runner.identity.instance.clone())
                .one(self.store.connection())
                .await
                .unwrap()
                .unwrap();
            let completions = self.pages.iter().map(|page| page.completions[number]);
            prop_assert_eq!(row.pages_completed, completions.sum::<i64>());
        }

        let outlook = self.store.outlook(self.run).await.unwrap();
        let any = |state| self.pages.iter().any(|page| page.state == state);
        prop_assert_eq!(outlook.available, any(PageState::Available));
        prop_assert_eq!(outlook.leased, any(PageState::Leased));
        prop_assert_eq!(outlook.next_due.is_some(), any(PageState::Retryable));
        Ok(())
    }
}

fn as_finish(lease: &Lease, how: How) -> Finish {
    match how {
        How::Complete { children } if lease.kind == PageKind::Years => {
            let year = |n| YearRow {
                year: format!("{n}"),
                sets: 0,
                items: 0,
                graded: 0,
            };
            complete(lease, PageRows::Years((0..children).map(year).collect()))
        }
        How::Complete { .. } => complete(lease, PageRows::none(lease.kind)),
        How::RetryNow => retry(lease, Duration::ZERO),
        How::RetryLater => retry(lease, Duration::from_secs(3600)),
        How::Fail => fail(lease),
        How::Skip => skip(lease),
        How::Release { began } => release(lease, began),
    }
}

fn end_state(how: How) -> PageState {
    match how {
        How::Complete { .. } => PageState::Completed,
        How::RetryNow | How::RetryLater => PageState::Retryable,
        How::Fail => PageState::Failed,
        How::Skip => PageState::Skipped,
        How::Release { .. } => PageState::Available,
    }
}

fn end(page: &mut Page, how: How) {
    page.state = end_state(how);
    page.due = matches!(how, How::RetryNow);
    page.attempts -= i64::from(matches!(how, How::Release { began: false }));
    page.holder = None;
    if page.state.is_open() {
        page.token = None;
    }
}

fn children_of(finish: &Finish) -> Vec<Page> {
    let Ending::Completed { children, .. } = &finish.ending else {
        return Vec::new();
    };
    let kind = finish.lease.kind.child();
    children
        .iter()
        .filter_map(|child| Some(Page::new(kind?, &child.identity)))
        .collect()
}

async fn take_all(store: Store, order: ReadingOrder, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut model = Model::on(store, order).await;
    for step in steps {
        model.take(step).await?;
    }
    Ok(())
}

/// Each run has categories of its own: one that an earlier run has read has a history, and so another place.
fn category(run: RunId, n: usize) -> String {
    format!("r{run}c{n}")
}

fn order() -> impl Strategy<Value = ReadingOrder> {
    prop_oneof![Just(ReadingOrder::Deepest), Just(ReadingOrder::Stalest)]
}

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn any_order_of_events_keeps_every_page_once(order in order(), steps in prop::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let store = Store::open(&DatabaseUrl::Memory, true).await.unwrap();
            take_all(store, order, steps).await
        })?;
    }
}

/// Fewer cases, each a run of its own on one server.
#[test]
fn any_order_of_events_keeps_every_page_once_on_postgres() {
    let database = TestDatabase::postgres();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let store = runtime.block_on(database.open());
    let events = (order(), prop::collection::vec(step(), 1..60));
    TestRunner::new(cases(12))
        .run(&events, |(order, steps)| {
            runtime.block_on(take_all(store.clone(), order, steps))
        })
        .unwrap();
}

/// A page given to `add_pages` by hand is one the model could have found.
#[test]
fn the_model_keys_pages_as_the_store_does() {
    let page: NewPage = page(
        PageKind::Years,
        Identity {
            category: "C0".into(),
            ..Identity::default()
        },
    );
    assert_eq!(Page::new(page.kind, &page.identity).key, "years/c0");
}
