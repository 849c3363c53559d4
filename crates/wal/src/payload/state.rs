use walship_types::{DatabaseId, DatabaseName, Lsn, PageSize, SqliteWalPosition, TimelineId, Timestamp};

use super::PayloadError;
use super::cursor::{Cursor, POSITION_LEN, put_page_size, put_position};

/// Everything of this -wal generation, up to `position`, is in the log and durable, so
/// the -wal may restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seal {
    /// Which database.
    pub database: DatabaseId,
    /// Its size in pages.
    pub pages: u32,
    /// Last frame of the generation.
    pub position: SqliteWalPosition,
    /// Checksum of the whole database there.
    pub checksum: u64,
}

impl Seal {
    /// Appends the payload.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.database.0.to_le_bytes());
        out.extend_from_slice(&self.pages.to_le_bytes());
        put_position(out, &self.position);
        out.extend_from_slice(&self.checksum.to_le_bytes());
    }

    /// Decodes and checks a payload.
    pub fn decode(payload: &[u8]) -> Result<Seal, PayloadError> {
        let mut cursor = Cursor::new(payload);
        let database = DatabaseId(cursor.u32("database")?);
        let pages = cursor.u32("size in pages")?;
        let position = cursor.position()?;
        let checksum = cursor.u64("checksum")?;
        cursor.end()?;
        Ok(Seal { database, pages, position, checksum })
    }
}

/// Bytes of a database state beside its name.
pub const DATABASE_STATE_LEN_MIN: usize = 20 + POSITION_LEN;

/// One database at a point of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseState {
    /// Which database.
    pub id: DatabaseId,
    /// Its name.
    pub name: DatabaseName,
    /// Size of its pages.
    pub page_size: PageSize,
    /// Its size in pages.
    pub pages: u32,
    /// XOR of its pages' hashes.
    pub checksum: u64,
    /// How far its -wal had been logged, on the node that wrote the record.
    pub position: SqliteWalPosition,
}

impl DatabaseState {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.id.0.to_le_bytes());
        out.extend_from_slice(&self.pages.to_le_bytes());
        put_page_size(out, self.page_size);
        out.push(self.name.as_str().len() as u8);
        out.extend_from_slice(&[0; 2]);
        put_position(out, &self.position);
        out.extend_from_slice(&self.checksum.to_le_bytes());
        out.extend_from_slice(self.name.as_str().as_bytes());
    }

    fn decode(cursor: &mut Cursor<'_>) -> Result<DatabaseState, PayloadError> {
        let id = DatabaseId(cursor.u32("database")?);
        let pages = cursor.u32("size in pages")?;
        let page_size = cursor.page_size()?;
        let name_len = cursor.u8("name length")?;
        cursor.reserved(2)?;
        let position = cursor.position()?;
        let checksum = cursor.u64("checksum")?;
        let name = cursor.database_name(name_len)?;
        Ok(DatabaseState { id, name, page_size, pages, checksum, position })
    }

    /// `count` states; the count is checked against what is left before it is trusted.
    fn decode_all(cursor: &mut Cursor<'_>, count: u32) -> Result<Vec<DatabaseState>, PayloadError> {
        let needed = u64::from(count) * DATABASE_STATE_LEN_MIN as u64;
        let available = cursor.rest().len();
        if needed > available as u64 {
            let offset = cursor.offset();
            return Err(PayloadError::Truncated { field: "database states", offset, needed, available });
        }
        (0..count).map(|_| DatabaseState::decode(cursor)).collect()
    }
}

const SHUTDOWN: u8 = 1;

/// Replay may start at `redo`: every change before it is in the databases' own files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Where replay has to start.
    pub redo: Lsn,
    /// The timeline that it was written on.
    pub timeline: TimelineId,
    /// Whether the node stopped after it.
    pub shutdown: bool,
    /// When it was begun.
    pub time: Timestamp,
    /// The id that the next database gets.
    pub next_database_id: DatabaseId,
    /// The databases as of `redo`.
    pub databases: Vec<DatabaseState>,
}

