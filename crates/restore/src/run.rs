use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;

use walship_basebackup::{Modes, TargetDirectory};
use walship_disk::{RealDisk, SharedDisk};
use walship_engine::redo::RedoOptions;
use walship_node::{DataDirectory, create_missing_folders};
use walship_types::Lsn;
use walship_wal::WalConfig;

use crate::RestoreError;
use crate::backup::Backup;
use crate::copy::CopyList;
use crate::finish::{Finish, turn_archiving_off};
use crate::options::{Options, Progress, Restored};
use crate::replay::Replay;
use crate::staging::Staging;
use crate::target::Judge;
use crate::timeline::Histories;

/// The bit of a directory's mode that lets its group read.
const GROUP_READS: u32 = 0o040;
/// Folder in the new `pg_wal` where fetched segments lie while they are replayed.
const STAGING_FOLDER: &str = "restoring";

/// Makes a cluster of a backup and an archive. `told` hears how far it is, and `cancelled`
/// is asked now and then; after an error the directory is as it was before.
///
/// 1. Backup, timeline and log are looked at; what cannot work is refused here.
/// 2. The directory is taken, with a mark that it is not complete.
/// 3. The backup's files are copied.
/// 4. The log is replayed, up to the target.
/// 5. The new timeline's log is begun, then the control file is written, durably, and the
///    mark removed.
pub fn restore(
    options: &Options,
    told: &mut dyn FnMut(Progress),
    cancelled: &dyn Fn() -> bool,
) -> Result<Restored, RestoreError> {
    let backup = Backup::open(&options.backup)?;
    let backup_wal = backup.wal();
    let folders: Vec<&Path> = options.archive.as_deref().into_iter().chain([backup_wal.as_path()]).collect();
    let histories = Histories::read(&folders)?;
    let (history, passed_over) = histories.choose(options.timeline, &backup)?;
    let control = &backup.control;
    let mode = control.directory_mode;
    let group_reads = mode & GROUP_READS != 0;
    let disk: SharedDisk =
        if group_reads { Arc::new(RealDisk::group_readable()) } else { Arc::new(RealDisk::new()) };

    let target = Taken::begin(&options.directory, mode)?;
    let directory = &target.directory;
    create_missing_folders(directory, mode)?;
    let staging_folder = directory.wal().join(STAGING_FOLDER);
    let made = DirBuilder::new().mode(mode).create(&staging_folder);
    made.map_err(RestoreError::io("create directory", &staging_folder))?;
    let config =
        WalConfig::new(Arc::clone(&disk), &staging_folder, control.system_id, control.segment_size, history);
    let staging = Staging::new(config, options.archive.as_deref(), &backup_wal)?;
    let judge = Judge::new(options.target.clone(), options.inclusive, control.segment_size);
    let total = replay_end(&options.target, &staging).saturating_distance_from(control.redo);
    let mut replay = Replay::new(control, staging, judge);
    let mut replayed = |at: Lsn| {
        told(Progress::Replaying { done: at.saturating_distance_from(control.redo), total });
        if cancelled() { Err(RestoreError::Interrupted) } else { Ok(()) }
    };
    // before anything large is copied: is all there that the backup needs?
    replay.check_backup(&mut replayed)?;

    let list = CopyList::of(backup.directory.root())?;
    let (mut done, bytes) = (0, list.bytes());
    list.copy(backup.directory.root(), directory.root(), mode, &mut |n| {
        done += n;
        told(Progress::Copying { done, total: bytes });
        if cancelled() { Err(RestoreError::Interrupted) } else { Ok(()) }
    })?;
    let mut redo = replay.start_redo(RedoOptions::new(directory.base(), control.system_id))?;
    let mut replayed = |at: Lsn| {
        told(Progress::Replaying { done: at.saturating_distance_from(control.redo), total });
        if cancelled() { Err(RestoreError::Interrupted) } else { Ok(()) }
    };
    replay.run(&mut redo, &mut replayed)?;

    let archiving_turned_off = !options.keep_system_id && turn_archiving_off(directory.root())?;
    let finish = Finish { options, directory, disk: &disk, control, histories: &histories, replay: &replay };
    let restored = finish.run(redo, &staging_folder)?;
    target.complete()?;
    Ok(Restored { passed_over, archiving_turned_off, ..restored })
}

/// About where replay ends, for its progress.
fn replay_end(target: &crate::Target, staging: &Staging) -> Lsn {
    match target {
        crate::Target::Lsn(lsn) => *lsn,
        _ => staging.end(),
    }
}

/// The target directory, taken by this process and marked as incomplete.
struct Taken {
    directory: DataDirectory,
    /// First: dropped, it clears the directory while that is still locked.
    incomplete: Option<TargetDirectory>,
    _lock: walship_node::DirectoryLock,
    /// Whether the directory was made here.
    created: bool,
}

impl Taken {
    fn begin(path: &Path, mode: u32) -> Result<Taken, RestoreError> {
        let created = !path.exists();
        let made = DirBuilder::new().recursive(true).mode(mode).create(path);
        made.map_err(RestoreError::io("create directory", path))?;
        let directory = DataDirectory::new(path);
        let lock = directory.lock()?;
        let incomplete = Some(TargetDirectory::begin(path, Modes::new(mode & GROUP_READS != 0))?);
        Ok(Taken { directory, incomplete, _lock: lock, created })
    }

    fn complete(mut self) -> Result<(), RestoreError> {
        self.created = false;
        if let Some(incomplete) = self.incomplete.take() {
            incomplete.finish()?;
        }
        Ok(())
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.incomplete = None;
        if self.created {
            // fails when something is left in it, and then it stays
            let _ = std::fs::remove_dir(self.directory.root());
        }
    }
}
