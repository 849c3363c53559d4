//! Finding a server among several, and what is said when none will do.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::thread;

use bytes::BytesMut;
use walship_client::{ClientError, Connection, Purpose};
use walship_protocol::wire::{
    ErrorFields, TransactionStatus, put_error, put_parameter_status, put_ready_for_query, put_result_set,
};
use walship_protocol::{Conninfo, ResultSet};

/// A server that greets every connection with `greeting`, and answers what follows with `answer`.
fn server(greeting: BytesMut, answer: BytesMut) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut ignored = [0; 4096];
            // a start-up packet of a few bytes arrives in one piece on loopback
            assert!(stream.read(&mut ignored).unwrap() > 0);
            stream.write_all(&greeting).unwrap();
            if stream.read(&mut ignored).is_ok_and(|read| read > 0) {
                let _ = stream.write_all(&answer);
            }
        }
    });
    port
}

fn greeting(standby: &str) -> BytesMut {
    let mut out = BytesMut::from(&b"R\0\0\0\x08\0\0\0\0"[..]);
    put_parameter_status(&mut out, "in_hot_standby", standby);
    put_ready_for_query(&mut out, TransactionStatus::Idle);
    out
}

fn refusal(sqlstate: &str, message: &str) -> BytesMut {
    let mut out = BytesMut::new();
    put_error(&mut out, &ErrorFields::error(sqlstate, message).fatal());
    out
}

async fn connect(ports: &[u16], rest: &str) -> Result<Connection, ClientError> {
    let hosts = vec!["127.0.0.1"; ports.len()].join(",");
    let ports = ports.iter().map(u16::to_string).collect::<Vec<_>>().join(",");
    let conninfo: Conninfo = format!("host={hosts} port={ports} sslmode=disable {rest}").parse().unwrap();
    Connection::connect(&conninfo.target(|_| None).unwrap(), Purpose::Replication, "test").await
}

fn nobody() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn the_first_host_that_will_do() {
    let starting = server(refusal("57P03", "the database system is starting up"), BytesMut::new());
    let (follower, leader) =
        (server(greeting("on"), BytesMut::new()), server(greeting("off"), BytesMut::new()));
    let all = [nobody(), starting, follower, leader];
    for (attributes, port) in [
        ("any", follower),
        ("primary", leader),
        ("read-write", leader),
        ("standby", follower),
        ("prefer-standby", follower),
    ] {
        let connection = connect(&all, &format!("target_session_attrs={attributes}")).await.unwrap();
        assert_eq!(connection.host().port, port, "{attributes}");
    }
    let only = connect(&[leader], "target_session_attrs=prefer-standby").await.unwrap();
    assert_eq!(only.host().port, leader);
}

#[tokio::test]
async fn every_failure_is_told() {
    let starting = server(refusal("57P03", "the database system is starting up"), BytesMut::new());
    let follower = server(greeting("on"), BytesMut::new());
    let error = connect(&[starting, follower], "target_session_attrs=primary").await.unwrap_err();
    let expected = format!(
        "connection to server at \"127.0.0.1:{starting}\" failed: the database system is starting up; \
         connection to server at \"127.0.0.1:{follower}\" failed: server is in hot standby mode"
    );
    assert_eq!(error.to_string(), expected);
    let error = connect(&[follower], "sslmode=require").await.unwrap_err();
    assert!(matches!(error, ClientError::SslAnswer { found: 'R', .. }), "{error}");
}

#[tokio::test]
async fn errors_of_a_command_leave_the_connection_usable() {
    let mut answer = BytesMut::new();
    put_error(&mut answer, &ErrorFields::error("42704", "no such thing").with_hint("make one"));
    put_ready_for_query(&mut answer, TransactionStatus::Idle);
    // what a second command will find
    put_result_set(&mut answer, &ResultSet::show("a", "b"));
    put_ready_for_query(&mut answer, TransactionStatus::Idle);
    let mut connection = connect(&[server(greeting("off"), answer)], "").await.unwrap();
    let error = connection.query("SHOW x").await.unwrap_err();
    assert_eq!(error.sqlstate(), Some("42704"));
    assert_eq!(error.server().unwrap().hint.as_deref(), Some("make one"));
    let results = connection.query("SHOW a").await.unwrap();
    assert_eq!(results[0].text("a"), Some("b"));
    assert_eq!(results[0].tag, "SHOW");
}

#[tokio::test]
async fn nonsense_is_refused() {
    let port = server(BytesMut::from(&b"HTTP/1.1 400 Bad Request"[..]), BytesMut::new());
    let error = connect(&[port], "").await.unwrap_err();
    assert!(matches!(error, ClientError::Protocol { .. }), "{error}");
}

#[tokio::test]
async fn a_server_that_says_nothing_is_left_in_time() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let error = connect(&[port], "connect_timeout=2").await.unwrap_err();
    assert!(matches!(error, ClientError::ConnectTimeout { .. }), "{error}");
}
