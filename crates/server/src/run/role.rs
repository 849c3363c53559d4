use std::fs;

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
        .hint("remove the file; create standby.signal instead to start a follower"));
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
