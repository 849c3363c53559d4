use walship_types::Timestamp;

/// `YYYY-MM-DD hh:mm:ss`, in UTC. Times that no calendar has are the start of 2000.
pub(crate) fn date_and_time(time: Timestamp) -> String {
    formatted(time, "%Y-%m-%d %H:%M:%S")
}

/// The same with microseconds.
pub(crate) fn date_and_exact_time(time: Timestamp) -> String {
    formatted(time, "%Y-%m-%d %H:%M:%S.%6f")
}

fn formatted(time: Timestamp, format: &str) -> String {
    let stamp = jiff::Timestamp::from_microsecond(time.unix_micros())
        .or_else(|_| jiff::Timestamp::from_microsecond(Timestamp(0).unix_micros()))
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    stamp.strftime(format).to_string()
}

/// Whole seconds since 1970.
pub(crate) fn unix_seconds(time: Timestamp) -> u64 {
    u64::try_from(time.unix_micros() / 1_000_000).unwrap_or(0)
}
