use walship_protocol::{Host, HostAddress, SessionAttributes, SslMode, Target};

use crate::encrypt::{self, Way};
use crate::session_attributes::{rejection, relaxed};
use crate::{ClientError, Connection};

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// SQL in the target's database.
    Sql,
    /// Replication commands (`replication=true`).
    Replication,
}

impl Connection {
    /// Connects to the first of the target's hosts that answers and is what its
    /// `target_session_attrs` asks for. `application_name` is used if the target has none.
    pub async fn connect(
        target: &Target,
        purpose: Purpose,
        application_name: &str,
    ) -> Result<Connection, ClientError> {
        let mut failures = Vec::new();
        let wanted = target.session_attributes;
        for attributes in std::iter::once(wanted).chain(relaxed(wanted)) {
            for host in &target.hosts {
                match one_host(target, host, purpose, application_name, attributes).await {
                    Ok(connection) => return Ok(connection),
                    Err(error) => failures.push(error),
                }
            }
        }
        Err(match failures.len() {
            1 => failures.swap_remove(0),
            _ => ClientError::AllHosts(failures),
        })
    }
}

async fn one_host(
    target: &Target,
    host: &Host,
    purpose: Purpose,
    application_name: &str,
    attributes: SessionAttributes,
) -> Result<Connection, ClientError> {
    let attempt = async {
        let ways = ways(target.tls.mode, host);
        let mut failed = None;
        for way in ways {
            let transport = encrypt::open(target, host, *way).await;
            let started = match transport {
                Ok(transport) => {
                    let mut connection = Connection::new(transport, host.clone());
                    let started = connection.start_up(target, purpose, application_name).await;
                    started.map(|()| connection)
                }
                Err(error) => Err(error),
            };
            match started {
                Ok(connection) => return checked(connection, attributes).await,
                // an error that another way cannot change is the one to tell
                Err(error) if failed.is_none() || error.is_about_access() => failed = Some(error),
                Err(_) => {}
            }
            if failed.as_ref().is_some_and(|error| !error.may_depend_on_encryption()) {
                break;
            }
        }
        Err(failed.unwrap_or_else(|| ClientError::NoEncryption { host: host.to_string() }))
    };
    match target.connect_timeout {
        None => attempt.await,
        Some(after) => match tokio::time::timeout(after, attempt).await {
            Ok(result) => result,
            Err(_) => Err(ClientError::ConnectTimeout { host: host.to_string(), after }),
        },
    }
}

async fn checked(connection: Connection, attributes: SessionAttributes) -> Result<Connection, ClientError> {
    match rejection(&connection, attributes) {
        None => Ok(connection),
        Some(reason) => {
            let host = connection.host().to_string();
            connection.close().await;
            Err(ClientError::SessionAttributes { host, reason })
        }
    }
}

/// What to try, in order, as libpq does.
fn ways(mode: SslMode, host: &Host) -> &'static [Way] {
    if matches!(host.address, HostAddress::Unix(_)) {
        // nobody is in between; PostgreSQL has no TLS there either
        return &[Way::Plain];
    }
    match mode {
        SslMode::Disable => &[Way::Plain],
        SslMode::Allow => &[Way::Plain, Way::Tls],
        SslMode::Prefer => &[Way::TlsIfOffered, Way::Plain],
        SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => &[Way::Tls],
    }
}
