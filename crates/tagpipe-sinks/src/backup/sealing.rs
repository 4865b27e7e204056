//! Storing a backup's data: summed up, compressed, encrypted, summed up again, and sent, piece by piece.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::sum::Tally;
use super::{BackupError, Recipients, Sum};
use crate::destination::{Destination, DestinationError, Upload};

/// A request to stop. Clones are of one request.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Asks for it.
    pub fn request(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether somebody did.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Data that was sent and is not seen yet.
#[derive(Debug)]
pub struct Sealing {
    upload: Upload,
    sealed: Sealed,
}

/// What was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// As it was read.
    pub content: Sum,
    /// As it is stored.
    pub stored: Sum,
}

impl Sealing {
    /// Makes it seen.
    ///
    /// # Errors
    /// [`BackupError::Destination`].
    pub async fn finish(self) -> Result<Sealed, BackupError> {
        self.upload.finish().await?;
        Ok(self.sealed)
    }

    /// Takes it back.
    pub async fn abort(self) {
        self.upload.abort().await;
    }
}

/// Sends all of `source` to `to`, and returns `source` for its last word about whether that was all.
///
/// # Errors
/// [`BackupError::Source`], [`BackupError::Destination`], [`BackupError::Stopped`]. Then nothing is left of it.
pub async fn seal<R: Read + Send + 'static>(
    mut source: R,
    to: &Destination,
    recipients: Option<Arc<Recipients>>,
    stop: Stop,
) -> Result<(Sealing, R), BackupError> {
    let mut writer = to.create_private().await?.into_blocking();
    let work = move || {
        let sealed = write_sealed(&mut source, &mut writer, recipients.as_deref(), &stop);
        match sealed {
            Ok(sealed) => match writer.into_upload() {
                Ok(upload) => Ok((Sealing { upload, sealed }, source)),
                Err(error) => Err((error.into(), None)),
            },
            Err(error) => Err((error, Some(Box::new(writer)))),
        }
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(sent)) => Ok(sent),
        Ok(Err((error, writer))) => {
            if let Some(writer) = writer {
                writer.abort().await;
            }
            Err(error)
        }
        Err(error) => Err(BackupError::Fault(error.to_string())),
    }
}

/// zstd's own default: three to four times smaller, and faster than a disk.
const LEVEL: i32 = 3;
/// Bytes read at a time.
const BLOCK: usize = 256 * 1024;

fn write_sealed(
    source: &mut dyn Read,
    target: &mut dyn Write,
    recipients: Option<&Recipients>,
    stop: &Stop,
) -> Result<Sealed, BackupError> {
    let mut stored = Tally::new(target);
    let content = match recipients {
        None => compress(source, &mut stored, stop)?,
        Some(recipients) => {
            let mut encrypted = recipients.wrap(&mut stored)?;
            let content = compress(source, &mut encrypted, stop)?;
            encrypted.finish().map_err(of_target)?;
            content
        }
    };
    Ok(Sealed {
        content,
        stored: stored.sum(),
    })
}

fn compress(source: &mut dyn Read, target: impl Write, stop: &Stop) -> Result<Sum, BackupError> {
    let encoder = zstd::Encoder::new(target, LEVEL).map_err(of_target)?;
    let mut content = Tally::new(encoder);
    let mut block = vec![0; BLOCK];
    loop {
        if stop.is_requested() {
            return Err(BackupError::Stopped);
        }
        let read = match source.read(&mut block) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(BackupError::Source(error)),
        };
        content.write_all(&block[..read]).map_err(of_target)?;
    }
    let (encoder, sum) = content.into_parts();
    encoder.finish().map_err(of_target)?;
    Ok(sum)
}

/// Why bytes could not be passed on: the destination's own words, if they are.
pub(super) fn of_target(error: io::Error) -> BackupError {
    match error.downcast::<DestinationError>() {
        Ok(error) => BackupError::Destination(error),
        Err(error) => BackupError::Fault(error.to_string()),
    }
}
