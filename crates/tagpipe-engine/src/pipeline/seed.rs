//! The first pages of a run: the categories' page, or the pages below what the database already knows.

use tagpipe_core::filter::Filters;
use tagpipe_core::model::{Identity, PageKind};
use tagpipe_core::profile::SiteProfile;
use tagpipe_store::contract::{Admission, NewPage};
use tagpipe_store::{RunSeeding, Store, StoredSubject};

use crate::error::RunError;
use crate::settings::Freshness;

/// Rows taken from the database at a time: the frontier is filled without holding it in memory.
pub(super) const CHUNK: u32 = 5_000;

/// Says so, before a run is started, when there would be nothing to read.
pub(crate) async fn ensure_something_to_read(
    parents: &Store,
    start_from: PageKind,
    filters: &Filters,
) -> Result<(), RunError> {
    if start_from == PageKind::Categories {
        return Ok(());
    }
    let (mut after, mut stored) = (0, 0);
    loop {
        let subjects = parents.stored_subjects(start_from, after, CHUNK).await?;
        let Some(last) = subjects.last() else {
            return Err(RunError::NothingToDo(nothing_stored(start_from, stored)));
        };
        after = last.id;
        stored += subjects.len();
        if subjects
            .iter()
            .any(|subject| filters.rejects(start_from, &subject.identity).is_none())
        {
            return Ok(());
        }
    }
}

/// Fills the frontier of a new run. `parents` is where the rows above `start_from` are stored; it is the
/// run's own database except in a dry run.
pub(crate) async fn seed(
    seeding: &mut RunSeeding,
    parents: &Store,
    profile: &SiteProfile,
    start_from: PageKind,
    filters: &Filters,
    freshness: Freshness,
) -> Result<u64, RunError> {
    if start_from == PageKind::Categories {
        let identity = Identity::default();
        let url = profile
            .page_url(start_from, &identity)
            .map_err(|error| RunError::Usage(error.to_string()))?;
        let page = NewPage {
            kind: start_from,
            identity,
            url,
            subject_id: None,
            expected: None,
            subject_changes: None,
            stale_since_us: 0,
            admission: Admission::Read,
        };
        return Ok(seeding.add(&[page]).await?);
    }
    let (mut after, mut added) = (0, 0);
    loop {
        let subjects = parents.stored_subjects(start_from, after, CHUNK).await?;
        let Some(last) = subjects.last() else {
            return Ok(added);
        };
        after = last.id;
        let pages = subjects
            .into_iter()
            .filter(|subject| filters.rejects(start_from, &subject.identity).is_none())
            .map(|subject| first_page(start_from, subject, freshness))
            .collect::<Vec<_>>();
        added += seeding.add(&pages).await?;
    }
}

/// Adds the pages below `start_from` that are known to be due, or may be. Without a budget they are found on the way down; a
/// run that may end before it has gone everywhere must know at its start what it can choose from.
pub(crate) async fn seed_due(
    seeding: &mut RunSeeding,
    start_from: PageKind,
    filters: &Filters,
    freshness: Freshness,
) -> Result<(), RunError> {
    for kind in PageKind::ALL.into_iter().filter(|kind| *kind > start_from) {
        let mut after = 0;
        loop {
            let subjects = seeding
                .due(kind, freshness.full, freshness.max_age, after, CHUNK)
                .await?;
            let Some(last) = subjects.last() else { break };
            after = last.id;
            let pages: Vec<_> = subjects
                .into_iter()
                .filter(|subject| filters.rejects(kind, &subject.identity).is_none())
                .map(|subject| first_page(kind, subject, freshness))
                .collect();
            seeding.add(&pages).await?;
        }
    }
    Ok(())
}

/// The page of a stored row.
pub(super) fn first_page(kind: PageKind, subject: StoredSubject, freshness: Freshness) -> NewPage {
    let admission = freshness.admission(&subject);
    NewPage {
        kind,
        identity: subject.identity,
        url: subject.url,
        subject_id: Some(subject.id),
        expected: subject.expected,
        subject_changes: subject.changes,
        stale_since_us: 0,
        admission,
    }
}

fn nothing_stored(start_from: PageKind, stored: usize) -> String {
    let above = match start_from {
        PageKind::Categories | PageKind::Years => "categories",
        PageKind::Sets => "years",
        PageKind::Cards => "sets",
        PageKind::GradeRows => "cards",
    };
    if stored > 0 {
        return format!(
            "none of the {stored} stored {above} fits the filters; widen them, or look at the names in the \
             table `{above}`"
        );
    }
    format!(
        "the database has no {above} yet, and --start-from takes them from there; \
         `tagpipe run` finds them, from the categories down"
    )
}
