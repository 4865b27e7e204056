//! What leaves tagpipe, and where it goes.
//!
//! - `backup/`: how backups are named, described, compressed, encrypted, kept and found again.
//! - `destination/`: files and cloud storage behind one type of address.
//! - `export/`: one file for each format; `export/mod.rs` lists them.
//! - `notify/`: one file for each way to tell people; `notify/mod.rs` lists them.
//! - `scratch.rs`: folders for what is put together on the disk first.

pub mod backup;
pub mod destination;
pub mod export;
pub mod notify;
pub mod scratch;
