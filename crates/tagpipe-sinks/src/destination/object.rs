//! Objects of a cloud.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use object_store::path::Path as Key;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt as _};
use tokio::task::JoinSet;

use super::{Destination, DestinationError, Entry};

/// Bytes of a part. Providers take 10,000 parts at most, of 5 MiB at least, and some want all of one size: so an object
/// may have 160 GB.
const PART: usize = 16 * 1024 * 1024;
/// Parts that are under way at a time; with the one that is being filled, this bounds the memory.
const UNDER_WAY_MAX: usize = 2;
/// The most parts that every provider takes.
const PARTS_MAX: usize = 10_000;

/// How long taking back may take: where the network is gone, it is gone for that as well.
const ABORT_MAX: Duration = Duration::from_secs(5);

/// An object that is being sent. Nobody sees it before it is whole.
#[derive(Debug)]
pub(super) struct Sending {
    store: Arc<dyn ObjectStore>,
    key: Key,
    filling: BytesMut,
    /// Begun with the first full part: what fits into one is sent at once.
    upload: Option<Box<dyn MultipartUpload>>,
    under_way: JoinSet<object_store::Result<()>>,
    parts: usize,
}

impl Sending {
    pub(super) fn begin(store: Arc<dyn ObjectStore>, key: Key) -> Sending {
        Sending {
            store,
            key,
            filling: BytesMut::new(),
            upload: None,
            under_way: JoinSet::new(),
            parts: 0,
        }
    }

    pub(super) async fn write(
        &mut self,
        place: &Destination,
        mut bytes: Bytes,
    ) -> Result<(), DestinationError> {
        while !bytes.is_empty() {
            let fits = bytes.len().min(PART - self.filling.len());
            self.filling.extend_from_slice(&bytes.split_to(fits));
            if self.filling.len() == PART {
                self.send_part(place).await?;
            }
        }
        Ok(())
    }

    /// Makes it seen.
    pub(super) async fn finish(&mut self, place: &Destination) -> Result<(), DestinationError> {
        let done = self.complete(place).await;
        if done.is_err() {
            self.abort().await;
        }
        done
    }

    /// Takes everything back that was sent.
    pub(super) async fn abort(&mut self) {
        self.under_way.shutdown().await;
        if let Some(mut upload) = self.upload.take() {
            // Nobody sees the parts of an upload that is never completed; where they cannot be removed now, the bucket's
            // rules do it.
            let _ = tokio::time::timeout(ABORT_MAX, upload.abort()).await;
        }
    }

    async fn complete(&mut self, place: &Destination) -> Result<(), DestinationError> {
        if self.upload.is_none() {
            let whole = std::mem::take(&mut self.filling).freeze();
            let put = self.store.put(&self.key, whole.into()).await;
            return put
                .map(drop)
                .map_err(|error| DestinationError::of_object(place, &error));
        }
        if !self.filling.is_empty() {
            self.send_part(place).await?;
        }
        self.wait_for_parts(place, 0).await?;
        let Some(upload) = &mut self.upload else {
            return Ok(());
        };
        let completed = upload.complete().await;
        completed
            .map(drop)
            .map_err(|error| DestinationError::of_object(place, &error))
    }

    async fn send_part(&mut self, place: &Destination) -> Result<(), DestinationError> {
        if self.parts == PARTS_MAX {
            return Err(DestinationError::other(place, "an object takes 160 GB at most"));
        }
        self.wait_for_parts(place, UNDER_WAY_MAX - 1).await?;
        if self.upload.is_none() {
            let begun = self.store.put_multipart(&self.key).await;
            self.upload = Some(begun.map_err(|error| DestinationError::of_object(place, &error))?);
        }
        if let Some(upload) = &mut self.upload {
            let part = std::mem::take(&mut self.filling).freeze();
            self.under_way.spawn(upload.put_part(part.into()));
            self.parts += 1;
        }
        Ok(())
    }

    /// Waits until at most `left` parts are under way.
    async fn wait_for_parts(&mut self, place: &Destination, left: usize) -> Result<(), DestinationError> {
        while self.under_way.len() > left {
            match self.under_way.join_next().await {
                Some(Ok(sent)) => sent.map_err(|error| DestinationError::of_object(place, &error))?,
                Some(Err(error)) => return Err(DestinationError::other(place, error.to_string())),
                None => {}
            }
        }
        Ok(())
    }
}

pub(super) async fn size(
    place: &Destination,
    store: &Arc<dyn ObjectStore>,
    key: &Key,
) -> Result<Option<u64>, DestinationError> {
    match store.head(key).await {
        Ok(found) => Ok(Some(found.size)),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(DestinationError::of_object(place, &error)),
    }
}

pub(super) async fn list(
    place: &Destination,
    store: &Arc<dyn ObjectStore>,
    folder: &Key,
) -> Result<Vec<Entry>, DestinationError> {
    let prefix = (!folder.as_ref().is_empty()).then_some(folder);
    let listed = store.list_with_delimiter(prefix).await;
    let listed = listed.map_err(|error| DestinationError::of_object(place, &error))?;
    Ok(listed
        .objects
        .into_iter()
        .filter_map(|found| {
            Some(Entry {
                name: found.location.filename()?.to_owned(),
                size: found.size,
                modified: jiff::Timestamp::from_millisecond(found.last_modified.timestamp_millis()).ok()?,
            })
        })
        .collect())
}

pub(super) async fn delete(
    place: &Destination,
    store: &Arc<dyn ObjectStore>,
    key: &Key,
) -> Result<(), DestinationError> {
    match store.delete(key).await {
        Err(object_store::Error::NotFound { .. }) | Ok(()) => Ok(()),
        Err(error) => Err(DestinationError::of_object(place, &error)),
    }
}

/// The object's bytes as they come.
pub(super) async fn read(
    place: &Destination,
    store: &Arc<dyn ObjectStore>,
    key: &Key,
) -> Result<
    (
        u64,
        futures_util::stream::BoxStream<'static, object_store::Result<Bytes>>,
    ),
    DestinationError,
> {
    let got = store.get(key).await;
    let got = got.map_err(|error| DestinationError::of_object(place, &error))?;
    let size = got.meta.size;
    Ok((size, got.into_stream().boxed()))
}
