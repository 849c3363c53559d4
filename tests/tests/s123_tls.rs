//! TLS as PostgreSQL does it: every `sslmode` of stock clients, client certificates,
//! channel binding, reload; and what is done to those who cheat.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use walship_tests::probe::{Probe, SSL_REQUEST, error_text, message};
use walship_tests::{
    Authority, CertificateFiles, Lab, Node, Role, golden, output_of, python_driver, wait_until,
};

pub(crate) struct Scene {
    pub(crate) lab: Lab,
    pub(crate) authority: Authority,
    pub(crate) other: Authority,
    pub(crate) leader: Node,
}

/// A leader with TLS, a user with a password and one for certificates.
pub(crate) fn scene(more: &[&str]) -> Scene {
    let lab = Lab::new();
    let authority = Authority::new(lab.path(), "authority");
    let other = Authority::new(lab.path(), "other");
    let server = authority.server("server", &["localhost", "127.0.0.1"]);
    let leader = lab.node(Role::Leader, "leader", &[]);
    let mut scene = Scene { lab, authority, other, leader };
    scene.with(&server);
    for setting in more {
        scene.leader.add_arguments(&["-c", setting]);
    }
    scene.leader.start();
    scene.leader.sql("CREATE ROLE ann LOGIN PASSWORD 'secret' IN ROLE pg_write_all_data");
    scene.leader.set_access_rules("hostssl all all all scram-sha-256\nhostnossl all all all reject");
    scene
}

impl Scene {
    fn with(&mut self, server: &CertificateFiles) {
        let ca = format!("ssl_ca_file={}", self.authority.certificate().display());
        for setting in server.settings().iter().chain([&ca]) {
            self.leader.add_arguments(&["-c", setting]);
        }
    }

    fn psql(&self, more: &str) -> walship_tests::Output {
        let sql = "SELECT version, bits >= 128, client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
        self.leader.psql_as("ann", Some("secret"), more, sql)
    }

    fn root(&self) -> String {
        format!("sslrootcert={}", self.authority.certificate().display())
    }
}

fn client(files: &CertificateFiles) -> String {
    format!("sslcert={} sslkey={}", files.certificate.display(), files.key.display())
}

#[test]
fn every_sslmode_of_psql() {
    let scene = scene(&[]);
    let root = scene.root();
    let wrong_root = format!("sslrootcert={}", scene.other.certificate().display());
    let mut told = String::new();
    for more in [
        "sslmode=disable".to_owned(),
        "sslmode=allow".to_owned(),
        "sslmode=prefer".to_owned(),
        "sslmode=require".to_owned(),
        format!("sslmode=verify-ca {root}"),
        format!("sslmode=verify-full {root}"),
        format!("sslmode=verify-full host=localhost {root}"),
        format!("sslmode=verify-ca {wrong_root}"),
        "sslmode=require channel_binding=require".to_owned(),
        "sslmode=require channel_binding=disable".to_owned(),
        "sslmode=require ssl_max_protocol_version=TLSv1.2 channel_binding=require".to_owned(),
        "sslmode=require ssl_min_protocol_version=TLSv1.3".to_owned(),
        "sslmode=require ssl_min_protocol_version=TLSv1 ssl_max_protocol_version=TLSv1.1".to_owned(),
    ] {
        let output = scene.psql(&more);
        let said = output.transcript().replace(&format!("port {}", scene.leader.port()), "port $PORT");
        told.push_str(&format!("{more}\n{said}\n"));
    }
    golden("tls_sslmodes", &told, scene.lab.path());
}

#[test]
fn drivers_over_tls() {
    let scene = scene(&[]);
    std::fs::copy(scene.authority.certificate(), scene.lab.path().join("root.crt")).unwrap();
    // the driver's script gets its files beside the port, through the environment of one variable
    let script = format!("{}", scene.authority.certificate().display());
    // SAFETY: tests run in processes of their own
    unsafe { std::env::set_var("WALSHIP_TEST_ROOT", script) };
    assert_eq!(python_driver("with_tls.py", scene.leader.port()).success(), "ok");
}

