use bytes::{BufMut, BytesMut};

use super::encode::{put_message, put_text};

/// Protocol 3.0.
const PROTOCOL_VERSION: i32 = 196_608;

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
    use super::super::frame::decode_frame;
    use super::super::frontend::FrontendMessage;
    use super::*;

    #[test]
    fn queries_round_trip_and_startup_has_no_tag() {
        let mut out = BytesMut::new();
        put_query(&mut out, "IDENTIFY_SYSTEM");
        let frame = decode_frame(&mut out, 100).unwrap().unwrap();
        assert_eq!(FrontendMessage::of(&frame), Ok(FrontendMessage::Query("IDENTIFY_SYSTEM")));
        put_startup(&mut out, [("user", "u")]);
        assert_eq!(out.as_ref(), b"\0\0\0\x10\0\x03\0\0user\0u\0\0");
    }
}
