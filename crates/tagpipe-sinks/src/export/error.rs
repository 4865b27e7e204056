//! What can go wrong with an export, by what one can do about it.

use crate::destination::DestinationError;

/// An export that did not come about. What was finished before stays; nothing half is seen.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// What was asked for does not go together.
    #[error("{0}")]
    Usage(String),
    /// The format has no room for a value.
    #[error("{0}")]
    DoesNotFit(String),
    /// The place that it should go to.
    #[error(transparent)]
    Destination(#[from] DestinationError),
    /// The folder where the file is put together first.
    #[error(
        "cannot put the file together in `{folder}`: {reason}; make room, or set TMPDIR to a folder that has it"
    )]
    Scratch {
        /// Which one.
        folder: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Whoever read standard output does not any more.
    #[error("nobody reads the output any more")]
    NobodyReads,
    /// It was to stop before its end.
    #[error("the export was stopped; nothing half is left")]
    Stopped,
    /// Writing failed, here or on the way.
    #[error("cannot write: {0}")]
    Writing(String),
}

impl From<std::io::Error> for ExportError {
    fn from(error: std::io::Error) -> ExportError {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return ExportError::NobodyReads;
        }
        match error.downcast::<DestinationError>() {
            Ok(error) => ExportError::Destination(error),
            Err(error) => ExportError::Writing(error.to_string()),
        }
    }
}
