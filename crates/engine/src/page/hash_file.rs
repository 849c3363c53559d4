use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use walship_disk::{DiskError, RealDisk, durable_rename, temporary_path};
use walship_types::{DatabaseId, InvalidPageSize, Lsn, PageNo, PageSize, SystemId};

use super::hashes::PageHashes;

const MAGIC: [u8; 8] = *b"WSHPHASH";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 60;
const HASH_BYTES: u64 = 8;
const BODY_CRC_BYTES: u64 = 4;
/// Hashes read or written at once; bounds what a file takes besides the table.
const CHUNK_HASHES: usize = 8192;

/// A `.hash` file: the page hashes of one database as of a position in the log.
///
/// All numbers are little-endian. The file is a header of 60 bytes, the hashes of
/// the pages from page 1 on, 8 bytes each, and 4 bytes of CRC-32 over the hashes.
///
/// | offset | size | field |
/// |---|---|---|
/// | 0 | 8 | magic, `WSHPHASH` |
/// | 8 | 4 | format version, 1 |
/// | 12 | 4 | page size in bytes |
/// | 16 | 8 | system identifier |
/// | 24 | 4 | database id |
/// | 28 | 4 | number of pages |
/// | 32 | 8 | as-of LSN: the log up to here is in the hashes, nothing after |
/// | 40 | 8 | database checksum, the XOR of all hashes |
/// | 48 | 8 | reserved, zero |
/// | 56 | 4 | CRC-32 of bytes 0 to 55 |
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashFile {
    /// The cluster that the database belongs to.
    pub system_id: SystemId,
    /// The database.
    pub database: DatabaseId,
    /// Every commit that ends at or before this position is in the hashes.
    pub as_of: Lsn,
    /// The hashes.
    pub hashes: PageHashes,
}

/// A `.hash` file could not be read or written, or is not one.
#[derive(Debug, thiserror::Error)]
pub enum HashFileError {
    /// The operating system refused.
    #[error("could not {operation} file \"{}\": {source}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The finished file could not take its name.
    #[error(transparent)]
    Rename(#[from] DiskError),
    /// The file does not start with the magic number.
    #[error("file \"{}\" is not a page hash file", path.display())]
    NotAHashFile {
        /// The file.
        path: PathBuf,
    },
    /// The file has a format that this version does not know.
    #[error("page hash file \"{}\" has format version {found}, expected {VERSION}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// A checksum does not match what it covers.
    #[error("{part} of page hash file \"{}\" has checksum {found:08x}, computed {computed:08x}", path.display())]
    Crc {
        /// The file.
        path: PathBuf,
        /// `header` or `body`.
        part: &'static str,
        /// As stored.
        found: u32,
        /// As computed.
        computed: u32,
    },
    /// The file is not as long as its header says.
    #[error("page hash file \"{}\" is {found} bytes long, expected {expected}", path.display())]
    Length {
        /// The file.
        path: PathBuf,
        /// Its length in bytes.
        found: u64,
        /// The length that its number of pages asks for, in bytes.
        expected: u64,
    },
    /// The header's checksum is right, its page size is not.
    #[error("page hash file \"{}\": {source}", path.display())]
    PageSize {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: InvalidPageSize,
    },
    /// The XOR of the hashes is not the database checksum that goes with them.
    #[error("page hash file \"{}\" has database checksum {found:016x}, its hashes give {computed:016x}", path.display())]
    Checksum {
        /// The file.
        path: PathBuf,
        /// As stored.
        found: u64,
        /// As computed.
        computed: u64,
    },
    /// The file belongs to another cluster.
    #[error("page hash file \"{}\" is of the cluster {found}, this one is {expected}", path.display())]
    SystemId {
        /// The file.
        path: PathBuf,
        /// Its cluster.
        found: SystemId,
        /// Ours.
        expected: SystemId,
    },
    /// The file belongs to another database.
    #[error("page hash file \"{}\" is of database {found}, expected {expected}", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// Its database.
        found: DatabaseId,
        /// The one asked for.
        expected: DatabaseId,
    },
}

impl HashFile {
    /// Writes the file under a temporary name beside `path`, syncs it, and renames
    /// it over `path`: a crash leaves the old file or the new one.
    pub fn write(&self, path: &Path) -> Result<(), HashFileError> {
        let temporary = temporary_path(path);
        let failed = |operation, path: &Path| {
            let path = path.to_owned();
            move |source| HashFileError::Io { operation, path, source }
        };
        let file = File::create(&temporary).map_err(failed("create", &temporary))?;
        let mut writer = BufWriter::new(file);
        self.encode(&mut writer).map_err(failed("write", &temporary))?;
        writer.flush().map_err(failed("write", &temporary))?;
        drop(writer);
        Ok(durable_rename(&RealDisk::default(), &temporary, path)?)
    }

