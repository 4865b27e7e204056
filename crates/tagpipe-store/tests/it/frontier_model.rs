//! Random orders of everything that can happen to a lease, against a model of the frontier: whatever the order,
//! states and attempts are the model's, no page is completed twice, and none gets lost.

use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use sea_orm::EntityTrait;
use tagpipe_core::lifecycle::PageState;
use tagpipe_core::model::{CategoryRow, Identity, PageKind, PageRows, YearRow};
use tagpipe_store::contract::{Ending, Fate, Finish, Lease, NewPage, RunId};
use tagpipe_store::entities::{frontier, runners};
use tagpipe_store::{DatabaseUrl, RunnerIdentity, Store};

use crate::harness::*;

#[derive(Debug, Clone, Copy)]
enum How {
    Complete { children: usize },
    RetryNow,
    RetryLater,
    Fail,
    Skip,
    Release { began: bool },
}

#[derive(Debug, Clone)]
enum Step {
    /// Claims some pages, for a term that has ended when it begins or one that lasts.
    Claim {
        limit: usize,
        lasting: bool,
    },
    /// Finishes some of the leases ever given, in force or not, in one group.
    Finish {
        which: Vec<(prop::sample::Index, How)>,
    },
    /// Does the last group again: its answer got lost.
    FinishAgain,
    Rescue,
    Heartbeat,
    TakeBack,
    Reopen,
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
    prop_oneof![
        4 => (1usize..4, any::<bool>()).prop_map(|(limit, lasting)| Step::Claim { limit, lasting }),
        5 => which.prop_map(|which| Step::Finish { which }),
        1 => Just(Step::FinishAgain),
        2 => Just(Step::Rescue),
        1 => Just(Step::Heartbeat),
        1 => Just(Step::TakeBack),
        1 => Just(Step::Reopen),
    ]
}

/// A page as the model knows it. Their order is the order in which they were found.
#[derive(Debug, Clone)]
struct Page {
    kind: PageKind,
    key: String,
    state: PageState,
    attempts: i64,
    /// Of the lease in force, or of the one that closed the page.
    token: Option<String>,
    lasting: bool,
    due: bool,
    completions: i64,
}

impl Page {
    fn new(kind: PageKind, identity: &Identity) -> Page {
        Page {
            kind,
            key: identity.key(kind).to_string(),
            state: PageState::Available,
            attempts: 0,
            token: None,
            lasting: false,
            due: false,
            completions: 0,
        }
    }

    fn free(&mut self) {
        (self.state, self.token) = (PageState::Available, None);
    }
}

struct Model {
    store: Store,
    run: RunId,
    me: RunnerIdentity,
    pages: Vec<Page>,
    leases: Vec<Lease>,
    last_group: Vec<(Finish, How)>,
}

impl Model {
    /// A frontier of three years of one category, ready to be read.
    async fn new() -> Model {
        let store = Store::open(&DatabaseUrl::Memory, true).await.unwrap();
        let run = store.start_run(&serde_json::json!({})).await.unwrap();
        let me = runner("runner_1");
        store.register_runner(run, &me).await.unwrap();
        store.add_pages(run, &[categories_page()]).await.unwrap();
        let lease = store.claim(run, &me.instance, 1, TERM).await.unwrap().remove(0);
        let names: Vec<_> = (0..3)
            .map(|n| CategoryRow {
                name: format!("c{n}"),
            })
            .collect();
        let finish = complete(&lease, PageRows::Categories(names));
        store
            .finish(run, &me.runner_id, &me.instance, &[finish])
            .await
            .unwrap();
        let mut categories = Page::new(PageKind::Categories, &Identity::default());
        (categories.state, categories.attempts, categories.completions) = (PageState::Completed, 1, 1);
        let mut pages = vec![categories];
        pages.extend((0..3).map(|n| {
            Page::new(
                PageKind::Years,
                &Identity {
                    category: format!("c{n}"),
                    ..Identity::default()
                },
            )
        }));
        Model {
            store,
            run,
            me,
            pages,
            leases: Vec::new(),
            last_group: Vec::new(),
        }
    }

