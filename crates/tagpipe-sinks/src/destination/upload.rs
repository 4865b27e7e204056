//! Writing to a destination.

use std::io;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::file::Draft;
use super::object::Sending;
use super::{Destination, DestinationError};

/// Something that is being written to a destination; seen there when it is finished, and never if it is dropped.
#[derive(Debug)]
pub struct Upload {
    place: Destination,
    way: Option<Way>,
    written: u64,
}

#[derive(Debug)]
enum Way {
    File(Draft),
    Object(Sending),
}

impl Upload {
    pub(super) fn to_file(place: Destination, draft: Draft) -> Upload {
        Upload {
            place,
            way: Some(Way::File(draft)),
            written: 0,
        }
    }

    pub(super) fn to_object(place: Destination, sending: Sending) -> Upload {
        Upload {
            place,
            way: Some(Way::Object(sending)),
            written: 0,
        }
    }

    /// Adds bytes. Returns when there is room for more, so that memory stays bounded.
    ///
    /// # Errors
    /// See [`super::Trouble`]. After one the upload can only be dropped.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), DestinationError> {
        self.written += bytes.len() as u64;
        match &mut self.way {
            Some(Way::File(draft)) => draft.write(&self.place, &bytes).await,
            Some(Way::Object(sending)) => sending.write(&self.place, bytes).await,
            None => Ok(()),
        }
    }

    /// Makes it seen, whole and safe against a crash, and returns its bytes.
    ///
    /// # Errors
    /// See [`super::Trouble`]; then nothing is seen.
    pub async fn finish(mut self) -> Result<u64, DestinationError> {
        self.complete().await
    }

    /// The same for who may be stopped in the middle of it: then [`Upload::abort`] still takes back what was sent.
    ///
    /// # Errors
    /// See [`super::Trouble`]; then nothing is seen.
    pub async fn complete(&mut self) -> Result<u64, DestinationError> {
        if let Some(Way::Object(sending)) = &mut self.way {
            sending.finish(&self.place).await?;
        } else if let Some(Way::File(draft)) = self.way.take() {
            draft.finish(&self.place).await?;
        }
        self.way = None;
        Ok(self.written)
    }

    /// Takes back what was sent, and waits until that is done.
    pub async fn abort(mut self) {
        if let Some(Way::Object(mut sending)) = self.way.take() {
            sending.abort().await;
        }
    }

    /// For writers that cannot wait otherwise, in [`tokio::task::spawn_blocking`].
    ///
    /// # Panics
    /// Outside of tokio.
    #[must_use]
    pub fn into_blocking(self) -> BlockingUpload {
        BlockingUpload {
            upload: self,
            filling: Vec::with_capacity(BLOCK),
            runtime: Handle::current(),
            cancellation: CancellationToken::new(),
        }
    }
}

impl Drop for Upload {
    /// Takes back what was sent, as far as there is still time for it.
    fn drop(&mut self) {
        if let Some(Way::Object(mut sending)) = self.way.take()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(async move { sending.abort().await });
        }
    }
}

/// Bytes that a blocking writer collects.
const BLOCK: usize = 256 * 1024;

/// An [`Upload`] as a writer that blocks.
#[derive(Debug)]
pub struct BlockingUpload {
    upload: Upload,
    filling: Vec<u8>,
    runtime: Handle,
    cancellation: CancellationToken,
}

impl BlockingUpload {
    /// Once it is cancelled, writing fails instead of waiting any longer: for a line that hangs when nobody wants to wait.
    #[must_use]
    pub fn cancellation(&self) -> CancellationToken {
        self.cancellation.clone()
    }

    /// The upload, to be finished, with everything in it.
    ///
    /// # Errors
    /// As [`Upload::write`]. Then what was sent is taken back.
    pub fn into_upload(mut self) -> Result<Upload, DestinationError> {
        match self.pass_on() {
            Ok(()) => Ok(self.upload),
            Err(error) => {
                self.runtime.block_on(self.upload.abort());
                Err(error)
            }
        }
    }

    /// Takes back what was sent, and waits until that is done.
    pub async fn abort(self) {
        self.upload.abort().await;
    }

    fn pass_on(&mut self) -> Result<(), DestinationError> {
        if self.filling.is_empty() {
            return Ok(());
        }
        let bytes = Bytes::from(std::mem::replace(&mut self.filling, Vec::with_capacity(BLOCK)));
        let place = self.upload.place.clone();
        self.runtime.block_on(async {
            tokio::select! {
                written = self.upload.write(bytes) => written,
                () = self.cancellation.cancelled() => Err(DestinationError::other(&place, "it was given up")),
            }
        })
    }
}

impl io::Write for BlockingUpload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let fits = bytes.len().min(BLOCK - self.filling.len());
        self.filling.extend_from_slice(&bytes[..fits]);
        if self.filling.len() == BLOCK {
            self.pass_on()?;
        }
        Ok(fits)
    }

    /// Nobody sees anything before the end, so there is nothing to flush.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
