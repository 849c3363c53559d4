use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use walship_types::Lsn;

use crate::host::LogSource;

/// Longest pause between two pieces: whoever watches the progress sees that it goes on.
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// What a backup leaves to those who commit meanwhile: as long as the log grows, it pauses after each piece for a
/// multiple of the time that the piece took (`base_backup_yield`). A backup that disturbs nobody goes as fast as it can.
pub(super) struct Pace {
    log: Arc<dyn LogSource>,
    pauses: Pauses,
    at_work_since: Instant,
}

impl Pace {
    pub(super) fn new(log: Arc<dyn LogSource>, per_time_at_work: u32) -> Pace {
        let pauses = Pauses { per_time_at_work, flushed: log.flushed() };
        Pace { log, pauses, at_work_since: Instant::now() }
    }

    /// After a piece was handed over; blocks.
    pub(super) fn after_piece(&mut self) {
        thread::sleep(self.pauses.next(self.at_work_since.elapsed(), self.log.flushed()));
        self.at_work_since = Instant::now();
    }
}

struct Pauses {
    per_time_at_work: u32,
    /// The end of the log at the last piece.
    flushed: Lsn,
}

impl Pauses {
    fn next(&mut self, at_work: Duration, flushed: Lsn) -> Duration {
        let grew = flushed > self.flushed;
        self.flushed = flushed;
        if grew { at_work.saturating_mul(self.per_time_at_work).min(PAUSE_MAX) } else { Duration::ZERO }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_log_that_grows_makes_a_backup_pause() {
        let mut pauses = Pauses { per_time_at_work: 3, flushed: Lsn(100) };
        let at_work = Duration::from_millis(2);
        assert_eq!(pauses.next(at_work, Lsn(100)), Duration::ZERO);
        assert_eq!(pauses.next(at_work, Lsn(200)), at_work * 3);
        assert_eq!(pauses.next(at_work, Lsn(200)), Duration::ZERO);
    }

    #[test]
    fn a_pause_is_short_and_can_be_turned_off() {
        let slow = Duration::from_secs(5);
        assert_eq!(Pauses { per_time_at_work: 3, flushed: Lsn(100) }.next(slow, Lsn(200)), PAUSE_MAX);
        assert_eq!(Pauses { per_time_at_work: 0, flushed: Lsn(100) }.next(slow, Lsn(200)), Duration::ZERO);
    }
}
