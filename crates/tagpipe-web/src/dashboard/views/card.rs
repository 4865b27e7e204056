//! `/cards/{id}`: one card.

use askama::Template;

use super::Frame;
use crate::dashboard::show::{Bar, Count, When};

/// The page.
#[derive(Debug, Clone, Template)]
#[template(path = "card.html")]
pub struct CardPage {
    /// What surrounds it.
    pub frame: Frame,
    /// Its number in the database.
    pub id: i64,
    /// Its number as printed.
    pub number: String,
    /// Its name.
    pub name: String,
    /// Its variation; empty if none.
    pub variation: String,
    /// Its set with category and year, such as `Hockey 1989 Topps`.
    pub set_name: String,
    /// Its address on the site.
    pub site_url: Option<String>,
    /// Its graded copies.
    pub total: Count,
    /// The best grade of which there is a copy.
    pub top_grade: Option<String>,
    /// How many copies have it.
    pub top_count: Count,
    /// Its certificates that are stored.
    pub certificates: Count,
    /// Whether its counts agree with its grade rows.
    pub verdict: Verdict,
    /// When it was first seen.
    pub first_seen_at: When,
    /// When it was last seen on the site.
    pub seen_at: When,
    /// When its counts last changed.
    pub changed_at: When,
    /// When it went from the site.
    pub vanished_at: Option<When>,
    /// Copies by grade, best grade first.
    pub grades: Vec<GradeBar>,
    /// How its counts changed, newest first.
    pub history: Vec<HistoryRow>,
    /// Its grade rows by rank.
    pub rows: Vec<GradeRow>,
    /// Address of the next rows.
    pub next: Option<String>,
    /// Address of the first rows, if these are not they.
    pub first: Option<String>,
}

/// Whether a card's counts agree with its grade rows.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// They do, at this time.
    Verified(When),
    /// Not compared since they last changed.
    Unverified,
    /// They do not; in words.
    Disputed(String),
}

/// Copies of one grade.
#[derive(Debug, Clone)]
pub struct GradeBar {
    /// Its code, such as `10P`.
    pub code: String,
    /// Its name, such as `Pristine`; empty if it has none.
    pub label: String,
    /// Copies.
    pub count: Count,
    /// Copies as a part of those of the fullest grade.
    pub bar: Bar,
}

/// A change of a card's counts.
#[derive(Debug, Clone)]
pub struct HistoryRow {
    /// When it was seen.
    pub at: When,
    /// Copies since then.
    pub total: Count,
    /// What changed, such as `10 +2, 9 +1`.
    pub change: String,
}

/// A graded copy.
#[derive(Debug, Clone)]
pub struct GradeRow {
    /// Its cert number.
    pub cert_number: String,
    /// Its rank; empty if the site shows none.
    pub rank: String,
    /// Its grade as shown.
    pub grade: String,
    /// Its score; empty if it has none.
    pub score: String,
    /// The day it was graded, as `2026-11-29`; empty if unknown.
    pub completed_on: String,
    /// Address of its report on the site.
    pub report_url: Option<String>,
    /// When it went from the site.
    pub vanished_at: Option<When>,
}
