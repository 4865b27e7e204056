//! Addresses of the site's pages: read from requests in any of their spellings, and written as the site links
//! them.
//!
//! Links carry names raw, only what would end a segment is escaped. Breadcrumb links are encoded twice. A
//! request is decoded once and, if that leads nowhere, once more.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::world::{CardId, CategoryId, Grade, SetId, Words, World, YearId};

/// Path of the topmost page.
pub(crate) const ROOT: &str = "/pop-report";

/// A page of the site, without what narrows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    Categories,
    Category(CategoryId),
    Year(YearId),
    Set(SetId),
    Card(CardId),
}

impl Place {
    /// Numbers that tell the place from all others.
    pub(crate) fn identity(self) -> [u64; 3] {
        match self {
            Self::Categories => [0, 0, 0],
            Self::Category(category) => [1, category.position(), 0],
            Self::Year(year) => [2, year.position(), 0],
            Self::Set(set) => [3, set.position(), 0],
            Self::Card(card) => [4, card.set.position(), u64::from(card.row)],
        }
    }

    /// The page that lists this one.
    pub(crate) fn parent(self, world: &World) -> Option<Self> {
        match self {
            Self::Categories => None,
            Self::Category(_) => Some(Self::Categories),
            Self::Year(year) => Some(Self::Category(world.year(year).category)),
            Self::Set(set) => Some(Self::Year(world.set(set).year)),
            Self::Card(card) => Some(Self::Set(card.set)),
        }
    }
}

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Address {
    pub(crate) place: Place,
    /// Only certificates of this grade.
    pub(crate) grade: Option<Grade>,
    /// Page of the pager, from 1.
    pub(crate) page: u32,
}

impl Address {
    /// Finds the page of a request's path and query.
    pub(crate) fn resolve(world: &World, path: &str, query: &str) -> Option<Self> {
        let once = Self::resolve_decoded(world, path, query, Decoding::Once);
        let worth_another = || path.contains("%25") || query.contains("%25");
        once.or_else(|| {
            worth_another().then(|| Self::resolve_decoded(world, path, query, Decoding::Twice))?
        })
    }

    fn resolve_decoded(world: &World, path: &str, query: &str, decoding: Decoding) -> Option<Self> {
        let asked = Question::read(query, decoding);
        let place = resolve_place(world, path, &asked, decoding)?;
        let grade = match asked.grades.as_ref() {
            "" => None,
            code => Some(Grade::from_code(code)?),
        };
        Some(Self {
            place,
            grade,
            page: asked.page.parse().unwrap_or(1).max(1),
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decoding {
    Once,
    Twice,
}

impl Decoding {
    fn segment(self, raw: &str) -> Cow<'_, str> {
        let decoded = percent_decode_str(raw).decode_utf8_lossy();
        match self {
            Self::Once => decoded,
            Self::Twice => Cow::Owned(percent_decode_str(&decoded).decode_utf8_lossy().into_owned()),
        }
    }

    fn value(self, raw: &str) -> Cow<'_, str> {
        let decoded = form_decoded(raw);
        match self {
            Self::Once => decoded,
            Self::Twice => Cow::Owned(form_decoded(&decoded).into_owned()),
        }
    }
}

fn form_decoded(raw: &str) -> Cow<'_, str> {
    if !raw.contains(['+', '%']) {
        return Cow::Borrowed(raw);
    }
    let spaced = raw.replace('+', " ");
    Cow::Owned(percent_decode_str(&spaced).decode_utf8_lossy().into_owned())
}

/// The query parameters that matter; absent ones are empty.
#[derive(Debug, Default)]
struct Question<'q> {
    set_name: Cow<'q, str>,
    variation: Cow<'q, str>,
    grades: Cow<'q, str>,
    page: Cow<'q, str>,
}

impl<'q> Question<'q> {
    fn read(query: &'q str, decoding: Decoding) -> Self {
        let mut asked = Self::default();
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            match name {
                "setName" => asked.set_name = decoding.value(value),
                "variation" => asked.variation = decoding.value(value),
                "grades" => asked.grades = decoding.value(value),
                "page" => asked.page = decoding.value(value),
                _ => {}
            }
        }
        asked
    }
}

fn resolve_place(world: &World, path: &str, asked: &Question<'_>, decoding: Decoding) -> Option<Place> {
    let rest = path.strip_prefix(ROOT)?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.is_empty() {
        return Some(Place::Categories);
    }
    let mut segments = rest
        .strip_prefix('/')?
        .split('/')
        .map(|segment| decoding.segment(segment));

    let category = world.find_category(&segments.next()?)?;
    let Some(year) = segments.next() else {
        return Some(Place::Category(category));
    };
    let year = world.find_year(category, &year)?;
    let Some(brand) = segments.next() else {
        return Some(Place::Year(year));
    };
    let set = world.find_set(year, &brand, &asked.set_name)?;
    let Some(name) = segments.next() else {
        return Some(Place::Set(set));
    };
    let number = segments.next()?;
    let card = world.find_card(set, &number, &name, &asked.variation)?;
    segments.next().is_none().then_some(Place::Card(card))
}

