//! The simulated disk loses what it may lose, and nothing else.

use std::path::Path;

use walship_disk::{Disk, OpenMode, SimDisk, SimFaults};

fn file(disk: &SimDisk) -> std::sync::Arc<dyn walship_disk::DiskFile> {
    let file = disk.create_new(Path::new("/f")).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    file
}

#[test]
fn synced_content_survives_and_unsynced_may_be_lost_torn_or_reordered() {
    let (mut lost, mut torn, mut reordered) = (false, false, false);
    for seed in 0..200 {
        let disk = SimDisk::new(seed);
        let f = file(&disk);
        f.write_all_at(&[1; 2048], 0).unwrap();
        f.sync_data().unwrap();
        f.write_all_at(&[2; 1024], 0).unwrap();
        f.write_all_at(&[3; 1024], 1024).unwrap();
        disk.power_loss();
        assert!(f.len().is_err(), "a file from before the power loss is dead");
        let content = disk.read(Path::new("/f")).unwrap();
        assert_eq!(content.len(), 2048);
        let first = content[..1024].iter().filter(|&&b| b == 2).count();
        let second = content[1024..].iter().filter(|&&b| b == 3).count();
        lost |= first == 0 && second == 0;
        torn |= first == 512 || second == 512;
        reordered |= first == 0 && second > 0;
        assert!(content.iter().all(|b| [1, 2, 3].contains(b)));
    }
    assert!(lost && torn && reordered);
}

#[test]
fn a_failed_sync_loses_its_writes_even_if_the_next_one_succeeds() {
    let disk = SimDisk::new(1);
    let f = file(&disk);
    disk.set_faults(SimFaults { syncs_before_failure: Some(0), ..Default::default() });
    f.write_all_at(b"gone", 0).unwrap();
    assert!(f.sync_data().is_err());
    f.sync_data().unwrap();
    disk.power_loss();
    assert_eq!(disk.read(Path::new("/f")).unwrap(), b"");
}

#[test]
fn room_runs_out_and_comes_back() {
    let disk = SimDisk::new(1);
    let f = file(&disk);
    disk.set_faults(SimFaults { room_bytes: Some(10), ..Default::default() });
    f.write_all_at(&[0; 8], 0).unwrap();
    assert!(f.write_all_at(&[0; 8], 8).unwrap_err().is_no_space());
    f.write_all_at(&[1; 8], 0).unwrap();
    disk.remove(Path::new("/f")).unwrap();
    file(&disk).write_all_at(&[0; 10], 0).unwrap();
}

#[test]
fn the_power_goes_off_after_so_many_changes() {
    let disk = SimDisk::new(1);
    let f = file(&disk);
    disk.set_faults(SimFaults { changes_before_power_off: Some(1), ..Default::default() });
    f.write_all_at(b"a", 0).unwrap();
    assert!(f.sync_data().is_err());
    assert!(disk.open(Path::new("/f"), OpenMode::Read).is_err());
    disk.power_loss();
    assert!(disk.open(Path::new("/f"), OpenMode::Read).is_ok());
}

#[test]
fn a_name_that_was_not_synced_may_vanish() {
    let mut vanished = 0;
    for seed in 0..50 {
        let disk = SimDisk::new(seed);
        disk.create_new(Path::new("/f")).unwrap().sync_data().unwrap();
        disk.power_loss();
        vanished += usize::from(disk.metadata(Path::new("/f")).unwrap().is_none());
    }
    assert!((1..50).contains(&vanished), "{vanished}");
}
