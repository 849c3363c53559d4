//! A file or a server of another format version is refused with what was found and what was
//! expected, and nothing is lost: every row of the table in docs/upgrading.md.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};

use walship_tests::{Lab, Node, Output, Role, golden, output_of, repository_root, wait_until};

/// Files below a directory.
fn files(root: &Path) -> Vec<PathBuf> {
    let listed = output_of(std::process::Command::new("find").arg(root).args(["-type", "f"])).success();
    listed.lines().map(PathBuf::from).collect()
}

/// The one file below `root` that begins with these bytes.
fn file_beginning(root: &Path, magic: &[u8]) -> PathBuf {
    let mut found = files(root).into_iter().filter(|file| std::fs::read(file).unwrap().starts_with(magic));
    found.next().unwrap_or_else(|| panic!("no file begins with {magic:?}"))
}

/// Replaces the only occurrence of `from`.
fn replace(file: &Path, from: &str, to: &str) {
    let bytes = std::fs::read(file).unwrap();
    let at = bytes.windows(from.len()).position(|window| window == from.as_bytes()).expect(from);
    let changed = [&bytes[..at], to.as_bytes(), &bytes[at + from.len()..]].concat();
    std::fs::write(file, changed).unwrap();
}

/// Writes version 2 at offset 8 of a file whose header, of that many bytes, ends with its CRC.
fn set_version(file: &Path, header: usize) {
    let mut bytes = std::fs::read(file).unwrap();
    bytes[8..12].copy_from_slice(&2_u32.to_le_bytes());
    let crc = crc32fast::hash(&bytes[..header - 4]);
    bytes[header - 4..header].copy_from_slice(&crc.to_le_bytes());
    std::fs::write(file, bytes).unwrap();
}

fn refused(lab: &Lab, name: &str, output: &Output) {
    assert_eq!(output.status, Some(1), "{name}: {}", output.transcript());
    golden(&format!("version_of_{name}"), &output.clone().without_log().transcript(), lab.path());
}

/// Starts a node whose `file` is of another version; then one whose file is as it was.
fn refuses(lab: &Lab, node: &mut Node, name: &str, file: &Path, change: impl FnOnce(&Path)) {
    let right = std::fs::read(file).unwrap();
    change(file);
    refused(lab, name, &output_of(&mut node.command()));
    std::fs::write(file, right).unwrap();
    node.start();
    assert_eq!(node.sql("SELECT count(*) FROM t"), "1");
    node.stop();
}

#[test]
fn files_of_another_version() {
    let lab = Lab::new();
    let mut leader = lab.leader();
    leader.sql("CREATE TABLE t(v); INSERT INTO t VALUES(1)");
    leader.sql("SELECT pg_create_physical_replication_slot('keeper', true)");
    let backup = lab.path().join("backup");
    let conninfo = format!("host=127.0.0.1 port={} user=postgres", leader.port());
    lab.walctl(&["basebackup", "-d", &conninfo, "-D", &backup.to_string_lossy(), "--json"]).success();
    leader.stop();
    let root = leader.dir().to_owned();

    let control = root.join("control");
    refuses(&lab, &mut leader, "control_file", &control, |file| {
        replace(file, "walship control 1 ", "walship control 2 ");
    });
    let slot = file_beginning(&root.join("pg_replslot"), b"walship slot ");
    refuses(&lab, &mut leader, "slot", &slot, |file| replace(file, "walship slot 1 ", "walship slot 2 "));
    let segment = root.join("pg_wal/000000010000000000000001");
    refuses(&lab, &mut leader, "segment", &segment, |file| {
        set_version(file, 64);
        refused(&lab, "segment_in_waldump", &lab.walctl(&["waldump", &file.to_string_lossy()]));
    });

    // the table of page hashes is made anew
    let hashes = root.join("base/postgres.hash");
    set_version(&hashes, 60);
    leader.start();
    assert_eq!(leader.sql("SELECT count(*) FROM t"), "1");
    let log = leader.log();
    let told = log.lines().find(|line| line.contains("page hash file")).expect("a line about the table");
    assert!(told.contains("has format version 2, expected 1"), "{told}");
    leader.stop();

    let manifest = backup.join("backup_manifest");
    replace(
        &manifest,
        "\"PostgreSQL-Backup-Manifest-Version\": 1",
        "\"PostgreSQL-Backup-Manifest-Version\": 2",
    );
    refused(&lab, "manifest", &lab.walctl(&["verifybackup", &backup.to_string_lossy()]));
}

/// Passes on what is said to and by the server on `port`, except that this calls its log's format
/// version 2. Its port.
fn of_another_version(port: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let own = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (client, server) = (client.unwrap(), TcpStream::connect(("127.0.0.1", port)).unwrap());
            let (questions, asked) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || pass(questions, asked));
            std::thread::spawn(move || pass(server, client));
        }
    });
    own
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = vec![0; 1 << 20];
    let answer = b"D\0\0\0\x0b\0\x01\0\0\0\x011";
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        let bytes = &mut buffer[..length];
        let is_asked = bytes.windows(19).any(|window| window == b"wal_format_version\0");
        if let Some(at) = bytes.windows(answer.len()).position(|window| window == answer).filter(|_| is_asked)
        {
            bytes[at + answer.len() - 1] = b'2';
        }
        if to.write_all(bytes).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}

#[test]
fn a_leader_of_another_version_is_not_followed() {
    let lab = Lab::new();
    let leader = lab.leader();
    leader.sql("CREATE TABLE t(v)");
    let newer = of_another_version(leader.port());
    let conninfo = format!("host=127.0.0.1 port={newer} user=postgres");
    let arguments =
        ["-D", "copy", "--init", "--no-retry", "--listen", "127.0.0.1:1", "--primary", conninfo.as_str()];
    refused(&lab, "leader_at_init", &lab.run("walreceiver", &arguments));

    // one that has followed it until now: it says so, keeps what it has, and goes on when it can
    let mut follower = lab.follower(&leader);
    follower.stop();
    leader.sql("INSERT INTO t VALUES(1)");
    let auto_conf = follower.dir().join("postgresql.auto.conf");
    replace(&auto_conf, &format!("port={}", leader.port()), &format!("port={newer}"));
    // without --primary, so that the remembered one counts
    let mut follower = lab.node(Role::Follower, "follower", &["-c", "wal_retrieve_retry_interval=100ms"]);
    follower.start();
    wait_until("the follower says why it does not stream", || {
        follower.log().contains("the primary's log has format version 2, expected 1")
    });
    assert!(follower.log().contains("docs/upgrading.md"), "no hint: {}", follower.log());
    assert_eq!(follower.sql("SELECT count(*) FROM t"), "0");
    let right = format!("host=127.0.0.1 port={} user=postgres", leader.port());
    follower.sql(&format!("ALTER SYSTEM SET primary_conninfo = '{right}'"));
    follower.sql("SELECT pg_reload_conf()");
    walship_tests::wait_caught_up(&leader, &follower);
    assert_eq!(follower.sql("SELECT count(*) FROM t"), "1");
}

#[test]
fn the_page_names_every_format() {
    let page = std::fs::read_to_string(repository_root().join("docs/upgrading.md")).unwrap();
    for name in ["control", "slot", "segment", "page hashes", "manifest", "wal_format_version", "protocol"] {
        let row = page.lines().find(|line| line.starts_with("| ") && line.contains(name));
        assert!(row.is_some(), "no row about {name}");
    }
}
