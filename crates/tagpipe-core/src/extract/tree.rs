//! From tokens to the tree: a small part of the HTML standard's tree construction
//! (<https://html.spec.whatwg.org/multipage/parsing.html#tree-construction>) over a tokenizer that follows
//! it whole. What is left out, such as the re-opening of misnested formatting, moves no cell of a table.

use html5gum::{Emitter, Error, State, Tokenizer, naive_next_state};

use super::dom::{
    ATTRIBUTES_MAX, Attribute, DEPTH_MAX, DOCUMENT_MAX_BYTES, Document, DocumentError, ELEMENTS_MAX, Node,
    NodeId, Span,
};

pub(super) fn build(html: &str) -> Result<Document, DocumentError> {
    if html.len() > DOCUMENT_MAX_BYTES {
        return Err(DocumentError::Length);
    }
    let mut builder = Builder::with_room_for(html.len());
    if let Some(Ok(error)) = Tokenizer::new_with_emitter(html, TreeEmitter(&mut builder)).next() {
        return Err(error);
    }
    let open = builder.open.iter().map(|open| position(open.node));
    builder.document.open_at_end = open.collect();
    builder.close_from(0);
    Ok(builder.document)
}

/// What the tree construction needs to know of an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Has no content and no end tag.
    Void,
    /// Its text is not shown.
    Hidden,
    Table,
    /// `tbody`, `thead`, `tfoot`.
    Section,
    Row,
    Cell,
    List,
    Item,
    /// `dt`, `dd`.
    Term,
    Choice,
    Paragraph,
    /// Ends a paragraph.
    Block,
    Anchor,
    /// Tags inside may be self-closing.
    Foreign,
    /// `html`, `body`: their end tags change nothing.
    Root,
    Other,
}

impl Role {
    fn of(name: &[u8]) -> Role {
        match name {
            b"td" | b"th" => Role::Cell,
            b"tr" => Role::Row,
            b"a" => Role::Anchor,
            b"table" => Role::Table,
            b"tbody" | b"thead" | b"tfoot" => Role::Section,
            b"area" | b"base" | b"br" | b"col" | b"embed" | b"hr" | b"img" | b"input" | b"link" | b"meta"
            | b"param" | b"source" | b"track" | b"wbr" => Role::Void,
            b"script" | b"style" | b"noscript" | b"iframe" | b"xmp" | b"noembed" | b"noframes" => {
                Role::Hidden
            }
            b"ul" | b"ol" | b"menu" | b"dl" => Role::List,
            b"li" => Role::Item,
            b"dt" | b"dd" => Role::Term,
            b"option" => Role::Choice,
            b"p" => Role::Paragraph,
            b"address" | b"article" | b"aside" | b"blockquote" | b"center" | b"details" | b"div"
            | b"fieldset" | b"figure" | b"footer" | b"form" | b"h1" | b"h2" | b"h3" | b"h4" | b"h5"
            | b"h6" | b"header" | b"main" | b"nav" | b"pre" | b"section" => Role::Block,
            b"svg" | b"math" => Role::Foreign,
            b"html" | b"body" => Role::Root,
            _ => Role::Other,
        }
    }

    fn ends_paragraph(self) -> bool {
        matches!(
            self,
            Role::Paragraph | Role::Block | Role::List | Role::Item | Role::Term | Role::Table
        )
    }

    /// Whether an end tag of another element cannot reach through this one.
    fn is_wall(self) -> bool {
        matches!(self, Role::Table | Role::Cell)
    }
}

