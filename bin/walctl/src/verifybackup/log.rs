use std::fs;
use std::path::Path;

use walship_basebackup::{BACKUP_LABEL_FILE, BackupLabel};
use walship_node::{ControlFile, DataDirectory};
use walship_types::Lsn;
use walship_wal::Next;

use crate::failure::Failure;
use crate::waldump::{Log, Place};

/// The log of a backup, found intact.
pub(super) struct BackupLog {
    pub(super) control: ControlFile,
    pub(super) log: Log,
    /// Where replay starts.
    pub(super) start: Lsn,
    /// Where the backup is consistent.
    pub(super) end: Lsn,
}

/// Reads the log from where replay starts to where the backup is consistent.
pub(super) fn check(directory: &Path) -> Result<BackupLog, Failure> {
    let path = directory.join(BACKUP_LABEL_FILE);
    let text = fs::read_to_string(&path)
        .map_err(|error| Failure::new(format!("could not read file \"{}\": {error}", path.display())))?;
    let label = BackupLabel::parse(&text).map_err(Failure::new)?;
    let control = ControlFile::read(&DataDirectory::new(directory))?;
    if label.system_id != control.system_id {
        let (found, expected) = (label.system_id, control.system_id);
        let message =
            format!("backup label is of another cluster: system identifier {found}, expected {expected}");
        return Err(
            Failure::new(message).hint("take the files of one backup together, or take the backup again")
        );
    }
    let place = Place::find(&[directory.to_owned()], None)?;
    let log = Log::open(&place, Some(label.timeline)).map_err(|failure| {
        failure.hint("a backup that was taken without its log is checked with --no-parse-wal")
    })?;
    let end = control.minimum_recovery;
    read(&log, &place, label.start, end)?;
    Ok(BackupLog { control, log, start: label.start, end })
}

fn read(log: &Log, place: &Place, start: Lsn, wanted: Lsn) -> Result<(), Failure> {
    let mut reader = log.reader_at(start)?;
    let mut reached = start;
    loop {
        match reader.next()? {
            Next::Record(record) if record.end >= wanted => return Ok(()),
            Next::Record(record) => reached = record.end,
            Next::End(end) => {
                log.judge(&end)?;
                if reached >= wanted {
                    return Ok(());
                }
                let path = place.segments.join(&end.file);
                let message = format!(
                    "log of the backup ends at {}, expected to reach {wanted}: {}",
                    end.at, end.reason
                );
                return Err(Failure::new(message)
                    .detail(format!("file \"{}\", offset {}", path.display(), end.offset))
                    .hint(
                        "take another backup, or bring the segment from the server's pg_wal or an archive",
                    ));
            }
        }
    }
}
