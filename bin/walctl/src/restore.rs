use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use clap::{ArgGroup, Args};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use walship_restore::{Options, Progress as Step, RestoreError, Restored, Target, TimelineChoice, restore};
use walship_types::{Lsn, TimelineId};

use crate::byte_size::byte_size;
use crate::clock::{parse_timestamp, span, timestamp};
use crate::connection::block_on;
use crate::failure::{Failure, note};
use crate::progress::Progress;

/// Make a cluster of a base backup and an archive, as it was after any one of its transactions
///
/// Without a target, everything that the archive has is recovered. The result is a leader on a new timeline, stopped:
/// `walsender -D DIR` starts it. It is a new cluster, with a system identifier of its own, unless told otherwise. Backup
/// and archive are only read. Interrupted, it leaves nothing that a server would start, and can be run again.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("where").multiple(false))]
#[command(group = ArgGroup::new("edge").multiple(false))]
pub(crate) struct Arguments {
    /// The base backup: a plain one, or one that was unpacked
    #[arg(short = 'B', long, value_name = "DIR")]
    backup: PathBuf,

    /// The directory with the archived log; needed unless the log that came with the backup is enough
    #[arg(short = 'A', long, value_name = "DIR")]
    archive: Option<PathBuf>,

    /// The new data directory, missing or empty
    #[arg(short = 'D', long = "pgdata", value_name = "DIR")]
    directory: PathBuf,

    /// Recover up to the transaction that ends at this LSN: what pg_current_wal_lsn() says after it
    #[arg(long, value_name = "LSN", group = "where")]
    target_lsn: Option<Lsn>,

    /// Recover what was committed up to this time, as in '2026-05-17 14:03:00.5+02'; UTC without an offset
    #[arg(long, value_name = "TIME", group = "where")]
    target_time: Option<String>,

    /// Recover up to this restore point, as pg_create_restore_point() made it
    #[arg(long, value_name = "NAME", group = "where")]
    target_name: Option<String>,

    /// Recover no further than it takes to be consistent
    #[arg(long, value_name = "immediate", group = "where", value_parser = ["immediate"])]
    target: Option<String>,

    /// Recover the transaction at the target LSN or time too; this is the default
    #[arg(long, group = "edge")]
    inclusive: bool,

    /// End before the transaction at the target LSN or time
    #[arg(long, group = "edge")]
    exclusive: bool,

    /// The branch of history: latest, current (the backup's), or a number
    #[arg(long, value_name = "TIMELINE", default_value = "latest", value_parser = parse_timeline)]
    timeline: TimelineChoice,

    /// Make it the cluster itself, which its followers can follow, not a new one
    #[arg(long)]
    keep_system_id: bool,

    /// Print what was done as JSON
    #[arg(long)]
    json: bool,
}

fn parse_timeline(text: &str) -> Result<TimelineChoice, &'static str> {
    match text {
        "latest" => Ok(TimelineChoice::Latest),
        "current" => Ok(TimelineChoice::Current),
        number => {
            let (digits, radix) = number.strip_prefix("0x").map_or((number, 10), |digits| (digits, 16));
            let timeline = u32::from_str_radix(digits, radix).ok().filter(|timeline| *timeline > 0);
            timeline
                .map(|n| TimelineChoice::Number(TimelineId(n)))
                .ok_or("must be latest, current or a number")
        }
    }
}

impl Arguments {
    fn target(&self) -> Result<Target, Failure> {
        let has_edge = self.inclusive || self.exclusive;
        if has_edge && self.target_lsn.is_none() && self.target_time.is_none() {
            return Err(Failure::usage("--inclusive and --exclusive need --target-lsn or --target-time"));
        }
        Ok(match (self.target_lsn, &self.target_time, &self.target_name, &self.target) {
            (Some(lsn), ..) => Target::Lsn(lsn),
            (_, Some(time), ..) => Target::Time(parse_timestamp(time).map_err(|error| {
                Failure::usage(format!("invalid value '{time}' for '--target-time <TIME>': {error}"))
            })?),
            (.., Some(name), _) => Target::Name(name.clone()),
            (.., Some(_)) => Target::Immediate,
            _ => Target::End,
        })
    }
}

