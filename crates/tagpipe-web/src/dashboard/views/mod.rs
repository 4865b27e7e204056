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
mod error;
mod login;
mod overview;
mod run;
mod runs;
mod schedules;
mod search;
mod system;

pub use self::analytics::*;
pub use self::audit::*;
pub use self::card::*;
pub use self::catalogue::*;
pub use self::error::*;
pub use self::login::*;
pub use self::overview::*;
pub use self::run::*;
pub use self::runs::*;
pub use self::schedules::*;
pub use self::search::*;
pub use self::system::*;

/// What surrounds every page.
#[derive(Debug, Clone, Default)]
pub struct Frame {
    /// The page's name, for its title and the end of the breadcrumb.
    pub title: String,
    /// The entry of the navigation it belongs to: `overview`, `runs`, `catalogue`, `audit`, `analytics`, `schedules`
    /// or `system`; empty for none.
    pub section: &'static str,
    /// The pages above it, from the outermost.
    pub crumbs: Vec<Crumb>,
    /// What stands in the search box.
    pub query: String,
    /// Whether the viewer may start and steer runs; without it, no button is shown that would be refused.
    pub can_control: bool,
    /// Whether there is a session to end.
    pub is_signed_in: bool,
    /// Whether the page draws a chart and needs the files for it.
    pub has_chart: bool,
    /// What came of the form that was sent before.
    pub notice: Option<Notice>,
    /// This program's version.
    pub version: &'static str,
    /// Address of the reference of the API.
    pub reference: &'static str,
}

/// A step of a breadcrumb.
#[derive(Debug, Clone)]
pub struct Crumb {
    /// Its name.
    pub name: String,
    /// Its address.
    pub href: String,
}

/// A sentence about what was just done.
#[derive(Debug, Clone)]
pub struct Notice {
    /// How it sounds: `good`, `info`, `warn` or `bad`.
    pub tone: &'static str,
    /// The sentence.
    pub text: String,
}
