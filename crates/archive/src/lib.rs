//! Archives of the log: what a node still has to archive, how a file gets into an archive
//! and out of it again, and what may be removed from one.
//!
//! [`ArchiveStatus`] keeps PostgreSQL's `archive_status/NAME.ready` and `.done` files,
//! [`pending`] decides what they have to say, [`Destination`] takes files into an archive,
//! [`Archive`] gives them back, and [`cleanup`] removes what no backup needs. docs/archiving.md
//! has the rules as users see them.
//!
//! ```
//! use walship_archive::{Archive, Destination, Fetched};
//! use walship_types::SegmentSize;
//! # let scratch = tempfile::tempdir().unwrap();
//! # let (archive, node) = (scratch.path().join("archive"), scratch.path().join("node"));
//! # std::fs::create_dir_all(&archive).unwrap();
//! # std::fs::create_dir_all(node.join("pg_wal")).unwrap();
//! # std::fs::write(node.join("pg_wal/00000002.history"), "1\t0/64\tpromoted\n").unwrap();
//! let destination = Destination::Directory(archive.clone());
//! destination.put(&node, "00000002.history", &|| false).unwrap();
//! let source = Archive::Directory(archive);
//! let target = node.join("fetched");
//! let fetched = source.fetch("00000002.history", None, &target, &|| false).unwrap();
//! assert_eq!(fetched, Fetched::There);
//! assert_eq!(std::fs::read(target).unwrap(), b"1\t0/64\tpromoted\n");
//! ```

mod cleanup;
mod command;
mod compressed;
mod destination;
mod error;
mod name;
mod pending;
mod source;
mod status;
mod unfinished;

pub use cleanup::{OldestKept, cleanup};
pub use command::{Placeholders, run_command};
pub use compressed::uncompressed_name;
pub use destination::Destination;
pub use error::{ArchiveError, CommandOutcome};
pub use name::{ArchivedFile, PARTIAL_SUFFIX};
pub use pending::{Inherited, Pending, Responsibility, pending};
pub use source::{Archive, Fetched};
pub use status::{ArchiveStatus, Statuses};
