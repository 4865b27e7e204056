//! The rows that a complete and faultless reading of the site must yield.
//!
//! They come straight from the world, not from its pages, in the order in which the site lists them. Fields bear
//! the names of the columns in which a reader would store them.

use serde::Serialize;

use crate::address::{Place, Spelling, push_address};
use crate::render;
use crate::world::{
    CardId, CategoryId, CertNumber, Certificate, Counts, Day, SetId, World, YearId, grade_text,
};

/// A category tile.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CategoryRow {
    /// As shown.
    pub name: String,
    /// Path as linked.
    pub url: String,
}

/// A row of a category's years.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct YearRow {
    /// Name of the category.
    pub category: String,
    /// As shown.
    pub year: String,
    /// Number of sets.
    pub sets_count: u32,
    /// Number of card rows.
    pub items_count: u32,
    /// Number of certificates.
    pub graded_count: u32,
}

/// A row of a year's sets.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SetRow {
    /// Name of the category.
    pub category: String,
    /// Year as shown.
    pub year: String,
    /// Brand.
    pub brand: String,
    /// Name; empty for the base product.
    pub name: String,
    /// Path and query as linked.
    pub url: String,
    /// Population by grade.
    pub counts: Counts,
    /// Sum of the counts.
    pub total: u32,
}

/// A row of a set's cards.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CardRow {
    /// Name of the category.
    pub category: String,
    /// Year as shown.
    pub year: String,
    /// Brand of the set.
    pub brand: String,
    /// Name of the set.
    pub set: String,
    /// Number as printed.
    pub number: String,
    /// Name.
    pub name: String,
    /// Variation; empty if none.
    pub variation: String,
    /// Path and query as linked.
    pub url: String,
    /// Population by grade.
    pub counts: Counts,
    /// Sum of the counts.
    pub total: u32,
}

/// A certificate on a card's leaderboard. Places are counted from 1, none where the site does not give one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GradeRow {
    /// Name of the category.
    pub category: String,
    /// Year as shown.
    pub year: String,
    /// Brand of the set.
    pub brand: String,
    /// Name of the set.
    pub set: String,
    /// Number of the card.
    pub number: String,
    /// Name of the card.
    pub name: String,
    /// Variation of the card.
    pub variation: String,
    /// Unique on the whole site.
    pub cert_number: CertNumber,
    /// Place among the card's certificates.
    pub rank: Option<u32>,
    /// Whole text of the grade.
    pub grade_text: String,
    /// Its number; none for `VA`.
    pub grade: Option<f64>,
    /// Its words; none for `VA`.
    pub grade_label: Option<&'static str>,
    /// Score in brackets.
    pub score: Option<u16>,
    /// Place among the certificates of the same grade.
    pub rank_by_grade: Option<u32>,
    /// Order of completion.
    pub chronology: Option<u32>,
    /// Order of completion within the grade.
    pub chron_by_grade: Option<u32>,
    /// Day of completion.
    pub completed_on: Option<Day>,
    /// Path of the certificate's report.
    pub report_url: String,
}

/// A page of the site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PageRow {
    /// 0 for the categories to 4 for a leaderboard.
    pub level: u8,
    /// Path and query as linked.
    pub url_path: String,
}

/// The site in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Pages of all levels.
    pub pages: u64,
    /// Pages of levels 0 to 4.
    pub by_level: [u64; 5],
    /// Rows of each table.
    pub rows: RowCounts,
    /// Requests that a reader of server-rendered pages needs at least: pages, and what their pagers add.
    pub requests_needed: u64,
}

/// Rows of each table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RowCounts {
    /// Category tiles.
    pub categories: u64,
    /// Year rows.
    pub years: u64,
    /// Set rows.
    pub sets: u64,
    /// Card rows.
    pub cards: u64,
    /// Certificates.
    pub grade_rows: u64,
}

impl World {
    /// All category tiles.
    pub fn category_rows(&self) -> impl Iterator<Item = CategoryRow> {
        self.categories().map(|category| self.category_row(category))
    }

    /// All years.
    pub fn year_rows(&self) -> impl Iterator<Item = YearRow> {
        self.categories().flat_map(|category| self.year_rows_of(category))
    }

    /// All sets.
    pub fn set_rows(&self) -> impl Iterator<Item = SetRow> {
        self.sets().map(|set| self.set_row(set))
    }

    /// All card rows.
    pub fn card_rows(&self) -> impl Iterator<Item = CardRow> {
        self.sets().flat_map(|set| self.card_rows_of(set))
    }

    /// All certificates.
    pub fn grade_rows(&self) -> impl Iterator<Item = GradeRow> {
        self.sets().flat_map(|set| self.grade_rows_of(set))
    }

    /// All pages, parents before children within a category.
    pub fn page_rows(&self) -> impl Iterator<Item = PageRow> {
        let categories = self.categories().flat_map(|category| self.page_rows_of(category));
        std::iter::once(self.root_page()).chain(categories)
    }

