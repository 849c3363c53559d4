//! What it takes to bring a node's databases back to where the cluster parted from it:
//! which pages it has changed since, what was lost with them, and other pages in their
//! place.

mod dirty;
mod put;
mod tables;

pub use dirty::{DirtyDatabase, DirtyPages, LostChange, LostWork};
pub use put::PagePutter;
pub use tables::TablePages;
