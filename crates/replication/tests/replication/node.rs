//! A node with a real log, listening on a free port of the loopback interface.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::{BufMut, BytesMut};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use walship_basebackup::BackupFile;
use walship_disk::{RealDisk, SharedDisk};
use walship_protocol::wire::{ErrorFields, TransactionStatus, put_parameter_status, put_ready_for_query};
use walship_replication::{
    BackupStart, LogSource, PageReader, ReplicationHost, ReplicationSession, RunningBackup, SenderRow,
    ServerPhase, SlotStore, serve_replication,
};
use walship_types::{Lsn, SegmentSize, SystemId, TimelineHistory, TimelineId, Timestamp};
use walship_wal::{
    RecordKind, WalConfig, WalWriter, clean_tail, create_first_segment, create_timeline_branch, recover,
};

use crate::slot_table::{Row, Rows, SlotTable};

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const SYSTEM_ID: SystemId = SystemId(7_711_202_498_677_149_815);

pub(crate) struct Host {
    writer: Mutex<Arc<WalWriter>>,
    history: Mutex<Arc<TimelineHistory>>,
    pub(crate) slots: SlotTable,
    pub(crate) rows: Rows,
    phase: watch::Sender<ServerPhase>,
    files: Vec<BackupFile>,
    scratch: PathBuf,
    first_record: Lsn,
    /// `wal_sender_timeout`.
    pub(crate) timeout: Mutex<Duration>,
}

pub(crate) struct Node {
    pub(crate) host: Arc<Host>,
    pub(crate) port: u16,
    pub(crate) dir: TempDir,
    runtime: Runtime,
}

fn config(dir: &Path, history: TimelineHistory) -> WalConfig {
    let disk: SharedDisk = Arc::new(RealDisk::new());
    WalConfig::new(disk, dir, SYSTEM_ID, SegmentSize::MIN, history)
}

impl Node {
    pub(crate) fn start() -> Node {
        Node::start_with(vec![BackupFile::in_memory("PG_VERSION", "15\n", Timestamp::now())])
    }

    /// A node whose backups have these files.
    pub(crate) fn start_with(files: Vec<BackupFile>) -> Node {
        let dir = tempfile::tempdir().unwrap();
        let history = TimelineHistory::root(TimelineId::FIRST);
        let config = config(dir.path(), history.clone());
        let end = create_first_segment(&config).unwrap();
        let writer = WalWriter::start(config, end).unwrap();
        let first_record = writer.append(RecordKind::Commit, &[b"first"]).unwrap().start;
        let host = Arc::new(Host {
            writer: Mutex::new(Arc::new(writer)),
            history: Mutex::new(Arc::new(history)),
            slots: SlotTable::default(),
            rows: Rows::default(),
            phase: watch::channel(ServerPhase::Running).0,
            files,
            scratch: dir.path().to_owned(),
            first_record,
            timeout: Mutex::new(Duration::from_secs(60)),
        });
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        runtime.spawn(accept(listener, Arc::clone(&host)));
        Node { host, port, dir, runtime }
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    pub(crate) fn writer(&self) -> Arc<WalWriter> {
        Arc::clone(&self.host.writer.lock().unwrap())
    }

    /// Appends about this many bytes of log and makes them durable; gives the end.
    pub(crate) fn write(&self, bytes: usize) -> Lsn {
        let writer = self.writer();
        let mut end = writer.positions().flush.get();
        for piece in vec![0x5A; bytes].chunks(50_000) {
            end = writer.append(RecordKind::Pages, &[piece]).unwrap().end;
        }
        writer.flush(end).unwrap();
        end
    }

    /// Goes over to the next timeline, as a promotion does.
    pub(crate) fn next_timeline(&self) -> Arc<TimelineHistory> {
        let old = self.writer();
        old.shutdown().unwrap();
        let switch = old.positions().flush.get();
        let history = {
            let history = self.host.history.lock().unwrap();
            history.branch(history.timeline.next().unwrap(), switch, "no recovery target specified")
        };
        let before = config(self.dir.path(), self.host.history.lock().unwrap().as_ref().clone());
        let recovered = recover(&before, self.host.first_record, switch).unwrap();
        clean_tail(&before, &recovered).unwrap();
        create_timeline_branch(&before, &history, switch).unwrap();
        let config = config(self.dir.path(), history.clone());
        let recovered = recover(&config, self.host.first_record, switch).unwrap();
        let end = clean_tail(&config, &recovered).unwrap();
        *self.host.writer.lock().unwrap() = Arc::new(WalWriter::start(config, end).unwrap());
        let history = Arc::new(history);
        *self.host.history.lock().unwrap() = Arc::clone(&history);
        history
    }

    pub(crate) fn set_phase(&self, phase: ServerPhase) {
        self.host.phase.send_replace(phase);
    }

    /// The log's bytes, as they are read here.
    pub(crate) fn log(&self, from: Lsn, to: Lsn) -> Vec<u8> {
        let source = self.writer().source();
        let mut bytes = Vec::new();
        while from.0 + (bytes.len() as u64) < to.0 {
            bytes.extend_from_slice(&source.read(Lsn(from.0 + bytes.len() as u64), 1 << 20, to).unwrap());
        }
        bytes
    }
}

/// Waits until `condition` holds.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < PATIENCE, "{what} did not happen within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

async fn accept(listener: TcpListener, host: Arc<Host>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(greet(stream, Arc::clone(&host)));
    }
}

