use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use walship_sql::roles::TlsSession;
use walship_tls::Certificate;

/// What a handshake that is done came to.
pub(crate) fn tls_session(stream: &TlsStream<TcpStream>) -> TlsSession {
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
