//! The one door to the file system.
//!
//! What must survive a crash goes through a [`Disk`]: [`RealDisk`] is the operating
//! system's, [`SimDisk`] forgets what was not synced when its power fails. A path is a
//! plain [`std::path::Path`]; every error says which path and which operation.
//!
//! [`replace_atomically`], [`durable_rename`] and [`durable_create_dir`] are the
//! sequences of calls that a crash cannot cut in half.
//!
//! ```
//! use walship_disk::{Disk, RealDisk, replace_atomically};
//! let dir = tempfile::tempdir().unwrap();
//! let disk = RealDisk::new();
//! let path = dir.path().join("control");
//! replace_atomically(&disk, &path, b"new content").unwrap();
//! assert_eq!(disk.read(&path).unwrap(), b"new content");
//! ```

mod durable;
mod error;
mod real;
mod sim;
mod traits;
mod write_behind;

pub use durable::{durable_create_dir, durable_rename, replace_atomically, temporary_path};
pub use error::{DiskError, Operation};
pub use real::RealDisk;
pub use sim::{SimDisk, SimFaults};
pub use traits::{Disk, DiskFile, Metadata, OpenMode, READ_WHOLE_BYTES_MAX, SharedDisk};
pub use write_behind::write_behind;
