use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::board::Board;
use super::page;
use super::route::{self, Answer};
use crate::access::Access;
use crate::listen::{ListenError, PAUSE_AFTER_FAILURE, Socket};

/// Connections at the same time; who comes beyond them is closed without a word. Each may make an answer of a few
/// hundred kilobytes.
const CONNECTIONS_MAX: usize = 64;
/// How long a client may take to send a request, or stay without one.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);
/// How long a connection may last, so that clients that do not read their answers do not keep their places.
const CONNECTION_LIMIT: Duration = Duration::from_secs(300);
/// Longest request, its header all told.
const REQUEST_BYTES_MAX: usize = 16 * 1024;

/// Where the node is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MonitorAddress {
    /// The address; port 0 takes any that is free.
    pub address: SocketAddr,
    /// Whether it speaks HTTPS.
    pub encrypted: bool,
}

/// The HTTP sockets.
pub struct Monitor {
    listeners: Vec<(TcpListener, bool)>,
    access: Arc<Access>,
}

impl Monitor {
    /// Takes all addresses, or none.
    pub async fn bind(addresses: &[MonitorAddress], access: &Arc<Access>) -> Result<Monitor, ListenError> {
        let mut listeners = Vec::new();
        for &MonitorAddress { address, encrypted } in addresses {
            let bound = TcpListener::bind(address).await;
            listeners.push((bound.map_err(|source| ListenError::Tcp { address, source })?, encrypted));
        }
        Ok(Monitor { listeners, access: Arc::clone(access) })
    }

    /// The addresses, as people write them.
    pub fn urls(&self) -> Vec<String> {
        let bound = self.listeners.iter().filter_map(|(listener, encrypted)| {
            Some((listener.local_addr().ok()?, if *encrypted { "https" } else { "http" }))
        });
        bound.map(|(address, scheme)| format!("{scheme}://{address}/")).collect()
    }

    /// Answers until it is dropped.
    pub async fn run(self, board: Arc<Board>) {
        if self.listeners.is_empty() {
            return;
        }
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut tasks = JoinSet::new();
        tasks.spawn(Arc::clone(&board).keep_history());
        for (listener, encrypted) in self.listeners {
            let access = encrypted.then(|| Arc::clone(&self.access));
            tasks.spawn(accept(listener, access, Arc::clone(&board), Arc::clone(&places)));
        }
        while tasks.join_next().await.is_some() {}
    }
}

async fn accept(
    listener: TcpListener,
    access: Option<Arc<Access>>,
    board: Arc<Board>,
    places: Arc<Semaphore>,
) {
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                if let Ok(place) = Arc::clone(&places).try_acquire_owned() {
                    connections.spawn(connect(stream, access.clone(), Arc::clone(&board), place));
                }
            }
            Err(error) => {
                tracing::error!(%error, "could not accept a connection");
                sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn connect(
    stream: TcpStream,
    access: Option<Arc<Access>>,
    board: Arc<Board>,
    _place: OwnedSemaphorePermit,
) {
    // who hangs up, or is too slow, needs no word
    let _ = timeout(CONNECTION_LIMIT, async {
        let socket = match access {
            Some(access) => timeout(REQUEST_LIMIT, encrypted(stream, &access)).await??,
            None => Socket::Tcp(stream),
        };
        let service = service_fn(|request| respond(Arc::clone(&board), request));
        let served = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(REQUEST_LIMIT)
            .max_buf_size(REQUEST_BYTES_MAX)
            .serve_connection(TokioIo::new(socket), service);
        served.await.map_err(io::Error::other)
    })
    .await;
}

async fn encrypted(stream: TcpStream, access: &Access) -> io::Result<Socket> {
    let tls = access.tls().ok_or_else(|| io::Error::other("ssl is off"))?;
    Socket::Tcp(stream).into_tls(tls.config).await
}

async fn respond(board: Arc<Board>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    // load balancers ask with any of these
    if ![Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method()) {
        let body = format!("{} is not allowed\n", request.method());
        let mut response = response(Answer { status: 405, content_type: "text/plain; charset=utf-8", body });
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS"));
        return Ok(response);
    }
    let uri = request.uri().clone();
    // it looks at files: not on a thread that sends the log to followers
    let made = tokio::task::spawn_blocking(move || {
        route::answer(&board, uri.path(), uri.query().unwrap_or_default())
    });
    let answer = made.await.unwrap_or_else(|error| Answer {
        status: 500,
        content_type: "text/plain; charset=utf-8",
        body: format!("{error}\n"),
    });
    Ok(response(answer))
}

fn response(answer: Answer) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(answer.body)));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in [
        (CONTENT_TYPE, answer.content_type),
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, page::CONTENT_SECURITY_POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
