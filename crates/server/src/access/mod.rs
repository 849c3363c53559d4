//! Who is let in, and who may do what.
//!
//! [`Access`] holds the rules (`pg_hba.conf`) and the TLS configuration, and turns a
//! connection that says a name into an [`Identity`](walship_sql::roles::Identity). [`RoleStore`] keeps the roles, in a
//! database of the cluster like any other: so they are logged, replicated, backed up and
//! promoted as everything else is.

mod authenticate;
mod config;
mod door;
mod exchange;
mod handshake;
mod local_user;
mod networks;
mod store;

pub(crate) use authenticate::Refused;
pub(crate) use config::parse_rules;
pub use config::{AccessConfig, AccessError};
pub use door::Access;
pub(crate) use door::default_rules;
pub(crate) use handshake::tls_session;
pub use store::RoleStore;
pub(crate) use store::{ChangedBy, StoreError};
