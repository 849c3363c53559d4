//! Our own client and receiver.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use walship_client::{Connection, Event, Purpose};
use walship_disk::RealDisk;
use walship_node::ReceiverStatus;
use walship_protocol::wire::CopyDirection;
use walship_protocol::{Conninfo, StandbyMessage, StandbyStatus};
use walship_replication::receiver::{
    ReceiverEnd, ReceiverError, ReceiverHost, ReceiverReport, ReceiverSettings, ReceiverTask, ReceiverThread,
};
use walship_types::{Lsn, SegmentSize, SystemId, TimelineHistory, TimelineId, Timestamp};
use walship_wal::{PositionWatch, WalConfig, WalSink, WalSource};

use crate::node::{Node, SYSTEM_ID, eventually};

struct Follower {
    port: u16,
    system_id: SystemId,
    replay: Arc<PositionWatch>,
    report: Mutex<ReceiverReport>,
    history: Mutex<Option<Arc<TimelineHistory>>>,
}

impl ReceiverHost for Follower {
    fn is_own_client(&self, _address: std::net::SocketAddr) -> bool {
        false
    }

    fn system_id(&self) -> SystemId {
        self.system_id
    }

    fn segment_size(&self) -> SegmentSize {
        SegmentSize::MIN
    }

    fn settings(&self) -> Result<ReceiverSettings, ReceiverError> {
        Ok(ReceiverSettings {
            conninfo: format!("host=127.0.0.1 port={} password=secret", self.port).parse()?,
            slot: "follower_1".parse().ok(),
            application_name: "follower_1".to_owned(),
            status_interval: Duration::from_secs(10),
            timeout: Duration::from_secs(60),
            sign_interval: None,
            retry_interval: Duration::from_millis(200),
            restore: None,
        })
    }

    fn replay(&self) -> Option<Arc<PositionWatch>> {
        Some(Arc::clone(&self.replay))
    }

    fn write_history(&self, _history: &TimelineHistory) -> Result<(), ReceiverError> {
        Ok(())
    }

    fn timeline_switched(&self, history: Arc<TimelineHistory>) -> Result<(), ReceiverError> {
        *self.history.lock().unwrap() = Some(history);
        Ok(())
    }

    fn report(&self, report: &ReceiverReport) {
        *self.report.lock().unwrap() = report.clone();
    }
}

struct Running {
    host: Arc<Follower>,
    source: WalSource,
    thread: ReceiverThread,
    _dir: tempfile::TempDir,
}

fn follow(node: &Node, system_id: SystemId, retry: bool) -> Running {
    let dir = tempfile::tempdir().unwrap();
    let history = TimelineHistory::root(TimelineId(1));
    let disk = Arc::new(RealDisk::new());
    let config = WalConfig::new(disk, dir.path(), system_id, SegmentSize::MIN, history);
    let sink = WalSink::open(config, Lsn(SegmentSize::MIN.bytes())).unwrap();
    let source = sink.source();
    let host = Arc::new(Follower {
        port: node.port,
        system_id,
        replay: Arc::new(PositionWatch::new(Lsn::INVALID)),
        report: Mutex::default(),
        history: Mutex::default(),
    });
    let thread = ReceiverThread::start(ReceiverTask { host: host.clone(), sink, retry }).unwrap();
    Running { host, source, thread, _dir: dir }
}

fn flushed(running: &Running) -> Lsn {
    running.source.positions().unwrap().flush.get()
}

#[test]
fn a_follower_has_the_leaders_bytes_and_the_leader_knows() {
    let node = Node::start();
    node.write(1_300_000);
    let running = follow(&node, SYSTEM_ID, true);
    let end = node.write(2_000_000);
    eventually("everything to arrive", || flushed(&running) >= end);
    running.host.replay.advance(end);
    eventually("the leader to know", || {
        let rows = node.host.rows.0.lock().unwrap();
        rows.values().any(|row| row.peer.flush >= end && row.peer.write >= end && row.peer.apply >= end)
    });
    let start = Lsn(SegmentSize::MIN.bytes());
    let mut own = Vec::new();
    while start.0 + (own.len() as u64) < end.0 {
        let from = Lsn(start.0 + own.len() as u64);
        own.extend_from_slice(&running.source.read(from, 1 << 20, end).unwrap());
    }
    assert!(own == node.log(start, end));
    let report = running.host.report.lock().unwrap().clone();
    assert_eq!(report.status, ReceiverStatus::Streaming);
    assert_eq!(report.port, Some(node.port));
    assert!(!report.conninfo.contains("secret"), "{}", report.conninfo);

    // a promotion upstream is followed
    node.next_timeline();
    let end = node.write(1_200_000);
    eventually("the new timeline to arrive", || flushed(&running) >= end);
    assert_eq!(running.host.history.lock().unwrap().as_ref().unwrap().timeline, TimelineId(2));
    let ended = node.runtime().block_on(running.thread.stop());
    let Some(ReceiverEnd::Stopped(sink)) = ended else { panic!("{ended:?}") };
    assert_eq!(sink.position(), end);
}

