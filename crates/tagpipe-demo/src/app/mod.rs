//! The script rendering: the app that fills the root element, and the data it asks for.
//!
//! The data carries markup, so that both renderings show exactly the same page. It is the demo site's own
//! business; a reader that asks for it instead of reading the page is cheating.

use serde::Serialize;

use crate::address::Address;
use crate::config::Latency;
use crate::render::{self, Rows, View};

/// The app.
pub(crate) const MAIN_JS: &str = include_str!("main.js");

/// A page's content as the app paints it: `top`, then rows, then `bottom`.
#[derive(Debug, Serialize)]
struct Content<'s> {
    title: String,
    top: &'s str,
    rows: Vec<&'s str>,
    bottom: &'s str,
    repaint_ms: u64,
    poll_ms: u64,
}

/// The data answer for a page, or for a page that does not exist.
pub(crate) fn data(view: &View<'_>, address: Option<Address>, rows: Rows, latency: &Latency) -> String {
    let screen = render::content(view, address, rows);
    let title = address.map(|address| render::title(view.world, address.place));
    let content = Content {
        title: title.unwrap_or_else(|| "Population Report".to_owned()),
        top: screen.top(),
        rows: screen.rows().collect(),
        bottom: screen.bottom(),
        repaint_ms: latency.repaint_ms,
        poll_ms: latency.poll_ms.max(50),
    };
    serde_json::to_string(&content).expect("texts and numbers are always JSON")
}
