//! Exit codes: part of the contract with scripts.

use std::fmt;
use std::process::ExitCode;

use tagpipe_engine::{RunEnd, RunError, Start};
use tagpipe_sinks::backup::BackupError;
use tagpipe_store::StoreError;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// All read and the sums agree.
    Done = 0,
    /// Could not run.
    CouldNotRun = 1,
    /// Wrong usage or setting.
    Usage = 2,
    /// Finished, some pages failed.
    PagesFailed = 3,
    /// All read, but sums disagree.
    SumsDisagree = 4,
    /// A budget ended it.
    BudgetSpent = 5,
    /// The site kept refusing.
    KeptRefusing = 6,
    /// The database went away.
    DatabaseGone = 7,
    /// The site's layout no longer fits the profile.
    LayoutChanged = 8,
    /// Interrupted by Ctrl-C (SIGINT).
    Interrupted = 130,
    /// Interrupted by SIGTERM, or by SIGHUP, which a closed terminal sends.
    Terminated = 143,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

impl Exit {
    /// The exit code of a run that ended so.
    pub(crate) fn of_run(end: &RunEnd, terminated: bool) -> Exit {
        match end {
            RunEnd::Reconciled => Exit::Done,
            RunEnd::PagesFailed => Exit::PagesFailed,
            RunEnd::Disputed => Exit::SumsDisagree,
            RunEnd::BudgetSpent(_) => Exit::BudgetSpent,
            RunEnd::KeptRefusing(_) => Exit::KeptRefusing,
            RunEnd::LayoutChanged(_) => Exit::LayoutChanged,
            RunEnd::RunnersLost(_) => Exit::CouldNotRun,
            RunEnd::Interrupted if terminated => Exit::Terminated,
            RunEnd::Interrupted => Exit::Interrupted,
        }
    }
}

/// Why the program ends without a result: what went wrong, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn could_not_run(message: impl Into<String>) -> Failure {
        Failure {
            exit: Exit::CouldNotRun,
            message: message.into(),
        }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Failure {
        Failure {
            exit: Exit::Usage,
            message: message.into(),
        }
    }

    /// A failure of the store before anything was begun: nothing is lost, so the database did not go away.
    pub(crate) fn opening(error: &StoreError) -> Failure {
        Failure::could_not_run(error.to_string())
    }
}

impl Failure {
    /// Why a run could not be gone on with: a database that is away, after it was waited for, went away.
    pub(crate) fn of_going_on(error: RunError, start: Start) -> Failure {
        match error {
            RunError::Opening(error @ StoreError::Unavailable(_)) if start != Start::New => {
                Failure::from(RunError::Store(error))
            }
            other => Failure::from(other),
        }
    }

    /// The same, told among the words of others.
    pub(crate) fn of_runner(self, runner_id: &str) -> Failure {
        Failure {
            message: format!("{runner_id}: {}", self.message),
            ..self
        }
    }

    /// A failure of the store while it was looked at.
    pub(crate) fn reading(error: &StoreError) -> Failure {
        let exit = match error {
            StoreError::Unavailable(_) | StoreError::Gone(_) => Exit::DatabaseGone,
            _ => Exit::CouldNotRun,
        };
        Failure {
            exit,
            message: error.to_string(),
        }
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Failure {
        let exit = match &error {
            RunError::Store(StoreError::Unavailable(_) | StoreError::Gone(_)) => Exit::DatabaseGone,
            RunError::Usage(_) => Exit::Usage,
            _ => Exit::CouldNotRun,
        };
        let hint = match &error {
            RunError::Store(StoreError::Unavailable(_)) => {
                "; what was committed is kept: the same command with --resume goes on when it is back"
            }
            _ => "",
        };
        Failure {
            exit,
            message: format!("{error}{hint}"),
        }
    }
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Failure {
        Failure::could_not_run(error.to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\u{1b}[1;31merror:\u{1b}[0m {}", self.message)
    }
}
