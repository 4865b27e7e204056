//! The five levels: where a page stands, what a row is, and where each field of a row is found.

use std::ops::Range;

use super::address::{Address, parts_of};
use super::error::{ProfileError, Source, nearest};
use super::grades::ScaleEntry;
use super::raw::{RawField, RawLevel, RawLevels, RawTable, Text};
use crate::extract::Selector;
use crate::model::PageKind;

/// A field that rows of a level have.
#[derive(Debug)]
struct FieldSpec {
    name: &'static str,
    /// The part of the next level's identity that it fills.
    part: Option<&'static str>,
    needed: bool,
}

const fn part(name: &'static str, part: &'static str) -> FieldSpec {
    FieldSpec {
        name,
        part: Some(part),
        needed: false,
    }
}

const fn needed(name: &'static str) -> FieldSpec {
    FieldSpec {
        name,
        part: None,
        needed: true,
    }
}

const fn extra(name: &'static str) -> FieldSpec {
    FieldSpec {
        name,
        part: None,
        needed: false,
    }
}

fn fields_of(kind: PageKind) -> &'static [FieldSpec] {
    match kind {
        PageKind::Categories => const { &[part("name", "category")] },
        PageKind::Years => {
            const {
                &[
                    part("year", "year"),
                    needed("sets"),
                    needed("items"),
                    needed("graded"),
                ]
            }
        }
        PageKind::Sets => const { &[part("brand", "brand"), part("name", "set")] },
        PageKind::Cards => {
            const {
                &[
                    part("number", "number"),
                    part("name", "name"),
                    part("variation", "variation"),
                ]
            }
        }
        PageKind::GradeRows => {
            const {
                &[
                    needed("grade"),
                    needed("cert_number"),
                    extra("rank"),
                    extra("report"),
                    extra("rank_by_grade"),
                    extra("chronology"),
                    extra("chron_by_grade"),
                    extra("completed"),
                ]
            }
        }
    }
}

/// The rules of one level.
#[derive(Debug, Clone)]
pub(crate) struct Level {
    pub(crate) kind: PageKind,
    pub(crate) address: Address,
    pub(crate) row: Selector,
    pub(crate) row_source: String,
    pub(crate) cell: Selector,
    pub(crate) cell_source: String,
    pub(crate) header: Selector,
    pub(crate) link: Option<Selector>,
    pub(crate) counts_total: Option<Header>,
    pub(crate) fields: Vec<FieldRule>,
}

/// Where one field stands.
#[derive(Debug, Clone)]
pub(crate) struct FieldRule {
    pub(crate) name: &'static str,
    /// The part of the next level's identity that it fills.
    pub(crate) part: Option<&'static str>,
    /// That part, where the row's link is asked for it first.
    pub(crate) link: Option<&'static str>,
    pub(crate) column: Option<Header>,
    pub(crate) pick: Pick,
}

/// What of a cell (or, without columns, of the row) is meant.
#[derive(Debug, Clone)]
pub(crate) enum Pick {
    /// All of it.
    Whole,
    /// The first such element.
    Element(Selector),
    /// The text that follows the first such element.
    After(Selector),
}

/// A header text, and how it is compared.
#[derive(Debug, Clone)]
pub(crate) struct Header {
    pub(crate) shown: String,
    pub(crate) folded: String,
}

impl Header {
    pub(crate) fn new(shown: &str) -> Header {
        Header {
            shown: shown.to_owned(),
            folded: shown.to_lowercase(),
        }
    }
}

impl Level {
    /// Whether its rows are read by columns, not as tiles.
    pub(crate) fn is_table(&self) -> bool {
        self.counts_total.is_some() || self.fields.iter().any(|field| field.column.is_some())
    }

    pub(crate) fn field(&self, name: &str) -> Option<&FieldRule> {
        self.fields.iter().find(|field| field.name == name)
    }
}

