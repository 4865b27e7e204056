//! Settings, in two stages: texts from five sources, merged (flags, environment, `.env`, `tagpipe.toml`,
//! defaults), each remembering where it came from; then checked values, built once.

mod checked;
mod dot_env;
mod known;
mod sources;

pub(crate) use checked::{LogFormat, database_url, log_format, log_level, parse_time, run_config, time_zone};
pub(crate) use known::KNOWN;
pub(crate) use sources::{Given, Merged, Shown};
