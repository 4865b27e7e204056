//! What is told of a backup beside it: enough to know, without opening it, whether it is whole and what it would bring back.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{BackupError, BackupName, Sum};

/// A backup's manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// `tagpipe-backup`, by which it is known.
    pub format: String,
    /// The version of this layout.
    pub version: u32,
    /// The backup's name.
    pub name: String,
    /// The file with the data, in the same folder.
    pub object: String,
    /// That file: compressed, and encrypted if it is.
    pub stored: Sum,
    /// What is in it.
    pub content: Sum,
    /// How it is compressed: `zstd`.
    pub compression: String,
    /// How it is encrypted: `age`, or not at all.
    pub encryption: Option<String>,
    /// Whose data.
    pub engine: Engine,
    /// The engine's version.
    pub engine_version: String,
    /// For PostgreSQL, the schema that the tables are in.
    pub namespace: Option<String>,
    /// The tagpipe that made it.
    pub tagpipe: String,
    /// The migrations that the database has had, oldest first.
    pub migrations: Vec<String>,
    /// Rows by table, counted in the copy itself or in the snapshot that it was made of.
    pub tables: BTreeMap<String, u64>,
    /// When it was begun.
    pub started_at: Timestamp,
    /// When its data was stored.
    pub finished_at: Timestamp,
}

/// By what a manifest is known.
pub(super) const FORMAT: &str = "tagpipe-backup";
/// The layout of manifests that this build writes, and the newest that it reads.
pub(super) const VERSION: u32 = 1;
/// No manifest is longer: nothing a stranger puts there is read into memory without bound.
pub(super) const BYTES_MAX: usize = 1024 * 1024;

/// Whose data a backup holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// An SQLite file.
    Sqlite,
    /// What `pg_dump --format=custom` writes.
    Postgresql,
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Engine::Sqlite => "SQLite",
            Engine::Postgresql => "PostgreSQL",
        })
    }
}

impl Manifest {
    /// The format and version that this build writes.
    #[must_use]
    pub fn layout() -> (String, u32) {
        (FORMAT.to_owned(), VERSION)
    }

    /// Reads the manifest of the backup `name`.
    pub(super) fn parse(name: &BackupName, text: &[u8]) -> Result<Manifest, BackupError> {
        let damaged = |how: String| BackupError::Damaged {
            name: name.to_string(),
            how,
        };
        let raw: serde_json::Value = serde_json::from_slice(text)
            .map_err(|error| damaged(format!("its manifest cannot be read ({error})")))?;
        if raw["format"] != FORMAT {
            return Err(BackupError::Foreign {
                name: name.to_string(),
                how: "its manifest is not one of a backup of tagpipe's".to_owned(),
            });
        }
        if raw["version"]
            .as_u64()
            .is_some_and(|version| version > u64::from(VERSION))
        {
            return Err(BackupError::Newer {
                name: name.to_string(),
            });
        }
        let manifest: Manifest = serde_json::from_value(raw)
            .map_err(|error| damaged(format!("its manifest lacks something ({error})")))?;
        let expected = name.object(manifest.engine, manifest.encryption.is_some());
        if manifest.name != name.to_string() || manifest.object != expected {
            return Err(damaged("its manifest tells of another backup".to_owned()));
        }
        Ok(manifest)
    }

    /// The last migration that the database had; empty if none.
    #[must_use]
    pub fn schema(&self) -> &str {
        self.migrations.last().map_or("", String::as_str)
    }
}
