//! What each page shows: one file per page, with the template's struct and nothing that the template does not show.
//!
//! The fields are plain values, already chosen, counted and put into words; a template decides about markup alone.
//! Whoever fills them escapes nothing, because askama does. Addresses (`href`) are made by us from numbers or
//! percent-encoded text, never taken from the site.
//!
//! A part that is sent again over an event stream is a template of its own under `templates/live`. Its struct here has
//! the one field that the whole page has under the same name, so that the page can include the same file.

mod analytics;
mod audit;
mod card;
mod catalogue;
mod data;
mod error;
mod login;
mod news;
mod overview;
mod run;
mod runs;
mod schedules;
mod search;
mod system;

pub(crate) use self::analytics::*;
pub(crate) use self::audit::*;
pub(crate) use self::card::*;
pub(crate) use self::catalogue::*;
pub(crate) use self::data::*;
pub(crate) use self::error::*;
pub(crate) use self::login::*;
pub(crate) use self::news::*;
pub(crate) use self::overview::*;
pub(crate) use self::run::*;
pub(crate) use self::runs::*;
pub(crate) use self::schedules::*;
pub(crate) use self::search::*;
pub(crate) use self::system::*;

/// What surrounds every page.
#[derive(Debug, Clone, Default)]
pub(crate) struct Frame {
    /// The page's name, for its title and the end of the breadcrumb.
    pub(crate) title: String,
    /// The entry of the navigation it belongs to: `overview`, `runs`, `catalogue`, `audit`, `analytics`, `schedules`,
    /// `data`, `news` or `system`; empty for none.
    pub(crate) section: &'static str,
    /// The pages above it, from the outermost.
    pub(crate) crumbs: Vec<Crumb>,
    /// What stands in the search box.
    pub(crate) query: String,
    /// Whether the viewer may start and steer runs; without it, no button is shown that would be refused.
    pub(crate) can_control: bool,
    /// Whether there is a session to end.
    pub(crate) is_signed_in: bool,
    /// Whether the page draws a chart and needs the files for it.
    pub(crate) has_chart: bool,
    /// What came of the form that was sent before.
    pub(crate) notice: Option<Notice>,
    /// This program's version.
    pub(crate) version: &'static str,
    /// Address of the reference of the API.
    pub(crate) reference: &'static str,
}

/// A step of a breadcrumb.
#[derive(Debug, Clone)]
pub(crate) struct Crumb {
    /// Its name.
    pub(crate) name: String,
    /// Its address.
    pub(crate) href: String,
}

/// A sentence about what was just done.
#[derive(Debug, Clone)]
pub(crate) struct Notice {
    /// How it sounds: `good`, `info`, `warn` or `bad`.
    pub(crate) tone: &'static str,
    /// The sentence.
    pub(crate) text: String,
}
