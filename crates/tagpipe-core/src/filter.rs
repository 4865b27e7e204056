//! Which part of the report a run is about: comma lists of names with `*`, without case and accents, and
//! ranges of years.

use serde::{Deserialize, Serialize};

use crate::model::{Identity, PageKind, fold_name};

/// What a run is limited to. An empty list admits everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filters {
    /// Category names.
    pub categories: NameFilter,
    /// Years.
    pub years: YearFilter,
    /// Sets, by brand, by set name, or by both.
    pub sets: NameFilter,
    /// Cards, by name, by number, or by both.
    pub cards: NameFilter,
}

impl Filters {
    /// Why the page of `kind` with `identity` is left out; `None` if it is wanted.
    #[must_use]
    pub fn rejects(&self, kind: PageKind, identity: &Identity) -> Option<String> {
        let level = kind.level();
        if level >= PageKind::Years.level() && !self.categories.admits(&[&identity.category]) {
            return Some(format!(
                "category `{}` is not among --categories",
                identity.category
            ));
        }
        if level >= PageKind::Sets.level() && !self.years.admits(&identity.year) {
            return Some(format!("year `{}` is not within --year-filter", identity.year));
        }
        let both = format!("{} {}", identity.brand, identity.set);
        if level >= PageKind::Cards.level()
            && !self
                .sets
                .admits(&[&identity.brand, &identity.set, both.trim_end()])
        {
            return Some(format!("set `{}` is not within --set-filter", both.trim_end()));
        }
        let both = format!("{} {}", identity.name, identity.number);
        if level >= PageKind::GradeRows.level()
            && !self.cards.admits(&[&identity.name, &identity.number, &both])
        {
            return Some(format!("card `{both}` is not within --card-filter"));
        }
        None
    }

    /// Whether everything is admitted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Filters::default()
    }
}

/// A list of name patterns, e.g. `Baseball,Pok*`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NameFilter(Vec<String>);

/// A filter that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFilter {
    /// A list with an empty entry.
    #[error("`{0}` has an empty entry; write names separated by single commas")]
    EmptyEntry(String),
    /// A range that ends before it starts.
    #[error("`{0}` is no range of years; write the earlier year first, e.g. 1986-1989")]
    Backwards(String),
}

impl NameFilter {
    /// Reads a comma list. Blank text admits everything.
    ///
    /// # Errors
    /// When an entry is empty.
    pub fn parse(text: &str) -> Result<NameFilter, InvalidFilter> {
        Ok(NameFilter(
            entries(text)?.into_iter().map(str::to_owned).collect(),
        ))
    }

    /// Whether one of `names` matches one of the patterns.
    #[must_use]
    pub fn admits(&self, names: &[&str]) -> bool {
        self.0.is_empty()
            || names
                .iter()
                .map(|name| fold_name(name))
                .any(|name| self.0.iter().any(|pattern| matches(&fold_name(pattern), &name)))
    }

    /// The patterns that match none of `names`: probably misspelt.
    #[must_use]
    pub fn unmatched<'a>(&'a self, names: &[&str]) -> Vec<&'a str> {
        let folded: Vec<_> = names.iter().map(|name| fold_name(name)).collect();
        self.0
            .iter()
            .filter(|pattern| !folded.iter().any(|name| matches(&fold_name(pattern), name)))
            .map(String::as_str)
            .collect()
    }
}

/// A list of years and ranges, e.g. `1986-1989,1996`; anything else in it is a name pattern (`199*`,
/// `1989-90` as a season is matched as written too).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct YearFilter(Vec<String>);

impl YearFilter {
    /// Reads a comma list. Blank text admits everything.
    ///
    /// # Errors
    /// When an entry is empty or a range runs backwards.
    pub fn parse(text: &str) -> Result<YearFilter, InvalidFilter> {
        let entries = entries(text)?;
        for entry in &entries {
            if range(entry).is_some_and(|(from, to)| from > to) {
                return Err(InvalidFilter::Backwards((*entry).to_owned()));
            }
        }
        Ok(YearFilter(entries.into_iter().map(str::to_owned).collect()))
    }

