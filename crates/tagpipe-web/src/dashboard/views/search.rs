//! `/search`: what matches a text.

use askama::Template;

use super::Frame;
use crate::dashboard::show::{Count, When};

/// The page.
#[derive(Debug, Clone, Template)]
#[template(path = "search.html")]
pub struct SearchPage {
    /// What surrounds it; its `query` is what was searched for.
    pub frame: Frame,
    /// What matches, best first.
    pub hits: Vec<Hit>,
    /// Address of the next ones.
    pub next: Option<String>,
}

/// A card, set or certificate that matches.
#[derive(Debug, Clone)]
pub struct Hit {
    /// `card`, `set` or `certificate`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// Where it belongs, from the category down.
    pub place: String,
    /// Its address here.
    pub href: String,
    /// Its graded copies, where that makes sense.
    pub total: Option<Count>,
    /// When it was last seen on the site.
    pub seen_at: When,
}