/// Checks all levels, from the top down.
pub(super) fn check_levels(
    raw: &RawLevels,
    table: &RawTable,
    scale: &[ScaleEntry],
    source: &Source<'_>,
) -> Result<[Level; 5], ProfileError> {
    let raws = [
        &raw.categories,
        &raw.years,
        &raw.sets,
        &raw.cards,
        &raw.grade_rows,
    ];
    let check = |kind: PageKind| {
        let raw = raws[usize::from(kind.level())];
        LevelCheck {
            kind,
            raw: raw.get_ref(),
            place: raw.span(),
            table,
            scale,
            source,
        }
        .run()
    };
    let levels = [
        check(PageKind::Categories)?,
        check(PageKind::Years)?,
        check(PageKind::Sets)?,
        check(PageKind::Cards)?,
        check(PageKind::GradeRows)?,
    ];
    for (level, raw) in levels.iter().zip(raws) {
        check_against_parents(&levels, level, raw.get_ref(), source)?;
    }
    Ok(levels)
}

struct LevelCheck<'a> {
    kind: PageKind,
    raw: &'a RawLevel,
    place: Range<usize>,
    table: &'a RawTable,
    scale: &'a [ScaleEntry],
    source: &'a Source<'a>,
}

impl LevelCheck<'_> {
    fn run(&self) -> Result<Level, ProfileError> {
        let (raw, source) = (self.raw, self.source);
        let row = raw.row.as_ref().unwrap_or(&self.table.row);
        let cell = raw.cell.as_ref().unwrap_or(&self.table.cell);
        let header = raw.header.as_ref().unwrap_or(&self.table.header);
        let address = Address::parse(raw.url.get_ref(), self.kind)
            .map_err(|problem| source.error(&raw.url.span(), self.path("url"), problem))?;
        Ok(Level {
            kind: self.kind,
            address,
            row: source.selector(&self.path_of("row", raw.row.is_some()), row)?,
            row_source: row.get_ref().clone(),
            cell: source.selector(&self.path_of("cell", raw.cell.is_some()), cell)?,
            cell_source: cell.get_ref().clone(),
            header: source.selector(&self.path_of("header", raw.header.is_some()), header)?,
            link: source.optional_selector(&self.path("link"), raw.link.as_ref())?,
            counts_total: self.counts_total()?,
            fields: self.fields()?,
        })
    }

    fn path(&self, field: &str) -> String {
        format!("levels.{}.{field}", self.kind)
    }

    fn path_of(&self, field: &str, is_own: bool) -> String {
        if is_own {
            self.path(field)
        } else {
            format!("table.{field}")
        }
    }

    fn counts_total(&self) -> Result<Option<Header>, ProfileError> {
        let has_counts = matches!(self.kind, PageKind::Sets | PageKind::Cards);
        let field = self.path("counts_total");
        match &self.raw.counts_total {
            None if has_counts => Err(self.source.error(
                &self.place,
                field,
                "is missing; write the header of the column of totals",
            )),
            None => Ok(None),
            Some(text) if !has_counts => {
                let problem = format!(
                    "`{}` has no place here: only sets and cards have counts",
                    text.get_ref()
                );
                Err(self.source.error(&text.span(), field, problem))
            }
            Some(text) => {
                let header = Header::new(self.source.filled(&field, text)?);
                if let Some(entry) = self
                    .scale
                    .iter()
                    .find(|entry| entry.code.as_str().to_lowercase() == header.folded)
                {
                    let problem = format!("`{}` is a code of grades.scale as well", entry.code);
                    return Err(self.source.error(&text.span(), field, problem));
                }
                Ok(Some(header))
            }
        }
    }

    fn fields(&self) -> Result<Vec<FieldRule>, ProfileError> {
        let specs = fields_of(self.kind);
        let mut rules = Vec::with_capacity(specs.len());
        for (name, raw) in &self.raw.fields {
            let field = self.path(&format!("fields.{name}"));
            let Some(spec) = specs.iter().find(|spec| spec.name == name) else {
                let known: Vec<_> = specs.iter().map(|spec| spec.name).collect();
                let hint = nearest(name, known.iter().copied()).map_or_else(
                    || format!("known: {}", known.join(", ")),
                    |near| format!("did you mean `{near}`?"),
                );
                let problem = format!("rows of {} have no field `{name}`; {hint}", self.kind);
                return Err(self.source.error(&raw.span(), field, problem));
            };
            rules.push(self.field(&field, spec, raw.get_ref(), &raw.span())?);
        }
        let missing = specs
            .iter()
            .find(|spec| spec.needed && rules.iter().all(|rule| rule.name != spec.name));
        if let Some(spec) = missing {
            let field = self.path(&format!("fields.{}", spec.name));
            return Err(self
                .source
                .error(&self.place, field, "is missing; write { column = \"…\" }"));
        }
        Ok(rules)
    }

    fn field(
        &self,
        path: &str,
        spec: &FieldSpec,
        raw: &RawField,
        place: &Range<usize>,
    ) -> Result<FieldRule, ProfileError> {
        let pick = match (&raw.select, &raw.after) {
            (None, None) => Pick::Whole,
            (Some(select), None) => Pick::Element(self.source.selector(&format!("{path}.select"), select)?),
            (None, Some(after)) => Pick::After(self.source.selector(&format!("{path}.after"), after)?),
            (Some(_), Some(after)) => {
                let problem = "stands beside `select`; write one of them";
                return Err(self.source.error(&after.span(), format!("{path}.after"), problem));
            }
        };
        let column_path = format!("{path}.column");
        let column = raw
            .column
            .as_ref()
            .map(|text| self.source.filled(&column_path, text).map(Header::new));
        let link = raw
            .link
            .as_ref()
            .map(|text| self.link(&format!("{path}.link"), spec, text))
            .transpose()?;
        if link.is_none() && column.is_none() && matches!(pick, Pick::Whole) && spec.name != "report" {
            return Err(self
                .source
                .error(place, path, "says nowhere to look; write link, column or select"));
        }
        Ok(FieldRule {
            name: spec.name,
            part: spec.part,
            link,
            column: column.transpose()?,
            pick,
        })
    }

    /// The part of the next level's address that a field is read from.
    fn link(&self, path: &str, spec: &FieldSpec, text: &Text) -> Result<&'static str, ProfileError> {
        match spec.part {
            Some(part) if text.get_ref() == part => Ok(part),
            Some(part) => {
                let problem = format!(
                    "`{}` is not what this field is in the next level's url; write `{part}`",
                    text.get_ref()
                );
                Err(self.source.error(&text.span(), path, problem))
            }
            None => {
                let problem = format!(
                    "`{}`: this field is no part of the next level's url; write `column`",
                    text.get_ref()
                );
                Err(self.source.error(&text.span(), path, problem))
            }
        }
    }
}

