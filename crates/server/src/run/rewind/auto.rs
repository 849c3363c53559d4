use std::time::Duration;

use tokio::runtime::Runtime;
use walship_client::{Connection, Purpose};
use walship_node::{ControlFile, ControlState, DataDirectory};
use walship_settings::AutoConf;

use super::steps::{rewind_unless_leader, target};
use super::{Fork, LostTransaction, Outcome, RewindObserver, RewindOptions};
use crate::run::{Failure, StartOptions};

/// Pause before a source that cannot be reached is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// `--auto-rewind`: before a start, brings the node back if the one that it is to follow
/// went on without some of its log. A directory that is still the leader's stays it, and
/// if nobody can be reached the start goes on as it would have.
pub(crate) fn auto_rewind(
    options: &StartOptions,
    directory: &DataDirectory,
    runtime: &Runtime,
) -> Result<(), Failure> {
    let control = ControlFile::read(directory)?;
    if control.state == ControlState::InBackupRecovery {
        return Ok(());
    }
    let program = options.program.name();
    let source = match &options.primary {
        Some(primary) => Some(primary.clone()),
        None => {
            let settings = AutoConf::read(directory.root()).map_err(Failure::new)?;
            settings.get("primary_conninfo").map(str::to_owned)
        }
    };
    let Some(source) = source.filter(|source| !source.is_empty()) else {
        return Err(Failure::new("--auto-rewind needs --primary")
            .hint("name the node to follow: --primary \"host=... port=...\""));
    };
    let wanted = RewindOptions {
        directory: options.directory.clone(),
        source,
        name: options.name.clone(),
        slot: options.slot.clone(),
        use_slot: options.use_slot,
        ..RewindOptions::default()
    };
    let target = target(&wanted.source)?;
    loop {
        match runtime.block_on(Connection::connect(&target, Purpose::Replication, "walship rewind")) {
            Ok(connection) => {
                runtime.block_on(connection.close());
                break;
            }
            Err(error) if control.state == ControlState::Rewinding && options.retry => {
                eprintln!("{program}: {error}; trying again in {} s", RETRY_PAUSE.as_secs());
                std::thread::sleep(RETRY_PAUSE);
            }
            Err(error) if control.state == ControlState::Rewinding => return Err(Failure::new(error)),
            Err(error) => {
                eprintln!("{program}: not looking whether this node has to be rewound: {error}");
                return Ok(());
            }
        }
    }
    let done = rewind_unless_leader(&wanted, runtime, &mut Tell { program })?;
    if let Outcome::Rewound(sums) = done.outcome {
        eprintln!(
            "{program}: rewound to timeline {}, consistent at {}: {} pages were fetched, {} transactions are lost and \
             kept in \"{}\"",
            done.timeline,
            sums.consistent_at,
            sums.pages,
            sums.lost,
            sums.abandoned.display()
        );
    }
    Ok(())
}

struct Tell {
    program: &'static str,
}

impl RewindObserver for Tell {
    fn forked(&mut self, fork: &Fork) {
        let Fork { timeline, lsn, own_timeline, own_end } = fork;
        eprintln!(
            "{}: this node's log on timeline {own_timeline} reaches {own_end}, the cluster left timeline {timeline} at \
             {lsn}: rewinding",
            self.program
        );
    }

    fn lost(&mut self, lost: &LostTransaction) {
        eprintln!(
            "{}: lost: {} in database \"{}\", {} pages, tables: {}",
            self.program,
            lost.lsn,
            lost.database,
            lost.pages,
            lost.tables.join(", ")
        );
    }

    fn fetched(&mut self, _done: u64, _total: u64) {}
}
