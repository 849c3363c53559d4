//! The catalog on a plain SQLite connection, through its public interface.

mod columns;
mod psql;
mod session;
mod tables;
