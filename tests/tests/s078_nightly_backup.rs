//! The scripted life of a backup, as docs/scripts/nightly-backup.sh has it: taken,
//! verified, started from, thrown away, night after night.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use walship_tests::{Lab, Load, Output, Port, output_of, program, repository_root, wait_until};

fn night(lab: &Lab, leader_port: u16, backups: &Path, keep: u32) -> Output {
    let programs = program("walctl").parent().expect("a program lies in a directory").to_owned();
    let path = std::env::var("PATH").unwrap_or_default();
    let port = Port::reserve();
    let mut script = Command::new(repository_root().join("docs/scripts/nightly-backup.sh"));
    script.arg(format!("host=127.0.0.1 port={leader_port} user=postgres"));
    script.arg(backups).arg(keep.to_string()).current_dir(lab.path());
    script.env("PATH", format!("{}:{path}", programs.display()));
    output_of(script.env("TRIAL_PORT", port.number().to_string()))
}

fn kept(backups: &Path) -> BTreeSet<String> {
    let names = std::fs::read_dir(backups).unwrap().map(|entry| entry.unwrap().file_name());
    names.map(|name| name.to_string_lossy().into_owned()).filter(|name| name != "trial.log").collect()
}

fn now_seconds() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

#[test]
fn backups_are_taken_proven_and_thrown_away() {
    let lab = Lab::new();
    let mut leader = lab.leader();
    let load = Load::start(&leader, 2);
    load.wait_for(50);
    let backups = lab.path().join("backups");
    std::fs::create_dir(&backups).unwrap();
    let mut names = BTreeSet::new();
    for _ in 0..3 {
        // backups are named after the second in which they begin
        let second = now_seconds();
        wait_until("the clock has moved on", || now_seconds() > second);
        let output = night(&lab, leader.port(), &backups, 2);
        assert_eq!((output.status, output.stdout.as_str()), (Some(0), ""), "{}", output.transcript());
        names.extend(kept(&backups));
    }
    load.finish();
    let last_two: BTreeSet<_> = names.iter().rev().take(2).cloned().collect();
    assert_eq!(names.len(), 3, "{names:?}");
    assert_eq!(kept(&backups), last_two);
    assert_eq!(leader.sql("SELECT count(*) FROM pg_replication_slots"), "0");
    // no leader, no backup, and nothing half done
    leader.stop();
    let output = night(&lab, leader.port(), &backups, 2);
    assert_ne!(output.status, Some(0), "{}", output.transcript());
    assert_eq!(kept(&backups), last_two);
}
