use walship_types::{Lsn, SegmentSize};

use crate::SEGMENT_HEADER_LEN;

/// Where the first byte of a record lies that is appended at `end`: behind the segment
/// header if `end` is a segment's start. Two positions mean the same end of log then;
/// this is how to compare them.
pub fn record_start(end: Lsn, size: SegmentSize) -> Lsn {
    if size.offset_of(end) == 0 { Lsn(end.0 + SEGMENT_HEADER_LEN as u64) } else { end }
}

/// Position after `len` record bytes from `start`, which is not a segment's start: the
/// headers of the segments that they run into are in between.
pub(crate) fn advance(start: Lsn, len: u64, size: SegmentSize) -> Lsn {
    let room = size.bytes() - size.offset_of(start);
    if len <= room {
        return Lsn(start.0 + len);
    }
    let per_segment = size.bytes() - SEGMENT_HEADER_LEN as u64;
    let headers = (len - room).div_ceil(per_segment);
    Lsn(start.0 + len + headers * SEGMENT_HEADER_LEN as u64)
}

/// The start of the segment behind `end`, or `end` if it is one.
pub(crate) fn segment_end(end: Lsn, size: SegmentSize) -> Lsn {
    Lsn(end.0.next_multiple_of(size.bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_counted_where_they_are_crossed() {
        let size = SegmentSize::MIN;
        let n = size.bytes();
        let from = Lsn(n + 64);
        assert_eq!(advance(from, n - 64, size), Lsn(2 * n));
        assert_eq!(advance(from, n - 64 + 8, size), Lsn(2 * n + 64 + 8));
        assert_eq!(advance(from, 2 * (n - 64), size), Lsn(3 * n));
        assert_eq!(advance(from, 2 * (n - 64) + 8, size), Lsn(3 * n + 72));
        assert_eq!(record_start(Lsn(2 * n), size), Lsn(2 * n + 64));
        assert_eq!(record_start(Lsn(2 * n + 64), size), Lsn(2 * n + 64));
        assert_eq!(segment_end(Lsn(2 * n), size), Lsn(2 * n));
        assert_eq!(segment_end(Lsn(2 * n + 1), size), Lsn(3 * n));
    }
}