    /// Reads the file of `database` in the cluster `system_id`. Nothing is
    /// allocated before header and length agree.
    pub fn read(path: &Path, system_id: SystemId, database: DatabaseId) -> Result<HashFile, HashFileError> {
        let failed = |operation| {
            let path = path.to_owned();
            move |source| HashFileError::Io { operation, path, source }
        };
        let file = File::open(path).map_err(failed("open"))?;
        let found = file.metadata().map_err(failed("stat"))?.len();
        let mut reader = BufReader::new(file);
        let mut raw = [0; HEADER_BYTES];
        if found < HEADER_BYTES as u64 {
            return Err(HashFileError::NotAHashFile { path: path.to_owned() });
        }
        reader.read_exact(&mut raw).map_err(failed("read"))?;
        let header = Header::decode(&raw).validate(path, found)?;
        if header.system_id != system_id {
            let (found, expected) = (header.system_id, system_id);
            return Err(HashFileError::SystemId { path: path.to_owned(), found, expected });
        }
        if header.database != database {
            let (found, expected) = (header.database, database);
            return Err(HashFileError::Database { path: path.to_owned(), found, expected });
        }
        let hashes = read_hashes(&mut reader, header.page_size, header.pages, path)?;
        if hashes.checksum() != header.checksum {
            let (found, computed) = (header.checksum, hashes.checksum());
            return Err(HashFileError::Checksum { path: path.to_owned(), found, computed });
        }
        Ok(HashFile { system_id, database, as_of: header.as_of, hashes })
    }

    fn encode(&self, writer: &mut impl Write) -> std::io::Result<()> {
        let mut header = [0; HEADER_BYTES];
        let fields: [&[u8]; 8] = [
            &MAGIC,
            &VERSION.to_le_bytes(),
            &u32::from(self.hashes.page_size()).to_le_bytes(),
            &self.system_id.0.to_le_bytes(),
            &self.database.0.to_le_bytes(),
            &self.hashes.pages().to_le_bytes(),
            &self.as_of.0.to_le_bytes(),
            &self.hashes.checksum().to_le_bytes(),
        ];
        let (covered, crc) = header.split_at_mut(HEADER_BYTES - 4);
        let mut rest = &mut *covered;
        for field in fields {
            rest.write_all(field)?;
        }
        crc.copy_from_slice(&crc32fast::hash(covered).to_le_bytes());
        writer.write_all(&header)?;

        let mut body_crc = crc32fast::Hasher::new();
        let mut bytes = Vec::with_capacity(CHUNK_HASHES * HASH_BYTES as usize);
        for chunk in self.hashes.as_slice().chunks(CHUNK_HASHES) {
            bytes.clear();
            bytes.extend(chunk.iter().flat_map(|hash| hash.to_le_bytes()));
            body_crc.update(&bytes);
            writer.write_all(&bytes)?;
        }
        writer.write_all(&body_crc.finalize().to_le_bytes())
    }
}

fn read_hashes(
    reader: &mut impl Read,
    page_size: PageSize,
    pages: u32,
    path: &Path,
) -> Result<PageHashes, HashFileError> {
    let failed = |source| HashFileError::Io { operation: "read", path: path.to_owned(), source };
    let mut hashes = PageHashes::new(page_size);
    hashes.resize(pages);
    let mut body_crc = crc32fast::Hasher::new();
    let mut bytes = vec![0; CHUNK_HASHES * HASH_BYTES as usize];
    let mut page = 0;
    while page < pages {
        let count = (pages - page).min(CHUNK_HASHES as u32);
        let chunk = &mut bytes[..count as usize * HASH_BYTES as usize];
        reader.read_exact(chunk).map_err(failed)?;
        body_crc.update(chunk);
        for hash in chunk.as_chunks::<{ HASH_BYTES as usize }>().0 {
            page += 1;
            hashes.set(PageNo(page), u64::from_le_bytes(*hash));
        }
    }
    let mut crc = [0; BODY_CRC_BYTES as usize];
    reader.read_exact(&mut crc).map_err(failed)?;
    let (found, computed) = (u32::from_le_bytes(crc), body_crc.finalize());
    if found != computed {
        return Err(HashFileError::Crc { path: path.to_owned(), part: "body", found, computed });
    }
    Ok(hashes)
}

