use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use walship_basebackup::{BACKUP_LABEL_FILE, BackupLabel, RestoreError, verify};
use walship_node::{ControlFile, DataDirectory};
use walship_types::Lsn;
use walship_wal::Next;

use crate::failure::{Failure, note};
use crate::progress::Progress;
use crate::waldump::{Log, Place};

/// Problems that are listed one by one; of more than these only the number is given.
const LISTED_MAX: usize = 100;

/// Check a base backup against its manifest, and its log
///
/// Every file that the manifest lists has to be there, unchanged, and no other; and the log has to be intact from where
/// replay starts to where the backup is consistent. Ends with status 1, and says what is wrong, if anything is.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The backup: a plain one, not a tar file
    #[arg(value_name = "DIR")]
    directory: PathBuf,

    /// Do not look at the log
    #[arg(short = 'n', long)]
    no_parse_wal: bool,

    /// Print nothing if all is well
    #[arg(short = 'q', long)]
    quiet: bool,
}

/// Checks the backup.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let progress = Progress::start("verifying", Some(0));
    let problems = verify(&arguments.directory, |done, total| progress.set(done, total));
    drop(progress);
    let problems = problems?;
    for problem in problems.iter().take(LISTED_MAX) {
        note(problem);
    }
    let log = match arguments.no_parse_wal {
        true => Ok(None),
        false => check_log(&arguments.directory).map(Some),
    };
    let shown = arguments.directory.display();
    match (problems.len(), log) {
        (0, Ok(log)) => {
            if !arguments.quiet {
                let range = log.map(|(start, end)| format!(", its log intact from {start} to {end}"));
                println!("backup \"{shown}\" successfully verified{}", range.unwrap_or_default());
            }
            Ok(())
        }
        (0, Err(failure)) => Err(failure),
        (count, log) => {
            if let Err(failure) = log {
                note(failure.message());
            }
            let files = if count == 1 { "1 file is" } else { &format!("{count} files are") };
            Err(Failure::new(format!("backup \"{shown}\" is damaged: {files} not as the manifest says"))
                .hint("take another backup; what this one was taken from may be intact"))
        }
    }
}

/// Reads the log from where replay starts to where the backup is consistent.
fn check_log(directory: &Path) -> Result<(Lsn, Lsn), Failure> {
    let path = directory.join(BACKUP_LABEL_FILE);
    let text = fs::read_to_string(&path)
        .map_err(|error| Failure::new(format!("could not read file \"{}\": {error}", path.display())))?;
    let label = BackupLabel::parse(&text).map_err(Failure::new)?;
    let control = ControlFile::read(&DataDirectory::new(directory))?;
    if label.system_id != control.system_id {
        let (found, expected) = (label.system_id, control.system_id);
        let message =
            format!("backup label is of another cluster: system identifier {found}, expected {expected}");
        return Err(Failure::new(message));
    }
    let wanted = control.minimum_recovery;
    let place = Place::find(&[directory.to_owned()], None)?;
    let log = Log::open(&place, Some(label.timeline)).map_err(|failure| {
        failure.hint("a backup that was taken without its log is checked with --no-parse-wal")
    })?;
    let mut reader = log.reader_at(label.start)?;
    let mut reached = label.start;
    loop {
        match reader.next()? {
            Next::Record(record) if record.end >= wanted => return Ok((label.start, wanted)),
            Next::Record(record) => reached = record.end,
            Next::End(end) => {
                log.judge(&end)?;
                if reached >= wanted {
                    return Ok((label.start, wanted));
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

impl From<RestoreError> for Failure {
    fn from(error: RestoreError) -> Failure {
        Failure::new(error)
    }
}
