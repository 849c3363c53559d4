use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use clap::Args;
use walship_client::{Connection, Event, Purpose};
use walship_engine::copy_foreign_database;
use walship_protocol::Command;
use walship_protocol::wire::CopyDirection;
use walship_types::DatabaseName;

use crate::byte_size::byte_size;
use crate::clock::span;
use crate::connection::{ConnectionOptions, block_on};
use crate::failure::Failure;
use crate::progress::Progress;

/// First bytes of every SQLite database that has any.
const SQLITE_MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// Bytes that are sent at once.
const CHUNK_BYTES: usize = 256 << 10;

/// Bring an SQLite file into a running leader as a new database
///
/// The file may be in use: what is imported is one state of it. It is not changed.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The SQLite file
    file: PathBuf,

    /// Name of the new database: 1 to 63 of a-z 0-9 _ -, beginning with a letter or _
    #[arg(long = "as", value_name = "NAME")]
    name: DatabaseName,

    #[command(flatten)]
    connection: ConnectionOptions,
}

/// Imports the file.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    check_is_database(&arguments.file)?;
    block_on(import(arguments))
}

async fn import(arguments: &Arguments) -> Result<(), Failure> {
    let started = Instant::now();
    let mut connection = arguments.connection.connect(Purpose::Replication).await?;
    if connection.parameter("in_hot_standby") == Some("on") {
        let failure = Failure::new(format!("server at \"{}\" is a follower", connection.host()));
        return Err(failure.hint("import into the leader; its followers get the database from there"));
    }
    let scratch = tempfile::tempdir().map_err(|error| {
        let directory = std::env::temp_dir();
        Failure::new(format!("could not create a directory in \"{}\": {error}", directory.display()))
            .hint("set TMPDIR to a directory with room for a copy of the file")
    })?;
    let copy = scratch.path().join("copy.db");
    copy_source(&arguments.file, &copy).await?;
    let bytes = interruptible(send(&mut connection, &arguments.name, &copy)).await?;
    connection.close().await;
    println!(
        "imported \"{}\" as database {}: {} in {}",
        arguments.file.display(),
        arguments.name,
        byte_size(bytes),
        span(started.elapsed())
    );
    Ok(())
}

/// Refuses what is no SQLite database, with what it is. An empty file is an empty database.
fn check_is_database(path: &Path) -> Result<(), Failure> {
    let shown = path.display();
    let metadata = std::fs::metadata(path);
    let metadata =
        metadata.map_err(|error| Failure::new(format!("could not open file \"{shown}\": {error}")))?;
    if !metadata.is_file() {
        let what = if metadata.is_dir() { "a directory" } else { "not a regular file" };
        return Err(Failure::new(format!("\"{shown}\" is {what}, not an SQLite database")));
    }
    let mut head = Vec::with_capacity(SQLITE_MAGIC.len());
    File::open(path)
        .and_then(|file| file.take(SQLITE_MAGIC.len() as u64).read_to_end(&mut head))
        .map_err(|error| Failure::new(format!("could not read file \"{shown}\": {error}")))?;
    if !head.is_empty() && head != SQLITE_MAGIC {
        let message = format!(
            "file \"{shown}\" is not an SQLite database: it begins with \"{}\", expected \"{}\"",
            head.escape_ascii(),
            SQLITE_MAGIC.escape_ascii()
        );
        return Err(Failure::new(message));
    }
    Ok(())
}

/// Copies one state of the file, on another thread, until an interrupt.
async fn copy_source(from: &Path, to: &Path) -> Result<(), Failure> {
    if std::fs::metadata(from).is_ok_and(|metadata| metadata.len() == 0) {
        let copied = std::fs::copy(from, to).map(|_| ());
        return copied
            .map_err(|error| Failure::new(format!("could not copy \"{}\": {error}", from.display())));
    }
    let cancelled = Arc::new(AtomicBool::new(false));
    let (seen, from, to) = (Arc::clone(&cancelled), from.to_owned(), to.to_owned());
    let work = tokio::task::spawn_blocking(move || {
        let progress = Progress::start("copying", Some(0));
        copy_foreign_database(&from, &to, &mut |at| {
            progress.set(at.done_bytes, at.total_bytes);
            !seen.load(Ordering::Relaxed)
        })
    });
    let interrupt = tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            cancelled.store(true, Ordering::Relaxed);
        }
    });
    let copied = work.await;
    interrupt.abort();
    match copied {
        Ok(copied) => copied.map_err(Failure::new),
        Err(error) => Err(Failure::new(error)),
    }
}

/// Sends the copy; the server answers once the database is there for good.
async fn send(connection: &mut Connection, name: &DatabaseName, copy: &Path) -> Result<u64, Failure> {
    let unreadable = |error| Failure::new(format!("could not read \"{}\": {error}", copy.display()));
    let mut file = File::open(copy).map_err(unreadable)?;
    let total = file.metadata().map_err(unreadable)?.len();
    connection.start(&Command::ImportDatabase { name: name.clone() }.to_string()).await?;
    wait_for_copy(connection).await?;
    let progress = Progress::start("sending", Some(total));
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut sent = 0;
    loop {
        let n = file.read(&mut chunk).map_err(unreadable)?;
        let Some(data) = chunk.get(..n).filter(|data| !data.is_empty()) else { break };
        if let Err(error) = connection.send_data(data).await {
            // a server that refuses the rest says why before it closes
            return Err(connection.next().await.err().unwrap_or(error).into());
        }
        sent += n as u64;
        progress.add(n as u64);
    }
    drop(progress);
    connection.send_copy_done().await?;
    while connection.next().await? != Event::Ready {}
    Ok(sent)
}

async fn wait_for_copy(connection: &mut Connection) -> Result<(), Failure> {
    loop {
        match connection.next().await? {
            Event::Copy(CopyDirection::In) => return Ok(()),
            Event::Notice(_) => {}
            other => return Err(Failure::new(format!("server answered {other:?}, expected a copy stream"))),
        }
    }
}

/// Ends with an error at an interrupt, so that what has to be removed is.
pub(crate) async fn interruptible<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::select! {
        done = work => done,
        _ = tokio::signal::ctrl_c() => Err(Failure::new("interrupted")),
    }
}
