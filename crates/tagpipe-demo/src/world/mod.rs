//! What the site knows: categories, years, sets, cards and certificates.
//!
//! A world is a pure function of seed, size and epoch. The [`atlas`] and the sums of each set and year are held,
//! a few hundred kilobytes at ten thousand pages; cards and certificates are computed whenever they are asked
//! for. Sums agree at every level, because each is added up from the level below.
//!
//! Nothing here knows of HTML, addresses or HTTP.

mod atlas;
mod calendar;
mod cards;
mod categories;
mod certificates;
mod grades;
mod landmarks;
mod upheaval;
mod vocabulary;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use self::atlas::{Atlas, SetEntry};
use self::cards::CardRules;
use self::certificates::{CardCondition, Registry};
use self::upheaval::Upheaval;

pub use self::atlas::{FEWEST_PAGES, MOST_PAGES};
pub use self::calendar::Day;
pub(crate) use self::cards::CardFacts;
pub(crate) use self::categories::CategoryTraits;
pub use self::certificates::CertNumber;
pub(crate) use self::certificates::{Certificate, Completion};
pub(crate) use self::grades::grade_text;
pub use self::grades::{Counts, GRADES, Grade};
pub use self::vocabulary::LONGEST_NAME;
pub(crate) use self::vocabulary::Words;

/// A category, by its position on the site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct CategoryId(u32);

/// A year of a category, by its position on the site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct YearId(u32);

/// A set, by its position on the site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct SetId(u32);

impl CategoryId {
    pub(crate) fn position(self) -> u64 {
        u64::from(self.0)
    }
}

impl YearId {
    pub(crate) fn position(self) -> u64 {
        u64::from(self.0)
    }
}

impl SetId {
    pub(crate) fn position(self) -> u64 {
        u64::from(self.0)
    }
}

/// A card row, by its set and its position there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct CardId {
    pub(crate) set: SetId,
    pub(crate) row: u32,
}

/// A year with the counters that its category shows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct YearFacts {
    pub(crate) category: CategoryId,
    pub(crate) year: u16,
    pub(crate) sets: u32,
    pub(crate) items: u32,
    pub(crate) graded: u32,
}

/// A set with the counts that its year shows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SetFacts<'w> {
    pub(crate) year: YearId,
    pub(crate) brand: &'static str,
    pub(crate) name: Words,
    pub(crate) cards: u32,
    pub(crate) counts: &'w Counts,
}

/// What a world is computed from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct WorldConditions {
    pub(crate) seed: u64,
    pub(crate) pages: u64,
    pub(crate) hostile: bool,
    /// Weeks since the site opened.
    pub(crate) epoch: u32,
    /// Share of the cards whose population moves in a week.
    pub(crate) churn: f64,
    /// Share of what a week treats otherwise.
    pub(crate) upheaval: f64,
    /// Whether some cards move more often than others.
    pub(crate) uneven_churn: bool,
}

/// The whole content of a site. It never changes; a later epoch is another world.
#[derive(Debug)]
pub struct World {
    conditions: WorldConditions,
    atlas: Atlas,
    registry: Registry,
    upheaval: Upheaval,
    set_counts: Vec<Counts>,
}

impl World {
    /// Computes a world; some ten milliseconds for a hundred thousand pages.
    pub(crate) fn new(conditions: WorldConditions) -> Self {
        let WorldConditions {
            seed,
            pages,
            hostile,
            epoch,
            churn,
            upheaval,
            uneven_churn,
        } = conditions;
        let atlas = Atlas::draw(seed, pages, hostile);
        let registry = Registry::new(seed, epoch, churn, uneven_churn);
        let mut world = Self {
            conditions,
            atlas,
            registry,
            upheaval: Upheaval::new(seed, epoch, upheaval),
            set_counts: Vec::new(),
        };
        world.set_counts = (0..world.atlas.sets.len() as u32)
            .map(SetId)
            .map(|set| world.sum_of_set(set))
            .collect();
        world
    }

    pub(crate) fn conditions(&self) -> WorldConditions {
        self.conditions
    }

