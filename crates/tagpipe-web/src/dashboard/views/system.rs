//! `/system`: whether everything is in order, and how it is set.

use askama::Template;

use super::Frame;
use crate::dashboard::show::When;

/// The page.
#[derive(Debug, Clone, Template)]
#[template(path = "system.html")]
pub struct SystemPage {
    /// What surrounds it.
    pub frame: Frame,
    /// What the doctor found, faults first.
    pub findings: Vec<FindingRow>,
    /// When it looked; none while it still does.
    pub checked_at: Option<When>,
    /// Every setting in effect, secrets masked.
    pub settings: Vec<SettingRow>,
    /// The tokens, without their secrets.
    pub tokens: Vec<TokenRow>,
    /// What this service is: name and value.
    pub facts: Vec<(&'static str, String)>,
}

/// A finding of the doctor.
#[derive(Debug, Clone)]
pub struct FindingRow {
    /// What was looked at.
    pub what: String,
    /// `good`, `warn` or `bad`.
    pub tone: &'static str,
    /// What was found.
    pub found: String,
    /// What to do about it; empty if nothing.
    pub remedy: String,
}

impl FindingRow {
    /// The tone as a word, since colour alone must not carry it.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self.tone {
            "good" => "fine",
            "warn" => "look at it",
            _ => "fault",
        }
    }
}

/// A setting.
#[derive(Debug, Clone)]
pub struct SettingRow {
    /// Its name.
    pub name: String,
    /// Its value, masked if it is secret.
    pub value: String,
    /// Where it was set.
    pub origin: String,
}

/// A token.
#[derive(Debug, Clone)]
pub struct TokenRow {
    /// Its name.
    pub name: String,
    /// `read` or `control`.
    pub scope: &'static str,
    /// When it was made.
    pub created_at: When,
    /// When it was last used.
    pub used_at: Option<When>,
    /// When it ceased to hold.
    pub revoked_at: Option<When>,
}
