//! Documents on their way into the database and out of it: compressed with zstd, and known by their hash.

use std::cell::RefCell;
use std::io;
use std::time::Instant;

use sha2::{Digest, Sha256};
use tagpipe_store::KeptDocument;
use tagpipe_store::contract::PackedDocument;
use zstd::bulk::Compressor;

/// Level of compression. Pages come out 2 % larger than by zstd's own default, 3, in two thirds of the time.
const LEVEL: i32 = 1;
/// No document is larger; see [`tagpipe_core::extract::DOCUMENT_MAX_BYTES`].
const UNPACKED_MAX: usize = 1 << 30;

/// A document as it was fetched.
#[derive(Debug)]
pub(crate) struct FetchedDocument {
    /// Path and query.
    pub(crate) url: String,
    pub(crate) html: String,
    pub(crate) received: Instant,
    /// Rows that it gave.
    pub(crate) rows: usize,
}

/// A document that is kept and cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the kept document {id} (`{url}`) is damaged: {why}")]
pub struct DamagedDocument {
    /// Its id in the table `documents`.
    pub id: i64,
    /// Its path and query.
    pub url: String,
    /// What is wrong with it.
    pub why: String,
}

thread_local! {
    /// Making one anew, and clearing its tables, takes half as long as compressing a page.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
}

/// Compresses a document. `None` if that fails: then it is not kept, and the page is none the worse for it.
pub(crate) fn pack(document: FetchedDocument) -> Option<PackedDocument> {
    let html = document.html.as_bytes();
    let body = compress(html)
        .inspect_err(|error| tracing::warn!("a document cannot be kept: {error}"))
        .ok()?;
    Some(PackedDocument {
        url: document.url,
        received: document.received,
        hash: hash(html),
        bytes: html.len() as u64,
        rows: document.rows,
        body,
    })
}

fn compress(bytes: &[u8]) -> io::Result<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|kept| {
        let compressor = match kept {
            Some(compressor) => compressor,
            None => kept.insert(Compressor::new(LEVEL)?),
        };
        let mut packed = compressor.compress(bytes)?;
        // It has room for the worst case, and waits for its commit.
        packed.shrink_to_fit();
        Ok(packed)
    })
}

/// The markup of a kept document.
///
/// # Errors
/// [`DamagedDocument`] when it is not what was kept.
pub fn unpack(kept: &KeptDocument) -> Result<String, DamagedDocument> {
    let damaged = |why: String| DamagedDocument {
        id: kept.id,
        url: kept.url.clone(),
        why,
    };
    let size = usize::try_from(kept.bytes)
        .ok()
        .filter(|size| *size <= UNPACKED_MAX)
        .ok_or_else(|| damaged(format!("it cannot have {} bytes", kept.bytes)))?;
    let html = zstd::bulk::decompress(&kept.body, size).map_err(|error| damaged(error.to_string()))?;
    if hash(&html) != kept.hash {
        return Err(damaged("its hash is another".to_owned()));
    }
    String::from_utf8(html).map_err(|error| damaged(error.to_string()))
}

fn hash(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes)
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(html: &str) -> KeptDocument {
        let fetched = FetchedDocument {
            url: "/pop-report".into(),
            html: html.into(),
            received: Instant::now(),
            rows: 0,
        };
        let packed = pack(fetched).expect("it is compressed");
        KeptDocument {
            id: 7,
            part: 1,
            url: packed.url,
            hash: packed.hash,
            bytes: packed.bytes,
            body: packed.body,
        }
    }

    #[test]
    fn what_was_packed_comes_out_again() {
        for html in ["", "<html>é</html>", &"<tr><td>9</td></tr>".repeat(10_000)] {
            assert_eq!(unpack(&kept(html)).as_deref(), Ok(html));
        }
        // `printf '' | sha256sum`
        assert_eq!(
            kept("").hash,
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }

    #[test]
    fn a_damaged_document_is_told_and_not_believed() {
        let good = kept(&"<tr><td>9</td></tr>".repeat(100));
        let shorter = KeptDocument {
            bytes: good.bytes - 1,
            ..good.clone()
        };
        let other = KeptDocument {
            hash: kept("x").hash,
            ..good.clone()
        };
        let cut = KeptDocument {
            body: good.body[..good.body.len() / 2].to_vec(),
            ..good.clone()
        };
        let absurd = KeptDocument {
            bytes: u64::MAX,
            ..good
        };
        for damaged in [shorter, other, cut, absurd] {
            let error = unpack(&damaged).expect_err("damaged");
            assert!(error.to_string().contains("document 7"), "{error}");
        }
    }
}
