use std::collections::BTreeMap;
use std::fmt;

use walship_types::Lsn;

use crate::payload::{Base, Entries, Payload};
use crate::{Record, RecordKind};

/// Sums per kind of record, as `pg_waldump --stats` prints them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    kinds: BTreeMap<RecordKind, Sum>,
    first: Option<Lsn>,
    end: Lsn,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sum {
    records: u64,
    /// All bytes but those of page images.
    record_bytes: u64,
    image_bytes: u64,
}

impl Sum {
    fn combined(self) -> u64 {
        self.record_bytes + self.image_bytes
    }
}

impl Stats {
    /// Nothing yet.
    pub fn new() -> Stats {
        Stats::default()
    }

    /// Counts a record.
    pub fn add(&mut self, record: &Record) {
        let image_bytes = image_bytes(record);
        let sum = self.kinds.entry(record.kind).or_default();
        sum.records += 1;
        sum.record_bytes += (record.len() as u64).saturating_sub(image_bytes);
        sum.image_bytes += image_bytes;
        self.first.get_or_insert(record.lsn);
        self.end = record.end;
    }

    /// Records of a kind so far.
    pub fn records(&self, kind: RecordKind) -> u64 {
        self.kinds.get(&kind).map_or(0, |sum| sum.records)
    }

    fn total(&self) -> Sum {
        self.kinds.values().fold(Sum::default(), |all, sum| Sum {
            records: all.records + sum.records,
            record_bytes: all.record_bytes + sum.record_bytes,
            image_bytes: all.image_bytes + sum.image_bytes,
        })
    }
}

/// Bytes of full page images in a record.
fn image_bytes(record: &Record) -> u64 {
    let images = |entries: Entries<'_>| {
        let images = entries.filter(|entry| entry.base == Base::Zero);
        images.map(|entry| entry.stored_len() as u64).sum()
    };
    match Payload::decode(record.kind, &record.payload) {
        Ok(Payload::Pages(part)) => images(part.entries()),
        Ok(Payload::Commit(commit)) => images(commit.entries()),
        _ => 0,
    }
}

fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.total();
        writeln!(f, "WAL statistics between {} and {}:", self.first.unwrap_or_default(), self.end)?;
        heading(f, ["Type", "N", "Record size", "FPI size", "Combined size"], "(%)")?;
        heading(f, ["----", "-", "-----------", "--------", "-------------"], "---")?;
        for (kind, sum) in &self.kinds {
            write!(f, "{kind:<27} {:>20} ({:>6.2})", sum.records, percent(sum.records, total.records))?;
            for (part, whole) in [
                (sum.record_bytes, total.record_bytes),
                (sum.image_bytes, total.image_bytes),
                (sum.combined(), total.combined()),
            ] {
                write!(f, " {part:>20} ({:>6.2})", percent(part, whole))?;
            }
            writeln!(f)?;
        }
        let line = "--------";
        writeln!(f, "{:<27} {line:>20} {:>8} {line:>20} {:>8} {line:>20} {:>8} {line:>20}", "", "", "", "")?;
        write!(f, "{:<27} {:>20} {:>8}", "Total", total.records, "")?;
        for part in [total.record_bytes, total.image_bytes] {
            let share = format!("[{:.2}%]", percent(part, total.combined()));
            write!(f, " {part:>20} {share:<8}")?;
        }
        write!(f, " {:>20} [100%]", total.combined())
    }
}

fn heading(f: &mut fmt::Formatter<'_>, names: [&str; 5], share: &str) -> fmt::Result {
    write!(f, "{:<27}", names[0])?;
    for name in &names[1..] {
        write!(f, " {name:>20} {share:>8}")?;
    }
    writeln!(f)
}
