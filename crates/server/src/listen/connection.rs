use std::future::Future;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::thread;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use walship_protocol::wire::put_error;

use super::socket::BlockingSocket;
pub use super::socket::Socket;
use super::startup::{
    InvalidStartup, PROTOCOL_MINOR_MAX, ReplicationMode, StartupPacket, StartupParameters, body_bytes,
};
use crate::sql::{Connecting, SessionHost, Signals, SqlError, SqlState, Timer, run_session};

/// Where a client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAddress {
    /// Over TCP, from there.
    Tcp(SocketAddr),
    /// Over a Unix socket.
    Local,
}

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

/// Reads what goes before a session; requests to cancel go to `cancel`. The caller limits the time.
pub(super) async fn negotiate(
    mut socket: Socket,
    cancel: impl Fn(i32, i32),
) -> Result<(Socket, StartupParameters), Refusal> {
    for _ in 0..NEGOTIATIONS_MAX {
        let packet = match read_packet(&mut socket).await? {
            Ok(packet) => packet,
            Err(invalid) => return Err(Refusal::Told(socket, startup_error(&invalid))),
        };
        match packet {
            StartupPacket::SslRequest | StartupPacket::GssEncRequest => socket.write_all(b"N").await?,
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

async fn read_packet(socket: &mut Socket) -> io::Result<Result<StartupPacket, InvalidStartup>> {
    let bytes = match body_bytes(socket.read_u32().await?) {
        Ok(bytes) => bytes,
        Err(invalid) => return Ok(Err(invalid)),
    };
    let mut body = vec![0; bytes];
    socket.read_exact(&mut body).await?;
    Ok(StartupPacket::decode(&body))
}

fn startup_error(invalid: &InvalidStartup) -> SqlError {
    let state = match invalid {
        InvalidStartup::Version { .. } => SqlState::FEATURE_NOT_SUPPORTED,
        InvalidStartup::NotUtf8 => SqlState::CHARACTER_NOT_IN_REPERTOIRE,
        InvalidStartup::Replication { .. } => SqlState::INVALID_PARAMETER_VALUE,
        InvalidStartup::Length { .. } | InvalidStartup::Layout => SqlState::PROTOCOL_VIOLATION,
    };
    SqlError::fatal(state, invalid.to_string())
}

/// Tells a client why it is not let in.
pub(super) async fn refuse(mut socket: Socket, error: &SqlError) {
    let mut output = Vec::new();
    put_error(&mut output, error.report());
    // a client that does not listen is not owed an explanation
    if socket.write_all(&output).await.is_ok() {
        let _ = socket.shutdown().await;
    }
}

/// Hands a connection on to where its parameters send it.
pub(super) async fn dispatch(
    socket: Socket,
    parameters: StartupParameters,
    client: ClientAddress,
    to: &Destinations,
) {
    if let Err(error) = to.host.admit() {
        return refuse(socket, &error).await;
    }
    match parameters.replication() {
        Err(invalid) => refuse(socket, &startup_error(&invalid)).await,
        Ok(ReplicationMode::None) => start_thread(socket, parameters, client, to).await,
        Ok(mode) => {
            to.replication.serve(ReplicationConnection { socket, parameters, mode, client }).await;
        }
    }
}

async fn start_thread(
    socket: Socket,
    parameters: StartupParameters,
    client: ClientAddress,
    to: &Destinations,
) {
    let started = socket.into_blocking().and_then(|stream| {
        let waker = stream.try_clone()?;
        let signals = Arc::new(Signals::new(Box::new(move || waker.stop_reading())));
        let connecting = Connecting {
            parameters,
            client,
            received: Vec::new(),
            host: Arc::clone(&to.host),
            timer: Arc::clone(&to.timer),
            signals,
        };
        let last_words = stream.try_clone()?;
        let run = move || match catch_unwind(AssertUnwindSafe(|| run_session(stream, connecting))) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, ?client, "session ended without a goodbye"),
            Err(_) => tell_of_panic(last_words),
        };
        thread::Builder::new().name(SESSION_THREAD.to_owned()).stack_size(SESSION_STACK_BYTES).spawn(run)
    });
    if let Err(error) = started {
        tracing::error!(%error, "could not start a thread for a session");
    }
}

/// The end of a session of which the code has failed; the panic itself was logged.
fn tell_of_panic(mut stream: BlockingSocket) {
    let error =
        SqlError::fatal(SqlState::INTERNAL_ERROR, "terminating connection because of a defect of the server")
            .with_hint("The server's log has the details. Other sessions go on.");
    let mut output = Vec::new();
    put_error(&mut output, error.report());
    // the client may have gone as well
    let _ = stream.write_all(&output);
}

const _: () = assert!(PROTOCOL_MINOR_MAX == 0, "cancel keys are 4 bytes only up to protocol 3.0");
