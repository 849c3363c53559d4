use std::sync::Arc;

use walship_tls::Certificate;

use super::role::BOOTSTRAP_OID;

/// Who a connection is, once it has proved it.
#[derive(Debug, Clone)]
pub struct Identity {
    /// As the client calls itself.
    pub user: String,
    /// Whose privileges it has.
    pub role: u32,
    /// Whether that role was a superuser when it came in.
    pub superuser: bool,
    /// How it proved it.
    pub method: &'static str,
    /// What protects the connection.
    pub tls: Option<Arc<TlsSession>>,
}

impl Identity {
    /// The bootstrap superuser under any name: whoever owns the cluster's files.
    pub fn owner(user: &str) -> Identity {
        Identity { user: user.to_owned(), role: BOOTSTRAP_OID, superuser: true, method: "owner", tls: None }
    }
}

/// What a TLS handshake came to.
#[derive(Debug, Clone)]
pub struct TlsSession {
    /// `TLSv1.3`.
    pub version: &'static str,
    /// As OpenSSL names it.
    pub cipher: String,
    /// Bits of its key.
    pub bits: i32,
    /// The client's certificate, verified against `ssl_ca_file`.
    pub client: Option<Certificate>,
}
