//! Checks of single values: what a selector, a pattern or a number of a profile must be.

use std::ops::RangeInclusive;
use std::time::Duration;

use regex::{Regex, RegexBuilder};
use toml::Spanned;

use super::error::{ProfileError, Source};
use super::raw::{Number, Text};
use crate::extract::Selector;

/// Bytes a compiled pattern may take.
const PATTERN_SIZE_MAX: usize = 1 << 20;

impl Source<'_> {
    pub(super) fn selector(&self, field: &str, text: &Text) -> Result<Selector, ProfileError> {
        Selector::parse(text.get_ref()).map_err(|error| {
            self.error(
                &text.span(),
                field,
                format!("`{}` is not a selector: {error}", text.get_ref()),
            )
        })
    }

    pub(super) fn optional_selector(
        &self,
        field: &str,
        text: Option<&Text>,
    ) -> Result<Option<Selector>, ProfileError> {
        text.map(|text| self.selector(field, text)).transpose()
    }

    /// A pattern whose named groups are all `known`, and of which every one in `needed` is there.
    pub(super) fn pattern(
        &self,
        field: &str,
        text: &Text,
        needed: &[&str],
        known: &[&str],
    ) -> Result<Regex, ProfileError> {
        let fail = |problem: String| self.error(&text.span(), field, problem);
        let pattern = RegexBuilder::new(text.get_ref())
            .size_limit(PATTERN_SIZE_MAX)
            .build()
            .map_err(|error| {
                fail(format!(
                    "`{}` is not a pattern: {}",
                    text.get_ref(),
                    last_line(&error)
                ))
            })?;
        let groups: Vec<&str> = pattern.capture_names().flatten().collect();
        if let Some(missing) = needed.iter().find(|group| !groups.contains(group)) {
            return Err(fail(format!(
                "group `{missing}` is missing; write (?<{missing}>…)"
            )));
        }
        if let Some(unknown) = groups.iter().find(|group| !known.contains(group)) {
            let expected = if known.is_empty() {
                "none".to_owned()
            } else {
                known.join(", ")
            };
            return Err(fail(format!(
                "group `{unknown}` is not known here; known: {expected}"
            )));
        }
        Ok(pattern)
    }

    pub(super) fn filled<'t>(&self, field: &str, text: &'t Text) -> Result<&'t str, ProfileError> {
        match text.get_ref().trim() {
            "" => Err(self.error(&text.span(), field, "is empty; write a text")),
            trimmed => Ok(trimmed),
        }
    }

    pub(super) fn number(
        &self,
        field: &str,
        number: &Number,
        range: RangeInclusive<f64>,
    ) -> Result<f64, ProfileError> {
        let value = *number.get_ref();
        if range.contains(&value) {
            return Ok(value);
        }
        let problem = format!(
            "{value} is out of range; write {} to {}",
            range.start(),
            range.end()
        );
        Err(self.error(&number.span(), field, problem))
    }

    /// A number of seconds.
    pub(super) fn seconds(
        &self,
        field: &str,
        number: &Number,
        range: RangeInclusive<f64>,
    ) -> Result<Duration, ProfileError> {
        self.number(field, number, range).map(Duration::from_secs_f64)
    }

    pub(super) fn whole_number(
        &self,
        field: &str,
        number: &Spanned<i64>,
        range: RangeInclusive<u32>,
    ) -> Result<u32, ProfileError> {
        let value = *number.get_ref();
        u32::try_from(value)
            .ok()
            .filter(|value| range.contains(value))
            .ok_or_else(|| {
                let problem = format!(
                    "{value} is out of range; write {} to {}",
                    range.start(),
                    range.end()
                );
                self.error(&number.span(), field, problem)
            })
    }
}

/// The regex crate draws the place over several lines and says last what is wrong.
fn last_line(error: &regex::Error) -> String {
    let text = error.to_string();
    text.lines()
        .last()
        .unwrap_or_default()
        .trim_start_matches("error: ")
        .to_owned()
}
