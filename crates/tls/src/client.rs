use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ClientConfig;

use crate::verify::ServerVerifier;
use crate::{TlsError, TlsVersion, files, provider, versions};

/// How far a server's certificate is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verification {
    /// Not at all: the connection is private from who only listens.
    None,
    /// A trusted authority signed it (`verify-ca`).
    Authority,
    /// The same, and it is for that host (`verify-full`).
    Host,
}

/// The files that a connection string names. Paths that were not given are libpq's defaults
/// and need not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientFiles {
    /// What `sslmode` asks for.
    pub verification: Verification,
    /// `sslrootcert`, and whether it was given.
    pub roots: Option<(PathBuf, bool)>,
    /// `sslcert`, and whether it was given.
    pub certificate: Option<(PathBuf, bool)>,
    /// `sslkey`.
    pub key: Option<PathBuf>,
    /// `ssl_min_protocol_version`.
    pub min_version: TlsVersion,
    /// `ssl_max_protocol_version`.
    pub max_version: TlsVersion,
}

/// A client's side of TLS.
#[derive(Debug, Clone)]
pub struct ClientTls {
    /// For rustls.
    pub config: Arc<ClientConfig>,
}

impl ClientTls {
    /// Reads the files.
    ///
    /// # Errors
    /// Which of them is missing, unreadable, readable by others, or does not fit.
    pub fn load(files: &ClientFiles) -> Result<ClientTls, TlsError> {
        let setup = |error: rustls::Error| TlsError::Setup(error.to_string());
        let roots = files.roots.as_ref().filter(|(path, given)| *given || path.exists());
        let verifier = match (files.verification, roots) {
            (Verification::None, None) => ServerVerifier::trusting(provider()),
            // as libpq: a root certificate that is there is used, also with sslmode=require
            (wanted, Some((path, _))) if path.exists() => {
                let (certificates, store) = files::roots(path)?;
                let by_host = wanted == Verification::Host;
                ServerVerifier::checking(provider(), certificates, store, by_host).map_err(TlsError::Setup)?
            }
            (_, given) => {
                let path = given.or(files.roots.as_ref()).map(|(path, _)| path.clone());
                return Err(TlsError::NoRoot { path: path.unwrap_or_default() });
            }
        };
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&versions(files.min_version, files.max_version))
            .map_err(setup)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let own = files.certificate.as_ref().filter(|(path, given)| *given || path.exists());
        let config = match own {
            None => builder.with_no_client_auth(),
            Some((path, _)) => {
                let chain = files::certificates("certificate", path)?;
                let key = key_of(files.key.as_deref())?;
                builder.with_client_auth_cert(chain, files::private_key(key)?).map_err(setup)?
            }
        };
        Ok(ClientTls { config: Arc::new(config) })
    }
}

fn key_of(key: Option<&Path>) -> Result<&Path, TlsError> {
    let key = key.unwrap_or(Path::new(""));
    if key.exists() { Ok(key) } else { Err(TlsError::NoKey { path: key.to_owned() }) }
}
