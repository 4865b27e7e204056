//! The profile as written: every value with its place in the text, nothing checked but names and types.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

pub(super) type Text = Spanned<String>;
pub(super) type Number = Spanned<f64>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawProfile {
    /// Checked before the rest, see [`RawFormat`].
    #[serde(rename = "format")]
    pub(super) _format: Spanned<i64>,
    pub(super) name: Text,
    pub(super) version: Text,
    pub(super) title: String,
    pub(super) site: RawSite,
    pub(super) pace: RawPace,
    #[serde(default)]
    pub(super) http: RawHttp,
    #[serde(default)]
    pub(super) browser: RawBrowser,
    pub(super) screens: RawScreens,
    pub(super) table: RawTable,
    pub(super) pager: Option<RawPager>,
    pub(super) grades: RawGrades,
    pub(super) levels: RawLevels,
}

/// The only thing that is read of a file whose format may be another.
#[derive(Debug, Deserialize)]
pub(super) struct RawFormat {
    pub(super) format: Option<Spanned<toml::Value>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSite {
    pub(super) origin: Text,
    pub(super) fetch: Text,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPace {
    pub(super) interval: Number,
    pub(super) advice: String,
    pub(super) brake_first: Number,
    pub(super) brake_growth: Number,
    pub(super) brake_most: Number,
    pub(super) brake_ease: Number,
    pub(super) give_up_after: Spanned<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHttp {
    pub(super) timeout: Option<Number>,
    pub(super) max_bytes: Option<Spanned<i64>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawBrowser {
    pub(super) timeout: Option<Number>,
    pub(super) settle: Option<Number>,
    #[serde(default)]
    pub(super) block: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawScreens {
    pub(super) not_found: Spanned<Vec<RawScreen>>,
    pub(super) empty: Spanned<Vec<RawScreen>>,
    #[serde(default)]
    pub(super) blocked: Option<Spanned<Vec<RawScreen>>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawScreen {
    pub(super) select: Text,
    #[serde(default)]
    pub(super) contains: Vec<Text>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTable {
    pub(super) row: Text,
    pub(super) cell: Text,
    pub(super) header: Text,
    #[serde(default)]
    pub(super) icon_words: Vec<Text>,
    pub(super) value_attribute: Option<Text>,
    #[serde(default)]
    pub(super) zero: Vec<String>,
    pub(super) totals: Option<Text>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPager {
    pub(super) text: Text,
    pub(super) pattern: Text,
    pub(super) next: Text,
    #[serde(default)]
    pub(super) next_contains: Option<Text>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawGrades {
    pub(super) scale: Spanned<Vec<Spanned<RawScaleEntry>>>,
    pub(super) text: Text,
    pub(super) cert: Text,
    pub(super) ordinal: Text,
    #[serde(default)]
    pub(super) dates: Vec<Text>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawScaleEntry {
    pub(super) code: String,
    pub(super) grade: Option<String>,
    pub(super) label: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLevels {
    pub(super) categories: Spanned<RawLevel>,
    pub(super) years: Spanned<RawLevel>,
    pub(super) sets: Spanned<RawLevel>,
    pub(super) cards: Spanned<RawLevel>,
    pub(super) grade_rows: Spanned<RawLevel>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLevel {
    pub(super) url: Text,
    pub(super) row: Option<Text>,
    pub(super) cell: Option<Text>,
    pub(super) header: Option<Text>,
    pub(super) link: Option<Text>,
    pub(super) counts_total: Option<Text>,
    #[serde(default)]
    pub(super) fields: BTreeMap<String, Spanned<RawField>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawField {
    pub(super) link: Option<Text>,
    pub(super) column: Option<Text>,
    pub(super) select: Option<Text>,
    pub(super) after: Option<Text>,
}
