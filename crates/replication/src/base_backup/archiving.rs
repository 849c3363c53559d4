use std::time::{Duration, Instant};

use walship_node::{BackupPhase, BackupProgress};
use walship_protocol::wire::{ErrorFields, Severity, put_error};

use super::archive::gone;
use super::pieces::Pieces;
use crate::host::RunningBackup;

/// How often it is asked whether everything is archived.
const ASK_INTERVAL: Duration = Duration::from_millis(100);
/// After so long the client is told what is waited for, as PostgreSQL tells it.
const TELL_AFTER: Duration = Duration::from_secs(5);
/// After so long it is warned for the first time, then each time after twice as long.
const WARN_AFTER: Duration = Duration::from_secs(60);

/// Waits until the log that makes the backup consistent is archived; not at all where
/// nothing is archived. Blocks, until the client is gone at the latest.
pub(super) fn wait_for_archive(
    backup: &mut dyn RunningBackup,
    out: &mut Pieces,
    progress: &BackupProgress,
) -> Result<(), ErrorFields> {
    let begun = Instant::now();
    let mut told = false;
    let mut warn_after = WARN_AFTER;
    loop {
        match backup.is_archived()? {
            None => return tell(out, Severity::Notice, not_archiving()),
            Some(true) => {
                let text = "all required WAL segments have been archived";
                return tell(out, Severity::Notice, ErrorFields::error("00000", text));
            }
            Some(false) => progress.enter(BackupPhase::WaitingForArchive),
        }
        if !told && begun.elapsed() >= TELL_AFTER {
            told = true;
            let text = "base backup done, waiting for required WAL segments to be archived";
            tell(out, Severity::Notice, ErrorFields::error("00000", text))?;
        }
        if begun.elapsed() >= warn_after {
            let seconds = warn_after.as_secs();
            warn_after *= 2;
            tell(out, Severity::Warning, still_waiting(seconds))?;
        }
        if out.is_closed() {
            return Err(gone(std::io::ErrorKind::BrokenPipe.into()));
        }
        std::thread::sleep(ASK_INTERVAL);
    }
}

fn tell(out: &mut Pieces, severity: Severity, fields: ErrorFields) -> Result<(), ErrorFields> {
    put_error(&mut out.buffer, &ErrorFields { severity, ..fields });
    out.send().map_err(gone)
}

/// What PostgreSQL tells who takes a backup without its log.
fn not_archiving() -> ErrorFields {
    let text = "WAL archiving is not enabled; you must ensure that all required WAL segments are copied \
                through other means to complete the backup";
    ErrorFields::error("00000", text)
}

fn still_waiting(seconds: u64) -> ErrorFields {
    let text =
        format!("still waiting for all required WAL segments to be archived ({seconds} seconds elapsed)");
    ErrorFields::error("01000", text).with_hint(
        "Check pg_stat_archiver and the server's log. You can safely cancel this backup, but it will not be \
         usable without all the WAL segments.",
    )
}
