//! The drill of docs/failover.md is what happens. `UPDATE_GOLDEN=1` writes the real output into it.

use walship_tests::Tour;

#[test]
fn the_drill_prints_what_the_page_says() {
    Tour::check("docs/failover.md", "s107_failover_drill", &["5433", "5434", "5435"]);
}
