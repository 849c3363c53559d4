use std::fmt::Write as _;

/// What one step of a numeric setting's stored value means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A plain number.
    None,
    /// Bytes.
    Bytes,
    /// Kibibytes; PostgreSQL writes kB.
    Kilobytes,
    /// Pages of 8 KiB, as PostgreSQL counts several of its settings.
    Blocks,
    /// Mebibytes; PostgreSQL writes MB.
    Megabytes,
    /// Milliseconds.
    Milliseconds,
    /// Seconds.
    Seconds,
    /// Minutes.
    Minutes,
}

/// Largest first: the first that divides a value without rest is what `SHOW` prints.
const MEMORY: [(&str, u64); 5] =
    [("TB", 1 << 40), ("GB", 1 << 30), ("MB", 1 << 20), ("kB", 1 << 10), ("B", 1)];
/// In microseconds, largest first.
const TIME: [(&str, u64); 6] = [
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("min", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
    ("us", 1),
];

impl Unit {
    /// As `pg_settings.unit` prints it; `None` for plain numbers.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Unit::None => None,
            Unit::Bytes => Some("B"),
            Unit::Kilobytes => Some("kB"),
            Unit::Blocks => Some("8kB"),
            Unit::Megabytes => Some("MB"),
            Unit::Milliseconds => Some("ms"),
            Unit::Seconds => Some("s"),
            Unit::Minutes => Some("min"),
        }
    }

    /// Bytes or microseconds in one step; 1 for plain numbers.
    pub(crate) fn step(self) -> u64 {
        match self {
            Unit::None | Unit::Bytes => 1,
            Unit::Kilobytes => 1 << 10,
            Unit::Blocks => 8 << 10,
            Unit::Megabytes => 1 << 20,
            Unit::Milliseconds => 1_000,
            Unit::Seconds => 1_000_000,
            Unit::Minutes => 60_000_000,
        }
    }

    fn table(self) -> &'static [(&'static str, u64)] {
        match self {
            Unit::None => &[],
            Unit::Bytes | Unit::Kilobytes | Unit::Blocks | Unit::Megabytes => &MEMORY,
            Unit::Milliseconds | Unit::Seconds | Unit::Minutes => &TIME,
        }
    }

    /// Steps in one `suffix`, a fraction where the suffix is the finer unit; `None` if it is no unit of this setting.
    pub(crate) fn steps_per(self, suffix: &str) -> Option<f64> {
        let (_, scale) = self.table().iter().find(|(name, _)| *name == suffix)?;
        Some(*scale as f64 / self.step() as f64)
    }

    /// The suffixes that may be written, for a hint; `None` for plain numbers.
    pub(crate) fn allowed(self) -> Option<&'static str> {
        match self.table().first()?.0 {
            "TB" => Some("\"B\", \"kB\", \"MB\", \"GB\" and \"TB\""),
            _ => Some("\"us\", \"ms\", \"s\", \"min\", \"h\" and \"d\""),
        }
    }

    /// The value with the largest unit that divides it, as `SHOW` prints it: `16MB`, `1min`. Zero and negative
    /// values have a meaning of their own (off, unlimited) and print as plain numbers.
    pub(crate) fn human(self, value: i64) -> String {
        let mut text = String::new();
        let total =
            u64::try_from(value).ok().filter(|&value| value > 0).and_then(|v| v.checked_mul(self.step()));
        let found = total.and_then(|total| {
            self.table()
                .iter()
                .find(|(_, scale)| total % scale == 0)
                .map(|(name, scale)| (total / scale, name))
        });
        let written = match found {
            Some((number, name)) => write!(text, "{number}{name}"),
            None => write!(text, "{value}"),
        };
        debug_assert!(written.is_ok(), "writing to a string cannot fail");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_the_largest_unit_that_divides() {
        for (unit, value, shown) in [
            (Unit::Bytes, 16 << 20, "16MB"),
            (Unit::Kilobytes, 4096, "4MB"),
            (Unit::Kilobytes, 4097, "4097kB"),
            (Unit::Blocks, 16384, "128MB"),
            (Unit::Megabytes, 1024, "1GB"),
            (Unit::Megabytes, -1, "-1"),
            (Unit::Seconds, 60, "1min"),
            (Unit::Seconds, 61, "61s"),
            (Unit::Milliseconds, 0, "0"),
            (Unit::Milliseconds, 86_400_000, "1d"),
            (Unit::None, 100, "100"),
        ] {
            assert_eq!(unit.human(value), shown);
        }
    }
}
