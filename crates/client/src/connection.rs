use std::collections::BTreeMap;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use walship_protocol::wire::{
    BackendMessage, ErrorFields, FRAME_BYTES_MAX, Severity, decode_frame, frame_bytes_missing, put_copy_data,
    put_copy_done, put_copy_fail, put_query, put_terminate,
};
use walship_protocol::{Host, StandbyMessage};

use crate::transport::Transport;
use crate::{ClientError, Event, QueryResult, RESULT_BYTES_MAX};

/// Room made for reading ahead, in bytes; a stream's messages are up to twice this.
const READ_AHEAD_BYTES: usize = 64 * 1024;

/// Room that is made at once for the rest of a long message, in bytes: a piece of a base
/// backup. The length itself may be a lie.
const MESSAGE_ROOM_BYTES_MAX: usize = 1 << 20;

/// An open connection, between commands or inside one.
#[derive(Debug)]
pub struct Connection {
    transport: Transport,
    host: Host,
    unread: BytesMut,
    pid: i32,
    /// Whether the login was tied to the server's certificate.
    is_bound: bool,
    parameters: BTreeMap<String, String>,
    /// Rows of the statement that is running.
    rows: Option<(QueryResult, usize)>,
    /// An error that is reported once the server is ready again.
    failed: Option<Box<ErrorFields>>,
}

impl Connection {
    pub(crate) fn new(transport: Transport, host: Host) -> Connection {
        Connection {
            transport,
            host,
            unread: BytesMut::new(),
            pid: 0,
            is_bound: false,
            parameters: BTreeMap::new(),
            rows: None,
            failed: None,
        }
    }

    /// The host that answered.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Our end's address, as the server sees it unless something translates it; `None` for
    /// a Unix socket.
    pub fn local_address(&self) -> Option<std::net::SocketAddr> {
        self.transport.local_address()
    }

    /// The server's number of the session.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// A parameter that the server reports (`server_version`, `in_hot_standby`).
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    /// Runs a command and gives every result that it has. An error of the server leaves
    /// the connection usable unless it was fatal.
    pub async fn query(&mut self, command: &str) -> Result<Vec<QueryResult>, ClientError> {
        self.start(command).await?;
        let mut results = Vec::new();
        loop {
            match self.next().await? {
                Event::Complete(result) => results.push(result),
                Event::Notice(_) => {}
                Event::Ready => return Ok(results),
                other => return Err(self.unexpected("rows", &other)),
            }
        }
    }

    /// Sends a command; [`Connection::next`] gives what comes of it.
    pub async fn start(&mut self, command: &str) -> Result<(), ClientError> {
        let mut out = BytesMut::new();
        put_query(&mut out, command);
        self.write(&out).await
    }

    /// What comes next of the running command; after an error or [`Event::Ready`]
    /// nothing does. Dropping the future loses nothing: the next call goes on.
    pub async fn next(&mut self) -> Result<Event, ClientError> {
        loop {
            let message = self.receive().await?;
            if let Some(event) = self.event(message)? {
                return Ok(event);
            }
        }
    }

    /// Sends a piece of a copy stream.
    pub async fn send_data(&mut self, data: &[u8]) -> Result<(), ClientError> {
        let mut out = BytesMut::new();
        put_copy_data(&mut out, data);
        self.write(&out).await
    }

    /// Sends a report inside a stream of the log.
    pub async fn send_status(&mut self, message: &StandbyMessage) -> Result<(), ClientError> {
        self.send_data(&message.encode()).await
    }

    /// Ends our copy stream.
    pub async fn send_copy_done(&mut self) -> Result<(), ClientError> {
        let mut out = BytesMut::new();
        put_copy_done(&mut out);
        self.write(&out).await
    }

    /// Gives our copy stream up, which makes the command fail.
    pub async fn send_copy_fail(&mut self, reason: &str) -> Result<(), ClientError> {
        let mut out = BytesMut::new();
        put_copy_fail(&mut out, reason);
        self.write(&out).await
    }

    /// Says good-bye. Errors are of no interest any more.
    pub async fn close(mut self) {
        let mut out = BytesMut::new();
        put_terminate(&mut out);
        let _ = self.write(&out).await;
        let _ = self.transport.shutdown().await;
    }

    /// Whether it is encrypted.
    pub fn is_tls(&self) -> bool {
        self.transport.is_tls()
    }

