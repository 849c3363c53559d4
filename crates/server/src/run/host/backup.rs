use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use walship_basebackup::{BackupFile, FileContent};
use walship_engine::PageSource;
use walship_node::{ControlFile, ControlState, SenderGuard};
use walship_protocol::wire::ErrorFields;
use walship_replication::{BackupStart, RunningBackup};
use walship_types::{Lsn, SqliteWalPosition, Timestamp};

use super::replication::engine_fields;
use super::slots::node_error;
use crate::run::Node;
use crate::run::archiver::archived_until;
use crate::run::follower::end_of_records;
use crate::run::log::NodeLog;

/// The control file of a backup has this size, filled up with spaces: its content is
/// known only when everything before it has been copied.
const CONTROL_BYTES_PER_DATABASE: u64 = 1024;
const CONTROL_BYTES_MIN: u64 = 8192;

/// A base backup that is being taken from this node.
pub(super) struct NodeBackup {
    shared: Arc<Shared>,
    start: BackupStart,
    files: Vec<BackupFile>,
    /// Keeps the log from the start on.
    _keeps_log: SenderGuard,
}

struct Shared {
    node: Arc<Node>,
    /// As of the redo point.
    control: ControlFile,
    control_bytes: u64,
    /// Set when everything but the control file has been copied.
    end: OnceLock<Lsn>,
}

impl NodeBackup {
    pub(super) fn start(node: Arc<Node>, fast: bool) -> Result<NodeBackup, ErrorFields> {
        if !node.is_follower() {
            let made = node.checkpoints.request_and_wait(fast);
            made.map_err(|error| ErrorFields::error("XX000", format!("checkpoint request failed: {error}")))?;
        }
        // the log stays from here on; the redo point that counts is read only then, as a
        // checkpoint in between may have let go of older log
        let keeps_log = keep_log_for(&node, "base backup", node.control.get().redo);
        let control = node.control.get();
        keeps_log.update(|row| row.backup_start = Some(control.redo));
        let start = BackupStart {
            redo: control.redo,
            checkpoint: control.checkpoint,
            timeline: control.timeline,
            time: Timestamp::now(),
        };
        let databases = control.databases.len() as u64;
        let control_bytes = CONTROL_BYTES_MIN.max((databases + 1) * CONTROL_BYTES_PER_DATABASE);
        let shared = Arc::new(Shared { node, control, control_bytes, end: OnceLock::new() });
        let files = list_files(&shared)?;
        Ok(NodeBackup { shared, start, files, _keeps_log: keeps_log })
    }
}

/// Keeps the log from `from` on, as long as the result lives, for something that is shown
/// as `name` among the replication connections.
pub(super) fn keep_log_for(node: &Node, name: &str, from: Lsn) -> SenderGuard {
    let keeps_log = node.senders.register(backup_row_pid(node), name.to_owned());
    keeps_log.update(|row| {
        row.state = walship_node::SenderState::Backup;
        row.backup_start = Some(from);
    });
    keeps_log
}

/// Everything that readers of this node's databases could have seen by now is in the log
/// before this position, and durable. `redo` is a redo point of the node's.
pub(super) fn copied_until(node: &Node, redo: Lsn) -> Result<Lsn, ErrorFields> {
    match node.log() {
        NodeLog::Leader(writer) => {
            // a page may have been read that SQLite had committed and the log had not
            for database in node.databases.all() {
                database.settle(&AtomicBool::new(false)).map_err(|e| engine_fields(node, &e))?;
            }
            let end = writer.positions().insert.get();
            writer.flush(end).map_err(|error| ErrorFields::error("58030", error.to_string()))?;
            Ok(end)
        }
        // replay may be ahead of what it has published, never of the records it has
        NodeLog::Follower(log) => {
            end_of_records(&log.source, redo).map_err(|failure| ErrorFields::error("XX000", failure.message))
        }
    }
}

/// Rows are told apart by number; a backup's own is no session's.
fn backup_row_pid(node: &Node) -> i32 {
    let taken = node.senders.list();
    (i32::MIN..0).find(|pid| taken.iter().all(|row| row.pid != *pid)).unwrap_or(i32::MIN)
}

