//! Garbage, oversized and truncated input: that connection ends, nothing else notices,
//! and no memory is taken for a length that was only claimed.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rand::Rng;
use walship_tests::{Lab, peak_resident_kib};

/// Sends bytes and returns what came back before the server closed.
fn send(port: u16, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // the server may close before it has read all of it
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return answer,
            Ok(count) => answer.extend_from_slice(&buffer[..count]),
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => return answer,
            Err(e) => panic!("the server neither answers nor closes: {e}"),
        }
    }
}

fn startup(database: &str) -> Vec<u8> {
    let mut body = 196_608_u32.to_be_bytes().to_vec();
    body.extend_from_slice(format!("user\0postgres\0database\0{database}\0\0").as_bytes());
    let mut packet = u32::try_from(body.len() + 4).unwrap().to_be_bytes().to_vec();
    packet.extend_from_slice(&body);
    packet
}

fn message(kind: u8, claimed: u32, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![kind];
    packet.extend_from_slice(&claimed.to_be_bytes());
    packet.extend_from_slice(body);
    packet
}

#[test]
fn the_server_outlives_whatever_is_sent() {
    let lab = Lab::new();
    let mut leader = lab.leader();
    leader.sql("CREATE TABLE t(v)");
    let bystander = leader.connect();
    let port = leader.port();

    send(port, b"");
    send(port, b"\0");
    send(port, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    for claimed in [0_u32, 1, 7, 9, 0x7FFF_FFFF, 0xFFFF_FFFF] {
        send(port, &claimed.to_be_bytes());
        send(port, &[&claimed.to_be_bytes()[..], &196_608_u32.to_be_bytes()].concat());
    }
    // protocol 2, and one from the future
    for version in [0x0002_0000_u32, 0x0004_0000] {
        send(port, &[&8_u32.to_be_bytes()[..], &version.to_be_bytes()].concat());
    }
    // a start-up packet that is not terminated, and one that is all names
    send(port, &[&12_u32.to_be_bytes()[..], &196_608_u32.to_be_bytes(), b"user"].concat());
    send(port, &[&9_008_u32.to_be_bytes()[..], &196_608_u32.to_be_bytes(), &[b'a'; 9000]].concat());
    // after a good start: impossible lengths, unknown kinds, messages cut short
    for (kind, claimed, body) in [
        (b'Q', 0_u32, &b""[..]),
        (b'Q', 3, b""),
        (b'Q', 0x7FFF_FFFF, b"SELECT 1"),
        (b'Q', 0xFFFF_FFFF, b"SELECT 1"),
        (b'Q', 12, b"SELECT 1"),
        (b'Q', 1000, b"SELECT 1"),
        (b'?', 4, b""),
        (b'P', 5, b"x"),
        (b'B', 12, b"\0\0\0\x01\xFF\xFF\0\x01"),
        (b'B', 16, b"\0\0\xFF\xFF\0\0\0\0\0\0\0\0"),
        (b'D', 4, b""),
        (b'd', 8, b"data"),
    ] {
        let answer = send(port, &[startup("postgres"), message(kind, claimed, body)].concat());
        assert_eq!(answer.first(), Some(&b'R'), "the start-up itself is fine");
    }
    let mut random = rand::rng();
    for _ in 0..200 {
        let mut noise = vec![0; random.random_range(1..400)];
        random.fill(&mut noise[..]);
        // no noise that claims to be a start-up packet of a length that is still to come
        send(port, &noise);
        send(port, &[startup("postgres"), noise].concat());
    }

    bystander.run("INSERT INTO t VALUES (1)");
    assert_eq!(leader.sql("SELECT count(*) FROM t"), "1");
    let peak = peak_resident_kib(leader.process().pid());
    assert!(peak < 150 * 1024, "the leader took {peak} KiB for lengths that were only claimed");
    wait_for_sessions_to_end(&leader);
}

fn wait_for_sessions_to_end(leader: &walship_tests::Node) {
    let session = leader.connect();
    walship_tests::wait_until("the connections of the garbage are gone", || {
        // this one, and the bystander's
        session
            .value("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'")
            .parse::<u32>()
            .unwrap()
            <= 2
    });
}

#[test]
fn clients_beyond_the_limit_are_told_so() {
    let lab = Lab::new();
    let leader = lab.leader_with(&["-c", "max_connections=5"]);
    let mut sessions = Vec::new();
    let refused = loop {
        match walship_tests::Session::connect(leader.port(), "postgres") {
            Ok(session) => sessions.push(session),
            Err(error) => break error,
        }
        assert!(sessions.len() < 10, "ten connections where five are allowed");
    };
    assert_eq!(
        (refused.code.as_str(), refused.message.as_str()),
        ("53300", "sorry, too many clients already")
    );
    sessions.pop();
    walship_tests::wait_until("there is room again", || {
        walship_tests::Session::connect(leader.port(), "postgres").is_ok()
    });
}
