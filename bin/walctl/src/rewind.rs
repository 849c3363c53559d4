use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};
use walship_server::run::rewind::{
    Fork, LostKind, LostTransaction, Outcome, RewindObserver, RewindOptions, RewindSums, Rewound, rewind,
};

use crate::clock::{span, timestamp};
use crate::connection::conninfo_of;
use crate::failure::Failure;
use crate::progress::Progress;

/// Make a follower of an old leader, or of a follower that has too much, without a new base backup
///
/// The node must not run. Where the cluster went on without a part of its log, the pages
/// that it changed since are fetched from the source, which it follows from then on. What
/// is lost is listed, and its log is kept. If it is interrupted, run it again.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Data directory of the node to rewind
    #[arg(short = 'D', long = "pgdata", value_name = "DIR", env = "PGDATA")]
    directory: PathBuf,

    /// The node to follow from now on, the new leader as a rule: a connection string, HOST or HOST:PORT
    #[arg(long, value_name = "CONNINFO")]
    source: String,

    /// Only say what would be lost and fetched
    #[arg(long)]
    dry_run: bool,

    /// First leave the databases in this new directory as they were, as plain SQLite files
    #[arg(long, value_name = "DIR", conflicts_with = "dry_run")]
    keep_lost: Option<PathBuf>,

    /// The follower's name, the source sees it as application_name [default: cluster_name]
    #[arg(long)]
    name: Option<String>,

    /// The replication slot to use on the source, made if it is missing [default: one of the follower's name]
    #[arg(long, conflicts_with = "no_slot")]
    slot: Option<String>,

    /// Use no replication slot
    #[arg(long)]
    no_slot: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Rewinds, and says what came of it.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let begun = Instant::now();
    let options = RewindOptions {
        directory: arguments.directory.clone(),
        source: conninfo_of(&arguments.source)?,
        dry_run: arguments.dry_run,
        keep_lost: arguments.keep_lost.clone(),
        name: arguments.name.clone(),
        slot: arguments.slot.clone(),
        use_slot: !arguments.no_slot,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(format!("could not start: {error}")))?;
    let mut shown = Shown { json: arguments.json, fork: None, lost: 0, progress: None };
    let rewound = rewind(&options, &runtime, &mut shown);
    shown.progress = None;
    let rewound = match rewound {
        Ok(rewound) => rewound,
        Err(failure) => {
            // what was printed so far is no JSON otherwise
            shown.end_list();
            if shown.json && shown.fork.is_some() {
                println!("\"rewound\": false}}");
            }
            return Err(failure.into());
        }
    };
    if arguments.json {
        shown.print_json(&rewound, arguments.dry_run, begun.elapsed());
    } else {
        print_text(&rewound, arguments, begun.elapsed());
    }
    Ok(())
}

/// Prints what is found as it is found: there may be millions of lost transactions.
struct Shown {
    json: bool,
    fork: Option<Fork>,
    lost: u64,
    progress: Option<Progress>,
}

impl RewindObserver for Shown {
    fn forked(&mut self, fork: &Fork) {
        self.fork = Some(*fork);
        let Fork { timeline, lsn, own_timeline, own_end } = fork;
        if self.json {
            println!(
                "{{\"fork_timeline\": {timeline}, \"fork_lsn\": \"{lsn}\", \"own_timeline\": {own_timeline}, \
                 \"own_end_lsn\": \"{own_end}\",\n\"lost\": ["
            );
        } else {
            println!("fork: the cluster left timeline {timeline} at {lsn}");
            println!("own log: timeline {own_timeline} up to {own_end}");
        }
    }

    fn lost(&mut self, lost: &LostTransaction) {
        if self.json {
            let comma = if self.lost == 0 { "" } else { ",\n" };
            print!("{comma}{}", json!(lost));
        } else {
            println!("lost: {}", lost_line(lost));
        }
        self.lost += 1;
    }

    fn fetched(&mut self, done: u64, total: u64) {
        let progress = self.progress.get_or_insert_with(|| Progress::start("fetching pages", Some(total)));
        progress.set(done, total.max(done));
    }
}

