//! Runs that ended are over, and their summaries say what their frontiers say.

use std::collections::BTreeMap;

use sea_orm::{ConnectionTrait, DatabaseTransaction};
use serde_json::Value as Json;
use tagpipe_core::lifecycle::PageState;

use super::{Check, Checked, Finding};
use crate::contract::{FrontierCounts, RunId};
use crate::dialect::Dialect;
use crate::error::StoreError;
use crate::frontier::page_kind;

const ADVICE: &str = "the rows are what they are; `tagpipe run --full` reads the site again, and the new run says how it stands";

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "ended_runs",
        holds: "a run that ended has no open page, and one that is reconciled no failed page and no discrepancy",
        advice: ADVICE,
        sql: ended_runs,
    },
    Check {
        name: "frontier",
        holds: "a completed page was attempted, has a time, and the row it belongs to",
        advice: ADVICE,
        sql: frontier,
    },
];

fn ended_runs(_: Dialect) -> String {
    "SELECT 'run ' || CAST(runs.id AS text) AS place, runs.state || ', but ' || page.state || ': ' || \
         min(page.page_key) || ' (' || CAST(count(*) AS text) || ' pages)' AS what \
     FROM runs CROSS JOIN frontier AS page WHERE page.run_id = runs.id AND runs.state IN ('reconciled', 'disputed') \
         AND (page.state IN ('available', 'leased', 'retryable') \
              OR (page.state = 'failed' AND runs.state = 'reconciled')) \
     GROUP BY runs.id, runs.state, page.state \
     UNION ALL SELECT 'run ' || CAST(runs.id AS text), 'reconciled, but ' || CAST(count(*) AS text) || \
         ' of its discrepancies are open' \
     FROM runs JOIN discrepancies ON discrepancies.run_id = runs.id AND discrepancies.resolved_at IS NULL \
         AND discrepancies.verdict <> 'moved' WHERE runs.state = 'reconciled' GROUP BY runs.id"
        .to_owned()
}

fn frontier(_: Dialect) -> String {
    "SELECT page.page_key AS place, 'run ' || CAST(page.run_id AS text) || ': completed without ' || \
         CASE WHEN page.attempts < 1 THEN 'an attempt' WHEN page.finished_at IS NULL THEN 'a time' \
             ELSE 'the row it belongs to' END AS what \
     FROM frontier AS page WHERE page.state = 'completed' AND (page.attempts < 1 OR page.finished_at IS NULL \
         OR (page.level = 2 AND NOT EXISTS (SELECT 1 FROM years WHERE years.id = page.subject_id)) \
         OR (page.level = 3 AND NOT EXISTS (SELECT 1 FROM sets WHERE sets.id = page.subject_id)) \
         OR (page.level = 4 AND NOT EXISTS (SELECT 1 FROM cards WHERE cards.id = page.subject_id)))"
        .to_owned()
}

/// A run that ended: what its summary says, and what its frontier has.
pub(super) struct EndedRun {
    run: RunId,
    summary: Json,
    counts: FrontierCounts,
}

/// All runs that came to their end.
pub(super) async fn summaries(
    snapshot: &DatabaseTransaction,
    dialect: Dialect,
) -> Result<Vec<EndedRun>, StoreError> {
    let sql = format!(
        "SELECT id, {} AS summary FROM runs WHERE state IN ('reconciled', 'disputed') AND summary IS NOT NULL",
        dialect.as_text("summary")
    );
    let mut runs = BTreeMap::new();
    for row in snapshot.query_all_raw(dialect.statement(sql, [])).await? {
        let (run, summary): (RunId, String) = (row.try_get("", "id")?, row.try_get("", "summary")?);
        // What is no JSON is a finding of its own.
        let Ok(summary) = serde_json::from_str(&summary) else {
            continue;
        };
        let counts = FrontierCounts::default();
        runs.insert(run, EndedRun { run, summary, counts });
    }
    let sql = "SELECT run_id, CAST(level AS bigint) AS level, state, count(*) AS pages FROM frontier \
               GROUP BY run_id, level, state";
    for row in snapshot.query_all_raw(dialect.statement(sql, [])).await? {
        let run: RunId = row.try_get("", "run_id")?;
        let Some(ended) = runs.get_mut(&run) else { continue };
        let state: String = row.try_get("", "state")?;
        let state = PageState::from_name(&state)
            .ok_or_else(|| StoreError::Bug(format!("`{state}` is no page state")))?;
        let pages: i64 = row.try_get("", "pages")?;
        let kind = page_kind(row.try_get("", "level")?)?;
        ended.counts.set(kind, state, pages.unsigned_abs());
    }
    Ok(runs.into_values().collect())
}

/// Where a summary does not say what the frontier has.
pub(super) fn checked_summaries(runs: &[EndedRun], limit: u32) -> Checked {
    let findings: Vec<Finding> = runs.iter().filter_map(contradiction).collect();
    Checked {
        check: "summaries",
        holds: "the summary of a run has the numbers of its frontier",
        advice: ADVICE,
        found: findings.len() as u64,
        examples: findings.into_iter().take(limit as usize).collect(),
    }
}

fn contradiction(ended: &EndedRun) -> Option<Finding> {
    let levels = ended.summary.get("levels")?.as_array()?;
    for level in levels {
        let name = level.get("level")?.as_str()?;
        let kind = tagpipe_core::model::PageKind::ALL
            .iter()
            .find(|kind| kind.as_str() == name)?;
        for state in [
            PageState::Completed,
            PageState::Unchanged,
            PageState::Failed,
            PageState::Skipped,
        ] {
            let said = level.get(state.as_str()).and_then(Json::as_u64)?;
            let found = ended.counts.get(*kind, state);
            if said != found {
                return Some(Finding {
                    place: format!("run {}", ended.run),
                    what: format!(
                        "{name} {}: its summary says {said}, its frontier {found}",
                        state.as_str()
                    ),
                });
            }
        }
    }
    None
}
