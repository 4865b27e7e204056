//! The selectors a profile may use, compiled once and matched without recursion: the work for one element
//! is bounded by depth times length of the selector, whatever the document.

use super::dom::{Document, NodeId};

/// A compiled list of selectors.
#[derive(Debug, Clone)]
pub(crate) struct Selector {
    alternatives: Vec<Chain>,
}

/// Compounds from the outermost to the element itself.
#[derive(Debug, Clone)]
struct Chain {
    compounds: Vec<Compound>,
}

#[derive(Debug, Clone)]
struct Compound {
    /// Whether the compound before this one must be the parent, not just any ancestor.
    under_parent: bool,
    tag: Option<String>,
    tests: Vec<Test>,
}

#[derive(Debug, Clone)]
enum Test {
    Id(String),
    Class(String),
    Attribute {
        name: String,
        relation: Relation,
        value: String,
    },
    FirstChild,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Relation {
    Present,
    Equals,
    StartsWith,
    EndsWith,
    Contains,
}

/// Most compounds of one chain: the matching keeps them as bits.
const COMPOUNDS_MAX: usize = 32;

/// A text that is not a selector a profile may use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct SelectorError(String);

impl Selector {
    /// Compiles `text`.
    ///
    /// # Errors
    /// When it is not CSS, or CSS beyond the subset.
    pub(crate) fn parse(text: &str) -> Result<Selector, SelectorError> {
        let mut parser = Parser { rest: text };
        let mut alternatives = Vec::new();
        loop {
            alternatives.push(parser.chain()?);
            if parser.rest.is_empty() {
                return Ok(Selector { alternatives });
            }
            parser.eat(',');
        }
    }

    /// Whether `node` is selected.
    pub(crate) fn matches(&self, document: &Document, node: NodeId) -> bool {
        self.alternatives
            .iter()
            .any(|chain| chain.matches(document, node))
    }

    /// The first selected element within `scope`.
    pub(crate) fn first(&self, document: &Document, scope: std::ops::Range<NodeId>) -> Option<NodeId> {
        self.select(document, scope).next()
    }

    /// All selected elements within `scope`, in document order.
    pub(crate) fn select<'a>(
        &'a self,
        document: &'a Document,
        mut scope: std::ops::Range<NodeId>,
    ) -> impl Iterator<Item = NodeId> + 'a {
        std::iter::from_fn(move || scope.find(|node| self.matches(document, *node)))
    }
}

impl Chain {
    fn matches(&self, document: &Document, node: NodeId) -> bool {
        let Some((last, outer)) = self.compounds.split_last() else {
            return false;
        };
        if !last.matches(document, node) {
            return false;
        }
        outer.is_empty() || self.matches_above(document, node, outer.len(), last.under_parent)
    }

    /// Whether the first `waiting` compounds are found above `node`. Bit n of `here` says that the first n
    /// compounds may end at this ancestor, of `anywhere` that they may end here or higher.
    fn matches_above(&self, document: &Document, node: NodeId, waiting: usize, under_parent: bool) -> bool {
        let bit = |compounds: usize| 1_u64 << compounds;
        let (mut here, mut anywhere) = if under_parent {
            (bit(waiting), 0)
        } else {
            (0, bit(waiting))
        };
        for ancestor in document.ancestors(node) {
            let mut at_parent = 0;
            let wanted = here | anywhere;
            for count in (1..=waiting).filter(|count| wanted & bit(*count) != 0) {
                let compound = &self.compounds[count - 1];
                if !compound.matches(document, ancestor) {
                    continue;
                }
                if count == 1 {
                    return true;
                }
                let next = if compound.under_parent {
                    &mut at_parent
                } else {
                    &mut anywhere
                };
                *next |= bit(count - 1);
            }
            here = at_parent;
            if here | anywhere == 0 {
                return false;
            }
        }
        false
    }
}

impl Compound {
    fn matches(&self, document: &Document, node: NodeId) -> bool {
        self.tag
            .as_ref()
            .is_none_or(|tag| document.name(node) == tag.as_bytes())
            && self.tests.iter().all(|test| test.holds(document, node))
    }
}

