//! `/cards/{id}`: one card.

use askama::Template;

use super::Frame;
use crate::dashboard::show::{Bar, Count, When};

/// The page.
#[derive(Debug, Clone, Template)]
#[template(path = "card.html")]
pub(crate) struct CardPage {
    /// What surrounds it.
    pub(crate) frame: Frame,
    /// Its number in the database.
    pub(crate) id: i64,
    /// Its number as printed.
    pub(crate) number: String,
    /// Its name.
    pub(crate) name: String,
    /// Its variation; empty if none.
    pub(crate) variation: String,
    /// Its set with category and year, such as `Hockey 1989 Topps`.
    pub(crate) set_name: String,
    /// Its address on the site.
    pub(crate) site_url: Option<String>,
    /// Its graded copies.
    pub(crate) total: Count,
    /// The best grade of which there is a copy.
    pub(crate) top_grade: Option<String>,
    /// How many copies have it.
    pub(crate) top_count: Count,
    /// When its page was last read whole.
    pub(crate) read_at: Option<When>,
    /// When its counts were last found to agree with its grade rows.
    pub(crate) verified_at: Option<When>,
    /// When it was first seen.
    pub(crate) first_seen_at: When,
    /// When it was last seen on the site.
    pub(crate) seen_at: When,
    /// When its counts last changed.
    pub(crate) changed_at: When,
    /// When it went from the site.
    pub(crate) vanished_at: Option<When>,
    /// Copies by grade, best grade first.
    pub(crate) grades: Vec<GradeBar>,
    /// How its counts changed, newest first.
    pub(crate) history: Vec<HistoryRow>,
    /// Its grade rows by rank.
    pub(crate) rows: Vec<GradeRow>,
    /// Address of the next rows.
    pub(crate) next: Option<String>,
    /// Address of the first rows, if these are not they.
    pub(crate) first: Option<String>,
}

/// Copies of one grade.
#[derive(Debug, Clone)]
pub(crate) struct GradeBar {
    /// Its code, such as `10P`.
    pub(crate) code: String,
    /// Its name, such as `Pristine`; empty if it has none.
    pub(crate) label: String,
    /// Copies.
    pub(crate) count: Count,
    /// Copies as a part of those of the fullest grade.
    pub(crate) bar: Bar,
}

/// A change of a card's counts.
#[derive(Debug, Clone)]
pub(crate) struct HistoryRow {
    /// When it was seen.
    pub(crate) at: When,
    /// Copies since then.
    pub(crate) total: Count,
    /// What changed, such as `10 +2, 9 +1`.
    pub(crate) change: String,
}

/// A graded copy.
#[derive(Debug, Clone)]
pub(crate) struct GradeRow {
    /// Its cert number.
    pub(crate) cert_number: String,
    /// Its rank; empty if the site shows none.
    pub(crate) rank: String,
    /// Its grade as shown.
    pub(crate) grade: String,
    /// Its score; empty if it has none.
    pub(crate) score: String,
    /// The day it was graded, as `2026-11-29`; empty if unknown.
    pub(crate) completed_on: String,
    /// Address of its report on the site.
    pub(crate) report_url: Option<String>,
    /// When it went from the site.
    pub(crate) vanished_at: Option<When>,
}
