//! The reference in docs/ says what the registry says.

use std::path::Path;

#[test]
fn docs_match_the_registry() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/settings.md");
    let written = std::fs::read_to_string(&path).expect("docs/settings.md");
    assert!(
        written == walship_settings::reference_markdown(),
        "docs/settings.md is stale: cargo run -p walship-settings --example reference > docs/settings.md"
    );
}
