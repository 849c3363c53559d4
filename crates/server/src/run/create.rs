use std::sync::Arc;

use rustix::fs::Mode;
use tokio::runtime::Runtime;
use walship_disk::{RealDisk, SharedDisk};
use walship_node::{ControlFile, DataDirectory, create_cluster};

use super::base_backup::take_base_backup;
use super::{Failure, Init, StartOptions};

/// The bit of a directory's mode that lets its group read.
pub(super) const GROUP_READS: u32 = 0o040;

/// Keeps others away from what SQLite and we create, as PostgreSQL does.
pub(super) fn file_creation_mask(group_reads: bool) -> Mode {
    Mode::from_raw_mode(if group_reads { 0o027 } else { 0o077 })
}

/// The disk whose new files have the modes that the data directory's group needs.
pub(super) fn disk_of(control: &ControlFile) -> SharedDisk {
    match control.directory_mode & GROUP_READS {
        0 => Arc::new(RealDisk::new()),
        _ => Arc::new(RealDisk::group_readable()),
    }
}

/// Makes what is not there yet, if told to: a cluster, or a copy of one.
pub(super) fn create_if_asked(
    options: &StartOptions,
    directory: &DataDirectory,
    runtime: &Runtime,
) -> Result<(), Failure> {
    let interrupted = directory.root().join(walship_basebackup::INCOMPLETE_MARKER).exists();
    match options.init {
        // taking it again begins with removing what there is
        Some(Init::BaseBackup) if interrupted => {}
        _ if interrupted => {
            let shown = directory.root().display();
            let problem =
                format!("directory \"{shown}\" holds a base backup or a restore that was not completed");
            return Err(Failure::new(problem).hint(
                "run again what was to make it: walreceiver --init --primary CONNINFO, or walctl restore",
            ));
        }
        _ if !directory.is_missing_or_empty()? => return Ok(()),
        _ => {}
    }
    match options.init {
        None => Ok(()),
        Some(Init::Cluster(wanted)) => Ok(create_cluster(directory, wanted).map(drop)?),
        Some(Init::BaseBackup) => runtime.block_on(take_base_backup(options, directory)),
    }
}
