/// The part of a request's target behind `?`, as names and values; what has no `=` has an empty value.
pub(super) fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    let parts = query.split('&').filter(|part| !part.is_empty());
    parts.map(|part| part.split_once('=').unwrap_or((part, "")))
}

/// `16MB`, `1GB`, `4096`: bytes, with the units of settings.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = split(text);
    let scale: u64 = match unit {
        "" | "B" => 1,
        "kB" => 1 << 10,
        "MB" => 1 << 20,
        "GB" => 1 << 30,
        "TB" => 1 << 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(scale)
}

/// `5`, `2.5`, `500ms`, `1min`: seconds, with the units of settings.
pub(super) fn seconds(text: &str) -> Option<f64> {
    let (number, unit) = split(text);
    let scale = match unit {
        "ms" => 1e-3,
        "" | "s" => 1.0,
        "min" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    let seconds = number.parse::<f64>().ok()? * scale;
    (seconds.is_finite() && seconds >= 0.0).then_some(seconds)
}

fn split(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_have_units() {
        assert_eq!(pairs("a=1&b&&c=x=y").collect::<Vec<_>>(), [("a", "1"), ("b", ""), ("c", "x=y")]);
        assert_eq!([bytes("16MB"), bytes("10"), bytes("1kB")], [Some(16 << 20), Some(10), Some(1024)]);
        assert_eq!([seconds("500ms"), seconds("2.5"), seconds("1min")], [Some(0.5), Some(2.5), Some(60.0)]);
        for bad in ["", "MB", "-1", "1mb", "9999999999TB", "1 MB"] {
            assert_eq!(bytes(bad), None, "{bad}");
        }
        for bad in ["", "s", "-1s", "nan", "1d"] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }
}
