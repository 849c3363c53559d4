use walship_tests::peak_resident_kib;

use crate::Systems;
use crate::table::Table;

/// The largest resident size that each process has had so far.
pub(crate) fn measure(systems: &mut Systems<'_>) -> Table {
    let mut table = Table::new(&["process", "MiB"]);
    for node in [&mut systems.leader, &mut systems.follower] {
        let peak = peak_resident_kib(node.process().pid());
        table.row(vec![node.name().to_owned(), (peak / 1024).to_string()]);
    }
    table
}