    /// What a login can be tied to, on an encrypted connection.
    pub(crate) fn end_point(&self) -> Option<Vec<u8>> {
        self.transport.end_point()
    }

    pub(crate) fn is_bound(&self) -> bool {
        self.is_bound
    }

    pub(crate) fn set_bound(&mut self, is_bound: bool) {
        self.is_bound = is_bound;
    }

    pub(crate) fn set_parameter(&mut self, name: String, value: String) {
        self.parameters.insert(name, value);
    }

    pub(crate) fn set_pid(&mut self, pid: i32) {
        self.pid = pid;
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        // TLS keeps what it has encrypted until it is told to send it
        let written = match self.transport.write_all(bytes).await {
            Ok(()) => self.transport.flush().await,
            failed => failed,
        };
        written.map_err(|source| ClientError::Broken { host: self.host.to_string(), source })
    }

    /// The next message; cancelling it loses nothing.
    pub(crate) async fn receive(&mut self) -> Result<BackendMessage, ClientError> {
        loop {
            let host = || self.host.to_string();
            let protocol = |source| ClientError::Protocol { host: self.host.to_string(), source };
            if let Some(frame) = decode_frame(&mut self.unread, FRAME_BYTES_MAX).map_err(protocol)? {
                return BackendMessage::decode(frame).map_err(protocol);
            }
            let missing = frame_bytes_missing(&self.unread, MESSAGE_ROOM_BYTES_MAX);
            self.unread.reserve(missing.max(READ_AHEAD_BYTES));
            match self.transport.read_buf(&mut self.unread).await {
                // a server that has said why before it closed is believed
                Ok(0) => {
                    return Err(match self.failed.take() {
                        Some(error) => ClientError::Server(error),
                        None => ClientError::Closed { host: host() },
                    });
                }
                Ok(_) => {}
                Err(source) => return Err(ClientError::Broken { host: host(), source }),
            }
        }
    }

    pub(crate) fn unexpected(&self, expected: &'static str, found: &impl std::fmt::Debug) -> ClientError {
        let found: String = format!("{found:?}").chars().take(100).collect();
        ClientError::Unexpected { host: self.host.to_string(), expected, found }
    }

    fn event(&mut self, message: BackendMessage) -> Result<Option<Event>, ClientError> {
        Ok(match message {
            BackendMessage::RowDescription(columns) => {
                self.rows = Some((QueryResult { columns, ..QueryResult::default() }, 0));
                None
            }
            BackendMessage::DataRow(row) => {
                let Some((result, bytes)) = self.rows.as_mut() else {
                    return Err(self.unexpected("a row description", &"a row"));
                };
                *bytes +=
                    row.iter().map(|value| 16 + value.as_ref().map_or(0, |value| value.len())).sum::<usize>();
                if *bytes > RESULT_BYTES_MAX {
                    let host = self.host.to_string();
                    return Err(ClientError::ResultTooLarge { host, max: RESULT_BYTES_MAX });
                }
                result.rows.push(row);
                None
            }
            BackendMessage::CommandComplete(tag) => {
                let (result, _) = self.rows.take().unwrap_or_default();
                Some(Event::Complete(QueryResult { tag, ..result }))
            }
            BackendMessage::Error(error) => {
                self.rows = None;
                let error = Box::new(error);
                if matches!(error.severity, Severity::Fatal | Severity::Panic) {
                    return Err(ClientError::Server(error));
                }
                self.failed = Some(error);
                None
            }
            BackendMessage::ReadyForQuery(_) => match self.failed.take() {
                Some(error) => return Err(ClientError::Server(error)),
                None => Some(Event::Ready),
            },
            BackendMessage::Notice(notice) => Some(Event::Notice(notice)),
            BackendMessage::ParameterStatus { name, value } => {
                self.set_parameter(name, value);
                None
            }
            BackendMessage::CopyResponse(direction) => Some(Event::Copy(direction)),
            BackendMessage::CopyData(data) => Some(Event::Data(data)),
            BackendMessage::CopyDone => Some(Event::CopyDone),
            BackendMessage::EmptyQuery | BackendMessage::Ignored(_) => None,
            other @ (BackendMessage::Authentication(_)
            | BackendMessage::BackendKeyData { .. }
            | BackendMessage::NegotiateProtocolVersion) => {
                return Err(self.unexpected("an answer to the command", &other));
            }
        })
    }
}
