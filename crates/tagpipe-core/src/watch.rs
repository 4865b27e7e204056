//! Cards and sets that somebody wants to hear of.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::filter::matches;
use crate::model::{Identity, PageKind, fold_name};

/// What a watch is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Watched {
    /// Sets, and what is in them.
    Set,
    /// Cards, and their certificates.
    Card,
}

impl Watched {
    /// The name in commands and the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Watched::Set => "set",
            Watched::Card => "card",
        }
    }

    /// What has this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Watched> {
        [Watched::Set, Watched::Card]
            .into_iter()
            .find(|watched| watched.as_str() == name)
    }
}

/// The cards or sets that somebody wants to hear of. Each part is a name without case and accents, in which `*` stands for any
/// text; after `=` it is the whole name and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Watch {
    /// What it is for.
    pub subject: Watched,
    /// Category.
    pub category: String,
    /// Year.
    pub year: String,
    /// Brand, set name, or both.
    pub set: String,
    /// Name of a card, its number, or both: with all its variations, or with one, which follows them; `*` for a watch on sets.
    pub card: String,
}

/// A text that says no set and no card.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no {subject}; it takes {takes}, each with `*` for any text, or the key of a page as `tagpipe audit` shows it", subject = subject.as_str())]
pub struct InvalidWatch {
    text: String,
    subject: Watched,
    takes: &'static str,
}

/// Any name.
const ANY: &str = "*";

impl Watch {
    /// Reads what is to be watched: `Hockey/1989/Topps`, `*Topps*`, `Hockey/1989/Topps/Wayne Gretzky*`, `*Gretzky*`, or the key of
    /// its page, such as `cards/hockey/1989/Topps/`.
    ///
    /// # Errors
    /// When the text has another number of parts, or an empty one.
    pub fn parse(subject: Watched, text: &str) -> Result<Watch, InvalidWatch> {
        let invalid = || InvalidWatch {
            text: text.to_owned(),
            subject,
            takes: match subject {
                Watched::Set => "SET or CATEGORY/YEAR/SET",
                Watched::Card => "CARD or CATEGORY/YEAR/SET/CARD",
            },
        };
        if let Some(of_key) = Watch::of_key(subject, text) {
            return Ok(of_key);
        }
        let parts: Vec<String> = text.split('/').map(|part| unescaped(part.trim())).collect();
        if parts.iter().any(String::is_empty) {
            return Err(invalid());
        }
        let names: Vec<&str> = parts.iter().map(String::as_str).collect();
        let watch = |category: &str, year: &str, set: &str, card: &str| Watch {
            subject,
            category: category.to_owned(),
            year: year.to_owned(),
            set: set.to_owned(),
            card: card.to_owned(),
        };
        match (subject, names.as_slice()) {
            (Watched::Set, [set]) => Ok(watch(ANY, ANY, set, ANY)),
            (Watched::Set, [category, year, set]) => Ok(watch(category, year, set, ANY)),
            (Watched::Card, [card]) => Ok(watch(ANY, ANY, ANY, card)),
            (Watched::Card, [category, year, set, card]) => Ok(watch(category, year, set, card)),
            _ => Err(invalid()),
        }
    }

    /// The watch on the set or card whose page, of `kind`, has this identity; `None` if the page is of neither.
    #[must_use]
    pub fn of_page(kind: PageKind, identity: &Identity) -> Option<Watch> {
        let subject = match kind {
            PageKind::Cards => Watched::Set,
            PageKind::GradeRows => Watched::Card,
            _ => return None,
        };
        Some(Watch {
            subject,
            category: identity.category.clone(),
            year: identity.year.clone(),
            // A brand's own set and a card without variation are called as what else there is begins.
            set: format!("={}", whole_set(identity)),
            card: match subject {
                Watched::Set => ANY.to_owned(),
                Watched::Card => format!("={}", whole_card(identity)),
            },
        })
    }

    /// What the key of a page says: `cards/CATEGORY/YEAR/BRAND/SET` or `grade_rows/CATEGORY/YEAR/BRAND/SET/NAME/NUMBER/VARIATION`.
    fn of_key(subject: Watched, text: &str) -> Option<Watch> {
        let parts: Vec<String> = text.split('/').map(unescaped).collect();
        let names: Vec<&str> = parts.iter().map(String::as_str).collect();
        let identity = |category: &str, year: &str, brand: &str, set: &str| Identity {
            category: category.to_owned(),
            year: year.to_owned(),
            brand: brand.to_owned(),
            set: set.to_owned(),
            ..Identity::default()
        };
        match (subject, names.as_slice()) {
            (Watched::Set, ["cards", category, year, brand, set]) => {
                Watch::of_page(PageKind::Cards, &identity(category, year, brand, set))
            }
            (Watched::Card, ["grade_rows", category, year, brand, set, name, number, variation]) => {
                let card = Identity {
                    name: (*name).to_owned(),
                    number: (*number).to_owned(),
                    variation: (*variation).to_owned(),
                    ..identity(category, year, brand, set)
                };
                Watch::of_page(PageKind::GradeRows, &card)
            }
            _ => None,
        }
    }

