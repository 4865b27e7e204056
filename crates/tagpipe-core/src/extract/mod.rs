//! The extraction: from one document to the typed rows of one page, by the profile's rules.
//!
//! A pure function without I/O. What holds for every document, hostile ones included: it returns; no row
//! and no number is invented; what could not be read is reported, and when that is more than half of the
//! rows, or a needed header is missing, the page counts as changed and yields no rows at all. Text is clean
//! ([`crate::model`]) and bounded.
//!
//! One file for each kind of row, all with the same two verbs: how a row is read, and what tells it from
//! others. What they share: `dom` and `tree` (the document), `selector`, `screens`, `pager`, `table`
//! (columns by header), `row` (fields of a row) and `values` (numbers, grades, dates).

mod cards;
mod categories;
mod collect;
mod dom;
mod fingerprint;
mod grade_rows;
mod pager;
mod row;
mod screens;
mod selector;
mod sets;
mod table;
mod tree;
mod values;
mod years;

use std::borrow::Cow;

use crate::model::{
    CardRow, CategoryRow, Counts, GradeRow, Identity, PageKind, PageRows, SetRow, YearRow, clean_text,
};
use crate::profile::{FieldRule, Level, SiteProfile};
use dom::{Document, NodeId};

pub use dom::DOCUMENT_MAX_BYTES;
pub use fingerprint::rows_hash;
pub(crate) use selector::Selector;

/// Longest text of a cell, in bytes; a longer one is unreadable.
pub const CELL_MAX_BYTES: usize = 64 << 10;
/// Most characters of a text that is quoted in a report.
const QUOTE_MAX_CHARS: usize = 200;
/// Most unreadable cells that are listed for one page.
const UNREADABLE_MAX: usize = 1_000;

/// What a document is.
#[derive(Debug, Clone, PartialEq)]
pub enum Extracted {
    /// A page of the report.
    Page(Box<ExtractedPage>),
    /// The not-found screen, without rows.
    NotFound,
    /// A captcha or a login.
    Blocked {
        /// The text that gave it away, or its selector.
        by: String,
    },
    /// Neither rows nor an explicit word that there are none.
    NotReady,
    /// The document does not fit the profile.
    LayoutChanged {
        /// What is missing or doubled, naming the profile's fields.
        detail: String,
    },
}

/// One read page, or one page of its pager.
#[derive(Debug, Clone, PartialEq)]
pub struct ExtractedPage {
    /// The rows, in the page's order, each natural key once.
    pub rows: PageRows,
    /// Number of rows the page shows, without the one of totals: the lost and the doubled ones count. This,
    /// not the number of `rows`, is what the pager counts.
    pub rows_shown: usize,
    /// What the pager says, if there is one.
    pub pager: Option<PagerState>,
    /// What leads to the pager's next page; `None` on the last.
    pub next: Option<NextPage>,
    /// The row of totals of sets and cards, where one is shown.
    pub totals: Option<Totals>,
    /// The page itself says that it has no rows.
    pub explicitly_empty: bool,
    /// What could not be read, at most 1,000 cells.
    pub unreadable: Vec<UnreadableCell>,
    /// Children whose clean identity would not lead to their page, with path and query as the site writes them.
    pub odd_addresses: Vec<(Identity, String)>,
}

/// The pager's text, e.g. `1-200 of 232`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PagerState {
    /// Number of the first row shown, from 1; 0 if there are none.
    pub from: u64,
    /// Number of the last row shown.
    pub to: u64,
    /// Number of rows in all.
    pub of: u64,
}

/// What leads to the pager's next page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NextPage {
    /// Path and query to fetch: this page's own address with the parameters the link adds.
    Link(String),
    /// An element to click.
    Button,
}

/// The row of totals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Totals {
    /// Sums by grade code.
    pub counts: Counts,
    /// Sum of the totals.
    pub total: u64,
}

/// A cell whose text is not what its column holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadableCell {
    /// Row on the page, from 1; 0 for what stands outside the rows.
    pub row: usize,
    /// Header of the column, or name of the field.
    pub column: String,
    /// What stands there, at most 200 characters.
    pub text: String,
    /// What is wrong with it, a phrase that follows the text.
    pub problem: String,
    /// Whether the whole row had to be left out.
    pub lost_row: bool,
}

