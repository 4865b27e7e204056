//! Bytes and checksums, taken while bytes pass by.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// How many bytes, and which.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sum {
    /// How many.
    pub bytes: u64,
    /// Their SHA-256, in lower-case hexadecimal.
    pub sha256: String,
}

/// What passes bytes on and sums them up.
pub(super) struct Tally<T> {
    inner: T,
    bytes: u64,
    digest: Sha256,
}

impl<T> Tally<T> {
    pub(super) fn new(inner: T) -> Tally<T> {
        Tally {
            inner,
            bytes: 0,
            digest: Sha256::new(),
        }
    }

    pub(super) fn so_far(&self) -> u64 {
        self.bytes
    }

    pub(super) fn sum(self) -> Sum {
        self.into_parts().1
    }

    pub(super) fn into_parts(self) -> (T, Sum) {
        let sum = Sum {
            bytes: self.bytes,
            sha256: self
                .digest
                .finalize()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
        };
        (self.inner, sum)
    }

    fn note(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.digest.update(bytes);
    }
}

impl<T: Read> Read for Tally<T> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(into)?;
        self.note(&into[..read]);
        Ok(read)
    }
}

impl<T: Write> Write for Tally<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.note(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value that FIPS 180-2 gives for `abc`.
    #[test]
    fn a_sum_is_the_standards() {
        let mut tally = Tally::new(Vec::new());
        tally.write_all(b"abc").unwrap();
        assert_eq!(
            tally.sum(),
            Sum {
                bytes: 3,
                sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad".to_owned(),
            }
        );
    }
}
