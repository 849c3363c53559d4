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

/// `p`: a SASL mechanism and its first message.
pub fn put_sasl_initial(out: &mut BytesMut, mechanism: &str, message: &[u8]) {
    put_message(out, Some(b'p'), |out| {
        put_text(out, mechanism);
        out.put_i32(i32::try_from(message.len()).unwrap_or(i32::MAX));
        out.put_slice(message);
    });
}

/// `p`: a later message of a SASL exchange.
pub fn put_sasl_response(out: &mut BytesMut, message: &[u8]) {
    put_message(out, Some(b'p'), |out| out.put_slice(message));
}

/// Asks for TLS, before anything else.
pub fn put_ssl_request(out: &mut BytesMut) {
    const SSL_REQUEST: i32 = 80_877_103;
    put_message(out, None, |out| out.put_i32(SSL_REQUEST));
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
