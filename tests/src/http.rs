use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// What a server answered to one request.
#[derive(Debug, Clone)]
pub struct HttpAnswer {
    /// 200, 503...
    pub status: u16,
    /// The head, as it came.
    pub head: String,
    /// The body.
    pub body: String,
}

impl HttpAnswer {
    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }
}

/// Asks a port of 127.0.0.1 with GET; `None` when nothing answers there.
pub fn try_http_get(port: u16, target: &str) -> Option<HttpAnswer> {
    let request = format!("GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
    http_exchange(port, request.as_bytes())
}

/// Asks a port of 127.0.0.1 with GET.
///
/// # Panics
/// When nothing answers there.
pub fn http_get(port: u16, target: &str) -> HttpAnswer {
    try_http_get(port, target).unwrap_or_else(|| panic!("no answer to GET {target} on port {port}"))
}

/// Sends bytes and reads one answer, up to the end of the connection.
pub fn http_exchange(port: u16, request: &[u8]) -> Option<HttpAnswer> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(60))).ok()?;
    stream.write_all(request).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(HttpAnswer { status, head: head.to_owned(), body: body.to_owned() })
}
