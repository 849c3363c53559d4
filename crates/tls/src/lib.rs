//! TLS as PostgreSQL's server and libpq do it, with rustls: files into configurations,
//! certificates into names and hashes. No sockets.
//!
//! - [`ServerTls`]: what a server needs (`ssl_cert_file`, `ssl_key_file`, `ssl_ca_file`...).
//! - [`ClientTls`]: what a client needs (`sslmode`, `sslrootcert`, `sslcert`, `sslkey`).
//! - [`Certificate`]: whose it is, how long it is valid, and the hash that channel binding
//!   ties a login to.

mod certificate;
mod client;
mod error;
mod files;
mod server;
mod verify;

pub use certificate::{Certificate, end_point_hash};
pub use client::{ClientFiles, ClientTls, Verification};
pub use error::TlsError;
pub use server::{ServerFiles, ServerTls};

use std::sync::Arc;

use rustls::SupportedProtocolVersion;
use rustls::crypto::CryptoProvider;

/// The versions that are spoken, the oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2.
    V1_2,
    /// TLS 1.3.
    V1_3,
}

impl TlsVersion {
    /// As settings and connection strings write it (`TLSv1.2`); older versions are not spoken.
    pub fn parse(text: &str) -> Option<TlsVersion> {
        match text {
            "TLSv1.2" => Some(TlsVersion::V1_2),
            "TLSv1.3" => Some(TlsVersion::V1_3),
            _ => None,
        }
    }
}

fn versions(min: TlsVersion, max: TlsVersion) -> Vec<&'static SupportedProtocolVersion> {
    let known = [(TlsVersion::V1_2, &rustls::version::TLS12), (TlsVersion::V1_3, &rustls::version::TLS13)];
    known.into_iter().filter(|(version, _)| (min..=max).contains(version)).map(|(_, known)| known).collect()
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
