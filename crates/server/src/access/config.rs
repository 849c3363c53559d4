use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use walship_auth::hba::{self, HbaError, Parsed, Rules};
use walship_settings::{Settings, Typed as _};
use walship_tls::{ServerFiles, TlsError, TlsVersion};

/// What the settings say about access.
#[derive(Debug, Clone)]
pub struct AccessConfig {
    /// The rules' file.
    pub hba_file: PathBuf,
    /// The files for TLS, where it is on.
    pub tls: Option<ServerFiles>,
    /// How long a failed login waits for its answer.
    pub failure_delay: Duration,
    /// Whether logins are logged.
    pub logs_connections: bool,
}

/// Why nobody could be let in.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The rules' file cannot be read.
    #[error("could not open configuration file \"{}\": {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line of it is no rule.
    #[error("configuration file \"{}\", {error}", path.display())]
    Rules {
        /// The file.
        path: PathBuf,
        /// Which, and why.
        error: HbaError,
    },
    /// TLS is on and cannot be.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl AccessError {
    /// Advice that goes with the message.
    pub fn hint(&self) -> Option<String> {
        match self {
            AccessError::Read { .. } => None,
            AccessError::Rules { error, .. } => error.hint.clone(),
            AccessError::Tls(error) => error.hint(),
        }
    }
}

impl AccessConfig {
    /// As the settings of the cluster in `root` say. Relative paths are relative to it.
    pub fn new(settings: &Settings, root: &Path) -> AccessConfig {
        let path =
            |name| Some(settings.text(name)).filter(|text| !text.is_empty()).map(|text| root.join(text));
        let min_version = TlsVersion::parse(&settings.text("ssl_min_protocol_version"));
        let tls = settings.bool("ssl").then(|| ServerFiles {
            certificate: path("ssl_cert_file").unwrap_or_default(),
            key: path("ssl_key_file").unwrap_or_default(),
            authorities: path("ssl_ca_file"),
            revoked: path("ssl_crl_file"),
            min_version: min_version.unwrap_or(TlsVersion::V1_2),
        });
        AccessConfig {
            hba_file: path("hba_file").unwrap_or_else(|| root.join("pg_hba.conf")),
            tls,
            failure_delay: settings.duration("authentication_failure_delay"),
            logs_connections: settings.bool("log_connections"),
        }
    }
}

/// The rules of a file.
pub(super) fn load_rules(path: &Path) -> Result<Rules, AccessError> {
    let parsed = parse_rules(path)?;
    parsed.into_rules().map_err(|error| AccessError::Rules { path: path.to_owned(), error })
}

/// Its lines, mistakes included.
pub(crate) fn parse_rules(path: &Path) -> Result<Parsed, AccessError> {
    let text =
        fs::read_to_string(path).map_err(|source| AccessError::Read { path: path.to_owned(), source })?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut include = |name: &str| fs::read_to_string(folder.join(name)).map_err(|error| error.to_string());
    Ok(hba::parse(&text, &mut include))
}