/// How the segments of a path are spelt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// As in the tables: raw, but for what would end a segment or be dropped on the way.
    Link,
    /// As in the breadcrumbs: encoded twice.
    Breadcrumb,
}

/// Everything but what `encodeURIComponent` leaves alone.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

/// Everything but what a form leaves alone; spaces are made pluses by the caller.
const FORM: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'*')
    .remove(b' ');

/// Appends the address of `place`, path and query, not yet escaped for HTML.
pub(crate) fn push_address(out: &mut String, world: &World, place: Place, spelling: Spelling) {
    push_path(out, world, place, spelling);
    push_query(out, world, place, spelling);
}

/// Appends a further query parameter to an address that ends at `out`'s end and starts at `from`.
pub(crate) fn push_parameter(out: &mut String, from: usize, name: &str, value: &str) {
    out.push(if out[from..].contains('?') { '&' } else { '?' });
    out.push_str(name);
    out.push('=');
    push_form_encoded(out, value);
}

fn push_path(out: &mut String, world: &World, place: Place, spelling: Spelling) {
    match place {
        Place::Categories => out.push_str(ROOT),
        Place::Category(category) => {
            out.push_str(ROOT);
            push_segment(out, Words::one(world.category(category).name), spelling);
        }
        Place::Year(year) => {
            let facts = world.year_heading(year);
            push_path(out, world, Place::Category(facts.0), spelling);
            out.push('/');
            out.push_str(&facts.1.to_string());
        }
        Place::Set(set) => {
            let facts = world.set(set);
            push_path(out, world, Place::Year(facts.year), spelling);
            push_segment(out, Words::one(facts.brand), spelling);
        }
        Place::Card(card) => {
            push_path(out, world, Place::Set(card.set), spelling);
            push_card_segments(out, world, card, spelling);
        }
    }
}

fn push_card_segments(out: &mut String, world: &World, card: CardId, spelling: Spelling) {
    let facts = world.shelf(card.set).facts(card.row);
    push_segment(out, facts.name, spelling);
    out.push('/');
    push_spelt(out, &facts.number.to_string(), spelling);
}

fn push_query(out: &mut String, world: &World, place: Place, spelling: Spelling) {
    let from = out.len();
    let (set, variation) = match place {
        Place::Set(set) => (set, ""),
        Place::Card(card) => (card.set, world.shelf(card.set).facts(card.row).variation),
        _ => return,
    };
    let name = world.set(set).name;
    if !name.is_empty() {
        push_value(out, from, "setName", &name.to_string(), spelling);
    }
    if !variation.is_empty() {
        push_value(out, from, "variation", variation, spelling);
    }
}

fn push_value(out: &mut String, from: usize, name: &str, value: &str, spelling: Spelling) {
    match spelling {
        Spelling::Link => push_parameter(out, from, name, value),
        Spelling::Breadcrumb => {
            push_parameter(out, from, name, "");
            push_spelt(out, value, spelling);
        }
    }
}

fn push_segment(out: &mut String, words: Words, spelling: Spelling) {
    out.push('/');
    words
        .pieces()
        .into_iter()
        .for_each(|piece| push_spelt(out, piece, spelling));
}

fn push_spelt(out: &mut String, text: &str, spelling: Spelling) {
    match spelling {
        Spelling::Link => push_raw_segment(out, text),
        Spelling::Breadcrumb => {
            for piece in utf8_percent_encode(text, COMPONENT) {
                out.push_str(&piece.replace('%', "%25"));
            }
        }
    }
}

