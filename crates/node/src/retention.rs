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
    /// The start of the oldest segment that is still to be archived.
    pub archive: Option<Lsn>,
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
/// running base backup or a slot needs,
/// or that is not archived yet, and `wal_keep_size` beyond that; a slot
/// only within `max_slot_wal_keep_size`.
pub fn retention(input: &RetentionInput) -> Retention {
    let size = input.segment_size;
    let back = |bytes: u64| size.segment_of(Lsn(input.current.0.saturating_sub(bytes)));
    let mut keep_from = size.segment_of(input.redo).min(back(input.keep_bytes));
    for needed in [input.connections, input.archive].into_iter().flatten() {
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

/// What there still is of the log that a slot needs, in the words of PostgreSQL's
/// `pg_replication_slots.wal_status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotStatus {
    /// Within `max_wal_size`.
    Reserved,
    /// Beyond it, and kept for the slot, or by `wal_keep_size`.
    Extended,
    /// Beyond `max_slot_wal_keep_size`: the next checkpoint may take it.
    Unreserved,
    /// Gone.
    Lost,
}

impl SlotStatus {
    /// As the view shows it.
    pub fn as_str(self) -> &'static str {
        match self {
            SlotStatus::Reserved => "reserved",
            SlotStatus::Extended => "extended",
            SlotStatus::Unreserved => "unreserved",
            SlotStatus::Lost => "lost",
        }
    }
}

/// A slot's status, and how many bytes can be written until it is in danger: negative
/// when it is already, `None` without a limit or when it is lost. `input.slots` is not
/// looked at.
pub fn slot_status(
    restart: Lsn,
    lost: bool,
    input: &RetentionInput,
    wal_bytes_max: u64,
) -> (SlotStatus, Option<i64>) {
    if lost {
        return (SlotStatus::Lost, None);
    }
    let size = input.segment_size;
    let needed = size.segment_of(restart);
    let back = |bytes: u64| size.segment_of(Lsn(input.current.0.saturating_sub(bytes)));
    // what is kept for everybody costs no slot anything
    let limit = input.slot_keep_bytes_max.map(|limit| limit.max(input.keep_bytes));
    let status = if limit.is_some_and(|limit| needed < back(limit)) {
        SlotStatus::Unreserved
    } else if needed >= back(wal_bytes_max) {
        SlotStatus::Reserved
    } else {
        SlotStatus::Extended
    };
    let safe = limit.map(|limit| {
        let end = i128::from(size.start_of(SegmentNo(needed.0 + 1)).0) + i128::from(limit);
        i64::try_from(end - i128::from(input.current.0)).unwrap_or(i64::MAX)
    });
    (status, safe)
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
            archive: None,
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
        keeps(&RetentionInput { archive: Some(at(65)), ..input() }, 65, None);
        keeps(&RetentionInput { slots: Some(at(60)), ..input() }, 60, None);
        keeps(&RetentionInput { slots: Some(at(95)), ..input() }, 90, None);
    }

    #[test]
    fn a_slots_status_says_how_far_it_is_from_losing_its_log() {
        let status = |segment, limit: Option<u64>, keep: u64| {
            let input = RetentionInput {
                slot_keep_bytes_max: limit.map(|segments| segments << 20),
                keep_bytes: keep << 20,
                ..input()
            };
            slot_status(at(segment), false, &input, 10 << 20)
        };
        assert_eq!(status(95, None, 0), (SlotStatus::Reserved, None));
        assert_eq!(status(80, None, 0), (SlotStatus::Extended, None));
        let left = |segments: i64| Some((segments << 20) - 0x100);
        assert_eq!(status(95, Some(20), 0), (SlotStatus::Reserved, left(16)));
        assert_eq!(status(80, Some(20), 0), (SlotStatus::Extended, left(1)));
        assert_eq!(status(79, Some(20), 0), (SlotStatus::Unreserved, left(0)));
        assert_eq!(status(70, Some(20), 0), (SlotStatus::Unreserved, left(-9)));
        assert_eq!(status(70, Some(20), 40), (SlotStatus::Extended, left(11)));
        assert_eq!(slot_status(at(1), true, &input(), 1 << 20), (SlotStatus::Lost, None));
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
