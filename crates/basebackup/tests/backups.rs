//! Backups taken, unpacked and verified, and what becomes of damaged ones.

use std::fs;
use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use walship_basebackup::{
    BackupFile, INCOMPLETE_MARKER, MANIFEST_FILE, ManifestWriter, Modes, Problem, Restore, RestoreError,
    Taker, verify,
};
use walship_protocol::ManifestChecksum;
use walship_types::Timestamp;

/// Where Debian puts it.
const PG_VERIFYBACKUP: &str = "/usr/lib/postgresql/15/bin/pg_verifybackup";

const KINDS: [ManifestChecksum; 6] = [
    ManifestChecksum::None,
    ManifestChecksum::Crc32c,
    ManifestChecksum::Sha224,
    ManifestChecksum::Sha256,
    ManifestChecksum::Sha384,
    ManifestChecksum::Sha512,
];

/// An archive with a large file, and its manifest.
fn backup(kind: ManifestChecksum) -> (Vec<u8>, String) {
    let large: Vec<u8> = (0..700_001u32).map(|i| i.to_le_bytes()[0]).collect();
    let mut archive = Vec::new();
    let manifest = ManifestWriter::new(kind, false);
    let mut taker = Taker::new(&mut archive, Some(manifest), Modes::new(false), None, Timestamp::now());
    taker.file(&BackupFile::in_memory("PG_VERSION", "15\n", Timestamp::now())).unwrap();
    taker.directory("base").unwrap();
    taker.directory("pg_wal").unwrap();
    taker.directory("pg_tblspc").unwrap();
    taker.file(&BackupFile::in_memory("base/large.db", large, Timestamp::now())).unwrap();
    taker.unlisted_file(&BackupFile::in_memory("pg_wal/segment", vec![1; 512], Timestamp::now())).unwrap();
    let manifest = taker.finish().unwrap().unwrap();
    (archive, manifest.finish())
}

fn unpack(target: &Path, kind: ManifestChecksum) -> Result<(), RestoreError> {
    let (archive, manifest) = backup(kind);
    let mut restore = Restore::begin(target, Modes::new(false), kind)?;
    for piece in archive.chunks(10_000) {
        restore.archive(Bytes::copy_from_slice(piece))?;
    }
    restore.manifest(manifest.as_bytes())?;
    restore.finish()
}

