use bytes::{Buf, Bytes, BytesMut};

use super::{BLOCK_BYTES, Member, MemberKind, TarError, padding};

/// What comes next in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TarEvent {
    /// A member; a file's bytes follow.
    Member(Member),
    /// Bytes of the file.
    Data(Bytes),
    /// The file is complete.
    FileEnd,
}

#[derive(Debug)]
enum State {
    Header,
    Data {
        left: u64,
        padding: usize,
        skip: bool,
    },
    Padding {
        left: usize,
    },
    /// One empty block was seen.
    Ending,
    Ended,
}

/// Reads an archive that comes in pieces: bytes go in, events come out. It holds what
/// was given and not yet understood, at most a piece and a block.
#[derive(Debug)]
pub struct TarReader {
    buffer: Bytes,
    offset: u64,
    state: State,
}

impl Default for TarReader {
    fn default() -> Self {
        TarReader { buffer: Bytes::new(), offset: 0, state: State::Header }
    }
}

impl TarReader {
    /// Adds bytes of the archive; take all events before adding more.
    pub fn push(&mut self, bytes: Bytes) {
        self.buffer = if self.buffer.is_empty() {
            bytes
        } else {
            // part of a block is left over: rare, as senders end their pieces with blocks
            let mut joined = BytesMut::with_capacity(self.buffer.len() + bytes.len());
            joined.extend_from_slice(&self.buffer);
            joined.extend_from_slice(&bytes);
            joined.freeze()
        };
    }

    /// The next event; `None` if more bytes are needed.
    pub fn next_event(&mut self) -> Result<Option<TarEvent>, TarError> {
        loop {
            match self.state {
                State::Header | State::Ending => {
                    let Some(block) = self.buffer.first_chunk::<BLOCK_BYTES>().copied() else {
                        return Ok(None);
                    };
                    let offset = self.offset;
                    self.consume(BLOCK_BYTES);
                    if block.iter().all(|b| *b == 0) {
                        let first = matches!(self.state, State::Header);
                        self.state = if first { State::Ending } else { State::Ended };
                        continue;
                    }
                    if matches!(self.state, State::Ending) {
                        return Err(TarError::AfterEnd(offset));
                    }
                    let member = Member::decode(&block, offset)?;
                    if let Some(event) = self.begin(member) {
                        return Ok(Some(event));
                    }
                }
                State::Data { left: 0, padding, skip } => {
                    self.state = State::Padding { left: padding };
                    if !skip {
                        return Ok(Some(TarEvent::FileEnd));
                    }
                }
                State::Data { left, padding, skip } => {
                    let length = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
                    if length == 0 {
                        return Ok(None);
                    }
                    self.state = State::Data { left: left - length as u64, padding, skip };
                    self.offset += length as u64;
                    let data = self.buffer.split_to(length);
                    if !skip {
                        return Ok(Some(TarEvent::Data(data)));
                    }
                }
                State::Padding { left } => {
                    let length = left.min(self.buffer.len());
                    self.consume(length);
                    if length < left {
                        self.state = State::Padding { left: left - length };
                        return Ok(None);
                    }
                    self.state = State::Header;
                }
                State::Ended if self.buffer.is_empty() => return Ok(None),
                State::Ended => return Err(TarError::AfterEnd(self.offset)),
            }
        }
    }

    /// Checks that the archive is complete.
    pub fn finish(&self) -> Result<(), TarError> {
        match self.state {
            State::Ended if self.buffer.is_empty() => Ok(()),
            _ => Err(TarError::Truncated(self.offset)),
        }
    }

    fn begin(&mut self, member: Member) -> Option<TarEvent> {
        let (padding, left) = (padding(member.size), member.size);
        let skip = match member.kind {
            MemberKind::File => false,
            MemberKind::Directory | MemberKind::Other(_) => true,
        };
        self.state = State::Data { left, padding, skip };
        Some(TarEvent::Member(member))
    }

    fn consume(&mut self, length: usize) {
        self.buffer.advance(length);
        self.offset += length as u64;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use walship_types::Timestamp;

    use super::*;
    use crate::tar::END_OF_ARCHIVE;

    fn archive() -> Vec<u8> {
        let mut out = Vec::new();
        out.extend(Member::directory("d", Timestamp(0), 0o700).encode().unwrap());
        for (name, content) in [("d/a", &b"hello"[..]), ("d/empty", b""), ("d/block", &[7; BLOCK_BYTES])] {
            out.extend(Member::file(name, content.len() as u64, Timestamp(0), 0o600).encode().unwrap());
            out.extend(content);
            out.extend(std::iter::repeat_n(0, padding(content.len() as u64)));
        }
        out.extend(END_OF_ARCHIVE);
        out
    }

    fn read(archive: &[u8], piece: usize) -> Result<Vec<(String, Vec<u8>)>, TarError> {
        let mut reader = TarReader::default();
        let mut members: Vec<(String, Vec<u8>)> = Vec::new();
        for bytes in archive.chunks(piece) {
            reader.push(Bytes::copy_from_slice(bytes));
            while let Some(event) = reader.next_event()? {
                match event {
                    TarEvent::Member(member) => members.push((member.name, Vec::new())),
                    TarEvent::Data(data) => members.last_mut().unwrap().1.extend(data),
                    TarEvent::FileEnd => {}
                }
            }
        }
        reader.finish().map(|()| members)
    }

    #[test]
    fn pieces_of_any_size_give_the_same() {
        let expected = vec![
            ("d".to_owned(), vec![]),
            ("d/a".to_owned(), b"hello".to_vec()),
            ("d/empty".to_owned(), vec![]),
            ("d/block".to_owned(), vec![7; BLOCK_BYTES]),
        ];
        for piece in [1, 100, 511, 512, 513, 4096, 1 << 20] {
            assert_eq!(read(&archive(), piece), Ok(expected.clone()), "{piece}");
        }
    }

    #[test]
    fn an_archive_that_is_cut_short_or_goes_on_is_refused() {
        let whole = archive();
        for cut in [0, 100, 512, 600, whole.len() - 1, whole.len() - BLOCK_BYTES] {
            assert!(matches!(read(&whole[..cut], 4096), Err(TarError::Truncated(_))), "{cut}");
        }
        let longer = [whole.as_slice(), &[1; 10]].concat();
        assert!(matches!(read(&longer, 4096), Err(TarError::AfterEnd(_))));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = read(&bytes, 100);
        }
    }
}
