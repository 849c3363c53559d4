use crate::golden::assert_golden;
use crate::program::walctl;

/// A port that nobody listens on: 1 is reserved.
const NOBODY: [&str; 4] = ["-h", "127.0.0.1", "-p", "1"];

#[test]
fn what_cannot_be_imported_is_said_before_anything_is_sent() {
    let lab = tempfile::tempdir().unwrap();
    std::fs::write(lab.path().join("text.db"), "this is not a database").unwrap();
    std::fs::write(lab.path().join("empty.db"), "").unwrap();
    std::fs::create_dir(lab.path().join("folder")).unwrap();
    for (name, file, database) in [
        ("not_a_database", "text.db", "shop"),
        ("missing", "missing.db", "shop"),
        ("folder", "folder", "shop"),
        ("bad_name", "empty.db", "Bad Name"),
        ("unreachable", "empty.db", "shop"),
    ] {
        let output = walctl(lab.path(), &[&["import", file, "--as", database], &NOBODY[..]].concat());
        assert_ne!(output.status, Some(0));
        assert_golden(&format!("import_{name}"), &output.transcript());
    }
}

#[test]
fn export_leaves_nothing_behind_that_is_not_whole() {
    let lab = tempfile::tempdir().unwrap();
    std::fs::write(lab.path().join("here.db"), "mine").unwrap();
    for (name, file) in [("exists", "here.db"), ("unreachable", "new.db")] {
        let output = walctl(lab.path(), &[&["export", "shop", file], &NOBODY[..]].concat());
        assert_eq!(output.status, Some(1));
        assert_golden(&format!("export_{name}"), &output.transcript());
    }
    let names: Vec<_> = std::fs::read_dir(lab.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["here.db"]);
    assert_eq!(std::fs::read(lab.path().join("here.db")).unwrap(), b"mine");
}
