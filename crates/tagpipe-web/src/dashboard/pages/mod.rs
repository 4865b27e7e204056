//! One file for each page: what it asks of the store, and how that becomes what the page shows.

pub(crate) mod analytics;
pub(crate) mod audit;
pub(crate) mod card;
pub(crate) mod catalogue;
pub(crate) mod data;
pub(crate) mod login;
pub(crate) mod news;
pub(crate) mod overview;
pub(crate) mod run;
pub(crate) mod runs;
pub(crate) mod schedules;
pub(crate) mod search;
pub(crate) mod system;
