//! `pg_hba.conf`: who may connect how, in PostgreSQL 15's syntax and with its meaning.
//!
//! Not here, and refused by name when a line asks for it: methods that need another
//! service (gss, ldap, radius, pam, ident over TCP), the cleartext `password`, `map=`, and
//! host names as addresses. One method is ours: [`Method::Owner`].

mod address;
mod decide;
mod error;
mod parse;
mod rule;
mod token;

pub use address::{Address, Network};
pub use decide::{Attempt, Decision, Peer};
pub use error::HbaError;
pub use parse::{Include, Parsed, parse};
pub use rule::{CertificateName, ClientCertificate, ConnectionType, METHODS, Method, Rule, Rules};
pub use token::Token;

/// What is in force where there is no file: the operating-system user who owns the cluster
/// needs no password on this machine, everybody else shows one.
pub const DEFAULT_RULES: &str = include_str!("default.conf");
