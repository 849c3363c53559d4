//! What there is to know of each database, as the views show it.

use walship_engine::DatabaseInfo;
use walship_engine::redo::StoppedDatabase;
use walship_node::BackendInfo;
use walship_sql::catalog::DatabaseRow;
use walship_types::Timestamp;

use crate::run::Node;
use crate::run::log::NodeLog;

pub(super) fn rows(node: &Node) -> Vec<DatabaseRow> {
    let stopped = match node.log() {
        NodeLog::Follower(log) => log.replay.map(|worker| worker.status().stopped).unwrap_or_default(),
        NodeLog::Leader(_) => Vec::new(),
    };
    let backends = node.backends.list();
    node.databases.list().into_iter().map(|info| row(node, info, &stopped, &backends)).collect()
}

fn row(
    node: &Node,
    info: DatabaseInfo,
    stopped: &[StoppedDatabase],
    backends: &[BackendInfo],
) -> DatabaseRow {
    let name = info.name.as_str().to_owned();
    let connected = || backends.iter().filter(|backend| backend.database.as_deref() == Some(&name));
    let open = node.databases.get(&name).ok();
    let hashes = open.and_then(|database| database.hashes());
    // a -wal without a commit since the start says nothing of the file's size
    let (pages, checksum) = match hashes {
        Some(hashes) => {
            let tracked = hashes.lock();
            (tracked.hashes.pages(), tracked.hashes.checksum())
        }
        None => (info.pages, 0),
    };
    let scrub = node.scrubs.get(info.id);
    let stop = stopped.iter().find(|stop| stop.database == name);
    let reader = oldest_reader(&info, connected());
    DatabaseRow {
        id: info.id.0,
        page_size: u32::try_from(info.page_size.bytes()).unwrap_or(0),
        pages: u64::from(pages),
        sessions: i32::try_from(connected().count()).unwrap_or(i32::MAX),
        commits: info.transactions_committed,
        rollbacks: info.transactions_rolled_back,
        sessions_total: info.sessions_total,
        logged_commits: info.commits,
        foreign_commits: info.foreign_commits,
        checksum,
        verified: scrub.verified.map(|(lsn, _)| lsn),
        verified_at: scrub.verified.map(|(_, at)| at),
        verifications: scrub.verifications,
        checksum_failures: scrub.failures + u64::from(stop.is_some()),
        checksum_last_failure: scrub.last_failure,
        stopped_because: stop.map(|stop| stop.message.clone()).or(info.closed),
        log_bytes: info.log_bytes,
        last_commit: info.last_commit.is_valid().then_some(info.last_commit),
        waiting_writers: i32::try_from(info.writers_waiting).unwrap_or(i32::MAX),
        writer_pid: info.writer,
        sqlite_wal_bytes: info.wal_bytes,
        sqlite_wal_pending_frames: u64::from(info.wal_frames.saturating_sub(info.wal_backfilled)),
        oldest_reader_pid: reader.as_ref().and_then(|reader| reader.pid),
        oldest_reader_since: reader.as_ref().map(|reader| reader.since),
        oldest_reader_holds_bytes: reader.map(|reader| reader.holds_bytes),
        name,
    }
}

struct OldestReader {
    pid: Option<i32>,
    since: Timestamp,
    holds_bytes: u64,
}

/// Who keeps frames of the -wal from being moved into the file: the session whose transaction is the oldest, or, if
/// none of ours is in one, a program that reads the file itself.
fn oldest_reader<'a>(
    info: &DatabaseInfo,
    connected: impl Iterator<Item = &'a BackendInfo>,
) -> Option<OldestReader> {
    let mark = info.oldest_read_mark.filter(|mark| *mark < info.wal_frames)?;
    let in_transaction = connected.filter_map(|backend| Some((backend.transaction_started?, backend.pid)));
    let oldest = in_transaction.min();
    let held_since = info.held_back_for.map(|held| {
        let micros = i64::try_from(held.as_micros()).unwrap_or(i64::MAX);
        Timestamp(Timestamp::now().0.saturating_sub(micros))
    });
    let frame_bytes = info.wal_bytes.checked_div(u64::from(info.wal_frames)).unwrap_or(0);
    Some(OldestReader {
        pid: oldest.map(|(_, pid)| pid),
        since: oldest.map(|(since, _)| since).or(held_since)?,
        holds_bytes: u64::from(info.wal_frames - mark) * frame_bytes,
    })
}
