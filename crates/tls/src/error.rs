use std::io;
use std::path::PathBuf;

/// Files that do not make a TLS configuration.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("could not load {what} file \"{}\": {source}", path.display())]
    Read {
        /// What it is for.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file's content is not what it should be.
    #[error("could not load {what} file \"{}\": {problem}", path.display())]
    Content {
        /// What it is for.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Somebody else could read the key.
    #[error("private key file \"{}\" has group or world access", path.display())]
    KeyPermissions {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The key belongs to somebody else.
    #[error("private key file \"{}\" must be owned by the database user or root", path.display())]
    KeyOwner {
        /// The file.
        path: PathBuf,
    },
    /// Verification was asked for, and there is nothing to verify with.
    #[error("root certificate file \"{}\" does not exist", path.display())]
    NoRoot {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// A certificate without its key.
    #[error("certificate present, but not private key file \"{}\"", path.display())]
    NoKey {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The certificate and the key do not belong together, or versions contradict each other.
    #[error("could not set up TLS: {0}")]
    Setup(String),
}

impl TlsError {
    /// Advice that goes with the message, in PostgreSQL's words where it has some.
    pub fn hint(&self) -> Option<String> {
        match self {
            TlsError::KeyPermissions { mode, .. } => Some(format!(
                "File must have permissions u=rw (0600) or less if owned by the database user, or permissions \
                 u=rw,g=r (0640) or less if owned by root; it has {mode:04o}."
            )),
            TlsError::NoRoot { .. } => Some(
                "Either provide the file or change sslmode to disable server certificate verification."
                    .into(),
            ),
            TlsError::Content { what, .. } => Some(format!("a {what} file is PEM: -----BEGIN ...-----")),
            _ => None,
        }
    }
}
