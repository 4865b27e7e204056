//! The grade scale and the patterns of what stands in grade rows.

use jiff::civil::Date;
use jiff::fmt::strtime;
use regex::Regex;
use toml::Spanned;

use super::error::{ProfileError, Source};
use super::raw::{RawGrades, RawScaleEntry};
use crate::model::{GradeCode, GradeValue};

/// Most entries of a scale.
const SCALE_MAX: usize = 64;

/// One count column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScaleEntry {
    /// The header of the column.
    pub code: GradeCode,
    /// The numeric grade; `None` where the code has none.
    pub value: Option<GradeValue>,
    /// What tells codes of one number apart, e.g. `PRIS`; empty if nothing does.
    pub label: String,
}

/// How grades, certificate numbers, places and dates are read.
#[derive(Debug, Clone)]
pub(crate) struct GradeRules {
    pub(crate) scale: Vec<ScaleEntry>,
    pub(crate) text: Regex,
    pub(crate) groups: GradeGroups,
    pub(crate) cert: Regex,
    pub(crate) ordinal: Regex,
    /// Index of the group `n` in `ordinal`.
    pub(crate) ordinal_group: usize,
    /// Formats of `strftime`.
    pub(crate) dates: Vec<String>,
}

/// Indices of the groups in the pattern of grade texts, looked up once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GradeGroups {
    pub(crate) grade: Option<usize>,
    pub(crate) label: Option<usize>,
    pub(crate) code: Option<usize>,
    pub(crate) score: Option<usize>,
}

/// Index of the named group in `pattern`.
pub(super) fn group_index(pattern: &Regex, name: &str) -> Option<usize> {
    pattern.capture_names().position(|group| group == Some(name))
}

impl GradeRules {
    pub(super) fn check(raw: &RawGrades, source: &Source<'_>) -> Result<GradeRules, ProfileError> {
        let text = source.pattern(
            "grades.text",
            &raw.text,
            &[],
            &["grade", "label", "code", "score"],
        )?;
        let group = |name| group_index(&text, name);
        let groups = GradeGroups {
            grade: group("grade"),
            label: group("label"),
            code: group("code"),
            score: group("score"),
        };
        if groups.grade.is_none() && groups.code.is_none() {
            let problem = "group `grade` or `code` is missing; write (?<grade>…), (?<code>…) or both";
            return Err(source.error(&raw.text.span(), "grades.text", problem));
        }
        let ordinal = source.pattern("grades.ordinal", &raw.ordinal, &["n"], &["n"])?;
        Ok(GradeRules {
            scale: check_scale(&raw.scale, source)?,
            groups,
            cert: source.pattern("grades.cert", &raw.cert, &[], &[])?,
            ordinal_group: group_index(&ordinal, "n").unwrap_or_default(),
            ordinal,
            dates: check_dates(raw, source)?,
            text,
        })
    }
}

fn check_scale(
    raw: &Spanned<Vec<Spanned<RawScaleEntry>>>,
    source: &Source<'_>,
) -> Result<Vec<ScaleEntry>, ProfileError> {
    let entries = raw.get_ref();
    if entries.is_empty() || entries.len() > SCALE_MAX {
        let problem = format!("has {} entries; write 1 to {SCALE_MAX}", entries.len());
        return Err(source.error(&raw.span(), "grades.scale", problem));
    }
    let mut scale: Vec<ScaleEntry> = Vec::with_capacity(entries.len());
    for raw in entries {
        let entry = scale_entry(raw.get_ref(), &scale)
            .map_err(|problem| source.error(&raw.span(), "grades.scale", problem))?;
        scale.push(entry);
    }
    Ok(scale)
}

fn scale_entry(raw: &RawScaleEntry, earlier: &[ScaleEntry]) -> Result<ScaleEntry, String> {
    let code = GradeCode::new(raw.code.trim()).map_err(|error| error.to_string())?;
    let value =
        match &raw.grade {
            Some(grade) => Some(GradeValue::parse(grade).ok_or_else(|| {
                format!("`{grade}` is not a grade; write a number with at most one decimal")
            })?),
            None => None,
        };
    let label = raw.label.as_deref().unwrap_or_default().trim().to_owned();
    if value.is_none() && label.is_empty() {
        return Err(format!(
            "code `{code}` has neither grade nor label; write one of them"
        ));
    }
    if earlier
        .iter()
        .any(|other| other.code.as_str().eq_ignore_ascii_case(code.as_str()))
    {
        return Err(format!("code `{code}` stands twice"));
    }
    let same = earlier
        .iter()
        .find(|other| other.value == value && other.label.eq_ignore_ascii_case(&label));
    if let Some(other) = same {
        return Err(format!(
            "codes `{}` and `{code}` have one grade and label; give one of them a label",
            other.code
        ));
    }
    Ok(ScaleEntry { code, value, label })
}

fn check_dates(raw: &RawGrades, source: &Source<'_>) -> Result<Vec<String>, ProfileError> {
    let sample = Date::constant(2024, 11, 30);
    for format in &raw.dates {
        let written = strtime::format(format.get_ref().as_str(), sample);
        let is_date = written
            .is_ok_and(|text| Date::strptime(format.get_ref(), &text).is_ok_and(|read| read == sample));
        if !is_date {
            let problem = format!(
                "`{}` is not the format of a whole date; write one such as %m-%d-%Y",
                format.get_ref()
            );
            return Err(source.error(&format.span(), "grades.dates", problem));
        }
    }
    Ok(raw.dates.iter().map(|format| format.get_ref().clone()).collect())
}