/// Reads `html`, the page of `kind` with `identity`.
#[must_use]
pub fn extract(profile: &SiteProfile, kind: PageKind, identity: &Identity, html: &str) -> Extracted {
    let document = match Document::parse(html) {
        Ok(document) => document,
        Err(error) => {
            return Extracted::LayoutChanged {
                detail: error.to_string(),
            };
        }
    };
    let level = profile.level(kind);
    let rows = table::rows(&document, level);
    if let Some((screen, text)) = screens::shown(&document, &rows, &profile.screens.blocked) {
        let by = if text.is_empty() {
            screen.source.select.clone()
        } else {
            text
        };
        return Extracted::Blocked { by };
    }
    let parts = level.address.parts().collect();
    let page = Page {
        profile,
        level,
        identity,
        parts,
        document: &document,
        rows,
    };
    match kind {
        PageKind::Categories => collect::page::<CategoryRow>(&page),
        PageKind::Years => collect::page::<YearRow>(&page),
        PageKind::Sets => collect::page::<SetRow>(&page),
        PageKind::Cards => collect::page::<CardRow>(&page),
        PageKind::GradeRows => collect::page::<GradeRow>(&page),
    }
}

/// The identities of the pages that `rows`, read from the page with `identity`, lead to, in their order;
/// none for grade rows.
pub fn child_identities<'a>(
    identity: &'a Identity,
    rows: &'a PageRows,
) -> impl Iterator<Item = Identity> + 'a {
    let count = if rows.kind().child().is_some() {
        rows.len()
    } else {
        0
    };
    (0..count).filter_map(move |index| child_identity(identity, rows, index))
}

fn child_identity(identity: &Identity, rows: &PageRows, index: usize) -> Option<Identity> {
    let mut child = identity.clone();
    match rows {
        PageRows::Categories(rows) => child.category.clone_from(&rows.get(index)?.name),
        PageRows::Years(rows) => child.year.clone_from(&rows.get(index)?.year),
        PageRows::Sets(rows) => {
            child.brand.clone_from(&rows.get(index)?.brand);
            child.set.clone_from(&rows.get(index)?.name);
        }
        PageRows::Cards(rows) => {
            child.number.clone_from(&rows.get(index)?.number);
            child.name.clone_from(&rows.get(index)?.name);
            child.variation.clone_from(&rows.get(index)?.variation);
        }
        PageRows::GradeRows(_) => return None,
    }
    Some(child)
}

/// A document with all that is needed to read it.
struct Page<'a> {
    profile: &'a SiteProfile,
    level: &'a Level,
    identity: &'a Identity,
    /// The parts of the identity that the level's address has.
    parts: Vec<&'static str>,
    document: &'a Document,
    /// All that match the level's row selector.
    rows: Vec<NodeId>,
}

impl Page<'_> {
    fn kind(&self) -> PageKind {
        self.level.kind
    }

    /// Whether the next level has no address without this field.
    fn next_level_needs(&self, rule: &FieldRule) -> bool {
        let child = self.kind().child().map(|kind| &self.profile.level(kind).address);
        child
            .zip(rule.part)
            .is_some_and(|(address, part)| address.requires(part))
    }
}

/// The text of an element, clean.
fn cleaned(text: &[u8]) -> Cow<'_, str> {
    let text = trimmed(text);
    let is_clean =
        text.is_ascii() && !text.contains("  ") && !text.bytes().any(|byte| byte.is_ascii_control());
    if is_clean {
        text
    } else {
        Cow::Owned(clean_text(&text))
    }
}

/// Bytes of an element's text that are compared with the texts of screens and pagers, which are short.
const HEAD_MAX_BYTES: usize = 1 << 10;

/// The beginning of an element's text, clean: however long texts are nested, looking at them stays cheap.
fn head(text: &[u8]) -> Cow<'_, str> {
    cleaned(text.get(..HEAD_MAX_BYTES).unwrap_or(text))
}

/// The text of an element, without white space at its ends.
fn trimmed(text: &[u8]) -> Cow<'_, str> {
    match String::from_utf8_lossy(text) {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    }
}

/// A stranger's text as it is quoted in reports: clean and short.
fn bounded(text: &[u8]) -> String {
    // Four bytes a character, and some white space that will go.
    let head = text.get(..QUOTE_MAX_CHARS * 8).unwrap_or(text);
    let cleaned = cleaned(head);
    match cleaned.char_indices().nth(QUOTE_MAX_CHARS) {
        Some((end, _)) => format!("{}…", &cleaned[..end]),
        None => cleaned.into_owned(),
    }
}