    /// Number of pages of all levels, without the further pages of a pager.
    pub fn page_count(&self) -> u64 {
        1 + self.level_counts().iter().sum::<u64>()
    }

    /// Numbers of categories, years, sets and card rows.
    pub(crate) fn level_counts(&self) -> [u64; 4] {
        [
            self.atlas.categories.len() as u64,
            self.atlas.years.len() as u64,
            self.sets().count() as u64,
            self.sets().map(|set| u64::from(self.cards_listed(set))).sum(),
        ]
    }

    pub(crate) fn categories(&self) -> impl ExactSizeIterator<Item = CategoryId> + use<> {
        (0..self.atlas.categories.len() as u32).map(CategoryId)
    }

    pub(crate) fn sets(&self) -> impl Iterator<Item = SetId> {
        (0..self.atlas.years.len() as u32).flat_map(|year| self.sets_of(YearId(year)))
    }

    pub(crate) fn years_of(&self, category: CategoryId) -> impl ExactSizeIterator<Item = YearId> + use<> {
        self.atlas.categories[category.0 as usize]
            .years
            .clone()
            .map(YearId)
    }

    pub(crate) fn sets_of(&self, year: YearId) -> impl ExactSizeIterator<Item = SetId> + use<> {
        self.sets_listed(year).map(SetId)
    }

    pub(crate) fn cards_of(&self, set: SetId) -> impl ExactSizeIterator<Item = CardId> + use<> {
        (0..self.cards_listed(set)).map(move |row| CardId { set, row })
    }

    pub(crate) fn category(&self, category: CategoryId) -> &'static CategoryTraits {
        self.atlas.categories[category.0 as usize].traits
    }

    pub(crate) fn year(&self, year: YearId) -> YearFacts {
        let entry = &self.atlas.years[year.0 as usize];
        let listed = self.sets_listed(year);
        let range = listed.start as usize..listed.end as usize;
        YearFacts {
            category: CategoryId(entry.category),
            year: entry.year,
            sets: range.len() as u32,
            items: listed.map(|set| self.cards_listed(SetId(set))).sum(),
            graded: self.set_counts[range].iter().map(Counts::total).sum(),
        }
    }

    /// Category and number of a year, without its counters.
    pub(crate) fn year_heading(&self, year: YearId) -> (CategoryId, u16) {
        let entry = &self.atlas.years[year.0 as usize];
        (CategoryId(entry.category), entry.year)
    }

    pub(crate) fn set(&self, set: SetId) -> SetFacts<'_> {
        let entry = self.set_entry(set);
        let words = self.traits_of(entry).words;
        SetFacts {
            year: YearId(entry.year),
            brand: words.brands[usize::from(entry.brand)],
            name: words.set_name(entry.name),
            cards: self.cards_listed(set),
            counts: &self.set_counts[set.0 as usize],
        }
    }

    /// Makes the rows of one set; cheaper than asking for each card alone.
    pub(crate) fn shelf(&self, set: SetId) -> Shelf<'_> {
        let entry = self.set_entry(set);
        let traits = self.traits_of(entry);
        let rows = entry.cards.len() as u32;
        let rules = CardRules::new(self.conditions.seed, set.0, rows, traits.words, entry.landmark)
            .at(self.upheaval, self.cards_listed(set));
        let modern = traits.is_modern(self.atlas.years[entry.year as usize].year);
        Shelf {
            world: self,
            entry,
            rules,
            chased_per_mille: traits.chased_per_mille,
            modern,
        }
    }

    /// Adds up the sets of a year, for the foot of its table.
    pub(crate) fn sum_of_year(&self, year: YearId) -> Counts {
        let mut sum = Counts::default();
        self.sets_of(year)
            .for_each(|set| sum.merge(&self.set_counts[set.0 as usize]));
        sum
    }

    /// The category of this name; accents and case do not matter.
    pub(crate) fn find_category(&self, name: &str) -> Option<CategoryId> {
        let position = |wanted: &dyn Fn(&str) -> bool| {
            self.atlas
                .categories
                .iter()
                .position(|category| wanted(category.traits.name))
        };
        let exact = position(&|known| known == name);
        let found = exact.or_else(|| {
            let folded = folded(name);
            position(&|known| self::folded(known) == folded)
        });
        found.map(|index| CategoryId(index as u32))
    }

    pub(crate) fn find_year(&self, category: CategoryId, year: &str) -> Option<YearId> {
        let year: u16 = year.parse().ok()?;
        self.years_of(category)
            .find(|id| self.atlas.years[id.0 as usize].year == year)
    }

    pub(crate) fn find_set(&self, year: YearId, brand: &str, name: &str) -> Option<SetId> {
        self.sets_of(year).find(|&set| {
            let facts = self.set(set);
            facts.brand == brand && facts.name.read(name)
        })
    }

    pub(crate) fn find_card(&self, set: SetId, number: &str, name: &str, variation: &str) -> Option<CardId> {
        let row = self.shelf(set).rules.find(number, name, variation)?;
        Some(CardId { set, row })
    }

    fn sum_of_set(&self, set: SetId) -> Counts {
        let shelf = self.shelf(set);
        let mut sum = Counts::default();
        self.cards_of(set)
            .for_each(|card| sum.merge(&shelf.counts(card.row)));
        sum
    }

    /// The sets that a year lists: the last one is away in some weeks.
    fn sets_listed(&self, year: YearId) -> std::ops::Range<u32> {
        let sets = self.atlas.years[year.0 as usize].sets.clone();
        let last = sets.end.saturating_sub(1);
        let can_go = sets.len() > 1 && self.atlas.sets[last as usize].landmark.is_none();
        let is_away = can_go && self.upheaval.hides_set(last);
        sets.start..sets.end - u32::from(is_away)
    }

    /// How many cards a set lists: the last one is away in some weeks.
    fn cards_listed(&self, set: SetId) -> u32 {
        let cards = self.set_entry(set).cards.len() as u32;
        cards - u32::from(cards > 1 && self.upheaval.hides_card(set.0))
    }

    fn set_entry(&self, set: SetId) -> &SetEntry {
        &self.atlas.sets[set.0 as usize]
    }

    fn traits_of(&self, set: &SetEntry) -> &'static CategoryTraits {
        self.category(CategoryId(self.atlas.years[set.year as usize].category))
    }
}

