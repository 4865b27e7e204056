//! Why a run could not be started or went no further.

use tagpipe_store::StoreError;

/// A failure that no retry of a page can mend.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The database went away and did not come back in time, or refused.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The database could not be opened.
    #[error("{0}")]
    Opening(#[source] StoreError),
    /// Nothing can be fetched: no browser, for example.
    #[error("{0}")]
    Fetch(String),
    /// There is nothing to do; the text says why, and what to do instead.
    #[error("{0}")]
    NothingToDo(String),
    /// Others have given this runner up, because nothing was heard of it, and have its pages.
    #[error(
        "this runner was given up by others, who heard nothing of it in time; run {0} goes on without it"
    )]
    GivenUp(i64),
    /// What was asked for contradicts what is stored.
    #[error("{0}")]
    Usage(String),
}