/// Escapes what would end the segment, and what browsers rewrite or drop: backslashes and control characters.
fn push_raw_segment(out: &mut String, text: &str) {
    let special = |letter: char| matches!(letter, '/' | '%' | '?' | '#' | '\\') || letter.is_ascii_control();
    let mut rest = text;
    while let Some(at) = rest.find(special) {
        out.push_str(&rest[..at]);
        out.push_str(percent_encoding::percent_encode_byte(rest.as_bytes()[at]));
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
}

fn push_form_encoded(out: &mut String, text: &str) {
    for piece in utf8_percent_encode(text, FORM) {
        let mut words = piece.split(' ');
        words.next().into_iter().for_each(|word| out.push_str(word));
        words.for_each(|word| {
            out.push('+');
            out.push_str(word);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DemoConfig;

    fn world() -> World {
        World::new(
            DemoConfig {
                hostile: true,
                ..DemoConfig::default()
            }
            .world_conditions(),
        )
    }

    fn all_places(world: &World) -> Vec<Place> {
        let mut places = vec![Place::Categories];
        for category in world.categories() {
            places.push(Place::Category(category));
            places.extend(world.years_of(category).map(Place::Year));
        }
        for set in world.sets() {
            places.push(Place::Set(set));
            places.extend(world.cards_of(set).map(Place::Card));
        }
        places
    }

    fn resolved(world: &World, address: &str) -> Option<Address> {
        let (path, query) = address.split_once('?').unwrap_or((address, ""));
        Address::resolve(world, path, query)
    }

    #[test]
    fn every_page_is_found_by_both_spellings_of_its_address() {
        let world = world();
        let places = all_places(&world);
        assert_eq!(places.len() as u64, world.page_count());
        for place in places {
            for spelling in [Spelling::Link, Spelling::Breadcrumb] {
                let mut address = String::new();
                push_address(&mut address, &world, place, spelling);
                assert_eq!(
                    resolved(&world, &address).map(|it| it.place),
                    Some(place),
                    "{address}"
                );
            }
        }
    }

    #[test]
    fn links_are_spelt_as_the_guide_says() {
        let world = world();
        let mut out = String::new();
        let place = resolved(
            &world,
            "/pop-report/Pokemon/2021/Sword%20%26%20Shield/Farfetch'd/27",
        )
        .expect("the landmark stands in every world")
        .place;
        push_address(&mut out, &world, place, Spelling::Link);
        assert_eq!(out, "/pop-report/Pokémon/2021/Sword & Shield/Farfetch'd/27");
        out.clear();
        push_address(&mut out, &world, place, Spelling::Breadcrumb);
        assert_eq!(
            out,
            "/pop-report/Pok%25C3%25A9mon/2021/Sword%2520%2526%2520Shield/Farfetch'd/27"
        );
        out.clear();
        push_raw_segment(&mut out, "14/111");
        push_parameter(&mut out, 0, "setName", "Light Blue");
        push_parameter(&mut out, 0, "variation", "1st é&+");
        assert_eq!(out, "14%2F111?setName=Light+Blue&variation=1st+%C3%A9%26%2B");
    }

    #[test]
    fn categories_are_found_without_accents_and_case() {
        let world = world();
        let same = [
            "Pokémon",
            "Pok%C3%A9mon",
            "pokemon",
            "POKÉMON",
            "Poke%CC%81mon",
            "Pok%25C3%25A9mon",
        ];
        let places: Vec<_> = same
            .iter()
            .map(|name| resolved(&world, &format!("/pop-report/{name}")))
            .collect();
        assert!(places[0].is_some());
        assert!(places.iter().all(|place| *place == places[0]), "{places:?}");
        assert!(resolved(&world, "/pop-report/Marvel%2FDC").is_some());
        assert!(resolved(&world, "/pop-report/Marvel%252FDC").is_some());
        assert!(resolved(&world, "/pop-report/weiss%20schwarz").is_some());
    }

    #[test]
    fn what_does_not_exist_is_not_found_however_badly_it_is_encoded() {
        let world = world();
        for address in [
            "/",
            "/pop-reports",
            "/pop-report/Nothing",
            "/pop-report/Baseball/1888",
            "/pop-report/Baseball/1989/Donruss/Gary%20Carter",
            "/pop-report/Baseball/1989/Donruss/Gary%20Carter/53/more",
            "/pop-report/Baseball/1989/Donruss/Gary%20Carter/53?grades=9.5",
            "/pop-report/Marvel/DC",
            "/pop-report/%ZZ%",
            "/pop-report/%FF%FE/%25%25",
            "/pop-report//",
        ] {
            assert_eq!(resolved(&world, address), None, "{address}");
        }
    }

    #[test]
    fn parameters_narrow_the_page() {
        let world = world();
        let carter = "/pop-report/Baseball/1989/Donruss/Gary%20Carter/53";
        let asked =
            resolved(&world, &format!("{carter}?other=1&grades=8.5&page=2&setName=")).expect("a page");
        assert_eq!(asked.grade.map(Grade::code), Some("8.5"));
        assert_eq!(asked.page, 2);
        assert_eq!(
            resolved(&world, &format!("{carter}?page=x")).map(|it| it.page),
            Some(1)
        );
        assert_eq!(
            resolved(&world, &format!("{carter}/?page=0")).map(|it| it.page),
            Some(1)
        );
    }

    proptest::proptest! {
        #[test]
        fn no_address_is_too_strange_to_be_read(path in "[/a-z%0-9A-F é+&?]{0,40}", query in "[a-zA-Z=&%0-9+]{0,40}") {
            static WORLD: std::sync::LazyLock<World> = std::sync::LazyLock::new(world);
            proptest::prop_assert_eq!(Address::resolve(&WORLD, &format!("/pop-report/!{path}"), &query), None);
            let found = Address::resolve(&WORLD, "/pop-report/Baseball", &query);
            proptest::prop_assert!(found.is_none_or(|address| address.page >= 1));
        }
    }
}
