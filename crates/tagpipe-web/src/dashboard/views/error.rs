//! What stands in place of a page that cannot be shown.

use askama::Template;

/// The page.
#[derive(Debug, Clone, Template)]
#[template(path = "error.html")]
pub(crate) struct ErrorPage {
    /// The HTTP status.
    pub(crate) status: u16,
    /// What happened, as a headline.
    pub(crate) title: String,
    /// What it means and what to do.
    pub(crate) advice: String,
    /// Whether signing in would help.
    pub(crate) offer_login: bool,
}

impl ErrorPage {
    /// The page for a status, in words that fit every cause of it.
    #[must_use]
    pub(crate) fn for_status(status: u16) -> Self {
        let (title, advice) = match status {
            401 => (
                "Sign in first",
                "This page needs a token. Sign in with one; `tagpipe token add` makes it.",
            ),
            403 => (
                "Not allowed",
                "Your token may look, but not steer. Sign in with one that has the scope control.",
            ),
            404 => (
                "Nothing here",
                "There is no such page, or what it showed is stored no longer. From the overview you can search for it.",
            ),
            429 => ("Too many requests", "Wait a moment, then reload the page."),
            503 => (
                "Not ready",
                "The service is starting or stopping, or its database cannot be reached. Try again soon.",
            ),
            _ => (
                "Something went wrong",
                "It is not your fault. The cause stands in the service's log; `tagpipe doctor` may name it. Try again.",
            ),
        };
        Self {
            status,
            title: title.into(),
            advice: advice.into(),
            offer_login: matches!(status, 401 | 403),
        }
    }
}
