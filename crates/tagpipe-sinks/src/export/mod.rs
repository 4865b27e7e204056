//! Formats that tables are exported in: one file for each, and [`FORMATS`] lists them.
//!
//! A [`Format`] makes a [`FileWriter`], which takes tables and rows and writes bytes. It blocks, so it lives in a thread of its
//! own, fed through a channel that holds a few batches ([`ExportFile`]): memory does not depend on the number of rows. Around
//! it, from the inside out, stand compression (`compression.rs`), checksum (`tally.rs`) and the destination.
//!
//! What must hold: the same rows give the same bytes, so nothing here asks for the time, a random number or the order of a
//! hash map; every value comes back as what it was, or the format's file says where it does not.

mod arrow;
mod columnar;
mod compression;
mod csv;
mod error;
mod file;
mod json;
mod jsonl;
mod name;
mod parquet;
mod schema;
mod scratch;
mod sqlite;
mod tally;
mod target;
mod xlsx;

use std::io::Write;

use tagpipe_core::tabular::{Row, Table};

pub use compression::Compression;
pub use error::ExportError;
pub use file::{ExportFile, Written};
pub use name::{Texts, part_paths};
pub use schema::{FileSchema, SCHEMA_FILE, Schema, TableSchema, schema_name};
pub use scratch::Scratch;
pub use target::FileFormat;

/// A format of files.
pub trait Format: Sync {
    /// As it is asked for.
    fn name(&self) -> &'static str;

    /// Endings of file names that stand for it, without a dot; the first is the one that it gives.
    fn endings(&self) -> &'static [&'static str];

    /// What it is good for, in a few words.
    fn meaning(&self) -> &'static str;

    /// Whether a file takes several tables.
    fn takes_many_tables(&self) -> bool {
        false
    }

    /// Whether it is a text that another program may read while it is written.
    fn is_text(&self) -> bool {
        false
    }

    /// Why it is not compressed as a whole; `None` if it may be.
    fn why_not_compressed(&self) -> Option<&'static str> {
        None
    }

    /// Begins a file whose bytes go to `out`. `scratch` has a folder for what a format must write elsewhere first.
    ///
    /// # Errors
    /// [`ExportError::Scratch`] or [`ExportError::Writing`].
    fn begin<'a>(
        &self,
        out: &'a mut (dyn Write + Send),
        scratch: &Scratch,
    ) -> Result<Box<dyn FileWriter + 'a>, ExportError>;
}

/// Writes one file.
pub trait FileWriter {
    /// Begins a table. Only formats that say so take another one after the first.
    ///
    /// # Errors
    /// [`ExportError::Writing`].
    fn table(&mut self, table: &'static Table) -> Result<(), ExportError>;

    /// Adds rows to the table that was begun last.
    ///
    /// # Errors
    /// [`ExportError::DoesNotFit`], [`ExportError::Scratch`] or [`ExportError::Writing`].
    fn rows(&mut self, rows: &[Row]) -> Result<(), ExportError>;

    /// Writes what is left.
    ///
    /// # Errors
    /// [`ExportError::Writing`].
    fn finish(self: Box<Self>) -> Result<(), ExportError>;
}

/// All formats, in the order in which they are listed.
pub const FORMATS: &[&dyn Format] = &[
    &csv::Csv,
    &jsonl::JsonLines,
    &json::Json,
    &parquet::Parquet,
    &xlsx::Excel,
    &sqlite::Sqlite,
    &arrow::Arrow,
];
