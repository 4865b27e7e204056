//! Addresses of pages: from an identity to path and query, and from a found link back to the identity.
//!
//! Both directions go through the profile's template. A site's text can fill a part of the template and
//! nothing else: each part is encoded as one segment or one query value, so no text chooses a path, a query
//! or a host.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use url::form_urlencoded;

use crate::model::{Identity, PageKind, clean_text};

/// All but the unreserved characters (<https://www.rfc-editor.org/rfc/rfc3986#section-2.3>).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The parts of an identity that a page of `kind` has.
pub(crate) fn parts_of(kind: PageKind) -> &'static [&'static str] {
    match kind {
        PageKind::Categories => &[],
        PageKind::Years => &["category"],
        PageKind::Sets => &["category", "year"],
        PageKind::Cards => &["category", "year", "brand", "set"],
        PageKind::GradeRows => &["category", "year", "brand", "set", "name", "number", "variation"],
    }
}

/// An identity whose address no browser or client would ask for as written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the address of this page of {kind} cannot be built: `{part}` {problem}")]
pub struct UnfetchableIdentity {
    /// Kind of the page.
    pub kind: PageKind,
    /// The part in the way.
    pub part: &'static str,
    /// What is wrong with it.
    pub problem: &'static str,
}

/// The template of one level's address.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    kind: PageKind,
    segments: Vec<Segment>,
    query: Vec<QueryRule>,
}

/// `prefix{part}suffix`, or a fixed segment if there is no part.
#[derive(Debug, Clone)]
struct Segment {
    prefix: String,
    part: Option<&'static str>,
    suffix: String,
}

#[derive(Debug, Clone)]
struct QueryRule {
    key: String,
    value: QueryValue,
}

#[derive(Debug, Clone)]
enum QueryValue {
    Fixed(String),
    Part { part: &'static str, optional: bool },
}

impl Address {
    /// Reads the template of the pages of `kind`.
    ///
    /// # Errors
    /// A text that says what is wrong and what would be right.
    pub(crate) fn parse(template: &str, kind: PageKind) -> Result<Address, String> {
        let path_and_query = template
            .strip_prefix('/')
            .ok_or_else(|| format!("`{template}` must begin with `/`: the origin stands in site.origin"))?;
        let (path, query) = match path_and_query.split_once('?') {
            // A `?` inside braces marks an optional part and starts no query.
            Some((path, _)) if path.matches('{').count() > path.matches('}').count() => {
                return Err(format!(
                    "a part of the path cannot be optional in `{template}`; only one of the query can"
                ));
            }
            Some((path, query)) => (path, Some(query)),
            None => (path_and_query, None),
        };
        let segments = path
            .split('/')
            .map(|text| segment(text, kind))
            .collect::<Result<Vec<_>, _>>()?;
        let query = match query {
            Some(query) => query
                .split('&')
                .map(|text| query_rule(text, kind))
                .collect::<Result<_, _>>()?,
            None => Vec::new(),
        };
        let address = Address {
            kind,
            segments,
            query,
        };
        address.check_parts()?;
        Ok(address)
    }

    fn check_parts(&self) -> Result<(), String> {
        for part in parts_of(self.kind) {
            if self.parts().filter(|known| known == part).count() > 1 {
                return Err(format!("`{{{part}}}` stands twice"));
            }
        }
        Ok(())
    }

    /// The parts in this template.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &'static str> + '_ {
        let in_query = self.query.iter().filter_map(|rule| match rule.value {
            QueryValue::Part { part, .. } => Some(part),
            QueryValue::Fixed(_) => None,
        });
        self.segments
            .iter()
            .filter_map(|segment| segment.part)
            .chain(in_query)
    }

    /// Whether an address cannot be built without `part`.
    pub(crate) fn requires(&self, part: &str) -> bool {
        self.segments.iter().any(|segment| segment.part == Some(part))
            || self.query.iter().any(|rule| matches!(rule.value, QueryValue::Part { part: known, optional: false } if known == part))
    }

