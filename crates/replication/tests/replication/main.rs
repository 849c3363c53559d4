//! Replication connections against PostgreSQL's own programs and against our receiver,
//! on a node that has a real log and nothing else.

mod node;
mod slot_table;
mod stock_backup;
mod stock_receive;
mod stream;
