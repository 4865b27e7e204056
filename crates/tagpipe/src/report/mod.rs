//! What a person sees: progress while a run goes on, and its summary.

mod progress;
mod summary;

pub(crate) use progress::Display;
pub(crate) use summary::{grouped, print_summary, resume_command};
