//! `/catalogue` and below: categories, years, sets and cards as they are stored.

use askama::Template;

use super::Frame;
use crate::dashboard::show::{Bar, Count, When};

/// `/catalogue`: every category.
#[derive(Debug, Clone, Template)]
#[template(path = "catalogue.html")]
pub struct CataloguePage {
    /// What surrounds it.
    pub frame: Frame,
    /// By name.
    pub categories: Vec<CategoryRow>,
}

/// A category in the list.
#[derive(Debug, Clone)]
pub struct CategoryRow {
    /// Its number.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Its years.
    pub years: Count,
    /// Its sets.
    pub sets: Count,
    /// Its cards.
    pub cards: Count,
    /// Its graded copies, as the years say.
    pub graded: Count,
    /// When it was last seen on the site.
    pub seen_at: When,
    /// When it went from the site.
    pub vanished_at: Option<When>,
}

/// `/catalogue/categories/{id}`: the years of a category.
#[derive(Debug, Clone, Template)]
#[template(path = "category.html")]
pub struct CategoryPage {
    /// What surrounds it.
    pub frame: Frame,
    /// Its address on the site.
    pub site_url: Option<String>,
    /// Newest first.
    pub years: Vec<YearRow>,
}

/// A year in the list.
#[derive(Debug, Clone)]
pub struct YearRow {
    /// Its number in the database.
    pub id: i64,
    /// The year, as shown on the site.
    pub name: String,
    /// Its sets.
    pub sets: Count,
    /// Its cards.
    pub cards: Count,
    /// Its graded copies.
    pub graded: Count,
    /// Its graded copies as a part of the fullest year's.
    pub bar: Bar,
    /// When it was last seen on the site.
    pub seen_at: When,
    /// When it went from the site.
    pub vanished_at: Option<When>,
}

/// `/catalogue/years/{id}`: the sets of a year.
#[derive(Debug, Clone, Template)]
#[template(path = "year.html")]
pub struct YearPage {
    /// What surrounds it.
    pub frame: Frame,
    /// Its address on the site.
    pub site_url: Option<String>,
    /// By brand and name.
    pub sets: Vec<SetRow>,
    /// Address of the next sets.
    pub next: Option<String>,
    /// Address of the first sets, if these are not they.
    pub first: Option<String>,
}

/// A set in the list.
#[derive(Debug, Clone)]
pub struct SetRow {
    /// Its number.
    pub id: i64,
    /// Its brand.
    pub brand: String,
    /// Its name; empty for the base product.
    pub name: String,
    /// Its graded copies.
    pub total: Count,
    /// When its sums were last found to agree.
    pub verified_at: Option<When>,
    /// When it was last seen on the site.
    pub seen_at: When,
    /// When it went from the site.
    pub vanished_at: Option<When>,
}

/// `/catalogue/sets/{id}`: the cards of a set.
#[derive(Debug, Clone, Template)]
#[template(path = "set.html")]
pub struct SetPage {
    /// What surrounds it.
    pub frame: Frame,
    /// Its address on the site.
    pub site_url: Option<String>,
    /// Its graded copies.
    pub total: Count,
    /// When its sums were last found to agree.
    pub verified_at: Option<When>,
    /// When its page was last read whole.
    pub read_at: Option<When>,
    /// By number.
    pub cards: Vec<CardRow>,
    /// Address of the next cards.
    pub next: Option<String>,
    /// Address of the first cards, if these are not they.
    pub first: Option<String>,
}

/// A card in a list.
#[derive(Debug, Clone)]
pub struct CardRow {
    /// Its number in the database.
    pub id: i64,
    /// Its number as printed.
    pub number: String,
    /// Its name.
    pub name: String,
    /// Its variation; empty if none.
    pub variation: String,
    /// Its graded copies.
    pub total: Count,
    /// The best grade of which there is a copy; empty if there is none.
    pub top_grade: String,
    /// How many copies have it.
    pub top_count: Count,
    /// When it was last seen on the site.
    pub seen_at: When,
    /// When it went from the site.
    pub vanished_at: Option<When>,
}
