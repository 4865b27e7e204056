//! What the service asks of the program around it: which settings there are, how a run's process is started, how healthy the
//! installation is.

use std::process::Command;

use async_trait::async_trait;
use serde::Serialize;
use tagpipe_store::contract::RunId;
use tagpipe_store::{JobKind, Store};

use super::OrderError;
use super::jobs::PlannedJob;
use super::options::RunOptions;

/// The program around the service.
#[async_trait]
pub trait Launcher: Send + Sync + 'static {
    /// Whether a run can be made with these options.
    ///
    /// # Errors
    /// In words: which one is wrong, and what would be right.
    fn check(&self, options: &RunOptions) -> Result<(), String>;

    /// The process that carries out an order.
    ///
    /// # Errors
    /// In words: why there is none.
    fn command(&self, errand: &Errand<'_>) -> Result<Command, String>;

    /// Whether a job can be done with these options, as far as it can be told before it begins: with what is in `store` now.
    ///
    /// # Errors
    /// [`OrderError::WrongOptions`] says in words which one is wrong, and what would be right; [`OrderError::Store`] is the
    /// database's.
    async fn check_job(&self, store: &Store, kind: JobKind, options: &RunOptions) -> Result<(), OrderError>;

    /// The process that does a job. What it prints is JSON, the job's result.
    ///
    /// # Errors
    /// In words: why there is none.
    fn job_command(&self, kind: JobKind, options: &RunOptions) -> Result<Command, String>;

    /// The jobs that the settings order by a timetable.
    fn planned_jobs(&self) -> Vec<PlannedJob>;

    /// The settings that are in effect, secrets masked.
    fn settings(&self) -> Vec<EffectiveSetting>;

    /// Looks at everything a run needs, as `tagpipe doctor` does.
    async fn examine(&self) -> Vec<Examined>;
}

/// What a process is started for.
#[derive(Debug, Clone, PartialEq)]
pub struct Errand<'a> {
    /// The order that it carries out.
    pub order: i64,
    /// The settings asked for.
    pub options: &'a RunOptions,
    /// The run to go on with; `None` to begin one.
    pub resume: Option<RunId>,
}

/// A setting as it is in effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EffectiveSetting {
    /// Its key in `tagpipe.toml`.
    pub key: String,
    /// Its value; a secret is masked.
    pub value: Option<String>,
    /// Where it was set.
    pub origin: String,
}

/// What an examination found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Examined {
    /// What was looked at.
    pub check: String,
    /// `ok`, `warning`, `error` or `skipped`.
    pub state: String,
    /// What was seen.
    pub finding: String,
    /// What to do about it; empty if nothing.
    pub remedy: String,
}
