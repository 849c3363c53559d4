use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::line::Parts;

/// Where the journal of systemd takes entries: systemd.journal-fields(7), "Journal Native Protocol".
pub(super) const SOCKET: &str = "/run/systemd/journal/socket";
/// Longest text of an entry, in bytes, far below what a datagram holds.
const TEXT_BYTES_MAX: usize = 32 * 1024;

/// Log lines as entries of systemd's journal, each with its priority and its fields.
#[derive(Debug)]
pub(super) struct Journal {
    socket: UnixDatagram,
    identifier: &'static str,
}

impl Journal {
    pub(super) fn connect(path: &Path, identifier: &'static str) -> io::Result<Journal> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?;
        Ok(Journal { socket, identifier })
    }
}

impl<S: Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut parts = Parts::default();
        event.record(&mut parts);
        let metadata = event.metadata();
        let entry = entry(&parts, *metadata.level(), metadata.target(), self.identifier);
        // there is nowhere left to complain
        let _ = self.socket.send(&entry);
    }
}

/// `NAME=value`, a line each; a value with a line break is written with its length.
fn entry(parts: &Parts, level: Level, target: &str, identifier: &str) -> Vec<u8> {
    let mut entry = Vec::new();
    let mut text = parts.text();
    text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
    put(&mut entry, "MESSAGE", &text);
    put(&mut entry, "PRIORITY", priority(level));
    put(&mut entry, "SYSLOG_IDENTIFIER", identifier);
    put(&mut entry, "WALSHIP_MODULE", target);
    if let Some(event) = &parts.event {
        put(&mut entry, "WALSHIP_EVENT", event);
    }
    for (name, value) in parts.values() {
        if value.len() <= TEXT_BYTES_MAX {
            put(&mut entry, &format!("WALSHIP_{}", name.to_ascii_uppercase()), value);
        }
    }
    entry
}

fn put(entry: &mut Vec<u8>, name: &str, value: &str) {
    entry.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        entry.push(b'\n');
        entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        entry.push(b'=');
    }
    entry.extend_from_slice(value.as_bytes());
    entry.push(b'\n');
}

/// As syslog(3) counts.
fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        Level::DEBUG | Level::TRACE => "7",
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn an_entry_has_its_priority_and_its_fields() {
        let folder = std::env::temp_dir().join(format!("walship-journal-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("socket");
        let _ = std::fs::remove_file(&path);
        let server = UnixDatagram::bind(&path).unwrap();
        let journal = Journal::connect(&path, "walsender").unwrap();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(journal), || {
            tracing::warn!(
                event = "slot_lost",
                slot = "east",
                detail = "two\nlines",
                "replication slot lost its log"
            );
        });
        let mut bytes = [0; 4096];
        let length = server.recv(&mut bytes).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        let entry = String::from_utf8_lossy(&bytes[..length]).into_owned();
        assert!(
            entry.starts_with(
                "MESSAGE=replication slot lost its log (slot east, detail two lines)\nPRIORITY=4\n\
                 SYSLOG_IDENTIFIER=walsender\nWALSHIP_MODULE=walship_server::logging::journal::tests\n\
                 WALSHIP_EVENT=slot_lost\nWALSHIP_SLOT=east\nWALSHIP_DETAIL\n\u{9}\0\0\0\0\0\0\0two\nlines\n"
            ),
            "{entry}"
        );
    }
}
