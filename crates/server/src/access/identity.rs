use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
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

impl TlsSession {
    /// What a handshake that is done came to.
    pub(crate) fn of(stream: &TlsStream<TcpStream>) -> TlsSession {
        let (_, connection) = stream.get_ref();
        let version = match connection.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
            _ => "TLSv1.2",
        };
        let suite = connection.negotiated_cipher_suite().map(|suite| suite.suite());
        let cipher = suite.and_then(|suite| suite.as_str()).unwrap_or_default();
        let bits = if cipher.contains("AES_128") { 128 } else { 256 };
        let client = connection.peer_certificates().and_then(|chain| Certificate::read(chain.first()?));
        TlsSession { version, cipher: openssl_name(cipher), bits, client }
    }
}

/// rustls names a suite of TLS 1.3 `TLS13_AES_256_GCM_SHA384`, OpenSSL `TLS_AES_256_GCM_SHA384`.
fn openssl_name(name: &str) -> String {
    match name.strip_prefix("TLS13_") {
        Some(rest) => format!("TLS_{rest}"),
        None => {
            let name = name.strip_prefix("TLS_").unwrap_or(name).replace("_WITH_", "_");
            name.replace("AES_128_", "AES128_").replace("AES_256_", "AES256_").replace('_', "-")
        }
    }
}