#[test]
fn client_certificates() {
    let scene = scene(&[]);
    scene.leader.sql("CREATE ROLE bob LOGIN IN ROLE pg_read_all_data");
    scene.leader.set_access_rules(
        "hostssl all bob all cert\nhostssl all ann all scram-sha-256 clientcert=verify-ca\nhost all all all reject",
    );
    let (bob, ann) = (scene.authority.client("bob"), scene.authority.client("ann"));
    let (foreign, expired) = (scene.other.client("bob"), scene.authority.expired_client("bob"));
    let ask = |user: &str, more: &str| {
        let sql = "SELECT client_dn, client_serial IS NOT NULL, issuer_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
        let output = scene.leader.psql_as(user, Some("secret"), &format!("sslmode=require {more}"), sql);
        output.transcript().replace(&format!("port {}", scene.leader.port()), "port $PORT")
    };
    let mut told = String::new();
    for (what, user, more) in [
        ("bob with his certificate", "bob", client(&bob)),
        ("bob with ann's", "bob", client(&ann)),
        ("bob with none", "bob", "sslcert=/nowhere".to_owned()),
        ("ann with bob's and her password", "ann", client(&bob)),
        ("ann with none", "ann", "sslcert=/nowhere".to_owned()),
    ] {
        told.push_str(&format!("{what}\n{}\n", ask(user, &more)));
    }
    golden("tls_client_certificates", &told, scene.lab.path());
    // refused by TLS itself; how a client words the alert depends on when it reads it
    for (files, why) in [(foreign, "certificate"), (expired, "certificate")] {
        let refused = ask("bob", &client(&files));
        assert!(refused.contains("exit status: 2"), "{refused}");
        wait_until("the handshake's failure is logged", || {
            let log = scene.leader.log();
            log.contains("could not accept TLS connection") && log.contains(why)
        });
    }
}

#[test]
fn who_speaks_first_or_ahead_or_too_old() {
    let scene = scene(&["ssl_min_protocol_version=TLSv1.3"]);
    let port = scene.leader.port();
    let connect = || {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream
    };
    let mut told = String::new();
    // a ClientHello without asking
    let mut stream = connect();
    stream.write_all(&[0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0]).unwrap();
    told.push_str(&format!("TLS first: {}\n", error_text(&message(&mut stream).unwrap().1)));
    // a start-up packet in clear, in one piece with the request
    let probe = Probe { tls: true, user: "postgres", database: "postgres", replication: false };
    let mut stream = connect();
    let ahead = [&SSL_REQUEST[..], &probe.startup()].concat();
    stream.write_all(&ahead).unwrap();
    let mut first = [0];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(first, *b"E", "agreed to TLS behind bytes in clear");
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    told.push_str(&format!("plaintext ahead: {}\n", error_text(&rest[4..])));
    // the same a moment later: it is read as TLS, and is none
    let mut stream = connect();
    stream.write_all(&SSL_REQUEST).unwrap();
    stream.read_exact(&mut first).unwrap();
    assert_eq!(first, *b"S");
    stream.write_all(&probe.startup()).unwrap();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(
        !rest.windows(9).any(|window| window == b"\0\0\0\x08\0\0\0\0R"),
        "logged in without TLS: {rest:?}"
    );
    assert!(rest.first().is_none_or(|&byte| byte == 21), "not a TLS alert: {rest:?}");
    golden("tls_faults", &told, scene.lab.path());
    let old = scene.psql("sslmode=require ssl_max_protocol_version=TLSv1.2").failure();
    assert!(old.contains("protocol version"), "{old}");
    assert_eq!(scene.psql("sslmode=require").status, Some(0));
}

