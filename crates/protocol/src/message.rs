use bytes::{Buf, BufMut, Bytes, BytesMut};
use walship_types::{Lsn, Timestamp};

/// Bytes of an XLogData message before the log's own: tag, start, end, send time.
pub const XLOG_DATA_HEADER_BYTES: usize = 25;

const XLOG_DATA: u8 = b'w';
const KEEPALIVE: u8 = b'k';
const STATUS: u8 = b'r';
const HOT_STANDBY_FEEDBACK: u8 = b'h';

/// What somebody waits for at a receiver: such a position is reported as soon as it moves. It travels in the byte of a
/// keepalive that asks for a reply, beside that bit, so that receivers which know nothing of it just reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Awaited {
    /// Bit 1: that the log is written.
    pub write: bool,
    /// Bit 2: that it is durable.
    pub flush: bool,
    /// Bit 3: that it is visible to readers.
    pub apply: bool,
}

impl Awaited {
    fn bits(self) -> u8 {
        u8::from(self.write) << 1 | u8::from(self.flush) << 2 | u8::from(self.apply) << 3
    }

    fn from_bits(bits: u8) -> Awaited {
        let has = |bit: u8| bits & (1 << bit) != 0;
        Awaited { write: has(1), flush: has(2), apply: has(3) }
    }
}

const REPLY_REQUESTED: u8 = 1;

/// What a sender says inside the copy stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PrimaryMessage {
    /// A piece of the log (`w`).
    XLogData {
        /// Position of the first byte of `data`.
        start: Lsn,
        /// The sender's end of log when it was sent.
        end: Lsn,
        /// The sender's clock.
        time: Timestamp,
        /// The log's bytes, verbatim.
        data: Bytes,
    },
    /// A sign of life (`k`).
    Keepalive {
        /// The sender's end of log.
        end: Lsn,
        /// The sender's clock.
        time: Timestamp,
        /// Whether the receiver shall answer at once.
        reply_requested: bool,
        /// What somebody waits for.
        awaited: Awaited,
    },
}

/// How far a receiver is (`r`). Each position is the last byte plus one, 0/0 if unknown.
/// They need not be ordered: after a timeline switch `write` restarts at the segment's
/// start while `flush` stays where it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StandbyStatus {
    /// Handed to the operating system.
    pub write: Lsn,
    /// Durable.
    pub flush: Lsn,
    /// Visible to readers.
    pub apply: Lsn,
    /// The receiver's clock.
    pub time: Timestamp,
    /// Whether the sender shall answer at once.
    pub reply_requested: bool,
}

/// Transaction horizons of a standby's readers (`h`); walship's readers hold none, so
/// it is accepted and means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HotStandbyFeedback {
    /// The receiver's clock.
    pub time: Timestamp,
    /// Oldest transaction; all zero turns the feedback off.
    pub xmin: u32,
    /// Epoch of `xmin`.
    pub xmin_epoch: u32,
    /// Oldest transaction of the catalogs.
    pub catalog_xmin: u32,
    /// Epoch of `catalog_xmin`.
    pub catalog_xmin_epoch: u32,
}

/// What a receiver says inside the copy stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StandbyMessage {
    /// `r`
    Status(StandbyStatus),
    /// `h`
    HotStandbyFeedback(HotStandbyFeedback),
}

/// A copy message that is none of the protocol's; SQLSTATE 08P01.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// It had no first byte.
    #[error("empty message in the replication stream")]
    Empty,
    /// Its first byte is no known type.
    #[error("unexpected message type \"{}\" in the replication stream", .0.escape_ascii())]
    UnknownType(u8),
    /// Its length is not its type's.
    #[error("message \"{}\" in the replication stream has {found} bytes, expected {expected}", .kind.escape_ascii())]
    Length {
        /// The message's type.
        kind: u8,
        /// Bytes that it should have (at least, for XLogData).
        expected: usize,
        /// Bytes that it has.
        found: usize,
    },
}

fn check_length(kind: u8, message: &Bytes, expected: usize) -> Result<(), MessageError> {
    let exact = kind != XLOG_DATA;
    let found = message.len();
    if found < expected || (exact && found != expected) {
        return Err(MessageError::Length { kind, expected, found });
    }
    Ok(())
}

/// An XLogData message: `data` is copied once, behind its header.
pub fn encode_xlog_data(start: Lsn, end: Lsn, time: Timestamp, data: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(XLOG_DATA_HEADER_BYTES + data.len());
    out.put_u8(XLOG_DATA);
    out.put_u64(start.0);
    out.put_u64(end.0);
    out.put_i64(time.0);
    out.put_slice(data);
    out.freeze()
}

impl PrimaryMessage {
    /// Decodes the content of a CopyData message that a sender sent.
    pub fn decode(mut message: Bytes) -> Result<PrimaryMessage, MessageError> {
        let kind = *message.first().ok_or(MessageError::Empty)?;
        match kind {
            XLOG_DATA => {
                check_length(kind, &message, XLOG_DATA_HEADER_BYTES)?;
                message.advance(1);
                Ok(PrimaryMessage::XLogData {
                    start: Lsn(message.get_u64()),
                    end: Lsn(message.get_u64()),
                    time: Timestamp(message.get_i64()),
                    data: message,
                })
            }
            KEEPALIVE => {
                check_length(kind, &message, 18)?;
                message.advance(1);
                let (end, time) = (Lsn(message.get_u64()), Timestamp(message.get_i64()));
                let bits = message.get_u8();
                let (reply_requested, awaited) = (bits & REPLY_REQUESTED != 0, Awaited::from_bits(bits));
                Ok(PrimaryMessage::Keepalive { end, time, reply_requested, awaited })
            }
            other => Err(MessageError::UnknownType(other)),
        }
    }

