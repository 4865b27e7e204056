//! The rows of each page kind, typed.

use jiff::civil::Date;

use super::{CertNumber, Counts, Grade, PageKind};

/// One category tile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CategoryRow {
    /// Name as shown, e.g. `Pokémon`.
    pub name: String,
}

/// One row of a category's years.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct YearRow {
    /// Year as shown.
    pub year: String,
    /// Number of sets in that year.
    pub sets: u64,
    /// Number of card rows in that year.
    pub items: u64,
    /// Number of certificates in that year.
    pub graded: u64,
}

/// One row of a year's sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetRow {
    /// Brand, e.g. `Donruss`.
    pub brand: String,
    /// Set name; empty for the base product.
    pub name: String,
    /// Population by grade code.
    pub counts: Counts,
    /// The total as shown, which need not be the sum of the counts.
    pub total: u64,
}

/// One row of a set's cards; one per variation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardRow {
    /// Card number as printed.
    pub number: String,
    /// Card name.
    pub name: String,
    /// Variation; empty if none.
    pub variation: String,
    /// Population by grade code.
    pub counts: Counts,
    /// The total as shown.
    pub total: u64,
}

/// One graded certificate on a card's page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GradeRow {
    /// Certificate number.
    pub cert_number: CertNumber,
    /// Place on the leaderboard, from 1; `None` where not given.
    pub rank: Option<u64>,
    /// The grade.
    pub grade: Grade,
    /// Place among the certificates of the same grade.
    pub rank_by_grade: Option<u64>,
    /// Order in which this card's copies were graded, from 1.
    pub chronology: Option<u64>,
    /// The same among the certificates of the same grade.
    pub chron_by_grade: Option<u64>,
    /// Day the grading was completed.
    pub completed_on: Option<Date>,
    /// Path of the certificate's own report, empty if none is linked.
    pub report_url: String,
}

/// All rows of one page, by its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PageRows {
    /// Level 0.
    Categories(Vec<CategoryRow>),
    /// Level 1.
    Years(Vec<YearRow>),
    /// Level 2.
    Sets(Vec<SetRow>),
    /// Level 3.
    Cards(Vec<CardRow>),
    /// Level 4.
    GradeRows(Vec<GradeRow>),
}

impl PageRows {
    /// No rows of `kind`.
    #[must_use]
    pub fn none(kind: PageKind) -> PageRows {
        match kind {
            PageKind::Categories => PageRows::Categories(Vec::new()),
            PageKind::Years => PageRows::Years(Vec::new()),
            PageKind::Sets => PageRows::Sets(Vec::new()),
            PageKind::Cards => PageRows::Cards(Vec::new()),
            PageKind::GradeRows => PageRows::GradeRows(Vec::new()),
        }
    }

    /// The kind of page these rows stand on.
    #[must_use]
    pub fn kind(&self) -> PageKind {
        match self {
            PageRows::Categories(_) => PageKind::Categories,
            PageRows::Years(_) => PageKind::Years,
            PageRows::Sets(_) => PageKind::Sets,
            PageRows::Cards(_) => PageKind::Cards,
            PageRows::GradeRows(_) => PageKind::GradeRows,
        }
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            PageRows::Categories(rows) => rows.len(),
            PageRows::Years(rows) => rows.len(),
            PageRows::Sets(rows) => rows.len(),
            PageRows::Cards(rows) => rows.len(),
            PageRows::GradeRows(rows) => rows.len(),
        }
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends the rows of the pager's next page.
    ///
    /// # Panics
    /// When `next` is of another kind: both come from reads of one page.
    pub fn append(&mut self, next: PageRows) {
        match (self, next) {
            (PageRows::Categories(rows), PageRows::Categories(more)) => rows.extend(more),
            (PageRows::Years(rows), PageRows::Years(more)) => rows.extend(more),
            (PageRows::Sets(rows), PageRows::Sets(more)) => rows.extend(more),
            (PageRows::Cards(rows), PageRows::Cards(more)) => rows.extend(more),
            (PageRows::GradeRows(rows), PageRows::GradeRows(more)) => rows.extend(more),
            (rows, more) => unreachable!("rows of {} appended to {}", more.kind(), rows.kind()),
        }
    }
}
