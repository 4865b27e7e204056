//! `/catalogue` and below: categories, years, sets and cards as they are stored.

use askama::Template;

use super::Frame;
use crate::dashboard::show::{Bar, Count, When};

/// `/catalogue`: every category.
#[derive(Debug, Clone, Template)]
#[template(path = "catalogue.html")]
pub(crate) struct CataloguePage {
    /// What surrounds it.
    pub(crate) frame: Frame,
    /// By name.
    pub(crate) categories: Vec<CategoryRow>,
}

/// A category in the list.
#[derive(Debug, Clone)]
pub(crate) struct CategoryRow {
    /// Its number.
    pub(crate) id: i64,
    /// Its name.
    pub(crate) name: String,
    /// Its years.
    pub(crate) years: Count,
    /// Its sets.
    pub(crate) sets: Count,
    /// Its cards.
    pub(crate) cards: Count,
    /// Its graded copies, as the years say.
    pub(crate) graded: Count,
    /// When it was last seen on the site.
    pub(crate) seen_at: When,
    /// When it went from the site.
    pub(crate) vanished_at: Option<When>,
}

/// `/catalogue/categories/{id}`: the years of a category.
#[derive(Debug, Clone, Template)]
#[template(path = "category.html")]
pub(crate) struct CategoryPage {
    /// What surrounds it.
    pub(crate) frame: Frame,
    /// Its address on the site.
    pub(crate) site_url: Option<String>,
    /// Newest first.
    pub(crate) years: Vec<YearRow>,
}

/// A year in the list.
#[derive(Debug, Clone)]
pub(crate) struct YearRow {
    /// Its number in the database.
    pub(crate) id: i64,
    /// The year, as shown on the site.
    pub(crate) name: String,
    /// Its sets.
    pub(crate) sets: Count,
    /// Its cards.
    pub(crate) cards: Count,
    /// Its graded copies.
    pub(crate) graded: Count,
    /// Its graded copies as a part of the fullest year's.
    pub(crate) bar: Bar,
    /// When it was last seen on the site.
    pub(crate) seen_at: When,
    /// When it went from the site.
    pub(crate) vanished_at: Option<When>,
}

/// `/catalogue/years/{id}`: the sets of a year.
#[derive(Debug, Clone, Template)]
#[template(path = "year.html")]
pub(crate) struct YearPage {
    /// What surrounds it.
    pub(crate) frame: Frame,
    /// Its address on the site.
    pub(crate) site_url: Option<String>,
    /// By brand and name.
    pub(crate) sets: Vec<SetRow>,
    /// Address of the next sets.
    pub(crate) next: Option<String>,
    /// Address of the first sets, if these are not they.
    pub(crate) first: Option<String>,
}

/// A set in the list.
#[derive(Debug, Clone)]
pub(crate) struct SetRow {
    /// Its number.
    pub(crate) id: i64,
    /// Its brand.
    pub(crate) brand: String,
    /// Its name; empty for the base product.
    pub(crate) name: String,
    /// Its graded copies.
    pub(crate) total: Count,
    /// When its sums were last found to agree.
    pub(crate) verified_at: Option<When>,
    /// When it was last seen on the site.
    pub(crate) seen_at: When,
    /// When it went from the site.
    pub(crate) vanished_at: Option<When>,
}

/// `/catalogue/sets/{id}`: the cards of a set.
#[derive(Debug, Clone, Template)]
#[template(path = "set.html")]
pub(crate) struct SetPage {
    /// What surrounds it.
    pub(crate) frame: Frame,
    /// Its address on the site.
    pub(crate) site_url: Option<String>,
    /// Its graded copies.
    pub(crate) total: Count,
    /// When its sums were last found to agree.
    pub(crate) verified_at: Option<When>,
    /// When its page was last read whole.
    pub(crate) read_at: Option<When>,
    /// By number.
    pub(crate) cards: Vec<CardRow>,
    /// Address of the next cards.
    pub(crate) next: Option<String>,
    /// Address of the first cards, if these are not they.
    pub(crate) first: Option<String>,
}

/// A card in a list.
#[derive(Debug, Clone)]
pub(crate) struct CardRow {
    /// Its number in the database.
    pub(crate) id: i64,
    /// Its number as printed.
    pub(crate) number: String,
    /// Its name.
    pub(crate) name: String,
    /// Its variation; empty if none.
    pub(crate) variation: String,
    /// Its graded copies.
    pub(crate) total: Count,
    /// The best grade of which there is a copy; empty if there is none.
    pub(crate) top_grade: String,
    /// How many copies have it.
    pub(crate) top_count: Count,
    /// When it was last seen on the site.
    pub(crate) seen_at: When,
    /// When it went from the site.
    pub(crate) vanished_at: Option<When>,
}