    /// The content of the CopyData message.
    pub fn encode(&self) -> Bytes {
        match self {
            PrimaryMessage::XLogData { start, end, time, data } => {
                encode_xlog_data(*start, *end, *time, data)
            }
            PrimaryMessage::Keepalive { end, time, reply_requested, awaited } => {
                let mut out = BytesMut::with_capacity(18);
                out.put_u8(KEEPALIVE);
                out.put_u64(end.0);
                out.put_i64(time.0);
                out.put_u8(u8::from(*reply_requested) | awaited.bits());
                out.freeze()
            }
        }
    }
}

impl StandbyMessage {
    /// Decodes the content of a CopyData message that a receiver sent.
    pub fn decode(mut message: Bytes) -> Result<StandbyMessage, MessageError> {
        let kind = *message.first().ok_or(MessageError::Empty)?;
        match kind {
            STATUS => {
                check_length(kind, &message, 34)?;
                message.advance(1);
                Ok(StandbyMessage::Status(StandbyStatus {
                    write: Lsn(message.get_u64()),
                    flush: Lsn(message.get_u64()),
                    apply: Lsn(message.get_u64()),
                    time: Timestamp(message.get_i64()),
                    reply_requested: message.get_u8() != 0,
                }))
            }
            HOT_STANDBY_FEEDBACK => {
                check_length(kind, &message, 25)?;
                message.advance(1);
                Ok(StandbyMessage::HotStandbyFeedback(HotStandbyFeedback {
                    time: Timestamp(message.get_i64()),
                    xmin: message.get_u32(),
                    xmin_epoch: message.get_u32(),
                    catalog_xmin: message.get_u32(),
                    catalog_xmin_epoch: message.get_u32(),
                }))
            }
            other => Err(MessageError::UnknownType(other)),
        }
    }

    /// The content of the CopyData message.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(34);
        match self {
            StandbyMessage::Status(status) => {
                out.put_u8(STATUS);
                out.put_u64(status.write.0);
                out.put_u64(status.flush.0);
                out.put_u64(status.apply.0);
                out.put_i64(status.time.0);
                out.put_u8(u8::from(status.reply_requested));
            }
            StandbyMessage::HotStandbyFeedback(feedback) => {
                out.put_u8(HOT_STANDBY_FEEDBACK);
                out.put_i64(feedback.time.0);
                out.put_u32(feedback.xmin);
                out.put_u32(feedback.xmin_epoch);
                out.put_u32(feedback.catalog_xmin);
                out.put_u32(feedback.catalog_xmin_epoch);
            }
        }
        out.freeze()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hex(text: &str) -> Bytes {
        let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.chunks(2).map(byte).collect()
    }

    // as PostgreSQL 15.18 and its clients sent them
    #[test]
    fn recorded_bytes_decode_and_encode_back() {
        let keepalive = hex("6b 0000000010caa1b8 000303e822ddc536 01");
        let decoded = PrimaryMessage::decode(keepalive.clone()).unwrap();
        let expected = PrimaryMessage::Keepalive {
            end: Lsn(0x10CA_A1B8),
            time: Timestamp(0x0003_03e8_22dd_c536),
            reply_requested: true,
            awaited: Awaited::default(),
        };
        assert_eq!(decoded, expected);
        assert_eq!(decoded.encode(), keepalive);

        let status = hex("72 0000000010001088 0000000010001088 0000000010001088 000303e7f3a5e926 00");
        let decoded = StandbyMessage::decode(status.clone()).unwrap();
        let StandbyMessage::Status(fields) = decoded else { panic!("{decoded:?}") };
        assert_eq!((fields.write, fields.apply), (Lsn(0x1000_1088), Lsn(0x1000_1088)));
        assert_eq!(decoded.encode(), status);

        let feedback = hex("68 000303e7f3b536ea 000002e8 00000000 00000000 00000000");
        let decoded = StandbyMessage::decode(feedback.clone()).unwrap();
        let StandbyMessage::HotStandbyFeedback(fields) = decoded else { panic!("{decoded:?}") };
        assert_eq!(fields.xmin, 744);
        assert_eq!(decoded.encode(), feedback);
    }

    #[test]
    fn lengths_are_checked_before_anything_is_read() {
        let short = Bytes::from_static(b"k1234567");
        assert_eq!(
            PrimaryMessage::decode(short),
            Err(MessageError::Length { kind: b'k', expected: 18, found: 8 })
        );
        assert_eq!(PrimaryMessage::decode(Bytes::new()), Err(MessageError::Empty));
        assert_eq!(StandbyMessage::decode(Bytes::from_static(b"w")), Err(MessageError::UnknownType(b'w')));
    }

    proptest! {
        #[test]
        fn xlog_data_round_trips(start: u64, end: u64, time: i64, data: Vec<u8>) {
            let encoded = encode_xlog_data(Lsn(start), Lsn(end), Timestamp(time), &data);
            let expected = PrimaryMessage::XLogData {
                start: Lsn(start), end: Lsn(end), time: Timestamp(time), data: data.into(),
            };
            prop_assert_eq!(PrimaryMessage::decode(encoded), Ok(expected));
        }

        #[test]
        fn no_input_panics(data: Vec<u8>) {
            let _ = PrimaryMessage::decode(data.clone().into());
            let _ = StandbyMessage::decode(data.into());
        }
    }
}
