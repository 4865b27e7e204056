//! What a run would read, from the database alone: no request is made.

use serde::Serialize;
use tagpipe_core::filter::Filters;
use tagpipe_core::model::PageKind;
use tagpipe_store::contract::Admission;
use tagpipe_store::{Store, StoreError};

use crate::config::Config;
use crate::settings::{Freshness, Site};

/// Rows looked at together where filters have to be asked about each.
const CHUNK: u32 = 5_000;

/// What a run would read as far as the database knows. What the site has changed since comes on top.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// By level, from the categories down.
    pub levels: Vec<PlannedLevel>,
    /// Pages that would be read, and at least as many requests.
    pub read: u64,
    /// Pages that would be left out if the site shows what it showed.
    pub left_out: u64,
    /// Least time between two requests, in seconds.
    pub interval_s: f64,
    /// Least time of the run, in seconds.
    pub least_s: f64,
    /// Why everything would be read, if it would.
    pub whole_because: Option<String>,
}

/// Pages of one level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PlannedLevel {
    /// The level.
    pub level: PageKind,
    /// Pages that would be read.
    pub read: u64,
    /// Pages that would be left out.
    pub left_out: u64,
}

/// Plans the run that `config` would begin on what is stored.
///
/// # Errors
/// See [`StoreError::class`].
pub async fn plan(store: &Store, config: &Config) -> Result<Plan, StoreError> {
    let site = Site::of(&config.profile);
    let (filters, freshness) = (&config.run.filters, config.run.freshness);
    let is_known = store
        .was_read_with(&site.origin, &site.profile, &site.version)
        .await?;
    let whole_because = if freshness.full {
        Some("--full reads everything".to_owned())
    } else if !is_known {
        Some(format!(
            "nothing was read yet of {} with version {} of the profile `{}`; is it another --base-url or --profile?",
            site.origin, site.version, site.profile
        ))
    } else {
        None
    };
    let mut levels = Vec::new();
    for kind in PageKind::ALL {
        let (due, fresh) = match kind {
            _ if kind < config.run.start_from => (0, 0),
            PageKind::Categories => (1, 0),
            _ if filters.is_empty() => store.count_due(kind, freshness.max_age).await?,
            _ => count_filtered(store, kind, filters, freshness).await?,
        };
        levels.push(match whole_because {
            Some(_) => PlannedLevel {
                level: kind,
                read: due + fresh,
                left_out: 0,
            },
            None => PlannedLevel {
                level: kind,
                read: due,
                left_out: fresh,
            },
        });
    }
    let read = levels.iter().map(|level| level.read).sum();
    let interval = config.run.interval.max(config.run.delay);
    Ok(Plan {
        read,
        left_out: levels.iter().map(|level| level.left_out).sum(),
        levels,
        interval_s: interval.as_secs_f64(),
        least_s: interval.as_secs_f64() * read as f64,
        whole_because,
    })
}

/// The same as [`Store::count_due`] of the rows that the filters admit.
async fn count_filtered(
    store: &Store,
    kind: PageKind,
    filters: &Filters,
    freshness: Freshness,
) -> Result<(u64, u64), StoreError> {
    let (mut due, mut fresh, mut after) = (0, 0, 0);
    loop {
        let subjects = store.stored_subjects(kind, after, CHUNK).await?;
        let Some(last) = subjects.last() else {
            return Ok((due, fresh));
        };
        after = last.id;
        for subject in &subjects {
            if filters.rejects(kind, &subject.identity).is_some() {
                continue;
            }
            match freshness.admission(subject) {
                Admission::Unchanged => fresh += 1,
                _ => due += 1,
            }
        }
    }
}