    /// Whether `year` is wanted.
    #[must_use]
    pub fn admits(&self, year: &str) -> bool {
        let number = year.get(..4).and_then(|digits| digits.parse::<u16>().ok());
        self.0.is_empty()
            || self.0.iter().any(|entry| {
                let within = range(entry)
                    .zip(number)
                    .is_some_and(|((from, to), number)| (from..=to).contains(&number));
                within || matches(&fold_name(entry), &fold_name(year))
            })
    }
}

fn entries(text: &str) -> Result<Vec<&str>, InvalidFilter> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let entries: Vec<_> = text.split(',').map(str::trim).collect();
    if entries.iter().any(|entry| entry.is_empty()) {
        return Err(InvalidFilter::EmptyEntry(text.to_owned()));
    }
    Ok(entries)
}

/// The years of `1986-1989`, of four digits each.
fn range(entry: &str) -> Option<(u16, u16)> {
    let (from, to) = entry.split_once('-')?;
    let year = |text: &str| {
        let text = text.trim();
        (text.len() == 4).then(|| text.parse::<u16>().ok()).flatten()
    };
    Some((year(from)?, year(to)?))
}

/// Whether `name` fits `pattern`, in which `*` stands for any text. Linear in both.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else {
        return false;
    };
    let mut last = None;
    for part in parts {
        if let Some(middle) = last.replace(part) {
            match rest.find(middle) {
                Some(at) => rest = &rest[at + middle.len()..],
                None => return false,
            }
        }
    }
    match last {
        Some(last) => rest.ends_with(last),
        None => rest.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_without_case_and_accents_and_with_globs() {
        for (pattern, name, admitted) in [
            ("pokemon", "Pokémon", true),
            ("Base*", "Baseball", true),
            ("*ball", "Football", true),
            ("*ball", "Hockey", false),
            ("B*b*l", "Baseball", true),
            ("Base", "Baseball", false),
            ("*", "", true),
            ("a*a", "a", false),
            ("Baseball,Hockey", "hockey", true),
        ] {
            assert_eq!(
                NameFilter::parse(pattern).map(|filter| filter.admits(&[name])),
                Ok(admitted),
                "{pattern}"
            );
        }
        assert!(NameFilter::parse("Baseball,,Hockey").is_err());
    }

    #[test]
    fn years_take_ranges_lists_and_globs() {
        let filter = YearFilter::parse("1986-1989, 1996,200*").expect("valid");
        for (year, admitted) in [
            ("1986", true),
            ("1989", true),
            ("1990", false),
            ("1996", true),
            ("2004", true),
            ("1988-89", true),
        ] {
            assert_eq!(filter.admits(year), admitted, "{year}");
        }
        assert!(matches!(
            YearFilter::parse("1989-1986"),
            Err(InvalidFilter::Backwards(_))
        ));
        assert!(YearFilter::parse("1989-90").expect("a season").admits("1989-90"));
    }

    #[test]
    fn a_filter_rejects_at_its_level_and_below() {
        let filters = Filters {
            sets: NameFilter::parse("classic*").expect("valid"),
            ..Filters::default()
        };
        let identity = Identity {
            brand: "Classic".into(),
            set: "Light Blue".into(),
            ..Identity::default()
        };
        assert_eq!(filters.rejects(PageKind::Cards, &identity), None);
        let other = Identity {
            brand: "Topps".into(),
            ..identity
        };
        assert!(filters.rejects(PageKind::Sets, &other).is_none());
        assert!(
            filters
                .rejects(PageKind::Cards, &other)
                .is_some_and(|reason| reason.contains("Topps Light Blue"))
        );
        assert!(filters.rejects(PageKind::GradeRows, &other).is_some());
    }

    #[test]
    fn misspelt_patterns_are_found() {
        let filter = NameFilter::parse("Baseball,Hokey").expect("valid");
        assert_eq!(filter.unmatched(&["Baseball", "Hockey"]), ["Hokey"]);
    }
}
