//! What can go wrong with backups, by what one can do about it.

use crate::destination::DestinationError;

/// A backup could not be made, found or opened.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The place does not do what it should.
    #[error("{0}")]
    Destination(#[from] DestinationError),
    /// No backup is there.
    #[error("there is no backup at `{0}`; `tagpipe backup --to {0}` makes one")]
    None(
        /// Where.
        String,
    ),
    /// A backup of this name is not there, or not complete.
    #[error(
        "there is no complete backup `{name}` at `{folder}`; `tagpipe backup list --from {folder}` shows what is there"
    )]
    NotThere {
        /// Which.
        name: String,
        /// Where.
        folder: String,
    },
    /// Its manifest, which comes last, is not there.
    #[error("the backup `{0}` has no manifest: it is under way, or was given up; take another one")]
    NoManifest(
        /// Which.
        String,
    ),
    /// It is not what was stored.
    #[error("the backup `{name}` is damaged: {how}; take another one")]
    Damaged {
        /// Which.
        name: String,
        /// In what way.
        how: String,
    },
    /// Somebody else's.
    #[error("`{name}` is not a backup of tagpipe's: {how}")]
    Foreign {
        /// Which.
        name: String,
        /// How that is seen.
        how: String,
    },
    /// Made by a tagpipe that knows more than this one.
    #[error("the backup `{name}` was made by a newer tagpipe; update tagpipe")]
    Newer {
        /// Which.
        name: String,
    },
    /// It is encrypted, and no key was given.
    #[error(
        "the backup `{0}` is encrypted; give the key with --identity FILE, or the passphrase with --passphrase-file FILE"
    )]
    NeedsKey(
        /// Which.
        String,
    ),
    /// None of the given keys opens it.
    #[error("the backup `{0}` was encrypted for another key or passphrase; none of those given opens it")]
    WrongKey(
        /// Which.
        String,
    ),
    /// What should be backed up cannot be read.
    #[error("cannot read what is backed up: {0}")]
    Source(
        /// What the machine said.
        std::io::Error,
    ),
    /// What was opened cannot be written.
    #[error(
        "cannot write what is in the backup to `{}`: {error}; is there room on that disk, and may this user write there?",
        .path.display()
    )]
    Scratch {
        /// Where.
        path: std::path::PathBuf,
        /// What the machine said.
        error: std::io::Error,
    },
    /// Encryption did not begin.
    #[error("cannot encrypt: {0}")]
    Encryption(
        /// What the library said.
        String,
    ),
    /// Somebody asked to stop.
    #[error("it was interrupted; nothing is left of it")]
    Stopped,
    /// A fault of tagpipe's.
    #[error("{0}")]
    Fault(
        /// What happened.
        String,
    ),
}