/// Restores.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let options = Options {
        backup: arguments.backup.clone(),
        archive: arguments.archive.clone(),
        target: arguments.target()?,
        inclusive: !arguments.exclusive,
        timeline: arguments.timeline,
        directory: arguments.directory.clone(),
        keep_system_id: arguments.keep_system_id,
    };
    let started = Instant::now();
    let restored = block_on(cancellable(options))?;
    report(arguments, &restored, started);
    Ok(())
}

/// Runs it on another thread; an interrupt makes it end, and clear up, by itself.
async fn cancellable(options: Options) -> Result<Restored, Failure> {
    let cancelled = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&cancelled);
    // before anything is made that would have to be cleared up
    let failed = |error| Failure::new(format!("could not wait for signals: {error}"));
    let mut interrupted = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminated = signal(SignalKind::terminate()).map_err(failed)?;
    let work = tokio::task::spawn_blocking(move || {
        let mut bars: (Option<Progress>, Option<Progress>) = (None, None);
        let mut told = |step: Step| match step {
            Step::Copying { done, total } => {
                bars.0.get_or_insert_with(|| Progress::start("copying", Some(0))).set(done, total);
            }
            Step::Replaying { done, total } => {
                let bar = bars.1.get_or_insert_with(|| Progress::start("replaying", Some(0)));
                bar.set(done, total.max(done));
            }
        };
        restore(&options, &mut told, &|| seen.load(Ordering::Relaxed))
    });
    let interrupt = tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = interrupted.recv() => {}
                _ = terminated.recv() => {}
            }
            cancelled.store(true, Ordering::Relaxed);
        }
    });
    let done = work.await;
    interrupt.abort();
    Ok(done.map_err(Failure::new)??)
}

fn report(arguments: &Arguments, restored: &Restored, started: Instant) {
    let directory = arguments.directory.display();
    for timeline in &restored.passed_over {
        note(format!("timeline {timeline} is newer, but does not go through the backup"));
    }
    if let Some(what) = &restored.damaged_end {
        note(format!("the log ends at {} with what is no record: {what}", restored.lsn));
    }
    if restored.archiving_turned_off {
        note(
            "archive_mode is off in the restored cluster: it must not write into the archive of its original",
        );
    }
    if arguments.json {
        let done = json!({
            "directory": directory.to_string(), "system_id": restored.system_id, "timeline": restored.timeline.0,
            "from_timeline": restored.from_timeline.0, "lsn": restored.lsn,
            "last_commit_lsn": restored.last_commit.map(|(lsn, _)| lsn),
            "last_commit_time": restored.last_commit.map(|(_, time)| timestamp(time)),
            "damaged_end": restored.damaged_end, "databases": restored.databases, "replayed_bytes": restored.replayed_bytes,
            "archiving_turned_off": restored.archiving_turned_off, "seconds": started.elapsed().as_secs_f64(),
        });
        println!("{done:#}");
        return;
    }
    let Restored { lsn, timeline, from_timeline, system_id, .. } = restored;
    let (size, time) = (byte_size(restored.replayed_bytes), span(started.elapsed()));
    println!(
        "restored \"{directory}\" to {lsn} on timeline {from_timeline}: {size} of log replayed in {time}"
    );
    match restored.last_commit {
        Some((lsn, at)) => println!("last transaction: ends at {lsn}, committed {}", timestamp(at)),
        None => println!("last transaction: in the backup"),
    }
    let whose = if arguments.keep_system_id { "kept" } else { "new" };
    println!("system identifier {system_id} ({whose}), goes on with timeline {timeline}");
    println!("start it with: walsender -D {directory}");
}

impl From<RestoreError> for Failure {
    fn from(error: RestoreError) -> Failure {
        let failure = Failure::new(&error);
        match error.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timelines_are_words_or_numbers() {
        assert_eq!(parse_timeline("latest"), Ok(TimelineChoice::Latest));
        assert_eq!(parse_timeline("0x1F"), Ok(TimelineChoice::Number(TimelineId(31))));
        for bad in ["", "0", "newest", "-1"] {
            assert!(parse_timeline(bad).is_err(), "{bad}");
        }
    }
}
