//! walship engine.

pub mod page;