impl Checkpoint {
    /// Appends the payload.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.redo.0.to_le_bytes());
        out.extend_from_slice(&self.timeline.0.to_le_bytes());
        out.extend_from_slice(&[if self.shutdown { SHUTDOWN } else { 0 }, 0, 0, 0]);
        out.extend_from_slice(&self.time.0.to_le_bytes());
        out.extend_from_slice(&self.next_database_id.0.to_le_bytes());
        out.extend_from_slice(&(self.databases.len() as u32).to_le_bytes());
        self.databases.iter().for_each(|state| state.encode(out));
    }

    /// Decodes and checks a payload.
    pub fn decode(payload: &[u8]) -> Result<Checkpoint, PayloadError> {
        let mut cursor = Cursor::new(payload);
        let redo = Lsn(cursor.u64("redo point")?);
        let timeline = TimelineId(cursor.u32("timeline")?);
        let shutdown = cursor.flags(SHUTDOWN)? & SHUTDOWN != 0;
        cursor.reserved(3)?;
        let time = Timestamp(cursor.i64("time")?);
        let next_database_id = DatabaseId(cursor.u32("next database id")?);
        let count = cursor.u32("database count")?;
        let databases = DatabaseState::decode_all(&mut cursor, count)?;
        cursor.end()?;
        Ok(Checkpoint { redo, timeline, shutdown, time, next_database_id, databases })
    }
}

/// The first record of a timeline after a promotion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndOfRecovery {
    /// The timeline that begins.
    pub timeline: TimelineId,
    /// The timeline that it continues.
    pub previous_timeline: TimelineId,
    /// When.
    pub time: Timestamp,
    /// The databases, with -wal positions of the node that was promoted.
    pub databases: Vec<DatabaseState>,
}

impl EndOfRecovery {
    /// Appends the payload.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.timeline.0.to_le_bytes());
        out.extend_from_slice(&self.previous_timeline.0.to_le_bytes());
        out.extend_from_slice(&self.time.0.to_le_bytes());
        out.extend_from_slice(&(self.databases.len() as u32).to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        self.databases.iter().for_each(|state| state.encode(out));
    }

    /// Decodes and checks a payload.
    pub fn decode(payload: &[u8]) -> Result<EndOfRecovery, PayloadError> {
        let mut cursor = Cursor::new(payload);
        let timeline = TimelineId(cursor.u32("timeline")?);
        let previous_timeline = TimelineId(cursor.u32("previous timeline")?);
        let time = Timestamp(cursor.i64("time")?);
        let count = cursor.u32("database count")?;
        cursor.reserved(4)?;
        let databases = DatabaseState::decode_all(&mut cursor, count)?;
        cursor.end()?;
        Ok(EndOfRecovery { timeline, previous_timeline, time, databases })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(id: u32) -> DatabaseState {
        DatabaseState {
            id: DatabaseId(id),
            name: format!("db{id}").parse().unwrap(),
            page_size: PageSize::DEFAULT,
            pages: 3,
            checksum: 17,
            position: SqliteWalPosition { frame: 9, ..Default::default() },
        }
    }

    #[test]
    fn checkpoints_round_trip_and_counts_are_not_trusted() {
        let made = Checkpoint {
            redo: Lsn(4096),
            timeline: TimelineId(2),
            shutdown: true,
            time: Timestamp(5),
            next_database_id: DatabaseId(8),
            databases: vec![state(1), state(7)],
        };
        let mut out = Vec::new();
        made.encode(&mut out);
        assert_eq!(Checkpoint::decode(&out), Ok(made));
        for len in 0..out.len() {
            assert!(Checkpoint::decode(&out[..len]).is_err(), "{len}");
        }
        out[28..32].fill(0xFF);
        assert!(matches!(
            Checkpoint::decode(&out),
            Err(PayloadError::Truncated { field: "database states", .. })
        ));
    }

    #[test]
    fn end_of_recovery_and_seal_round_trip() {
        let made = EndOfRecovery {
            timeline: TimelineId(3),
            previous_timeline: TimelineId(2),
            time: Timestamp(1),
            databases: vec![state(4)],
        };
        let mut out = Vec::new();
        made.encode(&mut out);
        assert_eq!(EndOfRecovery::decode(&out), Ok(made));
        out.push(0);
        assert!(matches!(EndOfRecovery::decode(&out), Err(PayloadError::Excess { excess: 1, .. })));

        let seal =
            Seal { database: DatabaseId(1), pages: 2, position: state(1).position, checksum: u64::MAX };
        let mut out = Vec::new();
        seal.encode(&mut out);
        assert_eq!(Seal::decode(&out), Ok(seal));
    }
}
