//! Small state files: a line that identifies and checks the rest, then JSON.
//!
//! ```text
//! walship control 1 7711202498677149815 a1b2c3d4 0000000512
//! {"...":...}
//! ```
//!
//! The line holds the word `walship`, the kind of file, the format version, the
//! system identifier, the CRC-32 (8 hexadecimal digits) and the length in bytes (10 digits) of
//! everything after the line. docs/upgrading.md has the versions.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use walship_disk::{SharedDisk, replace_atomically};
use walship_types::SystemId;

use crate::NodeError;

/// Largest file that is read: far above what any node needs, far below what hurts.
const BYTES_MAX: u64 = 64 << 20;

/// One kind of state file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    /// The second word of the first line.
    pub(crate) name: &'static str,
    /// The third.
    pub(crate) version: u32,
}

impl Kind {
    /// Replaces the file: after a crash it is the old one or the new one, whole.
    pub(crate) fn write<T: Serialize>(
        self,
        disk: &SharedDisk,
        path: &Path,
        system_id: SystemId,
        content: &T,
    ) -> Result<(), NodeError> {
        let bytes = self.encode(path, system_id, content, 0)?;
        replace_atomically(&**disk, path, &bytes)?;
        Ok(())
    }

    /// The file's bytes, filled up with spaces to `length_min`; `path` is for messages.
    pub(crate) fn encode<T: Serialize>(
        self,
        path: &Path,
        system_id: SystemId,
        content: &T,
        length_min: usize,
    ) -> Result<Vec<u8>, NodeError> {
        let mut body = serde_json::to_vec_pretty(content)
            .map_err(|e| NodeError::io("write file", path, std::io::Error::other(e)))?;
        let room = length_min.saturating_sub(self.head(system_id, &body).len() + 1);
        if body.len() < room {
            body.resize(room, b' ');
        }
        body.push(b'\n');
        let mut bytes = self.head(system_id, &body).into_bytes();
        bytes.append(&mut body);
        Ok(bytes)
    }

    fn head(self, system_id: SystemId, body: &[u8]) -> String {
        let (name, version, crc) = (self.name, self.version, crc32fast::hash(body));
        format!("walship {name} {version} {system_id} {crc:08x} {:010}\n", body.len())
    }

    /// Reads and checks the file.
    pub(crate) fn read<T: DeserializeOwned>(self, path: &Path) -> Result<(SystemId, T), NodeError> {
        let size = std::fs::metadata(path).map_err(|e| NodeError::io("open file", path, e))?.len();
        let damaged = |what, expected: String, found: String| NodeError::Damaged {
            path: path.to_owned(),
            what,
            expected,
            found,
        };
        if size > BYTES_MAX {
            return Err(damaged("size in bytes", format!("at most {BYTES_MAX}"), size.to_string()));
        }
        let bytes = std::fs::read(path).map_err(|e| NodeError::io("read file", path, e))?;
        let split = bytes.iter().position(|&b| b == b'\n').unwrap_or(bytes.len());
        let (head, rest) = bytes.split_at(split);
        let body = rest.get(1..).unwrap_or_default();
        let head = String::from_utf8_lossy(head).into_owned();
        let words: Vec<&str> = head.split(' ').collect();
        let expected_head = format!("walship {} {} ...", self.name, self.version);
        let [magic, name, version, system_id, crc, length] = words[..] else {
            return Err(damaged("first line", expected_head, head));
        };
        if (magic, name) != ("walship", self.name) {
            return Err(damaged("first line", expected_head, head));
        }
        if version != self.version.to_string() {
            let (path, found) = (path.to_owned(), version.to_owned());
            return Err(NodeError::FormatVersion { path, expected: self.version, found });
        }
        let system_id: SystemId = system_id
            .parse()
            .map_err(|_| damaged("system identifier", "a decimal number".to_owned(), system_id.to_owned()))?;
        if length != format!("{:010}", body.len()) {
            return Err(damaged("length in bytes", length.to_owned(), body.len().to_string()));
        }
        let found_crc = format!("{:08x}", crc32fast::hash(body));
        if crc != found_crc {
            return Err(damaged("CRC-32", crc.to_owned(), found_crc));
        }
        let content = serde_json::from_slice(body)
            .map_err(|e| damaged("content", format!("a {} file's JSON", self.name), e.to_string()))?;
        Ok((system_id, content))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const KIND: Kind = Kind { name: "test", version: 3 };

    #[test]
    fn a_file_can_be_filled_up_to_any_length() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        for length in (200..1200).chain([9_990, 10_000, 10_050, 10_100, 100_000]) {
            let bytes = KIND.encode(&path, SystemId(77), &vec![1, 2, 3], length).unwrap();
            assert_eq!(bytes.len(), length);
            std::fs::write(&path, &bytes).unwrap();
            let (_, content): (_, Vec<i32>) = KIND.read(&path).unwrap();
            assert_eq!(content, [1, 2, 3]);
        }
    }

    #[test]
    fn every_flipped_byte_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        let disk: SharedDisk = Arc::new(walship_disk::RealDisk::new());
        KIND.write(&disk, &path, SystemId(77), &vec![1, 2, 3]).unwrap();
        let (system_id, content): (_, Vec<i32>) = KIND.read(&path).unwrap();
        assert_eq!((system_id, content), (SystemId(77), vec![1, 2, 3]));
        let good = std::fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            std::fs::write(&path, &bad).unwrap();
            match KIND.read::<Vec<i32>>(&path) {
                Err(NodeError::Damaged { .. } | NodeError::FormatVersion { .. }) => {}
                // the system identifier is held against the cluster's by the caller
                Ok((system_id, _)) => assert_ne!(system_id, SystemId(77), "byte {at}"),
                Err(other) => panic!("byte {at}: {other}"),
            }
        }
        for length in 0..good.len() {
            std::fs::write(&path, &good[..length]).unwrap();
            assert!(matches!(KIND.read::<Vec<i32>>(&path), Err(NodeError::Damaged { .. })), "{length}");
        }
    }
}
