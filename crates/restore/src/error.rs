use std::io;
use std::path::{Path, PathBuf};

use walship_archive::ArchiveError;
use walship_basebackup::LabelError;
use walship_disk::DiskError;
use walship_engine::redo::RedoError;
use walship_node::NodeError;
use walship_settings::{AutoConfError, SettingError};
use walship_types::{HistoryError, Lsn, SystemId, TimelineId};
use walship_wal::WalError;

/// What the name of a packed backup's log begins with.
pub(crate) const LOG_TAR: &str = "pg_wal.tar";

/// Why nothing was restored. The target directory is as it was before.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The file system refused.
    #[error("could not {operation} \"{}\": {source}", path.display())]
    Io {
        /// What was tried, as in "could not ...".
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The same, further down.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The target directory, its lock or its control file.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The target directory cannot be begun or finished.
    #[error(transparent)]
    Directory(#[from] walship_basebackup::RestoreError),
    /// The archive cannot be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The log cannot be read, or begun.
    #[error(transparent)]
    Wal(#[from] WalError),
    /// Replay failed.
    #[error("could not replay: {0}")]
    Redo(#[from] RedoError),
    /// Replay of a database stopped.
    #[error("could not replay: {0}")]
    Stopped(String),
    /// The backup is still packed.
    #[error("\"{}\" is a backup in tar format", directory.display())]
    Packed {
        /// Where it is.
        directory: PathBuf,
        /// The names of its tar files, the databases' first.
        files: Vec<String>,
    },
    /// There is no backup.
    #[error("\"{}\" is not a base backup: {why}", path.display())]
    NotABackup {
        /// What was given.
        path: PathBuf,
        /// What it is instead.
        why: String,
    },
    /// The backup's label cannot be read.
    #[error("file \"{}\": {source}", path.display())]
    Label {
        /// The label.
        path: PathBuf,
        /// What is wrong.
        source: LabelError,
    },
    /// The backup's label and control file are not of the same backup.
    #[error(
        "file \"{}\" belongs to another backup: its {what} is {found}, that of the control file is {expected}",
        path.display()
    )]
    OtherLabel {
        /// The label.
        path: PathBuf,
        /// Which line.
        what: &'static str,
        /// The label's.
        found: String,
        /// The control file's.
        expected: String,
    },
    /// The archive is of another cluster.
    #[error("segment file \"{}\" is of another cluster: its system identifier is {found}, the backup's is {expected}", path.display())]
    OtherCluster {
        /// The segment.
        path: PathBuf,
        /// Its own.
        found: SystemId,
        /// The backup's.
        expected: SystemId,
    },
    /// A history file cannot be read.
    #[error("history file \"{}\": {source}", path.display())]
    History {
        /// Which one.
        path: PathBuf,
        /// What is wrong.
        source: HistoryError,
    },
    /// A timeline that nobody has a history of.
    #[error(
        "there is no history file of timeline {timeline}: \"{file}\" is neither in the archive nor in the backup"
    )]
    NoTimeline {
        /// The timeline.
        timeline: TimelineId,
        /// Its file's name.
        file: String,
    },
    /// The asked-for timeline does not go through the backup.
    #[error("timeline {timeline} does not go through the backup, which was taken on timeline {own} and is consistent at {consistent}: it {}",
        fork.map_or("does not descend from that timeline".to_owned(), |lsn| format!("left that timeline at {lsn}")))]
    OtherBranch {
        /// The asked-for one.
        timeline: TimelineId,
        /// The backup's.
        own: TimelineId,
        /// Where the backup is consistent.
        consistent: Lsn,
        /// Where the two part.
        fork: Option<Lsn>,
    },
    /// The log that makes the backup consistent is not all there.
    #[error("the backup needs the log from {start} to {consistent}, which ends at {at}: {what}")]
    BackupGap {
        /// Where replay begins.
        start: Lsn,
        /// Where the backup is consistent.
        consistent: Lsn,
        /// Where the log ends.
        at: Lsn,
        /// Which segment, and what is wrong with it.
        what: String,
    },
    /// The log ends, and goes on later.
    #[error("the archive has a gap: the log ends at {at} and goes on in \"{later}\": {what}")]
    Gap {
        /// Where the log ends.
        at: Lsn,
        /// Which segment, and what is wrong with it.
        what: String,
        /// A later segment.
        later: String,
    },
    /// The target was never reached.
    #[error("recovery ended before the target was reached: {target} is not in the log from {from} to its end at {at}, {what}{}",
        last_commit.as_ref().map(|time| format!("; its last transaction is of {time}")).unwrap_or_default())]
    NotReached {
        /// The target, in words.
        target: String,
        /// Where replay begins.
        from: Lsn,
        /// Where the log ends.
        at: Lsn,
        /// Which segment, and what is wrong with it.
        what: String,
        /// Time of the last transaction.
        last_commit: Option<String>,
    },
    /// The target lies before the backup.
    #[error("{target} is before the backup is consistent at {consistent}: the backup has {change}")]
    BeforeConsistent {
        /// The target, in words.
        target: String,
        /// Where the backup is consistent.
        consistent: Lsn,
        /// What it has beyond the target.
        change: String,
    },
    /// The restored settings cannot be changed.
    #[error(transparent)]
    Settings(#[from] AutoConfError),
    /// A setting cannot be changed.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// There is no timeline after the last one.
    #[error("timeline {0} is the last one")]
    LastTimeline(TimelineId),
    /// Told to end.
    #[error("interrupted")]
    Interrupted,
}

