use std::io::{self, Read, Write};

/// Longest body of a message that may carry a query, parameters or COPY data, in bytes.
pub(super) const MESSAGE_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Longest body of any other message, in bytes (PostgreSQL's `PQ_SMALL_MESSAGE_LIMIT`).
pub(super) const SMALL_MESSAGE_BYTES_MAX: usize = 10_000;

// what is read at once; a longer message grows the buffer as its bytes arrive
const READ_BYTES: usize = 16 * 1024;
// answers longer than this are sent before they are complete, so that memory stays bounded
const SEND_BYTES: usize = 64 * 1024;
// what the output keeps when it was sent; more than a response needs is given back
const KEPT_BYTES: usize = 128 * 1024;
// type byte and length word
const HEADER_BYTES: usize = 5;

/// Why no message came.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The client closed between two messages.
    #[error("connection closed")]
    Closed,
    /// The client closed in the middle of a message.
    #[error("unexpected end of connection within a message")]
    Truncated,
    /// The length word is impossible for that type.
    #[error("invalid length {length} of message type {tag}: at most {max} bytes are allowed")]
    Length {
        /// The type byte.
        tag: u8,
        /// The length word.
        length: u32,
        /// What is allowed, in bytes.
        max: usize,
    },
    /// Reading or writing failed.
    #[error("could not talk to the client: {0}")]
    Io(#[from] io::Error),
}

/// A stream of messages to and from one client.
#[derive(Debug)]
pub(crate) struct Channel<S> {
    stream: S,
    // received and not yet consumed: input[start..end]; what is behind is room to read into, which
    // is not cleared for each message
    input: Vec<u8>,
    start: usize,
    end: usize,
    /// What is to be sent.
    pub output: Vec<u8>,
}

impl<S: Read + Write> Channel<S> {
    /// A channel over a stream on which start-up is done; `received` are bytes already read from it.
    pub(crate) fn new(stream: S, received: Vec<u8>) -> Channel<S> {
        Channel { stream, start: 0, end: received.len(), input: received, output: Vec::new() }
    }

    fn pending(&self) -> &[u8] {
        self.input.get(self.start..self.end).unwrap_or_default()
    }

    /// Type byte of the next message, if it has arrived.
    pub(crate) fn next_tag(&self) -> Option<u8> {
        self.pending().first().copied()
    }

    /// Whether a whole message has arrived.
    pub(crate) fn has_message(&self) -> bool {
        match self.pending() {
            [_tag, a, b, c, d, body @ ..] => u32::from_be_bytes([*a, *b, *c, *d]) as usize <= body.len() + 4,
            _ => false,
        }
    }

    /// Replaces `body` by that of the next message and returns its type byte; blocks until it is there.
    pub(crate) fn receive(&mut self, body: &mut Vec<u8>) -> Result<u8, ChannelError> {
        let (tag, length) = loop {
            if let Some(&[tag, a, b, c, d]) = self.pending().first_chunk::<HEADER_BYTES>() {
                break (tag, u32::from_be_bytes([a, b, c, d]));
            }
            self.fill()?;
        };
        let max = body_bytes_max(tag);
        let bytes = (length as usize)
            .checked_sub(4)
            .filter(|&bytes| bytes <= max)
            .ok_or(ChannelError::Length { tag, length, max })?;
        self.start += HEADER_BYTES;
        body.clear();
        body.shrink_to(READ_BYTES);
        while body.len() < bytes {
            if self.pending().is_empty() {
                match self.fill() {
                    Err(ChannelError::Closed) => return Err(ChannelError::Truncated),
                    other => other?,
                }
            }
            let pending = self.input.get(self.start..self.end).unwrap_or_default();
            let taken = pending.get(..bytes - body.len()).unwrap_or(pending);
            body.extend_from_slice(taken);
            self.start += taken.len();
        }
        Ok(tag)
    }

    fn fill(&mut self) -> Result<(), ChannelError> {
        self.input.copy_within(self.start..self.end, 0);
        let filled = self.end - self.start;
        (self.start, self.end) = (0, filled);
        if self.input.len() < filled + READ_BYTES {
            self.input.resize(filled + READ_BYTES, 0);
        }
        let result = loop {
            match self.stream.read(self.input.get_mut(filled..).unwrap_or_default()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.end += result.as_ref().map_or(0, |&n| n);
        match result {
            Ok(0) if filled == 0 => Err(ChannelError::Closed),
            Ok(0) => Err(ChannelError::Truncated),
            Ok(_) => Ok(()),
            Err(error) => Err(ChannelError::Io(error)),
        }
    }

    /// Whether so much is gathered that it should be sent.
    pub(crate) fn is_full(&self) -> bool {
        self.output.len() >= SEND_BYTES
    }

    /// Sends what was gathered, with one write where the system takes it.
    pub(crate) fn send(&mut self) -> Result<(), ChannelError> {
        if !self.output.is_empty() {
            let result = self.stream.write_all(&self.output);
            self.output.clear();
            self.output.shrink_to(KEPT_BYTES);
            result?;
            self.stream.flush()?;
        }
        Ok(())
    }
}

fn body_bytes_max(tag: u8) -> usize {
    match tag {
        b'Q' | b'P' | b'B' | b'd' | b'F' => MESSAGE_BYTES_MAX,
        _ => SMALL_MESSAGE_BYTES_MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Slow(Vec<u8>, Vec<u8>);

    impl Read for Slow {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                return Ok(0);
            }
            buffer[0] = self.0.remove(0);
            Ok(1)
        }
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1.extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn messages_come_whole_from_single_bytes() {
        let mut channel = Channel::new(Slow(b"\0\0\x08abcdS\0\0\0\x04".to_vec(), vec![]), b"Q\0".to_vec());
        let mut body = vec![];
        assert_eq!(channel.receive(&mut body).unwrap(), b'Q');
        assert_eq!(body, b"abcd");
        assert_eq!(channel.receive(&mut body).unwrap(), b'S');
        assert!(body.is_empty());
        assert!(matches!(channel.receive(&mut body), Err(ChannelError::Closed)));
    }

    #[test]
    fn impossible_lengths_are_refused_before_anything_is_read() {
        for bytes in [b"S\0\0\xff\xff".as_slice(), b"Q\xff\xff\xff\xff", b"Q\0\0\0\x03"] {
            let mut channel = Channel::new(Slow(bytes.to_vec(), vec![]), vec![]);
            assert!(matches!(channel.receive(&mut vec![]), Err(ChannelError::Length { .. })));
        }
        let mut channel = Channel::new(Slow(b"Q\0\0\0\x09ab".to_vec(), vec![]), vec![]);
        assert!(matches!(channel.receive(&mut vec![]), Err(ChannelError::Truncated)));
    }
}
