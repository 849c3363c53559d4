use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use walship_archive::{ArchiveError, OldestKept, cleanup};
use walship_basebackup::{BACKUP_LABEL_FILE, BackupLabel};
use walship_types::segment_file_name;

use crate::failure::{Failure, note};

/// Look after an archive of the log
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Cleanup(Cleanup),
}

/// Remove segments that no kept backup needs, as pg_archivecleanup does
///
/// Segments with a smaller number than OLDEST go, of whatever timeline, complete, .partial or compressed; histories stay.
#[derive(Debug, Args)]
struct Cleanup {
    /// The archive
    #[arg(value_name = "ARCHIVE")]
    archive: PathBuf,

    /// The oldest segment file to keep: its name, that of its .partial or .backup file, or the oldest kept base backup (its
    /// directory, or the backup_label in it)
    #[arg(value_name = "OLDEST")]
    oldest: String,

    /// Only print the names of the files that would be removed
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// Say what is done, on standard error
    #[arg(short = 'd', long)]
    debug: bool,

    /// Also take files with this suffix behind their names, as a compressing archive command leaves them
    #[arg(short = 'x', long, value_name = "SUFFIX")]
    strip_suffix: Option<String>,
}

/// Runs the subcommand.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Command::Cleanup(cleanup) = &arguments.command;
    clean(cleanup)
}

fn clean(arguments: &Cleanup) -> Result<(), Failure> {
    let oldest = oldest_kept(&arguments.oldest)?;
    let archive = &arguments.archive;
    if arguments.debug {
        note(format!("keeping WAL file \"{}\" and later", archive.join(oldest.name()).display()));
    }
    let remove = |path: &Path| {
        if arguments.dry_run {
            println!("{}", path.display());
            return Ok(());
        }
        if arguments.debug {
            note(format!("removing file \"{}\"", path.display()));
        }
        match fs::remove_file(path) {
            // somebody else cleans up too
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            other => other.map_err(|source| ArchiveError::Io {
                operation: "remove file",
                path: path.to_owned(),
                source,
            }),
        }
    };
    cleanup(archive, &oldest, arguments.strip_suffix.as_deref(), remove)?;
    Ok(())
}

/// A backup needs the log from where its label says; anything else is a name.
fn oldest_kept(text: &str) -> Result<OldestKept, Failure> {
    let path = Path::new(text);
    let label = match path.is_dir() {
        true => path.join(BACKUP_LABEL_FILE),
        false => path.to_owned(),
    };
    if !label.is_file() || OldestKept::parse(text).is_ok() {
        return Ok(OldestKept::parse(text)?);
    }
    let shown = label.display();
    let content = fs::read_to_string(&label)
        .map_err(|error| Failure::new(format!("could not read file \"{shown}\": {error}")))?;
    let label =
        BackupLabel::parse(&content).map_err(|error| Failure::new(format!("file \"{shown}\": {error}")))?;
    let segment = label.segment_size.segment_of(label.start);
    Ok(OldestKept::parse(&segment_file_name(label.timeline, segment, label.segment_size))?)
}

impl From<ArchiveError> for Failure {
    fn from(error: ArchiveError) -> Failure {
        let failure = Failure::new(&error);
        match error.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}
