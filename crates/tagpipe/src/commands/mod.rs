//! The commands, one file each.

pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod check;
pub(crate) mod config;
pub(crate) mod db;
pub(crate) mod demo;
pub(crate) mod demo_site;
pub(crate) mod diff;
pub(crate) mod doctor;
pub(crate) mod export;
mod jobs;
mod launching;
mod looking;
pub(crate) mod manual;
pub(crate) mod notify;
pub(crate) mod orchestrate;
pub(crate) mod plan;
pub(crate) mod probe;
pub(crate) mod profile;
mod reading;
pub(crate) mod reparse;
pub(crate) mod restore;
pub(crate) mod retry;
pub(crate) mod run;
pub(crate) mod runs;
pub(crate) mod schedule;
pub(crate) mod serve;
pub(crate) mod show;
mod signals;
pub(crate) mod status;
pub(crate) mod token;

pub(crate) use signals::wait_for_signal;
