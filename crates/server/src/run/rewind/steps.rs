use std::sync::Arc;

use tokio::runtime::Runtime;
use walship_engine::redo::RedoOptions;
use walship_engine::rewind::{DirtyPages, PagePutter};
use walship_node::{ControlDatabase, ControlFile, ControlState, DataDirectory, Rewinding};
use walship_protocol::{Conninfo, Target};
use walship_replication::receiver::best_host;
use walship_types::{DatabaseId, Lsn, SqliteWalPosition, TimelineId};
use walship_wal::payload::{Checkpoint, DatabaseState, EndOfRecovery};
use walship_wal::{Next, PositionWatch, RecordKind, WalConfig, WalSource, cut_log};

use super::abandoned::{Abandoned, checkpoint_missing, describe, oldest_start, up_to};
use super::fetch::PageStream;
use super::follow::{check_empty, is_follower, keep_databases, make_follower};
use super::fork::{OwnLog, Source, Standing};
use super::lost::LostFile;
use super::own_end::begins_otherwise;
use super::receive::{Receiving, RewindHost};
use super::recover::Place;
use super::{Fork, Outcome, RewindObserver, RewindOptions, RewindSums, Rewound, kill_point};
use crate::run::configuration::load_settings;
use crate::run::create::disk_of;
use crate::run::leader::recover_log;
use crate::run::receiving::receiver_settings;
use crate::run::{Failure, Program, StartOptions};

/// Brings the node of a directory back as a follower of the source, and says what it did.
///
/// It can be interrupted at any moment and run again, also against another source.
pub fn rewind(
    options: &RewindOptions,
    runtime: &Runtime,
    observer: &mut dyn RewindObserver,
) -> Result<Rewound, Failure> {
    start(options, false, runtime, observer)
}

/// As [`rewind`], but does nothing to a leader of which the source is a mere follower.
pub(super) fn rewind_unless_leader(
    options: &RewindOptions,
    runtime: &Runtime,
    observer: &mut dyn RewindObserver,
) -> Result<Rewound, Failure> {
    start(options, true, runtime, observer)
}

fn start(
    options: &RewindOptions,
    unless_leader: bool,
    runtime: &Runtime,
    observer: &mut dyn RewindObserver,
) -> Result<Rewound, Failure> {
    let directory = DataDirectory::new(&options.directory);
    let control = ControlFile::read(&directory)?;
    let lock = directory.lock()?;
    let target = target(&options.source)?;
    let start = StartOptions {
        primary: Some(options.source.clone()),
        name: options.name.clone(),
        slot: options.slot.clone(),
        use_slot: options.use_slot,
        retry: false,
        ..StartOptions::in_directory(Program::WalReceiver, &options.directory)
    };
    let settings = load_settings(&start, &directory, &control)?;
    let host = RewindHost {
        system_id: control.system_id,
        segment_size: control.segment_size,
        disk: disk_of(&control),
        directory: directory.clone(),
        settings: receiver_settings(&settings, start.name.as_deref(), start.use_slot)
            .map_err(Failure::new)?,
        replay: Arc::new(PositionWatch::new(Lsn::INVALID)),
    };
    let target = match target.hosts.len() {
        1 => target,
        // one of them may be a follower of nobody, or an old leader that still runs
        _ => runtime
            .block_on(best_host(&target, &host.settings, &host))
            .map_err(|error| Failure::new(format!("none of the hosts of the source will do: {error}")))?,
    };
    let place = Place { disk: disk_of(&control), directory, options: start, settings };
    let rewind = Rewind { place, host, target, options, unless_leader, runtime };
    let done = rewind.run(control, observer);
    drop(lock);
    done
}

/// The nodes that a connection string names.
pub(super) fn target(source: &str) -> Result<Target, Failure> {
    let invalid =
        |error: &dyn std::fmt::Display| Failure::new(format!("invalid argument for --source: {error}"));
    let conninfo: Conninfo = source.parse().map_err(|e| invalid(&e))?;
    conninfo.target(|name| std::env::var(name).ok()).map_err(|e| invalid(&e))
}

