//! COPY: its grammar, and its two formats as pure readers and writers.

mod options;
mod reader;
mod writer;

pub(super) use options::{CopyDirection, CopyFormat, CopySource, CopyStatement, Header};
pub(super) use reader::{CopyReader, Row};
pub(super) use writer::write_row;
