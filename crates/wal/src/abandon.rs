use std::path::Path;

use walship_disk::{DiskError, OpenMode, durable_create_dir, durable_rename, temporary_path};
use walship_types::{Lsn, SegmentNo, TimelineHistory, history_file_name};

use crate::segments::{list_segments, write_segment};
use crate::{WalConfig, WalError, write_history};

/// Bytes that are copied at once.
const COPY_BYTES: usize = 1 << 20;

/// A stretch of log that a node wrote, or received, and that the cluster went on without.
#[derive(Debug, Clone, Copy)]
pub struct AbandonedStretch<'a> {
    /// The log as it was, in its own directory: the timeline that was abandoned last.
    pub config: &'a WalConfig,
    /// Where it parted from what the cluster went on with.
    pub fork: Lsn,
    /// Its end.
    pub end: Lsn,
    /// The directory that it is kept in.
    pub keep_in: &'a Path,
}

impl AbandonedStretch<'_> {
    /// Where the stretch is once it is kept.
    pub fn kept(&self) -> WalConfig {
        WalConfig { dir: self.keep_in.to_owned(), ..self.config.clone() }
    }

    /// Names of the segment files from the fork to the end that are neither in the log's
    /// directory nor kept already.
    pub fn missing(&self) -> Result<Vec<String>, WalError> {
        let mut missing = Vec::new();
        for segment in self.segments() {
            let name = self.config.file_name(segment);
            let in_log = exists(self.config, &self.config.dir.join(&name))?;
            if !in_log && !exists(self.config, &self.keep_in.join(&name))? {
                missing.push(name);
            }
        }
        Ok(missing)
    }

    /// Moves the segment files behind the fork into `keep_in`, copies the one that the fork
    /// is in, and writes the history that says how to read them. It may be interrupted and
    /// run again, also with an earlier fork: what is kept already stays what it is.
    pub fn keep(&self) -> Result<(), WalError> {
        let disk = self.config.disk();
        if let Some(parent) = self.keep_in.parent() {
            durable_create_dir(disk, parent)?;
        }
        durable_create_dir(disk, self.keep_in)?;
        if !self.config.history.entries.is_empty() {
            write_history(disk, self.keep_in, &self.config.history)?;
        }
        let first = self.config.segment_size.segment_of(self.fork);
        for segment in self.segments() {
            let name = self.config.file_name(segment);
            let (from, to) = (self.config.dir.join(&name), self.keep_in.join(&name));
            if exists(self.config, &to)? {
                continue;
            }
            if segment == first {
                copy(self.config, &from, &to)?;
            } else {
                durable_rename(disk, &from, &to)?;
            }
        }
        Ok(())
    }

    fn segments(&self) -> impl Iterator<Item = SegmentNo> + use<> {
        let size = self.config.segment_size;
        let last = size.segment_of(Lsn(self.end.0.saturating_sub(1).max(self.fork.0)));
        (size.segment_of(self.fork).0..=last.0).map(SegmentNo)
    }
}

/// Makes the log of `config`, whose history leads to where it was left, end at `end`: the
/// segment there begins with the bytes that `bytes` has before it and goes on with zeroes,
/// later segments of every timeline are removed, and so are the history files that
/// `config` does not come from. May be interrupted and run again.
pub fn cut_log(config: &WalConfig, end: Lsn, bytes: &WalConfig) -> Result<(), WalError> {
    let size = config.segment_size;
    let last = size.segment_of(end);
    let offset = usize::try_from(size.offset_of(end)).unwrap_or(usize::MAX);
    let stays = config.file_name(last);
    if offset > 0 {
        let content = config.disk().open(&bytes.file_path(last), OpenMode::Read)?.map()?;
        write_segment(config, &config.file_path(last), content.get(..offset).unwrap_or(&content))?;
    }
    let later = list_segments(config)?.into_iter().filter(|(_, segment)| *segment >= last);
    let names = later.map(|(t, n)| walship_types::segment_file_name(t, n, size));
    let names = names.filter(|name| offset == 0 || *name != stays);
    let histories = foreign_histories(config)?;
    // from the last one down: after a crash in between there is no gap
    let all: Vec<String> = names.chain(histories).collect();
    for name in all.iter().rev() {
        config.disk().remove(&config.dir().join(name))?;
    }
    Ok(config.disk().sync_dir(config.dir())?)
}

