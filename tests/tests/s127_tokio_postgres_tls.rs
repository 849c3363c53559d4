//! tokio-postgres with rustls: every `sslmode` that it has, verification by name and
//! authority, channel binding, client certificates.

use std::error::Error;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres::config::{ChannelBinding, SslMode};
use tokio_postgres::{Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;
use walship_tests::{Authority, CertificateFiles, golden};

use crate::s123_tls::{Scene, scene};

/// `sslmode=require`: whoever it is, only in secret.
#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn builder() -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap()
}

/// As libpq's `verify-full`: signed by the authority, for the host's name.
fn verifying(authority: &Authority) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority.certificate()).unwrap()).unwrap();
    builder().with_root_certificates(roots)
}

fn trusting() -> ClientConfig {
    builder()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyServer(provider())))
        .with_no_client_auth()
}

fn with_certificate(authority: &Authority, files: &CertificateFiles) -> ClientConfig {
    let chain = vec![CertificateDer::from_pem_file(&files.certificate).unwrap()];
    let key = PrivateKeyDer::from_pem_file(&files.key).unwrap();
    verifying(authority).with_client_auth_cert(chain, key).unwrap()
}

fn config(scene: &Scene, user: &str, mode: SslMode) -> Config {
    let mut config = Config::new();
    config.host("127.0.0.1").port(scene.leader.port()).user(user).dbname("postgres").ssl_mode(mode);
    config.password("secret");
    config
}

async fn connect(config: &Config, tls: ClientConfig) -> Result<Client, String> {
    let failed = |error: tokio_postgres::Error| {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        text
    };
    let (client, connection) = config.connect(MakeRustlsConnect::new(tls)).await.map_err(failed)?;
    tokio::spawn(connection);
    Ok(client)
}

/// What the server says of the connection, or why there is none.
async fn outcome(config: &Config, tls: ClientConfig) -> String {
    match connect(config, tls).await {
        Ok(client) => {
            let sql = "SELECT ssl, coalesce(version, ''), coalesce(client_dn, '') FROM pg_stat_ssl \
                       WHERE pid = pg_backend_pid()";
            let row = client.query_one(sql, &[]).await.unwrap();
            let (ssl, version, dn): (bool, String, String) = (row.get(0), row.get(1), row.get(2));
            let sum: i64 = client.query_one("SELECT $1 + 1", &[&41_i64]).await.unwrap().get(0);
            assert_eq!(sum, 42);
            format!("connected: ssl {ssl} {version} {dn}")
        }
        Err(error) => error,
    }
}

#[tokio::test]
async fn every_mode_with_and_without_verification() {
    let scene = scene(&[]);
    scene.leader.sql("CREATE ROLE bob LOGIN IN ROLE pg_read_all_data");
    scene.leader.set_access_rules(
        "hostssl all ann all scram-sha-256\nhostnossl all bob all trust\nhost all all all reject",
    );
    let trusted = || verifying(&scene.authority).with_no_client_auth();
    let mut told = String::new();
    for (mode, name) in
        [(SslMode::Disable, "disable"), (SslMode::Prefer, "prefer"), (SslMode::Require, "require")]
    {
        for user in ["ann", "bob"] {
            let said = outcome(&config(&scene, user, mode), trusted()).await;
            told.push_str(&format!("{name} as {user}: {said}\n"));
        }
    }
    let mut required = config(&scene, "ann", SslMode::Require);
    told.push_str(&format!("require, any server: {}\n", outcome(&required, trusting()).await));
    let foreign = verifying(&scene.other).with_no_client_auth();
    told.push_str(&format!("require, another authority: {}\n", outcome(&required, foreign).await));
    required.channel_binding(ChannelBinding::Require);
    told.push_str(&format!("require, bound to the channel: {}\n", outcome(&required, trusted()).await));
    let mut misnamed = Config::new();
    misnamed.host("another.example.com").hostaddr([127, 0, 0, 1].into()).port(scene.leader.port());
    misnamed.user("ann").password("secret").dbname("postgres").ssl_mode(SslMode::Require);
    told.push_str(&format!("require, another name: {}\n", outcome(&misnamed, trusted()).await));
    let mut wrong = config(&scene, "ann", SslMode::Require);
    wrong.password("wrong");
    told.push_str(&format!("require, wrong password: {}\n", outcome(&wrong, trusted()).await));
    golden("tls_tokio_postgres", &told, scene.lab.path());
}

#[tokio::test]
async fn certificates_of_clients() {
    let scene = scene(&[]);
    scene.leader.sql("CREATE ROLE bob LOGIN IN ROLE pg_read_all_data");
    scene.leader.set_access_rules("hostssl all all all cert");
    let (bob, ann) = (scene.authority.client("bob"), scene.authority.client("ann"));
    let config = config(&scene, "bob", SslMode::Require);
    let mut told = String::new();
    for (what, tls) in [
        ("bob with his certificate", with_certificate(&scene.authority, &bob)),
        ("bob with ann's", with_certificate(&scene.authority, &ann)),
        ("bob with none", verifying(&scene.authority).with_no_client_auth()),
    ] {
        told.push_str(&format!("{what}: {}\n", outcome(&config, tls).await));
    }
    golden("tls_tokio_postgres_certificates", &told, scene.lab.path());
}

#[tokio::test]
async fn a_server_without_tls_is_no_server_for_who_requires_it() {
    let lab = walship_tests::Lab::new();
    let authority = Authority::new(lab.path(), "authority");
    let leader = lab.leader();
    let mut config = Config::new();
    config.host("127.0.0.1").port(leader.port()).user("postgres").dbname("postgres");
    let tls = || verifying(&authority).with_no_client_auth();
    assert!(outcome(config.ssl_mode(SslMode::Prefer), tls()).await.starts_with("connected: ssl false"));
    let refused = outcome(config.ssl_mode(SslMode::Require), tls()).await;
    assert!(refused.contains("server does not support TLS"), "{refused}");
}
