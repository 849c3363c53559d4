use walship_types::{Lsn, SegmentNo, SegmentSize};

/// What decides which segments may go.
#[derive(Debug, Clone)]
pub struct RetentionInput {
    /// Where replay would start.
    pub redo: Lsn,
    /// End of the log.
    pub current: Lsn,
    /// The oldest position that a slot needs.
    pub slots: Option<Lsn>,
    /// The oldest position that a connection without a slot needs.
    pub connections: Option<Lsn>,
    /// `wal_keep_size` in bytes.
    pub keep_bytes: u64,
    /// `max_slot_wal_keep_size` in bytes; `None` is unlimited.
    pub slot_keep_bytes_max: Option<u64>,
    /// Fixed for the cluster's life.
    pub segment_size: SegmentSize,
}

/// What may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// The oldest segment that stays.
    pub keep_from: SegmentNo,
    /// Slots that need anything before this are to be marked lost first.
    pub slots_lost_before: Option<Lsn>,
}

/// Decides which segments stay: all that the redo point, a connected follower, a
/// running base backup or a slot needs, and `wal_keep_size` beyond that; a slot
/// only within `max_slot_wal_keep_size`.
pub fn retention(input: &RetentionInput) -> Retention {
    let size = input.segment_size;
    let back = |bytes: u64| size.segment_of(Lsn(input.current.0.saturating_sub(bytes)));
    let mut keep_from = size.segment_of(input.redo).min(back(input.keep_bytes));
    if let Some(needed) = input.connections {
        keep_from = keep_from.min(size.segment_of(needed));
    }
    let mut slots_lost_before = None;
    if let Some(needed) = input.slots {
        let wanted = size.segment_of(needed);
        let allowed = input.slot_keep_bytes_max.map_or(wanted, back);
        if wanted < allowed && keep_from > wanted {
            let lost_before = keep_from.min(allowed);
            slots_lost_before = Some(size.start_of(lost_before));
            keep_from = lost_before;
        } else {
            keep_from = keep_from.min(wanted);
        }
    }
    Retention { keep_from, slots_lost_before }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input() -> RetentionInput {
        RetentionInput {
            redo: at(90),
            current: at(100),
            slots: None,
            connections: None,
            keep_bytes: 0,
            slot_keep_bytes_max: None,
            segment_size: SegmentSize::MIN,
        }
    }

    fn at(segment: u64) -> Lsn {
        Lsn(segment << 20 | 0x100)
    }

    fn keeps(input: &RetentionInput, segment: u64, lost_before: Option<u64>) {
        let expected =
            Retention { keep_from: SegmentNo(segment), slots_lost_before: lost_before.map(|s| Lsn(s << 20)) };
        assert_eq!(retention(input), expected);
    }

    #[test]
    fn keeps_what_anybody_needs() {
        keeps(&input(), 90, None);
        keeps(&RetentionInput { keep_bytes: 20 << 20, ..input() }, 80, None);
        keeps(&RetentionInput { connections: Some(at(70)), ..input() }, 70, None);
        keeps(&RetentionInput { slots: Some(at(60)), ..input() }, 60, None);
        keeps(&RetentionInput { slots: Some(at(95)), ..input() }, 90, None);
    }

    #[test]
    fn a_slot_keeps_no_more_than_it_may() {
        let limited = RetentionInput { slots: Some(at(60)), slot_keep_bytes_max: Some(20 << 20), ..input() };
        keeps(&limited, 80, Some(80));
        keeps(&RetentionInput { slots: Some(at(85)), ..limited.clone() }, 85, None);
        // what stays for another reason does not cost the slot anything
        keeps(&RetentionInput { connections: Some(at(50)), ..limited.clone() }, 50, None);
        keeps(&RetentionInput { connections: Some(at(70)), ..limited }, 70, Some(70));
    }
}
