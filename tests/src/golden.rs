use std::path::Path;

use regex::{Captures, Regex};

use crate::programs::repository_root;

/// Compares `text`, after [`normalize`], with `tests/golden/NAME.txt`.
/// With `UPDATE_GOLDEN=1` in the environment the file is written instead.
///
/// # Panics
/// When they differ, with both texts.
pub fn golden(name: &str, text: &str, directory: &Path) {
    let path = repository_root().join("tests/golden").join(name).with_extension("txt");
    let found = normalize(text, directory);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap_or(&path))
            .expect("create the directory of golden files");
        std::fs::write(&path, &found).expect("write the golden file");
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_else(|e| {
        panic!("{}: {e}; run once with UPDATE_GOLDEN=1 and read what it wrote", path.display())
    });
    assert!(
        expected == found,
        "{} differs\n---- expected\n{expected}---- found\n{found}---- (UPDATE_GOLDEN=1 accepts it)",
        path.display()
    );
}

/// Replaces what changes from run to run: the test's directory, positions in the log,
/// system identifiers, ports, process ids, points in time and durations.
pub fn normalize(text: &str, directory: &Path) -> String {
    let mut text = text.replace(&*directory.to_string_lossy(), "$DIR");
    for (pattern, replacement) in RULES {
        let rule = Regex::new(pattern).expect("the rules are valid");
        text = rule.replace_all(&text, |found: &Captures<'_>| expand(found, replacement)).into_owned();
    }
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

fn expand(found: &Captures<'_>, replacement: &str) -> String {
    let mut text = String::new();
    found.expand(replacement, &mut text);
    text
}

/// In order; the first ones take what later ones would misread.
const RULES: &[(&str, &str)] = &[
    (r"\x1b\[[0-9;]*[A-Za-z]", ""),
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?( ?[A-Z]{3}|Z|[+-]\d\d(:?\d\d)?)?", "$$TIME"),
    (r"\b[0-9A-F]{24}\b", "$$SEGMENT"),
    (r"\b[0-9A-F]{1,8}/[0-9A-F]{1,8}\b", "$$LSN"),
    (r"\b\d{18,20}\b", "$$SYSTEM"),
    (r"\b(127\.0\.0\.1|localhost):\d+\b", "$1:$$PORT"),
    (r"\b[0-9a-f]{16}\b", "$$HASH"),
    (r"\.s\.PGSQL\.\d+", ".s.PGSQL.$$PORT"),
    (r"\bport(=| )\d+\b", "port$1$$PORT"),
    (r"\b(pid|PID|process)( |=|: ?)\d+\b", "$1$2$$PID"),
    (r"\b(\d+(\.\d+)?) ?(ms|µs|us)\b", "$$N $3"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_from_run_to_run_is_replaced() {
        let text = "2026-11-23 19:46:51.123 UTC at 0/16B3740 of 7711202498677149815 \
                    on 127.0.0.1:21034 in /tmp/x/data took 12.5 ms, process 4711";
        assert_eq!(
            normalize(text, Path::new("/tmp/x")),
            "$TIME at $LSN of $SYSTEM on 127.0.0.1:$PORT in $DIR/data took $N ms, process $PID\n"
        );
    }
}
