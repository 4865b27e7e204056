//! `/audit`.

use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;
use tagpipe_store::audit_query::{AuditFilter, AuditRecord};

use crate::api::audit::Wanted;
use crate::api::pages::Page;
use crate::dashboard::answer::{Answered, Query, frame, page as answer, sentence};
use crate::dashboard::views::{AuditForm, AuditPage, Entry};
use crate::dashboard::words::{address_with, seconds, when};
use crate::guard::Reader;
use crate::state::App;

const ROWS: u32 = 50;

/// What may stand in the address: the filter as the form sends it, with empty texts for what does not matter.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    level: String,
    kind: String,
    runner: String,
    run: String,
    page: String,
    since: String,
    /// The entry that the page before ended with.
    before: Option<i64>,
    /// Whether new entries are shown as they come.
    follow: bool,
}

impl Asked {
    /// As the store takes it.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence.
    pub(crate) fn filter(&self) -> Result<AuditFilter, String> {
        let run = match self.run.trim() {
            "" => None,
            text => Some(
                text.parse()
                    .map_err(|_| format!("“{text}” is not the number of a run."))?,
            ),
        };
        let text = |text: &String| Some(text.trim().to_owned());
        let wanted = Wanted {
            level: text(&self.level),
            kind: text(&self.kind),
            runner: text(&self.runner),
            run,
            page_key: text(&self.page),
            since_s: seconds(self.since.trim())?,
            before: None,
            limit: None,
        };
        wanted.filter().map_err(|problem| sentence(&problem.detail))
    }

    fn address(&self, path: &str, more: (&str, &str)) -> String {
        let parts = [
            ("level", self.level.as_str()),
            ("kind", &self.kind),
            ("runner", &self.runner),
            ("run", &self.run),
            ("page", &self.page),
            ("since", &self.since),
            more,
        ];
        address_with(path, &parts)
    }
}

/// `GET /audit`.
pub(crate) async fn page(
    State(app): State<Arc<App>>,
    Reader(identity): Reader,
    Query(asked): Query<Asked>,
) -> Answered {
    let (entries, fault) = match asked.filter() {
        Ok(filter) => (
            app.store().audit_entries(&filter, asked.before, ROWS + 1).await?,
            None,
        ),
        Err(fault) => (Vec::new(), Some(fault)),
    };
    let entries = Page::of(entries, ROWS, |entry| entry.id.to_string());
    let follows = asked.follow && asked.before.is_none() && fault.is_none();
    answer(&AuditPage {
        frame: frame("Audit", "audit", &identity),
        entries: entries.items.into_iter().map(entry).collect(),
        older: entries
            .next
            .map(|last| asked.address("/audit", ("before", &last))),
        live: follows.then(|| asked.address("/live/audit", ("follow", ""))),
        toggle_live: asked.address("/audit", ("follow", if follows { "" } else { "true" })),
        filter: AuditForm {
            level: asked.level,
            kind: asked.kind,
            runner: asked.runner,
            run: asked.run,
            page: asked.page,
            since: asked.since,
            fault,
        },
    })
}

/// An entry as it is shown.
pub(crate) fn entry(record: AuditRecord) -> Entry {
    let is_empty = record.context.as_object().is_none_or(serde_json::Map::is_empty);
    let context = match is_empty {
        true => String::new(),
        false => serde_json::to_string_pretty(&record.context).unwrap_or_default(),
    };
    Entry {
        id: record.id,
        at: when(&record.created_at),
        level: record.level,
        kind: record.kind,
        runner: record.runner_id,
        run_id: record.run_id,
        page_key: record.page_key.unwrap_or_default(),
        operation: record.operation,
        message: record.message,
        context,
    }
}
