use bytes::Bytes;
use walship_protocol::Column;
use walship_protocol::wire::{CopyDirection, ErrorFields};

/// Most bytes that the rows of one result may have together: results are for control
/// information; what is large comes as a copy stream.
pub const RESULT_BYTES_MAX: usize = 64 << 20;

/// Rows that a statement gave.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct QueryResult {
    /// Its columns; none for a statement without rows.
    pub columns: Vec<Column>,
    /// Its rows, values as text.
    pub rows: Vec<Vec<Option<Bytes>>>,
    /// What its CommandComplete message said.
    pub tag: String,
}

impl QueryResult {
    /// A value of the first row as text; `None` if there is no row, no such column, or NULL.
    pub fn text(&self, column: &str) -> Option<&str> {
        let index = self.columns.iter().position(|c| c.name == column)?;
        let value = self.rows.first()?.get(index)?.as_ref()?;
        std::str::from_utf8(value).ok()
    }
}

/// What comes back while a command runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A statement is complete, with its rows.
    Complete(QueryResult),
    /// A copy stream begins.
    Copy(CopyDirection),
    /// A piece of a copy stream.
    Data(Bytes),
    /// The server ended its copy stream.
    CopyDone,
    /// The server has something to say.
    Notice(ErrorFields),
    /// The command is over.
    Ready,
}
