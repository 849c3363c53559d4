use walship_protocol::{Host, SessionAttributes, SslMode, Target};

use crate::session_attributes::{rejection, relaxed};
use crate::transport::Transport;
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
        if target.ssl_mode >= SslMode::Require {
            return Err(ClientError::Encryption { host: host.to_string() });
        }
        let transport = Transport::connect(host)
            .await
            .map_err(|source| ClientError::Connect { host: host.to_string(), source })?;
        let mut connection = Connection::new(transport, host.clone());
        connection.start_up(target, purpose, application_name).await?;
        match rejection(&connection, attributes) {
            None => Ok(connection),
            Some(reason) => {
                connection.close().await;
                Err(ClientError::SessionAttributes { host: host.to_string(), reason })
            }
        }
    };
    match target.connect_timeout {
        None => attempt.await,
        Some(after) => match tokio::time::timeout(after, attempt).await {
            Ok(result) => result,
            Err(_) => Err(ClientError::ConnectTimeout { host: host.to_string(), after }),
        },
    }
}
