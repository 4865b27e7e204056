//! Which screen a document shows: what is looked for outside the rows, so that no card's name can pass for
//! a captcha or a not-found screen.

use super::dom::{Document, NodeId};
use crate::profile::Screen;

/// Most elements of one selector whose text is looked at: nested in each other they all have the same long
/// text, and the work must not grow with both.
pub(super) const LOOKED_AT_MAX: usize = 2_000;

/// The elements of `document` outside `rows`, which are in document order.
pub(super) fn outside<'a>(document: &'a Document, rows: &'a [NodeId]) -> impl Iterator<Item = NodeId> + 'a {
    let mut rows = rows.iter().copied().peekable();
    let mut node = 0;
    std::iter::from_fn(move || {
        while rows.next_if_eq(&node).is_some() {
            node = document.end(node);
        }
        let here = (node < document.all().end).then_some(node);
        node += 1;
        here
    })
}

/// The screen among `screens` that `document` shows, with the text that gave it away.
pub(super) fn shown<'s>(
    document: &Document,
    rows: &[NodeId],
    screens: &'s [Screen],
) -> Option<(&'s Screen, String)> {
    let selected = screens.iter().flat_map(|screen| {
        let is_it = |node: &NodeId| screen.select.matches(document, *node);
        let nodes = outside(document, rows).filter(is_it).take(LOOKED_AT_MAX);
        nodes.map(move |node| (screen, node))
    });
    selected
        .into_iter()
        .find(|(screen, node)| contains_one(document, *node, &screen.contains))
        .map(|(screen, node)| (screen, super::bounded(document.text(node))))
}

fn contains_one(document: &Document, node: NodeId, texts: &[String]) -> bool {
    if texts.is_empty() {
        return true;
    }
    let text = super::head(document.text(node)).to_lowercase();
    texts.iter().any(|wanted| text.contains(wanted.as_str()))
}
