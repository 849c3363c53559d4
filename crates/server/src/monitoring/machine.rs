use std::fs;
use std::path::Path;

use rustix::process::{Resource, getrlimit};

/// What the machine says of the process and of the file system below the data directory. What it does not say is
/// `None`, never 0.
pub(super) struct Machine {
    pub(super) cpu_seconds: Option<f64>,
    pub(super) resident_bytes: Option<u64>,
    pub(super) open_files: Option<u64>,
    pub(super) open_files_max: Option<u64>,
    pub(super) space: Option<Space>,
    pub(super) log_files: Option<LogFiles>,
}

/// Of a file system, in bytes.
#[derive(Clone, Copy)]
pub(super) struct Space {
    pub(super) size: u64,
    /// What an ordinary user may still write.
    pub(super) free: u64,
}

/// The segment files in the log's directory.
#[derive(Clone, Copy, Default)]
pub(super) struct LogFiles {
    pub(super) count: u64,
    pub(super) bytes: u64,
}

impl Machine {
    pub(super) fn read(data_directory: &Path) -> Machine {
        Machine {
            cpu_seconds: cpu_seconds(),
            resident_bytes: resident_bytes(),
            open_files: fs::read_dir("/proc/self/fd").ok().map(|files| files.count() as u64),
            open_files_max: getrlimit(Resource::Nofile).current,
            space: space(data_directory),
            log_files: log_files(&data_directory.join("pg_wal")),
        }
    }
}

/// User and system time of this process.
fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // the name of the program may have spaces, and ends with the last parenthesis
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<u64>().ok();
    // fields 14 and 15 of proc(5), of which two stand before the parenthesis' end
    Some((ticks(11)? + ticks(12)?) as f64 / rustix::param::clock_ticks_per_second() as f64)
}

fn resident_bytes() -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

fn space(directory: &Path) -> Option<Space> {
    let found = rustix::fs::statvfs(directory).ok()?;
    Some(Space { size: found.f_blocks * found.f_frsize, free: found.f_bavail * found.f_frsize })
}

fn log_files(directory: &Path) -> Option<LogFiles> {
    let mut all = LogFiles::default();
    for entry in fs::read_dir(directory).ok()?.flatten() {
        let name = entry.file_name();
        let is_segment = name.len() == 24 && name.as_encoded_bytes().iter().all(u8::is_ascii_hexdigit);
        if let (true, Ok(found)) = (is_segment, entry.metadata()) {
            all.count += 1;
            all.bytes += found.len();
        }
    }
    Some(all)
}
