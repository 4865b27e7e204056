//! Reading a backup's data back: nothing is believed before the last bit was.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::sum::Tally;
use super::{BackupError, Identities, Manifest, Stop, Sum};
use crate::destination::{Destination, DestinationError};

/// Writes the content of the backup that `manifest` tells of into the new file `into`, and makes sure that it is that.
///
/// # Errors
/// [`BackupError::Damaged`], [`BackupError::NeedsKey`], [`BackupError::WrongKey`], [`BackupError::Foreign`],
/// [`BackupError::Scratch`] and others; then what was written must not be used.
pub async fn open_into(
    folder: &Destination,
    manifest: &Manifest,
    identities: Identities,
    into: &Path,
    stop: Stop,
) -> Result<(), BackupError> {
    if manifest.encryption.is_some() && identities.is_empty() {
        return Err(BackupError::NeedsKey(manifest.name.clone()));
    }
    let object = folder
        .join(&manifest.object)
        .map_err(|error| BackupError::Foreign {
            name: manifest.name.clone(),
            how: error.to_string(),
        })?;
    let download = object.read().await?.into_blocking();
    let into = Scratch::create(into)?;
    let manifest = manifest.clone();
    let work = move || read_sealed(download, &manifest, &identities, into, &stop);
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(BackupError::Fault(error.to_string())))
}

/// The file that is written.
struct Scratch {
    path: PathBuf,
    file: File,
}

impl Scratch {
    fn create(path: &Path) -> Result<Scratch, BackupError> {
        let file = File::create_new(path).map_err(|error| cannot_write(path, error))?;
        Ok(Scratch {
            path: path.to_owned(),
            file,
        })
    }
}

fn cannot_write(path: &Path, error: io::Error) -> BackupError {
    BackupError::Scratch {
        path: path.to_owned(),
        error,
    }
}

fn read_sealed(
    source: impl Read,
    manifest: &Manifest,
    identities: &Identities,
    into: Scratch,
    stop: &Stop,
) -> Result<(), BackupError> {
    let mut stored = Tally::new(source);
    let content = decoded(&mut stored, manifest, identities, into, stop);
    if matches!(content, Err(BackupError::Stopped | BackupError::Scratch { .. })) {
        return content.map(drop);
    }
    // What decoding makes of wrong bytes says little; whether they are the right ones says all.
    io::copy(&mut stored, &mut io::sink()).map_err(of_source)?;
    expect("stored", manifest, &manifest.stored, &stored.sum())?;
    expect("in it", manifest, &manifest.content, &content?)
}

/// Decrypts and decompresses into the file, and returns what came out.
fn decoded(
    stored: &mut impl Read,
    manifest: &Manifest,
    identities: &Identities,
    into: Scratch,
    stop: &Stop,
) -> Result<Sum, BackupError> {
    let foreign = |how: String| BackupError::Foreign {
        name: manifest.name.clone(),
        how,
    };
    if manifest.encryption.is_none() {
        return decompressed(stored, manifest, into, stop);
    }
    match identities.unwrap(stored) {
        Ok(mut opened) => decompressed(&mut opened, manifest, into, stop),
        Err(age::DecryptError::Io(error)) => Err(of_source(error)),
        Err(
            age::DecryptError::NoMatchingKeys
            | age::DecryptError::DecryptionFailed
            | age::DecryptError::KeyDecryptionFailed,
        ) => Err(BackupError::WrongKey(manifest.name.clone())),
        Err(error) => Err(foreign(error.to_string())),
    }
}

fn decompressed(
    compressed: &mut impl Read,
    manifest: &Manifest,
    into: Scratch,
    stop: &Stop,
) -> Result<Sum, BackupError> {
    let damaged = |error: io::Error| match error.downcast::<DestinationError>() {
        Ok(error) => BackupError::Destination(error),
        Err(error) => BackupError::Damaged {
            name: manifest.name.clone(),
            how: format!("it cannot be decoded ({error})"),
        },
    };
    let mut decoder = zstd::Decoder::new(compressed).map_err(damaged)?;
    let Scratch { path, file } = into;
    let mut content = Tally::new(file);
    let mut block = vec![0; 256 * 1024];
    loop {
        if stop.is_requested() {
            return Err(BackupError::Stopped);
        }
        let read = decoder.read(&mut block).map_err(damaged)?;
        if read == 0 {
            break;
        }
        // A small object may decompress to any size; no more is written than was put in.
        if content.so_far() + read as u64 > manifest.content.bytes {
            return Err(BackupError::Damaged {
                name: manifest.name.clone(),
                how: format!("more than {} bytes are in it", manifest.content.bytes),
            });
        }
        content
            .write_all(&block[..read])
            .map_err(|error| cannot_write(&path, error))?;
    }
    let (file, sum) = content.into_parts();
    file.sync_all().map_err(|error| cannot_write(&path, error))?;
    Ok(sum)
}

fn expect(what: &str, manifest: &Manifest, expected: &Sum, found: &Sum) -> Result<(), BackupError> {
    if expected == found {
        return Ok(());
    }
    let how = if expected.bytes == found.bytes {
        format!("the checksum of what is {what} is wrong")
    } else {
        format!("{} bytes are {what} in place of {}", found.bytes, expected.bytes)
    };
    Err(BackupError::Damaged {
        name: manifest.name.clone(),
        how,
    })
}

fn of_source(error: io::Error) -> BackupError {
    match error.downcast::<DestinationError>() {
        Ok(error) => BackupError::Destination(error),
        Err(error) => BackupError::Source(error),
    }
}
