//! Settings, in two stages: texts from five sources, merged (flags, environment, `.env`, `tagpipe.toml`,
//! defaults), each remembering where it came from; then checked values, built once.
//!
//! A runner that an orchestrator started has two sources: what the orchestrator hands down, and its flags.

mod channels;
mod checked;
mod data_out;
mod dot_env;
mod handed_down;
mod known;
mod sources;

pub(crate) use channels::{channels, dashboard_url};
pub(crate) use checked::{
    BackupSettings, LogFormat, RunnersSettings, backup_recipients, backup_settings, database_patience,
    database_url, log_format, log_level, parse_time, run_config, runners_settings, schedule, time_zone,
    web_settings,
};
pub(crate) use data_out::{backup_schedule, export_settings};
pub(crate) use handed_down::HANDED_DOWN;
pub(crate) use known::{KNOWN, RUN_OPTIONS};
pub(crate) use sources::{Given, Merged, Shown};