    async fn take(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Claim { limit, lasting } => self.claim(limit, lasting).await?,
            Step::Finish { which } => {
                let mut group: Vec<(Finish, How)> = Vec::new();
                for (index, how) in which {
                    if self.leases.is_empty() {
                        return Ok(());
                    }
                    let lease = index.get(&self.leases);
                    if group
                        .iter()
                        .all(|(other, _)| other.lease.page_id != lease.page_id)
                    {
                        group.push((as_finish(lease, how), how));
                    }
                }
                self.last_group = group;
                self.finish().await?;
            }
            Step::FinishAgain => self.finish().await?,
            Step::Rescue => {
                let rescued = self.free_where(|page| page.state == PageState::Leased && !page.lasting);
                prop_assert_eq!(self.store.rescue_expired(self.run).await.unwrap(), rescued);
            }
            Step::Heartbeat => {
                let held = self
                    .pages
                    .iter_mut()
                    .filter(|page| page.state == PageState::Leased);
                let renewed = held.map(|page| page.lasting = true).count() as u64;
                prop_assert_eq!(
                    self.store.heartbeat(&self.me.instance, TERM).await.unwrap(),
                    renewed
                );
            }
            Step::TakeBack => {
                let taken = self.free_where(|page| page.state == PageState::Leased);
                prop_assert_eq!(
                    self.store.take_back(self.run, &self.me.instance).await.unwrap(),
                    taken
                );
            }
            Step::Reopen => {
                let reopened = self.free_where(|page| page.state == PageState::Failed);
                prop_assert_eq!(self.store.reopen_failed(self.run).await.unwrap(), reopened);
            }
        }
        self.compare().await
    }

    fn free_where(&mut self, wanted: impl Fn(&Page) -> bool) -> u64 {
        let chosen: Vec<_> = self.pages.iter_mut().filter(|page| wanted(page)).collect();
        let count = chosen.len() as u64;
        chosen.into_iter().for_each(Page::free);
        count
    }

    async fn claim(&mut self, limit: usize, lasting: bool) -> Result<(), TestCaseError> {
        let term = if lasting { TERM } else { NO_TERM };
        let leases = self
            .store
            .claim(self.run, &self.me.instance, limit, term)
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
        wanted.sort_by_key(|page| std::cmp::Reverse(page.kind));
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
        }
        self.leases.extend(leases);
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), TestCaseError> {
        let batch: Vec<_> = self.last_group.iter().map(|(finish, _)| finish.clone()).collect();
        let fates = self
            .store
            .finish(self.run, &self.me.runner_id, &self.me.instance, &batch)
            .await
            .unwrap()
            .fates;
        let mut expected = Vec::new();
        let mut found = Vec::new();
        for (finish, how) in &self.last_group {
            let page = self
                .pages
                .iter_mut()
                .find(|page| page.key == finish.lease.key.as_str())
                .unwrap();
            let holds = page.token.as_deref() == Some(finish.lease.token.as_str());
            expected.push(match (holds, page.state) {
                (true, PageState::Leased) => {
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
            .all(self.store.connection())
            .await
            .unwrap();
        let mut stored: Vec<_> = stored
            .into_iter()
            .map(|page| (page.page_key, page.state, page.attempts))
            .collect();
        stored.sort_unstable();
        let known = self
            .pages
            .iter()
            .map(|page| (page.key.clone(), page.state.to_string(), page.attempts));
        let mut known: Vec<_> = known.collect();
        known.sort_unstable();
        prop_assert_eq!(stored, known);

        let counts = self.store.frontier_counts(self.run).await.unwrap();
        prop_assert_eq!(counts.all(), self.pages.len() as u64);
        let sum: u64 = PageState::ALL.iter().map(|state| counts.in_state(*state)).sum();
        prop_assert_eq!(sum, self.pages.len() as u64);

        let runner = runners::Entity::find()
            .one(self.store.connection())
            .await
            .unwrap()
            .unwrap();
        prop_assert!(self.pages.iter().all(|page| page.completions <= 1));
        prop_assert_eq!(
            runner.pages_completed,
            self.pages.iter().map(|page| page.completions).sum::<i64>()
        );

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
    page.completions += i64::from(matches!(how, How::Complete { .. }));
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

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_order_of_events_keeps_every_page_once(steps in prop::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut model = Model::new().await;
            for step in steps {
                model.take(step).await?;
            }
            Ok::<(), TestCaseError>(())
        })?;
    }
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
