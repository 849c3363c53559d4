use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use walship_basebackup::{BACKUP_LABEL_FILE, BackupLabel, INCOMPLETE_MARKER};
use walship_node::{ControlFile, ControlState, DataDirectory};

use crate::RestoreError;
use crate::error::LOG_TAR;

/// What the name of a packed backup begins with.
const BASE_TAR: &str = "base.tar";

/// A base backup that was found to be one.
pub(crate) struct Backup {
    pub(crate) directory: DataDirectory,
    pub(crate) control: ControlFile,
}

impl Backup {
    /// Looks at the directory: control file and label have to be of the same backup.
    pub(crate) fn open(path: &Path) -> Result<Backup, RestoreError> {
        let directory = DataDirectory::new(path);
        let not_one = |why: &str| RestoreError::NotABackup { path: path.to_owned(), why: why.to_owned() };
        if !path.is_dir() {
            return Err(not_one("there is no such directory"));
        }
        if path.join(INCOMPLETE_MARKER).exists() {
            return Err(not_one("it was not completed"));
        }
        if !directory.control().exists() {
            let files = packed(path)?;
            return Err(match files.is_empty() {
                false => RestoreError::Packed { directory: path.to_owned(), files },
                true => not_one("it has no file named \"control\""),
            });
        }
        let control = ControlFile::read(&directory)?;
        if control.state != ControlState::InBackupRecovery {
            return Err(not_one(&format!(
                "it is a data directory that was started already, and is \"{}\"",
                control.state.describe()
            )));
        }
        check_label(&directory, &control)?;
        Ok(Backup { directory, control })
    }

    /// The log that came with it.
    pub(crate) fn wal(&self) -> PathBuf {
        self.directory.wal()
    }
}

/// The names of the tar files that a backup consists of, if it does.
fn packed(path: &Path) -> Result<Vec<String>, RestoreError> {
    let entries = fs::read_dir(path).map_err(RestoreError::io("read directory", path))?;
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut files: Vec<String> =
        names.filter(|name| name.starts_with(BASE_TAR) || name.starts_with(LOG_TAR)).collect();
    files.sort_unstable();
    let is_backup = files.first().is_some_and(|name| name.starts_with(BASE_TAR));
    Ok(if is_backup { files } else { Vec::new() })
}

/// Without a label the control file is enough.
fn check_label(directory: &DataDirectory, control: &ControlFile) -> Result<(), RestoreError> {
    let path = directory.root().join(BACKUP_LABEL_FILE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(RestoreError::io("read file", &path)(error)),
    };
    let label = BackupLabel::parse(&text);
    let label = label.map_err(|source| RestoreError::Label { path: path.clone(), source })?;
    match label.differs_from(control.system_id, control.redo) {
        None => Ok(()),
        Some((what, found, expected)) => Err(RestoreError::OtherLabel { path, what, found, expected }),
    }
}