impl RestoreError {
    pub(crate) fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RestoreError {
        move |source| RestoreError::Io { operation, path: path.to_owned(), source }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            RestoreError::Node(error) => return error.hint(),
            RestoreError::Archive(error) => return error.hint().map(str::to_owned),
            RestoreError::Directory(walship_basebackup::RestoreError::NotEmpty { .. }) => {
                "give a directory that is missing or empty"
            }
            RestoreError::Packed { directory, files } => return Some(unpack(directory, files)),
            RestoreError::Stopped(_) => {
                "the backup is damaged: walctl verifybackup says where, if it has a manifest; restore from another one"
            }
            RestoreError::OtherLabel { .. } => "take the files of one backup together",
            RestoreError::OtherCluster { .. } => {
                "give the archive of the cluster that the backup was taken from"
            }
            RestoreError::NoTimeline { .. } => "bring the file into the archive, or ask for another timeline",
            RestoreError::OtherBranch { .. } => {
                "restore from a backup that was taken before, or ask for --timeline current"
            }
            RestoreError::BackupGap { .. } => {
                "bring the segment into the archive, from the server's pg_wal or another archive, or use another backup"
            }
            RestoreError::Gap { at, .. } => {
                return Some(format!(
                    "bring the segment into the archive, or restore what comes before the gap: --target-lsn {at}"
                ));
            }
            RestoreError::NotReached { .. } => {
                "archive more of the log (SELECT pg_switch_wal() on the leader), or give an earlier target"
            }
            RestoreError::BeforeConsistent { .. } => {
                "restore from an earlier backup, or take the earliest state that this one has: --target immediate"
            }
            _ => return None,
        };
        Some(text.to_owned())
    }
}

/// The commands that unpack a backup. tar finds out by itself how a file is compressed.
fn unpack(directory: &Path, files: &[String]) -> String {
    let command = |file: &String| {
        let to = if file.starts_with(LOG_TAR) { "NEW/pg_wal" } else { "NEW" };
        format!("tar -xf \"{}\" -C {to}", directory.join(file).display())
    };
    let commands: Vec<String> = files.iter().map(command).collect();
    format!("unpack it first: mkdir NEW && {}", commands.join(" && "))
}