impl RunningBackup for NodeBackup {
    fn start(&self) -> BackupStart {
        self.start
    }

    fn files(&self) -> Vec<BackupFile> {
        self.files.clone()
    }

    fn stop(&mut self) -> Result<Lsn, ErrorFields> {
        self.shared.end()
    }

    fn is_archived(&mut self) -> Result<Option<bool>, ErrorFields> {
        let archived = archived_until(&self.shared.node, self.shared.end()?);
        archived.map_err(|error| ErrorFields::error("58030", error.to_string()))
    }
}

impl Shared {
    /// Everything that was copied is in the log before this position, and durable.
    fn end(&self) -> Result<Lsn, ErrorFields> {
        if let Some(end) = self.end.get() {
            return Ok(*end);
        }
        let end = copied_until(&self.node, self.control.redo)?;
        Ok(*self.end.get_or_init(|| end))
    }

    /// The control file of the copy: replay starts at the redo point and has to come as
    /// far as the end. -wal positions are not the copy's, which has no -wal.
    fn control_content(&self) -> Result<Vec<u8>, ErrorFields> {
        let end = self.end()?;
        let mut control = self.control.clone();
        control.state = ControlState::InBackupRecovery;
        control.minimum_recovery = end;
        control.known_flush = control.redo;
        for database in &mut control.databases {
            database.position = SqliteWalPosition::default();
        }
        let room = usize::try_from(self.control_bytes).unwrap_or(usize::MAX);
        control.to_bytes_filled(room).map_err(|error| node_error(&error))
    }
}

fn list_files(shared: &Arc<Shared>) -> Result<Vec<BackupFile>, ErrorFields> {
    let node = &shared.node;
    let now = Timestamp::now();
    let mut files = Vec::new();
    for path in [
        node.directory.version_file(),
        node.directory.config(),
        node.directory.auto_config(),
        node.directory.access_rules(),
    ] {
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        match fs::read(&path) {
            Ok(content) => files.push(BackupFile::in_memory(name, content, now)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(unreadable(&path, &error)),
        }
    }
    for database in &shared.control.databases {
        let hash = node.databases.hash_path_of(&database.name);
        // replaced as a whole by the next checkpoint: the open one stays what it is
        let file = fs::File::open(&hash).map_err(|error| unreadable(&hash, &error))?;
        let size = file.metadata().map_err(|error| unreadable(&hash, &error))?.len();
        let path = format!("base/{}.hash", database.name);
        files.push(BackupFile { path, size, modified: now, content: Arc::new(file) });
    }
    for database in &shared.control.databases {
        let Ok(open) = node.databases.get(database.name.as_str()) else { continue };
        let pages = open.page_source().map_err(|error| engine_fields(node, &error))?;
        let (path, size) = (format!("base/{}.db", database.name), pages.bytes());
        files.push(BackupFile { path, size, modified: now, content: Arc::new(Pages(pages)) });
    }
    // last, as its content says up to where everything before it was copied
    let content = Arc::new(ControlContent { shared: Arc::clone(shared), bytes: OnceLock::new() });
    files.push(BackupFile { path: "control".to_owned(), size: shared.control_bytes, modified: now, content });
    Ok(files)
}

fn unreadable(path: &Path, error: &io::Error) -> ErrorFields {
    ErrorFields::error("58030", format!("could not read \"{}\": {error}", path.display()))
}

/// A database's pages as a file.
struct Pages(PageSource);

impl FileContent for Pages {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_bytes(buffer, offset).map_err(io::Error::other)
    }
}

/// The control file, made when it is read for the first time.
struct ControlContent {
    shared: Arc<Shared>,
    bytes: OnceLock<Vec<u8>>,
}

impl FileContent for ControlContent {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let bytes = match self.bytes.get() {
            Some(bytes) => bytes,
            None => {
                let made = self.shared.control_content().map_err(|error| io::Error::other(error.message))?;
                self.bytes.get_or_init(|| made)
            }
        };
        let rest = usize::try_from(offset).ok().and_then(|from| bytes.get(from..)).unwrap_or_default();
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }
}
