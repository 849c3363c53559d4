use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};
use walship_protocol::ManifestChecksum;

/// A file's checksum in the making, of whichever kind the manifest has.
pub(crate) enum Hasher {
    None,
    Crc32c(u32),
    Sha224(Sha224),
    Sha256(Sha256),
    Sha384(Sha384),
    Sha512(Sha512),
}

impl Hasher {
    pub(crate) fn new(kind: ManifestChecksum) -> Hasher {
        match kind {
            ManifestChecksum::None => Hasher::None,
            ManifestChecksum::Crc32c => Hasher::Crc32c(0),
            ManifestChecksum::Sha224 => Hasher::Sha224(Sha224::new()),
            ManifestChecksum::Sha256 => Hasher::Sha256(Sha256::new()),
            ManifestChecksum::Sha384 => Hasher::Sha384(Sha384::new()),
            ManifestChecksum::Sha512 => Hasher::Sha512(Sha512::new()),
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Hasher::None => {}
            Hasher::Crc32c(crc) => *crc = crc32c::crc32c_append(*crc, bytes),
            Hasher::Sha224(sha) => sha.update(bytes),
            Hasher::Sha256(sha) => sha.update(bytes),
            Hasher::Sha384(sha) => sha.update(bytes),
            Hasher::Sha512(sha) => sha.update(bytes),
        }
    }

    /// In hexadecimal as a manifest has it; `None` for no checksum. A CRC-32C is written
    /// low byte first, as PostgreSQL keeps it in memory on most machines.
    pub(crate) fn finish(self) -> Option<String> {
        match self {
            Hasher::None => None,
            Hasher::Crc32c(crc) => Some(hex(&crc.to_le_bytes())),
            Hasher::Sha224(sha) => Some(hex(&sha.finalize())),
            Hasher::Sha256(sha) => Some(hex(&sha.finalize())),
            Hasher::Sha384(sha) => Some(hex(&sha.finalize())),
            Hasher::Sha512(sha) => Some(hex(&sha.finalize())),
        }
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // computed with sha224sum and its siblings; the CRC is RFC 3720's example, low byte first
    #[test]
    fn known_values() {
        let of = |kind, bytes: &[u8]| {
            let mut hasher = Hasher::new(kind);
            bytes.chunks(7).for_each(|part| hasher.update(part));
            hasher.finish().unwrap_or_default()
        };
        assert_eq!(of(ManifestChecksum::Crc32c, &[0; 32]), "aa36918a");
        assert_eq!(
            of(ManifestChecksum::Sha256, b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(
            of(ManifestChecksum::Sha224, b"abc"),
            "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7"
        );
        assert_eq!(of(ManifestChecksum::Sha384, b"abc").len(), 96);
        assert_eq!(of(ManifestChecksum::Sha512, b"abc").len(), 128);
        assert_eq!(of(ManifestChecksum::None, b"abc"), "");
    }
}