#[derive(Debug, Clone, Copy)]
struct Open {
    node: NodeId,
    role: Role,
    has_children: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CurrentTag {
    None,
    Start,
    End,
}

struct Builder {
    document: Document,
    open: Vec<Open>,
    tag: CurrentTag,
    tag_name: Vec<u8>,
    self_closing: bool,
    /// Whether the current attribute belongs to a start tag that has room for it.
    keeps_attribute: bool,
    /// Number of attributes before those of the current tag.
    first_attribute: usize,
    last_start_tag: Vec<u8>,
    failed: Option<DocumentError>,
}

/// A position in a buffer: bounded by [`DOCUMENT_MAX_BYTES`], as a text never gets longer by parsing.
fn position(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

impl Builder {
    fn with_room_for(bytes: usize) -> Builder {
        Builder {
            document: Document {
                nodes: Vec::with_capacity(bytes / 32),
                attributes: Vec::with_capacity(bytes / 32),
                markup: Vec::with_capacity(bytes / 2),
                text: Vec::with_capacity(bytes / 4),
                open_at_end: Vec::new(),
            },
            open: Vec::with_capacity(32),
            tag: CurrentTag::None,
            tag_name: Vec::with_capacity(16),
            self_closing: false,
            keeps_attribute: false,
            first_attribute: 0,
            last_start_tag: Vec::with_capacity(16),
            failed: None,
        }
    }

    fn start_element(&mut self) {
        let role = Role::of(&self.tag_name);
        self.close_implied(role);
        let attributes = Span {
            start: position(self.first_attribute),
            end: position(self.document.attributes.len()),
        };
        let name = std::mem::take(&mut self.tag_name);
        let node = self.push_element(&name, attributes);
        self.tag_name = name;
        let is_leaf = role == Role::Void || (self.self_closing && self.is_foreign(role));
        if !is_leaf {
            self.push_open(node, role);
        }
    }

    fn push_element(&mut self, name: &[u8], attributes: Span) -> NodeId {
        let document = &mut self.document;
        let node = document.nodes.len();
        if node >= ELEMENTS_MAX {
            self.failed = Some(DocumentError::Elements);
        }
        let name_start = document.markup.len();
        document.markup.extend_from_slice(name);
        let text = position(document.text.len());
        let (parent, first_child) = match self.open.last_mut() {
            Some(parent) => (parent.node, !std::mem::replace(&mut parent.has_children, true)),
            None => (node, node == 0),
        };
        document.nodes.push(Node {
            name: Span {
                start: position(name_start),
                end: position(document.markup.len()),
            },
            attributes,
            text: Span {
                start: text,
                end: text,
            },
            parent: position(parent),
            end: position(node + 1),
            first_child,
        });
        node
    }

    fn push_open(&mut self, node: NodeId, role: Role) {
        if self.open.len() >= DEPTH_MAX {
            self.failed = Some(DocumentError::Depth);
            return;
        }
        self.open.push(Open {
            node,
            role,
            has_children: false,
        });
    }

    fn is_foreign(&self, role: Role) -> bool {
        role == Role::Foreign || self.open.iter().any(|open| open.role == Role::Foreign)
    }

    /// Closes what the start of an element with `role` ends, and opens what it implies.
    fn close_implied(&mut self, role: Role) {
        match role {
            Role::Cell => self.make_ready_for_cell(),
            Role::Row => self.make_ready_for_row(),
            Role::Section => {
                if let Some(table) = self.innermost(|role| role == Role::Table) {
                    self.close_from(table + 1);
                }
            }
            Role::Anchor => self.close_innermost(Role::Anchor, Role::is_wall),
            Role::Item => self.close_innermost(Role::Item, |role| role.is_wall() || role == Role::List),
            Role::Term => self.close_innermost(Role::Term, |role| role.is_wall() || role == Role::List),
            Role::Choice => self.close_innermost(Role::Choice, |role| role != Role::Choice),
            _ => {}
        }
        if role.ends_paragraph() {
            self.close_innermost(Role::Paragraph, Role::is_wall);
        }
    }

    fn make_ready_for_row(&mut self) {
        let Some(place) = self.innermost(|role| matches!(role, Role::Table | Role::Section)) else {
            return;
        };
        self.close_from(place + 1);
        if self.open[place].role == Role::Table {
            self.open_implied(b"tbody", Role::Section);
        }
    }

    fn make_ready_for_cell(&mut self) {
        let is_place = |role| matches!(role, Role::Table | Role::Section | Role::Row);
        let Some(place) = self.innermost(is_place) else {
            return;
        };
        self.close_from(place + 1);
        if self.open[place].role == Role::Table {
            self.open_implied(b"tbody", Role::Section);
        }
        if self.open.last().is_some_and(|last| last.role == Role::Section) {
            self.open_implied(b"tr", Role::Row);
        }
    }

    fn open_implied(&mut self, name: &[u8], role: Role) {
        let none = position(self.first_attribute);
        let node = self.push_element(
            name,
            Span {
                start: none,
                end: none,
            },
        );
        self.push_open(node, role);
    }

    fn innermost(&self, wanted: impl Fn(Role) -> bool) -> Option<usize> {
        self.open.iter().rposition(|open| wanted(open.role))
    }

    fn close_innermost(&mut self, role: Role, is_wall: impl Fn(Role) -> bool) {
        let found = self.innermost(|open| open == role || is_wall(open));
        if let Some(place) = found.filter(|place| self.open[*place].role == role) {
            self.close_from(place);
        }
    }

    fn end_element(&mut self) {
        let role = Role::of(&self.tag_name);
        let is_wall = |open: Role| match role {
            Role::Table => false,
            Role::Section | Role::Row | Role::Cell => open == Role::Table,
            _ => open.is_wall(),
        };
        if role == Role::Root {
            return;
        }
        for place in (0..self.open.len()).rev() {
            let open = self.open[place];
            if self.document.name(open.node) == self.tag_name.as_slice() {
                return self.close_from(place);
            }
            if is_wall(open.role) {
                return;
            }
        }
    }

    /// Closes the open elements from the one at `place` inwards.
    fn close_from(&mut self, place: usize) {
        let end = position(self.document.nodes.len());
        let text_end = position(self.document.text.len());
        for open in self.open.drain(place.min(self.open.len())..) {
            let node = &mut self.document.nodes[open.node];
            node.end = end;
            node.text.end = text_end;
        }
    }

    fn push_text(&mut self, text: &[u8]) {
        if self.open.last().is_none_or(|open| open.role != Role::Hidden) {
            self.document.text.extend_from_slice(text);
        }
    }
}

/// The tokenizer's view of the builder; its only token is the reason to stop.
struct TreeEmitter<'a>(&'a mut Builder);

impl Emitter for TreeEmitter<'_> {
    type Token = DocumentError;

