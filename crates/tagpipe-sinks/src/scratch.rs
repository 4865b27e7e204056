//! Folders for what lies on the disk while a backup or a file of an export is put together.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// A folder that is removed with this. One whose process was killed is removed by the next.
#[derive(Debug)]
pub struct ScratchFolder {
    folder: PathBuf,
    /// Locked as long as its process lives, by which the next one knows.
    _lock: File,
}

/// How such folders are called.
const PREFIX: &str = ".tagpipe-scratch-";
/// The file in it that is locked.
const LOCK: &str = "lock";

impl ScratchFolder {
    /// Makes one in `folder`, and removes those there that killed processes have left.
    ///
    /// # Errors
    /// What the file system says.
    pub fn make_in(folder: &Path) -> io::Result<ScratchFolder> {
        sweep(folder);
        loop {
            if let Some(made) = ScratchFolder::make(folder)? {
                return Ok(made);
            }
        }
    }

    /// `None` if somebody has swept it away before it was locked.
    fn make(folder: &Path) -> io::Result<Option<ScratchFolder>> {
        let name = format!("{PREFIX}{}-{:08x}", std::process::id(), fastrand::u32(..));
        let folder = folder.join(name);
        // Others have no business with what is in it.
        DirBuilder::new().mode(0o700).create(&folder)?;
        let lock = File::create(folder.join(LOCK))?;
        lock.lock()?;
        let is_there = folder.join(LOCK).exists();
        Ok(is_there.then_some(ScratchFolder { folder, _lock: lock }))
    }

    /// The folder itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// A file in it.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

impl Drop for ScratchFolder {
    fn drop(&mut self) {
        // The next one removes what this one cannot.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Removes what killed processes have left in `folder`.
pub fn sweep(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let is_scratch = entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.starts_with(PREFIX));
        if is_scratch {
            remove_if_abandoned(&entry.path());
        }
    }
}

/// Removes it if its process is gone. One that has no lock yet is being made, unless it is old or its process is not there.
fn remove_if_abandoned(folder: &Path) {
    let lock = match File::open(folder.join(LOCK)) {
        Ok(lock) if lock.try_lock().is_ok() => Some(lock),
        Err(_) if is_of_the_dead(folder) || is_old(folder) => None,
        _ => return,
    };
    // Somebody else's, or being removed by somebody else.
    let _ = std::fs::remove_dir_all(folder);
    // Only now: who has made it a moment ago and waits for the lock must see that it is gone.
    drop(lock);
}

/// Whether the process that its name tells is not there, where that can be known.
fn is_of_the_dead(folder: &Path) -> bool {
    let name = folder
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let process = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
    let processes = Path::new("/proc");
    process.is_some_and(|process| {
        processes.join("self").exists() && process.parse::<u32>().is_ok() && !processes.join(process).exists()
    })
}

fn is_old(folder: &Path) -> bool {
    folder
        .metadata()
        .and_then(|found| found.modified())
        .is_ok_and(|made| made.elapsed().is_ok_and(|age| age.as_secs() > 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_process_left_is_removed_and_what_a_living_one_has_is_not() {
        let place = tempfile::tempdir().unwrap();
        let living = ScratchFolder::make_in(place.path()).unwrap();
        let left = place.path().join(format!("{PREFIX}1-dead"));
        std::fs::create_dir(&left).unwrap();
        std::fs::write(left.join(LOCK), "").unwrap();
        std::fs::write(left.join("copy.sqlite"), "half").unwrap();
        let own = place.path().join("own");
        std::fs::create_dir(&own).unwrap();

        let next = ScratchFolder::make_in(place.path()).unwrap();
        assert!(!left.exists() && own.exists() && living.folder.exists());
        drop((living, next));
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1);
    }
}
