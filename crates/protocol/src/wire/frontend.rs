use bytes::{BufMut, Bytes, BytesMut};

use super::encode::{put_message, put_text};
use super::frame::{Body, Frame, FrameError};

/// Protocol 3.0.
const PROTOCOL_VERSION: i32 = 196_608;

/// What a client sends on a replication connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FrontendMessage {
    /// `Q`
    Query(String),
    /// `d`
    CopyData(Bytes),
    /// `c`
    CopyDone,
    /// `f`
    CopyFail(String),
    /// `X`
    Terminate,
    /// `H` or `S`: of no meaning here, and harmless.
    FlushOrSync(u8),
    /// A message of the extended query protocol, which replication connections do not have.
    Extended(u8),
}

impl FrontendMessage {
    /// Understands a message of a client.
    pub fn decode(frame: Frame) -> Result<FrontendMessage, FrameError> {
        let tag = frame.tag;
        let mut body = Body::new(frame);
        Ok(match tag {
            b'Q' => FrontendMessage::Query(body.text("query")?),
            b'd' => FrontendMessage::CopyData(body.rest()),
            b'c' => FrontendMessage::CopyDone,
            b'f' => FrontendMessage::CopyFail(body.text("reason")?),
            b'X' => FrontendMessage::Terminate,
            b'H' | b'S' => FrontendMessage::FlushOrSync(tag),
            b'P' | b'B' | b'E' | b'D' | b'C' | b'F' => FrontendMessage::Extended(tag),
            other => return Err(FrameError::UnknownType(other)),
        })
    }
}

/// The first message of a connection, with its parameters.
pub fn put_startup<'a>(out: &mut BytesMut, parameters: impl IntoIterator<Item = (&'a str, &'a str)>) {
    put_message(out, None, |out| {
        out.put_i32(PROTOCOL_VERSION);
        for (name, value) in parameters {
            put_text(out, name);
            put_text(out, value);
        }
        out.put_u8(0);
    });
}

/// `p`, with a password in clear.
pub fn put_password(out: &mut BytesMut, password: &str) {
    put_message(out, Some(b'p'), |out| put_text(out, password));
}

/// `Q`
pub fn put_query(out: &mut BytesMut, query: &str) {
    put_message(out, Some(b'Q'), |out| put_text(out, query));
}

/// `f`
pub fn put_copy_fail(out: &mut BytesMut, reason: &str) {
    put_message(out, Some(b'f'), |out| put_text(out, reason));
}

/// `X`
pub fn put_terminate(out: &mut BytesMut) {
    put_message(out, Some(b'X'), |_| {});
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::frame::decode_frame;
    use super::*;

    #[test]
    fn queries_round_trip_and_startup_has_no_tag() {
        let mut out = BytesMut::new();
        put_query(&mut out, "IDENTIFY_SYSTEM");
        let frame = decode_frame(&mut out, 100).unwrap().unwrap();
        assert_eq!(FrontendMessage::decode(frame), Ok(FrontendMessage::Query("IDENTIFY_SYSTEM".into())));
        put_startup(&mut out, [("user", "u")]);
        assert_eq!(out.as_ref(), b"\0\0\0\x10\0\x03\0\0user\0u\0\0");
    }

    #[test]
    fn a_query_without_its_end_is_refused() {
        let frame = Frame { tag: b'Q', body: Bytes::from_static(b"abc") };
        let refused = FrameError::Malformed { tag: b'Q', missing: "query" };
        assert_eq!(FrontendMessage::decode(frame), Err(refused));
    }

    proptest! {
        #[test]
        fn no_message_panics(tag: u8, body: Vec<u8>) {
            let _ = FrontendMessage::decode(Frame { tag, body: body.into() });
        }
    }
}
