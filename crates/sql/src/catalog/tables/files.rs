use std::path::Path;
use std::time::UNIX_EPOCH;

use walship_types::Timestamp;

use super::Column;
use crate::catalog::cell::Cell;
use crate::catalog::table::{Row, Rows, Scope, Table};
use crate::catalog::types::{INT8, TEXT, TIMESTAMPTZ};

pub(super) static TABLES: &[Table] =
    &[Table { name: "pg_ls_waldir", columns: FILES, rows: Rows::Live(wal_files) }];

static FILES: &[Column] = &[("name", &TEXT), ("size", &INT8), ("modification", &TIMESTAMPTZ)];

/// The regular files of the folder of the log.
fn wal_files(scope: &Scope) -> Vec<Row> {
    files_of(&scope.source.identity().data_directory.join("pg_wal"))
}

/// What cannot be read any more, as a segment that is recycled meanwhile, is left out.
fn files_of(folder: &Path) -> Vec<Row> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let row = |entry: std::fs::DirEntry| {
        let metadata = entry.metadata().ok().filter(std::fs::Metadata::is_file)?;
        let since = metadata.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let modified = since.and_then(|since| i64::try_from(since.as_micros()).ok());
        let name = entry.file_name().to_string_lossy().into_owned();
        Some(vec![Cell::Text(name), metadata.len().into(), modified.map(Timestamp::from_unix_micros).into()])
    };
    entries.filter_map(row).collect()
}
