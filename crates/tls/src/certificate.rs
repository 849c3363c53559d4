use std::time::{Duration, SystemTime};

use ring::digest;
use rustls::pki_types::CertificateDer;
use x509_cert::Certificate as Parsed;
use x509_cert::der::Decode as _;
use x509_cert::der::oid::ObjectIdentifier;

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const SUBJECT_ALTERNATIVE_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");

/// What a certificate says, as far as anybody asks. It was not verified by reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The subject's first common name, if it has one without a zero byte.
    pub common_name: Option<String>,
    /// The subject, as RFC 4514 writes it.
    pub subject: String,
    /// The issuer, likewise.
    pub issuer: String,
    /// The serial number in decimal, or in hexadecimal where it has more than 16 bytes.
    pub serial: String,
    /// Whether it names hosts beside the subject.
    pub has_alternative_names: bool,
    /// From when on it is valid.
    pub not_before: SystemTime,
    /// Up to when.
    pub not_after: SystemTime,
}

impl Certificate {
    /// Reads one; `None` if it is not X.509.
    pub fn read(der: &CertificateDer<'_>) -> Option<Certificate> {
        let parsed = Parsed::from_der(der).ok()?;
        let body = parsed.tbs_certificate;
        let names = body.subject.0.iter().flat_map(|names| names.0.iter());
        let common_name = names.clone().find(|name| name.oid == COMMON_NAME).and_then(|name| {
            let text = std::str::from_utf8(name.value.value()).ok()?;
            // a name that other software might read only up to the zero is no name
            (!text.contains('\0')).then(|| text.to_owned())
        });
        let mut extensions = body.extensions.iter().flatten();
        let time = |since: Duration| SystemTime::UNIX_EPOCH + since;
        Some(Certificate {
            common_name,
            subject: body.subject.to_string(),
            issuer: body.issuer.to_string(),
            serial: serial(body.serial_number.as_bytes()),
            has_alternative_names: extensions.any(|extension| extension.extn_id == SUBJECT_ALTERNATIVE_NAME),
            not_before: time(body.validity.not_before.to_unix_duration()),
            not_after: time(body.validity.not_after.to_unix_duration()),
        })
    }
}

fn serial(bytes: &[u8]) -> String {
    let number =
        bytes.iter().try_fold(0_u128, |number, byte| number.checked_mul(256)?.checked_add((*byte).into()));
    match number {
        Some(number) => number.to_string(),
        None => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

/// What `tls-server-end-point` binds a login to (RFC 5929, section 4.1): the certificate's
/// hash, by the hash of its own signature, and by SHA-256 where that is MD5 or SHA-1. `None`
/// where the signature has no one hash (Ed25519, RSA-PSS): libpq cannot bind there either.
pub fn end_point_hash(der: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let parsed = Parsed::from_der(der).ok()?;
    let algorithm = match parsed.signature_algorithm.oid.to_string().as_str() {
        // RSA with MD5, SHA-1, SHA-256; ECDSA with SHA-1, SHA-256
        "1.2.840.113549.1.1.4"
        | "1.2.840.113549.1.1.5"
        | "1.2.840.113549.1.1.11"
        | "1.2.840.10045.4.1"
        | "1.2.840.10045.4.3.2" => &digest::SHA256,
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => &digest::SHA384,
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => &digest::SHA512,
        _ => return None,
    };
    Some(digest::digest(algorithm, der).as_ref().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_serials_and_hashes() {
        let mut parameters = rcgen::CertificateParams::new(vec!["db.example.com".to_owned()]).unwrap();
        parameters.distinguished_name.push(rcgen::DnType::CommonName, "ann");
        parameters.distinguished_name.push(rcgen::DnType::OrganizationName, "Shop, Inc.");
        parameters.serial_number = Some(rcgen::SerialNumber::from(258_u64));
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        let read = Certificate::read(certificate.der()).unwrap();
        assert_eq!(read.common_name.as_deref(), Some("ann"));
        assert!(read.subject.contains("CN=ann") && read.subject.contains("O=Shop\\, Inc."), "{read:?}");
        assert_eq!(read.serial, "258");
        assert!(read.has_alternative_names && read.not_before < read.not_after);
        assert_eq!(end_point_hash(certificate.der()).unwrap().len(), 48);
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let certificate = rcgen::CertificateParams::default().self_signed(&key).unwrap();
        assert_eq!(end_point_hash(certificate.der()), None);
        assert_eq!(Certificate::read(&CertificateDer::from(vec![0x30, 0x80, 1])), None);
    }
}
