use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::{Mutex, RwLock};

/// How long after a failure to open the next file it is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(60);

/// Where lines go that go to files, and when another file begins: PostgreSQL's `logging_collector`.
#[derive(Debug, Clone)]
pub(super) struct FilePlan {
    /// `log_directory`.
    pub(super) directory: PathBuf,
    /// `log_filename`, with strftime(3)'s conversions, in UTC.
    pub(super) pattern: String,
    /// `log_rotation_age`.
    pub(super) age: Option<Duration>,
    /// `log_rotation_size`, in bytes.
    pub(super) size: Option<u64>,
    /// `log_truncate_on_rotation`: for names that come again.
    pub(super) truncate: bool,
    /// Permissions of the files.
    pub(super) mode: u32,
}

/// The file that lines go to now. Whoever writes a line that makes it due begins the next one; nobody waits for that.
#[derive(Debug)]
pub(super) struct LogFiles {
    plan: FilePlan,
    // protects which file it is; held for a copy of the handle
    current: RwLock<Current>,
    // held by the one who opens the next file
    rotating: Mutex<()>,
    // bytes in the current file
    written: AtomicU64,
    // when the next one is due, in seconds since 1970
    due: AtomicU64,
}

#[derive(Debug, Clone)]
struct Current {
    file: Arc<File>,
    path: PathBuf,
}

impl LogFiles {
    /// Makes the directory if it is missing, and opens the first file.
    pub(super) fn open(plan: FilePlan) -> io::Result<LogFiles> {
        fs::create_dir_all(&plan.directory)?;
        let now = Timestamp::now();
        let path = plan.path(now);
        let file = plan.open_file(&path, false)?;
        let written = file.metadata()?.len();
        let due = plan.due_after(now);
        Ok(LogFiles {
            plan,
            current: RwLock::new(Current { file: Arc::new(file), path }),
            rotating: Mutex::new(()),
            written: AtomicU64::new(written),
            due: AtomicU64::new(due),
        })
    }

    /// The file that is written now.
    pub(super) fn path(&self) -> PathBuf {
        self.current.read().path.clone()
    }

    fn file_for(&self, line_bytes: u64) -> Arc<File> {
        let now = Timestamp::now();
        let written = self.written.fetch_add(line_bytes, Ordering::Relaxed);
        let aged = seconds(now) >= self.due.load(Ordering::Relaxed);
        let full = self.plan.size.is_some_and(|size| written > 0 && written + line_bytes > size);
        if (aged || full)
            && let Some(_alone) = self.rotating.try_lock()
        {
            self.rotate(now, aged, line_bytes);
        }
        Arc::clone(&self.current.read().file)
    }

    fn rotate(&self, now: Timestamp, aged: bool, line_bytes: u64) {
        let path = self.plan.path(now);
        let same = path == self.current.read().path;
        // a name that has not changed yet is gone on with, as PostgreSQL does
        let opened = (!same).then(|| self.plan.open_file(&path, aged && self.plan.truncate));
        match opened {
            Some(Ok(file)) => {
                let length = file.metadata().map_or(0, |found| found.len());
                *self.current.write() = Current { file: Arc::new(file), path };
                self.written.store(length + line_bytes, Ordering::Relaxed);
                self.due.store(self.plan.due_after(now), Ordering::Relaxed);
            }
            Some(Err(error)) => {
                eprintln!("could not open log file \"{}\": {error}", path.display());
                self.due.store(seconds(now) + RETRY_PAUSE.as_secs(), Ordering::Relaxed);
                self.written.store(0, Ordering::Relaxed);
            }
            None if aged => self.due.store(self.plan.due_after(now), Ordering::Relaxed),
            None => {}
        }
    }
}

impl FilePlan {
    fn path(&self, now: Timestamp) -> PathBuf {
        let name = jiff::fmt::strtime::format(&self.pattern, now);
        // the pattern was tried before the first file was opened
        self.directory.join(name.unwrap_or_else(|_| self.pattern.clone()))
    }

    fn open_file(&self, path: &Path, truncate: bool) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.create(true).mode(self.mode);
        // of two that write at the same time neither may overwrite the other
        let file = options.append(true).open(path)?;
        if truncate {
            file.set_len(0)?;
        }
        Ok(file)
    }

    /// The next multiple of the age, as in PostgreSQL, so that days begin at midnight.
    fn due_after(&self, now: Timestamp) -> u64 {
        match self.age.map(|age| age.as_secs().max(1)) {
            Some(age) => (seconds(now) / age + 1) * age,
            None => u64::MAX,
        }
    }
}

fn seconds(at: Timestamp) -> u64 {
    u64::try_from(at.as_second()).unwrap_or(0)
}

/// A line at a time, whole.
impl Write for &LogFiles {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.file_for(line.len() as u64).as_ref().write_all(line)?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(directory: &Path) -> FilePlan {
        FilePlan {
            directory: directory.to_owned(),
            pattern: "w-%Y-%m-%d_%H%M%S.log".to_owned(),
            age: Some(Duration::from_secs(86_400)),
            size: None,
            truncate: false,
            mode: 0o600,
        }
    }

    #[test]
    fn files_follow_each_other_by_age_and_size() {
        let directory = std::env::temp_dir().join(format!("walship-log-{}", std::process::id()));
        let files = LogFiles::open(FilePlan { size: Some(20), ..plan(&directory) }).unwrap();
        let first = files.path();
        let write = |line: &str| (&files).write_all(line.as_bytes()).unwrap();
        write("0123456789\n");
        // in the same second the name is the same: it is gone on with
        while files.path() == first {
            write("0123456789\n");
        }
        let second = files.path();
        assert_eq!(fs::read_to_string(&second).unwrap(), "0123456789\n");
        files.due.store(0, Ordering::Relaxed);
        while files.path() == second {
            files.due.store(0, Ordering::Relaxed);
            write("x\n");
        }
        assert_eq!(fs::read_to_string(files.path()).unwrap(), "x\n");
        assert!(files.due.load(Ordering::Relaxed).is_multiple_of(86_400));
        fs::remove_dir_all(&directory).unwrap();
    }
}