/// The start-up, as far as replication clients use it.
async fn greet(mut stream: TcpStream, host: Arc<Host>) {
    static PID: AtomicI32 = AtomicI32::new(1);
    let application_name = loop {
        let Ok(length) = stream.read_u32().await else { return };
        let mut packet = vec![0; length as usize - 4];
        stream.read_exact(&mut packet).await.unwrap();
        if packet[..2] == [0, 3] {
            let words: Vec<&[u8]> = packet[4..].split(|b| *b == 0).collect();
            let at = words.iter().position(|word| *word == b"application_name").unwrap();
            break String::from_utf8_lossy(words[at + 1]).into_owned();
        }
        stream.write_all(b"N").await.unwrap();
    };
    let pid = PID.fetch_add(1, Ordering::SeqCst);
    let mut out = BytesMut::from(&b"R\0\0\0\x08\0\0\0\0"[..]);
    for (name, value) in [
        ("server_version", "15.18 (walship)"),
        ("integer_datetimes", "on"),
        ("client_encoding", "SQL_ASCII"),
        ("in_hot_standby", "off"),
    ] {
        put_parameter_status(&mut out, name, value);
    }
    out.put_slice(b"K\0\0\0\x0c");
    out.put_i32(pid);
    out.put_i32(0);
    put_ready_for_query(&mut out, TransactionStatus::Idle);
    stream.write_all(&out).await.unwrap();
    let session = ReplicationSession {
        pid,
        user: "postgres".to_owned(),
        superuser: true,
        application_name,
        client: None,
    };
    // how it ends is seen by the client
    let _ = serve_replication(stream, BytesMut::new(), session, host).await;
}

impl ReplicationHost for Host {
    fn system_id(&self) -> SystemId {
        SYSTEM_ID
    }

    fn segment_size(&self) -> SegmentSize {
        SegmentSize::MIN
    }

    fn history(&self) -> Arc<TimelineHistory> {
        Arc::clone(&self.history.lock().unwrap())
    }

    fn read_history(&self, timeline: TimelineId) -> Result<Option<TimelineHistory>, ErrorFields> {
        let history = self.history();
        Ok((timeline.0 > 1 && history.timeline == timeline).then(|| history.as_ref().clone()))
    }

    fn is_follower(&self) -> bool {
        false
    }

    fn log(&self) -> Arc<dyn LogSource> {
        Arc::new(self.writer.lock().unwrap().source())
    }

    fn show(&self, name: &str) -> Option<String> {
        match name {
            "data_directory_mode" => Some("0700".to_owned()),
            "wal_format_version" => Some(walship_wal::FORMAT_VERSION.to_string()),
            "wal_segment_size" => Some(SegmentSize::MIN.to_string()),
            _ => None,
        }
    }

    fn wal_sender_timeout(&self) -> Option<Duration> {
        Some(*self.timeout.lock().unwrap())
    }

    fn slots(&self) -> &dyn SlotStore {
        &self.slots
    }

    fn register_sender(&self, session: &ReplicationSession) -> Result<Box<dyn SenderRow>, ErrorFields> {
        Ok(Box::new(Row(self.rows.clone(), session.pid)))
    }

    fn phase(&self) -> watch::Receiver<ServerPhase> {
        self.phase.subscribe()
    }

    fn start_backup(&self, _fast: bool) -> Result<Box<dyn RunningBackup>, ErrorFields> {
        let writer = Arc::clone(&self.writer.lock().unwrap());
        let span = writer.append(RecordKind::Checkpoint, &[b"checkpoint"]).unwrap();
        let timeline = self.history().timeline;
        let start =
            BackupStart { redo: span.start, checkpoint: span.start, timeline, time: Timestamp::now() };
        Ok(Box::new(Backup { writer, start, files: self.files.clone() }))
    }

    fn page_reader(&self, _keep_from: Lsn) -> Result<Box<dyn PageReader>, ErrorFields> {
        Err(ErrorFields::error("0A000", "this host has no databases"))
    }

    fn import_database(&self, name: &str, file: &Path) -> Result<(), ErrorFields> {
        std::fs::rename(file, self.scratch.join(format!("{name}.imported"))).unwrap();
        Ok(())
    }

    fn export_database(&self, name: &str, file: &Path) -> Result<(), ErrorFields> {
        let source = self.scratch.join(format!("{name}.imported"));
        let missing = || ErrorFields::error("3D000", format!("database \"{name}\" does not exist"));
        std::fs::copy(source, file).map_err(|_| missing()).map(|_| ())
    }

    fn scratch_directory(&self) -> PathBuf {
        self.scratch.clone()
    }
}

struct Backup {
    writer: Arc<WalWriter>,
    start: BackupStart,
    files: Vec<BackupFile>,
}

impl RunningBackup for Backup {
    fn start(&self) -> BackupStart {
        self.start
    }

    fn files(&self) -> Vec<BackupFile> {
        self.files.clone()
    }

    fn stop(&mut self) -> Result<Lsn, ErrorFields> {
        let end = self.writer.append(RecordKind::Commit, &[b"end of backup"]).unwrap().end;
        self.writer.flush(end).unwrap();
        Ok(end)
    }

    fn is_archived(&mut self) -> Result<Option<bool>, ErrorFields> {
        Ok(None)
    }
}
