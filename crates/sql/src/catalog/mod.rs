//! PostgreSQL's functions and system views, as far as they mean something here, on a session's connection.
//!
//! * [`install`] registers all of it on a connection: functions, read-only tables, the collation of log positions.
//! * [`CatalogSource`] is where the rows come from and the actions go to; the node implements it.
//! * [`SessionContext`] is what the functions know of the session that calls them.
//! * [`rewrite`] turns the spellings that SQLite's grammar does not have (`pg_catalog.`, `OPERATOR(...)`, `::`) into
//!   some that it has.

mod advice;
mod cell;
mod collation;
mod context;
mod function;
mod functions;
pub mod memory;
mod privilege;
mod rewrite;
mod schema;
mod source;
mod table;
mod tables;
mod types;

use std::sync::Arc;

use rusqlite::Connection;

pub use crate::pg_type::PgType;
pub use advice::with_advice;
pub(crate) use cell::parse_timestamp;
pub use collation::{INTERVAL_COLLATION, LSN_COLLATION, TIMESTAMP_COLLATION};
pub use context::SessionContext;
pub use function::type_of_function;
pub(crate) use functions::array_items;
pub use rewrite::{RewrittenQuery, rewrite};
pub use source::{
    ArchiverStatistics, BackendRow, BaseBackupRow, CatalogSource, CheckpointStatistics, ClientAddress,
    ControlRow, DatabaseRow, FailoverRow, FenceRow, NewSlot, NodeIdentity, Positions, PromotionRow,
    ReceiverRow, ReplayPause, ReplicationRow, RoleRow, SlotRow, SynchronousRow, TURN_WAIT, WalStatistics,
};
pub use tables::{column_types, table_names};

pub use crate::SqlError;

/// Registers the catalog on a session's connection. Takes a fraction of a millisecond; nothing is read or computed
/// before a statement asks.
pub fn install(
    connection: &Connection,
    source: Arc<dyn CatalogSource>,
    session: Arc<SessionContext>,
) -> rusqlite::Result<()> {
    let scope = table::Scope { source, session, schema: Arc::default() };
    collation::register(connection)?;
    for table in tables::all() {
        table::register(connection, table, &scope)?;
    }
    for function in functions::all() {
        function::register(connection, function, &scope)?;
    }
    Ok(())
}
