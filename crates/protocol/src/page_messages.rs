use bytes::{Buf, BufMut, Bytes, BytesMut};
use walship_types::{DatabaseId, Lsn, PageNo, TimelineId};

/// Most pages that one request may ask for, over all of its runs: with the largest pages
/// 16 MiB, which is what one request makes the server hold in memory.
pub const REQUEST_PAGES_MAX: u32 = 256;

const RUNS: u8 = b'p';
const END: u8 = b'e';
const MISSING: u8 = b'm';
const RUN_BYTES: usize = 12;
const RUN_HEADER_BYTES: usize = 8;

/// Consecutive pages of one database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRun {
    /// The database.
    pub database: DatabaseId,
    /// The first page.
    pub first: PageNo,
    /// How many.
    pub count: u32,
}

/// What a client says inside the stream of `WALSHIP_READ_PAGES`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PageRequest {
    /// Send these; one answer for each run, in order.
    Read(Vec<PageRun>),
    /// Say which position of the log has everything that was sent so far.
    End,
}

/// What a server answers there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PageReply {
    /// Pages of a run, whole ones one behind the other; fewer than asked for where the
    /// database ends.
    Pages {
        /// The database.
        database: DatabaseId,
        /// The first page.
        first: PageNo,
        /// Their content.
        content: Bytes,
    },
    /// There is no such database (any more).
    Missing {
        /// Its id.
        database: DatabaseId,
    },
    /// Everything that the pages show is in the log before this position, and durable.
    End {
        /// The position.
        lsn: Lsn,
        /// The timeline that the server is on.
        timeline: TimelineId,
    },
}

/// A message of the stream that is none; SQLSTATE 08P01.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PageMessageError {
    /// It had no first byte.
    #[error("empty message in the stream of pages")]
    Empty,
    /// Its first byte is no known type.
    #[error("unexpected message type \"{}\" in the stream of pages", .0.escape_ascii())]
    UnknownType(u8),
    /// It has not as many bytes as one of its type.
    #[error("message \"{}\" in the stream of pages has an invalid length of {found} bytes", .kind.escape_ascii())]
    Length {
        /// The message's type.
        kind: u8,
        /// Bytes that it has.
        found: usize,
    },
    /// It asks for more than [`REQUEST_PAGES_MAX`] pages, for none, or for page 0.
    #[error("a request for {0} pages, 1 to {REQUEST_PAGES_MAX} expected")]
    Pages(u64),
}

impl PageRequest {
    /// The content of a CopyData message.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        match self {
            PageRequest::Read(runs) => {
                out.put_u8(RUNS);
                for run in runs {
                    out.put_u32(run.database.0);
                    out.put_u32(run.first.0);
                    out.put_u32(run.count);
                }
            }
            PageRequest::End => out.put_u8(END),
        }
        out.freeze()
    }

    /// Decodes and checks one.
    pub fn decode(mut message: Bytes) -> Result<PageRequest, PageMessageError> {
        let kind = *message.first().ok_or(PageMessageError::Empty)?;
        message.advance(1);
        let found = message.len();
        match kind {
            RUNS if found.is_multiple_of(RUN_BYTES) => {
                let mut runs = Vec::with_capacity(found / RUN_BYTES);
                while message.has_remaining() {
                    let (database, first) = (DatabaseId(message.get_u32()), PageNo(message.get_u32()));
                    runs.push(PageRun { database, first, count: message.get_u32() });
                }
                let pages: u64 = runs.iter().map(|run| u64::from(run.count)).sum();
                let valid = |run: &PageRun| run.count > 0 && run.first.0 > 0;
                if pages > u64::from(REQUEST_PAGES_MAX) || !runs.iter().all(valid) {
                    return Err(PageMessageError::Pages(pages));
                }
                Ok(PageRequest::Read(runs))
            }
            END if found == 0 => Ok(PageRequest::End),
            RUNS | END => Err(PageMessageError::Length { kind, found }),
            kind => Err(PageMessageError::UnknownType(kind)),
        }
    }
}

impl PageReply {
    /// The content of a CopyData message.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        match self {
            PageReply::Pages { database, first, content } => {
                out.reserve(1 + RUN_HEADER_BYTES + content.len());
                out.put_u8(RUNS);
                out.put_u32(database.0);
                out.put_u32(first.0);
                out.put_slice(content);
            }
            PageReply::Missing { database } => {
                out.put_u8(MISSING);
                out.put_u32(database.0);
            }
            PageReply::End { lsn, timeline } => {
                out.put_u8(END);
                out.put_u64(lsn.0);
                out.put_u32(timeline.0);
            }
        }
        out.freeze()
    }

    /// Decodes one.
    pub fn decode(mut message: Bytes) -> Result<PageReply, PageMessageError> {
        let kind = *message.first().ok_or(PageMessageError::Empty)?;
        message.advance(1);
        let found = message.len();
        match kind {
            RUNS if found >= RUN_HEADER_BYTES => {
                let (database, first) = (DatabaseId(message.get_u32()), PageNo(message.get_u32()));
                Ok(PageReply::Pages { database, first, content: message })
            }
            MISSING if found == 4 => Ok(PageReply::Missing { database: DatabaseId(message.get_u32()) }),
            END if found == 12 => {
                let (lsn, timeline) = (Lsn(message.get_u64()), TimelineId(message.get_u32()));
                Ok(PageReply::End { lsn, timeline })
            }
            RUNS | MISSING | END => Err(PageMessageError::Length { kind, found }),
            kind => Err(PageMessageError::UnknownType(kind)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_round_trip() {
        let run = |first, count| PageRun { database: DatabaseId(7), first: PageNo(first), count };
        for request in [PageRequest::Read(vec![run(1, 1), run(900, 255)]), PageRequest::End] {
            assert_eq!(PageRequest::decode(request.encode()), Ok(request));
        }
        let content = Bytes::from_static(&[1; 512]);
        for reply in [
            PageReply::Pages { database: DatabaseId(7), first: PageNo(9), content },
            PageReply::Missing { database: DatabaseId(7) },
            PageReply::End { lsn: Lsn(0x1_0000_0028), timeline: TimelineId(3) },
        ] {
            assert_eq!(PageReply::decode(reply.encode()), Ok(reply));
        }
    }

    #[test]
    fn nothing_else_is_taken() {
        let run = |first, count| PageRun { database: DatabaseId(7), first: PageNo(first), count };
        for runs in [vec![run(1, 257)], vec![run(1, 200), run(300, 57)], vec![run(1, 0)], vec![run(0, 1)]] {
            let decoded = PageRequest::decode(PageRequest::Read(runs).encode());
            assert!(matches!(decoded, Err(PageMessageError::Pages(_))), "{decoded:?}");
        }
        for bad in [&b""[..], b"x", b"p1", b"e1"] {
            assert!(PageRequest::decode(Bytes::from_static(bad)).is_err());
            assert!(PageReply::decode(Bytes::from_static(bad)).is_err());
        }
    }
}
