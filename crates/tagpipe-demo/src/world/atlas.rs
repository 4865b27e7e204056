//! The lie of the land: which years, sets and how many cards there are.
//!
//! The atlas depends on the seed and the size alone; it holds a few dozen bytes for each set and nothing for
//! each card. Its page count meets the request, because years and sets are taken from a category's share first
//! and cards fill what is left.
//!
//! It must not know how cards, certificates or pages look.

use std::collections::BTreeSet;
use std::ops::Range;

use super::categories::{CATEGORIES, CategoryTraits, HOSTILE_CATEGORY, LAST_YEAR};
use super::landmarks::{LANDMARKS, Landmark, LandmarkCertificates};
use super::vocabulary::Vocabulary;
use crate::chance::{Chance, Purpose};

/// Fewest pages a site can have: below, the landmarks have no room.
pub const FEWEST_PAGES: u64 = 50;
/// Most pages a site can have: beyond, certificate numbers would run out.
pub const MOST_PAGES: u64 = 200_000;

/// Rows of the set that is longer than a table page.
const LONG_SET: u32 = 232;
/// Sets of the year that has more than a table page of them.
const CROWDED_YEAR: u32 = 212;
/// From this size on there is a set longer than a table page.
const LONG_SET_FROM: u64 = 500;

#[derive(Debug)]
pub(super) struct CategoryEntry {
    pub(super) traits: &'static CategoryTraits,
    pub(super) years: Range<u32>,
}

#[derive(Debug)]
pub(super) struct YearEntry {
    pub(super) category: u32,
    pub(super) year: u16,
    pub(super) sets: Range<u32>,
}

#[derive(Debug)]
pub(super) struct SetEntry {
    pub(super) year: u32,
    pub(super) brand: u16,
    pub(super) name: u16,
    pub(super) cards: Range<u32>,
    pub(super) landmark: Option<&'static Landmark>,
}

/// All categories, years and sets in the order in which the site lists them.
#[derive(Debug, Default)]
pub(super) struct Atlas {
    pub(super) categories: Vec<CategoryEntry>,
    pub(super) years: Vec<YearEntry>,
    pub(super) sets: Vec<SetEntry>,
}

impl Atlas {
    /// Lays out a site of about `pages` pages.
    pub(super) fn draw(seed: u64, pages: u64, hostile: bool) -> Self {
        let pages = pages.clamp(FEWEST_PAGES, MOST_PAGES) as u32;
        let mut surveyor = Surveyor {
            seed,
            atlas: Self::default(),
            cards: 0,
        };
        for (traits, share) in shares(pages) {
            let long_set = u64::from(pages) >= LONG_SET_FROM && traits.name == "Pokémon";
            surveyor.add_category(traits, share, if long_set { LONG_SET } else { 0 });
        }
        if hostile {
            surveyor.add_category(&HOSTILE_CATEGORY, 60, 0);
        }
        surveyor.atlas
    }

    /// Number of card rows on the whole site.
    #[cfg(test)]
    pub(super) fn cards(&self) -> u32 {
        self.sets.last().map_or(0, |set| set.cards.end)
    }
}

/// The categories of a site of `pages` pages, each with its number of year, set and card pages.
fn shares(pages: u32) -> Vec<(&'static CategoryTraits, u32)> {
    let count = (pages / 20 + 3).clamp(6, CATEGORIES.len() as u32);
    let categories = &CATEGORIES[..count as usize];
    let long_set = if u64::from(pages) >= LONG_SET_FROM {
        LONG_SET
    } else {
        0
    };
    let weights: Vec<u32> = categories.iter().map(|traits| traits.weight).collect();
    let filled = weights.iter().filter(|&&weight| weight > 0).count() as u32;
    let spare = pages.saturating_sub(1 + count + long_set + filled * LEAST_SHARE);
    let shares = apportion(spare, &weights);
    categories
        .iter()
        .zip(shares)
        .map(|(traits, share)| {
            (
                traits,
                if traits.weight == 0 {
                    0
                } else {
                    share + LEAST_SHARE
                },
            )
        })
        .collect()
}

/// Pages of the smallest category that is not empty: a year, a set and a card.
const LEAST_SHARE: u32 = 3;

