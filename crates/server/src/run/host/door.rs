use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::BytesMut;
use tokio::io::AsyncWriteExt;
use tokio::sync::{Notify, oneshot};
use walship_node::{BackendKind, BackendStart, Interrupt};
use walship_protocol::wire::ReplicationMode;
use walship_protocol::wire::{
    ErrorFields, TransactionStatus, put_authentication_ok, put_backend_key_data, put_error,
    put_parameter_status, put_ready_for_query,
};
use walship_replication::{ConnectionError, ReplicationSession, serve_replication};
use walship_sql::ClientAddress;
use walship_sql::SessionHost;
use walship_sql::roles::Identity;

use super::Host;
use crate::listen::{ReplicationConnection, ReplicationHandler, Socket};
use crate::run::host::sql::backend_tls;

/// Name of the threads that serve replication connections.
pub(crate) const SENDER_THREAD: &str = "wal sender";

/// Lets replication connections in: greets them, and serves them until they end.
pub(crate) struct ReplicationDoor {
    pub(crate) host: Host,
}

impl ReplicationHandler for ReplicationDoor {
    fn serve(&self, connection: ReplicationConnection) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let host = self.host.clone();
        Box::pin(async move {
            if let Err(error) = serve(host, connection).await {
                // what an operator wants to know has been logged where it happened
                tracing::debug!(%error, "replication connection ended");
            }
        })
    }
}

async fn serve(host: Host, connection: ReplicationConnection) -> Result<(), ConnectionError> {
    let ReplicationConnection { mut socket, parameters, mode, client, identity } = connection;
    let refusal = match mode {
        ReplicationMode::Database => Some(
            ErrorFields::error("0A000", "logical replication connections are not supported")
                .with_hint("connect with replication=true for physical replication, or without it for SQL"),
        ),
        _ => host.admit().err().map(ErrorFields::from),
    };
    if let Some(error) = refusal {
        let mut out = BytesMut::new();
        put_error(&mut out, &error.fatal());
        return Ok(socket.write_all(&out).await?);
    }
    let (over, is_over) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let admitted =
        Admitted { socket, application_name: parameters.application_name().to_owned(), client, identity };
    std::thread::Builder::new().name(SENDER_THREAD.to_owned()).spawn(move || {
        let result = runtime.block_on(admitted.serve(host));
        // the node may be gone
        let _ = over.send(result);
    })?;
    // a panic has been reported by itself
    is_over.await.unwrap_or(Err(ConnectionError::Closed))
}

/// A connection that gets a thread of its own, as PostgreSQL's walsenders are processes: a
/// commit that waits for a follower wakes it without the detour over another thread.
struct Admitted {
    socket: Socket,
    application_name: String,
    client: ClientAddress,
    identity: Identity,
}

impl Admitted {
    async fn serve(self, host: Host) -> Result<(), ConnectionError> {
        let Admitted { mut socket, application_name, client, identity } = self;
        socket.change_runtime()?;
        let ended = Arc::new(Notify::new());
        let hook = Arc::clone(&ended);
        let user = identity.user.clone();
        let client = match client {
            ClientAddress::Tcp(address) => Some(address),
            ClientAddress::Local => None,
        };
        let start = BackendStart {
            kind: BackendKind::WalSender,
            database: None,
            user: user.clone(),
            application_name: application_name.clone(),
            client_address: client,
            tls: identity.tls.as_deref().map(backend_tls),
        };
        let registered = host.backends.register(
            start,
            Arc::new(move |interrupt| {
                if interrupt == Interrupt::Terminate {
                    hook.notify_one();
                }
            }),
        );
        let mut greeting = BytesMut::new();
        let reported = reported_settings(&host, &identity, &application_name);
        put_greeting(&mut greeting, &reported, registered.pid(), registered.key());
        socket.write_all(&greeting).await?;
        socket.flush().await?;
        let session = ReplicationSession {
            pid: registered.pid(),
            user,
            superuser: identity.superuser,
            application_name,
            client,
        };
        tokio::select! {
            result = serve_replication(socket, BytesMut::new(), session, Arc::new(host)) => result,
            () = ended.notified() => Ok(()),
        }
    }
}

/// What a physical replication connection is told of the settings; the encodings are
/// PostgreSQL's for a connection without a database.
fn reported_settings(host: &Host, identity: &Identity, application_name: &str) -> Vec<(String, String)> {
    let mut settings = SessionHost::settings(host, identity);
    // a name that cannot be set is one that the client made up; it keeps the default
    let _ = settings.set_at_startup("application_name", application_name);
    let reported = settings.report_all().into_iter().map(|(name, value)| match name {
        "client_encoding" | "server_encoding" => (name.to_owned(), "SQL_ASCII".to_owned()),
        _ => (name.to_owned(), value),
    });
    reported.collect()
}

/// AuthenticationOk, the reported settings, BackendKeyData, ReadyForQuery.
fn put_greeting(out: &mut BytesMut, reported: &[(String, String)], pid: i32, key: i32) {
    put_authentication_ok(out);
    for (name, value) in reported {
        put_parameter_status(out, name, value);
    }
    put_backend_key_data(out, pid, key);
    put_ready_for_query(out, TransactionStatus::Idle);
}
