use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;

use crate::{Certificate, TlsError, TlsVersion, end_point_hash, files, provider, versions};

/// The files that a server's settings name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFiles {
    /// `ssl_cert_file`: the server's certificate, then those between it and the root.
    pub certificate: PathBuf,
    /// `ssl_key_file`.
    pub key: PathBuf,
    /// `ssl_ca_file`: who signs client certificates; without it none is asked for.
    pub authorities: Option<PathBuf>,
    /// `ssl_crl_file`.
    pub revoked: Option<PathBuf>,
    /// `ssl_min_protocol_version`.
    pub min_version: TlsVersion,
}

/// A server's side of TLS.
#[derive(Debug, Clone)]
pub struct ServerTls {
    /// For rustls.
    pub config: Arc<ServerConfig>,
    /// What channel binding binds to; `None` where the certificate allows none.
    pub end_point: Option<Vec<u8>>,
    /// The server's own certificate.
    pub certificate: Option<Certificate>,
    /// Whether clients are asked for certificates.
    pub asks_for_certificates: bool,
}

impl ServerTls {
    /// Reads the files.
    ///
    /// # Errors
    /// Which of them is missing, unreadable, readable by others, or does not fit.
    pub fn load(files: &ServerFiles) -> Result<ServerTls, TlsError> {
        let chain = files::certificates("server certificate", &files.certificate)?;
        let key = files::private_key(&files.key)?;
        let end_point = chain.first().and_then(end_point_hash);
        let certificate = chain.first().and_then(Certificate::read);
        let setup = |error: rustls::Error| {
            let (certificate, key) = (files.certificate.display(), files.key.display());
            TlsError::Setup(format!("\"{certificate}\" with \"{key}\": {error}"))
        };
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&versions(files.min_version, TlsVersion::V1_3))
            .map_err(setup)?;
        let builder = match &files.authorities {
            None => builder.with_no_client_auth(),
            Some(authorities) => {
                builder.with_client_cert_verifier(client_verifier(authorities, files.revoked.as_deref())?)
            }
        };
        let config = builder.with_single_cert(chain, key).map_err(setup)?;
        let asks_for_certificates = files.authorities.is_some();
        Ok(ServerTls { config: Arc::new(config), end_point, certificate, asks_for_certificates })
    }
}

fn client_verifier(
    authorities: &Path,
    revoked: Option<&Path>,
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, TlsError> {
    let (_, roots) = files::roots(authorities)?;
    // who has none is let through here: the access rules decide who needs one
    let mut builder =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).allow_unauthenticated();
    if let Some(revoked) = revoked {
        builder = builder.with_crls(files::revocations(revoked)?);
    }
    builder.build().map_err(|error| TlsError::Setup(error.to_string()))
}
