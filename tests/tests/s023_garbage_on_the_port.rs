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
    say(&mut stream, bytes)
}

/// The same in a session that has begun; the answer without what begins it. A start-up packet and garbage at once would
/// not get that far: who is at the other end of a connection that is closing already cannot be told.
fn send_in_session(port: u16, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(&startup("postgres")).unwrap();
    let mut header = [0; 5];
    loop {
        stream.read_exact(&mut header).expect("the start-up itself is fine");
        let [tag, length @ ..] = header;
        let mut body = vec![0; u32::from_be_bytes(length) as usize - 4];
        stream.read_exact(&mut body).unwrap();
        match tag {
            b'E' => panic!("the start-up was refused: {}", String::from_utf8_lossy(&body)),
            b'Z' => return say(&mut stream, bytes),
            _ => {}
        }
    }
}

/// Sends bytes and the end, and returns what comes back until the server closes.
fn say(stream: &mut TcpStream, bytes: &[u8]) -> Vec<u8> {
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
        send_in_session(port, &message(kind, claimed, body));
    }
    let mut random = rand::rng();
    for _ in 0..200 {
        let mut noise = vec![0; random.random_range(1..400)];
        random.fill(&mut noise[..]);
        // no noise that claims to be a start-up packet of a length that is still to come
        send(port, &noise);
        send_in_session(port, &noise);
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

/// The errors in what a server sent: severity, SQLSTATE and message, then detail and hint.
fn errors(mut answer: &[u8]) -> String {
    let mut text = String::new();
    while let [tag, a, b, c, d, rest @ ..] = answer {
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize - 4;
        let (body, behind) = rest.split_at(length.min(rest.len()));
        answer = behind;
        if *tag != b'E' {
            continue;
        }
        let fields: Vec<(u8, String)> = body
            .split(|byte| *byte == 0)
            .filter_map(|field| Some((*field.first()?, String::from_utf8_lossy(&field[1..]).into_owned())))
            .collect();
        let field = |code: u8| fields.iter().find(|(found, _)| *found == code).map_or("", |(_, text)| text);
        text += &format!("{} {} {}\n", field(b'S'), field(b'C'), field(b'M'));
        for (name, code) in [("DETAIL", b'D'), ("HINT", b'H')] {
            if !field(code).is_empty() {
                text += &format!("{name}: {}\n", field(code));
            }
        }
    }
    text
}

#[test]
fn each_fault_of_the_protocol_is_named() {
    let lab = Lab::new();
    let leader = lab.leader();
    let port = leader.port();
    let packet = |claimed: u32, body: &[u8]| [&claimed.to_be_bytes()[..], body].concat();
    let version = |version: u32| version.to_be_bytes();
    let unterminated = [&version(196_608)[..], b"user"].concat();
    let mut text = String::new();
    for (fault, bytes) in [
        ("HTTP", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        ("a start-up packet of 7 bytes", packet(7, b"")),
        ("a start-up packet of 2 GiB", packet(0x7FFF_FFFF, &version(196_608))),
        ("protocol 2", packet(8, &version(0x0002_0000))),
        ("protocol 4", packet(8, &version(0x0004_0000))),
        ("a parameter without its end", packet(12, &unterminated)),
        ("no user", packet(9, &[&version(196_608)[..], b"\0"].concat())),
    ] {
        text += &format!("# {fault}\n{}", errors(&send(port, &bytes)));
    }
    for (fault, kind, claimed, body) in [
        ("a query of length 3", b'Q', 3, &b""[..]),
        ("a query of 2 GiB", b'Q', 0x7FFF_FFFF, b"SELECT 1"),
        ("a query that is cut short", b'Q', 1000, b"SELECT 1"),
        ("a query without its end", b'Q', 12, b"SELECT 1"),
        ("a query that is not UTF-8", b'Q', 6, b"\xFF\0"),
        ("an unknown message", b'?', 4, b""),
        ("Parse without its end", b'P', 5, b"x"),
        ("Bind of fewer parameters than it says", b'B', 10, b"\0\0\0\0\xFF\xFF"),
        ("Describe of nothing", b'D', 6, b"X\0"),
        ("Sync with a body", b'S', 6, b"xy"),
        ("a Sync of 100 kB", b'S', 100_000, b""),
        ("a password that nobody asked for", b'p', 6, b"x\0"),
    ] {
        let answer = send_in_session(port, &message(kind, claimed, body));
        text += &format!("# {fault}\n{}", errors(&answer));
    }
    walship_tests::golden("protocol_faults", &text, lab.path());
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
