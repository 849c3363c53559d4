use std::fs::File;
use std::io::{self, BufReader, Read};

use flate2::read::MultiGzDecoder;
use lz4_flex::frame::FrameDecoder;

/// How a file in an archive may be compressed, by what its name ends in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    /// `.gz`, as `pg_receivewal --compress=gzip` and gzip make it.
    Gzip,
    /// `.lz4`, as `pg_receivewal --compress=lz4` and lz4 make it.
    Lz4,
    /// `.zst`, as zstd makes it.
    Zstd,
}

impl Compression {
    pub(crate) const ALL: [Compression; 3] = [Compression::Gzip, Compression::Lz4, Compression::Zstd];

    /// With its dot.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Compression::Gzip => ".gz",
            Compression::Lz4 => ".lz4",
            Compression::Zstd => ".zst",
        }
    }

    /// The content of a file, in constant memory. `cut`: it is known to be incomplete, and
    /// may end anywhere.
    pub(crate) fn reader(self, file: File, cut: bool) -> io::Result<Box<dyn Read>> {
        let inner: Box<dyn Read> = match self {
            Compression::Gzip => Box::new(MultiGzDecoder::new(file)),
            Compression::Lz4 => Box::new(FrameDecoder::new(BufReader::new(file))),
            Compression::Zstd => Box::new(zstd::Decoder::new(file)?),
        };
        Ok(if cut { Box::new(Cut { inner }) } else { inner })
    }
}

/// A reader for which the end may come early.
struct Cut {
    inner: Box<dyn Read>,
}

impl Read for Cut {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.inner.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
            other => other,
        }
    }
}

/// A name in an archive as it was before the file was compressed: `NAME.gz` is `NAME`, and
/// `NAME.gz.partial`, which `pg_receivewal` is still writing, is `NAME.partial`.
pub fn uncompressed_name(name: &str) -> String {
    let (whole, partial) = match name.strip_suffix(crate::PARTIAL_SUFFIX) {
        Some(whole) => (whole, crate::PARTIAL_SUFFIX),
        None => (name, ""),
    };
    let plain = Compression::ALL.into_iter().find_map(|method| whole.strip_suffix(method.suffix()));
    format!("{}{partial}", plain.unwrap_or(whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_what_compression_added() {
        for (name, plain) in [
            ("A", "A"),
            ("A.gz", "A"),
            ("A.lz4.partial", "A.partial"),
            ("A.partial", "A.partial"),
            ("A.xz", "A.xz"),
        ] {
            assert_eq!(uncompressed_name(name), plain);
        }
    }
}
