//! Which page is meant: its kind and its decoded natural key. Two spellings of one URL are one page.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::text::{clean_text, fold_name};

/// The five kinds of page, by level. The declaration order is the order of the levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PageKind {
    /// Level 0: the tiles of all categories.
    Categories,
    /// Level 1: the years of one category.
    Years,
    /// Level 2: the sets of one year.
    Sets,
    /// Level 3: the cards of one set.
    Cards,
    /// Level 4: the graded certificates of one card.
    GradeRows,
}

impl PageKind {
    /// All kinds, from the top level down.
    pub const ALL: [PageKind; 5] = [
        PageKind::Categories,
        PageKind::Years,
        PageKind::Sets,
        PageKind::Cards,
        PageKind::GradeRows,
    ];

    /// The level, 0 to 4, as stored in `frontier.level`.
    #[must_use]
    pub fn level(self) -> u8 {
        self as u8
    }

    /// The kind at `level`, if there is one.
    #[must_use]
    pub fn from_level(level: u8) -> Option<PageKind> {
        PageKind::ALL.get(usize::from(level)).copied()
    }

    /// The kind of the pages that the rows of this one lead to; `None` for grade rows.
    #[must_use]
    pub fn child(self) -> Option<PageKind> {
        PageKind::from_level(self.level() + 1)
    }

    /// The name used in page keys, logs and summaries.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            PageKind::Categories => "categories",
            PageKind::Years => "years",
            PageKind::Sets => "sets",
            PageKind::Cards => "cards",
            PageKind::GradeRows => "grade_rows",
        }
    }
}

impl fmt::Display for PageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A name that is none of the five page kinds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a level; the levels are category, year, set, card and graderows")]
pub struct UnknownPageKind(String);

impl FromStr for PageKind {
    type Err = UnknownPageKind;

    /// Reads a level as users write it (`--start-from set`): singular, plural or the page key's spelling.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim().to_ascii_lowercase().replace(['-', '_'], "").as_str() {
            "category" | "categories" => Ok(PageKind::Categories),
            "year" | "years" => Ok(PageKind::Years),
            "set" | "sets" => Ok(PageKind::Sets),
            "card" | "cards" => Ok(PageKind::Cards),
            "graderow" | "graderows" => Ok(PageKind::GradeRows),
            _ => Err(UnknownPageKind(text.to_owned())),
        }
    }
}

/// The decoded natural key of a page. Parts that a level does not have are empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Identity {
    /// Category as shown, e.g. `Pokémon`.
    pub category: String,
    /// Year as shown; text, because a site may write `1989-90`.
    pub year: String,
    /// Brand, e.g. `Donruss`.
    pub brand: String,
    /// Set name; empty for the base product of a brand.
    pub set: String,
    /// Card name.
    pub name: String,
    /// Card number as printed, e.g. `14/111`.
    pub number: String,
    /// Variation; empty if none.
    pub variation: String,
}

impl Identity {
    /// The part that a profile's URL template calls `parameter`.
    #[must_use]
    pub fn part(&self, parameter: &str) -> Option<&str> {
        Some(match parameter {
            "category" => &self.category,
            "year" => &self.year,
            "brand" => &self.brand,
            "set" => &self.set,
            "name" => &self.name,
            "number" => &self.number,
            "variation" => &self.variation,
            _ => return None,
        })
    }

    /// The same, for writing.
    pub fn part_mut(&mut self, parameter: &str) -> Option<&mut String> {
        Some(match parameter {
            "category" => &mut self.category,
            "year" => &mut self.year,
            "brand" => &mut self.brand,
            "set" => &mut self.set,
            "name" => &mut self.name,
            "number" => &mut self.number,
            "variation" => &mut self.variation,
            _ => return None,
        })
    }

    /// The identity with every part cleaned, as it is stored and shown.
    #[must_use]
    pub fn cleaned(self) -> Identity {
        Identity {
            category: clean_text(&self.category),
            year: clean_text(&self.year),
            brand: clean_text(&self.brand),
            set: clean_text(&self.set),
            name: clean_text(&self.name),
            number: clean_text(&self.number),
            variation: clean_text(&self.variation),
        }
    }

