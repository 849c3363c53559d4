use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use tempfile::{Builder, NamedTempFile};
use walship_client::{Connection, Event, Purpose};
use walship_disk::{Disk, RealDisk};
use walship_protocol::Command;
use walship_types::DatabaseName;

use crate::byte_size::byte_size;
use crate::clock::span;
use crate::connection::{ConnectionOptions, block_on};
use crate::failure::Failure;
use crate::import::interruptible;
use crate::progress::Progress;

/// Write a plain SQLite file of one state of a database
///
/// From a running leader or follower, while others read and write. The file gets its name when it is complete and
/// durable.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The database
    name: DatabaseName,

    /// The file to write
    file: PathBuf,

    /// Replace the file if it exists
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    connection: ConnectionOptions,
}

/// Exports the database.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    if !arguments.force && arguments.file.exists() {
        return Err(exists(&arguments.file));
    }
    block_on(interruptible(export(arguments)))
}

fn exists(file: &Path) -> Failure {
    Failure::new(format!("file \"{}\" already exists", file.display()))
        .hint("name another file, or replace it with --force")
}

async fn export(arguments: &Arguments) -> Result<(), Failure> {
    let started = Instant::now();
    let mut connection = arguments.connection.connect(Purpose::Replication).await?;
    let directory = match arguments.file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // gone when this ends in any other way than by getting its name
    let mut file = Builder::new()
        .prefix(".walctl-export-")
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(directory)
        .map_err(|e| Failure::new(format!("could not create a file in \"{}\": {e}", directory.display())))?;
    let bytes = receive(&mut connection, &arguments.name, &mut file).await?;
    connection.close().await;
    let failed =
        |error| Failure::new(format!("could not write file \"{}\": {error}", arguments.file.display()));
    file.as_file().sync_all().map_err(failed)?;
    let named =
        if arguments.force { file.persist(&arguments.file) } else { file.persist_noclobber(&arguments.file) };
    named.map_err(|refused| match refused.error.kind() {
        std::io::ErrorKind::AlreadyExists => exists(&arguments.file),
        _ => failed(refused.error),
    })?;
    RealDisk::new().sync_dir(directory)?;
    println!(
        "exported database {} to \"{}\": {} in {}",
        arguments.name,
        arguments.file.display(),
        byte_size(bytes),
        span(started.elapsed())
    );
    Ok(())
}

async fn receive(
    connection: &mut Connection,
    name: &DatabaseName,
    file: &mut NamedTempFile,
) -> Result<u64, Failure> {
    connection.start(&Command::ExportDatabase { name: name.clone() }.to_string()).await?;
    let progress = Progress::start("receiving", None);
    let mut bytes = 0;
    loop {
        match connection.next().await? {
            Event::Data(data) => {
                let written = file.write_all(&data);
                written.map_err(|e| {
                    Failure::new(format!("could not write \"{}\": {e}", file.path().display()))
                })?;
                bytes += data.len() as u64;
                progress.add(data.len() as u64);
            }
            Event::Ready => return Ok(bytes),
            Event::Copy(_) | Event::CopyDone | Event::Complete(_) | Event::Notice(_) => {}
        }
    }
}
