//! Which screen a document shows: what is looked for outside the rows, so that no card's name can pass for
//! a captcha or a not-found screen.

use super::dom::{Document, NodeId};
use crate::profile::Screen;

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
    let shows = |node: NodeId| {
        screens.iter().find_map(|screen| {
            let is_it =
                screen.select.matches(document, node) && contains_one(document, node, &screen.contains);
            is_it.then(|| (screen, super::bounded(document.text(node))))
        })
    };
    outside(document, rows).find_map(shows)
}

fn contains_one(document: &Document, node: NodeId, texts: &[String]) -> bool {
    if texts.is_empty() {
        return true;
    }
    let text = super::head(document.text(node)).to_lowercase();
    texts.iter().any(|wanted| text.contains(wanted.as_str()))
}
