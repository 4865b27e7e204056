//! Room on the disk for formats that are put together there before a byte of them can be written.

use std::cell::OnceCell;
use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use super::ExportError;
use crate::scratch::ScratchFolder;

/// A folder among the system's temporary files, made when it is first asked for and removed with this.
#[derive(Debug, Default)]
pub struct Scratch(OnceCell<ScratchFolder>);

impl Scratch {
    /// The folder.
    ///
    /// # Errors
    /// [`ExportError::Scratch`].
    pub fn folder(&self) -> Result<&Path, ExportError> {
        if let Some(made) = self.0.get() {
            return Ok(made.path());
        }
        let among = std::env::temp_dir();
        let made = ScratchFolder::make_in(&among).map_err(|error| failed(&among, &error))?;
        Ok(self.0.get_or_init(|| made).path())
    }
}

/// The room that is left in a folder.
#[derive(Debug)]
pub(super) struct Room {
    folder: PathBuf,
    /// A file without a name, which takes up room for a moment.
    taken: File,
}

impl Room {
    pub(super) fn in_folder(folder: &Path) -> Result<Room, ExportError> {
        let taken = tempfile::tempfile_in(folder).map_err(|error| failed(folder, &error))?;
        Ok(Room {
            folder: folder.to_owned(),
            taken,
        })
    }

    /// Fails unless `bytes` more fit into the folder, by its disk and by a quota.
    pub(super) fn require(&self, bytes: u64) -> Result<(), ExportError> {
        match fallocate(&self.taken, FallocateFlags::empty(), 0, bytes) {
            Ok(()) => self
                .taken
                .set_len(0)
                .map_err(|error| failed(&self.folder, &error)),
            // Not every file system can tell.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            Err(error) => Err(failed(&self.folder, &error)),
        }
    }
}

/// Something that could not be written to `folder`.
pub(super) fn failed(folder: &Path, reason: &dyn std::fmt::Display) -> ExportError {
    ExportError::Scratch {
        folder: folder.display().to_string(),
        reason: reason.to_string(),
    }
}
