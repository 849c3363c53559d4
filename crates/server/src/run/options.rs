use std::path::{Path, PathBuf};

use walship_node::NewCluster;

/// Which program runs: it decides the default port and what `--init` does, not
/// the role, which the directory knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// The leader's.
    WalSender,
    /// The follower's.
    WalReceiver,
}

impl Program {
    /// As messages begin.
    pub fn name(self) -> &'static str {
        match self {
            Program::WalSender => "walsender",
            Program::WalReceiver => "walreceiver",
        }
    }

    /// The port when neither `--listen` nor the settings name one.
    pub fn default_port(self) -> u16 {
        match self {
            Program::WalSender => 5433,
            Program::WalReceiver => 5434,
        }
    }
}

/// What to create when the directory is missing or empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Init {
    /// A new cluster with one database named `postgres`.
    Cluster(NewCluster),
    /// A copy of the leader's cluster.
    BaseBackup,
}

/// A program's command line.
#[derive(Debug, Clone)]
pub struct StartOptions {
    /// Which program.
    pub program: Program,
    /// `-D`.
    pub directory: PathBuf,
    /// `--init`.
    pub init: Option<Init>,
    /// `--listen`.
    pub listen: Option<String>,
    /// `--metrics-listen`.
    pub metrics_listen: Option<String>,
    /// `-c`, in order.
    pub settings: Vec<String>,
    /// `--primary`.
    pub primary: Option<String>,
    /// `--name`.
    pub name: Option<String>,
    /// `--slot`.
    pub slot: Option<String>,
    /// Not `--no-slot`.
    pub use_slot: bool,
    /// Not `--no-retry`.
    pub retry: bool,
    /// `--auto-rewind`.
    pub auto_rewind: bool,
}

impl StartOptions {
    /// As a program is started in a directory without more to say.
    pub fn in_directory(program: Program, directory: &Path) -> StartOptions {
        StartOptions {
            program,
            directory: directory.to_owned(),
            init: None,
            listen: None,
            metrics_listen: None,
            settings: Vec::new(),
            primary: None,
            name: None,
            slot: None,
            use_slot: true,
            retry: true,
            auto_rewind: false,
        }
    }
}

/// A `--listen` value: address and port.
pub(crate) fn parse_listen(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    Some((host.to_owned(), port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_parse() {
        assert_eq!(parse_listen("127.0.0.1:5433"), Some(("127.0.0.1".to_owned(), 5433)));
        assert_eq!(parse_listen("[::1]:1"), Some(("::1".to_owned(), 1)));
        for bad in ["", "5433", "a:b", "a:70000"] {
            assert_eq!(parse_listen(bad), None, "{bad}");
        }
    }
}
