//! Backups as they are kept: one object each, compressed and perhaps encrypted, and a manifest that tells of it.
//!
//! What is in an object, and how a database makes and takes it, is none of this module's business. What must hold:
//!
//! - The manifest is written last: a backup that has one is complete.
//! - A backup is opened only if it is the one that its manifest tells of, to the last bit.
//! - Nothing that tagpipe has not put there is ever removed, and never the newest backup.

mod encryption;
mod error;
mod manifest;
mod name;
mod opening;
mod retention;
mod sealing;
mod shelf;
mod sum;

pub use encryption::{Identities, InvalidKey, Recipients};
pub use error::BackupError;
pub use manifest::{Engine, Manifest};
pub use name::BackupName;
pub use opening::open_into;
pub use retention::{InvalidRetention, Retention};
pub use sealing::{Sealed, Sealing, Stop, seal};
pub use shelf::{Incomplete, Removal, Shelf};
pub use sum::Sum;
