use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use walship_types::Lsn;

/// No answer takes longer.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
const PROTOCOL_3: i32 = 196_608;

/// A replication connection written by hand, for what no honest receiver does: claim what it was not sent, or stop
/// reading.
pub struct RawReceiver {
    stream: TcpStream,
}

impl RawReceiver {
    /// Connects as the follower `name`, and streams from the end of the log.
    ///
    /// # Panics
    /// When the server does not stream.
    pub fn start(port: u16, name: &str) -> RawReceiver {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("connect");
        stream.set_read_timeout(Some(ANSWER_LIMIT)).expect("set a time limit");
        let mut receiver = RawReceiver { stream };
        let mut startup = PROTOCOL_3.to_be_bytes().to_vec();
        for (key, value) in [("user", "postgres"), ("replication", "true"), ("application_name", name)] {
            startup.extend_from_slice(format!("{key}\0{value}\0").as_bytes());
        }
        startup.push(0);
        receiver.write(None, &startup);
        receiver.read_until(b'Z');
        receiver.write(Some(b'Q'), b"IDENTIFY_SYSTEM\0");
        let row = receiver.read_until(b'D');
        let text = String::from_utf8_lossy(&row).into_owned();
        let position =
            text.split(|c: char| !c.is_ascii_hexdigit() && c != '/').find(|part| part.contains('/'));
        let position: Lsn = position.and_then(|p| p.parse().ok()).expect("IDENTIFY_SYSTEM tells a position");
        receiver.read_until(b'Z');
        receiver.write(Some(b'Q'), format!("START_REPLICATION {position}\0").as_bytes());
        receiver.read_until(b'W');
        receiver
    }

    /// Reports that everything up to `lsn` is written, durable and visible.
    pub fn report(&mut self, lsn: Lsn) {
        let mut status = vec![b'r'];
        for value in [lsn.0, lsn.0, lsn.0, 0] {
            status.extend_from_slice(&value.to_be_bytes());
        }
        status.push(0);
        self.write(Some(b'd'), &status);
    }

    /// Reads until the server says an error, and returns its fields, one a line.
    pub fn error(&mut self) -> String {
        let fields = self.read_until(b'E');
        let texts: Vec<_> = fields.split(|&byte| byte == 0).filter(|field| !field.is_empty()).collect();
        texts.iter().map(|field| String::from_utf8_lossy(field).into_owned() + "\n").collect()
    }

    /// Reads until the server has closed the connection; how many bytes came.
    ///
    /// # Panics
    /// When it does not.
    pub fn drain(&mut self) -> u64 {
        match io::copy(&mut self.stream, &mut io::sink()) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => 0,
            Err(error) => panic!("the server did not close the connection: {error}"),
        }
    }

    fn write(&mut self, kind: Option<u8>, body: &[u8]) {
        let length = i32::try_from(body.len() + 4).expect("a short message");
        let mut message: Vec<u8> = kind.into_iter().collect();
        message.extend_from_slice(&length.to_be_bytes());
        message.extend_from_slice(body);
        self.stream.write_all(&message).expect("write to the server");
    }

    fn read_until(&mut self, kind: u8) -> Vec<u8> {
        loop {
            let mut header = [0; 5];
            self.stream.read_exact(&mut header).expect("read from the server");
            let [found, length @ ..] = header;
            let length = u32::from_be_bytes(length).saturating_sub(4);
            let mut body = vec![0; length as usize];
            self.stream.read_exact(&mut body).expect("read a message");
            if found == kind {
                return body;
            }
            assert_ne!(found, b'E', "the server refused: {}", String::from_utf8_lossy(&body));
        }
    }
}
