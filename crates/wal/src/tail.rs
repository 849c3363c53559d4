use std::collections::VecDeque;

use bytes::Bytes;
use parking_lot::RwLock;
use walship_types::Lsn;

/// The latest bytes of the log, in memory, for readers that keep up. What is in here has
/// been written to its file before, so that dropping the oldest loses nothing.
#[derive(Debug)]
pub(crate) struct HotTail {
    /// Protects the list; what it points to never changes.
    chunks: RwLock<Chunks>,
    bytes_max: usize,
}

#[derive(Debug)]
struct Chunks {
    /// Without gaps; a front-to-back search finds a position.
    list: VecDeque<(Lsn, Bytes)>,
    bytes: usize,
}

/// Chunks that are kept at most: many small flushes would otherwise cost more in list
/// than in content.
const CHUNKS_MAX: usize = 16 << 10;

impl HotTail {
    pub(crate) fn new(bytes_max: usize) -> HotTail {
        let chunks = Chunks { list: VecDeque::new(), bytes: 0 };
        HotTail { chunks: RwLock::new(chunks), bytes_max }
    }

    /// Adds the bytes at `start`, which is where the last ones ended.
    pub(crate) fn push(&self, start: Lsn, bytes: Bytes) {
        let mut dropped = Vec::new();
        let mut chunks = self.chunks.write();
        chunks.bytes += bytes.len();
        chunks.list.push_back((start, bytes));
        while chunks.bytes > self.bytes_max || chunks.list.len() > CHUNKS_MAX {
            let Some((_, oldest)) = chunks.list.pop_front() else { break };
            chunks.bytes -= oldest.len();
            dropped.push(oldest);
        }
        // freed after the lock is
        drop(chunks);
    }

    /// Forgets what is at or behind `end`.
    pub(crate) fn cut(&self, end: Lsn) {
        let mut chunks = self.chunks.write();
        while chunks.list.back().is_some_and(|(start, _)| *start >= end) {
            let Some((_, gone)) = chunks.list.pop_back() else { break };
            chunks.bytes -= gone.len();
        }
        let mut cut = 0;
        if let Some((start, bytes)) = chunks.list.back_mut() {
            let keep = usize::try_from(end.saturating_distance_from(*start)).unwrap_or(usize::MAX);
            cut = bytes.len().saturating_sub(keep);
            bytes.truncate(keep);
        }
        chunks.bytes -= cut;
    }

    /// The bytes from `lsn` to the end of the chunk that it is in.
    pub(crate) fn get(&self, lsn: Lsn) -> Option<Bytes> {
        let chunks = self.chunks.read();
        let after = chunks.list.partition_point(|(start, _)| *start <= lsn);
        let (start, bytes) = chunks.list.get(after.checked_sub(1)?)?;
        let skip = usize::try_from(lsn.0 - start.0).ok()?;
        (skip < bytes.len()).then(|| bytes.slice(skip..))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_off_is_forgotten() {
        let tail = HotTail::new(100);
        for n in 0..3u64 {
            tail.push(Lsn(100 + n * 10), Bytes::from(vec![n as u8; 10]));
        }
        tail.cut(Lsn(115));
        assert_eq!(tail.get(Lsn(114)).unwrap(), vec![1; 1]);
        assert_eq!((tail.get(Lsn(115)), tail.get(Lsn(120))), (None, None));
        tail.push(Lsn(115), Bytes::from(vec![9; 10]));
        assert_eq!(tail.get(Lsn(120)).unwrap(), vec![9; 5]);
    }

    #[test]
    fn keeps_the_latest_within_its_bound() {
        let tail = HotTail::new(25);
        for n in 0..5u64 {
            tail.push(Lsn(100 + n * 10), Bytes::from(vec![n as u8; 10]));
        }
        assert_eq!(tail.get(Lsn(129)), None);
        assert_eq!(tail.get(Lsn(130)).unwrap(), vec![3; 10]);
        assert_eq!(tail.get(Lsn(149)).unwrap(), vec![4; 1]);
        assert_eq!(tail.get(Lsn(150)), None);
    }
}
