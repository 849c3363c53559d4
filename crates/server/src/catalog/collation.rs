use std::cmp::Ordering;

use rusqlite::Connection;
use walship_types::Lsn;

/// The name of the collation by which texts compare as log positions: `0/A000000` before `0/1A000000`. What is no
/// position sorts behind those that are, as text.
pub const LSN_COLLATION: &str = "pg_lsn";

pub(crate) fn register(connection: &Connection) -> rusqlite::Result<()> {
    connection.create_collation(LSN_COLLATION, compare)
}

fn compare(left: &str, right: &str) -> Ordering {
    match (left.parse::<Lsn>(), right.parse::<Lsn>()) {
        (Ok(left), Ok(right)) => left.cmp(&right),
        (Ok(_), Err(_)) => Ordering::Less,
        (Err(_), Ok(_)) => Ordering::Greater,
        (Err(_), Err(_)) => left.cmp(right),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_sort_as_numbers() {
        let mut texts = ["none", "1/0", "0/1A000000", "0/A000000", "A/0", "0/0"];
        texts.sort_by(|left, right| compare(left, right));
        assert_eq!(texts, ["0/0", "0/A000000", "0/1A000000", "1/0", "A/0", "none"]);
        assert_eq!(compare("0/0A", "0/a"), Ordering::Equal);
    }
}
