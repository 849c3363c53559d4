use walship_types::{DatabaseId, DatabaseName, Timestamp};

use super::PayloadError;
use super::cursor::Cursor;

fn encode_named(out: &mut Vec<u8>, id: DatabaseId, name: &DatabaseName) {
    out.extend_from_slice(&id.0.to_le_bytes());
    out.extend_from_slice(&[name.as_str().len() as u8, 0, 0, 0]);
    out.extend_from_slice(name.as_str().as_bytes());
}

fn decode_named(payload: &[u8]) -> Result<(DatabaseId, DatabaseName), PayloadError> {
    let mut cursor = Cursor::new(payload);
    let id = DatabaseId(cursor.u32("database")?);
    let len = cursor.u8("name length")?;
    cursor.reserved(3)?;
    let name = cursor.database_name(len)?;
    cursor.end()?;
    Ok((id, name))
}

/// A database came to be, empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateDatabase {
    /// Its id, never used before.
    pub id: DatabaseId,
    /// Its name.
    pub name: DatabaseName,
}

impl CreateDatabase {
    /// Appends the payload.
    pub fn encode(&self, out: &mut Vec<u8>) {
        encode_named(out, self.id, &self.name);
    }

    /// Decodes and checks a payload.
    pub fn decode(payload: &[u8]) -> Result<CreateDatabase, PayloadError> {
        decode_named(payload).map(|(id, name)| CreateDatabase { id, name })
    }
}

/// A database is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DropDatabase {
    /// Its id, never used again.
    pub id: DatabaseId,
    /// The name that it had.
    pub name: DatabaseName,
}

impl DropDatabase {
    /// Appends the payload.
    pub fn encode(&self, out: &mut Vec<u8>) {
        encode_named(out, self.id, &self.name);
    }

    /// Decodes and checks a payload.
    pub fn decode(payload: &[u8]) -> Result<DropDatabase, PayloadError> {
        decode_named(payload).map(|(id, name)| DropDatabase { id, name })
    }
}

/// The rest of the segment is skipped; the next record is in the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentSwitch;

impl SegmentSwitch {
    /// Checks that the payload is empty.
    pub fn decode(payload: &[u8]) -> Result<SegmentSwitch, PayloadError> {
        Cursor::new(payload).end().map(|()| SegmentSwitch)
    }
}

/// Longest name of a restore point, in bytes.
pub const RESTORE_POINT_NAME_MAX: usize = 63;

/// A name for this point of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestorePoint {
    /// When it was made.
    pub time: Timestamp,
    /// 1 to [`RESTORE_POINT_NAME_MAX`] bytes of UTF-8.
    pub name: String,
}

impl RestorePoint {
    /// Appends the payload.
    ///
    /// # Panics
    /// If the name is empty or too long: the caller has to have refused it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        assert!((1..=RESTORE_POINT_NAME_MAX).contains(&self.name.len()), "restore point {:?}", self.name);
        out.extend_from_slice(&self.time.0.to_le_bytes());
        out.extend_from_slice(&[self.name.len() as u8, 0, 0, 0, 0, 0, 0, 0]);
        out.extend_from_slice(self.name.as_bytes());
    }

    /// Decodes and checks a payload.
    pub fn decode(payload: &[u8]) -> Result<RestorePoint, PayloadError> {
        let mut cursor = Cursor::new(payload);
        let time = Timestamp(cursor.i64("time")?);
        let offset = cursor.offset();
        let len = cursor.u8("name length")?;
        if len == 0 || usize::from(len) > RESTORE_POINT_NAME_MAX {
            let found = u64::from(len);
            return Err(PayloadError::Invalid { field: "name length", offset, found, expected: "1 to 63" });
        }
        cursor.reserved(7)?;
        let (offset, field) = (cursor.offset(), "restore point name");
        let bytes = cursor.take(u64::from(len), field)?;
        cursor.end()?;
        match std::str::from_utf8(bytes) {
            Ok(name) => Ok(RestorePoint { time, name: name.to_owned() }),
            Err(_) => {
                let found = String::from_utf8_lossy(bytes).into_owned();
                Err(PayloadError::InvalidName { field, offset, found })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_round_trip() {
        let create = CreateDatabase { id: DatabaseId(3), name: "orders".parse().unwrap() };
        let mut out = Vec::new();
        create.encode(&mut out);
        assert_eq!(CreateDatabase::decode(&out), Ok(create));
        out[8] = b'/';
        assert!(matches!(DropDatabase::decode(&out), Err(PayloadError::InvalidName { .. })));

        let point = RestorePoint { time: Timestamp(1), name: "before é".to_owned() };
        let mut out = Vec::new();
        point.encode(&mut out);
        assert_eq!(RestorePoint::decode(&out), Ok(point));
        out.truncate(16);
        assert!(RestorePoint::decode(&out).is_err());
        assert!(SegmentSwitch::decode(&[]).is_ok());
        assert!(SegmentSwitch::decode(&[0]).is_err());
    }
}
