/// Reads the `options` parameter of a start-up message (libpq's `PGOPTIONS`): `-c name=value`, `-cname=value` and
/// `--name=value`, separated by spaces; a backslash keeps the character behind it. The first word that is none of
/// these comes back as the error.
pub fn parse_startup_options(options: &str) -> Result<Vec<(String, String)>, String> {
    let mut parsed = Vec::new();
    let mut words = split_words(options).into_iter();
    while let Some(word) = words.next() {
        let assignment = match (word.as_str(), word.strip_prefix("-c"), word.strip_prefix("--")) {
            ("-c", ..) => words.next().ok_or_else(|| word.clone())?,
            (_, Some(rest), _) | (_, None, Some(rest)) => rest.to_owned(),
            _ => return Err(word),
        };
        match assignment.split_once('=') {
            Some((name, value)) if !name.is_empty() => {
                parsed.push((name.replace('-', "_"), value.to_owned()));
            }
            _ => return Err(assignment),
        }
    }
    Ok(parsed)
}

fn split_words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            c if c.is_ascii_whitespace() => words.extend(word.take()),
            '\\' => word.get_or_insert_default().extend(chars.next()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_libpq_sends() {
        let parsed =
            parse_startup_options(r" -c work_mem=1MB --lock-timeout=5s -cDateStyle=ISO,\ DMY ").unwrap();
        let expected = [("work_mem", "1MB"), ("lock_timeout", "5s"), ("DateStyle", "ISO, DMY")]
            .map(|(n, v)| (n.to_owned(), v.to_owned()));
        assert_eq!(parsed, expected);
        for (bad, word) in [("-x", "-x"), ("-c", "-c"), ("-c a", "a"), ("a=b", "a=b"), ("--=1", "=1")] {
            assert_eq!(parse_startup_options(bad), Err(word.to_owned()), "{bad}");
        }
    }
}
