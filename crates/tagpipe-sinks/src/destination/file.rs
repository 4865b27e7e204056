//! Files of this machine.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tokio::io::AsyncWriteExt as _;

use super::{Destination, DestinationError, Entry};

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Readers {
    /// Whom the process's umask lets.
    Anybody,
    /// Its owner alone.
    Owner,
}

/// A file that is being written and has no name yet, so that nothing is left of it if the process ends now.
#[derive(Debug)]
pub(super) struct Draft {
    path: PathBuf,
    folder: PathBuf,
    file: tokio::fs::File,
    /// Where the file system knows no files without a name: a hidden one, removed with this.
    named: Option<tempfile::TempPath>,
}

impl Draft {
    /// Begins a file that will be at `path`. Its folder is made if it alone is missing.
    pub(super) async fn begin(
        place: &Destination,
        path: &Path,
        readers: Readers,
    ) -> Result<Draft, DestinationError> {
        let path = path.to_owned();
        let begun = blocking(move || {
            if path.is_dir() {
                return Err(io::Error::new(
                    io::ErrorKind::IsADirectory,
                    "it is a folder; name a file in it",
                ));
            }
            let folder = folder_of(&path);
            if !folder.exists() {
                match std::fs::create_dir(&folder) {
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                    _ => {}
                }
            }
            let (file, named) = new_file(&folder, readers)?;
            Ok(Draft {
                path,
                folder,
                file: tokio::fs::File::from_std(file),
                named,
            })
        })
        .await;
        begun.map_err(|error| DestinationError::of_folder(place, &error))
    }

    pub(super) async fn write(&mut self, place: &Destination, bytes: &Bytes) -> Result<(), DestinationError> {
        let written = self.file.write_all(bytes).await;
        written.map_err(|error| DestinationError::of_file(place, &error))
    }

    /// Gives it its name, when everything is on the disk.
    pub(super) async fn finish(mut self, place: &Destination) -> Result<(), DestinationError> {
        let flushed = self.file.flush().await;
        flushed.map_err(|error| DestinationError::of_file(place, &error))?;
        let file = self.file.into_std().await;
        let (path, folder, named) = (self.path, self.folder, self.named);
        let done = blocking(move || {
            file.sync_all()?;
            match named {
                Some(named) => named.persist(&path).map_err(|refused| refused.error)?,
                None => give_name(&file, &folder, &path)?,
            }
            File::open(&folder)?.sync_all()
        })
        .await;
        done.map_err(|error| DestinationError::of_file(place, &error))
    }
}

pub(super) async fn size(place: &Destination, path: &Path) -> Result<Option<u64>, DestinationError> {
    match tokio::fs::metadata(path).await {
        Ok(found) => Ok(found.is_file().then_some(found.len())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(DestinationError::of_file(place, &error)),
    }
}

pub(super) async fn list(place: &Destination, folder: &Path) -> Result<Vec<Entry>, DestinationError> {
    let folder = folder.to_owned();
    let listed = blocking(move || {
        let entries = match std::fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut found = Vec::new();
        for entry in entries {
            found.extend(entry_of(&entry?)?);
        }
        Ok(found)
    })
    .await;
    listed.map_err(|error| DestinationError::of_file(place, &error))
}

pub(super) async fn delete(place: &Destination, path: &Path) -> Result<(), DestinationError> {
    match tokio::fs::remove_file(path).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(DestinationError::of_file(place, &error))
        }
        _ => Ok(()),
    }
}

/// `None` for what is no file, has a name that is no text, or has gone meanwhile.
fn entry_of(entry: &std::fs::DirEntry) -> io::Result<Option<Entry>> {
    let found = match entry.metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let (true, Ok(name)) = (found.is_file(), entry.file_name().into_string()) else {
        return Ok(None);
    };
    let modified = jiff::Timestamp::try_from(found.modified()?).map_err(io::Error::other)?;
    Ok(Some(Entry {
        name,
        size: found.len(),
        modified,
    }))
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// A file in `folder` that has no name, where the file system knows such.
fn new_file(folder: &Path, readers: Readers) -> io::Result<(File, Option<tempfile::TempPath>)> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{CWD, Mode, OFlags, openat};
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let mode = match readers {
            Readers::Anybody => Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH,
            Readers::Owner => Mode::RUSR | Mode::WUSR,
        };
        match openat(CWD, folder, flags, mode) {
            Ok(file) => return Ok((File::from(file), None)),
            // What file systems and kernels without them say (open(2)).
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::ISDIR | rustix::io::Errno::INVAL) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let named = tempfile::Builder::new().prefix(".tagpipe-").tempfile_in(folder)?;
    let (file, path) = named.into_parts();
    Ok((file, Some(path)))
}

/// Gives the file without a name the name `path`, in place of what may be there.
#[cfg(target_os = "linux")]
fn give_name(file: &File, folder: &Path, path: &Path) -> io::Result<()> {
    use rustix::fs::{AtFlags, CWD, linkat};
    use std::os::fd::AsRawFd as _;
    // The way that linkat(2) describes for those who may not link a descriptor itself.
    let ours = format!("/proc/self/fd/{}", file.as_raw_fd());
    match linkat(CWD, &ours, CWD, path, AtFlags::SYMLINK_FOLLOW) {
        Err(rustix::io::Errno::EXIST) => {}
        other => return Ok(other?),
    }
    // A link takes nobody's place; a rename does.
    let hidden = folder.join(format!(".tagpipe-{}", uuid::Uuid::new_v4()));
    linkat(CWD, &ours, CWD, &hidden, AtFlags::SYMLINK_FOLLOW)?;
    std::fs::rename(&hidden, path).inspect_err(|_| {
        // The failure that is told is the first one.
        let _ = std::fs::remove_file(&hidden);
    })
}

#[cfg(not(target_os = "linux"))]
fn give_name(_file: &File, _folder: &Path, _path: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Runs what waits for the disk where waiting holds nobody up.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)?
}
