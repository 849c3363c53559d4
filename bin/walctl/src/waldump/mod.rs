//! `walctl waldump`: every record of a log, one line each.

mod databases;
mod filter;
mod log;
mod place;

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use walship_types::{Lsn, TimelineId};
use walship_wal::dump::{self, Stats};
use walship_wal::{Next, WalEnd, WalReader};

use crate::failure::{Failure, note};
use databases::Databases;
use filter::Filter;
pub(crate) use log::Log;
pub(crate) use place::Place;

/// How often a log that is followed is looked at again.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(100);
/// How often a record that does not check out is read again, in case it is being written.
const SETTLE_ATTEMPTS: u32 = 10;
/// Time between those attempts.
const SETTLE_INTERVAL: Duration = Duration::from_millis(20);

/// Show the records of a log, one line each
///
/// Reads a data directory, a directory of segment files (an archive, pg_wal), one segment file, or those from one
/// segment file to another. A clean end of the log is no error. At damage, says where and what it is, and ends with
/// status 1.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A data directory, a directory of segment files, or a segment file and perhaps the last one to read
    #[arg(value_name = "DIR|FILE", num_args = 0..=2)]
    places: Vec<PathBuf>,

    /// Data directory, if no other place is given
    #[arg(short = 'D', long = "pgdata", value_name = "DIR", env = "PGDATA")]
    directory: Option<PathBuf>,

    /// Start at the first record at or behind this LSN [default: the oldest segment's first]
    #[arg(short = 's', long, value_name = "LSN")]
    start: Option<Lsn>,

    /// Stop before the first record at or behind this LSN
    #[arg(short = 'e', long, value_name = "LSN")]
    end: Option<Lsn>,

    /// Read the log that leads to this timeline [default: the newest, or that of the file]
    #[arg(short = 't', long, value_name = "TLI", value_parser = timeline)]
    timeline: Option<TimelineId>,

    /// Stop after this many records
    #[arg(short = 'n', long, value_name = "N")]
    limit: Option<u64>,

    /// At the end of the log, wait for more of it
    #[arg(short = 'f', long)]
    follow: bool,

    /// Show numbers and sizes by kind of record instead of the records
    #[arg(short = 'z', long, conflicts_with = "follow")]
    stats: bool,

    #[command(flatten)]
    filter: Filter,
}

fn timeline(text: &str) -> Result<TimelineId, String> {
    match text.parse() {
        Ok(number) if number != 0 => Ok(TimelineId(number)),
        _ => Err("must be a number from 1 to 4294967295".to_owned()),
    }
}

/// Dumps what the arguments name.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let place = Place::find(&arguments.places, arguments.directory.as_deref())?;
    let log = Log::open(&place, arguments.timeline)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let dumped = Dump::new(arguments, &log).run(&mut out);
    match dumped {
        Ok(verdict) => verdict,
        // whoever read it has seen enough
        Err(Stop::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(Stop::Output(error)) => Err(Failure::new(format!("could not write output: {error}"))),
        Err(Stop::Failure(failure)) => Err(failure),
    }
}

/// Why dumping cannot go on.
enum Stop {
    Output(io::Error),
    Failure(Failure),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Stop {
        Stop::Output(error)
    }
}

impl<E: Into<Failure>> From<E> for Stop {
    fn from(error: E) -> Stop {
        Stop::Failure(error.into())
    }
}

/// One run over a log.
struct Dump<'a> {
    arguments: &'a Arguments,
    log: &'a Log,
    start: Lsn,
    end: Lsn,
    databases: Databases,
    statistics: Stats,
    shown: u64,
}

impl<'a> Dump<'a> {
    fn new(arguments: &'a Arguments, log: &'a Log) -> Dump<'a> {
        Dump {
            arguments,
            log,
            start: arguments.start.unwrap_or(log.start),
            end: arguments.end.unwrap_or(Lsn::MAX).min(log.end),
            databases: log.databases.clone(),
            statistics: Stats::new(),
            shown: 0,
        }
    }

    /// Reads to the end; the inner result is what is to be said of it, once everything
    /// before it is printed.
    fn run(mut self, out: &mut impl Write) -> Result<Result<(), Failure>, Stop> {
        let mut reader = self.log.reader_at(self.start)?;
        let stopped_at = self.records(&mut reader, out)?;
        if self.arguments.stats {
            writeln!(out, "{}", self.statistics)?;
        }
        // a reader who has gone is not told how it ends
        out.flush()?;
        if let Some(name) = self.arguments.filter.unknown_database(&self.databases) {
            return Ok(Err(Failure::new(format!("no record names a database \"{name}\""))));
        }
        Ok(stopped_at.map_or(Ok(()), |end| self.log.judge(&end).map(|()| note(end))))
    }

    /// Shows records until something ends it: the end of the log, if it is returned.
    fn records(&mut self, reader: &mut WalReader, out: &mut impl Write) -> Result<Option<WalEnd>, Stop> {
        while self.arguments.limit.is_none_or(|limit| self.shown < limit) {
            let record = match self.next(reader)? {
                Next::Record(record) => record,
                Next::End(_) if self.arguments.follow => {
                    out.flush()?;
                    std::thread::sleep(FOLLOW_INTERVAL);
                    continue;
                }
                Next::End(end) => return Ok(Some(end)),
            };
            if record.lsn >= self.end {
                return Ok(None);
            }
            let payload = record.decode();
            if let Ok(payload) = &payload {
                self.databases.learn(payload);
            }
            let filter = &self.arguments.filter;
            if record.lsn < self.start || !filter.matches(&record, payload.as_ref().ok(), &self.databases) {
                continue;
            }
            if self.shown == 0 {
                self.say_where_it_starts(record.lsn);
            }
            self.shown += 1;
            if self.arguments.stats {
                self.statistics.add(&record);
            } else {
                writeln!(out, "{}", dump::line(&record))?;
            }
            payload?;
        }
        Ok(None)
    }

    /// The next record. What looks like damage may be a record that is being written, so
    /// it is read again for a moment.
    fn next(&self, reader: &mut WalReader) -> Result<Next, Failure> {
        let mut found = reader.next()?;
        for _ in 0..SETTLE_ATTEMPTS {
            match &found {
                Next::End(end) if self.log.judge(end).is_err() => std::thread::sleep(SETTLE_INTERVAL),
                _ => break,
            }
            found = reader.next()?;
        }
        match &found {
            Next::End(end) if self.arguments.follow => self.log.judge(end)?,
            _ => {}
        }
        Ok(found)
    }

    fn say_where_it_starts(&self, first: Lsn) {
        if self.arguments.start.is_some_and(|start| start != first) && self.arguments.filter.is_none() {
            let skipped = first.saturating_distance_from(self.start);
            note(format!("first record is after {}, at {first}, skipping over {skipped} bytes", self.start));
        }
    }
}
