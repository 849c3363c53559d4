use std::path::{Path, PathBuf};

use bytes::BytesMut;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use walship_protocol::wire::put_ssl_request;
use walship_protocol::{Host, HostAddress, SslMode, Target};
use walship_tls::{ClientFiles, ClientTls, TlsVersion, Verification};

use crate::ClientError;
use crate::transport::Transport;

/// How a connection is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// In clear.
    Plain,
    /// With TLS where the server has it.
    TlsIfOffered,
    /// With TLS or not at all.
    Tls,
}

/// A connected and, as the way says, encrypted socket.
pub(crate) async fn open(target: &Target, host: &Host, way: Way) -> Result<Transport, ClientError> {
    // what is wrong with the files is said before anybody is asked
    let tls = if way == Way::Plain { None } else { Some(client_tls(target, host)?) };
    let transport = Transport::connect(host)
        .await
        .map_err(|source| ClientError::Connect { host: host.to_string(), source })?;
    match (transport, tls) {
        (Transport::Tcp(stream), Some(tls)) => negotiate(stream, host, way, tls).await,
        (transport, _) => Ok(transport),
    }
}

async fn negotiate(
    mut stream: TcpStream,
    host: &Host,
    way: Way,
    tls: ClientTls,
) -> Result<Transport, ClientError> {
    let broken = |source| ClientError::Broken { host: host.to_string(), source };
    let mut out = BytesMut::new();
    put_ssl_request(&mut out);
    stream.write_all(&out).await.map_err(broken)?;
    // exactly one byte: what follows belongs to TLS, and is checked by it
    match stream.read_u8().await.map_err(broken)? {
        b'S' => {
            let name = server_name(host)?;
            let connected = TlsConnector::from(tls.config).connect(name, stream).await;
            let failed = |source| ClientError::Tls { host: host.to_string(), source };
            Ok(Transport::Tls(Box::new(connected.map_err(failed)?)))
        }
        b'N' if way == Way::TlsIfOffered => Ok(Transport::Tcp(stream)),
        b'N' => Err(ClientError::NoEncryption { host: host.to_string() }),
        found => Err(ClientError::SslAnswer { host: host.to_string(), found: char::from(found) }),
    }
}

/// What the certificate has to name.
fn server_name(host: &Host) -> Result<ServerName<'static>, ClientError> {
    let name = match (&host.name, &host.address) {
        (Some(name), _) | (None, HostAddress::Tcp(name)) => name.clone(),
        (None, HostAddress::Unix(_)) => "localhost".to_owned(),
    };
    ServerName::try_from(name.clone()).map_err(|_| ClientError::ServerName { host: host.to_string(), name })
}

fn client_tls(target: &Target, host: &Host) -> Result<ClientTls, ClientError> {
    let options = &target.tls;
    let home = |name: &str| Some(target.home.as_ref()?.join(".postgresql").join(name));
    let or_default = |given: &Option<PathBuf>, name: &str| match given {
        Some(path) => Some((path.clone(), true)),
        None => home(name).map(|path| (path, false)),
    };
    let version =
        |given: &Option<String>, default| given.as_deref().and_then(TlsVersion::parse).unwrap_or(default);
    let certificate = or_default(&options.certificate, "postgresql.crt");
    let beside = certificate.as_ref().map(|(path, _)| path.with_extension("key"));
    let files = ClientFiles {
        verification: match options.mode {
            SslMode::VerifyFull => Verification::Host,
            SslMode::VerifyCa => Verification::Authority,
            _ => Verification::None,
        },
        roots: or_default(&options.root_certificate, "root.crt"),
        certificate,
        key: options.key.clone().or_else(|| home("postgresql.key").filter(|path| exists(path))).or(beside),
        min_version: version(&options.min_version, TlsVersion::V1_2),
        max_version: version(&options.max_version, TlsVersion::V1_3),
    };
    ClientTls::load(&files).map_err(|source| ClientError::TlsFiles { host: host.to_string(), source })
}

fn exists(path: &Path) -> bool {
    path.exists()
}