/// The card rows of one set.
#[derive(Debug)]
pub(crate) struct Shelf<'w> {
    world: &'w World,
    entry: &'w SetEntry,
    rules: CardRules,
    chased_per_mille: u32,
    modern: bool,
}

impl Shelf<'_> {
    pub(crate) fn facts(&self, row: u32) -> CardFacts {
        self.rules.facts(row)
    }

    /// The card's certificates by grade.
    pub(crate) fn counts(&self, row: u32) -> Counts {
        self.world.registry.counts(self.condition(row), self.lender(row))
    }

    /// The card's certificates in the order of their rank.
    pub(crate) fn leaderboard(&self, row: u32) -> Vec<Certificate> {
        self.world
            .registry
            .leaderboard(self.condition(row), self.lender(row))
    }

    /// The card whose first certificate stands on this one.
    fn lender(&self, row: u32) -> Option<CardCondition> {
        let lender = self.condition(row.checked_sub(1)?);
        lender.lends.then_some(lender)
    }

    fn condition(&self, row: u32) -> CardCondition {
        let card = self.entry.cards.start + row;
        let landmark = self.entry.landmark.filter(|_| row == 0);
        let has_next = row + 1 < self.entry.cards.len() as u32;
        CardCondition {
            lends: has_next && landmark.is_none() && self.world.upheaval.lends(card),
            hides: landmark.is_none() && self.world.upheaval.hides_certificate(card),
            card,
            chased_per_mille: self.chased_per_mille,
            modern: self.modern,
            landmark,
        }
    }
}

/// A name without accents and case, `ß` as `ss`.
fn folded(name: &str) -> String {
    let plain = name.nfd().filter(|&letter| !is_combining_mark(letter));
    plain
        .flat_map(char::to_lowercase)
        .collect::<String>()
        .replace('ß', "ss")
}
