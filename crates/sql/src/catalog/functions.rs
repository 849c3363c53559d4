//! Every function of the catalog, one file per subject.

mod describe;
mod log;
mod node;
mod operators;
mod session;
mod text;

use super::function::{Body, Function, Nature};
use super::{PgType, SqlError};

pub(crate) use describe::view_query;
pub(crate) use text::{array_items, quote_identifier};

/// Every function; a name stands here once for each number of arguments.
pub(crate) fn all() -> impl Iterator<Item = &'static Function> {
    [
        session::FUNCTIONS,
        log::FUNCTIONS,
        node::FUNCTIONS,
        operators::FUNCTIONS,
        text::FUNCTIONS,
        describe::FUNCTIONS,
    ]
    .into_iter()
    .flatten()
}

const fn function(
    name: &'static str,
    arguments: i32,
    returns: &'static PgType,
    nature: Nature,
    body: Body,
) -> Function {
    Function { name, arguments, returns, nature, body }
}

/// 55000, as PostgreSQL answers what only a leader can.
fn not_in_recovery() -> SqlError {
    SqlError::new("55000", "recovery is in progress")
        .with_hint("WAL control functions cannot be executed during recovery.")
}

/// 55000, as PostgreSQL answers what only a follower can.
fn only_in_recovery() -> SqlError {
    SqlError::new("55000", "recovery is not in progress")
        .with_hint("Recovery control functions can only be executed during recovery.")
}