    /// The site in numbers.
    pub fn summary(&self) -> Summary {
        let [categories, years, sets, cards] = self.level_counts();
        let grade_rows = self
            .sets()
            .map(|set| u64::from(self.set(set).counts.total()))
            .sum();
        Summary {
            pages: self.page_count(),
            by_level: [1, categories, years, sets, cards],
            rows: RowCounts {
                categories,
                years,
                sets,
                cards,
                grade_rows,
            },
            requests_needed: 1 + categories + self.requests_below_categories(),
        }
    }

    pub(crate) fn root_page(&self) -> PageRow {
        PageRow {
            level: 0,
            url_path: self.address(Place::Categories),
        }
    }

    pub(crate) fn category_row(&self, category: CategoryId) -> CategoryRow {
        CategoryRow {
            name: self.category(category).name.to_owned(),
            url: self.address(Place::Category(category)),
        }
    }

    pub(crate) fn year_rows_of(&self, category: CategoryId) -> impl Iterator<Item = YearRow> {
        self.years_of(category).map(move |year| {
            let facts = self.year(year);
            YearRow {
                category: self.category(category).name.to_owned(),
                year: facts.year.to_string(),
                sets_count: facts.sets,
                items_count: facts.items,
                graded_count: facts.graded,
            }
        })
    }

    pub(crate) fn set_row(&self, set: SetId) -> SetRow {
        let facts = self.set(set);
        let (category, year) = self.heading(facts.year);
        SetRow {
            category,
            year,
            brand: facts.brand.to_owned(),
            name: facts.name.to_string(),
            url: self.address(Place::Set(set)),
            counts: *facts.counts,
            total: facts.counts.total(),
        }
    }

    pub(crate) fn card_rows_of(&self, set: SetId) -> impl Iterator<Item = CardRow> {
        self.cards_of(set).map(move |card| self.card_row(card))
    }

    pub(crate) fn grade_rows_of(&self, set: SetId) -> impl Iterator<Item = GradeRow> {
        self.cards_of(set).flat_map(move |card| {
            let row = self.card_row(card);
            let board = self.shelf(set).leaderboard(card.row);
            board
                .into_iter()
                .map(move |certificate| grade_row(&row, &certificate))
        })
    }

    fn card_row(&self, card: CardId) -> CardRow {
        let set = self.set(card.set);
        let (category, year) = self.heading(set.year);
        let shelf = self.shelf(card.set);
        let facts = shelf.facts(card.row);
        let counts = shelf.counts(card.row);
        CardRow {
            category,
            year,
            brand: set.brand.to_owned(),
            set: set.name.to_string(),
            number: facts.number.to_string(),
            name: facts.name.to_string(),
            variation: facts.variation.to_owned(),
            url: self.address(Place::Card(card)),
            counts,
            total: counts.total(),
        }
    }

    fn heading(&self, year: YearId) -> (String, String) {
        let (category, year) = self.year_heading(year);
        (self.category(category).name.to_owned(), year.to_string())
    }

    fn address(&self, place: Place) -> String {
        let mut address = String::new();
        push_address(&mut address, self, place, Spelling::Link);
        address
    }

    pub(crate) fn page_rows_of(&self, category: CategoryId) -> impl Iterator<Item = PageRow> {
        let page = |level, place| PageRow {
            level,
            url_path: self.address(place),
        };
        let years = self.years_of(category).flat_map(move |year| {
            let sets = self.sets_of(year).flat_map(move |set| {
                let cards = self.cards_of(set).map(move |card| page(4, Place::Card(card)));
                std::iter::once(page(3, Place::Set(set))).chain(cards)
            });
            std::iter::once(page(2, Place::Year(year))).chain(sets)
        });
        std::iter::once(page(1, Place::Category(category))).chain(years)
    }

    fn requests_below_categories(&self) -> u64 {
        let years = self.categories().flat_map(|category| self.years_of(category));
        let of_years: u64 = years
            .map(|year| u64::from(render::pages(self.sets_of(year).len() as u32)))
            .sum();
        let of_sets: u64 = self.sets().map(|set| self.requests_of_set(set)).sum();
        of_years + of_sets
    }

    fn requests_of_set(&self, set: SetId) -> u64 {
        let shelf = self.shelf(set);
        let cards = self.cards_of(set);
        let own = u64::from(render::pages(cards.len() as u32));
        own + cards
            .map(|card| u64::from(render::pages(shelf.counts(card.row).total())))
            .sum::<u64>()
    }
}

fn grade_row(card: &CardRow, certificate: &Certificate) -> GradeRow {
    let given = |place: u32| (place > 0).then_some(place);
    let score = certificate
        .score
        .map_or_else(String::new, |score| format!(" ({score})"));
    GradeRow {
        category: card.category.clone(),
        year: card.year.clone(),
        brand: card.brand.clone(),
        set: card.set.clone(),
        number: card.number.clone(),
        name: card.name.clone(),
        variation: card.variation.clone(),
        cert_number: certificate.number,
        rank: given(certificate.rank),
        grade_text: grade_text(certificate.grade).concat() + &score,
        grade: certificate.grade.number(),
        grade_label: certificate.grade.label(),
        score: certificate.score,
        rank_by_grade: given(certificate.rank_by_grade),
        chronology: given(certificate.chronology),
        chron_by_grade: given(certificate.chron_by_grade),
        completed_on: certificate.completed.map(|completion| completion.day),
        report_url: format!("/card/{}", certificate.number),
    }
}
