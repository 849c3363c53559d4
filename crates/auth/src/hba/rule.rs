use super::{Address, HbaError, Token};

/// Over what a client may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionType {
    /// A Unix socket.
    Local,
    /// TCP, with TLS or without.
    Host,
    /// TCP with TLS.
    HostSsl,
    /// TCP without TLS.
    HostNoSsl,
    /// TCP without GSSAPI encryption: the same as `host` here.
    HostNoGssEnc,
}

impl ConnectionType {
    /// As the file has it.
    pub fn name(self) -> &'static str {
        match self {
            ConnectionType::Local => "local",
            ConnectionType::Host => "host",
            ConnectionType::HostSsl => "hostssl",
            ConnectionType::HostNoSsl => "hostnossl",
            ConnectionType::HostNoGssEnc => "hostnogssenc",
        }
    }
}

/// How a client has to prove who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Not at all.
    Trust,
    /// It is not let in.
    Reject,
    /// By a password.
    ScramSha256,
    /// The same: what is kept of passwords decides, and that is always SCRAM.
    Md5,
    /// By a certificate whose name is the user's.
    Cert,
    /// By the operating system's user of that name, over a Unix socket.
    Peer,
    /// Ours: as [`Method::Trust`] for the operating-system user that the server runs as
    /// and for root, where the operating system vouches for it; as
    /// [`Method::ScramSha256`] for everybody else.
    Owner,
}

/// The methods that a file may name.
pub const METHODS: [(&str, Method); 8] = [
    ("trust", Method::Trust),
    ("reject", Method::Reject),
    ("scram-sha-256", Method::ScramSha256),
    ("md5", Method::Md5),
    ("cert", Method::Cert),
    ("peer", Method::Peer),
    ("ident", Method::Peer),
    ("owner", Method::Owner),
];

impl Method {
    /// As `pg_hba_file_rules` shows it.
    pub fn name(self) -> &'static str {
        METHODS.iter().find(|(_, method)| *method == self).map_or("", |(name, _)| name)
    }
}

/// `clientcert`: what is asked of a client's certificate beside the method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientCertificate {
    /// Nothing.
    Off,
    /// It has one that a known authority signed.
    VerifyCa,
    /// The same, and its name is the user's.
    VerifyFull,
}

/// `clientname`: what of the certificate is its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateName {
    /// The common name.
    CommonName,
    /// The whole distinguished name, as RFC 2253 writes it.
    DistinguishedName,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its line, from 1.
    pub line: u32,
    /// Over what.
    pub connection: ConnectionType,
    /// To which databases.
    pub databases: Vec<Token>,
    /// As which users.
    pub users: Vec<Token>,
    /// From where; `None` for [`ConnectionType::Local`].
    pub address: Option<Address>,
    /// How.
    pub method: Method,
    /// What is asked of its certificate; [`ClientCertificate::VerifyFull`] with [`Method::Cert`].
    pub client_certificate: ClientCertificate,
    /// What of the certificate is compared with the user.
    pub certificate_name: CertificateName,
}

impl Rule {
    /// Options as `pg_hba_file_rules` shows them.
    pub fn options(&self) -> Vec<String> {
        let mut options = Vec::new();
        match self.client_certificate {
            ClientCertificate::Off => {}
            ClientCertificate::VerifyCa => options.push("clientcert=verify-ca".to_owned()),
            ClientCertificate::VerifyFull => options.push("clientcert=verify-full".to_owned()),
        }
        if self.certificate_name == CertificateName::DistinguishedName {
            options.push("clientname=DN".to_owned());
        }
        options
    }
}

/// The rules of a file without mistakes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    pub(super) rules: Vec<Rule>,
}

impl Rules {
    /// At least one.
    pub(super) fn new(rules: Vec<Rule>) -> Result<Rules, HbaError> {
        match rules.is_empty() {
            true => Err(HbaError::new(0, 0, "file contains no entries").hint(
                "without an entry nobody could connect; one that lets the owner in: local all all owner",
            )),
            false => Ok(Rules { rules }),
        }
    }

    /// In the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter()
    }

    /// Whether a decision needs to know this machine's own addresses.
    pub fn need_own_networks(&self) -> bool {
        self.rules.iter().any(|rule| matches!(rule.address, Some(Address::SameHost | Address::SameNet)))
    }
}
