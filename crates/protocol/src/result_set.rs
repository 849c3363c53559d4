use bytes::Bytes;
use walship_types::{Lsn, SystemId, TimelineHistory, TimelineId, history_file_name};

/// Type `int8`.
pub const TYPE_INT8: u32 = 20;
/// Type `int4`.
pub const TYPE_INT4: u32 = 23;
/// Type `text`.
pub const TYPE_TEXT: u32 = 25;
/// Type `oid`.
pub const TYPE_OID: u32 = 26;

/// A column as RowDescription carries it; format is always text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// The column's name.
    pub name: String,
    /// PostgreSQL's number of the type.
    pub type_oid: u32,
    /// Bytes of a value, -1 for variable.
    pub type_length: i16,
    /// Type modifier.
    pub type_modifier: i32,
}

/// What a command answers with, as PostgreSQL 15 answers it, odd lengths included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultSet {
    /// The columns.
    pub columns: Vec<Column>,
    /// One value per column, `None` is NULL.
    pub rows: Vec<Vec<Option<Bytes>>>,
    /// Tag of the CommandComplete message that follows.
    pub tag: &'static str,
}

fn column(name: &str, type_oid: u32, type_length: i16, type_modifier: i32) -> Column {
    Column { name: name.to_owned(), type_oid, type_length, type_modifier }
}

fn text(name: &str) -> Column {
    column(name, TYPE_TEXT, -1, -1)
}

fn value(shown: impl ToString) -> Option<Bytes> {
    Some(Bytes::from(shown.to_string()))
}

/// One row of walship's own, with its columns.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Row {
    columns: Vec<Column>,
    values: Vec<Option<Bytes>>,
}

impl Row {
    /// Adds a text.
    pub fn text(mut self, name: &str, shown: impl ToString) -> Row {
        self.columns.push(text(name));
        self.values.push(value(shown));
        self
    }

    /// Adds a number.
    pub fn number(mut self, name: &str, number: u64) -> Row {
        self.columns.push(column(name, TYPE_INT8, 8, -1));
        self.values.push(value(number));
        self
    }
}

impl ResultSet {
    /// A row of walship's own.
    pub fn named(tag: &'static str, row: Row) -> ResultSet {
        ResultSet { columns: row.columns, rows: vec![row.values], tag }
    }

    /// IDENTIFY_SYSTEM. `database` is NULL on a purely physical connection (pg_receivewal
    /// insists); `position` is the flush position, on a follower the one it received.
    pub fn identify_system(
        system: SystemId,
        timeline: TimelineId,
        position: Lsn,
        database: Option<&str>,
    ) -> ResultSet {
        let columns =
            vec![text("systemid"), column("timeline", TYPE_INT4, 4, -1), text("xlogpos"), text("dbname")];
        let row = vec![value(system), value(timeline), value(position), database.and_then(value)];
        ResultSet { columns, rows: vec![row], tag: "IDENTIFY_SYSTEM" }
    }

    /// SHOW: one column of the setting's name.
    pub fn show(name: &str, shown: &str) -> ResultSet {
        ResultSet { columns: vec![text(name)], rows: vec![vec![value(shown)]], tag: "SHOW" }
    }

    /// CREATE_REPLICATION_SLOT of a physical slot.
    pub fn create_replication_slot(name: &str) -> ResultSet {
        let columns = ["slot_name", "consistent_point", "snapshot_name", "output_plugin"].map(text).to_vec();
        let row = vec![value(name), value(Lsn::INVALID), None, None];
        ResultSet { columns, rows: vec![row], tag: "CREATE_REPLICATION_SLOT" }
    }

    /// READ_REPLICATION_SLOT: three NULLs for a slot that does not exist; a slot that
    /// has reserved nothing yet has neither position nor timeline.
    pub fn read_replication_slot(slot: Option<Option<(Lsn, TimelineId)>>) -> ResultSet {
        let columns = vec![text("slot_type"), text("restart_lsn"), column("restart_tli", TYPE_INT8, 8, -1)];
        let reserved = slot.flatten();
        let row = vec![
            slot.and_then(|_| value("physical")),
            reserved.and_then(|(lsn, _)| value(lsn)),
            reserved.and_then(|(_, timeline)| value(timeline)),
        ];
        ResultSet { columns, rows: vec![row], tag: "READ_REPLICATION_SLOT" }
    }

    /// TIMELINE_HISTORY: the file's name and its bytes.
    pub fn timeline_history(history: &TimelineHistory) -> ResultSet {
        let columns = vec![column("filename", TYPE_TEXT, -1, 0), column("content", TYPE_TEXT, -1, 0)];
        let row = vec![value(history_file_name(history.timeline)), value(history.to_text())];
        ResultSet { columns, rows: vec![row], tag: "TIMELINE_HISTORY" }
    }

    /// What ends the stream of a timeline that was left: the next one and where it
    /// starts. (The stream's own tag, then the command's, follow.)
    pub fn next_timeline(next: TimelineId, start: Lsn) -> ResultSet {
        let columns = vec![column("next_tli", TYPE_INT8, 8, -1), text("next_tli_startpos")];
        ResultSet { columns, rows: vec![vec![value(next), value(start)]], tag: "START_STREAMING" }
    }

    /// A position of a base backup: where it starts, later where it ends.
    pub fn backup_position(position: Lsn, timeline: TimelineId) -> ResultSet {
        let columns = vec![column("recptr", TYPE_TEXT, -1, 0), column("tli", TYPE_INT8, -1, 0)];
        ResultSet { columns, rows: vec![vec![value(position), value(timeline)]], tag: "SELECT" }
    }

    /// The tablespaces of a base backup: only the data directory itself, with its size
    /// in KiB when progress was asked for.
    pub fn backup_tablespaces(size_kib: Option<u64>) -> ResultSet {
        let columns = vec![
            column("spcoid", TYPE_OID, 4, 0),
            column("spclocation", TYPE_TEXT, -1, 0),
            column("size", TYPE_INT8, 8, 0),
        ];
        ResultSet { columns, rows: vec![vec![None, None, size_kib.and_then(value)]], tag: "SELECT" }
    }
}
