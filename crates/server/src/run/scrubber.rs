use std::collections::HashMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use walship_engine::Database;
use walship_settings::Typed as _;
use walship_types::{DatabaseId, Lsn, Timestamp};

use super::node::Node;

/// From one pass over all databases to the next, at least: small ones are not read without a pause.
const PASS_INTERVAL: Duration = Duration::from_secs(2);

/// What holding the files against their page hashes has found, since the process started.
#[derive(Debug, Default)]
pub(crate) struct Scrubs {
    // protects the results; held for a copy
    results: Mutex<HashMap<DatabaseId, ScrubResult>>,
    // protects whether the scrubber is to end
    stop: Mutex<bool>,
    stopped: Condvar,
}

/// Of one database.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ScrubResult {
    /// The whole file was verified at a state not older than this position.
    pub(crate) verified: Option<(Lsn, Timestamp)>,
    /// How often that was.
    pub(crate) verifications: u64,
    /// Pages that did not have their logged content, over all passes.
    pub(crate) failures: u64,
    /// When such a page was found last.
    pub(crate) last_failure: Option<Timestamp>,
}

impl Scrubs {
    /// Of a database; nothing before its first pass is complete.
    pub(crate) fn get(&self, id: DatabaseId) -> ScrubResult {
        self.results.lock().get(&id).copied().unwrap_or_default()
    }

    /// Ends the scrubber, in the middle of a pass too.
    pub(crate) fn stop(&self) {
        *self.stop.lock() = true;
        self.stopped.notify_all();
    }

    fn is_stopped(&self) -> bool {
        *self.stop.lock()
    }

    /// `false` when it is to end.
    fn wait_until(&self, time: Instant) -> bool {
        let mut stop = self.stop.lock();
        while !*stop && !self.stopped.wait_until(&mut stop, time).timed_out() {}
        !*stop
    }
}

/// Starts the thread that verifies the database files slowly, at `checksum_scrub_rate`, in either role.
pub(crate) fn start_scrubber(node: Arc<Node>) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("scrubber".to_owned()).spawn(move || {
        loop {
            let next = Instant::now() + PASS_INTERVAL;
            for database in node.databases.all() {
                if node.scrubs.is_stopped() {
                    return;
                }
                scrub(&node, &database);
            }
            if !node.scrubs.wait_until(next) {
                return;
            }
        }
    })
}

fn scrub(node: &Node, database: &Arc<Database>) {
    let bytes = node.settings().bytes("checksum_scrub_rate");
    if bytes == 0 {
        return;
    }
    let pages = bytes / u64::try_from(database.page_size().bytes()).unwrap_or(u64::MAX);
    let pages = u32::try_from(pages.max(1)).unwrap_or(u32::MAX);
    // every slice is of a state that has at least this
    let log = node.log();
    let from = log.replay().map_or_else(|| log.positions().flush.get(), |replay| replay.get());
    // one that was dropped, or whose name another one has now, is not to be looked at any more
    let is_gone = || {
        let named = node.databases.get(database.name().as_str());
        !named.is_ok_and(|named| Arc::ptr_eq(&named, database))
    };
    let report = match database.scrub(pages, &|| node.scrubs.is_stopped() || is_gone()) {
        Ok(Some(report)) => report,
        Ok(None) => return,
        // dropped meanwhile, or a role is changing: the next pass looks again
        Err(error) => {
            tracing::debug!(database = %database.name(), %error, "could not verify a database file");
            return;
        }
    };
    let mut results = node.scrubs.results.lock();
    let result = results.entry(database.id()).or_default();
    if report.mismatches > 0 {
        result.failures += report.mismatches;
        result.last_failure = Some(Timestamp::now());
    } else if report.complete {
        result.verifications += 1;
        result.verified = Some((from.max(report.verified), Timestamp::now()));
    }
}
