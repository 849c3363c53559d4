//! Whatever bytes there are, they are refused, not believed, and nothing panics.

use proptest::prelude::*;
use walship_disk::SimDisk;
use walship_types::{DatabaseId, Lsn, PageNo, PageSize};
use walship_wal::payload::{PagesPart, Payload, encode_image};
use walship_wal::{Next, RecordKind, SegmentHeader, WalSource};

use crate::scene::{MIB, append, config, payload, start};

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn payloads_of_any_bytes_decode_or_do_not(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for kind in RecordKind::ALL {
            if let Ok(Payload::Pages(part)) = Payload::decode(kind, &bytes) {
                let mut page = vec![0; part.page_size.bytes()];
                part.entries().for_each(|entry| drop(entry.apply(&mut page)));
            }
        }
    }

    #[test]
    fn changed_page_parts_stay_within_their_pages(at in 0usize..150, byte in any::<u8>()) {
        let mut bytes = Vec::new();
        PagesPart::encode_header(&mut bytes, DatabaseId(1), true, PageSize::DEFAULT);
        let mut content = [0; 4096];
        content[100..160].fill(1);
        content[4000..].fill(2);
        encode_image(&mut bytes, PageNo(3), 9, &content);
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Ok(part) = PagesPart::decode(&bytes) {
            let mut page = vec![0; part.page_size.bytes()];
            part.entries().for_each(|entry| drop(entry.apply(&mut page)));
        }
    }

    #[test]
    fn segment_headers_of_any_bytes_decode_or_do_not(bytes in any::<[u8; 32]>()) {
        let mut raw = [0; 64];
        raw[..32].copy_from_slice(&bytes);
        prop_assert!(SegmentHeader::decode(&raw).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_log_gives_a_first_part_of_what_was_written(
        damage in prop::collection::vec((0..2 * MIB, 0u8..8), 1..20),
    ) {
        let disk = SimDisk::new(1);
        let (_, writer) = start(&disk);
        let written: Vec<_> =
            (0..30).map(|n| (append(&writer, &payload(n, 50_000)).0, payload(n, 50_000))).collect();
        writer.flush(Lsn::MAX).unwrap();
        drop(writer);
        let config = config(&disk);
        for (at, bit) in damage {
            let segment = config.segment_size.segment_of(Lsn(MIB + at));
            disk.flip_bit(&config.file_path(segment), at % MIB, bit).unwrap();
        }
        let mut reader = WalSource::offline(config).reader(Lsn(MIB));
        let mut read = Vec::new();
        // a flipped bit may also make a header foreign, which is an error and as good
        while let Ok(Next::Record(record)) = reader.next() {
            read.push((record.lsn, record.payload.to_vec()));
        }
        prop_assert!(read.len() <= written.len());
        prop_assert!(read[..] == written[..read.len()]);
    }
}
