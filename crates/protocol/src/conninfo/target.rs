use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::Conninfo;

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostAddress {
    /// A name or an address.
    Tcp(String),
    /// The directory of a Unix socket (a host that starts with `/`).
    Unix(PathBuf),
}

/// One of the hosts of a connection string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Name, address or socket directory.
    pub address: HostAddress,
    /// Its port.
    pub port: u16,
    /// What its certificate has to name, where that is not the address: the `host` that goes
    /// with a `hostaddr`.
    pub name: Option<String>,
}

/// `channel_binding`: whether a login is tied to the server's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ChannelBinding {
    /// Never.
    Disable,
    /// Where both sides can.
    #[default]
    Prefer,
    /// Always: a server that does not is refused.
    Require,
}

/// Files and limits for encryption; empty fields are libpq's defaults.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsOptions {
    /// `sslmode`: whether the connection is encrypted.
    pub mode: SslMode,
    /// `sslrootcert`.
    pub root_certificate: Option<PathBuf>,
    /// `sslcert`.
    pub certificate: Option<PathBuf>,
    /// `sslkey`.
    pub key: Option<PathBuf>,
    /// `ssl_min_protocol_version`.
    pub min_version: Option<String>,
    /// `ssl_max_protocol_version`.
    pub max_version: Option<String>,
    /// `channel_binding`.
    pub channel_binding: ChannelBinding,
}

/// `target_session_attrs`: which of several servers will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SessionAttributes {
    /// Any that answers.
    #[default]
    Any,
    /// One that takes writes.
    ReadWrite,
    /// One that takes none.
    ReadOnly,
    /// A leader.
    Primary,
    /// A follower.
    Standby,
    /// A follower if there is one, else any.
    PreferStandby,
}

/// `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum SslMode {
    /// Never.
    Disable,
    /// Only if the server insists.
    Allow,
    /// If the server can.
    #[default]
    Prefer,
    /// Always.
    Require,
    /// Always, with a certificate that a known authority signed.
    VerifyCa,
    /// The same, and the name must be the host's.
    VerifyFull,
}

/// A connection string with its defaults filled in: what to do to connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// To be tried in this order; never empty.
    pub hosts: Vec<Host>,
    /// The user's name.
    pub user: String,
    /// The password, if there is one.
    pub password: Option<Password>,
    /// The database; the user's name if none was given.
    pub database: String,
    /// How the session is called.
    pub application_name: Option<String>,
    /// Command-line options for the session.
    pub options: Option<String>,
    /// Which of the hosts will do.
    pub session_attributes: SessionAttributes,
    /// Longest time for one host; `None` waits as long as it takes.
    pub connect_timeout: Option<Duration>,
    /// Whether and how the connection is encrypted.
    pub tls: TlsOptions,
    /// `passfile`: where to look for a password that was not given.
    pub password_file: Option<PathBuf>,
    /// The user's home directory, for files that were not given.
    pub home: Option<PathBuf>,
}

/// A password; never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// The password itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(********)")
    }
}

/// A connection string that says something impossible.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// A port that is none.
    #[error("invalid port number: \"{0}\"")]
    Port(String),
    /// Neither one port nor one for each host.
    #[error("could not match {ports} port numbers to {hosts} hosts")]
    PortCount {
        /// Ports given.
        ports: usize,
        /// Hosts given.
        hosts: usize,
    },
    /// A word that the option does not take.
    #[error("invalid {keyword} value: \"{found}\"")]
    Value {
        /// The option.
        keyword: &'static str,
        /// What was given.
        found: String,
    },
}

/// The host when nothing names one.
const HOST_DEFAULT: &str = "127.0.0.1";
/// The port when nothing names one: where a leader listens.
const PORT_DEFAULT: u16 = 5433;
/// libpq takes a shorter timeout for this one.
const CONNECT_TIMEOUT_SECONDS_MIN: u64 = 2;

