use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use walship_node::{ControlFile, ControlState, DataDirectory, PidFile};

use super::{Area, Finding};

const AREA: Area = Area::Directory;
/// Permissions of others, in a file's mode.
const OTHERS: u32 = 0o007;
/// Permission to write of the group and others.
const OTHERS_WRITE: u32 = 0o022;

pub(super) fn check(root: &DataDirectory, control: &ControlFile, findings: &mut Vec<Finding>) {
    let owner = match fs::metadata(root.root()) {
        Ok(found) => {
            permissions(root.root(), found.mode(), control.directory_mode, findings);
            found.uid()
        }
        Err(error) => {
            findings.push(Finding::error(
                AREA,
                format!("could not look at \"{}\": {error}", root.root().display()),
            ));
            return;
        }
    };
    for folder in [root.root().to_owned(), root.base(), root.wal()] {
        files(&folder, owner, findings);
    }
    state(root, control, findings);
}

fn permissions(path: &Path, mode: u32, wanted: u32, findings: &mut Vec<Finding>) {
    let (mode, path) = (mode & 0o777, path.display());
    let mend = format!("chmod {wanted:o} \"{path}\"");
    if mode & OTHERS != 0 {
        let message = format!("data directory \"{path}\" has mode {mode:04o}: others may look into it");
        findings.push(Finding::error(AREA, message).mend(mend));
    } else if mode & !wanted != 0 {
        let message =
            format!("data directory \"{path}\" has mode {mode:04o}, the cluster was made with {wanted:04o}");
        findings.push(Finding::warning(AREA, message).mend(mend));
    }
}

/// Files of another owner, which the server could not write, and those that others may write.
fn files(folder: &Path, owner: u32, findings: &mut Vec<Finding>) {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            findings.push(Finding::error(
                AREA,
                format!("could not read folder \"{}\": {error}", folder.display()),
            ));
            return;
        }
    };
    for entry in entries.flatten() {
        // it may go while we look
        let Ok(found) = entry.metadata() else { continue };
        let (path, mode) = (entry.path(), found.mode() & 0o777);
        let shown = path.display();
        if found.uid() != owner {
            let message =
                format!("\"{shown}\" belongs to user {}, the data directory to user {owner}", found.uid());
            findings.push(
                Finding::error(AREA, message)
                    .mend(format!("chown --reference=\"{}\" \"{shown}\"", folder.display())),
            );
        }
        if found.is_file() && mode & OTHERS_WRITE != 0 {
            let message = format!("file \"{shown}\" has mode {mode:04o}: others may write it");
            findings.push(Finding::warning(AREA, message).mend(format!("chmod go-w \"{shown}\"")));
        }
    }
}

fn state(root: &DataDirectory, control: &ControlFile, findings: &mut Vec<Finding>) {
    let shown = root.root().display();
    if root.recovery_signal().exists() {
        let message =
            format!("\"{}\" exists: no program starts this directory", root.recovery_signal().display());
        findings.push(
            Finding::error(AREA, message).mend("remove the file; create standby.signal for a follower"),
        );
    }
    match control.state {
        ControlState::Rewinding => findings.push(
            Finding::error(AREA, "a rewind was interrupted")
                .mend(format!("run it again: walctl rewind -D {shown} --source CONNINFO")),
        ),
        ControlState::InBackupRecovery if !root.standby_signal().exists() => findings.push(
            Finding::error(AREA, "this is a base backup that has not been recovered")
                .mend(format!("walreceiver -D {shown} --primary CONNINFO makes a follower of it")),
        ),
        _ => {}
    }
    if let Some(fence) = &control.fence {
        let message = format!(
            "the node is fenced: {} leads timeline {} since {}",
            fence.node, fence.timeline, fence.switch_lsn
        );
        let mend =
            format!("walctl rewind -D {shown} --source CONNINFO, or walctl unfence if that is a mistake");
        findings.push(Finding::error(AREA, message).mend(mend));
    }
    if let Some(pid) = PidFile::read(root).map(|file| file.pid) {
        findings.push(Finding::note(
            AREA,
            format!("a server with process id {pid} runs on it, or has left its postmaster.pid"),
        ));
    }
}