impl Test {
    fn holds(&self, document: &Document, node: NodeId) -> bool {
        match self {
            Test::Id(id) => document.attribute(node, "id") == Some(id.as_bytes()),
            Test::Class(class) => document.attribute(node, "class").is_some_and(|classes| {
                head(classes)
                    .split(u8::is_ascii_whitespace)
                    .any(|one| one == class.as_bytes())
            }),
            Test::Attribute {
                name,
                relation,
                value,
            } => document
                .attribute(node, name)
                .is_some_and(|actual| relation.holds(actual, value.as_bytes())),
            Test::FirstChild => document.is_first_child(node),
        }
    }
}

/// Bytes of an attribute that are searched: an ancestor is tested once for each element below it, so the
/// work for a hostile document would grow with the product of both.
const SEARCHED_MAX: usize = 4 << 10;

fn head(value: &[u8]) -> &[u8] {
    value.get(..SEARCHED_MAX).unwrap_or(value)
}

impl Relation {
    fn holds(self, actual: &[u8], value: &[u8]) -> bool {
        match self {
            Relation::Present => true,
            Relation::Equals => actual == value,
            // By the standard an empty value is contained nowhere.
            _ if value.is_empty() => false,
            Relation::StartsWith => actual.starts_with(value),
            Relation::EndsWith => actual.ends_with(value),
            Relation::Contains => head(actual).windows(value.len()).any(|part| part == value),
        }
    }
}

struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn chain(&mut self) -> Result<Chain, SelectorError> {
        let mut compounds = Vec::new();
        let mut under_parent = false;
        self.skip_space();
        loop {
            compounds.push(self.compound(under_parent)?);
            if compounds.len() > COMPOUNDS_MAX {
                return Err(SelectorError(format!(
                    "a chain of more than {COMPOUNDS_MAX} selectors"
                )));
            }
            self.skip_space();
            if self.rest.is_empty() || self.rest.starts_with(',') {
                return Ok(Chain { compounds });
            }
            under_parent = self.eat('>');
            self.skip_space();
        }
    }

    fn compound(&mut self, under_parent: bool) -> Result<Compound, SelectorError> {
        let before = self.rest;
        let tag = self.word();
        let is_any = tag.is_empty() && self.eat('*');
        let mut tests = Vec::new();
        while let Some(test) = self.test()? {
            tests.push(test);
        }
        if self.rest == before {
            return Err(self.unexpected());
        }
        let tag = (!is_any && !tag.is_empty()).then(|| tag.to_ascii_lowercase());
        Ok(Compound {
            under_parent,
            tag,
            tests,
        })
    }

    fn test(&mut self) -> Result<Option<Test>, SelectorError> {
        if self.eat('.') {
            return Ok(Some(Test::Class(self.name()?)));
        }
        if self.eat('#') {
            return Ok(Some(Test::Id(self.name()?)));
        }
        if self.eat('[') {
            return self.attribute().map(Some);
        }
        if self.eat(':') {
            let name = self.word();
            return match name {
                "first-child" => Ok(Some(Test::FirstChild)),
                _ => Err(SelectorError(format!(
                    "`:{name}` is not supported; only `:first-child` is"
                ))),
            };
        }
        Ok(None)
    }

    fn attribute(&mut self) -> Result<Test, SelectorError> {
        self.skip_space();
        let name = self.name()?.to_ascii_lowercase();
        self.skip_space();
        if self.eat(']') {
            return Ok(Test::Attribute {
                name,
                relation: Relation::Present,
                value: String::new(),
            });
        }
        let relation = self.relation()?;
        self.skip_space();
        let value = self.value()?;
        self.skip_space();
        if !self.eat(']') {
            return Err(self.unexpected());
        }
        Ok(Test::Attribute {
            name,
            relation,
            value,
        })
    }

    fn relation(&mut self) -> Result<Relation, SelectorError> {
        for (sign, relation) in [
            ("=", Relation::Equals),
            ("^=", Relation::StartsWith),
            ("$=", Relation::EndsWith),
            ("*=", Relation::Contains),
        ] {
            if let Some(rest) = self.rest.strip_prefix(sign) {
                self.rest = rest;
                return Ok(relation);
            }
        }
        Err(self.unexpected())
    }

    fn value(&mut self) -> Result<String, SelectorError> {
        let Some(quote) = self
            .rest
            .chars()
            .next()
            .filter(|first| matches!(first, '\'' | '"'))
        else {
            if self.rest.starts_with(|first: char| first.is_ascii_digit()) {
                return Err(SelectorError(
                    "a value that starts with a digit must stand in quotes".into(),
                ));
            }
            return self.name();
        };
        let (value, rest) = self.rest[1..]
            .split_once(quote)
            .ok_or_else(|| SelectorError(format!("the quote {quote} is not closed")))?;
        if value.contains('\\') {
            return Err(SelectorError("escapes with `\\` are not supported".into()));
        }
        self.rest = rest;
        Ok(value.to_owned())
    }

    fn name(&mut self) -> Result<String, SelectorError> {
        let word = self.word();
        if word.is_empty() {
            Err(self.unexpected())
        } else {
            Ok(word.to_owned())
        }
    }

    fn word(&mut self) -> &'a str {
        let is_word = |character: char| {
            character.is_ascii_alphanumeric() || matches!(character, '-' | '_') || !character.is_ascii()
        };
        let end = self
            .rest
            .find(|character| !is_word(character))
            .unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    fn eat(&mut self, character: char) -> bool {
        match self.rest.strip_prefix(character) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn unexpected(&self) -> SelectorError {
        SelectorError(match self.rest.chars().next() {
            Some(character) => format!("`{character}` is not expected here; what is known: {SUBSET}"),
            None => format!("it ends too early; what is known: {SUBSET}"),
        })
    }
}

