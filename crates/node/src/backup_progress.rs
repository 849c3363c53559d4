use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// What a base backup is at, in the words of PostgreSQL's `pg_stat_progress_basebackup`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackupPhase {
    /// Before anything.
    Initializing,
    /// The checkpoint that the backup starts from is being made.
    WaitingForCheckpoint,
    /// The files are being listed.
    EstimatingSize,
    /// Files are being sent.
    StreamingFiles,
    /// The log that makes the backup consistent is not archived yet.
    WaitingForArchive,
    /// That log is being sent.
    TransferringLog,
}

const PHASES: [BackupPhase; 6] = [
    BackupPhase::Initializing,
    BackupPhase::WaitingForCheckpoint,
    BackupPhase::EstimatingSize,
    BackupPhase::StreamingFiles,
    BackupPhase::WaitingForArchive,
    BackupPhase::TransferringLog,
];

/// A total that nobody asked for.
const UNKNOWN: u64 = u64::MAX;

impl BackupPhase {
    /// As the view shows it.
    pub fn as_str(self) -> &'static str {
        match self {
            BackupPhase::Initializing => "initializing",
            BackupPhase::WaitingForCheckpoint => "waiting for checkpoint to finish",
            BackupPhase::EstimatingSize => "estimating backup size",
            BackupPhase::StreamingFiles => "streaming database files",
            BackupPhase::WaitingForArchive => "waiting for wal archiving to finish",
            BackupPhase::TransferringLog => "transferring wal files",
        }
    }
}

/// How far a base backup is: written by the one who takes it, read by views.
#[derive(Debug)]
pub struct BackupProgress {
    phase: AtomicU8,
    total: AtomicU64,
    streamed: AtomicU64,
}

impl Default for BackupProgress {
    fn default() -> BackupProgress {
        BackupProgress {
            phase: AtomicU8::new(0),
            total: AtomicU64::new(UNKNOWN),
            streamed: AtomicU64::new(0),
        }
    }
}

impl BackupProgress {
    /// What it is at.
    pub fn phase(&self) -> BackupPhase {
        let index = usize::from(self.phase.load(Ordering::Relaxed));
        PHASES.get(index).copied().unwrap_or(BackupPhase::Initializing)
    }

    /// Enters a phase.
    pub fn enter(&self, phase: BackupPhase) {
        let index = PHASES.iter().position(|known| *known == phase).unwrap_or(0);
        self.phase.store(u8::try_from(index).unwrap_or(0), Ordering::Relaxed);
    }

    /// Bytes of the whole archive, if they were counted.
    pub fn total(&self) -> Option<u64> {
        Some(self.total.load(Ordering::Relaxed)).filter(|total| *total != UNKNOWN)
    }

    /// Notes the bytes of the whole archive.
    pub fn expect(&self, total: u64) {
        self.total.store(total, Ordering::Relaxed);
    }

    /// Bytes of the archive that were sent.
    pub fn streamed(&self) -> u64 {
        self.streamed.load(Ordering::Relaxed)
    }

    /// Notes that so many more were sent.
    pub fn add(&self, bytes: u64) {
        self.streamed.fetch_add(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_comes_back_as_it_was_entered() {
        let progress = BackupProgress::default();
        for phase in PHASES {
            progress.enter(phase);
            assert_eq!(progress.phase(), phase);
        }
        assert_eq!(progress.total(), None);
        progress.expect(7);
        progress.add(3);
        progress.add(4);
        assert_eq!((progress.total(), progress.streamed()), (Some(7), 7));
    }
}
