mod deep;
mod log;

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use walship_basebackup::{
    MANIFEST_FILE, ManifestError, Modes, Restore, RestoreError, manifest_checksum, read_stored,
    stored_archive, verify,
};
use walship_types::Lsn;

use crate::failure::{Failure, note};
use crate::progress::Progress;

/// Problems that are listed one by one; of more than these only the number is given.
const LISTED_MAX: usize = 100;

/// Check a base backup against its manifest, and its log
///
/// Every file that the manifest lists has to be there, unchanged, and no other; and the log has to be intact from where
/// replay starts to where the backup is consistent. Ends with status 1, and says what is wrong, if anything is.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The backup: a data directory, or one with base.tar or base.tar.zst, which is unpacked for the time of the check
    #[arg(value_name = "DIR")]
    directory: PathBuf,

    /// Do not look at the log
    #[arg(short = 'n', long, conflicts_with = "deep")]
    no_parse_wal: bool,

    /// Replay a copy of each database to where the backup is consistent, and check its pages and its structure
    #[arg(long)]
    deep: bool,

    /// Directory for what is copied or unpacked for the check
    #[arg(long, value_name = "DIR", env = "TMPDIR", default_value = "/tmp")]
    scratch: PathBuf,

    /// Print nothing if all is well
    #[arg(short = 'q', long)]
    quiet: bool,
}

/// Checks the backup.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let shown = arguments.directory.display().to_string();
    let Some(archive) = stored_archive(&arguments.directory) else {
        return check(arguments, &arguments.directory, &shown);
    };
    let scratch = scratch(&arguments.scratch)?;
    let unpacked = scratch.path().join("unpacked");
    unpack(&arguments.directory, &archive, &unpacked)?;
    check(arguments, &unpacked, &shown)
}

fn scratch(directory: &Path) -> Result<tempfile::TempDir, Failure> {
    let made = tempfile::Builder::new().prefix("walctl-verify-").tempdir_in(directory);
    made.map_err(|error| {
        Failure::new(format!("could not create a directory in \"{}\": {error}", directory.display()))
            .hint("name a directory that has room for the backup: --scratch DIR")
    })
}

fn unpack(directory: &Path, archive: &Path, target: &Path) -> Result<(), Failure> {
    let path = directory.join(MANIFEST_FILE);
    let manifest = fs::read(&path)
        .map_err(|error| Failure::new(format!("could not read file \"{}\": {error}", path.display())))?;
    let mut restore = Restore::begin(target, Modes::new(false), manifest_checksum(&manifest)?)?;
    restore.manifest(&manifest)?;
    let progress = Progress::start("unpacking", None);
    read_stored(archive, |bytes| {
        progress.add(bytes.len() as u64);
        restore.archive(bytes)
    })?;
    restore.finish()?;
    Ok(())
}

fn check(arguments: &Arguments, directory: &Path, shown: &str) -> Result<(), Failure> {
    let progress = Progress::start("verifying", Some(0));
    let problems = verify(directory, |done, total| progress.set(done, total));
    drop(progress);
    let problems = problems?;
    for problem in problems.iter().take(LISTED_MAX) {
        note(problem);
    }
    let log = match arguments.no_parse_wal {
        true => Ok(None),
        false => log::check(directory).map(Some),
    };
    match (problems.len(), log) {
        (0, Ok(log)) => {
            let databases = match (&log, arguments.deep) {
                (Some(log), true) => Some(deep::check(directory, log, scratch(&arguments.scratch)?.path())?),
                _ => None,
            };
            if !arguments.quiet {
                println!("{}", verdict(shown, log.map(|log| (log.start, log.end)), databases));
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

fn verdict(shown: &str, log: Option<(Lsn, Lsn)>, databases: Option<usize>) -> String {
    let mut text = format!("backup \"{shown}\" successfully verified");
    if let Some((start, end)) = log {
        text += &format!(", its log intact from {start} to {end}");
    }
    match databases {
        None => {}
        Some(1) => text += ", 1 database replayed and sound",
        Some(count) => text += &format!(", {count} databases replayed and sound"),
    }
    text
}

impl From<ManifestError> for Failure {
    fn from(error: ManifestError) -> Failure {
        Failure::new(error)
    }
}

impl From<RestoreError> for Failure {
    fn from(error: RestoreError) -> Failure {
        Failure::new(error)
    }
}
