use bytes::Bytes;

use super::fields::ErrorFields;
use super::frame::{Body, Frame, FrameError};
use crate::Column;

/// The largest number of columns that a row may have (PostgreSQL's MaxTupleAttributeNumber).
const COLUMNS_MAX: usize = 1664;

/// State of a connection between statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionStatus {
    /// Not in a transaction.
    Idle,
    /// In a transaction.
    InTransaction,
    /// In a transaction that failed.
    Failed,
}

/// Which way a copy stream goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyDirection {
    /// From the client.
    In,
    /// To the client.
    Out,
    /// Both at once.
    Both,
}

/// What the server wants to know of the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authentication {
    /// Nothing (more).
    Ok,
    /// The password in clear.
    CleartextPassword,
    /// A password hashed with MD5 and this salt.
    Md5Password([u8; 4]),
    /// One of these SASL mechanisms.
    Sasl(Vec<String>),
    /// The next message of a SASL exchange.
    SaslContinue(Bytes),
    /// Its last message.
    SaslFinal(Bytes),
    /// Something else, by its number.
    Other(i32),
}

/// What a server sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackendMessage {
    /// `R`
    Authentication(Authentication),
    /// `S`
    ParameterStatus {
        /// The setting's name.
        name: String,
        /// Its value.
        value: String,
    },
    /// `K`
    BackendKeyData {
        /// Number of the session.
        pid: i32,
        /// What a cancel request has to know.
        key: Bytes,
    },
    /// `v`
    NegotiateProtocolVersion,
    /// `Z`
    ReadyForQuery(TransactionStatus),
    /// `E`
    Error(ErrorFields),
    /// `N`
    Notice(ErrorFields),
    /// `T`
    RowDescription(Vec<Column>),
    /// `D`
    DataRow(Vec<Option<Bytes>>),
    /// `C`
    CommandComplete(String),
    /// `I`
    EmptyQuery,
    /// `G`, `H`, `W`
    CopyResponse(CopyDirection),
    /// `d`
    CopyData(Bytes),
    /// `c`
    CopyDone,
    /// `A`, and anything of the extended query protocol, which is never asked for.
    Ignored(u8),
}

impl BackendMessage {
    /// Understands a message of a server.
    pub fn decode(frame: Frame) -> Result<BackendMessage, FrameError> {
        let tag = frame.tag;
        let mut body = Body::new(frame);
        Ok(match tag {
            b'R' => BackendMessage::Authentication(authentication(body)?),
            b'S' => BackendMessage::ParameterStatus { name: body.text("name")?, value: body.text("value")? },
            b'K' => BackendMessage::BackendKeyData { pid: body.i32("pid")?, key: body.rest() },
            b'v' => BackendMessage::NegotiateProtocolVersion,
            b'Z' => BackendMessage::ReadyForQuery(match body.byte("status")? {
                b'I' => TransactionStatus::Idle,
                b'T' => TransactionStatus::InTransaction,
                b'E' => TransactionStatus::Failed,
                _ => return Err(body.malformed("status")),
            }),
            b'E' => BackendMessage::Error(fields(body)?),
            b'N' => BackendMessage::Notice(fields(body)?),
            b'T' => BackendMessage::RowDescription(columns(body)?),
            b'D' => BackendMessage::DataRow(values(body)?),
            b'C' => BackendMessage::CommandComplete(body.text("tag")?),
            b'I' => BackendMessage::EmptyQuery,
            b'G' => BackendMessage::CopyResponse(CopyDirection::In),
            b'H' => BackendMessage::CopyResponse(CopyDirection::Out),
            b'W' => BackendMessage::CopyResponse(CopyDirection::Both),
            b'd' => BackendMessage::CopyData(body.rest()),
            b'c' => BackendMessage::CopyDone,
            b'A' | b'1' | b'2' | b'3' | b'n' | b's' | b't' => BackendMessage::Ignored(tag),
            other => return Err(FrameError::UnknownType(other)),
        })
    }
}