/// The header's fields as stored.
struct Header {
    magic: [u8; 8],
    version: u32,
    page_bytes: u32,
    system_id: SystemId,
    database: DatabaseId,
    pages: u32,
    as_of: Lsn,
    checksum: u64,
    crc: u32,
    crc_computed: u32,
}

/// The header's fields, held against each other and the length of the file.
struct ValidHeader {
    page_size: PageSize,
    system_id: SystemId,
    database: DatabaseId,
    pages: u32,
    as_of: Lsn,
    checksum: u64,
}

impl Header {
    fn decode(raw: &[u8; HEADER_BYTES]) -> Header {
        fn field<const N: usize>(raw: &[u8; HEADER_BYTES], offset: usize) -> [u8; N] {
            // every offset below is a constant that lies inside of the header
            std::array::from_fn(|i| raw[offset + i])
        }
        Header {
            magic: field(raw, 0),
            version: u32::from_le_bytes(field(raw, 8)),
            page_bytes: u32::from_le_bytes(field(raw, 12)),
            system_id: SystemId(u64::from_le_bytes(field(raw, 16))),
            database: DatabaseId(u32::from_le_bytes(field(raw, 24))),
            pages: u32::from_le_bytes(field(raw, 28)),
            as_of: Lsn(u64::from_le_bytes(field(raw, 32))),
            checksum: u64::from_le_bytes(field(raw, 40)),
            crc: u32::from_le_bytes(field(raw, 56)),
            crc_computed: crc32fast::hash(&raw[..HEADER_BYTES - 4]),
        }
    }

    fn validate(self, path: &Path, length: u64) -> Result<ValidHeader, HashFileError> {
        let path = || path.to_owned();
        if self.magic != MAGIC {
            return Err(HashFileError::NotAHashFile { path: path() });
        }
        if self.version != VERSION {
            return Err(HashFileError::Version { path: path(), found: self.version });
        }
        if self.crc != self.crc_computed {
            let (found, computed) = (self.crc, self.crc_computed);
            return Err(HashFileError::Crc { path: path(), part: "header", found, computed });
        }
        let page_size = PageSize::new(self.page_bytes)
            .map_err(|source| HashFileError::PageSize { path: path(), source })?;
        let expected = HEADER_BYTES as u64 + u64::from(self.pages) * HASH_BYTES + BODY_CRC_BYTES;
        if length != expected {
            return Err(HashFileError::Length { path: path(), found: length, expected });
        }
        let Header { system_id, database, pages, as_of, checksum, .. } = self;
        Ok(ValidHeader { page_size, system_id, database, pages, as_of, checksum })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(pages: u32) -> HashFile {
        let mut hashes = PageHashes::new(PageSize::DEFAULT);
        for page in 1..=pages {
            hashes.set(PageNo(page), u64::from(page).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        }
        HashFile { system_id: SystemId(77), database: DatabaseId(5), as_of: Lsn(0x1_0000_0028), hashes }
    }

    #[test]
    fn a_file_round_trips_and_replaces_the_one_before() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("postgres.hash");
        for pages in [0, 1, CHUNK_HASHES as u32, CHUNK_HASHES as u32 * 2 + 3] {
            let file = sample(pages);
            file.write(&path).unwrap();
            assert_eq!(HashFile::read(&path, SystemId(77), DatabaseId(5)).unwrap(), file);
        }
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "no temporary file stays");
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("postgres.hash");
        sample(3).write(&path).unwrap();
        let good = std::fs::read(&path).unwrap();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, &bad).unwrap();
            assert!(HashFile::read(&path, SystemId(77), DatabaseId(5)).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn what_does_not_belong_here_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("postgres.hash");
        sample(3).write(&path).unwrap();
        let read = |system, database| HashFile::read(&path, SystemId(system), DatabaseId(database));
        assert!(matches!(read(78, 5), Err(HashFileError::SystemId { found: SystemId(77), .. })));
        assert!(matches!(read(77, 6), Err(HashFileError::Database { found: DatabaseId(5), .. })));
        let good = std::fs::read(&path).unwrap();
        std::fs::write(&path, &good[..good.len() - 1]).unwrap();
        assert!(matches!(read(77, 5), Err(HashFileError::Length { found: 87, expected: 88, .. })));
        std::fs::write(&path, b"short").unwrap();
        assert!(matches!(read(77, 5), Err(HashFileError::NotAHashFile { .. })));
    }
}