impl Conninfo {
    /// Fills in what was not given: from the environment (`PGHOST`, `PGPORT`, `PGUSER`,
    /// `PGPASSWORD`, `PGDATABASE`, `PGAPPNAME`, `PGOPTIONS`, `PGCONNECT_TIMEOUT`,
    /// `PGSSLMODE`, `PGSSLROOTCERT`, `PGSSLCERT`, `PGSSLKEY`, `PGCHANNELBINDING`,
    /// `PGPASSFILE`, `PGTARGETSESSIONATTRS`, `HOME`; read with `environment`), else
    /// 127.0.0.1:5433 and user `postgres`.
    pub fn target(&self, environment: impl Fn(&str) -> Option<String>) -> Result<Target, TargetError> {
        let given = |keyword: &str, variable: &str| {
            let own = self.get(keyword).map(str::to_owned);
            own.or_else(|| environment(variable)).filter(|value| !value.is_empty())
        };
        let user = given("user", "PGUSER").unwrap_or_else(|| "postgres".to_owned());
        let path = |keyword: &str, variable: &str| given(keyword, variable).map(PathBuf::from);
        let home = environment("HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
        let (addresses, names) = (given("hostaddr", "PGHOSTADDR"), given("host", "PGHOST"));
        let ports = given("port", "PGPORT");
        let mut hosts = hosts_and_ports(addresses.as_deref().or(names.as_deref()), ports.as_deref())?;
        if let (Some(_), Some(names)) = (addresses, names) {
            for (host, name) in hosts.iter_mut().zip(names.split(',')) {
                host.name = Some(name.trim().to_owned()).filter(|name| !name.is_empty());
            }
        }
        Ok(Target {
            hosts,
            password: given("password", "PGPASSWORD").map(Password),
            database: given("dbname", "PGDATABASE").unwrap_or_else(|| user.clone()),
            user,
            application_name: given("application_name", "PGAPPNAME")
                .or_else(|| self.get("fallback_application_name").map(str::to_owned)),
            options: given("options", "PGOPTIONS"),
            session_attributes: session_attributes(given("target_session_attrs", "PGTARGETSESSIONATTRS"))?,
            connect_timeout: connect_timeout(given("connect_timeout", "PGCONNECT_TIMEOUT"))?,
            tls: TlsOptions {
                mode: ssl_mode(given("sslmode", "PGSSLMODE"))?,
                root_certificate: path("sslrootcert", "PGSSLROOTCERT"),
                certificate: path("sslcert", "PGSSLCERT"),
                key: path("sslkey", "PGSSLKEY"),
                min_version: given("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION"),
                max_version: given("ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION"),
                channel_binding: channel_binding(given("channel_binding", "PGCHANNELBINDING"))?,
            },
            password_file: path("passfile", "PGPASSFILE")
                .or_else(|| home.as_ref().map(|home| home.join(".pgpass"))),
            home,
        })
    }
}

fn hosts_and_ports(hosts: Option<&str>, ports: Option<&str>) -> Result<Vec<Host>, TargetError> {
    let hosts: Vec<&str> = hosts.unwrap_or(HOST_DEFAULT).split(',').map(str::trim).collect();
    let ports: Vec<&str> = ports.unwrap_or("").split(',').map(str::trim).collect();
    if ports.len() != 1 && ports.len() != hosts.len() {
        return Err(TargetError::PortCount { ports: ports.len(), hosts: hosts.len() });
    }
    let port_of = |index: usize| -> Result<u16, TargetError> {
        match ports.get(index).or_else(|| ports.first()) {
            None | Some(&"") => Ok(PORT_DEFAULT),
            Some(text) => match text.parse() {
                Ok(port) if port != 0 => Ok(port),
                _ => Err(TargetError::Port((*text).to_owned())),
            },
        }
    };
    let one = |(index, host): (usize, &&str)| {
        let address = match *host {
            "" => HostAddress::Tcp(HOST_DEFAULT.to_owned()),
            path if path.starts_with('/') => HostAddress::Unix(PathBuf::from(path)),
            name => HostAddress::Tcp(name.to_owned()),
        };
        Ok(Host { address, port: port_of(index)?, name: None })
    };
    hosts.iter().enumerate().map(one).collect()
}

fn session_attributes(given: Option<String>) -> Result<SessionAttributes, TargetError> {
    match given.as_deref() {
        None | Some("any") => Ok(SessionAttributes::Any),
        Some("read-write") => Ok(SessionAttributes::ReadWrite),
        Some("read-only") => Ok(SessionAttributes::ReadOnly),
        Some("primary") => Ok(SessionAttributes::Primary),
        Some("standby") => Ok(SessionAttributes::Standby),
        Some("prefer-standby") => Ok(SessionAttributes::PreferStandby),
        Some(found) => Err(TargetError::Value { keyword: "target_session_attrs", found: found.to_owned() }),
    }
}

fn connect_timeout(given: Option<String>) -> Result<Option<Duration>, TargetError> {
    let Some(found) = given else { return Ok(None) };
    let seconds: i64 = match found.trim().parse() {
        Ok(seconds) => seconds,
        Err(_) => return Err(TargetError::Value { keyword: "connect_timeout", found }),
    };
    let positive = u64::try_from(seconds).ok().filter(|seconds| *seconds > 0);
    Ok(positive.map(|seconds| Duration::from_secs(seconds.max(CONNECT_TIMEOUT_SECONDS_MIN))))
}

fn ssl_mode(given: Option<String>) -> Result<SslMode, TargetError> {
    match given.as_deref() {
        None | Some("prefer") => Ok(SslMode::Prefer),
        Some("disable") => Ok(SslMode::Disable),
        Some("allow") => Ok(SslMode::Allow),
        Some("require") => Ok(SslMode::Require),
        Some("verify-ca") => Ok(SslMode::VerifyCa),
        Some("verify-full") => Ok(SslMode::VerifyFull),
        Some(found) => Err(TargetError::Value { keyword: "sslmode", found: found.to_owned() }),
    }
}

fn channel_binding(given: Option<String>) -> Result<ChannelBinding, TargetError> {
    match given.as_deref() {
        None | Some("prefer") => Ok(ChannelBinding::Prefer),
        Some("disable") => Ok(ChannelBinding::Disable),
        Some("require") => Ok(ChannelBinding::Require),
        Some(found) => Err(TargetError::Value { keyword: "channel_binding", found: found.to_owned() }),
    }
}

impl Host {
    /// As a password file names it: a Unix socket is `localhost` there.
    pub fn in_password_file(&self) -> &str {
        match (&self.name, &self.address) {
            (Some(name), _) | (None, HostAddress::Tcp(name)) => name,
            (None, HostAddress::Unix(_)) => "localhost",
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            HostAddress::Tcp(name) if name.contains(':') => write!(f, "[{name}]:{}", self.port),
            HostAddress::Tcp(name) => write!(f, "{name}:{}", self.port),
            HostAddress::Unix(directory) => {
                write!(f, "{}/.s.PGSQL.{}", directory.display(), self.port)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> Result<Target, TargetError> {
        let environment = |name: &str| match name {
            "PGPORT" => Some("6000".to_owned()),
            "PGUSER" => Some("ann".to_owned()),
            _ => None,
        };
        text.parse::<Conninfo>().unwrap().target(environment)
    }

    #[test]
    fn several_hosts_and_their_ports() {
        let shown = |text| target(text).unwrap().hosts.iter().map(Host::to_string).collect::<Vec<_>>();
        assert_eq!(shown("host=a,b,/run port=1,2,3"), ["a:1", "b:2", "/run/.s.PGSQL.3"]);
        assert_eq!(shown("host=a,::1 port=7"), ["a:7", "[::1]:7"]);
        assert_eq!(shown("host=a,b port=1,"), ["a:1", "b:5433"]);
        assert_eq!(shown(""), ["127.0.0.1:6000"]);
        let refused = TargetError::PortCount { ports: 2, hosts: 3 };
        assert_eq!(target("host=a,b,c port=1,2"), Err(refused));
        assert_eq!(target("port=0"), Err(TargetError::Port("0".into())));
        assert_eq!(target("port=65536"), Err(TargetError::Port("65536".into())));
    }

    #[test]
    fn defaults_and_words() {
        let plain = target("").unwrap();
        assert_eq!((plain.user.as_str(), plain.database.as_str()), ("ann", "ann"));
        assert_eq!(plain.connect_timeout, None);
        let given = target("target_session_attrs=prefer-standby connect_timeout=1 password=x").unwrap();
        assert_eq!(given.session_attributes, SessionAttributes::PreferStandby);
        assert_eq!(given.connect_timeout, Some(Duration::from_secs(2)));
        assert!(format!("{:?}", given.password).contains("********"));
        assert!(matches!(target("sslmode=maybe"), Err(TargetError::Value { keyword: "sslmode", .. })));
        assert_eq!(target("connect_timeout=-1").unwrap().connect_timeout, None);
        let by_address = target("host=db.example.com hostaddr=10.0.0.1 passfile=/p channel_binding=require");
        let by_address = by_address.unwrap();
        assert_eq!(by_address.hosts[0].to_string(), "10.0.0.1:6000");
        assert_eq!(by_address.hosts[0].in_password_file(), "db.example.com");
        assert_eq!(by_address.tls.channel_binding, ChannelBinding::Require);
        assert_eq!(by_address.password_file, Some(PathBuf::from("/p")));
    }
}