impl Shown {
    fn end_list(&self) {
        if self.json && self.fork.is_some() {
            println!("{}],", if self.lost == 0 { "" } else { "\n" });
        }
    }

    fn print_json(&self, rewound: &Rewound, dry_run: bool, took: Duration) {
        self.end_list();
        let mut members = json!({
            "dry_run": dry_run,
            "rewound": matches!(rewound.outcome, Outcome::Rewound(_)),
            "timeline": rewound.timeline.0,
            "milliseconds": u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        });
        let more = match &rewound.outcome {
            Outcome::NothingToDo { made_follower } => json!({"made_follower": made_follower, "lost": []}),
            Outcome::DryRun { pages, crashed } => json!({"pages": pages, "crashed": crashed}),
            Outcome::Rewound(sums) => sums_json(sums),
        };
        if let (Value::Object(members), Value::Object(more)) = (&mut members, more) {
            members.extend(more);
        }
        let text = format!("{members:#}");
        // the first members were printed when they were found
        let rest = if self.fork.is_some() { text.trim_start_matches("{\n") } else { text.as_str() };
        println!("{rest}");
    }
}

fn sums_json(sums: &RewindSums) -> Value {
    json!({
        "abandoned": sums.abandoned.display().to_string(),
        "pages": sums.pages,
        "page_bytes": sums.page_bytes,
        "log_bytes": sums.log_bytes,
        "database_bytes": sums.database_bytes,
        "consistent_lsn": sums.consistent_at,
    })
}

fn lost_line(lost: &LostTransaction) -> String {
    let LostTransaction { lsn, database, pages, .. } = lost;
    match lost.kind {
        LostKind::CreateDatabase => return format!("{lsn}  database \"{database}\" created"),
        LostKind::DropDatabase => return format!("{lsn}  database \"{database}\" dropped"),
        LostKind::Commit | LostKind::ForeignCommit => {}
    }
    let time = lost.time.map(timestamp).unwrap_or_default();
    let s = if *pages == 1 { "" } else { "s" };
    let tables = if lost.tables.is_empty() { "-".to_owned() } else { lost.tables.join(", ") };
    let foreign = if lost.kind == LostKind::ForeignCommit { "  (made by another program)" } else { "" };
    format!("{lsn}  {time}  {database}  {pages} page{s}  {tables}{foreign}")
}

fn print_text(rewound: &Rewound, arguments: &Arguments, took: Duration) {
    let directory = arguments.directory.display();
    match &rewound.outcome {
        Outcome::NothingToDo { made_follower } => {
            println!("nothing to rewind: the source has all of this node's log, up to {}", rewound.own_end);
            match made_follower {
                true if arguments.dry_run => println!("the node would be made a follower"),
                true => println!("the node is a follower now; start it: walreceiver -D {directory}"),
                false => {}
            }
        }
        Outcome::DryRun { pages, crashed } => {
            println!("up to {pages} pages would be fetched; nothing was changed");
            if *crashed {
                println!("the node was not stopped cleanly: its crash recovery may find more");
            }
        }
        Outcome::Rewound(sums) => {
            println!("transactions lost: {}; their log is kept in {}", sums.lost, sums.abandoned.display());
            let RewindSums { pages, page_bytes, log_bytes, database_bytes, .. } = sums;
            println!(
                "fetched: {pages} pages, {page_bytes} bytes, and {log_bytes} bytes of log, of {database_bytes} bytes"
            );
            println!("rewound: timeline {}, consistent at {}", rewound.timeline, sums.consistent_at);
            println!("time: {}", span(took));
            println!("start it: walreceiver -D {directory}");
        }
    }
}

impl From<walship_server::run::Failure> for Failure {
    fn from(failure: walship_server::run::Failure) -> Failure {
        let shown = Failure::new(failure.message);
        match failure.hint {
            Some(hint) => shown.hint(hint),
            None => shown,
        }
    }
}
