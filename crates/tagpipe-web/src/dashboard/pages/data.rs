//! `/data`.

use std::sync::Arc;

use axum::extract::State;
use serde_json::Value as Json;
use tagpipe_engine::RunOptions;
use tagpipe_store::{Job, JobKind, JobState, StoreError};

use crate::dashboard::answer::{Answered, Done, Query, can_control, frame, page as answer, sentence};
use crate::dashboard::show::{Count, Lasting, Size};
use crate::dashboard::views::{DataPage, ExportForm, JobRow, Jobs, JobsPart};
use crate::dashboard::words::{maybe_when, when};
use crate::guard::{Identity, Reader};
use crate::state::App;

/// Jobs that are shown.
const JOBS: u32 = 50;

/// `GET /data`.
pub(crate) async fn page(
    State(app): State<Arc<App>>,
    Reader(identity): Reader,
    Query(done): Query<Done>,
) -> Answered {
    let mut view = view(&app, &identity, ExportForm::default()).await?;
    view.frame.notice = done.notice();
    answer(&view)
}

/// `GET /data/jobs`.
pub(crate) async fn jobs(State(app): State<Arc<App>>, Reader(identity): Reader) -> Answered {
    answer(&JobsPart {
        jobs: newest(&app, &identity).await?,
    })
}

/// The page with this form.
pub(crate) async fn view(app: &App, identity: &Identity, form: ExportForm) -> Result<DataPage, StoreError> {
    Ok(DataPage {
        frame: frame("Data", "data", identity),
        form,
        jobs: newest(app, identity).await?,
    })
}

async fn newest(app: &App, identity: &Identity) -> Result<Jobs, StoreError> {
    let jobs = app.store().jobs(None, JOBS).await?;
    Ok(Jobs {
        is_moving: jobs.iter().any(|job| !job.state.is_over()),
        rows: jobs
            .into_iter()
            .map(|job| row(job, can_control(identity)))
            .collect(),
    })
}

fn row(job: Job, can_control: bool) -> JobRow {
    let took = match (
        maybe_when(job.started_at.as_ref()),
        maybe_when(job.ended_at.as_ref()),
    ) {
        (Some(began), Some(ended)) => Some(Lasting(ended.0.duration_since(began.0).unsigned_abs())),
        _ => None,
    };
    JobRow {
        id: job.id,
        kind: match job.kind {
            JobKind::Export => "Export",
            JobKind::Backup => "Backup",
        },
        state: job.state.as_str(),
        ordered_at: when(&job.created_at),
        took,
        wanted: wanted(&job.options),
        outcome: match (&job.result, job.reason.as_str()) {
            (Some(result), _) => outcome(result),
            (None, "") => String::new(),
            (None, reason) => sentence(reason),
        },
        warnings: job.result.as_ref().map(warnings).unwrap_or_default(),
        can_cancel: can_control && job.state == JobState::Waiting,
        by: job.ordered_by,
    }
}

/// The options of a job: its name, its tables, then whatever filters it.
fn wanted(options: &Json) -> String {
    let options = RunOptions::from_json(options).unwrap_or_default();
    let named = ["name", "table"].into_iter().filter_map(|key| options.get(key));
    let filters = options
        .iter()
        .filter(|(key, _)| !["name", "table"].contains(key))
        .map(|(key, value)| format!("{} {value}", key.replace('_', " ")));
    let parts: Vec<String> = named.map(ToOwned::to_owned).chain(filters).collect();
    parts.join("; ")
}

/// What a command has printed of its work.
fn outcome(result: &Json) -> String {
    let backup = &result["backup"];
    let rows_of_backup = || {
        let tables = backup["tables"].as_object()?;
        Some(tables.values().filter_map(Json::as_u64).sum())
    };
    let rows = result["rows"].as_u64().or_else(rows_of_backup);
    let bytes = result["bytes"]
        .as_u64()
        .or_else(|| backup["stored"]["bytes"].as_u64());
    let mut parts = Vec::new();
    parts.extend(backup["name"].as_str().map(ToOwned::to_owned));
    parts.extend(rows.map(|rows| format!("{} rows", Count(rows))));
    parts.extend(bytes.map(|bytes| Size(bytes).to_string()));
    parts.extend(result["to"].as_str().map(|place| format!("in {place}")));
    parts.join(", ")
}

/// What the command has warned of.
fn warnings(result: &Json) -> Vec<String> {
    let listed = result["warnings"].as_array().into_iter().flatten();
    listed
        .filter_map(|warning| warning.as_str().map(sentence))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_job_is_told_in_words() {
        let options =
            json!({ "name": "cards.csv", "table": "cards", "year_filter": "1986-1989", "current": "true" });
        assert_eq!(
            wanted(&options),
            "cards.csv; cards; current true; year filter 1986-1989"
        );
        assert_eq!(wanted(&json!({})), "");
        let result = json!({ "rows": 12345, "bytes": 2048, "to": "exports/cards.csv" });
        assert_eq!(outcome(&result), "12,345 rows, 2.0 KiB, in exports/cards.csv");
        let manifest =
            json!({ "name": "tagpipe-1", "tables": { "runs": 2, "cards": 3 }, "stored": { "bytes": 4096 } });
        let result = json!({ "to": "safe", "verified": false, "backup": manifest });
        assert_eq!(outcome(&result), "tagpipe-1, 5 rows, 4.0 KiB, in safe");
        assert_eq!(outcome(&json!({})), "");
        let result = json!({ "rows": 0, "warnings": ["no category matches `Hocky`; there are Hockey"] });
        assert_eq!(
            warnings(&result),
            ["No category matches `Hocky`; there are Hockey."]
        );
        assert!(warnings(&json!({})).is_empty());
    }
}