/// Divides `total` in proportion to `weights`; the parts add up to `total` exactly.
fn apportion(total: u32, weights: &[u32]) -> Vec<u32> {
    let all: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
    let mut seen = 0;
    let mut given = 0;
    weights
        .iter()
        .map(|&weight| {
            seen += u64::from(weight);
            let due = (u64::from(total) * seen).checked_div(all).unwrap_or(0);
            let part = due - given;
            given = due;
            part as u32
        })
        .collect()
}

/// Divides `total` among `weights.len()` parts of at least one each.
fn apportion_all(total: u32, weights: &[u32]) -> Vec<u32> {
    let spare = total.saturating_sub(weights.len() as u32);
    apportion(spare, weights)
        .into_iter()
        .map(|part| part + 1)
        .collect()
}

/// Picks `count` of the positions `0..bound`, ascending and spread over all of them.
fn pick_ascending(count: u32, bound: u32, chance: Chance) -> impl Iterator<Item = u32> {
    let count = count.min(bound);
    (0..count).map(move |place| {
        let from = place * bound / count;
        let to = (place + 1) * bound / count;
        from + chance.of(u64::from(place)).below(to - from)
    })
}

/// How the year, set and card pages of a category are divided.
struct Division {
    years: u32,
    empty_years: u32,
    sets: u32,
    empty_sets: u32,
    cards: u32,
}

impl Division {
    fn of(traits: &CategoryTraits, share: u32) -> Self {
        let longest = u32::from(LAST_YEAR - traits.first_year) + 1;
        let years = (1 + share.isqrt() / 3).min(longest).min(share / LEAST_SHARE);
        let empty_years = u32::from(years > 1 && (traits.name == "Baseball" || years > 8));
        let filled = years - empty_years;
        let empty_sets = u32::from(traits.name == "Baseball") + share / 700;
        let most_sets = (share - years).saturating_sub(empty_sets) / 2;
        let sets = (share * traits.sets_percent / 100).clamp(filled, most_sets.max(filled)) + empty_sets;
        Self {
            years,
            empty_years,
            sets,
            empty_sets,
            cards: share - years - sets,
        }
    }
}

/// Walks the site in its order and enters what it finds into the atlas.
struct Surveyor {
    seed: u64,
    atlas: Atlas,
    cards: u32,
}

impl Surveyor {
    fn add_category(&mut self, traits: &'static CategoryTraits, share: u32, long_set: u32) {
        let first_year = self.atlas.years.len() as u32;
        if share > 0 {
            self.add_years(traits, share, long_set);
        }
        let years = first_year..self.atlas.years.len() as u32;
        self.atlas.categories.push(CategoryEntry { traits, years });
    }

    fn add_years(&mut self, traits: &'static CategoryTraits, share: u32, long_set: u32) {
        let category = self.atlas.categories.len() as u32;
        let division = Division::of(traits, share);
        let first_set = self.atlas.sets.len();
        let years = self.years_of(traits, &division);
        let sizes = self.sets_of_years(traits, &division, &years);
        for (year, size) in years.into_iter().zip(sizes) {
            let start = self.atlas.sets.len() as u32;
            self.atlas.years.push(YearEntry {
                category,
                year,
                sets: start..start,
            });
            self.add_sets(traits, year, size);
            if let Some(entry) = self.atlas.years.last_mut() {
                entry.sets.end = self.atlas.sets.len() as u32;
            }
        }
        self.add_cards(first_set, &division, long_set);
    }

    /// The years of a category, ascending; landmarks' years first claim their place.
    fn years_of(&self, traits: &CategoryTraits, division: &Division) -> Vec<u16> {
        let chance = Chance::new(self.seed, Purpose::Years).of_text(traits.name);
        let mut candidates: Vec<u16> = (traits.first_year..=LAST_YEAR).collect();
        candidates.sort_by_key(|&year| {
            (
                landmark_of_year(traits, year).is_none(),
                chance.of(u64::from(year)).bits(),
            )
        });
        candidates.truncate(division.years as usize);
        candidates.sort_unstable();
        candidates
    }

