//! Segments come out of an archive as they went in, however they are kept there.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Write as _;

use flate2::write::GzEncoder;
use lz4_flex::frame::{BlockSize, FrameEncoder, FrameInfo};
use walship_archive::{Archive, ArchiveError, Fetched};

const NAME: &str = "000000010000000000000001";

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn lz4(content: &[u8]) -> Vec<u8> {
    // small blocks, as pg_receivewal writes them
    let blocks = FrameInfo::new().block_size(BlockSize::Max64KB);
    let mut encoder = FrameEncoder::with_frame_info(blocks, Vec::new());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn zstd(content: &[u8]) -> Vec<u8> {
    zstd::encode_all(content, 1).unwrap()
}

type Compress = fn(&[u8]) -> Vec<u8>;

const METHODS: [(&str, Compress); 3] = [(".gz", gzip), (".lz4", lz4), (".zst", zstd)];

struct Scene {
    scratch: tempfile::TempDir,
    archive: Archive,
}

impl Scene {
    fn new() -> Scene {
        let scratch = tempfile::tempdir().unwrap();
        let archive = Archive::Directory(scratch.path().join("archive"));
        fs::create_dir(scratch.path().join("archive")).unwrap();
        Scene { scratch, archive }
    }

    fn file(&self, name: &str, content: &[u8]) {
        fs::write(self.scratch.path().join("archive").join(name), content).unwrap();
    }

    fn fetch(&self, name: &str, size: u64) -> Result<Option<Vec<u8>>, ArchiveError> {
        let target = self.scratch.path().join("fetched");
        let fetched = self.archive.fetch(name, Some(size), &target, &|| false)?;
        Ok((fetched == Fetched::There).then(|| fs::read(target).unwrap()))
    }
}

#[test]
fn segments_come_plain_or_compressed() {
    for (suffix, compressed) in METHODS {
        let scene = Scene::new();
        assert_eq!(scene.fetch(NAME, 4).unwrap(), None);
        scene.file(&format!("{NAME}{suffix}"), &compressed(b"from"));
        assert_eq!(scene.fetch(NAME, 4).unwrap().unwrap(), b"from", "{suffix}");
        scene.file(NAME, b"wal!");
        assert_eq!(scene.fetch(NAME, 4).unwrap().unwrap(), b"wal!");
    }
}

#[test]
fn an_incomplete_segment_is_filled_up() {
    let partial = format!("{NAME}.partial");
    // what does not compress, in pieces, so that something of it is there when it is cut
    let content: Vec<u8> = (0..400_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for (suffix, compressed) in METHODS {
        let scene = Scene::new();
        let mut cut = compressed(&content);
        cut.truncate(cut.len() - 9);
        scene.file(&format!("{NAME}{suffix}.partial"), &cut);
        let found = scene.fetch(&partial, 500_000).unwrap().unwrap();
        assert_eq!(found.len(), 500_000, "{suffix}");
        assert!(found[..100_000] == content[..100_000] && found.ends_with(&[0; 10]), "{suffix}");
    }
    let scene = Scene::new();
    scene.file(&partial, b"abc");
    assert_eq!(scene.fetch(&partial, 5).unwrap().unwrap(), b"abc\0\0");
}

#[test]
fn damage_is_told_from_a_failing_disk() {
    for (suffix, compressed) in METHODS {
        let scene = Scene::new();
        let mut cut = compressed(&[7; 100_000]);
        cut.truncate(cut.len() - 9);
        scene.file(&format!("{NAME}{suffix}"), &cut);
        let error = scene.fetch(NAME, 100_000).unwrap_err();
        assert!(matches!(error, ArchiveError::Damaged { .. }), "{suffix}: {error}");
        assert!(error.to_string().contains(&format!("{NAME}{suffix}")), "{error}");
        scene.file(&format!("{NAME}{suffix}"), b"nothing of the kind");
        assert!(matches!(scene.fetch(NAME, 9), Err(ArchiveError::Damaged { .. })), "{suffix}");
    }
}

#[test]
fn what_cannot_be_a_segment_is_named() {
    let scene = Scene::new();
    scene.file(NAME, b"short");
    let error = scene.fetch(NAME, 9).unwrap_err().to_string();
    assert!(error.ends_with("has wrong size: 5 bytes, expected 9"), "{error}");
    scene.file(&format!("{NAME}.gz"), &gzip(b"long"));
    fs::remove_file(scene.archive.place(NAME)).unwrap();
    assert!(matches!(scene.fetch(NAME, 3), Err(ArchiveError::Size { found: 4, .. })));
    let other = "000000010000000000000002";
    scene.file(&format!("{other}.xz"), b"");
    assert!(matches!(scene.fetch(other, 3), Err(ArchiveError::Compressed { method: "xz", .. })));
}

#[test]
fn a_command_brings_files_or_says_that_there_are_none() {
    let scene = Scene::new();
    let directory = scene.scratch.path().to_owned();
    let archive = |template: &str| Archive::Command {
        template: template.to_owned(),
        directory: directory.clone(),
        restart: String::new(),
    };
    scene.file(NAME, b"wal!");
    let target = directory.join("target");
    let fetch = |template: &str| archive(template).fetch(NAME, Some(4), &target, &|| false);
    assert_eq!(fetch("cp archive/%f %p").unwrap(), Fetched::There);
    assert_eq!(fs::read(&target).unwrap(), b"wal!");
    assert_eq!(fetch("cp nothing/%f %p 2>/dev/null").unwrap(), Fetched::Missing);
    assert_eq!(fetch("true").unwrap(), Fetched::Missing);
    assert!(matches!(fetch("no_such_program_here 2>/dev/null"), Err(ArchiveError::Command { .. })));
}
