//! What a person sees: progress while a run goes on, and its summary.

mod progress;
mod runners;
mod summary;

pub(crate) use progress::{Display, ShownProgress};
pub(crate) use runners::{at_work, brake_in_words};
pub(crate) use summary::{WayOn, brief, command_to_go_on, grouped, print_summary, verified_in_words};
