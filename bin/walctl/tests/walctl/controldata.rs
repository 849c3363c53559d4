use std::sync::Arc;

use walship_disk::{RealDisk, SharedDisk};
use walship_node::{ControlDatabase, ControlFile, ControlState, DataDirectory, Fence};
use walship_types::{
    DatabaseId, DatabaseName, Lsn, PageSize, SegmentSize, SqliteWalPosition, SystemId, TimelineId, Timestamp,
};

use crate::golden::assert_golden;
use crate::program::walctl;

fn control() -> ControlFile {
    ControlFile {
        system_id: SystemId(7_711_202_498_677_149_815),
        state: ControlState::InProduction,
        segment_size: SegmentSize::DEFAULT,
        default_page_size: PageSize::DEFAULT,
        directory_mode: 0o700,
        timeline: TimelineId(3),
        redo: Lsn(0x300_0040),
        checkpoint: Lsn(0x300_1000),
        checkpoint_time: Timestamp(0),
        minimum_recovery: Lsn::INVALID,
        known_flush: Lsn(0x300_1100),
        next_database_id: DatabaseId(2),
        fence: Some(Fence {
            timeline: TimelineId(4),
            switch_lsn: Lsn(0x300_10A0),
            node: "\"next\" (10.0.0.2:5434)".to_owned(),
            time: Timestamp(0),
        }),
        dismissed: Vec::new(),
        databases: vec![ControlDatabase {
            id: DatabaseId(1),
            name: DatabaseName::postgres(),
            page_size: PageSize::DEFAULT,
            pages: 12,
            checksum: 0xFEED,
            position: SqliteWalPosition::default(),
        }],
        rewinding: None,
    }
}

/// Without the only line that depends on when the test runs.
fn without_modified(text: &str) -> String {
    text.lines().filter(|line| !line.contains("modified")).map(|line| format!("{line}\n")).collect()
}

#[test]
fn the_control_file_for_people_and_for_programs() {
    let lab = tempfile::tempdir().unwrap();
    let disk: SharedDisk = Arc::new(RealDisk::new());
    control().write(&disk, &DataDirectory::new(lab.path())).unwrap();
    let text = walctl(lab.path(), &["controldata", "-D", "."]);
    assert_eq!(text.status, Some(0), "{}", text.transcript());
    assert_golden("controldata", &without_modified(&text.stdout));
    let json = walctl(lab.path(), &["controldata", "-D", ".", "--json"]);
    assert_golden("controldata_json", &without_modified(&json.stdout));
}

#[test]
fn faults_are_named() {
    let lab = tempfile::tempdir().unwrap();
    let disk: SharedDisk = Arc::new(RealDisk::new());
    std::fs::create_dir(lab.path().join("empty")).unwrap();
    std::fs::create_dir(lab.path().join("photos")).unwrap();
    std::fs::write(lab.path().join("photos/cat.jpg"), "meow").unwrap();
    std::fs::create_dir(lab.path().join("damaged")).unwrap();
    control().write(&disk, &DataDirectory::new(lab.path().join("damaged"))).unwrap();
    let path = lab.path().join("damaged/control");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("\"pages\": 12", "\"pages\": 13")).unwrap();
    for name in ["empty", "photos", "damaged"] {
        let output = walctl(lab.path(), &["controldata", "-D", name]);
        assert_eq!(output.status, Some(1));
        assert_golden(&format!("controldata_{name}"), &output.transcript());
    }
}
