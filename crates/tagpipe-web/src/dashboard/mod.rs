//! The dashboard: pages rendered on the server, with live parts over an event stream.
//!
//! Every page works without JavaScript; forms are sent and answered by a redirect. The security policy allows no inline
//! script and no inline style, so a template has neither, and a test reads all of them.
//!
//! - `views/`: what each page shows, a struct for each template.
//! - `pages/`: one file for each page; it asks the store and fills the struct.
//! - `live.rs`: the parts of pages that are sent again when they change.
//! - `actions.rs`: what forms do.

mod actions;
mod answer;
mod assets;
mod live;
mod pages;
mod show;
pub(crate) mod views;
mod words;

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use self::answer::Failure;
use crate::problem::Problem;
use crate::state::App;

/// The pages' routes.
pub(crate) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/", get(pages::overview::page))
        .route("/runs", get(pages::runs::page))
        .route("/runs/{run}", get(pages::run::page))
        .route("/runs/{run}/years", get(pages::run::years))
        .route("/runs/{run}/throughput.json", get(pages::run::throughput))
        .route("/catalogue", get(pages::catalogue::categories))
        .route("/catalogue/categories/{id}", get(pages::catalogue::category))
        .route("/catalogue/years/{id}", get(pages::catalogue::year))
        .route("/catalogue/sets/{id}", get(pages::catalogue::set))
        .route("/cards/{id}", get(pages::card::page))
        .route("/cards/{id}/history.json", get(pages::card::history))
        .route("/search", get(pages::search::page))
        .route("/audit", get(pages::audit::page))
        .route("/analytics", get(pages::analytics::page))
        .route("/schedules", get(pages::schedules::page))
        .route("/schedules/preview", get(pages::schedules::preview))
        .route("/data", get(pages::data::page))
        .route("/data/jobs", get(pages::data::jobs))
        .route("/news", get(pages::news::page))
        .route("/system", get(pages::system::page))
        .route("/login", get(pages::login::page))
        .route("/live/overview", get(live::overview))
        .route("/live/runs/{run}", get(live::run))
        .route("/live/audit", get(live::audit))
        .route("/actions/login", post(actions::log_in))
        .route("/actions/logout", post(actions::log_out))
        .route("/actions/runs", post(actions::start))
        .route("/actions/runs/{run}/pause", post(actions::pause))
        .route("/actions/runs/{run}/resume", post(actions::resume))
        .route("/actions/runs/{run}/stop", post(actions::stop))
        .route("/actions/runs/{run}/retry", post(actions::retry))
        .route("/actions/orders/{order}/cancel", post(actions::cancel))
        .route("/actions/schedules", post(actions::add_schedule))
        .route("/actions/schedules/{id}/enable", post(actions::enable_schedule))
        .route("/actions/schedules/{id}/disable", post(actions::disable_schedule))
        .route("/actions/schedules/{id}/remove", post(actions::remove_schedule))
        .route("/actions/exports", post(actions::order_export))
        .route("/actions/backups", post(actions::order_backup))
        .route("/actions/jobs/{job}/cancel", post(actions::cancel_job))
        .route("/assets/{*name}", get(assets::asset))
}

/// What is asked for in vain: a page for a browser, a problem for a program.
pub(crate) async fn not_found(uri: Uri, headers: HeaderMap) -> Response {
    let problem = Problem::new(StatusCode::NOT_FOUND, "there is no such address");
    let accepts = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok());
    if accepts.is_some_and(|accepts| accepts.contains("text/html")) && !uri.path().starts_with("/api/") {
        return Failure::from(problem).into_response();
    }
    problem.into_response()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    /// What must stand in no template, and why.
    const FORBIDDEN: [(&str, &str); 8] = [
        ("|safe", "what is not escaped may be a stranger's"),
        ("| safe", "what is not escaped may be a stranger's"),
        (" style=", "the policy forbids inline styles"),
        ("<style", "the policy forbids inline styles"),
        ("<script>", "the policy forbids inline scripts"),
        ("hx-on", "the policy forbids inline handlers"),
        ("=\"http", "the dashboard asks no other host"),
        ("=\"//", "the dashboard asks no other host"),
    ];

    #[test]
    fn templates_keep_to_the_security_policy() {
        let templates = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
        let mut read = 0;
        for folder in [templates.clone(), templates.join("live"), templates.join("parts")] {
            for entry in fs::read_dir(folder).expect("a folder of templates") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    continue;
                }
                let text = fs::read_to_string(&path).expect("a template");
                for (part, why) in FORBIDDEN {
                    assert!(!text.contains(part), "{} has `{part}`: {why}", path.display());
                }
                assert_eq!(inline_handler(&text), None, "{}", path.display());
                read += 1;
            }
        }
        assert!(read > 30, "only {read} templates were found");
    }

    /// The first attribute such as `onclick`.
    fn inline_handler(text: &str) -> Option<&str> {
        text.split_whitespace()
            .find(|word| word.starts_with("on") && word.split('=').next() != Some(*word))
    }
}
