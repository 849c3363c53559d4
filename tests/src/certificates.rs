use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

/// An authority of a test, and the files that it has signed.
pub struct Authority {
    directory: PathBuf,
    name: String,
    certificate: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

/// The files of one certificate; the key's mode is 0600.
#[derive(Debug, Clone)]
pub struct CertificateFiles {
    /// The certificate, PEM.
    pub certificate: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
}

impl Authority {
    /// A new authority; its certificate lies in `directory` as `NAME.crt`.
    ///
    /// # Panics
    /// When a file cannot be written.
    pub fn new(directory: &Path, name: &str) -> Authority {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        parameters.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("make a key");
        let signed = parameters.self_signed(&key).expect("sign the authority's certificate");
        let certificate = directory.join(format!("{name}.crt"));
        std::fs::write(&certificate, signed.pem()).expect("write the authority's certificate");
        Authority {
            directory: directory.to_owned(),
            name: name.to_owned(),
            certificate,
            issuer: Issuer::new(parameters, key),
        }
    }

    /// The file of its certificate: what clients and servers verify with.
    pub fn certificate(&self) -> &Path {
        &self.certificate
    }

    /// A server's certificate for these hosts.
    pub fn server(&self, name: &str, hosts: &[&str]) -> CertificateFiles {
        self.sign(name, name, hosts, false)
    }

    /// A server's certificate that is not valid any more.
    pub fn expired_server(&self, name: &str, hosts: &[&str]) -> CertificateFiles {
        self.sign(name, name, hosts, true)
    }

    /// A user's certificate.
    pub fn client(&self, user: &str) -> CertificateFiles {
        self.sign(&format!("{user}-by-{}", self.name), user, &[], false)
    }

    /// A user's certificate that is not valid any more.
    pub fn expired_client(&self, user: &str) -> CertificateFiles {
        self.sign(&format!("{user}-expired"), user, &[], true)
    }

    fn sign(&self, file: &str, common_name: &str, hosts: &[&str], expired: bool) -> CertificateFiles {
        let hosts: Vec<String> = hosts.iter().map(|&host| host.to_owned()).collect();
        let mut parameters = CertificateParams::new(hosts).expect("hosts are names or addresses");
        parameters.distinguished_name.push(DnType::CommonName, common_name);
        parameters.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        if expired {
            parameters.not_before = date_time_ymd(2020, 1, 1);
            parameters.not_after = date_time_ymd(2020, 2, 1);
        }
        let key = KeyPair::generate().expect("make a key");
        let signed = parameters.signed_by(&key, &self.issuer).expect("sign a certificate");
        let files = CertificateFiles {
            certificate: self.directory.join(format!("{file}.crt")),
            key: self.directory.join(format!("{file}.key")),
        };
        std::fs::write(&files.certificate, signed.pem()).expect("write a certificate");
        std::fs::write(&files.key, key.serialize_pem()).expect("write a key");
        std::fs::set_permissions(&files.key, PermissionsExt::from_mode(0o600)).expect("close a key");
        files
    }
}

impl CertificateFiles {
    /// The settings with which a server uses it, for `-c`.
    pub fn settings(&self) -> Vec<String> {
        vec![
            "ssl=on".to_owned(),
            format!("ssl_cert_file={}", self.certificate.display()),
            format!("ssl_key_file={}", self.key.display()),
        ]
    }
}