#[test]
fn openssl_against_the_port() {
    let scene = scene(&[]);
    let address = format!("127.0.0.1:{}", scene.leader.port());
    let ask = |more: &[&str]| {
        let mut openssl = Command::new("openssl");
        openssl.args(["s_client", "-starttls", "postgres", "-connect", &address, "-verify_return_error"]);
        openssl.arg("-CAfile").arg(scene.authority.certificate()).args(more).stdin(Stdio::null());
        output_of(&mut openssl)
    };
    let modern = ask(&["-verify_hostname", "localhost"]).success();
    assert!(modern.contains("TLSv1.3") && modern.contains("Verify return code: 0 (ok)"), "{modern}");
    assert!(ask(&["-tls1_2"]).success().contains("TLSv1.2"));
    assert_ne!(ask(&["-tls1_1"]).status, Some(0));
    let mut foreign = Command::new("openssl");
    foreign.args(["s_client", "-connect", &address]).stdin(Stdio::null());
    assert_ne!(output_of(&mut foreign).status, Some(0), "TLS without asking was accepted");
}

#[test]
fn keys_are_kept_and_certificates_replaced_without_a_restart() {
    let mut scene = scene(&[]);
    let dir = scene.lab.path().to_owned();
    // a new certificate of another authority under the same name, then a reload
    let old = std::fs::read(dir.join("server.crt")).unwrap();
    let old_key = std::fs::read(dir.join("server.key")).unwrap();
    scene.other.server("server", &["localhost", "127.0.0.1"]);
    scene.leader.sql("SELECT pg_reload_conf()");
    let other = format!("sslmode=verify-full sslrootcert={}", scene.other.certificate().display());
    assert_eq!(scene.psql(&other).status, Some(0));
    // one that others can read: the one in force stays
    std::fs::set_permissions(dir.join("server.key"), PermissionsExt::from_mode(0o644)).unwrap();
    scene.leader.sql("SELECT pg_reload_conf()");
    wait_until("the refusal is logged", || scene.leader.log().contains("TLS was not reloaded"));
    assert_eq!(scene.psql(&other).status, Some(0));
    scene.leader.stop();
    let refusal = |scene: &Scene| output_of(&mut scene.leader.command()).without_log().transcript();
    golden("tls_key_others_can_read", &refusal(&scene), &dir);
    std::fs::set_permissions(dir.join("server.key"), PermissionsExt::from_mode(0o600)).unwrap();
    std::fs::write(dir.join("server.crt"), &old).unwrap();
    golden("tls_key_of_another_certificate", &refusal(&scene), &dir);
    std::fs::write(dir.join("server.key"), "-----BEGIN NONSENSE-----\n").unwrap();
    golden("tls_key_that_is_none", &refusal(&scene), &dir);
    std::fs::remove_file(dir.join("server.crt")).unwrap();
    golden("tls_certificate_missing", &refusal(&scene), &dir);
    std::fs::write(dir.join("server.crt"), old).unwrap();
    std::fs::write(dir.join("server.key"), old_key).unwrap();
    scene.leader.start();
    assert_eq!(scene.psql(&format!("sslmode=verify-full {}", scene.root())).status, Some(0));
}

#[test]
fn an_expired_certificate_is_refused_by_who_verifies() {
    let mut scene = scene(&[]);
    scene.leader.stop();
    let expired = scene.authority.expired_server("expired", &["localhost", "127.0.0.1"]);
    scene.with(&expired);
    scene.leader.start();
    wait_until("the server says so", || scene.leader.log().contains("certificate has expired"));
    let refused = scene.psql(&format!("sslmode=verify-full {}", scene.root())).failure();
    assert!(refused.contains("certificate verify failed"), "{refused}");
    scene.leader.sql("CREATE ROLE repl LOGIN REPLICATION");
    scene.leader.set_access_rules("hostssl replication repl all trust");
    let conninfo =
        format!("host=127.0.0.1 port={} user=repl sslmode=verify-full {}", scene.leader.port(), scene.root());
    let arguments = ["-D", "f", "--init", "--no-retry", "--listen", "127.0.0.1:1", "--primary", &conninfo];
    let output = scene.lab.run("walreceiver", &arguments);
    assert_ne!(output.status, Some(0));
    golden("tls_walreceiver_expired", &output.without_log().transcript(), scene.lab.path());
}
