//! The README's tour is what happens: its commands are run, and what they print is held
//! against what it says. `UPDATE_GOLDEN=1` writes the real output into it.

use walship_tests::{Tour, repository_root};

/// What the tour needs, as the README says.
const NEEDS: &str = "export PATH=\"$PWD/target/release:$PATH\" PGHOST=127.0.0.1";

#[test]
fn the_tour_prints_what_the_readme_says() {
    let readme = std::fs::read_to_string(repository_root().join("README.md")).unwrap();
    let (before, _) = readme.split_once("<!-- tour: ").expect("the README has a tour");
    assert!(before.contains(NEEDS), "the README says what the tour needs");
    Tour::check("README.md", "s039_readme", &["5433", "5434"]);
}