/// History files of timelines that the log does not come from.
fn foreign_histories(config: &WalConfig) -> Result<Vec<String>, WalError> {
    let names = config.disk().list(config.dir())?;
    let own = |history: &TimelineHistory, name: &str| {
        let mut timelines = history.entries.iter().map(|e| e.timeline).chain([history.timeline]);
        timelines.any(|timeline| history_file_name(timeline) == name)
    };
    let is_history = |name: &String| walship_types::parse_history_file_name(name).is_some();
    Ok(names.into_iter().filter(|name| is_history(name) && !own(&config.history, name)).collect())
}

fn exists(config: &WalConfig, path: &Path) -> Result<bool, DiskError> {
    Ok(config.disk().metadata(path)?.is_some())
}

fn copy(config: &WalConfig, from: &Path, to: &Path) -> Result<(), WalError> {
    let disk = config.disk();
    let temporary = temporary_path(to);
    if disk.metadata(&temporary)?.is_some() {
        disk.remove(&temporary)?;
    }
    let (source, target) = (disk.open(from, OpenMode::Read)?, disk.create_new(&temporary)?);
    let mut piece = vec![0; COPY_BYTES];
    let mut at = 0;
    loop {
        let read = source.read_at(&mut piece, at)?;
        if read == 0 {
            break;
        }
        target.write_all_at(piece.get(..read).unwrap_or_default(), at)?;
        at += read as u64;
    }
    Ok(durable_rename(disk, &temporary, to)?)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use walship_disk::{Disk as _, SimDisk};
    use walship_types::{SegmentSize, SystemId, TimelineId};

    use super::*;
    use crate::{RecordKind, WalSource, WalWriter, create_first_segment, recover};

    #[test]
    fn a_stretch_is_kept_and_cut_also_when_interrupted_anywhere() {
        let first = TimelineHistory::root(TimelineId(1));
        let disk = Arc::new(SimDisk::new(1));
        durable_create_dir(&*disk, Path::new("/pg_wal")).unwrap();
        let config = WalConfig::new(disk.clone(), "/pg_wal", SystemId(7), SegmentSize::MIN, first.clone());
        let end = create_first_segment(&config).unwrap();
        let writer = WalWriter::start(config.clone(), end).unwrap();
        let append = || writer.append(RecordKind::Commit, &[&vec![7; 300_000]]).unwrap();
        let fork = append().end;
        let mut last = append();
        for _ in 1..9 {
            last = append();
        }
        writer.shutdown().unwrap();
        let keep_in = Path::new("/pg_wal/abandoned/00000001_0-1");
        let stretch = AbandonedStretch { config: &config, fork, end: last.end, keep_in };
        let second = first.branch(TimelineId(2), Lsn(fork.0 + 8), "of no account");
        write_history(&*disk, Path::new("/pg_wal"), &second).unwrap();
        for _ in 0..3 {
            assert_eq!(stretch.missing().unwrap(), [""; 0]);
            stretch.keep().unwrap();
            cut_log(&config, fork, &stretch.kept()).unwrap();
            disk.power_loss();
        }
        let found = recover(&config, config.segment_size.start_of(crate::FIRST_SEGMENT), fork).unwrap();
        assert_eq!((found.end.at, found.records), (fork, 1));
        assert_eq!(disk.list(Path::new("/pg_wal")).unwrap(), ["000000010000000000000001", "abandoned"]);
        let mut reader = WalSource::offline(stretch.kept()).reader(fork);
        let mut records = 0;
        while let crate::Next::Record(record) = reader.next().unwrap() {
            records += 1;
            assert!(record.end <= last.end);
        }
        assert_eq!(records, 9);
        disk.remove(&keep_in.join("000000010000000000000002")).unwrap();
        assert_eq!(stretch.missing().unwrap(), ["000000010000000000000002"]);
    }
}