#[test]
fn every_kind_of_checksum_passes_here_and_with_pg_verifybackup() {
    for kind in KINDS {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("new/target");
        unpack(&target, kind).unwrap();
        assert_eq!(verify(&target, |_, _| {}).unwrap(), [], "{kind}");
        assert!(!target.join(INCOMPLETE_MARKER).exists());
        let output = Command::new(PG_VERIFYBACKUP).arg(&target).output();
        let output =
            output.unwrap_or_else(|error| panic!("needs PostgreSQL 15's {PG_VERIFYBACKUP}: {error}"));
        assert!(output.status.success(), "{kind}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn whatever_is_changed_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let change = |name: &str, change: &dyn Fn(&Path)| {
        let target = dir.path().join(name);
        unpack(&target, ManifestChecksum::Crc32c).unwrap();
        change(&target);
        verify(&target, |_, _| {})
    };
    let problems = change("flip", &|target| {
        let path = target.join("base/large.db");
        let mut bytes = fs::read(&path).unwrap();
        bytes[500_000] ^= 1;
        fs::write(&path, bytes).unwrap();
    });
    assert!(matches!(problems.unwrap()[..], [Problem::Checksum { .. }]));
    let problems = change("remove", &|target| fs::remove_file(target.join("PG_VERSION")).unwrap());
    assert_eq!(problems.unwrap(), [Problem::Missing("PG_VERSION".to_owned())]);
    let problems = change("add", &|target| fs::write(target.join("base/x"), "").unwrap());
    assert_eq!(problems.unwrap(), [Problem::Extra("base/x".to_owned())]);
    let problems = change("grow", &|target| fs::write(target.join("PG_VERSION"), "15\n\n").unwrap());
    assert_eq!(problems.unwrap(), [Problem::Size { path: "PG_VERSION".to_owned(), expected: 3, found: 4 }]);
    let lied = change("lie", &|target| {
        let path = target.join(MANIFEST_FILE);
        let text = fs::read_to_string(&path).unwrap().replacen("\"Size\": 3", "\"Size\": 4", 1);
        fs::write(&path, text).unwrap();
    });
    assert!(matches!(lied, Err(RestoreError::Manifest(_))));
    let fine = change("ignored", &|target| fs::write(target.join("standby.signal"), "").unwrap());
    assert_eq!(fine.unwrap(), []);
}

#[test]
fn half_a_backup_leaves_nothing() {
    let (archive, manifest) = backup(ManifestChecksum::Crc32c);
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("target");
    let begin = || Restore::begin(&target, Modes::new(false), ManifestChecksum::Crc32c).unwrap();

    let mut restore = begin();
    restore.archive(Bytes::copy_from_slice(&archive[..archive.len() / 2])).unwrap();
    assert!(target.join(INCOMPLETE_MARKER).exists());
    assert!(matches!(restore.finish(), Err(RestoreError::Tar(_))));
    assert!(!target.exists());

    // bytes that changed on the way
    let mut restore = begin();
    let mut changed = archive.clone();
    let at = changed.len() / 2;
    changed[at] ^= 1;
    restore.archive(changed.into()).unwrap();
    restore.manifest(manifest.as_bytes()).unwrap();
    let error = restore.finish().unwrap_err();
    assert!(matches!(error, RestoreError::Differs(Problem::Checksum { .. })), "{error}");
    assert!(!target.exists());

    // a crash leaves the marker; the next attempt clears up
    std::mem::forget({
        let mut restore = begin();
        restore.archive(Bytes::copy_from_slice(&archive[..archive.len() / 2])).unwrap();
        restore
    });
    assert!(target.join(INCOMPLETE_MARKER).exists());
    unpack(&target, ManifestChecksum::Crc32c).unwrap();
    let error = unpack(&target, ManifestChecksum::Crc32c).unwrap_err();
    assert!(matches!(error, RestoreError::NotEmpty { .. }), "{error}");
    assert_eq!(verify(&target, |_, _| {}).unwrap(), []);
}

#[test]
fn a_file_that_became_shorter_is_filled_and_a_longer_one_cut() {
    for (size, expected) in [(2, &b"ab"[..]), (6, b"abcd\0\0")] {
        let mut archive = Vec::new();
        let mut taker = Taker::new(&mut archive, None, Modes::new(true), None, Timestamp::now());
        let file = BackupFile { size, ..BackupFile::in_memory("f", "abcd", Timestamp::now()) };
        taker.file(&file).unwrap();
        assert_eq!(taker.done(), size);
        taker.finish().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let mut restore = Restore::begin(dir.path(), Modes::new(true), ManifestChecksum::None).unwrap();
        restore.archive(Bytes::copy_from_slice(&archive)).unwrap();
        restore.finish().unwrap();
        assert_eq!(fs::read(dir.path().join("f")).unwrap(), expected);
    }
}

#[test]
fn archives_cannot_reach_outside() {
    for name in ["../x", "/etc/x", "a/../../x", INCOMPLETE_MARKER] {
        let mut archive = Vec::new();
        let mut taker = Taker::new(&mut archive, None, Modes::new(false), None, Timestamp::now());
        taker.file(&BackupFile::in_memory(name, "x", Timestamp::now())).unwrap();
        taker.finish().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("target");
        let mut restore = Restore::begin(&target, Modes::new(false), ManifestChecksum::None).unwrap();
        let error = restore.archive(Bytes::copy_from_slice(&archive)).unwrap_err();
        assert!(matches!(error, RestoreError::UnsafePath(_)), "{name}: {error}");
    }
}
