use std::io;
use std::time::Duration;

use walship_protocol::wire::{ErrorFields, FrameError};

/// Why a connection could not be made, or a command not be run.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The host could not be reached.
    #[error("connection to server at \"{host}\" failed: {source}")]
    Connect {
        /// Where.
        host: String,
        /// What the operating system says.
        source: io::Error,
    },
    /// The host did not answer in time.
    #[error("connection to server at \"{host}\" failed: no answer within {} s", .after.as_secs())]
    ConnectTimeout {
        /// Where.
        host: String,
        /// `connect_timeout`.
        after: Duration,
    },
    /// The server refused the connection.
    #[error("connection to server at \"{host}\" failed: {}", .error.message)]
    Refused {
        /// Where.
        host: String,
        /// What it says.
        error: Box<ErrorFields>,
    },
    /// The server is not what `target_session_attrs` asks for.
    #[error("connection to server at \"{host}\" failed: {reason}")]
    SessionAttributes {
        /// Where.
        host: String,
        /// libpq's words for it.
        reason: &'static str,
    },
    /// The server wants to know more of us than we can tell.
    #[error("server at \"{host}\" asks for {method}, which is not available")]
    Authentication {
        /// Where.
        host: String,
        /// The method.
        method: String,
    },
    /// The server wants a password and there is none.
    #[error("server at \"{host}\" asks for a password, but none was given")]
    NoPassword {
        /// Where.
        host: String,
    },
    /// `sslmode` asks for encryption, and the server has none.
    #[error("connection to server at \"{host}\" failed: server does not support SSL, but SSL was required")]
    NoEncryption {
        /// Where.
        host: String,
    },
    /// The server answered the request for encryption with something else.
    #[error(
        "connection to server at \"{host}\" failed: received invalid response to SSL negotiation: {found:?}"
    )]
    SslAnswer {
        /// Where.
        host: String,
        /// The answer's first byte.
        found: char,
    },
    /// The handshake failed: the certificate is not what was asked for, or we are not let in.
    #[error("connection to server at \"{host}\" failed: SSL error: {source}")]
    Tls {
        /// Where.
        host: String,
        /// What TLS says.
        source: io::Error,
    },
    /// Our own files for TLS are not right.
    #[error("connection to server at \"{host}\" failed: {source}")]
    TlsFiles {
        /// Where.
        host: String,
        /// Which, and why.
        source: walship_tls::TlsError,
    },
    /// No certificate can be for a host of that name.
    #[error("connection to server at \"{host}\" failed: \"{name}\" is neither a host name nor an address")]
    ServerName {
        /// Where.
        host: String,
        /// The name.
        name: String,
    },
    /// The server's side of a password exchange is not right.
    #[error("connection to server at \"{host}\" failed: {source}")]
    Scram {
        /// Where.
        host: String,
        /// What is wrong with it.
        source: walship_auth::scram::ClientScramError,
    },
    /// `channel_binding=require`, and the server did not tie the login to its certificate.
    #[error("connection to server at \"{host}\" failed: channel binding required, but {reason}")]
    ChannelBinding {
        /// Where.
        host: String,
        /// Why.
        reason: &'static str,
    },
    /// None of several hosts would do.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    AllHosts(Vec<ClientError>),
    /// A command failed.
    #[error("{}", .0.message)]
    Server(Box<ErrorFields>),
    /// The connection broke.
    #[error("connection to server at \"{host}\" broke: {source}")]
    Broken {
        /// Where.
        host: String,
        /// What the operating system says.
        source: io::Error,
    },
    /// The server closed the connection.
    #[error("server at \"{host}\" closed the connection")]
    Closed {
        /// Where.
        host: String,
    },
    /// The server sent what is no message.
    #[error("server at \"{host}\" sent an {source}")]
    Protocol {
        /// Where.
        host: String,
        /// What is wrong with it.
        source: FrameError,
    },
    /// The server sent a message that has no place here.
    #[error("server at \"{host}\" sent {found}, expected {expected}")]
    Unexpected {
        /// Where.
        host: String,
        /// What it should have sent.
        expected: &'static str,
        /// What it sent.
        found: String,
    },
    /// A result does not fit in what is allowed for one.
    #[error("result of server at \"{host}\" exceeds {max} bytes")]
    ResultTooLarge {
        /// Where.
        host: String,
        /// [`crate::RESULT_BYTES_MAX`].
        max: usize,
    },
}

impl ClientError {
    /// Whether the same connection with or without encryption might do.
    pub(crate) fn may_depend_on_encryption(&self) -> bool {
        match self {
            ClientError::Tls { .. } | ClientError::SslAnswer { .. } => true,
            _ => self.is_about_access(),
        }
    }

    /// Whether the server's rules refused us.
    pub(crate) fn is_about_access(&self) -> bool {
        matches!(self, ClientError::Refused { error, .. } if error.sqlstate == "28000")
    }

    /// Advice that goes with the message, where it is not the server's.
    pub fn hint(&self) -> Option<String> {
        match self {
            ClientError::TlsFiles { source, .. } => source.hint(),
            ClientError::NoPassword { .. } => Some(
                "set PGPASSWORD, or add a line to ~/.pgpass (mode 0600): host:port:database:user:password"
                    .into(),
            ),
            ClientError::NoEncryption { .. } => {
                Some("set ssl = on at the server, or sslmode=prefer here".into())
            }
            _ => None,
        }
    }

    /// Whether no server was reached, so that another attempt may succeed.
    pub fn is_unreachable(&self) -> bool {
        match self {
            ClientError::Connect { .. } | ClientError::ConnectTimeout { .. } => true,
            // 57P03: starting or stopping
            ClientError::Refused { error, .. } => error.sqlstate == "57P03",
            ClientError::AllHosts(errors) => errors.iter().all(ClientError::is_unreachable),
            _ => false,
        }
    }

    /// What the server said, if it was the server that refused.
    pub fn server(&self) -> Option<&ErrorFields> {
        match self {
            ClientError::Server(error) | ClientError::Refused { error, .. } => Some(error),
            _ => None,
        }
    }

    /// The server's SQLSTATE, if it was the server that refused.
    pub fn sqlstate(&self) -> Option<&str> {
        self.server().map(|error| error.sqlstate.as_str())
    }
}