const SUBSET: &str = "tag, *, .class, #id, [attr], [attr=value], [attr^=…], [attr$=…], [attr*=…], :first-child, \
                      descendant (space), child (>), lists (,)";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HTML: &str = r#"<div id=top class="a b"><p class=b>1</p><span><p class="b c" data-x="one two">2</p></span>
        <table><tbody><tr><td>3</td><td><a href='/card/X1'>4</a></td></tr></table></div>"#;

    #[test]
    fn the_subset_selects_what_css_selects() {
        let document = Document::parse(HTML).expect("small");
        for (selector, expected) in [
            ("p", "1 2"),
            ("*.b.c", "2"),
            ("div > p", "1"),
            ("div p", "1 2"),
            ("div > span > p, td:first-child", "2 3"),
            ("#top td", "3 4"),
            ("#top > td", ""),
            ("div span > p", "2"),
            ("div > td a", ""),
            ("div > table td > a", "4"),
            ("a[href^='/card/']", "4"),
            ("a[href$=X1]", "4"),
            ("p[data-x*=\"e t\"]", "2"),
            ("p[data-x=one]", ""),
            ("[data-x]", "2"),
            ("p[data-x*='']", ""),
            (".B", ""),
            ("TD", "3 4"),
        ] {
            let compiled = Selector::parse(selector).expect(selector);
            let texts: Vec<_> = compiled
                .select(&document, document.all())
                .map(|node| String::from_utf8_lossy(document.text(node)))
                .collect();
            assert_eq!(texts.join(" "), expected, "{selector}");
        }
    }

    #[test]
    fn what_is_not_in_the_subset_is_refused_by_name() {
        for (selector, problem) in [
            ("", "ends too early"),
            ("a,", "ends too early"),
            ("a >", "ends too early"),
            ("> a", "`>` is not expected"),
            ("a + b", "`+` is not expected"),
            ("a:hover", "`:hover` is not supported"),
            ("a[href~=x]", "`~` is not expected"),
            ("a[href=1x]", "must stand in quotes"),
            ("a[href='x]", "is not closed"),
            ("a[", "ends too early"),
            (".", "ends too early"),
        ] {
            let error = Selector::parse(selector).expect_err(selector).to_string();
            assert!(error.contains(problem), "{selector}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>(), close in "[a-z.#:>, \\[\\]='\"*^$~|-]{0,30}") {
            for text in [text, close] {
                if let Ok(selector) = Selector::parse(&text) {
                    let document = Document::parse(HTML).expect("small");
                    let _count = selector.select(&document, document.all()).count();
                }
            }
        }
    }
}
