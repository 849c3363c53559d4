//! pg_receivewal 15.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use walship_replication::ServerPhase;
use walship_types::{Lsn, SegmentNo, SegmentSize, TimelineId, segment_file_name};

use crate::node::{Node, eventually};

fn pg_receivewal(node: &Node, dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("/usr/lib/postgresql/15/bin/pg_receivewal");
    command.args(["-h", "127.0.0.1", "-U", "postgres", "-n", "-p", &node.port.to_string()]);
    command.arg("-D").arg(dir).args(arguments).env_remove("PGAPPNAME").env_remove("PGOPTIONS");
    command.stderr(Stdio::piped());
    command
}

fn run(mut command: Command) -> (bool, String) {
    let output = command.output().unwrap_or_else(|error| panic!("needs PostgreSQL 15's programs: {error}"));
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn stop(child: &mut Child) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    child.wait().unwrap();
}

/// The first segment and those after it are the leader's, byte for byte.
fn check_segments(node: &Node, dir: &Path, timeline: TimelineId, upto: Lsn) {
    let size = SegmentSize::MIN;
    let mut segment = SegmentNo(1);
    while size.start_of(segment.next()) <= upto {
        let name = segment_file_name(timeline, segment, size);
        let archived = std::fs::read(dir.join(&name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let own = node.log(size.start_of(segment), size.start_of(segment.next()));
        assert!(archived == own, "{name} differs");
        segment = segment.next();
    }
}

#[test]
fn an_archive_is_the_log_byte_for_byte_and_resumes() {
    let node = Node::start();
    let archive = tempfile::tempdir().unwrap();
    let (created, said) = run(pg_receivewal(&node, archive.path(), &["--create-slot", "--slot", "s1"]));
    assert!(created, "{said}");
    let (again, said) = run(pg_receivewal(&node, archive.path(), &["--create-slot", "--slot", "s1"]));
    assert!(!again && said.contains("replication slot \"s1\" already exists"), "{said}");
    let received = |end: Lsn| node.host.rows.0.lock().unwrap().values().any(|row| row.peer.flush >= end);
    let mut child = pg_receivewal(&node, archive.path(), &["--slot", "s1", "--synchronous"]).spawn().unwrap();
    eventually("the stream to begin", || received(Lsn(1)));
    let end = node.write(2_500_000);
    eventually("everything to arrive", || received(end));
    stop(&mut child);
    check_segments(&node, archive.path(), TimelineId(1), end);

    let end = node.write(2_500_000);
    let endpos = end.to_string();
    let arguments = ["--slot", "s1", "--synchronous", "--endpos", &endpos];
    let mut child = pg_receivewal(&node, archive.path(), &arguments).spawn().unwrap();
    eventually("the rest to arrive", || received(end));
    // it stops behind the position, so there has to be more
    node.write(1000);
    assert!(child.wait().unwrap().success());
    check_segments(&node, archive.path(), TimelineId(1), end);
    let (dropped, said) = run(pg_receivewal(&node, archive.path(), &["--drop-slot", "--slot", "s1"]));
    assert!(dropped, "{said}");
    eventually("connections to end", || node.host.rows.0.lock().unwrap().is_empty());
}

#[test]
fn a_promotion_under_the_stream_is_followed() {
    let node = Node::start();
    let archive = tempfile::tempdir().unwrap();
    node.write(1_500_000);
    let mut child = pg_receivewal(&node, archive.path(), &["--synchronous", "-v"]).spawn().unwrap();
    let received = |end: Lsn| node.host.rows.0.lock().unwrap().values().any(|row| row.peer.flush >= end);
    let switch = node.write(1000);
    eventually("the old timeline to arrive", || received(switch));
    node.next_timeline();
    let end = node.write(2_500_000);
    eventually("the new timeline to arrive", || received(end));
    stop(&mut child);
    assert!(archive.path().join("00000002.history").exists());
    let size = SegmentSize::MIN;
    let first = segment_file_name(TimelineId(2), size.segment_of(switch), size);
    let start = size.start_of(size.segment_of(switch));
    let own = node.log(start, Lsn(start.0 + size.bytes()));
    assert!(std::fs::read(archive.path().join(first)).unwrap() == own);
}

#[test]
fn refusals_have_postgresqls_words() {
    let node = Node::start();
    let archive = tempfile::tempdir().unwrap();
    let (ran, said) = run(pg_receivewal(&node, archive.path(), &["--slot", "missing"]));
    assert!(!ran && said.contains("replication slot \"missing\" does not exist"), "{said}");
    // an archive that is ahead of the log
    let name = segment_file_name(TimelineId(1), SegmentNo(9), SegmentSize::MIN);
    std::fs::write(archive.path().join(name), vec![0; 1 << 20]).unwrap();
    let (ran, said) = run(pg_receivewal(&node, archive.path(), &[]));
    let expected = "requested starting point 0/A00000 is ahead of the WAL flush position of this server";
    assert!(!ran && said.contains(expected), "{said}");
    // and one whose next segment is gone
    let archive = tempfile::tempdir().unwrap();
    let name = segment_file_name(TimelineId(1), SegmentNo(1), SegmentSize::MIN);
    std::fs::write(archive.path().join(name), vec![0; 1 << 20]).unwrap();
    let end = node.write(5_000_000);
    node.writer().recycle_before(end).unwrap();
    let (ran, said) = run(pg_receivewal(&node, archive.path(), &[]));
    let expected = "requested WAL segment 000000010000000000000002 has already been removed";
    assert!(!ran && said.contains(expected), "{said}");
}

#[test]
fn a_stop_gives_everything_first() {
    let node = Node::start();
    let archive = tempfile::tempdir().unwrap();
    let child = pg_receivewal(&node, archive.path(), &["--synchronous"]).spawn().unwrap();
    eventually("the stream to begin", || {
        node.host.rows.0.lock().unwrap().values().any(|row| row.peer.write.is_valid())
    });
    let end = node.write(3_000_000);
    node.set_phase(ServerPhase::Draining);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("replication stream was terminated before stop point"), "{said}");
    check_segments(&node, archive.path(), TimelineId(1), end);
}
