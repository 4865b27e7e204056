//! Reading from a destination.

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::{Buf as _, Bytes, BytesMut};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use object_store::ObjectStore;
use object_store::path::Path as Key;
use tokio::io::AsyncReadExt as _;
use tokio::runtime::Handle;

use super::{Destination, DestinationError, object};

/// Bytes of a file that are read at a time.
const BLOCK: usize = 256 * 1024;

/// Something that is being read from a destination.
pub struct Download {
    place: Destination,
    size: u64,
    way: Way,
}

enum Way {
    File(tokio::fs::File),
    Object {
        stream: BoxStream<'static, object_store::Result<Bytes>>,
        read: u64,
    },
}

impl Download {
    pub(super) async fn of_file(place: Destination, path: &Path) -> Result<Download, DestinationError> {
        let opened = async {
            let file = tokio::fs::File::open(path).await?;
            let size = file.metadata().await?.len();
            Ok((file, size))
        };
        let (file, size) = opened
            .await
            .map_err(|error: io::Error| DestinationError::of_file(&place, &error))?;
        Ok(Download {
            place,
            size,
            way: Way::File(file),
        })
    }

    pub(super) async fn of_object(
        place: Destination,
        store: &Arc<dyn ObjectStore>,
        key: &Key,
    ) -> Result<Download, DestinationError> {
        let (size, stream) = object::read(&place, store, key).await?;
        Ok(Download {
            place,
            size,
            way: Way::Object { stream, read: 0 },
        })
    }

    /// Bytes, as whoever keeps it says.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The next bytes; `None` at the end. A connection that breaks is taken up again where it was.
    ///
    /// # Errors
    /// See [`super::Trouble`].
    pub async fn next(&mut self) -> Result<Option<Bytes>, DestinationError> {
        match &mut self.way {
            Way::File(file) => {
                let mut block = BytesMut::with_capacity(BLOCK);
                let read = file.read_buf(&mut block).await;
                let read = read.map_err(|error| DestinationError::of_file(&self.place, &error))?;
                Ok((read > 0).then(|| block.freeze()))
            }
            Way::Object { stream, read } => {
                let next = stream.next().await.transpose();
                let next = next.map_err(|error| DestinationError::of_object(&self.place, &error))?;
                *read += next.as_ref().map_or(0, |bytes| bytes.len() as u64);
                // A connection that was cut may look like the end.
                if next.is_none() && *read < self.size {
                    return Err(DestinationError::cut_short(&self.place, *read, self.size));
                }
                Ok(next)
            }
        }
    }

    /// For readers that cannot wait otherwise, in [`tokio::task::spawn_blocking`].
    ///
    /// # Panics
    /// Outside of tokio.
    #[must_use]
    pub fn into_blocking(self) -> BlockingDownload {
        BlockingDownload {
            download: self,
            rest: Bytes::new(),
            runtime: Handle::current(),
        }
    }
}

impl std::fmt::Debug for Download {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Download({}, {} bytes)", self.place, self.size)
    }
}

/// A [`Download`] as a reader that blocks.
#[derive(Debug)]
pub struct BlockingDownload {
    download: Download,
    rest: Bytes,
    runtime: Handle,
}

impl io::Read for BlockingDownload {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.runtime.block_on(self.download.next())? {
                Some(bytes) => self.rest = bytes,
                None => return Ok(0),
            }
        }
        let fits = into.len().min(self.rest.len());
        self.rest.copy_to_slice(&mut into[..fits]);
        Ok(fits)
    }
}
