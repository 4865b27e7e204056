//! What a person sees: progress while a run goes on, and its summary.

mod progress;
mod runners;
mod summary;

pub(crate) use progress::Display;
pub(crate) use runners::{at_work, brake_in_words};
pub(crate) use summary::{grouped, print_summary, resume_command, verified_in_words};