struct Rewind<'a> {
    place: Place,
    host: RewindHost,
    target: Target,
    options: &'a RewindOptions,
    unless_leader: bool,
    runtime: &'a Runtime,
}

/// Where replay of the source's log has to start.
struct RedoFrom {
    redo: Lsn,
    states: Vec<DatabaseState>,
    /// The databases at the fork.
    at_fork: Vec<DatabaseState>,
}

impl Rewind<'_> {
    fn run(&self, control: ControlFile, observer: &mut dyn RewindObserver) -> Result<Rewound, Failure> {
        // before anything is changed: a source that cannot be reached, or is another's
        let mut source = self.runtime.block_on(Source::connect(&self.target, &self.host))?;
        let again = control.state == ControlState::Rewinding;
        let clean = matches!(control.state, ControlState::ShutDown | ControlState::ShutDownInRecovery);
        let (control, own_end) = match (again, self.options.dry_run) {
            (true, _) => self.resumed(control)?,
            (false, true) => (control.clone(), self.place.find_end(&control)?),
            (false, false) => self.place.bring_to_end()?,
        };
        kill_point("recovered");
        let own = self.own_log(&control)?;
        let kept: Vec<WalConfig> =
            self.stretches(&control, &own).iter().flat_map(Abandoned::places).collect();
        let places = [kept, vec![own.clone()]].concat();
        let own_log = OwnLog { history: &own.history, end: own_end, places: &places };
        let standing = self.runtime.block_on(source.standing(&own_log))?;
        let timeline = source.history.timeline;
        let rewound = |outcome| Rewound { own_end, timeline, outcome };
        if self.unless_leader && !again && timeline < own.history.timeline {
            // the source was left behind, or does not know yet who leads: going back to it would
            // undo a promotion, which only a person may do
            return Ok(rewound(Outcome::NothingToDo { made_follower: false }));
        }
        let follows = is_follower(&self.place, &control);
        let fork = match standing {
            Standing::Behind if again => {
                // the first attempt has begun to change files: only all of it brings them back
                self.earliest_fork(&control, &own, own_end)
            }
            Standing::NotPromoted if self.unless_leader && !follows => {
                return Ok(rewound(Outcome::NothingToDo { made_follower: false }));
            }
            Standing::NotPromoted => return Err(source.not_promoted(&own_log)),
            Standing::Behind if source.follower && timeline == own.history.timeline && !follows => {
                if self.unless_leader {
                    return Ok(rewound(Outcome::NothingToDo { made_follower: false }));
                }
                return Err(source.not_promoted(&own_log));
            }
            Standing::Behind => {
                let made_follower = !follows;
                if made_follower && !self.options.dry_run {
                    make_follower(&self.place, self.options)?;
                    let unfenced = ControlFile { fence: None, ..control };
                    unfenced.write(&self.place.disk, &self.place.directory)?;
                }
                return Ok(rewound(Outcome::NothingToDo { made_follower }));
            }
            Standing::Forked(fork) => fork,
        };
        observer.forked(&fork);
        if self.options.dry_run {
            let pages = self.tell_only(&control, &own, &fork, observer)?;
            return Ok(rewound(Outcome::DryRun { pages, crashed: !clean && !again }));
        }
        let history_leaves_here = source.history.switch_point(fork.timeline) == Some(fork.lsn);
        self.runtime.block_on(source.close());
        let sums = self.carry_out(control, &own, &fork, history_leaves_here, observer)?;
        Ok(rewound(Outcome::Rewound(sums)))
    }

    /// The node's own log as it was before any rewind.
    fn own_log(&self, control: &ControlFile) -> Result<WalConfig, Failure> {
        match control.rewinding.as_ref().and_then(|rewinding| rewinding.stretches.first()) {
            None => self.place.wal_config(control),
            Some(own) => {
                let first = ControlFile { timeline: TimelineId::FIRST, ..control.clone() };
                Ok(WalConfig { history: own.history.clone(), ..self.place.wal_config(&first)? })
            }
        }
    }

    fn stretches(&self, control: &ControlFile, own: &WalConfig) -> Vec<Abandoned> {
        let logs = control.rewinding.iter().flat_map(|rewinding| rewinding.stretches.iter().cloned());
        logs.map(|log| Abandoned::new(&self.place.directory, own, log)).collect()
    }

    fn earliest_fork(&self, control: &ControlFile, own: &WalConfig, own_end: Lsn) -> Fork {
        let stretches = control.rewinding.iter().flat_map(|rewinding| &rewinding.stretches);
        let lsn = stretches.map(|log| log.fork).min().unwrap_or(own_end);
        let own_timeline = own.history.timeline;
        Fork { timeline: own.history.timeline_at(Lsn(lsn.0.saturating_sub(1))), lsn, own_timeline, own_end }
    }

    /// A rewind that was interrupted: what it had received and begun to replay is in the
    /// files too by now.
    fn resumed(&self, mut control: ControlFile) -> Result<(ControlFile, Lsn), Failure> {
        let own = self.own_log(&control)?;
        let Some(rewinding) = &mut control.rewinding else {
            return Err(Failure::new("the control file says that a rewind is under way, but not of what"));
        };
        if let Some((history, fork)) = rewinding.replaying.take().filter(|_| !self.options.dry_run) {
            let received = WalConfig { history, ..own.clone() };
            let end = walship_wal::recover(&received, fork, Lsn::INVALID)?.end.at;
            let stretch = Abandoned::begin(&self.place.directory, &received, fork, end);
            stretch.stretch().keep()?;
            rewinding.stretches.push(stretch.log);
        }
        let end = rewinding.stretches.first().map_or(Lsn::INVALID, |own| own.end);
        if !self.options.dry_run {
            control.write(&self.place.disk, &self.place.directory)?;
        }
        Ok((control, end))
    }

    /// For `--dry-run`: what would be lost, and how many pages would be fetched.
    fn tell_only(
        &self,
        control: &ControlFile,
        own: &WalConfig,
        fork: &Fork,
        observer: &mut dyn RewindObserver,
    ) -> Result<u64, Failure> {
        if let Some(first) = self.stretches(control, own).first() {
            LostFile::tell(&first.lost_file(), observer)?;
            let mut dirty = DirtyPages::default();
            first.collect(&mut dirty, true, |_| Ok(()))?;
            return Ok(dirty.count());
        }
        let abandoned = Abandoned::begin(&self.place.directory, own, fork.lsn, fork.own_end);
        abandoned.check_complete()?;
        let options = self.place.redo_options(control);
        let dirty = describe(&abandoned, control, options, |lost| {
            observer.lost(lost);
            Ok(())
        })?;
        Ok(dirty.count())
    }

    fn carry_out(
        &self,
        mut control: ControlFile,
        own: &WalConfig,
        fork: &Fork,
        leaves_here: bool,
        observer: &mut dyn RewindObserver,
    ) -> Result<RewindSums, Failure> {
        let mut pages = self.runtime.block_on(PageStream::open(&self.target, fork.lsn))?;
        let keep = self.options.keep_lost.as_deref();
        if let (Some(target), None) = (keep, &control.rewinding) {
            check_empty(target)?;
        }
        self.mark(&mut control, own, fork)?;
        kill_point("marked");
        if let Some(target) = keep {
            keep_databases(&self.place, &control, target)?;
            kill_point("kept");
        }
        if let Some(rewinding) = &mut control.rewinding {
            rewinding.begun = true;
        }
        control.write(&self.place.disk, &self.place.directory)?;
        make_follower(&self.place, self.options)?;
        kill_point("begun");
        let stretches = self.stretches(&control, own);
        let mut dirty = DirtyPages::default();
        for stretch in &stretches {
            stretch.stretch().keep()?;
            stretch.collect(&mut dirty, true, |_| Ok(()))?;
        }
        let Some(first) = stretches.first() else { return Err(Failure::new("nothing is being rewound")) };
        let lost = LostFile::tell(&first.lost_file(), observer)?;
        let abandoned = first.folder.clone();
        let common = up_to(own, fork)?;
        cut_log(&common, fork.lsn, &first.stretch().kept())?;
        kill_point("cut");
        let mut receiving = Receiving::start(&self.host, common.clone(), fork.lsn)?;
        let from = match leaves_here {
            true => self.runtime.block_on(states_at_fork(&mut receiving, fork.lsn))?,
            false => self.states_from_checkpoint(&common, fork)?,
        };
        self.put_pages(&mut pages, &from.at_fork, &dirty, observer)?;
        let (wanted, _) = self.runtime.block_on(pages.end())?;
        self.runtime.block_on(receiving.reached(wanted))?;
        let (fetched, page_bytes) = (pages.pages, pages.bytes);
        self.runtime.block_on(pages.close());
        let sink = self.runtime.block_on(receiving.finish())?;
        let received = WalConfig { history: sink.history().clone(), ..own.clone() };
        let log_bytes = sink.position().saturating_distance_from(fork.lsn);
        sink.close()?;
        kill_point("received");
        let consistent_at = self.replay(control, &received, &from, fork, wanted)?;
        let at_end = ControlFile::read(&self.place.directory)?;
        let size = |d: &ControlDatabase| u64::from(d.pages) * d.page_size.bytes() as u64;
        let database_bytes = at_end.databases.iter().map(size).sum();
        Ok(RewindSums {
            lost,
            abandoned,
            pages: fetched,
            page_bytes,
            log_bytes,
            database_bytes,
            consistent_at,
        })
    }

    /// Notes durably that a rewind is under way, and of which log; the list of what is lost
    /// is made before, since the databases still are what they were.
    fn mark(&self, control: &mut ControlFile, own: &WalConfig, fork: &Fork) -> Result<(), Failure> {
        if let Some(rewinding) = &mut control.rewinding {
            for log in &mut rewinding.stretches {
                log.fork = log.fork.min(fork.lsn);
            }
        } else {
            let abandoned = Abandoned::begin(&self.place.directory, own, fork.lsn, fork.own_end);
            abandoned.check_complete()?;
            let disk = &*self.place.disk;
            walship_disk::durable_create_dir(disk, &self.place.directory.abandoned())?;
            walship_disk::durable_create_dir(disk, &abandoned.folder)?;
            let mut file = LostFile::create(&abandoned.lost_file())?;
            let options = self.place.redo_options(control);
            describe(&abandoned, control, options, |lost| file.add(lost))?;
            file.finish()?;
            disk.sync_dir(&abandoned.folder)?;
            kill_point("listed");
            control.rewinding =
                Some(Rewinding { stretches: vec![abandoned.log], begun: false, replaying: None });
        }
        control.state = ControlState::Rewinding;
        Ok(control.write(&self.place.disk, &self.place.directory)?)
    }

    fn put_pages(
        &self,
        pages: &mut PageStream,
        at_fork: &[DatabaseState],
        dirty: &DirtyPages,
        observer: &mut dyn RewindObserver,
    ) -> Result<(), Failure> {
        let control = ControlFile::read(&self.place.directory)?;
        let options: RedoOptions = self.place.redo_options(&control);
        for name in dirty.created() {
            PagePutter::remove(&options, name).map_err(Failure::new)?;
        }
        for state in at_fork {
            PagePutter::forget_hashes(&options, &state.name).map_err(Failure::new)?;
        }
        self.runtime.block_on(pages.fetch(&options, at_fork, dirty, observer))?;
        kill_point("fetched");
        Ok(())
    }

    /// Where replay starts if the source's timeline does not begin at the fork: at the last
    /// checkpoint before, whose log this node has.
    fn states_from_checkpoint(&self, common: &WalConfig, fork: &Fork) -> Result<RedoFrom, Failure> {
        let source = WalSource::offline(common.clone());
        let oldest = oldest_start(common, fork.lsn);
        let mut last: Option<Checkpoint> = None;
        let mut reader = source.reader(oldest);
        while reader.position() < fork.lsn {
            let Next::Record(record) = reader.next()? else { break };
            if record.kind == RecordKind::Checkpoint {
                let found = Checkpoint::decode(&record.payload).map_err(Failure::new)?;
                last = Some(found).filter(|found| found.redo >= oldest).or(last);
            }
        }
        let Some(checkpoint) = last else { return Err(checkpoint_missing(common, fork.lsn, oldest)) };
        let scan = walship_engine::recovery::ScanStart {
            redo: checkpoint.redo,
            end: fork.lsn,
            states: checkpoint.databases.clone(),
            own_timeline: None,
            own_states: false,
        };
        let options = RedoOptions::new(self.place.directory.base(), common.system_id);
        let scanned =
            walship_engine::recovery::LogScan::run(&options, &source, &scan).map_err(Failure::new)?;
        let at_fork = scanned.databases.into_values().map(|database| DatabaseState {
            id: database.id,
            name: database.name,
            page_size: database.hashes.page_size(),
            pages: database.hashes.pages(),
            checksum: database.checksum,
            position: SqliteWalPosition::default(),
        });
        Ok(RedoFrom { redo: checkpoint.redo, states: checkpoint.databases, at_fork: at_fork.collect() })
    }

    /// Replays the source's log into the files, which makes one state of them, and holds
    /// that against the checksums in it. Then the node is a follower.
    fn replay(
        &self,
        mut control: ControlFile,
        received: &WalConfig,
        from: &RedoFrom,
        fork: &Fork,
        wanted: Lsn,
    ) -> Result<Lsn, Failure> {
        if let Some(rewinding) = &mut control.rewinding {
            rewinding.replaying = Some((received.history.clone(), fork.lsn));
        }
        control.write(&self.place.disk, &self.place.directory)?;
        let mut after = control.clone();
        after.timeline = received.history.timeline;
        (after.redo, after.checkpoint) = (from.redo, from.redo);
        (after.minimum_recovery, after.known_flush) = (wanted, wanted);
        after.databases = from
            .states
            .iter()
            .map(|state| {
                let position = SqliteWalPosition::default();
                ControlDatabase::of(&DatabaseState { position, ..state.clone() })
            })
            .collect();
        let ids = from.states.iter().chain(&from.at_fork).map(|state| state.id.0 + 1);
        after.next_database_id = DatabaseId(ids.max().unwrap_or(1));
        let end = recover_log(received, &after)?.position;
        kill_point("replaying");
        self.place.replay(&mut after, received.clone(), end, wanted)?;
        kill_point("replayed");
        (after.state, after.rewinding) = (ControlState::ShutDownInRecovery, None);
        // it has accepted that another node leads: a promotion later must not find it fenced
        (after.fence, after.dismissed) = (None, Vec::new());
        after.write(&self.place.disk, &self.place.directory)?;
        Ok(end)
    }
}

/// The databases at the fork, from the record that begins the source's timeline there.
async fn states_at_fork(receiving: &mut Receiving, fork: Lsn) -> Result<RedoFrom, Failure> {
    loop {
        let flushed = receiving.source().positions().map_or(fork, |positions| positions.flush.get());
        if flushed > fork
            && let Next::Record(record) = receiving.source().reader(fork).next()?
        {
            if record.kind != RecordKind::EndOfRecovery {
                return Err(begins_otherwise(fork, record.kind));
            }
            let states = EndOfRecovery::decode(&record.payload).map_err(Failure::new)?.databases;
            return Ok(RedoFrom { redo: fork, at_fork: states.clone(), states });
        }
        receiving.reached(Lsn(flushed.0.saturating_add(1))).await?;
    }
}
