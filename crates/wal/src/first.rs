use bytes::Bytes;
use walship_types::Lsn;

use crate::record::{RecordHeader, padded_len};
use crate::segment_header::SegmentHeader;
use crate::{EndReason, RECORD_HEADER_LEN, Record, SEGMENT_HEADER_LEN, WalConfig, layout};

/// The record that a segment begins with, from `log`, bytes of the log from the start of
/// that segment on that may be of another node: it is checked as [`crate::WalReader`]
/// checks what is in files. [`EndReason::NotFlushed`] if `log` does not have all of it,
/// another reason if it does not begin with an intact record of the history of `config`.
pub fn first_record(config: &WalConfig, segment_start: Lsn, log: &[u8]) -> Result<Record, EndReason> {
    let size = config.segment_size;
    let header = log.first_chunk::<SEGMENT_HEADER_LEN>().ok_or(EndReason::NotFlushed)?;
    let checked = SegmentHeader::decode(header).and_then(|header| {
        header.check_place(&config.segment_header(segment_start, Lsn::INVALID, 0))?;
        header.check_continuation(Lsn::INVALID, 0)
    });
    checked.map_err(EndReason::SegmentHeader)?;
    let segment_len = usize::try_from(size.bytes()).unwrap_or(usize::MAX);
    let segments = log.chunks(segment_len).filter_map(|segment| segment.get(SEGMENT_HEADER_LEN..));
    let record: Vec<u8> = segments.flatten().copied().collect();

    let start = layout::record_start(segment_start, size);
    let seed = config.crc_seed(start);
    let (header, rest) = record.split_first_chunk::<RECORD_HEADER_LEN>().ok_or(EndReason::NotFlushed)?;
    let header = RecordHeader::decode(header, start, seed)?;
    let padded = rest.get(..padded_len(header.payload_len)).ok_or(EndReason::NotFlushed)?;
    let (expected, found) = (seed.of(&[padded]), header.payload_crc);
    if expected != found {
        return Err(EndReason::PayloadChecksum { expected, found });
    }
    let end = layout::advance(start, header.record_len(), size);
    Ok(Record {
        lsn: start,
        end,
        previous: header.previous,
        timeline: config.history.timeline_at(start),
        kind: header.kind,
        flags: header.flags,
        payload: Bytes::copy_from_slice(padded.get(..header.payload_len).unwrap_or(padded)),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use walship_disk::RealDisk;
    use walship_types::{SegmentSize, SystemId, TimelineHistory, TimelineId};

    use super::*;
    use crate::{FIRST_SEGMENT, RecordKind, WalWriter, create_first_segment};

    #[test]
    fn it_is_the_one_that_was_written_and_nothing_less() {
        let directory = tempfile::tempdir().unwrap();
        let history = TimelineHistory::root(TimelineId::FIRST);
        let (disk, size) = (Arc::new(RealDisk::new()), SegmentSize::MIN);
        let config = WalConfig::new(disk, directory.path(), SystemId(7), size, history);
        let writer = WalWriter::start(config.clone(), create_first_segment(&config).unwrap()).unwrap();
        // it runs over the end of its segment
        let payload: Vec<u8> = (0..size.bytes() as usize + 1001).map(|i| (i % 251) as u8).collect();
        let span = writer.append(RecordKind::EndOfRecovery, &[&payload]).unwrap();
        writer.flush(span.end).unwrap();
        let begin = size.start_of(FIRST_SEGMENT);
        let mut log = Vec::new();
        while (log.len() as u64) < span.end.0 - begin.0 {
            let from = Lsn(begin.0 + log.len() as u64);
            log.extend_from_slice(&writer.source().read(from, usize::MAX, span.end).unwrap());
        }
        let record = first_record(&config, begin, &log).unwrap();
        assert_eq!((record.lsn, record.end, record.previous), (span.start, span.end, Lsn::INVALID));
        assert_eq!((record.kind, &record.payload[..]), (RecordKind::EndOfRecovery, &payload[..]));

        for short in [0, SEGMENT_HEADER_LEN, SEGMENT_HEADER_LEN + RECORD_HEADER_LEN, log.len() - 1] {
            assert_eq!(first_record(&config, begin, &log[..short]).unwrap_err(), EndReason::NotFlushed);
        }
        let other = WalConfig { system_id: SystemId(8), ..config.clone() };
        assert!(matches!(first_record(&other, begin, &log), Err(EndReason::SegmentHeader(_))));
        let at = log.len() - 500;
        log[at] ^= 1;
        assert!(matches!(first_record(&config, begin, &log), Err(EndReason::PayloadChecksum { .. })));
        log[SEGMENT_HEADER_LEN + 9] ^= 1;
        assert!(matches!(first_record(&config, begin, &log), Err(EndReason::HeaderChecksum { .. })));
    }
}
