//! `/login`: asks for a token.

use askama::Template;

/// The page.
#[derive(Debug, Clone, Default, Template)]
#[template(path = "login.html")]
pub(crate) struct LoginPage {
    /// Where to go afterwards: a path of ours.
    pub(crate) next: String,
    /// Why the last try was refused.
    pub(crate) fault: Option<String>,
}
