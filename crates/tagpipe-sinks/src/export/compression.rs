//! Compression of a whole file, by the end of its name.

use std::io::{self, BufWriter, Write};

use flate2::write::GzEncoder;

use super::ExportError;

/// How a whole file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

/// Bytes that are collected before they go on.
const BUFFER: usize = 64 * 1024;
/// Half as large as plain CSV at the speed of the disk; the next level takes twice as long for a twentieth.
const GZIP_LEVEL: u32 = 6;
const ZSTD_LEVEL: i32 = 3;

impl Compression {
    /// What a name ends in, with the dot; nothing without compression.
    #[must_use]
    pub fn ending(self) -> &'static str {
        match self {
            Compression::None => "",
            Compression::Gzip => ".gz",
            Compression::Zstd => ".zst",
        }
    }

    /// As it is shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
        }
    }

    /// Takes the ending of compression off `name`.
    #[must_use]
    pub(super) fn of(name: &str) -> (Compression, &str) {
        for compression in [Compression::Gzip, Compression::Zstd] {
            if let Some(rest) = name.strip_suffix(compression.ending()) {
                return (compression, rest);
            }
        }
        (Compression::None, name)
    }
}

/// A writer that compresses on the way to `W`.
pub(super) enum Compressed<W: Write> {
    Plain(BufWriter<W>),
    Gzip(GzEncoder<BufWriter<W>>),
    Zstd(zstd::Encoder<'static, BufWriter<W>>),
}

impl<W: Write> Compressed<W> {
    pub(super) fn new(compression: Compression, out: W) -> Result<Compressed<W>, ExportError> {
        let out = BufWriter::with_capacity(BUFFER, out);
        Ok(match compression {
            Compression::None => Compressed::Plain(out),
            // Without a name and a time in its header, which would tell two files of the same content apart.
            Compression::Gzip => {
                let builder = flate2::GzBuilder::new().mtime(0);
                Compressed::Gzip(builder.write(out, flate2::Compression::new(GZIP_LEVEL)))
            }
            Compression::Zstd => {
                let mut encoder = zstd::Encoder::new(out, ZSTD_LEVEL)?;
                encoder.include_checksum(true)?;
                Compressed::Zstd(encoder)
            }
        })
    }

    /// Ends the compression and returns what it went to.
    pub(super) fn finish(self) -> Result<W, ExportError> {
        let out = match self {
            Compressed::Plain(out) => out,
            Compressed::Gzip(encoder) => encoder.finish()?,
            Compressed::Zstd(encoder) => encoder.finish()?,
        };
        out.into_inner()
            .map_err(|error| ExportError::from(error.into_error()))
    }
}

impl<W: Write> Write for Compressed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Compressed::Plain(out) => out.write(bytes),
            Compressed::Gzip(encoder) => encoder.write(bytes),
            Compressed::Zstd(encoder) => encoder.write(bytes),
        }
    }

    /// Nothing is forced out before its end: a block that was cut off would make other bytes of the same content.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn what_was_compressed_comes_back_and_is_the_same_twice() {
        let text = "a line\n".repeat(10_000);
        let compress = |compression| {
            let mut out = Compressed::new(compression, Vec::new()).unwrap();
            out.write_all(text.as_bytes()).unwrap();
            out.finish().unwrap()
        };
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            assert_eq!(compress(compression), compress(compression), "{compression:?}");
        }
        let mut read = String::new();
        let gzip = compress(Compression::Gzip);
        // RFC 1952: the time of the header are its bytes 4 to 7.
        assert_eq!(gzip[4..8], [0; 4]);
        flate2::read::GzDecoder::new(&gzip[..])
            .read_to_string(&mut read)
            .unwrap();
        assert_eq!(read, text);
        assert_eq!(
            zstd::decode_all(&compress(Compression::Zstd)[..]).unwrap(),
            text.as_bytes()
        );
    }

    #[test]
    fn a_name_tells_the_compression() {
        for (name, expected) in [
            ("a.csv", (Compression::None, "a.csv")),
            ("a.csv.gz", (Compression::Gzip, "a.csv")),
            ("a.jsonl.zst", (Compression::Zstd, "a.jsonl")),
        ] {
            assert_eq!(Compression::of(name), expected);
        }
    }
}
