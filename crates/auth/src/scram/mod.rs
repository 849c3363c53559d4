//! SCRAM-SHA-256 and SCRAM-SHA-256-PLUS: messages in, messages out.
//!
//! ```
//! use walship_auth::Verifier;
//! use walship_auth::scram::{ClientBinding, ClientExchange, ServerExchange, mechanisms};
//! let verifier = Verifier::new("secret")?;
//! let (client, first) = ClientExchange::begin("secret", ClientBinding::Unsupported, "c".into());
//! let (server, challenge) =
//!     ServerExchange::begin(verifier, client.mechanism(), first.as_bytes(), None, "s".into())?;
//! let (client, last) = client.respond(&challenge)?;
//! let proof = server.finish(last.as_bytes())?.expect("the password is right");
//! client.verify(&proof)?;
//! assert_eq!(mechanisms(false), ["SCRAM-SHA-256"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod attributes;
mod client;
mod server;

pub use client::{ClientBinding, ClientExchange, ClientScramError, ITERATIONS_MAX, ProvenClient};
pub use server::{ServerExchange, ServerScramError};

/// Without channel binding.
pub const MECHANISM: &str = "SCRAM-SHA-256";
/// With channel binding: the proof covers the certificate that the client saw.
pub const MECHANISM_PLUS: &str = "SCRAM-SHA-256-PLUS";
/// The one kind of channel binding, that of RFC 5929: a hash of the server's certificate.
pub(crate) const BINDING_TYPE: &str = "tls-server-end-point";

/// What a server offers, the best first.
pub fn mechanisms(can_bind: bool) -> &'static [&'static str] {
    if can_bind { &[MECHANISM_PLUS, MECHANISM] } else { &[MECHANISM] }
}
