use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::commands::output_of;

/// Room on a small disk: a few segments of 1 MiB, a database, its -wal.
const DISK_MIB: u32 = 48;

/// A small file system of its own, unmounted when dropped.
pub struct SmallDisk {
    at: PathBuf,
}

impl SmallDisk {
    /// Mounts it on a directory, which is made if it is missing.
    ///
    /// # Panics
    /// When the test does not run as root, or the kernel has no tmpfs.
    pub fn mount(at: &Path) -> SmallDisk {
        // SAFETY: geteuid has no arguments and cannot fail
        let root = unsafe { libc::geteuid() } == 0;
        assert!(root, "this test mounts a tmpfs: run it as root");
        fs::create_dir_all(at).unwrap();
        let options = format!("size={DISK_MIB}m,mode=0700");
        output_of(Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(at)).success();
        SmallDisk { at: at.to_owned() }
    }

    /// Takes all the room that there is.
    ///
    /// # Panics
    /// When no file can be made there.
    pub fn fill(&self) {
        let mut ballast = File::create(self.ballast()).unwrap();
        while ballast.write_all(&[1; 4096]).is_ok() {}
    }

    /// Gives back what [`SmallDisk::fill`] took.
    ///
    /// # Panics
    /// When it was not filled.
    pub fn make_room(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.at.join(".ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.at).status();
    }
}
