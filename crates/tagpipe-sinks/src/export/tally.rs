//! Counts what is written and makes its checksum.

use std::fmt::Write as _;
use std::io::{self, Write};

use sha2::{Digest, Sha256};

/// A writer that counts the bytes on their way to `W`.
pub(super) struct Tally<W: Write> {
    out: W,
    bytes: u64,
    hash: Sha256,
}

impl<W: Write> Tally<W> {
    pub(super) fn new(out: W) -> Tally<W> {
        Tally {
            out,
            bytes: 0,
            hash: Sha256::new(),
        }
    }

    /// Where the bytes went, how many there were, and their SHA-256 in hexadecimal.
    pub(super) fn finish(self) -> (W, u64, String) {
        let mut text = String::with_capacity(64);
        for byte in self.hash.finalize() {
            // Writing to a text cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        (self.out, self.bytes, text)
    }
}

impl<W: Write> Write for Tally<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.bytes += written as u64;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_that_of_the_bytes() {
        let mut tally = Tally::new(Vec::new());
        tally.write_all(b"ab").unwrap();
        tally.write_all(b"c").unwrap();
        let (out, bytes, hash) = tally.finish();
        assert_eq!((out.as_slice(), bytes), (&b"abc"[..], 3));
        // FIPS 180-2, appendix B.1.
        assert_eq!(
            hash,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
