/// Units of PostgreSQL's `pg_size_pretty`, each 1024 of the one before.
const UNITS: [&str; 6] = ["bytes", "kB", "MB", "GB", "TB", "PB"];

/// A number of bytes for people: three digits are enough.
pub(crate) fn byte_size(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let name = UNITS.get(unit).unwrap_or(&"bytes");
    if unit == 0 || value >= 100.0 { format!("{value:.0} {name}") } else { format!("{value:.1} {name}") }
}

#[cfg(test)]
mod tests {
    use super::byte_size;

    #[test]
    fn sizes_read_well() {
        let shown = [0, 1023, 1024, 16 << 20, 1536 << 20, u64::MAX].map(byte_size);
        assert_eq!(shown, ["0 bytes", "1023 bytes", "1.0 kB", "16.0 MB", "1.5 GB", "16384 PB"]);
    }
}
