//! `/system`: whether everything is in order, and how it is set.

use askama::Template;

use super::Frame;
use crate::dashboard::show::When;

/// The page.
#[derive(Debug, Clone, Template)]
#[template(path = "system.html")]
pub(crate) struct SystemPage {
    /// What surrounds it.
    pub(crate) frame: Frame,
    /// What the doctor found; empty if it was not asked to look.
    pub(crate) findings: Vec<FindingRow>,
    /// Every setting in effect, secrets masked.
    pub(crate) settings: Vec<SettingRow>,
    /// The tokens, without their secrets.
    pub(crate) tokens: Vec<TokenRow>,
    /// What this service is: name and value.
    pub(crate) facts: Vec<(&'static str, String)>,
}

/// A finding of the doctor.
#[derive(Debug, Clone)]
pub(crate) struct FindingRow {
    /// What was looked at.
    pub(crate) what: String,
    /// `good`, `warn`, `bad`, or `idle` for what was left out.
    pub(crate) tone: &'static str,
    /// What was found.
    pub(crate) found: String,
    /// What to do about it; empty if nothing.
    pub(crate) remedy: String,
}

impl FindingRow {
    /// The tone as a word, since colour alone must not carry it.
    #[must_use]
    pub(crate) fn word(&self) -> &'static str {
        match self.tone {
            "good" => "fine",
            "warn" => "look at it",
            "idle" => "left out",
            _ => "fault",
        }
    }
}

/// A setting.
#[derive(Debug, Clone)]
pub(crate) struct SettingRow {
    /// Its name.
    pub(crate) name: String,
    /// Its value, masked if it is secret.
    pub(crate) value: String,
    /// Where it was set.
    pub(crate) origin: String,
}

/// A token.
#[derive(Debug, Clone)]
pub(crate) struct TokenRow {
    /// Its name.
    pub(crate) name: String,
    /// `read` or `control`.
    pub(crate) scope: &'static str,
    /// When it was made.
    pub(crate) created_at: When,
    /// When it was last used.
    pub(crate) used_at: Option<When>,
    /// When it ceased to hold.
    pub(crate) revoked_at: Option<When>,
}
