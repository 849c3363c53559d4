use std::fs::File;
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, Ordering};

/// Ports below those that the kernel hands out for outgoing connections, so that no
/// client's own end can take one in the meantime.
const FIRST: u16 = 21_000;
const COUNT: u16 = 9_000;

/// A TCP port on loopback that nobody else uses while this value lives: other test
/// programs on this machine honour the same lock files.
pub struct Port {
    number: u16,
    _lock: File,
}

impl Port {
    /// Reserves a free port.
    ///
    /// # Panics
    /// When there is none.
    pub fn reserve() -> Port {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let start = u16::try_from(std::process::id() % u32::from(COUNT)).unwrap_or(0);
        for _ in 0..COUNT {
            let offset =
                (u32::from(start) + u32::from(NEXT.fetch_add(1, Ordering::Relaxed))) % u32::from(COUNT);
            let number = FIRST + u16::try_from(offset).unwrap_or(0);
            if let Some(lock) = lock(number)
                && TcpListener::bind(("127.0.0.1", number)).is_ok()
            {
                return Port { number, _lock: lock };
            }
        }
        panic!("no free port between {FIRST} and {}", FIRST + COUNT);
    }

    /// The port number.
    pub fn number(&self) -> u16 {
        self.number
    }
}

/// Takes the lock file of a port; `None` when another process holds it.
fn lock(number: u16) -> Option<File> {
    let dir: PathBuf = std::env::temp_dir().join("walship-test-ports");
    std::fs::create_dir_all(&dir).expect("create the directory of port locks");
    let file = File::options().create(true).append(true).open(dir.join(number.to_string())).ok()?;
    // SAFETY: the descriptor is open for as long as `file` lives; flock touches no memory.
    let taken = unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0;
    taken.then_some(file)
}