    /// How many sets each year has: none for the empty year, a crowd for one year of a large category.
    fn sets_of_years(&self, traits: &CategoryTraits, division: &Division, years: &[u16]) -> Vec<u32> {
        let chance = Chance::new(self.seed, Purpose::SetsOfYear).of_text(traits.name);
        let mut ordinary: Vec<usize> = (0..years.len()).collect();
        ordinary.retain(|&place| landmark_of_year(traits, years[place]).is_none());
        let empty_at = Chance::new(self.seed, Purpose::EmptyYear)
            .of_text(traits.name)
            .below(ordinary.len() as u32);
        let empty = (division.empty_years > 0).then(|| ordinary.remove(empty_at as usize));

        let filled: Vec<usize> = (0..years.len()).filter(|&place| Some(place) != empty).collect();
        let crowd = ordinary
            .first()
            .filter(|_| division.sets > CROWDED_YEAR + 2 * division.years);
        let extra = if crowd.is_some() { CROWDED_YEAR } else { 0 };
        let weights: Vec<u32> = filled
            .iter()
            .map(|&place| 3 + chance.of(place as u64).below(20))
            .collect();
        let mut sizes = vec![0; years.len()];
        for (&place, size) in filled.iter().zip(apportion_all(division.sets - extra, &weights)) {
            sizes[place] = size;
        }
        if let Some(&place) = crowd {
            sizes[place] += extra;
        }
        sizes
    }

    /// Enters `size` sets of one year, sorted by brand, then name.
    fn add_sets(&mut self, traits: &'static CategoryTraits, year: u16, size: u32) {
        let chance = Chance::new(self.seed, Purpose::Brands)
            .of_text(traits.name)
            .of(u64::from(year));
        let mut names = set_names(traits.words, size, chance);
        let landmark = landmark_of_year(traits, year).and_then(|landmark| {
            let brand = traits
                .words
                .brands
                .iter()
                .position(|&brand| brand == landmark.brand)?;
            Some((brand as u16, landmark))
        });
        if let Some((brand, _)) = landmark
            && names.insert((brand, 0))
            && names.len() as u32 > size
        {
            let last = names.iter().rev().find(|&&name| name != (brand, 0)).copied();
            last.map(|name| names.remove(&name));
        }
        let year = self.atlas.years.len() as u32 - 1;
        self.atlas.sets.extend(names.into_iter().map(|(brand, name)| {
            SetEntry {
                year,
                brand,
                name,
                cards: 0..0,
                landmark: landmark
                    .filter(|&(place, _)| (place, 0) == (brand, name))
                    .map(|(_, landmark)| landmark),
            }
        }));
    }

    /// Gives every set from `first_set` on its cards: few for most, many for some, none for a handful.
    fn add_cards(&mut self, first_set: usize, division: &Division, long_set: u32) {
        let chance = Chance::new(self.seed, Purpose::CardsOfSet).of(first_set as u64);
        let sets = &mut self.atlas.sets[first_set..];
        let mut filled: Vec<usize> = (0..sets.len()).collect();
        for drawn in 0..u64::from(division.empty_sets) {
            let place = Chance::new(self.seed, Purpose::EmptySet)
                .of(first_set as u64)
                .of(drawn)
                .below(filled.len() as u32);
            if sets[filled[place as usize]].landmark.is_none() {
                filled.remove(place as usize);
            }
        }
        let weights: Vec<u32> = filled
            .iter()
            .map(|&place| 1000 / (6 + chance.of(place as u64).below(100)))
            .collect();
        let mut sizes = vec![0; sets.len()];
        for (&place, size) in filled.iter().zip(apportion_all(division.cards, &weights)) {
            sizes[place] = size;
        }
        for (set, size) in sets.iter_mut().zip(sizes) {
            let many = set
                .landmark
                .is_some_and(|it| matches!(it.certificates, LandmarkCertificates::AtLeast(_)));
            let size = size + if many { long_set } else { 0 };
            set.cards = self.cards..self.cards + size;
            self.cards += size;
        }
    }
}

/// The landmark that stands in a year of a category.
fn landmark_of_year(traits: &CategoryTraits, year: u16) -> Option<&'static Landmark> {
    LANDMARKS
        .iter()
        .find(|landmark| landmark.category == traits.name && landmark.year == year)
}

