//! A client of anything that speaks PostgreSQL's protocol version 3: SQL and replication
//! connections, several hosts, copy streams in every direction.
//!
//! [`Connection::connect`] finds a server; [`Connection::query`] runs a command whose
//! results fit in memory; [`Connection::start`] and [`Connection::next`] run one as the
//! [`Event`]s that it is made of, which is how copy streams are read and written.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use walship_client::{Connection, Purpose};
//! use walship_protocol::Conninfo;
//! let conninfo: Conninfo = "host=127.0.0.1 port=5433".parse()?;
//! let target = conninfo.target(|name| std::env::var(name).ok())?;
//! let mut connection = Connection::connect(&target, Purpose::Replication, "example").await?;
//! let results = connection.query("IDENTIFY_SYSTEM").await?;
//! println!("{:?}", results.first().and_then(|system| system.text("systemid")));
//! # Ok(()) }
//! ```

mod connect;
mod connection;
mod encrypt;
mod error;
mod event;
mod password;
mod session_attributes;
mod startup;
mod transport;

pub use connect::Purpose;
pub use connection::Connection;
pub use error::ClientError;
pub use event::{Event, QueryResult, RESULT_BYTES_MAX};
