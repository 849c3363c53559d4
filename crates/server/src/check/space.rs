use std::path::Path;

use walship_node::DataDirectory;
use walship_settings::{Settings, Typed as _};

use super::{Area, Finding};

const AREA: Area = Area::Space;
/// Below this share of the file system, in percent, there is a warning.
const FREE_PERCENT_MIN: u64 = 10;

/// File systems whose locks or shared memory SQLite cannot rely upon, by the magic number of statfs(2).
const UNSAFE_FILE_SYSTEMS: [(i64, &str); 6] = [
    (0x6969, "NFS"),
    (0xff53_4d42, "SMB"),
    (0xfe53_4d42, "SMB"),
    (0x0102_1997, "9p"),
    (0x6573_5546, "FUSE"),
    (0x517b, "SMB"),
];
/// tmpfs and ramfs.
const IN_MEMORY: [i64; 2] = [0x0102_1994, 0x8584_58f6];

pub(super) fn check(settings: &Settings, root: &DataDirectory, findings: &mut Vec<Finding>) {
    file_system(root.root(), findings);
    let found = match rustix::fs::statvfs(root.root()) {
        Ok(found) => found,
        Err(error) => {
            findings.push(Finding::warning(
                AREA,
                format!("could not look at the file system of \"{}\": {error}", root.root().display()),
            ));
            return;
        }
    };
    let (free, size) = (found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize);
    let segment = settings.bytes("wal_segment_size");
    if free < 4 * segment {
        let message = format!(
            "{} are free: the log has hardly room for another segment of {}",
            mib(free),
            mib(segment)
        );
        findings.push(
            Finding::error(AREA, message)
                .mend("make room; remove nothing inside of the data directory by hand"),
        );
    } else if free < size / 100 * FREE_PERCENT_MIN {
        let message = format!("{} of {} are free, less than {FREE_PERCENT_MIN} %", mib(free), mib(size));
        findings.push(
            Finding::warning(AREA, message).mend("make room; walctl slot list shows what slots hold back"),
        );
    }
    let keep =
        settings.bytes("wal_keep_size").max(settings.bytes_limit("max_slot_wal_keep_size").unwrap_or(0));
    let may_grow = keep + settings.bytes("max_wal_size");
    if may_grow > free {
        let message = format!(
            "the log may grow by {} (max_wal_size, and what max_slot_wal_keep_size or wal_keep_size keep), and {} are free",
            mib(may_grow),
            mib(free)
        );
        findings.push(
            Finding::warning(AREA, message)
                .mend("lower max_slot_wal_keep_size, so that a lost follower does not stop the leader"),
        );
    }
    if rustix::fs::statvfs(root.root()).is_ok_and(|found| found.f_favail < 100 && found.f_files > 0) {
        findings.push(
            Finding::error(AREA, "the file system has hardly an inode left").mend("remove files from it"),
        );
    }
    let archive = settings.text("archive_directory");
    if !archive.is_empty() && same_device(Path::new(&archive), root.root()) {
        let message = format!(
            "archive_directory \"{archive}\" is on the file system of the data directory: what takes one takes both"
        );
        findings.push(
            Finding::warning(AREA, message)
                .mend("put the archive on another machine, or another disk at least"),
        );
    }
}

fn file_system(path: &Path, findings: &mut Vec<Finding>) {
    let Ok(found) = rustix::fs::statfs(path) else { return };
    let kind = found.f_type;
    if let Some((_, name)) = UNSAFE_FILE_SYSTEMS.iter().find(|(magic, _)| *magic == kind) {
        let message = format!(
            "\"{}\" is on {name}, whose locks and shared memory SQLite cannot rely upon",
            path.display()
        );
        findings.push(
            Finding::error(AREA, message)
                .mend("use a local file system (ext4, XFS, btrfs, ZFS); replication is for other machines"),
        );
    }
    if IN_MEMORY.contains(&kind) {
        let message = format!("\"{}\" is in memory: nothing of it survives the machine", path.display());
        findings.push(Finding::warning(AREA, message).mend("use a disk, unless this is a test"));
    }
}

fn same_device(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let device = |path: &Path| std::fs::metadata(path).map(|found| found.dev()).ok();
    device(one).is_some() && device(one) == device(other)
}

fn mib(bytes: u64) -> String {
    format!("{} MB", bytes >> 20)
}
