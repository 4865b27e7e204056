//! `/search`: what matches a text.

use askama::Template;

use super::Frame;
use crate::dashboard::show::{Count, When};

/// The page.
#[derive(Debug, Clone, Template)]
#[template(path = "search.html")]
pub(crate) struct SearchPage {
    /// What surrounds it; its `query` is what was searched for.
    pub(crate) frame: Frame,
    /// What matches, best first.
    pub(crate) hits: Vec<Hit>,
    /// Address of the next ones.
    pub(crate) next: Option<String>,
}

/// A card, set or certificate that matches.
#[derive(Debug, Clone)]
pub(crate) struct Hit {
    /// `card`, `set` or `certificate`.
    pub(crate) kind: &'static str,
    /// Its name.
    pub(crate) name: String,
    /// Where it belongs, from the category down.
    pub(crate) place: String,
    /// Its address here.
    pub(crate) href: String,
    /// Its graded copies, where that makes sense.
    pub(crate) total: Option<Count>,
    /// When it was last seen on the site.
    pub(crate) seen_at: When,
}