    /// The key of the page of `kind` with this identity.
    #[must_use]
    pub fn key(&self, kind: PageKind) -> PageKey {
        let category = fold_name(&self.category);
        let parts: &[&str] = match kind {
            PageKind::Categories => &[],
            PageKind::Years => &[&category],
            PageKind::Sets => &[&category, &self.year],
            PageKind::Cards => &[&category, &self.year, &self.brand, &self.set],
            PageKind::GradeRows => &[
                &category,
                &self.year,
                &self.brand,
                &self.set,
                &self.name,
                &self.number,
                &self.variation,
            ],
        };
        let mut key = String::from(kind.as_str());
        for part in parts {
            key.push('/');
            push_escaped(&mut key, part);
        }
        PageKey(bounded(key))
    }
}

/// The canonical key of a page within a run, e.g. `cards/pokemon/2021/Sword & Shield/`. Readable, at most
/// 600 bytes: PostgreSQL cannot index longer ones, and a hostile name must not be able to fail
/// an insert.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PageKey(String);

/// Longest key in bytes; anything longer is cut and told apart by a hash of the whole.
const KEY_MAX: usize = 600;

impl PageKey {
    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A unique, bounded key of `parts` among siblings, e.g. of (number, name, variation) within a set.
#[must_use]
pub fn bounded_key(parts: &[&str]) -> String {
    let mut key = String::new();
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            key.push('/');
        }
        push_escaped(&mut key, part);
    }
    bounded(key)
}

/// Escapes what separates parts, so that `a/b` + `c` and `a` + `b/c` stay apart.
fn push_escaped(key: &mut String, part: &str) {
    for character in part.chars() {
        match character {
            '/' => key.push_str("%2F"),
            '%' => key.push_str("%25"),
            _ => key.push(character),
        }
    }
}

fn bounded(key: String) -> String {
    if key.len() <= KEY_MAX {
        return key;
    }
    let hash = fnv1a_128(key.as_bytes());
    let mut cut = KEY_MAX - 33;
    while !key.is_char_boundary(cut) {
        cut -= 1;
    }
    format!("{}#{hash:032x}", &key[..cut])
}

/// FNV-1a with 128 bits (<http://www.isthe.com/chongo/tech/comp/fnv/>): stable across versions and machines,
/// which a stored key needs and the standard library's hasher does not promise.
fn fnv1a_128(bytes: &[u8]) -> u128 {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    bytes.iter().fold(OFFSET, |hash, byte| {
        (hash ^ u128::from(*byte)).wrapping_mul(PRIME)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn card(name: &str, number: &str) -> Identity {
        Identity {
            category: "Pokémon".into(),
            year: "2021".into(),
            brand: "Sword & Shield".into(),
            name: name.into(),
            number: number.into(),
            ..Identity::default()
        }
    }

    #[test]
    fn accents_and_case_of_a_category_do_not_make_a_second_page() {
        let plain = Identity {
            category: "pokemon".into(),
            ..card("Farfetch'd", "27")
        };
        assert_eq!(
            card("Farfetch'd", "27").key(PageKind::GradeRows),
            plain.key(PageKind::GradeRows)
        );
        assert_eq!(plain.key(PageKind::Years).as_str(), "years/pokemon");
    }

    #[test]
    fn one_name_under_two_numbers_is_two_pages() {
        assert_ne!(
            card("Pikachu", "1").key(PageKind::GradeRows),
            card("Pikachu", "2").key(PageKind::GradeRows)
        );
    }

    #[test]
    fn a_slash_inside_a_part_does_not_move_the_border() {
        assert_ne!(bounded_key(&["14/111", "x"]), bounded_key(&["14", "111/x"]));
    }

    #[test]
    fn levels_are_read_as_users_write_them() {
        for (text, kind) in [
            ("category", PageKind::Categories),
            ("Years", PageKind::Years),
            ("set", PageKind::Sets),
            ("card", PageKind::Cards),
            ("graderows", PageKind::GradeRows),
            ("grade_rows", PageKind::GradeRows),
        ] {
            assert_eq!(text.parse(), Ok(kind));
        }
        assert!("sheet".parse::<PageKind>().is_err());
    }

    proptest! {
        #[test]
        fn keys_stay_short_and_apart(a in ".{0,900}", b in ".{0,900}") {
            let (left, right) = (bounded_key(&[&a, "x"]), bounded_key(&[&b, "x"]));
            prop_assert!(left.len() <= KEY_MAX && right.len() <= KEY_MAX);
            prop_assert_eq!(left == right, a == b);
        }
    }
}
