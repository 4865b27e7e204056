//! The first pages of a run: the categories' page, or the pages below what the database already knows.

use tagpipe_core::filter::Filters;
use tagpipe_core::model::{Identity, PageKind};
use tagpipe_core::profile::SiteProfile;
use tagpipe_store::{Store, StoredSubject};
use tagpipe_store::contract::{NewPage, RunId};

use crate::error::RunError;

/// Rows taken from the database at a time: the frontier is filled without holding it in memory.
const CHUNK: u32 = 5_000;

/// Fills the frontier of a new run. `parents` is where the rows above `start_from` are stored; it is the
/// run's own database except in a dry run.
pub(crate) async fn seed(
    store: &Store,
    parents: &Store,
    run: RunId,
    profile: &SiteProfile,
    start_from: PageKind,
    filters: &Filters,
) -> Result<u64, RunError> {
    if start_from == PageKind::Categories {
        let identity = Identity::default();
        let url = profile.page_url(start_from, &identity).map_err(|error| RunError::Usage(error.to_string()))?;
        let page = NewPage { kind: start_from, identity, url, subject_id: None, expected: None, skipped: None };
        return Ok(store.add_pages(run, &[page]).await?.iter().sum());
    }
    let (mut after, mut stored, mut added) = (0, 0, 0);
    loop {
        let subjects = parents.stored_subjects(start_from, after, CHUNK).await?;
        let Some(last) = subjects.last() else { break };
        after = last.id;
        stored += subjects.len();
        let pages: Vec<_> = subjects
            .into_iter()
            .filter(|subject| filters.rejects(start_from, &subject.identity).is_none())
            .filter_map(|subject| {
                let url = profile.page_url(start_from, &subject.identity).ok()?;
                let skipped = None;
                let StoredSubject { id, identity, expected } = subject;
                Some(NewPage { kind: start_from, identity, url, subject_id: Some(id), expected, skipped })
            })
            .collect();
        added += store.add_pages(run, &pages).await?.iter().sum::<u64>();
    }
    if added == 0 {
        return Err(RunError::NothingToDo(nothing_stored(start_from, stored)));
    }
    Ok(added)
}

fn nothing_stored(start_from: PageKind, stored: usize) -> String {
    let (above, level) = match start_from {
        PageKind::Years => ("categories", "category"),
        PageKind::Sets => ("years", "year"),
        PageKind::Cards => ("sets", "set"),
        _ => ("cards", "card"),
    };
    if stored > 0 {
        return format!("none of the {stored} stored {above} fits the filters; widen them, or look at the names in the table `{above}`");
    }
    format!(
        "the database has no {above} yet, and --start-from takes them from there; \
         find them first with `tagpipe run --start-from {}`",
        if level == "category" { "category" } else { previous(start_from) }
    )
}

/// The level to start from instead, so that the parents are found.
fn previous(kind: PageKind) -> &'static str {
    match kind {
        PageKind::Categories | PageKind::Years => "category",
        PageKind::Sets => "year",
        PageKind::Cards => "set",
        PageKind::GradeRows => "card",
    }
}