fn authentication(mut body: Body) -> Result<Authentication, FrameError> {
    Ok(match body.i32("kind of authentication")? {
        0 => Authentication::Ok,
        3 => Authentication::CleartextPassword,
        5 => {
            let salt = body.bytes(4, "salt")?;
            Authentication::Md5Password(salt.as_ref().try_into().map_err(|_| body.malformed("salt"))?)
        }
        10 => {
            let mut mechanisms = Vec::new();
            loop {
                let mechanism = body.text("mechanism")?;
                if mechanism.is_empty() {
                    break Authentication::Sasl(mechanisms);
                }
                mechanisms.push(mechanism);
            }
        }
        11 => Authentication::SaslContinue(body.rest()),
        12 => Authentication::SaslFinal(body.rest()),
        other => Authentication::Other(other),
    })
}

fn fields(mut body: Body) -> Result<ErrorFields, FrameError> {
    let mut fields = Vec::new();
    loop {
        match body.byte("end of fields")? {
            0 => return Ok(ErrorFields::from_fields(fields)),
            code => fields.push((code, body.text("field")?)),
        }
    }
}

fn count(body: &mut Body) -> Result<usize, FrameError> {
    let found = body.i16("number of columns")?;
    let count = usize::try_from(found).ok().filter(|count| *count <= COLUMNS_MAX);
    count.ok_or_else(|| body.malformed("number of columns"))
}

fn columns(mut body: Body) -> Result<Vec<Column>, FrameError> {
    let count = count(&mut body)?;
    let mut columns = Vec::with_capacity(count);
    for _ in 0..count {
        let name = body.text("column name")?;
        body.i32("table")?;
        body.i16("attribute")?;
        let type_oid = body.i32("type")?.cast_unsigned();
        let (type_length, type_modifier) = (body.i16("type length")?, body.i32("type modifier")?);
        body.i16("format")?;
        columns.push(Column { name, type_oid, type_length, type_modifier });
    }
    Ok(columns)
}

fn values(mut body: Body) -> Result<Vec<Option<Bytes>>, FrameError> {
    let count = count(&mut body)?;
    let mut values = Vec::with_capacity(count);
    for _ in 0..count {
        let length = body.i32("length of a value")?;
        values.push(match usize::try_from(length) {
            Ok(length) => Some(body.bytes(length, "value")?),
            Err(_) => None,
        });
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use proptest::prelude::*;
    use walship_types::{Lsn, SystemId, TimelineId};

    use super::super::encode::*;
    use super::super::frame::decode_frame;
    use super::*;
    use crate::ResultSet;

    fn next(buffer: &mut BytesMut) -> BackendMessage {
        BackendMessage::decode(decode_frame(buffer, 1 << 20).unwrap().unwrap()).unwrap()
    }

    #[test]
    fn a_result_set_comes_back_as_it_was_sent() {
        let set = ResultSet::identify_system(SystemId(7), TimelineId(1), Lsn(0x17415E0), None);
        let mut out = BytesMut::new();
        put_result_set(&mut out, &set);
        put_ready_for_query(&mut out, TransactionStatus::Idle);
        assert_eq!(next(&mut out), BackendMessage::RowDescription(set.columns.clone()));
        assert_eq!(next(&mut out), BackendMessage::DataRow(set.rows[0].clone()));
        assert_eq!(next(&mut out), BackendMessage::CommandComplete("IDENTIFY_SYSTEM".into()));
        assert_eq!(next(&mut out), BackendMessage::ReadyForQuery(TransactionStatus::Idle));
        assert!(out.is_empty());
    }

    #[test]
    fn errors_keep_all_their_fields() {
        let mut error = ErrorFields::error("58P01", "gone").with_hint("take a new one").with_detail("d");
        error.position = Some(3);
        error.subject_mut().context = Some("COPY t, line 3".into());
        error.subject_mut().constraint = Some("t_a_key".into());
        let mut out = BytesMut::new();
        put_error(&mut out, &error);
        assert_eq!(next(&mut out), BackendMessage::Error(error));
    }

    proptest! {
        #[test]
        fn no_message_panics(tag: u8, body: Vec<u8>) {
            let _ = BackendMessage::decode(Frame { tag, body: body.into() });
        }
    }
}