    fn pop_token(&mut self) -> Option<DocumentError> {
        self.0.failed
    }

    fn emit_string(&mut self, text: &[u8]) {
        self.0.push_text(text);
    }

    fn init_start_tag(&mut self) {
        self.0.tag = CurrentTag::Start;
        self.0.tag_name.clear();
        self.0.self_closing = false;
        self.0.first_attribute = self.0.document.attributes.len();
    }

    fn init_end_tag(&mut self) {
        self.0.tag = CurrentTag::End;
        self.0.tag_name.clear();
    }

    fn push_tag_name(&mut self, name: &[u8]) {
        self.0.tag_name.extend_from_slice(name);
    }

    fn emit_current_tag(&mut self) -> Option<State> {
        match std::mem::replace(&mut self.0.tag, CurrentTag::None) {
            CurrentTag::Start => {
                self.0.start_element();
                self.0.last_start_tag.clone_from(&self.0.tag_name);
                naive_next_state(&self.0.tag_name)
            }
            CurrentTag::End => {
                self.0.end_element();
                None
            }
            CurrentTag::None => None,
        }
    }

    fn set_self_closing(&mut self) {
        self.0.self_closing = true;
    }

    fn init_attribute(&mut self) {
        let count = self.0.document.attributes.len() - self.0.first_attribute;
        self.0.keeps_attribute = self.0.tag == CurrentTag::Start && count < ATTRIBUTES_MAX;
        if self.0.keeps_attribute {
            let here = position(self.0.document.markup.len());
            let empty = Span {
                start: here,
                end: here,
            };
            self.0.document.attributes.push(Attribute {
                name: empty,
                value: empty,
            });
        }
    }

    fn push_attribute_name(&mut self, name: &[u8]) {
        self.extend_attribute(name, |attribute, end| {
            attribute.name.end = end;
            attribute.value = Span { start: end, end };
        });
    }

    fn push_attribute_value(&mut self, value: &[u8]) {
        self.extend_attribute(value, |attribute, end| attribute.value.end = end);
    }

    fn current_is_appropriate_end_tag_token(&mut self) -> bool {
        self.0.tag == CurrentTag::End
            && !self.0.last_start_tag.is_empty()
            && self.0.tag_name == self.0.last_start_tag
    }

    fn set_last_start_tag(&mut self, name: Option<&[u8]>) {
        self.0.last_start_tag = name.unwrap_or_default().to_vec();
    }

    #[inline]
    fn should_emit_errors(&mut self) -> bool {
        false
    }

    // Errors of the markup are the site's business; comments and doctypes hold nothing to read.
    fn emit_error(&mut self, _: Error) {}
    fn emit_eof(&mut self) {}
    fn init_comment(&mut self) {
        self.0.tag = CurrentTag::None;
    }
    fn emit_current_comment(&mut self) {}
    fn push_comment(&mut self, _: &[u8]) {}
    fn init_doctype(&mut self) {
        self.0.tag = CurrentTag::None;
    }
    fn emit_current_doctype(&mut self) {}
    fn set_force_quirks(&mut self) {}
    fn push_doctype_name(&mut self, _: &[u8]) {}
    fn set_doctype_public_identifier(&mut self, _: &[u8]) {}
    fn set_doctype_system_identifier(&mut self, _: &[u8]) {}
    fn push_doctype_public_identifier(&mut self, _: &[u8]) {}
    fn push_doctype_system_identifier(&mut self, _: &[u8]) {}
}

