//! Many runners on one run: starts their processes, watches and replaces them, and sums up.
//!
//! The runners share everything through the database alone: frontier, pace, the right to close the run. An orchestrator
//! is therefore in nobody's way. Killed, it leaves runners that go on to the end by themselves; started again, it finds
//! the run and them, and watches on.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use tagpipe_store::Store;
use tagpipe_store::contract::RunId;
use tokio::sync::watch;

use crate::config::Config;
use crate::error::RunError;
use crate::pipeline::{Pipeline, Start};
use crate::shutdown::Shutdown;
use crate::summary::Summary;
pub(crate) use process::{Exit, RunnerProcess};
use watching::Watching;

mod health;
mod picture;
mod process;
mod seat;
mod watching;

pub use picture::{Orchestration, SeatPicture};

/// How an orchestrator keeps its runners.
#[derive(Debug, Clone)]
pub struct OrchestratorSettings {
    /// Runners at work at a time, at least 1. They are called `runner_1`, `runner_2` and so on.
    pub num_runners: usize,
    /// How often they are looked over. That one has died is noticed at once.
    pub check_interval: Duration,
    /// A runner that uses more memory, in bytes, its browser's included, is replaced.
    pub runner_memory_max: u64,
    /// Deaths in a row after which a runner is not started again.
    pub deaths_max: u32,
    /// Pause before a runner that died is started again; it doubles with each further death in a row, up to a minute.
    pub restart_pause: Duration,
}

impl Default for OrchestratorSettings {
    fn default() -> OrchestratorSettings {
        OrchestratorSettings {
            num_runners: 3,
            check_interval: Duration::from_secs(10),
            runner_memory_max: 2 << 30,
            deaths_max: 5,
            restart_pause: Duration::from_secs(1),
        }
    }
}

/// What a runner's process is to do: join a run under a name. Everything else it takes from settings of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunnerOrder {
    /// The run, for [`Start::Join`].
    pub run: RunId,
    /// The name, for [`RunSettings::runner_id`](crate::RunSettings).
    pub runner_id: String,
    /// Pages it may read, for [`Budget::max_pages`](crate::Budget).
    pub max_pages: Option<u64>,
    /// Time it may take, for [`Budget::max_duration`](crate::Budget).
    pub max_duration: Option<Duration>,
}

/// Makes the command that starts a runner.
type RunnerCommand = Arc<dyn Fn(&RunnerOrder) -> Command + Send + Sync>;
/// Takes the lines that runners log.
type LogLines = Arc<dyn Fn(&str) + Send + Sync>;

/// Starts, watches and replaces the runners of one run.
///
/// A runner is a process of its own that joins the run with [`Start::Join`]; `examples/custom_runners.rs` is a whole
/// program that is both orchestrator and runner.
pub struct Orchestrator {
    pipeline: Pipeline,
    settings: OrchestratorSettings,
    command: RunnerCommand,
    lines: Option<LogLines>,
    picture: watch::Sender<Orchestration>,
}

impl Orchestrator {
    /// An orchestrator with its database open. `command` makes the command of a runner's process, which must use the
    /// same database and site as `config`; its exit code is taken to mean what that of `tagpipe run` does. The
    /// `config`'s budget is that of all runners together.
    ///
    /// # Errors
    /// [`RunError::Opening`] when the database cannot be used, [`RunError::Fetch`] when there is no Chromium and
    /// the site needs one, [`RunError::Usage`] for a dry run, which has no database that runners could share.
    pub async fn open(
        mut config: Config,
        settings: OrchestratorSettings,
        command: impl Fn(&RunnerOrder) -> Command + Send + Sync + 'static,
    ) -> Result<Orchestrator, RunError> {
        if config.dry_run {
            return Err(RunError::Usage(
                "a dry run keeps its rows in memory, which runners cannot share".to_owned(),
            ));
        }
        "orchestrator".clone_into(&mut config.run.runner_id);
        Ok(Orchestrator {
            pipeline: Pipeline::open(config).await?,
            settings,
            command: Arc::new(command),
            lines: None,
            picture: watch::Sender::default(),
        })
    }

    /// Hands the runners' log lines to `lines`. Otherwise they go where the orchestrator's own standard error goes.
    #[must_use]
    pub fn with_log_lines(mut self, lines: impl Fn(&str) + Send + Sync + 'static) -> Orchestrator {
        self.lines = Some(Arc::new(lines));
        self
    }

    /// What it keeps its data in.
    #[must_use]
    pub fn store(&self) -> &Store {
        self.pipeline.store()
    }

    /// How the run and its runners stand, while it runs.
    #[must_use]
    pub fn picture(&self) -> watch::Receiver<Orchestration> {
        self.picture.subscribe()
    }

    /// Keeps the runners at work until the run is read or something stops it. A run of the same pages whose orchestrator
    /// was killed is taken up, [`Start::New`] or not.
    ///
    /// # Errors
    /// When the run could not be started, or somebody else orchestrates it. What was committed stays.
    pub async fn run(&mut self, start: Start, shutdown: &Shutdown) -> Result<Summary, RunError> {
        match Watching::begin(self, start, shutdown).await? {
            Ok(watching) => watching.watch(shutdown).await,
            Err(ended) => Ok(ended),
        }
    }

    /// Ends everything it started, except runners, which end by themselves.
    pub async fn close(self) {
        self.pipeline.close().await;
    }
}
