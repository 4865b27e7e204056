//! Whether an SQLite database is still the file at its path. A file that is removed or replaced while it is open goes on
//! taking writes that nobody will ever see: the worst kind of loss, because everything looks well.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::StoreError;

/// A file as it was when it was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DatabaseFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl DatabaseFile {
    /// The file at `path`, just opened; `None` where the system does not tell files apart.
    pub(crate) fn at(path: &Path) -> Option<DatabaseFile> {
        // An absolute path stays right when the process changes its folder.
        let path = std::path::absolute(path).ok()?;
        let found = std::fs::metadata(&path).ok()?;
        Some(DatabaseFile {
            path,
            device: found.dev(),
            inode: found.ino(),
        })
    }

    /// Refuses to go on when another file, or none, is at the path now.
    ///
    /// # Errors
    /// [`StoreError::Gone`].
    pub(crate) fn ensure_in_place(&self) -> Result<(), StoreError> {
        let what = match std::fs::metadata(&self.path) {
            Ok(found) if (found.dev(), found.ino()) == (self.device, self.inode) => return Ok(()),
            Ok(_) => "was replaced by another file",
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => "was removed or moved away",
            // A folder that cannot be looked into just now says nothing about the file.
            Err(_) => return Ok(()),
        };
        Err(StoreError::Gone(format!(
            "the database `{}` {what} while it was in use; put it back, or what it held is lost",
            self.path.display()
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_longer_there_is_noticed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tagpipe.db");
        std::fs::write(&path, "one").expect("a file");
        let file = DatabaseFile::at(&path).expect("it is there");
        std::fs::write(&path, "the same file, written to").expect("a file");
        file.ensure_in_place().expect("the same file");

        let aside = folder.path().join("aside");
        std::fs::rename(&path, &aside).expect("moved");
        let removed = file.ensure_in_place().expect_err("it is gone").to_string();
        assert!(removed.contains("removed or moved away"), "{removed}");
        std::fs::write(&path, "another").expect("a file");
        let replaced = file.ensure_in_place().expect_err("another one").to_string();
        assert!(replaced.contains("replaced by another file"), "{replaced}");
        std::fs::rename(&aside, &path).expect("put back");
        file.ensure_in_place().expect("it is back");
    }
}
