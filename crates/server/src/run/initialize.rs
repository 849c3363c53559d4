use std::sync::Arc;

use walship_disk::{RealDisk, SharedDisk};
use walship_node::{ControlFile, ControlState, DataDirectory, create_skeleton, new_system_id};
use walship_settings::Settings;
use walship_types::{DatabaseId, Lsn, PageSize, SegmentSize, TimelineHistory, TimelineId, Timestamp};
use walship_wal::{WalConfig, create_first_segment};

use super::Failure;

/// Creates a new cluster: an empty log on timeline 1, and a control file, which is
/// written last. The first start makes the database `postgres`.
pub fn initialize(
    directory: &DataDirectory,
    segment_size: SegmentSize,
    page_size: PageSize,
    directory_mode: u32,
) -> Result<ControlFile, Failure> {
    let disk: SharedDisk = Arc::new(RealDisk::new());
    create_skeleton(&disk, directory, directory_mode)?;
    let system_id = new_system_id();
    let history = TimelineHistory::root(TimelineId::FIRST);
    let config = WalConfig::new(Arc::clone(&disk), directory.wal(), system_id, segment_size, history);
    let start = create_first_segment(&config)?;
    let control = ControlFile {
        system_id,
        state: ControlState::ShutDown,
        segment_size,
        default_page_size: page_size,
        directory_mode,
        timeline: TimelineId::FIRST,
        redo: start.position,
        checkpoint: Lsn::INVALID,
        checkpoint_time: Timestamp::now(),
        minimum_recovery: Lsn::INVALID,
        known_flush: start.position,
        next_database_id: DatabaseId(1),
        databases: Vec::new(),
    };
    control.write(&disk, directory)?;
    // a sample that does not load would be found only at the first start
    walship_settings::load(directory.root(), &[], Settings::defaults()).map_err(Failure::new)?;
    Ok(control)
}