#[test]
fn another_cluster_is_refused_with_both_identifiers() {
    let node = Node::start();
    let mut running = follow(&node, SystemId(5), false);
    let ended = node.runtime().block_on(running.thread.ended());
    let ReceiverEnd::GaveUp(error) = ended else { panic!("{ended:?}") };
    assert_eq!(
        error.to_string(),
        "database system identifier differs between the primary and standby: the primary's identifier is \
         7711202498677149815, the standby's identifier is 5"
    );
}

#[test]
fn a_follower_comes_back_after_the_connection_broke() {
    let node = Node::start();
    let running = follow(&node, SYSTEM_ID, true);
    let end = node.write(1000);
    eventually("the first bytes to arrive", || flushed(&running) >= end);
    node.set_phase(walship_replication::ServerPhase::Draining);
    eventually("the stream to end", || {
        running.host.report.lock().unwrap().last_error.as_deref().is_some_and(|e| e.contains("terminat"))
    });
    node.set_phase(walship_replication::ServerPhase::Running);
    let end = node.write(1_500_000);
    eventually("the rest to arrive", || flushed(&running) >= end);
    assert!(matches!(node.runtime().block_on(running.thread.stop()), Some(ReceiverEnd::Stopped(_))));
}

async fn connect(node: &Node) -> Connection {
    let conninfo: Conninfo = format!("host=127.0.0.1 port={}", node.port).parse().unwrap();
    Connection::connect(&conninfo.target(|_| None).unwrap(), Purpose::Replication, "test").await.unwrap()
}

#[test]
fn a_receiver_that_claims_too_much_is_refused() {
    let node = Node::start();
    node.runtime().block_on(async {
        let mut connection = connect(&node).await;
        connection.start("START_REPLICATION 0/100000").await.unwrap();
        assert_eq!(connection.next().await.unwrap(), Event::Copy(CopyDirection::Both));
        let far = Lsn(u64::MAX);
        let time = Timestamp::now();
        let status = StandbyStatus { write: far, flush: far, apply: far, time, reply_requested: false };
        connection.send_status(&StandbyMessage::Status(status)).await.unwrap();
        let error = loop {
            match connection.next().await {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert_eq!(error.sqlstate(), Some("08P01"));
        assert!(error.to_string().contains("receiver reports write position FFFFFFFF/FFFFFFFF"), "{error}");
    });
}

#[test]
fn a_receiver_that_does_not_read_is_left() {
    let node = Node::start();
    *node.host.timeout.lock().unwrap() = Duration::from_millis(300);
    node.write(60_000_000);
    node.runtime().block_on(async {
        let mut connection = connect(&node).await;
        connection.start("START_REPLICATION 0/100000").await.unwrap();
        let rows = node.host.rows.clone();
        let left = tokio::task::spawn_blocking(move || {
            eventually("the stream to begin", || {
                rows.0.lock().unwrap().values().any(|row| row.sent > Lsn(0x10_0000))
            });
            eventually("the receiver to be left", || rows.0.lock().unwrap().is_empty());
        });
        left.await.unwrap();
    });
}

#[test]
fn commands_that_are_none_leave_the_connection_usable() {
    let node = Node::start();
    node.runtime().block_on(async {
        let mut connection = connect(&node).await;
        for (command, sqlstate) in [
            ("select 1", "0A000"),
            ("IDENTIFY_SYSTEM x", "42601"),
            ("SHOW nothing", "42704"),
            ("TIMELINE_HISTORY 1", "58P01"),
            ("START_REPLICATION 0/100000 TIMELINE 9", "XX000"),
            ("CREATE_REPLICATION_SLOT a LOGICAL pgoutput", "0A000"),
            ("DROP_REPLICATION_SLOT a", "42704"),
            ("WALSHIP_EXPORT_DATABASE nothing", "3D000"),
        ] {
            let error = connection.query(command).await.expect_err(command);
            assert_eq!(error.sqlstate(), Some(sqlstate), "{command}: {error}");
        }
        let results = connection.query("READ_REPLICATION_SLOT nothing").await.unwrap();
        assert_eq!(results[0].rows, [[None, None, None]]);
        let results = connection.query("IDENTIFY_SYSTEM").await.unwrap();
        assert_eq!(results[0].text("systemid"), Some("7711202498677149815"));
    });
}

#[test]
fn databases_go_in_and_out_as_plain_files() {
    let node = Node::start();
    node.runtime().block_on(async {
        let mut connection = connect(&node).await;
        connection.start("WALSHIP_IMPORT_DATABASE app").await.unwrap();
        assert_eq!(connection.next().await.unwrap(), Event::Copy(CopyDirection::In));
        let piece = vec![7; 1_000_000];
        for _ in 0..5 {
            connection.send_data(&piece).await.unwrap();
        }
        connection.send_copy_done().await.unwrap();
        while connection.next().await.unwrap() != Event::Ready {}
        connection.start("WALSHIP_EXPORT_DATABASE app").await.unwrap();
        let mut bytes = 0;
        loop {
            match connection.next().await.unwrap() {
                Event::Data(data) => bytes += data.len(),
                Event::Ready => break,
                _ => {}
            }
        }
        assert_eq!(bytes, 5_000_000);
    });
    let left: Vec<_> = std::fs::read_dir(node.dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("transit"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}
