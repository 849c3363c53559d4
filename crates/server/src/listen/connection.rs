use std::future::Future;
use std::io::{self, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::thread;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use walship_protocol::wire::{
    InvalidStartup, PROTOCOL_MINOR_MAX, ReplicationMode, StartupPacket, StartupParameters, put_error,
    startup_body_bytes,
};
use walship_tls::ServerTls;

use super::socket::BlockingSocket;
pub use super::socket::Socket;
use crate::access::{Access, Refused};
use walship_sql::ClientAddress;
use walship_sql::roles::Identity;
use walship_sql::{Connecting, SessionHost, Signals, SqlError, SqlState, Timer, run_session};

/// A connection that asked for replication. Nothing was answered to its StartupMessage yet.
#[derive(Debug)]
pub struct ReplicationConnection {
    /// The stream; everything up to the StartupMessage was read, nothing behind it.
    pub socket: Socket,
    /// What it asked for.
    pub parameters: StartupParameters,
    /// Physical, or in a database.
    pub mode: ReplicationMode,
    /// Where it comes from.
    pub client: ClientAddress,
    /// Who it is.
    pub identity: Identity,
}

/// Serves replication connections, each on a task of its own.
pub trait ReplicationHandler: Send + Sync {
    /// Serves one until it is over.
    fn serve(&self, connection: ReplicationConnection) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

/// Where accepted connections go.
pub(super) struct Destinations {
    pub(super) host: Arc<dyn SessionHost>,
    pub(super) replication: Arc<dyn ReplicationHandler>,
    pub(super) timer: Arc<Timer>,
    pub(super) access: Arc<Access>,
}

// how many requests for encryption are answered before the client has to start: libpq sends two
const NEGOTIATIONS_MAX: usize = 4;

/// Name of the threads that run sessions.
pub(crate) const SESSION_THREAD: &str = "session";

// SQLite compiles recursively; its own limits keep it within this
const SESSION_STACK_BYTES: usize = 2 * 1024 * 1024;

/// Why a connection did not become a session.
pub(super) enum Refusal {
    /// It closed without a word, as health checks do, or was only a cancel request.
    Silent,
    /// It is told why.
    Told(Socket, SqlError),
}

impl From<io::Error> for Refusal {
    fn from(_: io::Error) -> Refusal {
        Refusal::Silent
    }
}

/// Reads what goes before a session, and makes the TLS handshake if the client asks for
/// one; requests to cancel go to `cancel`. The caller limits the time.
pub(super) async fn negotiate(
    mut socket: Socket,
    access: &Access,
    cancel: impl Fn(i32, i32),
) -> Result<(Socket, StartupParameters), Refusal> {
    for _ in 0..NEGOTIATIONS_MAX {
        let packet = match read_packet(&mut socket).await? {
            Ok(packet) => packet,
            Err(invalid) => return Err(Refusal::Told(socket, startup_error(&invalid))),
        };
        match packet {
            StartupPacket::SslRequest => match access.tls().filter(|_| matches!(socket, Socket::Tcp(_))) {
                Some(tls) => socket = begin_tls(socket, tls).await?,
                None => socket.write_all(b"N").await?,
            },
            StartupPacket::GssEncRequest => socket.write_all(b"N").await?,
            StartupPacket::Cancel { pid, key } => {
                cancel(pid, key);
                return Err(Refusal::Silent);
            }
            StartupPacket::Startup(parameters) => return Ok((socket, parameters)),
        }
    }
    let error = SqlError::fatal(SqlState::PROTOCOL_VIOLATION, "too many requests for encryption");
    Err(Refusal::Told(socket, error))
}

/// Agrees to TLS. Exactly the request has been read: what has come behind it was sent in
/// clear, by whoever could, and must not count as said inside TLS (CVE-2021-23214).
async fn begin_tls(mut socket: Socket, tls: ServerTls) -> Result<Socket, Refusal> {
    if socket.has_unread().await {
        let error = SqlError::fatal(
            SqlState::PROTOCOL_VIOLATION,
            "received unencrypted data after SSL request",
        )
        .with_detail(
            "This could be either a client-software bug or evidence of an attempted man-in-the-middle attack.",
        );
        tracing::warn!(event = "plaintext_before_tls", "received unencrypted data after SSL request");
        return Err(Refusal::Told(socket, error));
    }
    socket.write_all(b"S").await?;
    let address = socket.tcp().and_then(|stream| stream.peer_addr().ok());
    socket.into_tls(tls.config).await.map_err(|error| {
        // the client was told by TLS itself, as far as it can be
        tracing::info!(event = "tls_failed", address = ?address, %error, "could not accept TLS connection");
        Refusal::Silent
    })
}

async fn read_packet(socket: &mut Socket) -> io::Result<Result<StartupPacket, InvalidStartup>> {
    let bytes = match startup_body_bytes(socket.read_u32().await?) {
        Ok(bytes) => bytes,
        Err(invalid) => return Ok(Err(invalid)),
    };
    let mut body = vec![0; bytes];
    socket.read_exact(&mut body).await?;
    Ok(StartupPacket::decode(&body))
}

fn startup_error(invalid: &InvalidStartup) -> SqlError {
    if *invalid == InvalidStartup::TlsFirst {
        return SqlError::fatal(SqlState::PROTOCOL_VIOLATION, invalid.to_string()).with_hint(
            "A PostgreSQL client asks for TLS first (SSLRequest); for openssl s_client that is -starttls postgres.",
        );
    }
    let state = match invalid {
        InvalidStartup::Version { .. } => SqlState::FEATURE_NOT_SUPPORTED,
        InvalidStartup::NotUtf8 => SqlState::CHARACTER_NOT_IN_REPERTOIRE,
        InvalidStartup::Replication { .. } => SqlState::INVALID_PARAMETER_VALUE,
        InvalidStartup::Length { .. } | InvalidStartup::Layout | InvalidStartup::TlsFirst => {
            SqlState::PROTOCOL_VIOLATION
        }
    };
    SqlError::fatal(state, invalid.to_string())
}

/// Tells a client why it is not let in.
pub(super) async fn refuse(mut socket: Socket, error: &SqlError) {
    let mut output = Vec::new();
    put_error(&mut output, error.report());
    // a client that does not listen is not owed an explanation
    if socket.write_all(&output).await.is_ok() && socket.flush().await.is_ok() {
        let _ = socket.shutdown().await;
    }
}

/// Finds out who a client is; refuses it before that if nobody is let in now.
pub(super) async fn identify(
    mut socket: Socket,
    parameters: &StartupParameters,
    client: ClientAddress,
    to: &Destinations,
) -> Result<(Socket, Identity), Refusal> {
    if let Err(error) = to.host.admit() {
        return Err(Refusal::Told(socket, error));
    }
    if let Err(invalid) = parameters.replication() {
        return Err(Refusal::Told(socket, startup_error(&invalid)));
    }
    match to.access.authenticate(&mut socket, parameters, client).await {
        Ok(identity) => Ok((socket, identity)),
        Err(Refused::Gone) => Err(Refusal::Silent),
        Err(Refused::Told(error)) => Err(Refusal::Told(socket, error)),
    }
}

/// Hands a connection on to where its parameters send it.
pub(super) async fn dispatch(
    socket: Socket,
    parameters: StartupParameters,
    client: ClientAddress,
    identity: Identity,
    to: &Destinations,
) {
    match parameters.replication() {
        Err(invalid) => refuse(socket, &startup_error(&invalid)).await,
        Ok(ReplicationMode::None) => start_thread(socket, parameters, client, identity, to).await,
        Ok(mode) => {
            let connection = ReplicationConnection { socket, parameters, mode, client, identity };
            to.replication.serve(connection).await;
        }
    }
}

async fn start_thread(
    socket: Socket,
    parameters: StartupParameters,
    client: ClientAddress,
    identity: Identity,
    to: &Destinations,
) {
    let started = socket.into_blocking().and_then(|mut stream| {
        let stopper = stream.read_stopper()?;
        let signals = Arc::new(Signals::new(Box::new(move || stopper.stop_reading())));
        let connecting = Connecting {
            parameters,
            client,
            identity,
            received: Vec::new(),
            host: Arc::clone(&to.host),
            timer: Arc::clone(&to.timer),
            signals,
        };
        let run = move || match catch_unwind(AssertUnwindSafe(|| run_session(&mut stream, connecting))) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, ?client, "session ended without a goodbye"),
            Err(_) => tell_of_panic(&mut stream),
        };
        thread::Builder::new().name(SESSION_THREAD.to_owned()).stack_size(SESSION_STACK_BYTES).spawn(run)
    });
    if let Err(error) = started {
        tracing::error!(%error, "could not start a thread for a session");
    }
}

/// The end of a session of which the code has failed; the panic itself was logged.
fn tell_of_panic(stream: &mut BlockingSocket) {
    let error =
        SqlError::fatal(SqlState::INTERNAL_ERROR, "terminating connection because of a defect of the server")
            .with_hint("The server's log has the details. Other sessions go on.");
    let mut output = Vec::new();
    put_error(&mut output, error.report());
    // the client may have gone as well
    let _ = stream.write_all(&output).and_then(|()| stream.flush());
}

const _: () = assert!(PROTOCOL_MINOR_MAX == 0, "cancel keys are 4 bytes only up to protocol 3.0");