/// Every part that rows above fill must stand in the url, or two pages would be one; and no other can.
fn check_against_parents(
    levels: &[Level; 5],
    level: &Level,
    raw: &RawLevel,
    source: &Source<'_>,
) -> Result<(), ProfileError> {
    let in_url: Vec<_> = level.address.parts().collect();
    for part in parts_of(level.kind) {
        let filled_by = levels
            .iter()
            .flat_map(|above| fields_of(above.kind).iter().map(move |spec| (above, spec)));
        let Some((above, spec)) = filled_by.into_iter().find(|(_, spec)| spec.part == Some(*part)) else {
            continue;
        };
        let field = format!("levels.{}.fields.{}", above.kind, spec.name);
        let problem = match (above.field(spec.name).is_some(), in_url.contains(part)) {
            (true, false) => {
                format!("`{{{part}}}` is missing, which {field} tells: two pages would have one url")
            }
            (false, true) => format!("`{{{part}}}` is told by no row; write {field}"),
            _ => continue,
        };
        return Err(source.error(&raw.url.span(), format!("levels.{}.url", level.kind), problem));
    }
    let has_part_of_its_own = |kind: PageKind| {
        fields_of(kind)
            .iter()
            .any(|spec| spec.part.is_some() && level.field(spec.name).is_some())
    };
    if level.kind.child().is_some() && !has_part_of_its_own(level.kind) {
        let names: Vec<_> = fields_of(level.kind)
            .iter()
            .filter(|spec| spec.part.is_some())
            .map(|spec| spec.name)
            .collect();
        let problem = format!("none tells rows apart; write {}", names.join(", "));
        return Err(source.error(&raw.url.span(), format!("levels.{}.fields", level.kind), problem));
    }
    Ok(())
}
