//! The commands, one file each.

pub(crate) mod db;
pub(crate) mod demo;
pub(crate) mod demo_site;
pub(crate) mod profile;
pub(crate) mod run;
