use std::fmt;

/// What a record means. The numbers are the format's and never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum RecordKind {
    /// One part of a commit.
    Pages = 1,
    /// Closes a commit; without it its parts do not exist.
    Commit = 2,
    /// A -wal generation is complete in the log.
    Seal = 3,
    /// A redo point.
    Checkpoint = 4,
    /// A database came to be.
    CreateDatabase = 5,
    /// A database is gone.
    DropDatabase = 6,
    /// The first record of a new timeline.
    EndOfRecovery = 7,
    /// The rest of the segment is skipped.
    SegmentSwitch = 8,
    /// A named point of the log.
    RestorePoint = 9,
}

impl RecordKind {
    /// All of them, in the order of their numbers.
    pub const ALL: [RecordKind; 9] = [
        RecordKind::Pages,
        RecordKind::Commit,
        RecordKind::Seal,
        RecordKind::Checkpoint,
        RecordKind::CreateDatabase,
        RecordKind::DropDatabase,
        RecordKind::EndOfRecovery,
        RecordKind::SegmentSwitch,
        RecordKind::RestorePoint,
    ];

    /// The kind with this number; `None` for a number that has no meaning.
    pub fn from_number(number: u8) -> Option<RecordKind> {
        RecordKind::ALL.into_iter().find(|&kind| kind as u8 == number)
    }

    /// As the dump prints it.
    pub fn name(self) -> &'static str {
        match self {
            RecordKind::Pages => "PAGES",
            RecordKind::Commit => "COMMIT",
            RecordKind::Seal => "SEAL",
            RecordKind::Checkpoint => "CHECKPOINT",
            RecordKind::CreateDatabase => "CREATE_DATABASE",
            RecordKind::DropDatabase => "DROP_DATABASE",
            RecordKind::EndOfRecovery => "END_OF_RECOVERY",
            RecordKind::SegmentSwitch => "SWITCH",
            RecordKind::RestorePoint => "RESTORE_POINT",
        }
    }
}

impl fmt::Display for RecordKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
