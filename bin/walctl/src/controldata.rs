use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};
use walship_node::{ControlFile, DataDirectory};
use walship_types::{Timestamp, segment_file_name};

use crate::clock::timestamp;
use crate::failure::Failure;

/// Width of the labels, as `pg_controldata` has it.
const LABEL_WIDTH: usize = 38;

/// Show the control file of a data directory
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Data directory
    #[arg(short = 'D', long = "pgdata", value_name = "DIR", env = "PGDATA")]
    directory: PathBuf,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Prints the control file.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let directory = DataDirectory::new(&arguments.directory);
    let control = ControlFile::read(&directory)?;
    let modified = modified(&directory.control())?;
    if arguments.json {
        println!("{:#}", as_json(&control, modified));
    } else {
        print!("{}", as_text(&control, modified));
    }
    Ok(())
}

fn modified(path: &Path) -> Result<Timestamp, Failure> {
    let time = std::fs::metadata(path).and_then(|metadata| metadata.modified());
    time.map(Timestamp::from)
        .map_err(|error| Failure::new(format!("could not look at file \"{}\": {error}", path.display())))
}

/// Name of the segment file that holds the redo point.
fn redo_file(control: &ControlFile) -> String {
    segment_file_name(control.timeline, control.segment_size.segment_of(control.redo), control.segment_size)
}

/// `pg_controldata`'s labels where they mean the same, then the databases.
fn as_text(control: &ControlFile, modified: Timestamp) -> String {
    let mut lines = vec![
        ("Database system identifier", control.system_id.to_string()),
        ("Database cluster state", control.state.describe().to_owned()),
        ("pg_control last modified", timestamp(modified)),
        ("Latest checkpoint location", control.checkpoint.to_string()),
        ("Latest checkpoint's REDO location", control.redo.to_string()),
        ("Latest checkpoint's REDO WAL file", redo_file(control)),
        ("Latest checkpoint's TimeLineID", control.timeline.to_string()),
        ("Time of latest checkpoint", timestamp(control.checkpoint_time)),
        ("Minimum recovery ending location", control.minimum_recovery.to_string()),
        ("Log known to be flushed up to", control.known_flush.to_string()),
        ("Bytes per WAL segment", control.segment_size.bytes().to_string()),
        ("Default database page size", control.default_page_size.to_string()),
        ("Data directory mode", format!("{:04o}", control.directory_mode)),
        ("Next database id", control.next_database_id.to_string()),
        ("Databases at the REDO location", control.databases.len().to_string()),
    ];
    if let Some(fence) = &control.fence {
        lines.push(("Fenced by", format!("node {}", fence.node)));
        lines.push(("  timeline", fence.timeline.to_string()));
        lines.push(("  left this node's at", fence.switch_lsn.to_string()));
        lines.push(("  time", timestamp(fence.time)));
    }
    for database in &control.databases {
        lines.push(("Database", database.name.to_string()));
        lines.push(("  id", database.id.to_string()));
        lines.push(("  page size", database.page_size.to_string()));
        lines.push(("  pages", database.pages.to_string()));
        lines.push(("  checksum", format!("{:016x}", database.checksum)));
        lines.push(("  -wal position", database.position.to_string()));
    }
    lines.iter().fold(String::new(), |mut text, (label, value)| {
        // writing to a string cannot fail
        let _ = writeln!(text, "{:<LABEL_WIDTH$}{value}", format!("{label}:"));
        text
    })
}

fn as_json(control: &ControlFile, modified: Timestamp) -> Value {
    let databases: Vec<Value> = control
        .databases
        .iter()
        .map(|database| {
            json!({
                "id": database.id,
                "name": database.name,
                "page_size": database.page_size,
                "pages": database.pages,
                "checksum": format!("{:016x}", database.checksum),
                "sqlite_wal_position": database.position.to_string(),
            })
        })
        .collect();
    json!({
        "system_identifier": control.system_id.to_string(),
        "state": control.state.describe(),
        "modified": timestamp(modified),
        "checkpoint_lsn": control.checkpoint,
        "redo_lsn": control.redo,
        "redo_wal_file": redo_file(control),
        "timeline": control.timeline.0,
        "checkpoint_time": timestamp(control.checkpoint_time),
        "minimum_recovery_lsn": control.minimum_recovery,
        "known_flush_lsn": control.known_flush,
        "fence": control.fence.as_ref().map(|fence| json!({
            "node": fence.node,
            "timeline": fence.timeline.0,
            "switch_lsn": fence.switch_lsn,
            "time": timestamp(fence.time),
        })),
        "wal_segment_bytes": control.segment_size.bytes(),
        "default_page_size": control.default_page_size,
        "data_directory_mode": format!("{:04o}", control.directory_mode),
        "next_database_id": control.next_database_id,
        "databases": databases,
    })
}
