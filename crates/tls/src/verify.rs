use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use crate::Certificate;

/// Checks a server's certificate as libpq does for each `sslmode`. Beyond what webpki
/// does: a certificate that is itself among the trusted ones is good while it is valid (how
/// self-signed ones are used), and a certificate without alternative names is for the host
/// that its common name says.
#[derive(Debug)]
pub(crate) struct ServerVerifier {
    provider: Arc<CryptoProvider>,
    /// `None` trusts any certificate.
    roots: Option<Roots>,
}

#[derive(Debug)]
struct Roots {
    certificates: Vec<CertificateDer<'static>>,
    chains: Arc<WebPkiServerVerifier>,
    by_host: bool,
}

impl ServerVerifier {
    pub(crate) fn trusting(provider: Arc<CryptoProvider>) -> ServerVerifier {
        ServerVerifier { provider, roots: None }
    }

    pub(crate) fn checking(
        provider: Arc<CryptoProvider>,
        certificates: Vec<CertificateDer<'static>>,
        store: RootCertStore,
        by_host: bool,
    ) -> Result<ServerVerifier, String> {
        let chains = WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(&provider));
        let chains = chains.build().map_err(|error| error.to_string())?;
        Ok(ServerVerifier { provider, roots: Some(Roots { certificates, chains, by_host }) })
    }
}

impl Roots {
    fn verify(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<(), Error> {
        if self.certificates.iter().any(|trusted| trusted.as_ref() == end_entity.as_ref()) {
            check_validity(end_entity, now)?;
            return if self.by_host { check_host(end_entity, name) } else { Ok(()) };
        }
        match self.chains.verify_server_cert(end_entity, intermediates, name, ocsp, now) {
            Ok(_) => Ok(()),
            // the name is looked at last: everything else is right
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => {
                if self.by_host {
                    check_host(end_entity, name)
                } else {
                    Ok(())
                }
            }
            // the long form counts in seconds since 1970
            Err(Error::InvalidCertificate(CertificateError::ExpiredContext { .. })) => {
                Err(Error::InvalidCertificate(CertificateError::Expired))
            }
            Err(error) => Err(error),
        }
    }
}

fn check_validity(end_entity: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let bad = |error| Error::InvalidCertificate(error);
    let read = Certificate::read(end_entity).ok_or_else(|| bad(CertificateError::BadEncoding))?;
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(now.as_secs());
    match () {
        () if now > read.not_after => Err(bad(CertificateError::Expired)),
        () if now < read.not_before => Err(bad(CertificateError::NotValidYet)),
        () => Ok(()),
    }
}

fn check_host(end_entity: &CertificateDer<'_>, name: &ServerName<'_>) -> Result<(), Error> {
    let by_alternative_names = verify_server_name(&ParsedCertificate::try_from(end_entity)?, name);
    let Err(error) = by_alternative_names else { return Ok(()) };
    let read = Certificate::read(end_entity).filter(|read| !read.has_alternative_names);
    let common_name = read.and_then(|read| read.common_name);
    match common_name {
        Some(pattern) if is_host(&pattern, &name.to_str()) => Ok(()),
        _ => Err(error),
    }
}

/// Whether a common name is that of the host; `*.` at its front stands for one label.
fn is_host(pattern: &str, host: &str) -> bool {
    if pattern.eq_ignore_ascii_case(host) {
        return true;
    }
    match (pattern.strip_prefix("*."), host.split_once('.')) {
        (Some(pattern), Some((first, rest))) => {
            !first.is_empty() && pattern.contains('.') && pattern.eq_ignore_ascii_case(rest)
        }
        _ => false,
    }
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(roots) = &self.roots {
            roots.verify(end_entity, intermediates, server_name, ocsp_response, now)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_one_label() {
        assert!(is_host("db.example.com", "DB.example.com"));
        assert!(is_host("*.example.com", "db.example.com"));
        assert!(!is_host("*.example.com", "a.db.example.com"));
        assert!(!is_host("*.com", "example.com"));
        assert!(!is_host("*", "db"));
        assert!(!is_host("*.example.com", ".example.com"));
    }
}
