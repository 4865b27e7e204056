//! A folder for what lies on the disk while a backup is made or opened.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use tagpipe_store::DatabaseUrl;

use crate::exit::Failure;

/// A folder that is removed with this. One whose process was killed is removed by the next.
#[derive(Debug)]
pub(in crate::commands) struct Scratch {
    folder: PathBuf,
    /// Locked as long as its process lives, by which the next one knows.
    _lock: File,
}

/// How such folders are called.
const PREFIX: &str = ".tagpipe-scratch-";
/// The file in it that is locked.
const LOCK: &str = "lock";

impl Scratch {
    /// A folder beside an SQLite database, whose disk has room for one like it and where it is renamed to its place; else
    /// among the system's temporary files.
    pub(in crate::commands) fn beside(url: &DatabaseUrl) -> Result<Scratch, Failure> {
        let folder = match url {
            DatabaseUrl::Sqlite(path) => match path.parent() {
                Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
                _ => PathBuf::from("."),
            },
            _ => std::env::temp_dir(),
        };
        Scratch::in_folder(&folder).map_err(|error| {
            Failure::could_not_run(format!(
                "cannot make a folder in `{}`: {error}; make it, or correct its rights",
                folder.display()
            ))
        })
    }

    fn in_folder(folder: &Path) -> io::Result<Scratch> {
        sweep(folder);
        let folder = folder.join(format!(
            "{PREFIX}{}-{:08x}",
            std::process::id(),
            fastrand::u32(..)
        ));
        std::fs::create_dir(&folder)?;
        // Others have no business with what is in a backup.
        std::fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
        let lock = File::create(folder.join(LOCK))?;
        lock.lock()?;
        Ok(Scratch { folder, _lock: lock })
    }

    /// A file in it.
    pub(in crate::commands) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // The next one removes what this one cannot.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Removes what killed processes have left.
fn sweep(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let is_scratch = entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.starts_with(PREFIX));
        if is_scratch && is_abandoned(&entry.path()) {
            // Somebody else's, or being removed by somebody else.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Whether its process is gone. One that has no lock yet is being made, unless it is old or its process is not there.
fn is_abandoned(folder: &Path) -> bool {
    match File::open(folder.join(LOCK)) {
        Ok(lock) => match lock.try_lock() {
            Ok(()) => true,
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => false,
        },
        Err(_) => is_of_the_dead(folder) || is_old(folder),
    }
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
        let place = tempfile::tempdir().expect("a folder");
        let living = Scratch::in_folder(place.path()).expect("a scratch folder");
        let left = place.path().join(format!("{PREFIX}1-dead"));
        std::fs::create_dir(&left).expect("a folder");
        std::fs::write(left.join(LOCK), "").expect("a file");
        std::fs::write(left.join("copy.sqlite"), "half").expect("a file");
        let own = place.path().join("own");
        std::fs::create_dir(&own).expect("a folder");

        let next = Scratch::in_folder(place.path()).expect("a scratch folder");
        assert!(!left.exists() && own.exists() && living.folder.exists());
        drop((living, next));
        assert_eq!(std::fs::read_dir(place.path()).expect("a folder").count(), 1);
    }
}
