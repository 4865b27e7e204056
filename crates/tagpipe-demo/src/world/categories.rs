//! The categories: their names, how much of the site each takes, and what it is made of.

use super::vocabulary::{ANIME, COMICS, FANTASY, HOSTILE, POKEMON, SPORT, Vocabulary};

/// What is fixed about a category, whatever the seed.
#[derive(Debug)]
pub(crate) struct CategoryTraits {
    pub(crate) name: &'static str,
    /// Share of the site's pages, relative to the other categories; 0 for a category without a single year.
    pub(crate) weight: u32,
    pub(crate) first_year: u16,
    /// Sets per hundred pages of the category.
    pub(crate) sets_percent: u32,
    /// Of a thousand cards, how many are chased and have 85 and more certificates.
    pub(crate) chased_per_mille: u32,
    pub(crate) words: &'static Vocabulary,
    /// Whether the category's tile holds a link.
    pub(crate) linked: bool,
}

/// The last year that any category has.
pub(crate) const LAST_YEAR: u16 = 2025;

const fn sport(name: &'static str, weight: u32, first_year: u16, linked: bool) -> CategoryTraits {
    CategoryTraits {
        name,
        weight,
        first_year,
        sets_percent: 30,
        chased_per_mille: 3,
        words: &SPORT,
        linked,
    }
}

const fn cards(
    name: &'static str,
    weight: u32,
    first_year: u16,
    words: &'static Vocabulary,
    linked: bool,
) -> CategoryTraits {
    CategoryTraits {
        name,
        weight,
        first_year,
        sets_percent: 8,
        chased_per_mille: 8,
        words,
        linked,
    }
}

/// All categories, the ones that even the smallest site has first.
pub(crate) static CATEGORIES: [CategoryTraits; 33] = [
    sport("Baseball", 150, 1969, true),
    sport("Hockey", 70, 1971, true),
    CategoryTraits {
        name: "Pokémon",
        weight: 290,
        first_year: 1996,
        sets_percent: 3,
        chased_per_mille: 30,
        words: &POKEMON,
        linked: true,
    },
    cards("Marvel/DC", 40, 1985, &COMICS, true),
    cards("Weiß Schwarz", 30, 2008, &ANIME, false),
    cards("MetaZoo", 0, 2020, &FANTASY, true),
    cards("Yu-Gi-Oh!", 60, 2002, &FANTASY, true),
    cards("One Piece", 60, 2022, &ANIME, true),
    sport("Basketball", 90, 1970, true),
    sport("Football", 80, 1972, true),
    cards("Magic", 50, 1993, &FANTASY, true),
    sport("Soccer", 40, 1974, false),
    cards("Dragon Ball Super", 25, 2017, &ANIME, true),
    cards("Disney Lorcana", 25, 2023, &FANTASY, true),
    cards("Star Wars", 20, 1977, &COMICS, true),
    cards("Digimon", 12, 1999, &ANIME, true),
    cards("Final Fantasy", 6, 2016, &FANTASY, true),
    cards("Flesh and Blood", 8, 2019, &FANTASY, true),
    cards("Garbage Pail Kids", 10, 1985, &COMICS, true),
    cards("Gundam", 8, 2024, &ANIME, true),
    cards("Naruto", 10, 2006, &ANIME, false),
    cards("Non-Sport", 12, 1966, &COMICS, true),
    cards("Union Arena", 8, 2023, &ANIME, true),
    sport("Boxing", 8, 1970, true),
    sport("Cricket", 3, 1992, true),
    sport("Formula 1", 12, 2020, true),
    sport("Golf", 10, 1981, true),
    sport("Multi-Sport", 10, 1975, true),
    sport("Racing", 8, 1988, true),
    sport("Tennis", 8, 1987, true),
    sport("UFC", 12, 2009, true),
    sport("Wrestling", 14, 1982, true),
    sport("Lacrosse", 2, 2019, false),
];

/// The category that stands last when hostile data is asked for.
pub(crate) static HOSTILE_CATEGORY: CategoryTraits = CategoryTraits {
    name: "<Hostile> & \"Co\"/🃏",
    weight: 0,
    first_year: 2024,
    sets_percent: 30,
    chased_per_mille: 0,
    words: &HOSTILE,
    linked: true,
};

impl CategoryTraits {
    /// Whether cards of `year` are graded as modern ones are.
    pub(crate) fn is_modern(&self, year: u16) -> bool {
        year >= if std::ptr::eq(self.words, &SPORT) {
            2000
        } else {
            1990
        }
    }
}
