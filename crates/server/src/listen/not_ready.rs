use std::io;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};
use walship_sql::{SqlError, SqlState};

use super::Listener;
use super::connection::{Refusal, Socket, negotiate, refuse};
use super::listener::PAUSE_AFTER_FAILURE;
use crate::access::Access;

/// A listener of a node that still recovers: who connects is told so at once (57P03),
/// which `pg_isready` and waiting clients understand, instead of being left to hang.
#[derive(Debug)]
pub struct NotReady {
    ready: oneshot::Sender<()>,
    refusing: JoinHandle<Listener>,
}

impl NotReady {
    /// Refuses from now on; has to be called on a runtime.
    pub fn refuse(listener: Listener) -> NotReady {
        let (ready, becomes_ready) = oneshot::channel();
        NotReady { ready, refusing: tokio::spawn(refuse_all(listener, becomes_ready)) }
    }

    /// Stops refusing. Connections that are not accepted by now wait for the listener.
    ///
    /// # Errors
    /// The runtime is being shut down.
    pub async fn into_listener(self) -> io::Result<Listener> {
        // without a receiver the task is over, and says why
        let _ = self.ready.send(());
        self.refusing.await.map_err(io::Error::other)
    }
}

async fn refuse_all(listener: Listener, mut ready: oneshot::Receiver<()>) -> Listener {
    let limit = listener.authentication_timeout;
    let mut told = JoinSet::new();
    loop {
        tokio::select! {
            _ = &mut ready => break,
            accepted = listener.accept_any() => match accepted {
                Ok(socket) => {
                    // a client that is too slow is closed without a word, as later
                    told.spawn(timeout(limit, tell(socket, Arc::clone(&listener.access))));
                }
                Err(error) => {
                    tracing::error!(%error, "could not accept a connection");
                    sleep(PAUSE_AFTER_FAILURE).await;
                }
            },
        }
        while told.try_join_next().is_some() {}
    }
    // those who were accepted still get their answer
    told.detach_all();
    listener
}

async fn tell(socket: Socket, access: Arc<Access>) {
    match negotiate(socket, &access, |_, _| {}).await {
        Ok((socket, _)) => refuse(socket, &starting_up()).await,
        Err(Refusal::Told(socket, error)) => refuse(socket, &error).await,
        Err(Refusal::Silent) => {}
    }
}

fn starting_up() -> SqlError {
    SqlError::fatal(SqlState::CANNOT_CONNECT_NOW, "the database system is starting up")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;
    use crate::listen::ListenConfig;

    #[tokio::test]
    async fn clients_are_told_that_it_starts() {
        let config = ListenConfig {
            addresses: vec!["127.0.0.1:0".parse().unwrap()],
            unix_directories: Vec::new(),
            port: 0,
            authentication_timeout: Duration::from_secs(60),
            access: Arc::new(Access::unguarded()),
        };
        let listener = Listener::bind(&config).await.unwrap();
        let address = listener.addresses()[0];
        let not_ready = NotReady::refuse(listener);
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"\0\0\0\x10\0\x03\0\0user\0u\0\0").await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        let text = String::from_utf8_lossy(&answer);
        assert!(text.starts_with('E') && text.contains("C57P03\0"), "{text:?}");
        assert!(text.contains("the database system is starting up"), "{text:?}");
        assert_eq!(not_ready.into_listener().await.unwrap().addresses(), [address]);
    }
}