    /// Path and query of the page with `identity`.
    pub(crate) fn write(&self, identity: &Identity) -> Result<String, UnfetchableIdentity> {
        let mut url = String::with_capacity(64);
        for segment in &self.segments {
            url.push('/');
            self.write_segment(&mut url, segment, identity)?;
        }
        let mut separator = '?';
        for rule in &self.query {
            let value = match &rule.value {
                QueryValue::Fixed(value) => value,
                QueryValue::Part { part, optional } => match identity.part(part).unwrap_or_default() {
                    "" if *optional => continue,
                    "" => return Err(self.unfetchable(part, "is empty")),
                    value => value,
                },
            };
            url.push(separator);
            separator = '&';
            url.extend(form_urlencoded::byte_serialize(rule.key.as_bytes()));
            url.push('=');
            url.extend(form_urlencoded::byte_serialize(value.as_bytes()));
        }
        Ok(url)
    }

    fn write_segment(
        &self,
        url: &mut String,
        segment: &Segment,
        identity: &Identity,
    ) -> Result<(), UnfetchableIdentity> {
        let start = url.len();
        url.push_str(&segment.prefix);
        if let Some(part) = segment.part {
            let value = identity.part(part).unwrap_or_default();
            if value.is_empty() {
                return Err(self.unfetchable(part, "is empty"));
            }
            url.extend(utf8_percent_encode(value, SEGMENT));
        }
        url.push_str(&segment.suffix);
        // No encoding saves these: `%2e%2e` is a step up as well (<https://url.spec.whatwg.org/#double-dot-path-segment>).
        if is_dot_segment(&url[start..]) {
            return Err(self.unfetchable(
                segment.part.unwrap_or_default(),
                "is a step of a path, not a name",
            ));
        }
        Ok(())
    }

    fn unfetchable(&self, part: &'static str, problem: &'static str) -> UnfetchableIdentity {
        UnfetchableIdentity {
            kind: self.kind,
            part,
            problem,
        }
    }

    /// The identity that `path_and_query` leads to; `None` when it is not an address of this kind, or when
    /// it is not certain what it leads to: then the row's cells tell better.
    pub(crate) fn read(&self, path_and_query: &str) -> Option<Identity> {
        self.read_as_written(path_and_query).map(Identity::cleaned)
    }

    /// The same with the parts as the site writes them, control characters and all: only these lead there.
    pub(crate) fn read_as_written(&self, path_and_query: &str) -> Option<Identity> {
        // A raw `#` or `\` may belong to a name, yet a browser cuts or splits the path there.
        if path_and_query.contains(['#', '\\']) {
            return None;
        }
        let (path, query) = match path_and_query.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path_and_query, None),
        };
        let mut identity = Identity::default();
        self.read_path(path, &mut identity)?;
        self.read_query(query, &mut identity)?;
        Some(identity)
    }

    fn read_path(&self, path: &str, identity: &mut Identity) -> Option<()> {
        let path = path.strip_prefix('/')?;
        let mut found = path.strip_suffix('/').unwrap_or(path).split('/');
        for segment in &self.segments {
            let decoded = percent_decode_str(found.next()?).decode_utf8().ok()?;
            if is_dot_segment(&decoded) {
                return None;
            }
            let value = decoded
                .strip_prefix(segment.prefix.as_str())?
                .strip_suffix(segment.suffix.as_str())?;
            match segment.part {
                Some(part) => *identity.part_mut(part)? = with_a_name(value)?,
                None if value.is_empty() => {}
                None => return None,
            }
        }
        found.next().is_none().then_some(())
    }

    fn read_query(&self, query: Option<&str>, identity: &mut Identity) -> Option<()> {
        let pairs = query_pairs(query)?;
        let value_of = |key: &str| {
            pairs
                .iter()
                .find(|(found, _)| found == key)
                .map(|(_, value)| value.as_ref())
        };
        for rule in &self.query {
            match (&rule.value, value_of(&rule.key)) {
                (QueryValue::Fixed(fixed), found) if found == Some(fixed.as_str()) => {}
                (QueryValue::Fixed(_), _) => return None,
                (QueryValue::Part { part, optional }, found) => {
                    let value = found.unwrap_or_default();
                    *identity.part_mut(part)? = match with_a_name(value) {
                        Some(value) => value,
                        None if *optional => String::new(),
                        None => return None,
                    };
                }
            }
        }
        Some(())
    }

    /// Whether the template itself sets the query parameter `key`.
    pub(crate) fn owns_parameter(&self, key: &str) -> bool {
        self.query.iter().any(|rule| rule.key == key)
    }
}

