use crate::golden::assert_golden;
use crate::program::walctl;

#[test]
fn wrong_command_lines_say_what_is_wrong() {
    let lab = tempfile::tempdir().unwrap();
    for (name, arguments) in [
        ("no_command", &[][..]),
        ("unknown_command", &["dump"]),
        ("unknown_flag", &["waldump", "--shout"]),
        ("bad_lsn", &["waldump", "-s", "12"]),
        ("bad_kind", &["waldump", "--kind", "heap"]),
        ("no_place", &["waldump"]),
        ("missing_place", &["waldump", "nowhere"]),
    ] {
        let output = walctl(lab.path(), arguments);
        assert_ne!(output.status, Some(0), "{name}");
        assert_golden(name, &output.transcript());
    }
}

#[test]
fn help_is_complete() {
    let lab = tempfile::tempdir().unwrap();
    let output = walctl(lab.path(), &["--help"]);
    assert_eq!(output.status, Some(0));
    assert_eq!(output.stderr, "");
    assert_golden("help", &output.stdout);
}
