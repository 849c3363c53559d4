//! Who is let in, as a pure core: no files, no sockets, no clock.
//!
//! - [`Verifier`]: what is kept of a password, in PostgreSQL's text form.
//! - [`scram`]: both halves of a SCRAM-SHA-256 exchange (RFC 5802, RFC 7677) as state
//!   machines, with channel binding.
//! - [`hba`]: `pg_hba.conf`, parsed and matched.
//! - [`PasswordFile`]: libpq's `.pgpass`.
//!
//! ```
//! use walship_auth::hba::{self, Attempt, Decision, Peer};
//! let rules = hba::parse("host all all 127.0.0.1/32 trust", &mut |_| unreachable!()).into_rules()?;
//! let attempt = Attempt {
//!     peer: Peer::Tcp("127.0.0.1".parse().unwrap()),
//!     tls: false,
//!     database: "shop",
//!     user: "ann",
//!     user_exists: true,
//!     replication: false,
//!     own_networks: &[],
//! };
//! assert!(matches!(rules.decide(&attempt), Decision::Rule(rule) if rule.line == 1));
//! # Ok::<(), hba::HbaError>(())
//! ```

pub mod hba;
mod pgpass;
mod random;
mod saslprep;
pub mod scram;
mod verifier;

pub use pgpass::{PasswordFile, Wanted};
pub use random::{RandomError, nonce};
pub use verifier::{ITERATIONS_DEFAULT, InvalidVerifier, Verifier};
