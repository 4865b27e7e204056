//! The document: a flat tree of elements in document order. It knows markup, not what a page means.
//!
//! Elements stand in one `Vec` in pre-order, so a subtree is a range of it. All text stands in one buffer
//! in document order, so the text of an element is a slice of that buffer and is never put together.
//! The text of scripts, styles and other things no reader sees is left out.
//!
//! Built by [`super::tree`]; bounded by [`DocumentError`], so that no document can exhaust memory or stack.

use std::borrow::Cow;
use std::ops::Range;

use super::tree;

/// Longest document in bytes; a profile's `http.max_bytes` may be smaller, never larger.
pub const DOCUMENT_MAX_BYTES: usize = 64 << 20;
/// Most elements of one document; a page of 200 rows has about 5,000.
pub(super) const ELEMENTS_MAX: usize = 500_000;
/// Most attributes of one element that are kept.
pub(super) const ATTRIBUTES_MAX: usize = 128;
/// Deepest nesting; the report's pages stay under 40.
pub(super) const DEPTH_MAX: usize = 256;

/// A document that is not parsed, because no honest page looks like it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DocumentError {
    #[error("the document is longer than {DOCUMENT_MAX_BYTES} bytes")]
    Length,
    #[error("the document has more than {ELEMENTS_MAX} elements")]
    Elements,
    #[error("elements are nested deeper than {DEPTH_MAX}")]
    Depth,
}

/// Place of an element in its document.
pub(crate) type NodeId = usize;

/// A range of one of the document's buffers or lists.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) end: u32,
}

impl Span {
    fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Node {
    /// In `markup`.
    pub(super) name: Span,
    /// In `attributes`.
    pub(super) attributes: Span,
    /// In `text`.
    pub(super) text: Span,
    /// The parent; the element itself at the top.
    pub(super) parent: u32,
    /// The first element after the subtree.
    pub(super) end: u32,
    pub(super) first_child: bool,
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Attribute {
    /// In `markup`, like the value.
    pub(super) name: Span,
    pub(super) value: Span,
}

/// A parsed document.
#[derive(Debug, Default)]
pub(crate) struct Document {
    pub(super) nodes: Vec<Node>,
    pub(super) attributes: Vec<Attribute>,
    pub(super) markup: Vec<u8>,
    pub(super) text: Vec<u8>,
    /// What the end of the document closed, from the outermost inwards; at most [`DEPTH_MAX`].
    pub(super) open_at_end: Vec<u32>,
}

impl Document {
    /// Parses `html` as a browser would where the report's markup needs it: raw text, void elements, end
    /// tags that may be left out, and the table body that is implied.
    ///
    /// # Errors
    /// When the document exceeds a bound.
    pub(crate) fn parse(html: &str) -> Result<Document, DocumentError> {
        tree::build(html)
    }

    /// All elements, in document order.
    pub(crate) fn all(&self) -> Range<NodeId> {
        0..self.nodes.len()
    }

    /// The elements under `node`, in document order.
    pub(crate) fn under(&self, node: NodeId) -> Range<NodeId> {
        node + 1..self.end(node)
    }

    /// `node` and the elements under it, in document order.
    pub(crate) fn subtree(&self, node: NodeId) -> Range<NodeId> {
        node..self.end(node)
    }

    /// The first element after the subtree of `node`.
    pub(crate) fn end(&self, node: NodeId) -> NodeId {
        self.nodes[node].end as usize
    }

    /// The parent of `node`, if it has one.
    pub(crate) fn parent(&self, node: NodeId) -> Option<NodeId> {
        let parent = self.nodes[node].parent as usize;
        (parent != node).then_some(parent)
    }

    /// The elements around `node`, from its parent upwards.
    pub(crate) fn ancestors(&self, node: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        std::iter::successors(self.parent(node), |above| self.parent(*above))
    }

    /// Whether the document ends within `node`: an element that needs an end tag was cut off.
    pub(crate) fn is_open_at_end(&self, node: NodeId) -> bool {
        self.open_at_end.iter().any(|open| *open as usize == node)
    }

    /// Whether no element stands before `node` in its parent.
    pub(crate) fn is_first_child(&self, node: NodeId) -> bool {
        self.nodes[node].first_child
    }

    /// The tag name in lower case.
    pub(crate) fn name(&self, node: NodeId) -> &[u8] {
        &self.markup[self.nodes[node].name.range()]
    }

    /// The value of an attribute; of two with one name the first counts.
    pub(crate) fn attribute(&self, node: NodeId, name: &str) -> Option<&[u8]> {
        self.attributes[self.nodes[node].attributes.range()]
            .iter()
            .find(|attribute| &self.markup[attribute.name.range()] == name.as_bytes())
            .map(|attribute| &self.markup[attribute.value.range()])
    }

    /// The same as text.
    pub(crate) fn attribute_text(&self, node: NodeId, name: &str) -> Option<Cow<'_, str>> {
        self.attribute(node, name).map(String::from_utf8_lossy)
    }

    /// The text in `node` and everything under it, as it stands.
    pub(crate) fn text(&self, node: NodeId) -> &[u8] {
        &self.text[self.nodes[node].text.range()]
    }

    /// The text in `node` that follows `inner`, an element under it.
    pub(crate) fn text_after(&self, node: NodeId, inner: NodeId) -> &[u8] {
        let end = self.nodes[node].text.end as usize;
        let start = (self.nodes[inner].text.end as usize).min(end);
        &self.text[start..end]
    }
}
