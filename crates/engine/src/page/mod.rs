//! Pages as the log sees them: what a page's content hashes to, which hashes the
//! pages of a database have to have, and what changed between two images.

mod delta;
mod hash;
mod hash_file;
mod hashes;
mod tracked;

pub use delta::changed_ranges;
pub use hash::{NO_CONTENT, page_hash, same_content};
pub use hash_file::{HashFile, HashFileError};
pub use hashes::PageHashes;
pub use tracked::{HashCut, Tracked, TrackedHashes};
