//! Where a backup lies while it is made or opened.

use std::io::ErrorKind;
use std::path::Path;

use tagpipe_sinks::scratch::ScratchFolder;
use tagpipe_store::DatabaseUrl;

use crate::exit::Failure;

/// A folder beside an SQLite database, whose disk has room for one like it and where it is renamed to its place; else among
/// the system's temporary files.
pub(in crate::commands) fn scratch_beside(url: &DatabaseUrl) -> Result<ScratchFolder, Failure> {
    let folder = match url {
        DatabaseUrl::Sqlite(path) => match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => Path::new(".").to_owned(),
        },
        _ => std::env::temp_dir(),
    };
    ScratchFolder::make_in(&folder).map_err(|error| {
        Failure::could_not_run(match error.kind() {
            ErrorKind::NotADirectory => format!(
                "`{}` is a file, and a folder should be there; name another place for the database",
                folder.display()
            ),
            _ => format!(
                "cannot make a folder in `{}`: {error}; make it, or correct its rights",
                folder.display()
            ),
        })
    })
}