/// The decoded pairs of a query; `None` for a `?` that belongs to a name, as in `/Who?` or `/Who??a=b`.
pub(crate) fn query_pairs(query: Option<&str>) -> Option<Vec<(Cow<'_, str>, Cow<'_, str>)>> {
    let Some(query) = query else {
        return Some(Vec::new());
    };
    let is_query = query.split('&').all(|pair| pair.contains('=')) && !query.contains('?');
    is_query.then(|| form_urlencoded::parse(query.as_bytes()).collect())
}

/// Whether decoded text still holds an escape, as the site's twice encoded breadcrumbs do.
pub(crate) fn holds_escape(text: &str) -> bool {
    text.as_bytes()
        .windows(3)
        .any(|three| three[0] == b'%' && three[1].is_ascii_hexdigit() && three[2].is_ascii_hexdigit())
}

fn segment(text: &str, kind: PageKind) -> Result<Segment, String> {
    let Some((prefix, rest)) = text.split_once('{') else {
        return Ok(Segment {
            prefix: literal(text)?,
            part: None,
            suffix: String::new(),
        });
    };
    let (name, suffix) = rest
        .split_once('}')
        .ok_or_else(|| format!("the brace in `{text}` is not closed"))?;
    Ok(Segment {
        prefix: if prefix.is_empty() {
            String::new()
        } else {
            literal(prefix)?
        },
        part: Some(part_of(name, kind)?),
        suffix: if suffix.is_empty() {
            String::new()
        } else {
            literal(suffix)?
        },
    })
}

fn query_rule(text: &str, kind: PageKind) -> Result<QueryRule, String> {
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| format!("`{text}` must be written key=value"))?;
    let value = match value.strip_prefix('{').and_then(|value| value.strip_suffix('}')) {
        Some(name) => QueryValue::Part {
            part: part_of(name.strip_suffix('?').unwrap_or(name), kind)?,
            optional: name.ends_with('?'),
        },
        None => QueryValue::Fixed(literal(value)?),
    };
    Ok(QueryRule {
        key: literal(key)?,
        value,
    })
}

/// A fixed piece of a template: what needs no encoding, so that it stands in the address as written.
fn literal(text: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    if text.is_empty() || !text.bytes().all(is_plain) || is_dot_segment(text) {
        return Err(format!(
            "`{text}` cannot be a fixed piece of an address; letters, digits and -._~ can"
        ));
    }
    Ok(text.to_owned())
}

fn part_of(name: &str, kind: PageKind) -> Result<&'static str, String> {
    parts_of(kind)
        .iter()
        .find(|part| **part == name)
        .copied()
        .ok_or_else(|| {
            let known = parts_of(kind).join(", ");
            let known = if known.is_empty() {
                "no parts".to_owned()
            } else {
                known
            };
            format!("`{{{name}}}` is no part of a page of {kind}, which has {known}")
        })
}

fn is_dot_segment(segment: &str) -> bool {
    segment == "." || segment == ".."
}

