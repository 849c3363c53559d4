use walship_types::Timestamp;

use crate::payload::{Base, Commit, DatabaseState, Entries, Payload};

/// A payload's fields in words, as pg_waldump's `desc` does it.
pub(super) fn describe(payload: &Payload<'_>) -> String {
    match payload {
        Payload::Pages(part) => {
            let first = if part.first { "first part" } else { "next part" };
            format!("db {} {first}; {}", part.database, pages(part.entries()))
        }
        Payload::Commit(commit) => describe_commit(commit),
        Payload::Seal(seal) => format!(
            "db {} size {} checksum {:016x}; -wal {}",
            seal.database, seal.pages, seal.checksum, seal.position
        ),
        Payload::Checkpoint(checkpoint) => format!(
            "redo {}; tli {}; next db {}; {}; {}; {}",
            checkpoint.redo,
            checkpoint.timeline,
            checkpoint.next_database_id,
            databases(&checkpoint.databases),
            time(checkpoint.time),
            if checkpoint.shutdown { "shutdown" } else { "online" }
        ),
        Payload::CreateDatabase(create) => format!("db {} name \"{}\"", create.id, create.name),
        Payload::DropDatabase(dropped) => format!("db {} name \"{}\"", dropped.id, dropped.name),
        Payload::EndOfRecovery(end) => format!(
            "tli {}; prev tli {}; {}; {}",
            end.timeline,
            end.previous_timeline,
            databases(&end.databases),
            time(end.time)
        ),
        Payload::SegmentSwitch(_) => String::new(),
        Payload::RestorePoint(point) => format!("\"{}\"; {}", point.name.escape_debug(), time(point.time)),
    }
}

fn describe_commit(commit: &Commit<'_>) -> String {
    let flag = |set: bool, name: &str| if set { format!(" {name}") } else { String::new() };
    format!(
        "{}; db {} size {} checksum {:016x}; -wal {}; {}{}{}{}",
        time(commit.time),
        commit.database,
        commit.pages,
        commit.checksum,
        commit.position,
        pages(commit.entries()),
        flag(commit.flags.single, "single"),
        flag(commit.flags.foreign, "foreign"),
        flag(commit.flags.base_backup, "base_backup"),
    )
}

fn pages(entries: Entries<'_>) -> String {
    let (mut images, mut deltas, mut bytes) = (0, 0, 0);
    for entry in entries {
        match entry.base {
            Base::Zero => images += 1,
            Base::Previous => deltas += 1,
        }
        bytes += entry.stored_len();
    }
    format!("images {images} deltas {deltas} bytes {bytes}")
}

fn databases(states: &[DatabaseState]) -> String {
    let one =
        |s: &DatabaseState| format!("{} \"{}\" size {} checksum {:016x}", s.id, s.name, s.pages, s.checksum);
    format!("databases [{}]", states.iter().map(one).collect::<Vec<_>>().join(", "))
}

/// `2026-11-23 10:20:30.123456 UTC`, by the civil calendar.
fn time(time: Timestamp) -> String {
    let micros = time.unix_micros();
    let (seconds, micros) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{micros:06} UTC")
}

/// Year, month and day of a count of days since 1970-01-01. Years begin on 1 March here,
/// so that the leap day is a year's last.
fn civil(days: i64) -> (i64, i64, i64) {
    const DAYS_PER_ERA: i64 = 146_097;
    let shifted = days + 719_468;
    let era = shifted.div_euclid(DAYS_PER_ERA);
    let day_of_era = shifted.rem_euclid(DAYS_PER_ERA);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_civil() {
        for (unix, text) in [
            (0, "1970-01-01 00:00:00.000000 UTC"),
            (951_782_399_999_999, "2000-02-28 23:59:59.999999 UTC"),
            (951_782_400_000_000, "2000-02-29 00:00:00.000000 UTC"),
            (-1, "1969-12-31 23:59:59.999999 UTC"),
            (1_795_433_445_000_000, "2026-11-23 11:30:45.000000 UTC"),
        ] {
            assert_eq!(time(Timestamp::from_unix_micros(unix)), text);
        }
    }
}
