use std::fmt::Write;

use sha2::{Digest, Sha256};
use walship_protocol::ManifestChecksum;
use walship_types::Timestamp;

use crate::checksum::hex;
use crate::clock::date_and_time;

/// Builds a manifest line by line. It holds only what was not taken yet, so its owner
/// may send it in pieces.
pub struct ManifestWriter {
    text: String,
    sum: Sha256,
    first: bool,
    checksum: ManifestChecksum,
    force_encode: bool,
}

impl ManifestWriter {
    /// A manifest with checksums of this kind; `force_encode` writes every path in hexadecimal.
    pub fn new(checksum: ManifestChecksum, force_encode: bool) -> ManifestWriter {
        let text = "{ \"PostgreSQL-Backup-Manifest-Version\": 1,\n\"Files\": [".to_owned();
        ManifestWriter { text, sum: Sha256::new(), first: true, checksum, force_encode }
    }

    /// The kind of its checksums.
    pub fn checksum(&self) -> ManifestChecksum {
        self.checksum
    }

    /// Adds a file; `sum` in hexadecimal, `None` with [`ManifestChecksum::None`].
    pub fn file(&mut self, path: &str, size: u64, modified: Timestamp, sum: Option<&str>) {
        self.text.push_str(if self.first { "\n" } else { ",\n" });
        self.first = false;
        if self.force_encode {
            let _ = write!(self.text, "{{ \"Encoded-Path\": \"{}\", ", hex(path.as_bytes()));
        } else {
            let _ = write!(self.text, "{{ \"Path\": {}, ", serde_json::Value::from(path));
        }
        let modified = date_and_time(modified);
        let _ = write!(self.text, "\"Size\": {size}, \"Last-Modified\": \"{modified} GMT\"");
        if let Some(sum) = sum {
            let kind = self.checksum;
            let _ = write!(self.text, ", \"Checksum-Algorithm\": \"{kind}\", \"Checksum\": \"{sum}\"");
        }
        self.text.push_str(" }");
    }

    /// What there is so far and was not taken yet.
    pub fn take(&mut self) -> String {
        self.sum.update(self.text.as_bytes());
        std::mem::take(&mut self.text)
    }

    /// The rest. The list of log ranges is empty: PostgreSQL's pg_verifybackup would run
    /// pg_waldump over them, which knows only PostgreSQL's own log.
    pub fn finish(mut self) -> String {
        self.text.push_str("\n],\n\"WAL-Ranges\": [],\n");
        let mut rest = self.take();
        let sum = hex(&self.sum.finalize());
        let _ = writeln!(rest, "\"Manifest-Checksum\": \"{sum}\"}}");
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Manifest;

    #[test]
    fn lines_are_postgresqls() {
        let mut writer = ManifestWriter::new(ManifestChecksum::Crc32c, false);
        let time = Timestamp(848_719_617_000_000);
        writer.file("backup_label", 225, time, Some("771a607e"));
        let mut text = writer.take();
        writer.file("base/a\"b.db", 4096, time, Some("00000000"));
        text.push_str(&writer.finish());
        let expected = "{ \"PostgreSQL-Backup-Manifest-Version\": 1,\n\"Files\": [\n\
            { \"Path\": \"backup_label\", \"Size\": 225, \"Last-Modified\": \"2026-11-23 03:26:57 GMT\", \
            \"Checksum-Algorithm\": \"CRC32C\", \"Checksum\": \"771a607e\" },\n\
            { \"Path\": \"base/a\\\"b.db\", \"Size\": 4096, \"Last-Modified\": \"2026-11-23 03:26:57 GMT\", \
            \"Checksum-Algorithm\": \"CRC32C\", \"Checksum\": \"00000000\" }\n],\n\"WAL-Ranges\": [],\n\
            \"Manifest-Checksum\": \"";
        assert!(text.starts_with(expected), "{text}");
        assert!(text.ends_with("\"}\n"));
        let manifest = Manifest::parse(text.as_bytes()).unwrap();
        assert_eq!(manifest.files["base/a\"b.db"].size, 4096);
    }
}
