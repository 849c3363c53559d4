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

use super::connection::{
    ClientAddress, Destinations, Refusal, ReplicationHandler, Socket, dispatch, negotiate, refuse,
};
use super::unix::SocketFile;
use crate::sql::{SessionHost, Timer};

/// Where to listen.
#[derive(Debug, Clone)]
pub struct ListenConfig {
    /// TCP addresses; port 0 takes any that is free.
    pub addresses: Vec<SocketAddr>,
    /// Directories for Unix sockets.
    pub unix_directories: Vec<PathBuf>,
    /// The number in the Unix socket's name.
    pub port: u16,
    /// How long a client may take until its StartupMessage is there.
    pub authentication_timeout: Duration,
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
#[derive(Debug)]
pub struct Listener {
    tcp: Vec<TcpListener>,
    unix: Vec<(UnixListener, SocketFile)>,
    pub(super) authentication_timeout: Duration,
}

// after accepting failed (no descriptors left), so that the loop does not spin
pub(super) const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(100);

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
        Ok(Listener { tcp, unix, authentication_timeout: config.authentication_timeout })
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
        let to = Arc::new(Destinations { host, replication, timer });
        let limit = self.authentication_timeout;
        let mut accepting = JoinSet::new();
        for listener in self.tcp {
            accepting.spawn(accept_tcp(listener, Arc::clone(&to), limit));
        }
        let mut files = Vec::new();
        for (listener, file) in self.unix {
            files.push(file);
            accepting.spawn(accept_unix(listener, Arc::clone(&to), limit));
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

async fn accept_tcp(listener: TcpListener, to: Arc<Destinations>, limit: Duration) {
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, %address, "could not set TCP_NODELAY");
                }
                let socket = Socket::Tcp(stream);
                connections.spawn(connect(socket, ClientAddress::Tcp(address), Arc::clone(&to), limit));
            }
            Err(error) => {
                tracing::error!(%error, "could not accept a connection");
                sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn accept_unix(listener: UnixListener, to: Arc<Destinations>, limit: Duration) {
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                connections.spawn(connect(
                    Socket::Unix(stream),
                    ClientAddress::Local,
                    Arc::clone(&to),
                    limit,
                ));
            }
            Err(error) => {
                tracing::error!(%error, "could not accept a connection");
                sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn connect(socket: Socket, client: ClientAddress, to: Arc<Destinations>, limit: Duration) {
    match timeout(limit, negotiate(socket, |pid, key| to.host.cancel(pid, key))).await {
        // too slow: PostgreSQL, too, closes without a word
        Err(_) | Ok(Err(Refusal::Silent)) => {}
        Ok(Err(Refusal::Told(socket, error))) => refuse(socket, &error).await,
        Ok(Ok((socket, parameters))) => dispatch(socket, parameters, client, &to).await,
    }
}
