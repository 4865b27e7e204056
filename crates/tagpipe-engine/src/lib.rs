//! The engine: one runner that claims pages, reads them at the site's pace and commits them, until its run
//! is done, its budget is spent or somebody stops it.
//!
//! It owns time: leases, heartbeats, concurrency, waiting. It knows neither SQL nor markup: pages come from a
//! [`Fetcher`](tagpipe_fetch::Fetcher), rules from `tagpipe-core`, and everything that is kept goes through
//! [`Store`](tagpipe_store::Store).

mod audit_logger;
mod commit_queue;
mod config;
mod error;
mod judgement;
mod pacer;
mod patience;
mod pipeline;
mod probe;
mod progress;
mod reader;
mod runner;
mod settings;
mod shutdown;
mod status;
mod summary;

pub use audit_logger::AuditLogger;
pub use config::{Config, FetchMode, USER_AGENT, is_stand_in, stand_in_pace};
pub use error::RunError;
pub use pipeline::{Pipeline, Start};
pub use probe::{ProbeReport, ProbeResult, ProbedLevel, probe};
pub use progress::{LevelProgress, Progress};
pub use settings::{Budget, RunSettings, Site, generated_runner_id};
pub use shutdown::{Shutdown, StopRequest};
pub use status::{RunStatus, Status, run_status, status};
pub use summary::{LevelSummary, RunEnd, Summary};
