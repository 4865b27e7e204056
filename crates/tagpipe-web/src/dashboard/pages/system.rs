//! `/system`.

use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;
use tagpipe_engine::Examined;
use tagpipe_store::ApiToken;

use crate::dashboard::answer::{Answered, Query, frame, page as answer};
use crate::dashboard::views::{FindingRow, SettingRow, SystemPage, TokenRow};
use crate::dashboard::words::{maybe_when, when};
use crate::guard::Reader;
use crate::state::App;

/// What may stand in the address.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    /// Whether the doctor is to look: it starts a browser, so not each time that somebody looks at this one.
    examine: bool,
}

/// `GET /system`.
pub(crate) async fn page(
    State(app): State<Arc<App>>,
    Reader(identity): Reader,
    Query(asked): Query<Asked>,
) -> Answered {
    let findings = match asked.examine {
        true => app.service.launcher().examine().await,
        false => Vec::new(),
    };
    let settings = app.service.launcher().settings().into_iter();
    let site = app
        .site
        .as_ref()
        .map_or_else(|| "none".to_owned(), ToString::to_string);
    answer(&SystemPage {
        frame: frame("System", "system", &identity),
        findings: findings.into_iter().map(finding).collect(),
        settings: settings
            .map(|setting| SettingRow {
                name: setting.key,
                value: setting.value.unwrap_or_else(|| "–".into()),
                origin: setting.origin,
            })
            .collect(),
        tokens: app.store().tokens().await?.into_iter().map(token).collect(),
        facts: vec![
            ("Version", env!("CARGO_PKG_VERSION").to_owned()),
            ("Database", app.store().engine_version().await?),
            ("Site", site),
            ("Open event streams", app.streams.open().to_string()),
            ("State", app.service.trouble().unwrap_or_else(|| "at work".into())),
        ],
    })
}

fn finding(examined: Examined) -> FindingRow {
    FindingRow {
        what: examined.check,
        tone: match examined.state.as_str() {
            "ok" => "good",
            "warning" => "warn",
            "skipped" => "idle",
            _ => "bad",
        },
        found: examined.finding,
        remedy: examined.remedy,
    }
}

fn token(token: ApiToken) -> TokenRow {
    TokenRow {
        name: token.name,
        scope: token.scope.as_str(),
        created_at: when(&token.created_at),
        used_at: maybe_when(token.last_used_at.as_ref()),
        revoked_at: maybe_when(token.revoked_at.as_ref()),
    }
}