/// Brand and name of `size` sets, by their positions in the vocabulary.
fn set_names(words: &Vocabulary, size: u32, chance: Chance) -> BTreeSet<(u16, u16)> {
    let brand_count = size.div_ceil(4).clamp(1, words.brands.len() as u32);
    let brands: Vec<u32> = pick_ascending(brand_count.min(size), words.brands.len() as u32, chance).collect();
    let weights: Vec<u32> = brands
        .iter()
        .map(|&brand| 2 + chance.of(u64::from(brand)).below(9))
        .collect();
    let sizes = apportion_all(size, &weights);
    let mut names = BTreeSet::new();
    for (&brand, size) in brands.iter().zip(sizes) {
        let chance = chance.of(u64::from(brand)).of_text("names");
        let base = chance.percent(if size == 1 { 70 } else { 90 });
        if base {
            names.insert((brand as u16, 0));
        }
        let named = pick_ascending(size - u32::from(base), words.set_names(), chance);
        names.extend(named.map(|name| (brand as u16, name as u16 + 1)));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_add_up_to_the_whole() {
        for total in [0, 1, 7, 1000] {
            assert_eq!(apportion(total, &[3, 0, 5, 1]).iter().sum::<u32>(), total);
        }
        assert_eq!(apportion(8, &[3, 0, 5]), [3, 0, 5]);
        assert_eq!(apportion(5, &[0, 0]), [0, 0]);
        assert_eq!(apportion_all(3, &[9, 9, 9]), [1, 1, 1]);
    }

    #[test]
    fn picks_ascend_within_the_bound() {
        for (count, bound) in [(1, 1), (3, 10), (10, 10), (20, 10), (0, 5)] {
            let picks: Vec<u32> = pick_ascending(count, bound, Chance::new(1, Purpose::Brands)).collect();
            assert_eq!(picks.len() as u32, count.min(bound));
            assert!(picks.windows(2).all(|pair| pair[0] < pair[1]), "{picks:?}");
            assert!(picks.iter().all(|&pick| pick < bound));
        }
    }

    #[test]
    fn the_number_of_pages_is_the_one_asked_for() {
        for seed in [1, 2, 99] {
            for pages in [60, 100, 300, 600, 2_000, 10_000, 100_000] {
                let atlas = Atlas::draw(seed, pages, false);
                let drawn = 1
                    + atlas.categories.len()
                    + atlas.years.len()
                    + atlas.sets.len()
                    + atlas.cards() as usize;
                let off = (drawn as f64 - pages as f64).abs() / pages as f64;
                assert!(off < 0.15, "{drawn} pages for {pages} at seed {seed}");
            }
        }
    }

    #[test]
    fn every_landmark_has_its_set_at_every_size() {
        for pages in [60, 600, 10_000] {
            let atlas = Atlas::draw(5, pages, false);
            assert_eq!(
                atlas.sets.iter().filter(|set| set.landmark.is_some()).count(),
                LANDMARKS.len()
            );
            assert!(
                atlas
                    .sets
                    .iter()
                    .filter(|set| set.landmark.is_some())
                    .all(|set| !set.cards.is_empty())
            );
        }
    }

    #[test]
    fn some_categories_years_and_sets_are_empty() {
        for pages in [60, 600, 10_000] {
            let atlas = Atlas::draw(5, pages, false);
            assert!(atlas.categories.iter().any(|category| category.years.is_empty()));
            assert!(atlas.years.iter().any(|year| year.sets.is_empty()));
            assert!(atlas.sets.iter().any(|set| set.cards.is_empty()));
        }
    }

    #[test]
    fn large_sites_have_more_rows_than_a_table_page() {
        let atlas = Atlas::draw(5, 10_000, false);
        assert!(atlas.years.iter().any(|year| year.sets.len() > 200));
        assert!(atlas.years.iter().all(|year| year.sets.len() < 400));
        assert!(
            Atlas::draw(5, 600, false)
                .sets
                .iter()
                .any(|set| set.cards.len() > 200)
        );
    }
}