impl TreeEmitter<'_> {
    fn extend_attribute(&mut self, bytes: &[u8], set_end: impl Fn(&mut Attribute, u32)) {
        if !self.0.keeps_attribute {
            return;
        }
        let document = &mut self.0.document;
        document.markup.extend_from_slice(bytes);
        let end = position(document.markup.len());
        if let Some(attribute) = document.attributes.last_mut() {
            set_end(attribute, end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tree as `name{children}` with the text of leaves.
    fn outline(html: &str) -> String {
        let document = build(html).expect("within bounds");
        let mut outline = String::new();
        let mut ends: Vec<NodeId> = Vec::new();
        for node in document.all() {
            while ends.last().is_some_and(|end| *end <= node) {
                ends.pop();
                outline.push('}');
            }
            outline.push_str(&String::from_utf8_lossy(document.name(node)));
            if document.under(node).is_empty() {
                let text = String::from_utf8_lossy(document.text(node)).into_owned();
                outline.push_str(&format!("({text})"));
            } else {
                outline.push('{');
                ends.push(document.end(node));
            }
        }
        outline.extend(ends.iter().map(|_| '}'));
        outline
    }

    #[test]
    fn trees_are_built_as_browsers_build_them() {
        for (html, expected) in [
            ("<b>x</b>y", "b(x)"),
            (
                "<table><tr><td>1<td>2<tr><td>3</table>",
                "table{tbody{tr{td(1)td(2)}tr{td(3)}}}",
            ),
            (
                "<table><thead><th>h<tbody><td>1</table>",
                "table{thead{tr{th(h)}}tbody{tr{td(1)}}}",
            ),
            (
                "<table><tr><td><div><p>1<td>2</table>",
                "table{tbody{tr{td{div{p(1)}}td(2)}}}",
            ),
            (
                "<table><tr><td><table><tr><td>in</table>out</table>",
                "table{tbody{tr{td{table{tbody{tr{td(in)}}}}}}}",
            ),
            ("<td>cell</td>", "td(cell)"),
            ("<ul><li>a<li>b<ul><li>c</ul></ul>", "ul{li(a)li{ul{li(c)}}}"),
            (
                "<select><option>a<option>b</select>",
                "select{option(a)option(b)}",
            ),
            ("<p>a<p>b<div>c</div>", "p(a)p(b)div(c)"),
            ("<div><img><br/>x</div>", "div{img()br()}"),
            ("<div/>x", "div(x)"),
            (
                "<svg><path/><g><path/></g></svg><i>x</i>",
                "svg{path()g{path()}}i(x)",
            ),
            ("<script>if (a < b) '<td>'</script><i>x</i>", "script()i(x)"),
            (
                "<style>a > b</style><title>a <b> &amp;</title>",
                "style()title(a <b> &)",
            ),
            (
                "<table><tr><td>a</div>b</td></tr></table>",
                "table{tbody{tr{td(ab)}}}",
            ),
            ("<td><!-- <td> -->a", "td(a)"),
            ("<a>x<a>y</a>", "a(x)a(y)"),
        ] {
            assert_eq!(outline(html), expected, "{html}");
        }
    }

    #[test]
    fn attributes_are_decoded_and_the_first_of_two_counts() {
        let document = build("<a HREF='/x?a=1&amp;b=2' href=y Data-É=1 empty>").expect("small");
        assert_eq!(document.attribute(0, "href"), Some(&b"/x?a=1&b=2"[..]));
        assert_eq!(document.attribute_text(0, "data-É").as_deref(), Some("1"));
        assert_eq!(document.attribute(0, "empty"), Some(&b""[..]));
        assert_eq!(document.attribute(0, "none"), None);
    }

    #[test]
    fn bounds_are_kept() {
        assert_eq!(
            build(&"<div>".repeat(DEPTH_MAX + 1)).err(),
            Some(DocumentError::Depth)
        );
        assert_eq!(
            build(&"<br>".repeat(ELEMENTS_MAX + 1)).err(),
            Some(DocumentError::Elements)
        );
        assert!(build(&"<div>".repeat(DEPTH_MAX)).is_ok());
    }
}
