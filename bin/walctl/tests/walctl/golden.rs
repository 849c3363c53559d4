//! Whole outputs, kept as files; `UPDATE_GOLDEN=1` writes them anew.

use std::path::PathBuf;

/// Holds `found` against the golden file of that name.
pub(crate) fn assert_golden(name: &str, found: &str) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/walctl/golden");
    let path = folder.join(format!("{name}.txt"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, found).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(expected == found, "{} differs from what was found:\n{found}", path.display());
}
