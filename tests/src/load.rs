use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::node::Node;
use crate::session::Session;
use crate::wait::wait_until;

/// Pause of a client whose server is not there, before it tries again.
const RECONNECT: Duration = Duration::from_millis(50);

/// Clients that insert row after row into `ledger`, one transaction each, through
/// crashes and reconnects, and remember which commits were acknowledged.
pub struct Load {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    rows: Arc<Mutex<Record>>,
    clients: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Record {
    acknowledged: BTreeSet<(i64, i64)>,
    /// Sent, and the connection was lost before the answer: either outcome is right.
    unknown: BTreeSet<(i64, i64)>,
    refused: Vec<String>,
}

/// What a finished [`Load`] knows.
pub struct Acknowledged {
    rows: BTreeSet<(i64, i64)>,
    unknown: BTreeSet<(i64, i64)>,
}

impl Load {
    /// Creates the table if it is not there, and starts `clients` of them.
    pub fn start(leader: &Node, clients: usize) -> Load {
        leader.connect().run(
            "CREATE TABLE IF NOT EXISTS ledger(client INTEGER, seq INTEGER, note TEXT, \
             PRIMARY KEY(client, seq))",
        );
        let mut load = Load {
            stop: Arc::default(),
            acknowledged: Arc::default(),
            rows: Arc::default(),
            clients: Vec::new(),
        };
        let port = leader.port();
        for client in 0..i64::try_from(clients).unwrap_or(0) {
            let (stop, count, rows) = (load.stop.clone(), load.acknowledged.clone(), load.rows.clone());
            load.clients.push(std::thread::spawn(move || insert_rows(port, client, &stop, &count, &rows)));
        }
        load
    }

    /// Commits acknowledged so far.
    pub fn count(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Waits until `more` further commits were acknowledged.
    pub fn wait_for(&self, more: u64) {
        let target = self.count() + more;
        wait_until(&format!("{more} more commits are acknowledged"), || self.count() >= target);
    }

    /// Ends the clients and returns what was acknowledged.
    ///
    /// # Panics
    /// When a statement was refused for another reason than a lost connection.
    pub fn finish(self) -> Acknowledged {
        self.finish_with("")
    }

    /// As [`Load::finish`], where statements may be refused with one SQLSTATE.
    ///
    /// # Panics
    /// When one was refused with another.
    pub fn finish_with(mut self, expected: &str) -> Acknowledged {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients.drain(..) {
            client.join().expect("a client of the load ends");
        }
        let record = std::mem::take(&mut *self.rows.lock().unwrap_or_else(PoisonError::into_inner));
        let unexpected: Vec<_> =
            record.refused.iter().filter(|text| expected.is_empty() || !text.starts_with(expected)).collect();
        assert!(unexpected.is_empty(), "statements were refused: {unexpected:?}");
        Acknowledged { rows: record.acknowledged, unknown: record.unknown }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Acknowledged {
    /// How many commits were acknowledged.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there were none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Holds the table on `node` against the record: every acknowledged row is there,
    /// and no row that nobody sent.
    ///
    /// # Panics
    /// When a row is lost or invented.
    pub fn verify(&self, node: &Node) {
        let rows = node.connect().query("SELECT client, seq FROM ledger").expect("read the ledger");
        let number = |value: &Option<String>| value.as_ref().and_then(|text| text.parse::<i64>().ok());
        let found: BTreeSet<(i64, i64)> = rows
            .iter()
            .map(|row| match row.as_slice() {
                [client, seq] => (number(client).unwrap_or(-1), number(seq).unwrap_or(-1)),
                other => panic!("a row of the ledger has {} columns", other.len()),
            })
            .collect();
        let lost: Vec<_> = self.rows.difference(&found).collect();
        assert!(lost.is_empty(), "{} acknowledged commits are lost on {}: {lost:?}", lost.len(), node.name());
        let invented: Vec<_> =
            found.iter().filter(|row| !self.rows.contains(row) && !self.unknown.contains(row)).collect();
        assert!(invented.is_empty(), "rows on {} that nobody sent: {invented:?}", node.name());
    }
}

fn insert_rows(port: u16, client: i64, stop: &AtomicBool, count: &AtomicU64, rows: &Mutex<Record>) {
    let mut session = None;
    let mut seq = 0;
    while !stop.load(Ordering::Relaxed) {
        let Some(connected) = session.take().or_else(|| Session::connect(port, "postgres").ok()) else {
            std::thread::sleep(RECONNECT);
            continue;
        };
        seq += 1;
        let note = "x".repeat(40 + usize::try_from(seq % 100).unwrap_or(0));
        let outcome = connected.query(&format!("INSERT INTO ledger VALUES ({client}, {seq}, '{note}')"));
        let mut record = rows.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(_) => {
                record.acknowledged.insert((client, seq));
                count.fetch_add(1, Ordering::Relaxed);
                session = Some(connected);
            }
            Err(error) => {
                record.unknown.insert((client, seq));
                if !error.is_connection_lost() {
                    record.refused.push(error.to_string());
                }
            }
        }
    }
}
