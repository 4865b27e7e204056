//! The file beside an export that says what it is: tables, columns with units and meanings, which rows, of which state of
//! the database, and checksums.
//!
//! It is written last: where it is, everything that it names is there. It has no time of writing, so that two exports of one
//! state are the same.

use serde::Serialize;
use tagpipe_core::tabular::Table;

/// What the schema file in a folder of exported files is called.
pub const SCHEMA_FILE: &str = "schema.json";

/// What the schema file beside a single exported file is called.
#[must_use]
pub fn schema_name(file: &str) -> String {
    format!("{file}.{SCHEMA_FILE}")
}

/// What an export is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Schema {
    /// The version of tagpipe that made it.
    pub tagpipe: &'static str,
    /// The newest migration of the database that it was made from.
    pub schema_version: String,
    /// Name of the format.
    pub format: &'static str,
    /// `none`, `gzip` or `zstd`.
    pub compression: &'static str,
    /// How the newest runs ended, and when the data was read.
    pub standing: serde_json::Value,
    /// Which rows were asked for.
    pub selection: serde_json::Value,
    /// The tables.
    pub tables: Vec<TableSchema>,
    /// The files, in the order in which they were written.
    pub files: Vec<FileSchema>,
}

/// A table of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableSchema {
    /// Its columns, what they mean, and how its rows are ordered.
    #[serde(flatten)]
    pub table: Table,
    /// Its rows in all files.
    pub rows: u64,
}

/// A file of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileSchema {
    /// Its name, from the folder of the schema file on.
    pub name: String,
    /// The tables in it.
    pub tables: Vec<&'static str>,
    /// The category, year or set that its rows are of: names from the category down. Not given for a whole table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<Vec<String>>,
    /// Rows of all its tables.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
}

impl Schema {
    /// As it is written: readable, with a line end.
    ///
    /// # Errors
    /// None that is known: everything in it has a form in JSON.
    pub fn text(&self) -> Result<String, serde_json::Error> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }
}
