use bytes::{Bytes, BytesMut};
use walship_types::Lsn;

use crate::crc::CrcSeed;
use crate::layout;
use crate::record::{RECORD_ALIGNMENT, RECORD_HEADER_LEN, RecordHeader, RecordSpan, padded_len};
use crate::{RecordKind, WalConfig};

/// Bytes of a buffer; a record may take several.
const BUFFER_BYTES: usize = 256 << 10;

/// What a segment switch fills the rest of its segment with, as often as it takes.
static ZEROES: [u8; 64 << 10] = [0; 64 << 10];

/// The end of the log, in memory: what was appended and not yet taken by the flusher.
#[derive(Debug)]
pub(crate) struct InsertBuffer {
    config: WalConfig,
    /// Of the timeline that is written; everything that is appended is on it.
    seed: CrcSeed,
    position: Lsn,
    previous: Lsn,
    /// Begins at `filling_start`.
    filling: BytesMut,
    filling_start: Lsn,
    full: Vec<(Lsn, Bytes)>,
    /// Put there by the flusher, so that appending allocates nothing.
    spare: Option<BytesMut>,
}

/// A payload with its checksum, which is worked out before the insert lock is taken.
pub(crate) struct Prepared<'a> {
    kind: RecordKind,
    parts: &'a [&'a [u8]],
    payload_len: usize,
    crc: u32,
}

/// The padding behind a payload of this length.
fn padding(payload_len: usize) -> &'static [u8] {
    &[0; RECORD_ALIGNMENT][..padded_len(payload_len) - payload_len]
}

impl<'a> Prepared<'a> {
    pub(crate) fn new(seed: CrcSeed, kind: RecordKind, parts: &'a [&'a [u8]]) -> Prepared<'a> {
        let payload_len = parts.iter().map(|part| part.len()).sum();
        let mut crc = seed.start();
        parts.iter().for_each(|part| crc.update(part));
        crc.update(padding(payload_len));
        Prepared { kind, parts, payload_len, crc: crc.finalize() }
    }
}

impl InsertBuffer {
    pub(crate) fn new(config: WalConfig, position: Lsn, previous: Lsn) -> InsertBuffer {
        let seed = config.crc_seed(layout::record_start(position, config.segment_size));
        InsertBuffer {
            config,
            seed,
            position,
            previous,
            filling: BytesMut::with_capacity(BUFFER_BYTES),
            filling_start: position,
            full: Vec::new(),
            spare: None,
        }
    }

    /// End of what was appended.
    pub(crate) fn position(&self) -> Lsn {
        self.position
    }

    /// Where the next record will begin.
    pub(crate) fn next_record_start(&self) -> Lsn {
        layout::record_start(self.position, self.config.segment_size)
    }

    /// Appends a record; copies bytes, and nothing else.
    pub(crate) fn append(&mut self, record: &Prepared<'_>) -> RecordSpan {
        let start = self.next_record_start();
        let header = RecordHeader {
            lsn: start,
            previous: self.previous,
            payload_len: record.payload_len,
            kind: record.kind,
            flags: 0,
            payload_crc: record.crc,
        };
        let mut left = header.record_len();
        self.put(&header.encode(self.seed), start, &mut left);
        record.parts.iter().for_each(|part| self.put(part, start, &mut left));
        self.put(padding(record.payload_len), start, &mut left);
        debug_assert_eq!(left, 0);
        debug_assert_eq!(
            self.position,
            layout::advance(start, header.record_len(), self.config.segment_size)
        );
        self.previous = start;
        if record.kind == RecordKind::SegmentSwitch {
            self.fill_segment();
        }
        RecordSpan { start, end: self.position }
    }

    /// Puts bytes of the record at `record`, `left` of which are still to come, with
    /// the headers of the segments that it runs into.
    fn put(&mut self, mut bytes: &[u8], record: Lsn, left: &mut u64) {
        let size = self.config.segment_size;
        while !bytes.is_empty() {
            if size.offset_of(self.position) == 0 {
                let begins = layout::record_start(self.position, size) == record;
                let (running, remaining) = if begins { (Lsn::INVALID, 0) } else { (record, *left) };
                // a record is far shorter than 4 GiB
                let header = self.config.segment_header(self.position, running, remaining as u32);
                self.buffer(&header.encode());
            }
            let room = size.bytes() - size.offset_of(self.position);
            let (now, later) = bytes.split_at(bytes.len().min(room as usize));
            self.buffer(now);
            *left -= now.len() as u64;
            bytes = later;
        }
    }

    fn buffer(&mut self, mut bytes: &[u8]) {
        self.position.0 += bytes.len() as u64;
        while !bytes.is_empty() {
            let room = self.filling.capacity() - self.filling.len();
            if room == 0 {
                self.next_buffer();
                continue;
            }
            let (now, later) = bytes.split_at(bytes.len().min(room));
            self.filling.extend_from_slice(now);
            bytes = later;
        }
    }

    fn next_buffer(&mut self) {
        let next = self.spare.take().unwrap_or_else(|| BytesMut::with_capacity(BUFFER_BYTES));
        let full = std::mem::replace(&mut self.filling, next);
        self.push_full(full.freeze());
    }

    fn push_full(&mut self, bytes: Bytes) {
        let start = self.filling_start;
        self.filling_start.0 += bytes.len() as u64;
        if !bytes.is_empty() {
            self.full.push((start, bytes));
        }
    }

    /// Zeroes to the end of the segment, without a copy of them in memory.
    fn fill_segment(&mut self) {
        let size = self.config.segment_size;
        let taken = self.filling.split().freeze();
        self.push_full(taken);
        let mut left = layout::segment_end(self.position, size).0 - self.position.0;
        while left > 0 {
            let n = left.min(ZEROES.len() as u64);
            self.push_full(Bytes::from_static(&ZEROES[..n as usize]));
            self.position.0 += n;
            left -= n;
        }
    }

    /// Gives everything to the flusher.
    pub(crate) fn take(&mut self, into: &mut impl Extend<(Lsn, Bytes)>) {
        let taken = self.filling.split().freeze();
        self.push_full(taken);
        into.extend(self.full.drain(..));
    }

    pub(crate) fn needs_spare(&self) -> bool {
        self.spare.is_none()
    }

    pub(crate) fn put_spare(&mut self, buffer: BytesMut) {
        self.spare = Some(buffer);
    }

    pub(crate) fn new_spare() -> BytesMut {
        BytesMut::with_capacity(BUFFER_BYTES)
    }
}

const _: () = assert!(BUFFER_BYTES.is_multiple_of(RECORD_HEADER_LEN));
