use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use walship_sql::{ClientAddress, SessionHost, Timer};

use super::connection::{
    Destinations, Refusal, ReplicationHandler, Socket, dispatch, identify, negotiate, refuse,
};
use super::pending::{Pending, PendingEntry};
use super::unix::SocketFile;
use crate::access::Access;

/// Where to listen.
#[derive(Clone)]
pub struct ListenConfig {
    /// TCP addresses; port 0 takes any that is free.
    pub addresses: Vec<SocketAddr>,
    /// Directories for Unix sockets.
    pub unix_directories: Vec<PathBuf>,
    /// The number in the Unix socket's name.
    pub port: u16,
    /// How long a client may take until it has said and proved who it is.
    pub authentication_timeout: Duration,
    /// Who is let in.
    pub access: Arc<Access>,
}

/// Why nothing listens.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// A TCP address could not be had.
    #[error("could not bind to {address}: {source}")]
    Tcp {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A Unix socket could not be made.
    #[error("could not make the Unix socket {}: {source}", path.display())]
    Unix {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another server has the Unix socket.
    #[error("the Unix socket {} is in use: {} names a running process", path.display(), lock.display())]
    UnixInUse {
        /// The socket.
        path: PathBuf,
        /// Its lock file.
        lock: PathBuf,
    },
    /// A task that accepts connections has ended by itself.
    #[error("a task that accepts connections has ended{}", .0.as_ref().map(|error| format!(": {error}")).unwrap_or_default())]
    Ended(Option<tokio::task::JoinError>),
    /// The thread that watches time limits could not be started.
    #[error("could not start the timer thread: {0}")]
    Timer(io::Error),
}

impl ListenError {
    /// Advice that goes with the message.
    pub fn hint(&self) -> Option<String> {
        match self {
            ListenError::Tcp { source, address } if source.kind() == io::ErrorKind::AddrInUse => {
                Some(format!("is another server running on port {}?", address.port()))
            }
            ListenError::UnixInUse { .. } => Some("choose another port or socket directory".to_owned()),
            _ => None,
        }
    }
}

/// Listens, and hands on what connects.
pub struct Listener {
    tcp: Vec<TcpListener>,
    unix: Vec<(UnixListener, SocketFile)>,
    pub(super) authentication_timeout: Duration,
    pub(super) access: Arc<Access>,
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listener").field("addresses", &self.addresses()).finish_non_exhaustive()
    }
}

// after accepting failed (no descriptors left), so that the loop does not spin
pub(crate) const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(100);

impl Listener {
    /// Takes all addresses and sockets, or none.
    pub async fn bind(config: &ListenConfig) -> Result<Listener, ListenError> {
        let mut tcp = Vec::new();
        for &address in &config.addresses {
            let bound = TcpListener::bind(address).await;
            tcp.push(bound.map_err(|source| ListenError::Tcp { address, source })?);
        }
        let mut unix = Vec::new();
        for directory in &config.unix_directories {
            unix.push(SocketFile::bind(directory, config.port)?);
        }
        let access = Arc::clone(&config.access);
        Ok(Listener { tcp, unix, authentication_timeout: config.authentication_timeout, access })
    }

    /// TCP addresses that are listened on.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.tcp.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// Unix sockets that are listened on.
    pub fn sockets(&self) -> Vec<PathBuf> {
        self.unix.iter().map(|(_, file)| file.path().to_owned()).collect()
    }

    /// The next connection on any address or socket.
    pub(super) async fn accept_any(&self) -> io::Result<Socket> {
        poll_fn(|context| {
            for listener in &self.tcp {
                if let Poll::Ready(accepted) = listener.poll_accept(context) {
                    return Poll::Ready(accepted.map(|(stream, _)| Socket::Tcp(stream)));
                }
            }
            for (listener, _) in &self.unix {
                if let Poll::Ready(accepted) = listener.poll_accept(context) {
                    return Poll::Ready(accepted.map(|(stream, _)| Socket::Unix(stream)));
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Accepts until `shutdown` says true. Sessions that run by then are left to their own
    /// signals; connections that have not got that far, and replication connections, are dropped.
    pub async fn run(
        self,
        host: Arc<dyn SessionHost>,
        replication: Arc<dyn ReplicationHandler>,
        mut shutdown: watch::Receiver<bool>,
    ) -> Result<(), ListenError> {
        let timer = Arc::new(Timer::start().map_err(ListenError::Timer)?);
        let access = Arc::clone(&self.access);
        let to = Arc::new(Destinations { host, replication, timer, access });
        let pending = Arc::new(Pending::default());
        let limit = self.authentication_timeout;
        let mut accepting = JoinSet::new();
        for listener in self.tcp {
            accepting.spawn(accept_tcp(listener, Arc::clone(&to), Arc::clone(&pending), limit));
        }
        let mut files = Vec::new();
        for (listener, file) in self.unix {
            files.push(file);
            accepting.spawn(accept_unix(listener, Arc::clone(&to), Arc::clone(&pending), limit));
        }
        let ended = tokio::select! {
            // an error means that the sender is gone, and with it whoever could stop us
            _ = shutdown.wait_for(|stop| *stop) => Ok(()),
            Some(ended) = accepting.join_next() => Err(ListenError::Ended(ended.err())),
        };
        accepting.shutdown().await;
        drop(files);
        ended
    }
}

async fn accept_tcp(listener: TcpListener, to: Arc<Destinations>, pending: Arc<Pending>, limit: Duration) {
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, %address, "could not set TCP_NODELAY");
                }
                let socket = Socket::Tcp(stream);
                let client = ClientAddress::Tcp(address);
                start(&mut connections, socket, client, &to, &pending, limit);
            }
            Err(error) => {
                tracing::error!(%error, "could not accept a connection");
                sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn accept_unix(listener: UnixListener, to: Arc<Destinations>, pending: Arc<Pending>, limit: Duration) {
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let socket = Socket::Unix(stream);
                start(&mut connections, socket, ClientAddress::Local, &to, &pending, limit);
            }
            Err(error) => {
                tracing::error!(%error, "could not accept a connection");
                sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

fn start(
    connections: &mut JoinSet<()>,
    socket: Socket,
    client: ClientAddress,
    to: &Arc<Destinations>,
    pending: &Arc<Pending>,
    limit: Duration,
) {
    let entry = pending.enter();
    let number = entry.number();
    let task = connections.spawn(connect(socket, client, Arc::clone(to), entry, limit));
    pending.served_by(number, task);
}

async fn connect(
    socket: Socket,
    client: ClientAddress,
    to: Arc<Destinations>,
    entry: PendingEntry,
    limit: Duration,
) {
    let known = timeout(limit, async {
        let (socket, parameters) = negotiate(socket, &to.access, |pid, key| to.host.cancel(pid, key)).await?;
        let (socket, identity) = identify(socket, &parameters, client, &to).await?;
        Ok((socket, parameters, identity))
    });
    let known = known.await;
    drop(entry);
    match known {
        // PostgreSQL, too, closes without a word
        Err(_) => {
            tracing::info!(
                event = "authentication_timeout",
                ?client,
                ?limit,
                "a client did not log in in time"
            );
        }
        Ok(Err(Refusal::Silent)) => {}
        // a client that does not take its refusal is not waited for
        Ok(Err(Refusal::Told(socket, error))) => drop(timeout(limit, refuse(socket, &error)).await),
        Ok(Ok((socket, parameters, identity))) => dispatch(socket, parameters, client, identity, &to).await,
    }
}
