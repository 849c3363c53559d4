use std::time::Duration;

use walship_types::Timestamp;

/// A point in time as PostgreSQL's programs print it, in UTC.
pub(crate) fn timestamp(at: Timestamp) -> String {
    match jiff::Timestamp::from_microsecond(at.unix_micros()) {
        Ok(stamp) => stamp.strftime("%Y-%m-%d %H:%M:%S.%6f UTC").to_string(),
        // beyond the calendar: still a fact about the bytes
        Err(_) => format!("{} us since 2000-01-01 UTC", at.0),
    }
}

/// A point in time as people write it: `2026-05-17 14:03:00.5`, with an offset, or in UTC.
pub(crate) fn parse_timestamp(text: &str) -> Result<Timestamp, &'static str> {
    let text = text.trim();
    let micros = match text.parse::<jiff::Timestamp>() {
        Ok(stamp) => stamp.as_microsecond(),
        Err(_) => {
            let bare = text.strip_suffix("UTC").unwrap_or(text).trim_end();
            let civil = bare.parse::<jiff::civil::DateTime>();
            let zoned = civil.and_then(|civil| civil.to_zoned(jiff::tz::TimeZone::UTC));
            let zoned = zoned.map_err(|_| {
                "expected date and time as in '2026-05-17 14:03:00.5', with an offset from UTC as in '+02' or without"
            })?;
            zoned.timestamp().as_microsecond()
        }
    };
    Ok(Timestamp::from_unix_micros(micros))
}

/// A span of time in the unit that suits it.
pub(crate) fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 if time.as_millis() == 0 => "0 s".to_owned(),
        0 => format!("{} ms", time.as_millis()),
        1..60 => format!("{:.1} s", time.as_secs_f64()),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_they_are_printed_and_as_people_write_them() {
        let noon = Timestamp(12 * 3600 * 1_000_000);
        assert_eq!(parse_timestamp(&timestamp(noon)), Ok(noon));
        for text in
            ["2000-01-01 12:00:00", "2000-01-01 14:00:00+02", "2000-01-01T12:00:00Z", "2000-01-01 12:00"]
        {
            assert_eq!(parse_timestamp(text), Ok(noon), "{text}");
        }
        assert_eq!(parse_timestamp("2000-01-01 00:00:00.000001"), Ok(Timestamp(1)));
        for bad in ["", "yesterday", "2000-13-01 00:00:00"] {
            assert!(parse_timestamp(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_read_well() {
        assert_eq!(timestamp(Timestamp(1)), "2000-01-01 00:00:00.000001 UTC");
        assert_eq!(timestamp(Timestamp(i64::MAX)), format!("{} us since 2000-01-01 UTC", i64::MAX));
        let shown = [0, 1_500, 61_000, 7_260_000].map(|ms| span(Duration::from_millis(ms)));
        assert_eq!(shown, ["0 s", "1.5 s", "1 min 1 s", "2 h 1 min"]);
        assert_eq!(span(Duration::from_millis(20)), "20 ms");
    }
}
