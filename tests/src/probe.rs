//! Connections as raw bytes, from any address of the loopback network, with TLS or without.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd as _, FromRawFd as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use walship_tls::{ClientFiles, ClientTls, TlsVersion, Verification};

/// No answer of a server takes longer than this.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// Where a connection goes, and from where.
#[derive(Debug, Clone)]
pub enum From {
    /// From that address of the loopback network to a port on 127.0.0.1.
    Tcp(Ipv4Addr, u16),
    /// From ::1 to a port on ::1.
    Tcp6(u16),
    /// Over a Unix socket.
    Unix(PathBuf),
}

/// What a connection asks for, as raw bytes: no client in between decides anything.
#[derive(Debug, Clone)]
pub struct Probe<'a> {
    /// Whether it asks for TLS first.
    pub tls: bool,
    /// The user.
    pub user: &'a str,
    /// The database.
    pub database: &'a str,
    /// Whether it asks for physical replication.
    pub replication: bool,
}

/// A stream that can be read and written.
pub trait Wire: Read + Write {}
impl<T: Read + Write> Wire for T {}

impl Probe<'_> {
    /// The server's first answer: `trust`, `scram`, another method's number, or the error.
    ///
    /// # Panics
    /// When there is no answer at all.
    pub fn ask(&self, from: &From) -> String {
        let mut stream = self.open(from);
        stream.write_all(&self.startup()).expect("send the start-up packet");
        let (tag, body) = message(&mut stream).expect("the server answers");
        match tag {
            b'R' => match i32::from_be_bytes(body[..4].try_into().expect("four bytes")) {
                0 => "trust".to_owned(),
                10 => "scram".to_owned(),
                other => format!("method {other}"),
            },
            b'E' => error_text(&body),
            other => panic!("unexpected message {:?}", char::from(other)),
        }
    }

    /// A connection at which nothing but TLS, where it is asked for, was negotiated.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn open(&self, from: &From) -> Box<dyn Wire> {
        match from {
            From::Unix(path) => {
                let stream = UnixStream::connect(path).expect("connect to the Unix socket");
                stream.set_read_timeout(Some(ANSWER_LIMIT)).expect("limit reads");
                Box::new(stream)
            }
            From::Tcp(source, port) => self.begin(connect_from(*source, *port).expect("connect")),
            From::Tcp6(port) => {
                self.begin(TcpStream::connect((Ipv6Addr::LOCALHOST, *port)).expect("connect to ::1"))
            }
        }
    }

    fn begin(&self, stream: TcpStream) -> Box<dyn Wire> {
        stream.set_read_timeout(Some(ANSWER_LIMIT)).expect("limit reads");
        if self.tls { Box::new(start_tls(stream)) } else { Box::new(stream) }
    }

    /// The start-up packet.
    pub fn startup(&self) -> Vec<u8> {
        let mut body = 196_608_u32.to_be_bytes().to_vec();
        body.extend_from_slice(format!("user\0{}\0database\0{}\0", self.user, self.database).as_bytes());
        if self.replication {
            body.extend_from_slice(b"replication\0true\0");
        }
        body.push(0);
        let mut packet = u32::try_from(body.len() + 4).expect("short").to_be_bytes().to_vec();
        packet.extend_from_slice(&body);
        packet
    }
}

/// Whether this machine has ::1; containers often have not.
pub fn has_ipv6() -> bool {
    TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

/// The request for TLS.
pub const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

fn start_tls(mut stream: TcpStream) -> impl Wire {
    stream.write_all(&SSL_REQUEST).expect("ask for TLS");
    let mut answer = [0];
    stream.read_exact(&mut answer).expect("an answer to the request for TLS");
    assert_eq!(answer, *b"S", "the server has no TLS");
    let files = ClientFiles {
        verification: Verification::None,
        roots: None,
        certificate: None,
        key: None,
        min_version: TlsVersion::V1_2,
        max_version: TlsVersion::V1_3,
    };
    let tls = ClientTls::load(&files).expect("a client without files");
    let name = rustls::pki_types::ServerName::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST).into());
    let connection = rustls::ClientConnection::new(tls.config, name).expect("a TLS client");
    rustls::StreamOwned::new(connection, stream)
}

/// Connects from an address of our choice.
fn connect_from(source: Ipv4Addr, port: u16) -> io::Result<TcpStream> {
    let address = |ip: Ipv4Addr, port: u16| libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: port.to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from(ip).to_be() },
        sin_zero: [0; 8],
    };
    let size = size_of::<libc::sockaddr_in>() as libc::socklen_t;
    let (own, server) = (address(source, 0), address(Ipv4Addr::LOCALHOST, port));
    // SAFETY: plain socket calls with addresses that live through them; the descriptor is
    // owned by the stream as soon as there is one
    unsafe {
        let raw = libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0);
        if raw < 0 {
            return Err(io::Error::last_os_error());
        }
        let stream = TcpStream::from_raw_fd(raw);
        for (call, what) in
            [(libc::bind as unsafe extern "C" fn(_, _, _) -> _, &own), (libc::connect, &server)]
        {
            if call(stream.as_raw_fd(), std::ptr::from_ref(what).cast(), size) != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        debug_assert!(matches!(stream.peer_addr()?, SocketAddr::V4(_)));
        Ok(stream)
    }
}

/// The next message: type and body.
///
/// # Errors
/// When the connection ends before it is whole.
pub fn message(stream: &mut (impl Read + ?Sized)) -> io::Result<(u8, Vec<u8>)> {
    let mut head = [0; 5];
    stream.read_exact(&mut head)?;
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    let mut body = vec![0; length.saturating_sub(4)];
    stream.read_exact(&mut body)?;
    Ok((head[0], body))
}

/// SQLSTATE and message of an ErrorResponse's body.
pub fn error_text(body: &[u8]) -> String {
    let fields = body.split(|&byte| byte == 0).filter(|field| !field.is_empty());
    let text = |tag: u8| {
        let field = fields.clone().find(|field| field[0] == tag);
        field.map(|field| String::from_utf8_lossy(&field[1..]).into_owned()).unwrap_or_default()
    };
    format!("{} {}", text(b'C'), text(b'M'))
}
