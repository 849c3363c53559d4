use clap::Args;
use walship_client::{ClientError, Connection, Purpose};
use walship_protocol::wire::ErrorFields;
use walship_protocol::{Conninfo, HostAddress, Target};

use crate::failure::{Failure, PROGRAM};

/// How to reach a server, as PostgreSQL's programs are told.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Connection options")]
pub(crate) struct ConnectionOptions {
    /// Host name, address, or directory of the Unix socket [env: PGHOST] [default: 127.0.0.1]
    #[arg(short = 'h', long, value_name = "HOST")]
    host: Option<String>,

    /// Port [env: PGPORT] [default: 5433]
    #[arg(short = 'p', long, value_name = "PORT")]
    port: Option<String>,

    /// User name [env: PGUSER] [default: postgres]
    #[arg(short = 'U', long, value_name = "NAME")]
    username: Option<String>,

    /// Database to connect to, or a connection string (key=value or URI, several hosts)
    #[arg(short = 'd', long, value_name = "DBNAME|CONNINFO")]
    dbname: Option<String>,
}

impl ConnectionOptions {
    /// What they say, with what the environment and the defaults add.
    pub(crate) fn target(&self) -> Result<Target, Failure> {
        let mut conninfo = match &self.dbname {
            Some(text) if is_conninfo(text) => text.parse::<Conninfo>().map_err(Failure::usage)?,
            Some(name) => with(Conninfo::default(), "dbname", name)?,
            None => Conninfo::default(),
        };
        let given = [("host", &self.host), ("port", &self.port), ("user", &self.username)];
        for (keyword, value) in given {
            if let Some(value) = value {
                conninfo = with(conninfo, keyword, value)?;
            }
        }
        target_of(&conninfo)
    }

    /// Connects.
    pub(crate) async fn connect(&self, purpose: Purpose) -> Result<Connection, Failure> {
        connect(&self.target()?, purpose).await
    }
}

fn is_conninfo(text: &str) -> bool {
    text.contains('=') || text.contains("://")
}

fn with(mut conninfo: Conninfo, keyword: &str, value: &str) -> Result<Conninfo, Failure> {
    conninfo.set(keyword, value).map_err(Failure::usage)?;
    Ok(conninfo)
}

/// Fills in what was not given. Every cluster has a database `postgres`, whoever asks.
fn target_of(conninfo: &Conninfo) -> Result<Target, Failure> {
    let environment = |name: &str| {
        let set = std::env::var(name).ok();
        set.or_else(|| (name == "PGDATABASE").then(|| "postgres".to_owned()))
    };
    conninfo.target(environment).map_err(Failure::usage)
}

/// A server as an argument names it: a connection string, or `HOST[:PORT]`.
pub(crate) fn server(text: &str) -> Result<Target, Failure> {
    if is_conninfo(text) {
        return target_of(&text.parse::<Conninfo>().map_err(Failure::usage)?);
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => (host, Some(port)),
        _ => (text, None),
    };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let mut conninfo = with(Conninfo::default(), "host", host)?;
    if let Some(port) = port {
        conninfo = with(conninfo, "port", port)?;
    }
    target_of(&conninfo)
}

/// The same as a connection string that a server reads, which knows nothing of our short form.
pub(crate) fn conninfo_of(text: &str) -> Result<String, Failure> {
    let target = server(text)?;
    let host = target.hosts.first().filter(|_| !is_conninfo(text));
    Ok(host.map_or_else(
        || text.to_owned(),
        |host| {
            let address = match &host.address {
                HostAddress::Tcp(name) => name.clone(),
                HostAddress::Unix(path) => path.display().to_string(),
            };
            format!("host={address} port={} user={}", host.port, target.user)
        },
    ))
}

/// Connects to the first server of the target that will do.
pub(crate) async fn connect(target: &Target, purpose: Purpose) -> Result<Connection, Failure> {
    Ok(Connection::connect(target, purpose, PROGRAM).await?)
}

/// Runs asynchronous work to its end on this thread.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::new(format!("could not start: {error}")))?.block_on(work)
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Failure {
        let failure = Failure::new(&error);
        match error.server() {
            Some(ErrorFields { detail, hint, .. }) => failure.more(detail.as_deref(), hint.as_deref()),
            None => match &error {
                ClientError::Connect { .. } => {
                    failure.hint("check that the server runs there, and -h and -p")
                }
                other => failure.more(None, other.hint().as_deref()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(target: Result<Target, Failure>) -> Vec<String> {
        target.unwrap().hosts.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn servers_have_short_names() {
        assert_eq!(hosts(server("10.0.0.1:77")), ["10.0.0.1:77"]);
        assert_eq!(hosts(server("[::1]:77")), ["[::1]:77"]);
        assert_eq!(hosts(server("host=a,b port=1,2")), ["a:1", "b:2"]);
        assert_eq!(hosts(server("postgresql://c:3/x")), ["c:3"]);
        assert!(server("host").is_ok());
        assert!(conninfo_of("10.0.0.1:77").unwrap().starts_with("host=10.0.0.1 port=77 user="));
        assert_eq!(conninfo_of("host=a,b port=1,2").unwrap(), "host=a,b port=1,2");
        assert!(server("a:99999").is_err());
        assert!(server("color=blue").is_err());
    }

    #[test]
    fn options_go_before_the_connection_string() {
        let options = ConnectionOptions {
            host: None,
            port: Some("9".into()),
            username: Some("ann".into()),
            dbname: Some("host=a port=1 dbname=x".into()),
        };
        let target = options.target().unwrap();
        assert_eq!((target.user.as_str(), target.database.as_str()), ("ann", "x"));
        assert_eq!(target.hosts[0].to_string(), "a:9");
    }
}
