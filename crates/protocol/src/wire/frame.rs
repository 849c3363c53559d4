use bytes::{Buf, Bytes, BytesMut};

/// Longest message body that either side of walship accepts, in bytes: a row with a
/// database page, a piece of a copy stream, a statement. Longer ones are refused by
/// their length alone, before anything is allocated for them.
pub const FRAME_BYTES_MAX: usize = 64 << 20;

/// Tag and length.
const HEADER_BYTES: usize = 5;

/// A message, still to be understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The message's type byte.
    pub tag: u8,
    /// What follows the length.
    pub body: Bytes,
}

/// A message that cannot be one; the connection is of no use after it (08P01).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A length below 4 or above what is accepted.
    #[error("invalid length {length} of message \"{}\": allowed are 4 to {max}", .tag.escape_ascii())]
    Length {
        /// The message's type.
        tag: u8,
        /// Its length word.
        length: u32,
        /// The largest accepted.
        max: usize,
    },
    /// The body is not what its type says.
    #[error("malformed message \"{}\": {missing} is missing or invalid", .tag.escape_ascii())]
    Malformed {
        /// The message's type.
        tag: u8,
        /// The first part that could not be read.
        missing: &'static str,
    },
    /// No side of the protocol has such a message.
    #[error("unexpected message type \"{}\"", .0.escape_ascii())]
    UnknownType(u8),
}

/// Takes one whole message off the front of `buffer`; `None` if more bytes are needed.
/// `max` bounds the body.
pub fn decode_frame(buffer: &mut BytesMut, max: usize) -> Result<Option<Frame>, FrameError> {
    let Some((header, _)) = buffer.split_first_chunk::<HEADER_BYTES>() else { return Ok(None) };
    let [tag, a, b, c, d] = *header;
    let length = u32::from_be_bytes([a, b, c, d]);
    let body = usize::try_from(length).ok().and_then(|length| length.checked_sub(4));
    let body = body.filter(|body| *body <= max).ok_or(FrameError::Length { tag, length, max })?;
    if buffer.len() < HEADER_BYTES + body {
        return Ok(None);
    }
    buffer.advance(HEADER_BYTES);
    Ok(Some(Frame { tag, body: buffer.split_to(body).freeze() }))
}

/// Bytes of the message at the front of `buffer` that are still to come, at most `max`;
/// 0 while its length is not known. So that a long message is read into one piece of memory.
pub fn frame_bytes_missing(buffer: &[u8], max: usize) -> usize {
    let Some((header, _)) = buffer.split_first_chunk::<HEADER_BYTES>() else { return 0 };
    let [_, a, b, c, d] = *header;
    let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
    length.saturating_add(1).saturating_sub(buffer.len()).min(max)
}

/// Reads the parts of a body.
pub(super) struct Body {
    tag: u8,
    rest: Bytes,
}

impl Body {
    pub(super) fn new(frame: Frame) -> Body {
        Body { tag: frame.tag, rest: frame.body }
    }

    pub(super) fn malformed(&self, missing: &'static str) -> FrameError {
        FrameError::Malformed { tag: self.tag, missing }
    }

    pub(super) fn text(&mut self, what: &'static str) -> Result<String, FrameError> {
        let end = self.rest.iter().position(|b| *b == 0).ok_or_else(|| self.malformed(what))?;
        let text = self.rest.split_to(end);
        self.rest.advance(1);
        String::from_utf8(text.to_vec()).map_err(|_| self.malformed(what))
    }

    pub(super) fn byte(&mut self, what: &'static str) -> Result<u8, FrameError> {
        self.rest.try_get_u8().map_err(|_| self.malformed(what))
    }

    pub(super) fn i16(&mut self, what: &'static str) -> Result<i16, FrameError> {
        self.rest.try_get_i16().map_err(|_| self.malformed(what))
    }

    pub(super) fn i32(&mut self, what: &'static str) -> Result<i32, FrameError> {
        self.rest.try_get_i32().map_err(|_| self.malformed(what))
    }

    pub(super) fn bytes(&mut self, length: usize, what: &'static str) -> Result<Bytes, FrameError> {
        if length > self.rest.len() {
            return Err(self.malformed(what));
        }
        Ok(self.rest.split_to(length))
    }

    pub(super) fn rest(self) -> Bytes {
        self.rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_cut_and_lengths_bounded() {
        let mut buffer = BytesMut::from(&b"Q\0\0\0\x08abc\0X\0\0\0\x04Z\0"[..]);
        assert_eq!(decode_frame(&mut buffer, 4).unwrap().unwrap().body.as_ref(), b"abc\0");
        assert_eq!(decode_frame(&mut buffer, 4).unwrap().unwrap().tag, b'X');
        assert_eq!(decode_frame(&mut buffer, 4), Ok(None));
        for length in [0u32, 3, 9, u32::MAX] {
            let mut buffer = BytesMut::from(&b"Q"[..]);
            buffer.extend_from_slice(&length.to_be_bytes());
            let refused = FrameError::Length { tag: b'Q', length, max: 4 };
            assert_eq!(decode_frame(&mut buffer, 4), Err(refused));
        }
    }
}