/// `value`, unless nothing is left of it when it is cleaned.
fn with_a_name(value: &str) -> Option<String> {
    (!clean_text(value).is_empty()).then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GRADE_ROWS: &str =
        "/pop-report/{category}/{year}/{brand}/{name}/{number}?setName={set?}&variation={variation?}";

    fn address(template: &str, kind: PageKind) -> Address {
        Address::parse(template, kind).expect(template)
    }

    fn identity(parts: [&str; 7]) -> Identity {
        let [category, year, brand, set, name, number, variation] = parts.map(str::to_owned);
        Identity {
            category,
            year,
            brand,
            set,
            name,
            number,
            variation,
        }
    }

    #[test]
    fn links_are_read_as_the_site_writes_them() {
        for (href, expected) in [
            (
                "/pop-report/Pokémon/2021/Sword & Shield/Farfetch'd/27",
                Some(["Pokémon", "2021", "Sword & Shield", "", "Farfetch'd", "27", ""]),
            ),
            (
                "/pop-report/Marvel%2FDC/1990/X/リザードン/14%2F111?setName=Light+Blue&variation=1st+Edition&grades=10",
                Some([
                    "Marvel/DC",
                    "1990",
                    "X",
                    "Light Blue",
                    "リザードン",
                    "14/111",
                    "1st Edition",
                ]),
            ),
            (
                "/pop-report/A/1990/B/100% C/1/",
                Some(["A", "1990", "B", "", "100% C", "1", ""]),
            ),
            (
                "/pop-report/A/1990/B%2520C/D/1",
                Some(["A", "1990", "B%20C", "", "D", "1", ""]),
            ),
            ("/pop-report/A/1990/B/C", None),
            ("/pop-report/A/1990/B/C/1/2", None),
            ("/pop-report/A/1990//C/1", None),
            ("/pop-report/A/1990/%2E%2e/C/1", None),
            ("/pop-report/A/1990/B/C #1/1", None),
            ("/pop-report/A/1990/B/C/1?", None),
            ("/pop-report/A/1990/B/C/1??x=1", None),
            ("/pop-report/A/1990/B/C%FF/1", None),
            ("/other/A/1990/B/C/1", None),
            ("", None),
        ] {
            let found = address(GRADE_ROWS, PageKind::GradeRows).read(href);
            assert_eq!(found, expected.map(identity), "{href}");
        }
    }

    #[test]
    fn no_text_leaves_its_part() {
        let cards = address(
            "/pop-report/{category}/{year}/{brand}?setName={set?}",
            PageKind::Cards,
        );
        for (brand, set, expected) in [
            ("a/../../b", "", Ok("/pop-report/A/1990/a%2F..%2F..%2Fb")),
            ("x?y#z", "", Ok("/pop-report/A/1990/x%3Fy%23z")),
            (
                "100%2F",
                "a&b=c+d",
                Ok("/pop-report/A/1990/100%252F?setName=a%26b%3Dc%2Bd"),
            ),
            ("a b", "c d", Ok("/pop-report/A/1990/a%20b?setName=c+d")),
            ("é\\", "", Ok("/pop-report/A/1990/%C3%A9%5C")),
            ("...", "", Ok("/pop-report/A/1990/...")),
            ("..", "", Err("brand")),
            (".", "", Err("brand")),
            ("", "", Err("brand")),
        ] {
            let built = cards.write(&identity(["A", "1990", brand, set, "", "", ""]));
            assert_eq!(
                built.as_deref().map_err(|error| error.part),
                expected,
                "{brand} {set}"
            );
        }
    }

    #[test]
    fn templates_of_other_shapes_work_both_ways() {
        let sets = address("/census/{category}/y-{year}.html?view=table", PageKind::Sets);
        let given = Identity {
            category: "A B".into(),
            year: "1990".into(),
            ..Identity::default()
        };
        let built = sets.write(&given).expect("fetchable");
        assert_eq!(built, "/census/A%20B/y-1990.html?view=table");
        assert_eq!(sets.read(&built), Some(given));
        assert_eq!(sets.read("/census/A/y-1990.html?view=list"), None);
        assert_eq!(sets.read("/census/A/1990.html?view=table"), None);
    }

    #[test]
    fn wrong_templates_say_what_is_wrong() {
        for (template, problem) in [
            ("pop", "must begin with `/`"),
            (
                "/pop/{categry}",
                "`{categry}` is no part of a page of sets, which has category, year",
            ),
            ("/pop/{brand}", "no part of a page of sets"),
            ("/pop/{category", "not closed"),
            ("/pop/{category?}", "cannot be optional"),
            ("/pop/{category}/{category}", "stands twice"),
            ("/pop//x", "cannot be a fixed piece"),
            ("/pop/../x", "cannot be a fixed piece"),
            ("/pop x", "cannot be a fixed piece"),
            ("/pop?x", "key=value"),
        ] {
            let error = Address::parse(template, PageKind::Sets).expect_err(template);
            assert!(error.contains(problem), "{template}: {error}");
        }
    }

    proptest! {
        #[test]
        fn an_identity_survives_its_address(parts in proptest::array::uniform7(".{0,20}")) {
            let [category, year, brand, set, name, number, variation] = parts.map(|part| clean_text(&part));
            let given = Identity { category, year, brand, set, name, number, variation };
            let grade_rows = address(GRADE_ROWS, PageKind::GradeRows);
            if let Ok(url) = grade_rows.write(&given) {
                prop_assert_eq!(grade_rows.read(&url), Some(given));
                let base = url::Url::parse("https://site.example").expect("constant");
                let joined = base.join(&url).expect("a path");
                prop_assert_eq!(&joined[url::Position::BeforePath..], url.as_str());
            }
        }

        #[test]
        fn no_link_panics(href in any::<String>()) {
            let _ = address(GRADE_ROWS, PageKind::GradeRows).read(&href);
        }
    }
}
