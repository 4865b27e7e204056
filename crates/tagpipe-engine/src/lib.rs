//! The engine: one runner that claims pages, reads them at the site's pace and commits them, until its run
//! is done, its budget is spent or somebody stops it.
//!
//! It owns time: leases, heartbeats, concurrency, waiting. It knows neither SQL nor markup: pages come from a
//! [`Fetcher`](tagpipe_fetch::Fetcher), rules from `tagpipe-core`, and everything that is kept goes through
//! [`Store`](tagpipe_store::Store).
//!
//! # From a program
//!
//! [`Config`] says what is read and where it is kept, [`Pipeline`] does it, [`Shutdown`] stops it in order, and the
//! [`Summary`] tells what it came to; [`AuditLogger`] writes entries of one's own, [`status()`] and [`probe()`] look
//! at the database and at the site. `examples/` has whole programs.
//!
//! ```no_run
//! use tagpipe_engine::{Config, Pipeline, Shutdown, Start};
//!
//! # async fn read() -> Result<(), tagpipe_engine::RunError> {
//! let mut pipeline = Pipeline::open(Config::default()).await?;
//! let summary = pipeline.run(Start::New, &Shutdown::default()).await?;
//! println!("{}: {} new rows", summary.end, summary.rows.new);
//! pipeline.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! A second run with `Start::Resume(None)` goes on where the first was left, however that ended.

mod audit_logger;
mod commit_queue;
mod config;
mod document;
mod error;
mod heartbeat;
mod judgement;
mod news;
mod orchestrator;
mod pacer;
mod patience;
mod pipeline;
mod plan;
mod probe;
mod process;
mod progress;
mod reader;
mod reparse;
mod runner;
mod service;
mod settings;
mod shutdown;
mod status;
mod summary;

pub use audit_logger::AuditLogger;
pub use config::{Config, FetchMode, USER_AGENT, is_stand_in, stand_in_pace};
pub use document::{DamagedDocument, unpack};
pub use error::RunError;
pub use orchestrator::{Orchestration, Orchestrator, OrchestratorSettings, RunnerOrder, SeatPicture};
pub use pipeline::{Pipeline, Start, stored_site};
pub use plan::{Plan, PlannedLevel, plan};
pub use probe::{ProbeReport, ProbeResult, ProbedLevel, probe};
pub use progress::{LevelProgress, Progress};
pub use reparse::{FailedReparse, ReparseReport, ReparsedTable, reparse};
pub use service::{
    EffectiveSetting, Errand, Examined, JobRequest, Launcher, OrderError, PlannedJob, Request, RunOptions,
    Service, Timetable, WrongTimetable,
};
pub use settings::{Budget, Freshness, NewsLimits, RunSettings, Site, Verification, generated_runner_id};
pub use shutdown::{Shutdown, StopRequest};
pub use status::{RunStatus, Status, run_status, status};
pub use summary::{LeftOutSummary, LevelSummary, RunEnd, RunnerSummary, Summary, runner_summaries};
