//! pg_basebackup and pg_verifybackup 15, and our own client of the same command.

use std::path::Path;
use std::process::Command;

use walship_basebackup::{BackupFile, BackupLabel, verify};
use walship_protocol::{BaseBackupOptions, CheckpointMode, Conninfo, ManifestMode};
use walship_replication::{BackupFormat, Destination, FetchError, ServerPhase, fetch_base_backup};
use walship_types::{SegmentSize, Timestamp, segment_file_name};

use crate::node::Node;

const BIN: &str = "/usr/lib/postgresql/15/bin";

fn node() -> Node {
    let now = Timestamp::now();
    let large: Vec<u8> = (0..3_000_000u32).map(|i| i.to_le_bytes()[1]).collect();
    Node::start_with(vec![
        BackupFile::in_memory("PG_VERSION", "15\n", now),
        BackupFile::in_memory("control", vec![1; 300], now),
        BackupFile::in_memory("postgresql.auto.conf", "", now),
        BackupFile::in_memory("base/postgres.hash", vec![2; 5000], now),
        BackupFile::in_memory("base/postgres.db", large, now),
    ])
}

fn pg_basebackup(node: &Node, target: &Path, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(format!("{BIN}/pg_basebackup"));
    command.args(["-h", "127.0.0.1", "-U", "postgres", "-p", &node.port.to_string(), "-D"]);
    command.arg(target).args(arguments);
    let output = command.output().unwrap_or_else(|error| panic!("needs PostgreSQL 15's programs: {error}"));
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn plain(directory: &Path, extra: Vec<(String, Vec<u8>)>) -> Destination {
    Destination { directory: directory.to_owned(), format: BackupFormat::Plain, extra }
}

fn pg_verifybackup(target: &Path) -> (bool, String) {
    let output = Command::new(format!("{BIN}/pg_verifybackup")).arg(target).output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn plain_backups_of_every_kind_verify() {
    let node = node();
    node.write(1_500_000);
    let dir = tempfile::tempdir().unwrap();
    for (name, arguments) in [
        ("stream", &["-X", "stream", "-c", "fast", "-P"][..]),
        ("fetch", &["-X", "fetch", "-c", "fast", "--manifest-checksums=SHA256"]),
        ("none", &["-X", "none", "--manifest-checksums=SHA512", "-R"]),
        ("rate", &["-X", "none", "-r", "50M", "--manifest-force-encode"]),
        ("slot", &["-X", "stream", "-C", "-S", "made"]),
    ] {
        let target = dir.path().join(name);
        let (taken, said) = pg_basebackup(&node, &target, arguments);
        assert!(taken, "{name}: {said}");
        let (fine, said) = pg_verifybackup(&target);
        assert!(fine, "{name}: {said}");
        assert_eq!(verify(&target, |_, _| {}).unwrap(), [], "{name}");
        let label = std::fs::read_to_string(target.join("backup_label")).unwrap();
        let label = BackupLabel::parse(&label).unwrap();
        let size = SegmentSize::MIN;
        let segment = size.segment_of(label.start);
        let path = target.join("pg_wal").join(segment_file_name(label.timeline, segment, size));
        if name == "stream" || name == "fetch" {
            let bytes = std::fs::read(&path).unwrap();
            let offset = usize::try_from(size.offset_of(label.start)).unwrap();
            let own = node.log(label.start, walship_types::Lsn(label.start.0 + 64));
            assert!(bytes[offset..offset + 64] == own, "{name}");
        } else {
            assert!(!path.exists() || name == "slot", "{name}");
        }
        assert_eq!(std::fs::metadata(target.join("base/postgres.db")).unwrap().len(), 3_000_000);
    }
    // one changed byte is found by both
    let changed = dir.path().join("stream/base/postgres.db");
    let mut bytes = std::fs::read(&changed).unwrap();
    bytes[2_000_000] ^= 1;
    std::fs::write(&changed, bytes).unwrap();
    assert!(!pg_verifybackup(&dir.path().join("stream")).0);
    assert_eq!(verify(&dir.path().join("stream"), |_, _| {}).unwrap().len(), 1);
}

#[test]
fn tar_backups_unpack_to_the_same() {
    let node = node();
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("tar");
    let (taken, said) = pg_basebackup(&node, &target, &["-Ft", "-z", "-X", "fetch", "-c", "fast"]);
    assert!(taken, "{said}");
    let unpacked = dir.path().join("unpacked");
    std::fs::create_dir(&unpacked).unwrap();
    let archive = target.join("base.tar.gz");
    let status = Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(&unpacked).status().unwrap();
    assert!(status.success());
    std::fs::copy(target.join("backup_manifest"), unpacked.join("backup_manifest")).unwrap();
    let (fine, said) = pg_verifybackup(&unpacked);
    assert!(fine, "{said}");
}

#[test]
fn what_the_server_does_not_do_is_refused_clearly() {
    let node = node();
    let dir = tempfile::tempdir().unwrap();
    let (taken, said) =
        pg_basebackup(&node, &dir.path().join("a"), &["-Ft", "-X", "fetch", "--compress=server-gzip:5"]);
    assert!(!taken && said.contains("compression of a base backup by the server is not supported"), "{said}");
    assert!(!dir.path().join("a").exists());
    let mut command = Command::new(format!("{BIN}/pg_basebackup"));
    command.args(["-h", "127.0.0.1", "-U", "postgres", "-p", &node.port.to_string(), "-t", "blackhole"]);
    let output = command.args(["-X", "none"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains("backup target \"blackhole\" is not supported"),
        "{said}"
    );
}

#[test]
fn our_own_backup_verifies_and_a_server_that_goes_leaves_nothing() {
    let node = node();
    let dir = tempfile::tempdir().unwrap();
    let options = BaseBackupOptions {
        manifest: ManifestMode::Yes,
        progress: true,
        checkpoint: CheckpointMode::Fast,
        ..BaseBackupOptions::default()
    };
    let conninfo: Conninfo = format!("host=127.0.0.1 port={}", node.port).parse().unwrap();
    let server = conninfo.target(|_| None).unwrap();
    let target = dir.path().join("own");
    let extra = vec![("standby.signal".to_owned(), Vec::new())];
    let mut seen = (0, 0);
    let mut progress = |done, total| seen = (done, total);
    let fetched = fetch_base_backup(&server, &options, plain(&target, extra), &mut progress);
    let fetched = node.runtime().block_on(fetched).unwrap();
    assert!(fetched.end > fetched.start);
    assert!(seen.0 >= 3_000_000 && seen.1 >= 3_000_000, "{seen:?}");
    assert!(target.join("standby.signal").exists());
    let (fine, said) = pg_verifybackup(&target);
    assert!(fine, "{said}");

    let broken = dir.path().join("broken");
    let options = BaseBackupOptions { max_rate_kib: Some(1024), ..options };
    let mut progress = |_, _| node.set_phase(ServerPhase::Stopping);
    let fetched = fetch_base_backup(&server, &options, plain(&broken, Vec::new()), &mut progress);
    let error = node.runtime().block_on(fetched).unwrap_err();
    assert!(matches!(error, FetchError::Client(_)), "{error}");
    assert!(!broken.exists());
}