    /// Whether a change of what the page of `kind` shows, a set for [`PageKind::Cards`] and a card for [`PageKind::GradeRows`],
    /// is one of what is watched. What changes in a set concerns whoever watches the set.
    #[must_use]
    pub fn concerns(&self, kind: PageKind, identity: &Identity) -> bool {
        let is_card = kind == PageKind::GradeRows;
        if !is_card && (kind != PageKind::Cards || self.subject == Watched::Card) {
            return false;
        }
        fits(&self.category, &[&identity.category])
            && fits(&self.year, &[&identity.year])
            && fits(&self.set, &[&identity.brand, &identity.set, &whole_set(identity)])
            && (self.subject == Watched::Set || {
                let numbered = format!("{} {}", identity.number, identity.name);
                let named = format!("{} {}", identity.name, identity.number);
                let varied = format!("{} {}", identity.name, identity.variation);
                fits(
                    &self.card,
                    &[
                        &identity.name,
                        &identity.number,
                        &numbered,
                        &named,
                        varied.trim_end(),
                        &whole_card(identity),
                    ],
                )
            })
    }
}

impl Watch {
    /// As people are told of it.
    #[must_use]
    pub fn in_words(&self) -> String {
        self.to_string().replace("/=", "/")
    }
}

impl fmt::Display for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Watch {
            subject,
            category,
            year,
            set,
            card,
        } = self;
        match subject {
            Watched::Set => write!(f, "{category}/{year}/{set}"),
            Watched::Card => write!(f, "{category}/{year}/{set}/{card}"),
        }
    }
}

fn whole_set(identity: &Identity) -> String {
    format!("{} {}", identity.brand, identity.set).trim().to_owned()
}

/// Number, name and variation.
fn whole_card(identity: &Identity) -> String {
    format!("{} {} {}", identity.number, identity.name, identity.variation)
        .trim()
        .to_owned()
}

/// Whether one of `names` fits; the last of them is the whole name.
fn fits(pattern: &str, names: &[&str]) -> bool {
    if let (Some(whole), Some(name)) = (pattern.strip_prefix('='), names.last()) {
        return fold_name(whole) == fold_name(name);
    }
    let pattern = fold_name(pattern);
    names.iter().any(|name| matches(&pattern, &fold_name(name)))
}

/// A part of a key as it was before slashes in it were escaped.
fn unescaped(part: &str) -> String {
    part.replace("%2F", "/").replace("%25", "%")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(name: &str, number: &str) -> Identity {
        Identity {
            category: "Pokémon".into(),
            year: "1999-00".into(),
            brand: "Wizards".into(),
            set: "Base".into(),
            name: name.into(),
            number: number.into(),
            variation: "Holo".into(),
        }
    }

    #[test]
    fn a_watch_concerns_what_its_words_say() {
        let gretzky = card("Wayne Gretzky", "14/111");
        for (subject, text, of_set, of_card) in [
            (Watched::Card, "*gretzky*", false, true),
            (Watched::Card, "Gretzky", false, false),
            (Watched::Card, "14%2F111", false, true),
            (Watched::Card, "14%2F111 wayne*", false, true),
            (Watched::Card, "pokemon/1999-00/Wizards Base/*", false, true),
            (Watched::Card, "pokemon/1999-00/Base/Wayne Gretzky", false, true),
            (Watched::Card, "pokemon/2000/Base/Wayne Gretzky", false, false),
            (
                Watched::Card,
                "grade_rows/pokemon/1999-00/Wizards/Base/Wayne Gretzky/14%2F111/Holo",
                false,
                true,
            ),
            (
                Watched::Card,
                "grade_rows/pokemon/1999-00/Wizards/Base/Wayne Gretzky/14%2F111/",
                false,
                false,
            ),
            (
                Watched::Card,
                "grade_rows/pokemon/1999-00/Wizards/Base/Wayne Gretzky/14%2F111/Refractor",
                false,
                false,
            ),
            (Watched::Set, "wizards*", true, true),
            (Watched::Set, "POKEMON/1999*/base", true, true),
            (Watched::Set, "cards/pokemon/1999-00/Wizards/Base", true, true),
            (Watched::Set, "cards/pokemon/1999-00/Wizards/", false, false),
            (Watched::Set, "Hockey/*/*", false, false),
        ] {
            let watch = Watch::parse(subject, text).expect(text);
            assert_eq!(watch.concerns(PageKind::Cards, &gretzky), of_set, "{text}");
            assert_eq!(watch.concerns(PageKind::GradeRows, &gretzky), of_card, "{text}");
            assert!(!watch.concerns(PageKind::Sets, &gretzky), "{text}");
        }
    }

    #[test]
    fn the_key_of_a_page_is_the_watch_on_it() {
        let gretzky = card("Wayne Gretzky", "14/111");
        for (subject, kind) in [
            (Watched::Set, PageKind::Cards),
            (Watched::Card, PageKind::GradeRows),
        ] {
            let watch = Watch::parse(subject, gretzky.key(kind).as_str()).expect("a key");
            assert!(watch.concerns(kind, &gretzky), "{watch}");
            assert!(!watch.concerns(
                kind,
                &Identity {
                    set: "Jungle".into(),
                    ..gretzky.clone()
                }
            ));
        }
    }

    #[test]
    fn what_says_no_set_or_card_is_refused_with_what_is_right() {
        for (subject, text, word) in [
            (Watched::Set, "", "CATEGORY/YEAR/SET"),
            (Watched::Set, "Hockey/1989", "CATEGORY/YEAR/SET"),
            (Watched::Card, "Hockey/1989/Topps", "CATEGORY/YEAR/SET/CARD"),
            (Watched::Card, "Hockey//Topps/1", "CATEGORY/YEAR/SET/CARD"),
        ] {
            let refused = Watch::parse(subject, text).expect_err(text);
            assert!(refused.to_string().contains(word), "{refused}");
        }
    }
}
