use std::collections::BTreeMap;

use serde::Deserialize;
use sha2::{Digest, Sha256};
use walship_protocol::ManifestChecksum;

use crate::checksum::hex;

/// A manifest, read and found intact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The files, by their paths.
    pub files: BTreeMap<String, ManifestEntry>,
}

/// What a manifest says of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestEntry {
    /// In bytes.
    pub size: u64,
    /// Kind and value, in lower-case hexadecimal.
    pub checksum: Option<(ManifestChecksum, String)>,
}

/// A manifest that cannot be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// It does not end with its checksum's line.
    #[error("manifest is cut short: its last line is not its checksum")]
    Truncated,
    /// Its checksum is not that of its lines.
    #[error("manifest checksum mismatch: expected {expected}, found {found}")]
    Checksum {
        /// What the last line says.
        expected: String,
        /// What the lines before give.
        found: String,
    },
    /// It is not the JSON that a manifest is.
    #[error("could not parse backup manifest: {0}")]
    Syntax(String),
    /// A version that is not 1.
    #[error("unknown manifest version {0}: expected 1")]
    Version(u32),
    /// A file is listed twice.
    #[error("duplicate path name in backup manifest: \"{0}\"")]
    Duplicate(String),
    /// A path that leads out of the backup or is not text.
    #[error("invalid path name in backup manifest: \"{0}\"")]
    Path(String),
    /// A checksum without its kind, of an unknown kind or of another length.
    #[error("invalid checksum for file \"{path}\" in backup manifest: \"{found}\"")]
    FileChecksum {
        /// The file.
        path: String,
        /// Kind or value as found.
        found: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawManifest {
    #[serde(rename = "PostgreSQL-Backup-Manifest-Version")]
    version: u32,
    #[serde(rename = "Files")]
    files: Vec<RawFile>,
    #[serde(rename = "WAL-Ranges", default)]
    _ranges: Vec<serde_json::Value>,
    #[serde(rename = "Manifest-Checksum")]
    checksum: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    #[serde(rename = "Path")]
    path: Option<String>,
    #[serde(rename = "Encoded-Path")]
    encoded: Option<String>,
    #[serde(rename = "Size")]
    size: u64,
    #[serde(rename = "Last-Modified")]
    _modified: Option<String>,
    #[serde(rename = "Checksum-Algorithm")]
    algorithm: Option<String>,
    #[serde(rename = "Checksum")]
    checksum: Option<String>,
}

impl Manifest {
    /// Reads a manifest; its own checksum is checked first.
    pub fn parse(bytes: &[u8]) -> Result<Manifest, ManifestError> {
        let body = bytes.strip_suffix(b"\n").ok_or(ManifestError::Truncated)?;
        let last = body.iter().rposition(|b| *b == b'\n').ok_or(ManifestError::Truncated)? + 1;
        let found = hex(&Sha256::digest(bytes.get(..last).unwrap_or(bytes)));
        let raw: RawManifest =
            serde_json::from_slice(bytes).map_err(|error| ManifestError::Syntax(error.to_string()))?;
        if raw.version != 1 {
            return Err(ManifestError::Version(raw.version));
        }
        if !raw.checksum.eq_ignore_ascii_case(&found) {
            return Err(ManifestError::Checksum { expected: raw.checksum, found });
        }
        let mut files = BTreeMap::new();
        for file in raw.files {
            let path = path(&file)?;
            let entry = ManifestEntry { size: file.size, checksum: checksum(&path, &file)? };
            if files.insert(path.clone(), entry).is_some() {
                return Err(ManifestError::Duplicate(path));
            }
        }
        Ok(Manifest { files })
    }
}

/// The kind of checksum that a manifest's files have: the first that is named.
pub fn manifest_checksum(bytes: &[u8]) -> Result<ManifestChecksum, ManifestError> {
    let manifest = Manifest::parse(bytes)?;
    let kind = manifest.files.values().find_map(|entry| entry.checksum.as_ref().map(|(kind, _)| *kind));
    Ok(kind.unwrap_or(ManifestChecksum::None))
}

fn path(file: &RawFile) -> Result<String, ManifestError> {
    let bad = |found: &str| ManifestError::Path(found.to_owned());
    let path = match (&file.path, &file.encoded) {
        (Some(path), None) => path.clone(),
        (None, Some(encoded)) => decode_hex(encoded).ok_or_else(|| bad(encoded))?,
        _ => return Err(bad("")),
    };
    if is_safe(&path) { Ok(path) } else { Err(bad(&path)) }
}

/// Whether a relative path stays below where it starts.
pub(crate) fn is_safe(path: &str) -> bool {
    !path.contains('\0') && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

fn decode_hex(text: &str) -> Option<String> {
    let digits: Option<Vec<u32>> = text.chars().map(|c| c.to_digit(16)).collect();
    let (pairs, rest) = digits.as_ref()?.as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| u8::try_from(high * 16 + low).ok()).collect::<Option<_>>()?;
    if rest.is_empty() { String::from_utf8(bytes).ok() } else { None }
}

fn checksum(path: &str, file: &RawFile) -> Result<Option<(ManifestChecksum, String)>, ManifestError> {
    let bad = |found: &str| ManifestError::FileChecksum { path: path.to_owned(), found: found.to_owned() };
    let value = match (&file.algorithm, &file.checksum) {
        (None, None) => return Ok(None),
        (None, Some(value)) => return Err(bad(value)),
        (Some(algorithm), value) => {
            let kind: ManifestChecksum = algorithm.parse().map_err(|_| bad(algorithm))?;
            let value = value.as_deref().unwrap_or("").to_ascii_lowercase();
            (kind, value)
        }
    };
    let length = match value.0 {
        ManifestChecksum::None => return Ok(None),
        ManifestChecksum::Crc32c => 8,
        ManifestChecksum::Sha224 => 56,
        ManifestChecksum::Sha256 => 64,
        ManifestChecksum::Sha384 => 96,
        ManifestChecksum::Sha512 => 128,
    };
    if value.1.len() == length { Ok(Some(value)) } else { Err(bad(&value.1)) }
}

#[cfg(test)]
mod tests {
    use walship_types::Timestamp;

    use super::*;
    use crate::manifest::ManifestWriter;

    fn manifest(path: &str, force: bool) -> String {
        let mut writer = ManifestWriter::new(ManifestChecksum::Crc32c, force);
        writer.file(path, 1, Timestamp(0), Some("771a607e"));
        writer.finish()
    }

    #[test]
    fn encoded_paths_are_decoded() {
        let text = manifest("base/a.db", true);
        assert!(text.contains("\"Encoded-Path\": \"626173652f612e6462\""), "{text}");
        assert!(Manifest::parse(text.as_bytes()).unwrap().files.contains_key("base/a.db"));
    }

    #[test]
    fn one_changed_byte_is_found() {
        let text = manifest("base/a.db", false).replace("\"Size\": 1", "\"Size\": 2");
        assert!(matches!(Manifest::parse(text.as_bytes()), Err(ManifestError::Checksum { .. })));
        let whole = manifest("a", false);
        for cut in 0..whole.len() {
            assert!(Manifest::parse(&whole.as_bytes()[..cut]).is_err(), "{cut}");
        }
    }

    #[test]
    fn paths_stay_inside() {
        for path in ["../a", "/a", "a/../b", "", "a//b"] {
            let refused = ManifestError::Path(path.to_owned());
            assert_eq!(Manifest::parse(manifest(path, false).as_bytes()), Err(refused));
        }
    }
}
