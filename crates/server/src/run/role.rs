use std::fs;

use walship_basebackup::BackupLabel;
use walship_node::{ControlFile, ControlState, DataDirectory, NodeError};

use super::{Failure, Program, StartOptions};

/// What a directory is, whichever program starts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Takes writes.
    Leader,
    /// Replays.
    Follower,
}

impl Role {
    /// For messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Role::Leader => "leader",
            Role::Follower => "follower",
        }
    }
}

/// The role that the directory has: `standby.signal` makes it a follower's. A base
/// backup without that file becomes one when a leader is named.
pub(crate) fn find_role(
    options: &StartOptions,
    directory: &DataDirectory,
    control: &ControlFile,
) -> Result<Role, Failure> {
    if directory.recovery_signal().exists() {
        let path = directory.recovery_signal();
        return Err(Failure::new(format!(
            "\"{}\" exists: targeted recovery is not started this way",
            path.display()
        ))
        .hint("remove the file; to recover to a point in time, make a cluster with walctl restore; to start a follower, create standby.signal"));
    }
    if control.state == ControlState::Rewinding {
        let shown = directory.root().display();
        return Err(Failure::new(format!("a rewind of directory \"{shown}\" was interrupted"))
            .hint(format!("run it again: walctl rewind -D {shown} --source CONNINFO")));
    }
    if control.state == ControlState::Promoting {
        return Ok(Role::Leader);
    }
    if control.state == ControlState::InBackupRecovery {
        check_label(directory, control)?;
    }
    if directory.standby_signal().exists() {
        return Ok(Role::Follower);
    }
    let is_backup = directory.backup_label().exists() || control.state == ControlState::InBackupRecovery;
    match (is_backup, options.program, &options.primary) {
        (false, _, _) => Ok(Role::Leader),
        (true, Program::WalReceiver, Some(_)) => {
            let path = directory.standby_signal();
            fs::write(&path, b"").map_err(|e| NodeError::io("create file", &path, e))?;
            Ok(Role::Follower)
        }
        (true, _, _) => {
            let shown = directory.root().display();
            Err(Failure::new(format!("directory \"{shown}\" is a base backup that has not been recovered"))
                .hint(format!(
                    "to start a follower from it: walreceiver -D {shown} --primary CONNINFO; to make a new, \
                     independent cluster of it: walctl restore"
                )))
        }
    }
}

/// A backup's label and control file must be of the same backup; without a label the
/// control file is enough.
fn check_label(directory: &DataDirectory, control: &ControlFile) -> Result<(), Failure> {
    let path = directory.backup_label();
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(NodeError::io("read file", &path, error).into()),
    };
    let shown = path.display();
    let label =
        BackupLabel::parse(&text).map_err(|error| Failure::new(format!("file \"{shown}\": {error}")))?;
    let differs = |what: &str, found: String, expected: String| {
        Failure::new(format!(
            "file \"{shown}\" belongs to another backup: its {what} is {found}, that of the control file is {expected}"
        ))
        .hint("take the files of one backup together, or take the backup again")
    };
    match label.differs_from(control.system_id, control.redo) {
        None => Ok(()),
        Some((what, found, expected)) => Err(differs(what, found, expected)),
    }
}

#[cfg(test)]
mod tests {
    use walship_node::{NewCluster, create_cluster};
    use walship_types::{Lsn, PageSize, SegmentSize, SystemId, TimelineId};

    use super::*;

    #[test]
    fn a_label_of_another_backup_is_refused() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = DataDirectory::new(scratch.path().join("backup"));
        let (segment_size, page_size) = (SegmentSize::MIN, PageSize::DEFAULT);
        let control =
            create_cluster(&directory, NewCluster { segment_size, page_size, directory_mode: 0o700 })
                .unwrap();
        let label = BackupLabel {
            start: control.redo,
            checkpoint: control.redo,
            timeline: TimelineId::FIRST,
            from_follower: false,
            time: "2026-01-01 00:00:00 UTC".to_owned(),
            label: "test".to_owned(),
            system_id: control.system_id,
            segment_size,
        };
        let check = |label: &BackupLabel| {
            fs::write(directory.backup_label(), label.to_text()).unwrap();
            check_label(&directory, &control).map_err(|failure| failure.message)
        };
        assert_eq!(check(&label), Ok(()));
        let other = check(&BackupLabel { system_id: SystemId(1), ..label.clone() }).unwrap_err();
        assert!(other.contains("system identifier is 1,"), "{other}");
        let other = check(&BackupLabel { start: Lsn(0x7F_0500_0028), ..label }).unwrap_err();
        assert!(other.contains("start location is 7F/5000028"), "{other}");
    }
}
